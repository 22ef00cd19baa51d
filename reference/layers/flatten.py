"""The last axes joined into one: the same entries in the same order.

    y = x, reshaped        x_bar = y_bar, reshaped back

No entry is touched, so its cotangent is not either.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Flatten
from ..arrays import Array, Arrays, Saved


def radius(layer: Flatten, x: Array) -> float:
    return np.inf


def forward(layer: Flatten, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    own = x.shape[-layer.axes :]
    return x.reshape(*x.shape[: -layer.axes], -1), own


def backward(layer: Flatten, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    own = saved
    return y_bar.reshape(*y_bar.shape[:-1], *own), {}
