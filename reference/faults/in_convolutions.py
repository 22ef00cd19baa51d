"""Faults of convolutions and of transposed convolutions.

Both are a matrix product and an index map (`layers/windows.py`): tap u at the place i of the
small grid touches the place s i + d u - p of the large one.  A fault of the map is another
map, and applies where that differs from the right one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture, edge_name
from ...architectures.operators.convolutions import around, ones, spatial_axes, zeros
from ..arrays import Array, Arrays, Saved
from ..layers.windows import Sizes, taps
from .fault import (
    Applies,
    Backward,
    Fault,
    Plant,
    instead_of_p_bar,
    instead_of_x_bar,
    layers,
    reads_the_input_alone,
)

TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)

# --- index maps -------------------------------------------------------------------------


class Grid(NamedTuple):
    """What places the taps of a kernel: s i + d u - p, with p as `before`."""

    stride: Sizes
    dilation: Sizes
    before: Sizes


Map = Callable[[Any, Sizes, Sizes], Array]
"""The index map of a layer, for the spatial sizes of x and of y."""


def _grid(layer: Any, x: Sizes) -> Grid:
    axes = spatial_axes(layer)
    before = (
        zeros(layer.padding, axes)
        if isinstance(layer, TRANSPOSED)
        else tuple(b for b, _ in around(layer, x))
    )
    return Grid(ones(layer.stride, axes), ones(layer.dilation, axes), before)


def _map(layer: Any, x: Sizes, y: Sizes, grid: Grid) -> Array:
    large, small = (y, x) if isinstance(layer, TRANSPOSED) else (x, y)
    return taps(large, small, layer.kernel, grid.stride, grid.dilation, grid.before)


def _exchanged(layer: Any, x: Sizes, y: Sizes) -> Array:
    """d i + s u - p."""
    stride, dilation, before = _grid(layer, x)
    return _map(layer, x, y, Grid(dilation, stride, before))


def _off_by_one(layer: Any, x: Sizes, y: Sizes) -> Array:
    """s i + d u - (p - 1), on the axes that have padding."""
    grid = _grid(layer, x)
    return _map(layer, x, y, grid._replace(before=tuple(max(p - 1, 0) for p in grid.before)))


def _mirrored(layer: Any, x: Sizes, y: Sizes) -> Array:
    """s i + d (k - 1 - u) - p."""
    return _map(layer, x, y, _grid(layer, x))[::-1]


def _without_stride(layer: Any, x: Sizes, y: Sizes) -> Array:
    """i + d u - p."""
    grid = _grid(layer, x)
    return _map(layer, x, y, grid._replace(stride=(1,) * len(grid.stride)))


def _without_dilation(layer: Any, x: Sizes, y: Sizes) -> Array:
    """s i + u - p."""
    grid = _grid(layer, x)
    return _map(layer, x, y, grid._replace(dilation=(1,) * len(grid.dilation)))


def _differs(other: Map) -> Applies:
    def test(a: Architecture, i: int, layer: Any) -> bool:
        if not isinstance(layer, ops.CONVOLUTIONS):
            return False
        x, y = a.inputs_of(i)[0][2:], a.edges[edge_name(i + 1)][2:]
        right = _map(layer, x, y, _grid(layer, x))
        return not np.array_equal(right, other(layer, x, y))

    return layers(test)


def _with_map(other: Map) -> Plant:
    """x_bar over another index map."""

    def change(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        first, _, x = saved
        index = other(layer, x, y_bar.shape[-len(x) :])
        return right(layer, p, (first, index, x), y_bar)[0]

    return instead_of_x_bar(change)


# --- weights, biases and axes -----------------------------------------------------------


def _several_places(a: Architecture, i: int, layer: Any) -> bool:
    places = math.prod(a.edges[edge_name(i + 1)][2:])
    return isinstance(layer, ops.CONVOLUTIONS) and "bias" in a.own[i] and places > 1


def _grouped(a: Architecture, i: int, layer: Any) -> bool:
    return isinstance(layer, ops.CONVOLUTIONS) and getattr(layer, "groups", 1) > 1


def _matrix_of_channels(a: Architecture, i: int, layer: Any) -> bool:
    """Several examples and several channels: else one axis may be taken for the other."""
    batch, channels = a.edges[edge_name(i + 1)][:2]
    return isinstance(layer, ops.CONVOLUTIONS) and batch > 1 and channels > 1


def _as_many_channels(a: Architecture, i: int, layer: Any) -> bool:
    """A weight that is square in its channels."""
    if not isinstance(layer, ops.CONVOLUTIONS) or _grouped(a, i, layer):
        return False
    first, second = a.parameters[a.own[i]["weight"]][:2]
    return first == second > 1


def _several_taps(a: Architecture, i: int, layer: Any) -> bool:
    taps = math.prod(getattr(layer, "kernel", ()))
    return isinstance(layer, ops.CONVOLUTIONS) and taps > 1


def _no_padding_to_slice(a: Architecture, i: int, layer: Any) -> bool:
    return (
        isinstance(layer, ops.CONVOLUTIONS)
        and not isinstance(layer, TRANSPOSED)
        and any(p == 0 for p in _grid(layer, a.inputs_of(i)[0][2:]).before)
        and reads_the_input_alone(a, i)
    )


def _through(change: Callable[[Any, Array, int], Array]) -> Plant:
    """x_bar through change(layer, weight, axis of the weight's groups)."""

    def planted(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        weight = change(layer, p["weight"], -2 - spatial_axes(layer))
        return right(layer, {**p, "weight": weight}, saved, y_bar)[0]

    return instead_of_x_bar(planted)


def _of_the_group_before(layer: Any, weight: Array, axis: int) -> Array:
    return np.roll(weight, weight.shape[axis] // layer.groups, axis=axis)


def _of_the_first_group(layer: Any, weight: Array, axis: int) -> Array:
    first = np.arange(weight.shape[axis]) % (weight.shape[axis] // layer.groups)
    repeated: Array = np.take(weight, first, axis=axis)
    return repeated


def _channels_exchanged(layer: Any, weight: Array, axis: int) -> Array:
    return np.swapaxes(weight, axis, axis + 1)


def _weight_mirrored(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    """W_bar of tap k - 1 - u for that of tap u."""
    axes = tuple(range(-spatial_axes(layer), 0))
    return {"weight": np.flip(p_bar["weight"], axes)}


def _bias_averaged(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    return {"bias": p_bar["bias"] / math.prod(y_bar.shape[-spatial_axes(layer) :])}


def _reshaped(right: Backward) -> Backward:
    """Y_bar (N, C, L) read as (C, N, L), by a reshape, where its axes should be moved."""

    def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        x_bar, _ = right(layer, p, saved, y_bar)
        axes = spatial_axes(layer)
        *lead, n, c = y_bar.shape[:-axes]
        read = y_bar.reshape(*lead, c, n, *y_bar.shape[-axes:])
        return x_bar, right(layer, p, saved, np.swapaxes(read, -axes - 2, -axes - 1))[1]

    return planted


def _sliced_by_zero(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """x_bar[p:-p] on the axes with p = 0: nothing."""
    x_bar = right(layer, p, saved, y_bar)[0]
    before = _grid(layer, saved[2]).before
    return x_bar[(..., *(slice(0, None if b else 0) for b in before))]


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "reshaped_without_moving_the_axis",
        "the cotangent of a convolution reshaped to channels and examples without moving the axis",
        25, 2,
        layers(_matrix_of_channels),
        _reshaped,
        kind="axis",
        shows="at a convolution of several examples to several channels",
        hidden="where the entries of the cotangent are all equal",
    ),
    Fault(
        "padding_off_by_one",
        "the padding of a convolution sliced off by one",
        26, 2,
        _differs(_off_by_one),
        _with_map(_off_by_one),
        kind="index",
        shows="at a convolution with padding",
    ),
    Fault(
        "padding_sliced_by_minus_zero",
        "a padding of zero sliced off as [0:-0], which leaves nothing",
        26, 1,
        layers(_no_padding_to_slice),
        instead_of_x_bar(_sliced_by_zero),
        loud=True,
        kind="index",
        shows="at a convolution without padding, of the network's input",
    ),
    Fault(
        "stride_and_dilation_exchanged",
        "the stride and the dilation of a convolution exchanged",
        27, 2,
        _differs(_exchanged),
        _with_map(_exchanged),
        kind="index",
        shows="where stride and dilation of a convolution differ and both count",
    ),
    Fault(
        "stride_ignored",
        "a convolution's stride ignored in the gradient of its input",
        None, 2,
        _differs(_without_stride),
        _with_map(_without_stride),
        kind="index",
        shows="at a convolution with a stride that counts",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "dilation_ignored",
        "a convolution's dilation ignored in the gradient of its input",
        None, 1,
        _differs(_without_dilation),
        _with_map(_without_dilation),
        kind="index",
        shows="at a convolution with a dilation that counts",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "channels_not_transposed",
        "W for its transpose in the channels, in the gradient of a convolution's input",
        23, 1,
        layers(_as_many_channels),
        _through(_channels_exchanged),
        kind="axis",
        shows="at a convolution with as many channels in as out, and more than one",
        hidden="where the weight is symmetric in its channels",
    ),
    Fault(
        "weight_gradient_mirrored",
        "the gradient of a convolution's weight mirrored along the kernel",
        None, 1,
        layers(_several_taps),
        instead_of_p_bar(_weight_mirrored),
        kind="index",
        shows="at a convolution whose kernel has more than one tap",
        hidden="where the weight's gradient is symmetric along the kernel",
        like="a convolution taken for a correlation",
    ),
    Fault(
        "weights_of_another_group",
        "the weights of another group of a convolution in the gradient of its input",
        27, 1,
        layers(_grouped),
        _through(_of_the_group_before),
        kind="index",
        shows="at a convolution with groups",
        hidden="where all groups have the same weights",
    ),
    Fault(
        "weights_of_the_first_group",
        "the weights of a convolution's first group taken for all groups",
        27, 1,
        layers(_grouped),
        _through(_of_the_first_group),
        kind="index",
        shows="at a convolution with groups",
        hidden="where all groups have the same weights",
    ),
    Fault(
        "kernel_not_flipped",
        "the kernel of a convolution not flipped in the gradient of its input",
        None, 1,
        _differs(_mirrored),
        _with_map(_mirrored),
        kind="index",
        shows="at a convolution whose kernel has more than one tap",
        hidden="where the kernel is symmetric",
        like="a correlation taken for a convolution",
    ),
    Fault(
        "bias_averaged_over_places",
        "the gradient of a convolution's bias averaged over the places",
        24, 1,
        layers(_several_places),
        instead_of_p_bar(_bias_averaged),
        kind="factor",
        shows="at a convolution with a bias, of several places",
    ),
)  # fmt: skip
