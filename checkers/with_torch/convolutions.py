"""Convolutions and pooling in PyTorch: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward, Tensors

Native = Callable[..., Tensor]


def _convolution(native: Native) -> Forward:
    def forward(op: Any, p: Tensors, x: Tensor) -> Tensor:
        axes = len(op.kernel)
        stride, dilation = op.stride or (1,) * axes, op.dilation or (1,) * axes
        padding: Any = op.padding
        if padding == "same":  # PyTorch refuses a stride with it, and warns of an even kernel
            x, padding = F.pad(x, _same(x, op.kernel, stride, dilation)), "valid"
        bias = p.get("bias")
        return native(x, p["weight"], bias, stride, padding, dilation, op.groups)

    return forward


def _same(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[int]:
    """The zeros around x as F.pad takes them, the last axis first."""
    pairs: list[int] = []
    spatial = x.shape[-len(kernel) :]
    for n, k, s, d in reversed(list(zip(spatial, kernel, stride, dilation, strict=True))):
        outputs = (n + s - 1) // s
        total = max((outputs - 1) * s + d * (k - 1) + 1 - n, 0)
        pairs += [total // 2, total - total // 2]
    return pairs


def _transposed(native: Native) -> Forward:
    def forward(op: Any, p: Tensors, x: Tensor) -> Tensor:
        return native(
            x,
            p["weight"],
            p.get("bias"),
            stride=op.stride or 1,
            padding=op.padding or 0,
            output_padding=op.output_padding or 0,
            groups=op.groups,
            dilation=op.dilation or 1,
        )

    return forward


def _max_pool(native: Native) -> Forward:
    return lambda op, p, x: native(x, op.kernel, op.stride or None, op.padding or 0)


def _average_pool(native: Native) -> Forward:
    return lambda op, p, x: native(
        x,
        op.kernel,
        op.stride or None,
        op.padding or 0,
        count_include_pad=op.count_include_pad,
    )


def _global(natives: Mapping[int, Native]) -> Forward:
    return lambda op, p, x: natives[x.dim()](x, 1).flatten(1)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Conv1d: _convolution(F.conv1d),
    operators.Conv2d: _convolution(F.conv2d),
    operators.Conv3d: _convolution(F.conv3d),
    operators.ConvTranspose1d: _transposed(F.conv_transpose1d),
    operators.ConvTranspose2d: _transposed(F.conv_transpose2d),
    operators.MaxPool1d: _max_pool(F.max_pool1d),
    operators.MaxPool2d: _max_pool(F.max_pool2d),
    operators.AveragePool1d: _average_pool(F.avg_pool1d),
    operators.AveragePool2d: _average_pool(F.avg_pool2d),
    operators.AdaptiveAveragePool1d: lambda op, p, x: F.adaptive_avg_pool1d(x, op.size),
    operators.AdaptiveAveragePool2d: lambda op, p, x: F.adaptive_avg_pool2d(x, op.size),
    operators.GlobalAveragePool: _global(
        {3: F.adaptive_avg_pool1d, 4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d}
    ),
    operators.GlobalMaxPool: _global(
        {3: F.adaptive_max_pool1d, 4: F.adaptive_max_pool2d, 5: F.adaptive_max_pool3d}
    ),
}
"""Each operator's y = f(op, parameters, x)."""
