"""Gated linear unit with SiLU in place of the sigmoid (Shazeer 2020).

    y = a s(a) b        s the sigmoid

    dy = s(a) (1 + a s(-a)) b da + a s(a) db        (the first slope is that of silu)

    a_bar = s(a) (1 + a s(-a)) b y_bar        b_bar = a s(a) y_bar

x = [a, b], halves of the features, and so is x_bar = [a_bar, b_bar].
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import SwiGLU
from ..arrays import Array, Arrays, Saved
from ..stable import sigmoid


def forward(layer: SwiGLU, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    n = x.shape[-1] // 2
    a, b = x[..., :n], x[..., n:]
    return a * sigmoid(a) * b, (a, b)


def backward(layer: SwiGLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    a, b = saved
    a_bar = sigmoid(a) * (1 + a * sigmoid(-a)) * b * y_bar
    b_bar = a * sigmoid(a) * y_bar
    return np.concatenate([a_bar, b_bar], axis=-1), {}
