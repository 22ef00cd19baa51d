"""Triplet margin loss of rows (Balntas et al. 2016).

    L = c sum over the rows of max(0, m),    m = |f| - |g| + margin
    f = a - p + e,    g = a - n + e

e is epsilon, c the reduction's constant.  With the unit vectors u = f / |f| and v = g / |g|,
d|f| = <u, df>, so where m > 0

    dL = c (<u, da - dp> - <v, da - dn>)

    a_bar = c (u - v)        p_bar = -c u        n_bar = c v

and 0 elsewhere.  At m = 0 any share of that is a derivative; we take the left one, 0.  At f = 0
the norm has no derivative, and any u of length at most 1 would do: we take 0; so for g.

Radius.  |f| is singular where the sum of the squares of f is 0.  While no entry of a or p
moves by r, none of the C of f moves by 2 r, and f by no more than 2 r sqrt(C): nothing is
singular for r below |f| / (2 sqrt(C)).  So for g.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import TripletMargin
from ..arrays import Array, Kink, Saved
from .cosine import norm
from .reduction import row_factor

Triplet = tuple[Array, Array, Array]


def sides(loss: TripletMargin, y: Triplet) -> tuple[Array, Array]:
    """f and g."""
    a, p, n = y
    return a - p + loss.epsilon, a - n + loss.epsilon


def direction(f: Array, length: Array) -> Array:
    """f / |f|, and 0 for f = 0."""
    u: Array = f / np.where(length.real > 0, length, 1.0)
    return u


def kink(loss: TripletMargin, y: Triplet, target: None) -> Kink:
    f, g = sides(loss, y)
    return Kink(norm(f) - norm(g) + loss.margin, (0.0,))


def radius(loss: TripletMargin, y: Triplet, target: None) -> Array:
    f, g = sides(loss, y)
    nearest = np.minimum(norm(f).real, norm(g).real)
    distance: Array = nearest / (2 * np.sqrt(f.shape[-1]))
    return distance


def forward(loss: TripletMargin, y: Triplet, target: None, branch: Array) -> tuple[Array, Saved]:
    f, g = sides(loss, y)
    to_p, to_n = norm(f), norm(g)
    terms = np.where(branch == 1, to_p - to_n + loss.margin, 0.0)
    saved = (direction(f, to_p), direction(g, to_n), branch)
    return row_factor(loss.reduction, f) * terms.sum(axis=(-2, -1)), saved


def backward(loss: TripletMargin, saved: Saved, value_bar: float) -> Triplet:
    u, v, branch = saved
    c = row_factor(loss.reduction, u) * value_bar
    u, v = (np.where(branch == 1, c * w, 0.0) for w in (u, v))
    return u - v, -u, v
