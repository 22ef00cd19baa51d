"""Huber's loss (Huber 1964): squared near zero, absolute beyond delta.

    L = c sum(h(r)),    r = y - t

    h = -d (r + d / 2)      h' = -d      r < -d
    h = r^2 / 2             h' = r       -d < r < d
    h = d (r - d / 2)       h' = d       r > d            y_bar = c h'(r)

d is delta, c the reduction's constant.  h' is continuous: the pieces meet without a tie.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import Huber
from ..arrays import Array, Kink, Saved
from .reduction import entry_factor


def kink(loss: Huber, y: Array, target: Array) -> Kink:
    return Kink(y - target, (-loss.delta, loss.delta), smooth=True)


def radius(loss: Huber, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: Huber, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    r, d = y - target, loss.delta
    near = np.where(branch == 1, r, 0.0)  # far away its square would overflow
    h = np.where(branch == 1, near * near / 2, d * (r - d / 2))
    h = np.where(branch == 0, -d * (r + d / 2), h)
    return entry_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), (r, branch)


def backward(loss: Huber, saved: Saved, value_bar: float) -> Array:
    (r, branch), d = saved, loss.delta
    slope = np.where(branch == 0, -d, np.where(branch == 1, r, d))
    return (entry_factor(loss.reduction, r) * value_bar) * slope
