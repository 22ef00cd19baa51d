"""Transposed convolution in one or two dimensions: every entry of x stamps the kernel on y.

It is the transpose of a convolution that would read y and write x.  With X (N, C, L) for the
L places of x, group by group, and W as a matrix (C/G, O/G k) for k taps,

    y = scatter(W' X) + b        dy = scatter(dW' X + W' dX) + db

    <y_bar, scatter(Z)> = <gather(y_bar), Z>        Z_bar = gather(y_bar)
    <Z_bar, W' dX> = <W Z_bar, dX>                  x_bar = W Z_bar
    <Z_bar, dW' X> = <X Z_bar', dW>                 W_bar = sum of X Z_bar' over the examples

and b_bar is the sum of y_bar over examples and places.  `scatter` and `gather` share one
index map (`windows.py`), in which the places that padding cuts off are nobody's.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import ConvTranspose1d, ConvTranspose2d
from ...architectures.operators.convolutions import ones, spatial_axes, zeros
from ..arrays import Array, Arrays, Saved, gather, over, scatter
from .windows import taps

Transposed = ConvTranspose1d | ConvTranspose2d


def radius(layer: Transposed, x: Array) -> float:
    return np.inf


def places(layer: Transposed, small: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The index map from x's places and the taps to y, and the spatial shape of y."""
    axes = spatial_axes(layer)
    stride, dilation = ones(layer.stride, axes), ones(layer.dilation, axes)
    padding, extra = zeros(layer.padding, axes), zeros(layer.output_padding, axes)
    large = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, k, s, p, e, d in zip(
            small, layer.kernel, stride, padding, extra, dilation, strict=True
        )
    )
    return taps(large, small, layer.kernel, stride, dilation, padding), large


def grouped(layer: Transposed, w: Array) -> Array:
    """W (..., C, O/G, *k) as one matrix a group, (..., G, C/G, O/G k)."""
    lead = w.shape[: w.ndim - 2 - spatial_axes(layer)]
    channels = w.shape[len(lead)]
    return w.reshape(*lead, layer.groups, channels // layer.groups, -1)


def forward(layer: Transposed, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axes = spatial_axes(layer)
    index, large = places(layer, x.shape[-axes:])
    lead, channels = x.shape[: -axes - 1], x.shape[-axes - 1]
    flat = x.reshape(*lead, layer.groups, channels // layer.groups, -1)
    z = np.swapaxes(over(grouped(layer, p["weight"]), flat, 3), -1, -2) @ flat
    y = scatter(z.reshape(*z.shape[:-3], layer.channels, *index.shape), index, large)
    if layer.bias:
        y = y + over(p["bias"], y, 1, axes=axes)
    return y, (flat, index, x.shape[-axes:])


def backward(layer: Transposed, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    flat, index, small = saved
    axes = spatial_axes(layer)
    z_bar = gather(y_bar, index, axes)
    z_bar = z_bar.reshape(*z_bar.shape[:-3], layer.groups, -1, index.shape[-1])
    w_bar = (flat @ np.swapaxes(z_bar, -1, -2)).sum(axis=-4)
    p_bar = {"weight": w_bar.reshape(p["weight"].shape)}
    if layer.bias:
        lead = y_bar.shape[: y_bar.ndim - axes - 1]
        p_bar["bias"] = y_bar.reshape(*lead, layer.channels, -1).sum(axis=(-3, -1))
    x_bar = over(grouped(layer, p["weight"]), z_bar, 3) @ z_bar
    return x_bar.reshape(*x_bar.shape[:-3], -1, *small), p_bar
