"""The exponential function.

y = exp(x)        dy = exp(x) dx = y dx        x_bar = y y_bar
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Exp
from ..arrays import Array, Arrays, Saved


def forward(layer: Exp, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    y: Array = np.exp(x)
    return y, y


def backward(layer: Exp, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    y = saved
    return y * y_bar, {}
