"""Where no fault of the catalogue fits: what is the wrong gradient of the right one?

    g = 0, g = k c          it is missing; a factor, or the sign, is wrong
    g = c'                  it is transposed (where it is square)
    g = P c                 what lies along an axis is in another order
    g = c + k theta         a multiple of the parameter itself is added: weight decay
    g = c + k               one number is added to every entry
    g = c but for some      a row, a border, every k-th entry, what a mask hides: and what
                            stands there (zero, the negative, a multiple)
    g = c (1 + 2^-b)        it is right to b bits (`precision.py`)

A shape is fitted on the case that failed and then held against further values of the network:
a factor that is another one there is no factor, and a pattern that moves is none.  What was
fitted is known within the rounding of the case that it was fitted on, and used within that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import scipy.optimize

from backproof.checkers.rounding import norm
from backproof.diagnosis.cause import Cause, Kind
from backproof.diagnosis.evidence import Evidence, Further
from backproof.diagnosis.patterns import Masks, by_class, by_mask, by_value, where
from backproof.diagnosis.precision import Asks, right_to
from backproof.reference.arrays import Array

HELD_AGAINST = 2
"""Further draws that a shape must fit."""

DENOMINATOR = 64
"""The largest of a fraction that a factor may be said as: sizes of these networks."""

MOST_MATCHED = 64
"""Slices along an axis that are matched in another order."""


@dataclass(frozen=True)
class Held:
    """One tensor's gradient as it was given, beside the right one.

    `allowed` is what rounding may do to each entry of c, `value` what the tensor itself holds,
    `parameter` whether it is one, `masks` further phrases for entries.
    """

    g: Array
    c: Array
    allowed: Array
    value: Array | None = None
    parameter: bool = False
    masks: Masks = field(default_factory=dict)

    @property
    def wrong(self) -> Array:
        """The entries that rounding does not explain; what is not finite where c is, too."""
        with np.errstate(invalid="ignore"):
            return np.asarray(~(np.abs(self.g - self.c) <= self.allowed))

    @property
    def blank(self) -> Array:
        """The entries that are zero in both."""
        return (np.abs(self.c) <= self.allowed) & (np.abs(self.g) <= self.allowed)

    def fits(self, h: Array, times: float = 1.0, off: Array | float = 0.0) -> bool:
        """Whether g is h, which is `times` what was rounded, itself known within `off`."""
        return bool((np.abs(self.g - h) <= (1 + abs(times)) * self.allowed + off).all())


Holds = Callable[[Held], bool]


@dataclass(frozen=True)
class Shape:
    """A phrase that completes "the gradient of TENSOR is ..."; `holds` tries it elsewhere."""

    name: str
    words: str
    holds: Holds


def shape_of(first: Evidence, further: Further, tensor: str, ask: Asks) -> Cause | None:
    """What the given gradient of a tensor is of the right one, where that is one phrase."""
    here = held(first, tensor)
    if here is None:
        return None
    title = "the loss" if tensor == "loss" else f"the gradient of {tensor}"
    if here.g.shape != here.c.shape:
        words = of_another_shape(here)
        return Cause("shape", "shape", f"{title} is {words}") if words else None
    if not np.isfinite(here.c).all() or not here.wrong.any():
        return None
    for shape in shapes(here):
        if _holds_elsewhere(shape, further, tensor):
            return Cause("shape", shape.name, f"{title} is {shape.words}")
    words = right_to(first, tensor, ask)
    kind: Kind = "precision"
    return Cause(kind, kind, f"{title} is {words}") if words else None


def _holds_elsewhere(shape: Shape, further: Further, tensor: str) -> bool:
    tried = 0
    for there in further:
        found = held(there, tensor)
        if found is None or found.g.shape != found.c.shape or not np.isfinite(found.c).all():
            continue
        if shape.name == "entries" and not found.wrong.any():
            continue  # it shows for few values
        if not shape.holds(found):
            return False
        tried += 1
        if tried == HELD_AGAINST:
            break
    return True


def held(there: Evidence, tensor: str) -> Held | None:
    """A tensor of a case as it is held against the right one; None where it was not given."""
    g = there.given.get(tensor)
    if g is None:
        return None
    a, c = there.case.architecture, np.asarray(there.right[tensor], np.float64)
    slot = a.named_slots.get(tensor)
    source = tensor if slot is None else slot.source
    parameter = source in a.parameters
    value = there.case.parameters[source] if parameter else there.trace.edges.get(source)
    masks: dict[str, Array] = {}
    if value is not None and value.shape == c.shape:
        masks |= by_value(value)
    for name, data in there.case.data.items():
        if data.dtype == bool and data.ndim <= c.ndim:
            masks |= by_mask(name, data, c.shape)
    for site, target in there.case.targets.items():
        if target.dtype.kind == "i" and c.ndim:
            masks |= by_class(target, c.shape, getattr(a.losses[site], "ignore_index", None))
    allowed = np.broadcast_to(there.allowed[tensor], c.shape)
    return Held(g, c, allowed, value, parameter, masks)


def of_another_shape(here: Held) -> str:
    """A gradient of another shape, where it is the right one before a sum, or turned."""
    g, c = here.g, here.c
    if g.ndim == c.ndim + 1:
        for axis in range(g.ndim):
            total = g.sum(axis)
            if total.shape == c.shape and replace(here, g=total).fits(c, g.shape[axis]):
                return f"not summed over axis {axis}, of {g.shape[axis]}"
    turned = replace(here, g=np.swapaxes(g, -1, -2)) if g.ndim >= 2 else here
    if turned.g.shape == c.shape and turned.fits(c):
        return "the transpose of the right one"
    return f"of shape {g.shape}, and must be of {c.shape}"


# --- the shapes, from the simplest -------------------------------------------------------


def shapes(here: Held) -> Iterator[Shape]:
    """Every shape that fits a gradient which is wrong."""
    if not np.isfinite(here.g).all():
        yield from _not_finite(here)
        return
    if not here.g.any():
        yield Shape("zero", "zero throughout", lambda there: not there.g.any())
    yield from _factor(here)
    yield from _transposed(here)
    for axis in range(here.c.ndim):
        yield from _permuted(here, axis)
    yield from _decay(here)
    yield from _offset(here)
    yield from _entries(here)


def _not_finite(here: Held) -> Iterator[Shape]:
    bad = ~np.isfinite(here.g)
    place = where(bad, None, here.masks)
    if bad.all():
        yield Shape("not_finite", "not finite anywhere", lambda there: True)
    elif place:
        words = f"not finite {place}"
        yield Shape("not_finite", words, lambda there: _moves_not(there, place))
    else:
        yield Shape("not_finite", f"not finite in {bad.sum()} entries", lambda there: True)


def _moves_not(there: Held, place: str) -> bool:
    bad = ~np.isfinite(there.g)
    return not bad.any() or where(bad, None, there.masks) == place


@dataclass(frozen=True)
class Fitted:
    """A number that was fitted, and how far rounding may have moved it."""

    k: float
    off: float

    def __str__(self) -> str:
        """As a fraction where it is one, 1 + a difference where it is close to 1, else decimals.

        No more digits than are known.
        """
        k, off = self.k, self.off
        near = Fraction(k).limit_denominator(DENOMINATOR)
        if abs(k - near) <= off and off < 1 / DENOMINATOR**3:
            whole = near.denominator == 1
            return str(near) if whole else f"{near} ({float(near):.4g})"
        if off < abs(k - 1) < 1e-3:
            return f"1 {'-' if k < 1 else '+'} {_digits(abs(k - 1), off)}"
        return _digits(k, off)


def _digits(k: float, off: float) -> str:
    known = int(np.floor(np.log10(abs(k) / off))) if off > 0 and k else 6
    return f"{k:.{min(max(known, 1), 6)}g}"


def multiple(g: Array, c: Array, allowed: Array) -> Fitted | None:
    """The k of least squares in g = k c; None where c is zero, or lost in rounding.

    k = <g, c> / <c, c>.  Rounding moves g by at most `allowed` and c by as much, hence k by
    no more than (1 + |k|) |allowed| / |c|.
    """
    size, rounded = norm(c), norm(allowed)
    if not size > 2 * rounded:
        return None
    k = float(np.sum((g / size) * (c / size)))
    return Fitted(k, (1 + abs(k)) * rounded / size)


def _factor(here: Held) -> Iterator[Shape]:
    found = multiple(here.g, here.c, here.allowed)
    if found is None:
        return
    k, off = found.k, found.off

    def holds(there: Held) -> bool:
        return there.fits(k * there.c, k, off * np.abs(there.c))

    if not here.fits(k * here.c, k):
        return
    if abs(k) > off and abs(k - 1) > off:  # else it is zero, or right, as far as rounding can tell
        yield Shape("sign" if abs(k + 1) <= off else "factor", _said(found), holds)


def _transposed(here: Held) -> Iterator[Shape]:
    def holds(there: Held) -> bool:
        turned = replace(there, allowed=there.allowed + np.swapaxes(there.allowed, -1, -2))
        return turned.fits(np.swapaxes(there.c, -1, -2), 0.0)

    if here.c.ndim >= 2 and here.c.shape[-1] == here.c.shape[-2] and holds(here):
        yield Shape("transposed", "the transpose of the right one", holds)


def _permuted(here: Held, axis: int) -> Iterator[Shape]:
    """g's slices along an axis are c's in another order, each within its own rounding.

    Where some of c's are equal the order is open; any that fits is as good.
    """
    g, c, allowed = (np.moveaxis(x, axis, 0) for x in (here.g, here.c, here.allowed))
    n = len(c)
    if not 2 <= n <= MOST_MATCHED:
        return
    flat = [x.reshape(n, -1) for x in (g, c, allowed)]
    close = np.array([
        (np.abs(flat[0][i] - flat[1]) <= flat[2][i] + flat[2]).all(axis=1) for i in range(n)
    ])  # fmt: skip
    rows, order = scipy.optimize.linear_sum_assignment(~close)
    if not close[rows, order].all():
        return

    def holds(there: Held) -> bool:
        moved = np.take(there.c, order, axis)
        both = there.allowed + np.take(there.allowed, order, axis)
        return replace(there, allowed=both).fits(moved, 0.0)

    word = _axis_word(axis, here.c.ndim)
    yield Shape("permuted", f"the right one with its {word} in the order {_order(order)}", holds)


def _axis_word(axis: int, ndim: int) -> str:
    if ndim == 1:
        return "entries"
    return ("rows", "columns")[axis] if ndim == 2 else f"slices along axis {axis}"


def _order(order: Array) -> str:
    """`1, 0, 2`, `3, 4, 5, ...`: a permutation, as far as it is worth reading."""
    n = len(order)
    step = int(order[0])
    if n > 2 and np.array_equal(order, (np.arange(n) + step) % n):
        return f"{step}, {(step + 1) % n}, ... (rolled by {step} of {n})"
    if n > 2 and np.array_equal(order, np.arange(n)[::-1]):
        return f"{n - 1}, ..., 0 (reversed)"
    shown = ", ".join(str(int(i)) for i in order[:8])
    return f"{shown}, ..." if n > 8 else shown


def _decay(here: Held) -> Iterator[Shape]:
    """A multiple of the parameter is added, where that is not the gradient's own direction."""
    if not here.parameter or here.value is None or not np.any(here.value):
        return
    theta = np.asarray(here.value, np.float64)
    found = multiple(here.g - here.c, theta, 2 * here.allowed)
    if found is None or abs(found.k) <= found.off:
        return
    k, off = found.k, found.off

    def holds(there: Held) -> bool:
        value = np.asarray(there.value, np.float64)
        return there.fits(there.c + k * value, 1.0, off * np.abs(value))

    if holds(here):
        sign, times = ("plus", found) if k > 0 else ("minus", Fitted(-k, off))
        words = f"the right one {sign} {times} times the parameter itself"
        yield Shape("decay", words, holds)


