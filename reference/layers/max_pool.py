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
from ...architectures.operators.convolutions import ones, spatial_axes, zeros
from ..arrays import Array, Arrays, Choice, Saved, gather, pick, place, scatter
from .windows import taps

MaxPool = MaxPool1d | MaxPool2d


def windows(layer: MaxPool, shape: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The index map (places, taps), and the spatial shape of y."""
    axes = spatial_axes(layer)
    stride, padding = layer.stride or layer.kernel, zeros(layer.padding, axes)
    out = tuple(
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(shape, layer.kernel, stride, padding, strict=True)
    )
    return taps(shape, out, layer.kernel, stride, ones((), axes), padding).T, out


def candidates(layer: MaxPool, x: Array) -> Array:
    """(..., places, taps), with minus infinity for padding."""
    axes = spatial_axes(layer)
    index, _ = windows(layer, x.shape[-axes:])
    return np.where(index >= 0, gather(x, index, axes), -np.inf)


def kink(layer: MaxPool, p: Arrays, x: Array) -> Choice:
    return Choice(candidates(layer, x))


def radius(layer: MaxPool, x: Array) -> float:
    return np.inf


def forward(layer: MaxPool, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    shape = x.shape[-spatial_axes(layer) :]
    y = pick(candidates(layer, x), branch)
    return y.reshape(*y.shape[:-1], *windows(layer, shape)[1]), (branch, shape)


def backward(layer: MaxPool, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch, shape = saved
    index, out = windows(layer, shape)
    flat = y_bar.reshape(*y_bar.shape[: -len(out)], -1)
    return scatter(place(flat, branch, index.shape[-1]), index, shape), {}
