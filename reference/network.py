"""A whole network: the chain rule over a graph of pages.

Forward, in the order of the layers:   y_i = f_i(edges that it takes; p_i),  L = sum of the losses
Backward, in the opposite order:       y_i_bar = sum of what its uses send back,
                                       (x_i_bar, p_i_bar) = f_i'(y_i_bar)

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


class _Pass:
    """A forward pass on its way."""

    def __init__(self, case: Case, branches: Branches | None, change: Change | None,
                 disturb: Disturb | None) -> None:  # fmt: skip
        self.case, self.given, self.disturb = case, branches, disturb
        self.change = change
        self.pieces: Branches = {} if change is None else dict(change.base.branches)
        self.edges: Arrays = {} if change is None else dict(change.base.edges)
        self.saved: dict[str, Saved] = {} if change is None else dict(change.base.saved)
        self.moved = set() if change is None else {*change.edges, *change.parameters}

    def branch(self, site: str, find_kink: Callable[..., Any] | None, *arguments: Any) -> Any:
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

    def uses(self, site: str, keys: Mapping[Any, str]) -> tuple[dict[Any, str], bool]:
        """The single uses that are changed at a site, and whether anything there moved."""
        if self.change is None:
            return {}, True
        changed = {}
        for key, source in keys.items():
            name = Slot(site, key, source).name
            if name in self.change.slots:
                changed[key] = name
        return changed, bool(changed) or not self.moved.isdisjoint(keys.values())


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
    a = case.architecture
    run = _Pass(case, branches, change, disturb)
    parameters = case.parameters if change is None else {**case.parameters, **change.parameters}
    if "input" in a.edges and case.input is not None:
        run.edges.setdefault("input", case.input)
    if change is not None:
        run.edges.update(change.edges)
    for i, layer in enumerate(a.layers):
        site, output = f"layers.{i}", edge_name(i + 1)
        keys = {**a.own[i], **dict(enumerate(a.sources[i]))}
        changed, moved = run.uses(site, keys)
        if not moved or (change is not None and output in change.edges):
            continue
        page = LAYERS[type(layer)]
        p = layer_parameters(case, i, parameters)
        values = [run.edges[name] for name in a.sources[i]]
        if change is not None:
            for key, name in changed.items():
                if isinstance(key, int):
                    values[key] = change.slots[name]
                else:
                    p[key] = change.slots[name]
        if change is not None:
            p = _aligned(a, i, p)
            shapes = a.inputs_of(i)
            values = [_with_axis(v, len(s)) for v, s in zip(values, shapes, strict=True)]
        x = values[0] if len(values) == 1 else tuple(values)
        piece = run.branch(site, page.kink, layer, p, x)
        y, run.saved[site] = page.forward(layer, p, x, piece)
        run.edges[output] = y if disturb is None else disturb(x, y, site)
        run.moved.add(output)

    losses: Arrays = {} if change is None else dict(change.base.losses)
    for site, loss in a.losses.items():
        sources = a.loss_sources[site]
        changed, moved = run.uses(site, dict(enumerate(sources)))
        if not moved:
            continue
        values = [run.edges[name] for name in sources]
        if change is not None:
            for key, name in changed.items():
                values[key] = change.slots[name]
        flat = flat_shape(loss, a.edges[sources[0]])
        rank = len(a.edges[sources[0]])
        values = [v.reshape(*v.shape[: v.ndim - rank], *flat) for v in values]
        y = values[0] if len(values) == 1 else tuple(values)
        t = flat_target(case, site)
        page = LOSSES[type(loss)]
        piece = run.branch(site, page.kink, loss, y, t)
        losses[site], run.saved[site] = page.forward(loss, y, t, piece)

    added: Arrays = {} if change is None else dict(change.base.penalties)
    for site, penalty, name in penalty_sites(a):
        if change is not None and name not in run.moved:
            continue
        w = parameters[name]
        flat_w = w.reshape(*w.shape[: w.ndim - len(a.parameters[name])], 1, -1)
        piece = run.branch(site, penalties.kink, penalty, flat_w)
        added[site] = penalties.forward(penalty, flat_w, piece)
    return Trace(run.edges, run.saved, run.pieces, losses, added)


def _aligned(a: Architecture, i: int, p: Arrays) -> Arrays:
    """The parameters of layer i with their replica axis; data never have one."""
    names = a.own[i]
    return {
        n: _with_axis(v, len(a.parameters[names[n]])) if n in names else v for n, v in p.items()
    }


def _with_axis(value: Array, rank: int) -> Array:
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
    base = y[:-1] if t.dtype.kind == "i" else y
    shape = flat[:-1] if t.dtype.kind == "i" else flat
    return t.reshape(*t.shape[: t.ndim - len(base)], *shape)


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
    planted = overrides or {}
    replicas = getattr(value_bar, "ndim", 0) > 0
    received: dict[str, list[Array]] = {}
    gradients: Arrays = {}

    def send(slot: Slot, bar: Array) -> None:
        received.setdefault(slot.source, []).append(bar)
        if slot.name in a.named_slots:
            gradients[slot.name] = bar

    sum_of = planted.get("fan_out", total)
    for site, loss in a.losses.items():
        sources = a.loss_sources[site]
        loss_backward = planted.get(site, LOSSES[type(loss)].backward)
        bars = loss_backward(loss, trace.saved[site], value_bar)
        for k, (name, bar) in enumerate(zip(sources, _listed(bars), strict=True)):
            shape = a.edges[name]
            bar = bar.reshape(*bar.shape[: bar.ndim - len(flat_shape(loss, shape))], *shape)
            send(Slot(site, k, name), bar if disturb is None else disturb(None, bar, site))
    for i in reversed(range(len(a.layers))):
        layer, site = a.layers[i], f"layers.{i}"
        y_bar = sum_of(received[edge_name(i + 1)])
        gradients[edge_name(i + 1)] = y_bar
        p = layer_parameters(case, i)
        if replicas:
            p = _aligned(a, i, p)
        layer_backward = planted.get(site, LAYERS[type(layer)].backward)
        bars, p_bar = layer_backward(layer, p, trace.saved[site], y_bar)
        for k, (name, bar) in enumerate(zip(a.sources[i], _listed(bars), strict=True)):
            send(Slot(site, k, name), bar if disturb is None else disturb(y_bar, bar, site))
        for key, bar in p_bar.items():
            send(Slot(site, key, a.own[i][key]), bar)
    for name in (*a.parameters, *(("input",) if "input" in a.edges else ())):
        gradients[name] = sum_of(received[name])
    for site, penalty, name in penalty_sites(a):
        penalty_backward = planted.get(site.rsplit(".layers", 1)[0], penalties.backward)
        w = case.parameters[name]
        flat_w = w.reshape(*w.shape[: w.ndim - len(a.parameters[name])], 1, -1)
        w_bar = penalty_backward(penalty, flat_w, trace.branches.get(site))
        gradients[name] = gradients[name] + w_bar.reshape(*w_bar.shape[:-2], *a.parameters[name])
    return gradients


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
