"""Class numbers as targets: one-hot rows, class weights, the ignored class, `mean`.

A row with class t has the weight w_t, or 0 where t is the ignored class.  `mean` divides
the sum of the rows by the sum of their weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...architectures.losses import CrossEntropy, NegativeLogLikelihood
from ..arrays import Array

Classified = CrossEntropy | NegativeLogLikelihood


def one_hot(target: Array, y: Array) -> Array:
    """True at each row's class: (batch, features) for class numbers (batch,)."""
    hot: Array = target[..., None] == np.arange(y.shape[-1])
    return hot


def class_weights(loss: Classified, y: Array) -> Array:
    """w (features,) in y's real dtype; ones where the loss has none."""
    weights = loss.class_weights or (1.0,) * y.shape[-1]
    return np.array(weights, dtype=y.real.dtype)


def row_weights(loss: Classified, y: Array, target: Array) -> Array:
    """w_t of each row (batch,), 0 for the rows that do not count."""
    w = class_weights(loss, y)[target]
    return w if loss.ignore_index is None else np.where(target == loss.ignore_index, 0.0, w)


def row_factor(loss: Classified, weights: Array) -> Any:
    """The constant before the sum over the rows of such weights."""
    return 1.0 / weights.sum() if loss.reduction == "mean" else 1.0
