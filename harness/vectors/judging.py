"""Results held against what is expected: arithmetic on arrays, and nothing else.

A gradient is right where, as everywhere in Backproof (`checkers/comparison.py`), each entry is
within its bound and the whole within the bound of its 2-norm: the one sees a single wrong
entry, the other a small error in all of them.  At a tie the entries that depend on the
convention are judged together: they must be in the convex hull of their alternatives
(`checkers/hulls.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backproof.checkers.comparison import Comparison, ratio_of
from backproof.checkers.rounding import norm
from backproof.checkers.ties import distance_to_hull
from backproof.reference.arrays import Array, Arrays

ALTERNATIVES = "alternatives"
"""What the comparison with the hull is called, beside those of the tensors."""

CHECKER = "vector"


@dataclass(frozen=True)
class Expected:
    """What is right: of the loss and of each gradient the value and the bounds, float64.

    `bounds` has the shape of `values`; `norm_bounds` bounds the 2-norm of the difference.
    `depends` masks the entries that depend on the convention at ties, in the tensors that have
    any; each row of `alternatives` holds those entries, tensor by tensor in that order, on one
    combination of pieces, and `tolerance` bounds their distance to the hull of the rows.
    """

    values: Arrays
    bounds: Arrays
    norm_bounds: Mapping[str, float]
    depends: Arrays = field(default_factory=dict)
    alternatives: Array = field(default_factory=lambda: np.zeros((0, 0)))
    tolerance: float = 0.0

    def without(self, name: str) -> Expected:
        """The same with one tensor less to ask for."""

        def rest(found: Mapping[str, Any]) -> dict[str, Any]:
            return {n: value for n, value in found.items() if n != name}

        columns = np.repeat(list(self.depends), [int(m.sum()) for m in self.depends.values()])
        return Expected(
            rest(self.values),
            rest(self.bounds),
            rest(self.norm_bounds),
            rest(self.depends),
            self.alternatives[:, columns != name],
            self.tolerance,
        )


def judge(expected: Expected, given: Mapping[str, Array], dtype: str) -> tuple[Comparison, ...]:
    """The loss and every gradient of some results, each with its worst ratio.

    A missing gradient, a wrong shape or dtype and what is not finite are FAILs.
    """
    found = [_judge_tensor(expected, n, given.get(n), dtype) for n in expected.values]
    if expected.depends and all(np.isfinite(c.ratio) for c in found):
        found.append(_judge_ties(expected, given))
    return tuple(found)


def worst(comparisons: tuple[Comparison, ...]) -> Comparison:
    """The one with the greatest ratio, of several the first."""
    return max(comparisons, key=lambda c: c.ratio)


def _judge_tensor(expected: Expected, name: str, g: Array | None, dtype: str) -> Comparison:
    c = expected.values[name]
    if g is None:
        return _broken(name, "is missing")
    if g.shape != c.shape:
        return _broken(name, f"has shape {g.shape}, must be {c.shape}")
    if str(g.dtype) != dtype:
        return _broken(name, f"has dtype {g.dtype}, must be {dtype}")
    wide = g.astype(np.float64)
    if not np.isfinite(wide).all():
        return _broken(name, f"is not finite{_at(~np.isfinite(wide))}")
    error = np.asarray(np.abs(wide - c))
    error[expected.depends.get(name, np.zeros(c.shape, bool))] = 0.0
    ratios = ratio_of(error, expected.bounds[name])
    whole, bound = norm(error), expected.norm_bounds[name]
    ratio = float(ratio_of(np.asarray(whole), np.asarray(bound)))
    entry = float(ratios.max(initial=0.0))
    if max(ratio, entry) <= 1:
        return Comparison(CHECKER, name, "PASS", whole, bound, max(ratio, entry))
    if ratio > entry:
        reason = f"is off by {whole:.3g} in the 2-norm, allowed {bound:.3g}"
        return Comparison(CHECKER, name, "FAIL", whole, bound, ratio, reason=reason)
    mask = ratios == entry
    here = np.unravel_index(int(np.argmax(mask)), mask.shape)
    off, allowed = float(error[here]), float(expected.bounds[name][here])
    reason = f"is {float(wide[here]):.17g}{_at(mask)}, must be {float(c[here]):.17g}"
    return Comparison(
        CHECKER, name, "FAIL", off, allowed, entry, reason=f"{reason} within {allowed:.3g}"
    )


def _judge_ties(expected: Expected, given: Mapping[str, Array]) -> Comparison:
    """The entries that depend on the convention, all together."""
    g = np.concatenate([given[n][mask].astype(np.float64) for n, mask in expected.depends.items()])
    distance, allowed = distance_to_hull(expected.alternatives, g), expected.tolerance
    ratio = float(ratio_of(np.asarray(distance), np.asarray(allowed)))
    if ratio <= 1:
        return Comparison(CHECKER, ALTERNATIVES, "PASS", distance, allowed, ratio)
    names = " and ".join(expected.depends)
    reason = (
        f"at the tie do not hold the gradient of {names}: it is {distance:.3g} outside their "
        f"convex hull, allowed {allowed:.3g}"
    )
    return Comparison(CHECKER, ALTERNATIVES, "FAIL", distance, allowed, ratio, reason=reason)


def _broken(name: str, reason: str) -> Comparison:
    return Comparison(CHECKER, name, "FAIL", np.inf, 0.0, np.inf, reason=reason)


def _at(mask: Array) -> str:
    """` at entry (0, 1)`, the first of a mask; nothing for a scalar."""
    where = tuple(int(i) for i in np.argwhere(mask)[0])
    return f" at entry {where}" if where else ""
