"""Several tensors one after the other along an axis.

    y = (a, b, ...)        dy = (da, db, ...)        (a_bar, b_bar, ...) = y_bar, cut apart

The cuts are where the inputs ended.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ...architectures.operators import Concat
from ..arrays import Array, Arrays, Saved, alike


def radius(layer: Concat, x: tuple[Array, ...]) -> float:
    return np.inf


def forward(layer: Concat, p: Arrays, x: tuple[Array, ...], branch: None) -> tuple[Array, Saved]:
    sizes = tuple(v.shape[layer.axis] for v in x)
    return np.concatenate(alike(x), axis=layer.axis), sizes


def backward(
    layer: Concat, p: Arrays, saved: Saved, y_bar: Array
) -> tuple[tuple[Array, ...], Arrays]:
    ends = accumulate(saved, initial=0)
    after = (slice(None),) * (-layer.axis - 1)
    cuts: list[Any] = [(..., slice(i, j), *after) for i, j in pairwise(ends)]
    return tuple(y_bar[cut] for cut in cuts), {}
