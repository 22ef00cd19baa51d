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


Start = tuple[float, float]
"""When a run began or went on, and how many seconds it had taken before."""


def timeline(cases: Sequence[CaseFinished], starts: Sequence[Start]) -> Timeline | None:
    """None where the events do not say when, or all are of one moment.

    What passed between an interruption and `--resume` is no time of the run.
    """
    begun = sorted(start for start in starts if start[0])
    timed = [(t, c) for c in cases if (t := _elapsed(c.at, begun)) is not None]
    timed.sort(key=lambda pair: pair[0])
    seconds = timed[-1][0] if timed else 0.0
    if len(timed) < 2 or seconds <= 0:
        return None
    groups = {
        group: [t for t, c in timed if c.verdict.status in statuses]
        for group, statuses in GROUPS.items()
    }
    top = max(map(len, groups.values()))
    lines: list[Line] = []
    for group, times in groups.items():
        if times:
            points = _stairs(times, seconds, top)
            y = _up(len(times), top)
            lines.append(Line(group, len(times), points, y, y))
    return Timeline(_apart(lines), _ticks(seconds), seconds, top)


def _elapsed(at: float, begun: Sequence[Start]) -> float | None:
    """Seconds of the run itself at a time of day; None before it began."""
    return next((at - start + before for start, before in reversed(begun) if at >= start), None)


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
