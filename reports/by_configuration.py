"""Which configurations of which operators a run verified: `conv2d (stride, padding='same')`.

A configuration is an operator with the choices that differ from its defaults.  Sizes that have
no default (units, kernels) are none; a number is named, a word or a flag is shown.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec

from ..architectures.operators import Operator
from ..checkers.comparison import Status
from .events import CaseFinished

NOT_CHOICES = frozenset({"inputs", "share"})


def configuration(layer: Operator) -> str:
    """The name of a layer's configuration."""
    words = []
    for name, default in _choices(type(layer)):
        value = getattr(layer, name)
        if value != default:
            words.append(_choice(name, value))
    if layer.share:
        words.append("shared")
    return f"{layer.name} ({', '.join(words)})" if words else layer.name


@functools.cache
def _choices(kind: type[Operator]) -> tuple[tuple[str, Any], ...]:
    """The attributes that are choices, with their defaults; msgspec evaluates types each time."""
    return tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(kind)
        if field.name not in NOT_CHOICES and field.default is not msgspec.NODEFAULT
    )


def _choice(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"{name}=false"
    return f"{name}={value!r}" if isinstance(value, str) else name


def said(case: CaseFinished) -> Iterator[tuple[str, Status]]:
    """(configuration, status) of every layer of a case, each configuration once.

    A FAIL is of the layers whose tensors disagree; of others of the same operator nothing is
    known then.
    """
    verdict, layers = case.verdict, case.architecture.layers
    by_operator = {v.operator: v.status for v in verdict.operators}
    guilty = {c.tensor for c in verdict.comparisons if c.status == "FAIL"}
    found: dict[str, Status] = {}
    for i, layer in enumerate(layers):
        status = by_operator.get(layer.name, verdict.status)
        alone = sum(other.name == layer.name for other in layers) == 1
        own = any(t.startswith(f"layers.{i}.") for t in guilty)
        if status == "FAIL" and not (alone or own or not guilty):
            status = "INCONCLUSIVE"
        name = configuration(layer)
        if found.get(name) != "FAIL":
            found[name] = status
    yield from found.items()
