"""The slopes of a black box along its coordinates, with bounds, whatever kinks it has.

phi(t) is all outputs at distance t.  On each of a few ladders of steps h, h/2, h/4, ... three
Romberg tableaus are filled from the same values: the central one (`finite_differences`), and
one for either side alone,

    F_k0 = (phi(h_k) - phi(0)) / h_k            B_k0 = (phi(0) - phi(-h_k)) / h_k
    F_kj = (2^j F_k,j-1 - F_k-1,j-1) / (2^j - 1)                     B_kj likewise

whose errors are in all powers of h.  Where phi is smooth within the ladder both sides tend to
the slope.  A kink at distance d << h, with slopes that differ by b, is seen by neither
tableau's own differences: central ones settle on the mean of the slopes, wrong by b/2.  But
then F - B = b.  So the bound of the central value is its own plus |F - B| / 2, and where
|F - B| exceeds the bounds of both there is a kink within the ladder.  A shorter ladder is
then asked; a kink on all of them is one at the point itself, and what is known is F and B.

What lies between the point and the shortest step of a ladder is seen by neither: a staircase
or a threshold far below the input's scale.  So a slope counts only if a central difference on
a step of 2^-26 of that scale agrees with it, as far as rounding lets it.  Steps are no powers
of two, for functions that live on such grids.

Ladders begin at about 2^-6 of the input's scale, where truncation is small, and rounding too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...reference.arrays import Array
from ..finite_differences import ec_noise, romberg

LADDERS = ((6, 4), (10, 5), (15, 5), (20, 5), (1, 5))
"""(exponent of the largest step as a power of 1/2 of the scale, number of steps)."""

STRETCH = 0.8249117
"""Of all steps: no fraction of a power of two, or of a period."""

NEAR = 2.0**-26
"""Of the input's scale: the step that must agree with a ladder's."""

SMALL = 2.0**-4
"""Of the scale: smaller entries are tried with steps of their own where the others' fail."""

CHANCE = 2.0
"""For one side alone: in a series of all powers two extrapolations may agree by chance.  Of
the tableaus in the tests one in 120 needed 1.5."""

SUSPECT = 1 / 8
"""Of the bounds of both sides: where they differ by more, a kink may be as large as all of it."""

ENDS = 4.0
"""The slope at a ladder's ends as a multiple of the steepest secant from the point; p for x^p."""

ENOUGH = 2.0**-30
"""Of the largest slope: no further ladder is asked where all bounds are smaller."""

NOISE_SPACING = 2.0**-31
"""Of ECnoise's points, as a share of the input's scale."""

POINTS = 8

NOISE_OFFSET = 2.0**-12

WIDEST = 2.0**-5
"""The greatest spacing on which an output's grains are looked for."""

LOST = 4.0
"""The coarsest grain that rounding is believed of, in square roots of the unit roundoff: half
of the digits.  Of the output, the input or 1, the constant that formulas are full of; what moves
by more at a time is a staircase."""

GRAINS = 2.0**10
"""The least ratio of a step to the spacing of floating-point numbers about the point."""


class Slopes(NamedTuple):
    """Per coordinate and output: the slope and its bound, infinite at a `kink`; both sides.

    Arrays of shape (coordinates, outputs).
    """

    value: Array
    bound: Array
    left: Array
    right: Array
    kink: Array


def scale_of(x: Array) -> float:
    """A power of two near the root mean square of x; 1 for zeros."""
    finite = np.abs(x[np.isfinite(x)].astype(np.float64))
    largest = float(finite.max(initial=0.0))
    if largest == 0:
        return 1.0
    rms = float(np.sqrt(np.mean((finite / largest) ** 2)))
    return float(2.0 ** round(np.log2(largest) + np.log2(rms)))


def least_of(unit: float) -> float:
    """The least positive number of a dtype by its unit roundoff: what an underflow may cost."""
    return {2.0**-53: 2.0**-1074, 2.0**-11: 2.0**-24}.get(unit, 2.0**-149)


