"""Windows on a grid: which entries a kernel touches, as an index map (`arrays.py`).

A kernel of k taps stands at the places i of a small grid; its tap u then touches the place

    s i + d u - p

of the large grid, on each axis, with the stride s, the dilation d and p entries of padding
before.  What lies outside is the padding, -1.  A convolution reads the large grid and writes
the small one; a transposed convolution does the opposite, with the transpose of the map.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...architectures.operators import AveragePool1d, AveragePool2d, MaxPool1d, MaxPool2d
from ...architectures.operators.convolutions import ones, spatial_axes, zeros
from ..arrays import Array

Sizes = tuple[int, ...]
Pool = MaxPool1d | MaxPool2d | AveragePool1d | AveragePool2d


@lru_cache(maxsize=1024)
def taps(large: Sizes, small: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes,
         before: Sizes) -> Array:  # fmt: skip
    """The map (taps, places): flat places of the large grid, by tap and place of the small."""
    axes = []
    for n, m, k, s, d, p in zip(large, small, kernel, stride, dilation, before, strict=True):
        at = s * np.arange(m) + d * np.arange(k)[:, None] - p
        axes.append(np.where((at >= 0) & (at < n), at, -1))
    return combined(axes, large)


def pool(layer: Pool, shape: Sizes) -> tuple[Array, Sizes]:
    """The map (taps, places) of a pooling layer's windows, and the spatial shape of y."""
    axes = spatial_axes(layer)
    stride, padding = layer.stride or layer.kernel, zeros(layer.padding, axes)
    out = tuple(
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(shape, layer.kernel, stride, padding, strict=True)
    )
    return taps(shape, out, layer.kernel, stride, ones((), axes), padding), out


def combined(axes: list[Array], large: Sizes) -> Array:
    """Maps (taps, places) of single axes as one map of the flat grid, outside where any is."""

    def outer(a: Array, b: Array, n: int) -> Array:
        both = np.where((a[:, None, :, None] >= 0) & (b[None, :, None, :] >= 0),
                        a[:, None, :, None] * n + b[None, :, None, :], -1)  # fmt: skip
        return both.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])

    found = axes[0]
    for axis, n in zip(axes[1:], large[1:], strict=True):
        found = outer(found, axis, n)
    return found


def counts(index: Array) -> Array:
    """How many entries the kernel touches at each place, padding apart."""
    read: Array = (index >= 0).sum(axis=0)
    return read
