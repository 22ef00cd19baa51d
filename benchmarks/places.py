"""Where the faults of the catalogue are planted: networks, values and sites where they show.

First random networks of the whole vocabulary; where they leave too few places for a fault,
every configuration class of every operator and some losses; and for what shows nowhere on
the generic lane (overflow, double counts at ties, 0/0) the lanes on which it does.  A fault shows
if a gradient that all checkers are handed, of a parameter or of the input, is off by more
than `controls.SHOWS` rounding deviations; it is faint if it is off by less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import all_names

from backproof.architectures import configurations, losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import EXTREMES, Case, Lane, draw_case, stream
from backproof.architectures.coverage import Seen
from backproof.architectures.generation import Limits, generate
from backproof.checkers import rounding, ties
from backproof.checkers.verdict import reference_subject
from backproof.controls import NEAR_A_TIE, differs
from backproof.planting import planted
from backproof.reference.arrays import Array
from backproof.reference.faults import (
    in_activations,
    in_attention,
    in_convolutions,
    in_dense,
    in_dropout,
    in_graphs,
    in_losses,
    in_normalisation,
    in_penalties,
    in_pooling_and_shapes,
    in_products,
    in_recurrence,
    in_slopes,
    in_structured_losses,
    in_terms,
    in_units,
)
from backproof.reference.faults.catalogue import FAULTS, Fault, sites

LIMITS = Limits(max_depth=4, max_width=5, max_batch=3)
LEAST = 2
"""Networks on which every fault is tried at least."""

CONSTANT = "constant relative errors"
CLASSES: Mapping[str, tuple[Fault, ...]] = {
    "activations": (*in_activations.FAULTS, *in_slopes.FAULTS, *in_units.FAULTS),
    "dense layers and parameters": (*in_dense.FAULTS, *in_products.FAULTS),
    "convolutions": in_convolutions.FAULTS,
    "pooling and shapes": in_pooling_and_shapes.FAULTS,
    "normalisations and dropout": (*in_normalisation.FAULTS, *in_dropout.FAULTS),
    "attention": in_attention.FAULTS,
    "recurrence": in_recurrence.FAULTS,
    "losses and penalties": (
        *in_losses.FAULTS,
        *in_terms.FAULTS,
        *in_structured_losses.FAULTS,
        *in_penalties.FAULTS,
    ),
    "graphs": in_graphs.FAULTS,
    CONSTANT: tuple(f for f in FAULTS if f.name.startswith("relative_error")),
}
"""The catalogue's faults by the modules that they stand in."""

CLASS_OF = {fault.name: kind for kind, faults in CLASSES.items() for fault in faults}
WRONG = tuple(fault for fault in FAULTS if not fault.convention)
"""Those that are wrong: a convention picks a slope that is permitted."""


@dataclass(frozen=True)
class Point:
    """A network with values, as the three things that it is rebuilt from."""

    architecture: Architecture
    seed: int
    lane: Lane = "generic"

    @property
    def case(self) -> Case:
        return draw_case(self.architecture, self.seed, self.lane)


@dataclass(frozen=True)
class Place:
    """A fault at a site of a network."""

    fault: str
    site: str
    point: Point
    faint: bool = False


def random_points(lane: Lane, count: int, seed: int) -> list[Point]:
    """Random networks of the whole vocabulary, with values."""
    drawn = generate(LIMITS, lane, "float64", seed, count, Seen())
    return [Point(a, 1_000_000 * seed + i, lane) for i, a in enumerate(drawn)]


