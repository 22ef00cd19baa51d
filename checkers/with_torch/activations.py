"""The activations in PyTorch: y = f(op, parameters, x)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward
from .pieces import expm1, log_softmax, sigmoid, softmax, tanh


def _elu(x: Tensor, alpha: float, scale: float = 1.0) -> Tensor:
    return torch.where(x > 0, scale * x, scale * alpha * expm1(x))


def _gelu(op: operators.GELU, x: Tensor) -> Tensor:
    # F.gelu adds 1 to erf or tanh, which cancels in the left tail.
    if op.form == "exact":
        exact: Tensor = x * torch.special.erfc(x * -math.sqrt(0.5)) / 2
        return exact
    near = x.clamp(-100.0, 100.0)  # beyond, sigmoid is 0 or 1 and x^3 may overflow
    return x * sigmoid(math.sqrt(8 / math.pi) * (near + 0.044715 * near**3))


def _mish(x: Tensor) -> Tensor:
    # With e = exp(x) and m = exp(-x), tanh(log(1 + e)) is
    # e (e + 2) / (e (e + 2) + 2) = 1 - 2 m^2 / (1 + 2 m + 2 m^2).
    e, m = torch.exp(x.clamp(max=0.0)), torch.exp(-x.clamp(min=0.0))
    n = e * (e + 2)
    return x * torch.where(x < 0, n / (n + 2), 1 - 2 * m**2 / (1 + 2 * m + 2 * m**2))


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    # F.prelu counts its slopes along axis 1.
    return F.prelu(x.movedim(-1, 1), slope).movedim(1, -1)


def _softsign(x: Tensor) -> Tensor:
    # F.softsign differentiates to a difference that cancels for large |x|.
    a = 1 + x.abs()
    return torch.where(a < 2, x / a, torch.sign(x) * (1 - 1 / a))


def _tanh_shrink(x: Tensor) -> Tensor:
    # x - tanh(x) cancels near 0, where
    # x cosh(x) - sinh(x) = sum over k >= 1 of 2 k x^(2 k + 1) / (2 k + 1)!, all of one sign.
    near = x.clamp(-1.0, 1.0)
    square = near * near
    series = torch.zeros_like(x)
    for k in range(11, 0, -1):
        series = series * square + 2 * k / math.factorial(2 * k + 1)
    return torch.where(x.abs() < 1, near * square * series / torch.cosh(near), x - tanh(x))


def _glu(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return a * sigmoid(b)


def _swiglu(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return a * sigmoid(a) * b


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Identity: lambda op, p, x: x,
    operators.Sigmoid: lambda op, p, x: sigmoid(x),
    operators.Tanh: lambda op, p, x: tanh(x),
    operators.ReLU: lambda op, p, x: F.relu(x),
    operators.LeakyReLU: lambda op, p, x: F.leaky_relu(x, op.slope),
    operators.PReLU: lambda op, p, x: _prelu(x, p["slope"]),
    operators.ELU: lambda op, p, x: _elu(x, op.alpha),
    operators.SELU: lambda op, p, x: _elu(x, SELU_ALPHA, SELU_SCALE),
    # F.celu rounds alpha to float32 when it differentiates.
    operators.CELU: lambda op, p, x: torch.where(x > 0, x, op.alpha * expm1(x / op.alpha)),
    operators.GELU: lambda op, p, x: _gelu(op, x),
    operators.SiLU: lambda op, p, x: x * sigmoid(x),
    operators.Mish: lambda op, p, x: _mish(x),
    # F.softplus is linear above its threshold, and overflows without one.
    operators.Softplus: lambda op, p, x: -F.logsigmoid(-op.beta * x) / op.beta,
    operators.Softsign: lambda op, p, x: _softsign(x),
    operators.HardTanh: lambda op, p, x: F.hardtanh(x, op.low, op.high),
    operators.ReLU6: lambda op, p, x: F.relu6(x),
    # F.hardsigmoid differentiates to 1 / 6 as rounded to float32.
    operators.HardSigmoid: lambda op, p, x: (F.hardtanh(x, -3.0, 3.0) + 3) / 6,
    operators.HardSwish: lambda op, p, x: F.hardswish(x),
    operators.LogSigmoid: lambda op, p, x: F.logsigmoid(x),
    operators.TanhShrink: lambda op, p, x: _tanh_shrink(x),
    operators.SoftShrink: lambda op, p, x: F.softshrink(x, op.threshold),
    operators.HardShrink: lambda op, p, x: F.hardshrink(x, op.threshold),
    operators.Sine: lambda op, p, x: torch.sin(op.frequency * x),
    operators.Square: lambda op, p, x: torch.square(x),
    operators.Exp: lambda op, p, x: torch.exp(x),
    operators.Affine: lambda op, p, x: op.scale * x + op.shift,
    operators.Softmax: lambda op, p, x: softmax(x, op.axis),
    operators.LogSoftmax: lambda op, p, x: log_softmax(x, op.axis),
    operators.GLU: lambda op, p, x: _glu(x),
    operators.SwiGLU: lambda op, p, x: _swiglu(x),
}
