"""Cosine distance of the rows of y and t.

    L = c sum over the rows of 1 - <y, v> / max(|y|, e),    v = t / max(|t|, e)

Where |y| > e, with u = y / |y|:  d|y| = <u, dy>, so du = (dy - u <u, dy>) / |y|, and

    dL = -c <v, du> = -c <v - u <u, v>, dy> / |y|

    y_bar = -c (v - u <u, v>) / |y|        |y| > e
    y_bar = -c v / e                       else

At |y| = e the two disagree: a tie, and we take the second, the left one.
The norm divides by the largest entry before it squares, so as not to overflow; it is
sqrt(sum(y^2)) whatever the divisor, so that is a constant to the derivative.
e is epsilon, c the reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import Cosine
from ..arrays import Array, Kink, Saved, regions
from .reduction import row_factor


def norm(y: Array) -> Array:
    """The length of each row (..., batch, 1): sqrt(sum(y^2)), analytic in y."""
    largest = np.abs(y.real).max(axis=-1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    z = y / scale
    size: Array = scale * np.sqrt((z * z).sum(axis=-1, keepdims=True))
    return size


def kink(loss: Cosine, y: Array, target: Array) -> Kink:
    return Kink(norm(y), (loss.epsilon,))


def radius(loss: Cosine, y: Array, target: Array) -> Array:
    """|y + s d| vanishes for an s of size |y| / |d|, and for no smaller; |d| is at most sqrt(C)
    where no entry of d is above 1."""
    distance = norm(y).real / np.sqrt(y.shape[-1])
    return np.where(regions(kink(loss, y, target)) == 1, distance, np.inf)


def forward(loss: Cosine, y: Array, target: Array, branch: Array) -> tuple[Array, Saved]:
    size = np.where(branch == 1, norm(y), loss.epsilon)
    u = y / size
    v = target / np.maximum(norm(target), loss.epsilon)
    cosine = (u * v).sum(axis=-1, keepdims=True)
    return row_factor(loss.reduction, y) * (1 - cosine).sum(axis=(-2, -1)), (u, v, size, branch)


def backward(loss: Cosine, saved: Saved, value_bar: float) -> Array:
    u, v, size, branch = saved
    along = (u * v).sum(axis=-1, keepdims=True)
    v = np.where(branch == 1, v - u * along, v)
    y_bar: Array = (row_factor(loss.reduction, u) * -value_bar) * v / size
    return y_bar
