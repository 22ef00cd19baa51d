"""The causes of a failure: by name, else by shape, else none that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backproof.architectures.cases import Case, stream
from backproof.checkers.verdict import Subject
from backproof.diagnosis.cause import Cause
from backproof.diagnosis.dictionary import named
from backproof.diagnosis.evidence import Evidence, Further, gather
from backproof.diagnosis.shapes import shape_of
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS, Fault

UNKNOWN = Cause("unknown", "no known fault", "no known fault gives these gradients")


def diagnose(
    case: Case, subject: Subject, tensor: str = "", faults: Sequence[Fault] = FAULTS
) -> tuple[Cause, ...]:
    """The causes of what is wrong on a case, the likeliest first; one that says so for none.

    `tensor` is the one that a verdict names, by default the first wrong one in backward order.
    The subject is asked again on a few further values; what it raises there is no matter, what
    it raises on the case is raised.  None at all where every gradient is right as far as
    formulas that cancel can tell, or beyond the range of the dtype.
    """
    first = gather(case, subject)
    if first is None or not first.wrong:
        return ()
    further = Further(case, subject)
    names = named(case, subject, first, further, faults)
    if names:
        return names
    tensor = tensor if tensor in first.wrong else first.wrong[0]
    shape = shape_of(first, further, tensor, lambda scale, k: _close_by(case, subject, scale, k))
    return (shape or UNKNOWN,)


def _close_by(case: Case, subject: Subject, scale: float, k: int) -> Evidence | None:
    """Evidence on the case with every parameter and the input off by a relative size."""

    def moved(name: str, x: Array) -> Array:
        draw = stream(case.seed, f"close by/{k}/{name}").standard_normal(x.shape)
        off: Array = (x * (1 + scale * draw)).astype(x.dtype)
        off.flags.writeable = False
        return off

    x = None if case.input is None else moved("input", case.input)
    there = replace(case, parameters={n: moved(n, p) for n, p in case.parameters.items()}, input=x)
    try:
        return gather(there, subject)
    except Exception:  # what it does on other values is not the failure at hand
        return None
