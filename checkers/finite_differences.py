"""Finite differences: Romberg extrapolation with a noise-aware bound on its own error.

phi(t) is the loss at distance t along a direction.  Central differences at h_k = h_0 / 2^k
have errors in even powers of h, which the tableau removes one after the other:

    T_k0 = (phi(h_k) - phi(-h_k)) / (2 h_k)
    T_kj = (4^j T_k,j-1 - T_k-1,j-1) / (4^j - 1)

An error eps in each phi reaches T_kj multiplied by at most A_kj:

    A_k0 = 1 / h_k                A_kj = (4^j A_k,j-1 + A_k-1,j-1) / (4^j - 1)

so that E_kj = max(|T_kj - T_k,j-1|, |T_kj - T_k-1,j-1|) + eps A_kj bounds truncation and
noise together, and the entry of least E is taken (Romberg 1955; Press et al., dfridr).

eps = max(3 ECnoise, 3 sigma, u max|phi|).  ECnoise (More and Wild 2011) reads the noise of
phi off the higher differences of eight closely spaced values, where a smooth function has
none.  Rounding errors that repeat from point to point leave none either, though they change
over the far larger steps; so sigma, their size by Monte Carlo arithmetic, counts as well.

The largest step is a quarter of the distance over which the loss keeps its scale
(`Probe.reach`), so that saturated, tiny and huge networks are differentiated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gamma
from typing import NamedTuple

import numpy as np

from ..architectures.cases import Case, stream
from ..reference.arrays import Array
from .estimate import Estimate
from .probe import Probe
from .side_by_side import for_each

LEVELS = 7
EXHAUSTIVE_LEVELS = 2
EXHAUSTIVE_STEP = 2.0**-16
"""Of the reach: near u^(1/3), where truncation h^2 and noise u / h are alike."""

SPACING = 2.0**-31
"""Of ECnoise's points, as a share of h_0: far below the scale of phi, far above rounding."""

UNIT = 2.0**-53

GRAINS = 2.0**10
"""The least ratio of the largest step to the grain of the arguments (`Probe.reach`); below
it the step itself is rounded by more than 0.1%, and no bound is claimed."""


def ec_noise(values: Array) -> Array:
    """The noise of a function from 8 closely spaced values; (8, d) -> (d,).

    The k-th difference of noise of deviation s has deviation s sqrt((2k)!) / k!; the first
    levels that agree within a factor of 4 and change sign give s.  Where none do, the
    greatest from the third level on is returned, where nothing smooth is left: too much
    noise rather than too little.
    """
    table, levels, signs = values, [], []
    for k in range(1, 7):
        table = np.diff(table, axis=0)
        factor = gamma(k + 1) ** 2 / gamma(2 * k + 1)
        levels.append(np.sqrt(factor * np.mean(table**2, axis=0)))
        signs.append((table.min(axis=0) < 0) & (table.max(axis=0) > 0))
    noise = np.max(levels[2:], axis=0)
    for k in reversed(range(len(levels) - 2)):
        window = np.array(levels[k : k + 3])
        agree = (window.max(axis=0) <= 4 * window.min(axis=0)) & signs[k]
        noise = np.where(agree, levels[k], noise)
    return np.asarray(noise)


def romberg(plus: Array, minus: Array, h: Array, noise: Array) -> tuple[Array, Array]:
    """The derivative at 0 and a bound on its error.

    `plus` and `minus` (levels, d) hold phi(+-h_k), `h` (d,) the largest step, `noise` (d,)
    the error of each phi.  Returns two arrays of shape (d,); the bound is infinite where
    nothing finite was found.
    """
    best, bound, _ = _romberg(plus, minus, h, noise)
    return best, bound


def _romberg(plus: Array, minus: Array, h: Array, noise: Array) -> tuple[Array, Array, Array]:
    """As `romberg`, and the smallest step of the entry that was taken; NaN where none was."""
    best, bound = np.full(h.shape, np.nan), np.full(h.shape, np.inf)
    finest = np.full(h.shape, np.nan)
    row: list[Array] = []
    gain: list[Array] = []
    with np.errstate(all="ignore"):
        for k in range(len(plus)):
            step = h / 2.0**k
            above, above_gain = row, gain
            row, gain = [(plus[k] - minus[k]) / (2 * step)], [1 / step]
            for j in range(1, k + 1):
                power = 4.0**j
                row.append((power * row[j - 1] - above[j - 1]) / (power - 1))
                gain.append((power * gain[j - 1] + above_gain[j - 1]) / (power - 1))
                change = np.maximum(np.abs(row[j] - row[j - 1]), np.abs(row[j] - above[j - 1]))
                error = change + noise * gain[j]
                better = error < bound
                best, bound = np.where(better, row[j], best), np.where(better, error, bound)
                finest = np.where(better, step, finest)
    return best, bound, finest


def along(probe: Probe, name: str, directions: Array, shrink: float = 1.0) -> tuple[Array, Array]:
    """<dL/d(tensor), v> and its error bound for each of `directions` (d, *shape).

    `shrink` scales the steps: a second look takes others, and is strict about the grain.
    """
    value, bound, _ = _along(probe, name, directions, shrink)
    return value, bound


