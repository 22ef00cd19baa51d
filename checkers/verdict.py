"""The verdict on one case: is this backward pass right?

The subject's gradients are held against every checker's, tensor by tensor
(`comparison.py`), and the comparisons rolled up (`outcome.py`).

* A structural fault (a missing gradient, a wrong shape or dtype) is a FAIL.
* What fails is looked at again, twice, with 256 fresh rounding replicas, fresh directions
  and other steps; only a disagreement that persists counts.
* On the exact lane every comparison is bit for bit; at ties, see `ties.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from ..architectures.cases import Case
from ..reference import network
from ..reference.arrays import Array
from . import complex_step, rounding, ties
from .asking import CHECKERS, CheckerName, Sources, bit_for_bit, estimates
from .at_ties import judge_at_ties
from .comparison import ALPHA, Comparison, compare, same_bits
from .estimate import Estimate
from .outcome import CheckerVerdict, OperatorVerdict, Verdict, conclude, failed, worst
from .probe import Probe
from .rounding import Rounding

__all__ = [
    "CHECKERS", "CheckerName", "CheckerVerdict", "OperatorVerdict", "Subject", "Verdict",
    "estimates", "reference_subject", "structural_faults", "verify", "worst",
]  # fmt: skip

Subject = Callable[[Case], tuple[Array, Mapping[str, Array]]]
"""What is under test: from a case to the loss and the gradients by tensor, in its dtype.

