"""One fault in one network: is it caught, where is it said to be, and by what name?

Values are drawn until the fault shows: until it changes a gradient that its operator makes by
more than 1000 rounding deviations (`controls.shows`), or makes it no number, or of no
right shape.  Near a tie, where several slopes may be right, only the latter two count.
A fault that shows in none of the draws has not been applied there: either it cannot show,
as its `hidden` says, or no draw brought what it needs.

Then a verdict is asked for as in any run, of a subject that gives every tensor, and the place
is looked for once more in one that gives the gradients of parameters and input alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import EXTREMES, Case, Lane, draw_case
from backproof.checkers import rounding, ties
from backproof.checkers.outcome import Verdict
from backproof.checkers.verdict import NUMERICAL, reference_subject, verify
from backproof.controls import NEAR_A_TIE, shows
from backproof.diagnosis import Cause, diagnose
from backproof.diagnosis.dictionary import fits, with_fault
from backproof.diagnosis.evidence import gather
from backproof.localisation import Place, locate
from backproof.planting import BY_NAME, blamed_for, hiding, planted, planted_in, produced
from backproof.reference.faults.catalogue import FAULTS, Fault, sites
from backproof.selftest.places import Application, kind_at
from backproof.shrinking import shrink

EXTREME: tuple[Lane, ...] = ("extreme",)
USUAL: tuple[Lane, ...] = ("generic", "generic", "tie", "generic")
LANES: tuple[Lane, ...] = USUAL + EXTREME * len(EXTREMES)
"""The draws of values in turn, until the fault shows; of the extreme lane every kind."""

HELD_OUT_DRAWS = 8
"""Draws on which two faults must give the same gradients to be one by another name."""


class Trial(msgspec.Struct, frozen=True):
    """What became of one application.

    `shown` says whether any draw showed the fault; all else is of the first that did.  `by`
    are the checkers that disagree (`structure` where no value was needed), `blamed` the
    operator that the verdict names, `located` whether that and the tensor are the fault's.
    `hidden_located` is the same of the subject that gives parameters and input alone, None
    where the fault does not show in these.  `cause` is the first that the dictionary names,
    `held_out` the fault that it names when it does not know this one and which is another.
    """

    application: Application
    shown: bool
    lane: Lane = "generic"
    seed: int = 0
    verdict: Verdict | None = None
    right: str = ""
    by: tuple[str, ...] = ()
    located: bool = False
    hidden_located: bool | None = None
    cause: Cause | None = None
    held_out: str = ""
    seconds: float = 0.0
    minimal: Architecture | None = None

    @property
    def caught(self) -> bool:
        """Whether the verdict is FAIL, as it should be."""
        return self.verdict is not None and self.verdict.status == "FAIL"

    @property
    def named(self) -> bool:
        """Whether the first cause is the fault itself, where it is."""
        found, asked = self.cause, self.application
        return found is not None and (found.name, found.site) == (asked.fault, asked.site)


class Work(msgspec.Struct, frozen=True):
    """An application; `reduce` asks for the smallest network as well."""

    application: Application
    reduce: bool = False


def run_trial(encoded: bytes) -> bytes:
    """A trial for a piece of work; bytes in, bytes out, so that any process may do it."""
    work = msgspec.msgpack.decode(encoded, type=Work)
    return msgspec.msgpack.encode(trial(work.application, reduce=work.reduce))


def trial(application: Application, *, reduce: bool = False) -> Trial:
    """Plant a fault, and see what the harness makes of it."""
    fault, site = BY_NAME[application.fault], application.site
    if fault.convention:
        return _of_a_convention(application, fault)
    case = first_shown(application, fault)
    if case is None:
        return Trial(application, shown=False)
    a = case.architecture
    right = verify(case)
    began = time.perf_counter()
    subject = planted(fault, site)
    verdict = verify(case, subject)
    seconds = time.perf_counter() - began
    failing = tuple(c.checker for c in verdict.checkers if c.status == "FAIL")
    structural = any(c.checker == "structure" for c in verdict.comparisons)
    right_tensor = verdict.tensor in produced(a, site)
    named_first = diagnose(case, subject, verdict.tensor)
    return Trial(
        application,
        shown=True,
        lane=case.lane,
        seed=case.seed,
        verdict=_short(verdict),
        right=right.status,
        by=("structure",) if structural else failing,
        located=verdict.operator == blamed_for(a, site) and right_tensor,
        hidden_located=_located_hidden(case, fault, site),
        cause=named_first[0] if named_first else None,
        held_out=_named_wrongly(case, fault, site, verdict.tensor),
        seconds=seconds,
        minimal=smallest(case, fault, site) if reduce else None,
    )


def _of_a_convention(application: Application, fault: Fault) -> Trial:
    """Plant another slope where several are right, and see that it passes."""
    subject = planted(fault, application.site)
    for case in draws(application):
        right, other = reference_subject(case)[1], subject(case)[1]
        if all(np.array_equal(right[n], other[n], equal_nan=True) for n in right):
            continue
        verdict = _short(verify(case, subject))
        return Trial(application, shown=True, lane=case.lane, seed=case.seed, verdict=verdict)
    return Trial(application, shown=False)


def _short(verdict: Verdict) -> Verdict:
    """The verdict without what a table has no use for."""
    return msgspec.structs.replace(verdict, checkers=(), operators=(), comparisons=())


# --- values that show it ------------------------------------------------------------------


def draws(application: Application) -> Iterator[Case]:
    """The cases on which a fault may show, in turn."""
    for k, lane in enumerate(LANES):
        seed = application.seed * len(LANES) + k
        yield draw_case(application.architecture, seed, lane, application.dtype)


def first_shown(application: Application, fault: Fault) -> Case | None:
    """The first case that the fault shows in; None where it shows in none."""
    return next((c for c in draws(application) if shown(c, fault, application.site)), None)


def shown(case: Case, fault: Fault, site: str) -> bool:
    """Whether the verdict must be FAIL: whether no slope at a tie excuses what is changed."""
    measured = rounding.measure(case, seed=case.seed, normwise=True)
    if measured.overflows:
        return False
    if ties.find(case, measured, NEAR_A_TIE):
        return _is_no_gradient(case, fault, site)
    return shows(case, reference_subject(case)[1], fault, site, measured)


def _is_no_gradient(case: Case, fault: Fault, site: str) -> bool:
    """Whether a gradient that is finite and well shaped becomes anything else."""
    right, wrong = reference_subject(case)[1], planted(fault, site)(case)[1]
    for name in produced(case.architecture, site):
        if np.isfinite(right[name]).all():
            g = wrong.get(name)
            if g is None or np.shape(g) != right[name].shape or not np.isfinite(g).all():
                return True
    return False


# --- where, and what -----------------------------------------------------------------------


def _located_hidden(case: Case, fault: Fault, site: str) -> bool | None:
    """Whether the place is found where cotangents are hidden; None where nothing shows there.

    The subject is wrong wherever such an operator stands, as code would be.
    """
    operator = kind_at(case.architecture, site)
    subject = hiding(planted_in(fault, operator))
    verdict = verify(case, subject, checkers=NUMERICAL)
    if verdict.status != "FAIL":
        return None
    found = locate(case, subject)
    if found is None:
        return verdict.operator == blamed_for(case.architecture, site)
    return found.operator == operator or _weight_of_penalty(found, case, site)


def _weight_of_penalty(found: Place, case: Case, site: str) -> bool:
    """Whether a penalty is told by the weight that it is wrong for, or by another penalty."""
    if not site.startswith("penalties"):
        return False
    blamed = blamed_for(case.architecture, site)
    return found.site.startswith("penalties") or found.operator == blamed


def _named_wrongly(case: Case, fault: Fault, site: str, tensor: str) -> str:
    """The fault that the dictionary names when this one is not in it; "" for none.

    One that gives this one's gradients on whatever values is the same fault by another name.
    """
    others = tuple(f for f in FAULTS if f.name != fault.name)
    causes = diagnose(case, planted(fault, site), tensor, others)
    if not causes or causes[0].kind != "fault":
        return ""
    other = BY_NAME[causes[0].name], causes[0].site
    for k in range(HELD_OUT_DRAWS):
        seed = case.seed * HELD_OUT_DRAWS + k
        there = gather(
            draw_case(case.architecture, seed, "generic", case.dtype), planted(fault, site)
        )
        if there is not None and not fits(there, other, with_fault(there, other)):
            return causes[0].name
    return ""


# --- the smallest network ------------------------------------------------------------------


def smallest(case: Case, fault: Fault, site: str) -> Architecture | None:
    """The smallest network found in which the fault shows; None where a verdict then passes it.

    While reducing, that it shows stands for a verdict, which is asked of the result alone.
    """
    operator = blamed_for(case.architecture, site)

    def place(a: Architecture) -> str | None:
        return next(
            (s for s in sites(a) if fault.applies(a, s) and blamed_for(a, s) == operator), None
        )

    def judge(candidate: Case) -> Verdict:
        where = place(candidate.architecture)
        fails = where is not None and shown(candidate, fault, where)
        return Verdict("FAIL", operator=operator) if fails else Verdict("PASS")

    minimal, _ = shrink(case, Verdict("FAIL", operator=operator), judge)
    where = place(minimal.architecture)
    verdict = verify(minimal, planted(fault, where))
    return minimal.architecture if verdict.status == "FAIL" else None