def _offset(here: Held) -> Iterator[Shape]:
    """One number in every entry, another one for other values."""

    def holds(there: Held) -> bool:
        difference = there.g - there.c
        return there.fits(there.c + difference.mean(), 1.0)

    if here.c.size >= 4 and holds(here):
        yield Shape("offset", "the right one plus the same number in every entry", holds)


def _entries(here: Held) -> Iterator[Shape]:
    """Wrong in some entries alone, which one phrase names; and what stands there."""
    place = where(here.wrong, here.blank, here.masks)
    if not place:
        return

    def holds(there: Held) -> bool:
        return where(there.wrong, there.blank, there.masks) == place or _within(there, place)

    stands = _in(here, here.wrong)
    found = Fitted(0.0, 0.0) if not stands.g.any() else multiple(stands.g, stands.c, stands.allowed)
    if found is not None and stands.c.size > 1 and stands.fits(found.k * stands.c, found.k):
        k, off = found.k, found.off

        def holds_with_k(there: Held) -> bool:
            some = _in(there, there.wrong)
            return holds(there) and some.fits(k * some.c, k, off * np.abs(some.c))

        yield Shape("entries", f"wrong {place}, and {_said(found)} there", holds_with_k)
    yield Shape("entries", f"wrong {place}", holds)


def _in(here: Held, some: Array) -> Held:
    return Held(here.g[some], here.c[some], here.allowed[some])


def _said(found: Fitted) -> str:
    if found.k == 0:
        return "zero"
    return "negated" if abs(found.k + 1) <= found.off else f"{found} times the right one"


def _within(there: Held, place: str) -> bool:
    """Whether a phrase by a value fits: what is wrong may be a simpler set by chance."""
    mask = there.masks.get(place)
    if mask is None:
        return False
    return bool((mask | ~there.wrong).all() and (~mask | there.wrong | there.blank).all())
