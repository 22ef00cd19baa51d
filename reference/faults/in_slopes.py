"""Faults of the formulas of activations' slopes: a square, a sign or a factor left out.

With s the sigmoid, t = tanh and y the activation's value, right is

    sigmoid      y (1 - y)              tanh        1 - y^2           tanh-shrink   t^2
    softplus     s(b x)                 softsign    1 / (1 + |x|)^2   log-sigmoid   s(-x)
    x f(x)       f(x) + x f'(x)

and each fault below states what it takes instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ..arrays import Array, Arrays, Saved
from ..layers.gelu import C, K
from ..stable import bell, normal_cdf, sigmoid
from .fault import Applies, Backward, Fault, Plant, instead_of_x_bar, layers, layers_of

PRODUCTS = (ops.SiLU, ops.GELU, ops.Mish, ops.HardSwish, ops.SwiGLU)
"""The activations that are x f(x), with a gate f."""

# --- where ------------------------------------------------------------------------------


def _gelu(form: str) -> Applies:
    return layers(lambda a, i, layer: isinstance(layer, ops.GELU) and layer.form == form)


# --- how --------------------------------------------------------------------------------


def _slope(of: Callable[[Any, Saved], Any]) -> Plant:
    """x_bar = of(layer, saved) y_bar."""
    return instead_of_x_bar(lambda right, layer, p, saved, y_bar: of(layer, saved) * y_bar)


def _not_squared(layer: Any, saved: Saved) -> Any:
    """1 - t for 1 - t^2, t for t^2, and 1 / q for 1 / q^2."""
    if isinstance(layer, ops.Softsign):
        return 1 / saved
    t: Array = np.tanh(saved)
    return 1 - t if isinstance(layer, ops.Tanh) else t


def _plus(layer: Any, saved: Saved) -> Any:
    """y (1 + y) and 1 + y^2."""
    if isinstance(layer, ops.Tanh):
        t = np.tanh(saved)
        return 1 + t * t
    y = sigmoid(saved)
    return y * (1 + y)


def _complement_dropped(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """y for y (1 - y), of a sigmoid and of a gated unit's gate."""
    if isinstance(layer, ops.Sigmoid):
        return sigmoid(saved) * y_bar
    a, b = saved
    return np.concatenate([sigmoid(b) * y_bar, a * sigmoid(b) * y_bar], axis=-1)


def _mirrored(layer: Any, saved: Saved) -> Array:
    """s(-b x) for s(b x), and s(x) for s(-x)."""
    return sigmoid(-layer.beta * saved if isinstance(layer, ops.Softplus) else saved)


def _gate(layer: Any, saved: Saved) -> Array:
    """f(x) of an activation x f(x)."""
    match layer:
        case ops.SiLU():
            return sigmoid(saved)
        case ops.GELU(form="exact"):
            return normal_cdf(saved[1])
        case ops.GELU():
            return sigmoid(_inside(saved[1]))
        case ops.Mish():
            t: Array = saved[3]
            return t
        case _:
            middle, branch = saved
            f: Array = np.where(branch == 1, (middle + 3) / 6, 1.0 * (branch == 2))
            return f.astype(middle.dtype)


def _inside(z: Array) -> Array:
    """The argument of the sigmoid in GELU's tanh form."""
    return 2 * C * (z + K * z * z * z)


