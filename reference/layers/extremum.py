"""The greater, or the smaller, of two tensors, entry by entry.

    y = a where a is chosen, else b        dy = da where a is chosen, else db

    a_bar = y_bar where a is chosen, else 0        b_bar = y_bar where b is, else 0

Where both are equal any share may go to either; we choose the first.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Maximum, Minimum
from ..arrays import Array, Arrays, Choice, Saved, alike


def kink(layer: Maximum | Minimum, p: Arrays, x: tuple[Array, Array]) -> Choice:
    candidates = np.stack(alike(x), axis=-1)
    return Choice(candidates if isinstance(layer, Maximum) else -candidates)


def radius(layer: Maximum | Minimum, x: tuple[Array, Array]) -> float:
    return np.inf


def forward(
    layer: Maximum | Minimum, p: Arrays, x: tuple[Array, Array], branch: Array
) -> tuple[Array, Saved]:
    return np.where(branch == 0, *x), branch


def backward(
    layer: Maximum | Minimum, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, Array], Arrays]:
    branch = saved
    return (np.where(branch == 0, y_bar, 0.0), np.where(branch == 0, 0.0, y_bar)), {}
