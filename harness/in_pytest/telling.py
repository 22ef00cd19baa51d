"""What a check has to tell, as lines of the event stream on the reports of its item.

A report travels from xdist's workers to the controller, with all its attributes; one of them,
`backproof`, holds the events.  So the stream is written in one place, whoever judged, and what
was reported is safe when a worker dies.  An item's case is told with its setup, in which it is
judged, and what takes longer, the reduced failure, with the call.  Where a failure is kept
(`keeping.py`) it is told twice: as it was found, which is what the stream says of it if it turns
out to be one too many, and reduced, with its files.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import NotRequired, TypedDict

import msgspec
import pytest

from backproof import foreign
from backproof.campaign import controlled, finished
from backproof.generated_checks import GeneratedCheck
from backproof.in_pytest.keeping import Keeper, Kept
from backproof.judging import Result
from backproof.reports.events import (
    AnyEvent,
    CaseKnown,
    FailureSaved,
    FunctionChecked,
    RunStarted,
    encode,
)
from backproof.reports.summary import Failure
from backproof.versions import versions

BY_THE_TEST = "the test expects it"
"""The excuse of what failed in a test that passed, such as within `pytest.raises`."""

EXCUSED = ("FAIL", "INCONCLUSIVE", "UNSUPPORTED")
"""What a test that expects its failure expects of a function; an error of the harness is none."""


class Told(TypedDict):
    """What stands on a report: whose check it is, and a line for each event."""

    subject: str
    events: list[str]
    kept: NotRequired[Kept]


class Teller:
    """Tells each thing once, for all the items of a process."""

    def __init__(self, keeper: Keeper | None = None) -> None:
        self.keeper = keeper
        self._subjects: set[str] = set()
        self._last: dict[str, tuple[Result | None, Failure | None]] = {}
        self._functions: dict[str, list[FunctionChecked]] = {}

    def function(self, event: FunctionChecked) -> None:
        """Keep what a test found of a function for its next report."""
        self._functions.setdefault(event.id, []).append(event)

    def on(self, report: pytest.TestReport, check: GeneratedCheck | None) -> Told | None:
        """What is new since the item's last report; None where that is nothing."""
        id, known = report.nodeid, expected(report)
        caught = known or (BY_THE_TEST if report.passed else "")
        also: list[AnyEvent] = [
            msgspec.structs.replace(event, known=caught) if event.status in EXCUSED else event
            for event in self._functions.pop(id, ())
        ]
        if report.when == "call":  # with its setup a check was judged and has not failed yet
            known = caught
        if known and check is not None and check.verdict and check.verdict.status == "FAIL":
            also.append(CaseKnown(at=time.time(), id=id, known=known))
            if self.keeper is not None:
                self.keeper.caught(id)
        return self.now(id, check, also)

    def now(
        self, id: str, check: GeneratedCheck | None, also: Sequence[AnyEvent] = ()
    ) -> Told | None:
        """What is new, and what else there is to say."""
        events = [*(self._news(id, check) if check else ()), *also]
        if not events:
            return None
        subject = check.job.subject if check else ""
        told: Told = {"subject": subject, "events": [encode(e).decode() for e in events]}
        if self.keeper is not None and (kept := self.keeper.take(id)) is not None:
            told["kept"] = kept
        return told

    def _news(self, id: str, check: GeneratedCheck) -> list[AnyEvent]:
        """The events of what the check has found since it was last asked here."""
        result, failure = self._last.get(id, (None, None))
        self._last[id] = check.result, check.failure
        events: list[AnyEvent] = []
        (spec,) = check.job.cases
        if check.result is not None and check.result is not result:
            if check.job.subject not in self._subjects:
                self._subjects.add(check.job.subject)
                events.append(started(check, shlex.join(["pytest", id.partition("[")[0]])))
            events.append(finished(check.job, spec, check.result, time.time(), id))
            if check.result.control is not None:
                events.append(controlled(spec, check.result.control, time.time(), id))
        if check.result is None or check.failure is None or check.failure is failure:
            return events
        if check.failure.verdict.status == check.result.verdict.status:  # of the case, no control
            events.append(reduced(id, check.failure, as_found=self.keeper is not None))
        return events


def expected(report: pytest.TestReport) -> str | None:
    """Why a failure was expected, None where it was not, or did not come."""
    reason = getattr(report, "wasxfail", None)
    if reason is None or not report.skipped:
        return None
    return str(reason).removeprefix("reason: ") or "expected to fail"


def started(check: GeneratedCheck, command: str) -> RunStarted:
    """The event that says what is verified, from the first check of a subject."""
    options = check.options
    return RunStarted(
        at=time.time(),
        seed=options.seed,
        command=command,
        subject=check.job.subject,
        options=options.as_json(),
        checkers=options.checkers,
        versions=versions(),
        source=foreign.source_of(check.job.subject, options.programs),
    )


def reduced(id: str, failure: Failure, *, as_found: bool) -> FailureSaved:
    """A failure as it was reported, or found, with its command; nothing of it is a file."""
    minimal, verdict = failure.minimal, failure.minimal_verdict
    if as_found or minimal is None or verdict is None:
        minimal, verdict = failure.architecture, failure.verdict
    return FailureSaved(
        at=time.time(),
        id=id,
        minimal=minimal,
        verdict=verdict,
        path="",
        script="",
        replay=failure.replay,
        cause="" if as_found else failure.cause,
    )
