"""Calls of an implementation of networks, and whether two gave the same gradients.

Two gradients that should be the same are compared within what rounding may do to either, by
the normwise model, which allows textbook formulas that cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..architectures.cases import Case
from ..reference.arrays import Array, Arrays
from . import rounding
from .comparison import ALPHA

Answer = tuple[Any, Mapping[str, Any]]
Subject = Callable[[Case], Answer]


@dataclass(frozen=True)
class Call:
    """One call: a case, and the subject's gradients of it in float64."""

    case: Case
    loss: float
    gradients: Arrays

    @cached_property
    def allowed(self) -> Arrays:
        """What rounding may do to each entry."""
        measured = rounding.measure(self.case, seed=self.case.seed, normwise=True)
        return {
            n: measured.factor(ALPHA / max(g.size, 1)) * measured.entries(n) + measured.floor
            for n, g in self.gradients.items()
        }


class Asked(NamedTuple):
    """A case that the subject has right, and the ways to ask it again.

    `accumulate` asks it to add to the gradients of the call before; None where it cannot.
    """

    first: Call
    subject: Subject
    accumulate: Subject | None

    def again(self, case: Case) -> Call:
        """Another call, with arrays of its own."""
        return ask(self.subject, case)


def ask(subject: Subject, case: Case) -> Call:
    """Ask with arrays that the subject may write to."""
    return Call(case, *answer(subject, writeable(case)))


def timed_out(error: Exception) -> bool:
    """Whether a program did not answer in time: then nothing more is asked of this case."""
    return getattr(error, "status", "") == "TIMEOUT"


def answer(subject: Subject, case: Case) -> tuple[float, Arrays]:
    """Ask with the case's own arrays: the loss, and copies of the gradients that there are."""
    loss, gradients = subject(case)
    found = {n: np.array(g, dtype=np.float64) for n, g in gradients.items() if g is not None}
    return float(loss), found


def difference(expected: Arrays, got: Arrays, allowed: Arrays, *, times: float = 2.0) -> str:
    """ "" or the worst entry where two sets of gradients differ by more than rounding."""
    for name, e in expected.items():
        if name not in got:
            return f"there is no gradient of {name}"
        g = got[name]
        if g.shape != e.shape:
            return f"{name} has shape {g.shape}, was {e.shape}"
        off = np.where(np.isfinite(e) | np.isfinite(g), np.abs(g - e), 0.0)
        wrong = ~(off <= times * allowed[name])
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            entry = f"{name}{list(where) if where else ''}"
            return f"{entry} is {g[where]:.10g} where {e[where]:.10g} is right"
    return ""


def writeable(case: Case) -> Case:
    """The case with arrays of its own, which whoever gets it may write to."""
    return over(case, np.copy)


def over(case: Case, change: Callable[[Array], Array]) -> Case:
    """The case with every array changed."""

    def each(values: Mapping[str, Array]) -> Arrays:
        return {name: change(v) for name, v in values.items()}

    return replace(
        case,
        parameters=each(case.parameters),
        input=None if case.input is None else change(case.input),
        targets=each(case.targets),
        data=each(case.data),
    )


def arrays_of(case: Case) -> Iterator[tuple[str, Array]]:
    """Every array of the case, with what it is called in a message."""
    yield from case.parameters.items()
    if case.input is not None:
        yield "input", case.input
    yield from ((f"the target of {site}", t) for site, t in case.targets.items())
    yield from case.data.items()
