"""Binary cross-entropy of probabilities.

    L = c sum(h),    h = -t log(p) - (1 - t) log(1 - p),    p = min(max(y, e), 1 - e)

    dh = (-t / p + (1 - t) / (1 - p)) dp = (p - t) / (p (1 - p)) dp

    y_bar = c (y - t) / (y (1 - y)) inside, 0 where p is clipped

One quotient instead of two leaves a single subtraction, which is exact or nearly so.
e is epsilon, c the reduction's constant.
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.losses import BinaryCrossEntropy
from ..arrays import Array, Kink, Saved, regions
from .reduction import entry_factor


def kink(loss: BinaryCrossEntropy, y: Array, target: Array) -> Kink:
    # In float32, or for a tiny e, 1 - e would round to 1 and put y = 1 inside, where
    # log(1 - y) is infinite.  No float64 lies between the last one below 1 and 1 - e.
    upper = min(1 - loss.epsilon, math.nextafter(1.0, 0.0))
    return Kink(y.real.astype(np.float64), (loss.epsilon, upper))


def radius(loss: BinaryCrossEntropy, y: Array, target: Array) -> Array:
    """log(y) has its singularity at 0, log(1 - y) at 1; a constant has none."""
    inside = regions(kink(loss, y, target)) == 1
    return np.where(inside, np.minimum(y.real, 1 - y.real), np.inf)


def forward(
    loss: BinaryCrossEntropy, y: Array, target: Array, branch: Array
) -> tuple[Array, Saved]:
    p = np.where(branch == 1, y, 0.5)
    low, high = math.log(loss.epsilon), math.log1p(-loss.epsilon)
    log_p = np.where(branch == 0, low, np.where(branch == 1, np.log(p), high))
    log_1_p = np.where(branch == 0, high, np.where(branch == 1, np.log1p(-p), low))
    h = -target * log_p - (1 - target) * log_1_p
    return entry_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), (p, target, branch)


def backward(loss: BinaryCrossEntropy, saved: Saved, value_bar: float) -> Array:
    p, target, branch = saved
    slope = np.where(branch == 1, (p - target) / (p * (1 - p)), 0.0)
    return (entry_factor(loss.reduction, p) * value_bar) * slope
