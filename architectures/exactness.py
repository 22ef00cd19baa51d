"""Which networks are exact in binary on the `exact` lane.

There every weight, input and target is one of -2, -1, 1, 2; every bias an integer plus a
power of two; every operator multiplies, adds and selects.  Then each intermediate is a
dyadic number m * 2^-q, and no operation rounds if every m fits the significand.  The
magnitude and the spacing 2^-q are followed edge by edge, forward and backward, in the
worst case over all values, including a finite-difference step of 1 in any one entry.
"""

from __future__ import annotations

import functools
import math

from . import losses as loss
from . import operators as ops
from .architecture import Architecture

SIGNIFICAND = {"float64": 53, "float32": 24}
"""Bits of the significand."""

EXACT_OPERATORS: tuple[type[ops.Operator], ...] = (
    ops.Dense, ops.Identity, ops.ReLU, ops.LeakyReLU, ops.PReLU, ops.HardTanh, ops.ReLU6,
    ops.SoftShrink, ops.HardShrink,
)  # fmt: skip
"""Operators that round nothing where their attributes are dyadic."""


def is_dyadic(x: float, bits: int = 4) -> bool:
    """Whether x is a multiple of 2^-bits of at most 8."""
    return abs(x) <= 8 and (x * 2.0**bits).is_integer()


@functools.lru_cache(maxsize=4096)
def is_exact(architecture: Architecture, dtype: str) -> bool:
    """Whether the exact lane of this architecture rounds nothing in `dtype`."""
    bits = significant_bits(architecture)
    return bits is not None and bits <= SIGNIFICAND[dtype]


def significant_bits(architecture: Architecture) -> int | None:
    """The bits that the widest intermediate may need; None where some operator rounds."""
    magnitude, spacing = 3.0, 1.0  # of inputs: 2, and a step of 1
    values = [(magnitude, spacing)]
    for i, layer in enumerate(architecture.layers):
        step = _forward(layer, architecture.edges[i][-1], i, *values[-1])
        if step is None:
            return None
        values.append(step)
    start = _loss(architecture, *values[-1])
    if start is None:
        return None
    value_bits, (bar, bar_spacing) = start
    widest = value_bits
    for i in reversed(range(len(architecture.layers))):
        x, x_spacing = values[i]
        product = architecture.batch * bar * x / (bar_spacing * x_spacing)
        widest = max(widest, math.log2(product))
        layer = architecture.layers[i]
        if isinstance(layer, ops.Dense):
            bar = 3.0 * layer.units * bar
        elif isinstance(layer, ops.LeakyReLU | ops.PReLU):
            bar, bar_spacing = bar * max(1.0, _slope(layer)), bar_spacing / 16
        widest = max(widest, math.log2(bar / bar_spacing))
    for penalty in architecture.penalties:
        if not is_dyadic(penalty.strength):
            return None
        widest = max(widest, math.log2(bar * architecture.batch * 64 / bar_spacing))
    return math.ceil(widest) + 1


def _slope(layer: ops.Operator) -> float:
    return abs(layer.slope) if isinstance(layer, ops.LeakyReLU) else 2.0


def _forward(
    layer: ops.Operator, features: int, i: int, magnitude: float, spacing: float
) -> tuple[float, float] | None:
    """(magnitude, spacing) of the output, or None where the layer rounds."""
    match layer:
        case ops.Dense(_, bias):
            magnitude = 3.0 * features * magnitude + (3.0 if bias else 0.0)
            return magnitude, min(spacing, bias_offset(i)) if bias else spacing
        case ops.LeakyReLU(slope) if is_dyadic(slope):
            return magnitude * max(1.0, abs(slope)), spacing / 16
        case ops.PReLU():
            return 2 * magnitude, spacing / 16
        case ops.HardTanh(low, high) if is_dyadic(low) and is_dyadic(high):
            return max(magnitude, 8.0), min(spacing, 1 / 16)
        case ops.SoftShrink(threshold) | ops.HardShrink(threshold) if is_dyadic(threshold):
            return magnitude + threshold, min(spacing, 1 / 16)
        case ops.Identity() | ops.ReLU():
            return magnitude, spacing
        case ops.ReLU6():
            return max(magnitude, 6.0), spacing
        case _:
            return None


def _loss(
    architecture: Architecture, y: float, spacing: float
) -> tuple[float, tuple[float, float]] | None:
    """(bits of the loss, (magnitude, spacing) of its cotangent), or None where it rounds."""
    entries = architecture.edges[-1][0] * architecture.edges[-1][1]
    match architecture.loss:
        case loss.WeightedSum():
            return math.log2(2 * entries * y / spacing), (2.0, 1.0)
        case loss.SquaredError("half_sum" | "sum"):
            r = y + 2
            return math.log2(2 * entries * (r / spacing) ** 2), (2 * r, spacing)
        case loss.AbsoluteError("sum"):
            return math.log2(entries * (y + 2) / spacing), (1.0, 1.0)
        case _:
            return None


def bias_offset(i: int) -> float:
    """What lifts the biases of layer i off the integers, so that no pre-activation ties."""
    return 0.5 ** (i // 2 + 2)
