"""Stochastic depth: whole examples are dropped (Huang et al. 2016).

    y = x m / (1 - rate)        m is 0 or 1, one for each example

    dy = dx m / (1 - rate)        x_bar = y_bar m / (1 - rate)

Dropout, but for the mask's shape (N, 1, ..., 1), which is broadcast over an example's entries.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import StochasticDepth
from ..arrays import Array, Arrays, Saved
from .dropout import keep


def radius(layer: StochasticDepth, x: Array) -> float:
    return np.inf


def forward(layer: StochasticDepth, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return keep(layer, p["mask"], x), None


def backward(layer: StochasticDepth, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return keep(layer, p["mask"], y_bar), {}