Every parameter is required; the other tensors (`Architecture.tensors`: the input, the edges,
single uses) where it gives them (one that it names and leaves None is missing).
"""


def reference_subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
    """Our own hand-derived backward pass, as the subject."""
    with np.errstate(all="ignore"):
        return network.value_and_gradients(case)


def verify(
    case: Case,
    subject: Subject = reference_subject,
    *,
    checkers: Sequence[CheckerName] = CHECKERS,
    exhaustive: bool = False,
    cancels: bool = False,
) -> Verdict:
    """Hold a subject's gradients of one case against the checkers'.

    `exhaustive` asks the numerical checkers for every entry instead of one direction a
    tensor.  `cancels` allows the subject what textbook formulas lose to cancellation, such as
    1 - tanh(x)^2 where tanh is saturated.  What a checker raises becomes an ERROR; what the
    subject raises is raised.
    """
    a = case.architecture
    loss, gradients = subject(case)
    broken = structural_faults(case, loss, gradients)
    if broken:
        return failed(a, broken, broken[0].reason)
    measured = rounding.measure(case, seed=case.seed, normwise=cancels)
    if measured.overflows:
        return _out_of_range(case, gradients, checkers)

    tied = ties.find(case, measured, measured.factor(ALPHA))
    undecided = ties.undecided(case, tied) if tied else {}
    entries = {name: np.asarray(g) for name, g in gradients.items()} | {"loss": np.asarray(loss)}
    given = [name for name in ("loss", *a.tensors) if name in entries]
    open_names = tuple(n for n in given if n in undecided and undecided[n].any())
    matters = not set(open_names).isdisjoint(ties.gradient_names(case))
    if matters and (reason := ties.enumerable(case, tied, open_names)):
        return _off_the_tie(case, subject, reason, checkers, exhaustive, cancels)

    found, skipped = estimates(case, checkers, exhaustive=exhaustive)
    sources = Sources(Estimate("subject", float(loss), entries=entries), found, skipped, measured)
    names = [name for name in given if name not in open_names]
    if bit_for_bit(case):
        comparisons = [
            same_bits(sources.subject, c, n) for n in names for c in found if n in c.entries
        ]
    else:
        comparisons = _compare_all(case, sources, names, exhaustive)

    def agree(checkers: Sequence[str], tensor: str) -> bool:
        return _agree(case, sources, checkers, tensor)

    convention = "ties do not change any gradient" if tied and not matters else ""
    verdict = conclude(a, comparisons, skipped, len(checkers), agree, convention)
    if not matters or verdict.status == "FAIL":
        return verdict
    return judge_at_ties(case, sources, verdict, comparisons, tied, open_names, checkers)


def _agree(case: Case, sources: Sources, checkers: Sequence[str], tensor: str) -> bool:
    """Whether these checkers agree about a tensor, each allowed the error that is its own."""
    group = [c for c in sources.checkers if c.checker in checkers]
    if bit_for_bit(case):
        return all(same_bits(group[0], c, tensor).status != "FAIL" for c in group[1:])
    allowed = rounding.measure_again(case, case.seed, normwise=True)
    first, *rest = (
        _with_own_error(case, sources.subject, c, {tensor}, allowed, ALPHA, case.seed)
        if c.checker == "complex_step"
        else c
        for c in group
    )
    return all(compare(first, c, tensor, allowed, ALPHA).status != "FAIL" for c in rest)


def _out_of_range(
    case: Case, gradients: Mapping[str, Array], checkers: Sequence[CheckerName]
) -> Verdict:
    """Where the reference overflows: excused, unless a framework gets by without.

    Not where a value itself is beyond the range: then there is no gradient to get.
    """
    with np.errstate(all="ignore"):
        edges = network.forward(rounding.promote(case)).edges.values()
    if not all(np.isfinite(x).all() for x in edges):
        return Verdict("INCONCLUSIVE", f"values leave the range of {case.dtype}")
    bad = [n for n in case.architecture.tensors
           if n in gradients and not np.isfinite(gradients[n]).all()]  # fmt: skip
    frameworks = [c for c in checkers if c not in NUMERICAL]
    if bad and case.dtype == "float64" and frameworks:
        for estimate in estimates(case, frameworks)[0]:
            if np.isfinite(estimate.entries[bad[0]]).all():
                reason = f"{bad[0]} is not finite, and {estimate.checker} finds that it can be"
                return failed(case.architecture, [_structural(bad[0], reason)], reason)
    return Verdict("INCONCLUSIVE", f"values leave the range of {case.dtype}")


def _off_the_tie(
    case: Case,
    subject: Subject,
    reason: str,
    checkers: Sequence[CheckerName],
    exhaustive: bool,
    cancels: bool,
) -> Verdict:
    """Where ties cannot be enumerated: the verdict at a point close by, which says so."""
    moved = ties.off_the_tie(case)
    measured = rounding.measure(moved, seed=case.seed, normwise=cancels)
    tied = ties.find(moved, measured, measured.factor(ALPHA))
    undecided = ties.undecided(moved, tied) if tied else {}
    if any(undecided[n].any() for n in ties.gradient_names(moved) if n in undecided):
        return Verdict("INCONCLUSIVE", f"{reason}, which a small move does not break")
    verdict = verify(moved, subject, checkers=checkers, exhaustive=exhaustive, cancels=cancels)
    note = f"{reason}; verified at a point close by"
    if verdict.convention:
        note += f", where {verdict.convention}"
    return msgspec.structs.replace(verdict, convention=note)


def structural_faults(case: Case, loss: Array, gradients: Mapping[str, Array]) -> list[Comparison]:
    """What is wrong with the gradients before any value is looked at."""
    a = case.architecture
    faults = []
    for name, shape in a.tensors.items():
        g = gradients.get(name)
        if g is None:
            if name in a.parameters or name in gradients:
                faults.append(_structural(name, f"the gradient of {name} is missing"))
            continue
        got = getattr(g, "shape", None)
        if got != shape:
            faults.append(_structural(name, f"{name}: shape {got}, must be {shape}"))
        elif str(g.dtype) != case.dtype:
            faults.append(_structural(name, f"{name}: dtype {g.dtype}, must be {case.dtype}"))
    if np.shape(loss) != ():
        faults.append(_structural("loss", f"the loss has shape {np.shape(loss)}, must be ()"))
    return faults


def _structural(name: str, reason: str) -> Comparison:
    return Comparison("structure", name, "FAIL", np.inf, 0.0, np.inf, reason=reason)


def _compare_all(
    case: Case, sources: Sources, names: Sequence[str], exhaustive: bool
) -> list[Comparison]:
    """Every tensor against every checker, the failures looked at three times."""
    pairs = [(c, n) for n in names for c in sources.checkers if _says(c, n)]
    alpha = ALPHA / max(len(pairs), 1)
    latest = {
        (c.checker, n): compare(sources.subject, c, n, sources.rounding, alpha) for c, n in pairs
    }
    for shrink in (0.7, 0.3):
        failed = [k for k, c in latest.items() if c.status == "FAIL" and np.isfinite(c.error)]
        if failed:
            _look_again(case, sources, latest, failed, alpha, shrink, exhaustive)
    return list(latest.values())


def _look_again(
    case: Case,
    sources: Sources,
    latest: dict[tuple[str, str], Comparison],
    failed: list[tuple[str, str]],
    alpha: float,
    shrink: float,
    exhaustive: bool,
) -> None:
    """Compare again what failed, by fresh estimates and fresh noise; `latest` is updated.

    A framework that still disagrees about a tensor in which complex step or the other framework
    agrees (if only within a bound that proves nothing) has perhaps cancelled where the subject
    does not: it is then judged by the normwise model.  Finite differences, whose bounds are
    wide, cannot vouch for that.  So are two frameworks that disagree with each other as well:
    neither knows it more finely.
    """
    seed = case.seed + int(shrink * 2**40)
    fresh = (
        sources.rounding
        if rounding.is_large(case) and _vouched_for(failed, latest)
        else rounding.measure_again(case, seed, normwise=sources.rounding.normwise)
    )
    numerical = [c for c in NUMERICAL if any(c == checker for checker, _ in failed)]
    redrawn, _ = estimates(case, numerical, exhaustive=exhaustive, seed=seed, shrink=shrink)
    by_name = {e.checker: e for e in (*sources.checkers, *redrawn)}
    if "complex_step" in numerical:
        tensors = {n for c, n in failed if c == "complex_step"}
        by_name["complex_step"] = _with_own_error(
            case, sources.subject, by_name["complex_step"], tensors, fresh, alpha, seed
        )
    for key in failed:
        latest[key] = compare(sources.subject, by_name[key[0]], key[1], fresh, alpha)
    confirmed = _confirmed(latest)
    frameworks = [key for key in failed if latest[key].status == "FAIL" and key[0] not in NUMERICAL]
    cancelling = [
        (checker, n)
        for checker, n in frameworks
        if n in confirmed or _differ(by_name, [c for c, m in frameworks if m == n], n, fresh, alpha)
    ]
    if cancelling:
        lenient = rounding.measure_again(case, seed, normwise=True)
        for checker, n in cancelling:
            latest[checker, n] = compare(sources.subject, by_name[checker], n, lenient, alpha)
        failing = [key for key in cancelling if latest[key].status == "FAIL"]
        _at_ties(case, sources, latest, failing, lenient, alpha)


def _confirmed(latest: Mapping[tuple[str, str], Comparison]) -> set[str]:
    """The tensors in which complex step or a framework agrees with the subject."""
    return {
        n
        for (c, n), seen in latest.items()
        if c != NUMERICAL[0] and seen.status != "FAIL" and seen.bound > 0 and seen.ratio <= 1
    }


def _vouched_for(
    failed: Sequence[tuple[str, str]], latest: Mapping[tuple[str, str], Comparison]
) -> bool:
    """Whether nothing failed but a framework, about tensors that another checker confirms.

    The normwise model, which allows more, decides about those in any case, so that a large
    network is spared a second look at what all but cancellation does.
    """
    confirmed = _confirmed(latest)
    return all(c not in NUMERICAL and n in confirmed for c, n in failed)


def _at_ties(
    case: Case,
    sources: Sources,
    latest: dict[tuple[str, str], Comparison],
    failing: Sequence[tuple[str, str]],
    lenient: Rounding,
    alpha: float,
) -> None:
    """A framework proves nothing where what it may lose decides a piece that matters.

    Where no piece matters, it may still have lost something on another piece than ours.
    """
    tied = ties.find(case, lenient, lenient.factor(ALPHA)) if failing else ()
    if not tied:
        return
    undecided = ties.undecided(case, tied)
    pieces = ties.some_branches(case, tied, SOME_PIECES)
    allowed = rounding.measure_on_pieces(case, pieces, case.seed)
    frameworks = {e.checker: e for e in sources.checkers}
    for checker, n in failing:
        if n != "loss" and undecided[n].any():
            reason = "what it may lose to cancellation decides a tie"
            seen = latest[checker, n]
            latest[checker, n] = msgspec.structs.replace(seen, status="INCONCLUSIVE", reason=reason)
        else:
            found = compare(sources.subject, frameworks[checker], n, allowed, alpha)
            latest[checker, n] = found


def _differ(
    by_name: Mapping[str, Estimate],
    checkers: Sequence[str],
    tensor: str,
    measured: Rounding,
    alpha: float,
) -> bool:
    """Whether checkers that disagree with the subject disagree with each other too."""
    first, *rest = (by_name[c] for c in checkers)
    return any(compare(first, c, tensor, measured, alpha).status == "FAIL" for c in rest)


NUMERICAL: tuple[CheckerName, ...] = ("finite_differences", "complex_step")
"""The checkers that differentiate the reference's own forward."""


