"""The rounding model: each operation's noise is what it says, and covers real float32 errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, Case, DType, draw_case, make_case, stream
from backproof.architectures.generation import Limits, generate
from backproof.checkers.comparison import ALPHA
from backproof.checkers.noise import INJECTED, LARGEST, SMALLEST, UNIT, Noise, replicate
from backproof.checkers.rounding import REPLICAS, SECOND_LOOK, Rounding, measure, norm, promote, rms
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays

K = 20_000
SIGMAS = 6 / np.sqrt(2 * K)
"""The deviation of K Gaussian draws is known to 1 / sqrt(2 K) of itself; six times that."""

every_dtype = pytest.mark.parametrize("dtype", DTYPES)

A = np.array([[0.75, -2.5, 3.0], [1.25, 0.5, 7.0]])
B = np.array([[1.5, 0.25, -6.0], [2.0, 9.0, 0.125]])


def noise_of(dtype: DType = "float64", name: str = "noise") -> Noise:
    return Noise(stream(0, name), dtype, K)


def spread(result: Any, plain: Array) -> Array:
    """The measured deviation of each entry of `result` around `plain`."""
    return rms(np.asarray(result).view(np.ndarray) - plain)


# --- the noise of each operation --------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("op", [np.add, np.subtract, np.multiply, np.divide])
def test_arithmetic_errs_by_a_uniform_rounding_error(op: np.ufunc, dtype: DType) -> None:
    noise = noise_of(dtype)
    plain = op(A, B)
    found = spread(op(replicate(A, noise), replicate(B, noise)), plain)
    np.testing.assert_allclose(found, INJECTED[dtype] / np.sqrt(3) * np.abs(plain), rtol=SIGMAS)


@pytest.mark.parametrize("op", [np.sqrt, np.square])
def test_roots_and_squares_err_by_a_uniform_rounding_error(op: np.ufunc) -> None:
    plain = op(np.abs(A))
    found = spread(op(replicate(np.abs(A), noise_of())), plain)
    np.testing.assert_allclose(found, INJECTED["float64"] / np.sqrt(3) * plain, rtol=SIGMAS)


@pytest.mark.parametrize(
    "op",
    [
        np.exp,
        np.expm1,
        np.log,
        np.log1p,
        np.tanh,
        np.sin,
        np.cos,
        scipy.special.erf,
        scipy.special.expit,
        scipy.special.ndtr,
    ],
    ids=lambda op: op.__name__,
)
def test_transcendental_functions_err_by_1_1_units(op: np.ufunc) -> None:
    plain = op(np.abs(A))
    found = spread(op(replicate(np.abs(A), noise_of())), plain)
    np.testing.assert_allclose(found, 1.1 * INJECTED["float64"] * np.abs(plain), rtol=SIGMAS)


def dot_deviation(unit: float, n: int, total: Array, squares: Array) -> Array:
    """Higham and Mary's, as NUMERICS states it."""
    deviation: Array = unit / np.sqrt(3) * np.sqrt(n / 3 * total**2 + (n / 6 + 1) * squares)
    return deviation


@every_dtype
def test_a_dot_product_errs_as_higham_and_mary_say(dtype: DType) -> None:
    noise = noise_of(dtype)
    b = B.T.copy()
    found = spread(replicate(A, noise) @ replicate(b, noise), A @ b)
    right = dot_deviation(INJECTED[dtype], 3, A @ b, A**2 @ b**2)
    np.testing.assert_allclose(found, right, rtol=SIGMAS)


@pytest.mark.parametrize("axis", [-1, -2, (-2, -1)])
def test_a_sum_errs_as_the_dot_product_with_ones(axis: Any) -> None:
    found = spread(replicate(A, noise_of()).sum(axis=axis), A.sum(axis=axis))
    n = A.size // np.asarray(A.sum(axis=axis)).size
    right = dot_deviation(INJECTED["float64"], n, A.sum(axis=axis), (A**2).sum(axis=axis))
    np.testing.assert_allclose(found, right, rtol=SIGMAS)


def test_a_sum_of_one_term_errs_as_one_rounding() -> None:
    column = A[:, :1]
    found = spread(replicate(column, noise_of()).sum(axis=-1), column[:, 0])
    np.testing.assert_allclose(
        found, INJECTED["float64"] / np.sqrt(3) * np.abs(column[:, 0]), rtol=SIGMAS
    )


@pytest.mark.parametrize(
    "op",
    [
        np.negative,
        np.abs,
        np.sign,
        lambda x: np.maximum(x, 0.0),
        lambda x: np.where(x > 0, x, 0.0),
        lambda x: np.swapaxes(x, -1, -2),
        lambda x: np.max(x, axis=-1, keepdims=True),
    ],
)
def test_what_rounds_nothing_is_not_perturbed(op: Callable[[Any], Any]) -> None:
    found = np.asarray(op(replicate(A, noise_of()))).view(np.ndarray)
    assert np.array_equal(found, np.broadcast_to(op(A), found.shape))


