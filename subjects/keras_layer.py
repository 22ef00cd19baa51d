"""A layer or model of Keras 3 as a function, on whichever backend Keras runs.

`stateless_call` is Keras's own way to call with given variables; with JAX its gradient is
`jax.vjp`'s, with PyTorch autograd's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np


class Stateless(NamedTuple):
    """`function(*inputs, *variables)`, its arguments as NumPy arrays, and their names."""

    backend: Literal["jax", "torch"]
    function: Callable[..., Any]
    arguments: list[Any]
    names: list[str]


def _floating(x: Any, dtype: str) -> Any:
    """An input in the layer's precision, to which Keras rounds it in any case."""
    return x.astype(dtype) if x.dtype.kind == "f" else x


def _in_precision(x: Any, dtype: str) -> Any:
    """An argument in the layer's precision: its variables are not to be finer than its inputs."""
    import keras

    floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
    return keras.ops.cast(x, dtype) if floating else x


def as_function(layer: Any, inputs: Sequence[Any]) -> Stateless:
    """The layer of its inputs and trainable variables.

    ValueError on a backend that has no gradients that are known here.
    """
    import keras

    backend = keras.config.backend()
    if backend not in ("jax", "torch"):
        raise ValueError(f"Keras runs on {backend}; gradients are checked on jax and torch")
    xs = [_floating(np.asarray(x), layer.compute_dtype) for x in inputs]
    layer(*(keras.ops.convert_to_tensor(x) for x in xs))  # builds it
    held = [
        v.numpy() if hasattr(v, "numpy") else np.asarray(v) for v in layer.non_trainable_variables
    ]

    def call(*arguments: Any) -> Any:
        arguments = tuple(_in_precision(a, layer.compute_dtype) for a in arguments)
        given, variables = arguments[: len(xs)], arguments[len(xs) :]
        still = [keras.ops.convert_to_tensor(v) for v in held]
        outputs, _ = layer.stateless_call(list(variables), still, *given)
        return outputs

    call.__name__ = str(layer.name)
    variables = [keras.ops.convert_to_numpy(v) for v in layer.trainable_variables]
    names = [f"input {i}" for i in range(len(xs))]
    names += [str(v.path) for v in layer.trainable_variables]
    return Stateless(backend, call, [*xs, *variables], names)
