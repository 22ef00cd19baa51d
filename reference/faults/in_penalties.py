"""Faults of penalties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import losses as data
from ..arrays import Array
from .fault import Backward, Fault, Plant, penalty


def _penalty(change: Callable[[Backward, Any, Array, Any], Array]) -> Plant:
    """w_bar becomes change(right, penalty, w, branch)."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, w: Array, branch: Any) -> Array:
            return change(right, found, w, branch)

        return planted

    return plant


def _l1_on_the_right(right: Backward, found: Any, w: Array, branch: Any) -> Array:
    other: Array = right(found, w, np.where(w == 0, 1, branch).astype(np.int8))
    return other


def _of_the_other(right: Backward, found: Any, w: Array, branch: Any) -> Array:
    """s w for s sign(w), and the reverse."""
    other: Array = right(found, w, (w > 0).astype(np.int8) if branch is None else None)
    return other


FAULTS: tuple[Fault, ...] = (
    Fault(
        "penalty_negated",
        "the sign of the penalty's gradient reversed",
        6, 2,
        penalty(lambda found: found.strength > 0),
        _penalty(lambda right, found, w, branch: -right(found, w, branch)),
        kind="sign",
        shows="at a penalty of some strength",
        hidden="where every weight is 0, under an L2 penalty: so is its gradient",
    ),
    Fault(
        "penalty_missing",
        "no gradient of the penalty",
        34, 1,
        penalty(lambda found: found.strength > 0),
        _penalty(lambda right, found, w, branch: np.zeros_like(w)),
        kind="missing",
        shows="at a penalty of some strength",
        hidden="where every weight is 0, under an L2 penalty: so is its gradient",
    ),
    Fault(
        "decay_at_strength_zero",
        "a default strength of 0.01 in place of a strength of zero",
        34, 1,
        penalty(lambda found: found.strength == 0),
        _penalty(
            lambda right, found, w, branch: right(replace(found, strength=0.01), w, branch)
        ),
        kind="extra",
        shows="at a penalty of strength 0",
        hidden="where every weight is 0, under an L2 penalty: so is its gradient",
    ),
    Fault(
        "penalty_doubled",
        "the 1/2 of the L2 penalty forgotten in its gradient",
        4, 1,
        penalty(lambda found: isinstance(found, data.L2) and found.strength > 0),
        _penalty(lambda right, found, w, branch: 2 * right(found, w, branch)),
        kind="factor",
        shows="at an L2 penalty of some strength",
        hidden="where every weight is 0: so is the penalty's gradient",
    ),
    Fault(
        "penalty_taken_for_the_other",
        "an L1 penalty differentiated as L2, or the reverse",
        None, 1,
        penalty(lambda found: found.strength > 0),
        _penalty(_of_the_other),
        kind="argument",
        shows="at a penalty of some strength",
        hidden="where every weight is 1 or -1",
        like="one of two similar formulas taken for the other",
    ),
    Fault(
        "penalty_tie_on_the_right",
        "the slope on the right of |w| taken at w = 0",
        29, 1,
        penalty(lambda found: isinstance(found, data.L1) and found.strength > 0),
        _penalty(_l1_on_the_right),
        convention=True,
        kind="tie",
        shows="at an L1 penalty of some strength",
        hidden="where no weight is exactly 0",
    ),
)  # fmt: skip
