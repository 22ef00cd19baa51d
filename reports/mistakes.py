"""Failures by what they have in common: many cases may show one mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..checkers.verdict import Verdict
from .summary import BAD, Failure


def mistake(f: Failure) -> tuple[str, ...]:
    """What two failures of one mistake have in common."""
    v = f.verdict
    what = f.cause or ("" if v.tensor else v.reason)
    words = v.status, v.operator, v.tensor, what
    return tuple(re.sub(r"layers\.\d+", "layers.*", word) for word in words)


def worst_first(failures: Sequence[Failure]) -> list[Failure]:
    """By status, then by error over bound; the worst of each mistake before a second of any."""
    order = {status: i for i, status in enumerate(BAD)}
    ranked = sorted(
        failures, key=lambda f: (order.get(f.verdict.status, len(BAD)), -_ratio(f.verdict))
    )
    seen: set[tuple[str, ...]] = set()
    first: list[Failure] = []
    again: list[Failure] = []
    for f in ranked:
        (again if mistake(f) in seen else first).append(f)
        seen.add(mistake(f))
    return first + again


def _ratio(v: Verdict) -> float:
    return max((c.ratio for c in v.comparisons if c.status == "FAIL"), default=0.0)
