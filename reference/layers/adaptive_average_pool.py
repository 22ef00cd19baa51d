"""Average pooling down to a given size: windows that the sizes decide.

    y_j = (1/c_j) sum of the window of j        x_bar_i = sum of y_bar_j / c_j, i in window j

On an axis of n entries brought to m, window j runs from floor(j n / m) to
ceil((j + 1) n / m) - 1; these may overlap.  The rest is as for `average_pool`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...architectures.operators import AdaptiveAveragePool1d, AdaptiveAveragePool2d
from ..arrays import Array, Arrays, Saved, gather, scatter
from .windows import Sizes, combined, counts

Adaptive = AdaptiveAveragePool1d | AdaptiveAveragePool2d


def radius(layer: Adaptive, x: Array) -> float:
    return np.inf


@lru_cache(maxsize=512)
def windows(large: Sizes, small: Sizes) -> Array:
    """The index map (taps, places); shorter windows end with -1."""
    axes = []
    for n, m in zip(large, small, strict=True):
        j = np.arange(m)
        start, stop = j * n // m, -(-(j + 1) * n // m)
        at = start + np.arange((stop - start).max())[:, None]
        axes.append(np.where(at < stop, at, -1))
    return combined(axes, large)


def forward(layer: Adaptive, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axes = len(layer.size)
    shape = x.shape[-axes:]
    index = windows(shape, layer.size)
    y = gather(x, index, axes).sum(axis=-2) / counts(index).astype(x.real.dtype)
    return y.reshape(*y.shape[:-1], *layer.size), shape


def backward(layer: Adaptive, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    shape = saved
    index = windows(shape, layer.size)
    flat = y_bar.reshape(*y_bar.shape[: -len(layer.size)], -1)
    share = flat / counts(index).astype(y_bar.dtype)
    share = np.broadcast_to(share[..., None, :], (*share.shape[:-1], *index.shape))
    return scatter(share, index, shape), {}
