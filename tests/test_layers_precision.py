"""Every activation against its specification, evaluated by mpmath to hundreds of digits.

The formulas below are transcribed from `architectures.operators` alone; slopes are
mpmath's own numerical ones.  Errors are in units in the last place of the true value
(ulp, 2^-52 of its binade) and must stay below 8 wherever that value is a normal number,
tails included.  What an operator needs beyond that is in `ROUNDED_ARGUMENT`.

Measured at 1,350 random points each: up to 6.1 for mish, 4.7 for gelu (whose erfcx is right
to 4), and 3.4 for every other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest
from instances import ACTIVATION_INSTANCES, activation_id

from backproof.architectures import operators as ops
from backproof.architectures.operators import Operator
from backproof.reference.arrays import regions
from backproof.reference.pages import LAYERS

pytestmark = pytest.mark.filterwarnings("error")

Array = npt.NDArray[Any]
Real = Any
TINY = np.finfo(np.float64).tiny
ULPS = 8
SLOPE = 0.25
"""PReLU's."""


@pytest.fixture(autouse=True)
def digits() -> Iterator[None]:
    """Enough for x = 1e300, a step of 1e-30 from it, and 60 digits of two differences."""
    with mp.workdps(420):
        yield


# --- the specification ----------------------------------------------------------------


def sigmoid(x: Real) -> Real:
    return 1 / (1 + mp.exp(-x))


def normal_cdf(x: Real) -> Real:
    if abs(x) > 1e4:  # where exp(-5e7) is beyond every digit, and mpmath's erfc overflows
        return mp.mpf(x > 0)
    return mp.erfc(-x / mp.sqrt(2)) / 2


def gelu_tanh(x: Real) -> Real:
    u = mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)
    return x * sigmoid(2 * u)  # (1 + tanh u) / 2, which would round to 0 at u = -1e900


def mish(x: Real) -> Real:
    q = (1 + mp.exp(x)) ** 2
    return x * (1 - 2 / (q + 1))


def selu(x: Real) -> Real:
    scale = mp.mpf("1.0507009873554804934193349852946")
    alpha = mp.mpf("1.6732632423543772848170429916717")
    return scale * x if x > 0 else scale * alpha * mp.expm1(x)


def soft_shrink(x: Real, t: float) -> Real:
    return x - t if x > t else x + t if x < -t else x * 0


SPECIFICATION: Mapping[type[Operator], Callable[[Any, Real], Real]] = {
    ops.Identity: lambda op, x: x,
    ops.Sigmoid: lambda op, x: sigmoid(x),
    ops.Tanh: lambda op, x: mp.tanh(x),
    ops.ReLU: lambda op, x: max(x, 0 * x),
    ops.LeakyReLU: lambda op, x: x if x > 0 else op.slope * x,
    ops.PReLU: lambda op, x: x if x > 0 else SLOPE * x,
    ops.ELU: lambda op, x: x if x > 0 else op.alpha * mp.expm1(x),
    ops.SELU: lambda op, x: selu(x),
    ops.CELU: lambda op, x: x if x > 0 else op.alpha * mp.expm1(x / op.alpha),
    ops.GELU: lambda op, x: x * normal_cdf(x) if op.form == "exact" else gelu_tanh(x),
    ops.SiLU: lambda op, x: x * sigmoid(x),
    ops.Mish: lambda op, x: mish(x),
    ops.Softplus: lambda op, x: mp.log1p(mp.exp(op.beta * x)) / op.beta,
    ops.Softsign: lambda op, x: x / (1 + abs(x)),
    ops.HardTanh: lambda op, x: min(max(x, mp.mpf(op.low)), mp.mpf(op.high)),
    ops.ReLU6: lambda op, x: min(max(x, mp.mpf(0)), mp.mpf(6)),
    ops.HardSigmoid: lambda op, x: min(max((x + 3) / 6, mp.mpf(0)), mp.mpf(1)),
    ops.HardSwish: lambda op, x: x * min(max((x + 3) / 6, mp.mpf(0)), mp.mpf(1)),
    ops.LogSigmoid: lambda op, x: -mp.log1p(mp.exp(-x)),
    ops.TanhShrink: lambda op, x: x - mp.tanh(x),
    ops.SoftShrink: lambda op, x: soft_shrink(x, op.threshold),
    ops.HardShrink: lambda op, x: x if abs(x) > op.threshold else x * 0,
    ops.Sine: lambda op, x: mp.sin(op.frequency * x),
    ops.Square: lambda op, x: x * x,
    ops.Exp: lambda op, x: mp.exp(x),
    ops.Affine: lambda op, x: op.scale * x + op.shift,
}

