"""A run in numbers: what every report says, computed once from the events."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import msgspec

from ..architectures.architecture import Architecture
from ..checkers.checks import Check
from ..checkers.comparison import Status
from ..checkers.verdict import OperatorVerdict, Verdict, worst
from . import by_configuration
from .coverage import Coverage, coverage, downstream_of_parameters
from .events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    Replayed,
    RunFinished,
    RunStarted,
)
from .functions import CheckedFunction, functions
from .gate import Replay, budgets_of, missed, replays

STATUSES: tuple[Status, ...] = get_args(Status)
BAD: tuple[Status, ...] = ("FAIL", "ERROR", "TIMEOUT")
"""Cases of these are listed one by one, in this order."""
COMPARED: tuple[Status, ...] = ("PASS", "FAIL", "INCONCLUSIVE")
"""Verdicts of these rest on a comparison."""

Counts = dict[Status, int]
E = TypeVar("E", bound=AnyEvent)


class Resolutions(msgspec.Struct, frozen=True, kw_only=True):
    """Over what passed: the coarsest and the median smallest relative error to be caught.

    `exact` were compared bit for bit and count as 0; `unstated` gave no resolution.
    """

    worst: float | None
    median: float | None
    exact: int
    unstated: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One operator or one checker: in how many cases it got which status.

    `ratio` is the greatest error over its bound, None where nothing was compared; above 1
    is a disagreement.
    """

    name: str
    cases: Counts
    ratio: float | None
    resolution: Resolutions


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A claim beyond values: in how many cases it was asked and held.

    `failed` counts failures that nobody had declared; `expected` those that were, for the
    reason `excuse`.  `why` says what goes wrong where it does not hold.
    """

    name: str
    passed: int
    failed: int
    expected: int
    why: str = ""
    excuse: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of one lane in one dtype."""

    lane: str
    dtype: str
    cases: Counts


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A control that went unnoticed, or was blamed on another operator."""

    id: str
    fault: str
    summary: str
    site: str
    expected: str
    status: Status
    blamed: str
    reason: str


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """How often one fault was planted, and how often it was caught."""

    fault: str
    summary: str
    planted: int
    caught: int


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """The negative controls of the run."""

    planted: int
    caught: int
    faults: tuple[Planted, ...]
    missed: tuple[Missed, ...]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A case that ended in FAIL, ERROR or TIMEOUT, and what was saved of it.

    `minimal` is the smallest network found that still fails, with its verdict; `cause` is what
    the mistake is, where that is known; `path`, `script`, `page` and `replay` are empty where
    nothing was saved.  `known` is the id in the baseline of a failure that is excused.
    """

    id: str
    index: int | None
    lane: str
    dtype: str
    seed: int | None
    architecture: Architecture
    verdict: Verdict
    minimal: Architecture | None = None
    minimal_verdict: Verdict | None = None
    cause: str = ""
    path: str = ""
    script: str = ""
    page: str = ""
    replay: str = ""
    known: str = ""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why cases decided nothing; layer numbers are replaced by `*`."""

    status: Status
    reason: str
    cases: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the reports say of a run.

    `undecided` is the share of the cases that were INCONCLUSIVE, UNSUPPORTED or TIMEOUT.
    `exit_code` and `reason` are None where the run was cut off before it said.  `started`
    is in seconds since 1970; it, `cases_per_second` and all `seconds` alone depend on the clock.
    `failures` are those that count; `excused` are of a gate's baseline, and do not.  `missed`
    holds a sentence for each of its budgets that was not kept, `replays` the saved cases that it
    ran again, `functions` what was checked by itself.
    """

    subject: str
    seed: int | None
    command: str
    options: dict[str, Any]
    checkers: tuple[str, ...]
    versions: dict[str, str]
    exit_code: int | None
    reason: str | None
    interrupted: bool
    cases: int
    counts: Counts
    undecided: float
    resolution: Resolutions
    operators: tuple[Row, ...]
    configurations: tuple[Row, ...]
    by_checker: tuple[Row, ...]
    claims: tuple[Claimed, ...]
    groups: tuple[Group, ...]
    coverage: Coverage
    reasons: tuple[Reason, ...]
    controls: Controls
    failures: tuple[Failure, ...]
    started: float
    seconds: float
    cases_per_second: float
    excused: tuple[Failure, ...] = ()
    missed: tuple[str, ...] = ()
    replays: tuple[Replay, ...] = ()
    functions: tuple[CheckedFunction, ...] = ()

    @property
    def passed(self) -> int:
        """Cases and functions that are verified."""
        return self.counts["PASS"] + sum(f.status == "PASS" for f in self.functions)


