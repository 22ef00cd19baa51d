"""Values that a person can reckon with: whole numbers first, decimals where these will not do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers_networks import network

from backproof import short_values
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.checkers.verdict import Verdict
from backproof.short_values import decimals, quarters, shortened, spread, whole, with_values

DENSE = draw_case(network(ops.Dense(2), input=(2, 3)), 1)
VALUES = np.array([0.0, -0.001, 0.26, -0.6, 1.7, -9.0])
FAILED = Verdict("FAIL", operator="dense")


@pytest.mark.parametrize(
    ("shorter", "short"),
    [
        (whole, [0, -1, 1, -1, 2, -3]),
        (spread, [0, -1, 1, -1, 3, -3]),
        (decimals(1), [0, -0.1, 0.3, -0.6, 1.7, -9]),
        (decimals(2), [0, -0.01, 0.26, -0.6, 1.7, -9]),
        (decimals(0, zeros=True), [0, 0, 0, -1, 2, -9]),
        (quarters, [0, -0.25, 0.25, -0.5, 1.75, -9]),
    ],
)
def test_what_is_not_zero_stays_so_and_keeps_its_sign(
    shorter: short_values.Shorter, short: list[float]
) -> None:
    found = shorter(VALUES)
    assert found.tolist() == short
    assert not np.signbit(found[found == 0]).any()


def fails_where(test: Callable[[Case], bool]) -> Callable[[Case], Verdict | None]:
    return lambda case: FAILED if test(case) else None


def test_all_at_once_where_that_will_do() -> None:
    case, verdict = shortened(DENSE, Verdict("FAIL"), fails_where(lambda case: True))
    assert verdict is FAILED
    for value in (case.input, case.target, *case.parameters.values()):
        assert value is not None
        assert set(np.unique(value)) <= {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}


def test_else_one_tensor_after_the_other() -> None:
    """A weight that must not be a whole number keeps one decimal; what is left is whole."""

    def needs_a_fraction(case: Case) -> bool:
        weight, x = case.parameters["layers.0.weight"], case.input
        return bool((weight % 1 != 0).any()) and x is not None and bool((x % 0.5 == 0).all())

    start = with_values(DENSE, {"input": np.ones((2, 3)), "target": np.full((2, 2), 0.5)})
    case, _ = shortened(start, FAILED, fails_where(needs_a_fraction))
    weight = case.parameters["layers.0.weight"]
    assert np.array_equal(weight, np.round(weight, 1))
    assert (weight % 1 != 0).any()
    for value in (case.input, case.target, case.parameters["layers.0.bias"]):
        assert value is not None and (value % 1 == 0).all()


def test_nothing_is_changed_where_nothing_shorter_fails() -> None:
    asked: list[Case] = []
    case, verdict = shortened(DENSE, FAILED, lambda case: asked.append(case))
    assert (case, verdict) == (DENSE, FAILED)
    assert len(asked) > 4


def test_what_is_short_already_costs_nothing() -> None:
    start, _ = shortened(DENSE, FAILED, fails_where(lambda case: True))
    asked: list[Case] = []
    assert shortened(start, FAILED, lambda case: asked.append(case)) == (start, FAILED)
    assert asked == []


def test_on_the_exact_lane_values_stay_sums_of_powers_of_two() -> None:
    a = network(ops.Dense(2), loss=ls.WeightedSum(), input=(2, 3))

    def tenths(case: Case) -> bool:
        values = (*case.parameters.values(), case.target)
        assert all((value * 4 % 1 == 0).all() for value in values)
        return False

    shortened(draw_case(a, 1, "exact"), FAILED, fails_where(tenths))


@pytest.mark.parametrize(
    ("a", "kept"),
    [
        (network(ops.Dropout()), "layers.0.mask"),
        (network(ops.Embedding(5, 4, (3,)), input=None), "layers.0.indices"),
        (network(loss=ls.CrossEntropy()), "target"),
    ],
)
def test_masks_indices_and_class_numbers_stay(a: Architecture, kept: str) -> None:
    start = draw_case(a, 1)
    case, _ = shortened(start, FAILED, fails_where(lambda case: True))
    held, found = ({**c.data, "target": c.target}[kept] for c in (start, case))
    assert held.dtype.kind in "ib"
    assert np.array_equal(held, found)


def test_a_tensor_is_not_given_what_it_cannot_hold() -> None:
    """A variance of 0 is not tried, nor is a number beyond the range."""
    a = network(ops.BatchNorm(statistics="given"))
    start = draw_case(a, 1)
    tiny = with_values(start, {"layers.0.variance": np.full(4, 1e-3)})
    asked: list[Case] = []
    shortened(tiny, FAILED, lambda case: asked.append(case))
    assert asked
    assert all((case.data["layers.0.variance"] > 0).all() for case in asked)
    huge = with_values(start, {"input": np.full((3, 4), 1e308)})
    shortened(huge, FAILED, lambda case: asked.append(case))
    assert all(np.isfinite(np.asarray(case.input)).all() for case in asked)
