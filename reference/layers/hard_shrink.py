"""Hard shrinkage: 0 within t = `threshold` of 0, and x itself beyond.

    y = x, 0, x        dy = dx, 0, dx        below -t, from -t to t, above t

y jumps at +-t, where it is 0, as |x| > t is false.  A piece ends with its right end, so
the first one ends at the number before -t; nobody's derivative there is 1.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import HardShrink
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: HardShrink, p: Arrays, x: Array) -> Kink:
    t = x.real.dtype.type(layer.threshold)
    return Kink(x, (float(np.nextafter(-t, -np.inf)), layer.threshold))


def radius(layer: HardShrink, x: Array) -> float:
    return np.inf


def forward(layer: HardShrink, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    return np.where(branch == 1, 0.0, x), branch


def backward(layer: HardShrink, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, 0.0, y_bar), {}
