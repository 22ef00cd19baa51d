"""Softmax of logits along the last axis, without overflow and without cancellation.

With z = y - max(y), S = sum(exp(z)) lies between 1 and the number of classes, and

    softmax(y) = exp(z) / S        log(softmax(y)) = z - log(S) = z - log1p(S - 1)

S - 1 loses all its digits where one class dominates.  Added up as exp(z) - 1 over a set of
classes near the top, exp(z) over the rest, and the size of the set less one, it keeps them.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..stable import log1p


def shifted(y: Array) -> Array:
    """z.  The maximum (of the real part) is a constant here: softmax does not see it."""
    z: Array = y - y.real.max(axis=-1, keepdims=True)
    return z


def log_softmax(z: Array) -> Array:
    """log(softmax(y)), for z from `shifted`."""
    top = z.real > -0.5  # not z == 0, which rounding noise on z would undo
    excess = np.where(top, np.expm1(z), np.exp(z)).sum(axis=-1, keepdims=True)
    size = top.sum(axis=-1, keepdims=True)
    q: Array = z - log1p(excess + (size - 1).astype(z.dtype))
    return q


def softmax(z: Array) -> Array:
    """softmax(y), for z from `shifted`."""
    e = np.exp(z)
    p: Array = e / e.sum(axis=-1, keepdims=True)
    return p


def rest(p: Array) -> Array:
    """The sum of the other entries of each row, for each entry.

    The row's total less the entry cancels where the entry is most of the total, which at
    most one entry is; for that one, the others are added instead.
    """
    most = p > 0.75 * np.abs(p).sum(axis=-1, keepdims=True)
    others = np.where(most, 0.0, p).sum(axis=-1, keepdims=True)
    total: Array = p.sum(axis=-1, keepdims=True)
    return np.where(most, others, total - p)
