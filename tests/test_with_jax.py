"""JAX's forward passes against the docstrings, stated once more in 1000-digit arithmetic.

Two bounds are used, with u = 2^-53.

A function of one number, computed in a stable way, has the error of a few roundings and
of a rounded argument: |error of f| <= K u (|f| + |x f'|), and for the derivative
K u (|f'| + |x f''|).  K = 8: at most four transcendental functions, of 2 u each.

A loss of ten numbers near 1 is a sum of terms near 1: 32 roundings of the largest.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import test_with_jax_sequences_and_losses as sequences
import test_with_jax_shapes_and_convolutions as shapes

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import LANES, draw_case, make_case
from backproof.checkers import with_jax
from backproof.checkers.estimate import Estimate, Unsupported
from backproof.checkers.with_jax import estimate, losses

U = 2.0**-53
TINY = 2.0**-1022  # the least normal number; XLA flushes what lies below to zero
DIGITS = 1000  # so that exp(-700) next to 1, and (1e-300)^3 next to 1e-300, are seen
STEP = mp.mpf(10) ** -60

Matrix = list[list[Any]]

# --- the docstrings, in mpmath ------------------------------------------------------------


def real(x: Any) -> Any:
    return mp.mpf(float(x))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def clamp(x: Any, low: float, high: float) -> Any:
    return min(max(x, low), high)


def elu(x: Any, alpha: float, width: float = 1.0) -> Any:
    return x if x > 0 else real(alpha) * (mp.exp(x / real(width)) - 1)


def gelu(x: Any, form: str) -> Any:
    if form == "exact":
        return x * mp.erfc(-x / mp.sqrt(2)) / 2
    return x * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + real(0.044715) * x**3))) / 2


def soft_shrink(x: Any, t: float) -> Any:
    return x - t if x > t else x + t if x < -t else mp.mpf(0)


ELEMENTWISE: dict[type[ops.Operator], Callable[[Any, Any], Any]] = {
    ops.Identity: lambda op, x: x,
    ops.Exp: lambda op, x: mp.exp(x),
    ops.Affine: lambda op, x: op.scale * x + op.shift,
    ops.Sigmoid: lambda op, x: sigmoid(x),
    ops.Tanh: lambda op, x: mp.tanh(x),
    ops.ReLU: lambda op, x: max(x, 0),
    ops.LeakyReLU: lambda op, x: x if x > 0 else real(op.slope) * x,
    ops.ELU: lambda op, x: elu(x, op.alpha),
    ops.SELU: lambda op, x: real(1.0507009873554805) * elu(x, 1.6732632423543772),
    ops.CELU: lambda op, x: elu(x, op.alpha, op.alpha),
    ops.GELU: lambda op, x: gelu(x, op.form),
    ops.SiLU: lambda op, x: x * sigmoid(x),
    ops.Mish: lambda op, x: x * mp.tanh(mp.log(1 + mp.exp(x))),
    ops.Softplus: lambda op, x: mp.log(1 + mp.exp(real(op.beta) * x)) / real(op.beta),
    ops.Softsign: lambda op, x: x / (1 + abs(x)),
    ops.HardTanh: lambda op, x: clamp(x, op.low, op.high),
    ops.ReLU6: lambda op, x: clamp(x, 0, 6),
    ops.HardSigmoid: lambda op, x: clamp(x / 6 + mp.mpf(1) / 2, 0, 1),
    ops.HardSwish: lambda op, x: x * clamp(x / 6 + mp.mpf(1) / 2, 0, 1),
    ops.LogSigmoid: lambda op, x: -mp.log(1 + mp.exp(-x)),
    ops.TanhShrink: lambda op, x: x - mp.tanh(x),
    ops.SoftShrink: lambda op, x: soft_shrink(x, op.threshold),
    ops.HardShrink: lambda op, x: x if abs(x) > op.threshold else mp.mpf(0),
    ops.Sine: lambda op, x: mp.sin(real(op.frequency) * x),
    ops.Square: lambda op, x: x**2,
}


def transposed(x: Matrix) -> Matrix:
    return [list(column) for column in zip(*x, strict=True)]


def along(axis: int, f: Callable[[list[Any]], list[Any]], x: Matrix) -> Matrix:
    return [f(r) for r in x] if axis in (1, -1) else transposed([f(c) for c in transposed(x)])


def softmax(row: list[Any]) -> list[Any]:
    total = mp.fsum(mp.exp(x) for x in row)
    return [mp.exp(x) / total for x in row]


def log_softmax(row: list[Any]) -> list[Any]:
    total = mp.log(mp.fsum(mp.exp(x) for x in row))
    return [x - total for x in row]


def dense(op: Any, p: dict[str, Any], x: Matrix) -> Matrix:
    b = p["bias"] if op.bias else [0] * op.units
    return [[mp.fdot(row, w) + c for w, c in zip(p["weight"], b, strict=True)] for row in x]


def prelu(op: Any, p: dict[str, Any], x: Matrix) -> Matrix:
    slopes = p["slope"] * (len(x[0]) if op.shared else 1)
    return [[v if v > 0 else a * v for v, a in zip(row, slopes, strict=True)] for row in x]


def gated(gate: Callable[[Any, Any], Any], x: Matrix) -> Matrix:
    half = len(x[0]) // 2
    return [[gate(a, b) for a, b in zip(r[:half], r[half:], strict=True)] for r in x]


JOINT: dict[type[ops.Operator], Callable[[Any, Any, Matrix], Matrix]] = {
    ops.Dense: dense,
    ops.PReLU: prelu,
    ops.Softmax: lambda op, p, x: along(op.axis, softmax, x),
    ops.LogSoftmax: lambda op, p, x: along(op.axis, log_softmax, x),
    ops.GLU: lambda op, p, x: gated(lambda a, b: a * sigmoid(b), x),
    ops.SwiGLU: lambda op, p, x: gated(lambda a, b: a * sigmoid(a) * b, x),
}


def layer(op: ops.Operator, p: Any, x: Matrix) -> Matrix:
    if type(op) in JOINT:
        return JOINT[type(op)](op, p, x)
    return [[ELEMENTWISE[type(op)](op, v) for v in row] for row in x]


def reduced(terms: Matrix, reduction: str) -> Any:
    total = mp.fsum(v for row in terms for v in row)
    match reduction:
        case "mean":
            return total / (len(terms) * len(terms[0]))
        case "batch_mean":
            return total / len(terms)
        case "half_sum":
            return total / 2
        case _:
            return total


def per_entry(term: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Matrix, Matrix], Any]:
    def loss(loss: Any, y: Matrix, t: Matrix) -> Any:
        return reduced(
            [
                [term(loss, a, b) for a, b in zip(r, s, strict=True)]
                for r, s in zip(y, t, strict=True)
            ],
            getattr(loss, "reduction", "sum"),
        )

    return loss


def huber(loss: Any, y: Any, t: Any) -> Any:
    r, delta = abs(y - t), real(loss.delta)
    return r**2 / 2 if r <= delta else delta * (r - delta / 2)


def smooth_l1(loss: Any, y: Any, t: Any) -> Any:
    r, beta = abs(y - t), real(loss.beta)
    return r**2 / (2 * beta) if r < beta else r - beta / 2


def binary_cross_entropy(loss: Any, y: Any, t: Any) -> Any:
    p = clamp(y, real(loss.epsilon), 1 - real(loss.epsilon))
    return -t * mp.log(p) - (1 - t) * mp.log(1 - p)


def kl_divergence(loss: Any, y: Any, t: Any) -> Any:
    if loss.log_target:
        return mp.exp(t) * (t - y)
    return t * (mp.log(t) - y) if t else mp.mpf(0)


def weights(loss: Any, y: Matrix) -> list[Any]:
    return [real(w) for w in loss.class_weights or [1.0] * len(y[0])]


def cross_entropy(loss: Any, y: Matrix, t: Any) -> Any:
    w, s, c = weights(loss, y), real(loss.label_smoothing), len(y[0])
    total, counted = mp.mpf(0), mp.mpf(0)
    for row, target in zip(y, t, strict=True):
        q = log_softmax(row)
        if loss.target == "probabilities":
            total -= mp.fsum(w[k] * ((1 - s) * target[k] + s / c) * q[k] for k in range(c))
            counted += 1
        elif target != loss.ignore_index:
            total -= (1 - s) * w[target] * q[target] + s / c * mp.fdot(w, q)
            counted += w[target]
    return total / counted if loss.reduction == "mean" else total


def negative_log_likelihood(loss: Any, y: Matrix, t: Any) -> Any:
    w = weights(loss, y)
    rows = [(r, k) for r, k in zip(y, t, strict=True) if k != loss.ignore_index]
    total = -mp.fsum(w[k] * r[k] for r, k in rows)
    return total / mp.fsum(w[k] for _, k in rows) if loss.reduction == "mean" else total


def hinge(power: int) -> Callable[[Any, Matrix, Any], Any]:
    def loss(loss: Any, y: Matrix, t: Any) -> Any:
        total = mp.fsum(
            max(0, real(loss.margin) - row[k] + row[c]) ** power
            for row, k in zip(y, t, strict=True)
            for c in range(len(row))
            if c != k
        )
        return total / len(y) if loss.reduction == "mean" else total

    return loss


def cosine(loss: Any, y: Matrix, t: Matrix) -> Any:
    def norm(row: list[Any]) -> Any:
        return max(mp.sqrt(mp.fsum(v**2 for v in row)), real(loss.epsilon))

    rows = [1 - mp.fdot(a, b) / (norm(a) * norm(b)) for a, b in zip(y, t, strict=True)]
    return mp.fsum(rows) / (len(rows) if loss.reduction == "mean" else 1)


def with_logits(loss: Any, y: Matrix, t: Matrix) -> Any:
    w = [real(v) for v in loss.positive_weights or [1.0] * len(y[0])]
    terms = [
        [
            -w[k] * a[k] * mp.log(sigmoid(r[k])) - (1 - a[k]) * mp.log(1 - sigmoid(r[k]))
            for k in range(len(r))
        ]
        for r, a in zip(y, t, strict=True)
    ]
    return reduced(terms, loss.reduction)


LOSS: dict[type[ls.Loss], Callable[[Any, Matrix, Any], Any]] = {
    ls.WeightedSum: per_entry(lambda loss, y, t: t * y),
    ls.SquaredError: per_entry(lambda loss, y, t: (y - t) ** 2),
    ls.AbsoluteError: per_entry(lambda loss, y, t: abs(y - t)),
    ls.Huber: per_entry(huber),
    ls.SmoothL1: per_entry(smooth_l1),
    ls.LogCosh: per_entry(lambda loss, y, t: mp.log(mp.cosh(y - t))),
    ls.CrossEntropy: cross_entropy,
    ls.NegativeLogLikelihood: negative_log_likelihood,
    ls.BinaryCrossEntropy: per_entry(binary_cross_entropy),
    ls.BinaryCrossEntropyWithLogits: with_logits,
    ls.Hinge: hinge(1),
    ls.SquaredHinge: hinge(2),
    ls.KLDivergence: per_entry(kl_divergence),
    ls.Cosine: cosine,
}

# --- operators of one number ----------------------------------------------------------------

# Log-uniform and normal points; the seams at |x| = 1, from both sides; then the extremes.
_rng = np.random.default_rng(0)
ORDINARY = [
    *(_rng.normal(size=20) * 4),
    *(10.0 ** _rng.uniform(-12, 0, size=8) * _rng.choice([-1, 1], size=8)),
    *(sign * v for sign in (1, -1) for v in (1 - U, 1 + 2 * U)),
]
LARGEST = float(np.finfo(np.float64).max)
EXTREME = [sign * v for sign in (1, -1) for v in (1e-300, 1e-8, 18.0, 40.0, 700.0, 1e3, 1e6)]

CONFIGURED: dict[Any, list[Any]] = {
    ops.Affine: [ops.Affine(), ops.Affine(-0.3, 0.7)],
    ops.ELU: [ops.ELU(), ops.ELU(0.7)],
    ops.CELU: [ops.CELU(), ops.CELU(0.7)],
    ops.GELU: [ops.GELU("exact"), ops.GELU("tanh")],
    ops.LeakyReLU: [ops.LeakyReLU(), ops.LeakyReLU(-0.3)],
    ops.Softplus: [ops.Softplus(), ops.Softplus(1.3)],
    ops.HardTanh: [ops.HardTanh(), ops.HardTanh(-0.3, 2.2)],
    ops.Sine: [ops.Sine(), ops.Sine(30.0)],
}
CONFIGURATIONS: list[Any] = [c for kind in ELEMENTWISE for c in CONFIGURED.get(kind, [kind()])]


def at(op: ops.Operator, x: float) -> tuple[float, float]:
    """y and y' at x, as the checker reports them."""
    architecture = Architecture((1, 1), (op,), ls.WeightedSum())  # type: ignore[arg-type]
    found = estimate(make_case(architecture, {}, [[x]], [[1.0]]))
    return found.loss, float(found.entries["input"][0, 0])


