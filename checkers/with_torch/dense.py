"""Linear maps and products of tensors in PyTorch: y = f(op, parameters, x)."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward, Tensors


def _weight_norm_dense(op: operators.WeightNormDense, p: Tensors, x: Tensor) -> Tensor:
    weight = torch._weight_norm(p["direction"], p["gain"][:, None], 0)
    return F.linear(x, weight, p.get("bias"))


def _embedding(op: operators.Embedding, p: Tensors, x: tuple[()]) -> Tensor:
    # F.embedding's padding_idx stops the gradient only; the value would be the weight's row.
    indices = p["indices"]
    y = F.embedding(indices, p["weight"])
    if op.padding_index is None:
        return y
    return y.masked_fill((indices == op.padding_index)[..., None], 0.0)


def _matmul(op: operators.MatMul, x: tuple[Tensor, Tensor]) -> Tensor:
    a, b = x
    return torch.matmul(a.mT if op.transpose_a else a, b.mT if op.transpose_b else b)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Dense: lambda op, p, x: F.linear(x, p["weight"], p.get("bias")),
    operators.WeightNormDense: _weight_norm_dense,
    operators.Bilinear: lambda op, p, x: F.bilinear(x[0], x[1], p["weight"], p.get("bias")),
    operators.Embedding: _embedding,
    operators.Variable: lambda op, p, x: p["value"],
    operators.MatMul: lambda op, p, x: _matmul(op, x),
    operators.Add: lambda op, p, x: functools.reduce(torch.add, x),
    operators.Subtract: lambda op, p, x: torch.sub(*x),
    operators.Multiply: lambda op, p, x: torch.mul(*x),
    operators.Maximum: lambda op, p, x: torch.maximum(*x),
    operators.Minimum: lambda op, p, x: torch.minimum(*x),
}
"""Each operator's y = f(op, parameters, x)."""
