"""Every loss: its derivation against complex step, fifty digits, and its own specification."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from loss_instances import BATCH, CLASSES, LOSS_INSTANCES, PROBABILITIES, WEIGHTS, draw, loss_id
from loss_specification import Exact, exact
from msgspec.structs import replace

from backproof.architectures import losses
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.architectures.losses import L1, L2, LOSSES, Loss
from backproof.architectures.operators import Dense, Sigmoid
from backproof.checkers import rounding
from backproof.reference import pages
from backproof.reference.arrays import Array, Kink, regions
from backproof.reference.losses import penalties

U = 2.0**-53
STEP = 1e-30  # of the complex step: its square vanishes beside any value here

every_loss = pytest.mark.parametrize("loss", LOSS_INSTANCES, ids=loss_id)


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def find_branch(loss: Loss, y: Array, target: Array) -> Array | None:
    kink = pages.LOSSES[type(loss)].kink
    return None if kink is None else regions(kink(loss, y, target))


def value_and_gradient(loss: Loss, y: Array, target: Array) -> tuple[Array, Array]:
    page = pages.LOSSES[type(loss)]
    value, saved = page.forward(loss, y, target, find_branch(loss, y, target))
    return value, page.backward(loss, saved, 1.0)


def complex_step(loss: Loss, y: Array, target: Array) -> Array:
    """The gradient off the page's own forward pass: one replica an entry of y."""
    basis = np.eye(y.size).reshape(y.size, *y.shape)
    branch = find_branch(loss, y, target)
    if branch is not None:
        branch = np.broadcast_to(branch, (y.size, *branch.shape))
    value, _ = pages.LOSSES[type(loss)].forward(loss, y + 1j * STEP * basis, target, branch)
    gradient: Array = value.imag.reshape(y.shape) / STEP
    return gradient


def assert_within(ulps: float, got: Array, right: Array, scale: Array) -> None:
    """|got - right| <= ulps u scale, entry by entry, down to the smallest normal number."""
    allowed = ulps * U * scale + np.finfo(np.float64).tiny
    assert np.shape(got) == np.shape(right)
    assert (np.abs(got - right) <= allowed).all(), np.max(np.abs(got - right) / allowed) * ulps


def gradient_ulps(loss: Loss, y: Array) -> float:
    """Ulps of its natural scale that a gradient may be off.

    Few, but for the softmax: rounding moves z = y - max(y) by up to u |z|, which exp turns
    into a relative error, until exp(z) vanishes at z = -745.  Worst of 8 draws at each
    scale: 3.2 (log_cosh), and 513 for cross-entropy, where z was near -700.
    """
    if isinstance(loss, losses.CrossEntropy):
        return 12 + min(float((y.max(axis=-1) - y.min(axis=-1)).max()), 745.0)
    return 4 + value_ulps(loss, y)


def value_ulps(loss: Loss, y: Array) -> float:
    """The same of a value.  The focal loss's p^gamma is exp(gamma log p), as in the softmax."""
    if isinstance(loss, losses.Focal):
        return 8 + min(loss.gamma * float(np.abs(y).max()), 745.0)
    return 8


def gradient_scale(loss: Loss, y: Array, target: Array, right: Exact) -> Array:
    """What the gradient's error is relative to: the terms that it is summed from.

    Of the cosine these are v and u <u, v>, over |y|, which nearly cancel where y and t are
    parallel; worst of 600 draws at scales from 2^-30 to 1e6: 5.3 u of them.
    """
    if not isinstance(loss, losses.Cosine):
        return right.gradient_scale
    largest = np.abs(y).max() or 1.0  # squares of 1e300 overflow
    size = largest * np.linalg.norm(y / largest, axis=-1, keepdims=True)
    u = np.where(size > loss.epsilon, y / np.maximum(size, loss.epsilon), 0.0)
    v = target / np.maximum(np.linalg.norm(target, axis=-1, keepdims=True), loss.epsilon)
    terms = np.abs(v) + np.abs(u) * np.abs(u * v).sum(axis=-1, keepdims=True)
    rows = len(y) if loss.reduction == "mean" else 1
    return np.asarray(terms / np.maximum(size, loss.epsilon) / rows)


