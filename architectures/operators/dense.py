"""Linear maps with weights, products of tensors, and tensors that come from nowhere.

Names of axes: N the batch, ... any number of leading axes (at least the batch).
"""

from __future__ import annotations

from typing import Any

from ..checks import PositiveInteger, check_fields, check_number
from .base import Data, Operator, Rule, Rules, Shape, check_rank, check_sizes


class Dense(Operator, frozen=True, tag="dense"):
    """y = x W^T + b over the last axis of x (..., features).

    `weight` W has shape (units, features), `bias` b has shape (units,); y is (..., units).
    """

    units: PositiveInteger
    bias: bool = True


class WeightNormDense(Operator, frozen=True, tag="weight_norm_dense"):
    """y = x W^T + b with W_k = g_k v_k / |v_k|, row by row (Salimans and Kingma 2016).

    `direction` v has shape (units, features), `gain` g (units,), `bias` b (units,).
    """

    units: PositiveInteger
    bias: bool = True


class Bilinear(Operator, frozen=True, tag="bilinear"):
    """y_k = a W_k b + c_k for two inputs a (..., m) and b (..., n) with equal leading axes.

    `weight` W has shape (units, m, n), `bias` c has shape (units,); y is (..., units).
    """

    units: PositiveInteger
    bias: bool = True


class Embedding(Operator, frozen=True, tag="embedding"):
    """y = W[i] for given indices i; takes no input.

    The data `indices` have the shape `shape`, each from 0 to classes - 1; repetitions are
    allowed.  `weight` W has shape (classes, units); y has the shape (..., units) with
    `shape` for the dots.  Where the index equals `padding_index`, y is 0.
    """

    classes: PositiveInteger
    units: PositiveInteger
    shape: tuple[int, ...] = (1,)
    padding_index: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("shape", self.shape, 1)
        if not self.shape:
            raise ValueError("shape must have at least one axis, the batch")
        if self.padding_index is not None:
            check_number("padding_index", self.padding_index, int, {"minimum": 0})
            if self.padding_index >= self.classes:
                raise ValueError(
                    f"padding_index must be one of the {self.classes} classes, "
                    f"got {self.padding_index}"
                )


class Variable(Operator, frozen=True, tag="variable"):
    """y = v; takes no input.  A further input of the network, or a learned tensor.

    The parameter `value` v has the shape `shape`.
    """

    shape: tuple[int, ...] = (1, 1)

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("shape", self.shape, 1)
        if not self.shape:
            raise ValueError("shape must have at least one axis")


class MatMul(Operator, frozen=True, tag="matmul"):
    """y = A B for two inputs (..., n, k) and (..., k, m) with equal leading axes.

    With `transpose_a` A is the transpose of the first input's last two axes, with
    `transpose_b` B that of the second's.
    """

    transpose_a: bool = False
    transpose_b: bool = False


class Add(Operator, frozen=True, tag="add"):
    """y = the sum of two or more inputs of equal rank; an axis of size 1 is repeated."""


class Subtract(Operator, frozen=True, tag="subtract"):
    """y = a - b for two inputs of equal rank; an axis of size 1 is repeated."""


class Multiply(Operator, frozen=True, tag="multiply"):
    """y = a b, entry by entry, for two inputs of equal rank; an axis of size 1 is repeated."""


class Maximum(Operator, frozen=True, tag="maximum"):
    """y = max(a, b), entry by entry, for two inputs of one shape."""


class Minimum(Operator, frozen=True, tag="minimum"):
    """y = min(a, b), entry by entry, for two inputs of one shape."""


DENSE: tuple[type[Operator], ...] = (
    Dense, WeightNormDense, Bilinear, Embedding, Variable, MatMul, Add, Subtract, Multiply,
    Maximum, Minimum,
)  # fmt: skip


def _features(op: Operator, x: Shape) -> int:
    check_rank(op, x, 2, "(..., features) with the batch in front")
    return x[-1]


def _dense(op: Any, x: Shape) -> Shape:
    _features(op, x)
    return (*x[:-1], op.units)


def _weight_and_bias(op: Any, x: Shape) -> dict[str, Shape]:
    weight: dict[str, Shape] = {"weight": (op.units, x[-1])}
    return {**weight, "bias": (op.units,)} if op.bias else weight


def _direction_gain_bias(op: Any, x: Shape) -> dict[str, Shape]:
    found: dict[str, Shape] = {"direction": (op.units, x[-1]), "gain": (op.units,)}
    return {**found, "bias": (op.units,)} if op.bias else found


def _bilinear(op: Bilinear, a: Shape, b: Shape) -> Shape:
    _features(op, a)
    if a[:-1] != b[:-1]:
        raise ValueError(f"bilinear takes inputs with equal leading axes, got {a} and {b}")
    return (*a[:-1], op.units)


def _bilinear_parameters(op: Bilinear, a: Shape, b: Shape) -> dict[str, Shape]:
    weight: dict[str, Shape] = {"weight": (op.units, a[-1], b[-1])}
    return {**weight, "bias": (op.units,)} if op.bias else weight


def _matmul(op: MatMul, a: Shape, b: Shape) -> Shape:
    check_rank(op, a, 3, "(..., n, k) with the batch in front")
    check_rank(op, b, 3, "(..., k, m) with the batch in front")
    left = (a[-1], a[-2]) if op.transpose_a else a[-2:]
    right = (b[-1], b[-2]) if op.transpose_b else b[-2:]
    if a[:-2] != b[:-2] or left[1] != right[0]:
        raise ValueError(f"matmul cannot multiply {(*a[:-2], *left)} and {(*b[:-2], *right)}")
    return (*a[:-2], left[0], right[1])


def _broadcast(op: Operator, *inputs: Shape) -> Shape:
    if len({len(x) for x in inputs}) != 1:
        raise ValueError(f"{op.name} takes inputs of equal rank, got {_listed(inputs)}")
    result = []
    for sizes in zip(*inputs, strict=True):
        wide = {n for n in sizes if n != 1}
        if len(wide) > 1:
            raise ValueError(f"{op.name} cannot match the shapes {_listed(inputs)}")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def _one_shape(op: Operator, a: Shape, b: Shape) -> Shape:
    if a != b:
        raise ValueError(f"{op.name} takes two inputs of one shape, got {a} and {b}")
    return a


def _listed(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(str(s) for s in shapes[:-1]) + f" and {shapes[-1]}"


def _indices(op: Embedding) -> dict[str, Data]:
    return {"indices": Data(op.shape, "indices", below=op.classes)}


RULES: Rules = {
    Dense: Rule(_dense, _weight_and_bias),
    WeightNormDense: Rule(_dense, _direction_gain_bias),
    Bilinear: Rule(_bilinear, _bilinear_parameters, arity=(2, 2)),
    Embedding: Rule(
        lambda op: (*op.shape, op.units),
        lambda op: {"weight": (op.classes, op.units)},
        _indices,
        arity=(0, 0),
    ),
    Variable: Rule(lambda op: op.shape, lambda op: {"value": op.shape}, arity=(0, 0)),
    MatMul: Rule(_matmul, arity=(2, 2)),
    Add: Rule(_broadcast, arity=(2, None)),
    Subtract: Rule(_broadcast, arity=(2, 2)),
    Multiply: Rule(_broadcast, arity=(2, 2)),
    Maximum: Rule(_one_shape, arity=(2, 2)),
    Minimum: Rule(_one_shape, arity=(2, 2)),
}
