"""The losses and penalties of a network, as data.

As in `operators.py`, each docstring is the whole specification, with y the network's
output of shape (batch, features), t the target, N the batch size, n = N * features.

Reductions of per-entry terms: `sum` adds them all, `mean` divides that by n,
`batch_mean` divides it by N.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .checks import (
    Fraction,
    NonNegative,
    Positive,
    bounded,
    check_fields,
    check_number,
    check_tuple,
)
from .operators import Operator, Shape

Reduction = Literal["sum", "mean", "batch_mean"]
RowReduction = Literal["sum", "mean"]
Weights = tuple[float, ...] | None
ClassIndex = int | None


class Loss(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="loss",
):
    """What every loss shares: immutable, tagged in JSON by `loss`."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """The tag that JSON, reports and `--loss` use."""
        return str(type(self).__struct_config__.tag)


def _check_weights(field: str, weights: Weights) -> None:
    if weights is None:
        return
    check_tuple(field, weights, "numbers")
    for i, w in enumerate(weights):
        check_number(f"{field}[{i}]", w, float, {"exclusiveMinimum": 0})


def _check_ignored(index: ClassIndex) -> None:
    if index is not None:
        check_number("ignore_index", index, int, {"minimum": 0})


class WeightedSum(Loss, frozen=True, tag="weighted_sum"):
    """L = sum(t y): a linear loss, whose cotangent is t itself (signed)."""


class SquaredError(Loss, frozen=True, tag="squared_error"):
    """L = sum((y - t)^2) / 2 for `half_sum` (ordinary least squares); else (y - t)^2 reduced."""

    reduction: Literal["half_sum", "sum", "mean", "batch_mean"] = "half_sum"


class AbsoluteError(Loss, frozen=True, tag="absolute_error"):
    """|y - t|, reduced."""

    reduction: Reduction = "mean"


class Huber(Loss, frozen=True, tag="huber"):
    """r^2 / 2 for |r| <= delta, else delta (|r| - delta / 2); r = y - t; reduced.  Huber 1964."""

    delta: Positive = 1.0
    reduction: Reduction = "mean"


class SmoothL1(Loss, frozen=True, tag="smooth_l1"):
    """r^2 / (2 beta) for |r| < beta, else |r| - beta / 2; r = y - t; reduced.  Girshick 2015."""

    beta: Positive = 1.0
    reduction: Reduction = "mean"


class LogCosh(Loss, frozen=True, tag="log_cosh"):
    """log(cosh(y - t)), reduced; finite wherever y - t is."""

    reduction: Reduction = "mean"


class CrossEntropy(Loss, frozen=True, tag="cross_entropy"):
    """Softmax cross-entropy of logits y, with s = `label_smoothing`, C = features,
    w = `class_weights` (all ones where absent), q = log_softmax(y) along the features.

    `indices`: t of shape (batch,) holds class numbers.  The rows with t = `ignore_index`
    count for nothing.  Row term: -(1 - s) w_t q_t - (s / C) sum_c w_c q_c.
    `mean` divides the sum of the rows by the sum of w_t over the rows that count.
    `probabilities`: t of shape (batch, C), rows summing to one.
    Row term: -sum_c w_c ((1 - s) t_c + s / C) q_c.  `mean` divides by the batch size.
    """

    target: Literal["indices", "probabilities"] = "indices"
    label_smoothing: Fraction = 0.0
    class_weights: Weights = None
    ignore_index: ClassIndex = None
    reduction: RowReduction = "mean"

    def __post_init__(self) -> None:
        check_fields(self)
        _check_weights("class_weights", self.class_weights)
        _check_ignored(self.ignore_index)
        if self.target == "probabilities" and self.ignore_index is not None:
            raise ValueError("ignore_index goes with target 'indices' only")


class NegativeLogLikelihood(Loss, frozen=True, tag="negative_log_likelihood"):
    """y holds log-probabilities, t of shape (batch,) class numbers.  Row term: -w_t y_t.

    Weights, ignored class and `mean` as in cross-entropy.
    """

    class_weights: Weights = None
    ignore_index: ClassIndex = None
    reduction: RowReduction = "mean"

    def __post_init__(self) -> None:
        check_fields(self)
        _check_weights("class_weights", self.class_weights)
        _check_ignored(self.ignore_index)


class BinaryCrossEntropy(Loss, frozen=True, tag="binary_cross_entropy"):
    """y holds probabilities, t in [0, 1].  With p = min(max(y, epsilon), 1 - epsilon),

    -t log(p) - (1 - t) log(1 - p), reduced.  The clip is part of the function, so its
    derivative is zero where y lies outside [epsilon, 1 - epsilon].
    """

    epsilon: Annotated[float, bounded(exclusiveMinimum=0, exclusiveMaximum=0.5)] = 2.0**-20
    reduction: Reduction = "mean"


class BinaryCrossEntropyWithLogits(Loss, frozen=True, tag="binary_cross_entropy_with_logits"):
    """y holds logits, t in [0, 1], w = `positive_weights` by feature (ones where absent).

    -w t log(sigmoid(y)) - (1 - t) log(1 - sigmoid(y)), reduced; finite for every y.
    """

    positive_weights: Weights = None
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        check_fields(self)
        _check_weights("positive_weights", self.positive_weights)


class Hinge(Loss, frozen=True, tag="hinge"):
    """Multi-class (Weston and Watkins 1999), t of shape (batch,) class numbers.

    Row term: sum over c != t of max(0, margin - y_t + y_c), divided by nothing.
    `mean` divides the sum of the rows by the batch size.
    """

    margin: Positive = 1.0
    reduction: RowReduction = "mean"


class SquaredHinge(Loss, frozen=True, tag="squared_hinge"):
    """As `hinge`, with each max(0, ...) squared."""

    margin: Positive = 1.0
    reduction: RowReduction = "mean"


class KLDivergence(Loss, frozen=True, tag="kl_divergence"):
    """y holds log-probabilities, t probabilities: t (log(t) - y), with 0 log 0 = 0; reduced.

    With `log_target`, t holds log-probabilities: exp(t) (t - y).
    """

    log_target: bool = False
    reduction: Reduction = "batch_mean"


class Cosine(Loss, frozen=True, tag="cosine"):
    """Row term: 1 - <y, t> / (max(|y|, epsilon) max(|t|, epsilon)); sum or mean of the rows."""

    epsilon: Positive = 1e-8
    reduction: RowReduction = "mean"


LOSSES: tuple[type[Loss], ...] = (
    WeightedSum, SquaredError, AbsoluteError, Huber, SmoothL1, LogCosh, CrossEntropy,
    NegativeLogLikelihood, BinaryCrossEntropy, BinaryCrossEntropyWithLogits, Hinge,
    SquaredHinge, KLDivergence, Cosine,
)  # fmt: skip

AnyLoss = (
    WeightedSum | SquaredError | AbsoluteError | Huber | SmoothL1 | LogCosh | CrossEntropy
    | NegativeLogLikelihood | BinaryCrossEntropy | BinaryCrossEntropyWithLogits | Hinge
    | SquaredHinge | KLDivergence | Cosine
)  # fmt: skip

TargetKind = Literal["real", "unit", "indices", "probabilities", "log_probabilities"]


def target_kind(loss: Loss) -> TargetKind:
    """What the target holds: reals, numbers in [0, 1], class numbers, or (log-)probabilities."""
    match loss:
        case CrossEntropy(target="probabilities") | KLDivergence(log_target=False):
            return "probabilities"
        case KLDivergence():
            return "log_probabilities"
        case CrossEntropy() | NegativeLogLikelihood() | Hinge() | SquaredHinge():
            return "indices"
        case BinaryCrossEntropy() | BinaryCrossEntropyWithLogits():
            return "unit"
        case _:
            return "real"


def target_shape(loss: Loss, y: Shape) -> Shape:
    """The shape of the target for an output of shape `y`."""
    return y[:-1] if target_kind(loss) == "indices" else y


def check_loss(loss: Loss, y: Shape, last: Operator | None) -> None:
    """Raise ValueError where the loss cannot follow an output of shape `y` made by `last`."""
    features = y[-1]
    for field in ("class_weights", "positive_weights"):
        weights = getattr(loss, field, None)
        if weights is not None and len(weights) != features:
            raise ValueError(
                f"{field} must have one entry for each of the {features} outputs, "
                f"got {len(weights)}"
            )
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and (ignored >= features or features < 2):
        raise ValueError(
            f"ignore_index must be one of the {features} classes and leave another, got {ignored}"
        )
    if isinstance(loss, BinaryCrossEntropy) and (
        last is None or last.name not in {"sigmoid", "hard_sigmoid", "softmax"}
    ):
        raise ValueError(
            "binary_cross_entropy needs probabilities: the last layer must be sigmoid, "
            "hard_sigmoid or softmax (for logits use binary_cross_entropy_with_logits)"
        )


class L1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="penalty", tag="l1"):
    """strength * sum(|w|) over the weights of every dense layer, not the biases."""

    strength: NonNegative

    def __post_init__(self) -> None:
        check_fields(self)


class L2(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="penalty", tag="l2"):
    """strength * sum(w^2) / 2 over the weights of every dense layer, not the biases."""

    strength: NonNegative

    def __post_init__(self) -> None:
        check_fields(self)


Penalty = L1 | L2
