"""Logarithm of the hyperbolic cosine.

    L = c sum(log(cosh(r))),    r = y - t

    dL = c <sinh(r) / cosh(r), dy>        y_bar = c tanh(r)

cosh overflows where log(cosh) is about |r|, and log(1 + r^2 / 2) loses r where r is small.
Two forms avoid both; with cosh(r) = (exp(|r|) + exp(-|r|)) / 2 = 1 + 2 sinh(r / 2)^2,

    log(cosh(r)) = |r| + log(1 + exp(-2 |r|)) - log(2)      |r| > 4
                 = log(1 + 2 sinh(r / 2)^2)                 else

Either is analytic, so the 4 is a matter of digits and no kink.  c is the reduction's
constant.
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.losses import LogCosh
from ..arrays import Array, Saved
from .reduction import entry_factor


def forward(loss: LogCosh, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    r = y - target
    size = np.where(r.real > 0, r, -r)
    far = size.real > 4
    s = np.sinh(np.where(far, 0.0, r) / 2)
    h = np.where(far, size + np.log1p(np.exp(-2 * size)) - math.log(2), np.log1p(2 * s * s))
    return entry_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), r


def backward(loss: LogCosh, saved: Saved, value_bar: float) -> Array:
    r = saved
    y_bar: Array = (entry_factor(loss.reduction, r) * value_bar) * np.tanh(r)
    return y_bar
