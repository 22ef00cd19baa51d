"""Group normalisation: the channels in runs of neighbours (Wu and He 2018).

    z = (x - mu) / sigma        sigma = sqrt(v + epsilon)        y = gamma z + beta

mu and v are those of the n entries of one example, one run of C / groups channels, and all
spatial axes.  Reshaped to (N, groups, n), which moves nothing about and so is its own
derivation, x is standardised over its last axis (`standardise.py`):

    z_bar = gamma y_bar        x_bar = P z_bar / sigma,    P = I - 11'/n - zz'/n

gamma and beta are still by channel, and meet every example and position:

    gamma_bar = sum of y_bar z        beta_bar = sum of y_bar
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import GroupNorm
from ..arrays import Array, Arrays, Saved
from .standardise import last, pull, scale, scale_backward, standardise


def grouped(layer: GroupNorm, x: Array) -> Array:
    """(..., N, C, spatial) as (..., N, groups, n)."""
    return x.reshape(*x.shape[: x.ndim - layer.spatial - 1], layer.groups, -1)


def radius(layer: GroupNorm, x: Array) -> Array:
    runs = grouped(layer, x)
    sigma = standardise(runs, last(1), layer.epsilon).sigma
    return np.broadcast_to(sigma, runs.shape).reshape(x.shape)


def forward(layer: GroupNorm, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    runs = standardise(grouped(layer, x), last(1), layer.epsilon)
    return scale(p, runs.z.reshape(x.shape), 1, layer.spatial), runs


def backward(layer: GroupNorm, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    runs = saved
    z_bar, p_bar = scale_backward(p, runs.z.reshape(y_bar.shape), y_bar, 1, layer.spatial)
    runs_bar = pull(runs, grouped(layer, z_bar), last(1), layer.epsilon)
    return runs_bar.reshape(y_bar.shape), p_bar
