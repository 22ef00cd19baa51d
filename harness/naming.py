"""An operator, a loss or a penalty as a call, and where its page is."""

from __future__ import annotations

from typing import Any

import msgspec

HIDDEN = ("inputs", "share")
"""Attributes that every operator has: its place in the graph."""


def call(part: Any) -> str:
    """`name(attribute=value, ...)`, what is a default left out; `name` where nothing is left."""
    fields = msgspec.structs.asdict(part)
    plain = {f.name: f.default for f in msgspec.structs.fields(part)}
    words = [f"{n}={v!r}" for n, v in fields.items() if n not in HIDDEN and v != plain[n]]
    name = part.__struct_config__.tag
    return f"{name}({', '.join(words)})" if words else str(name)


def path_of(module: str) -> str:
    """A module's file in the repository: `reference/layers/dense.py`."""
    return f"{module.removeprefix('backproof.').replace('.', '/')}.py"