def summarise(events: Iterable[AnyEvent]) -> Summary:
    """The summary of a run, also of one that was cut off or has no events at all."""
    events = tuple(events)
    cases = sorted(_of(events, CaseFinished), key=lambda e: (e.index, e.id))
    start = next(iter(_of(events, RunStarted)), None)
    end = next(iter(_of(events, RunFinished)), None)
    counts = _counts(c.verdict.status for c in cases)
    undecided = counts["INCONCLUSIVE"] + counts["UNSUPPORTED"] + counts["TIMEOUT"]
    seconds = end.seconds if end else _span(events)
    covered = coverage(cases)
    budgets = budgets_of(start.options) if start else None
    failures = _failures(cases, _of(events, FailureSaved), _of(events, CaseKnown))
    return Summary(
        subject=start.subject if start else "",
        seed=start.seed if start else None,
        command=start.command if start else "",
        options=start.options if start else {},
        checkers=start.checkers if start else (),
        versions=start.versions if start else {},
        exit_code=end.exit_code if end else None,
        reason=end.reason if end else None,
        interrupted=end.interrupted if end else True,
        cases=len(cases),
        counts=counts,
        undecided=undecided / len(cases) if cases else 0.0,
        resolution=_resolutions(c.verdict.resolution for c in cases if c.verdict.status == "PASS"),
        operators=_operators(cases),
        configurations=_configurations(cases),
        by_checker=_checkers(cases),
        claims=_claims(cases),
        groups=_groups(cases),
        coverage=covered,
        reasons=_reasons(cases),
        controls=_controls(_of(events, ControlFinished)),
        failures=tuple(f for f in failures if not f.known),
        excused=tuple(f for f in failures if f.known),
        started=start.at if start else 0.0,
        seconds=seconds,
        cases_per_second=len(cases) / seconds if seconds > 0 else 0.0,
        missed=missed(budgets, cases, covered) if budgets else (),
        replays=replays(_of(events, Replayed)),
        functions=functions(events),
    )


def _of(events: Sequence[AnyEvent], kind: type[E]) -> list[E]:
    return [e for e in events if isinstance(e, kind)]


def _span(events: Sequence[AnyEvent]) -> float:
    times = [e.at for e in events if e.at]
    return max(times) - min(times) if times else 0.0


def _counts(statuses: Iterable[Status]) -> Counts:
    found = Counter(statuses)
    return {status: found[status] for status in STATUSES}


def _resolutions(values: Iterable[float | None]) -> Resolutions:
    values = tuple(values)
    stated = [v for v in values if v is not None]
    return Resolutions(
        worst=max(stated, default=None),
        median=statistics.median(stated) if stated else None,
        exact=sum(v == 0 for v in stated),
        unstated=len(values) - len(stated),
    )


# --- per operator, per checker, per lane ------------------------------------------------


@dataclass
class _Tally:
    statuses: list[Status] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    resolutions: list[float | None] = field(default_factory=list)

    def add(self, status: Status, ratio: float | None, resolution: float | None) -> None:
        self.statuses.append(status)
        if ratio is not None and status in COMPARED:
            self.ratios.append(ratio)
        if status == "PASS":
            self.resolutions.append(resolution)

    def row(self, name: str) -> Row:
        return Row(
            name=name,
            cases=_counts(self.statuses),
            ratio=max(self.ratios, default=None),
            resolution=_resolutions(self.resolutions),
        )


