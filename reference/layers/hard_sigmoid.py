"""Hard sigmoid: a straight line from (-3, 0) to (3, 1), and flat beyond.

    y = 0, (x + 3) / 6, 1        dy = 0, dx / 6, 0        below -3, between and above 3

x / 6 + 1 / 2 is the same line, but near -3 it subtracts rounded numbers; x + 3 is exact
there.  At a kink we take the left derivative: 0 at -3, 1/6 at 3.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import HardSigmoid
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: HardSigmoid, p: Arrays, x: Array) -> Kink:
    return Kink(x, (-3.0, 3.0))


def radius(layer: HardSigmoid, x: Array) -> float:
    return np.inf


def forward(layer: HardSigmoid, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 0, 0.0, np.where(branch == 1, (x + 3) / 6, 1.0)), branch


def backward(layer: HardSigmoid, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, y_bar / 6, 0.0), {}
