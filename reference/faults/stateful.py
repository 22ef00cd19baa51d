"""Faults that no change of one backward function can state.

A `Fault` remembers nothing and writes to none of its arguments.  Here are those that do, or
that must know the values of a case: each makes a whole subject (a function of a case), or
an optimiser's step, that is wrong in one way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ...architectures.cases import Case
from ...architectures.losses import WeightedSum
from .. import network
from ..arrays import Array, Arrays, Choice, Kink, Saved, regions
from ..network import Branches, Overrides, Trace
from ..pages import LAYERS

Subject = Callable[[Case], tuple[Array, Mapping[str, Array]]]

VALUES = "values"
"""What a fault breaks that is wrong at the first call."""


@dataclass(frozen=True)
class SubjectFault:
    """One way for a subject to be wrong.

    `name`, `summary`, `number`, `weight` and `convention` are as for a `Fault`.  `breaks` is
    `VALUES`, or names the claim that fails (`checkers/manners.py`) although the gradients of a
    first call are right.  `make()` makes a subject with a memory of its own.
    """

    name: str
    summary: str
    number: int | None
    weight: int
    breaks: str
    make: Callable[[], Subject]
    convention: bool = False


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
    ),
    SubjectFault(
        "forward_pass_kept",
        "the way back through the forward pass of the call before",
        14, 1, "interleaved calls", _forward_pass_kept,
    ),
    SubjectFault(
        "upstream_overwritten",
        "the caller's upstream overwritten",
        16, 2, "caller's arrays", _writing(_into_upstream),
    ),
    SubjectFault(
        "input_overwritten",
        "the caller's input overwritten",
        16, 1, "caller's arrays", _writing(_into_input),
    ),
    SubjectFault(
        "parameters_updated",
        "the caller's parameters updated within the gradient's computation",
        17, 1, "caller's arrays", _writing(_into_parameters),
    ),
    SubjectFault(
        "one_array_for_all_parents",
        "one array returned for all parents of an addition, and added to in place",
        15, 2, VALUES, _one_array_for_all_parents,
    ),
    SubjectFault(
        "last_maximum",
        "the last of several equal maxima taken for the maximum",
        28, 1, VALUES, _other_pieces(Choice), convention=True,
    ),
    SubjectFault(
        "every_tie_on_the_right",
        "the slope on the right of every kink taken at the kink",
        29, 2, VALUES, _other_pieces(Kink), convention=True,
    ),
    SubjectFault(
        "equal_maxima_counted_twice",
        "the cotangent of a maximum given twice where two are equal",
        29, 2, VALUES, _maxima_counted_twice,
    ),
)  # fmt: skip
"""Every fault of a subject, each with a name of its own."""


# --- optimisers -------------------------------------------------------------------------


class Rule(NamedTuple):
    """An optimiser with its constants: initial_state(parameters) -> state, and

    step(state, parameters, gradients) -> (parameters, state).  Nothing is written to.
    """

    initial_state: Callable[[Mapping[str, Array]], dict[str, Any]]
    step: Callable[..., tuple[Arrays, dict[str, Any]]]


@dataclass(frozen=True)
class OptimiserFault:
    """One way for an optimiser to be wrong: `wrong` for the rule `OPTIMISERS[optimiser]`."""

    name: str
    summary: str
    number: int | None
    weight: int
    optimiser: str
    wrong: Rule


RATE, BETA_1, BETA_2, EPSILON, MOMENTUM = 0.01, 0.9, 0.999, 1e-8, 0.9
"""The constants of the rules here: those that their papers and libraries propose."""


def _zeros(parameters: Mapping[str, Array]) -> Arrays:
    return {name: np.zeros_like(value) for name, value in parameters.items()}


def _adam(exponent: Callable[[int, int, int], float]) -> Rule:
    """Adam (Kingma and Ba 2015), with the exponent t of its correction as a function of

    the step, from 1; the number of the parameter, from 0; and how many parameters there are.

        m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2
        theta' = theta - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
    """

    def initial_state(parameters: Mapping[str, Array]) -> dict[str, Any]:
        return {"mean": _zeros(parameters), "square": _zeros(parameters), "steps": 0}

    def step(
        state: Mapping[str, Any], parameters: Mapping[str, Array], gradients: Mapping[str, Array]
    ) -> tuple[Arrays, dict[str, Any]]:
        new: dict[str, Any] = {"mean": {}, "square": {}, "steps": state["steps"] + 1}
        moved: Arrays = {}
        for k, (name, value) in enumerate(parameters.items()):
            g, t = gradients[name], exponent(new["steps"], k, len(parameters))
            m = new["mean"][name] = BETA_1 * state["mean"][name] + (1 - BETA_1) * g
            v = new["square"][name] = BETA_2 * state["square"][name] + (1 - BETA_2) * g * g
            root = np.sqrt(v / (1 - BETA_2**t))
            moved[name] = value - RATE * (m / (1 - BETA_1**t)) / (root + EPSILON)
        return moved, new

    return Rule(initial_state, step)


def _nesterov(looked_at: Callable[[Array, Array], Array]) -> Rule:
    """Nesterov's momentum as libraries have it, with looked_at(v, v') for v'.

    v' = mu v + g        theta' = theta - r (g + mu v')
    """

    def initial_state(parameters: Mapping[str, Array]) -> dict[str, Any]:
        return {"velocity": _zeros(parameters)}

    def step(
        state: Mapping[str, Any], parameters: Mapping[str, Array], gradients: Mapping[str, Array]
    ) -> tuple[Arrays, dict[str, Any]]:
        old = state["velocity"]
        new = {name: MOMENTUM * v + gradients[name] for name, v in old.items()}
        moved = {
            name: value - RATE * (gradients[name] + MOMENTUM * looked_at(old[name], new[name]))
            for name, value in parameters.items()
        }
        return moved, {"velocity": new}

    return Rule(initial_state, step)


OPTIMISERS: Mapping[str, Rule] = {
    "adam": _adam(lambda step, k, count: step),
    "nesterov": _nesterov(lambda old, new: new),
}
"""The right rules, whose faults follow."""

OPTIMISER_FAULTS: tuple[OptimiserFault, ...] = (
    OptimiserFault(
        "bias_correction_missing",
        "Adam without the correction of its bias",
        35, 1, "adam", _adam(lambda step, k, count: math.inf),
    ),
    OptimiserFault(
        "bias_corrected_as_at_first",
        "Adam corrected at every step as at the first",
        35, 1, "adam", _adam(lambda step, k, count: 1),
    ),
    OptimiserFault(
        "steps_counted_per_parameter",
        "Adam's step counted once for every parameter",
        35, 1, "adam", _adam(lambda step, k, count: (step - 1) * count + k + 1),
    ),
    OptimiserFault(
        "velocity_looked_at_too_early",
        "Nesterov's momentum with the velocity before its update",
        35, 1, "nesterov", _nesterov(lambda old, new: old),
    ),
)  # fmt: skip
"""Every fault of an optimiser, each with a name of its own."""
