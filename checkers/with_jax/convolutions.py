"""Convolutions and pooling in JAX: y = f(op, parameters, x).

`lax.conv_general_dilated` and `lax.reduce_window` take any number of spatial axes, which
are all but the first two, so one function serves each family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters
from .pieces import settled


def _or_all(given: tuple[int, ...], default: int, axes: int) -> tuple[int, ...]:
    return given if given else (default,) * axes


def _with_bias(p: Parameters, y: Array) -> Array:
    return y + p["bias"].reshape(-1, *[1] * (y.ndim - 2)) if "bias" in p else y


def _convolution(op: Any, p: Parameters, x: Array) -> Array:
    """XLA's `SAME` is the docstring's: ceil(size / s) entries, the smaller half before."""
    axes = len(op.kernel)
    named = isinstance(op.padding, str)
    y: Array = jax.lax.conv_general_dilated(
        x,
        p["weight"],
        window_strides=_or_all(op.stride, 1, axes),
        padding=op.padding.upper() if named else [(n, n) for n in op.padding],
        rhs_dilation=_or_all(op.dilation, 1, axes),
        feature_group_count=op.groups,
    )
    return _with_bias(p, y)


def _transposed(op: Any, p: Parameters, x: Array) -> Array:
    """A convolution of x, spread out by the stride, with the kernel turned around.

    `lax.conv_transpose` has neither groups nor an output padding, so what it calls is
    called here.  Its kernel is (O, C/G, ...), ours (C, O/G, ...).
    """
    axes = len(op.kernel)
    padding = _or_all(op.padding, 0, axes)
    extra = _or_all(op.output_padding, 0, axes)
    dilation = _or_all(op.dilation, 1, axes)
    w, groups = p["weight"], op.groups
    split = jnp.reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    kernel = jnp.swapaxes(split, 1, 2).reshape(-1, w.shape[0] // groups, *op.kernel)
    reach = [d * (k - 1) for d, k in zip(dilation, op.kernel, strict=True)]
    y: Array = jax.lax.conv_general_dilated(
        x,
        jnp.flip(kernel, tuple(range(2, 2 + axes))),
        window_strides=(1,) * axes,
        padding=[(r - n, r - n + e) for r, n, e in zip(reach, padding, extra, strict=True)],
        lhs_dilation=_or_all(op.stride, 1, axes),
        rhs_dilation=dilation,
        feature_group_count=groups,
    )
    return _with_bias(p, y)


def _windows(op: Any, x: Array, start: float, combine: Any) -> Array:
    """`combine` over each window of x, with `start` around it."""
    padding = [(n, n) for n in _or_all(op.padding, 0, len(op.kernel))]
    y: Array = jax.lax.reduce_window(
        x,
        start,
        combine,
        window_dimensions=(1, 1, *op.kernel),
        window_strides=(1, 1, *(op.stride or op.kernel)),
        padding=[(0, 0), (0, 0), *padding],
    )
    return y


def _max_pool(op: Any, p: Parameters, x: Array) -> Array:
    return _windows(op, x, -np.inf, jax.lax.max)


def _average_pool(op: Any, p: Parameters, x: Array) -> Array:
    total = _windows(op, x, 0.0, jax.lax.add)
    inside = jnp.ones((1, 1, *x.shape[2:]))
    full: int = math.prod(op.kernel)
    return total / (full if op.count_include_pad else _windows(op, inside, 0.0, jax.lax.add))


def _adaptive_average_pool(op: Any, p: Parameters, x: Array) -> Array:
    """A window is a product of intervals, so the axes are averaged one after the other."""
    for axis, m in enumerate(op.size, start=2):
        x = _interval_means(x, axis, m)
    return x


def _interval_means(x: Array, axis: int, m: int) -> Array:
    """`lax.reduce_window` has windows of one size; these differ, so each is gathered.

    All are gathered as wide as the widest, and what is too much is left out by `where`:
    a matrix of 0 and 1/width would make 0 times infinity of an entry outside.
    """
    n = x.shape[axis]
    bounds = [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
    widths = np.array([stop - start for start, stop in bounds])
    within = np.arange(widths.max())
    places = np.array([start for start, _ in bounds])[:, None] + within
    gathered = jnp.take(jnp.moveaxis(x, axis, -1), np.minimum(places, n - 1), -1, mode="clip")
    total = jnp.sum(jnp.where(within < widths[:, None], gathered, 0), -1)
    return jnp.moveaxis(total / widths, -1, axis)


def _spatial(op: ops.GlobalAveragePool | ops.GlobalMaxPool) -> Sequence[int]:
    return tuple(range(2, 2 + op.spatial))


FORWARD: Mapping[type[ops.Operator], Forward] = {
    **dict.fromkeys((ops.Conv1d, ops.Conv2d, ops.Conv3d), _convolution),
    **dict.fromkeys((ops.ConvTranspose1d, ops.ConvTranspose2d), _transposed),
    **dict.fromkeys((ops.MaxPool1d, ops.MaxPool2d), _max_pool),
    **dict.fromkeys((ops.AveragePool1d, ops.AveragePool2d), _average_pool),
    **dict.fromkeys((ops.AdaptiveAveragePool1d, ops.AdaptiveAveragePool2d), _adaptive_average_pool),
    ops.GlobalAveragePool: lambda op, p, x: jnp.mean(x, _spatial(op)),
    ops.GlobalMaxPool: lambda op, p, x: jnp.max(settled(x), _spatial(op)),
}
"""Each operator's y = f(op, parameters, x)."""
