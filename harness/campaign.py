"""A run: cases from a seed, verdicts from the checkers, events in order.

    options -> plan (architectures, seeds) -> jobs -> verdicts -> events -> whoever listens

A job is one architecture with the cases drawn for it; it travels to a worker process as
bytes and comes back as verdicts.  Events leave in the order of the plan whatever the order
in which workers finish, so that the stream does not depend on how many there are.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, Case, DType, Lane, draw_case
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits, generate
from backproof.checkers.verdict import CHECKERS, CheckerName, Verdict, verify
from backproof.controls import run_control
from backproof.failures import FailureFile, dumps, record
from backproof.planting import by_name
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    ControlFinished,
    FailureSaved,
    RunFinished,
    RunStarted,
)
from backproof.reports.exit_codes import exit_code
from backproof.reports.summary import Summary, summarise
from backproof.script import write_script
from backproof.shrinking import shrink

LANE_CYCLE: tuple[Lane, ...] = (
    "generic", "generic", "exact", "generic", "tie", "generic", "extreme", "generic", "generic",
    "exact", "generic", "tie", "generic", "extreme", "generic", "generic",
)  # fmt: skip
"""The lanes in turn: 10 of 16 generic, and two of each other."""

CONTROL_EVERY = 20
"""A planted fault for so many cases."""

BATCH = 64
"""Architectures that are drawn at a time."""

AHEAD = 4
"""Jobs queued for each worker."""

MOST_FAILURES = 10
"""Failures that are reduced and saved; later ones are reported as they are."""


@dataclass(frozen=True)
class Options:
    """What a run does.  `cases` or `max_time` (seconds), whichever is reached first."""

    cases: int = 400
    max_time: float | None = None
    seed: int = 0
    lanes: tuple[Lane, ...] = ()
    dtypes: tuple[DType, ...] = DTYPES
    checkers: tuple[CheckerName, ...] = CHECKERS
    limits: Limits = field(default_factory=Limits)
    architecture: Architecture | None = None
    exhaustive: bool = False
    fail_fast: bool = False
    workers: int = 1
    subject: str = "reference"
    max_inconclusive: float = 0.10

    def as_json(self) -> dict[str, Any]:
        """What decides the cases and verdicts; the number of workers does not."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        del plain["workers"]
        return plain


class CaseSpec(msgspec.Struct, frozen=True):
    """One case to be drawn."""

    index: int
    lane: Lane
    dtype: DType
    seed: int
    control: bool


class Job(msgspec.Struct, frozen=True):
    """An architecture and its cases, with all that a worker must know."""

    architecture: Architecture
    cases: tuple[CaseSpec, ...]
    checkers: tuple[CheckerName, ...]
    exhaustive: bool
    subject: str


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


def plan(options: Options) -> Iterator[Job]:
    """The jobs of a run, without end where `cases` is zero."""
    cycle = tuple(lane for lane in LANE_CYCLE if not options.lanes or lane in options.lanes)
    cycle = cycle or options.lanes
    drawn: dict[tuple[Lane, int], list[Architecture]] = {}
    index = job = 0
    while not options.cases or index < options.cases:
        lane = cycle[job % len(cycle)]
        block, place = divmod(job, BATCH)
        if options.architecture is not None:
            architecture = options.architecture
        else:
            if (lane, block) not in drawn:
                narrowest: DType = "float32" if "float32" in options.dtypes else "float64"
                start = options.seed * 2**20 + block * len(LANES) + LANES.index(lane)
                drawn = {key: value for key, value in drawn.items() if key[1] == block}
                drawn[lane, block] = generate(options.limits, lane, narrowest, start, BATCH)
            architecture = drawn[lane, block][place]
        specs = []
        for dtype in options.dtypes:
            if options.cases and index >= options.cases:
                break
            seed = options.seed * 2**32 + index
            control = index % CONTROL_EVERY == CONTROL_EVERY // 2
            fits = lane != "exact" or is_exact(architecture, dtype)
            specs.append(CaseSpec(index, lane if fits else "generic", dtype, seed, control))
            index += 1
        yield Job(architecture, tuple(specs), options.checkers, options.exhaustive, options.subject)
        job += 1


def run_job(encoded: bytes) -> bytes:
    """Judge every case of a job; bytes in, bytes out, so that any executor carries it."""
    job = msgspec.msgpack.decode(encoded, type=Job)
    results = []
    for spec in job.cases:
        began = time.perf_counter()
        case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
        verdict = judge(case, job)
        seconds = time.perf_counter() - began
        control = _control(case, job.checkers) if spec.control else None
        results.append(Result(verdict, seconds, control))
    return msgspec.msgpack.encode(results)


def judge(case: Case, job: Job | Options) -> Verdict:
    """The verdict on a case; whatever breaks in the harness is an ERROR, not an exception."""
    try:
        return verify(case, by_name(job.subject), checkers=job.checkers, exhaustive=job.exhaustive)
    except Exception as error:  # the harness's own fault, reported as such
        return Verdict("ERROR", f"{type(error).__name__}: {error}")


