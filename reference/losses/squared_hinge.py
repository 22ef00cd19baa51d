"""Multi-class hinge with each term squared.

    L = c sum over the rows, and over the classes k != t, of max(0, m_k)^2,
    m_k = margin + y_k - y_t

    dL = c sum of 2 m_k (dy_k - dy_t) over the k with m_k > 0

    y_bar_k = 2 c max(0, m_k)        y_bar_t = -2 c sum_{k != t} max(0, m_k)

The slope is continuous at m_k = 0: no tie.  c is the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import SquaredHinge
from ..arrays import Array, Kink, Saved
from .classes import one_hot
from .hinge import margins
from .reduction import row_factor


def kink(loss: SquaredHinge, y: Array, target: Array) -> Kink:
    return Kink(margins(loss, y, target), (0.0,), smooth=True)


def radius(loss: SquaredHinge, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: SquaredHinge, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    h = np.where(branch == 1, margins(loss, y, target), 0.0)
    return row_factor(loss.reduction, y) * (h * h).sum(axis=(-2, -1)), (h, target)


def backward(loss: SquaredHinge, saved: Saved, value_bar: float) -> Array:
    h, target = saved
    slope = np.where(one_hot(target, h), -h.sum(axis=-1, keepdims=True), h)
    y_bar: Array = (2 * row_factor(loss.reduction, h) * value_bar) * slope
    return y_bar
