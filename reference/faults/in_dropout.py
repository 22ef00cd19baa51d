"""Faults of dropout and of stochastic depth.

x_bar = y_bar m / (1 - rate)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved
from .fault import Backward, Fault, instead_of_x_bar, layers


def _drops(a: Architecture, i: int, layer: Any) -> bool:
    """Dropout that drops: at rate 0 the mask is true and the scale 1."""
    return isinstance(layer, ops.Dropout | ops.StochasticDepth) and layer.rate > 0


def _mask_ignored(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, {**p, "mask": np.ones_like(p["mask"])}, saved, y_bar)[0]


def _scale_twice(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, p, saved, y_bar)[0] / (1 - layer.rate)


def _scale_ignored(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return np.where(p["mask"], y_bar, 0.0)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "dropout_mask_ignored",
        "the mask of what was dropped ignored in the gradient",
        None, 2,
        layers(_drops),
        instead_of_x_bar(_mask_ignored),
        kind="index",
        shows="at a dropout or stochastic depth that drops",
        hidden="where nothing was dropped",
        like="a mask drawn forward and not kept",
    ),
    Fault(
        "dropout_scale_once",
        "dropout's scale applied forward alone",
        None, 1,
        layers(_drops),
        instead_of_x_bar(_scale_ignored),
        kind="factor",
        shows="at a dropout or stochastic depth that drops",
        hidden="where everything was dropped",
        like="a constant applied forward alone",
    ),
    Fault(
        "dropout_scale_twice",
        "dropout's scale applied twice in the gradient",
        None, 1,
        layers(_drops),
        instead_of_x_bar(_scale_twice),
        kind="factor",
        shows="at a dropout or stochastic depth that drops",
        hidden="where everything was dropped",
        like="a mask that holds the scale, and the scale once more",
    ),
)  # fmt: skip
