"""What two runs have beside their cases, held against each other: functions and saved cases.

A function is the same one where its test and its name are, a saved case where its id is; what
occurs several times is matched in order.  It fails as it did only where the same thing is wrong
with it: a function by the same checks, a saved case in the same operator, tensor and check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from .events import AnyEvent, FunctionChecked, Replayed
from .gate import BAD_REPLAYS, WORDS

Kind = Literal["function", "saved case"]


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A function or a saved case that fails in the new run; `occurrence` counts its namesakes.

    `function` is "" for a saved case, `reason` the old status or outcome in words where that is
    another one, and "" where the older run does not have it.
    """

    kind: Kind
    id: str
    function: str
    occurrence: int
    reason: str


Key = tuple[str, str, int]
"""Id, function ("" for a saved case), and the how manieth of these."""


def key(found: Beside) -> Key:
    """What it is, whatever became of it."""
    return found.id, found.function, found.occurrence


def named(found: Beside) -> str:
    """In words: what it is and where."""
    return f"{found.function} in {found.id}" if found.function else f"the saved case {found.id}"


def numbered(names: Iterable[tuple[str, str]]) -> list[Key]:
    """Names as keys, in their order."""
    times: Counter[tuple[str, str]] = Counter()
    keys = []
    for id, function in names:
        keys.append((id, function, times[id, function]))
        times[id, function] += 1
    return keys


def compare(
    old: Sequence[AnyEvent], new: Sequence[AnyEvent]
) -> tuple[int, tuple[Beside, ...], tuple[Beside, ...]]:
    """How many the two runs share, what newly fails, and what fails as it did."""
    before, after = _found(old), _found(new)
    failing: list[Beside] = []
    still: list[Beside] = []
    for what, event in after.items():
        if not _fails(event):
            continue
        known = before.get(what)
        alike = known is not None and _wrong(known) == _wrong(event)
        (still if alike else failing).append(_beside(what, event, known))
    return len(before.keys() & after.keys()), tuple(failing), tuple(still)


def _found(events: Sequence[AnyEvent]) -> dict[Key, FunctionChecked | Replayed]:
    functions = [e for e in events if isinstance(e, FunctionChecked)]
    replays = [e for e in events if isinstance(e, Replayed)]
    replays.sort(key=lambda e: (list(WORDS).index(e.outcome), e.id))  # as a summary has them
    return dict(
        [
            *zip(numbered((e.id, e.function) for e in functions), functions, strict=True),
            *zip(numbered((e.id, "") for e in replays), replays, strict=True),
        ]
    )


def _fails(e: FunctionChecked | Replayed) -> bool:
    """Whether it is a wrong gradient that nothing excuses."""
    if isinstance(e, FunctionChecked):
        return e.status == "FAIL" and not e.known
    return e.outcome in BAD_REPLAYS


def _wrong(e: FunctionChecked | Replayed) -> tuple[str, ...]:
    """What is wrong with it; () where nothing is, or where it was excused, and no longer is."""
    if not _fails(e):
        return ()
    if isinstance(e, FunctionChecked):
        return ("FAIL", *(c.name for c in e.checks if c.status == "FAIL" and not c.expected))
    v = e.verdict
    return (v.status, v.operator, v.tensor, *v.failed_checks)


def _beside(
    what: Key, new: FunctionChecked | Replayed, old: FunctionChecked | Replayed | None
) -> Beside:
    id, function, occurrence = what
    return Beside(
        kind="function" if isinstance(new, FunctionChecked) else "saved case",
        id=id,
        function=function,
        occurrence=occurrence,
        reason="" if old is None else _was(old),
    )


def _was(e: FunctionChecked | Replayed) -> str:
    if _fails(e):
        return "fails in another way"
    if isinstance(e, FunctionChecked):
        return f"was {e.status}"
    return f"in the older run it {WORDS[e.outcome].partition(':')[0]}"
