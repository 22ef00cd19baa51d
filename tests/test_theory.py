"""The theory in docs/theory is that of the code: its formulas, and the numbers that it quotes."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.special

from backproof.architectures.cases import EXTREMES, LANES
from backproof.architectures.exactness import bias_offset
from backproof.checkers import complex_step, finite_differences, noise, rounding, ties, verdict
from backproof.checkers.comparison import ALPHA, CONCLUSIVE
from backproof.checkers.functions import kinks, points
from backproof.checkers.hulls import error_of_squares
from backproof.checkers.outcome import NEEDED
from backproof.controls import SHOWS
from backproof.diagnosis.evidence import RESOLVED
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS

THEORY = Path(__file__).parents[1] / "docs" / "theory"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in THEORY.glob("*.md")}

# --- formulas ------------------------------------------------------------------------------


def expected_squares(products: list[Fraction]) -> Fraction:
    """The mean, over all orders of summation, of the sum of the squares of the partial sums."""
    orders = list(itertools.permutations(products))
    sums = [sum(order[:j], Fraction(0)) for order in orders for j in range(1, len(order) + 1)]
    return sum((s * s for s in sums), Fraction(0)) / len(orders)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_partial_sums_in_any_order_have_the_squares_that_the_page_derives(n: int) -> None:
    rng = np.random.default_rng(n)
    products = [Fraction(int(p), 8) for p in rng.integers(-40, 40, n)]
    s, q = sum(products, Fraction(0)), sum((p * p for p in products), Fraction(0))
    assert expected_squares(products) == Fraction(n + 1, 3) * s**2 + Fraction(n + 1, 6) * q
    assert r"\frac{n+1}{3} S^2 + \frac{n+1}{6} Q" in PAGES["bounds"]


def test_the_code_s_deviation_of_a_sum_is_the_page_s() -> None:
    u, n, s, q = 2.0**-24, 48, -3.5, 17.25
    found = float(noise._sum_deviation(u, n, np.array(s), np.array(q)))
    assert found**2 == pytest.approx(u**2 / 3 * (n / 3 * s**2 + (n / 6 + 1) * q), rel=1e-14)


def test_a_difference_of_noise_has_the_variance_that_the_page_says() -> None:
    for k in range(1, 7):
        of_weights = sum(math.comb(k, i) ** 2 for i in range(k + 1))
        assert of_weights == math.comb(2 * k, k)
        assert of_weights == math.factorial(2 * k) / math.factorial(k) ** 2


def test_romberg_s_tableau_is_exact_for_a_polynomial_of_its_order() -> None:
    levels = finite_differences.LEVELS
    t = 0.5 / 2.0 ** np.arange(levels)
    coefficients = np.arange(1.0, 2 * levels)  # of degree 12: every power is removed

    def phi(x: Array) -> Array:
        return np.asarray(sum(c * x**i for i, c in enumerate(coefficients)))

    value, bound = finite_differences.romberg(
        phi(t)[:, None], phi(-t)[:, None], np.array([0.5]), np.array([2.0**-53])
    )
    assert abs(value[0] - coefficients[1]) <= bound[0] < 1e-11


def test_affine_in_every_slope_is_within_the_hull_of_the_corners() -> None:
    """g(x) = relu(x) - relu(-x) for slopes a and b at 0 is a + b, as the page's example says."""
    corners = np.array([[a + b] for a, b in itertools.product((0.0, 1.0), repeat=2)])
    for a, b in ((0.0, 0.0), (0.3, 0.9), (1.0, 1.0)):
        weights = [
            (a if i else 1 - a) * (b if j else 1 - b)
            for i, j in itertools.product((0, 1), repeat=2)
        ]
        assert sum(weights) == pytest.approx(1)
        assert weights @ corners == pytest.approx([a + b])
        assert ties.distance_to_hull(corners, np.array([a + b])) <= error_of_squares(4, 2.0)
    assert ties.distance_to_hull(corners, np.array([2.5])) == pytest.approx(0.5)
    assert ties.distance_to_hull(corners[1:2], np.array([0.0])) == pytest.approx(1)


