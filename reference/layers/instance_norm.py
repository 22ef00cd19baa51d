"""Instance normalisation: each channel of each example alone (Ulyanov et al. 2016).

    z = (x - mu) / sigma        sigma = sqrt(v + epsilon)        y = gamma z + beta

mu and v are those of the n entries of the spatial axes.  With the derivation of
`standardise.py`,

    z_bar = gamma y_bar        x_bar = P z_bar / sigma,    P = I - 11'/n - zz'/n

gamma and beta are by channel, and meet every example and position:

    gamma_bar = sum of y_bar z        beta_bar = sum of y_bar
"""

from __future__ import annotations

from ...architectures.operators import InstanceNorm
from ..arrays import Array, Arrays, Saved
from .standardise import last, pull, scale, scale_backward, standardise


def radius(layer: InstanceNorm, x: Array) -> Array:
    return standardise(x, last(layer.spatial), layer.epsilon).sigma


def forward(layer: InstanceNorm, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    saved = standardise(x, last(layer.spatial), layer.epsilon)
    return scale(p, saved.z, 1, layer.spatial), saved


def backward(layer: InstanceNorm, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    z_bar, p_bar = scale_backward(p, saved.z, y_bar, 1, layer.spatial)
    return pull(saved, z_bar, last(layer.spatial), layer.epsilon), p_bar
