"""Smooth L1 (Girshick 2015): Huber's loss divided by its threshold, here beta.

    L = c sum(h(r)),    r = y - t

    h = -r - b / 2          h' = -1      r < -b
    h = r^2 / (2 b)         h' = r / b   -b < r < b
    h = r - b / 2           h' = 1       r > b            y_bar = c h'(r)

b is beta, c the reduction's constant.  h' is continuous: the pieces meet without a tie.
r is divided by b before it is squared, so that a small b does not make r^2 vanish.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import SmoothL1
from ..arrays import Array, Kink, Saved
from .reduction import entry_factor


def kink(loss: SmoothL1, y: Array, target: Array) -> Kink:
    return Kink(y - target, (-loss.beta, loss.beta), smooth=True)


def radius(loss: SmoothL1, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: SmoothL1, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    r, b = y - target, loss.beta
    near = np.where(branch == 1, r, 0.0)  # far away its square would overflow
    h = np.where(branch == 1, near * (near / b) / 2, r - b / 2)
    h = np.where(branch == 0, -r - b / 2, h)
    return entry_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), (r, branch)


def backward(loss: SmoothL1, saved: Saved, value_bar: float) -> Array:
    r, branch = saved
    near = np.where(branch == 1, r, 0.0)  # far away the quotient might overflow
    slope = np.where(branch == 0, -1.0, np.where(branch == 1, near / loss.beta, 1.0))
    return (entry_factor(loss.reduction, r) * value_bar) * slope
