"""Architectures as JSON, read from anybody.

Whatever is wrong with a text or a file ends in one `ArchitectureError` that names the field.
"""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from .architecture import KINDS, Architecture

MAX_FILE_BYTES = 4_000_000
"""Far above any network that a person writes down; a guard against the wrong file."""

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ArchitectureError(ValueError):
    """An architecture that makes no sense, or a file that does not hold one."""


def dumps(architecture: Architecture) -> str:
    """The architecture as indented JSON; `loads` reads it back, equal."""
    return msgspec.json.format(msgspec.json.encode(architecture), indent=2).decode()


def loads(text: str | bytes, source: str = "architecture") -> Architecture:
    """Read an architecture from JSON.  `source` names it in an ArchitectureError."""
    if len(text) > MAX_FILE_BYTES:
        raise ArchitectureError(
            f"{source}: {len(text):,} bytes is too large for an architecture "
            f"(at most {MAX_FILE_BYTES:,})"
        )
    architecture: Architecture = decode(text, Architecture, source)
    try:
        json.loads(text, object_pairs_hook=_unique)
    except ArchitectureError as error:
        raise ArchitectureError(f"{source}: {error}") from None
    return architecture


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a key that stands twice in one object: which of the two was meant?"""
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ArchitectureError(f"the field `{key}` stands twice in one object")


def decode(text: str | bytes, kind: Any, source: str) -> Any:
    """Decode JSON into `kind`, turning every way to fail into one ArchitectureError."""
    if not text.strip():
        raise ArchitectureError(f"{source} is empty")
    if isinstance(text, bytes) and text.startswith(BYTE_ORDER_MARKS):
        raise ArchitectureError(
            f"{source} begins with a byte order mark; it must be UTF-8 without one"
        )
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise ArchitectureError(f"{source}: {error}{_choices(str(error))}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ArchitectureError(f"{source} is not JSON: {error}") from None
    except RecursionError:
        raise ArchitectureError(f"{source} is nested too deeply") from None


def _choices(message: str) -> str:
    """What would be right, where a name in JSON is none of ours."""
    unknown = re.fullmatch(r"Invalid value .* - at `\$.*\.(op|loss|penalty)`", message)
    if not unknown:
        return ""
    _, kinds = KINDS[unknown[1]]
    return "; there are " + ", ".join(str(kind.__struct_config__.tag) for kind in kinds)


def read(path: str | Path) -> Architecture:
    """Read an architecture file.  ArchitectureError, naming the file, where that fails."""
    return loads(read_bytes(path, MAX_FILE_BYTES), str(path))


def read_bytes(path: str | Path, limit: int) -> bytes:
    """A file's bytes, no more than `limit` of them ever read."""
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ArchitectureError(f"{path}: {reason}") from None
    if len(content) > limit:
        raise ArchitectureError(f"{path} is too large (at most {limit:,} bytes)")
    return content


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an architecture file."""
    return msgspec.json.schema(Architecture)
