"""Optimisers, one page each: the docstring derives, the code below it follows line by line.

An optimiser's page offers

    initial_state(optimiser, parameters)               -> state
    step(optimiser, state, parameters, gradients)      -> (parameters, state)

All are mappings from parameter names to arrays; a state maps the names of its buffers to
such mappings.  Nothing is written to: a step returns new arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import sgd
from .sgd import SGD

OPTIMISERS: Mapping[type[Any], Any] = {SGD: sgd}
"""The page of each optimiser.  The frameworks' trajectories know SGD."""

__all__ = ["OPTIMISERS", "sgd"]
