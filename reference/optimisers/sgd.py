"""Gradient descent, stochastic where the gradient is that of a batch (Robbins and Monro 1951).

Near theta the loss is L + <g, d>.  Lower that, at a price for a long step d:

    minimise <g, d> + |d|^2 / (2 r)        g + d / r = 0        d = -r g

    theta' = theta - r g

r is the learning rate.  The price is that of a quadratic with curvature 1 / r, so the step
lowers the true loss wherever the loss bends less than that.  There is no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...architectures.checks import check_number
from ..arrays import Array, Arrays

State = dict[str, Arrays]
"""An optimiser's buffers by their names, each with an array for every parameter."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent with a constant learning rate.  ValueError unless it is positive."""

    learning_rate: float

    def __post_init__(self) -> None:
        check_number("learning_rate", self.learning_rate, float, {"exclusiveMinimum": 0})


def initial_state(optimiser: SGD, parameters: Mapping[str, Array]) -> State:
    """Empty: a step depends on nothing but its gradient."""
    return {}


def step(
    optimiser: SGD,
    state: State,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
) -> tuple[Arrays, State]:
    """New parameters, of the same names, shapes and dtypes, and the new state.

    `gradients` may hold more than the parameters' (the edges', say).  ValueError, naming
    the parameter, for a gradient that is missing or of another shape.
    """
    for name, value in parameters.items():
        shape = gradients[name].shape if name in gradients else None
        if shape != value.shape:
            raise ValueError(
                f"the gradient of {name} must have shape {value.shape}, "
                + ("but there is none" if shape is None else f"got {shape}")
            )
    r = optimiser.learning_rate
    return {name: value - r * gradients[name] for name, value in parameters.items()}, state
