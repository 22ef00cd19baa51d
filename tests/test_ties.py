"""At ties: any member of the hull passes, nothing else does, and the convention is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, draw_case, make_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers import finite_differences, hulls, ties, with_jax, with_torch
from backproof.checkers.comparison import ALPHA
from backproof.checkers.probe import Probe
from backproof.checkers.rounding import measure
from backproof.checkers.verdict import (
    CHECKERS,
    CheckerName,
    Subject,
    Verdict,
    reference_subject,
    verify,
)
from backproof.reference import network
from backproof.reference.arrays import Array


def case_of(
    *layers: Any, x: Any, t: Any = None, loss: Any = None, dtype: DType = "float64", **values: Any
) -> Case:
    """A network with given values, whose loss is the sum of its outputs unless said otherwise."""
    rows = np.atleast_2d(x)
    penalties = values.pop("penalties", ())
    a = Architecture((len(rows), rows.shape[1]), layers, loss or ls.WeightedSum(), penalties)
    parameters = {f"layers.{name[1]}.{name[3:]}": value for name, value in values.items()}
    target = np.ones(a.target_shape) if t is None else t
    return make_case(a, parameters, rows, target, dtype=dtype)


def found_in(case: Case) -> tuple[ties.Tie, ...]:
    measured = measure(case)
    return ties.find(case, measured, measured.factor(ALPHA))


def on_pieces(choose: Callable[[network.Branches], network.Branches]) -> Subject:
    """The reference, with the pieces that `choose` makes of its own."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        own = network.forward(case).branches
        trace = network.forward(case, branches=choose(own))
        return trace.loss, network.backward(case, trace)

    return subject


def constantly(pieces: network.Branches) -> Callable[[network.Branches], network.Branches]:
    return lambda own: pieces


def on_the_right(tied: tuple[ties.Tie, ...]) -> Subject:
    """The reference, with the right piece of every tie."""
    return on_pieces(lambda own: ties.choose(own, tied, ties.last(tied)))


def returning(**gradients: Any) -> Subject:
    """The reference, with some gradients replaced; `_` stands for the dots of a name."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, right = reference_subject(case)
        given = {
            name: np.array(gradients[key], dtype=case.dtype).reshape(g.shape)
            for name, g in right.items()
            if (key := name.replace(".", "_")) in gradients
        }
        only = {n: g for n, g in right.items() if n in case.architecture.parameters}
        return loss, {**only, **given}

    return subject


NUMERICAL: tuple[CheckerName, ...] = ("finite_differences", "complex_step")

RELU = case_of(ops.ReLU(), x=[[0.0]])
"""relu at 0: its Clarke subdifferential is [0, 1]."""


# --- hulls ------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.5, 1.0])
def test_a_slope_in_the_subdifferential_of_relu_passes(slope: float) -> None:
    found = verify(RELU, returning(input=slope))
    assert found.status == "PASS", found.reason
    assert found.convention.startswith("at 1 tie in layers.0: ")


@pytest.mark.parametrize("slope", [1.2, -0.1, 1 + 1e-9, -1e-9, 1e3])
def test_a_slope_outside_it_fails_and_names_the_operator(slope: float) -> None:
    found = verify(RELU, returning(input=slope))
    assert (found.status, found.operator, found.tensor) == ("FAIL", "relu", "input")
    assert "outside the hull of the gradients on both sides of 1 tie in layers.0" in found.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_slope_that_is_not_finite_fails(bad: float) -> None:
    found = verify(RELU, returning(input=bad))
    assert (found.status, found.reason) == ("FAIL", "input is not finite")


def test_a_missing_or_misshapen_gradient_fails_at_a_tie_too() -> None:
    found = verify(RELU, lambda case: (np.asarray(0.0), {"input": np.zeros((2, 2))}))
    assert found.status == "FAIL" and "shape" in found.reason


def test_the_distance_to_a_hull_is_that_of_its_nearest_point() -> None:
    square = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    assert ties.distance_to_hull(square, np.array([0.25, 0.75])) < 1e-14
    assert ties.distance_to_hull(square, np.array([0.5, -0.5])) == pytest.approx(0.5, rel=0.2)
    assert ties.distance_to_hull(square, np.array([3.0, 3.0])) >= 2.0
    point = np.array([[0.0, 0.0]])
    assert ties.distance_to_hull(point, np.zeros(2)) == 0


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_hull_has_the_scale_of_its_vertices(scale: float) -> None:
    case = case_of(ops.ReLU(), x=[[0.0]], t=[[scale]])
    assert verify(case, returning(input=0.5 * scale)).status == "PASS"
    assert verify(case, returning(input=1.001 * scale)).status == "FAIL"


# --- combinations -----------------------------------------------------------------------

SPLIT: Any = {
    "w0_weight": [[1.0], [-1.0]],
    "w2_weight": [[1.0, -1.0]],
}
DIFFERENCE = case_of(ops.Dense(2, False), ops.ReLU(), ops.Dense(1, False), x=[[0.0]], **SPLIT)
"""relu(x) - relu(-x) = x at x = 0: the derivative is 1."""


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0, 0.5])
def test_a_sum_over_branches_may_leave_clarkes_subdifferential_and_stay_conservative(
    slope: float,
) -> None:
    """A backward pass that picks relu'(0) = s at both has 2 s, though the function is x."""
    zeros = {"layers_0_weight": [[0.0], [0.0]], "layers_2_weight": [[0.0, 0.0]]}
    found = verify(DIFFERENCE, returning(input=slope, **zeros))
    assert found.status == "PASS", found.reason
    outside = "a conservative gradient, outside Clarke's subdifferential"
    assert (outside in found.convention) == (slope != 1.0)


