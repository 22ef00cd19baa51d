"""Complex step: right to rounding, and free of the traps that silently give 0."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import LANES, Case, Lane, draw_case, make_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers import complex_step
from backproof.checkers import finite_differences as fd
from backproof.checkers.asking import bit_for_bit, directions
from backproof.checkers.comparison import ALPHA
from backproof.checkers.noise import UNIT
from backproof.checkers.probe import Probe
from backproof.checkers.rounding import REPLICAS, measure, norm
from backproof.reference import network
from backproof.reference.arrays import Array

U = UNIT["float64"]
every_lane = pytest.mark.parametrize("lane", LANES)


@cache
def cases(lane: Lane, count: int = 30) -> tuple[Case, ...]:
    return tuple(
        draw_case(a, i, lane) for i, a in enumerate(generate(Limits(), lane, "float64", 41, count))
    )


@every_lane
def test_slopes_are_those_of_the_backward_pass_within_rounding(lane: Lane) -> None:
    """The rounding of both: the backward pass's by its model, complex step's by its own.

    And the truncation, which is all that is left where a derivative is zero.
    """
    for case in cases(lane):
        probe, measured = Probe(case), measure(case)
        factor = measured.factor(ALPHA)
        with np.errstate(all="ignore"):
            gradients = network.value_and_gradients(case)[1]
        for name, v in directions(case, 2).items():
            found = complex_step.along(probe, name, v)
            own = complex_step.own_rounding(probe, name, v, REPLICAS, seed=0)
            allowed = factor * (own + measured.along(name, v))
            allowed = allowed + complex_step.truncation(probe, name, v)
            assert abs(found[0] - np.sum(gradients[name] * v[0])) <= allowed[0], case.architecture


@every_lane
def test_every_entry_is_the_slope_along_its_unit_vector(lane: Lane) -> None:
    for case in cases(lane)[:10]:
        probe = Probe(case)
        for name, v in directions(case, 3).items():
            gradient = complex_step.every_entry(probe, name)
            units = np.eye(v.size).reshape(-1, *v.shape[1:])
            one_by_one = [complex_step.along(probe, name, e[None])[0] for e in units]
            # many at once or one alone: matrix products may sum in another order
            scale = v.size * 2**6 * U * norm(gradient)
            assert np.abs(gradient.ravel() - one_by_one).max() <= scale


def test_the_gradient_is_exact_on_the_exact_lane() -> None:
    exact = [case for case in cases("exact") if bit_for_bit(case)]
    assert len(exact) > 20
    for case in exact:
        gradients = network.value_and_gradients(case)[1]
        found = complex_step.estimate(case, directions(case, 0), exhaustive=True)
        for name, g in gradients.items():
            assert np.array_equal(found.entries[name], g)


def test_chunks_do_not_change_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases("exact")[0]
    names = case.architecture.tensors
    whole = [complex_step.every_entry(Probe(case), n) for n in names]
    monkeypatch.setattr("backproof.checkers.probe.MEMORY", 1)
    single = [complex_step.every_entry(Probe(case), n) for n in names]
    assert all(np.array_equal(a, b) for a, b in zip(whole, single, strict=True))


TRAPS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "abs in a loss": ((), ls.AbsoluteError("sum")),
    "abs in an activation": ((ops.Softsign(),), ls.WeightedSum()),
    "a norm": ((), ls.Cosine()),
    "the sign in log cosh": ((), ls.LogCosh("sum")),
    "a maximum in softmax": ((ops.Softmax(),), ls.WeightedSum()),
    "a maximum in a loss": ((), ls.CrossEntropy()),
    "a clip": ((ops.HardTanh(),), ls.WeightedSum()),
    "erf": ((ops.GELU(),), ls.WeightedSum()),
    "a branch in softplus": ((ops.Softplus(),), ls.WeightedSum()),
    "a branch in sigmoid": ((ops.Sigmoid(),), ls.WeightedSum()),
}


@pytest.mark.parametrize("layers, loss", TRAPS.values(), ids=TRAPS)
def test_what_drops_an_imaginary_part_is_not_used(layers: Any, loss: Any) -> None:
    """np.abs, norms, maxima and comparisons of complex numbers would give 0 without a word."""
    a = Architecture((3, 4), layers, loss)
    probe = Probe(draw_case(a, 1))
    gradient = complex_step.every_entry(probe, "input")
    right, bounds = fd.every_entry(probe, "input")
    assert np.isfinite(bounds).all()
    assert (np.abs(gradient - right) <= bounds + 64 * U * np.abs(gradient).max()).all()
    assert np.count_nonzero(gradient) > 2


def test_a_penalty_on_complex_weights_keeps_its_slope() -> None:
    a = Architecture((1, 1), (ops.Dense(1, False),), ls.WeightedSum(), (ls.L1(0.5), ls.L2(2.0)))
    case = make_case(a, {"layers.0.weight": [[-3.0]]}, [[2.0]], [[5.0]])
    assert complex_step.every_entry(Probe(case), "layers.0.weight") == 2 * 5 - 0.5 - 6


def test_the_truncation_is_far_below_rounding() -> None:
    """h = 2^-100, so h^2 is 2^-147 roundings; the real part is the loss itself, untouched."""
    case = cases("generic")[0]
    probe = Probe(case)
    name, v = next(iter(directions(case, 0).items()))
    moved = probe.losses(name, 1j * complex_step.STEP * v)
    # a branch of the complex functions may round the last bits of the loss otherwise
    assert abs(moved[0].real - probe.loss) <= 64 * U * abs(probe.loss)


@pytest.mark.parametrize("x", [-300.0, -600.0, -700.0])
def test_a_derivative_far_below_the_step_is_found(x: float) -> None:
    """sigmoid'(x) = exp(x) there, down to 1e-304: times 2^-100 that is no number any more."""
    a = Architecture((1, 1), (ops.Sigmoid(),), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[x]], [[1.0]]))
    gradient = complex_step.every_entry(probe, "input")
    assert gradient[0, 0] == pytest.approx(np.exp(x), rel=1e-12)  # x in exp: 700 roundings


