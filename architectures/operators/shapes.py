"""Operators that rearrange, repeat or reduce entries.

Axes are counted from the end, so -1 is the last; the first axis of a tensor is the batch,
and is never touched.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ..checks import PositiveInteger, bounded, check_fields, check_tuple
from .base import (
    Operator,
    Rule,
    Rules,
    Shape,
    check_axes,
    check_exact_rank,
    check_sizes,
    has_axes,
    size,
)

LastAxis = Annotated[int, bounded(maximum=-1)]


class Flatten(Operator, frozen=True, tag="flatten"):
    """y = x with its last `axes` axes joined into one: 3 for (N, C, H, W)."""

    axes: Annotated[int, bounded(minimum=2)] = 3


class Reshape(Operator, frozen=True, tag="reshape"):
    """y = x with its last `axes` axes replaced by `shape`, in row-major order."""

    shape: tuple[int, ...]
    axes: PositiveInteger = 1

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("shape", self.shape, 1)


class Transpose(Operator, frozen=True, tag="transpose"):
    """y = x with its last k axes in another order.

    `order` is a permutation of (-k, ..., -1): axis j of those of y is axis order[j] of x.
    So (-1, -2) swaps the last two axes.
    """

    order: tuple[int, ...] = (-1, -2)

    def __post_init__(self) -> None:
        check_fields(self)
        check_axes("order", self.order)
        if sorted(self.order) != list(range(-len(self.order), 0)):
            raise ValueError(
                f"order must be a permutation of {tuple(range(-len(self.order), 0))}, "
                f"got {self.order}"
            )


class Pad(Operator, frozen=True, tag="pad"):
    """y = x with entries added before and after, on the last axes.

    `padding` holds (before, after) for each of the last axes, in their order.  `constant`
    adds `value`; `reflect` mirrors without repeating the border (c b | a b c | b a); `edge`
    repeats the border (a a | a b c | c c).
    """

    padding: tuple[tuple[int, int], ...] = ((1, 1),)
    mode: Literal["constant", "reflect", "edge"] = "constant"
    value: Annotated[float, bounded()] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        check_tuple("padding", self.padding, "pairs")
        for i, pair in enumerate(self.padding):
            check_sizes(f"padding[{i}]", pair, 0, 2)
        if not self.padding:
            raise ValueError("padding must hold at least one pair (before, after)")


class Slice(Operator, frozen=True, tag="slice"):
    """y = x[start:stop:step] along `axis`; 0 <= start < stop <= the size of the axis."""

    start: Annotated[int, bounded(minimum=0)] = 0
    stop: PositiveInteger = 1
    step: PositiveInteger = 1
    axis: LastAxis = -1

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.start < self.stop:
            raise ValueError(f"start must be below stop, got start={self.start}, stop={self.stop}")


class Concat(Operator, frozen=True, tag="concat"):
    """y = two or more inputs one after the other along `axis`; their other axes are equal."""

    axis: LastAxis = -1


class Sum(Operator, frozen=True, tag="sum"):
    """y = the sum of x over `axes`, which are kept with size 1 where `keep`."""

    axes: tuple[int, ...] = (-1,)
    keep: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_axes("axes", self.axes)


class Mean(Operator, frozen=True, tag="mean"):
    """y = the mean of x over `axes`, which are kept with size 1 where `keep`."""

    axes: tuple[int, ...] = (-1,)
    keep: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_axes("axes", self.axes)


class Max(Operator, frozen=True, tag="max"):
    """y = the greatest entry of x over `axes`, which are kept with size 1 where `keep`."""

    axes: tuple[int, ...] = (-1,)
    keep: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_axes("axes", self.axes)


class Upsample(Operator, frozen=True, tag="upsample"):
    """Images (N, C, H, W) enlarged by whole numbers `factor` = (f_H, f_W).

    `nearest`: y[i, j] = x[i // f_H, j // f_W].
    `bilinear`: along an axis of n entries, enlarged to m = f n, y at i is the linear
    interpolation of x at the position p_i, held within [0, n - 1]; the two axes one after
    the other.  p_i = (i + 1/2) / f - 1/2, or with `align_corners` p_i = i (n - 1) / (m - 1)
    (and 0 where m = 1).
    """

    factor: tuple[int, ...] = (2, 2)
    form: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("factor", self.factor, 1, 2)
        if self.align_corners and self.form == "nearest":
            raise ValueError("align_corners goes with form 'bilinear' only")


SHAPES: tuple[type[Operator], ...] = (
    Flatten, Reshape, Transpose, Pad, Slice, Concat, Sum, Mean, Max, Upsample,
)  # fmt: skip


def _flatten(op: Flatten, x: Shape) -> Shape:
    has_axes(op, x, (-op.axes,))
    return (*x[: -op.axes], size(x[-op.axes :]))


def _reshape(op: Reshape, x: Shape) -> Shape:
    has_axes(op, x, (-op.axes,))
    if size(x[-op.axes :]) != size(op.shape):
        raise ValueError(f"reshape cannot make {op.shape} of the axes {x[-op.axes :]}")
    return (*x[: -op.axes], *op.shape)


def _transpose(op: Transpose, x: Shape) -> Shape:
    has_axes(op, x, op.order)
    return (*x[: -len(op.order)], *(x[axis] for axis in op.order))


def _pad(op: Pad, x: Shape) -> Shape:
    k = len(op.padding)
    has_axes(op, x, (-k,))
    for n, pair in zip(x[-k:], op.padding, strict=True):
        if op.mode == "reflect" and max(pair) >= n:
            raise ValueError(f"pad cannot reflect {max(pair)} entries of an axis of {n}")
    padded = (n + before + after for n, (before, after) in zip(x[-k:], op.padding, strict=True))
    return (*x[:-k], *padded)


def _slice(op: Slice, x: Shape) -> Shape:
    has_axes(op, x, (op.axis,))
    n = x[op.axis]
    if op.stop > n:
        raise ValueError(f"slice: stop {op.stop} is beyond the {n} entries of axis {op.axis}")
    shape = list(x)
    shape[op.axis] = len(range(op.start, op.stop, op.step))
    return tuple(shape)


def _concat(op: Concat, *inputs: Shape) -> Shape:
    first = list(inputs[0])
    has_axes(op, inputs[0], (op.axis,))
    total = 0
    for x in inputs:
        rest = list(x)
        if len(rest) != len(first):
            raise ValueError(f"concat takes inputs of equal rank, got {inputs[0]} and {x}")
        total += rest[op.axis]
        rest[op.axis] = first[op.axis]
        if rest != first:
            raise ValueError(f"concat cannot join {inputs[0]} and {x} along axis {op.axis}")
    first[op.axis] = total
    return tuple(first)


def _reduced(op: Sum | Mean | Max, x: Shape) -> Shape:
    has_axes(op, x, op.axes)
    gone = {len(x) + axis for axis in op.axes}
    if op.keep:
        return tuple(1 if i in gone else n for i, n in enumerate(x))
    left = tuple(n for i, n in enumerate(x) if i not in gone)
    if len(left) < 2:
        raise ValueError(f"{op.name} over {op.axes} leaves {left} of {x}: use keep to keep an axis")
    return left


def _upsample(op: Upsample, x: Shape) -> Shape:
    check_exact_rank(op, x, 4, "(N, C, H, W)")
    return (*x[:-2], x[-2] * op.factor[0], x[-1] * op.factor[1])


RULES: Rules = {
    Flatten: Rule(_flatten),
    Reshape: Rule(_reshape),
    Transpose: Rule(_transpose),
    Pad: Rule(_pad),
    Slice: Rule(_slice),
    Concat: Rule(_concat, arity=(2, None)),
    Sum: Rule(_reduced),
    Mean: Rule(_reduced),
    Max: Rule(_reduced),
    Upsample: Rule(_upsample),
}
