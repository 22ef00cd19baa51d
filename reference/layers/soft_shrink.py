"""Soft shrinkage (Donoho 1995): towards 0 by t = `threshold`, and no further.

    y = x + t, 0, x - t        dy = dx, 0, dx        below -t, between and above t

At a kink we take the left derivative: 1 at -t, 0 at t.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import SoftShrink
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: SoftShrink, p: Arrays, x: Array) -> Kink:
    return Kink(x, (-layer.threshold, layer.threshold))


def radius(layer: SoftShrink, x: Array) -> float:
    return np.inf


def forward(layer: SoftShrink, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    t = layer.threshold
    return np.where(branch == 0, x + t, np.where(branch == 1, 0.0, x - t)), branch


def backward(layer: SoftShrink, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch = saved
    return np.where(branch == 1, 0.0, y_bar), {}
