"""Normalisation, and the regularisation with given masks, in PyTorch: y = f(op, p, x).

An input is made contiguous first: on one in `channels_last` order (which a transpose may
leave) F.group_norm takes the variance as mean(x^2) - mean(x)^2, and at a mean of 10^6
deviations is wrong by 8 10^6 times the rounding of x, where its other kernel is within 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward, Tensors


def _batch_norm(op: operators.BatchNorm, p: Tensors, x: Tensor) -> Tensor:
    return F.batch_norm(
        x.contiguous(),
        p.get("mean"),
        p.get("variance"),
        p.get("gamma"),
        p.get("beta"),
        training=op.statistics == "batch",
        eps=op.epsilon,
    )


def _layer_norm(op: operators.LayerNorm, p: Tensors, x: Tensor) -> Tensor:
    shape = x.shape[-op.axes :]
    return F.layer_norm(x.contiguous(), shape, p.get("gamma"), p.get("beta"), op.epsilon)


def _group_norm(op: operators.GroupNorm, p: Tensors, x: Tensor) -> Tensor:
    return F.group_norm(x.contiguous(), op.groups, p.get("gamma"), p.get("beta"), op.epsilon)


def _instance_norm(op: operators.InstanceNorm, p: Tensors, x: Tensor) -> Tensor:
    return F.instance_norm(
        x.contiguous(), weight=p.get("gamma"), bias=p.get("beta"), eps=op.epsilon
    )


def _rms_norm(op: operators.RMSNorm, p: Tensors, x: Tensor) -> Tensor:
    return F.rms_norm(x.contiguous(), x.shape[-1:], p.get("gamma"), op.epsilon)


def _masked(op: operators.Dropout | operators.StochasticDepth, p: Tensors, x: Tensor) -> Tensor:
    # F.dropout draws its own mask.
    return x * p["mask"] / (1 - op.rate)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.BatchNorm: _batch_norm,
    operators.LayerNorm: _layer_norm,
    operators.GroupNorm: _group_norm,
    operators.InstanceNorm: _instance_norm,
    operators.RMSNorm: _rms_norm,
    operators.Dropout: _masked,
    operators.StochasticDepth: _masked,
}
"""Each operator's y = f(op, parameters, x)."""
