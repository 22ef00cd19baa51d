"""A network taken apart: every operator by itself, and the network up to an edge.

By the chain rule the network's gradients are made from the parts', each on the values that
enter it there and with the upstream cotangent that is right there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.losses import WeightedSum
from backproof.architectures.operators import Variable
from backproof.architectures.surgery import rebuilt
from backproof.reference import network
from backproof.reference.arrays import Array


@dataclass(frozen=True)
class Part:
    """One operator by itself: its case, and what its tensors are called in the network."""

    site: str
    case: Case
    names: dict[str, str]


# --- every operator by itself -------------------------------------------------------------


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
