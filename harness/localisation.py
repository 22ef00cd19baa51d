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
wrong is known already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.architecture import Architecture, edge_name, is_weight
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.losses import SquaredError, WeightedSum
from backproof.architectures.operators import Variable
from backproof.architectures.surgery import rebuilt
from backproof.checkers import rounding
from backproof.checkers.outcome import FAN_OUT, OperatorVerdict, operator_at
from backproof.checkers.verdict import NUMERICAL, Subject, Verdict, verify
from backproof.reference import network
from backproof.reference.arrays import Array
from backproof.subjects.capabilities import SubjectProblem, Unsupported


@dataclass(frozen=True)
class Place:
    """Where a backward pass goes wrong.

    `site` is `layers.I`, `loss`, `auxiliary.J` or `fan_out`, `operator` what stands there,
    `tensor` the first wrong gradient that it makes: of an edge, a parameter, or one use of
    a tensor that has several.
    """

    site: str
    operator: str
    tensor: str

    def __str__(self) -> str:
        return self.operator if self.site == FAN_OUT else f"{self.operator} at {self.site}"


@dataclass(frozen=True)
class Part:
    """One operator by itself: its case, and what its tensors are called in the network."""

    site: str
    case: Case
    names: dict[str, str]


def located(case: Case, subject: Subject, verdict: Verdict, *, cancels: bool = False) -> Verdict:
    """A FAIL that blames the operator at fault, also of a subject that hides its cotangents."""
    if verdict.status != "FAIL" or not verdict.operator or not verdict.comparisons:
        return verdict
    if all(c.checker == "structure" for c in verdict.comparisons):
        return verdict
    place = locate(case, subject, cancels=cancels)
    if place is None or place.operator == verdict.operator:
        return verdict
    own = site_of(case.architecture, place.tensor) == place.site
    words = f"returns a wrong gradient of {place.tensor}" if own else "is the first that is wrong"
    return msgspec.structs.replace(
        verdict,
        operator=place.operator,
        reason=f"{verdict.reason}; {'by itself ' if own else ''}{place} {words}",
        operators=_blamed(verdict.operators, place.operator),
    )


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
        or _together(case, subject, cancels)
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


def _together(case: Case, subject: Subject, cancels: bool) -> Place | None:
    """What is wrong where no operator is by itself: a penalty, or the sum over a tensor's uses."""
    a = case.architecture
    if a.penalties:
        bare = make_case(
            rebuilt(a, penalties=()), case.parameters, case.input, case.targets,
            data=case.data, dtype=case.dtype, lane=case.lane, seed=case.seed,
        )  # fmt: skip
        without = _asked(bare, subject, cancels)
        if without is not None and without.status == "PASS":
            weight = next((name for name in a.parameters if is_weight(name)), "")
            return Place("penalties.0", operator_at(a, "penalties.0"), weight)
    several = next((slot.source for slot in a.named_slots.values()), None)
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


def parts(case: Case) -> Iterator[Part]:
    """Every operator of a network by itself, in backward order, on the values that it has there.

    But for `variable`.  A loss that wants its edge made by a certain layer comes last, with
    that layer, which has been by itself before.
    """
    a = case.architecture
    with np.errstate(all="ignore"):
        trace = network.forward(case)
        gradients = network.backward(case, trace)
    found: list[Part | None] = []
    joined: list[Part | None] = []
    for site in a.losses:
        try:
            found.append(_loss_alone(case, trace, site))
        except ValueError:
            joined.append(_loss_with_its_layer(case, trace, site))
    for i in reversed(range(len(a.layers))):
        if not isinstance(a.layers[i], Variable):
            found.append(_layer_alone(case, trace, gradients[edge_name(i + 1)], i))
    return (part for part in (*found, *joined) if part is not None)


@dataclass(frozen=True)
class Taken:
    """What enters a site, as the first layers of a part: values, and names in the network.

    The network's input stays an input; everything else becomes a `variable`.
    """

    layers: tuple[Any, ...]
    inputs: tuple[str, ...]
    input: Array | None
    values: dict[str, Array]
    names: dict[str, str]


def _taken(case: Case, trace: network.Trace, site: str) -> Taken:
    a = case.architecture
    slots = [slot for slot in a.slots if slot.site == site and isinstance(slot.key, int)]
    keeps = [slot.source for slot in slots].count("input") == 1
    made: list[Any] = []
    inputs: list[str] = []
    values, names = {}, {}
    for slot in slots:
        name = slot.name if slot.name in a.named_slots else slot.source
        if slot.source == "input" and keeps:
            inputs.append("input")
            names["input"] = name
            continue
        own = f"layers.{len(made)}.value"
        made.append(Variable(a.edges[slot.source]))
        inputs.append(edge_name(len(made)))
        values[own], names[own] = trace.edges[slot.source], name
        names[inputs[-1]] = name
    return Taken(tuple(made), tuple(inputs), case.input if keeps else None, values, names)


