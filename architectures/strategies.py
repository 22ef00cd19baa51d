"""How each operator of one input is drawn for a tensor of a given shape: one entry an operator.

Each list of options goes from simple to complex.  A strategy returns an operator that fits
the shape, or None where none does.  Sizes stay small: a network is differentiated entry by
entry by several methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import operators as ops
from .drawing import EXACT_SIZES, MOST_ENTRIES, Drawing
from .operators import Shape, size

Strategy = Callable[[Drawing, Shape], ops.Operator | None]

Make = Callable[..., ops.Operator]
"""An operator's class, as what makes one of its attributes."""

ATTRIBUTES: Mapping[type[ops.Operator], Mapping[str, Sequence[Any]]] = {
    **{op: {} for op in ops.ACTIVATIONS},
    ops.LeakyReLU: {"slope": (0.25, 0.01, 0.1, -0.5, 2.0)},
    ops.PReLU: {"shared": (True, False)},
    ops.ELU: {"alpha": (1.0, 0.5, 2.0)},
    ops.CELU: {"alpha": (1.0, 0.5, 2.0)},
    ops.GELU: {"form": ("exact", "tanh")},
    ops.Softplus: {"beta": (1.0, 0.5, 3.0)},
    ops.HardTanh: {"low": (-1.0, -0.5), "high": (1.0, 2.0)},
    ops.SoftShrink: {"threshold": (0.5, 1.0)},
    ops.HardShrink: {"threshold": (0.5, 1.0)},
    ops.Sine: {"frequency": (1.0, 0.5, 3.0)},
    ops.Affine: {"scale": (2.0, 0.5, -0.3), "shift": (0.0, 1.0, -0.7)},
    ops.Softmax: {"axis": (-1, -2)},
    ops.LogSoftmax: {"axis": (-1, -2)},
}
"""The options for the attributes of each activation."""

EXACT_ATTRIBUTES: Mapping[type[ops.Operator], Mapping[str, Sequence[Any]]] = {
    ops.LeakyReLU: {"slope": (0.25, 0.5, -0.5)},
    ops.Affine: {"scale": (2.0, 0.5, -1.0), "shift": (0.0, 1.0, -0.5)},
}
"""Where the exact lane needs others."""


def activation(kind: type[ops.Operator]) -> Strategy:
    """The strategy of an activation: its options alone."""

    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if kind in (ops.GLU, ops.SwiGLU) and x[-1] % 2:
            return None
        options = ATTRIBUTES[kind]
        if d.exact:
            options = EXACT_ATTRIBUTES.get(kind, options)
        if kind in (ops.Softmax, ops.LogSoftmax) and len(x) == 2:
            options = {"axis": (-1, 1, 0, -2)}
        return kind(**{name: d.choose(values) for name, values in options.items()})

    return draw


# --- dense ------------------------------------------------------------------------------


def _dense(kind: Make) -> Strategy:
    return lambda d, x: kind(d.units(), d.choose((True, False)))


# --- shapes -----------------------------------------------------------------------------


def _flatten(d: Drawing, x: Shape) -> ops.Operator | None:
    return ops.Flatten(d.choose(range(len(x) - 1, 1, -1))) if len(x) > 2 else None


