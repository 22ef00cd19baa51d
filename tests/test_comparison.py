"""A comparison: PASS is earned, FAIL is certain, and all else is INCONCLUSIVE."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backproof.architectures.cases import DType
from backproof.checkers.comparison import ALPHA, CONCLUSIVE, Comparison, compare, same_bits
from backproof.checkers.estimate import Estimate
from backproof.checkers.noise import UNIT
from backproof.checkers.rounding import REPLICAS, Rounding
from backproof.reference.arrays import Array

SHAPE = (3, 4)
G = np.random.default_rng(0).normal(size=SHAPE)
SPREAD = 2.0**-45


def rounding(spread: Any = SPREAD, dtype: DType = "float64") -> Rounding:
    """Every entry deviates by `spread`, one replica up and the next down."""
    signs = np.where(np.arange(REPLICAS) % 2, 1.0, -1.0)[:, None, None]
    deviations = {"w": signs * np.broadcast_to(spread, SHAPE), "loss": np.zeros(REPLICAS)}
    return Rounding(dtype, deviations, {}, 1.0)


def whole(name: str, g: Array, bound: Any = None) -> Estimate:
    return Estimate(name, 0.0, entries={"w": g}, bounds={} if bound is None else {"w": bound})


def slopes(name: str, v: Array, values: Array, bound: Any = 0.0) -> Estimate:
    return Estimate(name, 0.0, directional={"w": (v, values)}, bounds={"w": bound})


def held(g: Array, c: Array, bound: Any = None, spread: Any = SPREAD) -> Comparison:
    return compare(whole("subject", g), whole("jax", c, bound), "w", rounding(spread), ALPHA)


FACTOR = rounding().factor(ALPHA)
NORM = SPREAD * np.sqrt(G.size)
"""The rms of the 2-norm of the deviation."""


# --- PASS and FAIL ----------------------------------------------------------------------


def test_equal_gradients_pass() -> None:
    assert held(G, G).status == "PASS"


def test_an_error_within_the_allowance_passes_and_beyond_it_fails() -> None:
    direction = np.ones(SHAPE) / np.sqrt(G.size)
    within = held(G + 0.99 * FACTOR * NORM * direction, G)
    beyond = held(G + 1.01 * FACTOR * NORM * direction, G)
    assert within.status == "PASS" and within.ratio == pytest.approx(0.99, rel=1e-3)
    assert beyond.status == "FAIL" and beyond.ratio == pytest.approx(1.01, rel=1e-3)
    assert beyond.error == pytest.approx(1.01 * FACTOR * NORM, rel=1e-3)
    assert beyond.bound == pytest.approx(FACTOR * NORM)


def test_one_wrong_entry_is_caught_though_the_norm_hides_it() -> None:
    """The noise of the other entries is large, that of the wrong one small."""
    spread = np.full(SHAPE, 1e-4)
    spread[1, 2] = 1e-12
    wrong = G.copy()
    wrong[1, 2] += 1e-6
    found = held(wrong, G, spread=spread)
    assert found.status == "FAIL"
    assert found.reason.startswith("entry (1, 2): ") and "jax" in found.reason
    assert found.error == pytest.approx(1e-6, rel=1e-6) and found.bound < 1e-10


def test_a_norm_may_fail_where_every_entry_is_within_its_allowance() -> None:
    share = rounding().factor(ALPHA / G.size) / FACTOR
    assert share > 1
    found = held(G + (1 + share) / 2 * FACTOR * SPREAD, G)
    assert found.status == "FAIL" and found.reason == ""


# --- what a checker cannot say ----------------------------------------------------------


def test_a_bound_of_one_number_bounds_every_entry() -> None:
    """And so the norm by sqrt(n) times as much."""
    bounded = held(G + 1e-6, G, bound=1.1e-6)
    assert bounded.status == "PASS"
    assert bounded.bound == pytest.approx(1.1e-6 * np.sqrt(G.size), rel=1e-6)
    assert held(G + 1e-6, G, bound=0.9e-6).status == "FAIL"


def test_a_bound_by_entries_bounds_the_norm_by_its_own_norm() -> None:
    bounds = np.zeros(SHAPE)
    bounds[0, 0] = 1e-6
    off = G.copy()
    off[0, 0] += 0.9e-6
    assert held(off, G, bound=bounds).status == "PASS"
    other = G.copy()
    other[0, 1] += 0.9e-6  # hidden in the norm, seen in the entry
    found = held(other, G, bound=bounds)
    assert found.status == "FAIL" and "entry (0, 1)" in found.reason


def test_both_bounds_count() -> None:
    subject = whole("subject", G + 1.5e-6, bound=1e-6)
    assert compare(subject, whole("c", G, 1e-6), "w", rounding(), ALPHA).status == "PASS"


def test_a_bound_too_large_proves_nothing() -> None:
    found = held(G + 1e-3, G, bound=1.0, spread=2.0**-52)
    assert found.status == "INCONCLUSIVE" and found.resolution and found.resolution > CONCLUSIVE
    assert "too large to prove anything" in found.reason


def test_a_zero_that_a_checker_could_not_have_told_from_the_gradient_proves_nothing() -> None:
    """The terms are of size 1e-20, the checker's bound is 1e-15, and both say 0."""
    zero, tiny = np.zeros(SHAPE), 1e-20 * UNIT["float64"]
    assert held(zero, zero, bound=1e-15, spread=tiny).status == "INCONCLUSIVE"
    assert held(zero, zero, bound=1e-25, spread=tiny).status == "PASS"


