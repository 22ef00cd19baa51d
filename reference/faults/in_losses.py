"""Faults of losses at large, of residuals, of classes and of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import losses as data
from ...architectures.architecture import Architecture
from ...architectures.losses import flat_shape
from ..arrays import Array, Saved
from ..losses.classes import one_hot
from ..losses.softmax import softmax
from ..stable import sigmoid
from .fault import Backward, Fault, Plant, in_half, last_only, loss, loss_of

# --- how -------------------------------------------------------------------------------


def examples_of(a: Architecture) -> int:
    """The rows that the loss's page sees."""
    return flat_shape(a.loss, a.output)[0]


def columns(a: Architecture) -> int:
    """The columns that the loss's page sees."""
    return flat_shape(a.loss, a.output)[-1]


def examples_axis(found: Any) -> int:
    """The axis of the examples in y_bar, from its end."""
    return -3 if isinstance(found, data.CTC) else -2


def changed(change: Callable[[Any, Array], Array]) -> Plant:
    """y_bar becomes change(loss, y_bar); of a loss of several edges each of them."""

    def of_each(found: Any, saved: Saved, y_bar: Any) -> Any:
        if isinstance(y_bar, tuple):
            return tuple(change(found, bar) for bar in y_bar)
        return change(found, y_bar)

    return changed_with_saved(of_each)


def changed_with_saved(change: Callable[[Any, Saved, Any], Any]) -> Plant:
    """y_bar becomes change(loss, saved, y_bar)."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, saved: Saved, value_bar: float) -> Any:
            return change(found, saved, right(found, saved, value_bar))

        return planted

    return plant


def _with(**attributes: Any) -> Plant:
    """As if the loss had other attributes on the way back."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, saved: Saved, value_bar: float) -> Any:
            return right(replace(found, **attributes), saved, value_bar)

        return planted

    return plant