def _control(case: Case, checkers: tuple[CheckerName, ...]) -> ControlResult | None:
    began = time.perf_counter()
    try:
        found = run_control(case, checkers)
    except Exception as error:
        broken = Verdict("ERROR", f"{type(error).__name__}: {error}")
        return ControlResult("", "a control that broke", "", "", False, broken, 0.0)
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
    clock: Callable[[], float] = time.time,
) -> Summary:
    """Run a campaign; every event goes to `listen` as it happens.

    `save(name, content)` writes a file of a failure below the run's folder.  A
    KeyboardInterrupt ends the run in order: its events say so.  Returns the summary.
    """
    began = time.monotonic()
    events: list[AnyEvent] = []

    def emit(event: AnyEvent) -> None:
        events.append(event)
        listen(event)

    emit(
        RunStarted(
            at=clock(),
            seed=options.seed,
            command=command,
            subject=options.subject,
            options=options.as_json(),
            checkers=options.checkers,
            versions=versions(),
        )
    )
    interrupted = False
    saved = 0
    try:
        for job, results in _results(options, began):
            for spec, result in zip(job.cases, results, strict=True):
                emit(_finished(job, spec, result, clock()))
                if result.control is not None:
                    emit(_controlled(spec, result.control, clock()))
                if result.verdict.status == "FAIL" and saved < MOST_FAILURES:
                    saved += 1
                    emit(_save_failure(options, job, spec, result.verdict, save, clock))
            if options.fail_fast and any(r.verdict.status in ("FAIL", "ERROR") for r in results):
                break
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
            seconds=time.monotonic() - began,
        )
    )
    return summarise(events)


def _results(options: Options, began: float) -> Iterator[tuple[Job, list[Result]]]:
    """Every job with its results, in the order of the plan."""

    def in_time() -> bool:
        return options.max_time is None or time.monotonic() - began < options.max_time

    decoder = msgspec.msgpack.Decoder(list[Result])
    jobs = plan(options)
    if options.workers == 1:
        for job in jobs:
            if not in_time():
                return
            yield job, decoder.decode(run_job(msgspec.msgpack.encode(job)))
        return
    with _Workers(options.workers) as executor:
        queue: list[tuple[Job, Future[bytes]]] = []
        exhausted = False
        while True:
            while not exhausted and len(queue) < AHEAD * options.workers and in_time():
                upcoming = next(jobs, None)
                if upcoming is None:
                    exhausted = True
                else:
                    encoded = msgspec.msgpack.encode(upcoming)
                    queue.append((upcoming, executor.submit(run_job, encoded)))
            if not queue:
                return
            job, future = queue.pop(0)
            yield job, decoder.decode(future.result())


class _Workers:
    """loky's processes, killed at once where the run is interrupted."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> Executor:
        import loky

        environment = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._executor: Any = loky.ProcessPoolExecutor(self.count, env=environment)
        executor: Executor = self._executor
        return executor

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._executor.shutdown(wait=kind is None, kill_workers=kind is not None)


def _finished(job: Job, spec: CaseSpec, result: Result, at: float) -> CaseFinished:
    return CaseFinished(
        at=at,
        index=spec.index,
        id=case_id(spec),
        architecture=job.architecture,
        lane=spec.lane,
        dtype=spec.dtype,
        seed=spec.seed,
        verdict=result.verdict,
        seconds=result.seconds,
    )


def _controlled(spec: CaseSpec, control: ControlResult, at: float) -> ControlFinished:
    return ControlFinished(
        at=at,
        index=spec.index,
        id=f"{case_id(spec)}-control",
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
    options: Options,
    job: Job,
    spec: CaseSpec,
    verdict: Verdict,
    save: Callable[[str, bytes], None] | None,
    clock: Callable[[], float],
) -> FailureSaved:
    """Reduce a failing case, and write it down with its script."""
    case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
    minimal, verdict = shrink(case, verdict, lambda candidate: judge(candidate, job))
    id = case_id(spec)
    path, script = f"failures/{id}.json", f"failures/{id}.py"
    if save is not None:
        failure, text = describe_failure(minimal, verdict, id, job.subject, job.checkers)
        save(path, dumps(failure))
        save(script, text.encode())
    return FailureSaved(
        at=clock(),
        id=id,
        minimal=minimal.architecture,
        verdict=verdict,
        path=path if save else "",
        script=script if save else "",
        replay=f"backproof replay {path}",
    )


def describe_failure(
    case: Case, verdict: Verdict, id: str, subject: str, checkers: tuple[CheckerName, ...]
) -> tuple[FailureFile, str]:
    """A failing case as a file to replay, and as a script for NumPy alone."""
    failure = record(
        case,
        verdict,
        id=id,
        subject=subject,
        replay=f"backproof replay failures/{id}.json",
        versions=versions(),
        checkers=checkers,
    )
    loss, gradients = by_name(subject)(case)
    text = write_script(case, verdict, loss, dict(gradients), id=id, file=f"{id}.py")
    return failure, text


def versions() -> dict[str, str]:
    """The versions of everything that has a say."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("backproof", "numpy", "scipy", "jax", "torch", "hypothesis"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def default_workers(cases: int) -> int:
    """One process for a small run, else one for each core, up to eight."""
    return 1 if 0 < cases <= 40 else max(1, min(os.cpu_count() or 1, 8))
