"""Functions of exp that neither overflow nor cancel, for real and for complex arguments.

Each picks its formula by the sign of the real part, between formulas of one and the same
analytic function, so a complex step passes through every one of them.

    |x|             x or -x
    softplus(x)     log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))
    sigmoid(x)      1 / (1 + exp(-x)) = exp(min(x, 0)) / (1 + exp(-|x|))
    log_softmax(z)  with z = y - max(y), so that S = sum(exp(z)) lies between 1 and n:

        z - log(S) = z - log1p(S - 1)

        S - 1 loses all digits where one class dominates.  Summed as exp(z) - 1 over a set
        of classes near the top, exp(z) over the rest, and the size of the set less one, it
        keeps them.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array


def magnitude(x: Array) -> Array:
    """|x|, continued analytically from each side of 0."""
    return np.where(x.real > 0, x, -x)


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.where(x.real > 0, x, 0.0) + np.log1p(np.exp(-magnitude(x)))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), accurate relative to itself in both tails."""
    e = np.exp(-magnitude(x))
    return np.where(x.real > 0, 1.0, e) / (1 + e)


def shifted(y: Array) -> Array:
    """y minus the largest (real part) of its row.  The shift is a constant: softmax has none."""
    return y - y.real.max(axis=-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    """log(softmax(z)) along the last axis, for z from `shifted`."""
    top = z.real > -0.5  # holds the largest, and keeps holding it where z carries noise
    excess = np.where(top, np.expm1(z), np.exp(z)).sum(axis=-1, keepdims=True)
    return z - np.log1p(excess + (top.sum(axis=-1, keepdims=True) - 1.0))


def softmax(z: Array) -> Array:
    """exp(z) / sum(exp(z)) along the last axis, for z from `shifted`."""
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


def rest(p: Array) -> Array:
    """The sum of the other entries of each row, for each entry.

    The row's total less the entry cancels where the entry is most of the total, which at
    most one entry is; for that one, the others are added instead.
    """
    most = p > 0.75 * np.abs(p).sum(axis=-1, keepdims=True)
    others = np.where(most, 0.0, p).sum(axis=-1, keepdims=True)
    return np.where(most, others, p.sum(axis=-1, keepdims=True) - p)
