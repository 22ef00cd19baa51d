"""Gated linear unit (Dauphin, Fan, Auli and Grangier 2017).

    y = a s(b)        s the sigmoid, s' = s(b) s(-b)

    dy = s(b) da + a s(b) s(-b) db

    a_bar = s(b) y_bar        b_bar = a s(b) s(-b) y_bar

x = [a, b], halves of the features, and so is x_bar = [a_bar, b_bar].
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import GLU
from ..arrays import Array, Arrays, Saved
from ..stable import sigmoid


def forward(layer: GLU, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    n = x.shape[-1] // 2
    a, b = x[..., :n], x[..., n:]
    return a * sigmoid(b), (a, b)


def backward(layer: GLU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    a, b = saved
    a_bar = sigmoid(b) * y_bar
    b_bar = a * sigmoid(b) * sigmoid(-b) * y_bar
    return np.concatenate([a_bar, b_bar], axis=-1), {}
