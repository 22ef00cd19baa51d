"""Which networks are exact in binary on the `exact` lane.

There every weight, input and target is one of -2, -1, 1, 2; every bias an integer plus a
power of two; every operator multiplies, adds and selects.  Then each intermediate is a
dyadic number m * 2^-q, and no operation rounds if every m fits the significand.  The
magnitude and the spacing 2^-q are followed edge by edge, forward and backward, in the
worst case over all values, including a finite-difference step of 1 in any one entry.

The step is exact only where the loss has degree 2 at most in any one entry, so degrees are
followed too: a product of two tensors that depend on a common third adds theirs up.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import losses as loss
from . import operators as ops
from .architecture import Architecture, edge_name, is_weight
from .operators import Shape, size

SIGNIFICAND = {"float64": 53, "float32": 24}
"""Bits of the significand."""

LEAF = 3.0
"""The magnitude of a weight, an input or a bias: 2, and a step of 1."""


@dataclass(frozen=True)
class Span:
    """The worst case at one edge: every value is at most `magnitude`, a multiple of `spacing`.

    `degree` in any one entry of a tensor, of the tensors in `depends`.
    """

    magnitude: float
    spacing: float
    degree: int = 1
    depends: frozenset[str] = frozenset()


Bar = tuple[float, float]
"""(magnitude, spacing) of a cotangent, or of a loss."""


@dataclass(frozen=True)
class Linear:
    """What a layer does to spans: y = `gain` times each input, `spacing` finer; x_bar alike."""

    gain: float = 1.0
    back: float = 1.0
    finer: float = 1.0


def is_dyadic(x: float, bits: int = 4) -> bool:
    """Whether x is a multiple of 2^-bits of at most 8."""
    return abs(x) <= 8 and (x * 2.0**bits).is_integer()


def _power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


# --- layers that scale, select, move or add entries of one tensor ------------------------


def _averaged(n: int, overlap: int = 1) -> Linear | None:
    return Linear(1.0, overlap, float(n)) if _power_of_two(n) else None


def _mean(op: ops.Mean, x: Shape) -> Linear | None:
    return _averaged(math.prod(x[axis] for axis in op.axes))


def _sum(op: ops.Sum, x: Shape) -> Linear:
    return Linear(math.prod(x[axis] for axis in op.axes))


def _pooled(op: Any, x: Shape) -> Linear | None:
    if not op.count_include_pad and any(op.padding):
        return None
    return _averaged(math.prod(op.kernel), math.prod(op.kernel))


def _upsampled(op: ops.Upsample, x: Shape) -> Linear | None:
    return Linear(1.0, math.prod(op.factor)) if op.form == "nearest" else None


def _padded(op: ops.Pad, x: Shape) -> Linear | None:
    return Linear(1.0, float(2 ** len(op.padding) * max(x))) if op.value == 0 else None


def _dropped(op: ops.Dropout | ops.StochasticDepth, x: Shape) -> Linear | None:
    scale = 1 / (1 - op.rate)
    return Linear(scale, scale) if scale in (1.0, 2.0, 4.0) else None


def _unchanged(op: Any, x: Shape) -> Linear:
    return Linear()


def _leaky(op: ops.LeakyReLU, x: Shape) -> Linear | None:
    steepest = max(1.0, abs(op.slope))
    return Linear(steepest, steepest, 16.0) if is_dyadic(op.slope) else None


ONE_TENSOR: Mapping[type[ops.Operator], Callable[[Any, Shape], Linear | None]] = {
    ops.Identity: _unchanged, ops.ReLU: _unchanged, ops.LeakyReLU: _leaky,
    ops.PReLU: lambda op, x: Linear(2.0, 2.0, 16.0),
    ops.Flatten: _unchanged, ops.Reshape: _unchanged, ops.Transpose: _unchanged,
    ops.Slice: _unchanged, ops.Pad: _padded, ops.Sum: _sum, ops.Mean: _mean,
    ops.Upsample: _upsampled, ops.AveragePool1d: _pooled, ops.AveragePool2d: _pooled,
    ops.GlobalAveragePool: lambda op, x: _averaged(size(x[2:])),
    ops.Dropout: _dropped, ops.StochasticDepth: _dropped,
}  # fmt: skip

CLIPPED: Mapping[type[ops.Operator], Callable[[Any], Sequence[float]]] = {
    ops.HardTanh: lambda op: (op.low, op.high),
    ops.ReLU6: lambda op: (6.0,),
    ops.SoftShrink: lambda op: (op.threshold,),
    ops.HardShrink: lambda op: (op.threshold,),
    ops.Affine: lambda op: (op.shift, op.scale),
}
"""Layers whose output may also be, or contain, these constants."""

WEIGHTED: tuple[type[ops.Operator], ...] = (
    ops.Dense, ops.Conv1d, ops.Conv2d, ops.Conv3d, ops.ConvTranspose1d, ops.ConvTranspose2d,
)  # fmt: skip
"""Layers that are linear in their input, with one weight and perhaps a bias."""

PRODUCTS: tuple[type[ops.Operator], ...] = (ops.Multiply, ops.MatMul)
SUMS: tuple[type[ops.Operator], ...] = (ops.Add, ops.Subtract)
LEAVES: tuple[type[ops.Operator], ...] = (ops.Variable, ops.Embedding)

EXACT_OPERATORS: tuple[type[ops.Operator], ...] = tuple(
    op
    for op in ops.OPERATORS
    if op in {*ONE_TENSOR, *CLIPPED, *WEIGHTED, *PRODUCTS, *SUMS, *LEAVES, ops.Concat}
)
"""Operators that round nothing where their attributes are dyadic."""


@functools.lru_cache(maxsize=4096)
def is_exact(architecture: Architecture, dtype: str) -> bool:
    """Whether the exact lane of this architecture rounds nothing in `dtype`."""
    bits = significant_bits(architecture)
    return bits is not None and bits <= SIGNIFICAND[dtype]


def significant_bits(architecture: Architecture) -> int | None:
    """The bits that the widest intermediate may need; None where some operator rounds."""
    a = architecture
    spans: dict[str, Span] = {}
    if a.input is not None:
        spans["input"] = Span(LEAF, 1.0, 1, frozenset({"input"}))
    for i in range(len(a.layers)):
        span = _forward(a, i, [spans[name] for name in a.sources[i]])
        if span is None:
            return None
        name = edge_name(i + 1)
        spans[name] = replace(span, depends=span.depends | {name})
    values: list[Bar] = []
    bars: dict[str, list[Bar]] = {}
    for site in a.losses:
        names = a.loss_sources[site]
        found = _loss(a.losses[site], a.edges[names[0]], spans[names[0]])
        if found is None:
            return None
        values.append(found[0])
        bars.setdefault(names[0], []).append(found[1])
    for i in reversed(range(len(a.layers))):
        y_bar = _total(bars[edge_name(i + 1)])
        own, x_bars = _backward(a, i, [spans[name] for name in a.sources[i]], y_bar)
        for name in a.own[i].values():
            bars.setdefault(name, []).append(own)
        for name, bar in zip(a.sources[i], x_bars, strict=True):
            bars.setdefault(name, []).append(bar)
    if any(not is_dyadic(penalty.strength) for penalty in a.penalties):
        return None
    for penalty, name in itertools.product(a.penalties, filter(is_weight, a.parameters)):
        value, bar = _penalty(penalty, size(a.parameters[name]))
        values.append(value)
        bars[name].append(bar)
    widest = max(_bits(_total(found)) for found in (values, *bars.values()))
    return math.ceil(widest + 1)  # the difference of two losses


def _bits(bar: Bar) -> float:
    return math.log2(max(bar[0] / bar[1], 1.0))


def _total(bars: Sequence[Bar]) -> Bar:
    return sum(magnitude for magnitude, _ in bars), min(spacing for _, spacing in bars)


def _fans(a: Architecture, i: int) -> tuple[float, float, float]:
    """Of a weighted layer: the terms of an output, of an x_bar, and of an entry of W_bar."""
    layer, x, y = a.layers[i], a.inputs_of(i)[0], a.edges[edge_name(i + 1)]
    weight = a.parameters[a.own[i]["weight"]]
    if isinstance(layer, ops.Dense):
        return weight[1], weight[0], size(x[:-1])
    taps = size(weight[2:])
    groups = getattr(layer, "groups", 1)
    inwards, outwards = x[1] // groups * taps, y[1] // groups * taps
    return inwards, outwards, x[0] * max(size(x[2:]), size(y[2:]))


def _forward(a: Architecture, i: int, xs: list[Span]) -> Span | None:
    """The span of a layer's output, or None where it rounds."""
    layer = a.layers[i]
    names = frozenset(a.own[i].values())
    depends = frozenset(names.union(*(x.depends for x in xs)))
    degree = max((x.degree for x in xs), default=1)
    if type(layer) in LEAVES:
        return Span(LEAF, 1.0, 1, depends)
    x = xs[0]
    finest = min(s.spacing for s in xs)
    if type(layer) in WEIGHTED:
        shared = any(names & s.depends for s in xs)
        magnitude = LEAF * _fans(a, i)[0] * x.magnitude + LEAF
        spacing = min(x.spacing, bias_offset(i))
        return Span(magnitude, spacing, degree + 1 if shared else degree, depends)
    if type(layer) in PRODUCTS:
        terms = a.inputs_of(i)[0][-2 if getattr(layer, "transpose_a", False) else -1]
        terms = terms if isinstance(layer, ops.MatMul) else 1
        common = xs[0].depends & xs[1].depends
        degree = xs[0].degree + xs[1].degree if common else degree
        magnitude = terms * xs[0].magnitude * xs[1].magnitude
        return Span(magnitude, xs[0].spacing * xs[1].spacing, degree, depends)
    if type(layer) in SUMS:
        return Span(sum(s.magnitude for s in xs), finest, degree, depends)
    if isinstance(layer, ops.Concat):
        return Span(max(s.magnitude for s in xs), finest, degree, depends)
    if type(layer) in CLIPPED:
        constants = CLIPPED[type(layer)](layer)
        if not all(is_dyadic(c) for c in constants):
            return None
        if isinstance(layer, ops.Affine):
            return Span(8 * x.magnitude + 8, x.spacing / 16, degree, depends)
        magnitude = x.magnitude + max(abs(c) for c in constants)
        return Span(magnitude, min(x.spacing, 1 / 16), degree, depends)
    find = ONE_TENSOR.get(type(layer))
    scale = None if find is None else find(layer, a.inputs_of(i)[0])
    if scale is None:
        return None
    if isinstance(layer, ops.PReLU) and names & x.depends:
        degree += 1
    return Span(scale.gain * x.magnitude, x.spacing / scale.finer, degree, depends)


