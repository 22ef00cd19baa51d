"""Rearranging, repeating and reducing entries in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters
from .pieces import settled


def _transpose(op: ops.Transpose, p: Parameters, x: Array) -> Array:
    kept = x.ndim - len(op.order)
    return jnp.transpose(x, (*range(kept), *(x.ndim + axis for axis in op.order)))


def _pad(op: ops.Pad, p: Parameters, x: Array) -> Array:
    widths = ((0, 0),) * (x.ndim - len(op.padding)) + op.padding
    if op.mode != "constant":
        return jnp.pad(x, widths, mode=op.mode)
    for axis, pair in enumerate(widths):  # jnp.pad's gradient needs XLA's simplifier: __init__.py
        before, after = (
            jnp.full((*x.shape[:axis], n, *x.shape[axis + 1 :]), op.value) for n in pair
        )
        x = jnp.concatenate((before, x, after), axis)
    return x


def _slice(op: ops.Slice, p: Parameters, x: Array) -> Array:
    return jax.lax.slice_in_dim(x, op.start, op.stop, op.step, op.axis)


def _upsample(op: ops.Upsample, p: Parameters, x: Array) -> Array:
    """`jax.image.resize` has no `align_corners`, and its bilinear form is a matrix with zeros,
    which an infinite entry turns to NaN everywhere: that form is two gathers an axis here.
    """
    if op.form == "nearest":
        shape = (*x.shape[:-2], x.shape[-2] * op.factor[0], x.shape[-1] * op.factor[1])
        y: Array = jax.image.resize(x, shape, "nearest")
        return y
    for axis, factor in zip((-2, -1), op.factor, strict=True):
        x = _interpolated(x, axis, factor, op.align_corners)
    return x


def _interpolated(x: Array, axis: int, factor: int, align_corners: bool) -> Array:
    """The positions p_i are kept as fractions of integers, so that t, the way from the entry
    before p_i to the one after, has one rounding."""
    n = x.shape[axis]
    i = np.arange(n * factor)
    if align_corners:
        numerators, denominator = i * (n - 1), max(n * factor - 1, 1)
    else:
        numerators, denominator = 2 * i + 1 - factor, 2 * factor
    held = np.clip(numerators, 0, denominator * (n - 1))
    before, rest = np.divmod(held, denominator)
    t = (rest / denominator).reshape(-1, *[1] * (-1 - axis))
    lower = jnp.take(x, before, axis, mode="clip")
    upper = jnp.take(x, np.minimum(before + 1, n - 1), axis, mode="clip")
    # Where t is 0, `upper` is not wanted: 0 times infinity is NaN.
    return jnp.where(t == 0, lower, (1 - t) * lower + t * upper)


def _reduction(reduce: Any) -> Forward:
    return lambda op, p, x: reduce(x, axis=op.axes, keepdims=op.keep)


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.Flatten: lambda op, p, x: jnp.reshape(x, (*x.shape[: -op.axes], -1)),
    ops.Reshape: lambda op, p, x: jnp.reshape(x, (*x.shape[: -op.axes], *op.shape)),
    ops.Transpose: _transpose,
    ops.Pad: _pad,
    ops.Slice: _slice,
    ops.Concat: lambda op, p, x: jnp.concatenate(x, op.axis),
    ops.Sum: _reduction(jnp.sum),
    ops.Mean: _reduction(jnp.mean),
    ops.Max: lambda op, p, x: jnp.max(settled(x), axis=op.axes, keepdims=op.keep),
    ops.Upsample: _upsample,
}
"""Each operator's y = f(op, parameters, x)."""