def derivatives(f: Callable[[Any], Any], x: float) -> tuple[Any, Any, Any]:
    """f, f' and f'' by central differences; STEP^2 is their relative error."""
    with mp.workdps(DIGITS):
        a = mp.mpf(x)
        h = abs(a) * STEP
        low, mid, high = f(a - h), f(a), f(a + h)
        return mid, (high - low) / (2 * h), (high - 2 * mid + low) / h**2


@pytest.mark.parametrize("op", CONFIGURATIONS, ids=repr)
def test_value_and_derivative_are_those_of_the_docstring(op: ops.Operator) -> None:
    for x in map(float, ORDINARY + EXTREME):
        f, df, ddf = derivatives(lambda a: ELEMENTWISE[type(op)](op, a), x)
        y, dy = at(op, x)
        if abs(f) > LARGEST:  # exp alone leaves the range itself
            assert isinstance(op, ops.Exp) and y == dy == np.inf
            continue
        k = 8 * U
        assert abs(y - f) <= k * (abs(f) + abs(x * df)) + TINY, ("value", x)
        assert abs(dy - df) <= k * (abs(df) + abs(x * ddf)) + TINY, ("derivative", x)


# --- operators of several numbers, and losses -----------------------------------------------

JOINT_CONFIGURATIONS: list[Any] = [
    ops.Dense(3),
    ops.Dense(2, bias=False),
    ops.PReLU(shared=True),
    ops.PReLU(shared=False),
    *(ops.Softmax(axis) for axis in (-2, -1, 0, 1)),
    *(ops.LogSoftmax(axis) for axis in (-2, -1, 0, 1)),
    ops.GLU(),
    ops.SwiGLU(),
]
LOSS_CONFIGURATIONS: list[Any] = [
    ls.WeightedSum(),
    *(ls.SquaredError(r) for r in ("half_sum", "sum", "mean", "batch_mean")),
    *(ls.AbsoluteError(r) for r in ("sum", "mean", "batch_mean")),
    *(ls.Huber(delta) for delta in (0.3, 1.0)),
    *(ls.SmoothL1(beta) for beta in (0.3, 1.0)),
    ls.LogCosh(),
    ls.CrossEntropy(),
    ls.CrossEntropy(label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 3.0), ignore_index=1),
    ls.CrossEntropy(label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 3.0), reduction="sum"),
    ls.CrossEntropy("probabilities"),
    ls.CrossEntropy("probabilities", 0.2, (1.0, 2.0, 0.5, 3.0)),
    ls.CrossEntropy("probabilities", reduction="sum"),
    ls.NegativeLogLikelihood(),
    ls.NegativeLogLikelihood((1.0, 2.0, 0.5, 3.0), 2),
    ls.NegativeLogLikelihood((1.0, 2.0, 0.5, 3.0), reduction="sum"),
    ls.BinaryCrossEntropy(),
    ls.BinaryCrossEntropy(0.25, "sum"),
    ls.BinaryCrossEntropyWithLogits(),
    ls.BinaryCrossEntropyWithLogits((1.0, 2.0, 0.5, 3.0), "batch_mean"),
    *(kind(0.7, r) for kind in (ls.Hinge, ls.SquaredHinge) for r in ("sum", "mean")),
    ls.KLDivergence(),
    ls.KLDivergence(log_target=True, reduction="mean"),
    ls.Cosine(),
    ls.Cosine(3.0, "sum"),
]


