"""What rearranges, repeats or reduces entries, in PyTorch: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward

NATIVE_PADDED_AXES = 3
"""F.pad reflects and replicates at most the last three axes."""


def _reshape(op: operators.Reshape, x: Tensor) -> Tensor:
    return x.reshape(*x.shape[: -op.axes], *op.shape)


def _transpose(op: operators.Transpose, x: Tensor) -> Tensor:
    kept = range(x.dim() - len(op.order))
    return x.permute(*kept, *(x.dim() + axis for axis in op.order))


def _pad(op: operators.Pad, x: Tensor) -> Tensor:
    k = len(op.padding)
    pairs = [n for pair in reversed(op.padding) for n in pair]  # F.pad has the last axis first
    if op.mode == "constant":
        return F.pad(x, pairs, value=op.value)
    if k > NATIVE_PADDED_AXES:
        return _pad_by_indices(op, x)
    # F.pad wants one or two axes before those that it pads.
    mode = "reflect" if op.mode == "reflect" else "replicate"
    padded = F.pad(x.reshape(-1, *x.shape[-k:]), pairs, mode=mode)
    return padded.reshape(*x.shape[:-k], *padded.shape[1:])


def _pad_by_indices(op: operators.Pad, x: Tensor) -> Tensor:
    for axis, (before, after) in enumerate(op.padding, start=-len(op.padding)):
        last = x.shape[axis] - 1
        at = torch.arange(-before, last + after + 1, device=x.device)
        source = last - (last - at.abs()).abs() if op.mode == "reflect" else at.clamp(0, last)
        x = x.index_select(axis, source)
    return x


def _slice(op: operators.Slice, x: Tensor) -> Tensor:
    every = [slice(None)] * x.dim()
    every[op.axis] = slice(op.start, op.stop, op.step)
    return x[tuple(every)]


def _upsample(op: operators.Upsample, x: Tensor) -> Tensor:
    size = [n * f for n, f in zip(x.shape[-2:], op.factor, strict=True)]
    if op.form == "nearest":
        return F.interpolate(x, size, mode="nearest")
    return F.interpolate(x, size, mode="bilinear", align_corners=op.align_corners)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Flatten: lambda op, p, x: x.flatten(-op.axes),
    operators.Reshape: lambda op, p, x: _reshape(op, x),
    operators.Transpose: lambda op, p, x: _transpose(op, x),
    operators.Pad: lambda op, p, x: _pad(op, x),
    operators.Slice: lambda op, p, x: _slice(op, x),
    operators.Concat: lambda op, p, x: torch.cat(x, op.axis),
    operators.Sum: lambda op, p, x: x.sum(op.axes, keepdim=op.keep),
    operators.Mean: lambda op, p, x: x.mean(op.axes, keepdim=op.keep),
    operators.Max: lambda op, p, x: x.amax(op.axes, keepdim=op.keep),
    operators.Upsample: lambda op, p, x: _upsample(op, x),
}
"""Each operator's y = f(op, parameters, x)."""
