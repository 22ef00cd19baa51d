"""PyTorch's forward passes against the docstrings of `architectures`, and their gradients.

A stable formula makes a few roundings, and rounds the argument of what it computes, so with
u = 2^-53 its error is at most K u (|f| + |x f'|), and K u (|f'| + |x f''|) in the derivative.
K = 8 allows three transcendental functions of 2 u each and two roundings more; 2^-1022 is
what may be lost below the normal numbers.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from helpers_hosts import HOSTS, host, state
from instances import ACTIVATION_INSTANCES, activation_id
from loss_instances import LOSS_INSTANCES, draw, loss_id
from loss_specification import exact
from torch import Tensor

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, draw_case, make_case
from backproof.architectures.losses import L1, L2, LOSSES, Loss
from backproof.architectures.operators import ACTIVATIONS, OPERATORS, Operator
from backproof.checkers import with_torch
from backproof.checkers.estimate import Estimate, Unsupported
from backproof.checkers.with_torch import FORWARD, activations, estimate
from backproof.checkers.with_torch.losses import LOSS

Array = npt.NDArray[Any]
Real = Any
U = 2.0**-53
TINY = 2.0**-1022
K = 8


# --- the tables are complete ------------------------------------------------------------


def test_every_operator_has_an_entry() -> None:
    assert {op.__name__ for op in FORWARD} == {op.__name__ for op in OPERATORS}


def test_every_loss_has_an_entry() -> None:
    assert {loss.__name__ for loss in LOSS} == {loss.__name__ for loss in LOSSES}


def test_what_has_no_entry_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw_case(Architecture((2, 2), (ops.ReLU(),), losses.Hinge()), 0)
    with monkeypatch.context() as patch:
        patch.setattr(with_torch, "FORWARD", {})
        with pytest.raises(Unsupported, match="no relu"):
            estimate(case)
    monkeypatch.setattr(with_torch, "LOSS", {})
    with pytest.raises(Unsupported, match="no hinge"):
        estimate(case)


# --- operators of one number -------------------------------------------------------------


def logistic(x: Real) -> Real:
    return 1 / (1 + mp.exp(-x))


def piece(x: Real, right: Real, left: Real) -> Real:
    return right if x > 0 else left


def gelu(x: Real, form: str) -> Real:
    if form == "exact":
        return x * mp.ncdf(x)
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf(0.044715) * x**3))) / 2


def soft_shrink(x: Real, t: float) -> Real:
    return x - t if x > t else x + t if x < -t else 0 * x


DOCSTRING: Mapping[type[Operator], Callable[[Any, Real], Real]] = {
    ops.Identity: lambda op, x: x,
    ops.Sigmoid: lambda op, x: logistic(x),
    ops.Tanh: lambda op, x: mp.tanh(x),
    ops.ReLU: lambda op, x: max(x, 0 * x),
    ops.LeakyReLU: lambda op, x: piece(x, x, op.slope * x),
    ops.ELU: lambda op, x: piece(x, x, op.alpha * (mp.exp(x) - 1)),
    ops.SELU: lambda op, x: (
        mp.mpf(activations.SELU_SCALE)
        * piece(x, x, mp.mpf(activations.SELU_ALPHA) * (mp.exp(x) - 1))
    ),
    ops.CELU: lambda op, x: piece(x, x, op.alpha * (mp.exp(x / op.alpha) - 1)),
    ops.GELU: lambda op, x: gelu(x, op.form),
    ops.SiLU: lambda op, x: x * logistic(x),
    ops.Mish: lambda op, x: x * mp.tanh(mp.log(1 + mp.exp(x))),
    ops.Softplus: lambda op, x: mp.log(1 + mp.exp(op.beta * x)) / op.beta,
    ops.Softsign: lambda op, x: x / (1 + abs(x)),
    ops.HardTanh: lambda op, x: min(max(x, op.low), op.high),
    ops.ReLU6: lambda op, x: min(max(x, 0), 6),
    ops.HardSigmoid: lambda op, x: min(max(x / 6 + 0.5, 0), 1),
    ops.HardSwish: lambda op, x: x * min(max(x / 6 + 0.5, 0), 1),
    ops.LogSigmoid: lambda op, x: -mp.log(1 + mp.exp(-x)),
    ops.TanhShrink: lambda op, x: x - mp.tanh(x),
    ops.SoftShrink: lambda op, x: soft_shrink(x, op.threshold),
    ops.HardShrink: lambda op, x: x if abs(x) > op.threshold else 0 * x,
    ops.Sine: lambda op, x: mp.sin(op.frequency * x),
    ops.Square: lambda op, x: x**2,
    ops.Exp: lambda op, x: mp.exp(x),
    ops.Affine: lambda op, x: op.scale * x + op.shift,
}

RNG = np.random.default_rng(0)
GENERIC = np.concatenate([RNG.normal(size=24) * 3, [1 - U, 1 + 2 * U, 2 * U - 1, -1 - 2 * U]])
TAILS = np.array([1e-300, 1e-8, 1e-3, 12.0, 20.5, 40.0, 700.0, 1e3, 1e6])
ELEMENTWISE = [op for op in ACTIVATION_INSTANCES if type(op) in DOCSTRING]


def run(
    op: Operator, x: Array, y_bar: Array | None = None, parameters: Mapping[str, Array] = {}
) -> tuple[Array, Array]:
    """y at x, and the cotangent of x for y_bar (ones where absent)."""
    rows = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    slopes = {name: torch.tensor(value) for name, value in parameters.items()}
    y = FORWARD[type(op)](op, slopes, rows)
    with_respect_to = torch.ones_like(y) if y_bar is None else torch.tensor(y_bar)
    (x_bar,) = torch.autograd.grad(y, rows, with_respect_to)
    return y.detach().numpy(), x_bar.numpy()


def stated(op: Operator, x: float, digits: int) -> tuple[Real, Real, Real]:
    """The docstring's f, f' and f'' at x, by differences with `digits` digits."""

    def f(z: Real) -> Real:
        return DOCSTRING[type(op)](op, z)

    with mp.workdps(digits):
        z = mp.mpf(x)
        h = abs(z) * mp.mpf(10) ** -25
        left, middle, right = f(z - h), f(z), f(z + h)
        return middle, (right - left) / (2 * h), (right - 2 * middle + left) / h**2


def check(op: Operator, points: Array, digits: int) -> None:
    y, slope = run(op, points[None])
    for x, got_y, got_slope in zip(points, y[0], slope[0], strict=True):
        f, df, ddf = stated(op, x, digits)
        assert abs(got_y - f) <= K * U * (abs(f) + abs(x * df)) + TINY, f"value at {x}"
        assert abs(got_slope - df) <= K * U * (abs(df) + abs(x * ddf)) + TINY, f"slope at {x}"


@pytest.mark.parametrize("op", ELEMENTWISE, ids=activation_id)
def test_an_activation_is_its_docstring_at_generic_points(op: Operator) -> None:
    check(op, GENERIC, digits=120)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=activation_id)
def test_an_activation_keeps_its_digits_in_the_tails(op: Operator) -> None:
    """Below exp(-700) = 1e-304 and beside it, 1,000 digits see what the docstring says."""
    right = TAILS[TAILS < 709] if isinstance(op, ops.Exp) else TAILS  # beyond, exp overflows
    check(op, np.concatenate([right, -TAILS]), digits=1000)


@pytest.mark.parametrize(
    "op",
    [op for op in ACTIVATION_INSTANCES if not isinstance(op, ops.Sine | ops.Exp)],
    ids=activation_id,
)
def test_no_finite_input_gives_a_nan(op: Operator) -> None:
    large = 1e150 if isinstance(op, ops.Square | ops.SwiGLU) else 1e300  # those multiply two
    x = np.array([[0.0, -0.0, large, -large], [large, 5e-324, -large, -5e-324]])
    p = {name: np.full(shape, 0.25) for name, shape in ops.parameter_shapes(op, (2, 4)).items()}
    y, x_bar = run(op, x, parameters=p)
    assert np.isfinite(y).all()
    assert np.isfinite(x_bar).all()


def native_gelu(op: Any, x: Tensor) -> Tensor:
    return F.gelu(x, approximate="none" if op.form == "exact" else "tanh")


NATIVE: Mapping[type[Operator], Callable[[Any, Tensor], Tensor]] = {
    ops.Sigmoid: lambda op, x: torch.sigmoid(x),
    ops.Tanh: lambda op, x: torch.tanh(x),
    ops.ELU: lambda op, x: F.elu(x, op.alpha),
    ops.SELU: lambda op, x: F.selu(x),
    ops.CELU: lambda op, x: F.celu(x, op.alpha),
    ops.GELU: native_gelu,
    ops.SiLU: lambda op, x: F.silu(x),
    ops.Mish: lambda op, x: F.mish(x),
    ops.Softplus: lambda op, x: F.softplus(x, op.beta),
    ops.Softsign: lambda op, x: F.softsign(x),
    ops.HardSigmoid: lambda op, x: F.hardsigmoid(x),
    ops.TanhShrink: lambda op, x: F.tanhshrink(x),
    ops.Softmax: lambda op, x: F.softmax(x, op.axis),
    ops.LogSoftmax: lambda op, x: F.log_softmax(x, op.axis),
    ops.GLU: lambda op, x: F.glu(x),
}


@pytest.mark.parametrize(
    "op", [op for op in ACTIVATION_INSTANCES if type(op) in NATIVE], ids=activation_id
)
def test_a_composed_activation_is_pytorchs_own_at_ordinary_points(op: Operator) -> None:
    """To single precision: F.celu and F.hardsigmoid differentiate with constants in float32."""
    x = RNG.normal(size=(6, 4))
    native = torch.tensor(x, requires_grad=True)
    want = NATIVE[type(op)](op, native)
    y_bar = RNG.normal(size=want.shape)
    (want_bar,) = torch.autograd.grad(want, native, torch.tensor(y_bar))
    y, x_bar = run(op, x, y_bar)
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=0, atol=2.0**-40)
    np.testing.assert_allclose(x_bar, want_bar.numpy(), rtol=0, atol=2.0**-20)


# --- operators of a row -----------------------------------------------------------------


def softmax(x: list[Real]) -> list[Real]:
    e = [mp.exp(v) for v in x]
    return [v / mp.fsum(e) for v in e]


def gated(x: list[Real], gate: Callable[[Real, Real], Real]) -> list[Real]:
    half = len(x) // 2
    return [gate(a, b) for a, b in zip(x[:half], x[half:], strict=True)]


ROW_DOCSTRING: Mapping[type[Operator], Callable[[list[Real]], list[Real]]] = {
    ops.Softmax: softmax,
    ops.LogSoftmax: lambda x: [mp.log(v) for v in softmax(x)],
    ops.GLU: lambda x: gated(x, lambda a, b: a * logistic(b)),
    ops.SwiGLU: lambda x: gated(x, lambda a, b: a * logistic(a) * b),
}
ROWS = (
    (1.0, 2.0, 3.0, 4.0),
    (0.5, -1.75, -0.75, 0.25),
    (0.0, 0.0, 0.0, 0.0),
    (40.0, 0.0, 1.0, 2.0),
    (-700.0, 1.0, 3.0, -640.0),
    (1e6, 1e6 - 1, 3.0, -1e6),
)
"""Numbers whose differences are exact; rounding those is `exp`'s condition, not an error."""


