"""Slopes of a black box: a finite bound covers the error, whatever kinks there are.

Truth comes from mpmath, at the very floating-point number at which the slope was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.checkers.functions import slopes as module
from backproof.checkers.functions.points import ROUNDINGS
from backproof.checkers.functions.slopes import (
    LADDERS,
    Slopes,
    noise_of,
    one_sided,
    scale_of,
    slopes,
)
from backproof.reference.arrays import Array

U = 2.0**-53
DIGITS = 60
"""mpmath's: enough for cancellations of e^x from 1e-300 to 1e300."""

LEAST = 1e-40
"""Powers of what is smaller underflow."""

MESSAGE = 1e-6
"""The six digits to which a message prints a slope on one side."""

BLIND = 0.01
"""`comparison.CONCLUSIVE`: a bound of a hundredth of the slope proves little."""

F = Callable[[Any], Any]


class Seen(NamedTuple):
    """What `slopes` says of one function of one number."""

    value: float
    bound: float
    left: float
    right: float
    kink: bool


def seen(f: F, x: float, scale: float | None = None, unit: float = U) -> Seen:
    """The slope of f at x, among inputs of this scale; of x's own without one."""
    scale = scale_of(np.array([x])) if scale is None else scale

    def phi(t: Array) -> Array:
        return np.asarray(f(x + t), dtype=np.float64)[:, None]

    with np.errstate(all="ignore"):
        noise = noise_of(phi, scale, unit)
        found = slopes(lambda _, t: phi(t), np.array([x]), scale, noise, unit)
    return Seen(*(column.item() for column in found))


def off(found: Seen, truth: Any, unit: float = U) -> float:
    """How far the slope is beyond its bound; up to roundings of its own, which `Point` adds."""
    if not np.isfinite(found.bound):
        return 0.0
    with mp.workdps(DIGITS):
        error = abs(mp.mpf(found.value) - truth)
        return float(max(error - found.bound - ROUNDINGS * unit * abs(truth), 0))


# --- smooth functions -------------------------------------------------------------------


class Known(NamedTuple):
    """A function, its derivative in mpmath, and where it is asked."""

    name: str
    f: F
    slope: F
    low: float
    high: float


SMOOTH = (
    Known("sin", np.sin, mp.cos, -1e4, 1e4),
    Known("exp", np.exp, mp.exp, -700, 700),
    Known("square", lambda x: x * x, lambda x: 2 * x, -1e6, 1e6),
    Known("cube", lambda x: x**3, lambda x: 3 * x**2, -1e6, 1e6),
    Known("polynomial", lambda x: x**7 - 3 * x**4 + x, lambda x: 7 * x**6 - 12 * x**3 + 1, -9, 9),
    Known("log", np.log, lambda x: 1 / x, 1e-6, 1e6),
    Known("sqrt", np.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), 1e-6, 1e6),
    Known("reciprocal", lambda x: 1 / x, lambda x: -1 / x**2, 1e-6, 1e6),
    Known("tanh", np.tanh, lambda x: 1 - mp.tanh(x) ** 2, -40, 40),
    Known("softplus", lambda x: np.logaddexp(0, x), lambda x: 1 / (1 + mp.exp(-x)), -300, 300),
    Known("gauss", lambda x: np.exp(-x * x), lambda x: -2 * x * mp.exp(-x * x), -20, 20),
    Known("sin(exp)", lambda x: np.sin(np.exp(x)), lambda x: mp.cos(mp.exp(x)) * mp.exp(x), -9, 4),
    Known("hypotenuse", lambda x: np.sqrt(1 + x * x), lambda x: x / mp.sqrt(1 + x * x), -1e4, 1e4),
    Known("on a plateau", lambda x: 1e6 + np.sin(x), mp.cos, -100, 100),
    Known("constant", lambda x: 0 * x + 3, lambda x: mp.mpf(0), -1e6, 1e6),
)
every_smooth = pytest.mark.parametrize("known", SMOOTH, ids=lambda k: k.name)


@every_smooth
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_bound_covers_the_error_of_a_smooth_function(known: Known, data: st.DataObject) -> None:
    x = data.draw(st.floats(known.low, known.high).filter(lambda x: x == 0 or abs(x) >= LEAST))
    assert off(seen(known.f, x), truth(known, x)) == 0


def truth(known: Known, x: float) -> Any:
    with mp.workdps(DIGITS):
        return known.slope(mp.mpf(x))