def noise_of(
    phi: Callable[[Array], Array], scale: float, unit: float, bars: Array | None = None
) -> Array:
    """The error of each output along a direction, or of each of the sums `bars` (m, outputs).

    ECnoise's threefold, a rounding of its own, or its grain, whichever is the greatest; taken
    a little off the point, where a kink at the point does not pass for noise.
    """
    spacing = max(NOISE_SPACING, 64 * unit)

    def values(spacing: float) -> Array:
        return phi(scale * (NOISE_OFFSET + spacing * np.arange(POINTS)))

    with np.errstate(all="ignore"):
        seen = values(spacing)
        sizes = np.abs(seen).max(axis=0)
        most = LOST * unit**0.5 * np.maximum(sizes, max(1.0, scale))
        own = np.maximum(unit * sizes, grains(values, seen, spacing, most))
        if bars is None:
            noise = np.maximum(3 * ec_noise(seen), own)
        else:
            noise = np.maximum(3 * ec_noise(seen @ bars.T), np.sqrt(bars**2 @ own**2))
    return np.where(np.isfinite(noise), noise, np.inf)


def grains(values: Callable[[float], Array], seen: Array, spacing: float, most: Array) -> Array:
    """The steps, up to `most`, that rounding makes of each output's slope; 0 where none show.

    (x + 1e8) - 1e8 moves by 1.5e-8 at a time.  On close points that is a plateau, on which
    ECnoise sees nothing; so the points are drawn apart until there are steps between flats.
    `values` takes a spacing; `seen` are those on `spacing`.
    """
    found = np.zeros(seen.shape[1])
    flat = (np.diff(seen, axis=0) == 0).any(axis=0)
    if flat.any():
        flat &= (np.diff(values(WIDEST), axis=0) != 0).any(axis=0)
    while flat.any() and spacing < WIDEST:
        moves = np.abs(np.diff(seen, axis=0))
        step = np.where(_between(moves == 0), moves[1:-1], 0.0).max(axis=0)
        found = np.where(flat & (step <= most), step, found)
        flat &= (step == 0) & (moves == 0).any(axis=0)
        spacing *= 4
        seen = values(spacing)
    return found


def _between(flat: Array) -> Array:
    """Which rows but the first and last have a flat before and a flat after; no kink has."""
    before = np.logical_or.accumulate(flat, axis=0)[:-2]
    after = np.logical_or.accumulate(flat[::-1], axis=0)[::-1][2:]
    return np.asarray(before & after)


Values = Callable[[int, Array], Array]
"""(coordinate, distances (n,)) -> the outputs (n, m) with that coordinate moved so far."""


def slopes(values: Values, at: Array, scale: float, noise: Array, unit: float) -> Slopes:
    """The derivative of each output along each coordinate.

    `at` (d,) are the coordinates' values, `noise` (m,) the error of each output, `unit` the
    unit roundoff of the arithmetic.
    """
    shape = (len(at), len(noise))
    value, left, right = np.full((3, *shape), np.nan)
    best = Slopes(value, np.full(shape, np.inf), left, right, np.zeros(shape, bool))
    sides = np.full(shape, np.inf)
    if not value.size:
        return best
    smallest = least_of(unit) / unit**2  # below it steps underflow
    scale = max(scale, smallest)
    start = values(0, np.zeros(1))[0]
    todo = np.arange(len(at))
    for exponent, levels in LADDERS:
        h = STRETCH * scale * 2.0**-exponent
        near = STRETCH * scale * NEAR
        steps = np.append(h / 2.0 ** np.arange(levels), near)
        steps = np.concatenate([steps, -steps])
        sound = h * 2.0 ** (1 - levels) > GRAINS * unit * np.abs(at[todo])
        for some in _chunks(todo[sound], len(steps) * len(noise)):
            phi = np.stack([values(int(i), steps) for i in some], axis=1)
            found, apart = _ladder(phi, start, h, near, noise, unit, np.abs(at[some])[:, None])
            if exponent == LADDERS[-1][0]:  # a kink on a shorter ladder is within this one too
                found = found._replace(bound=np.where(best.kink[some], np.inf, found.bound))
            _improve(best, sides, some, found, apart)
        largest = np.abs(np.nan_to_num(best.value)).max(axis=1, initial=0.0)
        todo = np.flatnonzero(~(best.bound <= ENOUGH * largest[:, None]).all(axis=1))
        if not todo.size:
            break
    sizes = np.abs(at[todo])
    for i in todo[(sizes > smallest) & (sizes < scale * SMALL)]:
        alone = slopes(_only(values, int(i)), at[[i]], scale_of(at[[i]]), noise, unit)
        better = alone.bound < best.bound[[i]]
        for old, new in zip(best, alone, strict=True):
            old[[i]] = np.where(better, new, old[[i]])
    return best


