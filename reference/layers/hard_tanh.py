"""Hard tanh: x held between two bounds.

    y = low, x, high        dy = 0, dx, 0        below, between and above the bounds

At a bound we take the left derivative: 0 at `low`, 1 at `high`.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import HardTanh
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: HardTanh, p: Arrays, x: Array) -> Kink:
    return Kink(x, (layer.low, layer.high))


def radius(layer: HardTanh, x: Array) -> float:
    return np.inf


def forward(layer: HardTanh, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 0, layer.low, np.where(branch == 1, x, layer.high)), branch


def backward(layer: HardTanh, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, y_bar, 0.0), {}
