"""What PyTorch, JAX and the reference return where an operator is not differentiable.

Each row is one point: an operator, the tied entries of its inputs, and the derivative of the
sum of its output with respect to each of them.  The figures are measured, and a test
measures them again with the installed versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..architectures import operators as ops
from ..architectures.operators import Operator

Slopes = tuple[float, ...]


class Convention(NamedTuple):
    """At `at`, with the inputs `values`, each one row, the slope with respect to every entry."""

    operator: Operator
    at: str
    values: tuple[tuple[float, ...], ...]
    ours: Slopes
    torch: Slopes
    jax: Slopes


def _at(op: Operator, x: float, ours: float, torch: float, jax: float) -> Convention:
    return Convention(op, f"x = {x:g}", ((x,),), (ours,), (torch,), (jax,))


def _equal(
    op: Operator, count: int, at: str, ours: Slopes, torch: Slopes, jax: Slopes
) -> Convention:
    return Convention(op, at, ((1.0,) * count,), ours, torch, jax)


HALVES, THIRDS = (0.5, 0.5), (1 / 3, 1 / 3, 1 / 3)
FIRST = (1.0, 0.0, 0.0)
SELU_SLOPE = 1.7580993408473766

CONVENTIONS: Mapping[type[Operator], tuple[Convention, ...]] = {
    ops.ReLU: (_at(ops.ReLU(), 0.0, 0.0, 0.0, 0.0),),
    ops.LeakyReLU: (_at(ops.LeakyReLU(0.1), 0.0, 0.1, 0.1, 1.0),),
    ops.PReLU: (_at(ops.PReLU(), 0.0, 0.25, 0.25, 1.0),),
    ops.ELU: (_at(ops.ELU(0.5), 0.0, 0.5, 0.5, 0.5),),
    ops.SELU: (_at(ops.SELU(), 0.0, SELU_SLOPE, SELU_SLOPE, SELU_SLOPE),),
    ops.HardTanh: (
        _at(ops.HardTanh(), -1.0, 0.0, 0.0, 1.0),
        _at(ops.HardTanh(), 1.0, 1.0, 0.0, 1.0),
    ),
    ops.ReLU6: (_at(ops.ReLU6(), 0.0, 0.0, 0.0, 0.0), _at(ops.ReLU6(), 6.0, 1.0, 0.0, 0.0)),
    ops.HardSigmoid: (
        _at(ops.HardSigmoid(), -3.0, 0.0, 0.0, 0.0),
        _at(ops.HardSigmoid(), 3.0, 1 / 6, 0.0, 0.0),
    ),
    ops.HardSwish: (
        _at(ops.HardSwish(), -3.0, 0.0, 0.0, 0.0),
        _at(ops.HardSwish(), 3.0, 1.5, 1.0, 1.0),
    ),
    ops.SoftShrink: (
        _at(ops.SoftShrink(), -0.5, 1.0, 0.0, 0.0),
        _at(ops.SoftShrink(), 0.5, 0.0, 0.0, 0.0),
    ),
    ops.HardShrink: (
        _at(ops.HardShrink(), -0.5, 0.0, 0.0, 0.0),
        _at(ops.HardShrink(), 0.5, 0.0, 0.0, 0.0),
    ),
    ops.Maximum: (
        Convention(ops.Maximum(), "a = b", ((1.0,), (1.0,)), (1.0, 0.0), HALVES, HALVES),
    ),
    ops.Minimum: (
        Convention(ops.Minimum(), "a = b", ((1.0,), (1.0,)), (1.0, 0.0), HALVES, HALVES),
    ),
    ops.Max: (_equal(ops.Max(keep=True), 3, "three equal", FIRST, THIRDS, THIRDS),),
    ops.MaxPool1d: (_equal(ops.MaxPool1d((3,)), 3, "three equal", FIRST, FIRST, FIRST),),
    ops.MaxPool2d: (_equal(ops.MaxPool2d((1, 3)), 3, "three equal", FIRST, FIRST, FIRST),),
    ops.GlobalMaxPool: (_equal(ops.GlobalMaxPool(1), 3, "three equal", FIRST, FIRST, THIRDS),),
    ops.RNN: (
        Convention(ops.RNN(1, activation="relu"), "pre-activation = 0", ((0.0,),),
                   (0.0,), (0.0,), (0.0,)),
    ),
}  # fmt: skip
"""By operator; those that are differentiable everywhere are absent.

PReLU has the slope 0.25, RNN its weights 1 and its biases 0.
"""
