"""Recurrences in JAX, one scan for each layer and direction: y = f(op, parameters, x).

A cell is one step: (op, u, w, state) -> state, with u = x_t Wi^T + bi, w = h_{t-1} Wh^T + bh
and the state (h,), or (h, c) for an LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters
from .pieces import sigmoid, tanh

State = tuple[Array, ...]
Cell = Callable[[Any, Array, Array, State], State]


def _rnn(op: ops.RNN, u: Array, w: Array, state: State) -> State:
    return (tanh(u + w) if op.activation == "tanh" else jax.nn.relu(u + w),)


def _lstm(op: ops.LSTM, u: Array, w: Array, state: State) -> State:
    i, f, g, o = jnp.split(u + w, 4, -1)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(op: ops.GRU, u: Array, w: Array, state: State) -> State:
    """1 - z as sigmoid of minus its argument: where z is nearly 1, it keeps its digits."""
    (u_r, u_z, u_n), (w_r, w_z, w_n) = jnp.split(u, 3, -1), jnp.split(w, 3, -1)
    n = tanh(u_n + sigmoid(u_r + w_r) * w_n)
    return (sigmoid(-(u_z + w_z)) * n + sigmoid(u_z + w_z) * state[0],)


def _one_way(
    op: Any, p: Parameters, cell: Cell, x: Array, place: str, initial: State
) -> tuple[Array, State]:
    """The outputs (N, T, H) and the last state of one layer in one direction.

    Beyond an example's length a step leaves the state as it is: a backward direction, which
    comes there first, keeps its initial one.
    """
    input_bias, hidden_bias = (
        (p[f"input_bias_{place}"], p[f"hidden_bias_{place}"]) if op.bias else (0, 0)
    )
    inputs = jnp.swapaxes(x @ p[f"input_weight_{place}"].T + input_bias, 0, 1)
    hidden = p[f"hidden_weight_{place}"].T
    n, steps = x.shape[:2]
    inside = np.arange(steps)[:, None, None] < np.array(op.lengths or (steps,) * n)[:, None]

    def step(state: State, given: tuple[Array, Array]) -> tuple[State, Array]:
        u, here = given
        new = cell(op, u, state[0] @ hidden + hidden_bias, state)
        kept = tuple(jnp.where(here, a, b) for a, b in zip(new, state, strict=True))
        return kept, jnp.where(here, new[0], 0)

    backward = place.endswith("_reverse")
    last, outputs = jax.lax.scan(step, initial, (inputs, jnp.array(inside)), reverse=backward)
    return jnp.swapaxes(outputs, 0, 1), last


def _recurrence(cell: Cell, states: int) -> Forward:
    """The whole network of such a cell, whose state has so many parts."""

    def forward(op: Any, p: Parameters, x: Array | tuple[Array, ...]) -> Array:
        y, *given = x if isinstance(x, tuple) else (x,)
        suffixes = ("", "_reverse") if op.bidirectional else ("",)
        zeros = jnp.zeros((op.layers * len(suffixes), y.shape[0], op.units))
        initial = (*given, *(zeros,) * (states - len(given)))
        last: list[State] = []
        for layer in range(op.layers):
            outputs = []
            for suffix in suffixes:
                start = tuple(part[len(last)] for part in initial)
                output, end = _one_way(op, p, cell, y, f"{layer}{suffix}", start)
                outputs.append(output)
                last.append(end)
            y = jnp.concatenate(outputs, -1)
        if op.returns == "sequence":
            return y
        return jnp.stack([end[op.returns == "cell"] for end in last])

    return forward


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.RNN: _recurrence(_rnn, 1),
    ops.LSTM: _recurrence(_lstm, 2),
    ops.GRU: _recurrence(_gru, 1),
}
"""Each operator's y = f(op, parameters, x)."""
