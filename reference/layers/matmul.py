"""Product of two tensors, matrix by matrix.

    Y = A B        dY = dA B + A dB

    <Y_bar, dA B> = <Y_bar B', dA>        A_bar = Y_bar B'
    <Y_bar, A dB> = <A' Y_bar, dB>        B_bar = A' Y_bar

Where A (or B) is the transpose of the input, so is its cotangent.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import MatMul
from ..arrays import Array, Arrays, Saved


def radius(layer: MatMul, x: tuple[Array, Array]) -> float:
    return np.inf


def turned(a: Array, turn: bool) -> Array:
    return np.swapaxes(a, -1, -2) if turn else a


def forward(layer: MatMul, p: Arrays, x: tuple[Array, Array], branch: None) -> tuple[Array, Saved]:
    a, b = turned(x[0], layer.transpose_a), turned(x[1], layer.transpose_b)
    return a @ b, (a, b)


def backward(
    layer: MatMul, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, Array], Arrays]:
    a, b = saved
    a_bar, b_bar = y_bar @ turned(b, True), turned(a, True) @ y_bar
    return (turned(a_bar, layer.transpose_a), turned(b_bar, layer.transpose_b)), {}
