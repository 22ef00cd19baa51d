"""Gated recurrent unit (Cho et al. 2014), the reset gate after the matrix product.

With u and w cut into three, s the sigmoid, h the state before the step and h' after it,

    r = s(u_r + w_r)    z = s(u_z + w_z)    n = tanh(u_n + r w_n)    h' = (1 - z) n + z h

    dh' = (1 - z) dn + (h - n) dz + z dh        dn = (1 - n^2) (du_n + r dw_n + w_n dr)

With m = (1 - n^2) (1 - z) h'_bar, all that reaches the argument of the tanh,

    u_n_bar = m        w_n_bar = r m        r_bar = w_n m        z_bar = (h - n) h'_bar
    u_r_bar = w_r_bar = s'(u_r + w_r) r_bar        u_z_bar = w_z_bar = s'(u_z + w_z) z_bar
    h_bar = z h'_bar

where 1 - z = s(-(u_z + w_z)), and the slopes are as for `lstm`.  What h sends through w
comes on top; that, and the rest, is `unrolling.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...architectures.operators import GRU
from ..arrays import Array, Arrays, Saved
from ..stable import as_difference, sigmoid, slope_of_sigmoid, slope_of_tanh
from .unrolling import Cell, arguments, cut, pull, unroll


def step(
    layer: GRU, u: Array, w: Array, h: Array, c: Array, piece: None
) -> tuple[Array, Array, Saved]:
    (u_r, u_z, u_n), (w_r, w_z, w_n) = cut(u, 3), cut(w, 3)
    a_r, a_z = u_r + w_r, u_z + w_z
    a_n = u_n + sigmoid(a_r) * w_n
    n = np.tanh(a_n)
    new_h = sigmoid(-a_z) * n + sigmoid(a_z) * h
    new_h = as_difference(new_h, np.abs(n) + np.abs(h))
    return new_h, c, (a_r, a_z, a_n, w_n, h)


def step_backward(layer: GRU, saved: Saved, h_bar: Array, c_bar: Array) -> tuple[Array, ...]:
    a_r, a_z, a_n, w_n, h = saved
    other = as_difference(sigmoid(-a_z), sigmoid(a_z))
    m = slope_of_tanh(a_n) * other * h_bar
    r_bar = slope_of_sigmoid(a_r) * w_n * m
    z_bar = slope_of_sigmoid(a_z) * (h - np.tanh(a_n)) * h_bar
    u_bar = np.concatenate([r_bar, z_bar, m], axis=-1)
    w_bar = np.concatenate([r_bar, z_bar, sigmoid(a_r) * m], axis=-1)
    return u_bar, w_bar, sigmoid(a_z) * h_bar, c_bar


CELL = Cell(step, step_backward, lambda saved: saved[:3])


def radius(layer: GRU, x: Any) -> float:
    return np.inf


def inner(layer: GRU, saved: Saved) -> Iterator[tuple[Array, float]]:
    return arguments(CELL, saved)


def forward(layer: GRU, p: Arrays, x: Any, branch: None) -> tuple[Array, Saved]:
    return unroll(CELL, layer, p, x, None)


def backward(layer: GRU, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Any, Arrays]:
    return pull(CELL, layer, p, saved, y_bar)
