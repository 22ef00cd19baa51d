"""Optimisers, one page each: the docstring derives, the code below it follows line by line.

An optimiser's page offers

    initial_state(optimiser, parameters)               -> state
    step(optimiser, state, parameters, gradients)      -> (parameters, state)

All are mappings from parameter names to arrays; a state maps the names of its buffers to
such mappings.  Nothing is written to: a step returns new arrays.
"""

from . import sgd

__all__ = ["sgd"]
