"""Comparing two sources of gradients, tensor by tensor, within their bounds.

Two vectors of entries are compared in the 2-norm and entry by entry; entries with
directional derivatives after projection on the directions.  The allowance is

    factor * rms deviation of the Monte Carlo rounding model  +  floor  +  the sources' bounds

where the factor is Student's t for the share of false alarms allowed to one comparison, and
the floor is what an underflow on the way may be worth at the end.
Nothing here is an absolute or relative tolerance that somebody chose.

The *resolution* of a comparison is its allowance relative to the gradient's norm: the
smallest relative error that it would have caught.  Where the gradient is zero, or lost in
the allowance, it is taken relative to the terms that the gradient is summed from, which
the rounding model knows: its deviation divided by the unit roundoff.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from ..reference.arrays import Array
from .estimate import Estimate
from .noise import UNIT
from .rounding import Rounding, norm

CONCLUSIVE = 0.01
"""The coarsest resolution that counts as evidence: a comparison blind to 1% proves little."""

ALPHA = 1e-7
"""The share of false alarms allowed to one case, split evenly over its comparisons."""

Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "UNSUPPORTED", "ERROR", "TIMEOUT"]


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tensor of the subject against one checker.

    `error` and `bound` are 2-norms (for a directional derivative, absolute values), or of
    the worst entry where an entry decided.  `ratio` is the greatest error over its bound.
    """

    checker: str
    tensor: str
    status: Status
    error: float = 0.0
    bound: float = 0.0
    ratio: float = 0.0
    resolution: float | None = None
    reason: str = ""


def compare(
    subject: Estimate, checker: Estimate, tensor: str, rounding: Rounding, alpha: float
) -> Comparison:
    """Hold `subject`'s gradient of one tensor against `checker`'s.

    `alpha` is the share of false alarms allowed.  Either may have entries or directional
    derivatives; where both have directions these must be the same.
    """
    g, c, allowed, directions = _on_common_ground(subject, checker, tensor, rounding, alpha)
    whole = directions is None
    bound = (
        _norm_bound(subject, checker, tensor, rounding, alpha) if whole else float(np.max(allowed))
    )
    if not np.isfinite(c).all():
        word = "neither is finite" if not np.isfinite(g).all() else "the checker is not finite"
        return Comparison(checker.checker, tensor, "INCONCLUSIVE", reason=word)
    if not np.isfinite(g).all():
        where = _entry(~np.isfinite(g))
        reason = f"entry {where} is not finite; the checker finds {float(c[where]):.6g}"
        return Comparison(checker.checker, tensor, "FAIL", np.inf, bound, np.inf, reason=reason)
    if not np.isfinite(bound):
        reason = "no finite error bound"
        return Comparison(checker.checker, tensor, "INCONCLUSIVE", reason=reason)

    error = norm(g - c) if whole else float(np.max(np.abs(g - c)))
    size = norm(c) if whole else _size(subject, checker, tensor)
    ratio = float(ratio_of(np.asarray(error), np.asarray(bound)))
    ratios = ratio_of(np.abs(g - c), allowed)
    reason = ""
    if ratios.size and ratios.max() > max(ratio, 1.0):
        where = _entry(ratios == ratios.max())
        error, bound = float(np.abs(g - c)[where]), float(np.broadcast_to(allowed, g.shape)[where])
        if whole:
            reason = (
                f"entry {where}: {float(g[where]):.17g}, {checker.checker} {float(c[where]):.17g}"
            )
    ratio = max(ratio, float(ratios.max(initial=0.0)))
    terms = rounding.norm(tensor) / UNIT[rounding.dtype]
    scale = size if size > bound else terms
    resolution = bound / scale if scale > 0 else None
    if not ratio <= 1:
        return Comparison(checker.checker, tensor, "FAIL", error, bound, ratio, resolution, reason)
    blind = error > 0 if resolution is None else resolution > CONCLUSIVE
    if blind:
        reason = "the error bound is too large to prove anything"
        status: Status = "INCONCLUSIVE"
    else:
        status = "PASS"
    return Comparison(checker.checker, tensor, status, error, bound, ratio, resolution, reason)


def same_bits(subject: Estimate, checker: Estimate, tensor: str) -> Comparison:
    """On the exact lane: every entry equal, no allowance at all."""
    g, c = subject.entries[tensor], checker.entries[tensor]
    g = np.asarray(g, dtype=np.float64)
    if np.array_equal(g, c):
        return Comparison(checker.checker, tensor, "PASS", resolution=0.0)
    where = _entry(g != c)
    error = norm(g - c)
    reason = f"entry {where}: {float(g[where]):.17g}, {checker.checker} {float(c[where]):.17g}"
    return Comparison(checker.checker, tensor, "FAIL", error, 0.0, np.inf, 0.0, reason)


def _on_common_ground(
    a: Estimate, b: Estimate, tensor: str, rounding: Rounding, alpha: float
) -> tuple[Array, Array, Array, Array | None]:
    """(a's values, b's values, the allowance of each, the directions if any)."""
    own = np.asarray(a.bounds.get(tensor, 0.0)) + np.asarray(b.bounds.get(tensor, 0.0))
    if tensor in a.entries and tensor in b.entries:
        g = np.asarray(a.entries[tensor], dtype=np.float64)
        c = np.asarray(b.entries[tensor], dtype=np.float64)
        return g, c, allowed_in_entries(rounding, tensor, alpha) + own, None
    directions = (a if tensor in a.directional else b).directional[tensor][0]
    g, c = (
        e.directional[tensor][1]
        if tensor in e.directional
        else _project(np.asarray(e.entries[tensor], dtype=np.float64), directions)
        for e in (a, b)
    )
    share = alpha / len(directions)
    floor = rounding.floor * np.sqrt(directions[0].size)
    allowed = rounding.factor(share) * rounding.along(tensor, directions) + floor + own
    return g, c, allowed, directions


def _project(g: Array, directions: Array) -> Array:
    with np.errstate(all="ignore"):
        return directions.reshape(len(directions), -1) @ g.reshape(-1)


def _norm_bound(a: Estimate, b: Estimate, tensor: str, rounding: Rounding, alpha: float) -> float:
    shape = b.entries[tensor].shape
    own = sum(norm(np.broadcast_to(np.asarray(e.bounds.get(tensor, 0.0)), shape)) for e in (a, b))
    return allowed_in_norm(rounding, tensor, alpha) + own


def allowed_in_entries(rounding: Rounding, tensor: str, alpha: float) -> Array:
    """How far rounding may move each entry of a gradient; `alpha` is shared by its entries."""
    rms = rounding.entries(tensor)
    return np.asarray(rounding.factor(alpha / max(rms.size, 1)) * rms + rounding.floor)


def allowed_in_norm(rounding: Rounding, tensor: str, alpha: float) -> float:
    """How far it may move the whole of it, in the 2-norm."""
    floor = rounding.floor * float(np.sqrt(rounding.deviations[tensor][0].size))
    return rounding.factor(alpha) * rounding.norm(tensor) + floor


def _size(a: Estimate, b: Estimate, tensor: str) -> float:
    """The 2-norm of a gradient; from one direction, the norm that it suggests."""
    for e in (b, a):
        if tensor in e.entries:
            return norm(np.asarray(e.entries[tensor], dtype=np.float64))
    return float(np.max(np.abs(b.directional[tensor][1])))


def ratio_of(error: Array, bound: Array) -> Array:
    """Errors over their bounds: 0 for no error at all, infinite where none was allowed."""
    with np.errstate(all="ignore"):
        return np.where(error > 0, error / bound, 0.0)


def _entry(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])
