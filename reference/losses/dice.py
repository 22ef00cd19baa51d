"""Dice loss, example by example (Milletari et al. 2016).

    L = c sum of 1 - q,    q = (2 I + s) / D,    I = sum(y t),    D = sum(y) + sum(t) + s

    dq = 2 dI / D - q dD / D        dI = sum(t dy)        dD = sum(dy)

    y_bar = c (q - 2 t) / D

s is `smooth`, c the reduction's constant.

Radius.  q is singular where D = 0.  With n entries in an example, D cannot vanish before some
entry has moved by D / n.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import Dice
from ..arrays import Array, Saved
from .reduction import row_factor


def denominator(loss: Dice, y: Array, target: Array) -> Array:
    """D of every example, as a column."""
    d: Array = y.sum(axis=-1, keepdims=True) + (target.sum(axis=-1, keepdims=True) + loss.smooth)
    return d


def radius(loss: Dice, y: Array, target: Array) -> Array:
    distance: Array = np.abs(denominator(loss, y, target).real) / y.shape[-1]
    return distance


def forward(loss: Dice, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    d = denominator(loss, y, target)
    q = (2 * (y * target).sum(axis=-1, keepdims=True) + loss.smooth) / d
    return row_factor(loss.reduction, y) * (1 - q).sum(axis=(-2, -1)), (q, d, target)


def backward(loss: Dice, saved: Saved, value_bar: float) -> Array:
    q, d, target = saved
    y_bar: Array = (row_factor(loss.reduction, q) * value_bar) * (q - 2 * target) / d
    return y_bar
