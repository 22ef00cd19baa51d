"""Convolutions and pooling: signals (N, C, L), images (N, C, H, W), volumes (N, C, D, H, W).

As everywhere in this field, a convolution is a cross-correlation: the kernel is not flipped.
Every tuple has one entry for each spatial axis, in their order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ..checks import PositiveInteger, bounded, check_fields
from .base import Operator, Rule, Rules, Shape, check_exact_rank, check_sizes

Padding = Literal["same", "valid"] | tuple[int, ...]


class _Convolution(Operator, frozen=True):
    channels: PositiveInteger
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: Padding = "valid"
    dilation: tuple[int, ...] = ()
    groups: PositiveInteger = 1
    bias: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        axes = spatial_axes(self)
        check_sizes("kernel", self.kernel, 1, axes)
        for name in ("stride", "dilation"):
            if getattr(self, name) != ():
                check_sizes(name, getattr(self, name), 1, axes)
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"padding must be same, valid or integers, got {self.padding!r}")
        else:
            check_sizes("padding", self.padding, 0, axes)
        if self.channels % self.groups:
            raise ValueError(f"groups {self.groups} do not divide the {self.channels} channels")


class Conv1d(_Convolution, frozen=True, tag="conv1d"):
    """Convolution of signals (N, C, L); see `conv2d`, with one spatial axis."""


class Conv2d(_Convolution, frozen=True, tag="conv2d"):
    """Convolution of images x (N, C, H, W); G = `groups`, s = `stride`, d = `dilation`.

        y[n, o, i, j] = b[o] + sum over c, u, v of
                        W[o, c, u, v] z[n, c + C/G floor(o G / O), s_H i + d_H u, s_W j + d_W v]

    `weight` W has shape (O, C/G, k_H, k_W), with O = `channels` and k = `kernel`; `bias` b
    (O,).  z is x with zeros around it: on each axis `padding` of them on either side; none
    for `valid`; for `same` so many that the output has ceil(size / s) entries, which are
    max((ceil(size / s) - 1) s + d (k - 1) + 1 - size, 0), the smaller half (rounded down)
    of them before.  `stride` and `dilation` are 1 where empty.  G = C is a depthwise
    convolution.  Of m entries of z on an axis, the output has floor((m - d (k - 1) - 1) / s) + 1.
    """


class Conv3d(_Convolution, frozen=True, tag="conv3d"):
    """Convolution of volumes (N, C, D, H, W); see `conv2d`, with three spatial axes."""


class _ConvTranspose(Operator, frozen=True):
    channels: PositiveInteger
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: PositiveInteger = 1
    bias: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        axes = spatial_axes(self)
        check_sizes("kernel", self.kernel, 1, axes)
        for name, least in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1)):
            if getattr(self, name) != ():
                check_sizes(name, getattr(self, name), least, axes)
        for out, s, d in zip(
            self.output_padding, ones(self.stride, axes), ones(self.dilation, axes), strict=False
        ):
            if out >= max(s, d):
                raise ValueError(f"output_padding {out} must be below the stride or the dilation")
        if self.channels % self.groups:
            raise ValueError(f"groups {self.groups} do not divide the {self.channels} channels")


class ConvTranspose1d(_ConvTranspose, frozen=True, tag="conv_transpose1d"):
    """Transposed convolution of signals (N, C, L); see `conv_transpose2d`."""


class ConvTranspose2d(_ConvTranspose, frozen=True, tag="conv_transpose2d"):
    """Transposed convolution of images x (N, C, H, W): each entry of x stamps the kernel.

        y[n, o, a, b] = bias[o] + sum over the c of o's group and all i, j, u, v with
                        a = s_H i + d_H u - p_H and b = s_W j + d_W v - p_W of
                        W[c, o - O/G g, u, v] x[n, c, i, j]

    `weight` W has shape (C, O/G, k_H, k_W), with O = `channels`, G = `groups`; the c of
    group g are C/G g, ..., C/G (g + 1) - 1, its o are O/G g, ..., O/G (g + 1) - 1.  `bias`
    has shape (O,).  An axis of the output has
    (size - 1) s - 2 p + d (k - 1) + 1 + output_padding entries.  `padding` p and
    `output_padding` are 0 where empty, `stride` s and `dilation` d are 1.
    """


class _Pool(Operator, frozen=True):
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_pool(self)


class MaxPool1d(_Pool, frozen=True, tag="max_pool1d"):
    """The greatest entry of each window of signals (N, C, L); see `max_pool2d`."""


class MaxPool2d(_Pool, frozen=True, tag="max_pool2d"):
    """The greatest entry of each window of images (N, C, H, W).

        y[n, c, i, j] = max over u < k_H, v < k_W of z[n, c, s_H i + u, s_W j + v]

    z is x with `padding` entries of minus infinity on either side of each axis (at most
    half the kernel, so that every window holds an entry of x).  `stride` s is the kernel
    where empty, `padding` 0.  Of m entries of z on an
    axis, y has floor((m - k) / s) + 1.
    """


class _AveragePool(Operator, frozen=True):
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        _check_pool(self)


class AveragePool1d(_AveragePool, frozen=True, tag="average_pool1d"):
    """The mean of each window of signals (N, C, L); see `average_pool2d`."""


class AveragePool2d(_AveragePool, frozen=True, tag="average_pool2d"):
    """The mean of each window of images (N, C, H, W), windows as in `max_pool2d`.

    z is x with zeros around it.  The sum over a window is divided by k_H k_W or, without
    `count_include_pad`, by the number of entries of x in it.
    """


class AdaptiveAveragePool1d(Operator, frozen=True, tag="adaptive_average_pool1d"):
    """Signals (N, C, L) averaged down to `size` = (m,); see `adaptive_average_pool2d`."""

    size: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("size", self.size, 1, 1)


class AdaptiveAveragePool2d(Operator, frozen=True, tag="adaptive_average_pool2d"):
    """Images (N, C, H, W) averaged down to `size`.

    On an axis of n entries brought to m, output i is the mean of the entries from
    floor(i n / m) to ceil((i + 1) n / m) - 1.
    """

    size: tuple[int, ...] = (1, 1)

    def __post_init__(self) -> None:
        check_fields(self)
        check_sizes("size", self.size, 1, 2)


class GlobalAveragePool(Operator, frozen=True, tag="global_average_pool"):
    """y (N, C) = the mean of x (N, C, ...) over its spatial axes, `spatial` of them."""

    spatial: Annotated[int, bounded(minimum=1, maximum=3)] = 2


class GlobalMaxPool(Operator, frozen=True, tag="global_max_pool"):
    """y (N, C) = the greatest entry of x (N, C, ...) over its spatial axes, `spatial` of them."""

    spatial: Annotated[int, bounded(minimum=1, maximum=3)] = 2


CONVOLUTIONS: tuple[type[Operator], ...] = (
    Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d,
)  # fmt: skip
POOLING: tuple[type[Operator], ...] = (
    MaxPool1d, MaxPool2d, AveragePool1d, AveragePool2d, AdaptiveAveragePool1d,
    AdaptiveAveragePool2d, GlobalAveragePool, GlobalMaxPool,
)  # fmt: skip

_LETTERS = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


def spatial_axes(op: Operator) -> int:
    """How many spatial axes an operator named `...1d`, `...2d` or `...3d` works on."""
    return int(op.name[-2])


def ones(given: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A stride or dilation, 1 where it is left out."""
    return given or (1,) * axes


