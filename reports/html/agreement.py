"""Do the checkers agree?  Pair by pair, over the cases that both have compared.

Two of them agree on a case where each confirms what the other confirms and objects to what the
other objects to, tensor by tensor.  A verdict keeps what did not pass, so a checker confirms
every tensor that it compared and of which nothing is kept.  The loss is left out: only the
frameworks, which have a forward pass of their own, compare it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...checkers.comparison import Status
from ..events import CaseFinished
from ..tallies import COMPARED

MOST_SPLITS = 20
"""Disagreements of one pair that are told one by one."""


@dataclass(frozen=True)
class Split:
    """One of a pair objects to a tensor that the other confirms."""

    case: str
    objects: str
    confirms: str
    tensor: str


@dataclass
class Pair:
    """Numbers of cases, but for `tensors`: those to which both object."""

    first: str
    second: str
    confirm: int = 0
    object: int = 0
    tensors: int = 0
    split: int = 0
    undecided: int = 0
    splits: list[Split] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.confirm + self.object + self.split + self.undecided

    @property
    def agree(self) -> int:
        return self.confirm + self.object


def agreement(cases: Sequence[CaseFinished]) -> tuple[Pair, ...]:
    """Every pair of checkers that have compared some case together."""
    pairs: dict[tuple[str, str], Pair] = {}
    for case in cases:
        kept: defaultdict[str, dict[str, Status]] = defaultdict(dict)
        for c in case.verdict.comparisons:
            if c.tensor != "loss":
                kept[c.checker][c.tensor] = c.status
        asked = {v.checker: v for v in case.verdict.checkers if v.status in COMPARED}
        for a, b in itertools.combinations(sorted(asked), 2):
            pair = pairs.setdefault((a, b), Pair(a, b))
            both = [asked[name].status for name in (a, b)]
            _count(pair, case.id, kept[a], kept[b], both)
    return tuple(pairs[key] for key in sorted(pairs))


def _count(
    pair: Pair,
    case: str,
    of_a: dict[str, Status],
    of_b: dict[str, Status],
    both: Sequence[Status],
) -> None:
    alone = [
        Split(case, who, other, tensor)
        for who, other, mine, theirs in (
            (pair.first, pair.second, of_a, of_b),
            (pair.second, pair.first, of_b, of_a),
        )
        for tensor, status in mine.items()
        if status == "FAIL" and tensor not in theirs
    ]
    together = [t for t, status in of_a.items() if status == "FAIL" and of_b.get(t) == "FAIL"]
    if alone:
        pair.split += 1
        pair.splits += alone[: MOST_SPLITS - len(pair.splits)]
    elif together:
        pair.object += 1
        pair.tensors += len(together)
    elif "INCONCLUSIVE" in (*of_a.values(), *of_b.values(), *both):
        pair.undecided += 1
    else:
        pair.confirm += 1