def _backward(a: Architecture, i: int, xs: list[Span], y_bar: Bar) -> tuple[Bar, list[Bar]]:
    """(the cotangents of the layer's parameters, those of its inputs)."""
    layer = a.layers[i]
    bar, spacing = y_bar
    count = size(a.edges[edge_name(i + 1)])
    if type(layer) in LEAVES:
        return (count * bar, spacing), []
    x = xs[0]
    if type(layer) in WEIGHTED:
        _, outwards, rows = _fans(a, i)
        weight = (rows * bar * max(x.magnitude, 1.0), spacing * min(x.spacing, 1.0))
        return weight, [(LEAF * outwards * bar, spacing)]
    if type(layer) in PRODUCTS:
        return y_bar, [(count * bar * o.magnitude, spacing * o.spacing) for o in reversed(xs)]
    if type(layer) in SUMS:
        return y_bar, [(count * bar, spacing)] * len(xs)
    if isinstance(layer, ops.Concat):
        return y_bar, [y_bar] * len(xs)
    if type(layer) in CLIPPED:
        return y_bar, [(8 * bar, spacing / 16) if isinstance(layer, ops.Affine) else y_bar]
    scale = ONE_TENSOR[type(layer)](layer, a.inputs_of(i)[0]) or Linear()
    back = [(scale.back * bar, spacing / scale.finer)]
    if isinstance(layer, ops.PReLU):
        return (count * bar * x.magnitude, spacing * x.spacing), back
    return y_bar, back


