"""Continuously differentiable exponential linear unit (Barron 2017).

    y = x where x > 0, else a (e^(x/a) - 1)        dy = dx where x > 0, else e^(x/a) dx

a is `alpha`.  Both derivatives at 0 are 1, whatever a is: that is the point of it.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import CELU
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: CELU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,), smooth=True)


def radius(layer: CELU, x: Array) -> float:
    return layer.alpha


def forward(layer: CELU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    left = np.where(branch == 0, x, 0.0) / layer.alpha
    return np.where(branch == 1, x, layer.alpha * np.expm1(left)), (left, branch)


def backward(layer: CELU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    left, branch = saved
    return np.where(branch == 1, y_bar, np.exp(left) * y_bar), {}
