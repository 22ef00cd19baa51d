"""Faults that no change of one backward function can state.

A `Fault` remembers nothing and writes to none of its arguments.  Here are those that do, or
that must know the values of a case: each makes a whole subject (a function of a case) that is
wrong in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ...architectures.cases import Case
from ...architectures.losses import WeightedSum
from .. import network
from ..arrays import Array, Arrays, Choice, Kink, Saved, regions
from ..network import Branches, Overrides, Trace
from ..pages import LAYERS
from .of_optimisers import OPTIMISER_FAULTS as OPTIMISER_FAULTS  # offered here too
from .of_optimisers import OptimiserFault as OptimiserFault
from .survey import Kind, mimicked

Subject = Callable[[Case], tuple[Array, Mapping[str, Array]]]

VALUES = "values"
"""What a fault breaks that is wrong at the first call."""


@dataclass(frozen=True)
class SubjectFault:
    """One way for a subject to be wrong.

    What is also a `Fault`'s means the same.  `breaks` is `VALUES`, or names the claim that fails
    (`checkers/manners.py`) although the gradients of a first call are right.  `make()` makes a
    subject with a memory of its own.
    """

    name: str
    summary: str
    number: int | None
    weight: int
    breaks: str
    make: Callable[[], Subject]
    convention: bool = False
    kind: Kind = field(kw_only=True)
    shows: str = field(kw_only=True)
    hidden: str = field(default="", kw_only=True)

    @property
    def mimics(self) -> str:
        """What happened elsewhere, of which this is one more."""
        return mimicked(self.number, "")


# --- what outlives a call ---------------------------------------------------------------

Of = tuple[Architecture, str]
"""What is remembered is that of a network in a dtype."""


def _buffers_kept() -> Subject:
    """g += what comes back, in buffers that are zeroed once: those of parameters and input."""
    kept: dict[Of, Arrays] = {}

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = network.value_and_gradients(case)
        buffers = kept.setdefault((case.architecture, case.dtype), {})
        for name in (*case.parameters, *(("input",) if case.input is not None else ())):
            g = gradients[name]
            gradients[name] = buffers[name] = buffers[name] + g if name in buffers else g
        return loss, gradients

    return subject


def _forward_pass_kept() -> Subject:
    """Back through the forward pass before this one, if the network has had one."""
    kept: dict[Of, Trace] = {}

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        trace, of = network.forward(case), (case.architecture, case.dtype)
        before = kept.get(of, trace)
        kept[of] = trace
        return trace.loss, network.backward(case, before)

    return subject


# --- what is written to -----------------------------------------------------------------


def _writing(write: Callable[[Case, Arrays], None]) -> Callable[[], Subject]:
    """Right gradients, and write(case, gradients) into the caller's arrays."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = network.value_and_gradients(case)
        write(case, gradients)
        return loss, gradients

    return lambda: subject


def _overwrite(array: Array, values: Array) -> None:
    """Values into an array, where that has room for them and may be written to."""
    if array.flags.writeable and array.shape == values.shape:
        array[...] = values


def _into_upstream(case: Case, gradients: Arrays) -> None:
    """y_bar *= f'(x), in place, at the last layer: of a linear loss y_bar is the target."""
    a = case.architecture
    if isinstance(a.loss, WeightedSum) and a.layers and a.sources[-1]:
        _overwrite(case.targets["loss"], gradients[a.sources[-1][0]])


def _into_input(case: Case, gradients: Arrays) -> None:
    """The gradient of the input in the input's own memory."""
    if case.input is not None:
        _overwrite(case.input, gradients["input"])


def _into_parameters(case: Case, gradients: Arrays) -> None:
    """w -= r w_bar, in place, before the caller has asked for a step."""
    for name, value in case.parameters.items():
        _overwrite(value, value - 0.1 * gradients[name])


