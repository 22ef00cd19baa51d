"""Leaky rectified linear unit (Maas, Hannun and Ng 2013).

    y = x where x > 0, else a x        dy = dx where x > 0, else a dx

a is the constant `slope`.  At x = 0 we take the left derivative, a.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import LeakyReLU
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: LeakyReLU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,), smooth=layer.slope == 1)


def radius(layer: LeakyReLU, x: Array) -> float:
    return np.inf


def forward(layer: LeakyReLU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 1, x, layer.slope * x), branch


def backward(layer: LeakyReLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, y_bar, layer.slope * y_bar), {}