def with_saved(change: Callable[[Any, Saved], Saved]) -> Plant:
    """As if the forward pass had kept change(loss, saved)."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, saved: Saved, value_bar: float) -> Any:
            return right(found, change(found, saved), value_bar)

        return planted

    return plant


def _without_factor_two(found: Any, y_bar: Array) -> Array:
    return y_bar * (2.0 if found.reduction == "half_sum" else 0.5)


def _times_sigmoid_slope(found: Any, saved: Saved, y_bar: Array) -> Array:
    """p - t, times p (1 - p) once more."""
    p, q = sigmoid(saved[0]), sigmoid(-saved[0])
    if isinstance(found, data.CrossEntropy):
        p = softmax(saved[0])
        q = 1 - p
    slope: Array = p * q
    return y_bar * slope


def _on_the_target_only(found: Any, saved: Saved, y_bar: Array) -> Array:
    z, target = saved
    return np.where(one_hot(target, z), y_bar, 0.0)


def _off_the_target_only(found: Any, saved: Saved, y_bar: Array) -> Array:
    return np.where(one_hot(saved[1], y_bar), 0.0, y_bar)


def _inside(found: Any, saved: Saved) -> Saved:
    """The branch of the middle piece, everywhere."""
    r, branch = saved
    return r, np.ones_like(branch)


def _inside_with_clipped(found: Any, saved: Saved) -> Saved:
    """The same, for the clipped probabilities of binary cross-entropy."""
    p, target, branch = saved
    below_1 = 1 - max(found.epsilon, float(np.finfo(p.dtype).epsneg))
    ends = np.where(branch == 0, found.epsilon, below_1).astype(p.dtype)
    return np.where(branch == 1, p, ends), target, np.ones_like(branch)


def _norm_held(found: Any, saved: Saved) -> Saved:
    u, v, size, branch = saved
    return u, v, size, np.zeros_like(branch)


def _tie_on_the_right(found: Any, saved: Saved) -> Saved:
    argument, *others, branch = saved
    tied = (argument == 0) & (branch == 0)
    return argument, *others, np.where(tied, 1, branch).astype(np.int8)


def _nan_at_zero(found: Any, saved: Saved, y_bar: Array) -> Array:
    """x / |x| at x = 0."""
    zero = saved[0] == 0
    if isinstance(found, data.Cosine):
        zero = zero.all(axis=-1, keepdims=True)
    return np.where(zero, np.nan, y_bar)


def _nan_where_softmax_vanishes(found: Any, saved: Saved, y_bar: Array) -> Array:
    """0 log(0), where a probability underflows."""
    return np.where(softmax(saved[0]) == 0, np.nan, y_bar)


# --- the faults ------------------------------------------------------------------------

WEIGHTED = (data.CrossEntropy, data.NegativeLogLikelihood)

FAULTS: tuple[Fault, ...] = (
    Fault(
        "batch_division_dropped",
        "the division by the batch size dropped from the loss gradient",
        1, 3,
        loss(lambda a, found: examples_of(a) > 1 and "mean" in getattr(found, "reduction", "")),
        changed(lambda found, y_bar: y_bar * y_bar.shape[examples_axis(found)]),
        kind="factor",
        shows="at a mean over several examples",
    ),
    Fault(
        "divided_by_outputs",
        "the loss gradient divided by the number of outputs once more",
        2, 3,
        loss(lambda a, found: columns(a) > 1),
        changed(lambda found, y_bar: y_bar / y_bar.shape[-1]),
        kind="factor",
        shows="at a loss of several outputs",
    ),
    Fault(
        "factor_two",
        "the factor 2 or 1/2 of a square dropped from its gradient",
        4, 2,
        loss_of(data.SquaredError, data.SquaredHinge),
        changed(_without_factor_two),
        kind="factor",
        shows="at a squared error or squared hinge",
        hidden="where the loss is at its minimum: its gradient is 0",
    ),
    Fault(
        "loss_gradient_negated",
        "the sign of the loss gradient reversed (t - y for y - t)",
        5, 3,
        loss(lambda a, found: True),
        changed(lambda found, y_bar: -y_bar),
        kind="sign",
        shows="at any loss",
        hidden="where the loss is at its minimum: its gradient is 0",
    ),
    Fault(
        "sigmoid_derivative_again",
        "p (1 - p) applied to p - t, which has it already",
        9, 2,
        loss_of(data.CrossEntropy, data.BinaryCrossEntropyWithLogits),
        changed_with_saved(_times_sigmoid_slope),
        kind="extra",
        shows="at a cross-entropy of logits",
        hidden="where every probability is its target: p - t is 0",
    ),
    Fault(
        "gradient_on_the_target_only",
        "the loss gradient at the target's class alone (the diagonal of the softmax)",
        10, 3,
        loss(
            lambda a, found: (
                isinstance(found, data.CrossEntropy) and found.target == "indices"
            )
        ),
        changed_with_saved(_on_the_target_only),
        kind="missing",
        shows="at a cross-entropy with class numbers",
        hidden="where no other class has a gradient, as where there is one class",
    ),
    Fault(
        "gradient_off_the_target_only",
        "zeros for the target's class in the loss gradient",
        38, 1,
        loss_of(data.Hinge, data.SquaredHinge),
        changed_with_saved(_off_the_target_only),
        kind="missing",
        shows="at a hinge or squared hinge",
        hidden="where every margin is kept: the gradient is 0",
    ),
    Fault(
        "norm_held_constant",
        "the norm in the cosine treated as a constant",
        19, 1,
        loss_of(data.Cosine),
        with_saved(_norm_held),
        kind="missing",
        shows="at a cosine distance",
        hidden="where the two vectors are orthogonal: the norm's term is 0",
    ),
    Fault(
        "label_smoothing_forgotten",
        "the label smoothing forgotten in the gradient",
        None, 2,
        loss(lambda a, found: getattr(found, "label_smoothing", 0.0) > 0),
        _with(label_smoothing=0.0),
        kind="missing",
        shows="at a cross-entropy with label smoothing",
        hidden="where there is one class: there is nothing to smooth",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "class_weights_forgotten",
        "the class weights forgotten in the gradient",
        None, 1,
        loss(lambda a, found: len(set(getattr(found, "class_weights", None) or ())) > 1),
        _with(class_weights=None),
        kind="missing",
        shows="at a loss with class weights that differ",
        hidden="where all rows are of one class, under a mean: its weight cancels",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "positive_weights_forgotten",
        "the positive weights forgotten in the gradient",
        None, 1,
        loss(lambda a, found: set(getattr(found, "positive_weights", None) or (1.0,)) != {1.0}),
        _with(positive_weights=None),
        kind="missing",
        shows="at a binary cross-entropy with positive weights other than 1",
        hidden="where every target is 0: no weight counts",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "ignored_class_counted",
        "the rows of the ignored class counted in the gradient",
        None, 2,
        loss(
            lambda a, found: (
                isinstance(found, WEIGHTED) and found.ignore_index is not None
            )
        ),
        _with(ignore_index=None),
        kind="index",
        shows="at a loss with an ignored class",
        hidden="where no row is of the ignored class",
        like="a mask applied forward alone",
    ),
    Fault(
        "log_target_taken_plain",
        "the logarithm of the target taken for the target",
        None, 1,
        loss(lambda a, found: isinstance(found, data.KLDivergence) and found.log_target),
        _with(log_target=False),
        kind="argument",
        shows="at a divergence from logarithms of a target",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "loss_tie_on_the_right",
        "the slope on the right of a kink of the loss taken at the kink",
        29, 1,
        loss_of(data.AbsoluteError, data.Hinge),
        with_saved(_tie_on_the_right),
        convention=True,
        kind="tie",
        shows="at an absolute error or hinge",
        hidden="where no residual or margin is exactly 0",
    ),
    Fault(
        "residual_not_clipped",
        "the squared piece's slope beyond its threshold",
        30, 1,
        loss_of(data.Huber, data.SmoothL1),
        with_saved(_inside),
        kind="argument",
        shows="at a Huber or smooth L1 loss",
        hidden="where every residual is within the threshold",
    ),
    Fault(
        "clip_ignored",
        "a slope where the loss clips its probability",
        30, 2,
        loss_of(data.BinaryCrossEntropy),
        with_saved(_inside_with_clipped),
        kind="argument",
        shows="at a binary cross-entropy of probabilities",
        hidden="where no probability is clipped",
    ),
    Fault(
        "zero_over_zero",
        "NaN from x / |x| at x = 0",
        36, 2,
        loss_of(data.AbsoluteError, data.Cosine),
        changed_with_saved(_nan_at_zero),
        kind="numerics",
        shows="at an absolute error or cosine distance",
        hidden="where no residual, or row, is exactly 0",
    ),
    Fault(
        "zero_times_log_zero",
        "NaN from 0 log(0) where a probability underflows",
        36, 2,
        loss_of(data.CrossEntropy),
        changed_with_saved(_nan_where_softmax_vanishes),
        kind="numerics",
        shows="at a cross-entropy",
        hidden="where no probability underflows",
    ),
    Fault(
        "loss_gradient_in_half",
        "the loss gradient rounded to half precision",
        37, 1,
        loss(lambda a, found: True),
        changed(lambda found, y_bar: in_half(y_bar)),
        kind="numerics",
        shows="at any loss",
        hidden="where every entry is a number of half precision, as a small integer is",
    ),
    Fault(
        "last_example_skipped",
        "zeros for the last example in the loss gradient",
        None, 1,
        loss(lambda a, found: True),
        changed(lambda found, y_bar: y_bar - last_only(y_bar, examples_axis(found))),
        kind="index",
        shows="at any loss",
        hidden="where the last example has no gradient",
        like="a loop that ends one example early",
    ),
)  # fmt: skip
