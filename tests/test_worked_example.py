"""The chain rule as a sum over paths, against hand arithmetic and the reference's backward."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backproof import worked_example as book
from backproof.architectures import losses, operators
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.operators import Operator
from backproof.architectures.targets import target_kind
from backproof.checkers import rounding
from backproof.checkers.estimate import Estimate
from backproof.reference import network
from backproof.textbook import (
    TEXTBOOK,
    build,
    find,
    parameters,
    rounded_case,
    textbook_case,
)

UNIT = 2.0**-53

BY_HAND = {
    # C = (a3 - t)^2 / 2 with a3 = 0.1 and t = 0.6, so dC/da3 = -0.5, and the activations
    # are the identity.  The hidden values are a2 = (0.3, -0.1, 0.2).
    "w2_11": "-0.5 * 0.3",
    "w2_12": "-0.5 * -0.1",
    "w2_13": "-0.5 * 0.2",
    "b2_1": "-0.5",
    # Through the weights of layer 2, dC/dz2 = -0.5 (0.4, 0.2, -0.5); a1 = (0.5, -0.2).
    "w1_11": "-0.5 * 0.4 * 0.5",
    "w1_12": "-0.5 * 0.4 * -0.2",
    "w1_21": "-0.5 * 0.2 * 0.5",
    "w1_22": "-0.5 * 0.2 * -0.2",
    "w1_31": "-0.5 * -0.5 * 0.5",
    "w1_32": "-0.5 * -0.5 * -0.2",
    "b1_1": "-0.5 * 0.4",
    "b1_2": "-0.5 * 0.2",
    "b1_3": "-0.5 * -0.5",
}
"""The textbook example's 13 derivatives, worked with pencil and paper."""


def by_hand(name: str) -> float:
    product = Fraction(1)
    for word in BY_HAND[name].split("*"):
        product *= Fraction(word.strip())
    return float(product)


def textbook() -> book.Example:
    return book.differentiate(textbook_case(build(TEXTBOOK)))


def every_derivative(example: book.Example, keep: int = 4) -> list[book.Derivative]:
    return [book.derivative(example, p, keep) for p in parameters(example.architecture).values()]


def test_the_textbook_example_has_13_derivatives() -> None:
    assert set(parameters(build(TEXTBOOK))) == set(BY_HAND)


@pytest.mark.parametrize("name", BY_HAND)
def test_each_is_what_pencil_and_paper_give(name: str) -> None:
    """The product of k decimals, each rounded, is off by 2 k u of itself and of a3's 0.1."""
    example = textbook()
    d = book.derivative(example, find(example.architecture, name))
    assert abs(d.value - by_hand(name)) <= 16 * UNIT * abs(by_hand(name))


def test_a_path_is_its_chain_of_factors_in_order() -> None:
    example = textbook()
    d = book.derivative(example, find(example.architecture, "w1_11"))
    (path,) = d.paths
    assert [str(f) for f in path.factors] == [
        "dC/da3_1", "da3_1/dz3_1", "dz3_1/da2_1", "da2_1/dz2_1", "dz2_1/dw1_11",
    ]  # fmt: skip
    assert [f.value for f in path.factors] == pytest.approx([-0.5, 1, 0.4, 1, 0.5], rel=2 * UNIT)
    assert path.product == d.value


def test_a_step_of_gradient_descent_is_w_minus_the_rate_times_its_derivative() -> None:
    example = textbook()
    gradient = book.gradients(example.architecture, every_derivative(example))
    after = book.descend(example.case, gradient, 0.1)
    np.testing.assert_allclose(
        after.parameters["layers.0.weight"],
        [[0.21, -0.504], [0.605, 0.498], [-0.4125, 0.505]],
        rtol=8 * UNIT,  # three roundings of numbers below 1
    )
    assert book.loss_of(after) < book.loss_of(example.case) == pytest.approx(0.125, rel=8 * UNIT)