def zeros(given: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A padding, 0 where it is left out."""
    return given or (0,) * axes


def around(op: Any, x: Shape) -> tuple[tuple[int, int], ...]:
    """The zeros (before, after) that a convolution puts around x, axis by axis."""
    axes = spatial_axes(op)
    if op.padding == "valid":
        return ((0, 0),) * axes
    if op.padding != "same":
        return tuple((p, p) for p in op.padding)
    found = []
    steps = zip(x[-axes:], op.kernel, ones(op.stride, axes), ones(op.dilation, axes), strict=True)
    for n, k, s, d in steps:
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


def _channels(op: Any, x: Shape) -> None:
    axes = spatial_axes(op)
    check_exact_rank(op, x, axes + 2, _LETTERS[axes])
    groups = getattr(op, "groups", 1)
    if x[1] % groups:
        raise ValueError(f"{op.name}: groups {groups} do not divide the {x[1]} input channels")


def _convolution(op: Any, x: Shape) -> Shape:
    _channels(op, x)
    axes = spatial_axes(op)
    out = []
    steps = zip(
        x[-axes:],
        around(op, x),
        op.kernel,
        ones(op.stride, axes),
        ones(op.dilation, axes),
        strict=True,
    )
    for n, (before, after), k, s, d in steps:
        reach, padded = d * (k - 1) + 1, n + before + after
        if reach > padded:
            raise ValueError(
                f"{op.name}: a kernel that spans {reach} is larger than the padded input, {padded}"
            )
        out.append((padded - reach) // s + 1)
    return (x[0], op.channels, *out)


def _convolution_parameters(op: Any, x: Shape) -> dict[str, Shape]:
    weight: dict[str, Shape] = {"weight": (op.channels, x[1] // op.groups, *op.kernel)}
    return {**weight, "bias": (op.channels,)} if op.bias else weight


def _transposed(op: Any, x: Shape) -> Shape:
    _channels(op, x)
    axes = spatial_axes(op)
    out = []
    steps = zip(
        x[-axes:],
        op.kernel,
        ones(op.stride, axes),
        zeros(op.padding, axes),
        zeros(op.output_padding, axes),
        ones(op.dilation, axes),
        strict=True,
    )
    for n, k, s, p, extra, d in steps:
        out.append((n - 1) * s - 2 * p + d * (k - 1) + 1 + extra)
        if out[-1] < 1:
            raise ValueError(f"{op.name}: a padding of {p} leaves nothing of an axis of {n}")
    return (x[0], op.channels, *out)


def _transposed_parameters(op: Any, x: Shape) -> dict[str, Shape]:
    weight: dict[str, Shape] = {"weight": (x[1], op.channels // op.groups, *op.kernel)}
    return {**weight, "bias": (op.channels,)} if op.bias else weight


def _check_pool(op: Any) -> None:
    check_fields(op)
    axes = spatial_axes(op)
    check_sizes("kernel", op.kernel, 1, axes)
    for name, least in (("stride", 1), ("padding", 0)):
        if getattr(op, name) != ():
            check_sizes(name, getattr(op, name), least, axes)
    for k, p in zip(op.kernel, op.padding, strict=False):
        if 2 * p > k:
            raise ValueError(f"padding {p} is more than half of the kernel, {k}")


def _pool(op: Any, x: Shape) -> Shape:
    _channels(op, x)
    axes = spatial_axes(op)
    out = []
    steps = zip(x[-axes:], op.kernel, op.stride or op.kernel, zeros(op.padding, axes), strict=True)
    for n, k, s, p in steps:
        if k > n + 2 * p:
            raise ValueError(
                f"{op.name}: a kernel of {k} is larger than the padded input, {n + 2 * p}"
            )
        out.append((n + 2 * p - k) // s + 1)
    return (*x[:2], *out)


def _adaptive(op: Any, x: Shape) -> Shape:
    _channels(op, x)
    return (*x[:2], *op.size)


def _global(op: Any, x: Shape) -> Shape:
    check_exact_rank(op, x, op.spatial + 2, f"(N, C, ...) with {op.spatial} spatial axes")
    return x[:2]


RULES: Rules = {
    **dict.fromkeys((Conv1d, Conv2d, Conv3d), Rule(_convolution, _convolution_parameters)),
    **dict.fromkeys((ConvTranspose1d, ConvTranspose2d), Rule(_transposed, _transposed_parameters)),
    **dict.fromkeys((MaxPool1d, MaxPool2d, AveragePool1d, AveragePool2d), Rule(_pool)),
    **dict.fromkeys((AdaptiveAveragePool1d, AdaptiveAveragePool2d), Rule(_adaptive)),
    **dict.fromkeys((GlobalAveragePool, GlobalMaxPool), Rule(_global)),
}
