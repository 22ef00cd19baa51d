"""Negative log-likelihood of log-probabilities.

    L = -c sum over the rows of w_t y_t        dL = -c sum of w_t dy_t

    y_bar = -c w_t at the row's class t, 0 elsewhere

w_t is 0 in the rows of the ignored class; c is the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import NegativeLogLikelihood
from ..arrays import Array, Saved
from .classes import one_hot, row_factor, row_weights


def radius(loss: NegativeLogLikelihood, y: Array, target: Array) -> float:
    return np.inf


def forward(
    loss: NegativeLogLikelihood, y: Array, target: Array, branch: None
) -> tuple[Array, Saved]:
    w = row_weights(loss, y, target)
    picked = y[..., np.arange(y.shape[-2]), target]
    return row_factor(loss, w) * -(w * picked).sum(axis=-1), (y, target)


def backward(loss: NegativeLogLikelihood, saved: Saved, value_bar: float) -> Array:
    y, target = saved
    w = row_weights(loss, y, target)
    picked = np.where(one_hot(target, y), w[..., None], 0.0)
    y_bar: Array = (row_factor(loss, w) * -value_bar) * picked
    return y_bar
