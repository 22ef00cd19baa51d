"""Padding: on each padded axis an index map (`arrays.py`), one axis after the other.

    y_j = x_{i(j)}, or the constant        x_bar_i = sum of y_bar_j with i(j) = i

i(j) = j - before inside.  Outside, a constant is nobody's entry, so nothing comes back from
it; `edge` has the nearest entry, and `reflect` the one as far inside as j is outside, and
these collect the cotangents of their copies.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...architectures.operators import Pad
from ..arrays import Array, Arrays, Saved, gather_axis, scatter_axis


def radius(layer: Pad, x: Array) -> float:
    return np.inf


@lru_cache(maxsize=512)
def index_map(mode: str, n: int, before: int, after: int) -> Array:
    """i(j) for an axis of n entries; -1 for the constant."""
    i = np.arange(-before, n + after)
    if mode == "edge":
        return np.clip(i, 0, n - 1)
    if mode == "reflect":
        i = np.abs(i)
        return np.where(i < n, i, 2 * (n - 1) - i)
    return np.where((i >= 0) & (i < n), i, -1)


def forward(layer: Pad, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    k = len(layer.padding)
    sizes = x.shape[-k:]
    for axis, (n, pair) in enumerate(zip(sizes, layer.padding, strict=True), -k):
        index = index_map(layer.mode, n, *pair)
        x = gather_axis(x, index, axis)
        if layer.value and layer.mode == "constant":
            outside = np.expand_dims(index < 0, tuple(range(1, -axis)))
            x = np.where(outside, layer.value, x)
    return x, sizes


def backward(layer: Pad, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    sizes, k = saved, len(layer.padding)
    for axis, (n, pair) in enumerate(zip(sizes, layer.padding, strict=True), -k):
        y_bar = scatter_axis(y_bar, index_map(layer.mode, n, *pair), n, axis)
    return y_bar, {}