def test_a_slope_beyond_all_combinations_fails() -> None:
    zeros = {"layers_0_weight": [[0.0], [0.0]], "layers_2_weight": [[0.0, 0.0]]}
    for slope in (2.01, -0.01):
        assert verify(DIFFERENCE, returning(input=slope, **zeros)).status == "FAIL"


def test_the_pieces_realised_nearby_are_fewer_than_their_combinations() -> None:
    tied = found_in(DIFFERENCE)
    assert len(tied) == 2
    nearby = {tuple(m.tolist()) for m in ties.realised(DIFFERENCE, tied, seed=0)}
    # x and both weights move, and x w is on one side for one sign of x alone
    assert nearby == {(0, 1), (1, 0)}
    assert {tuple(m.tolist()) for m in ties.all_choices(tied)} == {(0, 0), (0, 1), (1, 0), (1, 1)}


# --- conventions ------------------------------------------------------------------------


def test_the_convention_of_each_side_is_named() -> None:
    left, right = (
        verify(RELU, returning(input=s), checkers=("complex_step",)).convention for s in (0.0, 1.0)
    )
    assert left == "at 1 tie in layers.0: the left derivative"
    assert right == "at 1 tie in layers.0: the right derivative"


def test_the_mean_and_any_other_combination_are_named() -> None:
    assert verify(RELU, returning(input=0.5)).convention.endswith(": the mean of both derivatives")
    assert verify(RELU, returning(input=0.3)).convention.endswith(": a convex combination")


def test_what_the_frameworks_do_is_named() -> None:
    """leaky_relu at 0: PyTorch has the slope below, JAX that above (NUMERICS.md)."""
    case = case_of(ops.LeakyReLU(0.25), x=[[0.0]])
    as_torch = verify(case, returning(input=0.25)).convention
    as_jax = verify(case, returning(input=1.0)).convention
    assert as_torch.endswith("the left derivative, as PyTorch")
    assert as_jax.endswith("the right derivative, as JAX")
    assert verify(RELU, returning(input=0.0)).convention.endswith("as JAX, as PyTorch")


def test_our_own_convention_is_the_left_derivative() -> None:
    for case in (RELU, case_of(ops.HardTanh(), x=[[-1.0]]), case_of(ops.ReLU6(), x=[[6.0]])):
        assert "the left derivative" in verify(case).convention


