"""Hard swish (Howard et al. 2019): x times the hard sigmoid.

    y = 0, x (x + 3) / 6, x        dy = 0, (2x + 3) / 6 dx, dx        below -3, between, above 3

The slope goes from 0 to -1/2 at -3, and from 3/2 to 1 at 3; there we take the left one.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import HardSwish
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: HardSwish, p: Arrays, x: Array) -> Kink:
    return Kink(x, (-3.0, 3.0))


def radius(layer: HardSwish, x: Array) -> float:
    return np.inf


def forward(layer: HardSwish, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    middle = np.where(branch == 1, x, 0.0)
    parabola = middle * (middle + 3) / 6
    y = np.where(branch == 0, 0.0, np.where(branch == 1, parabola, x))
    return y, (middle, branch)


def backward(layer: HardSwish, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    middle, branch = saved
    slope = (2 * middle + 3) / 6
    return np.where(branch == 0, 0.0, np.where(branch == 1, slope * y_bar, y_bar)), {}
