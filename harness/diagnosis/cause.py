"""A cause as data, and causes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from backproof.checkers.outcome import FAN_OUT

MOST_NAMED = 3

EVERY = "every "
"""Before an operator's name, in place of a site: all the sites at which it stands."""

Kind = Literal["fault", "shape", "precision", "unknown"]


class Cause(msgspec.Struct, frozen=True):
    """One explanation of a wrong gradient.

    `name` is the fault's, at `site` (or `every OPERATOR`) and in `operator`, or the shape's;
    `words` completes "equals the reference with ..." for a fault, and is a sentence of its own for
    a shape.
    """

    kind: Kind
    name: str
    words: str
    site: str = ""
    operator: str = ""

    def __str__(self) -> str:
        if self.kind != "fault":
            return self.words
        if self.site == FAN_OUT or self.site.startswith(EVERY):
            place = self.site
        else:
            place = f"{self.operator} at {self.site}"
        return f"equals the reference with {self.words}, in {place}"


def in_words(causes: Sequence[Cause]) -> str:
    """Up to three causes in one sentence; "" for none."""
    named = [str(cause) for cause in causes[:MOST_NAMED]]
    more = f" (and {len(causes) - MOST_NAMED} more)" if len(causes) > MOST_NAMED else ""
    return "; or it ".join(named) + more
