"""Product of two tensors, entry by entry: a gate.

    y = a b        dy = b da + a db        a_bar = b y_bar,  b_bar = a y_bar

An input that was repeated along an axis collects what its repetitions receive
(`broadcasting.py`).
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Multiply
from ..arrays import Array, Arrays, Saved
from .broadcasting import unbroadcast


def radius(layer: Multiply, x: tuple[Array, Array]) -> float:
    return np.inf


def forward(
    layer: Multiply, p: Arrays, x: tuple[Array, Array], branch: None
) -> tuple[Array, Saved]:
    a, b = x
    return a * b, x


def backward(
    layer: Multiply, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, Array], Arrays]:
    a, b = saved
    return (unbroadcast(b * y_bar, a), unbroadcast(a * y_bar, b)), {}
