"""The worked example's network: a chain of dense layers, its values, and its names.

The names are the textbook's.  A network of sizes n_1, n_2, ..., n_L computes, from the
input a1,

    z2 = W1 a1 + b1    a2 = f(z2)    z3 = W2 a2 + b2    a3 = f(z3)    ...    C = loss(aL)

so z2_1 is the first entry of z2, and w1_23 the weight of layer 1 to unit 2 from input 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.losses import Loss, SquaredError
from backproof.architectures.operators import Dense, Identity, Operator
from backproof.architectures.targets import target_kind
from backproof.reference.arrays import Array

MOST_PARAMETERS = 2_000


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
    chosen: Any = loss or SquaredError()
    architecture = Architecture((batch, sizes[0]), tuple(layers), chosen)
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
