"""Average pooling in one or two dimensions.

    y_j = (1/c_j) sum of the window of j        x_bar_i = sum of y_bar_j / c_j, i in window j

c_j is the number of taps or, without `count_include_pad`, of entries of x among them.  With
the windows as an index map (`windows.py`), reading them is `gather`, whose transpose is
`scatter`: overlapping windows add up.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import AveragePool1d, AveragePool2d
from ...architectures.operators.convolutions import spatial_axes
from ..arrays import Array, Arrays, Saved, gather, scatter
from .windows import counts, pool

AveragePool = AveragePool1d | AveragePool2d


def radius(layer: AveragePool, x: Array) -> float:
    return np.inf


def divisors(layer: AveragePool, index: Array, x: Array) -> Array:
    """c of every place, in x's real dtype."""
    c = np.full(index.shape[-1], len(index)) if layer.count_include_pad else counts(index)
    return c.astype(x.real.dtype)


def forward(layer: AveragePool, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axes = spatial_axes(layer)
    shape = x.shape[-axes:]
    index, out = pool(layer, shape)
    y = gather(x, index, axes).sum(axis=-2) / divisors(layer, index, x)
    return y.reshape(*y.shape[:-1], *out), shape


def backward(layer: AveragePool, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    shape = saved
    index, out = pool(layer, shape)
    share = y_bar.reshape(*y_bar.shape[: -len(out)], -1) / divisors(layer, index, y_bar)
    share = np.broadcast_to(share[..., None, :], (*share.shape[:-1], *index.shape))
    return scatter(share, index, shape), {}
