"""Faults of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import losses as data
from ...architectures.architecture import Architecture
from ...architectures.losses import flat_shape
from ..arrays import Array, Saved
from ..losses import ctc
from ..losses.classes import one_hot
from ..losses.reduction import entry_factor
from ..losses.softmax import softmax
from ..stable import sigmoid
from .fault import Backward, Fault, Plant, in_half, last_only, loss, loss_of

# --- how -------------------------------------------------------------------------------


def _rows(a: Architecture) -> int:
    """The rows that the loss's page sees."""
    return flat_shape(a.loss, a.output)[0]


def _columns(a: Architecture) -> int:
    """The columns that the loss's page sees."""
    return flat_shape(a.loss, a.output)[-1]


def _examples(found: Any) -> int:
    """The axis of the examples in y_bar, from its end."""
    return -3 if isinstance(found, data.CTC) else -2


def _changed(change: Callable[[Any, Array], Array]) -> Plant:
    """y_bar becomes change(loss, y_bar); of a loss of several edges each of them."""

    def of_each(found: Any, saved: Saved, y_bar: Any) -> Any:
        if isinstance(y_bar, tuple):
            return tuple(change(found, bar) for bar in y_bar)
        return change(found, y_bar)

    return _changed_with_saved(of_each)


def _changed_with_saved(change: Callable[[Any, Saved, Any], Any]) -> Plant:
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


def _with_saved(change: Callable[[Any, Saved], Saved]) -> Plant:
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


def _modulating_factor_held(right: Backward) -> Backward:
    """c (-A q^g q + B p^g p): the slope at gamma 0, with the factors q^g and p^g as weights."""

    def planted(found: Any, saved: Saved, value_bar: float) -> Any:
        y, log_p, log_q, a, b = saved
        a, b = a * np.exp(found.gamma * log_q), b * np.exp(found.gamma * log_p)
        return right(replace(found, gamma=0.0), (y, log_p, log_q, a, b), value_bar)

    return planted


def _minus_one_dropped(right: Backward) -> Backward:
    """c e^v / 2 for the gradient of v, where c (e^v - 1) / 2 is right."""

    def planted(found: Any, saved: Saved, value_bar: float) -> Any:
        m_bar, v_bar = right(found, saved, value_bar)
        return m_bar, v_bar + 0.5 * (entry_factor(found.reduction, m_bar) * value_bar)

    return planted


def _beyond_the_lengths(right: Backward) -> Backward:
    """c p at the steps beyond an example's length, where 0 is right."""

    def planted(found: Any, saved: Saved, value_bar: Any) -> Any:
        z = saved[0]
        inputs, _ = ctc.lengths(found, z.shape[-3], z.shape[-2])
        within = (np.arange(z.shape[-2]) < inputs)[..., None]
        up = value_bar[..., None] if getattr(value_bar, "ndim", 0) else value_bar
        beyond = (ctc.factor(found, z) * up) * softmax(z)
        return np.where(within, right(found, saved, value_bar), beyond)

    return planted


def _blank_left_out(found: Any, y_bar: Array) -> Array:
    return np.where(np.arange(y_bar.shape[-1]) == found.blank, 0.0, y_bar)


def _ends_early(a: Architecture, found: Any) -> bool:
    """A CTC in which some example is shorter than the sequences."""
    lengths = getattr(found, "input_lengths", ())
    return bool(lengths) and min(lengths) < a.output[1]


# --- the faults ------------------------------------------------------------------------

WEIGHTED = (data.CrossEntropy, data.NegativeLogLikelihood)