def test_a_step_that_overflows_is_refused() -> None:
    example = textbook()
    gradient = book.gradients(example.architecture, every_derivative(example))
    huge = {name: 1e10 * value for name, value in gradient.items()}
    with pytest.raises(ValueError, match="must be finite"):
        book.descend(example.case, huge, 1e300)


# --- sums over paths ---------------------------------------------------------------------

ELEMENTWISE = [cls for cls in operators.ACTIVATIONS if cls.__name__ not in ("GLU", "SwiGLU")]
GATED = [operators.GLU, operators.SwiGLU]
LOSSES: list[losses.Loss] = [
    losses.SquaredError(), losses.LogCosh(), losses.CrossEntropy(), losses.WeightedSum(),
    losses.CrossEntropy(target="probabilities"), losses.BinaryCrossEntropyWithLogits(),
    losses.Hinge(), losses.KLDivergence(log_target=True), losses.Cosine(),
]  # fmt: skip


@st.composite
def cases(draw: Any) -> Case:
    """Small nets, with some activation and some loss, drawn or rounded to two decimals."""
    hidden: type[Operator] = draw(st.sampled_from([*ELEMENTWISE, *GATED]))
    last: type[Operator] = draw(st.sampled_from(ELEMENTWISE))
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    if hidden in GATED:
        sizes = [sizes[0], *(2 * n for n in sizes[1:-1]), sizes[-1]]
    architecture = build(
        sizes,
        activation=hidden(),
        output_activation=last(),
        loss=draw(st.sampled_from(LOSSES)),
        batch=draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
    )
    make = draw(st.sampled_from([rounded_case, draw_case]))
    return make(architecture, draw(st.integers(0, 10**6)))  # type: ignore[no-any-return]


@given(cases())
@settings(max_examples=60, deadline=None)
def test_the_sum_over_paths_is_what_one_backward_pass_finds(case: Case) -> None:
    """Entry by entry, within Student's factor times the rounding that Monte Carlo measures.

    A path's product has as many roundings as it has factors, of which the model, run on the
    backward pass, knows; the allowance for them is added: u for each, of the products' sum.
    The factors are differentiated forward, where a saturated softmax subtracts p - p^2; so
    the model is the normwise one, by which `explain` itself compares them.
    """
    example = book.differentiate(case)
    _, backward = network.value_and_gradients(case)
    measured = rounding.measure(case, normwise=True)
    for p in parameters(case.architecture).values():
        d = book.derivative(example, p, keep=book.MOST_PATHS)
        products = sum(abs(path.product) for path in d.paths)
        length = len(d.paths[0].factors)
        model = measured.factor(1e-9) * float(measured.entries(p.tensor)[p.index])
        difference = abs(d.value - float(backward[p.tensor][p.index]))
        assert difference <= model + 2 * length * UNIT * products, p.name


@given(cases())
@settings(max_examples=60, deadline=None)
def test_paths_are_counted_without_walking_them(case: Case) -> None:
    example = book.differentiate(case)
    for p in parameters(case.architecture).values():
        assert book.count_paths(case.architecture, [p]) == sum(1 for _ in book.paths(example, p))


def test_softmax_has_a_path_through_every_pair_of_its_units() -> None:
    architecture = build((2, 3, 2), activation=operators.Softmax())
    # Units 1 to 3 of a2 are all computed from z2_1, and each reaches both outputs.
    assert book.count_paths(architecture, [find(architecture, "w1_11")]) == 3 * 2


def test_a_gated_unit_is_reached_from_both_halves() -> None:
    architecture = build((1, 4, 1), activation=operators.GLU())
    example = book.differentiate(rounded_case(architecture, 0))
    for name, unit in (("w1_11", 1), ("w1_31", 1), ("w1_21", 2), ("w1_41", 2)):
        (path,) = book.paths(example, find(architecture, name))
        assert path.factors[-2].of == f"a2_{unit}"


def test_a_shared_slope_acts_through_every_unit() -> None:
    architecture = build((1, 3, 1), activation=operators.PReLU())
    slope = find(architecture, "s1_1")
    assert book.count_paths(architecture, [slope]) == 3
    assert slope.description == "a slope of the activation of layer 1"


