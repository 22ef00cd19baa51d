"""Faults of pooling, and of operators that rearrange, repeat or reduce entries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ...architectures.operators import Shape
from ...architectures.operators.convolutions import spatial_axes
from ..arrays import (
    Array,
    Arrays,
    Saved,
    gather,
    gather_axis,
    inverse,
    place,
    scatter,
    scatter_axis,
)
from ..layers import adaptive_average_pool, average_pool, mean, pad, upsample, windows
from ..layers.transpose import permuted
from .fault import (
    Applies,
    Backward,
    Fault,
    Plant,
    as_if,
    instead_of_x_bar,
    layers,
    reads_the_input_alone,
)

MAX = (ops.MaxPool1d, ops.MaxPool2d)
AVERAGE = (ops.AveragePool1d, ops.AveragePool2d)
ADAPTIVE = (ops.AdaptiveAveragePool1d, ops.AdaptiveAveragePool2d)

# --- pooling ----------------------------------------------------------------------------


def _windows(layer: Any, shape: Shape) -> Array:
    """The index map (taps, places) of a pooling layer, for the spatial sizes of x."""
    if isinstance(layer, ADAPTIVE):
        return adaptive_average_pool.windows(shape, layer.size)
    return windows.pool(layer, shape)[0]


def _overlaps(a: Architecture, i: int, layer: Any) -> bool:
    """Whether some entry lies in two windows."""
    if not isinstance(layer, (*MAX, *AVERAGE, *ADAPTIVE)):
        return False
    index = _windows(layer, a.inputs_of(i)[0][2:])
    return int(np.bincount(index[index >= 0]).max()) > 1


def _last_window_alone(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """x_bar = (=) in place of += : of each entry's windows the last one's share."""
    branch, shape = saved if isinstance(layer, MAX) else (None, saved)
    index = _windows(layer, shape)
    y_bar = y_bar if branch is not None else y_bar / _divisor(layer, saved, y_bar)
    flat = y_bar.reshape(*y_bar.shape[: -len(shape)], -1)
    if branch is None:
        shares = np.broadcast_to(flat[..., None], (*flat.shape, len(index)))
    else:
        shares = place(flat, branch, len(index))
    last = inverse(index.T, math.prod(shape)).max(axis=-1)
    return gather(shares, last.reshape(shape), 2)


def _competes(a: Architecture, i: int, layer: Any) -> bool:
    """A maximum over more than one entry."""
    x = a.inputs_of(i)[0] if a.sources[i] else ()
    match layer:
        case ops.Max():
            return math.prod(x[axis] for axis in layer.axes) > 1
        case ops.GlobalMaxPool():
            return math.prod(x[2:]) > 1
        case ops.MaxPool1d() | ops.MaxPool2d():
            return bool((_windows(layer, x[2:]) >= 0).sum(axis=0).max() > 1)
        case _:
            return False


def _to_every_entry(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """The cotangent of a maximum to each of the entries that it is of."""
    _, shape = saved
    if isinstance(layer, ops.Max):
        kept = y_bar if layer.keep else np.expand_dims(y_bar, layer.axes)
        sizes = [
            shape[axis] if axis in layer.axes else kept.shape[axis]
            for axis in range(-len(shape), 0)
        ]
        lead = kept.shape[: kept.ndim - len(shape)]
        return np.broadcast_to(kept, (*lead, *sizes)) * 1
    if isinstance(layer, ops.GlobalMaxPool):
        return np.broadcast_to(y_bar[(..., *[None] * len(shape))], (*y_bar.shape, *shape)) * 1
    index = _windows(layer, shape).T
    flat = y_bar.reshape(*y_bar.shape[: -len(shape)], -1)
    return scatter(np.broadcast_to(flat[..., None], (*flat.shape, index.shape[-1])), index, shape)


def _divisor(layer: Any, saved: Saved, y_bar: Array) -> Any:
    """What an average is divided by, of y_bar's last axes or one for all."""
    match layer:
        case ops.Mean():
            return mean.count(layer, saved)
        case ops.GlobalAveragePool():
            return math.prod(saved)
        case ops.AdaptiveAveragePool1d() | ops.AdaptiveAveragePool2d():
            c = windows.counts(_windows(layer, saved)).astype(y_bar.dtype)
        case _:
            c = average_pool.divisors(layer, _windows(layer, saved), y_bar)
    return c.reshape(y_bar.shape[-spatial_axes(layer) :])


