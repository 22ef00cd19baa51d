"""Cases counted: by operator, by checker, by claim, by lane, and by what decided nothing."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args

import msgspec

from ..checkers.checks import Check
from ..checkers.comparison import Status
from ..checkers.verdict import OperatorVerdict, worst
from . import by_configuration
from .coverage import downstream_of_parameters
from .events import CaseFinished

STATUSES: tuple[Status, ...] = get_args(Status)
BAD: tuple[Status, ...] = ("FAIL", "ERROR", "TIMEOUT")
"""Cases of these are listed one by one, in this order."""
COMPARED: tuple[Status, ...] = ("PASS", "FAIL", "INCONCLUSIVE")
"""Verdicts of these rest on a comparison."""

Counts = dict[Status, int]


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


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why cases decided nothing; layer numbers are replaced by `*`."""

    status: Status
    reason: str
    cases: int


def counts(statuses: Iterable[Status]) -> Counts:
    found = Counter(statuses)
    return {status: found[status] for status in STATUSES}


def resolutions(values: Iterable[float | None]) -> Resolutions:
    values = tuple(values)
    stated = [v for v in values if v is not None]
    return Resolutions(
        worst=max(stated, default=None),
        median=statistics.median(stated) if stated else None,
        exact=sum(v == 0 for v in stated),
        unstated=len(values) - len(stated),
    )


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
            cases=counts(self.statuses),
            ratio=max(self.ratios, default=None),
            resolution=resolutions(self.resolutions),
        )


def operators(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
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


def configurations(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for case in cases:
        for name, status in by_configuration.said(case):
            tallies[name].add(status, None, case.verdict.resolution)
    return tuple(tallies[name].row(name) for name in sorted(tallies))


def claims(cases: Sequence[CaseFinished]) -> tuple[Claimed, ...]:
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


def checkers(cases: Sequence[CaseFinished]) -> tuple[Row, ...]:
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for case in cases:
        for v in case.verdict.checkers:
            tallies[v.checker].add(v.status, v.ratio, v.resolution)
    return tuple(tallies[name].row(name) for name in sorted(tallies))


def groups(cases: Sequence[CaseFinished]) -> tuple[Group, ...]:
    statuses: defaultdict[tuple[str, str], list[Status]] = defaultdict(list)
    for case in cases:
        statuses[case.lane, case.dtype].append(case.verdict.status)
    return tuple(
        Group(lane=lane, dtype=dtype, cases=counts(statuses[lane, dtype]))
        for lane, dtype in sorted(statuses)
    )


def reasons(cases: Sequence[CaseFinished]) -> tuple[Reason, ...]:
    found = Counter(
        (c.verdict.status, re.sub(r"layers\.\d+", "layers.*", c.verdict.reason))
        for c in cases
        if c.verdict.status in ("INCONCLUSIVE", "UNSUPPORTED", "TIMEOUT")
    )
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(status=s, reason=r, cases=n) for (s, r), n in ranked)
