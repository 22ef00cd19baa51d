"""A whole selftest: places, trials side by side in processes, whole subjects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from backproof.planting import BY_NAME
from backproof.reference.faults.catalogue import FAULTS, Fault
from backproof.selftest.page import Result
from backproof.selftest.places import NETWORKS, applications
from backproof.selftest.scores import rows
from backproof.selftest.trials import Trial, Work, run_trial
from backproof.selftest.whole import optimiser_trials, subject_trials
from backproof.workers import BrokenExecutor, Workers


@dataclass(frozen=True)
class Plan:
    """What a selftest does: `faults` (all, where empty) in `each` networks."""

    faults: tuple[str, ...] = ()
    each: int = 4
    seed: int = 0
    networks: int = NETWORKS
    workers: int = 1

    @property
    def chosen(self) -> tuple[Fault, ...]:
        return tuple(f for f in FAULTS if not self.faults or f.name in self.faults)


def measure(plan: Plan, command: str, listen: Callable[[int, int], None]) -> Result:
    """Plant, judge, count.  `listen(done, of)` is told of every trial."""
    began = time.monotonic()
    places = applications(plan.chosen, plan.each, plan.seed, plan.networks)
    work = [
        Work(application, reduce=k == 0)
        for group in places.values() for k, application in enumerate(group)
    ]  # fmt: skip
    done: list[Trial] = []
    for each in _trials(work, plan.workers):
        done.append(each)
        listen(len(done), len(work))
    later = not_reduced(done)
    again = [Work(t.application, reduce=True) for t in later]
    done = [t for t in done if t not in later] + list(_trials(again, plan.workers))
    whole = []
    if not plan.faults:
        whole = [*subject_trials(plan.each, plan.seed), *optimiser_trials(plan.seed)]
    conventions = [f for f in plan.chosen if f.convention]
    return Result(
        command,
        time.monotonic() - began,
        plan.workers,
        rows([f for f in plan.chosen if not f.convention], done),
        rows(conventions, done),
        whole,
    )


def not_reduced(done: Sequence[Trial]) -> list[Trial]:
    """Of each fault that showed, but not in its first network, the first trial in which it did."""
    reduced = {t.application.fault for t in done if t.minimal is not None}
    found: dict[str, Trial] = {}
    for t in done:
        name = t.application.fault
        if t.shown and name not in reduced and not BY_NAME[name].convention:
            found.setdefault(name, t)
    return list(found.values())


def _trials(work: Sequence[Work], workers: int) -> Iterator[Trial]:
    """Every trial, in the order of the work."""
    decoder = msgspec.msgpack.Decoder(Trial)
    encoded = [msgspec.msgpack.encode(piece) for piece in work]
    if workers == 1 or not work:
        yield from (decoder.decode(run_trial(piece)) for piece in encoded)
        return
    with Workers(run_trial, workers) as pool:
        asked = [(piece, pool.ask(piece)) for piece in encoded]
        for given, (piece, future) in zip(work, asked, strict=True):
            try:
                yield decoder.decode(pool.answer(piece, future))
            except BrokenExecutor:
                raise RuntimeError(f"a process died, twice, on {given.application}") from None
