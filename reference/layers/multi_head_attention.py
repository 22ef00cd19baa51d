"""Multi-head attention (Vaswani et al. 2017), queries in groups (Ainslie et al. 2023).

    q = x Wq^T + bq      k = m Wk^T + bk      v = m Wv^T + bv        m = x, or a second input
    o = attention(q, k, v), head by head                             y = o Wo^T + bo

Going backward, each projection is a dense layer, and attention is derived on its own page:

    o_bar = y_bar Wo        (q_bar, k_bar, v_bar) of attention, given o_bar
    x_bar = q_bar Wq        m_bar = k_bar Wk + v_bar Wv

    Wo_bar = y_bar^T o      Wq_bar = q_bar^T x      Wk_bar = k_bar^T m      Wv_bar = v_bar^T m

and each bias gets the sum of its cotangent's rows.  With one input m = x, and x_bar is the sum
of both.  Three further maps are linear:

Heads.  (N, T, H d) is seen as (N, G, r, T, d), r = H / G heads for each of G keys and values:
entries move about, and move back.

Groups.  The r heads of a group use one k and one v, a copy each; so their cotangents add up:
k_bar and v_bar are summed over r.

Rotary.  q and k are turned, R(a) q; their cotangents are turned back, R(-a) q_bar.

The key's bias moves all scores of a query alike (unless rotary turns it), and softmax does
not see that: its gradient is 0, but for rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...architectures.operators import MultiHeadAttention
from ..arrays import Array, Arrays, Saved
from . import attention, rotary
from .projection import gradients, project, pull


def split(x: Array, groups: int, each: int) -> Array:
    """(..., T, groups each d) -> (..., groups, each, T, d)."""
    return np.moveaxis(x.reshape(*x.shape[:-1], groups, each, -1), -4, -2)


def join(x: Array) -> Array:
    """The inverse of `split`."""
    y = np.moveaxis(x, -2, -4)
    return y.reshape(*y.shape[:-3], -1)


def scale_of(q: Array) -> float:
    return 1 / math.sqrt(q.shape[-1])


def radius(layer: MultiHeadAttention, x: Any) -> float:
    return np.inf


def inner(layer: MultiHeadAttention, saved: Saved) -> tuple[tuple[Array, float], ...]:
    return ((saved[5], 1.0),)


def forward(layer: MultiHeadAttention, p: Arrays, x: Any, branch: None) -> tuple[Array, Saved]:
    x, m = x if isinstance(x, tuple) else (x, None)
    memory = x if m is None else m
    groups = layer.key_value_heads or layer.heads
    q = split(project(p, "query_weight", "query_bias", x), groups, layer.heads // groups)
    k = split(project(p, "key_weight", "key_bias", memory), groups, 1)
    v = split(project(p, "value_weight", "value_bias", memory), groups, 1)
    if layer.rotary:
        q, k = rotary.turn(rotary.DEFAULT, q), rotary.turn(rotary.DEFAULT, k)
    seen = attention.visible(layer, q.shape[-2], k.shape[-2], between=2)
    heads, scores, w = attention.attend(q, k, v, scale_of(q), seen)
    o = join(heads)
    return project(p, "output_weight", "output_bias", o), (x, m, q, k, v, scores, w, o)


def backward(
    layer: MultiHeadAttention, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[Any, Arrays]:
    x, m, q, k, v, _, w, o = saved
    memory = x if m is None else m
    o_bar = split(pull(p, "output_weight", y_bar), q.shape[-4], q.shape[-3])
    heads_bar = attention.pull(q, k, v, w, scale_of(q), o_bar)
    q_bar, k_bar, v_bar = heads_bar[0], *(b.sum(axis=-3, keepdims=True) for b in heads_bar[1:])
    if layer.rotary:
        q_bar = rotary.turn(rotary.DEFAULT, q_bar, -1.0)
        k_bar = rotary.turn(rotary.DEFAULT, k_bar, -1.0)
    q_bar, k_bar, v_bar = join(q_bar), join(k_bar), join(v_bar)
    x_bar = pull(p, "query_weight", q_bar)
    m_bar = pull(p, "key_weight", k_bar) + pull(p, "value_weight", v_bar)
    p_bar = {
        **gradients(p, "query_weight", "query_bias", x, q_bar),
        **gradients(p, "key_weight", "key_bias", memory, k_bar),
        **gradients(p, "value_weight", "value_bias", memory, v_bar),
        **gradients(p, "output_weight", "output_bias", o, y_bar),
    }
    return (x_bar + m_bar if m is None else (x_bar, m_bar)), p_bar
