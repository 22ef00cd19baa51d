"""Average pooling in one or two dimensions.

    y_j = (1/c_j) sum of the window of j        x_bar_i = sum of y_bar_j / c_j, i in window j

c_j is the number of taps or, without `count_include_pad`, of entries of x among them.  With
the windows as an index map (`windows.py`), reading them is `gather`, whose transpose is
`scatter`: overlapping windows add up.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import AveragePool1d, AveragePool2d
from ...architectures.operators.convolutions import ones, spatial_axes, zeros
from ..arrays import Array, Arrays, Saved, gather, scatter
from .windows import counts, taps

AveragePool = AveragePool1d | AveragePool2d


def radius(layer: AveragePool, x: Array) -> float:
    return np.inf


def windows(layer: AveragePool, shape: tuple[int, ...]) -> tuple[Array, tuple[int, ...]]:
    """The index map (taps, places), and the spatial shape of y."""
    axes = spatial_axes(layer)
    stride, padding = layer.stride or layer.kernel, zeros(layer.padding, axes)
    out = tuple(
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(shape, layer.kernel, stride, padding, strict=True)
    )
    return taps(shape, out, layer.kernel, stride, ones((), axes), padding), out


def divisors(layer: AveragePool, index: Array, x: Array) -> Array:
    """c of every place, in x's real dtype."""
    c = np.full(index.shape[-1], len(index)) if layer.count_include_pad else counts(index)
    return c.astype(x.real.dtype)


def forward(layer: AveragePool, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axes = spatial_axes(layer)
    shape = x.shape[-axes:]
    index, out = windows(layer, shape)
    y = gather(x, index, axes).sum(axis=-2) / divisors(layer, index, x)
    return y.reshape(*y.shape[:-1], *out), shape


def backward(layer: AveragePool, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    shape = saved
    index, out = windows(layer, shape)
    share = y_bar.reshape(*y_bar.shape[: -len(out)], -1) / divisors(layer, index, y_bar)
    share = np.broadcast_to(share[..., None, :], (*share.shape[:-1], *index.shape))
    return scatter(share, index, shape), {}
