"""Every checker asked about every mistake in a network, and about the network without any."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from peers import CAUGHT, CHECKERS, Network, Outcome, all_names, ask, scaled
from places import Place, Point, random_points

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case, stream
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers import rounding, ties, with_jax
from backproof.checkers.verdict import Subject, reference_subject
from backproof.controls import NEAR_A_TIE
from backproof.planting import BY_NAME, planted

SLOPE = 1e-3
"""What is multiplied by 1 + e is at least so large (an entry, or a tensor's norm)."""


@dataclass(frozen=True)
class Size:
    """A relative error in the gradient of one parameter, or in one of its entries."""

    name: str
    entry: int | None
    error: float


Mistake = Place | Size


@dataclass(frozen=True)
class Group:
    """A network with values, and the mistakes to be planted in it one after the other."""

    point: Point
    mistakes: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class Row:
    """What the checkers say of one mistake (None: of the right gradients), in what time.

    `right` holds what each says of the network without the mistake.
    """

    point: Point
    mistake: Mistake | None
    entries: int
    said: dict[str, Outcome]
    seconds: dict[str, float]
    right: dict[str, Outcome]

    def caught(self, checker: str) -> bool:
        """Whether it objects to the mistake, and not to the right gradients too."""
        return self.said[checker] in CAUGHT and not self.either_way(checker)

    def either_way(self, checker: str) -> bool:
        """Whether it objects to the right gradients, so that an objection tells nothing."""
        return self.right[checker] in CAUGHT


def subject_of(mistake: Mistake | None) -> Subject:
    """The reference with the mistake."""
    if mistake is None:
        return reference_subject
    if isinstance(mistake, Size):
        return scaled(mistake.name, mistake.error, mistake.entry)
    return planted(BY_NAME[mistake.fault], mistake.site)


KEPT = 40
"""Networks after which a process empties the caches of JAX, which would fill the memory."""

_done = itertools.count()
"""The networks that this process has judged."""


def warm_up() -> None:
    """Every checker once on a network that does not count, with empty caches."""
    with_jax.forget()
    case = draw_case(Architecture((2, 3), (Dense(2), Tanh()), SquaredError()), 0)
    for checker in CHECKERS:
        ask(checker, Network(case, reference_subject, all_names(case)))


def judge(group: Group) -> list[Row]:
    """Every checker on the right network, then on each mistake."""
    import torch

    torch.set_num_threads(1)
    if next(_done) % KEPT == 0:
        warm_up()
    case = group.point.case
    names = all_names(case)
    rows: list[Row] = []
    right: dict[str, Outcome] = {}
    for mistake in (None, *group.mistakes):
        network = Network(case, subject_of(mistake), names)
        answers = {checker: ask(checker, network) for checker in CHECKERS}
        said = {checker: outcome for checker, (outcome, _) in answers.items()}
        right = right or said
        seconds = {checker: took for checker, (_, took) in answers.items()}
        entries = sum(v.size for v in network.values)
        rows.append(Row(group.point, mistake, entries, said, seconds, right))
    return rows


def judged(groups: Sequence[Group], workers: int) -> list[Row]:
    """The rows of all groups, in order, from so many processes."""
    context = multiprocessing.get_context("spawn")
    rows: list[Row] = []
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for done, found in enumerate(pool.map(judge, groups), 1):
            rows += found
            if done % 50 == 0:
                print(f"{done} of {len(groups)} networks", file=sys.stderr, flush=True)
    return rows


def grouped(points: Iterable[Point], mistakes: Iterable[Mistake]) -> list[Group]:
    """The points, each with the faults that are planted there; others follow."""
    by: dict[tuple[str, int, str], tuple[Point, list[Mistake]]] = {}
    for point in points:
        by.setdefault(_key(point), (point, []))
    for mistake in mistakes:
        if isinstance(mistake, Place):
            by.setdefault(_key(mistake.point), (mistake.point, []))[1].append(mistake)
    return [Group(point, tuple(found)) for point, found in by.values()]


def _key(point: Point) -> tuple[str, int, str]:
    return repr(point.architecture), point.seed, point.lane


def sizes(count: int, seed: int, errors: Sequence[float]) -> Iterator[Group]:
    """Networks of the generic lane away from ties, with errors of every size in a parameter."""
    found = 0
    for point in random_points("generic", 4 * count, seed):
        case = point.case
        chosen = _parameter_and_entry(case)
        if found == count or chosen is None:
            continue
        found += 1
        name, entry = chosen
        yield Group(point, tuple(Size(name, at, e) for at in (None, entry) for e in errors))


def _parameter_and_entry(case: Case) -> tuple[str, int] | None:
    """One of the parameters, and one of its entries, whose slopes are not next to nothing."""
    measured = rounding.measure(case, seed=case.seed, normwise=True)
    if measured.overflows or ties.find(case, measured, NEAR_A_TIE):
        return None
    _, g = reference_subject(case)
    entries = {n: np.flatnonzero(np.abs(g[n]) > SLOPE) for n in case.parameters}
    names = [n for n, found in entries.items() if len(found)]
    if not names:
        return None
    rng = stream(case.seed, "which")
    name = str(rng.choice(names))
    return name, int(rng.choice(entries[name]))
