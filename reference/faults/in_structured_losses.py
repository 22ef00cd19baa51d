"""Faults of losses of several edges, of sequences, of overlaps and of modulated probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures import losses as data
from ...architectures.architecture import Architecture
from ..arrays import Array, Saved
from ..losses import ctc
from ..losses.reduction import entry_factor
from ..losses.softmax import softmax
from .fault import Backward, Fault, loss, loss_of
from .in_losses import changed, changed_with_saved, with_saved

# --- how -------------------------------------------------------------------------------


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

FAULTS: tuple[Fault, ...] = (
    Fault(
        "negative_s_sign",
        "the sign of the gradient of the negative in a triplet reversed",
        5, 1,
        loss_of(data.TripletMargin),
        changed_with_saved(lambda found, saved, bars: (bars[0], bars[1], -bars[2])),
        kind="sign",
        shows="at a triplet loss",
        hidden="where every margin is kept: the gradient is 0",
    ),
    Fault(
        "slope_beyond_the_margin",
        "a slope where the margin of a triplet is kept",
        30, 1,
        loss_of(data.TripletMargin),
        with_saved(lambda found, saved: (*saved[:2], np.ones_like(saved[2]))),
        kind="argument",
        shows="at a triplet loss",
        hidden="where no margin is kept",
    ),
    Fault(
        "denominator_held_constant",
        "the denominator of the dice loss treated as a constant",
        None, 1,
        loss_of(data.Dice),
        with_saved(lambda found, saved: (np.zeros_like(saved[0]), *saved[1:])),
        kind="missing",
        shows="at a Dice loss",
        like="half of the quotient rule",
    ),
    Fault(
        "modulating_factor_held_constant",
        "the modulating factor of the focal loss treated as a constant",
        None, 1,
        loss(lambda a, found: isinstance(found, data.Focal) and found.gamma > 0),
        _modulating_factor_held,
        kind="missing",
        shows="at a focal loss with a gamma",
        hidden="where every probability is its target: both terms are 0",
        like="half of the product rule",
    ),
    Fault(
        "half_of_the_divergence_dropped",
        "the factor 1/2 of a Gaussian divergence dropped in the gradient of the logarithm",
        4, 1,
        loss_of(data.GaussianKL),
        changed_with_saved(lambda found, saved, bars: (bars[0], 2 * bars[1])),
        kind="factor",
        shows="at a Gaussian divergence",
        hidden="where every variance is 1: the gradient of its logarithm is 0",
    ),
    Fault(
        "minus_one_dropped",
        "e^v for e^v - 1 in the gradient of a Gaussian divergence",
        None, 1,
        loss_of(data.GaussianKL),
        _minus_one_dropped,
        kind="missing",
        shows="at a Gaussian divergence",
        like="a term lost in differentiation",
    ),
    Fault(
        "blank_left_out",
        "zeros for the blank in the gradient of connectionist temporal classification",
        None, 1,
        loss_of(data.CTC),
        changed(_blank_left_out),
        kind="missing",
        shows="at connectionist temporal classification",
        hidden="where the blank's probability is its share of the paths: their difference is 0",
        like="a special class that the backward pass leaves out",
    ),
    Fault(
        "steps_beyond_the_length",
        "a gradient at the steps beyond an example's length",
        None, 2,
        loss(_ends_early),
        _beyond_the_lengths,
        kind="index",
        shows="at connectionist temporal classification in which some example ends early",
        like="a mask applied forward alone",
    ),
)  # fmt: skip
