"""Logistic sigmoid.

    y = s(x) = 1 / (1 + e^-x)

    dy = e^-x / (1 + e^-x)^2 dx = s(x) s(-x) dx        x_bar = s(x) s(-x) y_bar

since s(-x) = e^-x / (1 + e^-x).  That is y (1 - y), but does not cancel where y is near 1.
"""

from __future__ import annotations

from ...architectures.operators import Sigmoid
from ..arrays import Array, Arrays, Saved
from ..stable import sigmoid


def forward(layer: Sigmoid, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return sigmoid(x), x


def backward(layer: Sigmoid, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x = saved
    return sigmoid(x) * sigmoid(-x) * y_bar, {}