def test_a_zero_where_nothing_flows_is_confirmed_by_a_zero() -> None:
    zero = np.zeros(SHAPE)
    assert held(zero, zero, bound=1e-15, spread=0.0).status == "PASS"
    assert held(zero + 1e-16, zero, bound=1e-15, spread=0.0).status == "INCONCLUSIVE"


def test_a_bound_too_large_still_refutes_what_is_beyond_it() -> None:
    assert held(G + 10, G, bound=1.0).status == "FAIL"


@pytest.mark.parametrize("bound", [np.inf, np.nan])
def test_no_finite_bound_is_inconclusive(bound: float) -> None:
    found = held(G, G, bound=bound)
    assert found.status == "INCONCLUSIVE" and found.reason == "no finite error bound"


def test_one_entry_without_a_finite_bound_is_enough() -> None:
    bounds = np.zeros(SHAPE)
    bounds[2, 3] = np.inf
    assert held(G, G, bound=bounds).status == "INCONCLUSIVE"


# --- NaN and infinity -------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(bad: float) -> None:
    broken = G.copy()
    broken[0, 1] = bad
    subject = held(broken, G)
    assert subject.status == "FAIL" and subject.ratio == np.inf
    assert subject.reason.startswith("entry (0, 1) is not finite")
    assert held(G, broken).status == "INCONCLUSIVE"
    both = held(broken, broken)
    assert both.status == "INCONCLUSIVE" and both.reason == "neither is finite"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_slope_that_is_not_finite_never_passes(bad: float) -> None:
    v = np.ones((1, *SHAPE))
    broken = G.copy()
    broken[0, 0] = bad
    finite = slopes("finite_differences", v, np.array([G.sum()]))
    found = compare(whole("subject", broken), finite, "w", rounding(), ALPHA)
    assert found.status == "FAIL"
    lost = slopes("finite_differences", v, np.array([bad]))
    assert compare(whole("subject", G), lost, "w", rounding(), ALPHA).status == "INCONCLUSIVE"


# --- directional derivatives ------------------------------------------------------------


