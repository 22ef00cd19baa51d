"""A function of HIPS autograd, as a forward and a backward pass (`numpy_pair.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .numpy_pair import NumpyPair


def as_pair(function: Callable[..., Any], inputs: Sequence[Any]) -> NumpyPair:
    """The function, and `autograd.make_vjp` of it."""
    from autograd import make_vjp

    def forward(*xs: Any) -> Any:
        return function(*xs)

    def backward(saved: Any, y_bar: Any) -> Any:
        pull, _ = make_vjp(lambda xs: function(*xs))(tuple(saved))
        return pull(y_bar)

    name = str(getattr(function, "__name__", type(function).__name__))
    return NumpyPair(forward, backward, inputs, name)
