"""The causes of a failure: by name, else by shape, else none that is known."""

from __future__ import annotations

from collections.abc import Sequence

from backproof.architectures.cases import Case
from backproof.checkers.verdict import Subject
from backproof.diagnosis.cause import Cause
from backproof.diagnosis.dictionary import named, named_in_part
from backproof.diagnosis.evidence import Further, close_by, gather
from backproof.diagnosis.penalties import of_a_penalty
from backproof.diagnosis.shapes import shape_of
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
    penalty = of_a_penalty(first, further)
    if penalty is not None:
        return (penalty,)
    part = named_in_part(case, subject, first, further, faults)
    if part is not None:
        return (part,)
    tensor = tensor if tensor in first.wrong else first.wrong[0]
    shape = shape_of(first, further, tensor, lambda scale, k: close_by(case, subject, scale, k))
    return (shape or UNKNOWN,)
