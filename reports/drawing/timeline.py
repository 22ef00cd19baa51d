"""Cases over time: how many had passed, failed, or decided nothing, second by second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..events import CaseFinished
from .scale import Mark

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 92, 14, 34

APART = 34
"""Of the labels' lines, each of two rows."""

MOST_POINTS = 160
"""Of one line."""

GROUPS = {
    "passed": ("PASS",),
    "failed": ("FAIL", "ERROR"),
    "undecided": ("INCONCLUSIVE", "UNSUPPORTED", "TIMEOUT"),
}


@dataclass(frozen=True)
class Line:
    """One group's count over time; its words stand beside its end."""

    group: str
    count: int
    points: str
    y: float
    label_y: float


@dataclass(frozen=True)
class Timeline:
    lines: tuple[Line, ...]
    ticks: tuple[Mark, ...]
    seconds: float
    top: int


def timeline(cases: Sequence[CaseFinished], started: float) -> Timeline | None:
    """None where the events do not say when, or all are of one moment."""
    timed = sorted((c for c in cases if c.at), key=lambda c: c.at)
    if not started or len(timed) < 2:
        return None
    seconds = timed[-1].at - started
    if seconds <= 0 or timed[0].at < started:
        return None
    groups = {
        g: [c.at - started for c in timed if c.verdict.status in s] for g, s in GROUPS.items()
    }
    top = max(map(len, groups.values()))
    lines: list[Line] = []
    for group, times in groups.items():
        if times:
            points = _stairs(times, seconds, top)
            y = _up(len(times), top)
            lines.append(Line(group, len(times), points, y, y))
    return Timeline(_apart(lines), _ticks(seconds), seconds, top)


def _across(t: float, seconds: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * t / seconds, 1)


def _up(n: float, top: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * n / top, 1)


def _stairs(times: Sequence[float], seconds: float, top: int) -> str:
    """From nothing at the start to all at the end; of many cases every so many-th is a point."""
    every = -(-len(times) // MOST_POINTS)
    points = [(0.0, 0)]
    points += [(t, i) for i, t in enumerate(times, 1) if i % every == 0 or i == len(times)]
    points.append((seconds, len(times)))
    return " ".join(f"{_across(t, seconds):g},{_up(n, top):g}" for t, n in points)


def _apart(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The labels moved up where they would touch."""
    placed: list[Line] = []
    lowest = float(HEIGHT)
    for line in sorted(lines, key=lambda line: -line.y):
        label_y = min(line.label_y, lowest - APART)
        placed.append(Line(line.group, line.count, line.points, line.y, label_y))
        lowest = label_y
    return tuple(placed)


def _ticks(seconds: float) -> tuple[Mark, ...]:
    """Round numbers of seconds, minutes or hours, five at most."""
    unit, name = (
        (1.0, "s") if seconds < 180 else (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")
    )
    total = seconds / unit
    steps = (m * 10.0**k for k in range(-4, 9) for m in (1, 2, 5))
    step = next(s for s in steps if total / s <= 5)
    return tuple(
        Mark(_across(i * step * unit, seconds), f"{i * step:g} {name}")
        for i in range(int(total / step) + 1)
    )