def exactly(a: Any) -> Any:
    """An array as lists of mpf, or of int where it holds class numbers."""
    return np.vectorize(int if a.dtype.kind == "i" else real, otypes=[object])(a).tolist()


def stated(architecture: Architecture, values: dict[str, Any], target: Any) -> Any:
    """The loss of the docstrings."""
    y = values["input"]
    for i, op in enumerate(architecture.layers):
        prefix = f"layers.{i}."
        p = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
        y = layer(op, p, y)
    return LOSS[type(architecture.loss)](architecture.loss, y, target)


def check_against_docstrings(architecture: Architecture, seed: int) -> None:
    """The loss, and the gradient in every parameter and the input, within 32 roundings."""
    case = draw_case(architecture, seed)
    assert case.input is not None
    found = estimate(case)
    values = {k: exactly(v) for k, v in {**case.parameters, "input": case.input}.items()}
    target = exactly(case.target)
    with mp.workdps(50):
        loss = stated(architecture, values, target)
        assert abs(found.loss - loss) <= 32 * U * max(1, abs(loss))
        for name, value in {**case.parameters, "input": case.input}.items():
            scale = max(1.0, float(np.abs(found.entries[name]).max()))
            for index in np.ndindex(value.shape):
                holder: Any = values[name]
                for i in index[:-1]:
                    holder = holder[i]
                kept = holder[index[-1]]

                def moved(v: Any, holder: Any = holder, i: int = index[-1]) -> Any:
                    holder[i] = v
                    return stated(architecture, values, target)

                slope = mp.diff(moved, kept)
                holder[index[-1]] = kept
                assert abs(found.entries[name][index] - slope) <= 32 * U * scale, (name, index)