def _loss(what: loss.Loss, shape: Shape, y: Span) -> tuple[Bar, Bar] | None:
    """(the loss, its cotangent), or None where it rounds or its degree is too high."""
    entries = size(shape)
    match what:
        case loss.WeightedSum() if y.degree <= 2:
            return (2 * entries * y.magnitude, y.spacing), (2.0, 1.0)
        case loss.SquaredError("half_sum" | "sum") if y.degree <= 1:
            r = y.magnitude + 2
            return (entries * r**2, y.spacing**2 / 2), (2 * r, y.spacing)
        case loss.AbsoluteError("sum") if y.degree <= 2:
            return (entries * (y.magnitude + 2), y.spacing), (1.0, 1.0)
        case _:
            return None


def _penalty(what: loss.Penalty, entries: int) -> tuple[Bar, Bar]:
    """(the penalty of a weight of so many entries, its gradient), for a dyadic strength."""
    spacing = 1.0 / 16  # that of `is_dyadic`
    if isinstance(what, loss.L1):
        return (what.strength * LEAF * entries, spacing), (what.strength, spacing)
    value = what.strength * LEAF**2 / 2 * entries
    return (value, spacing / 2), (what.strength * LEAF, spacing)


def bias_offset(i: int) -> float:
    """What lifts the biases of layer i off the integers, so that no pre-activation ties."""
    return 0.5 ** (i + 2)
