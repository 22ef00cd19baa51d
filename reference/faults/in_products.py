"""Faults of operators of two tensors (sums, products), of constants, and of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture, edge_name
from ..arrays import Array, Arrays, Saved, gather_axis, inverse
from ..layers.broadcasting import unbroadcast
from ..layers.matmul import turned
from .fault import Backward, Fault, Plant, instead_of_p_bar, instead_of_x_bar, last_only, layers

# --- where ------------------------------------------------------------------------------


def _of_two_edges(a: Architecture, i: int) -> bool:
    """Whether a layer takes two different edges: of a square, say, both operands are alike."""
    return len(set(a.sources[i])) > 1


def _of_two(a: Architecture, i: int, layer: Any) -> bool:
    """A sum, product, extremum or concatenation of several tensors."""
    kinds = (
        ops.Add, ops.Subtract, ops.Multiply, ops.Maximum, ops.Minimum, ops.MatMul, ops.Bilinear,
        ops.Concat,
    )  # fmt: skip
    return isinstance(layer, kinds)


def _repeats(a: Architecture, i: int, layer: Any) -> bool:
    """Whether an operand is repeated along an axis."""
    kinds = (ops.Add, ops.Subtract, ops.Multiply)
    y = a.edges[edge_name(i + 1)]
    return isinstance(layer, kinds) and any(x != y for x in a.inputs_of(i))


def _second_is_square(a: Architecture, i: int, layer: Any) -> bool:
    """A matrix product A B with a square B of more than one entry."""
    if not isinstance(layer, ops.MatMul):
        return False
    rows, columns = a.inputs_of(i)[1][-2:]
    return rows == columns > 1


def _exchangeable(a: Architecture, i: int, layer: Any) -> bool:
    """A bilinear layer of two different edges with as many features."""
    if not isinstance(layer, ops.Bilinear):
        return False
    left, right = a.inputs_of(i)
    return left == right and _of_two_edges(a, i)


def _meets_several_indices(a: Architecture, i: int, layer: Any) -> bool:
    return isinstance(layer, ops.Embedding) and ops.size(layer.shape) > 1


# --- how --------------------------------------------------------------------------------


def _changed(change: Callable[..., Any]) -> Plant:
    """The operands' gradients become change(*gradients)."""
    return instead_of_x_bar(
        lambda right, layer, p, saved, y_bar: change(*right(layer, p, saved, y_bar)[0])
    )


