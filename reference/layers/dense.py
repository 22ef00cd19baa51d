"""Dense (affine) layer: every output is a weighted sum of every input.

    y = x W^T + b        x (N, n)   W (m, n)   b (m,)   y (N, m)

N counts all leading axes together.  Differentiate, and move each linear map across the inner
product <A, B> = sum(A * B):

    dy = dx W^T + x dW^T + 1 db^T

    <y_bar, dx W^T>  = <y_bar W, dx>          x_bar = y_bar W
    <y_bar, x dW^T>  = <y_bar^T x, dW>        W_bar = y_bar^T x
    <y_bar, 1 db^T>  = <y_bar^T 1, db>        b_bar = sum of the rows of y_bar

The rows are summed, not averaged: a division by N, if any, belongs to the loss.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Dense
from ..arrays import Array, Arrays, Saved, over, rows


def radius(layer: Dense, x: Array) -> float:
    return np.inf


def forward(layer: Dense, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    y = x @ np.swapaxes(over(p["weight"], x, 2), -1, -2)
    if layer.bias:
        y = y + over(p["bias"], y, 1)
    return y, x


def backward(layer: Dense, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    w = p["weight"]
    x, z_bar = rows(saved, w, 2), rows(y_bar, w, 2)
    p_bar = {"weight": np.swapaxes(z_bar, -1, -2) @ x}
    if layer.bias:
        p_bar["bias"] = z_bar.sum(axis=-2)
    return y_bar @ over(w, y_bar, 2), p_bar
