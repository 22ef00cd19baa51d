"""Scaled exponential linear unit (Klambauer, Unterthiner, Mayr and Hochreiter 2017).

    y = c x where x > 0, else c a (e^x - 1)        dy = c dx where x > 0, else c a e^x dx

a and c are chosen so that a layer keeps mean 0 and variance 1.  c a > c, so the two
derivatives at 0 differ; we take the left one, c a.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import SELU
from ..arrays import Array, Arrays, Kink, Saved

ALPHA = 1.6732632423543772848170429916717
SCALE = 1.0507009873554804934193349852946


def kink(layer: SELU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,))


def forward(layer: SELU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    left = np.where(branch == 0, x, 0.0)
    y = np.where(branch == 1, SCALE * x, SCALE * ALPHA * np.expm1(left))
    return y, (left, branch)


def backward(layer: SELU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    left, branch = saved
    return np.where(branch == 1, SCALE * y_bar, SCALE * ALPHA * np.exp(left) * y_bar), {}
