"""Reductions of per-entry and per-row terms.

Every reduction is a constant times a sum, so its derivative is that constant.
"""

from __future__ import annotations

from ..arrays import Array


def entry_factor(reduction: str, y: Array) -> float:
    """The constant before the sum over the entries of y (..., batch, features)."""
    batch: int = y.shape[-2]
    match reduction:
        case "half_sum":
            return 0.5
        case "mean":
            return 1.0 / (batch * int(y.shape[-1]))
        case "batch_mean":
            return 1.0 / batch
        case _:
            return 1.0


def row_factor(reduction: str, y: Array) -> float:
    """The constant before the sum over the rows of y (..., batch, features)."""
    batch: int = y.shape[-2]
    return 1.0 / batch if reduction == "mean" else 1.0
