"""Rectified linear unit that stops at 6 (Krizhevsky 2010).

    y = 0, x, 6        dy = 0, dx, 0        below 0, between and above 6

At a kink we take the left derivative: 0 at 0, 1 at 6.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import ReLU6
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: ReLU6, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0, 6.0))


def radius(layer: ReLU6, x: Array) -> float:
    return np.inf


def forward(layer: ReLU6, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 0, 0.0, np.where(branch == 1, x, 6.0)), branch


def backward(layer: ReLU6, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, y_bar, 0.0), {}
