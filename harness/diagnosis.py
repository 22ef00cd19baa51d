"""What is the mistake?  Its name where the catalogue knows it, else its shape, else its precision.

The catalogue is run forward as a dictionary: every fault, at every site of the network where
it applies, gives gradients.  One whose gradients equal the subject's in every tensor, within
what rounding does to them, is a cause: "equals the reference with ...".  In a small network two
mistakes may come to the same, and an unknown one may look like a known one; so a cause must be
confirmed on further values of the same network, which are drawn anew, and several that are
confirmed are ranked by how often such a mistake is made.

Where none fits, the first wrong tensor in backward order is held against what is right:

    g = k c                 a factor, or the sign, is wrong
    g = c'                  it is transposed (where it is square)
    g = P c                 rows, or columns, are exchanged
    g = c but for some      rows, a border, every k-th entry: where it is wrong
    g = c + k theta         a multiple of the parameter itself is added: weight decay
    g = c (1 + 2^-b)        it is right to b bits: a coarser precision on the way
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np

from backproof.architectures.cases import Case, draw_case, stream
from backproof.checkers import rounding
from backproof.checkers.comparison import ALPHA, allowed_in_entries
from backproof.checkers.outcome import FAN_OUT, operator_at
from backproof.checkers.rounding import Rounding, norm, promote
from backproof.checkers.verdict import Subject, reference_subject
from backproof.planting import planted
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS, Fault, sites

CONFIRMED_ON = 2
"""Further draws of values on which a cause must fit too."""

MOST_NAMED = 3

Kind = Literal["fault", "shape", "precision", "unknown"]


class Cause(msgspec.Struct, frozen=True):
    """One explanation of a wrong gradient.

    `name` is the fault's, at `site` and in `operator`, or the shape's; `words` completes
    "equals the reference with ..." for a fault, and is a sentence of its own for a shape.
    """

    kind: Kind
    name: str
    words: str
    site: str = ""
    operator: str = ""

    def __str__(self) -> str:
        if self.kind != "fault":
            return self.words
        place = self.site if self.site == FAN_OUT else f"{self.operator} at {self.site}"
        return f"equals the reference with {self.words}, in {place}"


def diagnose(
    case: Case, subject: Subject, tensor: str = "", faults: Sequence[Fault] = FAULTS
) -> tuple[Cause, ...]:
    """The causes of what is wrong on a case, the likeliest first; one that says so for none.

    `tensor` is the first wrong one in backward order.  None at all where every gradient is
    right, or beyond the range of the dtype.  What the subject raises is raised.
    """
    noise = rounding.measure(case, seed=case.seed, normwise=True)
    _, given = subject(case)
    _, right = reference_subject(promote(case))
    if noise.overflows or _equal(given, right, noise):
        return ()
    named = list(_named(case, subject, faults))
    if named:
        return tuple(named)
    shape = shape_of(case, given, tensor) if tensor else None
    return (shape or Cause("unknown", "no known fault", "no known fault gives these gradients"),)


def in_words(causes: Sequence[Cause]) -> str:
    """Up to three causes in one sentence; "" for none."""
    named = [str(cause) for cause in causes[:MOST_NAMED]]
    more = f" (and {len(causes) - MOST_NAMED} more)" if len(causes) > MOST_NAMED else ""
    return "; or it ".join(named) + more


# --- the dictionary ----------------------------------------------------------------------


def _named(case: Case, subject: Subject, faults: Sequence[Fault]) -> Iterator[Cause]:
    """Every fault that gives the subject's gradients here and on further values."""
    candidates = list(_matches(case, subject, faults, None))
    if not candidates:
        return
    draws = stream(case.seed, "diagnosis")
    for _ in range(CONFIRMED_ON):
        seed = int(draws.integers(2**32))
        there = draw_case(case.architecture, seed, "generic", case.dtype)
        still = list(_matches(there, subject, faults, candidates))
        candidates = still or candidates[:0]
    for fault, site in sorted(candidates, key=lambda pair: -pair[0].weight):
        operator = "" if site == FAN_OUT else operator_at(case.architecture, site)
        yield Cause("fault", fault.name, fault.summary, site, operator)


