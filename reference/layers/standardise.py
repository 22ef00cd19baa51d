"""Standardising: mean 0 and variance 1 over some axes, which four normalisations share.

    mu = mean(x)    c = x - mu    v = mean(c^2)    sigma = sqrt(v + epsilon)    z = c / sigma

over n entries.  Differentiate z.  Since mean(c) = 0,

    d sigma = mean(c dx) / sigma = mean(z dx)

    dz = (dx - mean(dx)) / sigma - c d sigma / sigma^2
       = (dx - mean(dx) - z mean(z dx)) / sigma = P dx / sigma

P = I - 11'/n - zz'/n is symmetric, so <z_bar, P dx / sigma> = <P z_bar / sigma, dx>: going
backward applies the very same P.

**Cancellation.**  P takes almost everything away from what lies along z (of n = 2 entries,
from everything), but not all: z'z / n = v / (v + epsilon) = 1 - epsilon / sigma^2.  So split
the centred cotangent w = z_bar - mean(z_bar) in two, w = q + k z with k = z'w / z'z and q
orthogonal to z, and use that P q = q and P z = z epsilon / sigma^2:

    x_bar = (q + k z epsilon / sigma^2) / sigma

A projection applied twice is the same projection, and what the second one takes away is
only what rounding left in the first.  So the means of x and of z_bar, and the part along z,
are taken away twice.  Where all of x is equal z = 0, and k may be anything.

**Radius.**  Move x along d by a complex t.  v becomes v + 2 t mean(c d) + t^2 v(d), and as
mean(c d)^2 <= v v(d) the two roots of sigma^2 = 0 are conjugate: |t|^2 = sigma^2 / v(d), with
v(d) <= max(d^2).  So nothing is singular while no entry moves by sigma.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..arrays import Array, Arrays, over
from ..stable import as_difference

Axes = tuple[int, ...]


def last(axes: int) -> Axes:
    """The last `axes` axes."""
    return tuple(range(-axes, 0))


def mean(x: Array, axes: Axes) -> Array:
    """The mean over some axes, which stay with size 1."""
    total: Array = x.sum(axis=axes, keepdims=True)
    return total / int(np.prod([x.shape[a] for a in axes]))


def centred(x: Array, axes: Axes) -> Array:
    """x less its mean, twice: rounding shifts the first mean of a large x."""
    c = x - mean(x, axes)
    return as_difference(c - mean(c, axes), lost_in_mean(x, axes))


def lost_in_mean(x: Array, axes: Axes) -> Array:
    """What a textbook's mean loses, in roundings: a sum of n terms loses sqrt(n) / 3 of itself.

    As in the rounding model (Higham and Mary 2019), for terms of one sign; and one more.
    """
    n = int(np.prod([x.shape[a] for a in axes]))
    return (1 + math.sqrt(n) / 3) * mean(np.abs(x), axes)


class Standard(NamedTuple):
    """z of x's shape, sigma with size 1 in the axes; roundings of z to one of x, alike."""

    z: Array
    sigma: Array
    lost: Array | float


def standardise(x: Array, axes: Axes, epsilon: float) -> Standard:
    """x with mean 0 and variance 1 over some axes."""
    c = centred(x, axes)
    sigma = np.sqrt(mean(c * c, axes) + epsilon)
    return Standard(c / sigma, sigma, lost_in_mean(x, axes) / sigma)


def pull(
    saved: Standard, z_bar: Array, axes: Axes, epsilon: float, *, centres: bool = True
) -> Array:
    """x_bar.  Without `centres`, of a z from which no mean was taken."""
    z, sigma, lost = saved
    w = centred(z_bar, axes) if centres else z_bar
    size = (z * z).sum(axis=axes, keepdims=True)
    size = np.where(size > 0, size, 1.0)
    k = (z * w).sum(axis=axes, keepdims=True) / size
    q = w - k * z
    q = q - (z * q).sum(axis=axes, keepdims=True) / size * z
    about = lost_in_mean(z_bar, axes)  # a textbook takes the mean of z z_bar, not of z w
    terms = np.abs(z_bar) + about + (np.abs(k) + lost * about) * np.abs(z) + np.abs(k) * lost
    q = as_difference(q, terms)
    x_bar: Array = (q + epsilon / (sigma * sigma) * k * z) / sigma
    return x_bar


def scale(p: Arrays, z: Array, rank: int, after: int = 0) -> Array:
    """gamma z + beta, or z where there are none.

    gamma and beta have `rank` axes, and z `after` more after those.
    """
    y = over(p["gamma"], z, rank, after) * z if "gamma" in p else z
    return y + over(p["beta"], y, rank, after) if "beta" in p else y


def scale_backward(
    p: Arrays, z: Array, y_bar: Array, rank: int, after: int = 0
) -> tuple[Array, Arrays]:
    """z_bar = gamma y_bar, and the sums gamma_bar of y_bar z and beta_bar of y_bar."""
    if "gamma" not in p:
        return y_bar, {}
    lead, end = p["gamma"].ndim - rank, y_bar.ndim - after
    summed = (*range(lead, end - rank), *range(end, y_bar.ndim))
    p_bar = {"gamma": (y_bar * z).sum(axis=summed)}
    if "beta" in p:
        p_bar["beta"] = y_bar.sum(axis=summed)
    return over(p["gamma"], y_bar, rank, after) * y_bar, p_bar
