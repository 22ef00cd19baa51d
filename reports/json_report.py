"""report.json, the summary, and comparison.json, what changed since an older run: for programs.

Infinities are strings, as in the events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from .comparing import Comparison, compare
from .events import AnyEvent, plain
from .summary import Summary, summarise


def dumps(events: Iterable[AnyEvent]) -> bytes:
    """The report as indented JSON; the same events give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(plain(summarise(events))), indent=2) + b"\n"


def dumps_comparison(old: Iterable[AnyEvent], new: Iterable[AnyEvent]) -> bytes:
    """What changed from one run to another as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(plain(compare(old, new))), indent=2) + b"\n"


def loads(text: str | bytes) -> Summary:
    """Read a report; msgspec.DecodeError where it is none."""
    return msgspec.json.decode(text, type=Summary, strict=False)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of report.json; docs/report.schema.json is the same."""
    return _schema("A report of Backproof", Summary)


def schema_of_comparison() -> dict[str, Any]:
    """The JSON Schema of comparison.json; docs/comparison.schema.json is the same."""
    return _schema("What changed between two runs of Backproof", Comparison)


def _schema(title: str, kind: Any) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_or_infinite(msgspec.json.schema(kind)),
    }


def _or_infinite(schema: Any) -> Any:
    """Wherever a number may stand, so may the string of one that JSON lacks."""
    if isinstance(schema, list):
        return [_or_infinite(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "number":
        return {"anyOf": [schema, {"enum": ["inf", "-inf", "nan"]}]}
    return {key: _or_infinite(value) for key, value in schema.items()}