def test_every_loss_has_a_page_and_an_instance_and_a_derivation() -> None:
    """Those of several edges, and of sequences, are in test_pages_of_losses.py."""
    elsewhere = {losses.CTC, *losses.ARITY}
    assert set(pages.LOSSES) == set(LOSSES)
    assert {type(loss) for loss in LOSS_INSTANCES} == set(LOSSES) - elsewhere
    assert all(len(page.derivation.splitlines()) > 2 for page in pages.LOSSES.values())


# --- right -----------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("scale", [1.0, 2.0**-30])
def test_the_gradient_is_the_complex_step_of_its_own_forward_pass(loss: Loss, scale: float) -> None:
    for seed in range(3):
        y, target = draw(loss, seed, scale)
        _, gradient = value_and_gradient(loss, y, target)
        natural = gradient_scale(loss, y, target, exact(loss, y, target, digits=30))
        assert_within(12, gradient, complex_step(loss, y, target), natural)


@every_loss
@pytest.mark.parametrize("scale", [1.0, 16.0, 2.0**-30])
def test_value_and_gradient_are_right_to_a_few_ulps(loss: Loss, scale: float) -> None:
    y, target = draw(loss, seed=7, scale=scale)
    value, gradient = value_and_gradient(loss, y, target)
    right = exact(loss, y, target, digits=60)
    assert_within(value_ulps(loss, y), value, right.value, right.value_scale)
    scale_of = gradient_scale(loss, y, target, right)
    assert_within(gradient_ulps(loss, y), gradient, right.gradient, scale_of)


def squares(loss: Loss) -> bool:
    return isinstance(loss, losses.SquaredError | losses.SquaredHinge)


@pytest.mark.parametrize(("scale", "digits"), [(1e3, 330), (1e6, 60), (1e300, 60)])
@pytest.mark.parametrize(
    "loss",
    [loss for loss in LOSS_INSTANCES if getattr(loss, "reduction", "mean") == "mean"],
    ids=loss_id,
)
def test_value_and_gradient_are_right_at_extreme_outputs(
    loss: Loss, scale: float, digits: int
) -> None:
    """exp(-1000) is 1e-435; the last float64 above 0 is 5e-324."""
    y, target = draw(loss, seed=3, scale=1e100 if scale > 1e150 and squares(loss) else scale)
    value, gradient = value_and_gradient(loss, y, target)
    right = exact(loss, y, target, digits)
    assert_within(value_ulps(loss, y), value, right.value, right.value_scale)
    scale_of = gradient_scale(loss, y, target, right)
    assert_within(gradient_ulps(loss, y), gradient, right.gradient, scale_of)


@every_loss
@pytest.mark.parametrize("scale", [1e3, 1e6, 1e300])
@pytest.mark.parametrize("pattern", ["equal", "one up", "one down"])
def test_nothing_overflows_or_is_nan(loss: Loss, scale: float, pattern: str) -> None:
    if squares(loss) and scale > 1e150:
        scale = 1e150
    row = {"equal": [1, 1, 1], "one up": [1, 0, 0], "one down": [0, -1, 0]}[pattern]
    _, target = draw(loss)
    y = np.tile(scale * np.array(row, dtype=float), (BATCH, 1))
    for sign in (1, -1):
        value, gradient = value_and_gradient(loss, sign * y, target)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("r", [1e-160, 1e-20, 1e-8, 1e-3, 3.99, 4.01, 30.0, 1e15])
def test_log_cosh_is_accurate_at_small_and_large_residuals(r: float) -> None:
    loss, y, target = losses.LogCosh("sum"), np.array([[r, -r]]), np.zeros((1, 2))
    value, gradient = value_and_gradient(loss, y, target)
    right = exact(loss, y, target, digits=400)
    assert_within(8, value, right.value, right.value_scale)
    assert_within(4, gradient, right.gradient, np.abs(right.gradient))


