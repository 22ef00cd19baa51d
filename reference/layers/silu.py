"""Sigmoid linear unit, or swish (Elfwing, Uchibe and Doya 2018).

    y = x s(x)        s(x) = 1 / (1 + e^-x),    s' = s(x) s(-x)

    dy = (s(x) + x s(x) s(-x)) dx = s(x) (1 + x s(-x)) dx        x_bar = s(x) (1 + x s(-x)) y_bar

s(-x) is 1 - s(x), but keeps its relative accuracy where that is small.
"""

from __future__ import annotations

from ...architectures.operators import SiLU
from ..arrays import Array, Arrays, Saved
from ..stable import sigmoid


def forward(layer: SiLU, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return x * sigmoid(x), x


def backward(layer: SiLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x = saved
    return sigmoid(x) * (1 + x * sigmoid(-x)) * y_bar, {}
