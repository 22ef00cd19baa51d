"""Faults of units of two pieces, of softmax, and of units of two halves.

With c and a the constants of an exponential unit, y its value, p the probabilities, right is

    ELU, left of 0      y + a                         softmax        y (y_bar - <y, y_bar>)
    SELU, left of 0     y + c a, and c on the right   log-softmax    y_bar - p sum(y_bar)

and each fault below states what it takes instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved
from ..layers.selu import ALPHA, SCALE
from ..layers.softmax import from_the_end
from ..stable import sigmoid
from .fault import Backward, Fault, Plant, instead_of_x_bar, layers, layers_of

EXPONENTIAL = (ops.ELU, ops.CELU, ops.SELU)
"""The activations whose page keeps (the exponent left of 0, branch)."""

# --- where ------------------------------------------------------------------------------


def _constant(layer: Any) -> float:
    """The constant by which an activation's argument is multiplied or divided; else 1."""
    match layer:
        case ops.Softplus():
            return layer.beta
        case ops.CELU():
            return layer.alpha
        case ops.Sine():
            return layer.frequency
        case _:
            return 1.0


def _cancels(a: Architecture, i: int, layer: Any) -> bool:
    """Whether the chain rule brings a constant out that another cancels."""
    return isinstance(layer, ops.Softplus | ops.CELU) and _constant(layer) != 1


def _rectifies(a: Architecture, i: int, layer: Any) -> bool:
    """Two straight sides of different slopes."""
    kinds = (ops.ReLU, ops.PReLU)
    return isinstance(layer, kinds) or (isinstance(layer, ops.LeakyReLU) and layer.slope != 1)


def _chooses(a: Architecture, i: int, layer: Any) -> bool:
    return isinstance(layer, ops.Softmax) and a.inputs_of(i)[0][layer.axis] > 1


# --- how --------------------------------------------------------------------------------


