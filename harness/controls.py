"""Negative controls: cases of the run itself, with a fault planted on purpose.

A harness that passes wrong code is worse than none, so every run proves that it would not.
The fault is drawn by its weight among those that show in the case: that change some
gradient by more than `SHOWS` rounding deviations (of formulas that may cancel), far above what
a verdict allows and far below what it may overlook.  FAIL is demanded, blamed on the very operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from backproof.architectures.cases import Case, stream
from backproof.checkers import rounding, ties
from backproof.checkers.verdict import CheckerName, Verdict, reference_subject, verify
from backproof.planting import blamed_for, planted, produced
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS, Fault, sites

SHOWS = 1000.0

NEAR_A_TIE = 10.0
"""Rounding deviations from a tie within which no fault is planted: any slope may be right there."""

TRIES = 20
"""Faults drawn for a case before it is given up: nearly all of them show at once."""


@dataclass(frozen=True)
class Control:
    """A planted fault, the operator to be blamed, and the verdict that came."""

    fault: Fault
    site: str
    expected: str
    verdict: Verdict

    @property
    def caught(self) -> bool:
        """Whether the verdict is exactly the one demanded."""
        return self.verdict.status == "FAIL" and self.verdict.operator == self.expected


def run_control(case: Case, checkers: tuple[CheckerName, ...]) -> Control | None:
    """Plant a fault in a case and judge it; None where no fault shows."""
    measured = rounding.measure(case, seed=case.seed, normwise=True)
    if measured.overflows or ties.find(case, measured, NEAR_A_TIE):
        return None
    a = case.architecture
    options = [
        (fault, site)
        for fault in FAULTS
        for site in sites(a)
        if not fault.convention and fault.applies(a, site)
    ]
    if not options:
        return None
    rng = stream(case.seed, "control")
    weights = np.array([fault.weight for fault, _ in options], dtype=float)
    right = reference_subject(case)[1]
    for choice in rng.choice(len(options), size=TRIES, p=weights / weights.sum()):
        fault, site = options[choice]
        if shows(case, right, fault, site, measured):
            verdict = verify(case, planted(fault, site), checkers=checkers)
            return Control(fault, site, blamed_for(a, site), verdict)
    return None


def shows(
    case: Case, right: Mapping[str, Array], fault: Fault, site: str, measured: rounding.Rounding
) -> bool:
    """Whether a fault changes what its operator produces by far more than rounding.

    `right` holds the gradients without it.
    """
    _, wrong = planted(fault, site)(case)
    return differs(right, wrong, produced(case.architecture, site), measured)


def differs(
    right: Mapping[str, Array],
    wrong: Mapping[str, Array | None],
    names: Iterable[str],
    measured: rounding.Rounding,
) -> bool:
    """Whether some of these gradients is off by more than `SHOWS` rounding deviations."""
    for name in names:
        g = wrong.get(name)
        if g is None or np.shape(g) != right[name].shape or g.dtype != right[name].dtype:
            return True
        change = np.asarray(g, dtype=np.float64) - right[name]
        if not np.isfinite(change).all():
            return True
        if rounding.norm(change) > SHOWS * measured.norm(name) > 0:
            return True
    return False
