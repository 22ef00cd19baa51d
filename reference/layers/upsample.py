"""Images enlarged, one axis after the other.

Along an axis y = M x with constant weights M (m, n), so x_bar = M' y_bar.

`nearest`: M has a one in row i at column i // f.  As an index map (`arrays.py`), each entry
of x collects the cotangents of its f copies.

`bilinear`: the position p_i lies between the entries j and j + 1, at the distance t from j:
row i of M has 1 - t at column j and t at column j + 1.  A textbook takes t as p_i - j, which
loses a rounding of p_i.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...architectures.operators import Upsample
from ..arrays import Array, Arrays, Saved, gather_axis, scatter_axis
from ..stable import as_difference


def radius(layer: Upsample, x: Array) -> float:
    return np.inf


@lru_cache(maxsize=512)
def copies(n: int, f: int) -> Array:
    """The entry that each of f n copies."""
    return np.arange(n * f) // f


@lru_cache(maxsize=512)
def interpolation(n: int, f: int, align_corners: bool) -> Array:
    """M (f n, n).  Positions are fractions of integers, so that t is rounded once."""
    i = np.arange(n * f)
    above, below = (i * (n - 1), max(n * f - 1, 1)) if align_corners else (2 * i + 1 - f, 2 * f)
    above = np.clip(above, 0, (n - 1) * below)
    j = np.minimum(above // below, max(n - 2, 0))
    t = (above - j * below) / below
    m = np.zeros((n * f, n))
    m[i, j] = 1 - t
    m[i, np.minimum(j + 1, n - 1)] += t
    return m


def weights(layer: Upsample, x: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """M of the rows and of the columns, in x's real dtype."""
    rows, columns = (
        interpolation(n, f, layer.align_corners).astype(x.real.dtype)
        for n, f in zip(shape, layer.factor, strict=True)
    )
    return rows, columns


def forward(layer: Upsample, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    shape = x.shape[-2:]
    if layer.form == "nearest":
        for axis, n, f in zip((-2, -1), shape, layer.factor, strict=True):
            x = gather_axis(x, copies(n, f), axis)
        return x, shape
    rows, columns = weights(layer, x, shape)
    return as_difference(rows @ x @ columns.T, max(shape) * (rows @ np.abs(x) @ columns.T)), shape


def backward(layer: Upsample, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    shape = saved
    if layer.form == "nearest":
        for axis, n, f in zip((-2, -1), shape, layer.factor, strict=True):
            y_bar = scatter_axis(y_bar, copies(n, f), n, axis)
        return y_bar, {}
    rows, columns = weights(layer, y_bar, shape)
    size = max(shape) * (rows.T @ np.abs(y_bar) @ columns)
    return as_difference(rows.T @ y_bar @ columns, size), {}
