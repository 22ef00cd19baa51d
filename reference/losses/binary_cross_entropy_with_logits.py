"""Binary cross-entropy of logits.

With s(y) = 1 / (1 + exp(-y)) and l(y) = log(1 + exp(y)), log(s(y)) = -l(-y) and
log(1 - s(y)) = -l(y):

    L = c sum(w t l(-y) + (1 - t) l(y))        l'(y) = exp(y) / (1 + exp(y)) = s(y)

    y_bar = c ((1 - t) s(y) - w t s(-y))

s(-y) is computed as such and not as 1 - s(y), which would cancel; for t = 0 and t = 1 every
digit is kept, however sure the network is.  w are the positive weights by feature, c is
the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import BinaryCrossEntropyWithLogits
from ..arrays import Array, Saved
from ..stable import log1p_exp, sigmoid
from .reduction import entry_factor


def positive_weights(loss: BinaryCrossEntropyWithLogits, y: Array) -> Array:
    """w along y's last axis, in its real dtype; ones where the loss has none.

    An example of several axes is seen here as one row of all its entries, the features of
    the last axis again and again.
    """
    weights = loss.positive_weights or (1.0,)
    return np.array(weights * (y.shape[-1] // len(weights)), dtype=y.real.dtype)


def forward(
    loss: BinaryCrossEntropyWithLogits, y: Array, target: Array, branch: None
) -> tuple[Array, Saved]:
    w = positive_weights(loss, y)
    h = w * target * log1p_exp(-y) + (1 - target) * log1p_exp(y)
    return entry_factor(loss.reduction, y) * h.sum(axis=(-2, -1)), (y, target)


def backward(loss: BinaryCrossEntropyWithLogits, saved: Saved, value_bar: float) -> Array:
    y, target = saved
    w = positive_weights(loss, y)
    slope = (1 - target) * sigmoid(y) - w * target * sigmoid(-y)
    y_bar: Array = (entry_factor(loss.reduction, y) * value_bar) * slope
    return y_bar
