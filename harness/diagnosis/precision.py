"""A gradient that is right to so many bits: a coarser precision on its way.

Two findings, the stronger first.

Every number that was given has few significant bits, and is the right one rounded to them: it
was held in a narrower format, or cast to whole numbers.  (By chance an entry of p bits has no
more than b with probability 2^(b - p).)

Or the errors are as large as rounding with a larger unit would make them: |g - c| / |c|.  So
would be those of a slightly wrong formula; but a formula errs alike for values close by, and
rounding does not.  So the subject is asked again on values off by a few of these
units: errors that are uncorrelated with the first are rounding, others are not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backproof.checkers.noise import UNIT
from backproof.checkers.rounding import norm
from backproof.diagnosis.evidence import Evidence
from backproof.reference.arrays import Array

BITS = {"float64": 53, "float32": 24}
"""Significant bits of the dtypes."""

CHANCE = 24
"""Bits by which numbers must be fewer, all in all: by chance once in 2^24."""

FORMATS = {24: "float32", 11: "float16", 8: "bfloat16", 4: "float8 (e4m3)", 3: "float8 (e5m2)"}
"""Formats by their significant bits; TF32 has float16's."""

FEWEST = 4
"""Bits below which no format holds numbers: the error is a sixteenth."""

TELLING = 3
"""Entries that must show a cast to whole numbers."""

COARSEST = 7
"""Bits to which bfloat16 computes; below, values that are a few units off are not close by."""

ASKED = 4
"""Times that the subject is asked on values close by."""

MOVED = 4.0
"""By how many units those values are off: enough for roundings to be others."""

ENOUGH = 24
"""Errors, over all asks, of which a correlation is taken: by chance it is 0.2 at most, mostly."""

ALIKE = 16.0
"""Mean squares of such errors that still are one size: to two bits.  Few roundings decide them."""

Asks = Callable[[float, int], Evidence | None]
"""Evidence on the case with every value off by a relative size, at random by a number."""


def right_to(first: Evidence, tensor: str, ask: Asks) -> str:
    """How precise a gradient is, in words that follow "is"; "" where precision is not what fails.

    `first` is evidence on a case where the gradient of `tensor` is wrong, finite and of the
    right shape.
    """
    g, c = first.given[tensor], np.asarray(first.right[tensor])
    if g is None or not np.isfinite(g).all():
        return ""
    allowed = np.broadcast_to(first.allowed[tensor], c.shape)
    return _held_in(g, c, allowed, BITS[first.noise.dtype]) or _computed_in(first, tensor, ask)


def significant_bits(x: Array) -> int:
    """The fewest bits that hold every entry of x exactly."""
    mantissas, _ = np.frexp(x[x != 0])
    return next(b for b in range(54) if (np.ldexp(mantissas, b) % 1 == 0).all())


def _held_in(g: Array, c: Array, allowed: Array, precision: int) -> str:
    """The narrower format that every entry was held in."""
    some = int(np.count_nonzero(g))
    if _is_cast(g, c, allowed):
        return "the right one cast to whole numbers"
    bits = significant_bits(g)
    if not some or bits < FEWEST - 1 or (precision - bits) * some < CHANCE:
        return ""
    if not (np.abs(g - c) <= 2.0**-bits * np.abs(c) + allowed).all():
        return ""
    name = FORMATS.get(bits)
    return f"the right one rounded to {bits} bits" + (f", those of {name}" if name else "")


def _is_cast(g: Array, c: Array, allowed: Array) -> bool:
    """Whether every entry is the right one cut off, or every one rounded, to a whole number.

    Of a few small fractions another mistake may make whole numbers by chance, and zeros say
    nothing: several entries must be wrong, and not zero.
    """
    telling = (g != 0) & (np.abs(g - c) > 2.0**-FEWEST * np.abs(c) + allowed)
    return int(np.count_nonzero(telling)) >= TELLING and any(
        bool(((g == cast(c - allowed)) | (g == cast(c)) | (g == cast(c + allowed))).all())
        for cast in (np.trunc, np.rint, np.floor)
    )


def _computed_in(first: Evidence, tensor: str, ask: Asks) -> str:
    """The bits to which it is right, where the errors are those of rounding."""
    errors = _errors(first, tensor)
    unit = float(np.sqrt(np.mean(errors**2))) if errors.size else 0.0
    if not UNIT[first.noise.dtype] < unit <= 2.0**-COARSEST:
        return ""
    together, sizes = [], []
    for k in range(ASKED):
        there = ask(MOVED * unit, k)
        if there is None or (again := _errors(there, tensor)).size != errors.size:
            return ""
        together.append(np.mean(errors * again))
        sizes.append(np.mean(again**2))
    if ASKED * errors.size < ENOUGH or not all(1 / ALIKE < s / unit**2 < ALIKE for s in sizes):
        return ""
    correlation = np.mean(together) / np.sqrt(unit**2 * np.mean(sizes))
    if abs(correlation) > 0.5:
        return ""
    return f"right to about {round(-np.log2(unit))} bits, computed in a coarser precision"


def _errors(there: Evidence, tensor: str) -> Array:
    """The errors relative to the gradient's rms, flat; none where it was not given, or is zero."""
    g, c = there.given.get(tensor), np.asarray(there.right[tensor])
    if g is None or g.shape != c.shape or not np.isfinite(g).all() or not c.any():
        return np.zeros(0)
    return np.asarray((g - c) / (norm(c) / np.sqrt(c.size))).reshape(-1)