def _matches(
    case: Case,
    subject: Subject,
    faults: Sequence[Fault],
    among: Sequence[tuple[Fault, str]] | None,
) -> Iterator[tuple[Fault, str]]:
    a = case.architecture
    _, given = subject(case)
    noise = rounding.measure(case, seed=case.seed, normwise=True)
    if noise.overflows:
        yield from among or ()
        return
    right = promote(case)
    pairs = among if among is not None else [
        (fault, site) for fault in faults for site in sites(a)
        if not fault.convention and fault.applies(a, site)
    ]  # fmt: skip
    for fault, site in pairs:
        _, wrong = planted(fault, site)(right)
        if _equal(given, wrong, noise):
            yield fault, site


def _equal(given: Mapping[str, Any], wrong: Mapping[str, Any], noise: Rounding) -> bool:
    """Whether every gradient that was given is that of the faulty reference."""
    for name, g in given.items():
        w = wrong.get(name)
        if (g is None) != (w is None):
            return False
        if g is None or w is None:
            continue
        if np.shape(g) != np.shape(w):
            return False
        if not same(np.asarray(g, np.float64), np.asarray(w, np.float64), name, noise):
            return False
    return True


def same(g: Array, w: Array, name: str, noise: Rounding) -> bool:
    """Whether two gradients of a tensor differ by rounding alone, what is not finite alike.

    A wrong gradient may be larger than the right one, whose rounding is known: its own grows
    with it.
    """
    finite = np.isfinite(w)
    if not np.array_equal(finite, np.isfinite(g)):
        return False
    g, w = np.where(finite, g, 0.0), np.where(finite, w, 0.0)
    larger = max(1.0, norm(w) / max(_scale(noise, name), 1e-300))
    return bool((np.abs(g - w) <= larger * 2 * allowed_in_entries(noise, name, ALPHA)).all())


def _scale(noise: Rounding, name: str) -> float:
    """The size of the terms that a gradient is summed from, as its rounding tells it."""
    return noise.norm(name) / rounding.UNIT[noise.dtype]


# --- shapes ------------------------------------------------------------------------------


def shape_of(case: Case, given: Mapping[str, Any], tensor: str) -> Cause | None:
    """What the given gradient of a tensor is of the right one, where that is one phrase."""
    noise = rounding.measure(case, seed=case.seed, normwise=True)
    _, right = reference_subject(promote(case))
    if tensor not in right or given.get(tensor) is None or noise.overflows:
        return None
    g, c = np.asarray(given[tensor], np.float64), np.asarray(right[tensor], np.float64)
    if g.shape != c.shape or not np.isfinite(g).all():
        return None
    allowed = 2 * allowed_in_entries(noise, tensor, ALPHA)
    theta = case.parameters.get(tensor)
    for name, words in _shapes(g, c, allowed, theta):
        kind: Kind = "precision" if name == "precision" else "shape"
        return Cause(kind, name, f"the gradient of {tensor} is {words}")
    return None


