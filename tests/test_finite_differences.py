"""Finite differences: the bound covers the true error wherever it is finite."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import LANES, Case, Lane, draw_case, make_case, stream
from backproof.architectures.files import loads
from backproof.architectures.generation import Limits, generate
from backproof.checkers import complex_step
from backproof.checkers import finite_differences as fd
from backproof.checkers.asking import bit_for_bit, directions
from backproof.checkers.comparison import ALPHA
from backproof.checkers.probe import Probe
from backproof.checkers.rounding import REPLICAS, Rounding, measure
from backproof.checkers.verdict import verify
from backproof.planting import BY_NAME, planted
from backproof.reference import network
from backproof.reference.arrays import Array

U = 2.0**-53
FACTOR = Rounding("float64", {"loss": np.zeros((REPLICAS, 1))}, {}, 0.0).factor(ALPHA)
every_lane = pytest.mark.parametrize("lane", LANES)


@cache
def cases(lane: Lane, count: int = 60) -> tuple[Case, ...]:
    """But for those whose values leave the range, of which a verdict asks nothing."""
    return drawn(tuple(generate(Limits(), lane, "float64", 23, count)), lane)


@cache
def chains(lane: Lane) -> tuple[Case, ...]:
    """The feed-forward networks on which the share of finite bounds was measured first."""
    found = json.loads((Path(__file__).parent / "data" / "chains.json").read_text())[lane]
    return drawn(tuple(loads(json.dumps(network)) for network in found), lane)


def drawn(networks: tuple[Architecture, ...], lane: Lane) -> tuple[Case, ...]:
    found = (draw_case(a, i, lane) for i, a in enumerate(networks))
    return tuple(case for case in found if not measure(case).overflows)


def covered(probe: Probe, name: str, v: Array, value: Array, bound: Array, right: Array) -> bool:
    """Whether finite differences along each of v are off by their bound at most.

    `right` is the derivative by complex step.  What that may err by itself is allowed for, and
    measured where the bound alone does not cover the difference.
    """
    open_ = np.isfinite(bound) & np.isfinite(right) & ~(np.abs(value - right) <= bound)
    if not open_.any():
        return True
    own = FACTOR * complex_step.own_rounding(probe, name, v[open_], REPLICAS, seed=1)
    return bool((np.abs(value - right)[open_] <= bound[open_] + own).all())


# --- Romberg, on functions of one number -------------------------------------------------


def tableau(f: mp.mpf, x: float, h: float) -> tuple[float, float, float]:
    """Romberg of f at x with the steps h / 2^k, and the true error, in exact arithmetic but
    for the values of f, which are rounded to float64."""
    steps = [h / 2**k for k in range(fd.LEVELS)]
    plus, minus = (
        np.array([[float(f(mp.mpf(x) + sign * mp.mpf(s)))] for s in steps]) for sign in (1, -1)
    )
    noise = U * np.abs(np.concatenate([plus, minus])).max(axis=0)
    value, bound = fd.romberg(plus, minus, np.array([h]), noise)
    return float(value[0]), float(bound[0]), float(abs(mp.mpf(float(value[0])) - mp.diff(f, x)))


FUNCTIONS = {
    "exp": mp.exp,
    "sin": mp.sin,
    "tanh": mp.tanh,
    "cube": lambda x: x**3,
    "pole at 4": lambda x: 1 / (x - 4),
    "poles at +-2i": lambda x: 1 / (4 + x * x),
}


@pytest.mark.repeats
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_tableau_covers_its_true_error(f: mp.mpf) -> None:
    """Over 40 places and steps, up to a quarter of the distance to a pole."""
    rng = stream(0, "tableau")
    with mp.workdps(60):
        for _ in range(40):
            x, h = float(rng.uniform(-1, 1)), float(2.0 ** rng.uniform(-20, -1.5))
            value, bound, error = tableau(f, x, h)
            assert error <= bound
            # nor absurdly large: that of rounding the values of f at the smallest step
            assert bound <= 2.0**12 * U * (1 + abs(value)) / h + 2.0**-20


def test_values_that_are_not_finite_give_no_finite_bound() -> None:
    bad = np.full((fd.LEVELS, 1), np.nan)
    value, bound = fd.romberg(bad, bad, np.ones(1), np.zeros(1))
    assert np.isnan(value[0]) and bound[0] == np.inf
    value, bound = fd.romberg(bad[:1] * 0, bad[:1] * 0, np.ones(1), np.zeros(1))
    assert bound[0] == np.inf, "one level has nothing to compare itself with"


# --- ECnoise ----------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [1e-13, 1e-10, 1e-6, 1e-3])
def test_ecnoise_recovers_the_size_of_injected_noise(deviation: float) -> None:
    """Eight points give an estimate within a factor; the median is close to the truth."""
    rng = stream(0, f"ecnoise/{deviation}")
    t = 1e-9 * np.arange(-4, 4)[:, None] * np.ones(500)
    values = np.exp(t) + deviation * rng.standard_normal((8, 500))
    ratio = fd.ec_noise(values) / deviation
    assert 0.7 < np.median(ratio) < 1.4
    # a level near the top is a mean of few squares: 1 in 20 outside a factor of 3
    assert np.mean((ratio > 1 / 3) & (ratio < 3)) > 0.95
    assert (3 * ratio > 0.1).all(), "three times the estimate is never far below the noise"


def test_ecnoise_of_a_constant_is_zero() -> None:
    assert fd.ec_noise(np.ones((8, 2)))[0] == 0


def test_ecnoise_does_not_take_a_slope_for_noise() -> None:
    t = 2.0**-31 * np.arange(-4, 4)[:, None]
    assert fd.ec_noise(np.exp(t))[0] <= 4 * U


# --- a network --------------------------------------------------------------------------


STEPS = (1.0, 0.7, 0.3)


@pytest.mark.repeats
@every_lane
@pytest.mark.parametrize("networks", [chains, cases])
def test_the_bound_covers_the_true_error_of_every_tensor(
    networks: Callable[[Lane], tuple[Case, ...]], lane: Lane
) -> None:
    """On all lanes, saturated, tiny, huge and tied networks among them; most bounds are tight.

    The truth is complex step, whose own rounding is allowed for.  Other steps than the first
    are strict: where they are lost in the rounding of any entry, they claim nothing, which
    is more frequent where several losses and uses add up.
    """
    relative: dict[float, list[float]] = {shrink: [] for shrink in STEPS}
    for case in networks(lane):
        probe = Probe(case)
        for name, v in directions(case, 5).items():
            right = complex_step.along(probe, name, v)
            if not np.isfinite(right).all():
                continue
            for shrink, seen in relative.items():
                with np.errstate(all="ignore"):
                    value, bound = fd.along(probe, name, v, shrink)
                assert covered(probe, name, v, value, bound, right), (
                    case.architecture, name, shrink
                )  # fmt: skip
                if right[0] != 0:
                    seen.append(bound[0] / abs(right[0]))
    for shrink, seen in relative.items():
        assert len(seen) > 150
        assert np.median(seen) < 1e-9
        strict_of_everything = networks is cases and shrink != 1
        assert np.mean(np.isfinite(seen)) > (0.9 if strict_of_everything else 0.95), shrink


def test_a_stencil_never_crosses_a_kink() -> None:
    """relu a hair from 0: any step of use crosses it, and the frozen piece does not see it."""
    a = Architecture((1, 3), (ops.ReLU(), ops.Tanh()), ls.WeightedSum())
    x = np.array([[1e-12, -1e-12, 0.0]])
    probe = Probe(make_case(a, {}, x, [[1.0, 1.0, 1.0]]))
    value, bound = fd.along(probe, "input", np.eye(3).reshape(3, 1, 3))
    np.testing.assert_allclose(value, [1.0, 0.0, 0.0], rtol=0, atol=bound.max())
    assert bound.max() < 1e-11


@pytest.mark.repeats
@every_lane
def test_every_entry_agrees_with_the_directional_derivative(lane: Lane) -> None:
    for case in cases(lane)[:25]:
        probe = Probe(case)
        for name, v in directions(case, 1).items():
            with np.errstate(all="ignore"):
                gradient, bounds = fd.every_entry(probe, name)
                value, bound = fd.along(probe, name, v)
            both = bound[0] + np.sum(bounds * np.abs(v[0]))
            if np.isfinite(both):
                # the projection itself rounds a sum of that many terms
                terms = v.size * U * np.sum(np.abs(gradient * v[0]))
                assert abs(np.sum(gradient * v[0]) - value[0]) <= both + terms


@pytest.mark.repeats
@every_lane
def test_the_bound_of_every_entry_covers_its_true_error(lane: Lane) -> None:
    finite = total = 0
    for case in cases(lane)[:25]:
        probe = Probe(case)
        for name in case.architecture.tensors:
            with np.errstate(all="ignore"):
                gradient, bounds = fd.every_entry(probe, name)
            units = np.eye(gradient.size).reshape(-1, *gradient.shape)
            value, bound = gradient.reshape(-1), bounds.reshape(-1)
            right = complex_step.along(probe, name, units)
            assert covered(probe, name, units, value, bound, right), (case.architecture, name)
            known = np.isfinite(bound) & np.isfinite(right)
            finite, total = finite + known.sum(), total + known.size
    assert finite > 0.9 * total


@pytest.mark.parametrize(
    "x, allowed",
    [(700.0, 1e-290), (1e-300, 1e-300), (40.0, 1e-15), (-700.0, 1e-290), (1e150, 0.0)],
)
def test_saturated_tiny_and_huge_points_have_an_honest_bound(x: float, allowed: float) -> None:
    """tanh far out, where its derivative is 0 to within `allowed`, and at a tiny argument."""
    a = Architecture((1, 1), (ops.Tanh(),), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[x]], [[1.0]]))
    with np.errstate(all="ignore"):
        value, bound = fd.along(probe, "input", np.ones((1, 1, 1)))
    right = 1.0 if abs(x) < 1 else 0.0
    assert not np.isfinite(bound[0]) or abs(value[0] - right) <= bound[0] + allowed


def test_steps_stay_where_the_loss_keeps_its_scale_though_a_square_outgrows_its_slope() -> None:
    """silu(w hard_swish(x)) at 0 with w = 1e-10: x reaches 1e10 by its slope, 1e5 by its square.

    Beyond that, silu is the identity or zero at every step, and all levels agree on 0.
    """
    a = Architecture((1, 1), (ops.HardSwish(), ops.Dense(1, False), ops.SiLU()), ls.WeightedSum())
    probe = Probe(make_case(a, {"layers.1.weight": [[1e-10]]}, [[0.0]], [[1.0]]))
    value, bound = fd.along(probe, "input", np.ones((1, 1, 1)))
    assert abs(value[0] - 0.25e-10) <= bound[0] < 1e-18


def test_steps_that_are_lost_in_rounding_give_no_finite_bound_where_strict() -> None:
    """Beside 0.5 stands 2^41: a step that suits the one is half a rounding of the other."""
    a = Architecture((1, 2), (ops.Tanh(),), ls.WeightedSum())
    probe = Probe(make_case(a, {}, [[0.5, 2.0**41]], [[1.0, 1.0]]))
    v = np.full((1, 1, 2), 2.0**10)
    assert np.isfinite(fd.along(probe, "input", v)[1][0])
    assert fd.along(probe, "input", v, shrink=0.7)[1][0] == np.inf


def test_a_tensor_whose_steps_are_lost_has_no_finite_bound_at_any_entry() -> None:
    """y = x + b with b = 2^40 under tanh: a step of x within reach does not show in y."""
    a = Architecture((1, 1), (ops.Dense(1), ops.Tanh()), ls.WeightedSum())
    values: dict[str, Any] = {"layers.0.weight": [[1024.0]], "layers.0.bias": [2.0**42]}
    probe = Probe(make_case(a, values, [[1.0]], [[1.0]]))
    assert np.isinf(fd.every_entry(probe, "input")[1]).all()
    assert np.isinf(fd.along(probe, "input", np.ones((1, 1, 1)))[1]).all()


def test_steps_along_one_of_several_uses_are_not_the_odd_one_out() -> None:
    """Three uses of 1002 that cancel: a step of one of them is lost in the rounding of 1002, of
    which the step of all three, and so its noise, sees nothing."""
    a = Architecture((1, 1, 1), (), ls.TripletMargin(inputs=("input",) * 3))
    case = make_case(a, {}, [[[1002.0]]], {})
    found = verify(case)
    assert found.status == "PASS", found.reason
    assert {c.checker: c.status for c in found.checkers}["finite_differences"] == "PASS"
    wrong = verify(case, planted(BY_NAME["negative_s_sign"], "loss"))
    assert (wrong.status, wrong.operator) == ("FAIL", "triplet_margin"), wrong.reason
    assert wrong.tensor == "loss.inputs.2"


# --- the exact lane, and the estimate ----------------------------------------------------


def test_one_central_difference_is_the_derivative_itself_on_the_exact_lane() -> None:
    exact = [case for case in cases("exact") if bit_for_bit(case)]
    assert len(exact) > 50
    for case in exact:
        found = fd.exact(case)
        loss, gradients = network.value_and_gradients(case)
        assert found.loss == loss
        assert found.entries.keys() == set(case.architecture.tensors)
        for name, g in found.entries.items():
            assert np.array_equal(g, gradients[name]), (case.architecture, name)


def test_an_estimate_says_slopes_or_entries_with_a_bound_for_each() -> None:
    case = cases("generic")[0]
    names = set(case.architecture.tensors)
    along = directions(case, 0)
    slopes = fd.estimate(case, along)
    assert slopes.checker == "finite_differences"
    assert slopes.directional.keys() == names == slopes.bounds.keys() and not slopes.entries
    whole = fd.estimate(case, along, exhaustive=True)
    assert whole.entries.keys() == names == whole.bounds.keys() and not whole.directional
    for name in names:
        assert np.shape(whole.bounds[name]) == whole.entries[name].shape
    assert whole.loss == slopes.loss == network.value_and_gradients(case)[0]


def test_the_bounds_do_not_know_the_backward_pass() -> None:
    """The estimate of a case stays the same when every backward function is gone."""
    case = cases("generic")[1]
    before = fd.estimate(case, directions(case, 0))
    assert measure(case).replicas == REPLICAS  # needs the backward; the estimate does not
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "backward", None)
        after = fd.estimate(case, directions(case, 0))
    for name, (_, value) in before.directional.items():
        assert np.array_equal(value, after.directional[name][1])
