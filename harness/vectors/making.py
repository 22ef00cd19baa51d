"""A vector from a case: verified first, then written down with its bounds.

Expected are the reference's values, in float64, whose only error is rounding; every checker
was asked for every entry, and a case enters only if the verdict is PASS.  A right result may
differ by what rounding in the case's dtype does to it: Student's factor times the spread of
Monte Carlo arithmetic (`checkers/rounding.py`), by the normwise model, since a textbook's
formula may cancel where the reference does not.  At ties the spread is the greatest on any of
the pieces.  What JAX and PyTorch return must be within these very bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

import numpy as np

from backproof.architectures.architecture import KINDS
from backproof.architectures.cases import Case, draw_case, stream
from backproof.architectures.limits import LOSS_NAMES, OPERATOR_NAMES
from backproof.checkers import rounding, ties
from backproof.checkers.asking import bit_for_bit, estimates
from backproof.checkers.comparison import ALPHA, allowed_in_entries, allowed_in_norm
from backproof.checkers.hulls import error_of_squares
from backproof.checkers.rounding import SECOND_LOOK, Rounding
from backproof.checkers.verdict import CHECKERS, SOME_PIECES, Verdict, verify
from backproof.planting import planted
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays
from backproof.reference.faults.catalogue import FAULTS, Fault, sites
from backproof.reports.tallies import BAD
from backproof.vectors.choosing import VERSION, Choice
from backproof.vectors.format import (
    GROUPS,
    Corpus,
    Group,
    Scope,
    Vector,
    digest,
    encode,
    tensors_of,
)
from backproof.vectors.judging import Expected, judge, worst

TRIES = 64
"""Draws of values for one vector: of integers most have too many ties, or none."""

MOST_ALTERNATIVES = 32
"""Combinations of pieces at a tie; a vector is to be read by people too."""

SURELY = 2.0
"""A fault counts as caught above twice a bound: another implementation with the same fault
rounds otherwise, by a bound at most, and is outside all the same."""

DOUBTLESS = SURELY + 1
"""Above three times a bound it counts as caught wherever it is measured again."""

PENALTY_NAMES = tuple(str(kind.__struct_config__.tag) for kind in KINDS["penalty"][1])


class Unfit(Exception):
    """Values of which no vector can be made; the message says why."""


class Refuted(Exception):
    """A case that the checkers do not confirm: a finding, which no other draw may hide."""

    def __init__(self, id: str, case: Case, verdict: Verdict) -> None:
        where = f"{id}, drawn from {case.seed}"
        super().__init__(f"{where}: {verdict.status}: {verdict.reason}")
        self.status = verdict.status


def make(choice: Choice, seed: int) -> tuple[Vector, bytes]:
    """The vector of a choice and the bytes of its file.

    Unfit if no draw of values fits, Refuted at the first that is not right.
    """
    draws = stream(seed, f"vector/{choice.id}")
    reason = ""
    for _ in range(TRIES):
        drawn = int(draws.integers(2**32))
        case = draw_case(choice.architecture, drawn, choice.lane, choice.dtype)
        try:
            return _make(choice, case)
        except Unfit as why:
            reason = str(why)
    raise Unfit(f"{choice.id}: none of {TRIES} draws fits; the last: {reason}")


def _make(choice: Choice, case: Case) -> tuple[Vector, bytes]:
    expected = expect(case)
    if (choice.lane == "tie") != bool(expected.depends):
        raise Unfit("no gradient depends on a tie" if not expected.depends else "there is a tie")
    zero = next((n for n, value in expected.values.items() if not value.any()), None)
    if zero is not None:
        raise Unfit(f"{zero} is zero, which proves little")
    catches = tuple(name for name, ratio in told_apart(case, expected) if ratio > SURELY)
    if choice.fault and choice.fault not in catches:
        raise Unfit(f"{choice.fault} does not show")
    verdict = verify(case, exhaustive=True)
    if verdict.status in BAD:
        raise Refuted(choice.id, case, verdict)
    if verdict.status != "PASS":
        raise Unfit(f"{verdict.status}: {verdict.reason}")
    for source in estimates(case, ("jax", "torch"))[0]:
        given = {n: source.entries[n].astype(case.dtype) for n in expected.values}
        if any(c.status == "FAIL" for c in judge(expected, given, case.dtype)):
            raise Unfit(f"{source.checker} is outside the bounds")
    agreed = {c.checker for c in verdict.checkers if c.status == "PASS"}
    content = encode(tensors_of(case, expected))
    vector = Vector(
        id=choice.id,
        title=str(case.architecture),
        groups=GROUPS[GROUPS.index(choice.group) :],
        architecture=case.architecture,
        lane=case.lane,
        dtype=case.dtype,
        seed=case.seed,
        sha256=digest(content),
        checkers=tuple(name for name in CHECKERS if name in agreed),
        resolution=None if verdict.resolution is None else float(f"{verdict.resolution:.1e}"),
        norm_bounds=dict(expected.norm_bounds),
        tolerance=expected.tolerance if expected.depends else None,
        convention=verdict.convention,
        catches=catches,
    )
    return vector, content


# --- what is right ----------------------------------------------------------------------


def expect(case: Case) -> Expected:
    """The values of a case and their bounds, from the reference alone."""
    values = right_values(case)
    noise = rounding.measure_again(case, case.seed, normwise=True)
    if noise.overflows or not all(np.isfinite(v).all() for v in values.values()):
        raise Unfit(f"values leave the range of {case.dtype}")
    if bit_for_bit(case):
        zeros = {n: np.zeros(v.shape) for n, v in values.items()}
        return Expected(values, zeros, dict.fromkeys(values, 0.0))
    tied = ties.find(case, noise, noise.factor(ALPHA))
    if math.prod(len(tie.options) for tie in tied) > MOST_ALTERNATIVES:
        raise Unfit(f"{len(tied)} ties")
    noises = list(_on_pieces(case, tied)) if tied else [noise]
    alpha = ALPHA / len(values)
    bounds = {
        n: np.max([allowed_in_entries(each, n, alpha) for each in noises], axis=0) for n in values
    }
    whole = {n: max(allowed_in_norm(each, n, alpha) for each in noises) for n in values}
    undecided = ties.undecided(case, tied) if tied else {}
    depends = {n: undecided[n] for n in values if n in undecided and undecided[n].any()}
    if not depends:
        return Expected(values, bounds, whole)
    alternatives = _alternatives(case, tied, depends)
    scale = float(np.max(np.linalg.norm(alternatives, axis=1)))
    spread = max(_spread(each, depends) for each in noises)
    tolerance = noise.factor(ALPHA) * spread + error_of_squares(len(alternatives), scale)
    return Expected(values, bounds, whole, depends, alternatives, tolerance)


def right_values(case: Case) -> Arrays:
    """The reference's loss and gradients of a case, by name, in float64."""
    wide = rounding.promote(case)
    with np.errstate(all="ignore"):
        loss, gradients = network.value_and_gradients(wide)
    found = {"loss": loss, **{n: gradients[n] for n in ties.gradient_names(case)}}
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def _on_pieces(case: Case, tied: tuple[ties.Tie, ...]) -> Iterator[Rounding]:
    """The rounding on each of several pieces, or on all where they are few."""
    for branches in ties.some_branches(case, tied, SOME_PIECES):
        yield rounding.measure(
            case, replicas=SECOND_LOOK, seed=case.seed, branches=branches, normwise=True
        )


