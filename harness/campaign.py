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
import platform
import shlex
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

import msgspec

from backproof.architectures.cases import Case, draw_case
from backproof.baseline import Entry, excuse, in_force
from backproof.checkers.outcome import with_checks
from backproof.checkers.verdict import CheckerName, Verdict, verify
from backproof.controls import run_control
from backproof.counterexample import explain
from backproof.diagnosis import diagnose, in_words
from backproof.failures import FailureFile, dumps, record
from backproof.foreign import (
    SubjectProblem,
    Unsupported,
    is_foreign,
    manners_of,
    source_of,
    subject_named,
)
from backproof.jobs import CaseSpec, Job, plan
from backproof.jobs import Options as Options  # offered here too, beside `run`, which takes them
from backproof.localisation import located
from backproof.replaying import Saved, replay
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    Replayed,
    RunFinished,
    RunResumed,
    RunStarted,
)
from backproof.reports.exit_codes import exit_code
from backproof.reports.summary import BAD, Summary, summarise
from backproof.script import write_script
from backproof.shrinking import shrink
from backproof.workers import BrokenExecutor, Workers

AHEAD = 4
"""Jobs queued for each worker."""

AHEAD_IN_TIME = 2
"""The same under a time limit: what is queued is finished, however late it is by then."""

MOST_FAILURES = 10
"""Failures that are reduced and saved; later ones are reported as they are."""


INACCURATE = "right, but for digits that its formulas lose to cancellation"


class ControlResult(msgspec.Struct, frozen=True):
    """What `run_control` found, as it travels."""

    fault: str
    summary: str
    site: str
    expected: str
    caught: bool
    verdict: Verdict
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """A case's verdict, and its control's where one was due."""

    verdict: Verdict
    seconds: float
    control: ControlResult | None = None


DECODER = msgspec.msgpack.Decoder(list[Result])


def run_job(encoded: bytes) -> bytes:
    """Judge every case of a job; bytes in, bytes out, so that any executor carries it."""
    job = msgspec.msgpack.decode(encoded, type=Job)
    results = []
    for spec in job.cases:
        began = time.perf_counter()
        try:
            case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
        except Exception as error:
            results.append(Result(broken(error), 0.0))
            continue
        verdict = judge(case, job)
        seconds = time.perf_counter() - began
        control = _control(case, job.checkers) if spec.control else None
        results.append(Result(verdict, seconds, control))
    return msgspec.msgpack.encode(results)


def broken(error: Exception) -> Verdict:
    """The verdict where the harness itself breaks."""
    return Verdict("ERROR", f"{type(error).__name__}: {error}")


def judge(case: Case, job: Job | Options) -> Verdict:
    """The verdict on a case; whatever breaks in the harness is an ERROR, not an exception."""
    try:
        subject = subject_named(job.subject, job.programs)
        verdict = verify(case, subject, checkers=job.checkers, exhaustive=job.exhaustive)
        return _as_foreign(case, job, verdict) if is_foreign(job.subject) else verdict
    except SubjectProblem as problem:
        return Verdict(problem.status, problem.reason)
    except Unsupported as reason:
        return Verdict("UNSUPPORTED", str(reason) or "the subject cannot do this network")
    except Exception as error:  # the harness's own fault, reported as such
        return broken(error)


def _as_foreign(case: Case, job: Job | Options, verdict: Verdict) -> Verdict:
    """What is right but for the digits that its formulas lose is right; then its manners.

    Where formulas may lose everything nothing is proved, neither right nor wrong.
    """
    if verdict.status == "FAIL" and verdict.comparisons:
        lenient = verify(
            case,
            subject_named(job.subject, job.programs),
            checkers=job.checkers,
            exhaustive=job.exhaustive,
            cancels=True,
        )
        if lenient.status == "PASS":
            verdict = msgspec.structs.replace(lenient, reason=INACCURATE)
        elif lenient.status == "INCONCLUSIVE":
            verdict = lenient
        else:
            subject = subject_named(job.subject, job.programs)
            verdict = located(case, subject, verdict, cancels=True)
    if case.lane == "generic":
        verdict = with_checks(verdict, manners_of(job.subject, case, job.programs))
    return verdict


def _control(case: Case, checkers: tuple[CheckerName, ...]) -> ControlResult | None:
    began = time.perf_counter()
    try:
        found = run_control(case, checkers)
    except Exception as error:
        return ControlResult("", "a control that broke", "", "", False, broken(error), 0.0)
    if found is None:
        return None
    return ControlResult(
        found.fault.name,
        found.fault.summary,
        found.site,
        found.expected,
        found.caught,
        found.verdict,
        time.perf_counter() - began,
    )


