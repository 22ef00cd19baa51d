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
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.losses import Loss, SquaredError, target_kind
from backproof.architectures.operators import Dense, Identity, Operator
from backproof.checkers.comparison import ALPHA
from backproof.checkers.estimate import Estimate
from backproof.checkers.rounding import Rounding
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays, regions
from backproof.reference.optimisers import sgd
from backproof.reference.pages import LAYERS, LOSSES

MOST_PARAMETERS = 2_000
MOST_PATHS = 200_000

STEP = 2.0**-100
"""Of the complex step: its square is far below rounding, and nothing cancels."""


# --- the network ------------------------------------------------------------------------


def build(
    sizes: Sequence[int],
    *,
    activation: Operator | None = None,
    output_activation: Operator | None = None,
    loss: Loss | None = None,
    batch: int = 1,
    bias: bool = True,
) -> Architecture:
    """A chain of dense layers, each followed by its activation.

    `sizes` are the widths of a1, z2, z3, ...: the input, then the units of each layer.
    ValueError where they do not fit together, or for a network too large to write out.
    """
    if len(sizes) < 2 or any(n < 1 for n in sizes):
        raise ValueError("sizes must be two or more integers of at least 1, such as 2,3,1")
    last = len(sizes) - 2
    hidden, output = activation or Identity(), output_activation or Identity()
    layers: list[Any] = []
    for i, units in enumerate(sizes[1:]):
        layers += [Dense(units, bias), output if i == last else hidden]
    for op in layers:
        if op.name in ("softmax", "log_softmax") and op.axis in (0, -2):
            raise ValueError(
                f"{op.name} along the batch mixes the examples, and a path stays within one: "
                "take the axis of the features"
            )
    loss = loss or SquaredError()
    architecture = Architecture((batch, sizes[0]), tuple(layers), loss)  # type: ignore[arg-type]
    count = sum(math.prod(shape) for shape in architecture.parameters.values())
    if count > MOST_PARAMETERS:
        raise ValueError(
            f"the network has {count:,} parameters, too many to write out "
            f"(at most {MOST_PARAMETERS:,})"
        )
    return architecture


TEXTBOOK = (2, 3, 1)


def textbook_case(architecture: Architecture) -> Case:
    """Two inputs, three hidden units, one output, with values that can be done in the head.

    ValueError for an architecture of other sizes.
    """
    values: dict[str, Any] = {
        "layers.0.weight": [[0.2, -0.5], [0.6, 0.5], [-0.4, 0.5]],
        "layers.0.bias": [0.1, -0.3, 0.5],
        "layers.2.weight": [[0.4, 0.2, -0.5]],
        "layers.2.bias": [0.1],
    }
    return make_case(architecture, values, [[0.5, -0.2]], [[0.6]])


def rounded_case(architecture: Architecture, seed: int) -> Case:
    """Values drawn from the seed and rounded to two decimals, so that they can be read.

    No parameter and no input is rounded to 0: its paths would all vanish, and show nothing.
    """

    def short(x: Array) -> Array:
        rounded = np.round(x, 2)
        return np.where(rounded == 0, np.copysign(0.01, x), rounded)

    drawn = draw_case(architecture, seed)
    target = drawn.target
    match target_kind(architecture.loss):
        case "probabilities":  # rounding the running sum keeps the rows' sums at one
            target = np.diff(np.round(np.cumsum(target, axis=-1), 2), axis=-1, prepend=0.0)
        case kind if kind != "indices":
            target = np.round(target, 2)
    return make_case(
        architecture,
        {name: short(value) for name, value in drawn.parameters.items()},
        short(np.asarray(drawn.input)),
        target,
        seed=seed,
    )


# --- names ------------------------------------------------------------------------------


def node(edge: int, unit: int) -> str:
    """The textbook's name of an entry at an edge: a1_1 (edge 0), z2_1, a2_1, z3_1, ..."""
    return f"{term(edge)}_{unit + 1}"


def term(edge: int) -> str:
    """The textbook's name of an edge: a1, z2, a2, z3, a3, ..."""
    return f"z{edge // 2 + 2}" if edge % 2 else f"a{edge // 2 + 1}"


@dataclass(frozen=True)
class Parameter:
    """One entry of one parameter tensor, under its textbook name.

    `layer` and `own` are the operator that it belongs to and its name there.
    """

    name: str
    tensor: str
    index: tuple[int, ...]

    @property
    def layer(self) -> int:
        return int(self.tensor.split(".")[1])

    @property
    def own(self) -> str:
        return self.tensor.split(".")[2]

    @property
    def number(self) -> int:
        """The textbook's number of the layer, from 1."""
        return self.layer // 2 + 1

    @property
    def description(self) -> str:
        """What it is, in words."""
        unit = self.index[0] + 1
        match self.own:
            case "weight":
                start = node(self.layer, self.index[1])
                return f"the weight of layer {self.number} to unit {unit} from {start}"
            case "bias":
                return f"the bias of layer {self.number}, unit {unit}"
            case _:
                return f"a slope of the activation of layer {self.number}"


def parameters(architecture: Architecture) -> dict[str, Parameter]:
    """Every entry of every parameter by its name: w1_11, w1_12, ..., b1_1, ...

    w1_23 is the weight of layer 1 to unit 2 from input 3; w1_2_13 where a number needs two
    digits.  The slopes of a PReLU are s1_1, ...
    """
    found: dict[str, Parameter] = {}
    for tensor, shape in architecture.parameters.items():
        between = "_" if max(shape) > 9 and len(shape) > 1 else ""
        for index in np.ndindex(*shape):
            numbers = between.join(str(i + 1) for i in index)
            p = Parameter("", tensor, index)
            name = f"{p.own[0]}{p.number}_{numbers}"
            found[name] = Parameter(name, tensor, index)
    return found


def find(architecture: Architecture, name: str) -> Parameter:
    """A parameter by its name.  ValueError, with the names that there are, for another."""
    known = parameters(architecture)
    if name not in known:
        tensors: dict[str, list[str]] = {}
        for p in known.values():
            tensors.setdefault(p.tensor, []).append(p.name)
        spans = [n[0] if len(n) == 1 else f"{n[0]} to {n[-1]}" for n in tensors.values()]
        raise ValueError(
            f"there is no parameter {name!r}; the names here are {', '.join(spans)} "
            "(w, the layer, then the unit and the input that it weighs; b, the layer, the unit)"
        )
    return known[name]


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