@every_smooth
def test_the_bound_is_narrow_where_nothing_is_lost(known: Known) -> None:
    """At points of its own scale a smooth function is known to eight digits."""
    for x in (0.25, 0.7, 1.0, 1.9):
        found = seen(known.f, x)
        assert found.bound <= 1e-8 * max(abs(found.value), abs(float(known.f(x))))
        assert not found.kink


@pytest.mark.parametrize(
    "f, slope, x, neighbour",
    [
        (np.square, lambda x: 2 * x, 1.8787329340187687e-4, 8.0),
        (lambda x: x**3, lambda x: 3 * x**2, -1.2762874212967113e-4, 2.0),
        (lambda x: np.exp(x) - 1, mp.exp, 1e-5, 1.0),
    ],
    ids=["square", "cube", "exp - 1"],
)
def test_the_bound_covers_an_entry_far_smaller_than_its_neighbours(
    f: F, slope: F, x: float, neighbour: float
) -> None:
    """Steps go with the scale of the whole input: values at their ends have errors of their own."""
    assert off(seen(f, x, scale=neighbour), truth(Known("", f, slope, 0, 0), x)) == 0


@pytest.mark.parametrize("k", range(20))
def test_steps_do_not_step_over_whole_periods(k: int) -> None:
    """sin(2^k pi x), a positional encoding: on steps of 2^-n it may be seen at one phase only."""
    omega = 2.0**k * np.pi
    for x in (0.3, -0.7, 0.9):
        found = seen(lambda x: np.sin(omega * x), x)
        slack = U * omega**2  # of the argument's rounding
        assert not abs(found.value - omega * np.cos(omega * x)) > found.bound + slack


@pytest.mark.parametrize("x", [3.2, 0.7, -2.9, 6.4, 5.25])
@pytest.mark.parametrize("grid", [1.0, 0.5, 2.0**-4, 2.0**-8])
def test_the_steps_of_a_staircase_are_not_taken_for_a_slope(grid: float, x: float) -> None:
    """floor is flat between its steps; over many of them it rises by 1 on average."""
    assert off(seen(lambda x: np.floor(x / grid) * grid, x), 0) == 0


GRAINED: tuple[tuple[F, F, float], ...] = (
    (lambda x: (x + 1e8) - 1e8, lambda x: mp.mpf(1), 1e-3),
    (lambda x: 1 - np.cos(x), mp.sin, 1e-6),
    (lambda x: np.log(1 + x * x), lambda x: 2 * x / (1 + x * x), 1e-5),
    (lambda x: np.exp(x) - 1, mp.exp, 1e-10),
)
"""Sums that leave few digits of x: in floating point they are staircases too."""


@pytest.mark.parametrize("f, slope, x", GRAINED)
@pytest.mark.parametrize("scale", [None, 1.0])
def test_the_grains_of_a_sum_are_not_taken_for_the_steps_of_a_staircase(
    f: F, slope: F, x: float, scale: float | None
) -> None:
    assert off(seen(f, x, scale), truth(Known("", f, slope, 0, 0), x)) == 0


# --- kinks ------------------------------------------------------------------------------

DISTANCES = tuple(float(d) for d in 10.0 ** np.arange(-12, 0.5, 0.5))
SHORTEST = min(2.0 ** (1 - exponent - levels) for exponent, levels in LADDERS)
"""The shortest step that is ever taken: what happens within it on both sides is not seen."""

CHANGES = (1e-6, 1e-4, 1e-2, 1.0, 1e3)


def kinked(base: F, slope: F) -> Iterator[tuple[Seen, Any, str]]:
    """base(x) + b |x - k| for every distance of k, every b, either side, with the truth."""
    for distance, b, side, x in product(DISTANCES, CHANGES, (-1, 1), (0.0, 0.37)):
        k = x + side * distance
        found = seen(lambda x, b=b, k=k: base(x) + b * np.abs(x - k), x, scale=1.0)  # type: ignore[misc]
        with mp.workdps(DIGITS):
            yield found, slope(mp.mpf(x)) + b * mp.sign(x - k), f"{x} {side * distance} {b}"


CURVES: tuple[tuple[str, F, F], ...] = (
    ("line", lambda x: 3 * x, lambda x: mp.mpf(3)),
    ("flat", lambda x: 0 * x, lambda x: mp.mpf(0)),
    ("sin", lambda x: np.sin(3 * x), lambda x: 3 * mp.cos(3 * x)),
    ("exp", np.exp, mp.exp),
    ("cube", lambda x: x**3, lambda x: 3 * x**2),
)