@pytest.mark.parametrize("y_bar", [(1.0, 0.0, 0.0, 0.0), (0.3, -1.7, 0.9, 2.1)], ids=str)
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("kind", ROW_DOCSTRING)
def test_a_row_operator_is_its_docstring(
    kind: type[Operator], row: tuple[float, ...], y_bar: tuple[float, ...]
) -> None:
    """The gradient relative to the terms y_bar_j dy_j/dx_i that it is the sum of."""
    f = ROW_DOCSTRING[kind]
    features = len(f([mp.mpf(v) for v in row]))
    cotangent = y_bar[:features]
    y, x_bar = run(kind(), np.array([row]), np.array([cotangent]))
    with mp.workdps(1000):
        x, h = [mp.mpf(v) for v in row], mp.mpf(10) ** -30
        for got, want in zip(y[0], f(x), strict=True):
            assert abs(got - want) <= 2 * K * U * abs(want) + TINY
        for i, got in enumerate(x_bar[0]):
            left, right = (f([v + s * (k == i) for k, v in enumerate(x)]) for s in (-h, h))
            slopes = [(b - a) / (2 * h) for a, b in zip(left, right, strict=True)]
            terms = [g * d for g, d in zip(cotangent, slopes, strict=True)]
            size = mp.fsum(terms, absolute=True)
            assert abs(got - mp.fsum(terms)) <= 2 * K * U * size + TINY, i


