"""Faults of an optimiser's step, each beside the right rule that it spoils."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, Arrays
from .survey import Kind, mimicked


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
    kind: Kind = field(kw_only=True)
    shows: str = field(kw_only=True)
    hidden: str = field(default="", kw_only=True)

    @property
    def mimics(self) -> str:
        """What happened elsewhere, of which this is one more."""
        return mimicked(self.number, "")


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
        kind="missing",
        shows="from the first step on",
        hidden="after so many steps that the correction is 1",
    ),
    OptimiserFault(
        "bias_corrected_as_at_first",
        "Adam corrected at every step as at the first",
        35, 1, "adam", _adam(lambda step, k, count: 1),
        kind="argument",
        shows="from the second step on",
        hidden="where one step is taken: the correction is right there",
    ),
    OptimiserFault(
        "steps_counted_per_parameter",
        "Adam's step counted once for every parameter",
        35, 1, "adam", _adam(lambda step, k, count: (step - 1) * count + k + 1),
        kind="state",
        shows="from the first step on",
        hidden="where there is one parameter",
    ),
    OptimiserFault(
        "velocity_looked_at_too_early",
        "Nesterov's momentum with the velocity before its update",
        35, 1, "nesterov", _nesterov(lambda old, new: old),
        kind="argument",
        shows="from the first step on",
        hidden="where the update leaves the velocity as it is",
    ),
)  # fmt: skip
"""Every fault of an optimiser, each with a name of its own."""
