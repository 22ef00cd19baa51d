"""Ties: points where some operator is not differentiable.

At a tie there is no gradient but a set of them, and frameworks pick different members.
What a correct backward pass may return is derived here, from the reference's forward
alone:

* The pieces *realised nearby* are found by moving every parameter and input a little in
  random directions.  The convex hull of their gradients is Clarke's subdifferential.
* A backward pass that picks a slope for each tied entry by itself, as all frameworks do,
  returns a gradient that is affine in each choice, hence in the convex hull of the
  gradients of *all combinations* of pieces; it may leave the first hull (relu(x) - relu(-x)
  at 0), and then is a member of a conservative field (Bolte and Pauwels 2020).

Gradients on given pieces come from complex step.  An entry counts as tied when rounding
in the case's dtype can decide its piece.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..architectures.cases import Case, stream, target_name
from ..architectures.losses import flat_shape
from ..architectures.operators import Shape, size
from ..reference import network
from ..reference.arrays import Array, Arrays, Choice, Kink, pick
from ..reference.losses import penalties
from ..reference.pages import LAYERS, LOSSES
from . import complex_step
from .noise import UNIT, Noise, as_noisy, replicate
from .probe import Probe
from .rounding import Rounding, promote, rms

MOST_TIES = 10
"""Above 2 to this power the combinations of pieces are not enumerated."""

TRIES = 64
"""Combinations of pieces that are tried where there are more: an entry that only one
combination of two ties changes is missed once in 10^8 times."""

MOST_ENTRIES = 4096
"""Above this many entries of open tensors no gradient is taken on every piece."""

SAMPLES = 64
"""Directions in which pieces realised nearby are looked for."""

NEARBY = 2.0**-30
"""How far to move in them: enough to outlast rounding, too little to reach another kink."""


@dataclass(frozen=True)
class Tie:
    """One entry that stands between several pieces: `options`, in ascending order."""

    site: str
    entry: int
    options: tuple[int, ...]


def find(case: Case, rounding: Rounding, tolerance: float) -> tuple[Tie, ...]:
    """Every tied entry: at most `tolerance` rounding deviations from a breakpoint."""
    found: list[Tie] = []
    for site, kink, deviation in _kinks(promote(case), rounding):
        if isinstance(kink, Choice):
            found += _equal_candidates(site, kink.candidates, deviation, tolerance)
            continue
        if kink.smooth:
            continue
        spread = rms(deviation)
        for piece, point in enumerate(kink.breakpoints):
            with np.errstate(invalid="ignore"):
                tied = np.abs(kink.argument - point) <= tolerance * spread
            found += [Tie(site, int(e), (piece, piece + 1)) for e in np.flatnonzero(tied)]
    return tuple(found)


def _equal_candidates(
    site: str, candidates: Array, deviation: Array, tolerance: float
) -> Iterator[Tie]:
    """The entries whose greatest candidate another one equals, as far as rounding can tell."""
    top = np.argmax(candidates, axis=-1)
    with np.errstate(invalid="ignore"):
        below = pick(candidates, top)[..., None] - candidates
        spread = rms(pick(deviation, top)[..., None] - deviation)
        tied = (below <= tolerance * np.nan_to_num(spread)) & np.isfinite(candidates)
    k = candidates.shape[-1]
    rows = tied.reshape(-1, k)
    for entry in np.flatnonzero(rows.sum(axis=-1) > 1):
        yield Tie(site, int(entry), tuple(int(i) for i in np.flatnonzero(rows[entry])))


def _kinks(case: Case, rounding: Rounding) -> Iterator[tuple[str, Kink | Choice, Array]]:
    """(site, kink, how far its argument is off in every perturbed replica) over the network."""
    a = case.architecture
    noise = Noise(stream(case.seed, "kinks"), rounding.dtype, rounding.replicas)
    scale = UNIT[rounding.dtype] / noise.unit
    with np.errstate(all="ignore"):
        edges = network.forward(case).edges

        def moved(name: str, shape: Shape | None = None) -> Array:
            x = edges[name] + rounding.edges[name] / scale
            return as_noisy(x if shape is None else x.reshape(len(x), *shape), noise)

        def deviation(still: Kink | Choice, noisy: Kink | Choice) -> Array:
            return scale * (np.asarray(noisy[0]) - still[0])

        for i, layer in enumerate(a.layers):
            find_kink = LAYERS[type(layer)].kink
            if find_kink is None:
                continue
            p = network.layer_parameters(case, i)
            still = find_kink(layer, p, network.one_or_all([edges[n] for n in a.sources[i]]))
            if still is not None:
                own = {n: replicate(v, noise) if n in a.own[i] else v for n, v in p.items()}
                noisy = find_kink(layer, own, network.one_or_all([moved(n) for n in a.sources[i]]))
                yield f"layers.{i}", still, deviation(still, noisy)
        for site, loss in a.losses.items():
            find_kink = LOSSES[type(loss)].kink
            if find_kink is None:
                continue
            names, t = a.loss_sources[site], network.flat_target(case, site)
            flat = flat_shape(loss, a.edges[names[0]])
            still = find_kink(loss, network.one_or_all([edges[n].reshape(flat) for n in names]), t)
            noisy = find_kink(loss, network.one_or_all([moved(n, flat) for n in names]), t)
            yield site, still, deviation(still, noisy)
    for site, penalty, name in network.penalty_sites(a):
        w = case.parameters[name].reshape(1, -1)
        bend = penalties.kink(penalty, w)
        if bend is not None:
            yield site, bend, np.zeros((1, *w.shape))


Pieces = npt.NDArray[np.int64]
"""For each tie the number of the option taken."""


def choose(
    branches: Mapping[str, Array], ties: tuple[Tie, ...], pieces: Pieces
) -> network.Branches:
    """The branch signature with each tie on the piece that is chosen for it."""
    chosen = {site: piece.copy() for site, piece in branches.items()}
    for tie, option in zip(ties, pieces, strict=True):
        chosen[tie.site].reshape(-1)[tie.entry] = tie.options[option]
    return chosen


def first(ties: tuple[Tie, ...]) -> Pieces:
    """The left pieces, and among equal candidates the first: our own convention."""
    return np.zeros(len(ties), np.int64)


def last(ties: tuple[Tie, ...]) -> Pieces:
    """The right pieces, and among equal candidates the last."""
    return np.array([len(tie.options) - 1 for tie in ties], np.int64)


def realised(case: Case, ties: tuple[Tie, ...], seed: int) -> list[Pieces]:
    """The distinct combinations of pieces met nearby."""
    wide = promote(case)
    rng = stream(seed, "ties")

    def move(x: Array) -> Array:
        scale = np.max(np.abs(x), initial=0.0) or 1.0
        return x + NEARBY * scale * rng.standard_normal((SAMPLES, *x.shape))

    nearby = replace(
        wide,
        parameters={name: move(x) for name, x in wide.parameters.items()},
        input=None if wide.input is None else move(wide.input),
    )
    with np.errstate(all="ignore"):
        trace = network.forward(nearby)
    found = np.zeros((SAMPLES, len(ties)), np.int64)
    for column, tie in enumerate(ties):
        piece = trace.branches[tie.site].reshape(SAMPLES, -1)[:, tie.entry]
        # the option met, or the closest: another tie of the same entry may have been crossed
        options = np.array(tie.options)
        found[:, column] = np.argmin(np.abs(piece[:, None] - options), axis=1)
    return list(np.unique(found, axis=0))


def enumerable(case: Case, ties: tuple[Tie, ...], names: Sequence[str]) -> str:
    """Why the gradients of these tensors cannot be taken on every combination; empty if not."""
    if math.prod(len(tie.options) for tie in ties) > 2**MOST_TIES:
        return f"{len(ties)} ties, too many to enumerate"
    if sum(size(case.architecture.tensors[n]) for n in names) > MOST_ENTRIES:
        return f"{len(ties)} tie{'s' if len(ties) > 1 else ''} in a network of many entries"
    return ""


def gradient_names(case: Case) -> tuple[str, ...]:
    """The tensors whose gradients are what is asked for: the parameters and the input."""
    a = case.architecture
    return (*a.parameters, *(("input",) if a.input is not None else ()))


def flatten(gradients: Mapping[str, Array], names: tuple[str, ...]) -> Array:
    """The named gradients as one vector, float64."""
    return np.concatenate([np.asarray(gradients[n], dtype=np.float64).ravel() for n in names])


def piece_gradients(
    case: Case, ties: tuple[Tie, ...], choices: list[Pieces], names: tuple[str, ...]
) -> Array:
    """The named gradients on each combination of pieces, by complex step; (len(choices), N)."""
    base = Probe(case).trace.branches
    rows = []
    for pieces in choices:
        probe = Probe(case, choose(base, ties, pieces))
        rows.append(flatten({n: complex_step.every_entry(probe, n) for n in names}, names))
    return np.array(rows)


def all_choices(ties: tuple[Tie, ...]) -> list[Pieces]:
    """Every combination of pieces."""
    return [np.array(c) for c in itertools.product(*(range(len(t.options)) for t in ties))]


def distance_to_hull(vertices: Array, g: Array) -> float:
    """The 2-norm of what keeps g (N,) out of the convex hull of `vertices` (V, N).

    Non-negative least squares, with the weights' sum held at 1 by one more equation on the
    scale of the vertices (Lawson and Hanson 1974).
    """
    from scipy.optimize import nnls

    scale = float(np.max(np.abs(vertices), initial=0.0)) or 1.0
    heavy = scale * np.sqrt(vertices.shape[1])
    matrix = np.concatenate([vertices, np.full((len(vertices), 1), heavy)], axis=1).T
    weights, _ = nnls(matrix, np.append(g, heavy))
    weights /= weights.sum() or 1.0
    return float(np.linalg.norm(weights @ vertices - g))


def some_branches(case: Case, ties: tuple[Tie, ...], tries: int) -> list[network.Branches]:
    """The pieces of a case with its ties on every combination of their options.

    Of more than `tries` combinations on each option in turn, and on so many random ones.
    """
    base = network.forward(promote(case)).branches
    if math.prod(len(tie.options) for tie in ties) <= tries:
        return [choose(base, ties, pieces) for pieces in all_choices(ties)]
    rng = stream(case.seed, "undecided")
    counts = np.array([len(tie.options) for tie in ties])
    in_turn = [k % counts for k in range(max(counts, default=1))]
    choices = [*in_turn, last(ties), *(rng.integers(counts) for _ in range(tries))]
    return [choose(base, ties, pieces) for pieces in choices]


def undecided(case: Case, ties: tuple[Tie, ...]) -> Mapping[str, Array]:
    """For every tensor a mask of the entries that the choice of pieces can change.

    The reference's backward is asked on `some_branches`; an entry that never moves does not
    depend on the convention.
    """
    wide = promote(case)
    found: list[Arrays] = []
    for branches in some_branches(case, ties, TRIES):
        with np.errstate(all="ignore"):
            trace = network.forward(wide, branches=branches)
            found.append(network.backward(wide, trace))
    return {
        name: np.any([other[name] != g for other in found[1:]], axis=0)
        for name, g in found[0].items()
    }


def off_the_tie(case: Case) -> Case:
    """The same network a little away from its ties, where they are too many to enumerate."""

    def move(name: str, x: Array) -> Array:
        if x.dtype.kind != "f":
            return x
        scale = np.max(np.abs(x), initial=0.0) or 1.0
        noise = stream(case.seed, f"off the tie/{name}").standard_normal(x.shape)
        moved: Array = (x + 2.0**-10 * scale * noise).astype(x.dtype)
        return moved

    return replace(
        case,
        lane="generic",
        parameters={name: move(name, x) for name, x in case.parameters.items()},
        input=None if case.input is None else move("input", case.input),
        targets={site: move(target_name(site), t) for site, t in case.targets.items()},
    )