def _gate_held(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """f(x) for f(x) + x f'(x)."""
    if not isinstance(layer, ops.SwiGLU):
        return _gate(layer, saved) * y_bar
    a, b = saved
    _, b_bar = np.split(right(layer, p, saved, y_bar)[0], 2, axis=-1)
    return np.concatenate([sigmoid(a) * b * y_bar, b_bar], axis=-1)


def _argument_held(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    """x f'(x) for f(x) + x f'(x)."""
    x_bar = right(layer, p, saved, y_bar)[0]
    if not isinstance(layer, ops.SwiGLU):
        return x_bar - _gate(layer, saved) * y_bar
    a, b = saved
    _, b_bar = np.split(x_bar, 2, axis=-1)
    return np.concatenate([a * sigmoid(a) * sigmoid(-a) * b * y_bar, b_bar], axis=-1)


def _inner_derivative_dropped(layer: Any, saved: Saved) -> Any:
    """(1 + t) / 2 + x (1 - t^2) / 2, with t = tanh(u), where u' belongs to the second term."""
    x, z = saved
    v = _inside(z)
    return sigmoid(v) * (1 + 2 * x * sigmoid(-v))


def _three_dropped(layer: Any, saved: Saved) -> Any:
    """1 + k x^2 for 1 + 3 k x^2, the derivative of x + k x^3."""
    x, z = saved
    v = _inside(z)
    return sigmoid(v) * (1 + x * sigmoid(-v) * 2 * C * (1 + K * z * z))


def _not_normalised(layer: Any, saved: Saved) -> Any:
    """e^(-x^2 / 2) for the normal density, which it is sqrt(2 pi) times."""
    x, z = saved
    return normal_cdf(z) + x * bell(z)


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "square_forgotten",
        "the square in an activation's slope forgotten (1 - y for 1 - y^2 of a tanh)",
        None, 3,
        layers_of(ops.Tanh, ops.TanhShrink, ops.Softsign),
        _slope(_not_squared),
        kind="argument",
        shows="at a tanh, tanh-shrink or softsign",
        hidden="where every entry is 0: 0 and 1 are their own squares",
        like="a formula remembered without its square",
    ),
    Fault(
        "plus_for_minus",
        "the sign within an activation's slope wrong (1 + y for 1 - y, 1 + y^2 for 1 - y^2)",
        None, 2,
        layers_of(ops.Sigmoid, ops.Tanh),
        _slope(_plus),
        kind="sign",
        shows="at a sigmoid or tanh",
        hidden="where the value is 0, as of a tanh at 0",
        like="a formula remembered with the other sign",
    ),
    Fault(
        "complement_dropped",
        "the factor 1 - y of a sigmoid's slope left out",
        None, 2,
        layers_of(ops.Sigmoid, ops.GLU),
        instead_of_x_bar(_complement_dropped),
        kind="missing",
        shows="at a sigmoid, or a GLU with one for its gate",
        hidden="where 1 - y is 1 to the last digit, far on the left",
        like="half of a formula",
    ),
    Fault(
        "value_left_out_of_the_slope",
        "the factor y of a sigmoid's slope left out",
        None, 1,
        layers_of(ops.Sigmoid),
        _slope(lambda layer, saved: sigmoid(-saved)),
        kind="missing",
        shows="at a sigmoid",
        hidden="where y is 1 to the last digit, far on the right",
        like="half of a formula",
    ),
    Fault(
        "slope_mirrored",
        "the slope at -x taken for that at x (1 - s for s)",
        None, 2,
        layers_of(ops.Softplus, ops.LogSigmoid),
        _slope(_mirrored),
        kind="argument",
        shows="at a softplus or log-sigmoid",
        hidden="where every entry is 0",
        like="a function and its mirror image taken for each other",
    ),
    Fault(
        "gate_held_constant",
        "the gate f in an activation x f(x) treated as a constant (f for f + x f')",
        None, 2,
        layers_of(*PRODUCTS),
        instead_of_x_bar(_gate_held),
        kind="missing",
        shows="at a SiLU, GELU, mish, hard swish or SwiGLU",
        hidden="where every entry is 0: the term left out is a multiple of it",
        like="half of the product rule",
    ),
    Fault(
        "argument_held_constant",
        "the factor x in an activation x f(x) treated as a constant (x f' for f + x f')",
        None, 1,
        layers_of(*PRODUCTS),
        instead_of_x_bar(_argument_held),
        kind="missing",
        shows="at a SiLU, GELU, mish, hard swish or SwiGLU",
        hidden="where the gate is 0, as of a hard swish below -3",
        like="half of the product rule",
    ),
    Fault(
        "inner_derivative_dropped",
        "the derivative of what is inside GELU's tanh left out",
        None, 2,
        _gelu("tanh"),
        _slope(_inner_derivative_dropped),
        kind="missing",
        shows="at a GELU of the tanh form",
        hidden="where x is 0, or so large that the tanh is constant",
        like="the chain rule not carried through",
    ),
    Fault(
        "three_of_the_cube_dropped",
        "x^2 for 3 x^2 as the derivative of x^3 inside GELU's tanh",
        None, 1,
        _gelu("tanh"),
        _slope(_three_dropped),
        kind="factor",
        shows="at a GELU of the tanh form",
        hidden="where x is 0, or so large that the tanh is constant",
        like="a power whose exponent was not brought down",
    ),
    Fault(
        "density_not_normalised",
        "the normal density in GELU's slope without its 1 / sqrt(2 pi)",
        None, 1,
        _gelu("exact"),
        _slope(_not_normalised),
        kind="factor",
        shows="at a GELU of the exact form",
        hidden="where x is 0, or so far out that the density is 0",
        like="a density without its constant",
    ),
)  # fmt: skip
