"""A run in numbers: what every report says, computed once from the events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from ..architectures.architecture import Architecture
from ..checkers.comparison import Status
from ..checkers.verdict import Verdict
from . import tallies
from .coverage import Coverage, coverage
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
from .tallies import BAD, Claimed, Counts, Group, Reason, Resolutions, Row

E = TypeVar("E", bound=AnyEvent)


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
    counts = tallies.counts(c.verdict.status for c in cases)
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
        resolution=tallies.resolutions(
            c.verdict.resolution for c in cases if c.verdict.status == "PASS"
        ),
        operators=tallies.operators(cases),
        configurations=tallies.configurations(cases),
        by_checker=tallies.checkers(cases),
        claims=tallies.claims(cases),
        groups=tallies.groups(cases),
        coverage=covered,
        reasons=tallies.reasons(cases),
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
