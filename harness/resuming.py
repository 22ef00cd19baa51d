"""Going on with a run that was interrupted, by its events.

A network's events are written one after another, so a kill may fall between a case and its
control.  The last network that has any is therefore done again, and everything before it
kept; the plan is the same from the start, so the stream that results is that of a run which
nobody interrupted, but for times and the event that says so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from backproof.errors import UsageProblem
from backproof.jobs import Options, plan
from backproof.reports import events as stream
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    Replayed,
    RunFinished,
    RunResumed,
    RunStarted,
    encode,
)
from backproof.reports.write import write


def earlier(folder: Path) -> list[AnyEvent]:
    """The events of the run in a folder; none where there is none, or nothing had begun.

    UsageProblem where they cannot be read.
    """
    path = folder / "events.ndjson"
    if not path.exists():
        return []
    try:
        found = stream.read(path)
    except stream.EventError as error:
        raise UsageProblem(f"--resume: {error}.") from None
    if found and not isinstance(found[0], RunStarted):
        raise UsageProblem(f"--resume: the events in {folder} do not begin with a run.")
    return found


def ended(found: Sequence[AnyEvent]) -> bool:
    """Whether that run came to its end, so that there is nothing to go on with."""
    return bool(found) and isinstance(found[-1], RunFinished) and not found[-1].interrupted


def refuse_others(found: Sequence[AnyEvent], options: Options, folder: Path) -> None:
    """UsageProblem unless the interrupted run asked for the same: its cases would be others."""
    start = started(found)
    asked = json.loads(json.dumps(options.as_json()))
    before = {**start.options, "subject": start.subject}
    for key in sorted({*asked, *before}):
        if asked.get(key) != before.get(key):
            raise UsageProblem(
                f"--resume: the run in {folder} had {key} {_shown(before.get(key))}, "
                f"and this one has {_shown(asked.get(key))}."
            )


def outdated(found: Sequence[AnyEvent], versions: Mapping[str, str]) -> str:
    """Why verdicts of the interrupted run are worth nothing now, in words; "" where they stand.

    Of other code under test they say nothing; with other libraries the cases may be others.
    """
    before = started(found).versions
    for name in sorted({*versions, *before} - {"platform"}):
        if before.get(name) != versions.get(name):
            was, now = (there.get(name, "none") for there in (before, versions))
            return f"{name} was {was} and is {now}"
    return ""


def started(found: Sequence[AnyEvent]) -> RunStarted:
    """The first event of a run that `earlier` has read."""
    start = found[0]
    assert isinstance(start, RunStarted)
    return start


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kept(
    found: Sequence[AnyEvent], options: Options, excuses: Collection[str] = ()
) -> list[AnyEvent]:
    """The events that stand: all before the last network that has any.

    Of a gate's failures those stay excused whose id is among the `excuses` in force today, and
    its saved cases are run again.
    """
    found = [
        e
        for e in found
        if not isinstance(e, RunFinished | Replayed)
        and not (isinstance(e, CaseKnown) and e.known not in excuses)
    ]
    last = max((e.index for e in found if isinstance(e, CaseFinished)), default=None)
    if last is None:
        return found
    first = next(job.cases[0].index for job in plan(options) if job.cases[-1].index >= last)
    place = next(i for i, e in enumerate(found) if isinstance(e, CaseFinished) and e.index == first)
    return found[:place]


def spent(found: Sequence[AnyEvent]) -> float:
    """The seconds that the earlier sessions of a run took, not counting the time between."""
    begun = [i for i, e in enumerate(found) if isinstance(e, RunStarted | RunResumed)]
    if not begun:
        return 0.0
    session = found[begun[-1] :]
    before = session[0].seconds if isinstance(session[0], RunResumed) else 0.0
    return before + max(e.at - session[0].at for e in session)


def rewrite(folder: Path, found: Sequence[AnyEvent]) -> None:
    """Leave these events in the folder, in one step.  OSError where that fails."""
    write(folder / "events.ndjson", b"".join(encode(e) for e in found))
