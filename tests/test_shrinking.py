"""Reducing a failure: to a minimal network that still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers_networks import network

from backproof import shrinking
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import L1, L2
from backproof.checkers.verdict import Verdict, verify
from backproof.planting import BY_NAME, planted
from backproof.shrinking import shrink, simpler

DEEP = network(
    ops.Dense(6),
    ops.Tanh(),
    ops.Dense(5),
    ops.HardTanh(-0.5, 2.0),
    ops.PReLU(shared=False),
    ops.Dense(8),
    ops.SwiGLU(),
    loss=ls.Huber(0.5),
    penalties=(L1(0.5), L2(0.25)),
    input=(5, 7),
)
WEIGHTS = (1.0, 0.5, 2.0, 4.0, 0.25)
CLASSES = network(
    ops.Dense(4),
    ops.Mish(),
    ops.Dense(5),
    loss=ls.CrossEntropy(class_weights=WEIGHTS, ignore_index=3, label_smoothing=0.1),
    input=(6, 3),
)
POSITIVE = network(
    ops.Dense(5), loss=ls.BinaryCrossEntropyWithLogits(positive_weights=WEIGHTS), input=(4, 3)
)


def judged_by_complex_step(fault: str) -> Callable[[Case], Verdict]:
    subject = planted(BY_NAME[fault])
    return lambda case: verify(case, subject, checkers=("complex_step",))


def reduce(a: Architecture, fault: str) -> tuple[Case, Verdict]:
    judge = judged_by_complex_step(fault)
    case = draw_case(a, 1)
    first = judge(case)
    assert first.status == "FAIL"
    minimal, verdict = shrink(case, first, judge)
    assert (verdict.status, verdict.operator) == (first.status, first.operator)
    assert judge(minimal) == verdict
    return minimal, verdict


@pytest.mark.parametrize(
    ("a", "fault", "minimal"),
    [
        (DEEP, "relative_error_1e_2", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "relative_error_1e_8", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "weight_gradient_zero", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "bias_gradient_zero", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "bias_gradient_missing", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "input_gradient_zero", "(1, 1) > dense 1 > weighted_sum"),
        (DEEP, "last_contribution_only", "(2, 1) > dense 1 > weighted_sum"),
        (DEEP, "gradient_averaged", "(2, 1) > dense 1 > weighted_sum"),
        (DEEP, "bias_not_reduced", "(2, 1) > dense 1 > weighted_sum"),
        (DEEP, "upstream_dropped", "(1, 1) > tanh > weighted_sum"),
        (DEEP, "derivative_at_the_output", "(1, 1) > tanh > weighted_sum"),
        (DEEP, "gate_negated", "(1, 2) > swiglu > weighted_sum"),
        (DEEP, "penalty_missing", "(1, 1) > dense 1 > weighted_sum > l2"),
        (DEEP, "loss_gradient_negated", "(1, 1) > huber"),
        (CLASSES, "loss_gradient_negated", "(1, 2) > cross_entropy"),  # one class has no gradient
    ],
)
def test_many_faults_end_in_a_minimal_network(a: Architecture, fault: str, minimal: str) -> None:
    case, _ = reduce(a, fault)
    assert str(case.architecture) == minimal


def test_a_fault_that_needs_a_square_matrix_keeps_one() -> None:
    a = network(ops.Dense(6), ops.Tanh(), ops.Dense(6), ops.Sine(), loss=ls.Huber(), input=(3, 6))
    case, _ = reduce(a, "weight_gradient_transposed")
    assert str(case.architecture) == "(1, 2) > dense 2 > weighted_sum"


def test_a_fault_in_the_weights_of_a_loss_loses_the_network_and_keeps_weights() -> None:
    for a, fault in (
        (CLASSES, "class_weights_forgotten"),
        (POSITIVE, "positive_weights_forgotten"),
    ):
        case, _ = reduce(a, fault)
        assert not case.architecture.layers
        weights = getattr(case.architecture.loss, fault.removesuffix("_forgotten"))
        assert len(weights) == case.architecture.output[1] < 5


def test_values_are_rounded_as_far_as_the_failure_allows() -> None:
    case, _ = reduce(DEEP, "weight_gradient_zero")
    assert case.input is not None
    for value in (case.input, case.target, *case.parameters.values()):
        assert np.array_equal(value, np.round(value, 1))


def test_what_was_not_touched_keeps_its_values() -> None:
    """Without a budget for rounding, a network a step smaller has the same first weights."""
    judge = judged_by_complex_step("weight_gradient_zero")
    case = draw_case(network(ops.Dense(2), penalties=(L1(0.5),), input=(1, 1)), 1)
    minimal, _ = shrink(case, judge(case), judge, budget=1)
    assert not minimal.architecture.penalties
    for name, value in case.parameters.items():
        assert np.array_equal(value, minimal.parameters[name])


@pytest.mark.parametrize("budget", [0, 1, 5, 20])
def test_the_budget_is_kept(budget: int) -> None:
    calls = 0

    def judge(case: Case) -> Verdict:
        """It fails as long as no layer is gone."""
        nonlocal calls
        calls += 1
        whole = len(case.architecture.layers) == len(DEEP.layers)
        return Verdict("FAIL" if whole else "PASS", operator="dense")

    case = draw_case(DEEP, 1)
    shrink(case, Verdict("FAIL", operator="dense"), judge, budget)
    assert calls <= budget
    assert budget < 20 or calls > 10


def test_another_failure_is_not_the_same_failure() -> None:
    case, first = draw_case(DEEP, 1), Verdict("FAIL", operator="dense")
    for other in (Verdict("FAIL", operator="tanh"), Verdict("INCONCLUSIVE")):

        def judge(candidate: Case, verdict: Verdict = other) -> Verdict:
            return verdict

        minimal, verdict = shrink(case, first, judge)
        assert minimal is case
        assert verdict == first


def rows(case: Case) -> int:
    assert case.architecture.input is not None
    return case.architecture.input[0]


def test_of_two_mistakes_in_one_operator_one_is_not_taken_for_the_other() -> None:
    """The weight is wrong in batches, the bias everywhere: a smaller network has the bias alone."""
    a = network(ops.Dense(2), input=(3, 2))
    case = draw_case(a, 0)

    def judge(candidate: Case) -> Verdict:
        if "dense" not in candidate.architecture.operators:
            return Verdict("PASS")
        part = "weight" if rows(candidate) > 1 else "bias"
        return Verdict("FAIL", "wrong", operator="dense", tensor=f"layers.0.{part}")

    minimal, verdict = shrink(case, judge(case), judge)
    assert verdict.tensor == "layers.0.weight" and rows(minimal) == 2


def test_a_parameter_below_the_blamed_operator_may_become_another() -> None:
    a = network(ops.Dense(2), ops.Tanh(), input=(3, 2))
    case = draw_case(a, 0)

    def judge(candidate: Case) -> Verdict:
        part = "weight" if rows(candidate) > 1 else "bias"
        return Verdict("FAIL", "wrong", operator="tanh", tensor=f"layers.0.{part}")

    minimal, verdict = shrink(case, judge(case), judge)
    assert rows(minimal) == 1 and verdict.tensor == "layers.0.bias"


def test_an_error_may_be_reduced_too() -> None:
    case = draw_case(CLASSES, 1)
    minimal, verdict = shrink(case, Verdict("ERROR"), lambda c: Verdict("ERROR", "x"))
    assert verdict == Verdict("ERROR", "x")
    assert str(minimal.architecture) == "(1, 1) > weighted_sum"


# --- simpler networks --------------------------------------------------------------------


@pytest.mark.parametrize("a", [DEEP, CLASSES, POSITIVE, network(), network(ops.Softmax(0))])
def test_each_step_is_a_network_and_another_one(a: Architecture) -> None:
    steps: list[Any] = list(simpler(a))
    assert steps
    assert a not in steps
    assert len(set(steps)) == len(steps)
    assert all(isinstance(step, Architecture) for step in steps)


def test_channels_that_groups_no_longer_divide_are_passed_over() -> None:
    a = network(ops.Conv1d(6, (2,), groups=3), input=(2, 3, 5))
    channels = {
        layer.channels for s in simpler(a) for layer in s.layers if hasattr(layer, "channels")
    }
    assert channels == {6, 3}  # with three groups neither 1, 2 nor 5


def test_a_grouped_convolution_is_reduced_all_the_way() -> None:
    """Its channels cannot shrink below its groups until these are one; nothing is raised."""
    case = draw_case(network(ops.Conv1d(6, (2,), groups=3), ops.Tanh(), input=(2, 3, 5)), 1)

    def judge(candidate: Case) -> Verdict:
        """It fails as long as there is a convolution."""
        return Verdict("FAIL" if "conv1d" in candidate.architecture.operators else "PASS")

    minimal, verdict = shrink(case, Verdict("FAIL"), judge)
    assert verdict.status == "FAIL"
    (layer,) = minimal.architecture.layers
    assert isinstance(layer, ops.Conv1d)
    assert (layer.channels, layer.groups, minimal.architecture.input) == (1, 1, (1, 1, 2))


def test_nothing_is_simpler_than_the_simplest() -> None:
    assert list(simpler(network(loss=ls.WeightedSum(), input=(1, 1)))) == []


def test_every_part_can_go() -> None:
    steps = list(simpler(DEEP))
    assert {len(s.penalties) for s in steps} == {0, 1, 2}
    assert any(s.batch == 1 for s in steps)
    assert any(s.input is not None and s.input[1] == 1 for s in steps)
    assert any(s.loss == ls.WeightedSum() for s in steps)
    assert any(s.loss == ls.Huber() for s in steps)
    assert any(ops.HardTanh() in s.layers for s in steps)
    assert any(s.layers and s.layers[0] == ops.Dense(6, bias=False) for s in steps)
    for i, layer in enumerate(DEEP.layers):
        if not isinstance(layer, ops.Dense):
            assert any(s.layers == DEEP.layers[:i] + DEEP.layers[i + 1 :] for s in steps)


def test_the_budget_counts_down() -> None:
    budget = shrinking.Budget(1)
    assert [budget.spend(), budget.spend()] == [True, False]
