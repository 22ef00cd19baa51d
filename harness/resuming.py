"""Going on with a run that was interrupted, by its events.

A network's events are written one after another, so a kill may fall between a case and its
control.  The last network that has any is therefore done again, and everything before it
kept; the plan is the same from the start, so the stream that results is that of a run which
nobody interrupted, but for times and the event that says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backproof.errors import UsageProblem
from backproof.jobs import Options, plan
from backproof.reports import events as stream
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    RunFinished,
    RunResumed,
    RunStarted,
    encode,
)
from backproof.reports.write import write


def earlier(folder: Path) -> list[AnyEvent]:
    """The events of the run in a folder; none where there is none, or nothing had begun.

    UsageProblem where they cannot be read, or that run has ended.
    """
    path = folder / "events.ndjson"
    if not path.exists():
        return []
    try:
        found = stream.read(path)
    except stream.EventError as error:
        raise UsageProblem(f"--resume: {error}.") from None
    if found and isinstance(found[-1], RunFinished) and not found[-1].interrupted:
        raise UsageProblem(
            f"--resume: the run in {folder} has ended; without --resume it is run again."
        )
    return found


def refuse_others(
    found: Sequence[AnyEvent], options: Options, versions: dict[str, str], folder: Path
) -> None:
    """UsageProblem unless the interrupted run asked for the same, with the same versions."""
    start = found[0]
    if not isinstance(start, RunStarted):
        raise UsageProblem(f"--resume: the events in {folder} do not begin with a run.")
    asked = json.loads(json.dumps(options.as_json()))
    before = {**start.options, "subject": start.subject}
    for key in sorted({*asked, *before}):
        if asked.get(key) != before.get(key):
            raise UsageProblem(
                f"--resume: the run in {folder} had {key} {_shown(before.get(key))}, "
                f"and this one has {_shown(asked.get(key))}."
            )
    for name, version in versions.items():
        if name != "platform" and start.versions.get(name) != version:
            raise UsageProblem(
                f"--resume: the run in {folder} had {name} {start.versions.get(name)}, and this "
                f"one has {version}, with which its cases may be others."
            )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kept(found: Sequence[AnyEvent], options: Options) -> list[AnyEvent]:
    """The events that stand: all before the last network that has any."""
    found = [e for e in found if not isinstance(e, RunFinished)]
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
