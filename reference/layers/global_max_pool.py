"""The greatest entry over all spatial axes.

    y = x_c, c the choice        dy = dx_c        x_bar_c = y_bar, and 0 at the others

Where several are greatest, any shares that sum to one are derivatives; we choose the first.
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.operators import GlobalMaxPool
from ..arrays import Array, Arrays, Choice, Saved, pick, place


def candidates(layer: GlobalMaxPool, x: Array) -> Array:
    """x with its spatial axes joined."""
    return x.reshape(*x.shape[: -layer.spatial], -1)


def kink(layer: GlobalMaxPool, p: Arrays, x: Array) -> Choice:
    return Choice(candidates(layer, x))


def radius(layer: GlobalMaxPool, x: Array) -> float:
    return np.inf


def forward(layer: GlobalMaxPool, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return pick(candidates(layer, x), branch), (branch, x.shape[-layer.spatial :])


def backward(layer: GlobalMaxPool, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch, shape = saved
    x_bar = place(y_bar, branch, math.prod(shape))
    return x_bar.reshape(*x_bar.shape[:-1], *shape), {}
