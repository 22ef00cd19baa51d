"""Two runs held against each other: what fails now, what has lost digits, what takes longer.

Cases are matched by what they are (architecture, lane, dtype, seed), never by their number; a
case that occurs several times is matched in order.

**Accuracy.**  A case says of an operator how great its error was over its bound.  Rounding alone
moves that ratio: at worst both errors are single rounding errors, whose quotient is the absolute
value of a Cauchy variable C, for which

    P(|C| > 10^d) = 2/pi atan(10^-d)

so one case in sixteen seems to lose a digit.  Over n cases that both runs passed, the median is a
loss of d digits or more only if more than half of them lost as much, which happens by chance with
the probability of the binomial tail  P(B(n, 2/pi atan(10^-d)) > n/2).  The median (`typical`) is
told where that, in either direction, is below one in a thousand over all operators, and it is a
bit at least; the change of the worst case, which a single case may decide, where it is a digit at
least.  Two runs of one program on one machine round alike, and then any change is the program's.
An error of 0 has no digits: cases of the exact lane, compared bit for bit, say nothing here.

**Speed** is told and decides nothing: it is the machine's as much as the program's.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from scipy import special

from ..architectures.architecture import Architecture
from ..checkers.comparison import Status
from ..checkers.verdict import Verdict
from . import beside
from .beside import Beside
from .events import AnyEvent, CaseFinished, CaseKnown, FailureSaved, RunStarted
from .tallies import verdicts_by_operator

BIT = math.log10(2)
"""Digits: the least typical change that is told, however sure."""

DIGIT = 1.0
"""Digits: the least change of a worst case that is told."""

CHANCE = 1e-3
"""How often a comparison of two runs may call a typical change what is none."""

SPEED = 1.5
"""A factor of seconds from which an operator has a row: chosen, not derived."""

Key = tuple[Architecture, str, str, int, int]
"""What a case is: architecture, lane, dtype, seed, and the how manieth of these."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A case of both runs whose status is another one now; `id` is the new run's.

    FAIL in both where something else is wrong with it: another operator, tensor or check.
    """

    id: str
    architecture: Architecture
    lane: str
    dtype: str
    seed: int
    old: Status
    new: Status
    operator: str
    tensor: str
    reason: str


class Digits(msgspec.Struct, frozen=True, kw_only=True):
    """How a quantity changed; digits above 0 are lost, below 0 won.

    `old` and `new` are its worst over the cases of both runs, `worst` the digits between
    these; `typical` is the median over the cases, and `told` says that this is more than
    rounding does by itself.
    """

    old: float
    new: float
    worst: float
    typical: float
    cases: int
    told: bool


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """One operator over the cases that it passed in both runs.

    `ratio` is the error over its bound, `resolution` the smallest relative error that would
    have been caught; None where no case states it.
    """

    operator: str
    ratio: Digits | None
    resolution: Digits | None

    @property
    def told(self) -> bool:
        """Whether anything about it changed."""
        return any(d is not None and d.told for d in (self.ratio, self.resolution))

    @property
    def lost(self) -> float:
        """The digits that it lost, by whichever measure told says most; below 0 where it won."""
        changes = [_most(d) for d in (self.ratio, self.resolution) if d is not None and d.told]
        return max(changes, default=0.0)


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Median seconds of the cases of both runs; `operator` is "" for all of them."""

    operator: str
    old: float
    new: float
    ratio: float
    cases: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one run to another.

    `matched` counts the cases of both, `only_old` and `only_new` those of one alone.
    `failing` went to FAIL, or fail in another way, `passing` to PASS; `other` counts the changes
    that are neither.  `still` names those that fail as they did; `unmatched` the failures that
    the new run alone has, of which nothing says that they are old; `excused` the failures of
    either kind that the new run's baseline knows.  All three are ids of the new run.
    `differences` are what differs between the runs themselves: (what, old, new).  The fields
    `beside_` are of functions and saved cases; a failing one that only the new run has is new.
    """

    matched: int
    only_old: int
    only_new: int
    failing: tuple[Changed, ...]
    passing: tuple[Changed, ...]
    other: tuple[tuple[Status, Status, int], ...]
    still: tuple[str, ...]
    unmatched: tuple[str, ...]
    excused: tuple[str, ...]
    accuracy: tuple[Accuracy, ...]
    speed: tuple[Speed, ...]
    differences: tuple[tuple[str, str, str], ...]
    beside_matched: int = 0
    beside_failing: tuple[Beside, ...] = ()
    beside_still: tuple[Beside, ...] = ()

    @property
    def new_failures(self) -> int:
        """The failures that the old run does not have."""
        return len(self.failing) + len(self.unmatched) + len(self.beside_failing)


def compare(old: Iterable[AnyEvent], new: Iterable[AnyEvent]) -> Comparison:
    """What changed from the run `old` to the run `new`."""
    old, new = tuple(old), tuple(new)
    before, after = _by_key(old), _by_key(new)
    both = [(before[key], case) for key, case in after.items() if key in before]
    moved = [(a, b) for a, b in both if a.verdict.status != b.verdict.status]
    counted = Counter(
        (a.verdict.status, b.verdict.status)
        for a, b in moved
        if b.verdict.status not in ("FAIL", "PASS")
    )
    known = {(f.minimal, failing_as(f.verdict)) for f in _alone(old)}
    again = [f for f in _alone(new) if (f.minimal, failing_as(f.verdict)) in known]
    excused = {e.id for e in new if isinstance(e, CaseKnown)}
    wrong = [(a, b) for a, b in both if b.verdict.status == "FAIL"]
    same = [b for a, b in wrong if failing_as(a.verdict) == failing_as(b.verdict)]
    failing = [_changed(a, b) for a, b in wrong if failing_as(a.verdict) != failing_as(b.verdict)]
    unmatched = [
        *(c.id for key, c in after.items() if key not in before and c.verdict.status == "FAIL"),
        *(f.id for f in _alone(new) if (f.minimal, failing_as(f.verdict)) not in known),
    ]
    matched_beside, failing_beside, still_beside = beside.compare(old, new)
    return Comparison(
        matched=len(both),
        only_old=len(before) - len(both),
        only_new=len(after) - len(both),
        failing=tuple(c for c in failing if c.id not in excused),
        passing=tuple(_changed(a, b) for a, b in moved if b.verdict.status == "PASS"),
        other=tuple((a, b, n) for (a, b), n in sorted(counted.items())),
        still=(*(c.id for c in same), *(f.id for f in again)),
        unmatched=tuple(id for id in unmatched if id not in excused),
        excused=tuple(id for id in (*(c.id for c in failing), *unmatched) if id in excused),
        accuracy=tuple(_accuracy(both)),
        speed=tuple(_speed(both)),
        differences=tuple(_differences(_start(old), _start(new))),
        beside_matched=matched_beside,
        beside_failing=failing_beside,
        beside_still=still_beside,
    )


def failing_as(verdict: Verdict) -> tuple[str, ...]:
    """What two failures of one case have in common where they are of one mistake."""
    return verdict.status, verdict.operator, verdict.tensor, *verdict.failed_checks


def _by_key(events: Sequence[AnyEvent]) -> dict[Key, CaseFinished]:
    found: dict[Key, CaseFinished] = {}
    times: Counter[tuple[Architecture, str, str, int]] = Counter()
    for e in events:
        if isinstance(e, CaseFinished):
            what = e.architecture, e.lane, e.dtype, e.seed
            found[*what, times[what]] = e
            times[what] += 1
    return found


def _alone(events: Sequence[AnyEvent]) -> list[FailureSaved]:
    """Failures whose case never finished: the run was cut off."""
    finished = {e.id for e in events if isinstance(e, CaseFinished)}
    return [
        e
        for e in events
        if isinstance(e, FailureSaved) and e.id not in finished and e.verdict.status == "FAIL"
    ]


def _changed(old: CaseFinished, new: CaseFinished) -> Changed:
    verdict = new.verdict
    return Changed(
        id=new.id,
        architecture=new.architecture,
        lane=new.lane,
        dtype=new.dtype,
        seed=new.seed,
        old=old.verdict.status,
        new=verdict.status,
        operator=verdict.operator,
        tensor=verdict.tensor,
        reason=verdict.reason,
    )


Pairs = Sequence[tuple[CaseFinished, CaseFinished]]


# --- accuracy ---------------------------------------------------------------------------


def _accuracy(both: Pairs) -> Iterator[Accuracy]:
    """Every operator, those that changed first, among them the one that lost most."""
    ratios: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    resolutions: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for a, b in both:
        before, after = (verdicts_by_operator(c.verdict.operators) for c in (a, b))
        for name in before.keys() & after.keys():
            u, v = before[name], after[name]
            if not u.status == v.status == "PASS":
                continue
            ratios[name].append((u.ratio, v.ratio))
            if u.resolution is not None and v.resolution is not None:
                resolutions[name].append((u.resolution, v.resolution))
    rows = [
        Accuracy(
            operator=name,
            ratio=digits(ratios[name], len(ratios)),
            resolution=digits(resolutions[name], len(ratios)),
        )
        for name in sorted(ratios)
    ]
    yield from sorted(rows, key=lambda row: (not row.told, -row.lost))


def digits(pairs: Sequence[tuple[float, float]], asked: int = 1) -> Digits | None:
    """How a quantity changed over pairs of (old, new); None where there are none.

    `asked` is how many such questions are asked at once: the chance of an error is split.
    Pairs with a 0 or an infinity have no digits and are left out.
    """
    pairs = [(a, b) for a, b in pairs if a > 0 and b > 0 and math.isfinite(a + b)]
    if not pairs:
        return None
    old, new = (max(values) for values in zip(*pairs, strict=True))
    worst, typical = _lost(old, new), _median([_lost(a, b) for a, b in pairs])
    sure = abs(typical) >= BIT and by_chance(abs(typical), len(pairs)) < CHANCE / asked
    return Digits(
        old=old,
        new=new,
        worst=worst,
        typical=typical,
        cases=len(pairs),
        told=sure or abs(worst) >= DIGIT,
    )


def _lost(old: float, new: float) -> float:
    """The digits between two sizes."""
    return math.log10(new) - math.log10(old)


def _median(values: Sequence[float]) -> float:
    """The median; of the two in the middle the one that claims less."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return 0.0 if low < 0 < high else min(low, high, key=abs)