@pytest.mark.parametrize("kind", [ops.Softmax, ops.LogSoftmax])
def test_softmax_along_the_batch_is_softmax_of_the_transpose(kind: Any) -> None:
    x, y_bar = RNG.normal(size=(2, 5, 3)) * 4
    rows = run(kind(axis=1), x.T, y_bar.T)
    for axis in (0, -2):
        for got, want in zip(run(kind(axis=axis), x, y_bar), rows, strict=True):
            np.testing.assert_allclose(got, want.T, rtol=0, atol=2 * K * U * np.abs(want).max())


# --- losses -------------------------------------------------------------------------------


def run_loss(loss: Loss, y: Array, t: Array) -> tuple[float, Array]:
    """The loss of the output y, and the cotangent of y."""
    output = torch.tensor(y, requires_grad=True)
    value = LOSS[type(loss)](loss, output, torch.tensor(t))
    (y_bar,) = torch.autograd.grad(value, output)
    return value.item(), y_bar.numpy()


@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 40.0, 700.0])
@pytest.mark.parametrize("loss", LOSS_INSTANCES, ids=loss_id)
def test_a_loss_is_its_docstring(loss: Loss, scale: float) -> None:
    """Relative to the sum of its terms' sizes.

    A difference of logits is rounded to u times their size, which exp makes relative.
    """
    y, t = draw(loss, seed=3, scale=scale)
    value, y_bar = run_loss(loss, y, t)
    want = exact(loss, y, t, digits=700)
    bound = 2 * K * U * max(1.0, float(np.abs(y).max()))
    assert abs(value - want.value) <= bound * want.value_scale + TINY
    assert (np.abs(y_bar - want.gradient) <= bound * want.gradient_scale + TINY).all()


