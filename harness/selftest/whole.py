"""Faults that are no change of one backward function: of whole subjects, and of optimisers.

A subject with a memory, or one that writes into its caller's arrays, is right at the first
call; the claims beyond values (`checkers/manners.py`) are to catch it, the one that it breaks.
One that is wrong at the first call is to be caught by a verdict, and one that takes another
slope at ties, a convention, is to pass.

An optimiser's steps are held against those of Optax and PyTorch, fed the same gradients.  Two
right trajectories drift apart by their rounding, whose size is that of REPLICAS trajectories of
the right rule in which every operation is perturbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import scipy.special

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, Lane, draw_case, stream
from backproof.architectures.coverage import Seen
from backproof.architectures.generation import Limits, generate
from backproof.checkers import manners, rounding, with_jax, with_torch
from backproof.checkers.calls import writeable
from backproof.checkers.comparison import ALPHA
from backproof.checkers.noise import UNIT, Noise, replicate
from backproof.checkers.rounding import REPLICAS
from backproof.checkers.verdict import reference_subject, verify
from backproof.controls import SHOWS
from backproof.reference.arrays import Array, Arrays
from backproof.reference.faults.of_optimisers import (
    OPTIMISER_FAULTS,
    OPTIMISERS,
    OptimiserFault,
    Rule,
)
from backproof.reference.faults.stateful import SUBJECT_FAULTS, VALUES, SubjectFault

TRIED = 60
"""Random networks in which a fault of a subject is looked for, for each application."""

STEPS = 6
"""Of an optimiser: several faults of Adam's are right at the first."""

SHAPES: Mapping[str, tuple[int, ...]] = {"a": (3,), "b": (2, 3), "c": ()}
"""Of the parameters that an optimiser is given: one that counts steps for each shows by several."""


class WholeTrial(msgspec.Struct, frozen=True):
    """What became of a fault of a subject or an optimiser in one trial.

    `expected` is the verdict, the claim or the trajectory that was to catch it; "" for a
    convention, which is to pass.  `good` says whether that happened, `found` what did.
    """

    fault: str
    expected: str
    good: bool
    found: str
    architecture: Architecture | None = None


def subject_trials(each: int, seed: int) -> Iterator[WholeTrial]:
    """Every fault of a subject in up to `each` random networks in which it shows."""
    for number, fault in enumerate(SUBJECT_FAULTS):
        found = (t for t in _tries(fault, each, seed * 2**16 + number) if t is not None)
        for _, result in zip(range(each), found, strict=False):
            yield result


def _tries(fault: SubjectFault, each: int, seed: int) -> Iterator[WholeTrial | None]:
    lane: Lane = "tie" if fault.kind == "tie" or fault.convention else "generic"
    seen = Seen()
    for k in range(TRIED * each):
        (a,) = generate(Limits(), lane, "float64", seed * 2**32 + k, 1, seen)
        case = draw_case(a, seed * 2**32 + k, lane)
        yield _of_values(fault, case) if fault.breaks == VALUES else _of_manners(fault, case)


def _of_values(fault: SubjectFault, case: Case) -> WholeTrial | None:
    """By a verdict; None where the first call is right, or cannot be told from right."""
    measured = rounding.measure(case, seed=case.seed, normwise=True)
    if measured.overflows or not _differs(fault.make()(case)[1], case, measured):
        return None
    if not fault.convention and verify(case).status != "PASS":
        return None
    verdict = verify(case, fault.make())
    words = f"{verdict.status} {verdict.reason}".rstrip()
    if fault.convention:
        passes = verdict.status not in ("FAIL", "ERROR")
        return WholeTrial(fault.name, "", passes, words, case.architecture)
    return WholeTrial(fault.name, "the verdict", verdict.status == "FAIL", words, case.architecture)


def _differs(given: Mapping[str, Array], case: Case, measured: rounding.Rounding) -> bool:
    right = reference_subject(case)[1]
    return any(
        rounding.norm(given[n] - right[n]) > SHOWS * measured.norm(n) > 0
        for n in right
        if np.isfinite(right[n]).all() and np.isfinite(given[n]).all()
    )


