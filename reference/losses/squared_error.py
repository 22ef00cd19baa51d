"""Squared error.

    L = c sum((y - t)^2)        dL = 2 c <y - t, dy>        y_bar = 2 c (y - t)

c is the reduction's constant: 1/2 for ordinary least squares, which cancels the 2.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import SquaredError
from ..arrays import Array, Saved
from .reduction import entry_factor


def radius(loss: SquaredError, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: SquaredError, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    r = y - target
    return entry_factor(loss.reduction, y) * (r * r).sum(axis=(-2, -1)), r


def backward(loss: SquaredError, saved: Saved, value_bar: float) -> Array:
    r = saved
    y_bar: Array = (2 * entry_factor(loss.reduction, r) * value_bar) * r
    return y_bar