def test_cross_entropy_keeps_its_digits_where_the_prediction_is_right() -> None:
    """p - 1 has none left at p = 1 - exp(-40)."""
    value, y_bar = run_loss(losses.CrossEntropy(), np.array([[40.0, 0.0]]), np.array([0]))
    want = float(mp.log1p(mp.exp(-40)))
    assert value == pytest.approx(want, rel=K * U, abs=0)
    np.testing.assert_allclose(y_bar, [[-want, want]], rtol=K * U)  # to exp(-40) of itself


def test_kl_divergence_takes_zero_log_zero_as_zero() -> None:
    y, t = np.array([[-1.0, -0.5]]), np.array([[0.0, 1.0]])
    value, y_bar = run_loss(losses.KLDivergence(), y, t)
    assert value == 0.5
    np.testing.assert_array_equal(y_bar, [[0.0, -1.0]])


def test_hinge_is_pytorchs_multi_margin_loss_times_the_number_of_classes() -> None:
    y, t = draw(losses.Hinge(), seed=5)
    for p, loss in enumerate((losses.Hinge(0.5), losses.SquaredHinge(0.5)), start=1):
        want = F.multi_margin_loss(torch.tensor(y), torch.tensor(t), p=p, margin=0.5)
        assert run_loss(loss, y, t)[0] == pytest.approx(want.item() * y.shape[1], rel=K * U, abs=0)


@pytest.mark.parametrize("magnitude", [1e-200, 1.0, 1e200])
def test_the_norms_of_cosine_neither_overflow_nor_vanish(magnitude: float) -> None:
    y, t = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]])
    value, y_bar = run_loss(losses.Cosine(epsilon=1e-300), y * magnitude, t / magnitude)
    assert value == pytest.approx(1 - 3 / 5, rel=2 * K * U, abs=0)
    np.testing.assert_allclose(y_bar * magnitude, [[-16 / 125, 12 / 125]], rtol=2 * K * U)


@pytest.mark.parametrize("loss", LOSS_INSTANCES, ids=loss_id)
def test_losses_are_finite_for_every_finite_output(loss: Loss) -> None:
    y, t = draw(loss, seed=1)
    for magnitude in (0.0, 1e-300, 1e6, 1e150):
        value, y_bar = run_loss(loss, np.sign(y - 0.5) * magnitude, t)
        assert np.isfinite(value)
        assert np.isfinite(y_bar).all()


# --- ties: PyTorch's conventions ------------------------------------------------------------

