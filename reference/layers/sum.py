"""Sum over axes.

    y = sum of x        dy = sum of dx        x_bar = y_bar, repeated along the axes

Every entry has the weight 1, so every entry gets the whole cotangent.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Mean, Sum
from ..arrays import Array, Arrays, Saved


def radius(layer: Sum, x: Array) -> float:
    return np.inf


def repeated(layer: Sum | Mean, y_bar: Array, shape: tuple[int, ...]) -> Array:
    """y_bar along the axes that were summed over, of this many entries each."""
    wide: Array = y_bar if layer.keep else np.expand_dims(y_bar, layer.axes)
    sizes = list(wide.shape)
    for axis in layer.axes:
        sizes[axis] = shape[axis]
    return np.broadcast_to(wide, sizes)


def forward(layer: Sum, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return x.sum(axis=layer.axes, keepdims=layer.keep), x.shape


def backward(layer: Sum, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return repeated(layer, y_bar, saved), {}
