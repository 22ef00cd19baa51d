"""Dense layer with weight normalisation (Salimans and Kingma 2016).

    y = x W^T + b        W_k = g_k u_k        u_k = v_k / |v_k|

Row by row, with P = I - u u' (which is symmetric, and takes away what lies along u):

    d|v| = <u, dv>        du = (dv - u <u, dv>) / |v| = P dv / |v|
    dW = u dg + g du

    g_bar = <W_bar, u>        v_bar = g P W_bar / |v|        with W_bar as for a dense layer

The norm divides by the largest entry before it squares, so as not to overflow; the divisor
is a constant to the derivative.

Radius.  W is singular where |v|^2, the sum of the squares, is 0.  Along d with entries of at
most 1, whose own length is at most sqrt(n), it has the roots |t| = |v| / |d|: nothing is
singular while none of the n entries of v moves by |v| / sqrt(n).  `inner` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...architectures.operators import WeightNormDense
from ..arrays import Array, Arrays, Saved, over, rows


def norm(v: Array) -> Array:
    """The length of each row (..., units, 1), analytic in v."""
    largest = np.abs(v.real).max(axis=-1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    z = v / scale
    length: Array = scale * np.sqrt((z * z).sum(axis=-1, keepdims=True))
    return length


def radius(layer: WeightNormDense, x: Array) -> float:
    return np.inf


def inner(layer: WeightNormDense, saved: Saved) -> Sequence[tuple[Array, Any]]:
    _, v, _, length = saved
    distance = np.abs(length.real) / np.sqrt(v.shape[-1])
    return ((v, np.broadcast_to(distance, v.shape)),)


def forward(layer: WeightNormDense, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    v = p["direction"]
    length = norm(v)
    u = v / length
    w = p["gain"][..., None] * u
    y = x @ np.swapaxes(over(w, x, 2), -1, -2)
    if layer.bias:
        y = y + over(p["bias"], y, 1)
    return y, (x, v, u, length)


def backward(layer: WeightNormDense, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x, _, u, length = saved
    gain = p["gain"][..., None]
    z_bar = rows(y_bar, u, 2)
    w_bar = np.swapaxes(z_bar, -1, -2) @ rows(x, u, 2)
    g_bar = (w_bar * u).sum(axis=-1)
    p_bar = {"direction": gain * (w_bar - u * g_bar[..., None]) / length, "gain": g_bar}
    if layer.bias:
        p_bar["bias"] = z_bar.sum(axis=-2)
    return y_bar @ over(gain * u, y_bar, 2), p_bar
