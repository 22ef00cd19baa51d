"""The last axes in another order: a permutation, whose transpose is its inverse.

    axis j of y is axis order[j] of x        axis order[j] of x_bar is axis j of y_bar

Each is counted from the end, and the axes before them stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...architectures.operators import Transpose
from ..arrays import Array, Arrays, Saved


def radius(layer: Transpose, x: Array) -> float:
    return np.inf


def permuted(x: Array, order: Sequence[int]) -> Array:
    """x with its last axes in this order, each counted from the end."""
    leading = range(x.ndim - len(order))
    y: Array = np.transpose(x, (*leading, *(x.ndim + axis for axis in order)))
    return y


def forward(layer: Transpose, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return permuted(x, layer.order), None


def backward(layer: Transpose, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    k = len(layer.order)
    inverse = [layer.order.index(axis) - k for axis in range(-k, 0)]
    return permuted(y_bar, inverse), {}
