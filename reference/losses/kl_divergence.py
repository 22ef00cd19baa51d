"""Kullback-Leibler divergence of log-probabilities y from a target distribution t.

    L = c sum(t (log(t) - y)),    0 log(0) = 0        dL = -c <t, dy>        y_bar = -c t

With `log_target` the target holds log(t), and t = exp(log(t)).  t log(t) is a constant: it
moves the value and not the gradient.  c is the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import KLDivergence
from ..arrays import Array, Saved
from .reduction import entry_factor


def radius(loss: KLDivergence, y: Array, target: Array) -> float:
    return np.inf


def forward(loss: KLDivergence, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    t = np.exp(target) if loss.log_target else target
    log_t = target if loss.log_target else np.log(np.where(t > 0, t, 1.0))
    return entry_factor(loss.reduction, y) * (t * (log_t - y)).sum(axis=(-2, -1)), target


def backward(loss: KLDivergence, saved: Saved, value_bar: float) -> Array:
    target = saved
    t = np.exp(target) if loss.log_target else target
    y_bar: Array = (-entry_factor(loss.reduction, t) * value_bar) * t
    return y_bar
