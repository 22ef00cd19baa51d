"""Sum of two or more tensors.

    y = a + b + ...        dy = da + db + ...        a_bar = b_bar = ... = y_bar

An input that was repeated along an axis collects what its repetitions receive
(`broadcasting.py`).
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Add
from ..arrays import Array, Arrays, Saved
from .broadcasting import unbroadcast


def radius(layer: Add, x: tuple[Array, ...]) -> float:
    return np.inf


def forward(layer: Add, p: Arrays, x: tuple[Array, ...], branch: None) -> tuple[Array, Saved]:
    y = x[0]
    for value in x[1:]:
        y = y + value
    return y, x


def backward(layer: Add, p: Arrays, saved: Saved, y_bar: Array) -> tuple[tuple[Array, ...], Arrays]:
    return tuple(unbroadcast(y_bar, x) for x in saved), {}
