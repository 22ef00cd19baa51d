"""Gaussian error linear unit (Hendrycks and Gimpel 2016), in its two forms.

`exact`, with Phi and phi the distribution function and density of N(0, 1), Phi' = phi:

    y = x Phi(x)        dy = (Phi(x) + x phi(x)) dx

`tanh`, with s the sigmoid; (1 + tanh u) / 2 = e^u / (e^u + e^-u) = s(2u), so that with
v = 2 sqrt(2/pi) (x + k x^3), k = 0.044715,

    y = x s(v)          dy = (s(v) + x s(v) s(-v) v') dx,    v' = 2 sqrt(2/pi) (1 + 3 k x^2)

Far out, Phi and s(v) are 0 or 1 to the last bit, so there the argument (not the factor x)
is held at +-40: phi(40) = 0 in float64, and x^2 cannot overflow.

Radius.  The first form is entire.  The second has poles where u = v/2 is i pi/2 (mod i pi).
From a real x, |u(z) - u(x)| >= pi/2 needs |z - x| >= (pi/2) / max|u'|, and for
|z - x| <= 1 this |u'| is at most u'(|x| + 1).
"""

from __future__ import annotations

import math

import numpy as np

from ...architectures.operators import GELU
from ..arrays import Array, Arrays, Saved
from ..stable import bell, normal_cdf, saturate, sigmoid

FAR = 40.0
C = math.sqrt(2 / math.pi)
K = 0.044715


def radius(layer: GELU, x: Array) -> Array | float:
    if layer.form == "exact":
        return 1.0
    reach = np.abs(saturate(x.real, FAR)) + 1
    r: Array = np.minimum(1.0, math.pi / 2 / (C * (1 + 3 * K * reach * reach)))
    return r


def forward(layer: GELU, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    z = saturate(x, FAR)
    if layer.form == "exact":
        return x * normal_cdf(z), (x, z)
    v = 2 * C * (z + K * z * z * z)
    return x * sigmoid(v), (x, z)


def backward(layer: GELU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x, z = saved
    if layer.form == "exact":
        density = bell(z) / math.sqrt(2 * math.pi)
        return (normal_cdf(z) + x * density) * y_bar, {}
    v = 2 * C * (z + K * z * z * z)
    dv = 2 * C * (1 + 3 * K * z * z)
    return sigmoid(v) * (1 + x * sigmoid(-v) * dv) * y_bar, {}
