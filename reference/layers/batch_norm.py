"""Batch normalisation, channel by channel (Ioffe and Szegedy 2015).

    z = (x - mu) / sigma        sigma = sqrt(v + epsilon)        y = gamma z + beta

Statistics `batch`: mu and v are those of a channel's n entries in the batch and the spatial
axes.  z standardises these, and an example's gradient depends on all others (derivation:
`standardise.py`):

    z_bar = gamma y_bar        x_bar = P z_bar / sigma,    P = I - 11'/n - zz'/n

Statistics `given`: mu and v are constants, and the layer is affine:

    dz = dx / sigma            x_bar = z_bar / sigma

In both, dy = gamma dz + z dgamma + 1 dbeta, and gamma and beta meet every entry of their
channel:

    gamma_bar = sum of y_bar z        beta_bar = sum of y_bar
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import BatchNorm
from ..arrays import Array, Arrays, Saved, over
from .standardise import Axes, Standard, last, pull, scale, scale_backward, standardise


def axes(layer: BatchNorm) -> Axes:
    """The batch's axis and the spatial ones."""
    return (-layer.spatial - 2, *last(layer.spatial))


def radius(layer: BatchNorm, x: Array) -> Array | float:
    if layer.statistics == "given":
        return np.inf
    return standardise(x, axes(layer), layer.epsilon).sigma


def forward(layer: BatchNorm, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    if layer.statistics == "given":
        sigma = np.sqrt(over(p["variance"], x, 1, layer.spatial) + layer.epsilon)
        saved = Standard((x - over(p["mean"], x, 1, layer.spatial)) / sigma, sigma, 1.0)
    else:
        saved = standardise(x, axes(layer), layer.epsilon)
    return scale(p, saved.z, 1, layer.spatial), saved


def backward(layer: BatchNorm, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    z_bar, p_bar = scale_backward(p, saved.z, y_bar, 1, layer.spatial)
    if layer.statistics == "given":
        return z_bar / saved.sigma, p_bar
    return pull(saved, z_bar, axes(layer), layer.epsilon), p_bar