@pytest.mark.parametrize("op", JOINT_CONFIGURATIONS, ids=repr)
def test_joint_operators_are_those_of_the_docstring(op: Any) -> None:
    for seed in range(3):
        check_against_docstrings(Architecture((3, 4), (op,), ls.WeightedSum()), seed)


@pytest.mark.parametrize("loss", LOSS_CONFIGURATIONS, ids=repr)
def test_losses_are_those_of_the_docstring(loss: Any) -> None:
    layers = (ops.Sigmoid(),) if isinstance(loss, ls.BinaryCrossEntropy) else ()
    for seed in range(3):
        check_against_docstrings(Architecture((3, 4), layers, loss), seed)


def test_every_operator_loss_and_penalty_has_its_function() -> None:
    assert with_jax.FORWARD.keys() == set(ops.OPERATORS)
    assert losses.LOSS.keys() == set(ls.LOSSES)
    assert losses.PENALTY.keys() == {ls.L1, ls.L2}
    mine = ELEMENTWISE.keys() | JOINT.keys()
    assert mine | sequences.NAIVE.keys() | shapes.NAIVE.keys() == set(ops.OPERATORS)
    assert LOSS.keys() == {type(loss) for loss in LOSS_CONFIGURATIONS}
    assert LOSS.keys() | sequences.NAIVE_LOSS.keys() == set(ls.LOSSES)
    assert JOINT.keys() == {type(op) for op in JOINT_CONFIGURATIONS}


