"""What every activation's page must satisfy, whatever its formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from instances import ACTIVATION_INSTANCES, activation_id, activation_parameters

from backproof.architectures import operators as ops
from backproof.architectures.operators import ACTIVATIONS, Operator, output_shape
from backproof.reference.arrays import regions
from backproof.reference.pages import LAYERS

pytestmark = pytest.mark.filterwarnings("error")

Array = npt.NDArray[Any]
U = float(np.finfo(np.float64).eps) / 2
STEP = 1e-30
"""Of the complex step: its square is below u times anything here."""

ROWS = (ops.Softmax, ops.LogSoftmax, ops.GLU, ops.SwiGLU)
"""The activations in which an output depends on more than one input."""

each = pytest.mark.parametrize("op", ACTIVATION_INSTANCES, ids=activation_id)
each_piecewise = pytest.mark.parametrize(
    "op", [op for op in ACTIVATION_INSTANCES if LAYERS[type(op)].kink], ids=activation_id
)
each_entrywise = pytest.mark.parametrize(
    "op", [op for op in ACTIVATION_INSTANCES if not isinstance(op, ROWS)], ids=activation_id
)


def pieces(op: Operator, p: dict[str, Array], x: Array) -> Array | None:
    kink = LAYERS[type(op)].kink
    return None if kink is None else regions(kink(op, p, x))


def forward(op: Operator, p: dict[str, Array], x: Array) -> Array:
    y: Array = LAYERS[type(op)].forward(op, p, x, pieces(op, p, x))[0]
    return y


def gradients(
    op: Operator, p: dict[str, Array], x: Array, y_bar: Array
) -> tuple[Array, dict[str, Array]]:
    page = LAYERS[type(op)]
    saved = page.forward(op, p, x, pieces(op, p, x))[1]
    x_bar, p_bar = page.backward(op, p, saved, y_bar)
    return x_bar, p_bar


def example(
    op: Operator, seed: int = 0, replicas: tuple[int, ...] = (), shape: tuple[int, int] = (5, 6)
) -> tuple[dict[str, Array], Array, Array]:
    """Parameters, x and y_bar at random; |x| < 4 puts entries on every piece but the flattest."""
    rng = np.random.default_rng(seed)
    p = activation_parameters(op, shape[1], rng, replicas)
    x = rng.uniform(-4, 4, (*replicas, *shape))
    return p, x, rng.normal(size=(*replicas, *output_shape(op, shape)))


def test_every_activation_is_here_and_has_a_page() -> None:
    assert {type(op) for op in ACTIVATION_INSTANCES} == set(ACTIVATIONS)
    assert set(ACTIVATIONS) <= set(LAYERS)


@each
def test_backward_is_the_complex_step_of_forward(op: Operator) -> None:
    """For every entry of x and of the parameters.

    Where nothing cancels, each of the two sides is some ten rounded operations.  Summed
    over the outputs, their error is relative to the sum of the absolute terms.
    """
    p, x, y_bar = example(op)
    branch = pieces(op, p, x)
    x_bar, p_bar = gradients(op, p, x, y_bar)

    def check(bar: Array, moved: dict[str, Array], z: Array) -> None:
        y = LAYERS[type(op)].forward(op, moved, z, branch)[0]
        terms = y_bar * y.imag / STEP
        want = terms.sum(axis=(-2, -1)).reshape(bar.shape)
        size = np.abs(terms).sum(axis=(-2, -1)).reshape(bar.shape)
        assert np.all(np.abs(bar - want) <= 32 * U * size)

    still = {name: w[None] for name, w in p.items()}
    check(x_bar, still, x + 1j * STEP * np.eye(x.size).reshape(x.size, *x.shape))
    assert p_bar.keys() == p.keys()
    for name, w in p.items():
        moved = w + 1j * STEP * np.eye(w.size).reshape(w.size, *w.shape)
        check(p_bar[name], {**still, name: moved}, x[None])


@each
def test_float32_stays_float32_and_is_float64_rounded(op: Operator) -> None:
    """Ten operations of relative error u, and an exponential of an argument below 32."""
    p64, x64, y_bar64 = example(op)
    p, x, y_bar = (
        {k: w.astype("f4") for k, w in p64.items()},
        x64.astype("f4"),
        y_bar64.astype("f4"),
    )
    y, (x_bar, p_bar) = forward(op, p, x), gradients(op, p, x, y_bar)

    p64, x64, y_bar64 = (
        {k: w.astype("f8") for k, w in p.items()},
        x.astype("f8"),
        y_bar.astype("f8"),
    )
    want_y, (want_x, want_p) = forward(op, p64, x64), gradients(op, p64, x64, y_bar64)
    u = float(np.finfo(np.float32).eps) / 2
    for got, want in [(y, want_y), (x_bar, want_x), *((p_bar[k], want_p[k]) for k in p)]:
        assert got.dtype == np.float32
        assert want.dtype == np.float64
        np.testing.assert_allclose(got, want, rtol=42 * u, atol=10 * u)


@each
def test_complex_forward_is_the_real_one_plus_a_tiny_imaginary_part(op: Operator) -> None:
    p, x, _ = example(op)
    branch = pieces(op, p, x)
    z = LAYERS[type(op)].forward(op, p, x + 1j * STEP, branch)[0]
    assert z.dtype == np.complex128
    np.testing.assert_allclose(z.real, forward(op, p, x), rtol=8 * U, atol=8 * U)


EXTREMES = {
    "f4": (1e3, 1e6, 1e30),
    "f8": (1e3, 1e6, 1e300),
    "c16": (1e3, 1e6, 1e300),
}


@each
@pytest.mark.parametrize("dtype", EXTREMES)
def test_extremes_are_finite_and_without_warning(op: Operator, dtype: str) -> None:
    big = [b for e in EXTREMES[dtype] for b in (e, -e)]
    rows = [[b, 0.5] for b in big] + [[-2.0, b] for b in big] + [[big[-2], big[-1]], [1.0, 1.0]]
    x = np.array(rows, dtype)
    if isinstance(op, ops.Square):  # whose value must be representable too
        x = np.sign(x) * np.sqrt(np.abs(x))
    if isinstance(op, ops.Exp):
        x = np.where(x.real > 80, 80, x).astype(dtype)
    if isinstance(op, ops.SwiGLU):
        x = x[:-2]
    p = {
        k: w.astype(dtype)
        for k, w in activation_parameters(op, 2, np.random.default_rng(0)).items()
    }
    if dtype == "c16":
        y = forward(op, p, x + 1j * STEP)
    else:
        y = forward(op, p, x)
        x_bar, p_bar = gradients(op, p, x, np.ones_like(y))
        assert np.isfinite(x_bar).all()
        assert all(np.isfinite(w).all() for w in p_bar.values())
    assert np.isfinite(y).all()


@each_entrywise
@given(x=arrays(np.float64, (2, 4), elements=st.floats(-1e300, 1e300)))
def test_any_input_has_a_finite_value_and_slope(op: Operator, x: Array) -> None:
    if isinstance(op, ops.Square):
        x = x / 1e150
    if isinstance(op, ops.Exp):
        x = np.minimum(x, 700)
    p = activation_parameters(op, 4, np.random.default_rng(0))
    y = forward(op, p, x)
    x_bar, _ = gradients(op, p, x, np.ones_like(y))
    assert np.isfinite(y).all()
    assert np.isfinite(x_bar).all()


@given(
    x=arrays(np.float64, (1, 5), elements=st.floats(-1e3, 1e3)),
    y_bar=arrays(np.float64, (1, 5), elements=st.floats(-1, 1, width=32)),
)
@pytest.mark.parametrize("op", [ops.Softmax(), ops.LogSoftmax()], ids=activation_id)
def test_adding_a_constant_to_x_changes_no_softmax(op: Operator, x: Array, y_bar: Array) -> None:
    """So the gradient has sum 0, to within the rounding of its own entries.

    And within u^2 of y_bar: a second projection leaves u of the u that the first one left.
    """
    x_bar, _ = gradients(op, {}, x, y_bar)
    tiny = np.finfo(np.float64).tiny
    limit = 16 * U * np.abs(x_bar).sum() + (16 * U) ** 2 * np.abs(y_bar).max() + tiny
    assert np.abs(x_bar.sum()) <= limit


# --- kinks ----------------------------------------------------------------------------


def frozen(op: Operator, p: dict[str, Array], x: float, piece: int) -> tuple[float, float]:
    """The value and slope of one analytic piece at x, which may lie outside it."""
    page = LAYERS[type(op)]
    y, saved = page.forward(op, p, np.array([[x]]), np.array([[piece]], np.int8))
    return y.item(), page.backward(op, p, saved, np.ones((1, 1)))[0].item()


def breakpoints(op: Operator) -> tuple[float, ...]:
    kink = LAYERS[type(op)].kink
    assert kink is not None
    points: tuple[float, ...] = kink(op, {}, np.zeros((1, 1))).breakpoints
    return points


@each_piecewise
def test_the_derivative_at_a_kink_is_the_left_one(op: Operator) -> None:
    p = activation_parameters(op, 1, np.random.default_rng(0))
    for i, b in enumerate(breakpoints(op)):
        at = gradients(op, p, np.array([[b]]), np.ones((1, 1)))[0].item()
        assert at == frozen(op, p, b, i)[1]


@each_piecewise
def test_a_frozen_piece_continues_past_its_end(op: Operator) -> None:
    """Across the breakpoint it still follows its tangent, up to curvature (below 8 here)."""
    p = activation_parameters(op, 1, np.random.default_rng(0))
    h = 1e-6
    for i, b in enumerate(breakpoints(op)):
        for piece in (i, i + 1):
            (left, left_slope), (right, right_slope) = (
                frozen(op, p, t, piece) for t in (b - h, b + h)
            )
            slope = frozen(op, p, b, piece)[1]
            assert abs(right - left - 2 * h * slope) <= 8 * h**2
            assert abs(right_slope - left_slope) <= 8 * 2 * h


@each_piecewise
def test_smooth_says_whether_the_first_derivative_is_continuous(op: Operator) -> None:
    kink = LAYERS[type(op)].kink
    assert kink is not None
    p = activation_parameters(op, 1, np.random.default_rng(0))
    continuous = all(
        frozen(op, p, b, i) == pytest.approx(frozen(op, p, b, i + 1), abs=4 * U)
        for i, b in enumerate(breakpoints(op))
    )
    assert kink(op, {}, np.zeros((1, 1))).smooth is continuous


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("t", [0.5, 0.3])
def test_hard_shrink_is_zero_at_its_jumps(t: float, dtype: str) -> None:
    """|x| > t is false there: a value on the wrong side would be off by t, not by rounding."""
    op = ops.HardShrink(threshold=t)
    x = np.array([[-t, t]], dtype)
    assert not forward(op, {}, x).any()
    assert not gradients(op, {}, x, np.ones_like(x))[0].any()
    outside = np.nextafter(x, 2 * x)
    assert np.array_equal(forward(op, {}, outside), outside)


# --- arrays ---------------------------------------------------------------------------


@each
def test_arguments_are_left_alone(op: Operator) -> None:
    """Arrays that cannot be written to give the same results as arrays that can."""
    p, x, y_bar = example(op)
    want_y, (want_x, want_p) = forward(op, p, x), gradients(op, p, x, y_bar)
    for a in (x, y_bar, *p.values()):
        a.flags.writeable = False
    y, (x_bar, p_bar) = forward(op, p, x), gradients(op, p, x, y_bar)
    for got, want in [(y, want_y), (x_bar, want_x), *((p_bar[k], want_p[k]) for k in p)]:
        assert np.array_equal(got, want)


@each
def test_replicas_are_a_loop(op: Operator) -> None:
    """Order of summation and of vector instructions may differ: a few u of values near 1."""
    p, x, y_bar = example(op, replicas=(6,))
    y, (x_bar, p_bar) = forward(op, p, x), gradients(op, p, x, y_bar)
    for k in range(6):
        own = {name: w[k] for name, w in p.items()}
        one, (one_x, one_p) = forward(op, own, x[k]), gradients(op, own, x[k], y_bar[k])
        assert {n: w.shape for n, w in one_p.items()} == {n: w.shape for n, w in own.items()}
        for got, want in [(y[k], one), (x_bar[k], one_x), *((p_bar[n][k], one_p[n]) for n in own)]:
            np.testing.assert_allclose(got, want, rtol=8 * U, atol=64 * U, strict=True)


@pytest.mark.parametrize("shared", [True, False])
def test_one_slope_serves_every_replica(shared: bool) -> None:
    op = ops.PReLU(shared=shared)
    p, _, _ = example(op, replicas=(1,))
    _, x, y_bar = example(op, replicas=(3,))
    p_bar = gradients(op, p, x, y_bar)[1]
    assert p_bar["slope"].shape == (3, *p["slope"].shape[1:])


@each
def test_the_radius_is_positive_and_one_for_each_entry_or_for_all(op: Operator) -> None:
    radius = LAYERS[type(op)].radius
    _, x, _ = example(op, replicas=(2,))
    if radius is not None:
        r = np.asarray(radius(op, x))
        assert r.shape in ((), x.shape)
        assert (r > 0).all()
