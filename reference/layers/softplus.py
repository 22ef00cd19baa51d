"""Softplus (Dugas, Bengio, Belisle, Nadeau and Garcia 2001), sharpened by b = `beta`.

    y = log(1 + e^(b x)) / b        dy = e^(b x) / (1 + e^(b x)) dx = s(b x) dx

    x_bar = s(b x) y_bar

s is the sigmoid; b and 1/b cancel.

The nearest singularity is where e^(b x) = -1, at a distance of at least pi/b.
"""

from __future__ import annotations

from ...architectures.operators import Softplus
from ..arrays import Array, Arrays, Saved
from ..stable import log1p_exp, sigmoid


def radius(layer: Softplus, x: Array) -> float:
    return 1 / layer.beta


def forward(layer: Softplus, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return log1p_exp(layer.beta * x) / layer.beta, x


def backward(layer: Softplus, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x = saved
    return sigmoid(layer.beta * x) * y_bar, {}
