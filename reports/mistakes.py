"""Failures by what they have in common: many cases may show one mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..architectures.cases import LANES
from .summary import Failure
from .tallies import BAD


def mistake(f: Failure) -> tuple[str, ...]:
    """What two failures of one mistake have in common: status, operator and kind of tensor.

    Where no tensor is blamed, the reason.  The cause is left out: a bias averaged over the batch
    is a third of the right one here and half of it there.
    """
    v = f.verdict
    words = v.status, v.operator, v.tensor, "" if v.tensor else v.reason
    return tuple(re.sub(r"layers\.\d+", "layers.*", word) for word in words)


def by_mistake(failures: Sequence[Failure]) -> list[list[Failure]]:
    """The mistakes by status, then by their greatest error over its bound.

    Of each the first is the one that shows it best: explained, saved, of the plainest lane, and
    of these the worst.
    """
    groups: dict[tuple[str, ...], list[Failure]] = {}
    for f in sorted(failures, key=_rank):
        groups.setdefault(mistake(f), []).append(f)
    return [sorted(group, key=_plainness) for group in groups.values()]


def _plainness(f: Failure) -> tuple[bool, bool, int]:
    """In the extreme lane a ratio says more of the values than of the mistake."""
    lane = LANES.index(f.lane) if f.lane in LANES else len(LANES)
    return not f.cause, not f.replay, lane


def worst_first(failures: Sequence[Failure]) -> list[Failure]:
    """One failure of each mistake, the worst mistake first, and then all others alike."""
    groups = by_mistake(failures)
    others = [f for group in groups for f in group[1:]]
    return [group[0] for group in groups] + sorted(others, key=_rank)


def _rank(f: Failure) -> tuple[int, float]:
    ratios = (c.ratio for c in f.verdict.comparisons if c.status == "FAIL")
    status = f.verdict.status
    return (BAD.index(status) if status in BAD else len(BAD)), -max(ratios, default=0.0)
