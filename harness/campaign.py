"""A run: cases from a seed, verdicts from the checkers, events in order.

    options -> plan (architectures, seeds) -> jobs -> verdicts -> events -> whoever listens

A job (`backproof.jobs`) is one architecture with the cases drawn for it; it travels to a
worker process as bytes and comes back as verdicts.  Events leave in the order of the plan
whatever the order in which workers finish, so that the stream does not depend on how many
there are.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

import msgspec

from backproof.architectures.cases import Case
from backproof.baseline import Entry, excuse, in_force
from backproof.checkers.verdict import Verdict
from backproof.failures import FailureFile
from backproof.foreign import source_of
from backproof.jobs import CaseSpec, Job, case_id, plan
from backproof.jobs import Options as Options  # offered here too, beside `run`, which takes them
from backproof.judging import DECODER, ControlResult, Result, judge, run_job
from backproof.replaying import Saved, replay
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    RunFinished,
    RunResumed,
    RunStarted,
)
from backproof.reports.exit_codes import exit_code
from backproof.reports.summary import Summary, summarise
from backproof.reports.tallies import BAD
from backproof.saving import save_failure
from backproof.subject_code import digest
from backproof.versions import SUBJECT, versions
from backproof.workers import BrokenExecutor, Workers

AHEAD = 4
"""Jobs queued for each worker."""

AHEAD_IN_TIME = 2
"""The same under a time limit: what is queued is finished, however late it is by then."""

MOST_FAILURES = 10
"""Failures that are reduced and saved; later ones are reported as they are."""

MOST_REDUCED = 30
"""The same, with those that turn out to be known: to know that they must be reduced."""


def run(
    options: Options,
    listen: Callable[[AnyEvent], None],
    *,
    command: str = "backproof run",
    save: Callable[[str, bytes], None] | None = None,
    folder: Path = Path(),
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.time,
    saved: Sequence[Saved] = (),
    known: Sequence[Entry] = (),
    before: Sequence[AnyEvent] = (),
    spent: float = 0.0,
) -> Summary:
    """Run a campaign; every event goes to `listen` as it happens.

    `save(name, content)` writes a file of a failure below the run's folder, which is
    `folder` to whoever replays it.  The run ends in order, interrupted, after the network
    at hand when `stop()` says so, and at once on a KeyboardInterrupt.  Returns the summary.

    A gate runs the `saved` cases first, and what fails as one of `known` does is told to be
    known.  An interrupted run goes on after the events `before`, which took `spent` seconds; the
    saved cases are run again then too, since the excuses may be others.
    """
    began = monotonic() - spent
    events: list[AnyEvent] = list(before)
    today = datetime.datetime.fromtimestamp(clock(), datetime.UTC).date()
    reduce = partial(save_failure, save=save, folder=folder, stop=stop, clock=clock)
    failures = Failures(in_force(known, options.subject, today), before, reduce, clock)
    kept = sum(isinstance(e, CaseFinished) for e in before)

    def emit(event: AnyEvent) -> None:
        events.append(event)
        listen(event)

    if before:
        emit(RunResumed(at=clock(), kept=kept, seconds=spent))
    else:
        emit(_started(options, command, clock()))
    try:
        for one in saved:
            if not stop():
                emit(replay(one, options.subject, _as_then(options), known, today, clock()))
        with contextlib.closing(_results(options, began, stop, kept)) as done:
            for job, results in done:
                for spec, result in zip(job.cases, results, strict=True):
                    for event in _of_case(job, spec, result, failures, clock):
                        emit(event)
                if stop() or (options.fail_fast and any(r.verdict.status in BAD for r in results)):
                    break
        interrupted = stop()
    except KeyboardInterrupt:
        interrupted = True
    emit(_ended(summarise(events), options, interrupted, clock(), monotonic() - began))
    return summarise(events)


def _started(options: Options, command: str, at: float) -> RunStarted:
    """The first event of a run that is not gone on with."""
    return RunStarted(
        at=at,
        seed=options.seed,
        command=command,
        subject=options.subject,
        options=options.as_json(),
        checkers=options.checkers,
        versions=versions_of(options),
        source=source_of(options.subject, options.programs),
    )


def _ended(
    summary: Summary, options: Options, interrupted: bool, at: float, seconds: float
) -> RunFinished:
    """The last event: what all the others come to."""
    code, reason = exit_code(
        summary, max_inconclusive=options.max_inconclusive, interrupted=interrupted
    )
    return RunFinished(
        at=at, exit_code=int(code), reason=reason, interrupted=interrupted, seconds=seconds
    )


def versions_of(options: Options) -> dict[str, str]:
    """The versions of everything that has a say, and of the code under test what tells it apart."""
    code = digest(options.subject, options.programs)
    return versions() | ({SUBJECT: code} if code else {})


def _as_then(options: Options) -> Callable[[Case, FailureFile], Verdict]:
    """A judge who asks of a saved case what its own run asked."""

    def judge_again(case: Case, file: FailureFile) -> Verdict:
        then = replace(options, checkers=file.checkers, exhaustive=file.exhaustive)
        return judge(case, then)

    return judge_again


# --- a case ------------------------------------------------------------------------------


def _of_case(
    job: Job, spec: CaseSpec, result: Result, failures: Failures, clock: Callable[[], float]
) -> Iterator[AnyEvent]:
    """All events of a case that was judged, each made when the one before has been told."""
    yield finished(job, spec, result, clock())
    if result.control is not None:
        yield controlled(spec, result.control, clock())
    if result.verdict.status == "FAIL":
        yield from failures.told(job, spec, result.verdict)


class Failures:
    """The failures of a run, counted as they come: which are saved, and which are known.

    Whether an entry of the scope `operator` excuses one shows by its verdict; one of the scope
    `network` only by the minimal network that `reduce` finds.  That takes time and room on the
    disk, so both what proves to be new and what is reduced at all have a limit.
    """

    def __init__(
        self,
        excuses: Sequence[Entry],
        before: Sequence[AnyEvent],
        reduce: Callable[[Job, CaseSpec, Verdict], FailureSaved],
        clock: Callable[[], float],
    ) -> None:
        """`before` are the events of the run that this one goes on with: what it reduced counts."""
        self.excuses, self.reduce, self.clock = excuses, reduce, clock
        saw = {e.id for e in before if isinstance(e, CaseKnown)}
        reduced = [e.id for e in before if isinstance(e, FailureSaved)]
        self.reduced = len(reduced)
        self.unknown = sum(id not in saw for id in reduced)

    def told(self, job: Job, spec: CaseSpec, verdict: Verdict) -> Iterator[AnyEvent]:
        """What follows a FAIL: the failure as it was saved, and that it is known."""
        entry = excuse(self.excuses, verdict, spec.dtype)
        if entry is None and self.unknown < MOST_FAILURES and self.reduced < MOST_REDUCED:
            failure = self.reduce(job, spec, verdict)
            yield failure
            entry = excuse(self.excuses, failure.verdict, spec.dtype, failure.minimal, verdict)
            self.reduced += 1
            self.unknown += entry is None
        if entry is not None:
            yield CaseKnown(at=self.clock(), id=case_id(spec), known=entry.id)


def finished(job: Job, spec: CaseSpec, result: Result, at: float, id: str = "") -> CaseFinished:
    """The event of a case that was judged; `id` in place of the run's own name for it."""
    return CaseFinished(
        at=at,
        index=spec.index,
        id=id or case_id(spec),
        architecture=job.architecture,
        lane=spec.lane,
        dtype=spec.dtype,
        seed=spec.seed,
        verdict=result.verdict,
        seconds=result.seconds,
    )


