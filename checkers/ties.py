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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..architectures.cases import Case, stream
from ..reference import network
from ..reference.arrays import Array, Arrays, Kink
from ..reference.losses import penalties
from ..reference.pages import LAYERS, LOSSES
from . import complex_step
from .probe import Probe
from .rounding import Rounding, promote, rms

MOST_TIES = 10
"""Above this many tied entries their combinations are not enumerated."""

MOST_ENTRIES = 4096
"""Above this many entries of parameters and input no gradient is taken on every piece."""

SAMPLES = 64
"""Directions in which pieces realised nearby are looked for."""

NEARBY = 2.0**-30
"""How far to move in them: enough to outlast rounding, too little to reach another kink."""


@dataclass(frozen=True)
class Tie:
    """One entry that stands between the pieces `left` and `right`."""

    site: str
    entry: int
    left: int
    right: int


def find(case: Case, rounding: Rounding, tolerance: float) -> tuple[Tie, ...]:
    """Every tied entry: at most `tolerance` rounding deviations from a breakpoint."""
    wide = promote(case)
    found = []
    for site, kink, noisy in _kinks(wide, rounding):
        if kink.smooth:
            continue
        spread = rms(noisy - kink.argument)
        for piece, point in enumerate(kink.breakpoints):
            with np.errstate(invalid="ignore"):
                tied = np.abs(kink.argument - point) <= tolerance * spread
            found += [Tie(site, int(e), piece, piece + 1) for e in np.flatnonzero(tied)]
    return tuple(found)


def _kinks(case: Case, rounding: Rounding) -> Iterator[tuple[str, Kink, Array]]:
    """(site, kink, the kink's argument in every perturbed replica) over the network."""
    a = case.architecture
    with np.errstate(all="ignore"):
        edges = network.forward(a, case.parameters, case.input, case.target).edges
        for i, layer in enumerate(a.layers):
            find_kink = LAYERS[type(layer)].kink
            if find_kink is not None:
                moved = edges[i] + rounding.edges[i]
                yield f"layers.{i}", find_kink(layer, edges[i]), find_kink(layer, moved).argument
        find_kink = LOSSES[type(a.loss)].kink
        if find_kink is not None:
            y, moved = edges[-1], edges[-1] + rounding.edges[-1]
            argument = find_kink(a.loss, moved, case.target).argument
            yield "loss", find_kink(a.loss, y, case.target), argument
    for site, penalty, name in network.penalty_sites(a):
        w = case.parameters[name]
        bend = penalties.kink(penalty, w)
        if bend is not None:
            yield site, bend, w[None]


def choose(branches: Mapping[str, Array], ties: tuple[Tie, ...], right: Array) -> network.Branches:
    """The branch signature with each tie on its left or right piece, by the mask `right`."""
    chosen = {site: piece.copy() for site, piece in branches.items()}
    for tie, takes_right in zip(ties, right, strict=True):
        chosen[tie.site].reshape(-1)[tie.entry] = tie.right if takes_right else tie.left
    return chosen


def realised(case: Case, ties: tuple[Tie, ...], seed: int) -> list[Array]:
    """The distinct combinations of pieces met nearby, each a mask over `ties`."""
    wide = promote(case)
    rng = stream(seed, "ties")

    def move(x: Array) -> Array:
        scale = np.max(np.abs(x), initial=0.0) or 1.0
        return x + NEARBY * scale * rng.standard_normal((SAMPLES, *x.shape))

    parameters = {name: move(x) for name, x in wide.parameters.items()}
    with np.errstate(all="ignore"):
        trace = network.forward(wide.architecture, parameters, move(wide.input), wide.target)
    masks = np.zeros((SAMPLES, len(ties)), dtype=bool)
    for column, tie in enumerate(ties):
        piece = trace.branches[tie.site]
        masks[:, column] = piece.reshape(SAMPLES, -1)[:, tie.entry] >= tie.right
    return list(np.unique(masks, axis=0))


def enumerable(case: Case, ties: tuple[Tie, ...]) -> bool:
    """Whether the combinations of pieces are few enough, on a network small enough."""
    a = case.architecture
    size = int(np.prod(a.input)) + sum(int(np.prod(s)) for s in a.parameters.values())
    return len(ties) <= MOST_TIES and size <= MOST_ENTRIES


def gradient_names(case: Case) -> tuple[str, ...]:
    """The tensors whose gradients the hulls are made of: the parameters and the input."""
    return (*case.architecture.parameters, "input")


def flatten(gradients: Mapping[str, Array], names: tuple[str, ...]) -> Array:
    """The named gradients as one vector, float64."""
    return np.concatenate([np.asarray(gradients[n], dtype=np.float64).ravel() for n in names])


def piece_gradients(case: Case, ties: tuple[Tie, ...], masks: list[Array]) -> Array:
    """The gradient on each combination of pieces, by complex step; shape (len(masks), N)."""
    base = Probe(case).trace.branches
    names = gradient_names(case)
    rows = []
    for mask in masks:
        probe = Probe(case, choose(base, ties, mask))
        rows.append(flatten({n: complex_step.every_entry(probe, n) for n in names}, names))
    return np.array(rows)


def all_masks(ties: tuple[Tie, ...]) -> list[Array]:
    """Every combination of pieces."""
    return [np.array(m) for m in itertools.product([False, True], repeat=len(ties))]


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


def undecided(case: Case, ties: tuple[Tie, ...]) -> Mapping[str, Array]:
    """For every tensor a mask of the entries that the choice of pieces can change.

    The reference's backward is asked on the left pieces, on the right ones, and on random
    combinations; an entry that never moves does not depend on the convention.
    """
    wide = promote(case)
    a = wide.architecture
    base = network.forward(a, wide.parameters, wide.input, wide.target).branches
    rng = stream(case.seed, "undecided")
    choices = [np.zeros(len(ties), bool), np.ones(len(ties), bool)]
    choices += [rng.random(len(ties)) < 0.5 for _ in range(6)]
    found: list[Arrays] = []
    for mask in choices:
        pieces = choose(base, ties, mask)
        with np.errstate(all="ignore"):
            trace = network.forward(a, wide.parameters, wide.input, wide.target, branches=pieces)
            found.append(network.backward(a, wide.parameters, trace))
    return {
        name: np.any([other[name] != g for other in found[1:]], axis=0)
        for name, g in found[0].items()
    }


def off_the_tie(case: Case) -> Case:
    """The same network a little away from its ties, where they are too many to enumerate."""

    def move(name: str, x: Array) -> Array:
        scale = np.max(np.abs(x), initial=0.0) or 1.0
        noise = stream(case.seed, f"off the tie/{name}").standard_normal(x.shape)
        moved: Array = (x + 2.0**-10 * scale * noise).astype(x.dtype)
        return moved

    return replace(
        case,
        lane="generic",
        parameters={name: move(name, x) for name, x in case.parameters.items()},
        input=move("input", case.input),
        target=case.target if case.target.dtype == np.int64 else move("target", case.target),
    )
