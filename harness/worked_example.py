"""Backpropagation by hand: the chain rule as a sum over paths.

A network of sizes n_1, n_2, ..., n_L computes, from the input a1,

    z2 = W1 a1 + b1    a2 = f(z2)    z3 = W2 a2 + b2    a3 = f(z3)    ...    C = loss(aL)

Draw it as a graph: a node for every entry of every z and a, and an arrow from u to v,
labelled with the local derivative dv/du, where v is computed from u directly.  The chain
rule says that for a parameter w and the nodes v computed from it directly

    dC/dw = sum over v of  dC/dv dv/dw

and the same again for dC/dv, until C is reached.  Multiplied out,

    dC/dw = sum over the paths w -> v1 -> v2 -> ... -> C of the product of their labels

(Bauer 1974).  A batch adds a sum over its examples, through whose copies of the network
the same w acts.  Backpropagation is this sum with common factors taken out: it costs one
pass where the number of paths grows with the product of the sizes.

The labels are found one operator at a time, by a complex step on that operator's forward
function; no backward function is used, so the sums can be held against all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, make_case
from backproof.architectures.losses import Loss
from backproof.architectures.operators import Operator
from backproof.checkers.comparison import ALPHA
from backproof.checkers.estimate import Estimate
from backproof.checkers.rounding import Rounding
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays, regions
from backproof.reference.optimisers import sgd
from backproof.reference.pages import LAYERS, LOSSES
from backproof.textbook import Parameter, node

MOST_PATHS = 200_000

STEP = 2.0**-100
"""Of the complex step: its square is far below rounding, and nothing cancels."""


# --- local derivatives ------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A case with its forward pass and the local derivative of every operator.

    `jacobians[i]` (batch, out, in) are those of layer i with respect to its input;
    `entries[tensor]` (batch, out, *shape) with respect to its parameters; `loss` (batch,
    out) those of the loss.
    """

    case: Case
    trace: network.Trace
    jacobians: tuple[Array, ...]
    entries: Mapping[str, Array]
    loss: Array

    @property
    def architecture(self) -> Architecture:
        return self.case.architecture

    @cached_property
    def arrows(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """For each layer and each unit in, the units out that are computed from it.

        An elementwise activation has one, a dense layer all.  A derivative that happens
        to be zero in some example is an arrow still.
        """
        return tuple(
            tuple(_computed_from(layer, j, shape[-1]) for j in range(before[-1]))
            for layer, (before, shape) in zip(
                self.architecture.layers, pairwise(self.architecture.edges.values()), strict=True
            )
        )


def _computed_from(layer: Operator, unit: int, units: int) -> tuple[int, ...]:
    if layer.name in ("dense", "softmax", "log_softmax"):
        return tuple(range(units))
    return (unit % units,)  # gated activations pair unit j with unit j + n / 2


def differentiate(case: Case) -> Example:
    """Run the case forward and find the local derivative of each operator in turn."""
    a = case.architecture
    trace = network.forward(case)
    values = tuple(trace.edges.values())
    jacobians, entries = [], {}
    for i, layer in enumerate(a.layers):
        x, p = values[i], network.layer_parameters(case, i)
        jacobians.append(_with_respect_to_input(layer, p, x))
        for name, value in p.items():
            entries[f"layers.{i}.{name}"] = _with_respect_to_parameter(layer, p, name, value, x)
    return Example(case, trace, tuple(jacobians), entries, _of_loss(a.loss, trace, case.target))


def _forward(layer: Operator, p: Mapping[str, Array], x: Array) -> Array:
    page = LAYERS[type(layer)]
    piece = regions(page.kink(layer, p, x)) if page.kink else None
    y: Array = page.forward(layer, p, x, piece)[0]
    return y


def _units(shape: tuple[int, ...]) -> Array:
    """i STEP times each unit vector of a tensor, along a leading axis."""
    size = math.prod(shape)
    return 1j * STEP * np.eye(size).reshape(size, *shape)


def _with_respect_to_input(layer: Operator, p: Arrays, x: Array) -> Array:
    """(batch, out, in): the same unit is moved in every example, which do not meet."""
    features = x.shape[-1]
    moved = x + _units((features,))[:, None, :]
    return np.moveaxis(_forward(layer, p, moved).imag / STEP, 0, -1)


def _with_respect_to_parameter(
    layer: Operator, p: Arrays, name: str, value: Array, x: Array
) -> Array:
    moved = {**p, name: value + _units(value.shape)}
    slopes = _forward(layer, moved, np.broadcast_to(x, (value.size, *x.shape))).imag / STEP
    return np.moveaxis(slopes, 0, -1).reshape(*slopes.shape[1:], *value.shape)


def _of_loss(loss: Loss, trace: network.Trace, target: Array) -> Array:
    page, y = LOSSES[type(loss)], tuple(trace.edges.values())[-1]
    moved = y + _units(y.shape)
    piece = trace.branches.get("loss")
    value = page.forward(loss, moved, target, piece)[0]
    slopes: Array = np.broadcast_to(value.imag / STEP, (y.size,)).reshape(y.shape)
    return slopes


# --- paths ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Factor:
    """A local derivative: d`of`/d`by`."""

    of: str
    by: str
    value: float

    def __str__(self) -> str:
        return f"d{self.of}/d{self.by}"


@dataclass(frozen=True)
class Path:
    """One path from C down to a parameter, in one example (from 0): its factors in order."""

    example: int
    factors: tuple[Factor, ...]

    @property
    def product(self) -> float:
        """The factors multiplied from left to right."""
        return math.prod(factor.value for factor in self.factors)


@dataclass(frozen=True)
class Derivative:
    """dC/dw: the sum of the products of all `count` paths, the first of which are kept."""

    parameter: Parameter
    paths: tuple[Path, ...]
    count: int
    value: float


def count_paths(architecture: Architecture, wanted: Sequence[Parameter]) -> int:
    """How many paths lead to these parameters, over all examples; found without walking them."""
    ways = [[1] * architecture.output[-1]]  # from each unit of an edge up to C
    for layer, (before, after) in reversed(
        list(zip(architecture.layers, pairwise(architecture.edges.values()), strict=True))
    ):
        ways.append(
            [
                sum(ways[-1][k] for k in _computed_from(layer, j, after[-1]))
                for j in range(before[-1])
            ]
        )
    ways.reverse()
    each = (sum(ways[p.layer + 1][k] for k in _entered(architecture, p)) for p in wanted)
    return architecture.batch * sum(each)


def _entered(architecture: Architecture, p: Parameter) -> Sequence[int]:
    """The units that are computed from a parameter directly."""
    layer = architecture.layers[p.layer]
    if getattr(layer, "shared", False):
        return range(architecture.edges[edge_name(p.layer + 1)][-1])
    return (p.index[0],)


def check_paths(architecture: Architecture, wanted: Sequence[Parameter]) -> None:
    """ValueError where there are too many paths to walk."""
    count = count_paths(architecture, wanted)
    if count > MOST_PATHS:
        raise ValueError(
            f"there are {count:,} paths to sum over, too many to write out (at most "
            f"{MOST_PATHS:,}); name one parameter, or take smaller sizes or a smaller batch"
        )


def paths(example: Example, p: Parameter) -> Iterator[Path]:
    """Every path from C to the parameter, example by example."""
    for n in range(example.architecture.batch):
        for unit in _entered(example.architecture, p):
            value = float(example.entries[p.tensor][(n, unit, *p.index)])
            last = Factor(node(p.layer + 1, unit), p.name, value)
            for factors in _down_to(example, n, p.layer + 1, unit):
                yield Path(n, (*factors, last))


def _down_to(example: Example, n: int, edge: int, unit: int) -> Iterator[tuple[Factor, ...]]:
    """The factors of every path from C down to one node."""
    here = node(edge, unit)
    if edge == len(example.jacobians):
        yield (Factor("C", here, float(example.loss[n, unit])),)
        return
    for k in example.arrows[edge][unit]:
        factor = Factor(node(edge + 1, k), here, float(example.jacobians[edge][n, k, unit]))
        for factors in _down_to(example, n, edge + 1, k):
            yield (*factors, factor)


def derivative(example: Example, p: Parameter, keep: int = 4) -> Derivative:
    """dC/dp by the sum over all paths (added exactly, rounded once), keeping `keep` of them."""
    kept: list[Path] = []
    products: list[float] = []
    for path in paths(example, p):
        products.append(path.product)
        if len(kept) < keep:
            kept.append(path)
    return Derivative(p, tuple(kept), len(products), math.fsum(products))


def gradients(architecture: Architecture, derivatives: Sequence[Derivative]) -> Arrays:
    """The derivatives as one array for each tensor; those not given are zero."""
    found = {name: np.zeros(shape) for name, shape in architecture.parameters.items()}
    for d in derivatives:
        found[d.parameter.tensor][d.parameter.index] = d.value
    return found


# --- what the checkers say --------------------------------------------------------------


@dataclass(frozen=True)
class Opinion:
    """One checker on one derivative: its value, its own error bound, and whether it agrees.

    `allowed` is that bound and the rounding that two correct computations may differ by.
    """

    checker: str
    value: float
    bound: float
    difference: float
    allowed: float

    @property
    def agrees(self) -> bool:
        return self.difference <= self.allowed


def opinions(
    found: Derivative, estimates: Sequence[Estimate], rounding: Rounding
) -> tuple[Opinion, ...]:
    """What every checker that was asked for every entry says of one derivative."""
    tensor, index = found.parameter.tensor, found.parameter.index
    size = rounding.entries(tensor).size
    allowance = rounding.factor(ALPHA / size) * float(rounding.entries(tensor)[index])
    said = []
    for e in estimates:
        value = float(e.entries[tensor][index])
        bound = float(np.broadcast_to(e.bounds.get(tensor, 0.0), e.entries[tensor].shape)[index])
        said.append(Opinion(e.checker, value, bound, abs(value - found.value), bound + allowance))
    return tuple(said)


# --- one step of gradient descent -------------------------------------------------------


def descend(case: Case, gradient: Arrays, learning_rate: float) -> Case:
    """W = W - learningRate dC/dW and b = b - learningRate dC/db.

    ValueError for a step so long that a parameter overflows.
    """
    with np.errstate(over="ignore"):
        after, _ = sgd.step(sgd.SGD(learning_rate), {}, case.parameters, gradient)
    return make_case(case.architecture, after, case.input, case.target, seed=case.seed)


def loss_of(case: Case) -> float:
    """C."""
    with np.errstate(all="ignore"):
        trace = network.forward(case)
    return float(trace.loss)
