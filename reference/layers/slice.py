"""Part of an axis: y_j = x_{start + j step}.

An index map (`arrays.py`): what was taken gets its cotangent back, the rest gets 0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...architectures.operators import Slice
from ..arrays import Array, Arrays, Saved, gather_axis, scatter_axis


def radius(layer: Slice, x: Array) -> float:
    return np.inf


@lru_cache(maxsize=512)
def index_map(start: int, stop: int, step: int) -> Array:
    return np.arange(start, stop, step)


def forward(layer: Slice, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    index = index_map(layer.start, layer.stop, layer.step)
    return gather_axis(x, index, layer.axis), x.shape[layer.axis]


def backward(layer: Slice, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    size = saved
    index = index_map(layer.start, layer.stop, layer.step)
    return scatter_axis(y_bar, index, size, layer.axis), {}
