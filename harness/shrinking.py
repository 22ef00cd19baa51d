"""Reducing a failing case to a minimal network.

A greedy pass over simpler networks: a loss that looks at an earlier edge, a layer less, an
edge that becomes an input, a smaller batch, narrower layers, default attributes, a simpler
loss, no penalty; values are redrawn from the same seed, tensor by tensor, so that what was not
touched keeps its values.  Then the values themselves are rounded as far as the failure allows
(`short_values.py`).  A candidate is kept if it fails in the same way.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.surgery import rebuilt
from backproof.checkers.verdict import Verdict
from backproof.short_values import shortened

BUDGET = 200
"""Verdicts that one reduction may cost."""

MOST_FOR_VALUES = 40
"""Of these, how many are kept for the values; of a small budget a quarter."""


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
        return verdict if _mistake(candidate, verdict) == wanted else None

    wanted = _mistake(case, first)
    verdict = first
    for_values = min(budget // 4, MOST_FOR_VALUES)
    progress = True
    while progress and purse.left > for_values:
        progress = False
        for architecture in simpler(case.architecture):
            if purse.left <= for_values:
                break
            candidate = draw_case(architecture, case.seed, case.lane, case.dtype)
            found = fails(candidate)
            if found is not None:
                case, verdict, progress = candidate, found, True
                break
    return shortened(case, verdict, fails)


def _mistake(case: Case, v: Verdict) -> tuple[str, ...]:
    """What a candidate must have in common with the failure, so as to show the same mistake.

    The tensor too where it is the blamed operator's own parameter, under whatever number: of two
    mistakes in one operator, in its bias and in its weight, one must not be taken for the other.
    Elsewhere the tensor changes with the network: an output becomes an input.
    """
    found = re.fullmatch(r"layers\.(\d+)\.(\w+)", v.tensor)
    own = ""
    if found and int(found[1]) < len(case.architecture.layers):
        layer = case.architecture.layers[int(found[1])]
        own = found[2] if layer.name == v.operator and v.tensor in case.parameters else ""
    return v.status, v.operator, own, *v.failed_checks


def simpler(a: Architecture) -> Iterator[Architecture]:
    """Valid networks a step simpler, the most drastic first, each once."""
    seen = {a}
    for change in _changes(a):
        try:
            candidate = change()
        except ValueError:
            continue  # shapes that no longer fit: not a network
        if candidate not in seen:
            seen.add(candidate)
            yield candidate


Change = Callable[[], Architecture]


def _changes(a: Architecture) -> Iterator[Change]:
    if a.penalties:
        yield lambda: rebuilt(a, penalties=())
        for j in range(len(a.penalties)):
            yield partial(rebuilt, a, penalties=a.penalties[:j] + a.penalties[j + 1 :])
    for j in range(len(a.auxiliary)):
        yield partial(rebuilt, a, auxiliary=a.auxiliary[:j] + a.auxiliary[j + 1 :])
    yield from _shorter(a)
    yield from _smaller(a)
    for i, layer in enumerate(a.layers):
        for plain in _plainer(layer):
            yield partial(_refitted, a, layers={i: plain})
    for loss in _simpler_losses(a.loss):
        yield partial(rebuilt, a, loss=loss)


def _shorter(a: Architecture) -> Iterator[Change]:
    """A loss that looks at an earlier edge; a layer less; an edge that becomes an input."""
    for edge in list(a.edges)[:-1]:
        yield partial(rebuilt, a, loss=ls.WeightedSum(inputs=(edge,)))
    for i in range(len(a.layers)):
        for source in dict.fromkeys(a.sources[i]):
            yield partial(_refitted, a, instead={edge_name(i + 1): source})
        if set(a.sources[i]) <= {"input"}:  # what it made becomes the input
            made = edge_name(i + 1)
            yield partial(_refitted, a, instead={made: "input"}, input=a.edges[made])
    for i, layer in enumerate(a.layers):
        if a.sources[i] and any(n != "input" for n in a.sources[i]):
            whole = ops.Variable(a.edges[edge_name(i + 1)])
            if not isinstance(layer, ops.Variable):
                yield partial(rebuilt, a, layers={i: whole})


def _smaller(a: Architecture) -> Iterator[Change]:
    """An axis of one entry less; one size less wherever it stands, all at once: a square
    matrix stays square."""
    if a.input is not None:
        for axis in range(1, len(a.input)):
            if a.input[axis] == 1:
                yield partial(_without_axis, a, axis)
    sizes = {n for shape in a.edges.values() for n in shape}
    for n in sorted(sizes, reverse=True):
        for m in sorted({1, 2, n // 2, n - 1}):
            if 0 < m < n:
                yield partial(_resized, a, n, m)
    if a.input is not None:
        for axis, n in enumerate(a.input):
            for m in sorted({1, 2, n // 2, n - 1}):
                if 0 < m < n:
                    shape = (*a.input[:axis], m, *a.input[axis + 1 :])
                    yield partial(_refitted, a, input=shape)


def _without_axis(a: Architecture, axis: int) -> Architecture:
    """The network without an axis of the input, and of variables that look like it."""

    def shape(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return sizes[:axis] + sizes[axis + 1 :]

    alike = {
        i: msgspec.structs.replace(layer, shape=shape(layer.shape))
        for i, layer in enumerate(a.layers)
        if isinstance(layer, ops.Variable)
        and len(layer.shape) == len(a.input or ())
        and layer.shape[axis] == 1
    }
    return _refitted(a, layers=alike, input=shape(a.input or ()))


SIZES = ("units", "channels", "labels")
"""Attributes that are one size of a tensor."""


def _resized(a: Architecture, n: int, m: int) -> Architecture:
    """The network with every size n brought to m: of inputs, of variables, of outputs."""

    def shape(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(m if k == n else k for k in sizes)

    changed = {}
    for i, layer in enumerate(a.layers):
        change: dict[str, Any] = {name: m for name in SIZES if getattr(layer, name, None) == n}
        if isinstance(layer, ops.Variable | ops.Embedding | ops.Reshape):
            change["shape"] = shape(layer.shape)
        if getattr(layer, "lengths", ()):
            change["lengths"] = ()
        if change:
            changed[i] = msgspec.structs.replace(layer, **change)
    resized = None if a.input is None else shape(a.input)
    return _refitted(a, layers=changed, input=resized)


def _refitted(a: Architecture, **change: Any) -> Architecture:
    """The network with a change, its losses cut to the outputs that are left."""
    try:
        return rebuilt(a, **change)
    except ValueError:
        plain = rebuilt(a, **{**change, "loss": ls.WeightedSum(inputs=a.loss_sources["loss"][:1]),
                              "auxiliary": ()})  # fmt: skip
    loss = _cut(a.loss, plain.output[-1])
    return rebuilt(a, **{**change, "loss": loss})


def _cut(loss: Any, outputs: int) -> Any:
    """The loss without its weights for outputs that are gone, and its ignored class moved."""
    change: dict[str, Any] = {
        name: getattr(loss, name)[:outputs]
        for name in ("class_weights", "positive_weights")
        if getattr(loss, name, None) is not None
    }
    if getattr(loss, "ignore_index", None) is not None:
        change["ignore_index"] = min(loss.ignore_index, outputs - 1) if outputs > 1 else None
    for name in ("input_lengths", "target_lengths"):
        if getattr(loss, name, ()):
            change[name] = ()
    return msgspec.structs.replace(loss, **change)


def _simpler_losses(loss: Any) -> Iterator[Any]:
    if isinstance(loss, ls.WeightedSum):
        return
    inputs = loss.inputs
    yield ls.WeightedSum(inputs=inputs[:1])
    yield ls.SquaredError(inputs=inputs[:1])
    if not isinstance(loss, ls.CTC):
        yield type(loss)(inputs=inputs)


def _plainer(layer: Any) -> Iterator[Any]:
    """The layer with a smaller size, without its bias, or with attributes at their defaults.

    All of them, or one.
    """
    fields = msgspec.structs.fields(layer)
    others = {
        field.name: field.default
        for field in fields
        if field.default is not msgspec.NODEFAULT
        and field.name not in ("inputs", "share", "bias", *SIZES)
    }
    with contextlib.suppress(ValueError):
        yield msgspec.structs.replace(layer, **others)
    for field in fields:
        value = getattr(layer, field.name)
        if field.name in SIZES:
            for n in sorted({1, 2, value // 2, value - 1}):
                if 0 < n < value:
                    with contextlib.suppress(ValueError):  # groups that no longer divide it
                        yield msgspec.structs.replace(layer, **{field.name: n})
        elif field.name == "bias" and value:
            yield msgspec.structs.replace(layer, bias=False)
        elif field.name in others and value != field.default:
            with contextlib.suppress(ValueError):
                yield msgspec.structs.replace(layer, **{field.name: field.default})
