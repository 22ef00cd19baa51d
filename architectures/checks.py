"""Attribute types with their ranges, checked alike from Python and from JSON.

msgspec checks a range when it decodes JSON but not when Python calls the constructor.
So a range is stated once, as `bounded(...)`; `check_fields` enforces it from
`__post_init__`, which both ways pass through, and the JSON Schema carries it too.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_RULES: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "exclusiveMinimum": ("greater than", operator.gt),
    "maximum": ("at most", operator.le),
    "exclusiveMaximum": ("less than", operator.lt),
}
"""JSON Schema's word for a bound, ours, and the test."""


def bounded(**bounds: float) -> msgspec.Meta:
    """A range in JSON Schema's words, which `check_fields` enforces."""
    return msgspec.Meta(extra_json_schema=bounds, extra={"bounds": bounds})


PositiveInteger = Annotated[int, bounded(minimum=1)]
Finite = Annotated[float, bounded()]
Positive = Annotated[float, bounded(exclusiveMinimum=0)]
NonNegative = Annotated[float, bounded(minimum=0)]
Fraction = Annotated[float, bounded(minimum=0, exclusiveMaximum=1)]


def check_fields(value: msgspec.Struct) -> None:
    """Raise ValueError, naming the field, for an attribute that is outside its range."""
    for name, base, bounds in _rules(type(value)):
        check_number(name, getattr(value, name), base, bounds)
    for name, options in _choices(type(value)):
        got = getattr(value, name)
        if got not in options:
            raise ValueError(f"{name} must be one of {', '.join(options)}, got {got!r}")
    for name, several in _names(type(value)):
        got = getattr(value, name)
        if several:
            check_tuple(name, got, "names")
            for i, word in enumerate(got):
                _check_name(f"{name}[{i}]", word)
        else:
            _check_name(name, got)
    for name in _flags(type(value)):
        got = getattr(value, name)
        if not isinstance(got, bool):
            raise ValueError(f"{name} must be true or false, got {got!r}")


def check_number(name: str, got: Any, base: type[Any], bounds: Mapping[str, float]) -> None:
    """Raise ValueError unless `got` is a finite number of type `base` within `bounds`."""
    kinds = (int,) if base is int else (int, float)
    if isinstance(got, bool) or not isinstance(got, kinds):
        word = "an integer" if base is int else "a number"
        raise ValueError(f"{name} must be {word}, got {got!r}")
    if isinstance(got, int) and abs(got) > sys.maxsize:
        raise ValueError(f"{name} must fit 64 bits, got an integer of {got.bit_length()}")
    if not math.isfinite(got):
        raise ValueError(f"{name} must be finite, got {got}")
    for keyword, bound in bounds.items():
        words, holds = _RULES[keyword]
        if not holds(got, bound):
            raise ValueError(f"{name} must be {words} {bound}, got {got}")


def _check_name(name: str, got: Any) -> None:
    if not isinstance(got, str):
        raise ValueError(f"{name} must be a name, got {got!r}")


def check_tuple(name: str, got: Any, of: str) -> None:
    """Raise ValueError unless `got` is a tuple: a list could change, and has no hash."""
    if not isinstance(got, tuple):
        raise ValueError(f"{name} must be a tuple of {of}, got {got!r}")


@functools.cache
def _rules(cls: type[Any]) -> tuple[tuple[str, type[Any], Mapping[str, float]], ...]:
    rules = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if get_origin(hint) is Annotated:
            base, meta = get_args(hint)
            rules.append((name, base, meta.extra["bounds"]))
    return tuple(rules)


@functools.cache
def _choices(cls: type[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (name, get_args(hint))
        for name, hint in get_type_hints(cls).items()
        if get_origin(hint) is Literal
    )


@functools.cache
def _names(cls: type[Any]) -> tuple[tuple[str, bool], ...]:
    """The fields that are a name, and those that are several."""
    hints = get_type_hints(cls).items()
    return tuple((name, hint is not str) for name, hint in hints if hint in (str, tuple[str, ...]))


@functools.cache
def _flags(cls: type[Any]) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(cls).items() if hint is bool)