def _layer_alone(case: Case, trace: network.Trace, y_bar: Array, i: int) -> Part | None:
    taken = _taken(case, trace, f"layers.{i}")
    layers, values, data, names = _put_on(case, taken, i)
    names[edge_name(len(layers))] = edge_name(i + 1)
    part = Architecture(_shape(taken.input), layers, WeightedSum())
    return _part(case, f"layers.{i}", part, taken.input, values, {"loss": y_bar}, data, names)


def _put_on(case: Case, taken: Taken, i: int) -> tuple[Any, ...]:
    """Layer i on top of what it takes: the layers, their values, their data, their names."""
    a, k = case.architecture, len(taken.layers)
    there, here = f"layers.{i}.", f"layers.{k}."
    layer: Any = msgspec.structs.replace(a.layers[i], inputs=taken.inputs, share="")
    values, names = dict(taken.values), dict(taken.names)
    for own, source in a.own[i].items():
        values[here + own] = case.parameters[source]
        use = f"layers.{i}.uses.{own}"
        names[here + own] = use if use in a.named_slots else source
    data = {here + n.removeprefix(there): d for n, d in case.data.items() if n.startswith(there)}
    return (*taken.layers, layer), values, data, names


def _loss_alone(case: Case, trace: network.Trace, site: str) -> Part | None:
    taken = _taken(case, trace, site)
    loss: Any = msgspec.structs.replace(case.architecture.losses[site], inputs=taken.inputs)
    part = Architecture(_shape(taken.input), taken.layers, loss)
    targets = _target(case, site)
    return _part(case, site, part, taken.input, taken.values, targets, {}, taken.names)


def _loss_with_its_layer(case: Case, trace: network.Trace, site: str) -> Part | None:
    """A loss of one edge, and the layer that makes it."""
    a = case.architecture
    (edge,) = a.loss_sources[site][:1]
    if edge == "input" or len(a.loss_sources[site]) > 1:
        return None
    i = int(edge.split(".")[1])
    taken = _taken(case, trace, f"layers.{i}")
    layers, values, data, names = _put_on(case, taken, i)
    loss: Any = msgspec.structs.replace(a.losses[site], inputs=())
    names[edge_name(len(layers))] = edge
    part = Architecture(_shape(taken.input), layers, loss)
    return _part(case, site, part, taken.input, values, _target(case, site), data, names)


def _shape(input: Array | None) -> tuple[int, ...] | None:
    return None if input is None else input.shape


def _target(case: Case, site: str) -> dict[str, Array]:
    return {"loss": case.targets[site]} if site in case.targets else {}


def _part(
    case: Case,
    site: str,
    part: Architecture,
    input: Array | None,
    values: dict[str, Array],
    targets: dict[str, Array],
    data: dict[str, Array],
    names: dict[str, str],
) -> Part | None:
    """The part as a case; None where a value there is not finite."""
    try:
        made = make_case(
            part, values, input, targets, data=data,
            dtype=case.dtype, lane="generic", seed=case.seed,
        )  # fmt: skip
    except ValueError:
        return None
    return Part(site, made, names)


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


def cuts(case: Case, loss: Any = None) -> Iterator[tuple[Case, int]]:
    """The network up to layer i with a linear loss, for each i in forward order.

    The weights of the loss are the cotangent there, and values stay what they are: what a
    layer does not need drops out, so its names are found by the layers that are left.  With
    another loss, its target is drawn; edges that do not suit it are left out.
    """
    a = case.architecture
    with np.errstate(all="ignore"):
        _, gradients = network.value_and_gradients(case)
    for i in range(len(a.layers)):
        edge = edge_name(i + 1)
        there_on = msgspec.structs.replace(loss or WeightedSum(), inputs=(edge,))
        try:
            cut = rebuilt(a, loss=there_on, auxiliary=(), penalties=())
            targets = draw_case(cut, case.seed, dtype=case.dtype).targets
        except ValueError:
            continue
        if loss is None:
            targets = {"loss": gradients[edge]}
        kept = _kept(a, edge)
        there = {f"layers.{old}.": f"layers.{new}." for new, old in enumerate(kept)}

        def renamed(values: Any, there: dict[str, str] = there) -> dict[str, Array]:
            found = {}
            for name, value in values.items():
                layer, _, own = name.rpartition(".")
                if f"{layer}." in there:
                    found[there[f"{layer}."] + own] = value
            return found

        parameters = {n: v for n, v in renamed(case.parameters).items() if n in cut.parameters}
        if parameters.keys() != cut.parameters.keys():  # its owner is gone
            continue
        yield make_case(
            cut, parameters, case.input if cut.input is not None else None,
            targets, data=renamed(case.data),
            dtype=case.dtype, seed=case.seed,
        ), i  # fmt: skip


def _kept(a: Architecture, edge: str) -> list[int]:
    """The layers that an edge depends on, in order."""
    found: set[int] = set()
    todo = [edge]
    while todo:
        name = todo.pop()
        if name != "input":
            i = int(name.split(".")[1])
            if i not in found:
                found.add(i)
                todo += a.sources[i]
    return sorted(found)
