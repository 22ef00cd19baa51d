"""The divergence of N(m, exp(v)) from N(0, 1), entry by entry (Kingma and Welling 2014).

    L = (c/2) sum of e^v + m^2 - 1 - v

    dL = c sum of m dm + (e^v - 1) dv / 2        m_bar = c m,  v_bar = c (e^v - 1) / 2

e^v - 1 is computed as expm1(v), which keeps its digits where v is small.  c is the
reduction's constant.
"""

from __future__ import annotations

import numpy as np

from ...architectures.losses import GaussianKL
from ..arrays import Array, Saved
from .reduction import entry_factor


def forward(
    loss: GaussianKL, y: tuple[Array, Array], target: None, branch: None
) -> tuple[Array, Saved]:
    m, v = y
    terms = np.expm1(v) - v + m * m
    return entry_factor(loss.reduction, m) * 0.5 * terms.sum(axis=(-2, -1)), (m, v)


def backward(loss: GaussianKL, saved: Saved, value_bar: float) -> tuple[Array, Array]:
    m, v = saved
    c = entry_factor(loss.reduction, m) * value_bar
    return c * m, c * 0.5 * np.expm1(v)
