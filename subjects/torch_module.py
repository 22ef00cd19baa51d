"""A PyTorch module as a function: of its inputs, and of every parameter that is trained.

Buffers are given anew for each call, so that running statistics do not move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def is_module(thing: Any) -> bool:
    """Whether it is a module of PyTorch's."""
    return isinstance(thing, nn.Module)


def as_function(
    module: nn.Module, inputs: Sequence[Any]
) -> tuple[Callable[..., Any], list[Any], list[str]]:
    """(a function, its arguments, their names): the inputs, then the parameters.

    Floating-point inputs are differentiated too.
    """
    xs = [
        x.detach().clone().requires_grad_(x.is_floating_point()) if isinstance(x, Tensor) else x
        for x in inputs
    ]
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    others = {n: p for n, p in module.named_parameters() if not p.requires_grad}
    held = {**others, **dict(module.named_buffers())}

    def call(*arguments: Any) -> Any:
        given, parameters = arguments[: len(xs)], arguments[len(xs) :]
        dtype = next(
            (a.dtype for a in arguments if isinstance(a, Tensor) and a.requires_grad), None
        )
        state = {name: _like(value.detach().clone(), dtype) for name, value in held.items()}
        state.update(zip(trained, parameters, strict=True))
        return functional_call(module, state, tuple(_like(x, dtype) for x in given))

    call.__name__ = type(module).__name__
    names = [f"input {i}" for i in range(len(xs))]
    leaves = [p.detach().clone().requires_grad_() for p in trained.values()]
    return call, [*xs, *leaves], [*names, *trained]


def _like(value: Any, dtype: torch.dtype | None) -> Any:
    """A floating-point tensor in the dtype of what is differentiated; anything else as it is."""
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if floating and dtype is not None else value
