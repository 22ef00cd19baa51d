"""A logarithmic axis: where a value stands, and which powers of ten are written under it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LOWEST, HIGHEST = 1e-300, 1e300
"""Values beyond these are drawn at these."""


@dataclass(frozen=True)
class Mark:
    """A label at a place on an axis."""

    x: float
    label: str


@dataclass(frozen=True)
class LogScale:
    """From the power of ten `low` at place `start` to `high` at place `end`."""

    low: int
    high: int
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a value stands, at an end where it is beyond it."""
        if math.isnan(value) or value > 10.0**self.high:
            return self.end
        exponent = math.log10(max(value, LOWEST))
        share = (exponent - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def ticks(self, most: int) -> tuple[Mark, ...]:
        """At most so many powers of ten, evenly apart."""
        every = -(-(self.high - self.low) // max(most - 1, 1))
        return tuple(
            Mark(self.place(10.0**k), f"1e{k}")
            for k in range(self.low, self.high + 1)
            if k % every == 0
        )


def log_scale(values: Iterable[float], start: float, end: float) -> LogScale:
    """The scale of whole decades that holds every value which is positive and finite."""
    shown = [min(max(v, LOWEST), HIGHEST) for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low = math.floor(math.log10(min(shown)))
    high = math.ceil(math.log10(max(shown)))
    return LogScale(low, max(high, low + 1), start, end)