# --- extremes -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSS_CONFIGURATIONS, ids=repr)
def test_losses_are_finite_far_out(loss: Any) -> None:
    layers = (ops.Sigmoid(),) if isinstance(loss, ls.BinaryCrossEntropy) else ()
    architecture = Architecture((3, 4), layers, loss)
    target = draw_case(architecture, 0).target
    signs = np.array([[1, -1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, 0]])
    for size in (1e-300, 1e-8, 40.0, 700.0, 1e3, 1e6):
        found = estimate(make_case(architecture, {}, size * signs, target))
        assert np.isfinite(found.loss), size
        assert np.isfinite(found.entries["input"]).all(), size


@pytest.mark.parametrize(
    "op",
    [c for c in (*CONFIGURATIONS, *JOINT_CONFIGURATIONS) if not isinstance(c, ops.Exp)],
    ids=repr,
)
def test_operators_are_finite_on_every_lane(op: Any) -> None:
    architecture = Architecture((3, 4), (op, ops.Dense(4), op), ls.WeightedSum())
    for lane in LANES:
        for seed in range(5):
            found = estimate(draw_case(architecture, seed, lane))
            assert all(np.isfinite(entry).all() for entry in found.entries.values()), lane


def test_the_gate_of_gelu_saturates_before_its_cube_overflows() -> None:
    assert at(ops.GELU("tanh"), 1e200) == (1e200, 1.0)
    assert at(ops.GELU("tanh"), -1e200) == (0.0, 0.0)