TIES: tuple[tuple[Operator, float, float], ...] = (
    (ops.ReLU(), 0.0, 0.0),
    (ops.LeakyReLU(0.1), 0.0, 0.1),
    (ops.PReLU(), 0.0, 0.25),
    (ops.ELU(0.5), 0.0, 0.5),
    (ops.SELU(), 0.0, activations.SELU_SCALE * activations.SELU_ALPHA),
    (ops.CELU(0.5), 0.0, 1.0),
    (ops.Softsign(), 0.0, 1.0),
    (ops.HardTanh(), -1.0, 0.0),
    (ops.HardTanh(), 1.0, 0.0),
    (ops.ReLU6(), 0.0, 0.0),
    (ops.ReLU6(), 6.0, 0.0),
    (ops.HardSigmoid(), -3.0, 0.0),
    (ops.HardSigmoid(), 3.0, 0.0),
    (ops.HardSwish(), -3.0, 0.0),
    (ops.HardSwish(), 3.0, 1.0),
    (ops.SoftShrink(0.5), -0.5, 0.0),
    (ops.SoftShrink(0.5), 0.5, 0.0),
    (ops.HardShrink(0.5), -0.5, 0.0),
    (ops.HardShrink(0.5), 0.5, 0.0),
)


@pytest.mark.parametrize(("op", "x", "slope"), TIES)
def test_at_a_tie_the_derivative_is_pytorchs(op: Operator, x: float, slope: float) -> None:
    parameters = {"slope": np.array([0.25])} if isinstance(op, ops.PReLU) else {}
    _, x_bar = run(op, np.array([[x]]), parameters=parameters)
    assert x_bar[0, 0] == slope


def test_at_a_tie_of_a_loss_the_derivative_is_pytorchs() -> None:
    zero, class_0 = np.array([[0.0]]), np.array([0])
    assert run_loss(losses.AbsoluteError(), zero, zero)[1] == 0
    assert run_loss(losses.Huber(2.0), np.array([[2.0]]), zero)[1] == 2
    assert run_loss(losses.SmoothL1(2.0), np.array([[2.0]]), zero)[1] == 1
    for hinge in (losses.Hinge(), losses.SquaredHinge()):
        assert (run_loss(hinge, np.array([[1.0, 0.0]]), class_0)[1] == 0).all()


@pytest.mark.parametrize("y", [0.125, 0.875])
def test_at_the_bounds_of_a_clip_the_derivative_is_that_of_the_inside(y: float) -> None:
    _, y_bar = run_loss(losses.BinaryCrossEntropy(0.125), np.array([[y]]), np.array([[0.5]]))
    assert y_bar[0, 0] == -0.5 / y + 0.5 / (1 - y)


# --- whole cases ----------------------------------------------------------------------------


def same(a: Estimate, b: Estimate) -> bool:
    """Equal to the last bit."""
    return (
        a.loss == b.loss
        and a.entries.keys() == b.entries.keys()
        and all(np.array_equal(a.entries[name], b.entries[name]) for name in a.entries)
    )


def test_cotangents_chain_through_dense_tanh_dense() -> None:
    layers = (ops.Dense(5), ops.Tanh(), ops.Dense(2, bias=False))
    case = draw_case(Architecture((4, 3), layers, losses.SquaredError()), seed=2)
    p, x, t = case.parameters, case.input, case.target
    a = x @ p["layers.0.weight"].T + p["layers.0.bias"]
    h = np.tanh(a)
    y = h @ p["layers.2.weight"].T
    y_bar = y - t
    h_bar = y_bar @ p["layers.2.weight"]
    a_bar = h_bar * (1 - h**2)
    by_hand = {
        "layers.0.weight": a_bar.T @ x,
        "layers.0.bias": a_bar.sum(0),
        "layers.2.weight": y_bar.T @ h,
        "input": a_bar @ p["layers.0.weight"],
        "layers.0.output": a_bar,
        "layers.1.output": h_bar,
        "layers.2.output": y_bar,
    }
    found = estimate(case)
    assert found.checker == "torch"
    assert found.loss == pytest.approx(((y - t) ** 2).sum() / 2, rel=32 * U, abs=0)
    assert found.entries.keys() == by_hand.keys()
    for name, want in by_hand.items():  # numbers near 1 in sums of at most 5 x 5 x 2
        np.testing.assert_allclose(found.entries[name], want, rtol=0, atol=50 * K * U)


def test_an_identity_has_an_edge_and_an_array_of_its_own() -> None:
    case = draw_case(Architecture((2, 3), (ops.Identity(),), losses.SquaredError()), 0)
    entries = estimate(case).entries
    np.testing.assert_array_equal(entries["input"], entries["layers.0.output"])
    assert not np.shares_memory(entries["input"], entries["layers.0.output"])


