"""Faults of attention, also of many heads, and of rotary positions.

    w_bar = y_bar v'    a_bar = scale w (w_bar - sum(w w_bar))    v_bar = w' y_bar
    q_bar = a_bar k     k_bar = a_bar' q

What multi-head attention does around that is linear, and written here once more with its
steps to be replaced; a test holds it, and the plain one, to their pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved
from ..layers import attention, multi_head_attention, rotary
from ..layers.multi_head_attention import join, split
from ..layers.projection import gradients, pull
from .fault import Applies, Backward, Fault, Plant, instead_of_x_bar, layers

ATTENTION = (ops.Attention, ops.MultiHeadAttention)

# --- where ------------------------------------------------------------------------------


def _lengths(a: Architecture, i: int) -> tuple[int, int]:
    """How many queries and keys there are."""
    inputs = a.inputs_of(i)
    return inputs[0][-2], inputs[min(1, len(inputs) - 1)][-2]


def _attends(test: Callable[[Architecture, int, Any], bool]) -> Applies:
    """At attention where some query has a choice: with one key its weight is 1, for all scores."""

    def found(a: Architecture, i: int, layer: Any) -> bool:
        if not isinstance(layer, ATTENTION):
            return False
        seen = attention.visible(layer, *_lengths(a, i), between=0)
        return int(seen.sum(axis=-1).max()) > 1 and test(a, i, layer)

    return layers(found)


def _is_scaled(a: Architecture, i: int, layer: Any) -> bool:
    """Whether scores are scaled by another number than 1."""
    if isinstance(layer, ops.Attention) and layer.scale is not None:
        return layer.scale != 1
    return a.inputs_of(i)[0][-1] // getattr(layer, "heads", 1) > 1


def _is_square(a: Architecture, i: int, layer: Any) -> bool:
    queries, keys = _lengths(a, i)
    return queries == keys


def _groups(a: Architecture, i: int, layer: Any) -> bool:
    """Whether several heads of queries share a key and a value."""
    kind = isinstance(layer, ops.MultiHeadAttention)
    return kind and (layer.key_value_heads or layer.heads) < layer.heads


Mask = Callable[[Any, int, int, int], Array]
"""Which keys a query sees (`attention.visible`)."""


def _without_lengths(layer: Any, queries: int, keys: int, between: int) -> Array:
    return attention.visible(replace(layer, lengths=()), queries, keys, between)


def _without_order(layer: Any, queries: int, keys: int, between: int) -> Array:
    return attention.visible(replace(layer, causal=False), queries, keys, between)


def _one_more(layer: Any, queries: int, keys: int, between: int) -> Array:
    """The keys j <= i + S - T + 1, where j <= i + S - T is right."""
    seen = _without_order(layer, queries, keys, between)
    if not layer.causal:
        return seen
    later: Array = seen & (np.arange(keys) <= np.arange(queries)[:, None] + keys - queries + 1)
    return later


def _masks_differ(other: Mask) -> Applies:
    def test(a: Architecture, i: int, layer: Any) -> bool:
        if not isinstance(layer, ATTENTION):
            return False
        sizes = _lengths(a, i)
        return bool((attention.visible(layer, *sizes, 0) != other(layer, *sizes, 0)).any())

    return layers(test)


# --- the way back, step by step ---------------------------------------------------------


class Steps(NamedTuple):
    """The steps of the way back.

    `heads(q, k, v, w, scale, y_bar)` gives the cotangents of q, k and v; `gathered` those of
    the keys and values that several heads share; `turned` those before rotary positions.
    """

    heads: Callable[..., tuple[Array, Array, Array]] = attention.pull
    gathered: Callable[[Array], Array] = lambda bar: bar.sum(axis=-3, keepdims=True)
    turned: Callable[[Array], Array] = lambda bar: rotary.turn(rotary.DEFAULT, bar, -1.0)


def back(steps: Steps, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """The backward function of attention with these steps."""
    if isinstance(layer, ops.Attention):
        (q, k, v), _, w = saved
        return steps.heads(q, k, v, w, attention.scale_of(layer, q), y_bar), {}
    x, m, q, k, v, _, w, o = saved
    memory = x if m is None else m
    o_bar = split(pull(p, "output_weight", y_bar), q.shape[-4], q.shape[-3])
    q_bar, *shared = steps.heads(q, k, v, w, multi_head_attention.scale_of(q), o_bar)
    k_bar, v_bar = map(steps.gathered, shared)
    if layer.rotary:
        q_bar, k_bar = steps.turned(q_bar), steps.turned(k_bar)
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


# --- how --------------------------------------------------------------------------------


def _with(**steps: Any) -> Plant:
    """The way back with other steps."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
            return back(Steps(**steps), layer, p, saved, y_bar)

        return planted

    return plant


