"""Arrays and branches: what every page of derivation rests on.

**Replicas.**  An array may carry one extra leading axis, one replica of the network for each
index; then every array of the call carries it, with size 1 where nothing differs.  Every
page therefore counts its axes from the end (-1 the features, ...), and `over` lines a
parameter up with an input.  The Monte Carlo rounding model and the numerical checkers run
hundreds of perturbed networks in one call that way.

**Branches.**  A piecewise function is analytic on each of its pieces.  `Kink` and `Choice`
say where the pieces meet, `regions` which piece each entry is on, and a page's `forward` is
handed those numbers instead of testing signs itself.  A caller that hands the same numbers
for a perturbed input stays on the same analytic piece: that is how complex step and finite
differences never cross a kink.

**Index maps.**  What moves entries about (padding, windows, slices, repetition) is one map:
y_j = x_{index[j]}, or 0 where index[j] = -1.  It is linear, and its transpose adds up

    <y_bar, y> = sum_j y_bar_j x_{index[j]}        x_bar_i = sum of y_bar_j with index[j] = i

`gather` applies the map, `scatter` its transpose: for each i it gathers the places j that
read it (`inverse`), and sums; where a few entries have most readers, in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Saved = Any
"""What a forward pass keeps for its backward pass; known to that page alone."""


class Kink(NamedTuple):
    """Where a piecewise function changes its piece.

    `argument` (any shape) is what is compared with the ascending `breakpoints`.  `smooth`
    says that the first derivative is continuous there (Huber, CELU): a piece to hold on
    to, but no tie.
    """

    argument: Array
    breakpoints: tuple[float, ...]
    smooth: bool = False


class Choice(NamedTuple):
    """A function that picks the greatest of several candidates: its piece is which one.

    `candidates` has the shape (*entries, k); minus infinity for one that never counts.
    """

    candidates: Array


def regions(kink: Kink | Choice) -> Array:
    """The piece of each entry: the number of breakpoints below it, or the greatest candidate.

    int8 of the argument's shape, or int64 of the entries' shape.  At a breakpoint itself it
    is the piece on the left, among equal candidates the first: our convention at ties.
    """
    if isinstance(kink, Choice):
        choice: Array = np.argmax(np.asarray(kink.candidates).real, axis=-1)
        return choice
    x = kink.argument.real
    piece = (x > kink.breakpoints[0]).astype(np.int8)
    for b in kink.breakpoints[1:]:
        piece += x > b
    return piece


def pick(candidates: Array, choice: Array) -> Array:
    """The chosen candidate of each entry: (..., *entries, k) and (*entries) -> (..., *entries)."""
    where = np.broadcast_to(choice, candidates.shape[:-1])[..., None]
    return np.take_along_axis(candidates, where, axis=-1)[..., 0]


def place(y_bar: Array, choice: Array, k: int) -> Array:
    """The transpose of `pick`: y_bar at the chosen candidate, 0 at the others."""
    return np.where(choice[..., None] == np.arange(k), y_bar[..., None], 0.0)


def alike(arrays: Sequence[Array]) -> list[Array]:
    """Arrays of equal rank, whose first axis is made as long as the longest one's.

    That is the replica axis, which has size 1 in an array in which nothing differs.
    """
    replicas = max(x.shape[0] for x in arrays)
    return [
        x if x.shape[0] == replicas else np.broadcast_to(x, (replicas, *x.shape[1:]))
        for x in arrays
    ]


def over(p: Array, x: Array, rank: int, axes: int | None = None) -> Array:
    """A parameter of `rank` axes as it must stand to be broadcast against x.

    Its replica axis, if any, comes first, as x's does; the axes of x that it lacks have size
    1.  Its own axes are the last of x or, with `axes`, the `axes` last follow them:
    gamma (C,) over x (N, C, H, W) is over(gamma, x, 1, axes=2).
    """
    lead, own = p.shape[: p.ndim - rank], p.shape[p.ndim - rank :]
    after = (1,) * (axes or 0)
    between = (1,) * (x.ndim - len(lead) - len(own) - len(after))
    return p.reshape(*lead, *between, *own, *after)


def rows(x: Array, p: Array, rank: int) -> Array:
    """x with all its axes between the replica axis and the features joined: (..., rows, features).

    `p` is a parameter of `rank` axes: it tells whether there is a replica axis.
    """
    return x.reshape(*x.shape[: p.ndim - rank], -1, x.shape[-1])


def gather(x: Array, index: Array, axes: int) -> Array:
    """y_j = x_{index[j]}: the last `axes` axes of x, joined, replaced by those of index.

    `index` holds integers, -1 for an entry that is 0.
    """
    flat = x.reshape(*x.shape[: x.ndim - axes], -1)
    y: Array = flat[..., index]
    return np.where(index >= 0, y, 0.0) if (index < 0).any() else y


def scatter(y_bar: Array, index: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of `gather`: the last axes of y_bar, those of index, become `shape`."""
    flat = y_bar.reshape(*y_bar.shape[: y_bar.ndim - index.ndim], -1)
    for table in _levels(index.astype(np.int64).tobytes(), int(np.prod(shape))):
        read: Array = flat[..., table]
        if (table < 0).any():
            read = np.where(table >= 0, read, 0.0)
        flat = read.sum(axis=-1)
    return flat.reshape(*flat.shape[:-1], *shape)


def gather_axis(x: Array, index: Array, axis: int) -> Array:
    """`gather` along one axis, which is counted from the end; `index` has one axis."""
    y: Array = np.moveaxis(gather(np.moveaxis(x, axis, -1), index, 1), -1, axis)
    return y


def scatter_axis(y_bar: Array, index: Array, size: int, axis: int) -> Array:
    """The transpose of `gather_axis`: an axis of that many entries."""
    x_bar: Array = np.moveaxis(scatter(np.moveaxis(y_bar, axis, -1), index, (size,)), -1, axis)
    return x_bar


def inverse(index: Array, size: int) -> Array:
    """For each of `size` entries the flat places of index that read it, then -1; (size, most)."""
    flat = index.reshape(-1)
    places, rank, counts = _readers(flat, size)
    table = np.full((size, max(1, int(counts.max(initial=1)))), -1)
    table[flat[places], rank] = places
    return table


def _readers(flat: Array, size: int) -> tuple[Array, Array, Array]:
    """The places that read an entry, by entry; the number of each among its entry's; how many."""
    places = np.argsort(flat, kind="stable")
    places = places[flat[places] >= 0]
    counts = np.bincount(flat[places], minlength=size)
    rank = np.arange(len(places)) - (np.cumsum(counts) - counts)[flat[places]]
    return places, rank, counts


@lru_cache(maxsize=1024)
def _levels(index: bytes, size: int) -> tuple[Array, ...]:
    """Tables that scatter when gathered and summed over the last axis one after the other.

    Mostly it is `inverse` alone.  Where some entry has far more readers than the mean, that
    table would be mostly -1: the readers are then summed in parts of `width`, and the parts
    scattered in turn.
    """
    flat = np.frombuffer(index, np.int64)
    places, rank, counts = _readers(flat, size)
    width = 4 + 4 * (len(places) // size)
    if counts.max(initial=1) <= width:
        return (inverse(flat, size),)
    parts = -(-counts // width)
    first = np.cumsum(parts) - parts
    table = np.full((int(parts.sum()), width), -1)
    table[first[flat[places]] + rank // width, rank % width] = places
    owner = np.repeat(np.arange(size, dtype=np.int64), parts)
    return (table, *_levels(owner.tobytes(), size))
