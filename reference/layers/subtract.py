"""Difference of two tensors.

    y = a - b        dy = da - db        a_bar = y_bar,  b_bar = -y_bar

An input that was repeated along an axis collects what its repetitions receive
(`broadcasting.py`).
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Subtract
from ..arrays import Array, Arrays, Saved
from .broadcasting import unbroadcast


def radius(layer: Subtract, x: tuple[Array, Array]) -> float:
    return np.inf


def forward(
    layer: Subtract, p: Arrays, x: tuple[Array, Array], branch: None
) -> tuple[Array, Saved]:
    a, b = x
    return a - b, x


def backward(
    layer: Subtract, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, Array], Arrays]:
    a, b = saved
    return (unbroadcast(y_bar, a), -unbroadcast(y_bar, b)), {}