def test_a_direction_misses_as_often_as_the_page_says() -> None:
    rng = np.random.default_rng(0)
    error, allowed = rng.standard_normal(12), 0.7
    seen = np.abs(rng.standard_normal((200_000, 12)) @ error) <= allowed
    said = math.erf(allowed / (math.sqrt(2) * float(np.linalg.norm(error))))
    assert seen.mean() == pytest.approx(said, abs=5 * math.sqrt(said / 200_000))


# --- numbers -------------------------------------------------------------------------------


def power(x: float) -> str:
    """A power of two as the pages write it."""
    exponent = math.log2(x)
    assert exponent == int(exponent)
    return f"2^{{{int(exponent)}}}"


T = float(-scipy.special.stdtrit(rounding.REPLICAS, ALPHA / 2))

QUOTED: tuple[tuple[str, str], ...] = (
    ("bounds", f"$`K = {rounding.REPLICAS}`$ times"),
    ("bounds", f"with {rounding.SECOND_LOOK} fresh disturbed runs"),
    ("bounds", f"single comparison at $`\\alpha = 10^{{{round(math.log10(ALPHA))}}}`$ has "
               f"$`t = {T:.1f}`$"),
    ("bounds", f"{CONCLUSIVE:.0%} is INCONCLUSIVE"),
    ("bounds", f"$`u' = {power(noise.INJECTED['float64'])}`$"),
    ("bounds", power(noise.UNIT["float64"] / noise.INJECTED["float64"])),
    ("bounds", f"There are {finite_differences.LEVELS} steps, so "
               f"{2 * finite_differences.LEVELS} values"),
    ("bounds", f"less than {finite_differences.GRAINS:,.0f} roundings"),
    ("bounds", f"$`h = {power(finite_differences.EXHAUSTIVE_STEP)}`$ of the reach"),
    ("bounds", f"$`h = {power(complex_step.STEP)}`$"),
    ("bounds", f"{math.erf(0.01 / math.sqrt(2)):.1%} for an error of a hundred times"),
    ("bounds", f"at {points.REPLICAS} such disturbed points"),
    ("index", f"$`{power(noise.UNIT['float64'])}`$ in float64, "
              f"$`{power(noise.UNIT['float32'])}`$ in float32"),
    ("ties", f"more than {ties.TRIES} on each option in turn and on {ties.TRIES} random ones"),
    ("ties", f"about $`{power(ties.NEARBY)}`$ of their scale in {ties.SAMPLES} random directions"),
    ("ties", f"Above $`2^{{{ties.MOST_TIES}}}`$ combinations, or {ties.MOST_ENTRIES:,} entries"),
    ("ties", f"$`{error_of_squares(1, 1.0) / noise.UNIT['float64']:.0f}\\,n\\,u"),
    ("lanes", "biases of layer $`i`$ are whole numbers plus "
              f"$`2^{{-(i+{-math.log2(bias_offset(0)):.0f})}}`$"),
    ("blame", f"holds {sum(not f.convention for f in FAULTS)} mistakes that people made, and "
              f"{sum(f.convention for f in FAULTS)} conventions at ties"),
    ("blame", f"more than {SHOWS:,.0f} rounding deviations"),
)  # fmt: skip


@pytest.mark.parametrize("page, words", QUOTED, ids=[f"{p}-{w[:40]}" for p, w in QUOTED])
def test_what_a_page_quotes_is_what_the_code_has(page: str, words: str) -> None:
    assert words in re.sub(r"\s+", " ", PAGES[page])


def test_words_for_numbers_are_the_code_s() -> None:
    assert kinks.RARE == 3
    assert "each three times or more" in PAGES["ties"]
    assert NEEDED == 2
    assert "two checkers or more confirm it" in PAGES["blame"]
    assert RESOLVED == 10
    assert "by ten times what rounding is allowed" in PAGES["blame"]
    assert set(LANES) <= set(re.findall(r"^\| `(\w+)` \|", PAGES["lanes"], re.MULTILINE))
    assert set(EXTREMES) <= set(re.findall(r"^\| `(\w+)` \|", PAGES["lanes"], re.MULTILINE))
    assert f"chooses one of {('five', len(EXTREMES))[len(EXTREMES) != 5]}" in PAGES["lanes"]
    assert verdict.NUMERICAL == ("finite_differences", "complex_step")