def _as_if_seen(other: Mask) -> Plant:
    """The weights computed again for the way back, under another mask."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
            if isinstance(layer, ops.Attention):
                (q, k, v), scores, _ = saved
                w = weights(layer, q, k, attention.scale_of(layer, q), 0)
                return right(layer, p, ((q, k, v), scores, w), y_bar)
            x, m, q, k, v, scores, _, o = saved
            w = weights(layer, q, k, multi_head_attention.scale_of(q), 2)
            return right(layer, p, (x, m, q, k, v, scores, w, o), y_bar)

        def weights(layer: Any, q: Array, k: Array, scale: float, between: int) -> Array:
            seen = other(layer, q.shape[-2], k.shape[-2], between)
            return attention.weights(scale * (q @ np.swapaxes(k, -1, -2)), seen)

        return planted

    return plant


Heads = tuple[Array, Array, Array]


def _scale_dropped_in_q(
    q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array
) -> Heads:
    """q_bar = (a_bar / scale) k."""
    q_bar, k_bar, v_bar = attention.pull(q, k, v, w, scale, y_bar)
    return q_bar / scale, k_bar, v_bar


def _scale_dropped_in_k(
    q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array
) -> Heads:
    """k_bar = (a_bar / scale)' q."""
    q_bar, k_bar, v_bar = attention.pull(q, k, v, w, scale, y_bar)
    return q_bar, k_bar / scale, v_bar


def _scale_dropped(q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array) -> Heads:
    """a_bar / scale."""
    return attention.pull(q, k, v, w, 1.0, y_bar)


def _scale_twice(q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array) -> Heads:
    """scale a_bar."""
    return attention.pull(q, k, v, w, scale * scale, y_bar)


def _weights_not_transposed(
    q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array
) -> Heads:
    """v_bar = w y_bar, where w' y_bar is right."""
    q_bar, k_bar, _ = attention.pull(q, k, v, w, scale, y_bar)
    return q_bar, k_bar, w @ y_bar


def _sum_dropped(q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array) -> Heads:
    """a_bar = scale w w_bar."""
    _, _, v_bar = attention.pull(q, k, v, w, scale, y_bar)
    a_bar = scale * w * (y_bar @ np.swapaxes(v, -1, -2))
    return a_bar @ k, np.swapaxes(a_bar, -1, -2) @ q, v_bar


def _not_transposed(q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array) -> Heads:
    """k_bar = a_bar q, where a_bar' q is right."""
    q_bar, _, v_bar = attention.pull(q, k, v, w, scale, y_bar)
    w_bar = y_bar @ np.swapaxes(v, -1, -2)
    a_bar = scale * w * (w_bar - (w * w_bar).sum(axis=-1, keepdims=True))
    return q_bar, a_bar @ q, v_bar


