"""Mean over axes of n entries together.

    y = (1/n) sum of x        dy = (1/n) sum of dx        x_bar = y_bar / n, repeated

It is `sum` over n.
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.operators import Mean
from ..arrays import Array, Arrays, Saved
from .sum import repeated


def radius(layer: Mean, x: Array) -> float:
    return np.inf


def count(layer: Mean, shape: tuple[int, ...]) -> int:
    """n."""
    return math.prod(shape[axis] for axis in layer.axes)


def forward(layer: Mean, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    y: Array = x.sum(axis=layer.axes, keepdims=layer.keep) / count(layer, x.shape)
    return y, x.shape


def backward(layer: Mean, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return repeated(layer, y_bar / count(layer, saved), saved), {}
