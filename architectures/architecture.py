"""An architecture: a network as data, with no values in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from .checks import check_number, check_tuple
from .loss_checks import check_loss
from .losses import L1, L2, LOSSES, AnyLoss, Penalty
from .operators import (
    OPERATORS,
    RULES,
    Data,
    Layer,
    Shape,
    data_shapes,
    output_shape,
    parameter_shapes,
    size,
)
from .targets import target_shape

MAX_ENTRIES = 50_000_000
"""Parameters and values at every edge together: 400 MB in float64, before any checker."""


KINDS: Mapping[str, tuple[str, tuple[type[Any], ...]]] = {
    "op": ("operators", OPERATORS),
    "loss": ("losses", LOSSES),
    "penalty": ("penalties", (L1, L2)),
}
"""What an architecture is made of, by the field that names it in JSON."""


class Slot(NamedTuple):
    """One use of a tensor: where it enters a layer or a loss.

    `site` is `layers.I`, `loss` or `auxiliary.J`; `key` the number of the input, or the
    layer's own name of the parameter; `source` the edge or parameter that enters.
    """

    site: str
    key: int | str
    source: str

    @property
    def name(self) -> str:
        """`SITE.inputs.K` or `SITE.uses.NAME`."""
        return f"{self.site}.{'inputs' if isinstance(self.key, int) else 'uses'}.{self.key}"


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A directed acyclic graph of operators, its losses and its penalties, without values.

    `input` is the shape of the network's input, the batch first; null where it has none but
    `variable` and `embedding`.  Each layer takes the edge before it or those that it names:
    `input`, or `layers.I.output` of an earlier layer.  `loss` takes the last edge or those
    that it names; `auxiliary` holds further losses, which are added to it.  Every edge must
    be used.  Raises ValueError where something does not fit.
    """

    input: tuple[int, ...] | None
    layers: tuple[Layer, ...]
    loss: AnyLoss
    penalties: tuple[Penalty, ...] = ()
    auxiliary: tuple[AnyLoss, ...] = ()

    def __post_init__(self) -> None:
        _check_input(self.input)
        check_tuple("layers", self.layers, "operators")
        check_tuple("penalties", self.penalties, "penalties")
        check_tuple("auxiliary", self.auxiliary, "losses")
        for tag, values in (
            ("op", self.layers),
            ("loss", (self.loss, *self.auxiliary)),
            ("penalty", self.penalties),
        ):
            words, kinds = KINDS[tag]
            for value in values:
                if type(value) not in kinds:
                    raise ValueError(f"expected one of the {words}, got {value!r}")
        entries = sum(size(shape) for shape in (*self.edges.values(), *self.parameters.values()))
        self._check_losses()
        unused = next((name for name in self.edges if not self.slots_of(name)), None)
        if unused is not None:
            raise ValueError(f"{unused} is used by nothing")
        if entries > MAX_ENTRIES:
            raise ValueError(f"the network has {entries:,} entries, more than {MAX_ENTRIES:,}")

    def _check_losses(self) -> None:
        for site, loss in self.losses.items():
            names = self.loss_sources[site]
            for name in names:
                if name not in self.edges:
                    raise ValueError(f"{site}: there is no edge {name!r}")
            check_loss(loss, tuple(self.edges[name] for name in names), self.maker(names[0]))

    # --- the graph ---------------------------------------------------------------------

    @cached_property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """The edges that each layer takes, in order."""
        known = {"input"} if self.input is not None else set()
        found = []
        for i, layer in enumerate(self.layers):
            least, most = RULES[type(layer)].arity
            names = layer.inputs if layer.inputs or most == 0 else (edge_name(i),)
            if len(names) < least or (most is not None and len(names) > most):
                raise ValueError(
                    f"layers[{i}]: {layer.name} {_takes(least, most)}, got {len(names)}"
                )
            for name in names:
                if name not in known:
                    raise ValueError(f"layers[{i}]: there is no edge {name!r} before it")
            known.add(edge_name(i + 1))
            found.append(names)
        return tuple(found)

    @cached_property
    def edges(self) -> dict[str, Shape]:
        """The shape at every edge by its name, in forward order."""
        shapes: dict[str, Shape] = {} if self.input is None else {"input": self.input}
        for i, (layer, names) in enumerate(zip(self.layers, self.sources, strict=True)):
            try:
                shapes[edge_name(i + 1)] = output_shape(layer, *(shapes[n] for n in names))
            except ValueError as error:
                raise ValueError(f"layers[{i}]: {error}") from None
        return shapes

    def inputs_of(self, i: int) -> tuple[Shape, ...]:
        """The shapes that layer i takes."""
        return tuple(self.edges[name] for name in self.sources[i])

    def maker(self, edge: str) -> Layer | None:
        """The layer whose output an edge is; None for the input."""
        return None if edge == "input" else self.layers[int(edge.split(".")[1])]

    @cached_property
    def losses(self) -> dict[str, AnyLoss]:
        """The losses by site: `loss`, `auxiliary.J`."""
        return {"loss": self.loss} | {f"auxiliary.{j}": x for j, x in enumerate(self.auxiliary)}

    @cached_property
    def loss_sources(self) -> dict[str, tuple[str, ...]]:
        """The edges that each loss takes, by site."""
        last = (edge_name(len(self.layers)),)
        return {site: loss.inputs or last for site, loss in self.losses.items()}

    # --- what it holds -----------------------------------------------------------------

    @cached_property
    def _shapes_at(self) -> tuple[dict[str, Shape], ...]:
        """The parameters of each layer under its own names."""
        return tuple(
            parameter_shapes(layer, *self.inputs_of(i)) for i, layer in enumerate(self.layers)
        )

    @cached_property
    def own(self) -> tuple[dict[str, str], ...]:
        """For each layer its parameters: its own name of each -> the name in `parameters`."""
        found: list[dict[str, str]] = []
        for i, layer in enumerate(self.layers):
            names = {name: f"layers.{i}.{name}" for name in self._shapes_at[i]}
            if layer.share:
                names |= self._shared(i, layer.share, found)
            found.append(names)
        return tuple(found)

    def _shared(self, i: int, share: str, owners: Sequence[dict[str, str]]) -> dict[str, str]:
        kind, _, number = share.partition(".")
        if kind != "layers" or not number.isdecimal() or int(number) >= i:
            raise ValueError(
                f"layers[{i}]: share must be `layers.I` of a layer before it, got {share!r}"
            )
        mine, theirs = self._shapes_at[i], self._shapes_at[int(number)]
        common = [name for name in mine if name in theirs]
        if not common:
            raise ValueError(f"layers[{i}]: it has no parameter in common with {share}")
        for name in common:
            if mine[name] != theirs[name]:
                raise ValueError(
                    f"layers[{i}]: {name} has shape {mine[name]} and cannot be that of {share}, "
                    f"{theirs[name]}"
                )
        return {name: owners[int(number)][name] for name in common}

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """Every parameter's shape by its name, `layers.I.NAME`, in forward order."""
        return {
            f"layers.{i}.{name}": shape
            for i, shapes in enumerate(self._shapes_at)
            for name, shape in shapes.items()
            if self.own[i][name] == f"layers.{i}.{name}"
        }

    @cached_property
    def data(self) -> dict[str, Data]:
        """What is given and not differentiated, by its name, `layers.I.NAME`."""
        return {
            f"layers.{i}.{name}": data
            for i, layer in enumerate(self.layers)
            for name, data in data_shapes(layer, *self.inputs_of(i)).items()
        }

    # --- uses --------------------------------------------------------------------------

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Every use of a parameter or an edge, in forward order."""
        found = []
        for i, names in enumerate(self.sources):
            found += [Slot(f"layers.{i}", key, name) for key, name in self.own[i].items()]
            found += [Slot(f"layers.{i}", k, name) for k, name in enumerate(names)]
        for site, names in self.loss_sources.items():
            found += [Slot(site, k, name) for k, name in enumerate(names)]
        return tuple(found)

    @cached_property
    def _slots_by_source(self) -> dict[str, tuple[Slot, ...]]:
        found: dict[str, tuple[Slot, ...]] = {}
        for slot in self.slots:
            found[slot.source] = (*found.get(slot.source, ()), slot)
        return found

    def slots_of(self, tensor: str) -> tuple[Slot, ...]:
        """The uses of an edge or a parameter."""
        return self._slots_by_source.get(tensor, ())

    @cached_property
    def named_slots(self) -> dict[str, Slot]:
        """The uses whose tensor has several: there each has a cotangent of its own."""
        return {s.name: s for s in self.slots if len(self.slots_of(s.source)) > 1}

    @cached_property
    def tensors(self) -> dict[str, Shape]:
        """Every tensor with a gradient, in backward order, with its shape.

        The edges, the parameters and, where one of them is used several times, its uses.
        """
        shapes = {**self.edges, **self.parameters}
        order: list[str] = []
        for site in self.losses:
            order += [s.name for s in self._slots_at(site) if s.name in self.named_slots]
        for i in reversed(range(len(self.layers))):
            order.append(edge_name(i + 1))
            mine = self._slots_at(f"layers.{i}")
            order += [s.name for s in mine if s.name in self.named_slots]
            order += [name for name in self.parameters if name.startswith(f"layers.{i}.")]
        if self.input is not None:
            order.append("input")
        return {
            name: shapes[self.named_slots[name].source if name in self.named_slots else name]
            for name in order
        }

    def _slots_at(self, site: str) -> list[Slot]:
        return [s for s in self.slots if s.site == site]

    # --- words -------------------------------------------------------------------------

    @property
    def batch(self) -> int:
        """The number of examples: the first axis of what the loss takes."""
        return self.output[0]

    @property
    def output(self) -> Shape:
        """The shape of the (first) edge that the loss takes."""
        return self.edges[self.loss_sources["loss"][0]]

    @property
    def target_shape(self) -> Shape:
        """The shape of the loss's target."""
        return target_shape(self.loss, self.output)

    @property
    def operators(self) -> tuple[str, ...]:
        """The names of what is in it: layers in order, the losses, the penalties."""
        penalties = (str(type(p).__struct_config__.tag) for p in self.penalties)
        losses = (loss.name for loss in self.losses.values())
        return (*(layer.name for layer in self.layers), *losses, *penalties)

    def __str__(self) -> str:
        """A line such as `(4, 3) > dense 5 > tanh > squared_error`."""
        words = [] if self.input is None else [str(self.input)]
        for layer in self.layers:
            word = f"{layer.name} {layer.units}" if hasattr(layer, "units") else layer.name
            if layer.inputs:
                word += f"({', '.join(n.removesuffix('.output') for n in layer.inputs)})"
            words.append(word)
        return " > ".join([*words, *self.operators[len(self.layers) :]])


def edge_name(i: int) -> str:
    """`input` for edge 0, else `layers.I.output`; cotangents are reported under it."""
    return "input" if i == 0 else f"layers.{i - 1}.output"


def is_weight(parameter: str) -> bool:
    """Whether a penalty applies to a parameter: its own name contains `weight`."""
    return "weight" in parameter.rsplit(".", 1)[-1]


def _takes(least: int, most: int | None) -> str:
    if most == 0:
        return "takes no input"
    if most is None:
        return f"takes at least {least} inputs"
    count = str(least) if least == most else f"{least} to {most}"
    return f"takes {count} input{'s' if most > 1 else ''}"


def _check_input(shape: Any) -> None:
    if shape is None:
        return
    if not isinstance(shape, tuple) or len(shape) < 2:
        raise ValueError(
            "input must be (batch, features) or have more axes, integers of at least 1, "
            f"got {shape!r}"
        )
    for i, n in enumerate(shape):
        check_number(f"input[{i}]", n, int, {"minimum": 1})
