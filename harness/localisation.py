"""Which operator is wrong, where a subject keeps the cotangents of its edges to itself.

A verdict names the operator that makes the first wrong tensor in backward order.  Where the
subject gives every tensor of the network that is the operator at fault; where it gives the
gradients of parameters alone, it is the parameter below the fault.  Two ways to know better:

    alone   each operator by itself, on what enters it there and with the upstream cotangent
            that is right there: its inputs are made learned tensors (`variable`), its loss is
            linear, with the cotangent for weights.  The chain rule makes the network's gradients
            from the parts', so one part is wrong, or else a penalty, or the sum over the uses
            of a tensor.
    cut     where the subject has no `variable`: the network up to an edge, with a linear loss
            there or, where it has no such, with the network's own.  The first edge, in forward
            order, up to which something is wrong is made by the operator at fault.

Either is decided by the two numerical checkers, which need no compiler: that the subject is
wrong is known already.  Before either, where nothing is wrong but the loss and the weights'
gradients, a network with penalties is asked about without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from backproof.architectures.architecture import Architecture, is_weight
from backproof.architectures.cases import Case, make_case
from backproof.architectures.losses import SquaredError, WeightedSum
from backproof.architectures.operators import Variable
from backproof.architectures.surgery import rebuilt
from backproof.checkers import rounding
from backproof.checkers.outcome import FAN_OUT, OperatorVerdict, operator_at
from backproof.checkers.verdict import NUMERICAL, Subject, Verdict, verify
from backproof.diagnosis.evidence import Evidence, Further, gather
from backproof.diagnosis.penalties import another_strength, explicable, known
from backproof.parts import cuts, parts
from backproof.subjects.capabilities import SubjectProblem, Unsupported


@dataclass(frozen=True)
class Place:
    """Where a backward pass goes wrong.

    `site` is `layers.I`, `loss`, `auxiliary.J` or `fan_out`, `operator` what stands there,
    `tensor` the first wrong gradient that it makes: of an edge, a parameter, or one use of
    a tensor that has several.  `how` is the evidence, where it is another than that.
    """

    site: str
    operator: str
    tensor: str
    how: str = ""

    def __str__(self) -> str:
        return self.operator if self.site == FAN_OUT else f"{self.operator} at {self.site}"


def located(case: Case, subject: Subject, verdict: Verdict, *, cancels: bool = False) -> Verdict:
    """A FAIL that blames the operator at fault, also of a subject that hides its cotangents."""
    if verdict.status != "FAIL" or not verdict.operator or not verdict.comparisons:
        return verdict
    if all(c.checker == "structure" for c in verdict.comparisons):
        return verdict
    place = locate(case, subject, cancels=cancels)
    if place is None or place.operator == verdict.operator:
        return verdict
    return msgspec.structs.replace(
        verdict,
        operator=place.operator,
        reason=f"{verdict.reason}; {_evidence(case, place)}",
        operators=_blamed(verdict.operators, place.operator),
    )


def _evidence(case: Case, place: Place) -> str:
    if place.how:
        return f"it is {place}: {place.how}"
    if site_of(case.architecture, place.tensor) == place.site:
        return f"by itself {place} returns a wrong gradient of {place.tensor}"
    return f"{place} is the first that is wrong"


def _blamed(rows: tuple[OperatorVerdict, ...], operator: str) -> tuple[OperatorVerdict, ...]:
    """The rows with FAIL for one operator alone: what failed behind it is undecided."""
    changed = [
        msgspec.structs.replace(row, status="FAIL" if row.operator == operator else "INCONCLUSIVE")
        if row.status == "FAIL" or row.operator == operator
        else row
        for row in rows
    ]
    if all(row.operator != operator for row in changed):
        changed.insert(0, OperatorVerdict(operator, "FAIL"))
    return tuple(changed)


def locate(case: Case, subject: Subject, *, cancels: bool = False) -> Place | None:
    """The operator whose backward pass is wrong, asked of the subject; None if it stays hidden.

    What the subject itself raises on a part of the network says nothing and is passed over.
    """
    a = case.architecture
    _, given = subject(case)
    first = gather(case, subject)
    if first is not None and first.wrong:
        if (penalty := _of_a_penalty(case, subject, first)) is not None:
            return penalty
        if first.wrong == ("loss",):
            return None  # what an operator sends back is right, and the loss stays blamed
    if set(a.tensors) <= given.keys():
        verdict = _asked(case, subject, cancels)
        if verdict is None or verdict.status != "FAIL" or not verdict.tensor:
            return None
        return Place(site_of(a, verdict.tensor), verdict.operator, verdict.tensor)
    tools = _asked(_variable_alone(case, WeightedSum()), subject, cancels)
    if tools is None:
        return _by_cutting(case, subject, cancels)
    if tools.status == "FAIL":
        return _wrong_tool(case, subject, cancels)
    return (
        _by_itself(case, subject, cancels)
        or _by_itself(case, subject, cancels, exhaustive=True)
        or _together(case)
    )


def _by_itself(
    case: Case, subject: Subject, cancels: bool, *, exhaustive: bool = False
) -> Place | None:
    """The first operator that is wrong by itself, in one direction or in every entry.

    A direction mixes entries of all sizes, and a small one that is wrong is lost in the rounding
    of a large one beside it, also where the network as a whole shows it: what comes after may
    have made the large one vanish.
    """
    if exhaustive and rounding.is_large(case):
        return None
    for part in parts(case):
        verdict = _asked(part.case, subject, cancels, exhaustive=exhaustive)
        if verdict is not None and verdict.status == "FAIL":
            tensor = part.names.get(verdict.tensor, verdict.tensor)
            return Place(part.site, operator_at(case.architecture, part.site), tensor)
    return None


def _together(case: Case) -> Place | None:
    """What is wrong where no operator is by itself, nor a penalty: the sum over uses."""
    several = next((slot.source for slot in case.architecture.named_slots.values()), None)
    return Place(FAN_OUT, FAN_OUT, several) if several else None


def site_of(a: Architecture, tensor: str) -> str:
    """The site whose backward pass makes the gradient of a tensor."""
    slot = a.named_slots.get(tensor)
    if slot is None:
        slots = a.slots_of(tensor)
        if len(slots) != 1:
            return FAN_OUT if slots else tensor
        slot = slots[0]
    return slot.site


# --- penalties ----------------------------------------------------------------------------


def _of_a_penalty(case: Case, subject: Subject, first: Evidence) -> Place | None:
    """The penalty that is wrong, if it is one.

    What is wrong with it and right without it, loss and all, is wrong by it; the network is
    asked about once more with it, so that a memory is not taken for a penalty.  Where the
    subject is not able to do without, what is wrong must be just what the penalty adds, as left
    out, of the other sign, or twice.
    """
    a = case.architecture
    if not a.penalties or not explicable(first):
        return None
    every = tuple(range(len(a.penalties)))
    one_by_one: list[tuple[int, ...]] = [(j,) for j in every]
    asked = [(gone, _bare(case, subject, gone)) for gone in one_by_one]
    if any(without is None for _, without in asked):
        found = another_strength(first, Further(case, subject))
        if found is None or not known(first, found):
            return None
        return _penalty(a, found.which[0], first, "what is wrong is what it adds")
    cured = [gone for gone, without in asked if without is not None and not without.wrong]
    if not cured and len(every) > 1:
        together = _bare(case, subject, every)
        cured = [every] if together is not None and not together.wrong else []
    if len(cured) != 1:
        return None
    again = gather(case, subject)
    if again is None or again.wrong != first.wrong:
        return None
    return _penalty(a, cured[0][0], first, "loss and gradients are right without it")


def _penalty(a: Architecture, j: int, first: Evidence, how: str) -> Place:
    site = f"penalties.{j}"
    weight = next(name for name in a.parameters if is_weight(name))
    wrong = next((name for name in first.wrong if name != "loss"), weight)
    return Place(site, operator_at(a, site), wrong, how)


def _bare(case: Case, subject: Subject, gone: tuple[int, ...]) -> Evidence | None:
    """Evidence on the network without some penalties; None where there is none to be had.

    Where others are left, those that go keep their places with a strength of 0: a subject that
    takes the first penalty alone must not find another one there.
    """
    a = case.architecture
    left = tuple(
        msgspec.structs.replace(penalty, strength=0.0) if j in gone else penalty
        for j, penalty in enumerate(a.penalties)
    )
    left = () if len(gone) == len(left) else left
    try:
        bare = make_case(
            rebuilt(a, penalties=left), case.parameters, case.input, case.targets,
            data=case.data, dtype=case.dtype, lane=case.lane, seed=case.seed,
        )  # fmt: skip
        return gather(bare, subject)
    except Exception:  # what it does on another network is not the failure at hand
        return None


# --- each operator by itself --------------------------------------------------------------


def _asked(
    case: Case, subject: Subject, cancels: bool, *, exhaustive: bool = False
) -> Verdict | None:
    try:
        return verify(case, subject, checkers=NUMERICAL, exhaustive=exhaustive, cancels=cancels)
    except (SubjectProblem, Unsupported):
        return None


def _variable_alone(case: Case, loss: WeightedSum | SquaredError) -> Case:
    """A learned tensor under a loss: under a linear one, what the parts are made with."""
    target = np.arange(1.0, 4.0)[None]
    alone = Architecture(None, (Variable((1, 3)),), loss)
    return make_case(
        alone, {"layers.0.value": -target}, None, target, dtype=case.dtype, seed=case.seed
    )


def _wrong_tool(case: Case, subject: Subject, cancels: bool) -> Place | None:
    """Which of the two that parts are made with is wrong itself, if it stands in the network."""
    a = case.architecture
    other = _asked(_variable_alone(case, SquaredError()), subject, cancels)
    if other is not None and other.status == "PASS":
        sites = [(site, a.loss_sources[site][0]) for site, loss in a.losses.items()
                 if isinstance(loss, WeightedSum)]  # fmt: skip
    else:
        sites = [(f"layers.{i}", f"layers.{i}.value") for i, layer in enumerate(a.layers)
                 if isinstance(layer, Variable)]  # fmt: skip
    return next((Place(site, operator_at(a, site), tensor) for site, tensor in sites), None)


# --- the network up to an edge ------------------------------------------------------------


def _by_cutting(case: Case, subject: Subject, cancels: bool) -> Place | None:
    """The operator that makes the first edge up to which the subject is wrong.

    Where it is right up to the last edge, it is the loss that is wrong.  With the network's own
    loss, which may be the one that is wrong, an edge before must have been right.
    """
    a = case.architecture
    linear: list[Verdict | None] = []
    for cut, i in cuts(case):
        linear.append(verdict := _asked(cut, subject, cancels))
        if verdict is None:
            break
        if verdict.status == "FAIL":
            return Place(f"layers.{i}", a.layers[i].name, verdict.tensor)
    if None not in linear:
        return Place("loss", a.loss.name, "") if not a.auxiliary and not a.penalties else None
    right = False
    for cut, i in cuts(case, a.loss):
        verdict = _asked(cut, subject, cancels)
        if verdict is not None and verdict.status == "FAIL":
            return Place(f"layers.{i}", a.layers[i].name, verdict.tensor) if right else None
        right |= verdict is not None and verdict.status == "PASS"
    return None
