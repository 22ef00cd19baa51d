"""A whole network: the chain rule over a graph of pages.

Forward in the order of the layers, and backward in the opposite order:

    y_i = f_i(edges that it takes; p_i)             L = sum of the losses
    y_i_bar = sum of what its uses send back        (x_i_bar, p_i_bar) = f_i'(y_i_bar)

A tensor that is used several times receives the sum of its uses' cotangents; so does a
parameter that several layers share.  Every value at an edge, and every cotangent at an edge
and at a use, is kept: they are what a checker compares, and where a fault is localised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..architectures.architecture import Architecture, Slot, edge_name, is_weight
from ..architectures.cases import Case
from ..architectures.losses import flat_shape
from .arrays import Array, Arrays, Saved, regions
from .losses import penalties
from .pages import LAYERS, LOSSES

Branches = dict[str, Array]
"""The branch signature: the piece of every entry, by site.

Sites are `layers.I`, `loss`, `auxiliary.J`, and `penalties.J.NAME` for a parameter NAME.
"""

Disturb = Callable[[Any, Array, str], Array]
"""(given, result, site) -> result: applied to every operator's result; the rounding model's.

At a layer's site it is given what the layer was given, forward and backward; at a loss's
site the loss's cotangent passes through it.
"""

Overrides = Mapping[str, Callable[..., Any]]
"""Backward functions to use in place of a page's own, by site: how a fault is planted.

