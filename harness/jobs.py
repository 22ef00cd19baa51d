"""What a run is to do: its options, and from them its jobs, one after another.

A job is one architecture with the cases to be drawn for it, and all else that a worker
must know.  Everything in it follows from the seed and from its place in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, DType, Lane
from backproof.architectures.coverage import Seen
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits, generate
from backproof.checkers.verdict import CHECKERS, CheckerName
from backproof.reports.events import plain
from backproof.reports.gate import Budgets
from backproof.subjects.capabilities import Capabilities
from backproof.subjects.process import Limits as ProgramLimits

LANE_CYCLE: tuple[Lane, ...] = (
    "generic", "generic", "exact", "generic", "tie", "generic", "extreme", "generic", "generic",
    "exact", "generic", "tie", "generic", "extreme", "generic", "generic",
)  # fmt: skip
"""The lanes in turn: 10 of 16 generic, and two of each other."""

CONTROL_EVERY = 20
"""A planted fault for so many cases."""


@dataclass(frozen=True)
class Options:
    """What a run does.  `cases` or `max_time` (seconds), whichever is reached first.

    A gate has budgets, which say what it demands, in place of `max_inconclusive`.
    """

    cases: int = 800
    max_time: float | None = None
    seed: int = 0
    lanes: tuple[Lane, ...] = ()
    dtypes: tuple[DType, ...] = DTYPES
    checkers: tuple[CheckerName, ...] = CHECKERS
    limits: Limits = field(default_factory=Limits)
    architecture: Architecture | None = None
    exhaustive: bool = False
    fail_fast: bool = False
    workers: int = 1
    subject: str = "reference"
    max_inconclusive: float = 0.10
    capabilities: Capabilities | None = None
    programs: ProgramLimits = field(default_factory=ProgramLimits)
    profile: str = ""
    budgets: Budgets | None = None

    def as_json(self) -> dict[str, Any]:
        """What decides the cases and verdicts; the number of workers does not.

        A gate's profile and budgets stand there only where there is a gate.
        """
        options: dict[str, Any] = plain(msgspec.to_builtins(self))
        del options["workers"], options["programs"]
        if self.budgets is None:
            del options["profile"], options["budgets"]
        return options


class CaseSpec(msgspec.Struct, frozen=True):
    """One case to be drawn."""

    index: int
    lane: Lane
    dtype: DType
    seed: int
    control: bool


class Job(msgspec.Struct, frozen=True):
    """An architecture and its cases, with all that a worker must know."""

    architecture: Architecture
    cases: tuple[CaseSpec, ...]
    checkers: tuple[CheckerName, ...]
    exhaustive: bool
    subject: str
    programs: ProgramLimits


def plan(options: Options) -> Iterator[Job]:
    """The jobs of a run, without end where `cases` is zero."""
    cycle = tuple(lane for lane in LANE_CYCLE if not options.lanes or lane in options.lanes)
    narrowest: DType = "float32" if "float32" in options.dtypes else "float64"
    index = job = 0
    seen = Seen()
    while not options.cases or index < options.cases:
        lane = cycle[job % len(cycle)]
        architecture = options.architecture
        if architecture is None:
            architecture = _network(options, lane, narrowest, options.seed * 2**32 + job, seen)
        specs = []
        for dtype in options.dtypes:
            if options.cases and index >= options.cases:
                break
            seed = options.seed * 2**32 + index
            control = index % CONTROL_EVERY == CONTROL_EVERY // 2
            fits = lane != "exact" or is_exact(architecture, dtype)
            specs.append(CaseSpec(index, lane if fits else "generic", dtype, seed, control))
            index += 1
        yield Job(
            architecture, tuple(specs), options.checkers, options.exhaustive, options.subject,
            options.programs,
        )  # fmt: skip
        job += 1


TRIES = 2000
"""Networks drawn for one that a subject can do."""


class NoNetwork(ValueError):
    """Nothing that is drawn is of what a subject declares."""


def _network(options: Options, lane: Lane, dtype: DType, start: int, seen: Seen) -> Architecture:
    """A random network that the subject declares that it can do."""
    can = options.capabilities
    for i in range(TRIES):
        (a,) = generate(options.limits, lane, dtype, start + i * 2**64, 1, seen)
        if can is None or not can.refuses(a):
            return a
    raise NoNetwork(f"of {TRIES} random networks none is of what the subject declares")


def case_id(spec: CaseSpec) -> str:
    """A name such as `case-00017-tie-float64`."""
    return f"case-{spec.index:05d}-{spec.lane}-{spec.dtype}"
