"""Reducing a failing case to a minimal network.

A greedy pass over simpler networks: a layer less, a smaller batch, narrower layers, default
attributes, a simpler loss, no penalty; values are redrawn from the same seed, tensor by
tensor, so that what was not touched keeps its values.  Then the values themselves are
rounded as far as the failure allows.  A candidate is kept if it fails in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.checkers.verdict import Verdict

BUDGET = 200
"""Verdicts that one reduction may cost."""


@dataclass
class Budget:
    """How many verdicts are left."""

    left: int = BUDGET

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def shrink(
    case: Case, first: Verdict, judge: Callable[[Case], Verdict], budget: int = BUDGET
) -> tuple[Case, Verdict]:
    """The smallest case found that fails as `first` does, and its verdict."""
    purse = Budget(budget)

    def fails(candidate: Case) -> Verdict | None:
        if not purse.spend():
            return None
        verdict = judge(candidate)
        same = verdict.status == first.status and verdict.operator == first.operator
        return verdict if same else None

    verdict = first
    progress = True
    while progress and purse.left > 0:
        progress = False
        for architecture in simpler(case.architecture):
            candidate = draw_case(architecture, case.seed, case.lane, case.dtype)
            found = fails(candidate)
            if found is not None:
                case, verdict, progress = candidate, found, True
                break
    for digits in (0, 1, 2):
        candidate = rounded(case, digits)
        found = fails(candidate)
        if found is not None:
            return candidate, found
    return case, verdict


def simpler(a: Architecture) -> Iterator[Architecture]:
    """Valid networks a step simpler, the most drastic first."""
    for change in _changes(a):
        try:
            candidate = _changed(a, change)
        except ValueError:
            continue  # shapes that no longer fit: not a network
        if candidate != a:
            yield candidate


def _changed(a: Architecture, change: dict[str, Any]) -> Architecture:
    """The network with a change, its loss cut to the outputs that are left."""
    if "loss" in change:
        return msgspec.structs.replace(a, **change)
    outputs = msgspec.structs.replace(a, **change, loss=ls.WeightedSum()).edges[-1][-1]
    return msgspec.structs.replace(a, **change, loss=_cut(a.loss, outputs))


def _cut(loss: Any, outputs: int) -> Any:
    """The loss without its weights for outputs that are gone, and its ignored class moved."""
    change: dict[str, Any] = {
        name: getattr(loss, name)[:outputs]
        for name in ("class_weights", "positive_weights")
        if getattr(loss, name, None) is not None
    }
    if getattr(loss, "ignore_index", None) is not None:
        change["ignore_index"] = min(loss.ignore_index, outputs - 1) if outputs > 1 else None
    return msgspec.structs.replace(loss, **change)


def _changes(a: Architecture) -> Iterator[dict[str, Any]]:
    rows, features = a.input
    if a.penalties:
        yield {"penalties": ()}
        for j in range(len(a.penalties)):
            yield {"penalties": a.penalties[:j] + a.penalties[j + 1 :]}
    for i in range(len(a.layers)):
        yield {"layers": a.layers[:i] + a.layers[i + 1 :]}
    widest = max(width for _, width in a.edges)
    for n in sorted({1, 2, widest // 2, widest - 1}):  # at once: a square matrix stays square
        if 0 < n < widest:
            layers = tuple(_at_most(layer, n) for layer in a.layers)
            for batch in sorted({min(rows, n), rows}):
                yield {"input": (batch, min(features, n)), "layers": layers}
    for n in sorted({1, rows // 2, rows - 1}):
        if 0 < n < rows:
            yield {"input": (n, features)}
    for n in sorted({1, 2, features // 2, features - 1}):
        if 0 < n < features:
            yield {"input": (rows, n)}
    for i, layer in enumerate(a.layers):
        for plain in _plainer(layer):
            yield {"layers": (*a.layers[:i], plain, *a.layers[i + 1 :])}
    for loss in (ls.WeightedSum(), ls.SquaredError(), type(a.loss)()):
        if loss != a.loss and not (isinstance(a.loss, ls.WeightedSum)):
            yield {"loss": loss}


def _at_most(layer: ops.Operator, units: int) -> ops.Operator:
    if not isinstance(layer, ops.Dense):
        return layer
    return ops.Dense(min(layer.units, units), layer.bias)


def _plainer(layer: ops.Operator) -> Iterator[ops.Operator]:
    if isinstance(layer, ops.Dense):
        for n in sorted({1, 2, layer.units // 2, layer.units - 1}):
            if 0 < n < layer.units:
                yield ops.Dense(n, layer.bias)
        if layer.bias:
            yield ops.Dense(layer.units, bias=False)
    elif type(layer)() != layer:
        yield type(layer)()


def rounded(case: Case, digits: int) -> Case:
    """The case with every float rounded to so many decimals."""
    whole = case.target.dtype == np.int64
    return make_case(
        case.architecture,
        {name: np.round(value, digits) for name, value in case.parameters.items()},
        np.round(case.input, digits),
        case.target if whole else np.round(case.target, digits),
        dtype=case.dtype,
        lane=case.lane,
        seed=case.seed,
    )
