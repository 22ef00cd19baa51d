"""Dropout with a given mask (Srivastava et al. 2014; inverted, as everywhere today).

    y = x m / (1 - rate)        m is 0 or 1

    dy = dx m / (1 - rate)        x_bar = y_bar m / (1 - rate)

The map is diagonal, so its own transpose.  The mask is data: the same forward and backward.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Dropout, StochasticDepth
from ..arrays import Array, Arrays, Saved


def keep(layer: Dropout | StochasticDepth, mask: Array, x: Array) -> Array:
    """x m / (1 - rate); 0 where m is, whatever x is there."""
    return np.where(mask, x / (1 - layer.rate), 0.0)


def radius(layer: Dropout, x: Array) -> float:
    return np.inf


def forward(layer: Dropout, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return keep(layer, p["mask"], x), None


def backward(layer: Dropout, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return keep(layer, p["mask"], y_bar), {}
