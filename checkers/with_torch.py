"""PyTorch's opinion: every gradient of a case in float64 on the CPU, by autograd.

Each operator and loss is one function in a table, written from its docstring in
`architectures`, with PyTorch's own functions.  Where PyTorch's function says something
else than the docstring, or loses digits that float64 has (a comment says which), it is
composed from smaller ones, so that what is left between this and another checker is
rounding.

Two traps shape the compositions.  `torch.where` sends a zero cotangent into the branch
it does not take, and 0 * inf is NaN, so that branch must stay finite.  And a saturated
value hides its own derivative: 1 - tanh(20)^2 has no correct digit, 4 e / (1 + e)^2 with
e = exp(-40) has all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..architectures import losses, operators
from ..architectures.architecture import Architecture, edge_name
from ..architectures.cases import Case
from ..reference.arrays import Array
from .estimate import Estimate, Unsupported

Tensors = Mapping[str, Tensor]


def estimate(case: Case) -> Estimate:
    """The loss, and the gradient of every parameter, of the input and of every edge.

    float64 arrays of each tensor's shape, under `layers.I.NAME`, `input` and
    `layers.I.output`.  Unsupported for an operator or a loss without an entry below.
    Modes, random state and default dtype of the program around it neither matter nor change.
    """
    with torch.inference_mode(False), torch.enable_grad():
        parameters = {name: _leaf(value) for name, value in case.parameters.items()}
        edges = _forward(case.architecture, parameters, _leaf(case.input))
        loss = _loss(case, parameters, edges[-1])
        tensors = {**parameters, **{edge_name(i): edge for i, edge in enumerate(edges)}}
        gradients = torch.autograd.grad(loss, list(tensors.values()))
        return Estimate(
            "torch",
            loss.item(),
            # A copy: autograd hands out one tensor twice where a cotangent passes unchanged.
            {name: g.numpy().copy() for name, g in zip(tensors, gradients, strict=True)},
        )


def _leaf(value: Array) -> Tensor:
    return torch.from_numpy(np.array(value, np.float64)).requires_grad_()


def _forward(architecture: Architecture, parameters: Tensors, x: Tensor) -> list[Tensor]:
    """The tensor at every edge."""
    edges = [x]
    for i, op in enumerate(architecture.layers):
        if type(op) not in FORWARD:
            raise Unsupported(f"the PyTorch checker has no {op.name}")
        prefix = f"layers.{i}."
        own = {
            name.removeprefix(prefix): value
            for name, value in parameters.items()
            if name.startswith(prefix)
        }
        edges.append(FORWARD[type(op)](op, own, edges[-1]))
    return edges


def _loss(case: Case, parameters: Tensors, y: Tensor) -> Tensor:
    """The loss with its penalties, a scalar."""
    architecture = case.architecture
    loss = architecture.loss
    if type(loss) not in LOSS:
        raise Unsupported(f"the PyTorch checker has no {loss.name}")
    total = LOSS[type(loss)](loss, y, torch.from_numpy(_owned(case.target)))
    weights = [
        parameters[f"layers.{i}.weight"]
        for i, op in enumerate(architecture.layers)
        if isinstance(op, operators.Dense)
    ]
    for penalty in architecture.penalties:
        for w in weights:
            total = total + _penalty(penalty, w)
    return total


def _owned(target: Array) -> Array:
    kind = np.float64 if np.issubdtype(target.dtype, np.floating) else np.int64
    return np.array(target, kind)


# --- operators: (op, parameters, x) -> y ----------------------------------------------


def _sigmoid(x: Tensor) -> Tensor:
    # torch.sigmoid differentiates to y (1 - y), which has no digits left at x = 40.
    e = torch.exp(torch.where(x < 0, x, -x))
    return torch.where(x < 0, e, 1.0) / (1 + e)


def _tanh(x: Tensor) -> Tensor:
    # torch.tanh differentiates to 1 - y^2, which has no digits left at x = 20.
    e = torch.exp(-2 * x.abs())
    return torch.where(x.abs() < 0.5, torch.tanh(x), torch.sign(x) * (1 - e) / (1 + e))


def _expm1(x: Tensor) -> Tensor:
    """exp(x) - 1 for x <= 0."""
    # torch.expm1 differentiates to y + 1, which has no digits left at x = -40.
    x = x.clamp(max=0.0)
    return torch.where(x > -1, torch.expm1(x), torch.exp(x) - 1)


def _elu(x: Tensor, alpha: float, scale: float = 1.0) -> Tensor:
    return torch.where(x > 0, scale * x, scale * alpha * _expm1(x))


def _gelu(op: operators.GELU, x: Tensor) -> Tensor:
    # F.gelu adds 1 to erf or tanh, which cancels in the left tail.
    if op.form == "exact":
        exact: Tensor = x * torch.special.erfc(x * -math.sqrt(0.5)) / 2
        return exact
    near = x.clamp(-100.0, 100.0)  # beyond, sigmoid is 0 or 1 and x^3 may overflow
    return x * _sigmoid(math.sqrt(8 / math.pi) * (near + 0.044715 * near**3))


def _mish(x: Tensor) -> Tensor:
    # With e = exp(x) and m = exp(-x), tanh(log(1 + e)) is
    # e (e + 2) / (e (e + 2) + 2) = 1 - 2 m^2 / (1 + 2 m + 2 m^2).
    e, m = torch.exp(x.clamp(max=0.0)), torch.exp(-x.clamp(min=0.0))
    n = e * (e + 2)
    return x * torch.where(x < 0, n / (n + 2), 1 - 2 * m**2 / (1 + 2 * m + 2 * m**2))


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
    return torch.where(x.abs() < 1, near * square * series / torch.cosh(near), x - _tanh(x))


def _softmax(x: Tensor, axis: int) -> Tensor:
    # An entry near 1 is written as 1 - (the others): then the cotangents of the others
    # come as differences from its own, and y (g - sum(g y)) does not cancel.
    y = torch.softmax(x, axis)
    rest = y.masked_fill(y > 0.5, 0.0).sum(axis, keepdim=True)
    return torch.where(y > 0.5, 1 - rest, y)


def _log_softmax(x: Tensor, axis: int) -> Tensor:
    # As in softmax: the entry near log(1) is log1p of minus the others.
    y = torch.softmax(x, axis)
    rest = y.masked_fill(y > 0.5, 0.0).sum(axis, keepdim=True).clamp(max=0.75)
    # torch.log_softmax differentiates to exp of its value, and exp(-640.3) has lost the last
    # three digits; exp(x - max x), with its exact argument, has them.
    below = x - x.detach().amax(axis, keepdim=True)
    other = below - torch.log(torch.exp(below).sum(axis, keepdim=True))
    return torch.where(y > 0.5, torch.log1p(-rest), other)


def _glu(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return a * _sigmoid(b)


def _swiglu(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return a * _sigmoid(a) * b


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

FORWARD: Mapping[type[operators.Operator], Callable[[Any, Tensors, Tensor], Tensor]] = {
    operators.Dense: lambda op, p, x: F.linear(x, p["weight"], p.get("bias")),
    operators.Identity: lambda op, p, x: x.clone(),  # a tensor and a cotangent of its own
    operators.Sigmoid: lambda op, p, x: _sigmoid(x),
    operators.Tanh: lambda op, p, x: _tanh(x),
    operators.ReLU: lambda op, p, x: F.relu(x),
    operators.LeakyReLU: lambda op, p, x: F.leaky_relu(x, op.slope),
    operators.PReLU: lambda op, p, x: F.prelu(x, p["slope"]),
    operators.ELU: lambda op, p, x: _elu(x, op.alpha),
    operators.SELU: lambda op, p, x: _elu(x, SELU_ALPHA, SELU_SCALE),
    # F.celu rounds alpha to float32 when it differentiates.
    operators.CELU: lambda op, p, x: torch.where(x > 0, x, op.alpha * _expm1(x / op.alpha)),
    operators.GELU: lambda op, p, x: _gelu(op, x),
    operators.SiLU: lambda op, p, x: x * _sigmoid(x),
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
    operators.Softmax: lambda op, p, x: _softmax(x, op.axis),
    operators.LogSoftmax: lambda op, p, x: _log_softmax(x, op.axis),
    operators.GLU: lambda op, p, x: _glu(x),
    operators.SwiGLU: lambda op, p, x: _swiglu(x),
}


# --- losses: (loss, y, t) -> scalar ---------------------------------------------------


def _reduce(terms: Tensor, reduction: str) -> Tensor:
    """`mean` over all terms, `batch_mean` over the rows, `sum` over nothing."""
    total = terms.sum()
    divisor = {"sum": 1, "mean": terms.numel(), "batch_mean": terms.shape[0]}
    return total / divisor[reduction]


def _squared_error(loss: losses.SquaredError, y: Tensor, t: Tensor) -> Tensor:
    if loss.reduction == "half_sum":
        return F.mse_loss(y, t, reduction="sum") / 2
    return _reduce(F.mse_loss(y, t, reduction="none"), loss.reduction)


def _log_cosh(loss: losses.LogCosh, y: Tensor, t: Tensor) -> Tensor:
    # cosh(r) overflows; |r| - log(2) + log1p(exp(-2 |r|)) does not, but cancels near 0,
    # where cosh(r) - 1 = 2 sinh(r / 2)^2.
    r = y - t
    near = torch.log1p(2 * torch.sinh(r.clamp(-1.0, 1.0) / 2) ** 2)
    far = r.abs() - math.log(2) + torch.log1p(torch.exp(-2 * r.abs()))
    return _reduce(torch.where(r.abs() < 1, near, far), loss.reduction)


def _class_weights(loss: losses.CrossEntropy | losses.NegativeLogLikelihood, y: Tensor) -> Tensor:
    if loss.class_weights is None:
        return y.new_ones(y.shape[-1])
    return y.new_tensor(loss.class_weights)


def _negative_log_likelihood(
    loss: losses.CrossEntropy | losses.NegativeLogLikelihood,
    q: Tensor,
    t: Tensor,
    smoothing: float = 0.0,
) -> Tensor:
    w = _class_weights(loss, q)
    counts = t != (-1 if loss.ignore_index is None else loss.ignore_index)
    target = q.gather(-1, t[:, None])[:, 0]
    rows = -(1 - smoothing) * w[t] * target - smoothing / q.shape[-1] * (w * q).sum(-1)
    total = rows[counts].sum()
    return total / w[t[counts]].sum() if loss.reduction == "mean" else total


def _cross_entropy(loss: losses.CrossEntropy, y: Tensor, t: Tensor) -> Tensor:
    # F.cross_entropy differentiates to p - 1 at the target's class, which has no digits
    # left where p is nearly 1; our log_softmax does not cancel.
    q, s = _log_softmax(y, -1), loss.label_smoothing
    if loss.target == "indices":
        return _negative_log_likelihood(loss, q, t, s)
    rows = -(_class_weights(loss, y) * ((1 - s) * t + s / y.shape[-1]) * q).sum(-1)
    return _reduce(rows, loss.reduction)


def _binary_cross_entropy(loss: losses.BinaryCrossEntropy, y: Tensor, t: Tensor) -> Tensor:
    # F.binary_cross_entropy clips the logarithms at -100 and p (1 - p) at 1e-12 instead.
    # 1 - y is exact near 1, where 1 - epsilon may round to 1.
    outside = (y < loss.epsilon) | (1 - y < loss.epsilon)
    y = torch.where(outside, y.detach(), y)
    p, q = (z.clamp(loss.epsilon, 1 - loss.epsilon) for z in (y, 1 - y))
    return _reduce(-t * torch.log(p) - (1 - t) * torch.log(q), loss.reduction)


def _binary_cross_entropy_with_logits(
    loss: losses.BinaryCrossEntropyWithLogits, y: Tensor, t: Tensor
) -> Tensor:
    # F.binary_cross_entropy_with_logits has (1 - t) y - log(sigmoid(y)), which cancels for
    # t = 0 in the left tail; log(1 - sigmoid(y)) = log(sigmoid(-y)) does not.
    w = 1.0 if loss.positive_weights is None else y.new_tensor(loss.positive_weights)
    terms = -w * t * F.logsigmoid(y) - (1 - t) * F.logsigmoid(-y)
    return _reduce(terms, loss.reduction)


def _margins(loss: losses.Hinge | losses.SquaredHinge, y: Tensor, t: Tensor) -> Tensor:
    # F.multi_margin_loss divides by the number of classes.
    target = t[:, None]
    margins = F.relu(loss.margin + (y - y.gather(-1, target)))
    return margins.scatter(-1, target, 0.0)


def _hinge(loss: losses.Hinge, y: Tensor, t: Tensor) -> Tensor:
    return _reduce(_margins(loss, y, t).sum(-1), loss.reduction)


def _squared_hinge(loss: losses.SquaredHinge, y: Tensor, t: Tensor) -> Tensor:
    return _reduce(_margins(loss, y, t).square().sum(-1), loss.reduction)


def _kl_divergence(loss: losses.KLDivergence, y: Tensor, t: Tensor) -> Tensor:
    terms = F.kl_div(y, t, reduction="none", log_target=loss.log_target)
    return _reduce(terms, loss.reduction)


def _cosine(loss: losses.Cosine, y: Tensor, t: Tensor) -> Tensor:
    # F.cosine_similarity differentiates a norm below epsilon as if it were not clamped.
    def unit(x: Tensor) -> Tensor:
        # Whatever constant `size` is, it cancels; this one keeps squares from overflowing.
        size = x.detach().abs().amax(-1, keepdim=True).clamp(min=loss.epsilon)
        norm: Tensor = size * torch.linalg.vector_norm(x / size, dim=-1, keepdim=True)
        return x / norm.clamp(min=loss.epsilon)

    return _reduce(1 - (unit(y) * unit(t)).sum(-1), loss.reduction)


LOSS: Mapping[type[losses.Loss], Callable[[Any, Tensor, Tensor], Tensor]] = {
    losses.WeightedSum: lambda loss, y, t: (t * y).sum(),
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: lambda loss, y, t: _reduce(
        F.l1_loss(y, t, reduction="none"), loss.reduction
    ),
    losses.Huber: lambda loss, y, t: _reduce(
        F.huber_loss(y, t, reduction="none", delta=loss.delta), loss.reduction
    ),
    losses.SmoothL1: lambda loss, y, t: _reduce(
        F.smooth_l1_loss(y, t, reduction="none", beta=loss.beta), loss.reduction
    ),
    losses.LogCosh: _log_cosh,
    losses.CrossEntropy: _cross_entropy,
    losses.NegativeLogLikelihood: _negative_log_likelihood,
    losses.BinaryCrossEntropy: _binary_cross_entropy,
    losses.BinaryCrossEntropyWithLogits: _binary_cross_entropy_with_logits,
    losses.Hinge: _hinge,
    losses.SquaredHinge: _squared_hinge,
    losses.KLDivergence: _kl_divergence,
    losses.Cosine: _cosine,
}


def _penalty(penalty: losses.Penalty, w: Tensor) -> Tensor:
    if isinstance(penalty, losses.L1):
        return penalty.strength * w.abs().sum()
    return penalty.strength * w.square().sum() / 2


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
            edges = _forward(case.architecture, parameters, _leaf(case.input))
            torch.autograd.backward(_loss(case, parameters, edges[-1]))
            optimiser.step()
            trajectory.append({k: v.detach().numpy().copy() for k, v in parameters.items()})
    return trajectory