@every_dtype
def test_a_result_below_the_smallest_normal_number_may_vanish_but_not_change_sign(
    dtype: DType,
) -> None:
    """Hardware may flush it to zero, which no relative error can say."""
    noise = noise_of(dtype)
    floor = SMALLEST[dtype] * noise.unit / UNIT[dtype]
    small = np.array([[floor / 4, -floor / 4, 0.0]])
    found = np.asarray(replicate(small, noise) * 1).view(np.ndarray)[:, 0] / floor
    assert (found[:, 0] >= 0).all() and (found[:, 1] <= 0).all() and (found[:, 2] == 0).all()
    assert found[:, 0].min() < 1e-3 and found[:, 0].max() > 0.49


@every_dtype
def test_underflow_adds_at_most_the_smallest_normal_number(dtype: DType) -> None:
    noise = noise_of(dtype)
    floor = SMALLEST[dtype] * noise.unit / UNIT[dtype]
    found = np.asarray(replicate(np.array([[8 * floor]]), noise) * 1).view(np.ndarray)
    # its own relative error of some units is far below the floor
    assert np.abs(found / floor - 8).max() == pytest.approx(1, abs=1e-5)


# --- constants --------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [0.5, 3.0, -0.125, 2, 0.044715, 0.1, 1.0 + 2.0**-30])
def test_a_constant_is_perturbed_only_where_24_bits_do_not_hold_it(constant: float) -> None:
    found = spread(replicate(A, noise_of()) * constant, A * constant)
    roundings = 1 if float(np.float32(constant)) == constant else 2
    right = INJECTED["float64"] * np.sqrt(roundings / 3) * np.abs(A * constant)
    np.testing.assert_allclose(found, right, rtol=SIGMAS)


def test_a_constant_has_one_error_for_all_entries_of_a_replica() -> None:
    errors = np.asarray(replicate(np.ones((1, 2)), noise_of()) * 0.1).view(np.ndarray) - 0.1
    correlation = float(np.corrcoef(errors[:, 0, 0], errors[:, 0, 1])[0, 1])
    # half of each variance is the constant's; a correlation of K draws is known to 1/sqrt(K)
    assert correlation == pytest.approx(0.5, abs=6 / np.sqrt(K))


def test_infinite_constants_are_left_alone() -> None:
    assert noise_of().constant(np.inf, 2) == np.inf


# --- what has no model ------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.arctan2(x, x),
        lambda x: np.floor_divide(x, x),
        lambda x: np.prod(x, axis=-1),
        lambda x: np.add.accumulate(x, axis=-1),
        lambda x: np.add(x, x, out=np.empty(x.shape)),
        lambda x: np.linalg.norm(x),
        lambda x: np.sort(x),
        lambda x: np.einsum("kij->ki", x),
        lambda x: np.arctan2(1.0, x),
        lambda x: np.multiply.reduce(x * (1 + 1j), axis=-1),
        lambda x: np.arcsinh(x * (1 + 1j)),
    ],
)
def test_a_function_without_a_model_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="no rounding model"):
        call(replicate(A, noise_of()))


# --- complex numbers, whose imaginary part is a tangent ----------------------------------

TINY = 2.0**-100


