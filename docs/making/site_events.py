"""The reference of what a run writes, made from the types that write it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from backproof.architectures import losses, operators
from backproof.reports import events as stream
from backproof.reports import json_report

Schema = Mapping[str, Any]


def _of_networks() -> frozenset[str]:
    """The types of operators, losses and penalties, which `backproof schema` describes."""
    found = {
        name
        for module in (operators, losses)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    return frozenset(found | {"Architecture"})


def events() -> str:
    """Every event of `events.ndjson`, and the types that occur in them."""
    (_,), defs = msgspec.json.schema_components((stream.AnyEvent,), ref_template="{name}")
    return _page(defs)


def report() -> str:
    """Every type of `report.json` that `events` does not have."""
    known = msgspec.json.schema_components((stream.AnyEvent,), ref_template="{name}")[1]
    schema = json_report.schema()
    return _page({n: d for n, d in schema["$defs"].items() if n not in known})


def _page(defs: Mapping[str, Schema]) -> str:
    inside = _of_networks()
    shown = {n: d for n, d in defs.items() if n not in inside and "properties" in d}
    return "\n".join(line for n, d in shown.items() for line in _section(n, d))


def _section(name: str, schema: Schema) -> Iterator[str]:
    tag = schema["properties"].get("event", {}).get("enum", [""])[0]
    yield f"### {tag or name}\n"
    if words := schema.get("description"):
        yield f"{re.sub(r'[ ]{2,}', ' ', words)}\n"
    needed = schema.get("required", [])
    for field, kind in schema["properties"].items():
        if field == "event":
            continue
        default = "" if field in needed else _default(kind)
        yield f"* `{field}`: {_typed(kind)}{default}"
    yield ""


def _default(kind: Schema) -> str:
    value = kind.get("default")
    if value in ("", [], {}, None):
        return "; may be left out"
    return f"; `{value}` where it is left out"


def _typed(kind: Schema) -> str:
    """A type in words, with a link where it has a section of its own."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        if name in _of_networks():
            return "a network, as in an architecture file"
        return f"[{name}](#{name.lower()})"
    if "anyOf" in kind:
        return " or ".join(dict.fromkeys(_typed(k) for k in kind["anyOf"]))
    if "enum" in kind:
        return "one of " + ", ".join(f"`{v}`" for v in kind["enum"])
    words: dict[str, str] = {
        "integer": "whole number", "number": "number", "boolean": "true or false",
        "string": "text", "null": "null",
    }  # fmt: skip
    match kind.get("type"):
        case "array":
            of = kind.get("items")
            return f"list of {_typed(of)}" if of else "list"
        case "object":
            of = kind.get("additionalProperties")
            return f"object of {_typed(of)}" if isinstance(of, dict) and of else "object"
        case None:
            return "anything"
        case known:
            return words[known]
