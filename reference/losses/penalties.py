"""Penalties on the weights.

    L1:  P = s sum(|w|)        dP = s <sign(w), dw>      w_bar = s sign(w)
    L2:  P = s sum(w^2) / 2    dP = s <w, dw>            w_bar = s w

At w = 0, |w| has every slope from -1 to 1; we take the left one, -1, as everywhere.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import L1, Penalty
from ..arrays import Array, Kink


def kink(penalty: Penalty, w: Array) -> Kink | None:
    """Where |w| bends; None for L2.  At strength 0 nothing bends."""
    return Kink(w, (0.0,), smooth=penalty.strength == 0) if isinstance(penalty, L1) else None


def forward(penalty: Penalty, w: Array, branch: Array | None) -> Array:
    """The penalty's value, summed over the last two axes of w (..., m, n)."""
    if branch is None:
        terms = 0.5 * (w * w)
    else:
        terms = np.where(branch == 1, w, -w)
    value: Array = penalty.strength * terms.sum(axis=(-2, -1))
    return value


def backward(penalty: Penalty, w: Array, branch: Array | None) -> Array:
    """The penalty's gradient, of w's shape and dtype."""
    if branch is None:
        return penalty.strength * w
    sign = np.where(branch == 1, 1, -1).astype(w.dtype)
    return penalty.strength * sign