def test_the_first_paths_are_kept_and_all_are_summed() -> None:
    architecture = build((2, 3, 3), batch=2)
    example = book.differentiate(rounded_case(architecture, 1))
    p = find(architecture, "b1_2")
    few, all_of_them = book.derivative(example, p, 2), book.derivative(example, p, 100)
    assert len(few.paths) == 2
    assert few.count == all_of_them.count == len(all_of_them.paths) == 6
    assert few.value == all_of_them.value
    assert [path.example for path in all_of_them.paths] == [0, 0, 0, 1, 1, 1]


# --- names, values, limits ---------------------------------------------------------------


def test_numbers_of_two_digits_are_kept_apart() -> None:
    architecture = build((2, 12, 1))
    names = list(parameters(architecture))
    assert names[:3] == ["w1_1_1", "w1_1_2", "w1_2_1"]
    assert len(names) == len(set(names)) == 12 * 2 + 12 + 12 + 1


def test_an_unknown_parameter_is_answered_with_those_that_there_are() -> None:
    words = "w1_11 to w1_32, b1_1 to b1_3, w2_11 to w2_13, b2_1"
    with pytest.raises(ValueError, match=words):
        find(build(TEXTBOOK), "w3_11")


@pytest.mark.parametrize("sizes", [(), (3,), (2, 0), (-1, 2)])
def test_sizes_must_be_positive_and_two_at_least(sizes: Sequence[int]) -> None:
    with pytest.raises(ValueError, match="sizes must be two or more integers of at least 1"):
        build(sizes)


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("op", [operators.Softmax, operators.LogSoftmax])
def test_softmax_along_the_batch_is_refused(op: Any, axis: int) -> None:
    with pytest.raises(ValueError, match="along the batch mixes the examples"):
        build((2, 3, 1), activation=op(axis=axis))


def test_large_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="10,100 parameters, too many to write out"):
        build((100, 100))
    deep = build((9,) * 6)
    with pytest.raises(ValueError, match="paths to sum over, too many to write out"):
        book.check_paths(deep, list(parameters(deep).values()))
    book.check_paths(deep, [find(deep, "w5_11")])


@pytest.mark.parametrize("loss", LOSSES)
def test_drawn_values_have_two_decimals(loss: losses.Loss) -> None:
    case = rounded_case(build((2, 3, 3), loss=loss, batch=4), 3)
    assert case.input is not None
    for value in (case.input, case.target, *case.parameters.values()):
        np.testing.assert_allclose(value, np.round(value, 2), rtol=2 * UNIT, atol=2 * UNIT)
    if target_kind(loss) == "probabilities":
        np.testing.assert_allclose(case.target.sum(axis=-1), 1, rtol=8 * UNIT)


def test_the_textbook_s_values_fit_no_other_network() -> None:
    with pytest.raises(ValueError, match="must have shape"):
        textbook_case(build((2, 2, 1)))


def test_a_checker_agrees_within_its_own_bound_and_rounding() -> None:
    example = textbook()
    d = book.derivative(example, find(example.architecture, "w1_11"))
    measured = rounding.measure(example.case)
    right = np.full((3, 2), -0.1)
    off = Estimate("jax", 0.0, {"layers.0.weight": right + 1e-6})
    bounded = Estimate(
        "finite_differences",
        0.0,
        {"layers.0.weight": right + 1e-6},
        bounds={"layers.0.weight": 2e-6},
    )
    wrong, within = book.opinions(d, [off, bounded], measured)
    assert not wrong.agrees
    assert within.agrees
    assert within.bound == 2e-6


def test_no_value_is_rounded_to_zero_which_would_hide_its_paths() -> None:
    for seed in range(40):
        case = rounded_case(build((4, 5, 3), batch=3), seed)
        assert case.input is not None
        assert all((value != 0).all() for value in (*case.parameters.values(), case.input))
        assert np.array_equal(case.input, np.round(case.input, 2))
