"""report.json: the summary, for programs.  Infinities are strings, as in the events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from .events import AnyEvent, plain
from .summary import Summary, summarise


def dumps(events: Iterable[AnyEvent]) -> bytes:
    """The report as indented JSON; the same events give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(plain(summarise(events))), indent=2) + b"\n"


def loads(text: str | bytes) -> Summary:
    """Read a report; msgspec.DecodeError where it is none."""
    return msgspec.json.decode(text, type=Summary, strict=False)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of report.json; docs/report.schema.json is the same."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A report of Backproof",
        **_or_infinite(msgspec.json.schema(Summary)),
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
