"""Faults of single terms of losses: a term left out, a sign, a count, a target's index.

With p the probabilities and a the weighted targets, of one-hot rows a = w_t t, right is

    cross-entropy                   c (p sum(a) - a)
    binary, of probabilities        c (-t / p + (1 - t) / (1 - p)) = c (p - t) / (p (1 - p))
    binary, of logits               c ((1 - t) p - w t (1 - p))
    hinge                           c where a margin is not kept, -c times their number at t

and each fault below states what it takes instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import losses as data
from ...architectures.architecture import Architecture
from ..arrays import Array, Saved
from ..losses.binary_cross_entropy_with_logits import positive_weights
from ..losses.classes import one_hot, row_weights
from ..losses.cross_entropy import coefficients
from ..losses.reduction import entry_factor, row_factor
from ..stable import sigmoid
from .fault import Backward, Fault, Plant, loss, loss_of
from .in_losses import (
    WEIGHTED,
    changed,
    changed_with_saved,
    columns,
    examples_axis,
    examples_of,
    with_saved,
)

OF_ENTRIES = (
    data.SquaredError, data.AbsoluteError, data.Huber, data.SmoothL1, data.LogCosh,
    data.BinaryCrossEntropy, data.BinaryCrossEntropyWithLogits, data.KLDivergence, data.Focal,
    data.GaussianKL,
)  # fmt: skip
"""The losses whose `mean` is over all entries."""

# --- where ------------------------------------------------------------------------------


def _with_class_numbers(a: Architecture, found: Any) -> bool:
    """A loss of class numbers, all of which count, of more than one class."""
    kinds = (data.NegativeLogLikelihood, data.Hinge, data.SquaredHinge)
    numbers = isinstance(found, kinds) or (
        isinstance(found, data.CrossEntropy) and found.target == "indices"
    )
    return numbers and getattr(found, "ignore_index", None) is None and columns(a) > 1


def _weighs_rows(a: Architecture, found: Any) -> bool:
    """A mean over rows whose weights are not all 1."""
    weighs = isinstance(found, WEIGHTED) and getattr(found, "target", "indices") == "indices"
    return (
        weighs
        and found.reduction == "mean"
        and (found.ignore_index is not None or set(found.class_weights or (1.0,)) != {1.0})
    )


def _of_another_threshold(a: Architecture, found: Any) -> bool:
    return _threshold(found) != 1


def _threshold(found: Any) -> float:
    """Where Huber's loss or smooth L1 changes its form; 1 for others."""
    match found:
        case data.Huber():
            return found.delta
        case data.SmoothL1():
            return found.beta
        case _:
            return 1.0


# --- how --------------------------------------------------------------------------------


def _as_if_threshold_one() -> Plant:
    """Huber: sign(r) for delta sign(r) beyond delta; smooth L1: r for r / beta within beta."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
            name = "delta" if isinstance(found, data.Huber) else "beta"
            return right(replace(found, **{name: 1.0}), saved, value_bar)

        return planted

    return plant


def _target_not_subtracted(right: Backward) -> Backward:
    """c p sum(a) for c (p sum(a) - a); of logits c p for all targets, as for t = 0."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        y, target = saved
        if not isinstance(found, data.CrossEntropy):
            return right(found, (y, np.zeros_like(target)), value_bar)
        a, c = coefficients(found, y, target)
        return right(found, saved, value_bar) + (c * value_bar) * a

    return planted