# --- the run --------------------------------------------------------------------------


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
    known.  An interrupted run goes on after the events `before`, which took `spent` seconds.
    """
    began = monotonic() - spent
    events: list[AnyEvent] = list(before)
    today = datetime.datetime.fromtimestamp(clock(), datetime.UTC).date()
    excuses = in_force(known, options.subject, today)

    def emit(event: AnyEvent) -> None:
        events.append(event)
        listen(event)

    kept = sum(isinstance(e, CaseFinished) for e in before)
    if before:
        emit(RunResumed(at=clock(), kept=kept, seconds=spent))
    else:
        emit(
            RunStarted(
                at=clock(),
                seed=options.seed,
                command=command,
                subject=options.subject,
                options=options.as_json(),
                checkers=options.checkers,
                versions=versions(),
                source=source_of(options.subject, options.programs),
            )
        )
    interrupted = False
    reduced = sum(isinstance(e, FailureSaved) for e in before)
    try:
        again = {e.id for e in before if isinstance(e, Replayed)}
        for one in saved:
            if one.id not in again and not stop():
                emit(replay(one, options.subject, _as_then(options), known, today, clock()))
        with contextlib.closing(_results(options, began, stop, kept)) as done:
            for job, results in done:
                for spec, result in zip(job.cases, results, strict=True):
                    emit(finished(job, spec, result, clock()))
                    if result.control is not None:
                        emit(controlled(spec, result.control, clock()))
                    if result.verdict.status != "FAIL":
                        continue
                    entry = excuse(excuses, result.verdict, spec.dtype)
                    if entry is None and reduced < MOST_FAILURES:
                        reduced += 1
                        failure = _save_failure(
                            job, spec, result.verdict, save, folder, stop, clock
                        )
                        emit(failure)
                        entry = excuse(excuses, failure.verdict, spec.dtype, failure.minimal)
                    if entry is not None:
                        emit(CaseKnown(at=clock(), id=case_id(spec), known=entry.id))
                if stop() or (options.fail_fast and any(r.verdict.status in BAD for r in results)):
                    break
        interrupted = stop()
    except KeyboardInterrupt:
        interrupted = True
    summary = summarise(events)
    code, reason = exit_code(
        summary, max_inconclusive=options.max_inconclusive, interrupted=interrupted
    )
    emit(
        RunFinished(
            at=clock(),
            exit_code=int(code),
            reason=reason,
            interrupted=interrupted,
            seconds=monotonic() - began,
        )
    )
    return summarise(events)


def _as_then(options: Options) -> Callable[[Case, FailureFile], Verdict]:
    """A judge who asks of a saved case what its own run asked."""

    def judge_again(case: Case, file: FailureFile) -> Verdict:
        then = replace(options, checkers=file.checkers, exhaustive=file.exhaustive)
        return judge(case, then)

    return judge_again


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


def case_id(spec: CaseSpec) -> str:
    """A name such as `case-00017-tie-float64`."""
    return f"case-{spec.index:05d}-{spec.lane}-{spec.dtype}"


def _save_failure(
    job: Job,
    spec: CaseSpec,
    verdict: Verdict,
    save: Callable[[str, bytes], None] | None,
    folder: Path,
    stop: Callable[[], bool],
    clock: Callable[[], float],
) -> FailureSaved:
    """Reduce a failing case, and write it down with its script and its page.

    Where that breaks, the failure stands as it was found, and its reason says so.
    """
    id = case_id(spec)
    path, script, page = (f"failures/{id}.{kind}" for kind in ("json", "py", "md"))
    replay = f"backproof replay {shlex.quote(str(folder / path))}"
    saved = FailureSaved(
        at=clock(),
        id=id,
        minimal=job.architecture,
        verdict=verdict,
        path=path if save else "",
        script=script if save else "",
        page=page if save else "",
        replay=replay if save else "",
    )

    def judge_unless_stopped(candidate: Case) -> Verdict:
        return Verdict("INCONCLUSIVE", "interrupted") if stop() else judge(candidate, job)

    try:
        case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
        saved = msgspec.structs.replace(saved, cause=cause_of(case, verdict, job))
        minimal, reduced = shrink(case, verdict, judge_unless_stopped)
        if save is not None:
            save(path, dumps(describe(minimal, reduced, id, job, replay, saved.cause)))
            if reduced.tensor:
                save(script, describe_in_python(minimal, reduced, id, job.subject).encode())
            else:  # it gave no gradient to show
                saved = msgspec.structs.replace(saved, script="")
            save(page, explain(minimal, reduced, job, saved).encode())
    except Exception as error:
        reason = f"{verdict.reason}; not reduced or saved: {broken(error).reason}"
        unsaved = msgspec.structs.replace(verdict, reason=reason)
        nowhere = dict.fromkeys(("path", "script", "page", "replay"), "")
        return msgspec.structs.replace(saved, verdict=unsaved, **nowhere)
    return msgspec.structs.replace(saved, minimal=minimal.architecture, verdict=reduced)


def cause_of(case: Case, verdict: Verdict, asked: Job | Options) -> str:
    """What the mistake behind a FAIL is, in a sentence; "" where no gradient is blamed.

    By the whole network: in the minimal one many mistakes come to the same.  What breaks here
    costs the failure nothing but this sentence.
    """
    if not verdict.tensor:
        return ""
    try:
        subject = subject_named(asked.subject, asked.programs)
        return in_words(diagnose(case, subject, verdict.tensor))
    except (SubjectProblem, Unsupported):  # it fails in other ways by now
        return ""
    except Exception as error:
        return f"not found: {broken(error).reason}"


def describe(
    case: Case, verdict: Verdict, id: str, job: Job, replay: str, cause: str = ""
) -> FailureFile:
    """A failing case as a file to replay."""
    return record(
        case,
        verdict,
        id=id,
        subject=job.subject,
        replay=replay,
        versions=versions(),
        checkers=job.checkers,
        exhaustive=job.exhaustive,
        cause=cause,
    )


def describe_in_python(case: Case, verdict: Verdict, id: str, subject: str) -> str:
    """A failing case as a script for NumPy alone."""
    loss, gradients = subject_named(subject)(case)
    return write_script(case, verdict, loss, dict(gradients), id=id, file=f"{id}.py")


def versions() -> dict[str, str]:
    """The versions of everything that has a say."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("backproof", "numpy", "scipy", "jax", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def default_workers(cases: int) -> int:
    """One process for a small run, else one for each core, up to eight."""
    return 1 if 0 < cases <= 40 else max(1, min(os.cpu_count() or 1, 8))