ROUNDED_ARGUMENT: Mapping[str, float] = {
    "celu": 1,
    "softplus": 1,
    "sine": 1,
    "affine": 1,
    "gelu-form=tanh": 4,
}
"""Roundings, in ulps, of an argument that must be computed before it enters a function g.

g multiplies the relative error of its argument by its condition number |x g' / g|, so as
many times that is allowed on top: without it exp(-5 * 37.1) would need twice the digits.
"""


def allowance(op: Operator) -> float:
    return ROUNDED_ARGUMENT.get(activation_id(op), ROUNDED_ARGUMENT.get(op.name, 0))


def slopes(f: Callable[[Real], Real], x: Real) -> tuple[Real, Real, Real]:
    """f, f' and f'' at x by central differences, to some 50 digits."""
    h = mp.mpf("1e-30") * min(1, abs(x))
    left, middle, right = f(x - h), f(x), f(x + h)
    return middle, (right - left) / (2 * h), (right - 2 * middle + left) / h**2


ORDINARY = np.linspace(-6, 6, 41) + 0.0137
TAILS = np.array(
    [1e-150, 1e-20, 1e-8, 1e-3, 10.3, 20.1, 37.1, 100.7, 300.3, 700.9, 1e3, 1e6, 1e300]
)
POINTS = np.concatenate([ORDINARY, TAILS, -TAILS])


STATIONARY: Mapping[str, float] = {
    "gelu": -0.75179152469356446,
    "gelu-form=tanh": -0.75246142207101626,
    "silu": -1.2784645427610738,
    "mish": -1.1924312145154952,
}
"""Where a slope changes its sign: a difference there, of terms that are not small."""


def points(op: Operator) -> Array:
    """Where the value is representable, and the slope is not about to change its sign."""
    x = POINTS[np.abs(POINTS - STATIONARY.get(activation_id(op), math.inf)) > 0.5]
    match op:
        case ops.Square():
            limit = 1e150
        case ops.Exp():
            limit = 709
        case ops.Sine(frequency) if frequency != 1:  # 1e300 f has more digits than a float
            limit = 1e6
        case _:
            limit = math.inf
    kept: Array = x[np.abs(x) < limit]
    return kept


def ulps(got: float, true: Real) -> float:
    """The error in ulps of the true value; 0 for what is right but below the normal numbers."""
    if abs(true) < TINY:
        return 0.0 if abs(got) <= TINY else math.inf
    return float(abs(mp.mpf(got) - true) / mp.mpf(2) ** (mp.floor(mp.log(abs(true), 2)) - 52))


def errors(op: Operator, x: Array) -> tuple[Array, Array]:
    """The ulps beyond the allowance, of the value and of the slope, at each of x."""
    page = LAYERS[type(op)]
    p = {"slope": np.array([SLOPE])}
    row = x[None, :]
    branch = regions(page.kink(op, p, row)) if page.kink else None
    y, saved = page.forward(op, p, row, branch)
    x_bar, _ = page.backward(op, p, saved, np.ones_like(row))
    a = allowance(op)
    value, slope = [], []
    for t, got_y, got_slope in zip(x, y[0], x_bar[0], strict=True):
        f, df, ddf = slopes(lambda z: SPECIFICATION[type(op)](op, z), mp.mpf(t))
        value.append(ulps(got_y, f) - (a and float(a * abs(t * df / f)) if f else 0.0))
        slope.append(ulps(got_slope, df) - (a and float(a * abs(t * ddf / df)) if df else 0.0))
    return np.array(value), np.array(slope)


@pytest.mark.parametrize(
    "op", [op for op in ACTIVATION_INSTANCES if type(op) in SPECIFICATION], ids=activation_id
)
def test_value_and_slope_are_right_to_the_last_places(op: Operator) -> None:
    x = points(op)
    value, slope = errors(op, x)
    assert value.max() <= ULPS, f"value at {x[value.argmax()]}"
    assert slope.max() <= ULPS, f"slope at {x[slope.argmax()]}"


