"""Who is wrong, and has enough been proved?  Verdicts from comparisons, and whole ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.checkers.comparison import Comparison, Status
from backproof.checkers.estimate import Estimate, Unsupported
from backproof.checkers.outcome import (
    CheckerVerdict,
    Verdict,
    by_checker,
    by_operator,
    conclude,
    listed,
    producer,
    worst,
)
from backproof.checkers.verdict import CHECKERS, CheckerName, Subject, reference_subject, verify
from backproof.reference.arrays import Array

NETWORK = Architecture(
    (4, 3), (ops.Dense(3), ops.Tanh(), ops.Dense(2)), ls.SquaredError(), (ls.L2(0.1),)
)
CASE = draw_case(NETWORK, 1)
EXACT = Architecture((4, 3), (ops.Dense(3), ops.ReLU(), ops.Dense(2)), ls.SquaredError())

every_checker = pytest.mark.parametrize("checker", CHECKERS)


def said(
    checker: str, status: Status, tensor: str = "input", ratio: float = 0.5, **more: Any
) -> Comparison:
    resolution = 1e-12 if status == "PASS" else None
    return Comparison(checker, tensor, status, ratio=ratio, resolution=resolution, **more)


def concluded(
    *comparisons: Comparison,
    skipped: Sequence[CheckerVerdict] = (),
    asked: int = 4,
    camps: tuple[tuple[str, ...], ...] = (CHECKERS,),
) -> Verdict:
    """The outcome where the checkers of each camp agree with each other, and with no other."""

    def agree(names: Sequence[str], tensor: str) -> bool:
        return any(set(names) <= set(camp) for camp in camps)

    return conclude(NETWORK, comparisons, skipped, asked, agree)


# --- has enough been proved? ------------------------------------------------------------


def test_two_checkers_confirm_a_tensor() -> None:
    assert concluded(said("jax", "PASS"), said("torch", "PASS")).status == "PASS"


def test_one_checker_is_not_enough_where_more_were_asked() -> None:
    found = concluded(said("jax", "PASS"), said("torch", "INCONCLUSIVE", reason="too wide"))
    assert found.status == "INCONCLUSIVE"
    assert found.reason == "input is confirmed by 1: too wide"
    alone = concluded(said("jax", "PASS"))
    assert alone.reason == "input is confirmed by 1: too few checkers"


def test_one_checker_is_enough_where_one_was_asked() -> None:
    assert concluded(said("jax", "PASS"), asked=1).status == "PASS"


def test_every_tensor_must_be_confirmed() -> None:
    found = concluded(
        said("jax", "PASS"),
        said("torch", "PASS"),
        said("jax", "PASS", "layers.0.weight"),
        said("torch", "INCONCLUSIVE", "layers.0.weight"),
    )
    assert (found.status, found.tensor) == ("INCONCLUSIVE", "layers.0.weight")


def test_nothing_compared_proves_nothing() -> None:
    found = concluded()
    assert (found.status, found.reason) == ("INCONCLUSIVE", "nothing was compared")


def test_the_loss_needs_no_more_than_those_that_have_one() -> None:
    loss = said("jax", "PASS", "loss")
    rest = [said(c, "PASS") for c in ("jax", "complex_step")]
    assert concluded(loss, *rest).status == "PASS"


def test_the_resolution_is_the_worst_tensors_finest() -> None:
    def resolved(checker: str, tensor: str, resolution: float) -> Comparison:
        return Comparison(checker, tensor, "PASS", resolution=resolution)

    found = concluded(
        resolved("jax", "input", 1e-3),
        resolved("torch", "input", 1e-12),
        resolved("jax", "layers.0.weight", 1e-9),
        resolved("torch", "layers.0.weight", 1e-8),
    )
    assert found.resolution == 1e-9


# --- who is wrong? ----------------------------------------------------------------------


def test_one_checker_against_the_others_is_the_odd_one_out() -> None:
    found = concluded(
        said("jax", "FAIL"),
        said("torch", "PASS"),
        said("complex_step", "PASS"),
        camps=(("jax",), ("torch", "complex_step")),
    )
    assert found.status == "ERROR"
    assert found.reason == (
        "jax is the odd one out on input: the subject agrees with torch and complex_step"
    )


def test_checkers_that_agree_with_each_other_blame_the_subject() -> None:
    found = concluded(said("jax", "FAIL"), said("torch", "FAIL", ratio=7.0, reason="entry (0, 1)"))
    assert found.status == "FAIL"
    assert (
        found.reason
        == "input disagrees with jax and torch, which agree with each other; entry (0, 1)"
    )
    assert (found.operator, found.tensor) == ("dense", "input")


def test_checkers_that_disagree_with_each_other_are_an_error() -> None:
    found = concluded(said("jax", "FAIL"), said("torch", "FAIL"), camps=())
    assert found.status == "ERROR"
    assert found.reason == "the checkers disagree on input: jax and torch"


def test_two_camps_are_both_named() -> None:
    found = concluded(
        *(said(c, "FAIL") for c in ("jax", "torch")),
        *(said(c, "PASS") for c in ("finite_differences", "complex_step")),
        camps=(("jax", "torch"), ("finite_differences", "complex_step")),
    )
    assert found.status == "FAIL"
    assert (
        "disagrees with jax and torch, which agree with each other, and agrees with "
        "finite_differences and complex_step, which differentiate the same forward"
    ) in found.reason


def test_the_two_that_differentiate_one_forward_are_one_voice_against_both_frameworks() -> None:
    camps = (("jax", "torch"), ("finite_differences", "complex_step"))
    numerical = [said(c, "FAIL") for c in ("finite_differences", "complex_step")]
    found = concluded(*numerical, *(said(c, "PASS") for c in ("jax", "torch")), camps=camps)
    assert found.status == "ERROR"
    assert found.reason == (
        "finite_differences and complex_step, which differentiate one forward, are the odd ones "
        "out on input: the subject agrees with jax and torch, which have their own"
    )
    one = concluded(*numerical, said("jax", "PASS"), camps=camps, asked=3)
    assert one.status == "FAIL"  # one voice against one
    assert "which agree with each other, and agrees with jax; " in one.reason


def test_a_checker_apart_from_others_that_blame_the_subject_is_told() -> None:
    names = ("finite_differences", "complex_step", "torch", "jax")
    camps = (("finite_differences", "complex_step", "torch"), ("jax",))
    found = concluded(*(said(c, "FAIL") for c in names), camps=camps)
    assert found.status == "ERROR"
    assert found.reason == (
        "the checkers disagree on input: finite_differences, complex_step and torch agree with "
        "each other, jax with nobody, the subject with none of them"
    )


def test_a_checker_too_coarse_to_see_the_difference_does_not_vouch_for_the_subject() -> None:
    """The two checkers agree with each other, within their bounds: it is the subject."""
    found = concluded(said("complex_step", "FAIL"), said("finite_differences", "PASS"), asked=2)
    assert found.status == "FAIL"
    assert found.reason.startswith("input disagrees with complex_step alone; ")


def test_a_coarse_checker_does_not_hide_one_that_contradicts() -> None:
    found = concluded(
        said("jax", "FAIL"),
        said("finite_differences", "PASS"),
        said("torch", "PASS"),
        camps=(("jax", "finite_differences"), ("torch", "finite_differences")),
    )
    assert found.status == "ERROR"
    assert found.reason.endswith("the subject agrees with torch")


def test_a_checker_alone_that_disagrees_blames_the_subject() -> None:
    found = concluded(said("jax", "FAIL", reason="entry (0,)"), asked=1)
    assert (found.status, found.reason) == ("FAIL", "input disagrees with jax alone; entry (0,)")


def test_a_disagreement_without_an_entry_gives_its_numbers() -> None:
    found = concluded(said("jax", "FAIL", error=0.5, bound=0.25), asked=1)
    assert found.reason.endswith("error 0.5, bound 0.25")


def test_the_first_tensor_in_backward_order_decides() -> None:
    found = concluded(
        said("jax", "PASS", "layers.2.output"),
        said("torch", "PASS", "layers.2.output"),
        *(said(c, "FAIL", "layers.0.output") for c in ("jax", "torch")),
        *(said(c, "FAIL", "layers.0.weight") for c in ("jax", "torch")),
    )
    assert (found.tensor, found.operator) == ("layers.0.output", "tanh")


def test_a_broken_checker_is_an_error_even_where_the_others_pass() -> None:
    broken = CheckerVerdict("jax", "ERROR", reason="ValueError: no")
    found = concluded(
        said("torch", "PASS"), said("complex_step", "PASS"), skipped=[broken], asked=4
    )
    assert (found.status, found.reason) == ("ERROR", "jax: ValueError: no")
    assert broken in found.checkers


def test_a_failure_outweighs_a_broken_checker() -> None:
    broken = CheckerVerdict("jax", "ERROR", reason="no")
    found = concluded(said("torch", "FAIL"), said("complex_step", "FAIL"), skipped=[broken])
    assert found.status == "FAIL"


# --- roll-ups ---------------------------------------------------------------------------


def test_a_checker_passes_where_it_confirms_every_tensor() -> None:
    rows = by_checker(
        [
            said("jax", "PASS", ratio=0.25),
            said("jax", "PASS", "loss", ratio=0.75),
            said("torch", "PASS"),
            said("torch", "INCONCLUSIVE", "loss"),
            said("complex_step", "FAIL", "loss", ratio=3.0),
        ]
    )
    assert [(r.checker, r.status) for r in rows] == [
        ("jax", "PASS"), ("torch", "INCONCLUSIVE"), ("complex_step", "FAIL"),
    ]  # fmt: skip
    assert rows[0].ratio == 0.75 and rows[0].resolution == 1e-12


def test_operators_stand_in_backward_order_and_the_first_wrong_one_is_blamed() -> None:
    rows = by_operator(
        NETWORK,
        [
            said("jax", "PASS", "layers.2.output"),
            said("jax", "FAIL", "layers.1.output"),
            said("jax", "FAIL", "layers.0.output"),
        ],
    )
    assert [(r.operator, r.status) for r in rows] == [
        ("squared_error", "PASS"), ("dense", "FAIL"), ("tanh", "INCONCLUSIVE"),
    ]  # fmt: skip


def test_an_operator_that_stands_twice_is_not_blamed_for_what_lies_behind_another() -> None:
    rows = by_operator(
        NETWORK,
        [
            said("jax", "PASS", "layers.2.weight"),
            said("jax", "FAIL", "layers.0.output"),
            said("jax", "FAIL", "layers.0.weight"),
        ],
    )
    assert [(r.operator, r.status) for r in rows] == [
        ("dense", "INCONCLUSIVE"), ("tanh", "FAIL"), ("l2", "INCONCLUSIVE"),
    ]  # fmt: skip


def test_an_operator_is_undecided_where_one_of_its_tensors_is() -> None:
    rows = by_operator(
        NETWORK,
        [said("jax", "PASS", "layers.2.weight"), said("jax", "INCONCLUSIVE", "layers.2.bias")],
    )
    assert {r.operator: r.status for r in rows}["dense"] == "INCONCLUSIVE"


def test_a_penalty_shows_in_the_weights() -> None:
    rows = by_operator(NETWORK, [said("jax", "PASS", "layers.0.weight")])
    assert [r.operator for r in rows] == ["dense", "l2"]


@pytest.mark.parametrize(
    "tensor, operator",
    [
        ("loss", "squared_error"),
        ("layers.2.output", "squared_error"),
        ("layers.2.weight", "dense"),
        ("layers.1.output", "dense"),
        ("layers.0.output", "tanh"),
        ("input", "dense"),
    ],
)
def test_the_operator_whose_backward_pass_makes_a_tensor(tensor: str, operator: str) -> None:
    assert producer(NETWORK, tensor) == operator


def test_without_layers_the_loss_makes_the_inputs_gradient() -> None:
    assert producer(Architecture((1, 1), (), ls.WeightedSum()), "input") == "weighted_sum"


def test_the_worst_status_decides() -> None:
    assert worst(["PASS", "UNSUPPORTED"]) == "UNSUPPORTED"
    assert worst(["UNSUPPORTED", "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert worst(["TIMEOUT", "ERROR", "PASS"]) == "ERROR"
    assert worst(["ERROR", "FAIL"]) == "FAIL"


def test_names_are_listed_as_in_prose() -> None:
    assert [listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


# --- whole verdicts: a fault in each checker in turn -------------------------------------

MODULES: Mapping[CheckerName, str] = {
    "finite_differences": "finite_differences",
    "complex_step": "complex_step",
    "jax": "with_jax",
    "torch": "with_torch",
}
FACTOR = 1.01
Replace = Callable[[CheckerName, Callable[..., Estimate]], None]


@pytest.fixture
def with_estimate(monkeypatch: pytest.MonkeyPatch) -> Replace:
    def patch(checker: CheckerName, estimate: Callable[..., Estimate]) -> None:
        module = importlib.import_module(f"backproof.checkers.{MODULES[checker]}")
        monkeypatch.setattr(module, "estimate", estimate)

    return patch


def scaled(
    checker: CheckerName, tensor: str, factor: float = FACTOR, method: str = "estimate"
) -> Callable[..., Estimate]:
    """The checker's own estimate, with one tensor's gradient times a factor."""
    right = getattr(importlib.import_module(f"backproof.checkers.{MODULES[checker]}"), method)

    def wrong(*arguments: Any, **options: Any) -> Estimate:
        found: Estimate = right(*arguments, **options)
        return replace(
            found,
            entries={n: g * factor if n == tensor else g for n, g in found.entries.items()},
            directional={
                n: (v, values * factor if n == tensor else values)
                for n, (v, values) in found.directional.items()
            },
        )

    return wrong


def subject_with(tensor: str, change: Callable[[Array], Any]) -> Subject:
    """The reference, with one gradient changed."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {**gradients, tensor: change(gradients[tensor])}

    return subject


