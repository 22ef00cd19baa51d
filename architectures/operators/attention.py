"""Attention: sequences (N, T, D), T the positions and D the features.

A score of minus infinity leaves a position out: its weight is 0.  Positions are left out in
two ways, which may be combined.  `causal`: query i sees the keys j <= i + S - T only, with T
queries and S >= T keys (the last query sees all).  `lengths`: in example n the keys
j >= lengths[n] are padding, and no query sees them.
"""

from __future__ import annotations

from typing import Any

from ..checks import Positive, PositiveInteger, check_fields, check_number
from .base import Operator, Rule, Rules, Shape, check_exact_rank, check_rank, check_sizes


def _check_lengths(lengths: tuple[int, ...]) -> None:
    if lengths != ():
        check_sizes("lengths", lengths, 1)


class Attention(Operator, frozen=True, tag="attention"):
    """Scaled dot product attention of queries, keys and values (Vaswani et al. 2017).

    Inputs q (N, T, d), k (N, S, d), v (N, S, e).  y = softmax(q k^T scale) v, the softmax
    over the keys that are seen; y is (N, T, e).  `scale` is 1 / sqrt(d) where it is left out.
    """

    causal: bool = False
    lengths: tuple[int, ...] = ()
    scale: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        _check_lengths(self.lengths)
        if self.scale is not None:
            check_number("scale", self.scale, float, {"exclusiveMinimum": 0})


class MultiHeadAttention(Operator, frozen=True, tag="multi_head_attention"):
    """Multi-head attention (Vaswani et al. 2017), with grouped queries (Ainslie et al. 2023).

    One input x (N, T, D): self attention, m = x.  Two inputs x and m (N, S, E): cross
    attention.  With H = `heads`, G = `key_value_heads` (H where left out), d = D / H:

        q = x Wq^T + bq    Wq (D, D)         k = m Wk^T + bk    Wk (G d, E)
        v = m Wv^T + bv    Wv (G d, E)       y = o Wo^T + bo    Wo (D, D)

    q is cut into H heads of d features, k and v into G: head h uses the key and value head
    floor(h G / H).  With `rotary`, q and k are then turned as by the operator `rotary`, each
    head by itself.  o joins the heads' attention(q, k, v), of scale 1 / sqrt(d).  The
    parameters are `query_weight`, `key_weight`, `value_weight`, `output_weight` and, with
    `bias`, `query_bias` (D,), `key_bias` (G d,), `value_bias` (G d,), `output_bias` (D,).
    """

    heads: PositiveInteger = 1
    key_value_heads: PositiveInteger | None = None
    causal: bool = False
    lengths: tuple[int, ...] = ()
    rotary: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        _check_lengths(self.lengths)
        if self.key_value_heads is not None:
            check_number("key_value_heads", self.key_value_heads, int, {"minimum": 1})
            if self.heads % self.key_value_heads:
                raise ValueError(
                    f"key_value_heads {self.key_value_heads} do not divide the {self.heads} heads"
                )


class Rotary(Operator, frozen=True, tag="rotary"):
    """Rotary positions (Su et al. 2021): x (..., T, D), D even, turned pair by pair.

    With i < D / 2, position t = 0, 1, ... and the angle a = t / base^(2 i / D):

        y[t, i]         = x[t, i] cos a - x[t, i + D/2] sin a
        y[t, i + D/2]   = x[t, i] sin a + x[t, i + D/2] cos a
    """

    base: Positive = 10000.0


ATTENTION: tuple[type[Operator], ...] = (Attention, MultiHeadAttention, Rotary)


def check_masks(op: Any, batch: int, queries: int, keys: int) -> None:
    """Raise ValueError where a mask does not fit or leaves some query nothing to see."""
    if op.causal and keys < queries:
        raise ValueError(
            f"{op.name}: the causal mask leaves nothing for the first of {queries} queries, "
            f"with {keys} keys"
        )
    if op.lengths != ():
        if len(op.lengths) != batch:
            raise ValueError(
                f"{op.name}: lengths must have one entry for each of the {batch} examples, "
                f"got {len(op.lengths)}"
            )
        if max(op.lengths) > keys:
            raise ValueError(f"{op.name}: length {max(op.lengths)} is beyond the {keys} keys")


def _attention(op: Attention, q: Shape, k: Shape, v: Shape) -> Shape:
    for x in (q, k, v):
        check_exact_rank(op, x, 3, "(N, T, features)")
    if not (q[0] == k[0] == v[0] and q[-1] == k[-1] and k[-2] == v[-2]):
        raise ValueError(f"attention: queries {q}, keys {k} and values {v} do not fit")
    check_masks(op, q[0], q[-2], k[-2])
    return (*q[:-1], v[-1])


def _multi_head(op: MultiHeadAttention, x: Shape, m: Shape | None = None) -> Shape:
    memory = x if m is None else m
    check_exact_rank(op, x, 3, "(N, T, features)")
    check_exact_rank(op, memory, 3, "(N, S, features)")
    if x[0] != memory[0]:
        raise ValueError(f"{op.name}: inputs {x} and {memory} differ in the batch")
    if x[-1] % op.heads:
        raise ValueError(f"{op.name}: heads {op.heads} do not divide the {x[-1]} features")
    if op.rotary and x[-1] // op.heads % 2:
        raise ValueError(f"{op.name}: rotary needs an even head size, got {x[-1] // op.heads}")
    check_masks(op, x[0], x[1], memory[1])
    return x


def _multi_head_parameters(
    op: MultiHeadAttention, x: Shape, m: Shape | None = None
) -> dict[str, Shape]:
    features, memory = x[-1], (x if m is None else m)[-1]
    narrow = (op.key_value_heads or op.heads) * (features // op.heads)
    found: dict[str, Shape] = {
        "query_weight": (features, features),
        "key_weight": (narrow, memory),
        "value_weight": (narrow, memory),
        "output_weight": (features, features),
    }
    if op.bias:
        found |= {
            "query_bias": (features,),
            "key_bias": (narrow,),
            "value_bias": (narrow,),
            "output_bias": (features,),
        }
    return found


def _rotary(op: Rotary, x: Shape) -> Shape:
    check_rank(op, x, 3, "(..., T, features)")
    if x[-1] % 2:
        raise ValueError(f"rotary turns pairs, so features must be even, got {x[-1]}")
    return x


RULES: Rules = {
    Attention: Rule(_attention, arity=(3, 3)),
    MultiHeadAttention: Rule(_multi_head, _multi_head_parameters, arity=(1, 2)),
    Rotary: Rule(_rotary),
}
