"""Logarithm of the sigmoid.

    y = -log(1 + e^-x)

    dy = e^-x / (1 + e^-x) dx = s(-x) dx        x_bar = s(-x) y_bar

s is the sigmoid, and s(-x) is 1 - s(x) without its cancellation for large x.
"""

from __future__ import annotations

from ...architectures.operators import LogSigmoid
from ..arrays import Array, Arrays, Saved
from ..stable import log1p_exp, sigmoid


def forward(layer: LogSigmoid, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return -log1p_exp(-x), x


def backward(layer: LogSigmoid, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x = saved
    return sigmoid(-x) * y_bar, {}