def _probabilities_not_added(right: Backward) -> Backward:
    """-c a for c (p sum(a) - a)."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        a, c = coefficients(found, *saved)
        return (-c * value_bar) * a

    return planted


def _of_the_next_class(found: Any, saved: Saved) -> Saved:
    """As if every class number were one more, and the last the first."""
    first, target, *rest = saved
    return first, (target + 1) % first.shape[-1], *rest


def _by_the_rows(found: Any, saved: Saved, y_bar: Array) -> Array:
    """Divided by the number of rows, where the sum of their weights is right."""
    y, target = saved
    by_rows: Array = y_bar * (row_weights(found, y, target).sum() / target.shape[-1])
    return by_rows.astype(y_bar.dtype)


def _entries(found: Any, saved: Saved, value_bar: Any) -> tuple[Any, Array, Array, Array]:
    """(c, p, t, where a slope is) of a binary cross-entropy."""
    if isinstance(found, data.BinaryCrossEntropy):
        p, target, branch = saved
        return entry_factor(found.reduction, p) * value_bar, p, target, branch == 1
    y, target = saved
    c = entry_factor(found.reduction, y) * value_bar
    return c, y, target, np.ones(target.shape, bool)


def _negatives(sign: int) -> Plant:
    """The term of 1 - t times `sign`."""

    def plant(right: Backward) -> Backward:
        def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
            c, y, t, inside = _entries(found, saved, value_bar)
            if isinstance(found, data.BinaryCrossEntropy):
                slope = -t / y + sign * ((1 - t) / (1 - y))
            else:
                w = positive_weights(found, y)
                slope = sign * (1 - t) * sigmoid(y) - w * t * sigmoid(-y)
            return c * np.where(inside, slope, 0.0)

        return planted

    return plant


def _not_divided(right: Backward) -> Backward:
    """c (p - t) for c (p - t) / (p (1 - p))."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        c, p, t, inside = _entries(found, saved, value_bar)
        return c * np.where(inside, p - t, 0.0)

    return planted


def _beyond_the_margin(found: Any, saved: Saved) -> Saved:
    m, target, branch = saved
    return m, target, np.where(one_hot(target, m), 0, 1).astype(branch.dtype)


def _counted_once(right: Backward) -> Backward:
    """-c at the target's class, where -c times the number of margins not kept is right."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        m, target, branch = saved
        some = (branch == 1).any(axis=-1, keepdims=True)
        once = np.where(some, -row_factor(found.reduction, m) * value_bar, 0.0).astype(m.dtype)
        return np.where(one_hot(target, m), once, right(found, saved, value_bar))

    return planted


def _not_balanced(found: Any, saved: Saved) -> Saved:
    *logs, a, b = saved
    return *logs, a / found.alpha, b / (1 - found.alpha)


def _two_dropped(right: Backward) -> Backward:
    """c (q - t) / D for c (q - 2 t) / D."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        q, d, target = saved
        return (row_factor(found.reduction, q) * value_bar) * (q - target) / d

    return planted