def test_entries_are_projected_on_the_directions() -> None:
    v = np.random.default_rng(1).normal(size=(2, *SHAPE))
    values = np.tensordot(v, G, axes=2)
    subject = whole("subject", G)
    assert compare(subject, slopes("c", v, values), "w", rounding(), ALPHA).status == "PASS"
    along = rounding().factor(ALPHA / 2) * rounding().along("w", v)
    off = values + np.array([0.0, 1.01 * along[1]])
    found = compare(subject, slopes("c", v, off), "w", rounding(), ALPHA)
    assert found.status == "FAIL" and found.error == pytest.approx(1.01 * along[1], rel=1e-3)
    inside = values + np.array([0.0, 0.99 * along[1]])
    assert compare(subject, slopes("c", v, inside), "w", rounding(), ALPHA).status == "PASS"


def test_two_sources_of_slopes_are_compared_along_the_same_directions() -> None:
    v = np.ones((1, *SHAPE))
    a, b = (slopes(name, v, np.array([x])) for name, x in (("a", 1.0), ("b", 1.0 + 1e-3)))
    assert compare(a, a, "w", rounding(), ALPHA).status == "PASS"
    assert compare(a, b, "w", rounding(), ALPHA).status == "FAIL"


def test_a_bound_on_a_slope_is_not_spread_over_entries() -> None:
    v = np.ones((1, *SHAPE))
    checker = slopes("c", v, np.array([G.sum() + 1e-6]), bound=np.array([1.1e-6]))
    assert compare(whole("subject", G), checker, "w", rounding(), ALPHA).status == "PASS"
    tight = slopes("c", v, np.array([G.sum() + 1e-6]), bound=np.array([0.9e-6]))
    assert compare(whole("subject", G), tight, "w", rounding(), ALPHA).status == "FAIL"


# --- resolution -------------------------------------------------------------------------


def test_the_resolution_is_the_allowance_relative_to_the_gradient() -> None:
    found = held(G, G)
    assert found.resolution == pytest.approx(FACTOR * NORM / np.linalg.norm(G))


def test_a_gradient_of_zero_is_resolved_relative_to_the_terms_of_its_sum() -> None:
    """Their size is the deviation over the unit roundoff, so that `factor` units are resolved."""
    found = held(np.zeros(SHAPE), np.zeros(SHAPE))
    assert found.status == "PASS"
    assert found.resolution == pytest.approx(FACTOR * UNIT["float64"])


def test_where_nothing_at_all_flows_there_is_no_resolution() -> None:
    zero = np.zeros(SHAPE)
    found = held(zero, zero, spread=0.0)
    assert found.status == "PASS" and found.resolution is None
    assert held(zero + 1e-300, zero, spread=0.0).status == "FAIL"


def test_the_scale_of_a_slope_is_that_of_the_whole_gradient_where_known() -> None:
    v = np.ones((1, *SHAPE))
    found = compare(
        whole("subject", G), slopes("c", v, np.array([G.sum()])), "w", rounding(), ALPHA
    )
    along = float(rounding().factor(ALPHA) * rounding().along("w", v)[0])
    assert found.resolution == pytest.approx(along / np.linalg.norm(G))


def test_float32_is_compared_in_float64() -> None:
    single = G.astype(np.float32)
    spread = rounding(2.0**-25, "float32")
    subject = whole("subject", single)
    assert compare(subject, whole("c", G), "w", spread, ALPHA).status == "PASS"
    off = whole("subject", single * np.float32(1.001))
    assert compare(off, whole("c", G), "w", spread, ALPHA).status == "FAIL"


# --- bit for bit ------------------------------------------------------------------------


def test_the_exact_lane_allows_nothing() -> None:
    assert same_bits(whole("subject", G), whole("c", G), "w").status == "PASS"
    off = G.copy()
    off[2, 0] = np.nextafter(off[2, 0], 9)
    found = same_bits(whole("subject", off), whole("c", G), "w")
    assert found.status == "FAIL" and found.reason.startswith("entry (2, 0)")


def test_nan_is_not_equal_to_itself_on_the_exact_lane_either() -> None:
    broken = np.full(SHAPE, np.nan)
    found = same_bits(whole("subject", broken), whole("c", broken), "w")
    assert found.status == "FAIL" and found.ratio == np.inf