def test_each_numerical_checker_and_each_framework_has_its_row() -> None:
    found = verify(RELU)
    assert {(c.checker, c.status) for c in found.checkers} == {(c, "PASS") for c in CHECKERS}
    assert {(o.operator, o.status) for o in found.operators} == {
        ("relu", "PASS"), ("weighted_sum", "PASS"),
    }  # fmt: skip


@pytest.mark.parametrize("module", [with_jax, with_torch])
def test_a_framework_outside_the_hull_is_the_odd_one_out(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module.estimate

    def wrong(case: Case) -> Any:
        return replace(right(case), entries={"input": np.array([[1.5]])})

    monkeypatch.setattr(module, "estimate", wrong)
    found = verify(RELU)
    assert found.status == "ERROR"
    assert found.reason.startswith(f"{module.__name__.rpartition('_')[2]} is the odd one out")


def test_finite_differences_that_disagree_do_not_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    right = finite_differences.along

    def along(probe: Probe, name: str, *rest: Any) -> Any:
        there = name in ties.gradient_names(RELU)
        return (np.array([9.0]), np.array([0.0])) if there else right(probe, name, *rest)

    monkeypatch.setattr(finite_differences, "along", along)
    found = verify(RELU)
    assert found.status == "PASS", "the frameworks confirm"
    of_the_hull = verify(RELU, returning(input=0.0))
    assert "finite_differences" not in {c.checker for c in of_the_hull.checkers}
    alone = verify(RELU, checkers=("finite_differences", "complex_step"))
    assert (alone.status, alone.reason) == (
        "INCONCLUSIVE",
        "the hull at 1 tie in layers.0 is confirmed by 1",
    )


@pytest.mark.parametrize("checker", CHECKERS)
def test_one_checker_is_enough_at_a_tie_where_one_was_asked(checker: CheckerName) -> None:
    found = verify(RELU, checkers=(checker,))
    assert found.status == "PASS" and [c.checker for c in found.checkers] == [checker]


def test_without_a_checker_nothing_is_proved_at_a_tie() -> None:
    assert verify(RELU, checkers=()).status == "INCONCLUSIVE"


def test_a_broken_checker_is_an_error_at_a_tie_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(with_torch, "estimate", broken)
    found = verify(RELU)
    assert (found.status, found.reason) == ("ERROR", "torch: RuntimeError: out of luck")
    assert verify(RELU, returning(input=2.0)).status == "FAIL", "a failure outweighs it"


# --- which entries are tied --------------------------------------------------------------


@pytest.mark.parametrize(
    "layer, points",
    [
        (ops.ReLU(), (0.0,)),
        (ops.LeakyReLU(), (0.0,)),
        (ops.ELU(0.5), (0.0,)),
        (ops.SELU(), (0.0,)),
        (ops.HardTanh(), (-1.0, 1.0)),
        (ops.ReLU6(), (0.0, 6.0)),
        (ops.HardSigmoid(), (-3.0, 3.0)),
        (ops.HardSwish(), (-3.0, 3.0)),
        (ops.SoftShrink(), (-0.5, 0.5)),
    ],
    ids=lambda value: value.name if isinstance(value, ops.Operator) else "",
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_kink_is_a_tie_that_the_reference_passes(
    layer: ops.Operator, points: tuple[float, ...], dtype: DType
) -> None:
    case = case_of(layer, x=[[*points, 0.25]], t=[[1.0, -2.0, 3.0][: len(points) + 1]], dtype=dtype)
    tied = found_in(case)
    assert [t.entry for t in tied] == list(range(len(points)))
    pieces = [t.options for t in tied]
    assert pieces == [(k, k + 1) for k in range(len(points))]
    found = verify(case)
    assert found.status == "PASS" and found.convention.startswith(f"at {len(points)} tie")
    assert verify(case, on_the_right(tied)).status == "PASS"


@pytest.mark.parametrize("layer", [ops.CELU(0.5), ops.Softsign(), ops.ELU(1.0)])
def test_a_kink_of_a_higher_derivative_is_no_tie(layer: ops.Operator) -> None:
    case = case_of(layer, x=[[0.0, 1.0]])
    found = verify(case)
    assert found.status == "PASS"
    assert not found.convention or found.convention == "ties do not change any gradient"


def test_a_structural_tie_changes_nothing() -> None:
    """relu after relu: the second stands at 0 wherever the first cut, and no gradient cares."""
    case = case_of(ops.ReLU(), ops.ReLU(), x=[[-1.0, 2.0, -3.0]])
    assert {t.site for t in found_in(case)} == {"layers.1"}
    found = verify(case)
    assert found.status == "PASS" and found.convention == "ties do not change any gradient"
    wrong = verify(case, returning(input=[0.5, 1.0, 0.0]))
    assert (wrong.status, wrong.tensor) == ("FAIL", "input")


def test_a_structural_tie_does_not_excuse_a_fault_elsewhere() -> None:
    case = case_of(ops.ReLU(), ops.ReLU(), x=[[-1.0, 2.0, -3.0]])
    assert verify(case, returning(input=[0.0, 1.001, 0.0])).status == "FAIL"


@pytest.mark.parametrize("share, tied", [(1.0, True), (1e3, False)])
def test_a_near_tie_in_float32_is_a_tie_where_rounding_decides_the_piece(
    share: float, tied: bool
) -> None:
    """The pre-activation 1 + d - 1 errs by some 2^-24; d is that, or a thousand times it."""
    x = np.array([[1.0 + share * 2.0**-23, 1.0]], np.float32)
    case = case_of(ops.Dense(1, False), ops.ReLU(), x=x, dtype="float32", w0_weight=[[1.0, -1.0]])
    assert bool(found_in(case)) == tied
    assert verify(case).status == "PASS"


def test_the_same_near_tie_is_none_in_float64() -> None:
    case = case_of(
        ops.Dense(1, False), ops.ReLU(), x=[[1.0 + 2.0**-23, 1.0]], w0_weight=[[1.0, -1.0]]
    )
    assert not found_in(case) and verify(case).convention == ""


# --- losses and penalties ----------------------------------------------------------------


def penalised(w: Any) -> Case:
    return case_of(
        ops.Dense(1, False), x=[[1.0, 2.0]], w0_weight=w, penalties=(ls.L1(0.5), ls.L2(1.0))
    )


@pytest.mark.parametrize(
    "slope, status", [(-1.0, "PASS"), (0.0, "PASS"), (1.0, "PASS"), (1.1, "FAIL")]
)
def test_l1_at_zero_has_every_slope_from_minus_1_to_1(slope: float, status: str) -> None:
    """PyTorch's abs'(0) is 0, JAX's 1 (NUMERICS.md), ours -1."""
    case = penalised([[0.0, 3.0]])
    assert [t.site for t in found_in(case)] == ["penalties.0.layers.0.weight"]
    found = verify(case, returning(layers_0_weight=[[1 + 0.5 * slope, 2 + 0.5 + 3]]))
    assert found.status == status
    if status == "FAIL":
        assert found.operator == "l1"


def test_a_penalty_of_no_strength_has_no_tie() -> None:
    case = case_of(
        ops.Dense(1, False), x=[[1.0, 2.0]], w0_weight=[[0.0, 0.0]], penalties=(ls.L1(0.0),)
    )
    assert not found_in(case) and verify(case).status == "PASS"


HINGE = case_of(x=[[1.0, 0.0, 5.0]], t=[0], loss=ls.Hinge())
"""The margin is met exactly by the class 1, and violated by the class 2."""


@pytest.mark.parametrize(
    "share, status", [(0.0, "PASS"), (0.5, "PASS"), (1.0, "PASS"), (1.2, "FAIL")]
)
def test_hinge_at_the_margin(share: float, status: str) -> None:
    found = verify(HINGE, returning(input=[-1 - share, share, 1.0]))
    assert found.status == status
    if status == "FAIL":
        assert found.operator == "hinge"


def test_absolute_error_of_nothing_has_every_slope_from_minus_1_to_1() -> None:
    case = case_of(x=[[2.0, 3.0]], t=[[2.0, 1.0]], loss=ls.AbsoluteError("sum"))
    for slope, status in ((-1.0, "PASS"), (0.0, "PASS"), (1.0, "PASS"), (-1.5, "FAIL")):
        assert verify(case, returning(input=[slope, 1.0])).status == status


# --- the greatest of several --------------------------------------------------------------

GREATEST = case_of(ops.Max((-1,), keep=True), x=[[2.0, 2.0, 1.0]])


@pytest.mark.parametrize(
    "slopes, status",
    [
        ([1.0, 0.0, 0.0], "PASS"),
        ([0.0, 1.0, 0.0], "PASS"),
        ([0.5, 0.5, 0.0], "PASS"),
        ([1.0, 1.0, 0.0], "FAIL"),
        ([0.0, 0.0, 1.0], "FAIL"),
    ],
)
def test_equal_greatest_entries_may_share_the_slope_in_any_way(slopes: Any, status: str) -> None:
    assert [t.options for t in found_in(GREATEST)] == [(0, 1)]
    found = verify(GREATEST, returning(input=slopes), checkers=NUMERICAL)
    assert found.status == status
    if status == "FAIL":
        assert found.operator == "max"


def test_three_equal_candidates_are_one_tie_of_three_options() -> None:
    case = case_of(ops.Max((-1,), keep=True), x=[[3.0, 1.0, 3.0, 3.0]])
    (tie,) = found_in(case)
    assert tie.options == (0, 2, 3)
    assert len(ties.all_choices((tie,))) == 3
    assert ties.last((tie,)).tolist() == [2]
    for slopes, status in (([1, 0, 0, 0], "PASS"), ([1 / 3, 0, 1 / 3, 1 / 3], "PASS"),
                           ([0, 1, 0, 0], "FAIL"), ([1, 0, 1, 0], "FAIL")):  # fmt: skip
        assert verify(case, returning(input=slopes), checkers=NUMERICAL).status == status


def test_the_first_of_equal_candidates_is_our_convention() -> None:
    assert reference_subject(GREATEST)[1]["input"].tolist() == [[1.0, 0.0, 0.0]]
    found = verify(GREATEST, checkers=NUMERICAL)
    assert found.convention == "at 1 tie in layers.0: the left derivative"


@pytest.mark.parametrize("kind", [ops.Maximum, ops.Minimum])
def test_two_equal_edges_may_share_the_slope_in_any_way(kind: Any) -> None:
    joined = kind(inputs=("input", "layers.0.output"))
    a = Architecture((1, 2), (ops.Variable((1, 2)), joined), ls.WeightedSum())
    case = make_case(a, {"layers.0.value": [[1.0, 5.0]]}, [[1.0, 3.0]], [[1.0, 1.0]])
    assert [(t.site, t.entry) for t in found_in(case)] == [("layers.1", 0)]
    assert verify(case, checkers=NUMERICAL).status == "PASS"
    wins = float(kind is ops.Maximum)
    for share, status in ((0.0, "PASS"), (0.25, "PASS"), (1.0, "PASS"), (1.5, "FAIL")):
        given = returning(
            input=[[share, 1 - wins]], layers_0_value=[[1 - share, wins]],
            layers_0_output=[[1 - share, wins]],
        )  # fmt: skip
        assert verify(case, given, checkers=NUMERICAL).status == status


def test_windows_of_a_pool_that_overlap_tie_each_by_itself() -> None:
    a = Architecture((1, 1, 4), (ops.MaxPool1d((2,), stride=(1,)),), ls.WeightedSum())
    case = make_case(a, {}, [[[0.0, 4.0, 4.0, 4.0]]], np.ones((1, 1, 3)))
    assert [(t.entry, len(t.options)) for t in found_in(case)] == [(1, 2), (2, 2)]
    for slopes, status in (([0, 2, 1, 0], "PASS"), ([0, 1, 1, 1], "PASS"), ([0, 1, 0, 2], "FAIL")):
        assert verify(case, returning(input=slopes), checkers=NUMERICAL).status == status


# --- ties in graphs ------------------------------------------------------------------------


def test_a_tie_in_one_of_two_uses_is_a_tie_of_their_sum() -> None:
    """y = x + relu(x) at 0 has every slope from 1 to 2."""
    joined = ops.Add(inputs=("input", "layers.0.output"))
    case = case_of(ops.ReLU(), joined, x=[[0.0]])
    for slope, status in ((1.0, "PASS"), (1.5, "PASS"), (2.0, "PASS"), (0.9, "FAIL")):
        assert verify(case, returning(input=slope), checkers=NUMERICAL).status == status
    assert verify(case, checkers=NUMERICAL).status == "PASS"


def test_a_tie_of_an_auxiliary_loss_is_found_at_its_site() -> None:
    auxiliary = (ls.AbsoluteError("sum", inputs=("input",)),)
    a = Architecture((1, 1), (ops.Tanh(),), ls.WeightedSum(), (), auxiliary)
    case = make_case(a, {}, [[0.5]], {"loss": [[0.0]], "auxiliary.0": [[0.5]]})
    assert [t.site for t in found_in(case)] == ["auxiliary.0"]
    for slope, status in ((-1.0, "PASS"), (0.0, "PASS"), (1.0, "PASS"), (1.1, "FAIL")):
        found = verify(case, returning(input=slope), checkers=NUMERICAL)
        assert found.status == status
    assert found.operator == "absolute_error"


# --- many ties --------------------------------------------------------------------------

MANY = case_of(ops.ReLU(), x=np.zeros((2, 8)), t=np.arange(1.0, 17.0).reshape(2, 8))


def test_more_ties_than_can_be_enumerated_are_verified_close_by() -> None:
    assert len(found_in(MANY)) == 16 > ties.MOST_TIES
    found = verify(MANY)
    assert found.status == "PASS"
    assert found.convention == "16 ties, too many to enumerate; verified at a point close by"


def test_a_fault_among_many_ties_is_caught_close_by() -> None:
    def twice(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, right = reference_subject(case)
        return loss, {n: 2 * g for n, g in right.items()}

    found = verify(MANY, twice)
    assert found.status == "FAIL" and "close by" in found.convention


def test_ties_that_no_small_move_breaks_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "off_the_tie", lambda case: case)
    found = verify(MANY)
    assert (found.status, found.reason) == (
        "INCONCLUSIVE",
        "16 ties, too many to enumerate, which a small move does not break",
    )


def test_a_network_too_large_to_enumerate_is_verified_close_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ties, "MOST_ENTRIES", 0)
    found = verify(RELU)
    assert found.convention == "1 tie in a network of many entries; verified at a point close by"


def test_moving_off_the_ties_keeps_the_network_and_its_dtype() -> None:
    case = draw_case(
        Architecture((3, 2), (ops.Dense(3), ops.ReLU()), ls.CrossEntropy()), 1, "tie", "float32"
    )
    moved = ties.off_the_tie(case)
    assert moved.dtype == "float32" and moved.lane == "generic"
    assert moved.input is not None and moved.input.dtype == np.float32
    assert np.array_equal(moved.target, case.target), "class numbers stay"
    for name, w in case.parameters.items():
        assert moved.parameters[name].dtype == np.float32
        assert 0 < np.abs(moved.parameters[name] - w).max() <= 2.0**-7 * np.abs(w).max()


# --- the machinery ----------------------------------------------------------------------


def test_gradients_on_pieces_are_those_of_the_reference_on_these_pieces() -> None:
    for i, a in enumerate(generate(Limits(), "tie", "float64", 3, 40)):
        case = draw_case(a, i, "tie")
        tied = found_in(case)
        if not 0 < len(tied) <= 4:
            continue
        choices = ties.all_choices(tied)
        names = ties.gradient_names(case)
        base = Probe(case).trace.branches
        for pieces, found in zip(
            choices, ties.piece_gradients(case, tied, choices, names), strict=True
        ):
            chosen = ties.choose(base, tied, pieces)
            right = on_pieces(constantly(chosen))(case)[1]
            expected = ties.flatten(right, names)
            if np.isfinite(expected).all():
                # both err by some roundings of the largest gradient; 2^10 of them
                scale = np.abs(expected).max(initial=0.0) + 1e-300
                assert np.abs(found - expected).max(initial=0.0) <= 2**10 * 2.0**-53 * scale


def test_undecided_entries_are_those_that_the_pieces_change() -> None:
    case = case_of(ops.ReLU(), ops.Square(), x=[[0.0, 1.0]])
    masks = ties.undecided(case, found_in(case))
    assert not masks["input"].any(), "the square has no slope at 0 to pass on"
    case = case_of(ops.ReLU(), x=[[0.0, 1.0]])
    masks = ties.undecided(case, found_in(case))
    assert masks["input"].tolist() == [[True, False]]
    assert not masks["layers.0.output"].any()


def test_a_convention_of_the_subject_is_judged_on_the_tensors_that_it_gives() -> None:
    def parameters_only(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, right = reference_subject(case)
        return loss, {n: right[n] for n in case.architecture.parameters}

    case = case_of(ops.Dense(1, False), ops.ReLU(), x=[[1.0, 1.0]], w0_weight=[[1.0, -1.0]])
    assert verify(case, parameters_only).status == "PASS"


def test_ties_whose_sides_are_not_finite_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ties,
        "piece_gradients",
        lambda case, tied, choices, names: np.full((len(choices), 1), np.inf),
    )
    monkeypatch.setattr(hulls.Hulls, "_tolerance", lambda self, vertices: 1.0)
    found = verify(RELU)
    assert (found.status, found.reason) == (
        "INCONCLUSIVE",
        "a gradient beside the tie is not finite",
    )


def test_random_networks_on_the_tie_lane_pass_on_either_side() -> None:
    """The reference on its own pieces, and on the right ones of every tie."""
    seen = 0

    def judged(case: Case, subject: Subject) -> Verdict:
        return verify(case, subject, checkers=("finite_differences", "complex_step"))

    for i, a in enumerate(generate(Limits(), "tie", "float64", 9, 60)):
        case = draw_case(a, i, "tie")
        tied = found_in(case)
        if not 0 < len(tied) <= 6:
            continue
        right = on_the_right(tied)
        for subject in (reference_subject, right):
            verdict = judged(case, subject)
            assert verdict.status in ("PASS", "INCONCLUSIVE"), (a, verdict.reason)
            seen += verdict.status == "PASS"
    assert seen > 20


def test_a_hull_too_coarse_to_see_one_percent_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = case_of(ops.ReLU(), ops.Dense(1), x=[0.0, 2.0], w1_weight=[[1.0, 3.0]], w1_bias=[1.0])
    assert verify(case).status == "PASS"
    monkeypatch.setattr(hulls.Hulls, "_tolerance", lambda self, vertices: 0.02 * self.scale)
    monkeypatch.setattr(ties, "distance_to_hull", lambda vertices, g: 0.001)
    verdict = verify(case)
    assert verdict.status == "INCONCLUSIVE"
    assert "too large to prove anything" in verdict.reason


def test_rounding_of_a_zero_gradient_may_go_to_another_tied_entry() -> None:
    """The cosine of single numbers is +-1, so its gradient is zero; PyTorch's is 1e-16, and it
    shares that among equal maxima, where our zero went to the first of them.
    """
    a = Architecture(
        input=(3, 3, 3, 1, 1),
        layers=(
            ops.LeakyReLU(0.1),
            ops.Dense(1, bias=False),
            ops.Max((-2, -3), keep=True),
        ),
        loss=ls.Cosine(),
        penalties=(ls.L1(0.01),),
    )
    case = draw_case(a, 4294970441, "tie", "float32")
    assert verify(case).status == "PASS"

    def wrong(given: Case) -> Any:
        loss, gradients = reference_subject(given)
        bar = gradients["layers.1.output"].copy()
        bar[2, 1, 2] = 1e-5
        return loss, {**gradients, "layers.1.output": bar}

    assert verify(case, wrong).status == "FAIL"


def test_rounding_of_a_zero_gradient_may_go_to_any_of_many_tied_entries() -> None:
    """Case 16,905 of 20,000: of a cosine of single numbers nothing comes back but rounding.

    JAX shares it among up to nine equal maxima, also with those that no random choice took.
    """
    convolution = ops.Conv3d(
        2, (1, 2, 1), stride=(2, 2, 1), padding=(0, 1, 0), dilation=(1, 1, 2), groups=2
    )
    a = Architecture(
        (2, 2, 3, 3, 3), (ops.Max((-1, -2), keep=True), convolution), ls.Cosine(reduction="sum")
    )
    verdict = verify(draw_case(a, 4294984201, "tie", "float32"))
    assert verdict.status == "PASS", verdict.reason


def test_what_one_combination_of_two_ties_changes_is_undecided() -> None:
    """Case 17,527 of 20,000: max(x, hard_tanh(x)) on rows of ties, where a use of x has a slope
    only if the maximum is on the right and hard_tanh within its limits.
    """
    layers = (
        ops.Embedding(5, 2, (2,), padding_index=0),
        ops.Dense(1),
        ops.HardTanh(-0.5, 1.0),
        ops.Maximum(inputs=("layers.1.output", "layers.2.output")),
    )
    a = Architecture(None, layers, ls.AbsoluteError("sum"))
    verdict = verify(draw_case(a, 4294984823, "tie", "float32"))
    assert verdict.status == "PASS", verdict.reason


@pytest.mark.parametrize("seed", range(20))
def test_no_use_of_a_tensor_is_taken_for_decided_by_chance(seed: int) -> None:
    x = [[1.0, 1.0, -0.5], [1.0, -0.5, 1.0]]
    layers = (ops.HardTanh(-0.5, 1.0), ops.Maximum(inputs=("input", "layers.0.output")))
    a = Architecture((2, 3), layers, ls.WeightedSum())
    case = make_case(a, {}, x, np.ones((2, 3)), seed=seed)
    found = ties.undecided(case, found_in(case))
    assert found["layers.0.inputs.0"].all()


def test_every_option_of_every_tie_is_taken_once() -> None:
    case = case_of(ops.Max(keep=True), x=[[1.0, 1, 1, 1, 1, 1, 1], [2.0, 2, 1, 1, 1, 1, 1]])
    tied = found_in(case)
    site = tied[0].site
    taken = [branches[site].reshape(-1) for branches in ties.some_branches(case, tied, 8)]
    for tie in tied:
        assert {int(pieces[tie.entry]) for pieces in taken} == set(tie.options)


BESIDE = make_case(
    Architecture((2, 2), (ops.Dense(2), ops.ReLU(), ops.Dense(1)), ls.SquaredError()),
    {
        "layers.0.weight": [[1.0, -1.0], [0.5, 2.0]], "layers.0.bias": [0.0, 0.25],
        "layers.2.weight": [[1.0, -2.0]], "layers.2.bias": [0.5],
    },
    [[1.0, 1.0], [2.0, 1.0]],
    [[0.5], [-1.0]],
)  # fmt: skip
"""Unit 0 ties on the first row; what no tie can change is the loss and all above."""


def scaled(name: str, factor: float) -> Subject:
    """The reference with one tensor, or the loss, multiplied."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, right = reference_subject(case)
        if name == "loss":
            return loss * np.asarray(factor), right
        return loss, {**right, name: right[name] * np.asarray(factor)}

    return subject


@pytest.mark.parametrize(
    "name, operator",
    [
        ("loss", "squared_error"), ("layers.2.output", "squared_error"),
        ("layers.1.output", "dense"), ("layers.2.bias", "dense"), ("layers.2.weight", "dense"),
        ("layers.0.output", "relu"), ("layers.0.weight", "dense"), ("input", "dense"),
    ],
)  # fmt: skip
def test_beside_a_tie_every_tensor_is_still_verified(name: str, operator: str) -> None:
    """The loss, the cotangents above the tie, the one at it, and what lies below."""
    assert len(found_in(BESIDE)) == 1
    right = verify(BESIDE)
    assert (right.status, right.convention[:5]) == ("PASS", "at 1 ")
    found = verify(BESIDE, scaled(name, 7.0))
    assert (found.status, found.operator, found.tensor) == ("FAIL", operator, name)
    rows = {o.operator: o.status for o in found.operators}
    assert rows[operator] == "FAIL"
    assert list(rows.values()).count("FAIL") == 1
