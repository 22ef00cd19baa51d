"""Sine (Sitzmann, Martel, Bergman, Lindell and Wetzstein 2020), with f = `frequency`.

    y = sin(f x)        dy = f cos(f x) dx        x_bar = f cos(f x) y_bar

Entire; it varies on the scale of 1/f, which stands for its radius.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Sine
from ..arrays import Array, Arrays, Saved


def radius(layer: Sine, x: Array) -> float:
    return 1 / layer.frequency


def forward(layer: Sine, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    return np.sin(layer.frequency * x), x


def backward(layer: Sine, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    x = saved
    return layer.frequency * np.cos(layer.frequency * x) * y_bar, {}
