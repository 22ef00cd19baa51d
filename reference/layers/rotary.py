"""Rotary positions: each pair of features is turned by an angle (Su et al. 2021).

With i < D/2, position t and the angle a = t / base^(2i/D), a pair u = x[t, i], w = x[t, i + D/2]
becomes

    u cos a - w sin a        u sin a + w cos a        or y = R(a) x

R is orthogonal, so <y_bar, R(a) dx> = <R(a)^T y_bar, dx> with R(a)^T = R(-a):

    x_bar = R(-a) y_bar

Norms are kept, and <R(a) x, R(b) y> = <x, R(b - a) y>: of queries and keys only the difference
of the positions counts.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Rotary
from ..arrays import Array, Arrays, Saved

DEFAULT = Rotary()


def turn(layer: Rotary, x: Array, sense: float = 1.0) -> Array:
    """R(a) x over the last two axes (T, D); R(-a) x with `sense` -1."""
    steps, half = x.shape[-2], x.shape[-1] // 2
    angle = np.arange(steps)[:, None] / layer.base ** (np.arange(half) / half)
    cos, sin = (np.asarray(f, x.real.dtype) for f in (np.cos(angle), sense * np.sin(angle)))
    u, w = x[..., :half], x[..., half:]
    return np.concatenate([u * cos - w * sin, u * sin + w * cos], axis=-1)


def radius(layer: Rotary, x: Array) -> float:
    return np.inf


def forward(layer: Rotary, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return turn(layer, x), None


def backward(layer: Rotary, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    return turn(layer, y_bar, -1.0), {}
