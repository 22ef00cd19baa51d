"""The verdict where some operator is not differentiable (see `ties.py` for the theory).

The subject passes if its gradient is in the convex hull of the gradients on the pieces
around the point, and the convention that it follows is named.  JAX and PyTorch, which pick
a convention of their own, must be in the hull as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..architectures.cases import Case
from . import ties
from .asking import CheckerName, Sources
from .comparison import CONCLUSIVE, Comparison, Status
from .hulls import TITLES, Hulls
from .outcome import NEEDED, CheckerVerdict, OperatorVerdict, Verdict, failed, operator_at


def judge_at_ties(
    case: Case,
    sources: Sources,
    skipped: Sequence[CheckerVerdict],
    tied: tuple[ties.Tie, ...],
    checkers: Sequence[CheckerName],
) -> Verdict:
    """The subject, JAX and PyTorch against the hulls of the gradients on nearby pieces."""
    names = tuple(n for n in ties.gradient_names(case) if n in sources.subject.entries)
    hulls = Hulls(case, tied, names, sources.rounding)
    if not np.isfinite(hulls.scale):
        return Verdict("INCONCLUSIVE", "a gradient beside the tie is not finite")
    g = ties.flatten(sources.subject.entries, names)
    if not np.isfinite(g).all():
        bad = next(n for n in names if not np.isfinite(sources.subject.entries[n]).all())
        broken = Comparison("structure", bad, "FAIL", np.inf, 0.0, np.inf)
        return failed(case.architecture, [broken], f"{bad} is not finite")
    place, distance = hulls.place(g)
    status: Status = "FAIL" if place == "outside" else "PASS"
    ratio = distance / hulls.tolerance if hulls.tolerance else 0.0
    resolution = hulls.tolerance / hulls.scale if hulls.scale else None
    verdicts = list(skipped)
    frameworks = {}
    for source in sources.checkers:
        if source.checker in TITLES:
            vector = frameworks[source.checker] = ties.flatten(source.entries, names)
            where, _ = hulls.place(vector)
            reason = f"its own gradient is {PLACES[where]}"
            verdicts.append(
                CheckerVerdict(
                    source.checker, "FAIL" if where == "outside" else "PASS", reason=reason
                )
            )
    odd = [v.checker for v in verdicts if v.status == "FAIL"]
    if "complex_step" in checkers:
        verdicts.append(CheckerVerdict("complex_step", status, ratio, resolution))
    if "finite_differences" in checkers and hulls.confirmed:
        verdicts.append(CheckerVerdict("finite_differences", status, ratio, resolution))
    at = _at_ties(tied)
    verdict = Verdict(
        status,
        resolution=resolution,
        checkers=tuple(verdicts),
        operators=tuple(
            OperatorVerdict(op, status, ratio, resolution)
            for op in dict.fromkeys(case.architecture.operators)
        ),
    )
    if place == "outside":
        return msgspec.structs.replace(
            verdict,
            reason=f"outside the hull of the gradients on both sides of {at}; "
            f"distance {distance:.3g}, allowed {hulls.tolerance:.3g}",
            operator=operator_at(case.architecture, tied[0].site),
            tensor=names[0],
        )
    if odd:
        reason = f"{odd[0]} is the odd one out: outside the hull at {at}"
        return Verdict("ERROR", reason, resolution, checkers=tuple(verdicts))
    raised = next((v for v in skipped if v.status == "ERROR"), None)
    if raised:
        reason = f"{raised.checker}: {raised.reason}"
        return Verdict("ERROR", reason, resolution, checkers=tuple(verdicts))
    confirmed = sum(v.status == "PASS" for v in verdicts)
    if confirmed < max(1, min(NEEDED, len(checkers))):
        reason = f"the hull at {at} is confirmed by {confirmed}"
        return Verdict("INCONCLUSIVE", reason, resolution, checkers=tuple(verdicts))
    if distance > 0 and not (resolution is not None and resolution <= CONCLUSIVE):
        reason = f"the error bound of the hull at {at} is too large to prove anything"
        return Verdict("INCONCLUSIVE", reason, resolution, checkers=tuple(verdicts))
    convention = f"at {at}: {hulls.convention(g, frameworks)}"
    if place == "combination":
        convention += "; a conservative gradient, outside Clarke's subdifferential"
    return msgspec.structs.replace(verdict, convention=convention)


PLACES = {
    "nearby": "in the hull of the pieces close by",
    "combination": "in the hull of all combinations of pieces",
    "outside": "outside the hull",
}


def _at_ties(tied: tuple[ties.Tie, ...]) -> str:
    sites = ", ".join(sorted({t.site for t in tied}))
    return f"{len(tied)} tie{'s' if len(tied) > 1 else ''} in {sites}"