def test_a_narrow_smooth_l1_is_the_absolute_error() -> None:
    """With beta = 1e-300 the quadratic piece overflows at r = 1e10, where it is not used."""
    architecture = Architecture((1, 2), (), ls.SmoothL1(1e-300, "sum"))
    found = estimate(make_case(architecture, {}, [[1e10, -1e10]], [[0.0, 0.0]]))
    assert found.loss == 2e10
    assert found.entries["input"].tolist() == [[1, -1]]


def test_binary_cross_entropy_is_accurate_where_log1p_is_not() -> None:
    """-log(1 - sigmoid(x)) = log(1 + exp(x)), probabilities between 0.25 and 0.45."""
    architecture = Architecture((1, 1), (ops.Sigmoid(),), ls.BinaryCrossEntropy())
    for x in np.linspace(-1.1, -0.2, 40):
        found = estimate(make_case(architecture, {}, [[x]], [[0.0]]))
        assert found.loss == pytest.approx(float(mp.log(1 + mp.exp(x))), rel=8 * U, abs=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_saturated_softmax_keeps_its_small_gradients(axis: int) -> None:
    """With d = e^-40: y = (1, d) / (1 + d), so dy_0 = y_0 y_1 (dx_0 - dx_1)."""
    shape = (1, 2) if axis else (2, 1)
    x, t = np.reshape([40.0, 0.0], shape), np.reshape([1.0, 0.0], shape)
    d = np.exp(-40.0)
    for op in (ops.Softmax(axis), ops.LogSoftmax(axis)):
        architecture = Architecture(shape, (op,), ls.WeightedSum())
        found = estimate(make_case(architecture, {}, x, t))
        assert found.entries["input"].ravel() == pytest.approx([d, -d], rel=8 * U, abs=0)
    assert found.loss == pytest.approx(-d, rel=8 * U, abs=0)


def test_a_saturated_cross_entropy_keeps_its_small_loss() -> None:
    architecture = Architecture((1, 2), (), ls.CrossEntropy())
    found = estimate(make_case(architecture, {}, [[40.0, 0.0]], [0]))
    d = np.exp(-40.0)
    assert found.loss == pytest.approx(d, rel=8 * U, abs=0)
    assert found.entries["input"][0] == pytest.approx([-d, d], rel=8 * U, abs=0)


def test_a_tie_for_the_maximum_does_not_disturb_softmax() -> None:
    architecture = Architecture((1, 3), (ops.LogSoftmax(),), ls.WeightedSum())
    found = estimate(make_case(architecture, {}, [[2.0, 2.0, 2.0]], [[1.0, 0.0, 0.0]]))
    assert found.entries["input"][0] == pytest.approx([2 / 3, -1 / 3, -1 / 3], rel=4 * U, abs=0)


def test_cosine_of_a_zero_row_is_differentiable() -> None:
    """Below epsilon the norm is the constant epsilon: dL/dy = -t / (epsilon |t|)."""
    architecture = Architecture((1, 2), (), ls.Cosine(epsilon=0.5))
    found = estimate(make_case(architecture, {}, [[0.0, 0.0]], [[3.0, 4.0]]))
    assert found.loss == 1
    assert found.entries["input"][0] == pytest.approx([-1.2, -1.6], rel=4 * U)


def test_a_zero_probability_in_the_target_counts_for_nothing() -> None:
    architecture = Architecture((1, 2), (), ls.KLDivergence())
    found = estimate(make_case(architecture, {}, [[-3.0, -0.5]], [[0.0, 1.0]]))
    assert found.loss == 0.5
    assert found.entries["input"].tolist() == [[0, -1]]


# --- ties: what JAX itself returns ------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "x", "expected"),
    [
        (ops.ReLU(), 0.0, 0.0),
        (ops.ReLU(), -0.0, 0.0),
        (ops.LeakyReLU(0.1), 0.0, 1.0),
        (ops.ELU(0.5), 0.0, 0.5),
        (ops.CELU(0.5), 0.0, 1.0),
        (ops.SELU(), 0.0, 1.0507009873554805 * 1.6732632423543772),
        (ops.HardTanh(), -1.0, 1.0),
        (ops.HardTanh(), 1.0, 1.0),
        (ops.ReLU6(), 0.0, 0.0),
        (ops.ReLU6(), 6.0, 0.0),
        (ops.HardSigmoid(), -3.0, 0.0),
        (ops.HardSigmoid(), 3.0, 0.0),
        (ops.HardSwish(), -3.0, 0.0),
        (ops.HardSwish(), 3.0, 1.0),
        (ops.SoftShrink(0.5), 0.5, 0.0),
        (ops.HardShrink(0.5), -0.5, 0.0),
    ],
    ids=str,
)
def test_the_derivative_at_a_kink(op: ops.Operator, x: float, expected: float) -> None:
    assert at(op, x)[1] == pytest.approx(expected, rel=2 * U, abs=0)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.Sigmoid(), (0.5, 0.25)),
        (ops.Tanh(), (0.0, 1.0)),
        (ops.GELU("exact"), (0.0, 0.5)),
        (ops.GELU("tanh"), (0.0, 0.5)),
        (ops.SiLU(), (0.0, 0.5)),
        (ops.Mish(), (0.0, 0.6)),
        (ops.Softplus(), (np.log(2), 0.5)),
        (ops.Softsign(), (0.0, 1.0)),
        (ops.LogSigmoid(), (-np.log(2), 0.5)),
        (ops.TanhShrink(), (0.0, 0.0)),
        (ops.Sine(2.0), (0.0, 2.0)),
        (ops.Square(), (0.0, 0.0)),
    ],
    ids=str,
)
def test_smooth_operators_have_their_derivative_at_zero(
    op: ops.Operator, expected: tuple[float, float]
) -> None:
    for zero in (0.0, -0.0):
        assert at(op, zero) == pytest.approx(expected, rel=4 * U, abs=0)