# --- the faults ------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "target_not_subtracted",
        "the target not subtracted in a cross-entropy's gradient (p for p - t)",
        None, 2,
        loss_of(data.CrossEntropy, data.BinaryCrossEntropyWithLogits),
        _target_not_subtracted,
        kind="missing",
        shows="at a cross-entropy of logits",
        hidden="where every target of a binary cross-entropy is 0",
        like="half of a difference",
    ),
    Fault(
        "softmax_left_out",
        "the softmax left out of a cross-entropy's gradient (-t for p - t)",
        None, 2,
        loss_of(data.CrossEntropy),
        _probabilities_not_added,
        kind="missing",
        shows="at a cross-entropy",
        like="logits taken for logarithms of probabilities",
    ),
    Fault(
        "class_off_by_one",
        "the class after the target's taken for it in the loss gradient",
        None, 1,
        loss(_with_class_numbers),
        with_saved(_of_the_next_class),
        kind="index",
        shows="at a loss of class numbers, of several classes and with none ignored",
        hidden="where every margin is kept, of a hinge: the gradient is 0",
        like="classes counted from 1",
    ),
    Fault(
        "rows_counted_for_their_weights",
        "a weighted mean's gradient divided by the number of rows, not by their total weight",
        None, 2,
        loss(_weighs_rows),
        changed_with_saved(_by_the_rows),
        kind="factor",
        shows="at a mean over rows with class weights or an ignored class",
        hidden="where the weights of the rows that are there have the mean 1",
        like="ignored examples that count in the mean",
    ),
    Fault(
        "divided_by_the_batch_again",
        "the loss gradient divided by the batch size once more",
        None, 2,
        loss(lambda a, found: "mean" in getattr(found, "reduction", "") and examples_of(a) > 1),
        changed(lambda found, y_bar: y_bar / y_bar.shape[examples_axis(found)]),
        kind="factor",
        shows="at a mean over several examples",
        like="a mean taken in the loss and again in its gradient",
    ),
    Fault(
        "division_by_outputs_dropped",
        "a mean over all entries differentiated as one over the examples alone",
        None, 2,
        loss(lambda a, found: isinstance(found, OF_ENTRIES) and found.reduction == "mean"
             and columns(a) > 1),
        changed(lambda found, y_bar: y_bar * y_bar.shape[-1]),
        kind="factor",
        shows="at a mean over the entries of several outputs",
        like="a mean over other axes than forward",
    ),
    Fault(
        "threshold_forgotten",
        "the threshold left out of the slope of a loss of two forms",
        None, 1,
        loss(_of_another_threshold),
        _as_if_threshold_one(),
        kind="factor",
        shows="at a Huber or smooth L1 loss of another threshold than 1",
        hidden="where Huber's residuals are all within the threshold, or smooth L1's beyond it",
        like="a factor that is 1 by default",
    ),
    Fault(
        "not_divided_by_the_variance",
        "p - t for (p - t) / (p (1 - p)), as if of logits",
        None, 2,
        loss_of(data.BinaryCrossEntropy),
        _not_divided,
        kind="missing",
        shows="at a binary cross-entropy of probabilities",
        hidden="where every probability is its target or is clipped: the gradient is 0",
        like="the gradient at the logits taken for that at the probabilities",
    ),
    Fault(
        "negatives_left_out",
        "the term of 1 - t left out of a binary cross-entropy's gradient",
        None, 1,
        loss_of(data.BinaryCrossEntropy, data.BinaryCrossEntropyWithLogits),
        _negatives(0),
        kind="missing",
        shows="at a binary cross-entropy",
        hidden="where every target is 1",
        like="one of two classes left out",
    ),
    Fault(
        "negatives_negated",
        "the sign of the term of 1 - t in a binary cross-entropy's gradient reversed",
        5, 1,
        loss_of(data.BinaryCrossEntropy, data.BinaryCrossEntropyWithLogits),
        _negatives(-1),
        kind="sign",
        shows="at a binary cross-entropy",
        hidden="where every target is 1",
    ),
    Fault(
        "slope_where_a_margin_is_kept",
        "a slope where a hinge's margin is kept",
        30, 1,
        loss_of(data.Hinge),
        with_saved(_beyond_the_margin),
        kind="argument",
        shows="at a hinge",
        hidden="where no margin is kept",
    ),
    Fault(
        "margins_counted_once",
        "the target's class charged once in a hinge, however many margins are not kept",
        None, 1,
        loss(lambda a, found: isinstance(found, data.Hinge) and columns(a) > 2),
        _counted_once,
        kind="accumulation",
        shows="at a hinge of more than two classes",
        hidden="where no row has two margins that are not kept",
        like="an assignment where several classes ask for a sum",
    ),
    Fault(
        "anchor_from_the_positive_alone",
        "the anchor's gradient in a triplet from the positive alone",
        13, 1,
        loss_of(data.TripletMargin),
        changed_with_saved(lambda found, saved, bars: (-bars[1], *bars[1:])),
        kind="accumulation",
        shows="at a triplet loss",
        hidden="where every margin is kept: the gradient is 0",
    ),
    Fault(
        "balance_forgotten",
        "the focal loss differentiated without its alpha",
        None, 1,
        loss(lambda a, found: isinstance(found, data.Focal) and found.alpha is not None),
        with_saved(_not_balanced),
        kind="factor",
        shows="at a focal loss with an alpha",
        like="an attribute that the backward pass does not read",
    ),
    Fault(
        "two_of_the_dice_dropped",
        "the factor 2 of the dice loss's numerator dropped from its gradient",
        4, 1,
        loss_of(data.Dice),
        _two_dropped,
        kind="factor",
        shows="at a Dice loss",
        hidden="where every target is 0",
    ),
)  # fmt: skip
