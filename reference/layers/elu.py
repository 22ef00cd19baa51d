"""Exponential linear unit (Clevert, Unterthiner and Hochreiter 2016).

    y = x where x > 0, else a (e^x - 1)        dy = dx where x > 0, else a e^x dx

a is `alpha`.  At x = 0 we take the left derivative, a; where a = 1 the two agree.
The derivative is taken from x: y + a, which it equals, cancels where e^x is small.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import ELU
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: ELU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,), smooth=layer.alpha == 1)


def forward(layer: ELU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    left = np.where(branch == 0, x, 0.0)
    return np.where(branch == 1, x, layer.alpha * np.expm1(left)), (left, branch)


def backward(layer: ELU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    left, branch = saved
    return np.where(branch == 1, y_bar, layer.alpha * np.exp(left) * y_bar), {}
