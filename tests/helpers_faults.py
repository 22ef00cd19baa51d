"""What every fault, of whatever sort, must say about itself."""

from __future__ import annotations

from typing import Any

from backproof.reference.faults.survey import KINDS

NAMES = {"NaN", "W", "="}
"""What may stand at the beginning of a phrase besides a word in lower case."""


def check_metadata(fault: Any) -> None:
    """Its kind is one of the list, and what it says are phrases, not sentences."""
    assert fault.kind in KINDS
    for phrase in (fault.mimics, fault.shows, *([fault.hidden] if fault.hidden else [])):
        assert 3 <= len(phrase) <= 90
        assert phrase == " ".join(phrase.split())
        assert not phrase.endswith((".", ",", ":"))
        first = phrase.split()[0]
        assert first[0].islower() or first in NAMES, phrase
    assert fault.shows.split()[0] in ("at", "where", "from", "everywhere")
    assert fault.hidden == "" or fault.hidden.split()[0] in ("where", "in", "after")
