"""Which operators have been neighbours: the pairs (operator that makes an edge, that takes it)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from . import operators as ops
from .architecture import Architecture, Slot
from .configurations import CONFIGURATIONS
from .loss_checks import MAKES_PROBABILITIES, TAKES_PROBABILITIES
from .losses import LOSSES
from .operators import output_shape

Pair = tuple[str, str]

INPUT = "input"


def pair_of(a: Architecture, slot: Slot) -> Pair | None:
    """(maker, taker) at one use of an edge; None for a use of a parameter."""
    if isinstance(slot.key, str):
        return None
    maker = a.maker(slot.source)
    kind, _, number = slot.site.partition(".")
    taker = a.layers[int(number)].name if kind == "layers" else a.losses[slot.site].name
    return (INPUT if maker is None else maker.name, taker)


def pairs(a: Architecture) -> Counter[Pair]:
    """How often each pair occurs in a network."""
    found = (pair_of(a, slot) for slot in a.slots)
    return Counter(pair for pair in found if pair is not None)


@cache
def _ranks() -> tuple[dict[str, frozenset[int]], dict[str, frozenset[int]]]:
    """The ranks of the tensors that each operator takes and makes, by its name."""
    takes: dict[str, set[int]] = {}
    makes: dict[str, set[int]] = {INPUT: {2, 3, 4, 5}}
    for kind in ops.OPERATORS:
        name = str(kind.__struct_config__.tag)
        for op, shapes in CONFIGURATIONS[kind]:
            takes.setdefault(name, set()).update(len(s) for s in shapes)
            makes.setdefault(name, set()).add(len(output_shape(op, *shapes)))
    for kind in ENTRYWISE:  # of any rank, more than their configurations show
        name = str(kind.__struct_config__.tag)
        takes[name] = {2, 3, 4, 5} if takes[name] else set()
        makes[name] = {2, 3, 4, 5}
    for kind, (taken, made) in RESHAPING.items():
        name = str(kind.__struct_config__.tag)
        takes[name], makes[name] = taken, made
    for loss in LOSSES:
        name = str(loss.__struct_config__.tag)
        takes[name] = {3} if name == "ctc" else {2, 3, 4, 5}
    return (
        {name: frozenset(ranks) for name, ranks in takes.items()},
        {name: frozenset(ranks) for name, ranks in makes.items()},
    )


def ranks_taken(name: str) -> frozenset[int]:
    """The ranks of the tensors that an operator takes."""
    return _ranks()[0][name]


@cache
def possible_pairs() -> frozenset[Pair]:
    """The pairs of operators, and of operators and losses, that can meet: by their ranks.

    An operator can follow another if it takes tensors of a rank that the other makes.
    """
    takes, makes = _ranks()
    return frozenset(
        (maker, taker)
        for maker, made in makes.items()
        for taker, taken in takes.items()
        if made & taken and _allowed(maker, taker)
    )


ENTRYWISE: tuple[type[ops.Operator], ...] = (
    *ops.ACTIVATIONS, *ops.REGULARISATION, ops.Add, ops.Subtract, ops.Multiply, ops.Maximum,
    ops.Minimum, ops.Concat, ops.Dense, ops.WeightNormDense, ops.LayerNorm, ops.RMSNorm, ops.Slice,
    ops.Pad, ops.Variable,
)  # fmt: skip

ANY, THREE = {2, 3, 4, 5}, {3, 4, 5}
RESHAPING: dict[type[ops.Operator], tuple[set[int], set[int]]] = {
    ops.Flatten: (THREE, {2, 3, 4}),
    ops.Reshape: (ANY, ANY),
    ops.Transpose: (THREE, THREE),
    **dict.fromkeys((ops.Sum, ops.Mean, ops.Max, ops.Bilinear), (ANY, ANY)),
    **dict.fromkeys((ops.MatMul, ops.Rotary), (THREE, THREE)),
}
"""The ranks that they take and make."""


def _names(kinds: Iterable[Any]) -> frozenset[str]:
    return frozenset(str(kind.__struct_config__.tag) for kind in kinds)


TAKERS, MAKERS = _names(TAKES_PROBABILITIES), _names(MAKES_PROBABILITIES)


def _allowed(maker: str, taker: str) -> bool:
    return taker not in TAKERS or maker in MAKERS


class Seen:
    """How often each pair has been drawn so far: what the generator steers away from."""

    def __init__(self) -> None:
        self.counts: Counter[Pair] = Counter()

    def add(self, a: Architecture) -> None:
        self.counts += pairs(a)

    def rarest(self, maker: str, takers: Iterable[str]) -> list[str]:
        """Of the takers that may follow this maker, those that have least often."""
        options = [taker for taker in takers if _allowed(maker, taker)] or list(takers)
        least = min(self.counts[maker, taker] for taker in options)
        return [taker for taker in options if self.counts[maker, taker] == least]
