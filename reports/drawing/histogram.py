"""Histograms over decades, with the geometry that the HTML report draws them with.

Zero and infinity have no decade, yet each says something here (compared bit for bit;
not finite at all), so each has a bar of its own at its end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .scale import Mark

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 22, 34
"""The drawing's size and margins, in its own units: pixels on a phone."""

LOWEST, HIGHEST = -24, 12
"""Decades beyond these are counted in the last bar at that end."""

LABELS = 5
"""About how many labels fit under the axis."""


APART = 46
"""How far labels must be from each other not to touch."""


@dataclass(frozen=True)
class Bar:
    """One bar: what it holds, how many, and its rectangle."""

    label: str
    count: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Histogram:
    """Bars from left to right; `limit` is the line that matters."""

    bars: tuple[Bar, ...]
    ticks: tuple[Mark, ...]
    limit: Mark
    total: int
    top: int


def histogram(values: Iterable[float], limit: int, says: str, zero: str) -> Histogram | None:
    """Count values by decade, None where there are none.

    The line stands at 10^`limit` and is labelled `says`; `zero` labels the values that
    are zero.
    """
    found = Counter(map(_decade, values))
    if not found:
        return None
    finite = [d for d in found if math.isfinite(d)]
    low = min([*finite, limit - 1])
    high = max([*finite, limit])
    first = int(found[-math.inf] > 0)
    columns = [
        *([-math.inf] if first else []),
        *map(float, range(int(low), int(high) + 1)),
        *([math.inf] if found[math.inf] else []),
    ]
    step = (WIDTH - LEFT - RIGHT) / len(columns)
    top = max(found.values())
    bars = tuple(
        _bar(_label(d, zero), found[d], top, LEFT + i * step, step) for i, d in enumerate(columns)
    )
    return Histogram(
        bars=bars,
        ticks=_ticks(columns, zero, step),
        limit=Mark(round(LEFT + (first + limit - low) * step, 1), says),
        total=sum(found.values()),
        top=top,
    )


def _decade(value: float) -> float:
    if value == 0:
        return -math.inf
    if not math.isfinite(value):
        return math.inf
    return float(min(max(math.floor(math.log10(value)), LOWEST), HIGHEST))


def _label(decade: float, zero: str) -> str:
    if math.isfinite(decade):
        return f"1e{decade:.0f} to 1e{decade + 1:.0f}"
    return zero if decade < 0 else "not finite"


def _bar(label: str, n: int, top: int, x: float, step: float) -> Bar:
    """A bar that holds anything can be seen."""
    height = max((HEIGHT - TOP - BOTTOM) * n / top, 2.0) if n else 0.0
    y = HEIGHT - BOTTOM - height
    return Bar(label, n, round(x + 1, 1), round(y, 1), round(step - 2, 1), round(height, 1))


def _ticks(columns: Sequence[float], zero: str, step: float) -> tuple[Mark, ...]:
    """Powers of ten under the left edges of their bars; the ends under their middles."""
    every = math.ceil(len(columns) / LABELS)
    ends = [
        Mark(round(LEFT + (i + 0.5) * step, 1), zero if d < 0 else "inf")
        for i, d in enumerate(columns)
        if math.isinf(d)
    ]
    decades = [
        Mark(round(LEFT + i * step, 1), f"1e{d:.0f}")
        for i, d in enumerate(columns)
        if math.isfinite(d) and d % every == 0
    ]
    apart = [m for m in decades if all(abs(m.x - end.x) > APART for end in ends)]
    return tuple(sorted([*ends, *apart], key=lambda m: m.x))


# --- small ones -------------------------------------------------------------------------

STRIP = (120, 18)
"""The size of a strip in a table's row."""

LEAST, MOST = -6, 3
"""Decades of error over bound that a strip shows; what is beyond them stands at its ends."""


@dataclass(frozen=True)
class Strip:
    """A histogram without words: one path for what is within its bound, one for what is not.

    `limit` is where the two part.
    """

    within: str
    beyond: str
    limit: float


def decades(ratios: Iterable[float]) -> Strip:
    """Errors over their bounds by decade; zero at the left end, what is not finite at the right."""
    found = Counter(min(max(_decade(r), LEAST), MOST) for r in ratios)
    width, height = STRIP
    step = width / (MOST - LEAST + 1)
    top = max(found.values(), default=1)
    paths = {False: "", True: ""}
    for decade in sorted(found):
        x = (decade - LEAST) * step
        bar = max((height - 2) * found[decade] / top, 2.0)
        paths[decade >= 0] += f"M{x + 1:.0f} {height}v{-bar:.1f}h{step - 2:.0f}V{height}z"
    return Strip(paths[False], paths[True], round(-LEAST * step, 1))