def _left(change: Callable[[Any, Array, Array], Array]) -> Plant:
    """x_bar left of 0 becomes change(layer, the exponent, x_bar there) of an exponential unit."""

    def planted(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        left, branch = saved
        x_bar = right(layer, p, saved, y_bar)[0]
        return np.where(branch == 1, x_bar, change(layer, left, x_bar))

    return instead_of_x_bar(planted)


def _not_cancelled(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """b s(b x) for s(b x), and e^(x/a) / a for e^(x/a)."""
    x_bar = right(layer, p, saved, y_bar)[0]
    if isinstance(layer, ops.Softplus):
        return layer.beta * x_bar
    return np.where(saved[1] == 1, x_bar, x_bar / layer.alpha)


def _constant_forgotten(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    match layer:
        case ops.Softplus():
            return sigmoid(saved) * y_bar
        case ops.Sine():
            return np.cos(saved) * y_bar
        case _:
            left, branch = saved
            return np.where(branch == 1, y_bar, np.exp(left * layer.alpha) * y_bar)


def _value(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """y for y + a, left of 0; of CELU, whose slope is y / a + 1, y / a."""
    left, branch = saved
    match layer:
        case ops.SELU():
            factor = SCALE * ALPHA
        case ops.CELU():
            factor = 1.0
        case _:
            factor = layer.alpha
    x_bar = right(layer, p, saved, y_bar)[0]
    return np.where(branch == 1, x_bar, factor * np.expm1(left) * y_bar)


def _unscaled_right(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return np.where(saved[1] == 1, y_bar, right(layer, p, saved, y_bar)[0])


def _other_side(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    if isinstance(layer, ops.PReLU):
        return right(layer, p, (saved[0], 1 - saved[1]), y_bar)[0]
    return right(layer, p, 1 - saved, y_bar)[0]


def _taken_for_one(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """y_bar - p for y_bar - p sum(y_bar)."""
    return y_bar - saved


def _logarithm(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """y_bar - y sum(y_bar), with y = log(p), for y_bar - p sum(y_bar)."""
    y = np.log(np.maximum(saved, np.finfo(saved.dtype).tiny))
    return y_bar - y * y_bar.sum(axis=from_the_end(layer.axis), keepdims=True)


def _halves_exchanged(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    a_bar, b_bar = np.split(right(layer, p, saved, y_bar)[0], 2, axis=-1)
    return np.concatenate([b_bar, a_bar], axis=-1)


def _second_half_zero(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    a_bar, b_bar = np.split(right(layer, p, saved, y_bar)[0], 2, axis=-1)
    return np.concatenate([a_bar, np.zeros_like(b_bar)], axis=-1)


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "inner_factor_not_cancelled",
        "one of two constants that cancel left in an activation's slope",
        None, 1,
        layers(_cancels),
        instead_of_x_bar(_not_cancelled),
        kind="factor",
        shows="at a softplus of another beta than 1, or a CELU of another alpha",
        hidden="where every entry of a CELU is positive",
        like="the outer constant of a chain of three left out",
    ),
    Fault(
        "constant_forgotten",
        "an activation differentiated as if its constant were 1",
        None, 1,
        layers(lambda a, i, layer: _constant(layer) != 1),
        instead_of_x_bar(_constant_forgotten),
        kind="argument",
        shows="at a softplus, CELU or sine whose constant is not 1",
        hidden="where every entry of a CELU is positive, or of a softplus 0",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "value_for_the_slope",
        "an exponential unit's value taken for its slope (y for y + alpha)",
        None, 2,
        layers_of(*EXPONENTIAL),
        instead_of_x_bar(_value),
        kind="missing",
        shows="at an ELU, CELU or SELU",
        hidden="where every entry is positive",
        like="a formula remembered without its constant term",
    ),
    Fault(
        "selu_s_alpha_left_out",
        "SELU's alpha left out of its slope",
        None, 1,
        layers_of(ops.SELU),
        _left(lambda layer, left, x_bar: x_bar / ALPHA),
        kind="factor",
        shows="at a SELU",
        hidden="where every entry is positive",
        like="one of two constants left out",
    ),
    Fault(
        "scale_on_one_side",
        "SELU's scale left out of its slope on the right of 0",
        None, 1,
        layers_of(ops.SELU),
        instead_of_x_bar(_unscaled_right),
        kind="factor",
        shows="at a SELU",
        hidden="where every entry is negative",
        like="a scaled unit differentiated as an ELU on one side",
    ),
    Fault(
        "sides_exchanged",
        "the slopes on both sides of a rectifier exchanged",
        None, 2,
        layers(_rectifies),
        instead_of_x_bar(_other_side),
        kind="argument",
        shows="at a ReLU, leaky ReLU or PReLU",
        hidden="where a learned slope is 1: both sides are alike",
        like="a mask that is the negative of the right one",
    ),
    Fault(
        "softmax_sum_dropped",
        "the sum in the softmax's gradient left out (y y_bar alone)",
        None, 2,
        layers(_chooses),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: saved * y_bar),
        kind="missing",
        shows="at a softmax over more than one class",
        hidden="where the upstream gradient has the mean 0 under the probabilities",
        like="a Jacobian without its rank-one part",
    ),
    Fault(
        "upstream_sum_taken_for_one",
        "1 for the sum of the upstream gradient in the log-softmax's",
        None, 2,
        layers_of(ops.LogSoftmax),
        instead_of_x_bar(_taken_for_one),
        kind="argument",
        shows="at a log-softmax",
        hidden="where the upstream gradient sums to 1",
        like="a formula that holds for a one-hot upstream gradient alone",
    ),
    Fault(
        "logarithm_not_undone",
        "log(p) for p in the log-softmax's gradient",
        None, 1,
        layers_of(ops.LogSoftmax),
        instead_of_x_bar(_logarithm),
        kind="argument",
        shows="at a log-softmax",
        hidden="where the upstream gradient sums to 0",
        like="what was kept taken for another form of itself",
    ),
    Fault(
        "halves_exchanged",
        "the gradients of a gated unit's halves exchanged",
        None, 1,
        layers_of(ops.GLU, ops.SwiGLU),
        instead_of_x_bar(_halves_exchanged),
        kind="axis",
        shows="at a GLU or SwiGLU",
        hidden="where the gradients of both halves are equal",
        like="two halves taken in the wrong order",
    ),
    Fault(
        "gate_gradient_zero",
        "zeros for the gradient of a gated unit's second half",
        38, 1,
        layers_of(ops.GLU, ops.SwiGLU),
        instead_of_x_bar(_second_half_zero),
        kind="missing",
        shows="at a GLU or SwiGLU",
        hidden="where the first half is 0: nothing comes back to the second",
    ),
)  # fmt: skip