def test_the_reference_passes_with_every_checker() -> None:
    found = verify(CASE)
    assert found.status == "PASS" and not found.comparisons
    assert {(c.checker, c.status) for c in found.checkers} == {(c, "PASS") for c in CHECKERS}
    assert found.resolution and found.resolution < 1e-10


@every_checker
@pytest.mark.parametrize("tensor", ["input", "layers.1.output", "layers.2.bias"])
@pytest.mark.parametrize("lane", ["generic", "exact"])
def test_a_checker_that_is_wrong_is_the_odd_one_out(
    checker: CheckerName,
    tensor: str,
    lane: Any,
    with_estimate: Replace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Never is the subject blamed; on the exact lane the finite differences are other ones."""
    if lane == "exact" and checker == "finite_differences":
        wrong = scaled(checker, tensor, method="exact")
        monkeypatch.setattr("backproof.checkers.finite_differences.exact", wrong)
    else:
        with_estimate(checker, scaled(checker, tensor))
    case = draw_case(EXACT if lane == "exact" else NETWORK, 1, lane)
    found = verify(case)
    assert found.status == "ERROR" and found.tensor == tensor
    assert found.reason.startswith(f"{checker} is the odd one out on {tensor}")
    assert {c.checker: c.status for c in found.checkers}[checker] == "FAIL"


def test_a_checker_that_is_off_by_a_bit_is_the_odd_one_out_on_the_exact_lane(
    with_estimate: Replace,
) -> None:
    case = draw_case(EXACT, 1, "exact")
    with_estimate("torch", scaled("torch", "input", 1 + 2.0**-52))
    assert verify(case).reason.startswith("torch is the odd one out on input")


def test_an_error_that_only_complex_step_resolves_is_the_subjects() -> None:
    wrong = subject_with("layers.0.weight", lambda g: (1 + 1e-11) * g)
    found = verify(CASE, wrong, checkers=("finite_differences", "complex_step"))
    assert (found.status, found.tensor) == ("FAIL", "layers.0.weight")


@every_checker
def test_a_subject_that_is_wrong_is_blamed_by_each_checker_alone(checker: CheckerName) -> None:
    found = verify(CASE, subject_with("layers.2.bias", lambda g: FACTOR * g), checkers=(checker,))
    assert (found.status, found.operator, found.tensor) == ("FAIL", "dense", "layers.2.bias")


def test_a_subject_that_is_wrong_is_blamed_by_all() -> None:
    found = verify(CASE, subject_with("layers.2.bias", lambda g: FACTOR * g))
    assert found.status == "FAIL"
    assert {c.checker for c in found.comparisons if c.status == "FAIL"} == set(CHECKERS)
    assert (
        "layers.2.bias disagrees with finite_differences, complex_step, jax and torch, which "
        "agree with each other; "
    ) in (found.reason)


def test_frameworks_against_the_forward_that_they_do_not_share_are_two_camps(
    with_estimate: Replace,
) -> None:
    for checker in ("jax", "torch"):
        with_estimate(checker, scaled(checker, "input"))
    found = verify(CASE)
    assert found.status == "FAIL" and "which differentiate the same forward" in found.reason


def test_frameworks_that_are_wrong_in_two_ways_are_an_error(with_estimate: Replace) -> None:
    with_estimate("jax", scaled("jax", "input", 1.01))
    with_estimate("torch", scaled("torch", "input", 0.9))
    found = verify(CASE)
    assert (found.status, found.reason) == (
        "ERROR",
        "the checkers disagree on input: jax and torch",
    )


def test_a_loss_that_is_wrong_fails_by_the_frameworks() -> None:
    """Finite differences and complex step differentiate a given loss and cannot tell."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return 2 * loss, gradients

    found = verify(CASE, subject)
    assert (found.status, found.tensor, found.operator) == ("FAIL", "loss", "squared_error")
    assert {c.checker for c in found.comparisons} == {"jax", "torch"}


@every_checker
def test_a_checker_that_raises_is_an_error(checker: CheckerName, with_estimate: Replace) -> None:
    def broken(*arguments: Any, **options: Any) -> Estimate:
        raise RuntimeError("out of luck")

    with_estimate(checker, broken)
    found = verify(CASE)
    assert found.status == "ERROR"
    assert found.reason == f"{checker}: RuntimeError: out of luck"


def test_a_checker_that_cannot_is_left_out(with_estimate: Replace) -> None:
    def cannot(*arguments: Any, **options: Any) -> Estimate:
        raise Unsupported("no such operator")

    with_estimate("jax", cannot)
    found = verify(CASE)
    assert found.status == "PASS"
    rows = {c.checker: (c.status, c.reason) for c in found.checkers}
    assert rows["jax"] == ("UNSUPPORTED", "no such operator")


def test_where_no_checker_can_nothing_is_proved(with_estimate: Replace) -> None:
    def cannot(*arguments: Any, **options: Any) -> Estimate:
        raise Unsupported("no")

    for checker in CHECKERS:
        with_estimate(checker, cannot)
    found = verify(CASE)
    assert (found.status, found.reason) == ("INCONCLUSIVE", "nothing was compared")


def test_one_checker_left_of_four_is_inconclusive(with_estimate: Replace) -> None:
    def cannot(*arguments: Any, **options: Any) -> Estimate:
        raise Unsupported("no")

    for checker in CHECKERS[1:]:
        with_estimate(checker, cannot)
    found = verify(CASE)
    assert found.status == "INCONCLUSIVE" and "is confirmed by 1" in found.reason


# --- structure --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tensor, change, words",
    [
        ("layers.0.weight", lambda g: None, "the gradient of layers.0.weight is missing"),
        ("layers.0.weight", lambda g: g.T[:2], "shape (2, 3), must be (3, 3)"),
        ("layers.2.bias", lambda g: g[None], "shape (1, 2), must be (2,)"),
        ("layers.2.bias", lambda g: g.tolist(), "shape None, must be (2,)"),
        ("layers.2.bias", lambda g: g.astype(np.float32), "dtype float32, must be float64"),
        ("input", lambda g: g.astype(np.int64), "dtype int64, must be float64"),
        ("layers.1.output", lambda g: g[:1], "shape (1, 3), must be (4, 3)"),
    ],
)
def test_a_structural_fault_fails_without_a_checker(
    tensor: str, change: Callable[[Array], Any], words: str
) -> None:
    found = verify(CASE, subject_with(tensor, change), checkers=())
    assert (found.status, found.tensor) == ("FAIL", tensor)
    assert words in found.reason
    assert found.operator == producer(NETWORK, tensor)
    assert found.operators[0].status == "FAIL"


