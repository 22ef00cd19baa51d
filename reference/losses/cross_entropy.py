"""Softmax cross-entropy of logits.

    q = log_softmax(y) = y - log(sum(exp(y)))        p = exp(q) = softmax(y)

    L = -c sum(a q),    a = w ((1 - s) t + s / C)    (batch, C)

t is one-hot for class numbers, s the label smoothing, w the class weights; the rows of the
ignored class have a = 0.  c is the reduction's constant.  Differentiate a row:

    dq = dy - 1 <p, dy>        dL = -c <a, dq> = -c <a, dy> + c sum(a) <p, dy>

    y_bar = c (p sum(a) - a)

Where the right class dominates, p sum(a) and a are nearly equal.  Take the part with k = j
out of both, sum(a) = a_j + sum_{k != j} a_k and 1 = p_j + sum_{k != j} p_k, and it is gone:

    y_bar_j = c (p_j sum_{k != j} a_k - a_j sum_{k != j} p_k)

For a one-hot a that is c p_j off the target's class, and on it -c times the sum of the other
probabilities, to full relative accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...architectures.losses import CrossEntropy
from ..arrays import Array, Saved
from . import reduction
from .classes import class_weights, one_hot, row_factor, row_weights
from .softmax import log_softmax, rest, shifted, softmax


def coefficients(loss: CrossEntropy, y: Array, target: Array) -> tuple[Array, Any]:
    """a (batch, C) and c."""
    s, w = loss.label_smoothing, class_weights(loss, y)
    if loss.target == "probabilities":
        a = w * ((1 - s) * target + s / y.shape[-1])
        return a, reduction.row_factor(loss.reduction, y)
    counted = row_weights(loss, y, target)
    a = w * ((1 - s) * one_hot(target, y).astype(w.dtype) + s / y.shape[-1])
    return np.where(counted[..., None] > 0, a, 0.0), row_factor(loss, counted)


def forward(loss: CrossEntropy, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    z = shifted(y)
    a, c = coefficients(loss, y, target)
    return c * -(a * log_softmax(z)).sum(axis=(-2, -1)), (z, target)


def backward(loss: CrossEntropy, saved: Saved, value_bar: float) -> Array:
    z, target = saved
    a, c = coefficients(loss, z, target)
    p = softmax(z)
    y_bar: Array = (c * value_bar) * (p * rest(a) - a * rest(p))
    return y_bar