def _reshape(d: Drawing, x: Shape) -> ops.Operator | None:
    axes = int(d.choose(range(1, len(x))))
    n = size(x[len(x) - axes :])
    factors = [(k, n // k) for k in range(1, n + 1) if n % k == 0]
    if len(x) - axes > 3:
        return None
    return ops.Reshape(d.choose([(n,), *factors]), axes)


def _transpose(d: Drawing, x: Shape) -> ops.Operator | None:
    if len(x) < 3:
        return None
    orders: list[tuple[int, ...]] = [(-1, -2)]
    if len(x) > 3:
        orders += [(-2, -1, -3), (-1, -3, -2), (-1, -2, -3)]
    return ops.Transpose(d.choose(orders))


def _pad(d: Drawing, x: Shape) -> ops.Operator | None:
    axes = int(d.choose(range(1, len(x))))
    modes = ("constant",) if d.exact else ("constant", "edge", "reflect")
    mode = d.choose(modes)
    pairs = []
    for n in x[len(x) - axes :]:
        most = min(2, n - 1) if mode == "reflect" else 2
        pairs.append((int(d.choose(range(most + 1))), int(d.choose(range(most + 1)))))
    value = 0.0 if d.exact or mode != "constant" else d.choose((0.0, 0.5))
    return ops.Pad(tuple(pairs), mode, value)


def _slice(d: Drawing, x: Shape) -> ops.Operator | None:
    axis = -int(d.choose(range(1, len(x))))
    start = int(d.choose(range(x[axis])))
    stop = int(d.choose(range(x[axis], start, -1)))
    return ops.Slice(start, stop, d.choose((1, 2)), axis)


def _reduction(kind: Make) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        axes = [(-1,), (-2,), (-1, -2)][: len(x) - 1] if len(x) < 4 else [
            (-1, -2), (-1,), (-3,), (-2, -3), (-1, -2, -3),
        ]  # fmt: skip
        axes = [a for a in axes if -min(a) < len(x)]
        if d.exact and kind is ops.Mean:
            axes = [a for a in axes if _product(x, a) in EXACT_SIZES]
        if not axes:
            return None
        chosen = d.choose(axes)
        keep = d.flag() or len(x) - len(chosen) < 2
        return kind(chosen, keep)

    return draw


def _product(x: Shape, axes: tuple[int, ...]) -> int:
    return size(tuple(x[a] for a in axes))


def _upsample(d: Drawing, x: Shape) -> ops.Operator | None:
    if len(x) != 4 or size(x) > MOST_ENTRIES // 4:
        return None
    factor = d.choose(((2, 2), (2, 1), (1, 3)))
    form: Any = "nearest" if d.exact else d.choose(("nearest", "bilinear"))
    return ops.Upsample(factor, form, form == "bilinear" and d.flag())


# --- convolution and pooling ------------------------------------------------------------


def _divisors(n: int, *others: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0 and all(m % k == 0 for m in others)]


def _convolution(kind: Make, axes: int) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if len(x) != axes + 2:
            return None
        groups = int(d.choose(_divisors(x[1])))
        channels = groups * int(d.choose(range(1, max(1, d.width // groups) + 1)))
        kernel, dilation, padding = [], [], []
        pads = d.choose(("numbers", "same", "valid"))
        for n in x[2:]:
            p = int(d.choose((0, 1))) if pads == "numbers" else 0
            room = n if pads == "same" else n + 2 * p
            k = int(d.choose(range(1, min(3, room) + 1)))
            spread = [e for e in (1, 2) if e * (k - 1) + 1 <= room]
            kernel.append(k)
            dilation.append(int(d.choose(spread)))
            padding.append(p)
        stride = tuple(int(d.choose((1, 2))) for _ in range(axes))
        return kind(
            channels, tuple(kernel), stride if max(stride) > 1 else (),
            tuple(padding) if pads == "numbers" else pads,
            tuple(dilation) if max(dilation) > 1 else (), groups, d.choose((True, False)),
        )  # fmt: skip

    return draw


def _transposed(kind: Make, axes: int) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if len(x) != axes + 2 or size(x) > MOST_ENTRIES // 4:
            return None
        groups = int(d.choose(_divisors(x[1])))
        channels = groups * int(d.choose(range(1, max(1, d.width // groups) + 1)))
        kernel, stride, padding, extra = [], [], [], []
        for n in x[2:]:
            k, s = int(d.choose((1, 2, 3))), int(d.choose((1, 2)))
            whole = (n - 1) * s + k
            kernel.append(k)
            stride.append(s)
            padding.append(int(d.choose([p for p in (0, 1) if whole - 2 * p >= 1])))
            extra.append(int(d.choose((0, 1))) if s > 1 else 0)
        return kind(
            channels, tuple(kernel), tuple(stride), tuple(padding), tuple(extra), (), groups,
            d.choose((True, False)),
        )  # fmt: skip

    return draw


def _pool(kind: Make, axes: int, *, averages: bool) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if len(x) != axes + 2:
            return None
        kernel, padding = [], []
        for n in x[2:]:
            options = [k for k in (2, 1, 3) if k <= n and not (d.exact and k == 3)]
            kernel.append(int(d.choose(options)))
            padding.append(int(d.choose(range(kernel[-1] // 2 + 1))))
        stride = tuple(int(d.choose((1, 2))) for _ in range(axes))
        arguments = (tuple(kernel), d.choose(((), stride)), tuple(padding))
        if averages:
            return kind(*arguments, d.exact or d.choose((True, False)))
        return kind(*arguments)

    return draw


def _adaptive(kind: Make, axes: int) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if len(x) != axes + 2:
            return None
        return kind(tuple(int(d.choose(range(1, n + 2))) for n in x[2:]))

    return draw


def _global(kind: Make) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if not 3 <= len(x) <= 5 or (d.exact and size(x[2:]) not in EXACT_SIZES):
            return None
        return kind(len(x) - 2)

    return draw


# --- normalisation, regularisation ------------------------------------------------------

EPSILONS = (1e-5, 1e-2)


def _batch_norm(d: Drawing, x: Shape) -> ops.Operator | None:
    if not 2 <= len(x) <= 5 or size(x) == x[1]:
        return None
    statistics = d.choose(("batch", "given"))
    return ops.BatchNorm(len(x) - 2, d.choose(EPSILONS), statistics, d.choose((True, False)))


def _layer_norm(d: Drawing, x: Shape) -> ops.Operator | None:
    axes = [k for k in range(1, len(x)) if size(x[len(x) - k :]) > 1]
    if not axes:
        return None
    return ops.LayerNorm(d.choose(axes), d.choose(EPSILONS), d.choose((True, False)))


def _group_norm(d: Drawing, x: Shape) -> ops.Operator | None:
    if not 2 <= len(x) <= 5:
        return None
    groups = [g for g in _divisors(x[1]) if size(x[1:]) // g > 1]
    if not groups:
        return None
    return ops.GroupNorm(d.choose(groups), len(x) - 2, d.choose(EPSILONS), d.choose((True, False)))


def _instance_norm(d: Drawing, x: Shape) -> ops.Operator | None:
    if not 3 <= len(x) <= 5 or size(x[2:]) < 2:
        return None
    return ops.InstanceNorm(len(x) - 2, d.choose(EPSILONS), d.choose((True, False)))


def _rates(d: Drawing) -> float:
    return float(d.choose((0.5, 0.0)) if d.exact else d.choose((0.5, 0.2)))


# --- sequences --------------------------------------------------------------------------


def multi_head(d: Drawing, x: Shape) -> ops.Operator | None:
    """Self attention; cross attention is drawn where two inputs meet."""
    if len(x) != 3:
        return None
    heads = int(d.choose(_divisors(x[-1])))
    rotary = x[-1] // heads % 2 == 0 and d.flag()
    return ops.MultiHeadAttention(
        heads, d.choose((None, *_divisors(heads))), d.flag(), d.lengths(x[0], x[1]), rotary,
        d.choose((True, False)),
    )  # fmt: skip


def _rotary(d: Drawing, x: Shape) -> ops.Operator | None:
    return ops.Rotary(d.choose((10000.0, 100.0))) if len(x) >= 3 and x[-1] % 2 == 0 else None


def recurrence(kind: Make) -> Strategy:
    def draw(d: Drawing, x: Shape) -> ops.Operator | None:
        if len(x) != 3 or x[1] > 8:
            return None
        returns = ["sequence", "hidden"] + (["cell"] if kind is ops.LSTM else [])
        more = {"activation": d.choose(("tanh", "relu"))} if kind is ops.RNN else {}
        return kind(
            min(d.units(), 4), d.choose((1, 2)), d.flag(), d.lengths(x[0], x[1]),
            d.choose((True, False)), returns=d.choose(returns), **more,
        )  # fmt: skip

    return draw


STRATEGIES: Mapping[type[ops.Operator], Strategy] = {
    ops.Dense: _dense(ops.Dense),
    ops.WeightNormDense: _dense(ops.WeightNormDense),
    **{kind: activation(kind) for kind in ops.ACTIVATIONS},
    ops.Flatten: _flatten,
    ops.Reshape: _reshape,
    ops.Transpose: _transpose,
    ops.Pad: _pad,
    ops.Slice: _slice,
    ops.Sum: _reduction(ops.Sum),
    ops.Mean: _reduction(ops.Mean),
    ops.Max: _reduction(ops.Max),
    ops.Upsample: _upsample,
    ops.Conv1d: _convolution(ops.Conv1d, 1),
    ops.Conv2d: _convolution(ops.Conv2d, 2),
    ops.Conv3d: _convolution(ops.Conv3d, 3),
    ops.ConvTranspose1d: _transposed(ops.ConvTranspose1d, 1),
    ops.ConvTranspose2d: _transposed(ops.ConvTranspose2d, 2),
    ops.MaxPool1d: _pool(ops.MaxPool1d, 1, averages=False),
    ops.MaxPool2d: _pool(ops.MaxPool2d, 2, averages=False),
    ops.AveragePool1d: _pool(ops.AveragePool1d, 1, averages=True),
    ops.AveragePool2d: _pool(ops.AveragePool2d, 2, averages=True),
    ops.AdaptiveAveragePool1d: _adaptive(ops.AdaptiveAveragePool1d, 1),
    ops.AdaptiveAveragePool2d: _adaptive(ops.AdaptiveAveragePool2d, 2),
    ops.GlobalAveragePool: _global(ops.GlobalAveragePool),
    ops.GlobalMaxPool: _global(ops.GlobalMaxPool),
    ops.BatchNorm: _batch_norm,
    ops.LayerNorm: _layer_norm,
    ops.GroupNorm: _group_norm,
    ops.InstanceNorm: _instance_norm,
    ops.RMSNorm: lambda d, x: ops.RMSNorm(d.choose(EPSILONS), d.choose((True, False))),
    ops.Dropout: lambda d, x: ops.Dropout(_rates(d)),
    ops.StochasticDepth: lambda d, x: ops.StochasticDepth(_rates(d)),
    ops.MultiHeadAttention: multi_head,
    ops.Rotary: _rotary,
    ops.RNN: recurrence(ops.RNN),
    ops.LSTM: recurrence(ops.LSTM),
    ops.GRU: recurrence(ops.GRU),
}
"""The operators of one input."""
