"""What a saved failure carries for its drawings, entry by entry and step by step.

All of it is of the tensor that is blamed, and small: a cell takes 70 characters at most, so that
CELLS and FEW of them and the steps stay below 25 kB.
"""

from __future__ import annotations

import msgspec

CELLS = 256
"""Of a tensor as a matrix; of a larger one each cell stands for a block of entries."""

FEW = 64
"""Of the minimal network's tensor."""

SIDE = 32
"""Of them side by side, or one below the other: what a phone can show."""


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of `shape` as a matrix, its last axis across, in cells from left to right.

    A cell stands for a block of `block` entries, down and across, and holds the one whose error
    is the largest for its bound: what the subject gave there, the value accepted, `error` and
    `bound` of the checker that says so.
    """

    tensor: str
    shape: tuple[int, ...]
    columns: int
    block: tuple[int, int]
    given: tuple[float, ...]
    accepted: tuple[float, ...]
    error: tuple[float, ...]
    bound: tuple[float, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The slope along one entry by plain central differences, step by step.

    `errors` are against complex step, which needs no subtraction, at `steps`, which fall.  The
    checker tries those from `largest` on, six halvings down, and extrapolates; its `chosen`
    value uses none below that step, and errs by `error` within `bound`.  `subject` is how far
    the subject is off.  `found` says that it is not of the minimal network, in whose small numbers
    nothing may be rounded, but of the one that was found.
    """

    found: bool = False
    tensor: str
    entry: tuple[int, ...]
    steps: tuple[float, ...]
    errors: tuple[float, ...]
    largest: float
    chosen: float
    error: float
    bound: float
    subject: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Each where there is something to say: `found` is of the network as it was found, `minimal`
    of the smallest one; `steps` is about the worst entry of either."""

    found: Cells | None = None
    minimal: Cells | None = None
    steps: Steps | None = None
