"""Scaled dot product attention (Vaswani et al. 2017).

    a = scale q k^T        w = softmax(a), over the keys that are seen        y = w v

for q (T, d), k (S, d), v (S, e), example by example and head by head.  Differentiate y:

    dy = dw v + w dv
    <y_bar, w dv> = <w^T y_bar, dv>                      v_bar = w^T y_bar
    <y_bar, dw v> = <y_bar v^T, dw>                      w_bar = y_bar v^T

The softmax by rows (products entry by entry, sum along the keys), as on its page, with r = w_bar
less its mean under w (taken away twice, since a first time leaves rounding errors of the size of
w_bar):

    a_bar = w (w_bar - sum(w w_bar)) = w r

and a is bilinear:

    da = scale (dq k^T + q dk^T)        q_bar = scale a_bar k        k_bar = scale a_bar^T q

A key that is not seen has w = 0: it is left out of the sums and of the maximum by which the
softmax is shifted, and its key and value get no gradient from that query.

Scores are polynomials in q and k, and y in v; singular is only the softmax, and not while no
score moves by 1 (or any amount below pi/2: then every exponential keeps a positive real part).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...architectures.operators import Attention, MultiHeadAttention
from ..arrays import Array, Arrays, Saved
from ..stable import as_difference


def visible(layer: Attention | MultiHeadAttention, queries: int, keys: int, between: int) -> Array:
    """Which keys a query sees: booleans (T, S), or (N, ..., T, S) with `between` axes of size 1."""
    i, j = np.arange(queries)[:, None], np.arange(keys)
    seen: Array = j <= i + keys - queries if layer.causal else np.ones((queries, keys), bool)
    if not layer.lengths:
        return seen
    inside = j < np.array(layer.lengths)[:, None]
    return seen & inside.reshape(-1, *(1,) * (between + 1), keys)


def weights(a: Array, seen: Array) -> Array:
    """The softmax along the last axis, over what is seen; 0 elsewhere."""
    top = np.where(seen, a.real, -np.inf).max(axis=-1, keepdims=True)
    e = np.where(seen, np.exp(np.where(seen, a - top, 0.0)), 0.0)
    w: Array = e / e.sum(axis=-1, keepdims=True)
    return w


def attend(q: Array, k: Array, v: Array, scale: float, seen: Array) -> tuple[Array, Array, Array]:
    """y, the scores (0 where not seen) and the weights."""
    a = np.where(seen, scale * (q @ np.swapaxes(k, -1, -2)), 0.0)
    w = weights(a, seen)
    return w @ v, a, w


def pull(
    q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array
) -> tuple[Array, Array, Array]:
    """q_bar, k_bar and v_bar."""
    w_bar = y_bar @ np.swapaxes(v, -1, -2)
    r = w_bar - (w * w_bar).sum(axis=-1, keepdims=True)
    r = r - (w * r).sum(axis=-1, keepdims=True)
    size = np.abs(w_bar)
    r = as_difference(r, size + (w * size).sum(axis=-1, keepdims=True))
    a_bar = scale * (w * r)
    return a_bar @ k, np.swapaxes(a_bar, -1, -2) @ q, np.swapaxes(w, -1, -2) @ y_bar


def scale_of(layer: Attention, q: Array) -> float:
    return 1 / math.sqrt(q.shape[-1]) if layer.scale is None else layer.scale


def radius(layer: Attention, x: tuple[Array, Array, Array]) -> float:
    return np.inf


def inner(layer: Attention, saved: Saved) -> tuple[tuple[Array, float], ...]:
    return ((saved[1], 1.0),)


def forward(
    layer: Attention, p: Arrays, x: tuple[Array, Array, Array], branch: None
) -> tuple[Array, Saved]:
    q, k, v = x
    seen = visible(layer, q.shape[-2], k.shape[-2], 0)
    y, a, w = attend(q, k, v, scale_of(layer, q), seen)
    return y, (x, a, w)


def backward(
    layer: Attention, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Any, ...], Arrays]:
    (q, k, v), _, w = saved
    return pull(q, k, v, w, scale_of(layer, q), y_bar), {}
