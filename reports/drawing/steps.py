"""Error of a central difference against its step: the V of truncation and rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evidence import Steps
from .scale import LogScale, Mark, log_scale

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 42
ZERO = 16
"""Room below the least decade, for errors that are 0."""

HALVINGS = 6
"""Of the largest step, that the checker tries."""


@dataclass(frozen=True)
class Vee:
    """The curve as the points of a polyline, and what is marked on it.

    `band` is from where to where the checker tries steps; `chosen` the place of its value,
    `bound` the height of its bound, `subject` that of the subject's error; None for none.
    `linear` says that no step truncates, `exact` that none rounds either.
    """

    points: str
    dots: tuple[tuple[float, float], ...]
    band: tuple[float, float]
    chosen: tuple[float, float]
    bound: float | None
    subject: float | None
    across: tuple[Mark, ...]
    upwards: tuple[Mark, ...]
    zero: float | None
    least: tuple[float, float]
    linear: bool
    exact: bool


def vee(s: Steps) -> Vee:
    """The drawing of one entry's steps."""
    heights = (*s.errors, s.error, s.subject, s.bound)
    x = log_scale((*s.steps, s.largest), LEFT, WIDTH - RIGHT)
    any_zero = any(e == 0 for e in (*s.errors, s.error))
    floor = HEIGHT - BOTTOM
    y = log_scale(heights, floor - (ZERO if any_zero else 0), TOP)

    def up(value: float) -> float:
        return floor if value == 0 else y.place(value)

    dots = tuple((x.place(h), up(e)) for h, e in zip(s.steps, s.errors, strict=True))
    least = min(zip(s.errors, s.steps, strict=True), key=lambda pair: (pair[0], -pair[1]))
    return Vee(
        points=" ".join(f"{a:g},{b:g}" for a, b in dots),
        dots=dots,
        band=(x.place(s.largest / 2**HALVINGS), x.place(s.largest)),
        chosen=(x.place(s.chosen), up(s.error)),
        bound=y.place(s.bound) if 0 < s.bound < math.inf else None,
        subject=y.place(s.subject) if 0 < s.subject < math.inf else None,
        across=x.ticks(6),
        upwards=_upwards(y),
        zero=floor if any_zero else None,
        least=(least[1], least[0]),
        linear=all(e == 0 for h, e in zip(s.steps, s.errors, strict=True) if h >= s.largest),
        exact=not any(s.errors),
    )


def _upwards(y: LogScale) -> tuple[Mark, ...]:
    """The marks of the upright axis, whose `x` is a height."""
    return y.ticks(6)
