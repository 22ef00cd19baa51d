"""What a gate demands of a run, and what became of the failures that are known.

Each budget is one question to the run's cases; a missed one is one sentence.  A passing case
that is verified more coarsely than `min_resolution` proves as little as an inconclusive one,
and is counted with those of its dtype: a few networks are ill-conditioned whoever computes
them, and the share that may decide nothing is what `max_inconclusive` says.  A dtype that a
budget names and no case verifies is a miss, not a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..architectures.architecture import Architecture
from ..checkers.comparison import Status
from .coverage import Coverage
from .events import CaseFinished, Outcome, Replayed
from .text import count, number


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares are of the run's cases, for `min_pairs` of the pairs that its operators could form.

    `max_inconclusive` counts what was INCONCLUSIVE or ended in a TIMEOUT, `max_unsupported` what
    the subject refused.  `min_resolution` is the coarsest relative error by dtype, `min_cases`
    the number of cases that must pass.
    """

    max_inconclusive: float = 0.10
    max_unsupported: float = 0.10
    min_resolution: dict[str, float] = {}
    min_pairs: float = 0.0
    min_cases: int = 1


def budgets_of(options: dict[str, Any]) -> Budgets | None:
    """The budgets of a run by its options, as its first event has them; None for no gate."""
    found = options.get("budgets")
    return None if found is None else msgspec.convert(found, Budgets, strict=False)


def missed(budgets: Budgets, cases: Sequence[CaseFinished], coverage: Coverage) -> tuple[str, ...]:
    """A sentence for each budget that the cases do not keep."""
    found = []
    total = len(cases)
    passed = sum(c.verdict.status == "PASS" for c in cases)
    if passed < budgets.min_cases:
        found.append(
            f"{count(passed, 'case')} passed; the budget demands {budgets.min_cases:,} at least."
        )
    for statuses, what, allowed in (
        (("INCONCLUSIVE", "TIMEOUT"), "decided nothing", budgets.max_inconclusive),
        (("UNSUPPORTED",), "were refused by the subject", budgets.max_unsupported),
    ):
        n = sum(c.verdict.status in statuses for c in cases)
        if n > allowed * total:
            found.append(
                f"{n:,} of {count(total, 'case')} {what} ({n / total:.1%}); "
                f"the budget allows {allowed:.1%}."
            )
    for dtype, demanded in sorted(budgets.min_resolution.items()):
        found += _coarse(dtype, demanded, budgets.max_inconclusive, cases)
    share = coverage.verified / coverage.possible if coverage.possible else 0.0
    if share < budgets.min_pairs:
        found.append(
            f"{coverage.verified:,} of {coverage.possible:,} pairs of neighbours are verified "
            f"({share:.1%}); the budget demands {budgets.min_pairs:.1%}."
        )
    return tuple(found)


def _coarse(
    dtype: str, demanded: float, allowed: float, cases: Sequence[CaseFinished]
) -> list[str]:
    """The sentence where too few gradients of a dtype are verified finely enough."""
    mine = [c.verdict for c in cases if c.dtype == dtype]
    passed = [v for v in mine if v.status == "PASS"]
    if not passed:
        return [f"No {dtype} gradient is verified; the budget demands one to {number(demanded)}."]
    coarse = [v for v in passed if v.resolution is None or v.resolution > demanded]
    nothing = sum(v.status in ("INCONCLUSIVE", "TIMEOUT") for v in mine)
    if len(coarse) + nothing <= allowed * len(mine):
        return []
    worst = max((v.resolution for v in passed if v.resolution is not None), default=None)
    return [
        f"{len(passed) - len(coarse):,} of {len(mine):,} {dtype} cases are verified to "
        f"{number(demanded)}, the worst to {number(worst)}; the budget demands it of all but "
        f"{allowed:.1%}."
    ]


# --- failures that are known ------------------------------------------------------------


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A saved case that the gate ran again: a known failure, or one that must not come back.

    `note` is what the baseline says of it, or why it was not reached.
    """

    id: str
    known: bool
    outcome: Outcome
    architecture: Architecture
    status: Status
    operator: str = ""
    tensor: str = ""
    reason: str = ""
    note: str = ""
    seconds: float = 0.0


BAD_REPLAYS: tuple[Outcome, ...] = ("failed", "changed", "expired")
"""Outcomes that are a wrong gradient which nothing excuses."""


def replays(events: Iterable[Replayed]) -> tuple[Replay, ...]:
    """The replays of a run, what is worst first."""
    found = [
        Replay(
            id=e.id,
            known=e.known,
            outcome=e.outcome,
            architecture=e.architecture,
            status=e.verdict.status,
            operator=e.verdict.operator,
            tensor=e.verdict.tensor,
            reason=e.verdict.reason,
            note=e.note,
            seconds=e.seconds,
        )
        for e in events
    ]
    order = list(WORDS)
    return tuple(sorted(found, key=lambda r: (order.index(r.outcome), r.id)))


def kept(replays: Iterable[Replay]) -> int:
    """How many of them came out as they should."""
    return sum(r.outcome in ("passed", "expected", "fixed") for r in replays)


WORDS: dict[Outcome, str] = {
    "failed": "fails",
    "changed": "fails in another way than is known",
    "expired": "is known, and its excuse has expired",
    "error": "ended in an error of the harness",
    "not_reached": "was not reached, so it is not fixed",
    "elsewhere": "is of another subject, so it is not fixed",
    "fixed": "is fixed: `backproof baseline prune` takes it out",
    "expected": "still fails, as expected",
    "passed": "passes",
}
"""What is said of each outcome, the worst first."""
