"""What every operator shares: a frozen struct, its place in the graph, and its rule.

A rule says what an operator takes and holds, for inputs of given shapes:

    output(op, *inputs)      the shape of y; ValueError where they do not fit
    parameters(op, *inputs)  the shape of each parameter by name
    data(op, *inputs)        each array that is given and not differentiated, by name
    arity                    the least and the most number of inputs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from ..checks import check_fields, check_number, check_tuple

Shape = tuple[int, ...]


class Operator(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="op",
    kw_only=True,
    omit_defaults=True,
):
    """What every operator shares: immutable, tagged in JSON by `op`.

    `inputs` names the edges that it takes (`input`, `layers.I.output`); where it is empty an
    operator takes the edge before it.  `share` names another layer, `layers.I`, before it:
    each parameter that both have under one name is then that layer's, and has one gradient.
    """

    inputs: tuple[str, ...] = ()
    share: str = ""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """The tag that JSON, reports and `--activation` use, such as `leaky_relu`."""
        return str(type(self).__struct_config__.tag)


DataKind = Literal["mask", "indices", "real", "positive"]


class Data(NamedTuple):
    """An array that is given: its shape and what it holds.

    `mask`: booleans, true with probability `keep`.  `indices`: integers from 0 to
    `below` - 1.  `real` and `positive`: floats in the case's dtype.
    """

    shape: Shape
    kind: DataKind
    below: int = 0
    keep: float = 0.5


def _nothing(op: Any, *inputs: Shape) -> dict[str, Any]:
    return {}


class Rule(NamedTuple):
    """What an operator takes and holds; see the module."""

    output: Callable[..., Shape]
    parameters: Callable[..., dict[str, Shape]] = _nothing
    data: Callable[..., dict[str, Data]] = _nothing
    arity: tuple[int, int | None] = (1, 1)


Rules = Mapping[type[Operator], Rule]


# --- words that several families say alike ---------------------------------------------


def check_sizes(name: str, sizes: Any, minimum: int, length: int | None = None) -> None:
    """Raise ValueError unless `sizes` is a tuple of integers, each at least `minimum`."""
    check_tuple(name, sizes, "integers")
    if length is not None and len(sizes) != length:
        raise ValueError(f"{name} must have {length} entries, got {len(sizes)}")
    for i, n in enumerate(sizes):
        check_number(f"{name}[{i}]", n, int, {"minimum": minimum})


def check_rank(op: Operator, x: Shape, least: int, words: str) -> None:
    """Raise ValueError unless x has at least so many axes."""
    if len(x) < least:
        raise ValueError(f"{op.name} takes {words}, got the shape {x}")


def check_exact_rank(op: Operator, x: Shape, rank: int, words: str) -> None:
    """Raise ValueError unless x has just so many axes."""
    if len(x) != rank:
        raise ValueError(f"{op.name} takes {words}, got the shape {x}")


def check_axes(name: str, axes: Any) -> None:
    """Raise ValueError unless `axes` are distinct axes counted from the end: -1 is the last."""
    check_tuple(name, axes, "axes counted from the end, such as -1")
    if not axes:
        raise ValueError(f"{name} must name at least one axis")
    for i, axis in enumerate(axes):
        check_number(f"{name}[{i}]", axis, int, {"maximum": -1})
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name} must be distinct, got {axes}")


def has_axes(op: Operator, x: Shape, axes: tuple[int, ...]) -> None:
    """Raise ValueError unless x has all these axes besides the batch's."""
    if -min(axes) >= len(x):
        raise ValueError(
            f"{op.name}: axis {min(axes)} of the shape {x} does not exist or is the batch"
        )


def size(shape: Shape) -> int:
    """The number of entries."""
    n = 1
    for m in shape:
        n *= m
    return n
