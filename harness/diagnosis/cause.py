"""A cause as data, and causes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from backproof.checkers.outcome import FAN_OUT

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


def in_words(causes: Sequence[Cause]) -> str:
    """Up to three causes in one sentence; "" for none."""
    named = [str(cause) for cause in causes[:MOST_NAMED]]
    more = f" (and {len(causes) - MOST_NAMED} more)" if len(causes) > MOST_NAMED else ""
    return "; or it ".join(named) + more