def _averages(a: Architecture, i: int, layer: Any) -> bool:
    """Whether a layer divides by more than 1 somewhere."""
    kinds = (ops.Mean, ops.GlobalAveragePool, *AVERAGE, *ADAPTIVE)
    if not isinstance(layer, kinds):
        return False
    x = a.inputs_of(i)[0]
    y_bar = np.ones(ops.output_shape(layer, x))
    return bool(np.max(_divisor(layer, x if isinstance(layer, ops.Mean) else x[2:], y_bar)) > 1)


def _undivided(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, p, saved, y_bar * _divisor(layer, saved, y_bar))[0]


def _padding_counted_otherwise(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    return as_if(count_include_pad=not layer.count_include_pad)(right)(layer, p, saved, y_bar)[0]


# --- index maps -------------------------------------------------------------------------


def _last_copy_alone(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    for axis, n, f in zip((-2, -1), saved, layer.factor, strict=True):
        last = inverse(upsample.copies(n, f), n).max(axis=-1)
        y_bar = gather_axis(y_bar, last, axis)
    return 1 * y_bar


def _early(layer: ops.Pad, n: int, pair: tuple[int, int]) -> Array:
    """The index map of an axis with one entry fewer before it, and one more after."""
    before, after = pair
    late = min(before, 1)
    return pad.index_map(layer.mode, n, before - late, after + late)


def _padding_matters(a: Architecture, i: int, layer: Any) -> bool:
    if not isinstance(layer, ops.Pad):
        return False
    sizes = a.inputs_of(i)[0][-len(layer.padding) :]
    return any(
        not np.array_equal(_early(layer, n, pair), pad.index_map(layer.mode, n, *pair))
        for n, pair in zip(sizes, layer.padding, strict=True)
    )


def _padding_off_by_one(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    k = len(layer.padding)
    for axis, (n, pair) in enumerate(zip(saved, layer.padding, strict=True), -k):
        y_bar = scatter_axis(y_bar, _early(layer, n, pair), n, axis)
    return 1 * y_bar


def _taken(layer: ops.Slice, size: int) -> Array | None:
    """What a slice takes, one place aside; None where there is no room for that."""
    index = np.arange(layer.start, layer.stop, layer.step)
    if layer.start > 0:
        return index - 1
    return index + 1 if index[-1] + 1 < size else None


def _slice_has_room(a: Architecture, i: int, layer: Any) -> bool:
    return isinstance(layer, ops.Slice) and _taken(layer, a.inputs_of(i)[0][layer.axis]) is not None


def _written_aside(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    index = _taken(layer, saved)
    assert index is not None
    return scatter_axis(y_bar, index, saved, layer.axis)


# --- axes -------------------------------------------------------------------------------


def _permutes(test: Callable[[ops.Transpose, Shape, Shape], bool]) -> Applies:
    """At a transpose that passes test(layer, the sizes of x and those of y)."""

    def found(a: Architecture, i: int, layer: Any) -> bool:
        if not isinstance(layer, ops.Transpose):
            return False
        x = a.inputs_of(i)[0][-len(layer.order) :]
        return test(layer, x, tuple(x[axis] for axis in layer.order))

    return layers(found)


def _again(layer: ops.Transpose, sizes: Shape) -> Shape:
    return tuple(sizes[axis] for axis in layer.order)


def _moves(layer: ops.Transpose) -> bool:
    return list(layer.order) != sorted(layer.order)


def _is_its_own_inverse(layer: ops.Transpose) -> bool:
    return list(_again(layer, layer.order)) == sorted(layer.order)


def _equal_parts(a: Architecture, i: int, layer: Any) -> bool:
    """Whether the first and the last part of a concatenation have one shape."""
    return isinstance(layer, ops.Concat) and a.inputs_of(i)[0] == a.inputs_of(i)[-1]


def _swapped(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    first, *between, last = right(layer, p, saved, y_bar)[0]
    return (last, *between, first)


def _sums_several(a: Architecture, i: int, layer: Any) -> bool:
    """A sum of several entries, of an input that nobody else takes."""
    return (
        isinstance(layer, ops.Sum)
        and math.prod(a.inputs_of(i)[0][axis] for axis in layer.axes) > 1
        and reads_the_input_alone(a, i)
    )


def _plainly(change: Callable[[Any, Array], Array]) -> Plant:
    """x_bar = change(layer, y_bar)."""
    return instead_of_x_bar(lambda right, layer, p, saved, y_bar: change(layer, y_bar))


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "windows_overwritten",
        "overlapping windows overwritten (=) instead of added (+=)",
        28, 1,
        layers(_overlaps),
        instead_of_x_bar(_last_window_alone),
        kind="accumulation",
        shows="where the windows of a pooling overlap",
        hidden="where each entry gets its share from the last of its windows alone",
    ),
    Fault(
        "maximum_to_all",
        "the cotangent of a maximum given to every entry that it is of",
        None, 2,
        layers(_competes),
        instead_of_x_bar(_to_every_entry),
        kind="extra",
        shows="at a maximum over several entries of a tensor",
        like="a maximum differentiated as a sum",
    ),
    Fault(
        "average_not_divided",
        "the gradient of an average not divided by the number of entries",
        28, 1,
        layers(_averages),
        instead_of_x_bar(_undivided),
        kind="factor",
        shows="at an average of more than one entry",
    ),
    Fault(
        "padding_counted_wrongly",
        "an average's padding counted in the gradient where forward it is not, or the reverse",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, AVERAGE) and any(layer.padding)),
        instead_of_x_bar(_padding_counted_otherwise),
        kind="factor",
        shows="at an average pooling with padding",
        like="an attribute that the two passes read differently",
    ),
    Fault(
        "copies_overwritten",
        "the copies of an upsampled entry overwritten (=) instead of added (+=)",
        None, 1,
        layers(
            lambda a, i, layer: (
                isinstance(layer, ops.Upsample)
                and layer.form == "nearest"
                and max(layer.factor) > 1
            )
        ),
        instead_of_x_bar(_last_copy_alone),
        kind="accumulation",
        shows="at a nearest-neighbour upsampling by more than 1",
        hidden="where the last of an entry's copies alone has a cotangent",
        like="copies assigned where they should be added",
    ),
    Fault(
        "pad_sliced_off_by_one",
        "what was padded sliced off one entry too early",
        26, 1,
        layers(_padding_matters),
        instead_of_x_bar(_padding_off_by_one),
        kind="index",
        shows="where something is padded before an axis",
        hidden="where the padding is constant and the cotangent the same along the padded axes",
    ),
    Fault(
        "slice_written_aside",
        "the gradient of a slice written one place aside",
        None, 1,
        layers(_slice_has_room),
        instead_of_x_bar(_written_aside),
        kind="index",
        shows="at a slice with room beside it",
        like="an offset that is off by one",
    ),
    Fault(
        "parts_swapped",
        "the gradients of the first and the last part of a concatenation exchanged",
        None, 1,
        layers(_equal_parts),
        instead_of_x_bar(_swapped),
        kind="axis",
        shows="at a concatenation whose first and last part have one shape",
        hidden="where the gradients of both parts are equal",
        like="the parts of a concatenation taken in another order",
    ),
    Fault(
        "transposed_again",
        "a permutation of axes applied again instead of inverted",
        None, 1,
        _permutes(
            lambda layer, x, y: not _is_its_own_inverse(layer) and _again(layer, y) == x
        ),
        _plainly(lambda layer, y_bar: permuted(y_bar, layer.order)),
        kind="axis",
        shows="at a permutation of axes that is not its own inverse, where sizes allow it",
        hidden="where the cotangent is constant",
        like="a permutation taken for its inverse",
    ),
    Fault(
        "not_transposed_back",
        "the axes of a square transpose left as they are",
        23, 1,
        _permutes(lambda layer, x, y: _moves(layer) and x == y and max(x) > 1),
        _plainly(lambda layer, y_bar: 1 * y_bar),
        kind="axis",
        shows="at a permutation of axes with equal sizes",
        hidden="where the cotangent is symmetric in these axes",
    ),
    Fault(
        "sum_not_repeated",
        "the cotangent of a sum not repeated along the axes that were summed",
        None, 1,
        layers(_sums_several),
        _plainly(lambda layer, y_bar: 1 * y_bar),
        loud=True,
        kind="axis",
        shows="at a sum of several entries of the network's input",
        like="a reduction whose axis is not restored",
    ),
)  # fmt: skip