def _targeted() -> Iterator[Architecture]:
    """Every operator in every configuration, and what some faults need besides."""
    for found in configurations.CONFIGURATIONS.values():
        for op, shapes in found:
            yield configurations.network(op, shapes)
    yield configurations.network(ops.MatMul(), ((2, 3, 4), (2, 4, 4)))  # square factors
    yield configurations.network(ops.MatMul(), ((2, 3, 3), (2, 3, 3)))
    yield configurations.network(ops.Bilinear(2), ((3, 4), (3, 4)))
    yield configurations.network(ops.Transpose(), ((2, 3, 3),))
    yield configurations.network(ops.Transpose((-2, -1, -3)), ((2, 3, 3, 3),))
    square = losses.SquaredError()
    for layer in (ops.Sum(keep=True), ops.Sum((-1,), keep=True)):
        yield Architecture((3, 4), (layer,), square)
    for width, activation in ((2, ops.Sigmoid()), (3, ops.Tanh())):
        yield Architecture((4, 3), (ops.Dense(width), activation, ops.Dense(2)), square)
    probabilities: tuple[Any, ...] = (
        losses.BinaryCrossEntropy(epsilon=0.125),
        losses.BinaryCrossEntropy(epsilon=0.25, reduction="mean"),
        losses.Dice(),
    )
    for loss in probabilities:
        yield Architecture((4, 3), (ops.Dense(3), ops.Sigmoid()), loss)
    for width in (2, 3):
        yield Architecture((5, 2), (ops.Dense(width), ops.ReLU()), losses.Cosine())
        yield Architecture((5, 2), (ops.Dense(width),), losses.KLDivergence())
        yield Architecture((5, 2), (ops.Dense(width),), losses.AbsoluteError())  # x / |x|
        yield Architecture((5, 2), (ops.Dense(width),), losses.CrossEntropy())  # 0 log 0
    for ctc in (
        losses.CTC(2, input_lengths=(4, 5), target_lengths=(2, 1)),
        losses.CTC(3, blank=1, input_lengths=(6, 5), target_lengths=(2, 3), reduction="sum"),
    ):
        yield Architecture((2, max(ctc.input_lengths), 3), (ops.Dense(4),), ctc)
    shared = (ops.Dense(3), ops.Dense(2, inputs=(edge_name(1),)), ops.Add(inputs=(
        edge_name(2), edge_name(2))))  # fmt: skip
    yield Architecture((3, 4), shared, square)


def targeted_points(lane: Lane, seed: int) -> Iterator[Point]:
    """Targeted networks, twice with other values; on the extreme lane, with each extreme."""
    for again in range(len(EXTREMES) if lane == "extreme" else 2):
        yield from (Point(a, 1_000_000 * seed + again, lane) for a in _targeted())


@dataclass
class Search:
    """Places, at most `wanted` for each fault and each in a network of its own."""

    wanted: int
    found: list[Place]
    faint: list[Place]
    tried: Counter[str]
    """Sites at which a fault was planted, by what it changed: `shows`, `faint`, `nothing`."""

    def count(self, fault: str) -> int:
        return sum(place.fault == fault for place in self.found)


def search(networks: Sequence[Point], wanted: int, seed: int) -> Search:
    """Places for every fault of the catalogue that is wrong."""
    s = Search(wanted, [], [], Counter())
    _look(s, networks, wanted)
    _look(s, targeted_points("generic", seed), wanted)
    for lane in ("tie", "extreme"):
        _look(s, targeted_points(lane, seed), LEAST)
    return s


def _look(s: Search, points: Iterable[Point], wanted: int) -> None:
    counts = Counter(place.fault for place in s.found)
    faint = Counter(place.fault for place in s.faint)
    for point in points:
        a = point.architecture
        faults = [f for f in WRONG if counts[f.name] < wanted]
        faults = [f for f in faults if any(f.applies(a, site) for site in sites(a))]
        if not faults:
            continue
        case = point.case
        measured = rounding.measure(case, seed=case.seed, normwise=True)
        tied = point.lane == "generic" and ties.find(case, measured, NEAR_A_TIE)
        if measured.overflows or tied:
            continue
        right = reference_subject(case)[1]
        for fault in faults:
            here = _somewhere(s, point, case, right, fault, measured)
            if here is not None and not here.faint:
                s.found.append(here)
                counts[fault.name] += 1
            elif here is not None and faint[fault.name] < LEAST:
                s.faint.append(here)
                faint[fault.name] += 1


def _somewhere(
    s: Search,
    point: Point,
    case: Case,
    right: Mapping[str, Array],
    fault: Fault,
    measured: rounding.Rounding,
) -> Place | None:
    """A site where the fault shows, in an order drawn by chance; else one where it is faint."""
    fainter = None
    mine = [site for site in sites(case.architecture) if fault.applies(case.architecture, site)]
    for site in stream(case.seed, fault.name).permutation(mine):
        _, wrong = planted(fault, str(site))(case)
        names = all_names(case)
        if differs(right, wrong, names, measured):
            s.tried["shows"] += 1
            return Place(fault.name, str(site), point)
        same = all(np.array_equal(wrong[n], right[n]) for n in names)
        s.tried["nothing" if same else "faint"] += 1
        if not same and fainter is None:
            fainter = Place(fault.name, str(site), point, faint=True)
    return fainter
