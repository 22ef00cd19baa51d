"""PyTorch's opinion: every gradient of a case in float64 on the CPU, by autograd.

Each operator and loss is one function in a table, written from its docstring in
`architectures`, with PyTorch's own functions.  Where PyTorch's function says something
else than the docstring, or loses digits that float64 has (a comment says which), it is
composed from smaller ones, so that what is left between this and another checker is
rounding.  Where a tensor is used several times, each use is a tensor of its own (a view),
so that autograd tells its cotangent too.

This is the only package that imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...architectures.architecture import Slot, edge_name, is_weight
from ...architectures.cases import Case
from ...reference.arrays import Array
from ..estimate import Estimate, Unsupported
from . import (
    activations,
    attention,
    convolutions,
    dense,
    normalisations,
    recurrence,
    shapes,
)
from .forms import Forward
from .losses import LOSS, penalty_value

FORWARD: Mapping[type[Any], Forward] = {
    **dense.FORWARD,
    **activations.FORWARD,
    **shapes.FORWARD,
    **convolutions.FORWARD,
    **normalisations.FORWARD,
    **attention.FORWARD,
    **recurrence.FORWARD,
}
"""Each operator's y = f(op, parameters, x)."""


def estimate(case: Case) -> Estimate:
    """The loss, and the gradient of every tensor, float64 arrays of each tensor's shape.

    Unsupported for an operator or a loss without an entry.  Modes, random state and default
    dtype of the program around it neither matter nor change.
    """
    with torch.inference_mode(False), torch.enable_grad():
        parameters = {name: _leaf(value) for name, value in case.parameters.items()}
        loss, tensors = _run(case, parameters)
        gradients = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
        return Estimate(
            "torch",
            loss.item(),
            {n: _copied(g, tensors[n]) for n, g in zip(tensors, gradients, strict=True)},
        )


def _copied(gradient: Tensor | None, of: Tensor) -> Array:
    """A copy: autograd hands out one tensor twice where a cotangent passes unchanged."""
    if gradient is None:  # a tensor that the loss does not depend on
        return np.zeros(tuple(of.shape))
    return gradient.numpy().copy()


def _leaf(value: Array) -> Tensor:
    return torch.from_numpy(np.array(value, np.float64)).requires_grad_()


def _given(value: Array) -> Tensor:
    kind = np.float64 if value.dtype.kind == "f" else value.dtype
    return torch.from_numpy(np.array(value, kind))


def _run(case: Case, parameters: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss with its penalties, and every tensor that has a gradient."""
    a = case.architecture
    tensors: dict[str, Tensor] = dict(parameters)
    if case.input is not None:
        tensors["input"] = _leaf(case.input)

    def used(slot: Slot) -> Tensor:
        value = tensors[slot.source]
        if slot.name not in a.named_slots:
            return value
        tensors[slot.name] = value.view_as(value)
        return tensors[slot.name]

    def listed(site: str, names: Sequence[str]) -> Any:
        values = [used(Slot(site, k, name)) for k, name in enumerate(names)]
        return values[0] if len(values) == 1 else tuple(values)

    for i, op in enumerate(a.layers):
        if type(op) not in FORWARD:
            raise Unsupported(f"the PyTorch checker has no {op.name}")
        site = f"layers.{i}"
        p = {
            name.removeprefix(f"{site}."): _given(value)
            for name, value in case.data.items()
            if name.startswith(f"{site}.")
        }
        p |= {key: used(Slot(site, key, name)) for key, name in a.own[i].items()}
        y = FORWARD[type(op)](op, p, listed(site, a.sources[i]))
        # a tensor and a cotangent of its own, also where y is an input as it came
        tensors[edge_name(i + 1)] = y.view_as(y) if any(y is t for t in tensors.values()) else y
    total: Any = 0.0
    for site, loss in a.losses.items():
        if type(loss) not in LOSS:
            raise Unsupported(f"the PyTorch checker has no {loss.name}")
        target = _given(case.targets[site]) if site in case.targets else None
        total = total + LOSS[type(loss)](loss, listed(site, a.loss_sources[site]), target)
    for penalty in a.penalties:
        for name in a.parameters:
            if is_weight(name):
                total = total + penalty_value(penalty, tensors[name])
    return total, tensors


def sgd_trajectory(cases: Sequence[Case], learning_rate: float) -> list[dict[str, Array]]:
    """The parameters after each step of torch.optim.SGD on autograd's gradients, float64.

    It starts at the parameters of the first case; each case in turn gives a step's input
    and target.
    """
    trajectory = []
    with torch.inference_mode(False), torch.enable_grad():
        parameters = {name: _leaf(value) for name, value in cases[0].parameters.items()}
        optimiser = torch.optim.SGD(list(parameters.values()), lr=learning_rate)
        for case in cases:
            optimiser.zero_grad()
            torch.autograd.backward(_run(case, parameters)[0])
            optimiser.step()
            trajectory.append({k: v.detach().numpy().copy() for k, v in parameters.items()})
    return trajectory


def optimiser_steps(
    name: str, parameters: Mapping[str, Any], gradients: Sequence[Mapping[str, Any]]
) -> list[dict[str, Array]]:
    """The parameters after each of PyTorch's steps on given gradients, float64.

    `name` is `adam` or `nesterov`, with the constants that PyTorch's `Adam` has by itself, and
    a learning rate of 0.01, a momentum of 0.9.
    """
    makers: dict[str, Any] = {
        "adam": lambda leaves: torch.optim.Adam(leaves, lr=0.01),
        "nesterov": lambda leaves: torch.optim.SGD(leaves, lr=0.01, momentum=0.9, nesterov=True),
    }
    trajectory = []
    with torch.inference_mode(False):
        now = {k: _leaf(np.asarray(v, np.float64)) for k, v in parameters.items()}
        optimiser = makers[name](list(now.values()))
        for given in gradients:
            for k, leaf in now.items():
                leaf.grad = torch.tensor(np.asarray(given[k], np.float64))
            optimiser.step()
            trajectory.append({k: v.detach().numpy().copy() for k, v in now.items()})
    return trajectory