def _only(values: Values, i: int) -> Values:
    return lambda _, distances: values(i, distances)


CHUNK = 2**20
"""Values held at a time."""


def _chunks(entries: Array, each: int) -> list[Array]:
    count = -(-len(entries) * each // CHUNK)
    return np.array_split(entries, count) if len(entries) else []


def _improve(best: Slopes, sides: Array, rows: Array, found: Slopes, apart: Array) -> None:
    """Take over what is bounded more narrowly; at a kink the sides, and no value.

    `sides` and `apart` bound the sides of what there is and of what was found.
    """
    better = found.bound < best.bound[rows]
    unknown = ~better & ~np.isfinite(best.bound[rows])
    closer = better | (unknown & found.kink & (apart < sides[rows]))
    for old, new in ((best.value, found.value), (best.bound, found.bound)):
        old[rows] = np.where(better, new, old[rows])
    for old, new in ((best.left, found.left), (best.right, found.right), (sides, apart)):
        old[rows] = np.where(closer, new, old[rows])
    best.kink[rows] = ~better & (best.kink[rows] | (unknown & found.kink))


def _ladder(
    phi: Array, start: Array, h: float, near: float, noise: Array, unit: float, at: Array
) -> tuple[Slopes, Array]:
    """What one ladder says, and a bound on its sides.

    `phi` (2 (levels + 1), d, m) holds the values, those at the near step last on either side;
    `at` (d, 1) the sizes of the coordinates.
    """
    up, down = np.split(phi, 2)
    plus, minus = up[:-1], down[:-1]
    size = np.full(phi.shape[1:], h)
    steps = (h / 2.0 ** np.arange(len(plus)))[:, None, None]
    with np.errstate(all="ignore"):
        secants = np.maximum(np.abs(plus - start), np.abs(minus - start)) / steps
        steepest = np.nan_to_num(ENDS * secants.max(axis=0), posinf=0.0)
        error = np.maximum(noise, unit * np.abs(phi).max(axis=0))
        least = np.where(steepest > 0, least_of(unit), 0.0)
        error = error + least + (unit * (at + h) + least) * steepest
        value, bound = romberg(plus, minus, size, error)
        right, right_bound = one_sided(plus, start, size, error)
        left, left_bound = one_sided(minus, start, -size, error)
        apart = np.abs(right - left)
        kink = apart > right_bound + left_bound
        close = (up[-1] - down[-1]) / (2 * near)
        near_miss = apart > SUSPECT * (right_bound + left_bound)
        bound = bound + (apart + np.where(near_miss, right_bound + left_bound, 0)) / 2
        # what the near difference neglects is less than what the ladder's shortest step does
        rough = np.abs((plus[-1] - minus[-1]) / (2 * steps[-1]) - value)
        neglected = 2 * rough * np.minimum(near / steps[-1], 1.0) ** 2
        seen = np.abs(close - value) <= bound + error / near + neglected
        bound = np.where(kink | ~seen, np.inf, bound)
    return Slopes(value, bound, left, right, kink & np.isfinite(apart)), right_bound + left_bound


def one_sided(values: Array, start: Array, h: Array, noise: Array) -> tuple[Array, Array]:
    """The derivative from one side and a bound on its error; `h` may be negative.

    `values` (levels, ...) holds phi(h / 2^k), `start` phi(0); `h` and `noise` are per slope.
    """
    best, bound = np.full(h.shape, np.nan), np.full(h.shape, np.inf)
    row: list[Array] = []
    gain: list[Array] = []
    for k in range(len(values)):
        step = h / 2.0**k
        above, above_gain = row, gain
        row, gain = [(values[k] - start) / step], [2 / np.abs(step)]
        for j in range(1, k + 1):
            power = 2.0**j
            row.append((power * row[j - 1] - above[j - 1]) / (power - 1))
            gain.append((power * gain[j - 1] + above_gain[j - 1]) / (power - 1))
            change = np.maximum(np.abs(row[j] - row[j - 1]), np.abs(row[j] - above[j - 1]))
            error = CHANCE * change + noise * gain[j]
            better = error < bound
            best, bound = np.where(better, row[j], best), np.where(better, error, bound)
    return best, bound
