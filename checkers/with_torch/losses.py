"""The losses and penalties in PyTorch: L = f(loss, y, t), a scalar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...architectures import losses
from .pieces import log_softmax


def _reduce(terms: Tensor, reduction: str) -> Tensor:
    """`mean` over all terms, `batch_mean` over the first axis, `sum` over nothing."""
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
    target = q.gather(-1, t[..., None])[..., 0]
    rows = -(1 - smoothing) * w[t] * target - smoothing / q.shape[-1] * (w * q).sum(-1)
    total = rows[counts].sum()
    return total / w[t[counts]].sum() if loss.reduction == "mean" else total


def _cross_entropy(loss: losses.CrossEntropy, y: Tensor, t: Tensor) -> Tensor:
    # F.cross_entropy differentiates to p - 1 at the target's class, which has no digits
    # left where p is nearly 1; our log_softmax does not cancel.
    q, s = log_softmax(y, -1), loss.label_smoothing
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
    target = t[..., None]
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


def _ctc(loss: losses.CTC, y: Tensor, t: Tensor) -> Tensor:
    # F.ctc_loss differentiates as if its input went through log_softmax, which ours does.
    # Its own `mean` divides each term by the number of labels too.
    examples, steps, _ = y.shape
    terms = F.ctc_loss(
        log_softmax(y, -1).transpose(0, 1),
        t,
        t.new_tensor(loss.input_lengths or (steps,) * examples),
        t.new_tensor(loss.target_lengths or (loss.labels,) * examples),
        loss.blank,
        reduction="none",
    )
    return _reduce(terms, loss.reduction)


def _triplet_margin(
    loss: losses.TripletMargin, y: tuple[Tensor, Tensor, Tensor], t: Tensor | None
) -> Tensor:
    terms = F.triplet_margin_loss(*y, loss.margin, 2.0, loss.epsilon, reduction="none")
    return _reduce(terms, loss.reduction)


def _dice(loss: losses.Dice, y: Tensor, t: Tensor) -> Tensor:
    # 1 - ratio cancels where y is nearly t; its complement there is a sum without signs.
    y, t = y.flatten(1), t.flatten(1)
    total = (y + t).sum(-1) + loss.smooth
    ratio = (2 * (y * t).sum(-1) + loss.smooth) / total
    rest = (y * (1 - t) + t * (1 - y)).sum(-1) / total
    return _reduce(torch.where(ratio > 0.5, rest, 1 - ratio), loss.reduction)


def _focal(loss: losses.Focal, y: Tensor, t: Tensor) -> Tensor:
    # Powers by way of logarithms: for gamma < 1 that of a probability of 0 has no derivative.
    a, b = (1.0, 1.0) if loss.alpha is None else (loss.alpha, 1 - loss.alpha)
    log_p, log_q = F.logsigmoid(y), F.logsigmoid(-y)
    positive = -a * t * torch.exp(loss.gamma * log_q) * log_p
    negative = -b * (1 - t) * torch.exp(loss.gamma * log_p) * log_q
    return _reduce(positive + negative, loss.reduction)


def _gaussian_kl(loss: losses.GaussianKL, y: tuple[Tensor, Tensor], t: Tensor | None) -> Tensor:
    # exp(v) - 1 - v cancels near 0, where it is the sum over k >= 2 of v^k / k!.
    m, v = y
    near = v.clamp(-1.0, 1.0)
    series = torch.zeros_like(v)
    for k in range(20, 1, -1):
        series = series * near + 1 / math.factorial(k)
    rest = torch.where(v.abs() < 1, near * near * series, torch.exp(v) - 1 - v)
    return _reduce((rest + m.square()) / 2, loss.reduction)


LOSS: Mapping[type[losses.Loss], Callable[[Any, Any, Any], Tensor]] = {
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
    losses.CTC: _ctc,
    losses.TripletMargin: _triplet_margin,
    losses.Dice: _dice,
    losses.Focal: _focal,
    losses.GaussianKL: _gaussian_kl,
}
"""Each loss's L = f(loss, y, t): y is a tuple where it takes several edges, t may be None."""


def penalty_value(penalty: losses.Penalty, w: Tensor) -> Tensor:
    if isinstance(penalty, losses.L1):
        return penalty.strength * w.abs().sum()
    return penalty.strength * w.square().sum() / 2