def tangent(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    made: Array = rng.normal(size=shape) + 1j * TINY * rng.normal(size=shape)
    return made


@pytest.mark.parametrize(
    "name, op",
    [
        ("add", lambda a, b: a + b),
        ("multiply", lambda a, b: a * b),
        ("divide", lambda a, b: a / b),
        ("square", lambda a, b: np.square(a)),
        ("exp", lambda a, b: np.exp(a)),
        ("tanh", lambda a, b: np.tanh(a)),
        ("matmul", lambda a, b: a @ np.swapaxes(b, -1, -2)),
        ("sum", lambda a, b: (a * b).sum(axis=-1)),
        ("constant", lambda a, b: a * 0.1),
    ],
)
def test_complex_noise_covers_the_rounding_of_a_tangent(
    name: str, op: Callable[[Any, Any], Any]
) -> None:
    """Complex64 errs no more than the model says, up to the sampling error, and not absurdly less.

    The model takes the mean square of a uniform rounding error at the worst place in a
    binade, and more than one rounding where the tangent is a sum: up to 8 times in all.
    The data are rounded to complex64 first, so that only the operation is compared.
    """
    rng = stream(1, f"complex {name}")
    n = 4000
    a, b = (tangent(rng, (n, 3, 4)).astype(np.complex64) for _ in range(2))
    real = {"exp", "tanh"}
    wide = op(a.astype(np.complex128), b.astype(np.complex128))
    error = np.asarray(op(a, b) - wide)
    noise = Noise(stream(2, name), "float32", 1)
    spreads = []
    for _ in range(16):
        noisy = op(
            replicate(a.astype(np.complex128), noise), replicate(b.astype(np.complex128), noise)
        )
        spreads.append(np.asarray(noisy).view(np.ndarray)[0] - wide)
    model = np.array(spreads)
    for part in (np.real, np.imag):
        ratio = float(rms(part(error).ravel()) / rms(part(model).ravel()))
        # NumPy's complex exp and tanh in single precision are good to a few units only
        assert (0.1 if name not in real else 0.05) < ratio < 1.5, (part, ratio)


# --- measuring a case -------------------------------------------------------------------


@cache
def cases(dtype: DType, count: int = 60) -> tuple[Case, ...]:
    """Random cases over the generic and the extreme lane."""
    return tuple(
        draw_case(a, i, "generic" if i % 4 else "extreme", dtype)
        for i, a in enumerate(generate(Limits(), "generic", dtype, 7, count))
    )


def float32_errors(case: Case) -> tuple[Arrays, Arrays]:
    """The gradients of the float32 reference less the float64 one's, and these, on one piece."""
    wide = promote(case)
    with np.errstate(all="ignore"):
        right = network.forward(wide)
        exact = network.backward(wide, right)
        rough = network.forward(case, branches=right.branches)
        found = network.backward(case, rough)
    return {name: found[name].astype(np.float64) - g for name, g in exact.items()}, exact


def test_the_model_covers_the_true_error_of_float32_and_is_not_absurdly_large() -> None:
    """Never more than Student's t allows; in the median between a tenth and twice the model.

    The model may exceed the error: it takes the mean square of a rounding error at the worst
    place in a binade (sqrt 2 above the average), no fused operation, no exact addition.
    """
    ratios = []
    for case in cases("float32"):
        measured = measure(case, seed=case.seed)
        if measured.overflows:
            continue
        for name, error in float32_errors(case)[0].items():
            allowed = measured.factor(ALPHA)
            assert norm(error) <= allowed * measured.norm(name), (case.architecture, name)
            per_entry = measured.factor(ALPHA / error.size) * measured.entries(name)
            assert (np.abs(error) <= per_entry).all(), (case.architecture, name)
            if norm(error) > 0:
                ratios.append(norm(error) / measured.norm(name))
    assert len(ratios) > 200
    assert 0.1 < np.median(ratios) < 2  # measured 0.42


def test_float64_noise_is_float32_noise_scaled_by_the_units() -> None:
    """The error is linear in the unit, so 2^-40 is injected and scaled down.

    256 replicas know a deviation to 1 / sqrt(512); two are compared at six sigma.
    """
    a = Architecture(
        (3, 4), (ops.Dense(4), ops.GELU(), ops.Dense(2), ops.Tanh()), ls.SquaredError("mean")
    )
    narrow = draw_case(a, 3, dtype="float32")
    wide = promote(narrow)
    rough, fine = (measure(c, replicas=SECOND_LOOK) for c in (narrow, wide))
    for name in a.tensors:
        ratio = fine.norm(name) / rough.norm(name)
        assert ratio * 2.0**29 == pytest.approx(1, abs=6 * np.sqrt(2 / 512))


def test_the_absolute_errors_along_a_direction_are_those_of_the_gradient() -> None:
    case = cases("float64")[0]
    measured = measure(case)
    name = next(iter(case.architecture.tensors))
    d = measured.deviations[name]
    v = stream(0, "v").standard_normal((3, *d.shape[1:]))
    right = [np.sqrt(np.mean([np.sum(one * w) ** 2 for one in d])) for w in v]
    np.testing.assert_allclose(measured.along(name, v), right, rtol=1e-10)  # 1e6 roundings
    units = np.eye(d[0].size).reshape(-1, *d.shape[1:])
    found = measured.along(name, units).reshape(d.shape[1:])
    np.testing.assert_allclose(found, measured.entries(name), rtol=1e-13)  # 1e3 roundings


def test_the_same_seed_draws_the_same_noise_and_another_seed_other_noise() -> None:
    case = cases("float64")[1]
    one, again, other = measure(case, seed=1), measure(case, seed=1), measure(case, seed=2)
    for name, d in one.deviations.items():
        assert np.array_equal(d, again.deviations[name])
    assert any(not np.array_equal(d, other.deviations[n]) for n, d in one.deviations.items())
    assert one.replicas == REPLICAS and measure(case, replicas=8).replicas == 8


def chain(*layers: ops.Layer, x: Any, dtype: DType = "float64") -> Case:
    """Layers without parameters under a loss whose cotangent is 1."""
    rows = np.atleast_2d(x)
    a = Architecture((len(rows), rows.shape[1]), layers, ls.WeightedSum())
    return make_case(a, {}, rows, np.ones(a.target_shape), dtype=dtype)


def test_values_that_leave_the_range_of_the_dtype_are_flagged() -> None:
    wide = chain(ops.Square(), ops.Square(), x=[[1e12, 1.0]])
    narrow = replace(wide, dtype="float32")
    assert not measure(wide).overflows
    assert measure(narrow).overflows
    assert measure(wide).largest == pytest.approx(1e48, rel=1e-6)
    assert not measure(chain(ops.Square(), x=[[1e15, 1.0]], dtype="float32")).overflows


def test_a_value_that_is_not_finite_counts_as_an_overflow() -> None:
    zero = np.zeros((2, 1))
    assert Rounding("float64", {"loss": zero}, {}, np.nan).overflows
    assert Rounding("float64", {"loss": zero}, {}, np.inf).overflows
    assert not Rounding("float64", {"loss": zero}, {}, 0.5 * LARGEST["float64"]).overflows


def test_the_normwise_model_allows_for_the_textbook_formula_and_the_other_does_not() -> None:
    """1 - tanh(x)^2 in float32 is 0 at x = 12, and right to u of its terms only."""
    x = np.array([[12.0, 6.0, 3.0]])
    case = chain(ops.Tanh(), x=x, dtype="float32")
    t = np.tanh(x.astype(np.float32))
    error = np.abs((1 - t * t).astype(np.float64) - 1 / np.cosh(x) ** 2)
    strict, normwise = measure(case), measure(case, normwise=True)
    assert not (error <= strict.factor(ALPHA) * strict.entries("input")).all()
    assert (error <= normwise.factor(ALPHA) * normwise.entries("input")).all()


@pytest.mark.parametrize("reduction, share", [("sum", 1.0), ("mean", 0.5), ("batch_mean", 0.5)])
def test_the_normwise_error_of_a_loss_is_relative_to_its_reduction(
    reduction: ls.Reduction, share: float
) -> None:
    """No layer: what is left of the cotangent at its zero is the normwise noise alone."""
    a = Architecture((2, 2), (), ls.LogCosh(reduction))
    values = np.ones((2, 2))
    case = make_case(a, {}, values, values)
    measured = measure(case, replicas=4 * SECOND_LOOK, normwise=True)
    np.testing.assert_allclose(
        measured.entries("input"), UNIT["float64"] * share, rtol=6 / np.sqrt(8 * SECOND_LOOK)
    )


def test_noise_is_drawn_on_the_pieces_that_are_asked_for() -> None:
    case = chain(ops.ReLU(), x=[[0.0, 0.0]])
    right = {"layers.0": np.ones((1, 2), np.int8)}
    assert measure(case).norm("input") <= SMALLEST["float64"] * 8
    assert measure(case, branches=right).norm("input") > 0


# --- factors and norms ------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1e-2, 1e-7, 1e-12])
def test_the_factor_is_students_t(alpha: float) -> None:
    t = scipy.stats.t.isf(alpha / 2, df=REPLICAS)
    zero = np.zeros((REPLICAS, 1))
    single, double = (Rounding(dtype, {"loss": zero}, {}, 0.0) for dtype in ("float32", "float64"))
    assert single.factor(alpha) == pytest.approx(t, rel=1e-8)
    assert double.factor(alpha) == pytest.approx(np.sqrt(2) * t, rel=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e-320, 1e200])