@pytest.mark.parametrize("tensor", ["layers.0.weight", "layers.2.bias"])
def test_a_parameter_without_a_gradient_fails(tensor: str) -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {n: g for n, g in gradients.items() if n != tensor}

    found = verify(CASE, subject)
    assert (found.status, found.tensor) == ("FAIL", tensor)


def test_edges_may_be_left_out() -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {n: gradients[n] for n in NETWORK.parameters}

    assert verify(CASE, subject, checkers=("complex_step", "torch")).status == "PASS"


def test_a_loss_for_each_example_fails() -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return np.full(4, loss), gradients

    found = verify(CASE, subject)
    assert (found.status, found.tensor) == ("FAIL", "loss")
    assert found.reason == "the loss has shape (4,), must be ()"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_checker
def test_a_gradient_that_is_not_finite_fails(checker: CheckerName, bad: float) -> None:
    def broken(g: Array) -> Array:
        g = g.copy()
        g[0] = bad
        return g

    found = verify(CASE, subject_with("layers.2.bias", broken), checkers=(checker,))
    assert (found.status, found.tensor) == ("FAIL", "layers.2.bias")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_fails(bad: float) -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        return np.asarray(bad), reference_subject(case)[1]

    found = verify(CASE, subject)
    assert (found.status, found.tensor) == ("FAIL", "loss")


def test_what_the_subject_raises_is_raised() -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verify(CASE, subject)
