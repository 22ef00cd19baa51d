"""The session's stream of events: taken from reports, put in order, and written to a folder.

Lines are appended as they come, so that a session that is killed leaves what it verified.  At
the end they are written once more, in the order of the plan and of the tests' names, which
depends neither on the number of xdist's workers nor on who was first; times apart, a session
leaves the same events with and without xdist.  So it is with the files of failures: the first
that come are written at once, and at the end those are there that are the first by that order.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from backproof.campaign import finished
from backproof.checkers.verdict import CHECKERS, Verdict
from backproof.errors import UsageProblem
from backproof.folders import holding, prepare_folder
from backproof.in_pytest.asking import Asked
from backproof.in_pytest.items import Checks, node_id
from backproof.in_pytest.keeping import Place, Shelf, place, said
from backproof.in_pytest.options import PREFIX
from backproof.in_pytest.telling import Told
from backproof.judging import Result
from backproof.reports import events as stream
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    ControlFinished,
    FailureSaved,
    FunctionChecked,
    RunFinished,
    RunStarted,
    encode,
)
from backproof.reports.text import printable
from backproof.reports.write import EventWriter, write, write_all
from backproof.versions import versions


class Recorder:
    """What was found in one session; in xdist's controller, by all the workers."""

    def __init__(
        self, asked: Asked, plan: Mapping[str, Checks], command: str, *, writes: bool = True
    ) -> None:
        self.asked, self.command, self.writes = asked, command, writes
        self.planned = {node_id(name, c.id): c for name in plan for c in plan[name]}
        self.starts: dict[str, RunStarted] = {}
        self.subjects: dict[str, str] = {}
        self.folder: Path | None = None
        self.unknown: list[str] = []
        self.problem = ""
        self._places = {id: place for place, id in enumerate(self.planned)}
        self._found: dict[str, list[AnyEvent]] = {}
        self.shelf = Shelf()
        self.functions: dict[str, list[FunctionChecked]] = {}
        self._began = time.monotonic()
        self._writer: EventWriter | None = None
        self._held = contextlib.ExitStack()

    # --- as it happens ------------------------------------------------------------------

    def open(self) -> None:
        """Take the folder for reports, if one is asked for.  UsageError where that cannot be."""
        folder = self.asked.report
        if folder is None or self.folder is not None or not self.writes:
            return
        try:
            self._held.enter_context(holding(folder, self.asked.named))
            prepare_folder(folder, self.asked.named)
        except UsageProblem as problem:
            raise pytest.UsageError(problem.message) from None
        self.folder = folder
        self._writer = self._held.enter_context(EventWriter(folder / stream.FILE))

    @property
    def shown(self) -> str:
        """The folder, as short as it can be said."""
        return printable(str(said(self.folder or Path(), Path.cwd())))

    def close(self) -> None:
        """Let the folder go."""
        self._held.close()

    def start(self, event: RunStarted) -> None:
        """A subject's first event."""
        if event.subject not in self.starts:
            self.starts[event.subject] = event
            self._append(event)

    def again(self, id: str) -> None:
        """A test begins: of one that is run again, the last attempt's functions count."""
        self.functions.pop(id, None)

    def take(self, id: str, told: Told) -> None:
        """What the report of an item tells.  A case that is judged again stands once."""
        self.open()
        for event in stream.decode(line.encode() for line in told["events"]):
            if isinstance(event, RunStarted):
                self.start(event)
                continue
            if isinstance(event, FunctionChecked):
                self._append(event)
                self.functions.setdefault(id, []).append(event)
                continue
            if isinstance(event, CaseFinished):
                self._found[id], self.subjects[id] = [], told["subject"]
                self.shelf.drop(id)
            self._found[id].append(event)
            if isinstance(event, FailureSaved) and "kept" in told and (folder := self.folder):
                self.shelf.put(told["subject"], self._place(id), told["kept"])
                self._attempt(lambda: self.shelf.write(folder))
            self._append(self._of(event))

    def lost(self, id: str) -> None:
        """A worker died in this item: its case is an ERROR, unless it had been told.

        What a test would have checked is known to the worker alone.
        """
        check = self.planned.get(id)
        if id in self._found:
            return
        if check is None:
            self.unknown.append(id)
            return
        died = Result(Verdict("ERROR", "the process that judged this network died"), 0.0)
        self.subjects[id] = check.job.subject
        self._found[id] = [finished(check.job, check.job.cases[0], died, time.time(), id)]
        self._append(self._found[id][0])

    def _append(self, event: AnyEvent) -> None:
        if (writer := self._writer) is not None:
            self._attempt(lambda: writer.write(event))

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.problem = f"{self.asked.report}: {error.strerror or 'cannot be written'}"

    def _of(self, event: AnyEvent) -> AnyEvent:
        """What the stream says of an event: of a failure that is kept, that it is."""
        return self.shelf.kept.get(event.id, event) if isinstance(event, FailureSaved) else event

    # --- all of it ----------------------------------------------------------------------

    @property
    def events(self) -> list[AnyEvent]:
        """All but the last, in their order."""
        order = sorted(self._found, key=self._place)
        cases = [self._of(e) for id in order for e in self._found[id]]
        functions = [e for id in sorted(self.functions) for e in self.functions[id]]
        return [self._started(), *cases, *functions]

    @property
    def statuses(self) -> dict[str, Counter[str]]:
        """How many checks of each subject ended how; an unnoticed fault is an ERROR."""
        found: dict[str, Counter[str]] = {}
        for id in sorted(self._found, key=self._place):
            (case,) = (e for e in self._found[id] if isinstance(e, CaseFinished))
            missed = any(isinstance(e, ControlFinished) and not e.caught for e in self._found[id])
            status = case.verdict.status
            status = "ERROR" if missed and status != "FAIL" else status
            found.setdefault(self.subjects[id], Counter())[status] += 1
        return found

    def _place(self, id: str) -> Place:
        (case,) = (e for e in self._found[id] if isinstance(e, CaseFinished))
        return place(self._places, id, case.index)

    def _started(self) -> RunStarted:
        """One event for all the subjects: what they have in common, and their names."""
        starts = [self.starts[name] for name in sorted(self.starts, key=self._rank)]
        if not starts:
            return RunStarted(
                at=time.time(), seed=0, command=self._command(), options={}, checkers=(),
                subject="functions" if self.functions else "", versions=versions(),
            )  # fmt: skip
        first, *others = starts
        options = {
            key: value
            for key, value in first.options.items()
            if all(key in o.options and o.options[key] == value for o in others)
        }
        return msgspec.structs.replace(
            first,
            subject=", ".join(s.subject for s in starts),
            command=self._command(),
            options={**options, "max_inconclusive": self.asked.budget},
            checkers=tuple(c for c in CHECKERS if any(c in s.checkers for s in starts)),
            source=None if others else first.source,
        )

    def _rank(self, subject: str) -> tuple[int, str]:
        planned = self.asked.subjects
        return planned.index(subject) if subject in planned else len(planned), subject

    def _command(self) -> str:
        """The command that repeats the session's checks."""
        found = {*self._found, *self.functions}
        tests = {id.partition("[")[0] for id in found if id not in self._places}
        ids = [PREFIX] if tests and self.asked.subjects else []
        return " ".join([self.command, *map(shlex.quote, (*ids, *sorted(tests)))])

    def finish(self, code: int, reason: str, *, interrupted: bool) -> None:
        """Write the events in their order, and every report of them."""
        if self._writer is None or self.folder is None:
            return
        last = RunFinished(
            at=time.time(),
            exit_code=code,
            reason=reason,
            interrupted=interrupted,
            seconds=time.monotonic() - self._began,
        )
        self._append(last)
        folder = self.folder
        self._attempt(lambda: self.shelf.write(folder))
        events = [*self.events, last]
        self._attempt(lambda: write(folder / stream.FILE, b"".join(map(encode, events))))
        self._attempt(lambda: self.shelf.clear(folder))
        self._attempt(lambda: write_all(folder, events))
