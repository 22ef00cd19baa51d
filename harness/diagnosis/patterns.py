"""Where are the wrong entries?  One phrase, where there is one.

A phrase is a mask.  It fits where every wrong entry lies in it, and every entry in it is
wrong but for those that are blank: an entry that is zero, in the right gradient and in the one
that was given, is right whatever was forgotten there.  The simplest phrase that fits is taken:

    one entry
    along one axis: one index, a run (a block, as a gate or a group is), every k-th, some
    a part of two axes
    the border of the last two axes, of some width
    the diagonal, or what lies above or below it (what a causal mask hides, or leaves)
    where a value says so: that of the tensor itself, a mask, the class of the target
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

import numpy as np

from backproof.reference.arrays import Array

MOST_LISTED = 6
"""Indices that a phrase lists; more are no phrase."""

Masks = Mapping[str, Array]
"""Further masks of the tensor's shape, by the words that follow "wrong"."""


def where(wrong: Array, blank: Array | None = None, masks: Masks | None = None) -> str:
    """Which entries are wrong, in words that follow "wrong"; "" where it is no one phrase.

    `wrong` is a mask of any shape; `blank`, of that shape, says which of the others could not
    have shown it.
    """
    unknown = np.zeros_like(wrong) if blank is None else blank & ~wrong
    if not wrong.any() or (wrong | unknown).all():
        return ""  # nothing that is right speaks for a pattern

    def fits(mask: Array) -> bool:
        return bool((mask | ~wrong).all() and (~mask | wrong | unknown).all())

    places = np.argwhere(wrong)
    if len(places) == 1:
        return f"at entry {tuple(int(i) for i in places[0])} alone"
    for find in (_along_an_axis, _on_two_axes, _on_the_border, _by_the_diagonal):
        phrase = find(wrong, unknown, fits)
        if phrase:
            return phrase
    return next((words for words, mask in (masks or {}).items() if fits(mask)), "")


Fits = Callable[[Array], bool]


# --- axes --------------------------------------------------------------------------------


def _along_an_axis(wrong: Array, unknown: Array, fits: Fits) -> str:
    """Some indices of one axis, throughout the others."""
    for axis in range(wrong.ndim):
        hit = _hit(wrong, axis)
        if hit.all() or not fits(_spread(hit, axis, wrong.shape)):
            continue
        open_ones = _hit(~(wrong | unknown), axis)
        phrase = indices(hit, ~hit & ~open_ones)
        if phrase:
            return f"in {_named(axis, wrong.ndim, phrase)}"
    return ""


def _on_two_axes(wrong: Array, unknown: Array, fits: Fits) -> str:
    """Some indices of one axis where some of another meet."""
    for one, other in combinations(range(wrong.ndim), 2):
        parts = [(axis, _hit(wrong, axis)) for axis in (one, other)]
        first, second = (_spread(hit, axis, wrong.shape) for axis, hit in parts)
        if any(hit.all() for _, hit in parts) or not fits(first & second):
            continue
        phrases = [indices(hit, np.zeros_like(hit)) for _, hit in parts]
        if all(phrases):
            a, b = (
                _named(axis, wrong.ndim, p) for (axis, _), p in zip(parts, phrases, strict=True)
            )
            return f"where {a} and {b} meet"
    return ""


def _hit(mask: Array, axis: int) -> Array:
    """Which indices of an axis the mask has an entry at."""
    return np.asarray(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))


def _spread(hit: Array, axis: int, shape: tuple[int, ...]) -> Array:
    view = [1] * len(shape)
    view[axis] = -1
    return np.broadcast_to(hit.reshape(view), shape)


