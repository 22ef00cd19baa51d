"""Bilinear layer: every output is a weighted sum of all products of two inputs.

    y_k = a W_k b' + c_k        a (N, m)   b (N, n)   W (units, m, n)   c (units,)

N counts all leading axes together.  Row by row,

    dy_k = da W_k b' + a W_k db' + a dW_k b' + dc_k

    a_bar = sum_k y_bar_k b W_k'        b_bar = sum_k y_bar_k a W_k
    W_bar_k = sum over the rows of y_bar_k a' b        c_bar = sum of the rows of y_bar

With the products a_i b_j of a row as one vector q of m n entries, and W as a matrix of
units by m n, it is a dense layer, y = q W^T + c, whose q_bar is then shared out:

    dq = da b + a db        a_bar = q_bar b'        b_bar = a q_bar
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Bilinear
from ..arrays import Array, Arrays, Saved, over, rows


def radius(layer: Bilinear, x: tuple[Array, Array]) -> float:
    return np.inf


def matrix(w: Array) -> Array:
    """W (..., units, m, n) as (..., units, m n)."""
    return w.reshape(*w.shape[:-2], -1)


def forward(
    layer: Bilinear, p: Arrays, x: tuple[Array, Array], branch: None
) -> tuple[Array, Saved]:
    a, b = x
    q = a[..., :, None] * b[..., None, :]
    q = q.reshape(*q.shape[:-2], -1)
    y = q @ np.swapaxes(over(matrix(p["weight"]), q, 2), -1, -2)
    if layer.bias:
        y = y + over(p["bias"], y, 1)
    return y, (a, b, q)


def backward(
    layer: Bilinear, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, Array], Arrays]:
    a, b, q = saved
    w = matrix(p["weight"])
    z_bar = rows(y_bar, w, 2)
    w_bar = np.swapaxes(z_bar, -1, -2) @ rows(q, w, 2)
    p_bar = {"weight": w_bar.reshape(p["weight"].shape)}
    if layer.bias:
        p_bar["bias"] = z_bar.sum(axis=-2)
    q_bar = y_bar @ over(w, y_bar, 2)
    q_bar = q_bar.reshape(*q_bar.shape[:-1], a.shape[-1], b.shape[-1])
    a_bar = (q_bar @ b[..., None])[..., 0]
    b_bar = (a[..., None, :] @ q_bar)[..., 0, :]
    return (a_bar, b_bar), p_bar
