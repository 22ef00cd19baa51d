"""Functions that were checked one by one, beside a run's networks: what the reports say of them.

A function has no architecture and no operators; its verdict is a list of named checks.  One whose
failure was expected is `known`, and does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from ..checkers.comparison import Status
from .events import AnyEvent, FunctionChecked
from .text import count, cut, printable

WORDS: dict[Status, str] = {
    "PASS": "verified",
    "FAIL": "wrong",
    "ERROR": "broken in the harness",
    "TIMEOUT": "timed out",
    "INCONCLUSIVE": "inconclusive",
    "UNSUPPORTED": "unsupported",
}


class CheckedFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function: `id` is the test that had it checked, `reason` the first check that is bad."""

    id: str
    function: str
    status: Status
    resolution: float | None
    reason: str
    known: str
    replay: str
    seconds: float


def functions(events: Iterable[AnyEvent]) -> tuple[CheckedFunction, ...]:
    """The functions in the order in which they were checked."""
    return tuple(_checked(e) for e in events if isinstance(e, FunctionChecked))


def _checked(e: FunctionChecked) -> CheckedFunction:
    bad = [c for c in e.checks if c.status != "PASS" and not (c.status == "FAIL" and c.expected)]
    reason = f"{bad[0].name}: {bad[0].detail or bad[0].why}" if bad else ""
    return CheckedFunction(
        id=e.id,
        function=e.function,
        status=e.status,
        resolution=e.resolution,
        reason=f"{reason}, at {e.point}" if reason and e.point else reason,
        known=e.known,
        replay=e.replay,
        seconds=e.seconds,
    )


def counting(found: Sequence[CheckedFunction]) -> list[CheckedFunction]:
    """Those that decide the exit code."""
    return [f for f in found if not f.known]


def counted(found: Sequence[CheckedFunction]) -> str:
    """`functions: 3 verified, 1 wrong`."""
    counts = Counter(f.status for f in counting(found))
    words = [f"{counts[s]:,} {word}" for s, word in WORDS.items() if counts[s]]
    if known := len(found) - counts.total():
        words.append(f"{known:,} failed as is known")
    return f"functions: {', '.join(words)}"


def sentence(found: Sequence[CheckedFunction], *statuses: Status) -> str:
    """Which of those that count ended so, "" where none did."""
    these = [f for f in counting(found) if f.status in statuses]
    if not these:
        return ""
    name = cut(printable(these[0].function), 100)
    words = {"FAIL": "wrong", "ERROR": "not judged: the harness broke"}
    how = words.get(statuses[0], "not verified")
    verb = "is" if len(these) == 1 else "are"
    total = count(len(found), "function")
    return f"{len(these):,} of {total} {verb} {how}; first {name} in {printable(these[0].id)}."
