"""The table of pages: which functions derive which operator, loss and penalty.

A layer's page offers

    forward(layer, p, x, branch)      -> (y, saved)
    backward(layer, p, saved, y_bar)  -> (x_bar, p_bar)
    kink(layer, p, x)                 -> Kink or Choice     where it is piecewise
    radius(layer, x)                  -> distance           where not 1
    inner(layer, saved)               -> ((value, radius), ...)   where it has inner functions

p maps the layer's own names of its parameters and data to arrays, p_bar those of its
parameters.  x is an array or, for a layer of several inputs or of none, a tuple of them;
then so is x_bar.  `branch` holds the piece of each entry (`arrays.regions`) where the page
has a `kink`, else None.  `radius` is how far every entry may move at once, along any
direction and by a complex step, before the piece that x is on meets a singularity, or a lower
bound: one number, or one for each entry and, of several inputs, one for all of them.  It is
infinite for polynomials, and 1 is a safe bound for functions of exp(x).  `inner` gives
values inside that some function with singularities takes (the scores before a softmax, the
pre-activations of a recurrence), each with its radius.  Radii set the steps of the finite
differences.

A loss's page has the same with (loss, y, target) for (layer, p, x):

    forward(loss, y, target, branch)  -> (value, saved)
    backward(loss, saved, value_bar)  -> y_bar
    kink(loss, y, target), radius(loss, y, target)

with y flattened as `losses.flat_shape` says, and None for a target that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from ..architectures import losses as data
from ..architectures import operators as ops


class Page(NamedTuple):
    """The functions of one page; `kink`, `radius` and `inner` may be absent."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    kink: Callable[..., Any] | None
    radius: Callable[..., Any] | None
    inner: Callable[..., Any] | None
    derivation: str


def page(path: str) -> Page:
    """Read a page off its module, `layers.dense`.  ImportError where there is none."""
    module = import_module(f".{path}", __package__)
    return Page(
        module.forward,
        module.backward,
        getattr(module, "kink", None),
        getattr(module, "radius", None),
        getattr(module, "inner", None),
        module.__doc__ or "",
    )


SHARED_PAGES: Mapping[type[ops.Operator], str] = {
    **dict.fromkeys((ops.Maximum, ops.Minimum), "extremum"),
    **dict.fromkeys((ops.Conv1d, ops.Conv2d, ops.Conv3d), "convolution"),
    **dict.fromkeys((ops.ConvTranspose1d, ops.ConvTranspose2d), "transposed_convolution"),
    **dict.fromkeys((ops.MaxPool1d, ops.MaxPool2d), "max_pool"),
    **dict.fromkeys((ops.AveragePool1d, ops.AveragePool2d), "average_pool"),
    **dict.fromkeys(
        (ops.AdaptiveAveragePool1d, ops.AdaptiveAveragePool2d), "adaptive_average_pool"
    ),
}
"""Operators that are derived together; all others have a page of their own name."""

LAYERS: Mapping[type[ops.Operator], Page] = {
    op: page(f"layers.{SHARED_PAGES.get(op, str(op.__struct_config__.tag))}")
    for op in ops.OPERATORS
}

LOSSES: Mapping[type[data.Loss], Page] = {
    loss: page(f"losses.{loss.__struct_config__.tag}") for loss in data.LOSSES
}
