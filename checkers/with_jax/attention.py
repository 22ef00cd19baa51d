"""Attention and rotary positions in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters
from .pieces import softmax


def _seen(op: Any, queries: int, keys: int) -> npt.NDArray[np.bool_]:
    """Which query sees which key: (N or 1, queries, keys), known before x is."""
    i, j = np.arange(queries)[:, None], np.arange(keys)
    seen = np.ones((1, queries, keys), bool)
    if op.causal:
        seen = seen & (j <= i + keys - queries)
    if op.lengths:
        seen = seen & (j < np.array(op.lengths)[:, None, None])
    return seen


def _attended(op: Any, q: Array, k: Array, v: Array, scale: float) -> Array:
    """softmax(q k^T scale) v, with heads (N, heads, T, d) or without.

    A score of minus infinity is nowhere multiplied: exp gives weight and derivative 0.  It is
    never a row's maximum, for each query sees a key.
    """
    scores = (q @ jnp.swapaxes(k, -1, -2)) * scale
    seen = _seen(op, q.shape[-2], k.shape[-2])
    if not seen.all():
        mask = seen[:, None] if q.ndim == 4 else seen
        scores = jnp.where(mask, scores, -jnp.inf)
    return softmax(scores, -1) @ v


def _attention(op: ops.Attention, p: Parameters, x: tuple[Array, Array, Array]) -> Array:
    q, k, v = x
    return _attended(op, q, k, v, 1 / np.sqrt(q.shape[-1]) if op.scale is None else op.scale)


def _turned(x: Array, base: float) -> Array:
    """The angles are constants: NumPy's cosines and sines of them are exact enough."""
    steps, features = x.shape[-2:]
    half = features // 2
    angles = np.arange(steps)[:, None] / base ** (2 * np.arange(half) / features)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[..., :half], x[..., half:]
    turned = (first * cos - second * sin, first * sin + second * cos)
    return jnp.concatenate(turned, -1)


def _multi_head(op: ops.MultiHeadAttention, p: Parameters, x: Any) -> Array:
    x, m = x if isinstance(x, tuple) else (x, x)
    n, steps, features = x.shape
    size = features // op.heads

    def projected(name: str, z: Array) -> Array:
        y = z @ p[f"{name}_weight"].T
        return y + p[f"{name}_bias"] if op.bias else y

    def heads(name: str, z: Array) -> Array:
        """(N, heads or key and value heads, positions, size)."""
        return jnp.swapaxes(projected(name, z).reshape(*z.shape[:2], -1, size), 1, 2)

    q, k, v = heads("query", x), heads("key", m), heads("value", m)
    if op.rotary:
        base = ops.Rotary().base
        q, k = _turned(q, base), _turned(k, base)
    each = op.heads // k.shape[1]
    o = _attended(op, q, jnp.repeat(k, each, 1), jnp.repeat(v, each, 1), 1 / np.sqrt(size))
    return projected("output", jnp.swapaxes(o, 1, 2).reshape(n, steps, features))


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.Attention: _attention,
    ops.MultiHeadAttention: _multi_head,
    ops.Rotary: lambda op, p, x: _turned(x, op.base),
}
"""Each operator's y = f(op, parameters, x)."""