def controlled(spec: CaseSpec, control: ControlResult, at: float, id: str = "") -> ControlFinished:
    """The event of a fault that was planted in a case; `id` is the case's, as above."""
    return ControlFinished(
        at=at,
        index=spec.index,
        id=f"{id or case_id(spec)}-control",
        fault=control.fault,
        summary=control.summary,
        site=control.site,
        expected=control.expected,
        caught=control.caught,
        verdict=control.verdict,
        seconds=control.seconds,
    )


# --- the results of jobs -----------------------------------------------------------------


def _results(
    options: Options, began: float, stop: Callable[[], bool], kept: int = 0
) -> Generator[tuple[Job, list[Result]]]:
    """Every job with its results, in the order of the plan; one at least, if time is short.

    Those of the first `kept` cases are left out: they are done.
    """

    def goes_on(job: Job) -> bool:
        first = job.cases[0].index == 0
        in_time = options.max_time is None or monotonic() - began < options.max_time
        return (first or in_time) and not stop()

    left = (job for job in plan(options) if job.cases[-1].index >= kept)
    jobs = itertools.takewhile(goes_on, left)
    if options.workers == 1:
        for job in jobs:
            yield job, DECODER.decode(run_job(msgspec.msgpack.encode(job)))
        return
    with Workers(run_job, options.workers) as workers:
        queue: deque[tuple[Job, bytes, Future[bytes]]] = deque()
        ahead = AHEAD if options.max_time is None else AHEAD_IN_TIME
        while True:
            for job in itertools.islice(jobs, ahead * options.workers - len(queue)):
                encoded = msgspec.msgpack.encode(job)
                queue.append((job, encoded, workers.ask(encoded)))
            if not queue:
                return
            job, encoded, asked = queue.popleft()
            yield job, _answer(workers, job, encoded, asked)


def _answer(workers: Workers, job: Job, encoded: bytes, asked: Future[bytes]) -> list[Result]:
    """The results of a job; ERROR for every case of one that ends its process."""
    try:
        return DECODER.decode(workers.answer(encoded, asked))
    except BrokenExecutor:
        died = Verdict("ERROR", "the process that judged this network died, twice")
        return [Result(died, 0.0) for _ in job.cases]


def default_workers(cases: int) -> int:
    """One process for a small run, else one for each core, up to eight."""
    return 1 if 0 < cases <= 40 else max(1, min(os.cpu_count() or 1, 8))