@pytest.mark.parametrize("base, slope", [c[1:] for c in CURVES], ids=[c[0] for c in CURVES])
def test_a_kink_at_any_distance_is_within_the_bound(base: F, slope: F) -> None:
    wrong = [f"{at}: {s}" for s, true, at in kinked(base, slope) if off(s, true) > 0]
    assert not wrong, f"{len(wrong)}, the first {wrong[0]}"


BETWEEN: dict[str, tuple[Callable[[Any, float, float], Any], int]] = {
    "soft threshold": (lambda t, a, b: np.maximum(t - b, 0) + np.minimum(t + a, 0), 0),
    "hard threshold": (lambda t, a, b: np.where((t > b) | (t < -a), t, 0), 0),
    "clip": (lambda t, a, b: np.clip(t, -a, b), 1),
    "clip of a slope": (lambda t, a, b: 3 * t - np.clip(t, -a, b), 2),
}
"""With kinks or jumps at -a and b, and the slope between them."""


@pytest.mark.parametrize("name", BETWEEN)
@pytest.mark.parametrize("ratio", [1.0, 0.5, 1e-3])
def test_kinks_on_both_sides_are_within_the_bound(name: str, ratio: float) -> None:
    """Beyond both of them the two sides may agree with each other, and not with the slope."""
    f, inside = BETWEEN[name]
    for d in (d for d in DISTANCES if ratio * d > SHORTEST):
        found = seen(lambda t, d=d: f(t, d, ratio * d), 0.0)  # type: ignore[misc]
        assert off(found, inside) == 0, (d, found)


@pytest.mark.parametrize("distance", DISTANCES)
def test_two_kinks_on_one_side_are_within_the_bound(distance: float) -> None:
    for x, width in product((0.0, 1.3), (1e-9, 1e-3, 1.0)):
        low, high = x + distance, x + distance * (1 + width)
        assert off(seen(lambda t, a=low, b=high: np.clip(t, a, b), x, scale=1.0), 0) == 0  # type: ignore[misc]


@pytest.mark.parametrize(
    "f, x, left, right",
    [
        (np.abs, 0.0, -1, 1),
        (lambda x: np.maximum(x, 0), 0.0, 0, 1),
        (lambda x: np.minimum(3 * x, -2 * x), 0.0, 3, -2),
        (lambda x: np.abs(x - 1 / 3), 1 / 3, -1, 1),
        (lambda x: np.exp(np.abs(x)), 0.0, -1, 1),
        (lambda x: np.maximum(x, np.sin(2 * x)), 0.0, 1, 2),
        (lambda x: 5 + x + 1e-3 * np.abs(x - 100), 100.0, 0.999, 1.001),
    ],
)
def test_a_kink_at_the_point_is_named_with_the_slopes_of_both_sides(
    f: F, x: float, left: float, right: float
) -> None:
    found = seen(f, x)
    assert found.kink and found.bound == np.inf
    assert found.left == pytest.approx(left, rel=MESSAGE, abs=MESSAGE)
    assert found.right == pytest.approx(right, rel=MESSAGE, abs=MESSAGE)


def test_a_kink_far_off_does_not_hide_the_slope() -> None:
    found = seen(lambda x: np.maximum(x, 0), 0.5)
    assert not found.kink and off(found, 1) == 0 and found.bound < BLIND


def test_a_second_derivative_that_jumps_is_no_kink() -> None:
    found = seen(lambda x: x * np.abs(x), 0.0)
    assert not found.kink and off(found, 0) == 0


# --- where there is no slope --------------------------------------------------------------


@pytest.mark.parametrize(
    "f, x",
    [
        (lambda x: (x > 0) * 1.0, 0.0),
        (lambda x: (x >= 0) * 1.0, 0.0),
        (np.sign, 0.0),
        (np.floor, 1.0),
        (np.floor, 3.0),
        (np.floor, -6.0),
        (np.round, 0.5),
        (np.round, 2.5),
        (lambda x: 3 * x + (x > 1), 1.0),
        (lambda x: 3 * x + 1e-6 * (x > 1), 1.0),
    ],
)
def test_a_jump_has_no_slope(f: F, x: float) -> None:
    found = seen(f, x)
    assert not found.bound <= BLIND * abs(found.value), found


