"""How each operator of several inputs, or of none, is drawn: one entry an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import operators as ops
from .drawing import Drawing
from .operators import Shape
from .strategies import Make, multi_head, recurrence


@dataclass(frozen=True)
class Joint:
    """An operator of several inputs: x, and others, each an earlier edge or a new `variable`.

    `others` are their shapes; where `swapped`, x is the last input instead of the first.
    """

    operator: ops.Operator
    others: tuple[Shape, ...]
    swapped: bool = False


JointStrategy = Callable[[Drawing, Shape], Joint | None]


def _entrywise(kind: Make) -> JointStrategy:
    def draw(d: Drawing, x: Shape) -> Joint | None:
        return Joint(kind(), (x,) * (d.choose((1, 1, 2)) if kind is ops.Add else 1), d.flag())

    return draw


def _broadcast(kind: Make) -> JointStrategy:
    plain = _entrywise(kind)

    def draw(d: Drawing, x: Shape) -> Joint | None:
        if not d.choose((False, False, True)):
            return plain(d, x)
        other = tuple(1 if d.flag() else n for n in x)
        return Joint(kind(), (other,), d.flag())

    return draw


def _concat(d: Drawing, x: Shape) -> Joint | None:
    axis = -int(d.choose(range(1, len(x))))
    other = list(x)
    if d.flag():
        other[axis] = int(d.choose((1, 2)))
    return Joint(ops.Concat(axis), (tuple(other),), d.flag())


def _matmul(d: Drawing, x: Shape) -> Joint | None:
    if len(x) < 3:
        return None
    n, k = x[-2:]
    a, b, m = d.flag(), d.flag(), d.units()
    inner = n if a else k
    other = (m, inner) if b else (inner, m)
    return Joint(ops.MatMul(a, b), ((*x[:-2], *other),))


def _bilinear(d: Drawing, x: Shape) -> Joint | None:
    return Joint(ops.Bilinear(d.units(), d.choose((True, False))), ((*x[:-1], d.units()),), False)


def _attention(d: Drawing, x: Shape) -> Joint | None:
    if len(x) != 3:
        return None
    rows, t, features = x
    causal = d.flag()
    s = t + int(d.choose((0, 1, 2))) if causal else int(d.choose((t, 1, t + 1)))
    op = ops.Attention(causal, d.lengths(x[0], s), d.choose((None, 0.5)))
    return Joint(op, ((rows, s, features), (rows, s, d.units())))


def _cross_attention(d: Drawing, x: Shape) -> Joint | None:
    own = multi_head(d, x)
    if not isinstance(own, ops.MultiHeadAttention):
        return None
    s = x[1] + int(d.choose((0, 1)))
    op = ops.MultiHeadAttention(
        own.heads, own.key_value_heads, own.causal, d.lengths(x[0], s), own.rotary, own.bias
    )
    return Joint(op, ((x[0], s, d.units()),))


def _with_state(kind: Make) -> JointStrategy:
    plain = recurrence(kind)

    def draw(d: Drawing, x: Shape) -> Joint | None:
        op: Any = plain(d, x)
        if op is None:
            return None
        state = (op.layers * (2 if op.bidirectional else 1), x[0], op.units)
        states = (state,) * (d.choose((1, 2)) if kind is ops.LSTM else 1)
        return Joint(op, states)

    return draw


JOINT: Mapping[type[ops.Operator], JointStrategy] = {
    ops.Add: _broadcast(ops.Add),
    ops.Subtract: _broadcast(ops.Subtract),
    ops.Multiply: _broadcast(ops.Multiply),
    ops.Maximum: _entrywise(ops.Maximum),
    ops.Minimum: _entrywise(ops.Minimum),
    ops.Concat: _concat,
    ops.MatMul: _matmul,
    ops.Bilinear: _bilinear,
    ops.Attention: _attention,
    ops.MultiHeadAttention: _cross_attention,
    ops.RNN: _with_state(ops.RNN),
    ops.LSTM: _with_state(ops.LSTM),
    ops.GRU: _with_state(ops.GRU),
}
"""The operators of several inputs."""


def embedding(d: Drawing, shape: Shape) -> ops.Embedding:
    """Indices of this shape, as vectors."""
    classes = int(d.choose((3, 2, 5)))
    padding = d.choose((None, 0, classes - 1))
    return ops.Embedding(classes, d.units(), shape, padding)
