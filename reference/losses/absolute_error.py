"""Absolute error.

    L = c sum(|r|),    r = y - t        dL = c <sign(r), dy>        y_bar = c sign(r)

At r = 0, |r| has every slope from -1 to 1; we take the left one, -1, as everywhere.
c is the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import AbsoluteError
from ..arrays import Array, Kink, Saved
from .reduction import entry_factor


def kink(loss: AbsoluteError, y: Array, target: Array) -> Kink:
    return Kink(y - target, (0.0,))


def radius(loss: AbsoluteError, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: AbsoluteError, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    r = y - target
    size = np.where(branch == 1, r, -r)
    return entry_factor(loss.reduction, y) * size.sum(axis=(-2, -1)), (r, branch)


def backward(loss: AbsoluteError, saved: Saved, value_bar: float) -> Array:
    r, branch = saved
    sign = np.where(branch == 1, 1, -1).astype(r.dtype)
    return (entry_factor(loss.reduction, r) * value_bar) * sign