@pytest.mark.parametrize(
    "f", [lambda x: np.sqrt(np.abs(x)), np.cbrt, lambda x: x * np.log(np.abs(x))]
)
def test_an_infinite_slope_is_not_a_finite_one(f: F) -> None:
    found = seen(f, 0.0)
    assert not found.bound <= BLIND * abs(found.value), found


@pytest.mark.parametrize("f, x", [(np.sqrt, 0.0), (np.log, 0.0), (np.log, -1.0), (np.arccos, 1.0)])
def test_at_the_border_of_a_domain_nothing_is_known(f: F, x: float) -> None:
    found = seen(f, x)
    assert found.bound == np.inf and not found.kink


def test_steps_that_leave_the_domain_do_not_count() -> None:
    for x in (1e-3, 1e-5, 1e-7, 1e-9):
        found = seen(np.log, x, scale=1.0)
        assert off(found, 1 / mp.mpf(x)) == 0
    assert seen(np.log, 1e-3, scale=1.0).bound < 1


# --- saturated, tiny and huge -------------------------------------------------------------


@pytest.mark.parametrize("x", [20.0, -20.0, 100.0, 1e4])
def test_a_saturated_slope_is_small_and_its_bound_too(x: float) -> None:
    found = seen(np.tanh, x)
    assert off(found, truth(Known("", np.tanh, lambda x: mp.sech(x) ** 2, 0, 0), x)) == 0
    assert abs(found.value) < 1e-12 and found.bound < 1e-12


@pytest.mark.parametrize("factor", [1e-290, 1e-150, 1e-20, 1e20, 1e150])
def test_the_size_of_the_values_does_not_matter(factor: float) -> None:
    """Relative to them all is the same, powers of ten apart from powers of two by roundings."""
    usual, found = seen(np.sin, 0.7), seen(lambda x: factor * np.sin(x), 0.7)
    assert off(found, factor * mp.cos(0.7)) == 0
    assert found.bound <= 4 * usual.bound * factor


@pytest.mark.parametrize("factor", [2.0**-500, 2.0**-300, 2.0**-20, 2.0**300, 2.0**500])
def test_the_size_of_the_input_does_not_matter(factor: float) -> None:
    """sin(x / factor) at 0.7 factor; powers of two, so that nothing is rounded."""
    found = seen(lambda x: np.sin(x / factor), 0.7 * factor)
    assert found.value * factor == seen(np.sin, 0.7).value


def test_zero_has_slope_zero_exactly() -> None:
    assert seen(lambda x: 0 * x, 5.0)[:2] == (0, 0)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(-3, 3, width=32))
def test_a_function_in_float32_is_known_as_finely_as_that_allows(x: float) -> None:
    unit = 2.0**-24
    found = seen(lambda x: np.sin(x.astype(np.float32)), x, unit=unit)
    assert off(found, mp.cos(x), unit) == 0
    assert found.bound < BLIND


# --- many coordinates at once -----------------------------------------------------------


def many(x: Array, outputs: Callable[[Array], Array]) -> Slopes:
    """Every slope of a function of a vector."""

    def values(i: int, distances: Array) -> Array:
        return np.array([outputs(x + t * np.eye(x.size)[i]) for t in distances])

    noise = noise_of(lambda t: np.array([outputs(x + s) for s in t]), scale_of(x), U)
    return slopes(values, x, scale_of(x), noise, U)


MIXED = np.array([0.0, 0.5, -1.5, 3.0, 1.0])


def mixed(x: Array) -> Array:
    """Smooth, kinked, flat and stepped outputs side by side."""
    return np.array(
        [np.sin(x).sum(), np.abs(x).sum(), (x * x) @ x, 2.0, np.maximum(x - 1, 0).sum()]
    )


def test_rows_are_coordinates_and_columns_outputs() -> None:
    found = many(MIXED, mixed)
    right = np.stack([np.cos(MIXED), np.sign(MIXED), 3 * MIXED**2, 0 * MIXED], axis=1)
    known = ~found.kink[:, :4]
    assert found.value.shape == (5, 5)
    assert np.array_equal(np.argwhere(found.kink), [[0, 1], [4, 4]])
    assert (np.abs(found.value[:, :4] - right)[known] <= found.bound[:, :4][known]).all()