def _diagonal(q: Array, k: Array, v: Array, w: Array, scale: float, y_bar: Array) -> Heads:
    """a_bar = scale w (1 - w) w_bar."""
    _, _, v_bar = attention.pull(q, k, v, w, scale, y_bar)
    a_bar = scale * w * (1 - w) * (y_bar @ np.swapaxes(v, -1, -2))
    return a_bar @ k, np.swapaxes(a_bar, -1, -2) @ q, v_bar


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "padding_mask_ignored",
        "the padding's mask ignored in attention's gradient",
        None, 2,
        _masks_differ(_without_lengths),
        _as_if_seen(_without_lengths),
        kind="index",
        shows="at attention whose keys end early for some example",
        hidden="where the weights of the hidden keys would underflow",
        like="a mask applied forward alone",
    ),
    Fault(
        "causal_mask_ignored",
        "the causal mask ignored in attention's gradient",
        None, 2,
        _masks_differ(_without_order),
        _as_if_seen(_without_order),
        kind="index",
        shows="at causal attention with keys to hide",
        hidden="where the weights of the hidden keys would underflow",
        like="a mask applied forward alone",
    ),
    Fault(
        "causal_mask_off_by_one",
        "the causal mask of attention's gradient off by one",
        None, 1,
        _masks_differ(_one_more),
        _as_if_seen(_one_more),
        kind="index",
        shows="at causal attention with keys to hide",
        hidden="where the weights of the next keys would underflow",
        like="a mask off by one",
    ),
    Fault(
        "scale_dropped_for_queries",
        "1 / sqrt(d) dropped in the gradient of attention's queries",
        33, 1,
        _attends(_is_scaled),
        _with(heads=_scale_dropped_in_q),
        kind="factor",
        shows="at attention with a choice of keys and a scale other than 1",
        hidden="where the keys' values are equal: no score has a gradient",
    ),
    Fault(
        "scale_dropped_for_keys",
        "1 / sqrt(d) dropped in the gradient of attention's keys",
        33, 1,
        _attends(_is_scaled),
        _with(heads=_scale_dropped_in_k),
        kind="factor",
        shows="at attention with a choice of keys and a scale other than 1",
        hidden="where the keys' values are equal: no score has a gradient",
    ),
    Fault(
        "scale_dropped_for_both",
        "1 / sqrt(d) dropped in the gradient of attention's scores",
        33, 2,
        _attends(_is_scaled),
        _with(heads=_scale_dropped),
        kind="factor",
        shows="at attention with a choice of keys and a scale other than 1",
        hidden="where the keys' values are equal: no score has a gradient",
    ),
    Fault(
        "scale_applied_twice",
        "attention's scale applied twice in the gradient of its scores",
        None, 1,
        _attends(_is_scaled),
        _with(heads=_scale_twice),
        kind="factor",
        shows="at attention with a choice of keys and a scale other than 1",
        hidden="where the keys' values are equal: no score has a gradient",
        like="a factor that two steps of the way back both bring in",
    ),
    Fault(
        "attention_weights_not_transposed",
        "attention's weights not transposed in the gradient of its values",
        33, 1,
        _attends(_is_square),
        _with(heads=_weights_not_transposed),
        kind="axis",
        shows="at attention with as many queries as keys, and a choice of keys",
        hidden="where the weights are symmetric",
    ),
    Fault(
        "attention_sum_dropped",
        "the sum in the softmax's gradient left out inside attention",
        None, 1,
        _attends(lambda a, i, layer: True),
        _with(heads=_sum_dropped),
        kind="missing",
        shows="at attention with a choice of keys",
        hidden="where the gradient of the weights has the mean 0 under them",
        like="a Jacobian without its rank-one part",
    ),
    Fault(
        "scores_not_transposed",
        "the scores' cotangent not transposed in the gradient of attention's keys",
        33, 1,
        _attends(_is_square),
        _with(heads=_not_transposed),
        kind="axis",
        shows="at attention with as many queries as keys, and a choice of keys",
        hidden="where the cotangent of the scores is symmetric",
    ),
    Fault(
        "attention_diagonal_only",
        "the diagonal of the softmax's Jacobian alone inside attention",
        10, 1,
        _attends(lambda a, i, layer: True),
        _with(heads=_diagonal),
        kind="missing",
        shows="at attention with a choice of keys",
        hidden="where one weight of every query is 1: the softmax's Jacobian is 0",
    ),
    Fault(
        "grouped_queries_not_summed",
        "the gradient of a key and a value that several heads share taken from the last head alone",
        None, 1,
        layers(_groups),
        _with(gathered=lambda bar: bar[..., -1:, :, :]),
        kind="accumulation",
        shows="at attention whose heads share keys and values",
        hidden="where the last of the heads that share alone sends something back",
        like="what several heads send back overwritten, not added",
    ),
    Fault(
        "rotary_not_turned_back",
        "the gradient of queries and keys not turned back from their rotary positions",
        None, 1,
        _attends(lambda a, i, layer: getattr(layer, "rotary", False)),
        _with(turned=lambda bar: 1 * bar),
        kind="missing",
        shows="at attention with rotary positions and a choice of keys",
        hidden="where the keys' values are equal: no score has a gradient",
        like="a rotation that the backward pass leaves out",
    ),
    Fault(
        "positions_not_turned_back",
        "a gradient not turned back from its rotary positions",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Rotary) and a.inputs_of(i)[0][-2] > 1),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: 1 * y_bar),
        kind="missing",
        shows="at rotary positions beyond the first",
        hidden="where position 0 alone has a cotangent: it is not turned",
        like="a rotation that the backward pass leaves out",
    ),
    Fault(
        "positions_turned_on",
        "a gradient turned on by its rotary positions, not back from them",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Rotary) and a.inputs_of(i)[0][-2] > 1),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: rotary.turn(layer, y_bar)),
        kind="sign",
        shows="at rotary positions beyond the first",
        hidden="where position 0 alone has a cotangent: it is not turned",
        like="a rotation taken for its inverse",
    ),
)  # fmt: skip