def test_a_network_without_layers_has_its_input_as_output() -> None:
    case = draw_case(Architecture((2, 3), (), losses.WeightedSum()), 0)
    entries = estimate(case).entries
    assert entries.keys() == {"input"}
    np.testing.assert_array_equal(entries["input"], case.target)


def test_slopes_of_prelu_are_learned_one_by_one_or_shared() -> None:
    x, t = np.array([[-1.0, 2.0, -4.0]]), np.array([[1.0, 1.0, 1.0]])
    for shared, slope_bar in ((True, [-5.0]), (False, [-1.0, 0.0, -4.0])):
        case = make_case(
            Architecture((1, 3), (ops.PReLU(shared),), losses.WeightedSum()),
            {"layers.0.slope": np.full(len(slope_bar), 0.25)},
            x,
            t,
        )
        found = estimate(case)
        assert found.loss == -0.25 + 2 - 1
        np.testing.assert_array_equal(found.entries["layers.0.slope"], slope_bar)
        np.testing.assert_array_equal(found.entries["input"], [[0.25, 1.0, 0.25]])


def test_penalties_are_on_dense_weights_alone() -> None:
    w, b = np.array([[1.0, -2.0], [0.0, 4.0]]), np.array([8.0, -8.0])
    slope = np.array([0.5])
    parameters = {"layers.0.weight": w, "layers.0.bias": b, "layers.1.slope": slope}

    def penalised(*penalties: L1 | L2) -> Estimate:
        layers = (ops.Dense(2), ops.PReLU())
        architecture = Architecture((1, 2), layers, losses.WeightedSum(), penalties)
        return estimate(make_case(architecture, parameters, [[1.0, 1.0]], [[1.0, 1.0]]))

    plain, both = penalised(), penalised(L1(0.5), L2(0.25))
    assert both.loss - plain.loss == 0.5 * 7 + 0.25 * 21 / 2
    assert same(penalised(L1(0.0), L2(0.0)), plain)
    for name, gradient in plain.entries.items():
        own = 0.5 * np.sign(w) + 0.25 * w if name == "layers.0.weight" else 0.0
        np.testing.assert_array_equal(both.entries[name], gradient + own)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lane", LANES)
def test_every_lane_is_finite_float64_of_each_tensors_shape(lane: Any, dtype: Any) -> None:
    networks: list[tuple[Any, Any]] = [
        *(
            ((ops.Dense(6), kind(), ops.Dense(4)), losses.CrossEntropy())
            for kind in ACTIVATIONS
            if kind is not ops.Exp or lane != "extreme"  # where it overflows
        ),
        *(
            ((ops.Dense(6), ops.Sigmoid()), kind())
            for kind in LOSSES
            if kind is not losses.CTC and kind not in losses.ARITY
        ),
    ]
    cases = [
        draw_case(Architecture((4, 3), layers, loss), seed, lane, dtype)
        for layers, loss in networks
        for seed in range(5)
    ]
    for case in cases:
        found = estimate(case)
        assert np.isfinite(found.loss)
        shapes = {**case.architecture.parameters, "input": (4, 3)}
        for name, gradient in found.entries.items():
            assert gradient.dtype == np.float64
            assert np.isfinite(gradient).all(), (str(case.architecture), name)
            assert gradient.shape == shapes.get(name, gradient.shape)


def test_float32_values_are_widened_exactly_and_never_written() -> None:
    architecture = Architecture((4, 3), (ops.Dense(2), ops.GELU()), losses.Huber())
    narrow = draw_case(architecture, 1, dtype="float32")
    wide = make_case(architecture, narrow.parameters, narrow.input, narrow.target)
    before = {name: value.copy() for name, value in narrow.parameters.items()}
    assert same(estimate(narrow), estimate(wide))
    assert all(np.array_equal(before[name], narrow.parameters[name]) for name in before)


@pytest.mark.parametrize("name", HOSTS)
def test_the_host_program_neither_matters_nor_changes(name: str) -> None:
    w = (0.5, 2.0, 1.25)
    cross_entropy = losses.CrossEntropy(label_smoothing=0.1, class_weights=w, ignore_index=1)
    case = draw_case(Architecture((4, 3), (ops.Dense(3), ops.Mish()), cross_entropy), 3)
    want = estimate(case)
    with host(name):
        before = state()
        found = estimate(case)
        assert state() == before
    assert same(found, want)


def test_pytorch_is_imported_only_by_its_checker() -> None:
    script = "import sys, backproof, backproof.checkers.verdict; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
