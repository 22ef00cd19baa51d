"""Parametric rectified linear unit (He, Zhang, Ren and Sun 2015).

    y = x where x > 0, else a x        a learned: one for all features, or one for each

    dy = dx where x > 0, else a dx + x da

    x_bar = y_bar where x > 0, else a y_bar
    a_bar = sum of x y_bar where x <= 0, over every entry that this a multiplied

At x = 0 we take the left derivative, a.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import PReLU
from ..arrays import Array, Arrays, Kink, Saved, over, rows


def kink(layer: PReLU, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,))


def radius(layer: PReLU, x: Array) -> float:
    return np.inf


def forward(layer: PReLU, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    a = over(p["slope"], x, 1)
    return np.where(branch == 1, x, a * x), (x, branch)


def backward(layer: PReLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x, branch = saved
    a = over(p["slope"], x, 1)
    x_bar = np.where(branch == 1, y_bar, a * y_bar)
    a_bar = rows(np.where(branch == 1, 0.0, x) * y_bar, p["slope"], 1)
    if layer.shared:
        return x_bar, {"slope": a_bar.sum(axis=(-2, -1))[..., None]}
    return x_bar, {"slope": a_bar.sum(axis=-2)}
