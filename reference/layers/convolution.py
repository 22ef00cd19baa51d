"""Convolution in one, two or three dimensions (a cross-correlation, as everywhere here).

With the windows of x as columns, X = gather(x) of shape (N, C k, L) for k taps and L places,
group by group, it is a matrix product:

    Y = W X + b 1'        dY = W dX + dW X + db 1'

    <Y_bar, W dX> = <W' Y_bar, dX>        x_bar = scatter(W' Y_bar)
    <Y_bar, dW X> = <Y_bar X', dW>        W_bar = sum of Y_bar X' over the examples
    <Y_bar, db 1'>                        b_bar = sum of Y_bar over examples and places

`gather` is an index map (`windows.py`) and `scatter` its transpose: an entry of x collects a
cotangent from every window that it lies in.  A depthwise convolution has one channel a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...architectures.operators import Conv1d, Conv2d, Conv3d
from ...architectures.operators.convolutions import around, ones, spatial_axes
from ..arrays import Array, Arrays, Saved, gather, over, scatter
from .windows import taps

Convolution = Conv1d | Conv2d | Conv3d


def radius(layer: Convolution, x: Array) -> float:
    return np.inf


def places(layer: Convolution, shape: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The index map of the windows of x, and the spatial shape of y."""
    axes = spatial_axes(layer)
    stride, dilation = ones(layer.stride, axes), ones(layer.dilation, axes)
    before = tuple(b for b, _ in around(layer, shape))
    out = tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, pad, k, s, d in zip(
            shape[-axes:], around(layer, shape), layer.kernel, stride, dilation, strict=True
        )
    )
    return taps(shape[-axes:], out, layer.kernel, stride, dilation, before), out


def grouped(layer: Any, w: Array) -> Array:
    """W (..., O, C/G, *k) as one matrix a group, (..., G, O/G, C/G k)."""
    lead = w.shape[: w.ndim - 2 - spatial_axes(layer)]
    return w.reshape(*lead, layer.groups, layer.channels // layer.groups, -1)


def forward(layer: Convolution, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axes = spatial_axes(layer)
    index, out = places(layer, x.shape)
    columns = gather(x, index, axes)
    columns = columns.reshape(*columns.shape[:-3], layer.groups, -1, index.shape[-1])
    y = over(grouped(layer, p["weight"]), columns, 3) @ columns
    y = y.reshape(*y.shape[:-3], layer.channels, *out)
    if layer.bias:
        y = y + over(p["bias"], y, 1, axes=axes)
    return y, (columns, index, x.shape[-axes:])


def backward(layer: Convolution, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    columns, index, shape = saved
    axes = spatial_axes(layer)
    lead = y_bar.shape[: y_bar.ndim - axes - 1]
    flat = y_bar.reshape(*lead, layer.groups, layer.channels // layer.groups, -1)
    w_bar = (flat @ np.swapaxes(columns, -1, -2)).sum(axis=-4)
    p_bar = {"weight": w_bar.reshape(p["weight"].shape)}
    if layer.bias:
        b_bar = flat.sum(axis=(-4, -1))
        p_bar["bias"] = b_bar.reshape(*b_bar.shape[:-2], -1)
    w = over(grouped(layer, p["weight"]), flat, 3)
    x_bar = np.swapaxes(w, -1, -2) @ flat
    return scatter(x_bar.reshape(*lead, -1, *index.shape), index, shape), p_bar
