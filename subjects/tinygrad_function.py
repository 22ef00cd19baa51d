"""A function of tinygrad's tensors, as a forward and a backward pass (`numpy_pair.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .numpy_pair import NumpyPair


def as_pair(function: Callable[..., Any], inputs: Sequence[Any]) -> NumpyPair:
    """The function, and `Tensor.gradient` of it, on tinygrad's default device."""
    from tinygrad import Tensor

    def leaves(xs: Sequence[Any]) -> list[Any]:
        return [Tensor(np.array(x)) for x in xs]

    def forward(*xs: Any) -> Any:
        return function(*leaves(xs)).numpy()

    def backward(saved: Any, y_bar: Any) -> Any:
        tensors = leaves(saved)
        y = function(*tensors)
        wanted = [t for t, x in zip(tensors, saved, strict=True) if x.dtype.kind == "f"]
        found = iter(y.gradient(*wanted, gradient=Tensor(np.array(y_bar))))
        return [next(found).numpy() if x.dtype.kind == "f" else None for x in saved]

    name = str(getattr(function, "__name__", type(function).__name__))
    return NumpyPair(forward, backward, inputs, name)
