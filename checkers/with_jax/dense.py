"""Linear maps and products of tensors in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import jax.numpy as jnp

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters


def _with_bias(p: Parameters, y: Array) -> Array:
    return y + p["bias"] if "bias" in p else y


def _dense(op: ops.Dense, p: Parameters, x: Array) -> Array:
    return _with_bias(p, x @ p["weight"].T)


def _weight_norm_dense(op: ops.WeightNormDense, p: Parameters, x: Array) -> Array:
    v = p["direction"]
    weight = p["gain"][:, None] * v / jnp.linalg.norm(v, axis=-1, keepdims=True)
    return _with_bias(p, x @ weight.T)


def _bilinear(op: ops.Bilinear, p: Parameters, x: tuple[Array, Array]) -> Array:
    return _with_bias(p, jnp.einsum("...m,kmn,...n->...k", x[0], p["weight"], x[1]))


def _embedding(op: ops.Embedding, p: Parameters, x: tuple[()]) -> Array:
    rows = p["weight"][p["indices"]]
    if op.padding_index is None:
        return rows
    return jnp.where((p["indices"] == op.padding_index)[..., None], 0, rows)


def _matmul(op: ops.MatMul, p: Parameters, x: tuple[Array, Array]) -> Array:
    a = jnp.swapaxes(x[0], -1, -2) if op.transpose_a else x[0]
    b = jnp.swapaxes(x[1], -1, -2) if op.transpose_b else x[1]
    return a @ b


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.Dense: _dense,
    ops.WeightNormDense: _weight_norm_dense,
    ops.Bilinear: _bilinear,
    ops.Embedding: _embedding,
    ops.Variable: lambda op, p, x: p["value"],
    ops.MatMul: _matmul,
    ops.Add: lambda op, p, x: reduce(jnp.add, x),
    ops.Subtract: lambda op, p, x: x[0] - x[1],
    ops.Multiply: lambda op, p, x: x[0] * x[1],
    ops.Maximum: lambda op, p, x: jnp.maximum(*x),
    ops.Minimum: lambda op, p, x: jnp.minimum(*x),
}
"""Each operator's y = f(op, parameters, x)."""
