"""Error against bound, tensor by tensor: a bar on a logarithmic axis from the one to the other.

Its length is the number of decades by which they differ; it is the worst comparison of each
tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...checkers.comparison import Comparison
from .scale import Mark, log_scale

WIDTH = 420
LEFT, RIGHT, TOP, BOTTOM = 26, 26, 6, 38
ROW = 36

MOST = 8
"""Tensors that are drawn, the worst first."""


@dataclass(frozen=True)
class Span:
    """One tensor: the places of its bound and of its error, and the height at which it stands.

    `bound` is None where none was allowed: all is exact.  `endless` is an error that is not
    finite.
    """

    tensor: str
    checker: str
    ratio: float
    y: float
    bound: float | None
    error: float
    endless: bool


@dataclass(frozen=True)
class Spans:
    height: float
    rows: tuple[Span, ...]
    ticks: tuple[Mark, ...]
    left_out: int


def spans(comparisons: Sequence[Comparison]) -> Spans | None:
    """The disagreements of one verdict; None where nothing was compared with a bound."""
    worst: dict[str, Comparison] = {}
    for c in comparisons:
        told = c.status == "FAIL" and c.checker != "structure" and (c.error > 0 or c.bound > 0)
        if told and (c.tensor not in worst or c.ratio > worst[c.tensor].ratio):
            worst[c.tensor] = c
    if not worst:
        return None
    shown = sorted(worst.values(), key=lambda c: -c.ratio)[:MOST]
    scale = log_scale((v for c in shown for v in (c.error, c.bound)), LEFT, WIDTH - RIGHT)
    rows = tuple(
        Span(
            c.tensor,
            c.checker,
            c.ratio,
            TOP + ROW * i,
            scale.place(c.bound) if c.bound > 0 else None,
            scale.place(c.error),
            not math.isfinite(c.error),
        )
        for i, c in enumerate(shown)
    )
    height = TOP + ROW * len(rows) + BOTTOM
    return Spans(height, rows, scale.ticks(6), len(worst) - len(shown))
