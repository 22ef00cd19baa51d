"""The mean over all spatial axes, of n entries together.

    y = (1/n) sum of x        dy = (1/n) sum of dx        x_bar = y_bar / n everywhere

It is `mean` over the spatial axes.
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.operators import GlobalAveragePool
from ..arrays import Array, Arrays, Saved


def radius(layer: GlobalAveragePool, x: Array) -> float:
    return np.inf


def forward(layer: GlobalAveragePool, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    shape = x.shape[-layer.spatial :]
    flat = x.reshape(*x.shape[: -layer.spatial], -1)
    return flat.sum(axis=-1) / math.prod(shape), shape


def backward(
    layer: GlobalAveragePool, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[Array, Arrays]:
    shape = saved
    share = y_bar / math.prod(shape)
    wide = share.reshape(*share.shape, *(1,) * len(shape))
    return np.broadcast_to(wide, (*share.shape, *shape)), {}
