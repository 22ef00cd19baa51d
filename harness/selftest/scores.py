"""The trials counted: what was caught, where it was said to be, and by what name.

A trial counts where the fault shows in it.  100% of these are to be caught; 95% to be placed
rightly, 90% to be named by their kind of mistake, and none by the name of another fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from backproof.architectures.architecture import Architecture
from backproof.planting import BY_NAME
from backproof.reference.faults.catalogue import Fault
from backproof.reference.faults.survey import Kind
from backproof.selftest.trials import Trial

LOCATED = 0.95
NAMED = 0.90

OF_A_SHAPE: dict[str, Kind] = {
    "sign": "sign",
    "factor": "factor",
    "zero": "missing",
    "transposed": "axis",
    "permuted": "axis",
    "decay": "extra",
    "entries": "index",
    "not_finite": "numerics",
    "precision": "numerics",
}
"""The kind of mistake that a fitted shape speaks of."""


@dataclass(frozen=True)
class Share:
    """`good` of `of`; of nothing, everything is good."""

    good: int
    of: int

    @property
    def rate(self) -> float:
        return self.good / self.of if self.of else 1.0

    def __str__(self) -> str:
        return f"{self.good} of {self.of}"


@dataclass(frozen=True)
class Row:
    """One fault over its trials."""

    fault: Fault
    trials: Sequence[Trial]

    @property
    def shown(self) -> list[Trial]:
        return [t for t in self.trials if t.shown]

    @property
    def caught(self) -> Share:
        return Share(sum(t.caught for t in self.shown), len(self.shown))

    @property
    def located(self) -> Share:
        return Share(sum(t.located for t in self.shown), len(self.shown))

    @property
    def hidden_located(self) -> Share:
        known = [t.hidden_located for t in self.shown if t.hidden_located is not None]
        return Share(sum(known), len(known))

    @property
    def named(self) -> Share:
        return Share(sum(t.named for t in self.shown), len(self.shown))

    @property
    def named_by_kind(self) -> Share:
        return Share(sum(kind_named(t) == self.fault.kind for t in self.shown), len(self.shown))

    @property
    def seconds(self) -> float | None:
        """The median time of a verdict; None where there is none."""
        times = [t.seconds for t in self.shown]
        return median(times) if times else None

    @property
    def smallest(self) -> Architecture | None:
        """The smallest network found in which a verdict catches it."""
        found = [t.minimal for t in self.trials if t.minimal is not None]
        return min(found, key=lambda a: (len(a.layers), str(a)), default=None)

    def by(self, checker: str) -> int:
        """The trials in which a checker disagrees with the faulty subject."""
        return sum(checker in t.by for t in self.shown)


def kind_named(trial: Trial) -> Kind | None:
    """The kind of mistake that the first cause speaks of."""
    cause = trial.cause
    if cause is None:
        return None
    return BY_NAME[cause.name].kind if cause.kind == "fault" else OF_A_SHAPE.get(cause.name)


def rows(faults: Iterable[Fault], trials: Sequence[Trial]) -> list[Row]:
    """A row for each fault, in the order of the catalogue."""
    return [Row(f, [t for t in trials if t.application.fault == f.name]) for f in faults]


def total(shares: Iterable[Share]) -> Share:
    """All of them together."""
    every = list(shares)
    return Share(sum(s.good for s in every), sum(s.of for s in every))


def shortcomings(found: Sequence[Row]) -> list[str]:
    """What the harness should have done and did not, a sentence each."""
    words = []
    for row in found:
        name = row.fault.name
        if not row.trials:
            words.append(f"{name}: no random network has a place for it")
        elif not row.shown:
            words.append(f"{name}: it shows in none of {len(row.trials)} networks")
        for t in row.shown:
            where = f"{name} at {t.application.site} of {t.application.architecture}"
            if not t.caught and t.verdict is not None:
                words.append(f"missed: {where}: {t.verdict.status} {t.verdict.reason}".rstrip())
            if t.held_out:
                words.append(f"named wrongly: {where}, unknown, is called {t.held_out}")
            if t.right in ("FAIL", "ERROR"):
                words.append(f"false alarm: right code on the values of {where}: {t.right}")
    rates = (
        ("located", total(r.located for r in found), LOCATED),
        ("located without cotangents", total(r.hidden_located for r in found), LOCATED),
        ("named by its kind", total(r.named_by_kind for r in found), NAMED),
    )
    for what, share, least in rates:
        if share.rate < least:
            words.append(f"{what}: {share}, less than {least:.0%}")
    return words