def indices(hit: Array, unknown: Array) -> str:
    """A set of indices in words: `3`, `4 to 7 (block 2 of 3)`, `1, 3, 5, ... (every 2nd)`.

    Indices that are unknown may belong to it or not.  "" where the set is no phrase.
    """
    n, found = len(hit), [int(i) for i in np.flatnonzero(hit)]
    if len(found) == 1:
        return str(found[0])
    allowed = hit | unknown
    first, last = found[0], found[-1]
    if allowed[first : last + 1].all():
        return f"{first} to {last}{_block(first, last, n)}"
    for step in range(2, n // 2 + 1):
        inside = np.arange(n) % step == first % step
        if (inside | ~hit).all() and (~inside | allowed).all() and len(found) > 1:
            return f"{first % step} + {step} i"
    return ", ".join(map(str, found)) if len(found) <= MOST_LISTED else ""


def _block(first: int, last: int, n: int) -> str:
    """Which of several equal blocks that is: of gates, of groups, of heads."""
    size = last - first + 1
    if size == 1 or n % size or first % size or n == size:
        return ""
    return f" (block {first // size + 1} of {n // size})"


def _named(axis: int, ndim: int, phrase: str) -> str:
    """`row 3`, `the columns 0 to 2`, `the indices 1 + 2 i of axis 0`."""
    one = phrase.isdigit()
    if ndim == 1:
        return f"entry {phrase}" if one else f"the entries {phrase}"
    if ndim == 2:
        word = ("row", "column")[axis]
        return f"{word} {phrase}" if one else f"the {word}s {phrase}"
    return f"index {phrase} of axis {axis}" if one else f"the indices {phrase} of axis {axis}"


# --- the last two axes -------------------------------------------------------------------


def _on_the_border(wrong: Array, unknown: Array, fits: Fits) -> str:
    """The outermost entries of the last two axes, of some width: what a padding touches."""
    if wrong.ndim < 2:
        return ""
    rows, columns = wrong.shape[-2:]
    for width in range(1, (min(rows, columns) - 1) // 2 + 1):
        border = np.ones((rows, columns), bool)
        border[width : rows - width, width : columns - width] = False
        if fits(np.broadcast_to(border, wrong.shape)):
            wide = "" if width == 1 else f", {width} wide,"
            return f"on the border{wide} of the last two axes"
    return ""


def _by_the_diagonal(wrong: Array, unknown: Array, fits: Fits) -> str:
    """Above, on, or below the diagonal of the last two axes."""
    if wrong.ndim < 2 or 1 in wrong.shape[-2:]:
        return ""
    i, j = np.indices(wrong.shape[-2:])
    of = "the diagonal of the last two axes"
    for words, mask in (
        (f"on {of}", i == j),
        (f"above {of}, which a causal mask hides", j > i),
        (f"below {of}", j < i),
        (f"on and below {of}, which a causal mask leaves", j <= i),
        (f"on and above {of}", j >= i),
        (f"off {of}", i != j),
    ):
        if fits(np.broadcast_to(mask, wrong.shape)):
            return words
    return ""


# --- values ------------------------------------------------------------------------------


def by_value(value: Array) -> Iterator[tuple[str, Array]]:
    """Masks by the sign of the tensor's own value."""
    for words, mask in (
        ("zero", value == 0), ("negative", value < 0), ("positive", value > 0),
        ("negative or zero", value <= 0), ("positive or zero", value >= 0),
    ):  # fmt: skip
        yield f"where the value itself is {words}", mask


def by_mask(name: str, mask: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Masks by a mask that an operator was given, where it lies on the tensor's axes."""
    over = over_axes(mask, shape)
    if over is not None:
        yield f"where {name} is 0", ~over
        yield f"where {name} is 1", over


def by_class(
    target: Array, shape: tuple[int, ...], ignored: int | None
) -> Iterator[tuple[str, Array]]:
    """Masks by the class of each row's target."""
    if target.shape != shape[:-1]:
        return
    own = target[..., None] == np.arange(shape[-1])
    yield "at the class of the target", own
    yield "at every class but the target's", ~own
    if ignored is not None:
        row = np.broadcast_to((target == ignored)[..., None], shape)
        yield "in the rows whose class is ignored", row


def over_axes(mask: Array, shape: tuple[int, ...]) -> Array | None:
    """A mask over the last axes of a tensor, or over its first ones; None where neither fits."""
    for view in (mask.shape, mask.shape + (1,) * (len(shape) - mask.ndim)):
        try:
            return np.broadcast_to(mask.reshape(view), shape)
        except ValueError:
            continue
    return None
