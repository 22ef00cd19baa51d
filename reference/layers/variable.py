"""A tensor that comes from nowhere: a further input, or a learned tensor.

    y = v        dy = dv        v_bar = y_bar

The parameter is the edge itself, and so is its cotangent.
"""

from __future__ import annotations

from ...architectures.operators import Variable
from ..arrays import Array, Arrays, Saved


def forward(layer: Variable, p: Arrays, x: tuple[()], branch: None) -> tuple[Array, Saved]:
    return p["value"], None


def backward(layer: Variable, p: Arrays, saved: Saved, y_bar: Array) -> tuple[tuple[()], Arrays]:
    return (), {"value": y_bar}
