"""An architecture: a feed-forward network as data, with no values in it.

`loads` reads JSON from anybody.  Whatever is wrong with it ends in one
`ArchitectureError` that names the field.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from .checks import check_number, check_tuple
from .losses import L1, L2, LOSSES, AnyLoss, Penalty, check_loss, target_shape
from .operators import OPERATORS, Dense, Layer, Shape, output_shape, parameter_shapes

MAX_FILE_BYTES = 4_000_000
"""Far above any network that a person writes down; a guard against the wrong file."""

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

MAX_ENTRIES = 50_000_000
"""Parameters and values at every edge together: 400 MB in float64, before any checker."""


KINDS: Mapping[str, tuple[str, tuple[type[Any], ...]]] = {
    "op": ("operators", OPERATORS),
    "loss": ("losses", LOSSES),
    "penalty": ("penalties", (L1, L2)),
}
"""What an architecture is made of, by the field that names it in JSON."""


class ArchitectureError(ValueError):
    """An architecture that makes no sense, or a file that does not hold one."""


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A chain of operators, its loss and its penalties.

    `input` is the shape (batch, features).  Edge 0 is the input, edge i + 1 the output
    of layer i; `edges` holds their shapes.  Raises ValueError where shapes do not fit.
    """

    input: tuple[int, int]
    layers: tuple[Layer, ...]
    loss: AnyLoss
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        _check_input(self.input)
        check_tuple("layers", self.layers, "operators")
        check_tuple("penalties", self.penalties, "penalties")
        for tag, values in (
            ("op", self.layers),
            ("loss", (self.loss,)),
            ("penalty", self.penalties),
        ):
            words, kinds = KINDS[tag]
            for value in values:
                if type(value) not in kinds:
                    raise ValueError(f"expected one of the {words}, got {value!r}")
        edges = self.edges
        check_loss(self.loss, edges[-1], self.layers[-1] if self.layers else None)
        entries = sum(_size(shape) for shape in (*edges, *self.parameters.values()))
        if entries > MAX_ENTRIES:
            raise ValueError(f"the network has {entries:,} entries, more than {MAX_ENTRIES:,}")

    @property
    def batch(self) -> int:
        """The number of examples."""
        return self.input[0]

    @cached_property
    def edges(self) -> tuple[Shape, ...]:
        """The shape at every edge: the input, then each layer's output."""
        shapes: list[Shape] = [self.input]
        for i, layer in enumerate(self.layers):
            try:
                shapes.append(output_shape(layer, shapes[-1]))
            except ValueError as error:
                raise ValueError(f"layers[{i}]: {error}") from None
        return tuple(shapes)

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """Every parameter's shape by its name, `layers.I.NAME`, in forward order."""
        return {
            f"layers.{i}.{name}": shape
            for i, layer in enumerate(self.layers)
            for name, shape in parameter_shapes(layer, self.edges[i]).items()
        }

    @property
    def target_shape(self) -> Shape:
        """The shape of the target."""
        return target_shape(self.loss, self.edges[-1])

    @property
    def operators(self) -> tuple[str, ...]:
        """The names of what is in it: layers in order, the loss, the penalties."""
        penalties = (str(type(p).__struct_config__.tag) for p in self.penalties)
        return (*(layer.name for layer in self.layers), self.loss.name, *penalties)

    def __str__(self) -> str:
        """A line such as `(4, 3) > dense 5 > tanh > squared_error`."""
        words = [str(self.input)]
        for layer in self.layers:
            words.append(f"dense {layer.units}" if isinstance(layer, Dense) else layer.name)
        return " > ".join([*words, *self.operators[len(self.layers) :]])


def edge_name(i: int) -> str:
    """`input` for edge 0, else `layers.I.output`; cotangents are reported under it."""
    return "input" if i == 0 else f"layers.{i - 1}.output"


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _check_input(shape: Any) -> None:
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"input must be (batch, features), two integers of at least 1, got {shape!r}"
        )
    for i, n in enumerate(shape):
        check_number(f"input[{i}]", n, int, {"minimum": 1})


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
