"""Focal loss of logits (Lin et al. 2017).

    L = -c sum of A q^g log(p) + B p^g log(q),    p = s(y),  q = 1 - p = s(-y)

s is the sigmoid, A = a t and B = (1 - a)(1 - t) with a = `alpha` (A = t, B = 1 - t without
it), g = `gamma`, c the reduction's constant.  dp = p q dy, d log(p) = q dy, so

    d(-q^g log p) = (g q^g p log(p) - q^g q) dy = q^g (g p log(p) - q) dy
    d(-p^g log q) = (p^g p - g p^g q log(q)) dy = p^g (p - g q log(q)) dy

    y_bar = c (A q^g (g p log(p) - q) + B p^g (p - g q log(q)))

In each bracket both terms have one sign, so nothing cancels.  log(p) = -log(1 + exp(-y)),
and p^g = exp(g log(p)) also where p itself would underflow.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import Focal
from ..arrays import Array, Saved
from ..stable import log1p_exp, sigmoid
from .reduction import entry_factor


def shares(loss: Focal, target: Array) -> tuple[Array, Array]:
    """A and B."""
    if loss.alpha is None:
        return target, 1 - target
    return loss.alpha * target, (1 - loss.alpha) * (1 - target)


def forward(loss: Focal, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    a, b = shares(loss, target)
    log_p, log_q = -log1p_exp(-y), -log1p_exp(y)
    terms = a * np.exp(loss.gamma * log_q) * log_p + b * np.exp(loss.gamma * log_p) * log_q
    return -entry_factor(loss.reduction, y) * terms.sum(axis=(-2, -1)), (y, log_p, log_q, a, b)


def backward(loss: Focal, saved: Saved, value_bar: float) -> Array:
    y, log_p, log_q, a, b = saved
    p, q, g = sigmoid(y), sigmoid(-y), loss.gamma
    slope = a * np.exp(g * log_q) * (g * p * log_p - q) + b * np.exp(g * log_p) * (
        p - g * q * log_q
    )
    y_bar: Array = (entry_factor(loss.reduction, y) * value_bar) * slope
    return y_bar
