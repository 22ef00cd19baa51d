"""The probe: the loss as a function of one tensor, on the pieces of the base point."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import LANES, Case, Lane, draw_case, make_case, stream
from backproof.architectures.generation import Limits, generate
from backproof.checkers import probe as probe_module
from backproof.checkers.probe import Probe

U = 2.0**-53
every_lane = pytest.mark.parametrize("lane", LANES)


@cache
def cases(lane: Lane, count: int = 20) -> tuple[Case, ...]:
    return tuple(
        draw_case(a, i, lane) for i, a in enumerate(generate(Limits(), lane, "float64", 11, count))
    )


@pytest.mark.parametrize("lane", ["generic", "exact", "tie"])
@pytest.mark.parametrize("step", [0.25, -0.25])
def test_the_loss_of_one_changed_entry_is_that_of_the_naive_perturbation(
    lane: Lane, step: float
) -> None:
    """The rank-1 update and the penalties' shortcut leave out only what does not change.

    Both ways sum the same terms in another order; 2^10 roundings of the loss at its largest.
    """
    for case in cases(lane):
        probe = Probe(case)
        for name in case.architecture.tensors:
            size = probe.tensor(name).size
            naive = probe.losses(name, step * np.eye(size).reshape(size, *probe.tensor(name).shape))
            quick = probe.entry_losses(name, np.arange(size), step)
            if lane == "exact":
                assert np.array_equal(quick, naive)
            else:
                # a step may leave where the loss is defined: NaN both ways
                known = np.isfinite(naive)
                assert np.array_equal(known, np.isfinite(quick))
                scale = np.abs(naive).max(where=known, initial=abs(probe.loss))
                assert (np.abs(quick - naive)[known] <= 2**10 * U * scale).all()


def test_penalties_see_the_weight_that_moves() -> None:
    """L = sum(t y) + |w| + w^2 at w = 3: the step 1 adds the slope and 1 + 7."""
    a = Architecture((1, 1), (ops.Dense(1, False),), ls.WeightedSum(), (ls.L1(1.0), ls.L2(2.0)))
    case = make_case(a, {"layers.0.weight": [[3.0]]}, [[2.0]], [[5.0]])
    probe = Probe(case)
    assert probe.loss == 3 * 2 * 5 + 3 + 9
    moved = probe.entry_losses("layers.0.weight", np.array([0]), 1.0)
    assert moved[0] == 4 * 2 * 5 + 4 + 16


def test_a_zero_step_changes_nothing() -> None:
    for case in cases("generic"):
        probe = Probe(case)
        for name in case.architecture.tensors:
            assert (
                probe.losses(name, np.zeros((2, *probe.tensor(name).shape))) == probe.loss
            ).all()


@every_lane
def test_a_perturbed_pass_stays_on_the_pieces_of_the_base_point(lane: Lane) -> None:
    for case in cases(lane):
        probe = Probe(case)
        for name in case.architecture.tensors:
            v = stream(0, name).standard_normal((3, *probe.tensor(name).shape))
            trace = probe.perturbed(name, 100 * v)
            for site, piece in trace.branches.items():
                assert piece is probe.trace.branches[site]


def test_only_the_layers_above_an_edge_are_run_again() -> None:
    a = Architecture((2, 3), (ops.Dense(3), ops.Tanh(), ops.Dense(2)), ls.SquaredError())
    probe = Probe(draw_case(a, 0))
    for trace in (
        probe.perturbed("layers.1.output", np.ones((1, 2, 3))),
        probe.perturbed("layers.2.bias", np.ones((1, 2))),
    ):
        again = {site for site, s in trace.saved.items() if s is not probe.trace.saved[site]}
        assert again == {"layers.2", "loss"}
        assert trace.edges["layers.0.output"] is probe.trace.edges["layers.0.output"]


def test_chunks_cover_every_entry_once_within_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "MEMORY", 8 * 20 * 3)
    a = Architecture((4, 5), (ops.Dense(3),), ls.SquaredError())
    probe = Probe(draw_case(a, 0))
    chunks = list(probe.chunks("layers.0.weight", copies=1))
    assert np.array_equal(np.concatenate(chunks), np.arange(15))
    assert {len(c) for c in chunks} == {3}  # three copies of the input, the widest edge
    assert {len(c) for c in probe.chunks("layers.0.weight", copies=100)} == {1}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_reach_is_the_distance_over_which_an_operator_changes(scale: float) -> None:
    """1 / (1 + x) at x = 1 has its pole two away; a direction twice as long gets half as far.

    The rate is read off a step of 2^-20, which rounding blurs by 2^-33 of it or less.
    """
    a = Architecture((1, 1), (ops.Softsign(),), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[1.0]], [[1.0]]))
    reach, grain = probe.reach("input", np.array([[[scale]]]))
    # the output is linear in the loss, and its own size is the smaller radius for long steps
    assert reach[0] * scale == pytest.approx(2.0, rel=1e-6) or reach[0] * scale < 2.0
    assert 0 < grain[0] * scale <= 2 * U


def test_a_tensor_that_nothing_depends_on_has_a_finite_reach() -> None:
    a = Architecture((2, 2), (ops.Dense(2),), ls.WeightedSum())
    case = make_case(
        a,
        {"layers.0.weight": np.zeros((2, 2)), "layers.0.bias": np.ones(2)},
        np.zeros((2, 2)),
        np.ones((2, 2)),
    )
    reach, grain = Probe(case).reach("layers.0.weight", np.ones((1, 2, 2)))
    assert 0 < reach[0] < np.inf and grain[0] == 0


def test_the_grain_is_the_coarsest_of_all_that_moves_where_strict() -> None:
    a = Architecture((1, 2), (ops.Tanh(),), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[0.5, 2.0**41]], [[1.0, 1.0]]))
    v = np.full((1, 1, 2), 2.0**10)
    _, fine = probe.reach("input", v)
    _, coarse = probe.reach("input", v, strict=True)
    assert fine[0] == pytest.approx(U * 0.5 / 2**10, rel=1e-6)
    assert coarse[0] == pytest.approx(U * 2.0**41 / 2**10, rel=0.5)  # one rounding of the move


@every_lane
def test_the_expected_noise_covers_what_rounding_does_to_the_loss(lane: Lane) -> None:
    """A change of one unit of every entry moves the loss by rounding, and no more than it.

    Nothing is asserted where the loss is not finite.  The factor is Student's, for 1e-7.
    """
    for case in cases(lane):
        probe = Probe(case)
        for name in case.architecture.tensors:
            x = probe.tensor(name)
            signs = stream(3, name).choice([-1.0, 1.0], size=(8, *x.shape))
            with np.errstate(all="ignore"):
                change = np.abs(probe.losses(name, U * signs * x) - probe.loss)
            if np.isfinite(change).all():
                assert change.max() <= 10 * probe.noise(name), (case.architecture, name)


def test_the_expected_noise_is_that_of_the_layers_above_alone() -> None:
    """Below stands 2^60; the edge above the softmax knows nothing of it."""
    a = Architecture((1, 2), (ops.Square(), ops.Softmax()), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[2.0**10, 2.0**10]], [[1.0, -1.0]]))
    assert probe.noise("layers.1.output") < 8 * U < probe.noise("input")
    assert probe.noise("input") == probe.noise("input")


def apart(x: float) -> Case:
    """|a - p| - |a - n| + 1, of which anchor, positive and negative are all the input."""
    a = Architecture((1, 1, 1), (), ls.TripletMargin(inputs=("input",) * 3))
    return make_case(a, {}, [[[x]]], {})


@pytest.mark.parametrize("x", [1.0, 1002.0, 1e5])
def test_the_expected_noise_of_a_use_is_not_what_is_left_where_uses_cancel(x: float) -> None:
    """a - p of one tensor is 0 whatever its rounding; along a alone it is rounded as x is."""
    probe = Probe(apart(x))
    uses = [probe.noise(name) for name in probe.architecture.named_slots]
    assert len(uses) == 3
    assert probe.noise("input") <= 4 * U  # of the margin, 1, alone
    for noise in uses:
        assert noise > probe.noise("input")
        assert U * x / 8 < noise < 8 * U * (x + 1)


def test_given_branches_replace_those_of_the_case() -> None:
    a = Architecture((1, 1), (ops.ReLU(),), ls.WeightedSum())
    case = make_case(a, {}, [[0.0]], [[1.0]])
    v = np.ones((1, 1, 1))
    assert Probe(case).losses("input", v)[0] == 0
    right = Probe(case, {"layers.0": np.ones((1, 1), np.int8)})
    assert right.losses("input", -v)[0] == -1