def _operators(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for case in cases:
        said = verdicts_by_operator(case.verdict.operators)
        for name, status in status_by_operator(case).items():
            v = said.get(name)
            tallies[name].add(
                status,
                v.ratio if v else None,
                v.resolution if v else case.verdict.resolution,
            )
    return tuple(tallies[name].row(name) for name in sorted(tallies))


def verdicts_by_operator(verdicts: Sequence[OperatorVerdict]) -> dict[str, OperatorVerdict]:
    """One verdict for each operator, the worst where it is named twice."""
    groups: dict[str, list[OperatorVerdict]] = {}
    for v in verdicts:
        groups.setdefault(v.operator, []).append(v)
    return {
        name: OperatorVerdict(
            name,
            worst([v.status for v in group]),
            max(v.ratio for v in group),
            max((v.resolution for v in group if v.resolution is not None), default=None),
        )
        for name, group in groups.items()
    }


def status_by_operator(case: CaseFinished) -> dict[str, Status]:
    """What a case says of each operator, also of those that its verdict does not name."""
    said = verdicts_by_operator(case.verdict.operators)
    return dict(_silent(case)) | {name: v.status for name, v in said.items()}


def _silent(case: CaseFinished) -> Iterator[tuple[str, Status]]:
    """What a case says of operators that its verdict does not name.

    The subject then gave no gradient that they produce.  Where the case passed, they passed
    if a parameter's gradient goes through them (otherwise nothing was learnt); where it
    failed, they are inconclusive.
    """
    status = case.verdict.status
    names = case.architecture.operators
    if status == "PASS":
        names = downstream_of_parameters(case.architecture)
    for name in dict.fromkeys(names):
        yield name, "INCONCLUSIVE" if status == "FAIL" else status


def _configurations(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for case in cases:
        for name, status in by_configuration.said(case):
            tallies[name].add(status, None, case.verdict.resolution)
    return tuple(tallies[name].row(name) for name in sorted(tallies))


def _claims(cases: Sequence[CaseFinished]) -> tuple[Claimed, ...]:
    found: dict[str, list[Check]] = {}
    for case in cases:
        for c in case.verdict.checks:
            found.setdefault(c.name, []).append(c)
    return tuple(
        Claimed(
            name=name,
            passed=sum(c.status == "PASS" for c in checks),
            failed=sum(c.status == "FAIL" and not c.expected for c in checks),
            expected=sum(c.status == "FAIL" and bool(c.expected) for c in checks),
            why=max(c.why for c in checks),
            excuse=max(c.expected for c in checks),
        )
        for name, checks in found.items()
    )


def _checkers(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for case in cases:
        for v in case.verdict.checkers:
            tallies[v.checker].add(v.status, v.ratio, v.resolution)
    return tuple(tallies[name].row(name) for name in sorted(tallies))


def _groups(cases: Sequence[CaseFinished]) -> tuple[Group, ...]:
    statuses: defaultdict[tuple[str, str], list[Status]] = defaultdict(list)
    for case in cases:
        statuses[case.lane, case.dtype].append(case.verdict.status)
    return tuple(
        Group(lane=lane, dtype=dtype, cases=_counts(statuses[lane, dtype]))
        for lane, dtype in sorted(statuses)
    )


def _reasons(cases: Sequence[CaseFinished]) -> tuple[Reason, ...]:
    found = Counter(
        (c.verdict.status, re.sub(r"layers\.\d+", "layers.*", c.verdict.reason))
        for c in cases
        if c.verdict.status in ("INCONCLUSIVE", "UNSUPPORTED", "TIMEOUT")
    )
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(status=s, reason=r, cases=n) for (s, r), n in ranked)


# --- controls and failures --------------------------------------------------------------


def _controls(controls: Sequence[ControlFinished]) -> Controls:
    controls = sorted(controls, key=lambda e: (e.index, e.id))
    by_fault: dict[str, list[ControlFinished]] = {}
    for c in controls:
        by_fault.setdefault(c.fault, []).append(c)
    return Controls(
        planted=len(controls),
        caught=sum(c.caught for c in controls),
        faults=tuple(
            Planted(
                fault=fault,
                summary=by_fault[fault][0].summary,
                planted=len(by_fault[fault]),
                caught=sum(c.caught for c in by_fault[fault]),
            )
            for fault in sorted(by_fault)
        ),
        missed=tuple(_missed(c) for c in controls if not c.caught),
    )


def _missed(c: ControlFinished) -> Missed:
    return Missed(
        id=c.id,
        fault=c.fault,
        summary=c.summary,
        site=c.site,
        expected=c.expected,
        status=c.verdict.status,
        blamed=c.verdict.operator,
        reason=c.verdict.reason,
    )


def _failures(
    cases: Sequence[CaseFinished], saved: Sequence[FailureSaved], known: Sequence[CaseKnown]
) -> tuple[Failure, ...]:
    by_id = {s.id: s for s in saved}
    excused = {k.id: k.known for k in known}
    failures = [
        _failure(c, by_id.get(c.id), excused.get(c.id, ""))
        for c in cases
        if c.verdict.status in BAD or c.id in by_id
    ]
    orphans = by_id.keys() - {c.id for c in cases}
    failures += [_orphan(by_id[id]) for id in sorted(orphans)]
    order = {status: i for i, status in enumerate(BAD)}
    return tuple(sorted(failures, key=lambda f: order.get(f.verdict.status, len(BAD))))


def _failure(case: CaseFinished, saved: FailureSaved | None, known: str) -> Failure:
    return Failure(
        id=case.id,
        index=case.index,
        lane=case.lane,
        dtype=case.dtype,
        seed=case.seed,
        architecture=case.architecture,
        verdict=case.verdict,
        minimal=saved.minimal if saved else None,
        minimal_verdict=saved.verdict if saved else None,
        cause=saved.cause if saved else "",
        path=saved.path if saved else "",
        script=saved.script if saved else "",
        page=saved.page if saved else "",
        replay=saved.replay if saved else "",
        known=known,
    )


def _orphan(saved: FailureSaved) -> Failure:
    """A failure whose case never finished: the run was cut off, or was a replay."""
    return Failure(
        id=saved.id,
        index=None,
        lane="",
        dtype="",
        seed=None,
        architecture=saved.minimal,
        verdict=saved.verdict,
        minimal=saved.minimal,
        minimal_verdict=saved.verdict,
        cause=saved.cause,
        path=saved.path,
        script=saved.script,
        page=saved.page,
        replay=saved.replay,
    )
