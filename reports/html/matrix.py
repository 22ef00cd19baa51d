"""Operators by checkers: what each source of gradients says of each operator's backward pass.

A verdict keeps the comparisons that did not pass.  So a checker that compared a case, and of
which no comparison with an operator's tensors is kept, confirmed them all.  How close it came is
known of the operator over all checkers and of the checker over all operators: the lesser of the
two is an upper bound.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...architectures.architecture import Architecture, is_weight
from ...checkers.comparison import Comparison, Status
from ...checkers.outcome import producer
from ...checkers.verdict import CheckerVerdict, OperatorVerdict, worst
from ..events import CaseFinished
from ..tallies import COMPARED, Counts, status_by_operator, verdicts_by_operator


@dataclass
class Cell:
    """How often which status; `ratio` is the worst error over its bound where something was
    compared, and at most that where `exact` is not set."""

    counts: Counter[Status] = field(default_factory=Counter)
    ratio: float | None = None
    exact: bool = False

    @property
    def cases(self) -> Counts:
        return dict(self.counts)

    @property
    def status(self) -> Status:
        """FAIL where there is one, PASS where anything passed, else the worst."""
        if self.counts["FAIL"] or self.counts["ERROR"]:
            return "FAIL" if self.counts["FAIL"] else "ERROR"
        return "PASS" if self.counts["PASS"] else worst(self.counts)

    @property
    def count(self) -> int:
        return self.counts[self.status]

    def add(self, status: Status, ratio: float | None, exact: bool) -> None:
        """One more case."""
        self.counts[status] += 1
        if ratio is not None and (self.ratio is None or ratio > self.ratio):
            self.ratio, self.exact = ratio, exact


@dataclass(frozen=True)
class Matrix:
    """Rows by operator, those where something is wrong first; a cell is None where nothing is."""

    checkers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def matrix(cases: Sequence[CaseFinished]) -> Matrix:
    """The matrix of a run's cases."""
    cells: defaultdict[str, dict[str, Cell]] = defaultdict(dict)
    for case in cases:
        for operator, checker, status, ratio, exact in _said(case):
            cells[operator].setdefault(checker, Cell()).add(status, ratio, exact)
    checkers = tuple(sorted({name for row in cells.values() for name in row}))

    def rank(operator: str) -> tuple[bool, str]:
        return all(cell.status != "FAIL" for cell in cells[operator].values()), operator

    rows = tuple(
        (operator, tuple(cells[operator].get(name) for name in checkers))
        for operator in sorted(cells, key=rank)
    )
    return Matrix(checkers, rows)


def _said(case: CaseFinished) -> Iterator[tuple[str, str, Status, float | None, bool]]:
    """(operator, checker, status, ratio, whether the ratio is exact) of one case."""
    named = verdicts_by_operator(case.verdict.operators)
    of_all = status_by_operator(case)
    kept = defaultdict(list)
    for c in case.verdict.comparisons:
        operators = _operators_of(case.architecture, c.tensor)
        if c.tensor == case.verdict.tensor:  # where it was looked for, another than makes it
            operators.add(case.verdict.operator)
        for operator in operators:
            kept[operator, c.checker].append(c)
    for v in case.verdict.checkers:
        for operator, status in of_all.items():
            if v.status not in COMPARED:
                yield operator, v.checker, v.status, None, False
                continue
            mine = kept[operator, v.checker]
            said = _status(mine, operator == case.verdict.operator, status, operator in named)
            ratio, exact = (
                _ratio(mine, named.get(operator), v) if said in COMPARED else (None, False)
            )
            yield operator, v.checker, said, ratio if said != "INCONCLUSIVE" else None, exact


def _operators_of(a: Architecture, tensor: str) -> set[str]:
    """Who makes a tensor's gradient; that of a weight, the penalties too."""
    if tensor != "loss" and tensor not in a.tensors:
        return set()
    found = {producer(a, tensor)}
    if a.penalties and tensor in a.parameters and is_weight(tensor):
        found |= {str(p.__struct_config__.tag) for p in a.penalties}
    return found


def _status(kept: Sequence[Comparison], blamed: bool, of_all: Status, named: bool) -> Status:
    """What is wrong behind the blamed operator is undecided, as in the verdict."""
    if any(c.status == "FAIL" for c in kept):
        return "FAIL" if blamed else "INCONCLUSIVE"
    if kept:
        return "INCONCLUSIVE"
    return "PASS" if named else of_all


def _ratio(
    kept: Sequence[Comparison], operator: OperatorVerdict | None, checker: CheckerVerdict
) -> tuple[float | None, bool]:
    if kept:
        return max(c.ratio for c in kept), True
    return (None if operator is None else min(operator.ratio, checker.ratio)), False