def _alternatives(case: Case, tied: tuple[ties.Tie, ...], depends: Mapping[str, Array]) -> Array:
    """The entries that depend on the convention on every combination of pieces, one a row."""
    rows = ties.piece_gradients(case, tied, ties.all_choices(tied), tuple(depends))
    open_entries = np.concatenate([mask.ravel() for mask in depends.values()])
    return np.unique(rows[:, open_entries], axis=0)


def _spread(noise: Rounding, depends: Mapping[str, Array]) -> float:
    return float(np.sqrt(sum(np.sum(noise.entries(n)[m] ** 2) for n, m in depends.items())))


# --- what it catches --------------------------------------------------------------------


def told_apart(case: Case, expected: Expected) -> Iterator[tuple[str, float]]:
    """(a fault's name, its error over a bound at the site that shows it) for each that applies.

    The first site that is beyond doubt, else the one with the greatest ratio.
    """
    for fault in FAULTS:
        ratios = []
        for _, given in wrong_results(case, (fault,)):
            ratios.append(worst(judge(expected, given, case.dtype)).ratio)
            if ratios[-1] > DOUBTLESS:
                break
        if ratios:
            yield fault.name, max(ratios)


def wrong_results(
    case: Case, faults: Sequence[Fault]
) -> Iterator[tuple[tuple[Fault, str], Arrays]]:
    """((fault, site), the results with it) wherever one can be planted, in the case's dtype."""
    names = ties.gradient_names(case)
    for fault in faults:
        for site in sites(case.architecture):
            if fault.applies(case.architecture, site):
                loss, gradients = planted(fault, site)(case)
                there = {n: np.asarray(gradients[n]) for n in names if gradients[n] is not None}
                yield (fault, site), {"loss": np.asarray(loss), **there}


# --- the corpus -------------------------------------------------------------------------


def corpus_of(vectors: Sequence[Vector], group: Group, seed: int) -> Corpus:
    """The corpus of these vectors, whose scope is everything there is, but for `smoke`."""
    used = {name for vector in vectors for name in vector.architecture.operators}

    def scope(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if group != "smoke" or name in used)

    caught = {name for vector in vectors for name in vector.catches}
    return Corpus(
        version=VERSION,
        backproof=version("backproof"),
        command=f"backproof vectors generate --group {group} --seed {seed}",
        seed=seed,
        scope=Scope(scope(OPERATOR_NAMES), scope(LOSS_NAMES), scope(PENALTY_NAMES)),
        notes={fault.name: fault.summary for fault in FAULTS if fault.name in caught},
        vectors=tuple(vectors),
    )