def test_own_rounding_knows_where_forward_mode_cancels() -> None:
    """Where a softmax saturates, forward mode subtracts what backward mode never forms."""
    a = Architecture((1, 3), (ops.Softmax(),), ls.NegativeLogLikelihood())
    probe = Probe(make_case(a, {}, [[30.0, 0.0, -1.0]], [0]))
    v = np.array([[[1.0, 1.0 + 2.0**-30, 1.0]]])
    slope = complex_step.along(probe, "input", v)[0]
    own = complex_step.own_rounding(probe, "input", v, REPLICAS, seed=0)[0]
    assert own > U * abs(slope)


def test_own_rounding_covers_the_true_error() -> None:
    """On networks of sines and products against the backward pass, whose error is smaller."""
    for case in cases("generic"):
        probe = Probe(case)
        for name, v in directions(case, 4).items():
            own = complex_step.own_rounding(probe, name, v, REPLICAS, seed=0)
            assert own.shape == (1,) and (own >= 0).all() and np.isfinite(own).all()
            again = complex_step.own_rounding(probe, name, v, REPLICAS, seed=0)
            assert np.array_equal(own, again)


def test_an_estimate_stays_on_the_pieces_that_it_is_given() -> None:
    a = Architecture((1, 2), (ops.ReLU(),), ls.WeightedSum())
    case = make_case(a, {}, np.zeros((1, 2)), np.ones((1, 2)))
    v: dict[str, Array] = directions(case, 0)
    right = {"layers.0": np.ones((1, 2), np.int8)}
    left = complex_step.estimate(case, v, exhaustive=True)
    assert np.array_equal(left.entries["input"], [[0.0, 0.0]])
    found = complex_step.estimate(case, v, exhaustive=True, branches=right)
    assert np.array_equal(found.entries["input"], [[1.0, 1.0]])