@pytest.mark.parametrize("op", [ops.GELU(), ops.GELU("tanh"), ops.SiLU(), ops.Mish()])
def test_a_slope_that_changes_its_sign_is_right_relative_to_its_terms(op: Operator) -> None:
    """The two terms are below 1/2 in magnitude, and each is right to a few ulps."""
    near = STATIONARY[activation_id(op)] + np.array([0.0, *np.geomspace(1e-12, 0.5, 24)])
    x = np.concatenate([near, 2 * near[0] - near])
    page = LAYERS[type(op)]
    _, saved = page.forward(op, {}, x[None], None)
    got = page.backward(op, {}, saved, np.ones_like(x[None]))[0][0]
    want = [slopes(lambda z: SPECIFICATION[type(op)](op, z), mp.mpf(t))[1] for t in x]
    assert abs(want[0]) < 1e-15
    assert all(abs(g - w) <= ULPS * 2**-53 / 2 for g, w in zip(got, want, strict=True))


# --- the activations of a whole row ---------------------------------------------------


def softmax(x: list[Real]) -> list[Real]:
    e = [mp.exp(t) for t in x]
    return [t / mp.fsum(e) for t in e]


def gated(x: list[Real], gate: Callable[[Real, Real], Real]) -> list[Real]:
    n = len(x) // 2
    return [gate(a, b) for a, b in zip(x[:n], x[n:], strict=True)]


ROW_SPECIFICATION: Mapping[type[Operator], Callable[[list[Real]], list[Real]]] = {
    ops.Softmax: softmax,
    ops.LogSoftmax: lambda x: [mp.log(t) for t in softmax(x)],
    ops.GLU: lambda x: gated(x, lambda a, b: a * sigmoid(b)),
    ops.SwiGLU: lambda x: gated(x, lambda a, b: a * sigmoid(a) * b),
}

ROWS = (
    (1.0, 2.0, 3.0, 4.0),
    (0.5, -1.75, -0.75, 0.25),
    (0.0, 0.0, 0.0, 0.0),
    (2.0, 2.0, 0.0, -600.0),
    (40.0, 0.0, 1.0, 2.0),
    (0.0, -36.0, -37.0, 0.5),
    (-700.0, 1.0, 3.0, -700.0),
    (1e6, 1e6 - 1, 3.0, -1e6),
    (1e300, -2.0, 0.5, -1e300),
    (-1e300, 1.0, -1e6, 1e6),
)
"""Entries whose differences are exact, at least where exp(difference) is a normal number.

exp multiplies the relative error of x - max x by its size; these rows have none.
"""

COTANGENTS = (
    *np.eye(4),  # as from a negative log-likelihood
    np.ones(4),  # which a softmax takes to 0
    np.array([0.3, -1.7, 0.9, 2.1]),
    np.array([1.0, 1.0, 1.0, 1.000001]),
)


@pytest.mark.parametrize("op", [ops.Softmax(), ops.LogSoftmax(), ops.GLU(), ops.SwiGLU()])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_and_its_gradient_are_right_to_the_last_places(
    op: Operator, row: tuple[float, ...]
) -> None:
    """The gradient relative to its terms |y_bar_j dy_j/dx_i|, which may have both signs."""
    f, page = ROW_SPECIFICATION[type(op)], LAYERS[type(op)]
    y, saved = page.forward(op, {}, np.array([row]), None)
    x = [mp.mpf(t) for t in row]
    assert max(ulps(got, true) for got, true in zip(y[0], f(x), strict=True)) <= ULPS

    h = mp.mpf("1e-30")
    jacobian = []
    for i in range(len(x)):
        left, right = (f([t + s * (k == i) for k, t in enumerate(x)]) for s in (-h, h))
        jacobian.append([(b - a) / (2 * h) for a, b in zip(left, right, strict=True)])
    for cotangent in COTANGENTS:
        y_bar = cotangent[: y.shape[-1]]
        x_bar = page.backward(op, {}, saved, y_bar[None])[0][0]
        for got, dy in zip(x_bar, jacobian, strict=True):
            terms = [b * d for b, d in zip(y_bar, dy, strict=True)]
            size = mp.fsum(abs(t) for t in terms)
            assert abs(got - mp.fsum(terms)) <= ULPS * 2**-52 * size + TINY
