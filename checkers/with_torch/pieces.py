"""Functions that PyTorch has, as they must be written to keep their digits in float64.

Two traps shape the compositions.  `torch.where` sends a zero cotangent into the branch
it does not take, and 0 * inf is NaN, so that branch must stay finite.  And a saturated
value hides its own derivative: 1 - tanh(20)^2 has no correct digit, 4 e / (1 + e)^2 with
e = exp(-40) has all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    # torch.sigmoid differentiates to y (1 - y), which has no digits left at x = 40.
    e = torch.exp(torch.where(x < 0, x, -x))
    return torch.where(x < 0, e, 1.0) / (1 + e)


def tanh(x: Tensor) -> Tensor:
    # torch.tanh differentiates to 1 - y^2, which has no digits left at x = 20.
    e = torch.exp(-2 * x.abs())
    return torch.where(x.abs() < 0.5, torch.tanh(x), torch.sign(x) * (1 - e) / (1 + e))


def expm1(x: Tensor) -> Tensor:
    """exp(x) - 1 for x <= 0."""
    # torch.expm1 differentiates to y + 1, which has no digits left at x = -40.
    x = x.clamp(max=0.0)
    return torch.where(x > -1, torch.expm1(x), torch.exp(x) - 1)


def softmax(x: Tensor, axis: int) -> Tensor:
    # An entry near 1 is written as 1 - (the others): then the cotangents of the others
    # come as differences from its own, and y (g - sum(g y)) does not cancel.
    y = torch.softmax(x, axis)
    rest = y.masked_fill(y > 0.5, 0.0).sum(axis, keepdim=True)
    return torch.where(y > 0.5, 1 - rest, y)


def log_softmax(x: Tensor, axis: int) -> Tensor:
    # As in softmax: the entry near log(1) is log1p of minus the others.
    y = torch.softmax(x, axis)
    rest = y.masked_fill(y > 0.5, 0.0).sum(axis, keepdim=True).clamp(max=0.75)
    # torch.log_softmax differentiates to exp of its value, and exp(-640.3) has lost the last
    # three digits; exp(x - max x), with its exact argument, has them.
    below = x - x.detach().amax(axis, keepdim=True)
    other = below - torch.log(torch.exp(below).sum(axis, keepdim=True))
    return torch.where(y > 0.5, torch.log1p(-rest), other)