SOME_PIECES = 8
"""Combinations of pieces on which rounding is measured, besides each option in its turn."""

AT_A_TIME = 64
"""Entries of a tensor, the worst first, whose own error complex step is asked about."""


def _with_own_error(
    case: Case,
    subject: Estimate,
    estimate: Estimate,
    tensors: set[str],
    measured: Rounding,
    alpha: float,
    seed: int,
) -> Estimate:
    """Complex step with the bound on its own error, for the tensors where it is needed.

    Of a tensor with all its entries those that disagree are asked about, the worst first,
    until one disagrees for good.
    """
    probe, factor = Probe(case), measured.factor(alpha)

    def own(name: str, v: Array) -> Array:
        rms = complex_step.own_rounding(probe, name, v, measured.replicas, seed)
        return np.asarray(factor * rms + complex_step.truncation(probe, name, v))

    bounds = {n: own(n, estimate.directional[n][0]) for n in tensors & estimate.directional.keys()}
    for name in tensors & estimate.entries.keys():
        g = estimate.entries[name]
        error = np.abs(np.asarray(subject.entries[name], dtype=np.float64) - g).reshape(-1)
        allowed = measured.factor(alpha / max(g.size, 1)) * measured.entries(name).reshape(-1)
        bound = np.zeros(g.size)
        asked = np.argsort(-error)
        asked = asked[error[asked] > allowed[asked]]
        for begin in range(0, len(asked), AT_A_TIME):
            some = asked[begin : begin + AT_A_TIME]
            units = np.zeros((len(some), g.size))
            units[np.arange(len(some)), some] = 1.0
            bound[some] = own(name, units.reshape(-1, *g.shape))
            if (error[some] > allowed[some] + bound[some]).any():
                break
        bounds[name] = bound.reshape(g.shape)
    return replace(estimate, bounds=bounds)


def _says(checker: Estimate, tensor: str) -> bool:
    return tensor in checker.entries or tensor in checker.directional
