"""Claims on relations between calls: a permuted batch, one in two halves, a scaled cotangent.

Each is asked for only where the reference has it: batch normalisation, say, couples the
examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from ..architectures import losses as ls
from ..architectures import operators as ops
from ..architectures.cases import Case
from ..reference import network
from ..reference.arrays import Array, Arrays
from .calls import Answer, Asked, Call, ask, difference


def permuted(asked: Asked) -> str | None:
    case = asked.first.case
    rows = _rows(case)
    if rows < 2:
        return None
    order = np.roll(np.arange(rows), 1)
    return _relation(
        asked,
        [_taking(case, order)],
        lambda found: _input_taken(found[0], np.argsort(order)),
        "the examples in another order give another gradient",
    )


def in_halves(asked: Asked) -> str | None:
    case = asked.first.case
    a, rows = case.architecture, _rows(case)
    if rows < 2 or a.penalties or a.auxiliary:
        return None
    mean = getattr(a.loss, "reduction", "sum") in ("mean", "batch_mean")
    parts = np.arange(rows // 2), np.arange(rows // 2, rows)
    try:
        halves = [
            _taking(replace(case, architecture=_with_rows(case, len(part))), part) for part in parts
        ]
    except ValueError:  # an operator's own sizes depend on the batch
        return None
    shares = [len(part) / rows if mean else 1.0 for part in parts]

    def joined(found: list[Arrays]) -> Arrays:
        weighted = [{n: w * g for n, g in f.items()} for w, f in zip(shares, found, strict=True)]
        one, two = weighted
        return {
            n: np.concatenate([one[n], two[n]]) if n == "input" else one[n] + two[n] for n in one
        }

    return _relation(
        asked, halves, joined, "the gradients of two halves of the batch do not add up"
    )


def _with_rows(case: Case, rows: int) -> Any:
    a = case.architecture
    assert a.input is not None
    return msgspec.structs.replace(a, input=(rows, *a.input[1:]))


def scaled(asked: Asked) -> str | None:
    case = asked.first.case
    a = case.architecture
    if not isinstance(a.loss, ls.WeightedSum) or a.penalties or a.auxiliary:
        return None
    for factor in (-1.0, 0.5, 0.0):
        loss = {"loss": np.asarray(factor * case.targets["loss"], case.dtype)}
        found = _relation(
            asked,
            [replace(case, targets=loss)],
            lambda given: given[0],
            f"{factor:g} times the cotangent does not give {factor:g} times the gradient",
            factor,
        )
        if found:
            return found
    return ""


def _relation(
    asked: Asked,
    cases: list[Case],
    join: Callable[[list[Arrays]], Arrays],
    words: str,
    factor: float = 1.0,
) -> str | None:
    """Whether the gradients of other cases, joined, are `factor` times those of the first.

    None where the reference has no such relation.
    """
    names = set(asked.first.gradients) & {*asked.first.case.architecture.parameters, "input"}
    for subject in (_reference, asked.subject):
        first = asked.first if subject is asked.subject else ask(subject, asked.first.case)
        calls = [ask(subject, case) for case in cases]
        joined = join([{n: c.gradients[n] for n in names} for c in calls])
        expected = {n: factor * first.gradients[n] for n in names}
        allowed = {n: _most(asked.first.allowed[n], calls, n) for n in names}
        found = difference(expected, joined, allowed)
        if found and subject is _reference:
            return None
        if found:
            return f"{words}: {found}"
    return ""


def _most(allowed: Array, calls: list[Call], name: str) -> Array:
    """What rounding may do to a tensor in the first call and the others together."""
    total = allowed
    for call in calls:
        other = call.allowed[name]
        total = total + (other if other.shape == allowed.shape else other.max(initial=0.0))
    return total


def _reference(case: Case) -> Answer:
    return network.value_and_gradients(case)


def _rows(case: Case) -> int:
    """The number of examples; 0 where not every array has one row for each."""
    x = case.input
    layers = case.architecture.layers
    if x is None or case.data or any(isinstance(layer, ops.Variable) for layer in layers):
        return 0
    rows = len(x)
    return rows if all(t.ndim and len(t) == rows for t in case.targets.values()) else 0


def _taking(case: Case, rows: Array) -> Case:
    assert case.input is not None
    targets = {site: t[rows] for site, t in case.targets.items()}
    return replace(case, input=case.input[rows], targets=targets)


def _input_taken(found: Arrays, rows: Array) -> Arrays:
    return {n: g[rows] if n == "input" else g for n, g in found.items()}
