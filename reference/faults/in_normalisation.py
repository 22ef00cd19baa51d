"""Faults of normalisations, and of weight normalisation.

With z = (x - mu) / sigma and z_bar = gamma y_bar, right is (`standardise.py`)

    x_bar = (z_bar - mean(z_bar) - z mean(z z_bar)) / sigma

and each fault of x_bar below states what it takes instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved, over
from ..layers import batch_norm, group_norm
from ..layers.standardise import Axes, last, mean, scale_backward
from .fault import (
    Backward,
    Fault,
    Plant,
    as_if,
    instead_of_p_bar,
    instead_of_x_bar,
    layers,
    layers_of,
)

# --- where ------------------------------------------------------------------------------


def _from_data(layer: Any) -> bool:
    """Whether a layer standardises by the mean and the variance of its own input."""
    kinds = (ops.LayerNorm, ops.GroupNorm, ops.InstanceNorm)
    return isinstance(layer, kinds) or (
        isinstance(layer, ops.BatchNorm) and layer.statistics == "batch"
    )


def _standardises(a: Architecture, i: int, layer: Any) -> bool:
    return _from_data(layer)


def _divides(a: Architecture, i: int, layer: Any) -> bool:
    """Whether a layer divides by the deviation, or the root mean square, of its own input."""
    return _from_data(layer) or isinstance(layer, ops.RMSNorm)


def _batch_of_images(a: Architecture, i: int, layer: Any) -> bool:
    """Batch normalisation over more than the examples."""
    return (
        isinstance(layer, ops.BatchNorm)
        and _from_data(layer)
        and math.prod(a.inputs_of(i)[0][2:]) > 1
    )


# --- how --------------------------------------------------------------------------------


class Seen(NamedTuple):
    """z, sigma and z_bar as the statistics see them, which are taken over `axes`."""

    layer: Any
    z: Array
    sigma: Array
    z_bar: Array
    axes: Axes


def _seen(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Seen:
    z, sigma, _ = saved
    rank = layer.axes if isinstance(layer, ops.LayerNorm) else 1
    spatial = getattr(layer, "spatial", 0)
    z_bar, _ = scale_backward(p, z.reshape(y_bar.shape), y_bar, rank, spatial)
    match layer:
        case ops.BatchNorm():
            axes = batch_norm.axes(layer)
        case ops.GroupNorm():
            z_bar, axes = group_norm.grouped(layer, z_bar), last(1)
        case ops.InstanceNorm():
            axes = last(spatial)
        case _:
            axes = last(rank)
    return Seen(layer, z, sigma, z_bar, axes)


def _x_bar(change: Callable[[Seen], Array]) -> Plant:
    return instead_of_x_bar(
        lambda right, layer, p, saved, y_bar: change(_seen(layer, p, saved, y_bar)).reshape(
            y_bar.shape
        )
    )


def _without_mean_term(s: Seen) -> Array:
    """(z_bar - z mean(z z_bar)) / sigma."""
    x_bar: Array = (s.z_bar - s.z * mean(s.z * s.z_bar, s.axes)) / s.sigma
    return x_bar


def _without_variance_term(s: Seen) -> Array:
    """(z_bar - mean(z_bar)) / sigma."""
    x_bar: Array = (s.z_bar - mean(s.z_bar, s.axes)) / s.sigma
    return x_bar


def _held(s: Seen) -> Array:
    """z_bar / sigma."""
    x_bar: Array = s.z_bar / s.sigma
    return x_bar


def _with_means(s: Seen, average: Callable[[Array], Array]) -> Array:
    x_bar: Array = (s.z_bar - average(s.z_bar) - s.z * average(s.z * s.z_bar)) / s.sigma
    return x_bar


def _with_n_minus_one(s: Seen) -> Array:
    """sum(z z_bar) / (n - 1) for the mean, which is sum(z z_bar) / n."""
    n = math.prod(s.z_bar.shape[axis] for axis in s.axes)
    along = mean(s.z * s.z_bar, s.axes) * (n / max(n - 1, 1))
    x_bar: Array = (s.z_bar - mean(s.z_bar, s.axes) - s.z * along) / s.sigma
    return x_bar


def _divided_by_examples(s: Seen) -> Array:
    """sum / N for the means, which are sum / (N H W)."""
    examples = s.z_bar.shape[s.axes[0]]
    return _with_means(s, lambda v: v.sum(axis=s.axes, keepdims=True) / examples)


def _along_the_axis_before(s: Seen) -> Array:
    """The means over the axis before those that the forward pass took them over."""
    return _with_means(s, lambda v: mean(v, (s.axes[0] - 1,)))


def _over_all_groups(s: Seen) -> Array:
    """The means over all channels of an example."""
    return _with_means(s, lambda v: mean(v, last(2)))


def _of_the_group_before(s: Seen) -> Array:
    """The means of another group."""
    return _with_means(s, lambda v: np.roll(mean(v, s.axes), 1, axis=-2))


def _without_epsilon(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Array:
    """sqrt(v) for sigma = sqrt(v + epsilon), in z too."""
    s = _seen(layer, p, saved, y_bar)
    if isinstance(layer, ops.BatchNorm) and layer.statistics == "given":
        return s.z_bar / np.sqrt(over(p["variance"], s.z_bar, 1, layer.spatial))
    c = s.z * s.sigma
    v = mean(c * c, s.axes)
    sigma = np.where(v > 0, np.sqrt(v), s.sigma)
    t = s._replace(z=c / sigma, sigma=sigma)
    if isinstance(layer, ops.RMSNorm):
        return _without_mean_term(t)
    return _with_means(t, lambda u: mean(u, t.axes)).reshape(y_bar.shape)


def _times_deviation(power: int) -> Plant:
    """x_bar sigma^power."""

    def planted(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
        s = _seen(layer, p, saved, y_bar)
        x_bar = right(layer, p, saved, y_bar)[0].reshape(s.z.shape)
        return (x_bar * s.sigma if power > 0 else x_bar / s.sigma).reshape(y_bar.shape)

    return instead_of_x_bar(planted)


def _gain_not_normalised(
    p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Arrays:
    """gamma_bar = sum of y_bar (x - mu), where that of y_bar z is right."""
    s = _seen(layer, p, saved, y_bar)
    rank = layer.axes if isinstance(layer, ops.LayerNorm) else 1
    c = (s.z * s.sigma).reshape(y_bar.shape)
    return {"gamma": scale_backward(p, c, y_bar, rank, getattr(layer, "spatial", 0))[1]["gamma"]}


def _without_gain(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    return right(layer, {**p, "gamma": np.ones_like(p["gamma"])}, saved, y_bar)[0]


def _length_held(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    """v_bar = g W_bar / |v|, which lacks - g u <u, W_bar> / |v|."""
    _, _, u, length = saved
    along = p["gain"][..., None] * u * p_bar["gain"][..., None] / length
    return {"direction": p_bar["direction"] + along}


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "mean_term_dropped",
        "the mean of the cotangent left out of a normalisation's gradient",
        18, 2,
        layers(_standardises),
        _x_bar(_without_mean_term),
        kind="missing",
        shows="at a normalisation by the mean and variance of its own input",
        hidden="where the cotangent of z has the mean 0",
    ),
    Fault(
        "variance_term_dropped",
        "a normalisation's variance treated as a constant",
        19, 2,
        layers(_standardises),
        _x_bar(_without_variance_term),
        kind="missing",
        shows="at a normalisation by the mean and variance of its own input",
        hidden="where the entries that are normalised are equal: z is 0",
    ),
    Fault(
        "statistics_held_constant",
        "a normalisation's mean and variance treated as constants",
        19, 1,
        layers(_standardises),
        _x_bar(_held),
        kind="missing",
        shows="at a normalisation by the mean and variance of its own input",
        hidden="where the cotangent of z is orthogonal to 1 and to z: both means are 0",
    ),
    Fault(
        "given_statistics_differentiated",
        "given statistics differentiated as if they were those of the batch",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.BatchNorm) and not _from_data(layer)),
        as_if(statistics="batch"),
        kind="extra",
        shows="at a batch normalisation by given statistics",
        hidden="where the cotangent of z is orthogonal to 1 and to z: both means are 0",
        like="evaluation mode differentiated as training mode",
    ),
    Fault(
        "places_not_counted",
        "batch normalisation's sums divided by the examples alone, not by the places too",
        20, 2,
        layers(_batch_of_images),
        _x_bar(_divided_by_examples),
        kind="factor",
        shows="at a batch normalisation with spatial axes of more than one place",
        hidden="where the cotangent of z is orthogonal to 1 and to z: both means are 0",
    ),
    Fault(
        "means_over_the_wrong_axis",
        "the means in layer normalisation's gradient taken over the axis before",
        21, 2,
        layers_of(ops.LayerNorm),
        _x_bar(_along_the_axis_before),
        kind="axis",
        shows="at a layer normalisation",
        hidden="where all means along both axes are equal",
    ),
    Fault(
        "epsilon_forgotten",
        "a normalisation differentiated without its epsilon",
        22, 1,
        layers_of(*ops.NORMALISATIONS),
        instead_of_x_bar(
            lambda right, layer, p, saved, y_bar: _without_epsilon(layer, p, saved, y_bar)
        ),
        kind="argument",
        shows="at any normalisation",
        hidden="where epsilon is lost beside the variance by rounding",
    ),
    Fault(
        "gain_dropped",
        "a normalisation's gain left out of the gradient of its input",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.NORMALISATIONS) and "gamma" in a.own[i]),
        instead_of_x_bar(_without_gain),
        kind="missing",
        shows="at a normalisation with a gain",
        hidden="where the gain is 1 throughout",
        like="a normalisation differentiated without its affine part",
    ),
    Fault(
        "variance_over_n_minus_one",
        "the variance in a normalisation's gradient divided by n - 1, forward by n",
        None, 1,
        layers(_standardises),
        _x_bar(_with_n_minus_one),
        kind="factor",
        shows="at a normalisation by the mean and variance of its own input",
        hidden="where the cotangent of z is orthogonal to z",
        like="a library's other default for a variance",
    ),
    Fault(
        "mean_term_added",
        "a mean taken out of an RMS normalisation's gradient, as of layer normalisation",
        None, 1,
        layers_of(ops.RMSNorm),
        _x_bar(lambda s: _with_means(s, lambda v: mean(v, s.axes))),
        kind="extra",
        shows="at an RMS normalisation",
        hidden="where the cotangent of z has the mean 0",
        like="a gradient copied from a similar layer",
    ),
    Fault(
        "deviation_not_divided",
        "the division by the deviation left out of a normalisation's gradient",
        None, 1,
        layers(_divides),
        _times_deviation(1),
        kind="missing",
        shows="at a normalisation by its own input's deviation",
        hidden="where the deviation is 1",
        like="a constant applied forward alone",
    ),
    Fault(
        "variance_for_deviation",
        "a normalisation's gradient divided by the variance, not by its root",
        None, 1,
        layers(_divides),
        _times_deviation(-1),
        kind="factor",
        shows="at a normalisation by its own input's deviation",
        hidden="where the deviation is 1",
        like="a root forgotten",
    ),
    Fault(
        "gain_gradient_not_normalised",
        "a gain's gradient from the input before it is divided by the deviation",
        None, 1,
        layers(lambda a, i, layer: _divides(a, i, layer) and "gamma" in a.own[i]),
        instead_of_p_bar(_gain_not_normalised),
        kind="argument",
        shows="at a normalisation with a gain, by its own input's deviation",
        hidden="where the deviation is 1",
        like="a layer's input taken for what it was scaled from",
    ),
    Fault(
        "groups_taken_for_one",
        "the means in group normalisation's gradient taken over all groups together",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.GroupNorm) and layer.groups > 1),
        _x_bar(_over_all_groups),
        kind="axis",
        shows="at a group normalisation with several groups",
        hidden="where all groups have the same means of the cotangent",
        like="means taken over all channels, as layer normalisation has it",
    ),
    Fault(
        "means_of_another_group",
        "the means of another group in group normalisation's gradient",
        None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.GroupNorm) and layer.groups > 1),
        _x_bar(_of_the_group_before),
        kind="index",
        shows="at a group normalisation with several groups",
        hidden="where all groups have the same means of the cotangent",
        like="the index of a group off by one",
    ),
    Fault(
        "root_mean_square_held_constant",
        "the root mean square treated as a constant",
        None, 1,
        layers_of(ops.RMSNorm),
        _x_bar(_held),
        kind="missing",
        shows="at an RMS normalisation",
        hidden="where the cotangent of z is orthogonal to z",
        like="statistics detached from the graph",
    ),
    Fault(
        "length_held_constant",
        "the length of a normalised weight treated as a constant",
        None, 1,
        layers_of(ops.WeightNormDense),
        instead_of_p_bar(_length_held),
        kind="missing",
        shows="at a weight-normalised dense layer",
        hidden="where the gain's gradient is 0: the weight's has no part along the direction",
        like="a norm treated as a constant",
    ),
)  # fmt: skip
