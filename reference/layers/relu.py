"""Rectified linear unit.

    y = x where x > 0, else 0        dy = dx where x > 0, else 0

At x = 0 the two one-sided derivatives are 0 and 1; we take the left one, 0.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import ReLU
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: ReLU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,))


def radius(layer: ReLU, x: Array) -> float:
    return np.inf


def forward(layer: ReLU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 1, x, 0.0), branch


def backward(layer: ReLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, y_bar, 0.0), {}