def test_a_coordinate_does_not_depend_on_those_beside_it() -> None:
    """Nor on how many values are held at a time."""

    def values(i: int, distances: Array) -> Array:
        return np.array([mixed(MIXED + t * np.eye(5)[i]) for t in distances])

    noise, scale = np.full(5, 4 * U), scale_of(MIXED)
    whole = slopes(values, MIXED, scale, noise, U)
    for i in range(5):
        alone = slopes(lambda _, t, i=i: values(i, t), MIXED[i : i + 1], scale, noise, U)  # type: ignore[misc]
        for one, column in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(one[0], column[i])


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = many(MIXED, mixed)
    monkeypatch.setattr(module, "CHUNK", 60)
    for one, other in zip(whole, many(MIXED, mixed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("d, m", [(0, 2), (2, 0), (0, 0)])
def test_nothing_to_differentiate_gives_nothing(d: int, m: int) -> None:
    found = slopes(lambda _, t: np.zeros((len(t), m)), np.zeros(d), 1.0, np.zeros(m), U)
    assert all(column.shape == (d, m) for column in found)


# --- one side ---------------------------------------------------------------------------


@pytest.mark.parametrize("h", [2.0**-6, -(2.0**-6), 2.0**-12, -0.25])
@pytest.mark.parametrize("levels", [1, 2, 4, 6])
def test_the_bound_of_one_side_covers_its_error(h: float, levels: int) -> None:
    steps = h / 2.0 ** np.arange(levels)
    for known in SMOOTH:
        x = 0.6
        noise = np.array([4 * U * max(abs(float(known.f(x + s))) for s in (0, *steps))])
        values = np.array([[known.f(x + s)] for s in steps])
        start = np.array([known.f(x)])
        value, bound = one_sided(values, start, np.array([h]), noise)
        assert off(Seen(value.item(), bound.item(), 0, 0, False), truth(known, x)) == 0


def test_one_value_alone_has_no_bound() -> None:
    value, bound = one_sided(np.ones((1, 1)), np.zeros(1), np.ones(1), np.zeros(1))
    assert np.isnan(value).all() and np.isinf(bound).all()


def test_a_polynomial_of_the_tableau_s_degree_is_exact_from_one_side() -> None:
    """Three levels remove h and h^2: x^3 is left with nothing but rounding, here none."""
    steps = np.array([1.0, 0.5, 0.25, 0.125])
    for sign in (1, -1):
        values = ((1 + sign * steps) ** 3)[:, None]
        value, bound = one_sided(values, np.ones(1), np.array([sign * 1.0]), np.zeros(1))
        assert value.item() == 3 and bound.item() == 0


# --- noise and scale --------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1e-3])
def test_noise_is_noticed_at_its_own_size(size: float) -> None:
    """Uniform noise of +-size deviates by 0.58 size; three times ECnoise's guess is between a
    quarter and four times the size (measured: from 0.33 to 3.5 in 4000 draws)."""
    rng = np.random.default_rng(1)

    def phi(t: Array) -> Array:
        return np.asarray(np.sin(t) + size * rng.uniform(-1, 1, t.shape))[:, None]

    found = np.array([noise_of(phi, 1.0, U).item() for _ in range(200)])
    assert (found > size / 4).all() and (found < 4 * size).all()


@pytest.mark.parametrize("f", [np.abs, lambda x: np.maximum(x, 0), np.sign])
def test_a_kink_at_the_point_does_not_pass_for_noise(f: F) -> None:
    found = noise_of(lambda t: np.asarray(f(t))[:, None], 1.0, U).item()
    assert found <= 4 * U * abs(float(f(2.0**-11)))


def test_values_that_are_not_finite_have_no_noise_that_one_could_name() -> None:
    assert noise_of(lambda t: np.full((len(t), 1), np.nan), 1.0, U).item() == np.inf


def test_noise_is_at_least_a_rounding_of_the_values() -> None:
    assert noise_of(lambda t: np.full((len(t), 1), 3.0), 1.0, U).item() == 3 * U


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-10, 0.3, 7.0, 1e10, 1e200, 1e300])
def test_the_scale_is_a_power_of_two_near_the_entries(size: float) -> None:
    scale = scale_of(size * np.array([1.0, -1.0, 1.0]))
    assert np.frexp(scale)[0] == 0.5
    assert 2**-0.5 <= scale / size <= 2**0.5


def test_zeros_and_nothing_have_scale_one() -> None:
    for x in ([0.0, 0.0], [], [np.nan], [np.inf]):
        assert scale_of(np.array(x)) == 1


def test_what_is_not_finite_does_not_count_for_the_scale() -> None:
    assert scale_of(np.array([np.nan, 4.0, np.inf, -4.0])) == 4
