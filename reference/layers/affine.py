"""Multiplication by a constant, and a constant added.

y = a x + b        dy = a dx        x_bar = a y_bar
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Affine
from ..arrays import Array, Arrays, Saved


def radius(layer: Affine, x: Array) -> float:
    return np.inf


def forward(layer: Affine, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    y: Array = layer.scale * x + layer.shift
    return y, None


def backward(layer: Affine, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return layer.scale * y_bar, {}