def test_norms_neither_underflow_nor_overflow(scale: float) -> None:
    x = scale * np.array([[3.0, 4.0], [3.0, -4.0]])
    rel = 1e-3 if scale < 1e-307 else 1e-15  # of a subnormal number few digits are left
    assert norm(x) == pytest.approx(np.sqrt(50) * scale, rel=rel)
    np.testing.assert_allclose(rms(x), scale * np.array([3.0, 4.0]), rtol=rel)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_norms_do_not_hide_what_is_not_finite(bad: float) -> None:
    x = np.array([[1.0, bad], [1.0, 2.0]])
    assert not np.isfinite(norm(x))
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(rms(x)[1]) and rms(x)[0] == 1.0


def test_the_norm_of_nothing_is_zero() -> None:
    assert norm(np.zeros((0, 3))) == 0.0


@every_dtype
def test_promoting_keeps_every_value(dtype: DType) -> None:
    a = Architecture((3, 2), (ops.Dense(3),), ls.CrossEntropy())
    case = draw_case(a, 5, dtype=dtype)
    wide = promote(case)
    assert wide.dtype == "float64" and wide.target.dtype == np.int64
    assert case.input is not None and wide.input is not None
    assert np.array_equal(wide.input, case.input) and wide.input.dtype == np.float64