def test_prelu_at_zero_takes_the_side_of_one() -> None:
    architecture = Architecture((1, 1), (ops.PReLU(),), ls.WeightedSum())
    found = estimate(make_case(architecture, {"layers.0.slope": [0.25]}, [[0.0]], [[1.0]]))
    assert found.entries["input"] == 1
    assert found.entries["layers.0.slope"] == 0


def test_ties_of_the_losses() -> None:
    def slope(loss: Any, target: Any) -> list[float]:
        architecture = Architecture((1, 2), (), loss)
        gradient = estimate(make_case(architecture, {}, [[0.0, 0.0]], target)).entries["input"]
        return [float(v) for v in gradient[0]]

    assert slope(ls.AbsoluteError("sum"), [[0.0, 0.0]]) == [1, 1]
    assert slope(ls.Huber(1.0, "sum"), [[1.0, -1.0]]) == [-1, 1]
    assert slope(ls.SmoothL1(1.0, "sum"), [[1.0, -1.0]]) == [-1, 1]
    assert slope(ls.LogCosh("sum"), [[0.0, 0.0]]) == [0, 0]


# --- the network ------------------------------------------------------------------------------


def test_cotangents_chain_from_edge_to_edge() -> None:
    architecture = Architecture((4, 3), (ops.Dense(5), ops.Tanh(), ops.Dense(2)), ls.SquaredError())
    case = draw_case(architecture, 0)
    w, b, v, c = (
        case.parameters[f"layers.{i}.{name}"] for i in (0, 2) for name in ("weight", "bias")
    )
    h = np.tanh(case.input @ w.T + b)
    y_bar = h @ v.T + c - case.target
    h_bar = y_bar @ v
    a_bar = h_bar * (1 - h * h)
    expected = {
        "layers.2.output": y_bar,
        "layers.1.output": h_bar,
        "layers.0.output": a_bar,
        "input": a_bar @ w,
        "layers.0.weight": a_bar.T @ case.input,
        "layers.0.bias": a_bar.sum(0),
        "layers.2.weight": y_bar.T @ h,
        "layers.2.bias": y_bar.sum(0),
    }
    found = estimate(case)
    assert found.checker == "jax"
    assert found.loss == pytest.approx((y_bar**2).sum() / 2, rel=32 * U)
    assert found.entries.keys() == expected.keys()
    for name, gradient in expected.items():
        entry = found.entries[name]
        assert isinstance(entry, np.ndarray)
        assert entry.dtype == np.float64
        assert entry.shape == gradient.shape
        # 32 roundings of numbers near 1, on either side
        np.testing.assert_allclose(entry, gradient, rtol=0, atol=64 * U * np.abs(gradient).max())


