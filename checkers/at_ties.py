"""The verdict where some operator is not differentiable (see `ties.py` for the theory).

What no tie can change is compared as everywhere.  Of the rest, the *open* tensors, the subject
passes if its gradients together are in the convex hull of the gradients on the pieces around
the point, and the convention that it follows is named.  JAX and PyTorch, which pick a
convention of their own, must be in the hull as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ..architectures.cases import Case
from ..reference.arrays import Array
from . import ties
from .asking import CheckerName, Sources
from .comparison import CONCLUSIVE, Comparison, Status
from .hulls import TITLES, Hulls, Place
from .outcome import (
    NEEDED,
    CheckerVerdict,
    Verdict,
    by_checker,
    by_operator,
    failed,
    operator_at,
    producer,
)

PLACES = {
    "nearby": "in the hull of the pieces close by",
    "combination": "in the hull of all combinations of pieces",
    "outside": "outside the hull",
}


def judge_at_ties(
    case: Case,
    sources: Sources,
    before: Verdict,
    comparisons: Sequence[Comparison],
    tied: tuple[ties.Tie, ...],
    names: tuple[str, ...],
    checkers: Sequence[CheckerName],
) -> Verdict:
    """The open tensors `names`, in backward order, against the hulls of the pieces nearby.

    `before` is the verdict on the others, from `comparisons`.
    """
    hulls = Hulls(case, tied, names, sources.rounding)
    if not np.isfinite(hulls.scale):
        return Verdict("INCONCLUSIVE", "a gradient beside the tie is not finite")
    g = ties.flatten(sources.subject.entries, names)
    if not np.isfinite(g).all():
        bad = next(n for n in names if not np.isfinite(sources.subject.entries[n]).all())
        broken = Comparison("structure", bad, "FAIL", np.inf, 0.0, np.inf)
        return failed(case.architecture, [broken], f"{bad} is not finite")
    place, distance = hulls.place(g)
    frameworks = {
        source.checker: ties.flatten(source.entries, names)
        for source in sources.checkers
        if source.checker in TITLES
    }
    places = {name: hulls.place(vector)[0] for name, vector in frameworks.items()}
    confirming = _confirming(hulls, places, checkers)
    wrong = _wrong(hulls, g, names) if place == "outside" else ()
    found = [c for name in confirming for c in _compared(hulls, name, distance, names, wrong)]
    verdict = _verdict(case, before, [*found, *comparisons], sources.skipped, places)
    if place == "outside":
        return msgspec.structs.replace(
            verdict,
            status="FAIL",
            reason=f"outside the hull of the gradients on both sides of {_at(tied)}; "
            f"distance {distance:.3g}, allowed {hulls.tolerance:.3g}",
            operator=_culprit(case, tied, wrong),
            tensor=wrong[0] if wrong else names[0],
        )
    if before.status == "ERROR" or (comparisons and before.status != "PASS"):
        return before
    doubt = _doubt(hulls, distance, tied, places, len(confirming), len(checkers))
    if doubt:
        return msgspec.structs.replace(verdict, status=doubt[0], reason=doubt[1], operators=())
    convention = f"at {_at(tied)}: {hulls.convention(g, frameworks)}"
    if place == "combination":
        convention += "; a conservative gradient, outside Clarke's subdifferential"
    return msgspec.structs.replace(verdict, convention=convention)


def _confirming(
    hulls: Hulls, places: Mapping[str, Place], checkers: Sequence[CheckerName]
) -> list[str]:
    """The checkers that confirm the hull: the frameworks in it, complex step and perhaps the other.

    Its gradients are complex step's own; finite differences confirm them if they agree on the
    left pieces.
    """
    confirming = [name for name, where in places.items() if where != "outside"]
    numerical: Mapping[CheckerName, bool] = {
        "complex_step": True,
        "finite_differences": hulls.confirmed,
    }
    return confirming + [name for name, sure in numerical.items() if sure and name in checkers]


def _wrong(hulls: Hulls, g: Array, names: Sequence[str]) -> tuple[str, ...]:
    """The open tensors that are by themselves outside the hull of all combinations."""
    return tuple(n for n in names if hulls.distance_of(n, g) > hulls.tolerance)


def _culprit(case: Case, tied: tuple[ties.Tie, ...], wrong: Sequence[str]) -> str:
    """The tied operator that takes the first wrong tensor, else the one that makes it."""
    a = case.architecture
    if not wrong:
        return operator_at(a, tied[0].site)
    takers = {slot.site for slot in a.slots_of(wrong[0])}
    for tie in tied:
        if tie.site in takers or tie.site.endswith(f".{wrong[0]}"):
            return operator_at(a, tie.site)
    return producer(a, wrong[0])


def _compared(
    hulls: Hulls, checker: str, distance: float, names: Sequence[str], wrong: Sequence[str]
) -> list[Comparison]:
    """The hull that a checker confirms, as its word on each open tensor."""
    ratio = distance / hulls.tolerance if hulls.tolerance else 0.0
    resolution = hulls.tolerance / hulls.scale if hulls.scale else None
    right: Status = "PASS" if distance <= hulls.tolerance else "INCONCLUSIVE"
    return [
        Comparison(
            checker,
            n,
            "FAIL" if n in wrong else right,
            distance,
            hulls.tolerance,
            ratio,
            resolution,
        )
        for n in names
    ]


def _verdict(
    case: Case,
    before: Verdict,
    comparisons: Sequence[Comparison],
    skipped: Sequence[CheckerVerdict],
    places: Mapping[str, Place],
) -> Verdict:
    """A PASS so far, with a row for each checker and each operator."""
    rows = {row.checker: row for row in by_checker(comparisons)}
    for name, where in places.items():
        reason = f"its own gradient is {PLACES[where]}"
        row = rows.get(name, CheckerVerdict(name, "FAIL"))
        status: Status = "FAIL" if where == "outside" else row.status
        rows[name] = msgspec.structs.replace(row, status=status, reason=reason)
    found = [c.resolution for c in comparisons if c.resolution is not None]
    return Verdict(
        "PASS",
        resolution=max((r for r in (before.resolution, *found[:1]) if r is not None), default=None),
        checkers=(*rows.values(), *skipped),
        operators=by_operator(case.architecture, comparisons),
        comparisons=tuple(c for c in comparisons if c.status != "PASS"),
    )


def _doubt(
    hulls: Hulls,
    distance: float,
    tied: tuple[ties.Tie, ...],
    places: Mapping[str, Place],
    confirmed: int,
    asked: int,
) -> tuple[Status, str] | None:
    """Why the hull that the subject is in proves nothing, if so."""
    odd = next((name for name, where in places.items() if where == "outside"), None)
    if odd:
        return "ERROR", f"{odd} is the odd one out: outside the hull at {_at(tied)}"
    if confirmed < max(1, min(NEEDED, asked)):
        return "INCONCLUSIVE", f"the hull at {_at(tied)} is confirmed by {confirmed}"
    resolution = hulls.tolerance / hulls.scale if hulls.scale else None
    if distance > 0 and not (resolution is not None and resolution <= CONCLUSIVE):
        reason = f"the error bound of the hull at {_at(tied)} is too large to prove anything"
        return "INCONCLUSIVE", reason
    return None


def _at(tied: tuple[ties.Tie, ...]) -> str:
    sites = ", ".join(sorted({t.site for t in tied}))
    return f"{len(tied)} tie{'s' if len(tied) > 1 else ''} in {sites}"
