"""Recurrence over sequences x (N, T, D), with H = `units`.

The first input is x.  A second input, if any, is the initial hidden state, of shape
(layers directions, N, H), where index 2 l + r is layer l in direction r (or l alone where
there is one direction, that is unless `bidirectional`); for an LSTM a third is the initial
cell state, alike.  Initial states are 0 where not given.

Layer 0 reads x, layer l > 0 the outputs of layer l - 1: those of both directions, the
forward ones first, (N, T, H) or (N, T, 2 H).  Backward directions read the sequence from
its end.  With `lengths`, example n has lengths[n] steps: a forward direction stops there
with its state, a backward one starts there, and outputs beyond are 0.

`returns`: `sequence` the outputs of the last layer; `hidden` the last hidden states and, for
an LSTM, `cell` the last cell states, of every layer and direction, as the initial ones
(the last of a backward direction is the one at step 0).

The parameters of layer l are `input_weight_l` (g H, its inputs), `hidden_weight_l` (g H, H)
and, with `bias`, `input_bias_l`, `hidden_bias_l` (g H,); those of the backward direction end
in `_reverse`.  g is the number of gates, stacked in the order given.
"""

from __future__ import annotations

from typing import Any, Literal

from ..checks import PositiveInteger, check_fields
from .base import Operator, Rule, Rules, Shape, check_exact_rank, check_sizes


class _Recurrence(Operator, frozen=True):
    units: PositiveInteger
    layers: PositiveInteger = 1
    bidirectional: bool = False
    lengths: tuple[int, ...] = ()
    bias: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.lengths != ():
            check_sizes("lengths", self.lengths, 1)


class RNN(_Recurrence, frozen=True, tag="rnn"):
    """h_t = f(x_t Wi^T + bi + h_{t-1} Wh^T + bh), f the `activation` (Elman 1990).  g = 1."""

    activation: Literal["tanh", "relu"] = "tanh"
    returns: Literal["sequence", "hidden"] = "sequence"


class LSTM(_Recurrence, frozen=True, tag="lstm"):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

    With a = x_t Wi^T + bi + h_{t-1} Wh^T + bh cut into a_i, a_f, a_g, a_o (g = 4), s the
    sigmoid:  c_t = s(a_f) c_{t-1} + s(a_i) tanh(a_g),  h_t = s(a_o) tanh(c_t).
    """

    returns: Literal["sequence", "hidden", "cell"] = "sequence"


class GRU(_Recurrence, frozen=True, tag="gru"):
    """Gated recurrent unit (Cho et al. 2014), the reset gate after the matrix product.

    With x_t Wi^T + bi cut into u_r, u_z, u_n and h_{t-1} Wh^T + bh into w_r, w_z, w_n
    (g = 3), s the sigmoid:  r = s(u_r + w_r),  z = s(u_z + w_z),  n = tanh(u_n + r w_n),
    h_t = (1 - z) n + z h_{t-1}.
    """

    returns: Literal["sequence", "hidden"] = "sequence"


RECURRENCE: tuple[type[Operator], ...] = (RNN, LSTM, GRU)

GATES: dict[type[Operator], int] = {RNN: 1, LSTM: 4, GRU: 3}


def directions(op: Any) -> int:
    """1, or 2 where a recurrence runs both ways."""
    return 2 if op.bidirectional else 1


def _output(op: Any, x: Shape, *states: Shape) -> Shape:
    check_exact_rank(op, x, 3, "(N, T, features)")
    state = (op.layers * directions(op), x[0], op.units)
    for given in states:
        if given != state:
            raise ValueError(f"{op.name}: an initial state must have shape {state}, got {given}")
    if op.lengths != ():
        if len(op.lengths) != x[0]:
            raise ValueError(
                f"{op.name}: lengths must have one entry for each of the {x[0]} examples, "
                f"got {len(op.lengths)}"
            )
        if max(op.lengths) > x[1]:
            raise ValueError(f"{op.name}: length {max(op.lengths)} is beyond the {x[1]} steps")
    if op.returns != "sequence":
        return state
    return (*x[:2], directions(op) * op.units)


def _parameters(op: Any, x: Shape, *states: Shape) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    wide, features = GATES[type(op)] * op.units, x[-1]
    for layer in range(op.layers):
        for suffix in ("", "_reverse")[: directions(op)]:
            found[f"input_weight_{layer}{suffix}"] = (wide, features)
            found[f"hidden_weight_{layer}{suffix}"] = (wide, op.units)
            if op.bias:
                found[f"input_bias_{layer}{suffix}"] = (wide,)
                found[f"hidden_bias_{layer}{suffix}"] = (wide,)
        features = directions(op) * op.units
    return found


RULES: Rules = {
    RNN: Rule(_output, _parameters, arity=(1, 2)),
    LSTM: Rule(_output, _parameters, arity=(1, 3)),
    GRU: Rule(_output, _parameters, arity=(1, 2)),
}