def by_chance(change: float, cases: int) -> float:
    """How likely rounding alone makes a median change of so many digits, in either direction."""
    p = 2 / math.pi * math.atan(10**-change)
    return min(2 * float(special.bdtrc(cases // 2, cases, p)), 1.0)


def _most(d: Digits) -> float:
    return max(d.worst, d.typical, key=abs)


# --- speed ------------------------------------------------------------------------------


def _speed(both: Pairs) -> Iterator[Speed]:
    """All cases first, then every operator, the one that became slower most first."""
    seconds: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for a, b in both:
        if a.seconds > 0 and b.seconds > 0:
            for name in {"", *b.architecture.operators}:
                seconds[name].append((a.seconds, b.seconds))
    rows = []
    for name, pairs in sorted(seconds.items()):
        old, new = (statistics.median(values) for values in zip(*pairs, strict=True))
        rows.append(Speed(operator=name, old=old, new=new, ratio=new / old, cases=len(pairs)))
    yield from sorted(rows, key=lambda row: (row.operator != "", -row.ratio))


# --- the runs ---------------------------------------------------------------------------


def _start(events: Sequence[AnyEvent]) -> RunStarted | None:
    return next((e for e in events if isinstance(e, RunStarted)), None)


def _differences(old: RunStarted | None, new: RunStarted | None) -> Iterator[tuple[str, str, str]]:
    a, b = _facts(old), _facts(new)
    for what in dict.fromkeys((*a, *b)):
        if a.get(what) != b.get(what):
            yield what, a.get(what, ""), b.get(what, "")


def _facts(start: RunStarted | None) -> Mapping[str, str]:
    if start is None:
        return {}
    return {
        "subject": start.subject,
        "seed": str(start.seed),
        "checkers": ", ".join(start.checkers),
        **dict(sorted(start.versions.items())),
    }