def _along(
    probe: Probe, name: str, directions: Array, shrink: float
) -> tuple[Array, Array, tuple[Array, Array]]:
    """As `along`; and the largest step tried, and the smallest that the value is made of."""
    reach, grain = probe.reach(name, directions, strict=shrink != 1.0)
    h = shrink * reach / 4
    steps = h[:, None] / 2.0 ** np.arange(LEVELS)
    noise_steps = np.maximum(h * SPACING, 4 * grain)[:, None] * np.arange(-4, 4)
    t = np.concatenate([steps, -steps, noise_steps], axis=1)
    phi = _evaluate(probe, name, directions, t)
    with np.errstate(all="ignore"):
        seen = np.maximum(ec_noise(phi[2 * LEVELS :]), probe.noise(name))
        noise = np.maximum(3 * seen, UNIT * np.max(np.abs(phi), axis=0))
    value, bound, finest = _romberg(phi[:LEVELS], phi[LEVELS : 2 * LEVELS], h, noise)
    return value, np.where(h > GRAINS * grain, bound, np.inf), (h, finest)


class Ladder(NamedTuple):
    """Plain central differences at many steps, beside what the checker makes of its own.

    `steps` fall by powers of two, `slopes` are the quotients at them.  The checker tried the
    steps from `largest` down to 2^(1 - LEVELS) of it, and takes `value`, within `bound`, from
    a corner of its tableau whose smallest step is `chosen`.
    """

    steps: Array
    slopes: Array
    largest: float
    chosen: float
    value: float
    bound: float


def ladder(probe: Probe, name: str, direction: Array, powers: Sequence[int]) -> Ladder:
    """The slope along one direction of the tensor's shape, at the largest step times 2^powers."""
    value, bound, (h, finest) = _along(probe, name, direction[None], 1.0)
    steps = float(h[0]) * 2.0 ** np.asarray(powers, dtype=float)
    phi = _evaluate(probe, name, direction[None], np.concatenate([steps, -steps])[None])[:, 0]
    with np.errstate(all="ignore"):
        slopes = (phi[: len(steps)] - phi[len(steps) :]) / (2 * steps)
    return Ladder(steps, slopes, float(h[0]), float(finest[0]), float(value[0]), float(bound[0]))


def _evaluate(probe: Probe, name: str, directions: Array, t: Array) -> Array:
    """phi for each direction and each of its distances t (d, n); shape (n, d)."""
    tail = (1,) * (directions.ndim - 1)
    offsets = t.reshape(*t.shape, *tail) * directions[:, None]
    values = probe.losses(name, offsets.reshape(-1, *directions.shape[1:]))
    return values.reshape(t.shape).T


def every_entry(probe: Probe, name: str) -> tuple[Array, Array]:
    """Every entry of a gradient and its error bound, each of the tensor's shape.

    Two levels, all entries of a chunk in one call, and one step and one noise level for the
    whole tensor, the first from two unit vectors that move every entry, the second from
    Monte Carlo arithmetic.  The step is small
    enough for truncation, h^2 before extrapolation, to be no larger than noise, u / h.
    """
    shape = probe.tensor(name).shape
    size = int(np.prod(shape))
    signs = stream(0, f"every entry/{name}").choice([-1.0, 1.0], size=(2, *shape)) / np.sqrt(size)
    reach, grain = probe.reach(name, signs)
    h = float(reach.min()) * EXHAUSTIVE_STEP
    noise = 3 * probe.noise(name)
    steps = h / 2.0 ** np.arange(EXHAUSTIVE_LEVELS)
    steps = np.concatenate([steps, -steps])
    value, bound = np.empty(size), np.empty(size)
    for entries in probe.chunks(name, copies=len(steps)):
        n = len(entries)
        phi = probe.entry_losses(name, np.tile(entries, len(steps)), np.repeat(steps, n))
        plus, minus = phi.reshape(2, EXHAUSTIVE_LEVELS, n)
        floor = np.maximum(noise, UNIT * np.abs(phi.reshape(-1, n)).max(axis=0))
        value[entries], bound[entries] = romberg(plus, minus, np.full(n, h), floor)
    if h <= GRAINS * float(grain.max()):
        bound[:] = np.inf
    return value.reshape(shape), bound.reshape(shape)


def estimate(
    case: Case,
    directions: Mapping[str, Array],
    *,
    exhaustive: bool = False,
    shrink: float = 1.0,
) -> Estimate:
    """Differentiate the reference's forward along `directions`, or in every entry."""
    probe, a = Probe(case), case.architecture
    if exhaustive:
        found = for_each(a, a.tensors, lambda name: every_entry(probe, name))
        return Estimate(
            "finite_differences",
            probe.loss,
            entries={name: value for name, (value, _) in found.items()},
            bounds={name: bound for name, (_, bound) in found.items()},
        )
    slopes = for_each(a, a.tensors, lambda n: along(probe, n, directions[n], shrink))
    return Estimate(
        "finite_differences",
        probe.loss,
        directional={name: (directions[name], value) for name, (value, _) in slopes.items()},
        bounds={name: bound for name, (_, bound) in slopes.items()},
    )


def exact(case: Case) -> Estimate:
    """Every entry by one central difference with step 1: exact on the `exact` lane.

    There the loss is a polynomial of degree 2 at most in any one entry, every value is
    dyadic, and no intermediate is rounded, so that the quotient is the derivative itself.
    """
    probe = Probe(case)

    def gradient(name: str) -> Array:
        parts = [
            (probe.entry_losses(name, entries, 1.0) - probe.entry_losses(name, entries, -1.0)) / 2
            for entries in probe.chunks(name, copies=1)
        ]
        return np.concatenate(parts).reshape(probe.tensor(name).shape)

    entries = for_each(case.architecture, case.architecture.tensors, gradient)
    return Estimate("finite_differences", probe.loss, entries=entries)
