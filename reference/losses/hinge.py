"""Multi-class hinge (Weston and Watkins 1999).

    L = c sum over the rows, and over the classes k != t, of max(0, m_k),
    m_k = margin + y_k - y_t

    dm_k = dy_k - dy_t        dL = c sum of (dy_k - dy_t) over the k with m_k > 0

    y_bar_k = c where m_k > 0        y_bar_t = -c times the number of such k

At m_k = 0 the slope may be anything from 0 to 1; we take the left one, 0, as everywhere.
c is the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import Hinge, SquaredHinge
from ..arrays import Array, Kink, Saved
from .classes import one_hot
from .reduction import row_factor


def margins(loss: Hinge | SquaredHinge, y: Array, target: Array) -> Array:
    """m (..., batch, classes), with -1 in the column of the target: never positive, no tie."""
    right = y[..., np.arange(y.shape[-2]), target][..., None]
    return np.where(one_hot(target, y), -1.0, (y - right) + loss.margin)


def kink(loss: Hinge, y: Array, target: Array) -> Kink:
    return Kink(margins(loss, y, target), (0.0,))


def radius(loss: Hinge, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: Hinge, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    m = margins(loss, y, target)
    h = np.where(branch == 1, m, 0.0)
    return row_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), (m, target, branch)


def backward(loss: Hinge, saved: Saved, value_bar: float) -> Array:
    m, target, branch = saved
    m_bar = (branch == 1).astype(m.dtype)
    slope = np.where(one_hot(target, m), -m_bar.sum(axis=-1, keepdims=True), m_bar)
    y_bar: Array = (row_factor(loss.reduction, m) * value_bar) * slope
    return y_bar