The site `fan_out` has none of its own: a function there replaces the sum over a tensor's uses.
"""


@dataclass(frozen=True)
class Trace:
    """One forward pass: the value at every edge, and what backward needs, by site."""

    edges: Arrays
    saved: dict[str, Saved]
    branches: Branches
    losses: Arrays
    penalties: Arrays

    @property
    def loss(self) -> Array:
        """The sum of the losses and the penalties."""
        return total([*self.losses.values(), *self.penalties.values()])


@dataclass(frozen=True)
class Change:
    """What differs from an earlier pass: edges, parameters, or single uses, with new values."""

    base: Trace
    edges: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)
    slots: Mapping[str, Array] = field(default_factory=dict)


def layer_parameters(case: Case, i: int, parameters: Mapping[str, Array] | None = None) -> Arrays:
    """The parameters and the data of layer i under their own names."""
    values = case.parameters if parameters is None else parameters
    own = {name: values[full] for name, full in case.architecture.own[i].items()}
    prefix = f"layers.{i}."
    given = {n.removeprefix(prefix): d for n, d in case.data.items() if n.startswith(prefix)}
    return own | given


def forward(
    case: Case,
    *,
    branches: Branches | None = None,
    change: Change | None = None,
    disturb: Disturb | None = None,
) -> Trace:
    """Run the network of a case to its loss.

    The arrays of the case may carry a replica axis; the loss then has it.  With `branches`
    every piecewise function stays on the pieces given there.  With `change` only what depends
    on it is run again, and the rest taken from its base; values there have a replica axis.
    """
    run = _Pass(case, branches, change, disturb)
    for i in range(len(case.architecture.layers)):
        run.layer(i)
    for site in case.architecture.losses:
        run.loss(site)
    for site, penalty, name in penalty_sites(case.architecture):
        run.penalty(site, penalty, name)
    return Trace(run.edges, run.saved, run.pieces, run.losses, run.penalties)


class _Pass:
    """A forward pass on its way.

    `moved` names the edges and parameters that differ from the base of a change.
    """

    def __init__(
        self, case: Case, branches: Branches | None, change: Change | None, disturb: Disturb | None
    ) -> None:
        self.case, self.given, self.change, self.disturb = case, branches, change, disturb
        base = Trace({}, {}, {}, {}, {}) if change is None else change.base
        self.edges, self.saved, self.pieces = (
            dict(base.edges),
            dict(base.saved),
            dict(base.branches),
        )
        self.losses, self.penalties = dict(base.losses), dict(base.penalties)
        self.parameters = dict(case.parameters)
        self.moved: set[str] = set()
        if change is not None:
            self.edges.update(change.edges)
            self.parameters.update(change.parameters)
            self.moved = {*change.edges, *change.parameters}
        elif case.input is not None:
            self.edges["input"] = case.input

    def layer(self, i: int) -> None:
        """Run layer i, unless nothing that it takes has moved or its output is given."""
        a, site, output = self.case.architecture, f"layers.{i}", edge_name(i + 1)
        sources: dict[Any, str] = {**a.own[i], **dict(enumerate(a.sources[i]))}
        if not self._stirred(site, sources) or self._is_given(output):
            return
        layer, page = a.layers[i], LAYERS[type(a.layers[i])]
        p = layer_parameters(self.case, i, self.parameters)
        if self.change is not None:
            p = _aligned(a, i, p)
        p |= {key: self._used(site, key, p[key]) for key in a.own[i]}
        x = one_or_all([self._entering(site, k, name) for k, name in enumerate(a.sources[i])])
        piece = self._branch(site, page.kink, layer, p, x)
        y, self.saved[site] = page.forward(layer, p, x, piece)
        self.edges[output] = y if self.disturb is None else self.disturb(x, y, site)
        self.moved.add(output)

    def loss(self, site: str) -> None:
        """Run a loss, unless nothing that it takes has moved."""
        a, loss = self.case.architecture, self.case.architecture.losses[site]
        names = a.loss_sources[site]
        if not self._stirred(site, dict(enumerate(names))):
            return
        shape = a.edges[names[0]]
        y = one_or_all(
            [
                reshaped(self._entering(site, k, name), shape, flat_shape(loss, shape))
                for k, name in enumerate(names)
            ]
        )
        t, page = flat_target(self.case, site), LOSSES[type(loss)]
        piece = self._branch(site, page.kink, loss, y, t)
        self.losses[site], self.saved[site] = page.forward(loss, y, t, piece)

    def penalty(self, site: str, penalty: Any, name: str) -> None:
        """Add a penalty of one weight, unless that has not moved."""
        if self.change is not None and name not in self.moved:
            return
        w = flat_weight(self.case, name, self.parameters[name])
        piece = self._branch(site, penalties.kink, penalty, w)
        self.penalties[site] = penalties.forward(penalty, w, piece)

    def _stirred(self, site: str, sources: Mapping[Any, str]) -> bool:
        """Whether anything that enters at a site differs from the base."""
        if self.change is None:
            return True
        uses = {Slot(site, key, source).name for key, source in sources.items()}
        moved = not self.moved.isdisjoint(sources.values())
        return moved or not uses.isdisjoint(self.change.slots)

    def _is_given(self, edge: str) -> bool:
        return self.change is not None and edge in self.change.edges

    def _entering(self, site: str, k: int, edge: str) -> Array:
        """What enters at an input: the edge, with a replica axis in a changed pass."""
        value = self.edges[edge]
        if self.change is not None:
            value = with_axis(value, len(self.case.architecture.edges[edge]))
        return self._used(site, k, value)

    def _used(self, site: str, key: int | str, value: Array) -> Array:
        """A value at one of its uses, which alone may be changed."""
        if self.change is None:
            return value
        return self.change.slots.get(Slot(site, key, "").name, value)

    def _branch(self, site: str, find_kink: Callable[..., Any] | None, *arguments: Any) -> Any:
        if find_kink is None:
            return None
        if self.given is not None and site in self.given:
            self.pieces[site] = self.given[site]
            return self.pieces[site]
        kink = find_kink(*arguments)
        if kink is None:
            return None
        self.pieces[site] = regions(kink)
        return self.pieces[site]


def one_or_all(values: Sequence[Any]) -> Any:
    """What a page takes: the one array, or a tuple of several or of none."""
    return values[0] if len(values) == 1 else tuple(values)


def reshaped(x: Array, shape: Sequence[int], to: Sequence[int]) -> Array:
    """x of a shape, with or without a replica axis, in another shape."""
    return x.reshape(*x.shape[: x.ndim - len(shape)], *to)


def flat_weight(case: Case, name: str, w: Array) -> Array:
    """A weight as a penalty sees it: one row."""
    return reshaped(w, case.architecture.parameters[name], (1, -1))


def _aligned(a: Architecture, i: int, p: Arrays) -> Arrays:
    """The parameters of layer i with their replica axis; data never have one."""
    names = a.own[i]
    return {n: with_axis(v, len(a.parameters[names[n]])) if n in names else v for n, v in p.items()}


def with_axis(value: Array, rank: int) -> Array:
    """A value with its replica axis, of size 1 where it had none."""
    return value if value.ndim > rank else value[None]


def flat_target(case: Case, site: str) -> Array | None:
    """The target of a loss as its page sees it (`losses.flat_shape`); None where there is none."""
    a = case.architecture
    t = case.targets.get(site)
    if t is None:
        return None
    y = a.edges[a.loss_sources[site][0]]
    flat = flat_shape(a.losses[site], y)
    if flat == y:
        return t
    by_row = t.dtype.kind == "i"
    return reshaped(t, y[:-1] if by_row else y, flat[:-1] if by_row else flat)


def backward(
    case: Case,
    trace: Trace,
    *,
    value_bar: Array | float = 1.0,
    overrides: Overrides | None = None,
    disturb: Disturb | None = None,
) -> Arrays:
    """The gradient of the loss with respect to every tensor, by name (`Architecture.tensors`).

    `value_bar` is the cotangent of the loss: a scalar or, with replicas, of shape
    (replicas, 1, 1).
    """
    a = case.architecture
    run = _Return(case, trace, value_bar, overrides or {}, disturb)
    for site in a.losses:
        run.loss(site)
    for i in reversed(range(len(a.layers))):
        run.layer(i)
    for name in (*a.parameters, *(("input",) if "input" in a.edges else ())):
        run.gradients[name] = run.sum_of(name)
    for site, penalty, name in penalty_sites(a):
        run.penalty(site, penalty, name)
    return run.gradients


class _Return:
    """A backward pass on its way: what the uses of each tensor have sent back so far."""

    def __init__(
        self, case: Case, trace: Trace, value_bar: Array | float, planted: Overrides,
        disturb: Disturb | None,
    ) -> None:  # fmt: skip
        self.case, self.trace, self.value_bar = case, trace, value_bar
        self.planted, self.disturb = planted, disturb
        self.received: dict[str, list[Array]] = {}
        self.gradients: Arrays = {}

    def loss(self, site: str) -> None:
        """Run a loss backward."""
        a, loss = self.case.architecture, self.case.architecture.losses[site]
        loss_backward = self.planted.get(site, LOSSES[type(loss)].backward)
        bars = _listed(loss_backward(loss, self.trace.saved[site], self.value_bar))
        for k, (name, bar) in enumerate(zip(a.loss_sources[site], bars, strict=True)):
            bar = reshaped(bar, flat_shape(loss, a.edges[name]), a.edges[name])
            self._send_to_edge(Slot(site, k, name), None, bar)

    def layer(self, i: int) -> None:
        """Run layer i backward, from the sum of what its output's uses sent back."""
        a, site, output = self.case.architecture, f"layers.{i}", edge_name(i + 1)
        layer = a.layers[i]
        y_bar = self.gradients[output] = self.sum_of(output)
        p = layer_parameters(self.case, i)
        if getattr(self.value_bar, "ndim", 0) > 0:
            p = _aligned(a, i, p)
        layer_backward = self.planted.get(site, LAYERS[type(layer)].backward)
        bars, p_bar = layer_backward(layer, p, self.trace.saved[site], y_bar)
        for k, (name, bar) in enumerate(zip(a.sources[i], _listed(bars), strict=True)):
            self._send_to_edge(Slot(site, k, name), y_bar, bar)
        for key, bar in p_bar.items():
            self._send(Slot(site, key, a.own[i][key]), bar)

    def penalty(self, site: str, penalty: Any, name: str) -> None:
        """Add what a penalty of one weight sends back."""
        penalty_backward = self.planted.get(site.rsplit(".layers", 1)[0], penalties.backward)
        w = flat_weight(self.case, name, self.case.parameters[name])
        w_bar = penalty_backward(penalty, w, self.trace.branches.get(site))
        shape = self.case.architecture.parameters[name]
        self.gradients[name] = self.gradients[name] + reshaped(w_bar, (1, -1), shape)

    def sum_of(self, name: str) -> Array:
        """The sum of what the uses of a tensor sent back."""
        bars = self.received[name]
        return self.planted.get("fan_out", total)(bars) if len(bars) > 1 else bars[0]

    def _send_to_edge(self, slot: Slot, y_bar: Array | None, bar: Array) -> None:
        """`y_bar` is what the operator was given, None for a loss."""
        self._send(slot, bar if self.disturb is None else self.disturb(y_bar, bar, slot.site))

    def _send(self, slot: Slot, bar: Array) -> None:
        self.received.setdefault(slot.source, []).append(bar)
        if slot.name in self.case.architecture.named_slots:
            self.gradients[slot.name] = bar


def _listed(bars: Any) -> tuple[Array, ...]:
    return bars if isinstance(bars, tuple) else (bars,)


def total(bars: Sequence[Array]) -> Array:
    """The sum of what a tensor's uses send back."""
    found = bars[0]
    for bar in bars[1:]:
        found = found + bar
    return found


def penalty_sites(architecture: Architecture) -> Sequence[tuple[str, Any, str]]:
    """(site, penalty, parameter's name) for every penalty on every weight."""
    return [
        (f"penalties.{j}.{name}", penalty, name)
        for j, penalty in enumerate(architecture.penalties)
        for name in architecture.parameters
        if is_weight(name)
    ]


def value_and_gradients(case: Case, overrides: Overrides | None = None) -> tuple[Array, Arrays]:
    """The loss of a case and every gradient, in the case's dtype.  Nothing is written to."""
    trace = forward(case)
    return trace.loss, backward(case, trace, overrides=overrides)
