"""Faults of activations.

Some need the argument x, or the pieces, that an activation's page keeps for itself: the
constants below say which pages those are, and a test holds them to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved
from ..layers.selu import SCALE
from ..pages import LAYERS
from .fault import Backward, Fault, as_if, instead_of_x_bar, layers, layers_of

SAVES_X = (
    ops.Sigmoid, ops.Tanh, ops.SiLU, ops.Softplus, ops.LogSigmoid, ops.TanhShrink, ops.Sine,
    ops.Square,
)  # fmt: skip
"""The activations whose page keeps its argument, and nothing else, for the way back."""

OVERFLOWS = (ops.Sigmoid, ops.Tanh, ops.SiLU, ops.Softplus, ops.LogSigmoid)
"""Those of them that take exp(x) when they are written down naively."""

TWICE_IS_ONCE = (
    ops.Identity, ops.ReLU, ops.ReLU6, ops.HardTanh, ops.SoftShrink, ops.HardShrink,
    ops.LogSoftmax,
)  # fmt: skip
"""The activations whose slopes are 0 and 1 alone, and the one whose Jacobian is a projection."""

SATURATES: dict[type[ops.Operator], float] = {
    ops.HardTanh: 1.0,
    ops.ReLU6: 1.0,
    ops.HardSigmoid: 1 / 6,
}
"""The activations that are cut off, with the slope between the cuts."""


# --- where ------------------------------------------------------------------------------


def _activation(a: Architecture, i: int, layer: Any) -> bool:
    return type(layer) in ops.ACTIVATIONS


def _bends(a: Architecture, i: int, layer: Any) -> bool:
    """An activation that keeps the shape and is not the identity."""
    linear = (ops.Identity, ops.Affine, ops.GLU, ops.SwiGLU)
    return _activation(a, i, layer) and not isinstance(layer, linear)


def _normalised(a: Architecture, i: int, layer: Any) -> bool:
    """A softmax over more than one entry."""
    kinds = (ops.Softmax, ops.LogSoftmax)
    return isinstance(layer, kinds) and a.inputs_of(i)[0][layer.axis] > 1


# --- how --------------------------------------------------------------------------------


def _without_upstream(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, p, saved, np.ones_like(y_bar))[0]


def _twice(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, p, saved, right(layer, p, saved, y_bar)[0])[0]


def _diagonal(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """J_ii y_bar_i: what comes back to entry i when y_bar is zero elsewhere along the axis."""
    along_features = layer.axis in (-1, 1)
    n = y_bar.shape[-1 if along_features else -2]
    x_bar = np.zeros_like(right(layer, p, saved, y_bar)[0])
    for i in range(n):
        here = np.arange(n) == i
        here = here if along_features else here[:, None]
        x_bar = np.where(here, right(layer, p, saved, np.where(here, y_bar, 0.0))[0], x_bar)
    return x_bar


def _along_other_axis(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    other = replace(layer, axis=-2 if layer.axis in (-1, 1) else -1)
    return right(other, p, saved, y_bar)[0]


def _at_the_output(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    forward = LAYERS[type(layer)].forward
    x = saved if isinstance(layer, SAVES_X) else saved[0]
    y, _ = forward(layer, p, x, None)
    _, at_y = forward(layer, p, y, None)
    return right(layer, p, at_y, y_bar)[0]


def _through_saturation(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    slope = right(layer, p, saved, np.ones_like(y_bar))[0]
    return np.where(slope == 0, SATURATES[type(layer)], slope) * y_bar


def _pieces(saved: Saved) -> tuple[Array, Array]:
    """(tied, branch) of a page that keeps (x left of 0, branch)."""
    left, branch = saved
    return (left == 0) & (branch == 0), branch


def _tie_on_the_right(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    tied, branch = _pieces(saved)
    other = (saved[0], np.where(tied, 1, branch).astype(np.int8))
    return right(layer, p, other, y_bar)[0]


def _tie_on_both(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    tied, _ = _pieces(saved)
    from_right = _tie_on_the_right(right, layer, p, saved, y_bar)
    return right(layer, p, saved, y_bar)[0] + np.where(tied, from_right, 0.0)


def _nan_where_exp_overflows(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    overflow = np.log(np.finfo(saved.dtype).max)
    return np.where(np.abs(saved) > overflow, np.nan, right(layer, p, saved, y_bar)[0])


def _inner_factor(layer: Any) -> float:
    """The constant that the chain rule brings out of the activation; 1 where there is none."""
    match layer:
        case ops.Sine(frequency):
            return frequency
        case ops.SELU():
            return SCALE
        case ops.HardSigmoid():
            return 1 / 6
        case ops.Square():
            return 2.0
        case _:
            return 1.0


def _without_inner_factor(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    return right(layer, p, saved, y_bar)[0] / _inner_factor(layer)


def _halves(x_bar: Array) -> tuple[Array, Array]:
    n = x_bar.shape[-1] // 2
    return x_bar[..., :n], x_bar[..., n:]


def _first_half_for_both(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    a_bar, _ = _halves(right(layer, p, saved, y_bar)[0])
    return np.concatenate([a_bar, a_bar], axis=-1)


def _second_half_negated(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    a_bar, b_bar = _halves(right(layer, p, saved, y_bar)[0])
    return np.concatenate([a_bar, -b_bar], axis=-1)


def _subtraction_negated(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """x + tanh(x) for x - tanh(x): slope 2 - s where s = 1 - tanh' is right."""
    return 2 * y_bar - right(layer, p, saved, y_bar)[0]


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "upstream_dropped",
        "an activation's slope returned without the upstream gradient",
        7, 3,
        layers(_activation),
        instead_of_x_bar(_without_upstream),
        kind="missing",
        shows="at any activation",
        hidden="where the upstream gradient is 1 throughout, as under a plain sum",
    ),
    Fault(
        "derivative_omitted",
        "the derivative of an activation omitted",
        8, 2,
        layers(_bends),
        instead_of_x_bar(lambda right, layer, p, saved, y_bar: 1 * y_bar),
        kind="missing",
        shows="at an activation that bends",
        hidden="where every slope is 1, as of a ReLU of positive numbers",
    ),
    Fault(
        "derivative_applied_twice",
        "the derivative of an activation applied twice",
        9, 2,
        layers(
            lambda a, i, layer: _bends(a, i, layer) and not isinstance(layer, TWICE_IS_ONCE)
        ),
        instead_of_x_bar(_twice),
        kind="extra",
        shows="at an activation that bends, if its slopes are not 0 and 1 alone",
        hidden="where every slope is 0 or 1, as of an ELU of positive numbers",
    ),
    Fault(
        "softmax_diagonal_only",
        "the diagonal of the softmax's Jacobian alone",
        10, 3,
        layers(_normalised),
        instead_of_x_bar(_diagonal),
        kind="missing",
        shows="at a softmax over more than one class",
        hidden="where one probability of a softmax is 1: its Jacobian is 0",
    ),
    Fault(
        "softmax_along_the_wrong_axis",
        "the softmax's derivative taken along the other axis",
        23, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Softmax | ops.LogSoftmax)),
        instead_of_x_bar(_along_other_axis),
        kind="axis",
        shows="at a softmax",
        hidden="where both axes have one entry: the Jacobian is 0",
    ),
    Fault(
        "derivative_at_the_output",
        "f'(x) evaluated at f(x)",
        11, 3,
        layers_of(*SAVES_X, ops.GELU, ops.Mish),
        instead_of_x_bar(_at_the_output),
        kind="argument",
        shows="at a (log-)sigmoid, tanh(-shrink), SiLU, GELU, mish, softplus, sine or square",
        hidden="where f(x) = x, as of a tanh at 0",
    ),
    Fault(
        "inner_factor_dropped",
        "the constant factor that the chain rule brings out of an activation dropped",
        4, 1,
        layers(lambda a, i, layer: _inner_factor(layer) != 1),
        instead_of_x_bar(_without_inner_factor),
        kind="factor",
        shows="at a sine of another frequency than 1, SELU, hard sigmoid or square",
        hidden="where every slope is 0, as of a saturated hard sigmoid",
    ),
    Fault(
        "subtraction_negated",
        "one operand's gradient negated in x - tanh(x)",
        5, 1,
        layers_of(ops.TanhShrink),
        instead_of_x_bar(_subtraction_negated),
        kind="sign",
        shows="at a tanh-shrink",
        hidden="where tanh is saturated: its slope is 0, which has no sign",
    ),
    Fault(
        "gate_negated",
        "the gradient of a gated unit's second half negated",
        5, 1,
        layers_of(ops.GLU, ops.SwiGLU),
        instead_of_x_bar(_second_half_negated),
        kind="sign",
        shows="at a GLU or SwiGLU",
        hidden="where the first half is 0: nothing comes back to the second",
    ),
    Fault(
        "one_gradient_for_both_parents",
        "the gradient of a gated unit's first half returned for both halves",
        15, 2,
        layers_of(ops.GLU, ops.SwiGLU),
        instead_of_x_bar(_first_half_for_both),
        kind="axis",
        shows="at a GLU or SwiGLU",
        hidden="where the gradients of both halves are equal",
    ),
    Fault(
        "gelu_differentiated_as_tanh",
        "GELU's exact form differentiated as its tanh approximation",
        None, 2,
        layers(lambda a, i, layer: isinstance(layer, ops.GELU) and layer.form == "exact"),
        as_if(form="tanh"),
        kind="argument",
        shows="at a GELU of the exact form",
        hidden="where x is 0, or so large that both forms have the slope 0 or 1",
        like="one form of a function differentiated as another",
    ),
    Fault(
        "leak_forgotten",
        "a leaky ReLU differentiated as a ReLU",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.LeakyReLU) and layer.slope != 0),
        as_if(slope=0.0),
        kind="missing",
        shows="at a leaky ReLU with a slope",
        hidden="where every entry is positive",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "alpha_forgotten",
        "an ELU differentiated as if its alpha were 1",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.ELU) and layer.alpha != 1),
        as_if(alpha=1.0),
        kind="factor",
        shows="at an ELU of another alpha than 1",
        hidden="where every entry is positive",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "tie_on_the_right",
        "the slope on the right of a kink taken at the kink (>= for >)",
        29, 2,
        layers(
            lambda a, i, layer: (
                isinstance(layer, ops.PReLU | ops.SELU)
                or (isinstance(layer, ops.ELU) and layer.alpha != 1)
            )
        ),
        instead_of_x_bar(_tie_on_the_right),
        convention=True,
        kind="tie",
        shows="at a PReLU, SELU, or ELU of another alpha than 1",
        hidden="where no entry is exactly 0",
    ),
    Fault(
        "tie_counted_twice",
        "the slopes on both sides of a kink added at the kink",
        29, 2,
        layers_of(ops.PReLU, ops.ELU, ops.SELU),
        instead_of_x_bar(_tie_on_both),
        kind="tie",
        shows="at a PReLU, ELU or SELU",
        hidden="where no entry is exactly 0",
    ),
    Fault(
        "slope_in_saturation",
        "a slope where a clipped activation is constant",
        30, 2,
        layers_of(*SATURATES),
        instead_of_x_bar(_through_saturation),
        kind="argument",
        shows="at a hard tanh, ReLU6 or hard sigmoid",
        hidden="where no unit is saturated",
    ),
    Fault(
        "exp_overflows",
        "NaN where exp(x) overflows",
        36, 3,
        layers_of(*OVERFLOWS),
        instead_of_x_bar(_nan_where_exp_overflows),
        kind="numerics",
        shows="at a sigmoid, tanh, SiLU, softplus or log-sigmoid",
        hidden="where exp(x) is within the dtype's range",
    ),
)  # fmt: skip