def _shapes(g: Array, c: Array, allowed: Array, theta: Array | None) -> Iterator[tuple[str, str]]:
    """(name, words) of every shape that fits, the simplest first."""

    def fits(h: Array, times: float = 1.0) -> bool:
        return bool((np.abs(g - h) <= (1 + abs(times)) * allowed).all())

    if not g.any():
        yield "zero", "zero throughout"
    square = float(np.sum(c * c))
    if square > 0:
        k = float(np.sum(g * c)) / square
        if fits(k * c, k):
            yield (
                ("sign", "negated")
                if abs(k + 1) < 1e-6
                else ("factor", f"{k:.6g} times the right one")
            )
    if c.ndim >= 2 and c.shape[-1] == c.shape[-2] and fits(np.swapaxes(c, -1, -2)):
        yield "transposed", "the transpose of the right one"
    for axis, word in ((0, "rows"), (-1, "columns")):
        if c.ndim >= 1 and _permuted(g, c, allowed, axis):
            yield "permuted", f"the right one with its {word} exchanged"
    if theta is not None and np.any(theta):
        t = np.asarray(theta, np.float64)
        k = float(np.sum((g - c) * t)) / float(np.sum(t * t))
        if k and fits(c + k * t):
            yield "decay", f"the right one plus {k:.6g} times the parameter itself"
    wrong = np.abs(g - c) > allowed
    if wrong.any() and not wrong.all() and (words := where(wrong)):
        yield "entries", f"wrong {words}"
    bits = _bits(g, c)
    if bits is not None:
        yield "precision", f"right to {bits} bits, as if a coarser precision were on its way"


def _permuted(g: Array, c: Array, allowed: Array, axis: int) -> bool:
    """Whether g's slices along an axis are c's in another order."""
    ours, theirs = np.moveaxis(g, axis, 0), np.moveaxis(c, axis, 0)
    bound = np.moveaxis(np.broadcast_to(allowed, c.shape), axis, 0)
    n = len(ours)
    if not 2 <= n <= 64:
        return False
    left = set(range(n))
    for row in ours:
        fit = next((j for j in left if (np.abs(row - theirs[j]) <= 2 * bound.max()).all()), None)
        if fit is None:
            return False
        left.discard(fit)
    return True


def where(wrong: Array) -> str:
    """Which entries are wrong, where that is one phrase; "" where it is none."""
    places = np.argwhere(wrong)
    if len(places) == 1:
        return f"at entry {tuple(int(i) for i in places[0])} alone"
    for axis in range(wrong.ndim):
        rest = tuple(i for i in range(wrong.ndim) if i != axis)
        hit = wrong.any(axis=rest) if rest else wrong
        if hit.all() or not np.array_equal(wrong, _along(hit, axis, wrong.shape) & wrong):
            continue
        index = [int(i) for i in np.flatnonzero(hit)]
        full = wrong.all(axis=rest) if rest else wrong
        if not full[hit].all():
            continue
        word = {0: "row", wrong.ndim - 1: "column"}.get(axis, f"index of axis {axis}")
        if len(index) == 1:
            return f"in {word} {index[0]} alone"
        step = index[1] - index[0]
        if len(index) > 2 and all(b - a == step for a, b in pairwise(index)):
            return (
                f"in every {word} {index[0]} + {step} i"
                if step > 1
                else (f"in the {word}s {index[0]} to {index[-1]}")
            )
        return f"in the {word}s {', '.join(map(str, index))}"
    if wrong.ndim >= 2 and _is_border(wrong):
        return "on the border alone"
    return ""


def _along(hit: Array, axis: int, shape: tuple[int, ...]) -> Array:
    view = [1] * len(shape)
    view[axis] = -1
    return np.broadcast_to(hit.reshape(view), shape)


def _is_border(wrong: Array) -> bool:
    """Whether what is wrong is exactly the border of the last two axes."""
    inside = np.ones(wrong.shape[-2:], bool)
    inside[1:-1, 1:-1] = False
    return bool(inside.sum() < inside.size) and np.array_equal(
        wrong, np.broadcast_to(inside, wrong.shape)
    )


def _bits(g: Array, c: Array) -> int | None:
    """To how many bits every entry is right, where it is to at least four and at most 30."""
    sizes = np.abs(c)
    known = sizes > 0
    if not known.any() or (g[~known] != 0).any():
        return None
    worst = float(np.max(np.abs(g - c)[known] / sizes[known]))
    bits = int(np.floor(-np.log2(worst))) if worst > 0 else 53
    return bits if 4 <= bits <= 30 else None