def _of_manners(fault: SubjectFault, case: Case) -> WholeTrial | None:
    """By the claim that it breaks; None where it breaks nothing here: it never writes, say."""
    if not _breaks_something(fault, case):
        return None
    claims = {check.name: check.status for check in manners.check(case, fault.make())}
    broken = [name for name, status in claims.items() if status == "FAIL"]
    good = fault.breaks in broken
    return WholeTrial(
        fault.name, fault.breaks, good, ", ".join(broken) or "nothing", case.architecture
    )


def _breaks_something(fault: SubjectFault, case: Case) -> bool:
    """Whether a second call, on other values in between, or the caller's arrays tell."""
    subject, mine = fault.make(), writeable(case)
    first = subject(mine)[1]
    before = {n: np.array(g) for n, g in first.items()}
    other = draw_case(case.architecture, case.seed + 1)
    subject(writeable(other))
    again = subject(writeable(case))[1]
    arrays = ((mine.parameters, case.parameters), (mine.targets, case.targets))
    kept = all(np.array_equal(ours[n], theirs[n]) for ours, theirs in arrays for n in theirs)
    kept &= case.input is None or np.array_equal(np.asarray(mine.input), case.input)
    alike = all(np.array_equal(before[n], again[n], equal_nan=True) for n in before)
    return not (kept and alike)


# --- optimisers ---------------------------------------------------------------------------


def optimiser_trials(seed: int) -> Iterator[WholeTrial]:
    """Every fault of an optimiser, and the right rules, against Optax and PyTorch."""
    draws = stream(seed, "optimisers")
    start = {n: draws.standard_normal(shape) for n, shape in SHAPES.items()}
    gradients = [
        {n: draws.standard_normal(shape) for n, shape in SHAPES.items()} for _ in range(STEPS)
    ]
    for name, rule in OPTIMISERS.items():
        found = disagreeing(name, followed(rule, start, gradients), start, gradients)
        words = ", ".join(found) or "agrees with Optax and PyTorch"
        yield WholeTrial(name, "", not found, words)
    for fault in OPTIMISER_FAULTS:
        yield _of_optimiser(fault, start, gradients)


def _of_optimiser(fault: OptimiserFault, start: Arrays, gradients: Sequence[Arrays]) -> WholeTrial:
    ours = followed(fault.wrong, start, gradients)
    found = disagreeing(fault.optimiser, ours, start, gradients)
    words = "disagrees with " + " and ".join(found) if found else "agrees with both"
    return WholeTrial(fault.name, "the trajectory", len(found) == 2, words)


def followed(rule: Rule, start: Arrays, gradients: Sequence[Arrays]) -> list[Arrays]:
    """The parameters after each step of a rule on given gradients."""
    parameters, state = start, rule.initial_state(start)
    trajectory = []
    for each in gradients:
        parameters, state = rule.step(state, parameters, each)
        trajectory.append(parameters)
    return trajectory


def disagreeing(
    optimiser: str, ours: Sequence[Arrays], start: Arrays, gradients: Sequence[Arrays]
) -> list[str]:
    """The libraries whose steps are farther from these than rounding explains."""
    bounds = drift(OPTIMISERS[optimiser], start, gradients)
    theirs = {
        "Optax": with_jax.optimiser_steps(optimiser, start, gradients),
        "PyTorch": with_torch.optimiser_steps(optimiser, start, gradients),
    }
    return [
        library
        for library, steps in theirs.items()
        if any(
            np.linalg.norm(a[n] - b[n]) > bound[n]
            for a, b, bound in zip(ours, steps, bounds, strict=True)
            for n in a
        )
    ]


def drift(rule: Rule, start: Arrays, gradients: Sequence[Arrays]) -> list[dict[str, float]]:
    """How far two right trajectories may be apart after each step, by tensor, 2-norm."""
    noise = Noise(stream(0, "optimiser"), "float64", REPLICAS)
    parameters = {n: replicate(x, noise) for n, x in start.items()}
    fed = [{n: replicate(g, noise) for n, g in each.items()} for each in gradients]
    perturbed = followed(rule, {**parameters}, [{**each} for each in fed])
    plain = followed(rule, start, gradients)
    student = float(scipy.special.stdtrit(REPLICAS, 1 - ALPHA / 2))
    scale = student * 2**0.5 * UNIT["float64"] / noise.unit / REPLICAS**0.5
    return [
        {n: scale * float(np.linalg.norm(np.asarray(a[n]) - b[n])) for n in b}
        for a, b in zip(perturbed, plain, strict=True)
    ]
