"""A whole network: the chain rule over a chain of pages.

Forward, edge by edge:     x_0 = input,  x_{i+1} = f_i(x_i; p_i),  L = loss(x_n, t) + penalties
Backward, edge by edge:    x_n_bar = dL/dx_n,  (x_i_bar, p_i_bar) = f_i'(x_{i+1}_bar)

Every value at an edge and every cotangent at an edge is kept: they are what a checker
compares, and where a fault is localised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..architectures.architecture import Architecture, edge_name
from ..architectures.cases import Case
from .arrays import Array, Arrays, Saved, regions
from .losses import penalties
from .pages import LAYERS, LOSSES

Branches = dict[str, Array]
"""The branch signature: the piece of every entry, by site.

Sites are `layers.I`, `loss`, and `penalties.J.NAME` for a parameter NAME.
"""

Disturb = Callable[[Array, Array, int], Array]
"""(given, result, site) -> result: applied to every operator's result; the rounding model's.

Site i is layer i, and the number of layers is the loss.
"""

Overrides = Mapping[str, Callable[..., Any]]
"""Backward functions to use in place of a page's own, by site: how a fault is planted."""


@dataclass(frozen=True)
class Trace:
    """One forward pass: the value at every edge from `start` on, and what backward needs."""

    start: int
    edges: tuple[Array, ...]
    saved: tuple[Saved, ...]
    loss_saved: Saved
    branches: Branches
    loss: Array


def layer_parameters(parameters: Mapping[str, Array], i: int) -> Arrays:
    """The parameters of layer i under their own names."""
    prefix = f"layers.{i}."
    return {
        name.removeprefix(prefix): value
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def forward(
    architecture: Architecture,
    parameters: Mapping[str, Array],
    x: Array,
    target: Array,
    *,
    branches: Branches | None = None,
    start: int = 0,
    disturb: Disturb = lambda given, result, site: result,
) -> Trace:
    """Run the network from the value `x` at edge `start` to the loss.

    Arrays may carry leading replica axes; the loss then has those axes.  With `branches`
    every piecewise function stays on the pieces given there.
    """
    pieces: Branches = {}

    def branch(site: str, find_kink: Callable[..., Any] | None, *arguments: Any) -> Array | None:
        if find_kink is None:
            return None
        if branches is not None and site in branches:
            pieces[site] = branches[site]
        else:
            kink = find_kink(*arguments)
            if kink is None:
                return None
            pieces[site] = regions(kink)
        return pieces[site]

    edges, saved = [x], []
    for i, layer in enumerate(architecture.layers[start:], start):
        page = LAYERS[type(layer)]
        piece = branch(f"layers.{i}", page.kink, layer, edges[-1])
        y, kept = page.forward(layer, layer_parameters(parameters, i), edges[-1], piece)
        edges.append(disturb(edges[-1], y, i))
        saved.append(kept)

    loss = architecture.loss
    page = LOSSES[type(loss)]
    piece = branch("loss", page.kink, loss, edges[-1], target)
    value, loss_saved = page.forward(loss, edges[-1], target, piece)
    for site, penalty, name in penalty_sites(architecture):
        w = parameters[name]
        value = value + penalties.forward(penalty, w, branch(site, penalties.kink, penalty, w))
    return Trace(start, tuple(edges), tuple(saved), loss_saved, pieces, value)


def backward(
    architecture: Architecture,
    parameters: Mapping[str, Array],
    trace: Trace,
    *,
    value_bar: Array | float = 1.0,
    overrides: Overrides | None = None,
    disturb: Disturb = lambda given, result, site: result,
) -> Arrays:
    """The gradient of the loss with respect to every parameter and every edge, by name.

    `value_bar` is the cotangent of the loss, a scalar or of shape (replicas, 1, 1).
    """
    planted = overrides or {}
    loss_backward = planted.get("loss", LOSSES[type(architecture.loss)].backward)
    n = len(architecture.layers)
    bar = loss_backward(architecture.loss, trace.loss_saved, value_bar)
    bar = disturb(trace.edges[-1], bar, n)
    gradients: Arrays = {edge_name(n): bar}
    for i in reversed(range(trace.start, n)):
        layer = architecture.layers[i]
        layer_backward = planted.get(f"layers.{i}", LAYERS[type(layer)].backward)
        p = layer_parameters(parameters, i)
        given = bar
        bar, p_bar = layer_backward(layer, p, trace.saved[i - trace.start], given)
        bar = disturb(given, bar, i)
        gradients[edge_name(i)] = bar
        gradients.update({f"layers.{i}.{name}": value for name, value in p_bar.items()})
    for site, penalty, name in penalty_sites(architecture):
        penalty_backward = planted.get(site.rsplit(".layers", 1)[0], penalties.backward)
        piece = trace.branches.get(site)
        gradients[name] = gradients[name] + penalty_backward(penalty, parameters[name], piece)
    return gradients


def penalty_sites(architecture: Architecture) -> Sequence[tuple[str, Any, str]]:
    """(site, penalty, parameter's name) for every penalty on every dense layer's weights."""
    return [
        (f"penalties.{j}.{name}", penalty, name)
        for j, penalty in enumerate(architecture.penalties)
        for name in architecture.parameters
        if name.endswith(".weight")
    ]


def tensor_names(architecture: Architecture) -> tuple[str, ...]:
    """Every tensor with a gradient, in backward order: edges and parameters interleaved."""
    n = len(architecture.layers)
    names = [edge_name(n)]
    for i in reversed(range(n)):
        names += [name for name in architecture.parameters if name.startswith(f"layers.{i}.")]
        names.append(edge_name(i))
    return tuple(names)


def value_and_gradients(case: Case, overrides: Overrides | None = None) -> tuple[Array, Arrays]:
    """The loss of a case and every gradient, in the case's dtype.  Nothing is written to."""
    trace = forward(case.architecture, case.parameters, case.input, case.target)
    gradients = backward(case.architecture, case.parameters, trace, overrides=overrides)
    return trace.loss, gradients
