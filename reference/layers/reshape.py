"""The last axes in another shape: the same entries in the same order.

    y = x, reshaped        x_bar = y_bar, reshaped back

No entry is touched, so its cotangent is not either.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Reshape
from ..arrays import Array, Arrays, Saved


def radius(layer: Reshape, x: Array) -> float:
    return np.inf


def forward(layer: Reshape, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    own = x.shape[-layer.axes :]
    return x.reshape(*x.shape[: -layer.axes], *layer.shape), own


def backward(layer: Reshape, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    own = saved
    return y_bar.reshape(*y_bar.shape[: y_bar.ndim - len(layer.shape)], *own), {}
