"""A named claim about a backward pass, and what was found of it."""

from __future__ import annotations

import msgspec

from .comparison import Status


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One named claim about a backward pass, and what was found of it.

    `why` says what goes wrong for a user where the claim does not hold.  `ratio` is the
    greatest error over its bound; `resolution` the smallest relative error that would have
    been caught.  `expected` is the reason for which a failure was declared beforehand.
    """

    name: str
    status: Status
    why: str = ""
    detail: str = ""
    ratio: float = 0.0
    resolution: float | None = None
    expected: str = ""
