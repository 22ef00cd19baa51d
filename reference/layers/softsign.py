"""Softsign (Bergstra, Desjardins, Lamblin and Bengio 2009).

    y = x / (1 + x) where x > 0, else x / (1 - x)

    d(x / (1 + x)) = dx / (1 + x)^2        d(x / (1 - x)) = dx / (1 - x)^2

With q = 1 + |x|, x_bar = y_bar / q^2.  Both derivatives at 0 are 1, but the second ones
are -2 and 2: two analytic pieces, whose poles are at -1 and 1, each a distance q from its x.

Far out, x / q is computed as sign(x) (1 - 1 / q).  The value is as good either way, but a
complex quotient carries its derivative as (q dx - x dq) / q^2, which cancels there.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Softsign
from ..arrays import Array, Arrays, Kink, Saved


def kink(layer: Softsign, p: Arrays, x: Array) -> Kink:
    return Kink(x, (0.0,), smooth=True)


def radius(layer: Softsign, x: Array) -> Array:
    q: Array = 1 + np.abs(x.real)
    return q


def forward(layer: Softsign, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    q = np.where(branch == 1, 1 + x, 1 - x)
    far = np.where(branch == 1, 1 - 1 / q, 1 / q - 1)
    return np.where(np.abs(x.real) > 1, far, x / q), q


def backward(layer: Softsign, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    q = saved
    return y_bar / q / q, {}  # q * q overflows