@pytest.mark.parametrize("lead", [1.0, 20.0, 40.0, 700.0])
def test_a_sure_and_right_classifier_keeps_its_digits(lead: float) -> None:
    """Loss and gradient are then about exp(-lead), each relative to itself."""
    y, target = np.array([[lead, 0.0, 0.0, 0.0]]), np.array([0])
    loss = losses.CrossEntropy()
    value, gradient = value_and_gradient(loss, y, target)
    right = exact(loss, y, target, digits=400)
    assert_within(8, value, right.value, right.value)
    assert_within(8, gradient, right.gradient, np.abs(right.gradient))

    binary = losses.BinaryCrossEntropyWithLogits(reduction="sum")
    y, target = np.array([[lead, -lead]]), np.array([[1.0, 0.0]])
    value, gradient = value_and_gradient(binary, y, target)
    right = exact(binary, y, target, digits=400)
    assert_within(8, value, right.value, right.value)
    assert_within(8, gradient, right.gradient, np.abs(right.gradient))


@pytest.mark.parametrize("epsilon", [0.25, 2.0**-20, 1e-8, 1e-20, 1e-300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_is_finite_up_to_both_ends(epsilon: float, dtype: Any) -> None:
    """Also where 1 - epsilon rounds to 1."""
    if epsilon < 1e-40 and dtype is np.float32:
        return  # below every normal float32
    loss = losses.BinaryCrossEntropy(epsilon, "sum")
    y = np.array([[0.0, 1.0, 1.0, 0.0]], dtype=dtype)
    target = np.array([[0.0, 1.0, 0.0, 1.0]], dtype=dtype)
    value, gradient = value_and_gradient(loss, y, target)
    assert float(value) == pytest.approx(
        -2 * np.log(epsilon) - 2 * np.log1p(-epsilon), rel=8 * float(np.finfo(dtype).eps)
    )
    assert (gradient == 0).all()


def test_cosine_is_right_at_every_length_of_a_row() -> None:
    rows = np.array([[3.0, -4.0, 1.0]]) * np.array([[1e-200], [1e-9], [1e-3], [1.0], [1e200]])
    target = np.ones((5, 3))
    value, gradient = value_and_gradient(losses.Cosine(), rows, target)
    right = exact(losses.Cosine(), rows, target, digits=60)
    assert_within(8, value, right.value, right.value_scale)
    assert_within(12, gradient, right.gradient, right.gradient_scale)
    value, gradient = value_and_gradient(losses.Cosine(), np.zeros((5, 3)), target)
    assert value == 1
    assert np.isfinite(gradient).all()


# --- pieces ----------------------------------------------------------------------------


PIECEWISE = tuple(loss for loss in LOSS_INSTANCES if pages.LOSSES[type(loss)].kink is not None)


def test_exactly_the_piecewise_losses_have_kinks() -> None:
    assert {loss.name for loss in PIECEWISE} == {
        "absolute_error",
        "huber",
        "smooth_l1",
        "hinge",
        "squared_hinge",
        "binary_cross_entropy",
        "cosine",
    }


def on_a_breakpoint(loss: Any) -> tuple[Array, Array]:
    """An output and target with the first entry or row exactly on the (last) breakpoint."""
    match loss:
        case losses.AbsoluteError():
            return np.array([[1.0]]), np.array([[1.0]])
        case losses.Huber(size) | losses.SmoothL1(size):
            return np.array([[size, -size]]), np.zeros((1, 2))
        case losses.Hinge(margin) | losses.SquaredHinge(margin):
            return np.array([[0.0, -margin, -margin]]), np.array([0])
        case losses.BinaryCrossEntropy(epsilon):
            return np.array([[epsilon]]), np.array([[1.0]])
        case losses.Cosine(epsilon):
            return np.array([[0.0, epsilon]]), np.array([[1.0, 1.0]])
    raise AssertionError(loss)


@pytest.mark.parametrize("loss", PIECEWISE, ids=loss_id)
def test_at_a_breakpoint_the_left_piece_is_taken(loss: Loss) -> None:
    y, target = on_a_breakpoint(loss)
    kink = pages.LOSSES[type(loss)].kink
    assert kink is not None
    argument, breakpoints, _ = kink(loss, y, target)
    assert np.isin(argument, breakpoints).any()
    _, gradient = value_and_gradient(loss, y, target)
    lower = regions(Kink(argument - 1e-6 * np.abs(argument).max() - 1e-12, breakpoints))
    _, saved = pages.LOSSES[type(loss)].forward(loss, y, target, lower)
    np.testing.assert_array_equal(gradient, pages.LOSSES[type(loss)].backward(loss, saved, 1.0))


@pytest.mark.parametrize("loss", PIECEWISE, ids=loss_id)
def test_a_kink_is_smooth_exactly_where_the_pieces_share_a_slope(loss: Loss) -> None:
    y, target = on_a_breakpoint(loss)
    page = pages.LOSSES[type(loss)]
    assert page.kink is not None
    kink = page.kink(loss, y, target)
    tied = np.isin(kink.argument, kink.breakpoints)
    left = regions(kink)
    gradients: list[Array] = []
    for branch in (left, (left + tied).astype(np.int8)):
        _, saved = page.forward(loss, y, target, branch)
        gradients.append(page.backward(loss, saved, 1.0))
    assert np.allclose(gradients[0], gradients[1], rtol=8 * U, atol=0) == kink.smooth


@pytest.mark.parametrize("loss", PIECEWISE, ids=loss_id)
def test_a_frozen_branch_holds_its_piece_across_the_breakpoint(loss: Loss) -> None:
    """The piece is analytic: its complex step matches its gradient on the far side too."""
    y, target = on_a_breakpoint(loss)
    page = pages.LOSSES[type(loss)]
    branch = find_branch(loss, y, target)
    for factor in (0.75, 1.0, 1.25):
        _, saved = page.forward(loss, factor * y, target, branch)
        gradient = page.backward(loss, saved, 1.0)
        for index in np.ndindex(*y.shape):
            moved = (factor * y).astype(complex)
            moved[index] += 1j * STEP
            value, _ = page.forward(loss, moved, target, branch)
            assert value.imag / STEP == pytest.approx(gradient[index], rel=8 * U, abs=8 * U)


@every_loss
def test_the_radius_is_positive_and_fits_the_output(loss: Loss) -> None:
    page = pages.LOSSES[type(loss)]
    y, target = draw(loss)
    r = 1.0 if page.radius is None else page.radius(loss, y, target)
    assert (np.asarray(r) > 0).all()
    np.broadcast_to(r, y.shape)


def test_the_radius_is_the_distance_to_the_singularity() -> None:
    page = pages.LOSSES[losses.BinaryCrossEntropy]
    assert page.radius is not None
    y = np.array([[0.25, 0.875, 0.0, 1.0]])
    r = page.radius(losses.BinaryCrossEntropy(), y, y)
    assert r.tolist() == [[0.25, 0.125, np.inf, np.inf]]
    page = pages.LOSSES[losses.Cosine]
    assert page.radius is not None
    r = page.radius(losses.Cosine(), np.array([[3.0, 4.0], [0.0, 0.0]]), np.ones((2, 2)))
    assert r.tolist() == [[5 / np.sqrt(2)], [np.inf]]


# --- forms -----------------------------------------------------------------------------


@every_loss
def test_float32_stays_float32(loss: Loss) -> None:
    y, target = draw(loss)
    narrow = target if target.dtype == np.int64 else target.astype(np.float32)
    value, gradient = value_and_gradient(loss, y.astype(np.float32), narrow)
    assert value.dtype == gradient.dtype == np.float32
    wide_value, wide = value_and_gradient(loss, y, target)
    scale = np.abs(wide).max()
    assert value == pytest.approx(wide_value, rel=2.0**-18, abs=2.0**-20)  # some 2^5 roundings
    np.testing.assert_allclose(gradient, wide, rtol=0, atol=float(2.0**-18 * scale))


@every_loss
def test_the_arguments_may_be_read_only_and_stay_as_they_were(loss: Loss) -> None:
    y, target = draw(loss)
    before = y.copy(), target.copy()
    y.flags.writeable = target.flags.writeable = False
    first, again = (value_and_gradient(loss, y, target) for _ in range(2))
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(y, before[0])
    np.testing.assert_array_equal(target, before[1])


@every_loss
def test_replicas_equal_a_loop(loss: Loss) -> None:
    target = draw(loss)[1]
    ys = np.stack([draw(loss, seed)[0] for seed in range(6)]).reshape(2, 3, BATCH, CLASSES)
    values, gradients = value_and_gradient(loss, ys, target)
    assert values.shape == (2, 3)
    for index in np.ndindex(2, 3):
        value, gradient = value_and_gradient(loss, ys[index], target)
        assert_within(4, values[index], value, np.abs(value) + 1)
        row = np.broadcast_to(gradients, ys.shape)[index]
        assert_within(4, row, gradient, np.abs(gradient))


@every_loss
def test_the_cotangent_of_the_value_scales_the_gradient(loss: Loss) -> None:
    page = pages.LOSSES[type(loss)]
    y, target = draw(loss)
    _, saved = page.forward(loss, y, target, find_branch(loss, y, target))
    once, thrice = (page.backward(loss, saved, c) for c in (1.0, -3.0))
    assert_within(4, thrice, -3 * once, np.abs(3 * once))


@every_loss
def test_the_rounding_model_accepts_it(loss: Any) -> None:
    """Every operation has a rounding model, and rounding explains only a few ulps."""
    last = (Sigmoid(),) if isinstance(loss, PROBABILITIES) else ()
    case = draw_case(Architecture((BATCH, CLASSES), (Dense(CLASSES), *last), loss), seed=1)
    spread = rounding.measure(case).entries("layers.0.output")
    assert np.isfinite(spread).all()
    assert (spread < 1e-13).all()


# --- relations -------------------------------------------------------------------------


REDUCED = [
    kind
    for kind in dict.fromkeys(type(loss) for loss in LOSS_INSTANCES)
    if "reduction" in kind.__struct_fields__
]


@pytest.mark.parametrize("kind", REDUCED)
def test_reductions_differ_by_their_constants(kind: type[Loss]) -> None:
    loss = kind()
    y, target = draw(loss)
    value, gradient = value_and_gradient(replace(loss, reduction="sum"), y, target)
    rows = kind.__annotations__["reduction"] == "RowReduction"
    constants = {"mean": BATCH if rows else BATCH * CLASSES}
    if not rows:
        constants["batch_mean"] = BATCH
    if kind is losses.SquaredError:
        constants["half_sum"] = 2
    for reduction, constant in constants.items():
        reduced = value_and_gradient(replace(loss, reduction=reduction), y, target)
        assert reduced[0] == pytest.approx(value / constant, rel=4 * U)
        np.testing.assert_allclose(reduced[1], gradient / constant, rtol=4 * U)


def cross_entropy_targets() -> tuple[Array, Array, Array]:
    y, target = draw(losses.CrossEntropy())
    return y, target, np.eye(CLASSES)[target]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_probabilities_equal_class_numbers(smoothing: float) -> None:
    y, target, hot = cross_entropy_targets()
    indices = losses.CrossEntropy("indices", smoothing)
    probabilities = losses.CrossEntropy("probabilities", smoothing)
    for a, b in zip(
        value_and_gradient(indices, y, target),
        value_and_gradient(probabilities, y, hot),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_cross_entropy_is_log_likelihood_of_the_log_softmax() -> None:
    y, target, _ = cross_entropy_targets()
    q = y - np.log(np.exp(y).sum(axis=-1, keepdims=True))
    for weights, ignored in ((None, None), (WEIGHTS, 1)):
        value, _ = value_and_gradient(
            losses.CrossEntropy(class_weights=weights, ignore_index=ignored), y, target
        )
        likelihood = losses.NegativeLogLikelihood(weights, ignored)
        assert value == pytest.approx(value_and_gradient(likelihood, q, target)[0], rel=16 * U)


@pytest.mark.parametrize(
    "loss",
    [loss for loss in LOSS_INSTANCES if isinstance(loss, losses.CrossEntropy | losses.Hinge)],
    ids=loss_id,
)
def test_rows_sum_to_zero_since_a_common_shift_changes_nothing(loss: Loss) -> None:
    y, target = draw(loss)
    _, gradient = value_and_gradient(loss, y, target)
    scale = np.abs(gradient).sum(axis=-1)
    assert_within(4, gradient.sum(axis=-1), np.zeros(BATCH), scale)


def test_ignored_rows_do_not_count() -> None:
    y, target, _ = cross_entropy_targets()
    for kind in (losses.CrossEntropy, losses.NegativeLogLikelihood):
        loss, kept = kind(class_weights=WEIGHTS, ignore_index=1), target != 1
        value, gradient = value_and_gradient(loss, y, target)
        alone, rest = value_and_gradient(replace(loss, ignore_index=None), y[kept], target[kept])
        assert value == pytest.approx(alone, rel=4 * U)
        np.testing.assert_allclose(gradient[kept], rest, rtol=4 * U)
        assert (gradient[~kept] == 0).all()


def test_unit_class_weights_change_nothing() -> None:
    for kind in (losses.CrossEntropy, losses.NegativeLogLikelihood):
        y, target = draw(kind())
        for a, b in zip(
            value_and_gradient(kind(), y, target),
            value_and_gradient(kind(class_weights=(1.0,) * CLASSES), y, target),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_a_single_class_has_no_gradient() -> None:
    y, target = np.array([[3.0], [-2.0]]), np.zeros(2, dtype=np.int64)
    value, gradient = value_and_gradient(losses.CrossEntropy(), y, target)
    assert value == 0
    assert (gradient == 0).all()


def test_binary_cross_entropy_agrees_with_its_logit_form() -> None:
    y, target = draw(losses.BinaryCrossEntropyWithLogits())
    logits, _ = value_and_gradient(losses.BinaryCrossEntropyWithLogits(), y, target)
    p = 1 / (1 + np.exp(-y))
    value, _ = value_and_gradient(losses.BinaryCrossEntropy(), p, target)
    assert value == pytest.approx(logits, rel=16 * U)


def test_smooth_l1_is_huber_divided_by_its_threshold() -> None:
    y, target = draw(losses.Huber())
    for a, b in zip(
        value_and_gradient(losses.Huber(0.5, "sum"), y, target),
        value_and_gradient(losses.SmoothL1(0.5, "sum"), y, target),
        strict=True,
    ):
        np.testing.assert_allclose(a / 0.5, b, rtol=4 * U)


def test_kl_divergence_takes_log_targets_too() -> None:
    y, target = draw(losses.KLDivergence(log_target=True))
    logs = value_and_gradient(losses.KLDivergence(log_target=True), y, target)
    plain = value_and_gradient(losses.KLDivergence(), y, np.exp(target))
    assert logs[0] == pytest.approx(plain[0], rel=16 * U, abs=16 * U)
    np.testing.assert_allclose(logs[1], plain[1], rtol=4 * U)


# --- penalties -------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3), L1(0.0), L2(0.0)], ids=str)
def test_a_penalty_s_gradient_is_its_complex_step(penalty: L1 | L2) -> None:
    w = np.random.default_rng(0).normal(size=(3, 2))
    kink = penalties.kink(penalty, w)
    branch = None if kink is None else regions(kink)
    gradient = penalties.backward(penalty, w, branch)
    basis = np.eye(6).reshape(6, 3, 2)
    pieces = None if branch is None else np.broadcast_to(branch, (6, 3, 2))
    value = penalties.forward(penalty, w + 1j * STEP * basis, pieces)
    assert_within(4, gradient, value.imag.reshape(3, 2) / STEP, np.abs(gradient))


@pytest.mark.parametrize("penalty", [L1(0.0), L2(0.0)], ids=str)
def test_strength_zero_is_exactly_no_decay(penalty: L1 | L2) -> None:
    w = np.array([[0.0, 1e300, -1e-300]])
    kink = penalties.kink(penalty, w)
    branch = None if kink is None else regions(kink)
    assert (penalties.backward(penalty, w, branch) == 0).all()


def test_l1_takes_the_left_slope_at_zero() -> None:
    w = np.array([[0.0, -0.0, 2.0]])
    kink = penalties.kink(L1(0.5), w)
    assert kink is not None
    assert penalties.backward(L1(0.5), w, regions(kink)).tolist() == [[-0.5, -0.5, 0.5]]


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3)], ids=str)
def test_penalties_of_float32_weights_stay_float32(penalty: L1 | L2) -> None:
    w = np.ones((2, 2), dtype=np.float32)
    kink = penalties.kink(penalty, w)
    branch = None if kink is None else regions(kink)
    assert penalties.forward(penalty, w, branch).dtype == np.float32
    assert penalties.backward(penalty, w, branch).dtype == np.float32
