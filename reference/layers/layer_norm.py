"""Layer normalisation over the last axes (Ba, Kiros and Hinton 2016).

    z = (x - mu) / sigma        sigma = sqrt(v + epsilon)        y = gamma z + beta

mu and v are the mean and the variance of the n entries of the last axes.  With the
derivation of `standardise.py`,

    dy = gamma dz + z dgamma + 1 dbeta        dz = P dx / sigma,    P = I - 11'/n - zz'/n

    z_bar = gamma y_bar        x_bar = P z_bar / sigma

    gamma_bar = sum of y_bar z over the leading axes        beta_bar = sum of y_bar alike

x_bar is orthogonal to the vector of ones, since a shift of x changes nothing, and but for
epsilon to z, since a change of scale does not either.
"""

from __future__ import annotations

from ...architectures.operators import LayerNorm
from ..arrays import Array, Arrays, Saved
from .standardise import last, pull, scale, scale_backward, standardise


def radius(layer: LayerNorm, x: Array) -> Array:
    return standardise(x, last(layer.axes), layer.epsilon).sigma


def forward(layer: LayerNorm, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    saved = standardise(x, last(layer.axes), layer.epsilon)
    return scale(p, saved.z, layer.axes), saved


def backward(layer: LayerNorm, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    z_bar, p_bar = scale_backward(p, saved.z, y_bar, layer.axes)
    return pull(saved, z_bar, last(layer.axes), layer.epsilon), p_bar
