"""What is shown of each failure: the mistakes in order, and the drawings of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...architectures.architecture import Architecture
from ...checkers.verdict import Verdict
from ..drawing.cells import Heat, heat
from ..drawing.network import Drawing, draw
from ..drawing.spans import Spans, spans
from ..drawing.steps import Vee, vee
from ..evidence import Evidence
from ..mistakes import mistake, worst_first
from ..summary import Failure, Summary

OPEN = 6
"""Mistakes whose first case is seen without a click."""


@dataclass(frozen=True)
class Shown:
    """A failure with its number.

    The first of each mistake says how many cases show it, in `like`; the others have 0.  What is
    drawn is None where there is nothing to draw.
    """

    number: int
    failure: Failure
    evidence: Evidence
    like: int

    @property
    def open(self) -> bool:
        """Whether it is seen without a click."""
        return self.like > 0 and self.number <= OPEN

    @property
    def network(self) -> Architecture:
        """The minimal network, or the one that was found where there is none."""
        f = self.failure
        return f.architecture if f.minimal is None else f.minimal

    @property
    def verdict(self) -> Verdict:
        """On that network."""
        return self.failure.minimal_verdict or self.failure.verdict

    def graph(self) -> Drawing:
        """The network, its faulty edge marked."""
        return draw(self.network, self.verdict.tensor, self.verdict.operator)

    def spans(self) -> Spans | None:
        """Error against bound, as it was found."""
        return spans(self.failure.verdict.comparisons)

    def heat(self) -> Heat | None:
        """The entries of the tensor as it was found, else those of the minimal network's."""
        cells = self.evidence.found or self.evidence.minimal
        return None if cells is None else heat(cells)

    def smallest(self) -> Heat | None:
        """The entries of the minimal network's tensor, where it is not the one of `heat`."""
        cells = self.evidence.minimal
        if cells is None or self.evidence.found in (None, cells):
            return None
        return heat(cells)

    def vee(self) -> Vee | None:
        """Error against step size, of the minimal network."""
        return None if self.evidence.steps is None else vee(self.evidence.steps)


def shown(summary: Summary, evidence: Mapping[str, Evidence]) -> Iterator[Shown]:
    """The failures, one of each mistake first, the worst mistake first."""
    failures = worst_first(summary.failures)
    alike = Counter(map(mistake, failures))
    for number, f in enumerate(failures, 1):
        yield Shown(number, f, evidence.get(f.id, Evidence()), alike.pop(mistake(f), 0))
