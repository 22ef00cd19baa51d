"""Root mean square normalisation over the last axis (Zhang and Sennrich 2019).

    rho = sqrt(mean(x^2) + epsilon)        z = x / rho        y = gamma z

    d rho = mean(x dx) / rho = mean(z dx)

    dz = dx / rho - x d rho / rho^2 = (dx - z mean(z dx)) / rho = P dx / rho

P = I - zz'/n, for n features, is symmetric, so <z_bar, P dx / rho> = <P z_bar / rho, dx>:

    z_bar = gamma y_bar        x_bar = P z_bar / rho        gamma_bar = sum of y_bar z

P takes almost all of what lies along z, as in `standardise.py` but without the mean:
z'z / n = mean(x^2) / rho^2 = 1 - epsilon / rho^2.  So z_bar = q + k z with k = z'z_bar / z'z and
q orthogonal to z, which is taken out twice, and P q = q, P z = z epsilon / rho^2:

    x_bar = (q + k z epsilon / rho^2) / rho

Radius: along d, mean((x + t d)^2) + epsilon = 0 has conjugate roots, |t|^2 = rho^2 / mean(d^2):
nothing is singular while no entry moves by rho.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import RMSNorm
from ..arrays import Array, Arrays, Saved
from .standardise import Standard, last, mean, pull, scale, scale_backward


def root(layer: RMSNorm, x: Array) -> Array:
    """rho (..., 1)."""
    size: Array = np.sqrt(mean(x * x, last(1)) + layer.epsilon)
    return size


def radius(layer: RMSNorm, x: Array) -> Array:
    return root(layer, x)


def forward(layer: RMSNorm, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    rho = root(layer, x)
    z = x / rho
    return scale(p, z, 1), Standard(z, rho, 1.0)


def backward(layer: RMSNorm, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    z_bar, p_bar = scale_backward(p, saved.z, y_bar, 1)
    return pull(saved, z_bar, last(1), layer.epsilon, centres=False), p_bar