def _one_array_for_all_parents() -> Subject:
    """An addition gives its parents one array, into which their other uses are added in place."""

    def give(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        bars, p_bar = LAYERS[ops.Add].backward(layer, p, saved, y_bar)
        first = bars[0].copy()
        return tuple(first if bar.shape == first.shape else bar for bar in bars), p_bar

    def add(bars: Sequence[Array]) -> Array:
        total = bars[0] if bars[0].flags.writeable else bars[0].copy()
        for bar in bars[1:]:
            total += bar
        return total

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        layers = enumerate(case.architecture.layers)
        additions = {f"layers.{i}": give for i, layer in layers if isinstance(layer, ops.Add)}
        planted: Overrides = {**additions, "fan_out": add} if additions else {}
        return network.value_and_gradients(case, planted)

    return subject


# --- what needs the values: ties --------------------------------------------------------


def _at_the_other_end(kink: Kink | Choice) -> Array:
    """The pieces of `regions`, but at a tie the last one: >= for >, and the last maximum."""
    if isinstance(kink, Choice):
        flipped: Array = kink.candidates.shape[-1] - 1 - np.argmax(kink.candidates[..., ::-1], -1)
        return flipped
    return sum((kink.argument >= b).astype(np.int8) for b in kink.breakpoints)  # type: ignore[return-value]


def _entering(case: Case, trace: Trace, i: int) -> tuple[Arrays, Any]:
    """The parameters and the inputs of layer i."""
    names = case.architecture.sources[i]
    return network.layer_parameters(case, i), network.one_or_all([trace.edges[n] for n in names])


def _kinks(case: Case, trace: Trace, kind: type[Any]) -> dict[int, Any]:
    """The layers that bend or choose, with where they do; not `hard_shrink`, which jumps."""
    found = {}
    for i, layer in enumerate(case.architecture.layers):
        find = LAYERS[type(layer)].kink
        if find is not None and not isinstance(layer, ops.HardShrink):
            kink = find(layer, *_entering(case, trace, i))
            if isinstance(kink, kind):
                found[i] = kink
    return found


def _other_pieces(kind: type[Any]) -> Callable[[], Subject]:
    """At every tie of such layers the other slope."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        trace = network.forward(case)
        pieces: Branches = {
            f"layers.{i}": _at_the_other_end(kink) for i, kink in _kinks(case, trace, kind).items()
        }
        other = network.forward(case, branches={**trace.branches, **pieces})
        return other.loss, network.backward(case, other)

    return lambda: subject


def _maxima_counted_twice() -> Subject:
    """The cotangent of a maximum to the first and to the last of those that are greatest."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        trace = network.forward(case)
        planted = {}
        for i, kink in _kinks(case, trace, Choice).items():
            layer = case.architecture.layers[i]
            p, x = _entering(case, trace, i)
            last = _at_the_other_end(kink)
            saved = LAYERS[type(layer)].forward(layer, p, x, last)[1]
            planted[f"layers.{i}"] = _to_both(saved, last != regions(kink))
        return trace.loss, network.backward(case, trace, overrides=planted)

    return subject


def _to_both(last: Saved, tied: Array) -> Callable[..., Any]:
    def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        right = LAYERS[type(layer)].backward
        first_bar, p_bar = right(layer, p, saved, y_bar)
        last_bar, _ = right(layer, p, last, np.where(tied.reshape(y_bar.shape), y_bar, 0.0))
        if isinstance(first_bar, tuple):
            return tuple(a + b for a, b in zip(first_bar, last_bar, strict=True)), p_bar
        return first_bar + last_bar, p_bar

    return planted


SUBJECT_FAULTS: tuple[SubjectFault, ...] = (
    SubjectFault(
        "buffer_not_zeroed",
        "gradients added to those of the call before",
        14, 2, "repeatable", _buffers_kept,
        kind="state",
        shows="from the second call on",
        hidden="where the gradients of the calls before are 0",
    ),
    SubjectFault(
        "forward_pass_kept",
        "the way back through the forward pass of the call before",
        14, 1, "interleaved calls", _forward_pass_kept,
        kind="state",
        shows="from the second call on",
        hidden="where the call before had the same values",
    ),
    SubjectFault(
        "upstream_overwritten",
        "the caller's upstream overwritten",
        16, 2, "caller's arrays", _writing(_into_upstream),
        kind="state",
        shows="at a last layer that keeps the shape, before a linear loss",
        hidden="where that layer passes its upstream on as it is",
    ),
    SubjectFault(
        "input_overwritten",
        "the caller's input overwritten",
        16, 1, "caller's arrays", _writing(_into_input),
        kind="state",
        shows="at a network with an input that may be written to",
        hidden="where the input's gradient equals the input",
    ),
    SubjectFault(
        "parameters_updated",
        "the caller's parameters updated within the gradient's computation",
        17, 1, "caller's arrays", _writing(_into_parameters),
        kind="state",
        shows="at a network with parameters that may be written to",
        hidden="where every gradient is 0",
    ),
    SubjectFault(
        "one_array_for_all_parents",
        "one array returned for all parents of an addition, and added to in place",
        15, 2, VALUES, _one_array_for_all_parents,
        kind="accumulation",
        shows="at an addition",
        hidden="where no parent of the addition has another use",
    ),
    SubjectFault(
        "last_maximum",
        "the last of several equal maxima taken for the maximum",
        28, 1, VALUES, _other_pieces(Choice), convention=True,
        kind="tie",
        shows="at a maximum over several entries",
        hidden="where one of them alone is greatest",
    ),
    SubjectFault(
        "every_tie_on_the_right",
        "the slope on the right of every kink taken at the kink",
        29, 2, VALUES, _other_pieces(Kink), convention=True,
        kind="tie",
        shows="at every piecewise function",
        hidden="where no argument is at a breakpoint",
    ),
    SubjectFault(
        "equal_maxima_counted_twice",
        "the cotangent of a maximum given twice where two are equal",
        29, 2, VALUES, _maxima_counted_twice,
        kind="tie",
        shows="at a maximum over several entries",
        hidden="where one of them alone is greatest",
    ),
)  # fmt: skip
"""Every fault of a subject, each with a name of its own."""
