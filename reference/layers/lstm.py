"""Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

With a = u + w cut into four, s the sigmoid,

    i = s(a_i)    f = s(a_f)    g = tanh(a_g)    o = s(a_o)
    c' = f c + i g        h' = o tanh(c')

c and h are the states before the step, c' and h' those after it.

    dh' = tanh(c') do + o (1 - tanh(c')^2) dc'
    dc' = f dc + c df + g di + i dg

Let k = c'_bar + o (1 - tanh(c')^2) h'_bar collect all that reaches c'.  Then

    a_i_bar = s'(a_i) g k                 a_f_bar = s'(a_f) c k        c_bar = f k
    a_g_bar = (1 - g^2) i k               a_o_bar = s'(a_o) tanh(c') h'_bar

where s'(a) = s(a) s(-a) and 1 - tanh(a)^2 = 4 s(2a) s(-2a), which keep their digits in
saturated gates.  u_bar = w_bar = a_bar; the rest is `unrolling.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...architectures.operators import LSTM
from ..arrays import Array, Arrays, Saved
from ..stable import sigmoid, slope_of_sigmoid, slope_of_tanh
from .unrolling import Cell, arguments, cut, pull, unroll


def step(
    layer: LSTM, u: Array, w: Array, h: Array, c: Array, piece: None
) -> tuple[Array, Array, Saved]:
    a = u + w
    a_i, a_f, a_g, a_o = cut(a, 4)
    new_c = sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)
    return sigmoid(a_o) * np.tanh(new_c), new_c, (a, c, new_c)


def step_backward(layer: LSTM, saved: Saved, h_bar: Array, c_bar: Array) -> tuple[Array, ...]:
    a, c, new_c = saved
    a_i, a_f, a_g, a_o = cut(a, 4)
    k = c_bar + sigmoid(a_o) * slope_of_tanh(new_c) * h_bar
    a_bar = np.concatenate(
        [
            slope_of_sigmoid(a_i) * np.tanh(a_g) * k,
            slope_of_sigmoid(a_f) * c * k,
            slope_of_tanh(a_g) * sigmoid(a_i) * k,
            slope_of_sigmoid(a_o) * np.tanh(new_c) * h_bar,
        ],
        axis=-1,
    )
    return a_bar, a_bar, np.zeros_like(h_bar), sigmoid(a_f) * k


CELL = Cell(step, step_backward, lambda saved: (saved[0], saved[2]))


def radius(layer: LSTM, x: Any) -> float:
    return np.inf


def inner(layer: LSTM, saved: Saved) -> Iterator[tuple[Array, float]]:
    return arguments(CELL, saved)


def forward(layer: LSTM, p: Arrays, x: Any, branch: None) -> tuple[Array, Saved]:
    return unroll(CELL, layer, p, x, None)


def backward(layer: LSTM, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Any, Arrays]:
    return pull(CELL, layer, p, saved, y_bar)
