"""Simple recurrence (Elman 1990).

    h_t = f(a_t),  a_t = u_t + w_t        dh_t = f'(a_t) (du_t + dw_t)

    u_t_bar = w_t_bar = f'(a_t) h_t_bar

with f' = 1 - tanh^2 = 4 s(2a) s(-2a), s the sigmoid, which keeps its digits where tanh is
almost 1; or f' one or zero on the two pieces of the ReLU.  u_t and w_t are what enters and
what comes from the step before; the rest is `unrolling.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...architectures.operators import RNN
from ..arrays import Array, Arrays, Kink, Saved, alike
from ..stable import slope_of_tanh
from .unrolling import Cell, arguments, pull, unroll


def step(
    layer: RNN, u: Array, w: Array, h: Array, c: Array, piece: Array | None
) -> tuple[Array, Array, Saved]:
    a = u + w
    if layer.activation == "tanh":
        return np.tanh(a), c, (a, None)
    piece = (a.real > 0) if piece is None else piece == 1
    return np.where(piece, a, 0.0), c, (a, piece)


def step_backward(layer: RNN, saved: Saved, h_bar: Array, c_bar: Array) -> tuple[Array, ...]:
    a, piece = saved
    if layer.activation == "tanh":
        a_bar = slope_of_tanh(a) * h_bar
    else:
        a_bar = np.where(piece, h_bar, 0.0)
    return a_bar, a_bar, np.zeros_like(h_bar), c_bar


CELL = Cell(step, step_backward, lambda saved: (saved[0],) if saved[1] is None else ())


def kink(layer: RNN, p: Arrays, x: Any) -> Kink | None:
    """Every pre-activation, (layers directions, N, T, units); 1 beyond an example's length."""
    if layer.activation == "tanh":
        return None
    _, saved = unroll(CELL, layer, p, x, None)
    found = []
    for run in saved.runs:
        by_time = dict(zip(run.order, (a for a, _ in run.cells), strict=True))
        found.append(np.stack(alike([by_time[t] for t in sorted(by_time)]), axis=-2))
    argument = np.stack(alike(found), axis=-4)
    if saved.counts is not None:
        argument = np.where(saved.counts, argument, 1.0)
    return Kink(argument, (0.0,))


def radius(layer: RNN, x: Any) -> float:
    return np.inf


def inner(layer: RNN, saved: Saved) -> Iterator[tuple[Array, float]]:
    return arguments(CELL, saved)


def forward(layer: RNN, p: Arrays, x: Any, branch: Array | None) -> tuple[Array, Saved]:
    return unroll(CELL, layer, p, x, branch)


def backward(layer: RNN, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Any, Arrays]:
    return pull(CELL, layer, p, saved, y_bar)
