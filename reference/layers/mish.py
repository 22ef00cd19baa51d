"""Mish (Misra 2019).

    y = x t,    t = tanh(log(1 + exp(x)))

tanh(log q) = (q - 1/q) / (q + 1/q) = (q^2 - 1) / (q^2 + 1).  With q = 1 + e and e = exp(x),

    t = e (2 + e) / d        d = q^2 + 1 = 2 + 2e + e^2

and, since dt/dq = 4q / d^2 and dq/dx = e,

    t' = 4 (1 + e) e / d^2        dy = (t + x t') dx        x_bar = (t + x t') y_bar

For x > 0 this e may overflow.  Divide through by e^2, and write e now for exp(-x):

    t = (1 + 2e) / d        d = 1 + 2e + 2e^2        t' = 4 (1 + e) e^2 / d^2
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Mish
from ..arrays import Array, Arrays, Saved


def forward(layer: Mish, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    negative = x.real < 0
    e = np.exp(np.where(negative, x, -x))
    d = np.where(negative, 2 + e * (2 + e), 1 + 2 * e * (1 + e))
    t = np.where(negative, e * (2 + e), 1 + 2 * e) / d
    return x * t, (x, e, d, t)


def backward(layer: Mish, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x, e, d, t = saved
    dt = 4 * (1 + e) * np.where(x < 0, e, e * e) / (d * d)
    return (t + x * dt) * y_bar, {}