def test_the_cotangent_of_a_linear_loss_is_its_target() -> None:
    case = draw_case(Architecture((3, 2), (), ls.WeightedSum()), 0)
    found = estimate(case)
    assert found.entries.keys() == {edge_name(0)}
    np.testing.assert_array_equal(found.entries["input"], case.target)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_penalties_act_on_the_weights_of_dense_layers_alone(strength: float) -> None:
    layers = (ops.Dense(3), ops.PReLU(), ops.Dense(2, bias=False))
    plain = Architecture((2, 2), layers, ls.WeightedSum())
    penal = Architecture((2, 2), layers, ls.WeightedSum(), (ls.L1(strength), ls.L2(2 * strength)))
    case = draw_case(plain, 0, "exact")
    before = estimate(case)
    after = estimate(make_case(penal, case.parameters, case.input, case.target))
    added = 0.0
    for name, entry in before.entries.items():
        w = case.parameters[name] if name.endswith("weight") else np.zeros(entry.shape)
        added += strength * np.sum(np.abs(w) + w * w)
        np.testing.assert_array_equal(after.entries[name], entry + strength * (np.sign(w) + 2 * w))
    assert after.loss == before.loss + added


def same(a: Estimate, b: Estimate) -> bool:
    return a.loss == b.loss and all(
        np.array_equal(entry, b.entries[name]) for name, entry in a.entries.items()
    )


def test_a_float32_case_is_computed_in_float64() -> None:
    architecture = Architecture((3, 2), (ops.Dense(4), ops.GELU()), ls.SquaredError())
    case = draw_case(architecture, 0, dtype="float32")
    assert case.input is not None
    assert case.input.dtype == np.float32
    wide = make_case(architecture, case.parameters, case.input, case.target, dtype="float64")
    assert same(estimate(case), estimate(wide))


def test_cases_of_one_architecture_are_compiled_once() -> None:
    def architecture() -> Architecture:
        return Architecture((5, 7), (ops.Dense(3),), ls.SquaredError())

    estimate(draw_case(architecture(), 0))
    before = with_jax._gradients.cache_info()
    estimate(draw_case(architecture(), 1, "extreme", "float32"))
    after = with_jax._gradients.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)
    assert after.maxsize is not None


def test_the_host_keeps_its_jax_as_it_was() -> None:
    case = draw_case(Architecture((3, 2), (ops.Dense(2), ops.Softplus()), ls.CrossEntropy()), 0)
    expected = estimate(case)
    assert jnp.zeros(1).dtype == jnp.float32
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.default_matmul_precision("bfloat16"),
        jax.debug_nans(True),
    ):
        assert same(estimate(case), expected)
        with pytest.raises(ValueError, match="rank_promotion"):
            jnp.zeros((1, 1)) + jnp.zeros(1)
    assert jnp.zeros(1).dtype == jnp.float32


def test_overflow_is_reported_as_nan_whatever_the_host_debugs() -> None:
    architecture = Architecture((1, 2), (ops.Square(), ops.Sine()), ls.WeightedSum())
    case = make_case(architecture, {}, [[1e200, 1.0]], [[1.0, 0.0]])
    with jax.debug_nans(True), jax.debug_infs(True):
        assert np.isnan(estimate(case).loss)


def test_a_jax_without_a_cpu_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(platform: str) -> list[Any]:
        raise RuntimeError("Unknown backend cpu")

    case = draw_case(Architecture((3, 2), (), ls.SquaredError()), 0)
    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(Unsupported, match="Unknown backend cpu"):
        estimate(case)


def test_importing_backproof_does_not_import_jax() -> None:
    code = "import sys, backproof; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
