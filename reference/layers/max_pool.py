"""Max pooling in one or two dimensions.

    y = x_c, c the choice in each window        dy = dx_c        x_bar_c += y_bar

Windows may overlap, so an entry collects the cotangents of all the windows that chose it:
x_bar = scatter(the cotangents at the chosen taps), the transpose of reading the windows
(`windows.py`).  Padding is minus infinity and never chosen.  Among equal entries we choose
the first.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import MaxPool1d, MaxPool2d
from ...architectures.operators.convolutions import spatial_axes
from ..arrays import Array, Arrays, Choice, Saved, gather, pick, place, scatter
from .windows import pool

MaxPool = MaxPool1d | MaxPool2d


def candidates(layer: MaxPool, x: Array) -> Array:
    """(..., places, taps), with minus infinity for padding."""
    axes = spatial_axes(layer)
    index = pool(layer, x.shape[-axes:])[0].T
    return np.where(index >= 0, gather(x, index, axes), -np.inf)


def kink(layer: MaxPool, p: Arrays, x: Array) -> Choice:
    return Choice(candidates(layer, x))


def radius(layer: MaxPool, x: Array) -> float:
    return np.inf


def forward(layer: MaxPool, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    shape = x.shape[-spatial_axes(layer) :]
    y = pick(candidates(layer, x), branch)
    return y.reshape(*y.shape[:-1], *pool(layer, shape)[1]), (branch, shape)


def backward(layer: MaxPool, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch, shape = saved
    index, out = pool(layer, shape)
    flat = y_bar.reshape(*y_bar.shape[: -len(out)], -1)
    return scatter(place(flat, branch, len(index)), index.T, shape), {}