def _own_value(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """a y_bar and b y_bar, where b y_bar and a y_bar are right."""
    return tuple(unbroadcast(v * y_bar, v) for v in saved)


def _last_repetition(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """Of an operand that is repeated, what comes back from the last repetition alone."""
    bars = list(right(layer, p, saved, y_bar)[0])
    for k, bar in enumerate(bars):
        part = y_bar
        for axis in range(-y_bar.ndim, 0):
            if bar.shape[axis] == 1:
                part = last_only(part, axis)
        bars[k] = right(layer, p, saved, part)[0][k]
    return tuple(bars)


def _not_transposed(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """A_bar = Y_bar B, where Y_bar B' is right."""
    _, b_bar = right(layer, p, saved, y_bar)[0]
    return turned(y_bar @ saved[1], layer.transpose_a), b_bar


def _exchanged(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """a_bar = q_bar a' and b_bar = b q_bar, where q_bar b' and a q_bar are right."""
    a, b, q = saved
    return right(layer, p, (b, a, q), y_bar)[0]


def _last_occurrence(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    """W_bar[c] = y_bar_n for the last n with i_n = c, where their sum is right."""
    indices = p["indices"]
    kept = np.where(indices == layer.padding_index, -1, indices)  # of None, none is equal
    last = inverse(kept, layer.classes).max(axis=-1)
    rows = y_bar.reshape(*y_bar.shape[: y_bar.ndim - indices.ndim - 1], -1, layer.units)
    return {"weight": gather_axis(rows, last, -2)}


def _padding_counted(right: Backward) -> Backward:
    def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        from_all = ops.Embedding(layer.classes, layer.units, layer.shape)
        return right(from_all, p, saved, y_bar)

    return planted


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "first_operand_forgotten",
        "zeros for the gradient of the first of several operands",
        38, 1,
        layers(_of_two),
        _changed(lambda first, *rest: (np.zeros_like(first), *rest)),
        kind="missing",
        shows="at a sum, difference, product, extremum or concatenation of tensors",
        hidden="where nothing comes back to it, as where the other factor is 0",
    ),
    Fault(
        "second_operand_forgotten",
        "zeros for the gradients of all operands but the first",
        38, 1,
        layers(_of_two),
        _changed(lambda first, *rest: (first, *map(np.zeros_like, rest))),
        kind="missing",
        shows="at a sum, difference, product, extremum or concatenation of tensors",
        hidden="where nothing comes back to them, as where the first factor is 0",
    ),
    Fault(
        "second_operand_negated",
        "the gradient of the second of two operands negated",
        5, 2,
        layers(
            lambda a, i, layer: isinstance(
                layer, ops.Subtract | ops.Multiply | ops.Maximum | ops.Minimum
            )
        ),
        _changed(lambda a_bar, b_bar: (a_bar, -b_bar)),
        kind="sign",
        shows="at a difference, product, maximum or minimum of two tensors",
        hidden="where nothing comes back to the second operand, as where it is never the maximum",
    ),
    Fault(
        "extremum_to_both",
        "the cotangent of a maximum or a minimum given to both operands",
        29, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Maximum | ops.Minimum)),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: (1 * y_bar, 1 * y_bar)),
        kind="extra",
        shows="at a maximum or minimum of two tensors",
    ),
    Fault(
        "own_value_for_the_other_s",
        "an operand's own value in its gradient, for that of the other operand of the product",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Multiply) and _of_two_edges(a, i)),
        instead_of_x_bar(_own_value),
        kind="argument",
        shows="at a product of two different tensors",
        hidden="where the two are equal",
        like="d(ab) written as a da + b db",
    ),
    Fault(
        "repetitions_overwritten",
        "the gradient of a repeated operand overwritten (=) instead of summed (+=)",
        None, 1,
        layers(_repeats),
        instead_of_x_bar(_last_repetition),
        kind="accumulation",
        shows="where an operand of a sum, difference or product is repeated along an axis",
        hidden="where the last repetition alone has a cotangent",
        like="an assignment where broadcasting asks for a sum",
    ),
    Fault(
        "factor_not_transposed",
        "the second factor of a matrix product not transposed in the gradient of the first",
        23, 1,
        layers(_second_is_square),
        instead_of_x_bar(_not_transposed),
        kind="axis",
        shows="at a matrix product whose second factor is square",
        hidden="where the second factor is symmetric",
    ),
    Fault(
        "bilinear_operands_exchanged",
        "the operands of a bilinear layer exchanged in their gradients",
        None, 1,
        layers(_exchangeable),
        instead_of_x_bar(_exchanged),
        kind="axis",
        shows="at a bilinear layer of two different inputs with as many features",
        hidden="where the two inputs are equal",
        like="two operands taken for each other",
    ),
    Fault(
        "scale_dropped",
        "the gradient of a multiple not multiplied by its constant",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Affine) and layer.scale != 1),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: 1 * y_bar),
        kind="factor",
        shows="at a multiple by another constant than 1",
        like="a constant applied forward alone",
    ),
    Fault(
        "repeated_index_overwritten",
        "the gradient at an embedding's repeated index overwritten (=) instead of added (+=)",
        None, 2,
        layers(_meets_several_indices),
        instead_of_p_bar(_last_occurrence),
        kind="accumulation",
        shows="at an embedding that looks up several indices",
        hidden="where no index is repeated",
        like="rows assigned at an index where they should be added",
    ),
    Fault(
        "padding_index_counted",
        "a gradient at an embedding's padding index",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Embedding)
               and layer.padding_index is not None),
        _padding_counted,
        kind="extra",
        shows="at an embedding with a padding index",
        hidden="where the padding index is not looked up",
        like="an index that the backward pass does not leave out",
    ),
)  # fmt: skip
