"""Negative controls: every planted fault that shows is caught, and blamed on its operator."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from helpers_networks import network

from backproof import controls
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.generation import Limits, generate
from backproof.architectures.losses import L1
from backproof.checkers import rounding
from backproof.checkers.verdict import Verdict, reference_subject
from backproof.controls import Control, run_control, shows
from backproof.planting import BY_NAME

A = network(ops.Dense(4), ops.Tanh(), ops.Dense(2), loss=ls.Huber(), penalties=(L1(0.5),))
CASE = draw_case(A, 1)


def found_by_complex_step(case: Case) -> Control | None:
    return run_control(case, ("complex_step",))


def test_planted_faults_are_caught_and_blamed_on_the_right_operator() -> None:
    networks = generate(Limits(), "generic", "float64", 11, 64)
    found = [found_by_complex_step(draw_case(a, k)) for k, a in enumerate(networks)]
    planted = [c for c in found if c is not None]
    assert len(planted) > 50
    for c in planted:
        assert c.caught, (c.fault.name, c.site, c.expected, c.verdict)
        assert not c.fault.convention
    assert len({c.fault.name for c in planted}) > 15


def test_the_same_case_has_the_same_control() -> None:
    assert found_by_complex_step(CASE) == found_by_complex_step(CASE)
    seeds = Counter(c.fault.name for s in range(8) if (c := found_by_complex_step(draw_case(A, s))))
    assert len(seeds) > 3


@pytest.mark.parametrize(
    ("verdict", "caught"),
    [
        (Verdict("FAIL", operator="dense"), True),
        (Verdict("FAIL", operator="tanh"), False),
        (Verdict("PASS", operator="dense"), False),
        (Verdict("ERROR"), False),
    ],
)
def test_only_a_fail_on_the_very_operator_counts(verdict: Verdict, caught: bool) -> None:
    control = Control(BY_NAME["bias_gradient_zero"], "layers.0", "dense", verdict)
    assert control.caught is caught


def test_where_values_overflow_or_tie_nothing_is_planted() -> None:
    tied = draw_case(network(ops.ReLU(), loss=ls.WeightedSum()), 0, "tie")
    assert tied.input is not None and (tied.input == 0).any()
    assert found_by_complex_step(tied) is None
    squares = network(*[ops.Square()] * 8, loss=ls.SquaredError())
    case = draw_case(squares, 7, "extreme")
    assert rounding.measure(case, seed=7).overflows
    assert found_by_complex_step(case) is None


def test_where_no_fault_applies_or_shows_nothing_is_planted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controls, "FAULTS", [BY_NAME["slope_gradient_zero"]])
    assert found_by_complex_step(CASE) is None
    monkeypatch.setattr(controls, "FAULTS", [BY_NAME["relative_error_1e_2"]])
    monkeypatch.setattr(controls, "SHOWS", np.inf)
    assert found_by_complex_step(CASE) is None


def test_a_fault_shows_where_it_changes_a_gradient_far_beyond_rounding() -> None:
    measured = rounding.measure(CASE, seed=1)

    def seen(name: str, site: str) -> bool:
        return shows(CASE, reference_subject(CASE)[1], BY_NAME[name], site, measured)

    assert seen("bias_gradient_zero", "layers.0")
    assert seen("bias_gradient_missing", "layers.2")
    assert seen("bias_not_reduced", "layers.0")
    assert seen("loss_gradient_negated", "loss")
    assert seen("penalty_missing", "penalties.0")
    assert seen("relative_error_1e_10", "layers.1")


def test_a_fault_that_changes_nothing_here_does_not_show() -> None:
    case = draw_case(network(ops.HardTanh(-8.0, 8.0)), 1)
    assert case.input is not None and np.abs(case.input).max() < 8
    measured = rounding.measure(case, seed=1)
    assert not shows(
        case, reference_subject(case)[1], BY_NAME["slope_in_saturation"], "layers.0", measured
    )


def test_a_gradient_that_is_not_finite_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(fault: Any, site: str) -> Any:
        _, gradients = reference_subject(CASE)
        return lambda case: (0.0, {n: np.full_like(g, np.nan) for n, g in gradients.items()})

    monkeypatch.setattr(controls, "planted", planted)
    measured = rounding.measure(CASE, seed=1)
    assert shows(
        CASE, reference_subject(CASE)[1], BY_NAME["bias_gradient_zero"], "layers.0", measured
    )


def test_a_network_without_layers_has_controls_at_its_loss() -> None:
    control = found_by_complex_step(draw_case(network(loss=ls.LogCosh()), 3))
    assert control is not None
    assert (control.site, control.expected, control.caught) == ("loss", "log_cosh", True)