FAULTS: tuple[Fault, ...] = (
    Fault(
        "batch_division_dropped",
        "the division by the batch size dropped from the loss gradient",
        1, 3,
        loss(lambda a, found: _rows(a) > 1 and "mean" in getattr(found, "reduction", "")),
        _changed(lambda found, y_bar: y_bar * y_bar.shape[_examples(found)]),
    ),
    Fault(
        "divided_by_outputs",
        "the loss gradient divided by the number of outputs once more",
        2, 3,
        loss(lambda a, found: _columns(a) > 1),
        _changed(lambda found, y_bar: y_bar / y_bar.shape[-1]),
    ),
    Fault(
        "factor_two",
        "the factor 2 or 1/2 of a square dropped from its gradient",
        4, 2,
        loss_of(data.SquaredError, data.SquaredHinge),
        _changed(_without_factor_two),
    ),
    Fault(
        "loss_gradient_negated",
        "the sign of the loss gradient reversed (t - y for y - t)",
        5, 3,
        loss(lambda a, found: True),
        _changed(lambda found, y_bar: -y_bar),
    ),
    Fault(
        "sigmoid_derivative_again",
        "p (1 - p) applied to p - t, which has it already",
        9, 2,
        loss_of(data.CrossEntropy, data.BinaryCrossEntropyWithLogits),
        _changed_with_saved(_times_sigmoid_slope),
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
        _changed_with_saved(_on_the_target_only),
    ),
    Fault(
        "gradient_off_the_target_only",
        "zeros for the target's class in the loss gradient",
        38, 1,
        loss_of(data.Hinge, data.SquaredHinge),
        _changed_with_saved(_off_the_target_only),
    ),
    Fault(
        "norm_held_constant",
        "the norm in the cosine treated as a constant",
        19, 1,
        loss_of(data.Cosine),
        _with_saved(_norm_held),
    ),
    Fault(
        "label_smoothing_forgotten",
        "the label smoothing forgotten in the gradient",
        None, 2,
        loss(lambda a, found: getattr(found, "label_smoothing", 0.0) > 0),
        _with(label_smoothing=0.0),
    ),
    Fault(
        "class_weights_forgotten",
        "the class weights forgotten in the gradient",
        None, 1,
        loss(lambda a, found: len(set(getattr(found, "class_weights", None) or ())) > 1),
        _with(class_weights=None),
    ),
    Fault(
        "positive_weights_forgotten",
        "the positive weights forgotten in the gradient",
        None, 1,
        loss(lambda a, found: set(getattr(found, "positive_weights", None) or (1.0,)) != {1.0}),
        _with(positive_weights=None),
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
    ),
    Fault(
        "log_target_taken_plain",
        "the logarithm of the target taken for the target",
        None, 1,
        loss(lambda a, found: isinstance(found, data.KLDivergence) and found.log_target),
        _with(log_target=False),
    ),
    Fault(
        "loss_tie_on_the_right",
        "the slope on the right of a kink of the loss taken at the kink",
        29, 1,
        loss_of(data.AbsoluteError, data.Hinge),
        _with_saved(_tie_on_the_right),
        convention=True,
    ),
    Fault(
        "residual_not_clipped",
        "the squared piece's slope beyond its threshold",
        30, 1,
        loss_of(data.Huber, data.SmoothL1),
        _with_saved(_inside),
    ),
    Fault(
        "clip_ignored",
        "a slope where the loss clips its probability",
        30, 2,
        loss_of(data.BinaryCrossEntropy),
        _with_saved(_inside_with_clipped),
    ),
    Fault(
        "zero_over_zero",
        "NaN from x / |x| at x = 0",
        36, 2,
        loss_of(data.AbsoluteError, data.Cosine),
        _changed_with_saved(_nan_at_zero),
    ),
    Fault(
        "zero_times_log_zero",
        "NaN from 0 log(0) where a probability underflows",
        36, 2,
        loss_of(data.CrossEntropy),
        _changed_with_saved(_nan_where_softmax_vanishes),
    ),
    Fault(
        "loss_gradient_in_half",
        "the loss gradient rounded to half precision",
        37, 1,
        loss(lambda a, found: True),
        _changed(lambda found, y_bar: in_half(y_bar)),
    ),
    Fault(
        "last_example_skipped",
        "zeros for the last example in the loss gradient",
        None, 1,
        loss(lambda a, found: True),
        _changed(lambda found, y_bar: y_bar - last_only(y_bar, _examples(found))),
    ),
    # Losses of several edges, of sequences, of probabilities.
    Fault(
        "negative_s_sign",
        "the sign of the gradient of the negative in a triplet reversed",
        5, 1,
        loss_of(data.TripletMargin),
        _changed_with_saved(lambda found, saved, bars: (bars[0], bars[1], -bars[2])),
    ),
    Fault(
        "slope_beyond_the_margin",
        "a slope where the margin of a triplet is kept",
        30, 1,
        loss_of(data.TripletMargin),
        _with_saved(lambda found, saved: (*saved[:2], np.ones_like(saved[2]))),
    ),
    Fault(
        "denominator_held_constant",
        "the denominator of the dice loss treated as a constant",
        None, 1,
        loss_of(data.Dice),
        _with_saved(lambda found, saved: (np.zeros_like(saved[0]), *saved[1:])),
    ),
    Fault(
        "modulating_factor_held_constant",
        "the modulating factor of the focal loss treated as a constant",
        None, 1,
        loss(lambda a, found: isinstance(found, data.Focal) and found.gamma > 0),
        _modulating_factor_held,
    ),
    Fault(
        "half_of_the_divergence_dropped",
        "the factor 1/2 of a Gaussian divergence dropped in the gradient of the logarithm",
        4, 1,
        loss_of(data.GaussianKL),
        _changed_with_saved(lambda found, saved, bars: (bars[0], 2 * bars[1])),
    ),
    Fault(
        "minus_one_dropped",
        "e^v for e^v - 1 in the gradient of a Gaussian divergence",
        None, 1,
        loss_of(data.GaussianKL),
        _minus_one_dropped,
    ),
    Fault(
        "blank_left_out",
        "zeros for the blank in the gradient of connectionist temporal classification",
        None, 1,
        loss_of(data.CTC),
        _changed(_blank_left_out),
    ),
    Fault(
        "steps_beyond_the_length",
        "a gradient at the steps beyond an example's length",
        None, 2,
        loss(_ends_early),
        _beyond_the_lengths,
    ),
)  # fmt: skip
