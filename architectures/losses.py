"""The losses and penalties of a network, as data.

As in `operators`, each docstring is the whole specification, with y the value of the edge
that the loss takes (the last one, where it names none) and t the target.

Losses of entries: y and t have one shape (N, ...) with n entries.  Reductions of their
terms: `sum` adds them all, `mean` divides that by n, `batch_mean` divides it by N.

Losses of rows: y has shape (..., C), and so has t; where it holds class numbers it has one
for each row, the shape (...).  A row is what stands along the last axis, "features" is C.
Reductions: `sum` adds the row terms, `mean` divides that by the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from .checks import (
    Fraction,
    NonNegative,
    Positive,
    PositiveInteger,
    bounded,
    check_fields,
    check_number,
    check_tuple,
)
from .operators import Shape, size
from .operators.base import check_sizes

Reduction = Literal["sum", "mean", "batch_mean"]
RowReduction = Literal["sum", "mean"]
Weights = tuple[float, ...] | None
ClassIndex = int | None


class Loss(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="loss",
    kw_only=True,
    omit_defaults=True,
):
    """What every loss shares: immutable, tagged in JSON by `loss`.

    `inputs` names the edges that it takes; where it is empty it takes the last one.
    """

    inputs: tuple[str, ...] = ()

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

    `indices`: t of shape (...) holds class numbers.  The rows with t = `ignore_index`
    count for nothing.  Row term: -(1 - s) w_t q_t - (s / C) sum_c w_c q_c.
    `mean` divides the sum of the rows by the sum of w_t over the rows that count.
    `probabilities`: t of shape (..., C), rows summing to one.
    Row term: -sum_c w_c ((1 - s) t_c + s / C) q_c.  `mean` divides by the number of rows.
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
    """y holds log-probabilities, t of shape (...) class numbers.  Row term: -w_t y_t.

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
    """Multi-class (Weston and Watkins 1999), t of shape (...) class numbers.

    Row term: sum over c != t of max(0, margin - y_t + y_c), divided by nothing.
    `mean` divides the sum of the rows by their number.
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


class CTC(Loss, frozen=True, tag="ctc"):
    """Connectionist temporal classification (Graves et al. 2006).

    y (N, T, C) holds logits, q = log_softmax(y) over C; t (N, `labels`) class numbers other
    than `blank`.  Term of an example: -log of the sum, over all paths pi of its first
    input_lengths[n] steps that become its first target_lengths[n] labels when repetitions
    are merged and then blanks removed, of exp(sum over the steps of q[step, pi]).
    Lengths are T and `labels` where empty.  `mean` divides the sum of the terms by N.
    """

    labels: PositiveInteger
    blank: Annotated[int, bounded(minimum=0)] = 0
    input_lengths: tuple[int, ...] = ()
    target_lengths: tuple[int, ...] = ()
    reduction: RowReduction = "mean"

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("input_lengths", "target_lengths"):
            if getattr(self, name) != ():
                check_sizes(name, getattr(self, name), 1)
        if any(n > self.labels for n in self.target_lengths):
            raise ValueError(
                f"target_lengths must be at most the {self.labels} labels, "
                f"got {self.target_lengths}"
            )


class TripletMargin(Loss, frozen=True, tag="triplet_margin"):
    """Of three edges a, p, n (..., C): max(0, d(a, p) - d(a, n) + margin) by row; no target.

    d(u, v) = |u - v + epsilon|, the 2-norm, epsilon added to every entry (Balntas et al.
    2016).  `mean` divides the sum of the rows by their number.
    """

    margin: Positive = 1.0
    epsilon: Positive = 1e-6
    reduction: RowReduction = "mean"


class Dice(Loss, frozen=True, tag="dice"):
    """y holds probabilities (N, ...), t in [0, 1] of its shape (Milletari et al. 2016).

    Term of an example: 1 - (2 sum(y t) + smooth) / (sum(y) + sum(t) + smooth), with sums over
    all its entries.  `mean` divides the sum of the terms by N.
    """

    smooth: Positive = 1.0
    reduction: RowReduction = "mean"


class Focal(Loss, frozen=True, tag="focal"):
    """y holds logits, t in [0, 1]; p = sigmoid(y); by entry, reduced (Lin et al. 2017):

    -a t (1 - p)^gamma log(p) - (1 - a) (1 - t) p^gamma log(1 - p),  a = `alpha`; where that
    is left out, both factors a and 1 - a are 1.
    """

    gamma: NonNegative = 2.0
    alpha: float | None = None
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.alpha is not None:
            limits = {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
            check_number("alpha", self.alpha, float, limits)


class GaussianKL(Loss, frozen=True, tag="gaussian_kl"):
    """Of two edges m, v (N, ...): (exp(v) + m^2 - 1 - v) / 2 by entry, reduced; no target.

    The divergence of N(m, exp(v)) from N(0, 1) (Kingma and Welling 2014).
    """

    reduction: Reduction = "batch_mean"


LOSSES: tuple[type[Loss], ...] = (
    WeightedSum, SquaredError, AbsoluteError, Huber, SmoothL1, LogCosh, CrossEntropy,
    NegativeLogLikelihood, BinaryCrossEntropy, BinaryCrossEntropyWithLogits, Hinge,
    SquaredHinge, KLDivergence, Cosine, CTC, TripletMargin, Dice, Focal, GaussianKL,
)  # fmt: skip

AnyLoss = (
    WeightedSum | SquaredError | AbsoluteError | Huber | SmoothL1 | LogCosh | CrossEntropy
    | NegativeLogLikelihood | BinaryCrossEntropy | BinaryCrossEntropyWithLogits | Hinge
    | SquaredHinge | KLDivergence | Cosine | CTC | TripletMargin | Dice | Focal | GaussianKL
)  # fmt: skip

ARITY: Mapping[type[Loss], int] = {TripletMargin: 3, GaussianKL: 2}
"""How many edges a loss takes, where not one."""

ROWS: tuple[type[Loss], ...] = (
    CrossEntropy, NegativeLogLikelihood, Hinge, SquaredHinge, Cosine, TripletMargin,
)  # fmt: skip
"""The losses of rows; all others but `ctc` are losses of entries."""


def flat_shape(loss: Loss, y: Shape) -> Shape:
    """How a page of derivation sees y: (rows, features), or (N, all entries of an example)."""
    if isinstance(loss, CTC):
        return y
    return (size(y[:-1]), y[-1]) if isinstance(loss, ROWS) else (y[0], size(y[1:]))


class L1(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="penalty", tag="l1"):
    """strength * sum(|w|) over every parameter whose name contains `weight`, once each."""

    strength: NonNegative

    def __post_init__(self) -> None:
        check_fields(self)


class L2(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="penalty", tag="l2"):
    """strength * sum(w^2) / 2 over every parameter whose name contains `weight`, once each."""

    strength: NonNegative

    def __post_init__(self) -> None:
        check_fields(self)


Penalty = L1 | L2
