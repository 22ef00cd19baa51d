"""The table of pages: which functions derive which operator, loss and penalty.

A layer's page offers

    forward(layer, p, x, branch)      -> (y, saved)
    backward(layer, p, saved, y_bar)  -> (x_bar, p_bar)
    kink(layer, x)                    -> Kink               where it is piecewise
    radius(layer, x)                  -> distances          where not 1

p and p_bar map the layer's own parameter names to arrays.  `branch` holds the piece of
each entry (`arrays.regions`) where the page has a `kink`, else None.  `radius` is the
distance, entry by entry, from x to the nearest complex singularity of the piece that it
is on, or a lower bound; infinite for polynomials.  It sets the step of the finite
differences.  1 is a safe bound for functions of exp(x).

A loss's page has the same four with (loss, y, target) for (layer, p, x):

    forward(loss, y, target, branch)  -> (value, saved)
    backward(loss, saved, value_bar)  -> y_bar
    kink(loss, y, target), radius(loss, y, target)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from ..architectures import losses as data
from ..architectures import operators as ops
from . import layers, losses


class Page(NamedTuple):
    """The four functions of one page; `kink` and `radius` may be absent."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    kink: Callable[..., Any] | None
    radius: Callable[..., Any] | None
    derivation: str


def page(module: ModuleType) -> Page:
    """Read a page off its module."""
    return Page(
        module.forward,
        module.backward,
        getattr(module, "kink", None),
        getattr(module, "radius", None),
        module.__doc__ or "",
    )


LAYERS: Mapping[type[ops.Operator], Page] = {
    ops.Dense: page(layers.dense),
    ops.Identity: page(layers.identity),
    ops.Sigmoid: page(layers.sigmoid),
    ops.Tanh: page(layers.tanh),
    ops.ReLU: page(layers.relu),
    ops.LeakyReLU: page(layers.leaky_relu),
    ops.PReLU: page(layers.prelu),
    ops.ELU: page(layers.elu),
    ops.SELU: page(layers.selu),
    ops.CELU: page(layers.celu),
    ops.GELU: page(layers.gelu),
    ops.SiLU: page(layers.silu),
    ops.Mish: page(layers.mish),
    ops.Softplus: page(layers.softplus),
    ops.Softsign: page(layers.softsign),
    ops.HardTanh: page(layers.hard_tanh),
    ops.ReLU6: page(layers.relu6),
    ops.HardSigmoid: page(layers.hard_sigmoid),
    ops.HardSwish: page(layers.hard_swish),
    ops.LogSigmoid: page(layers.log_sigmoid),
    ops.TanhShrink: page(layers.tanh_shrink),
    ops.SoftShrink: page(layers.soft_shrink),
    ops.HardShrink: page(layers.hard_shrink),
    ops.Sine: page(layers.sine),
    ops.Square: page(layers.square),
    ops.Softmax: page(layers.softmax),
    ops.LogSoftmax: page(layers.log_softmax),
    ops.GLU: page(layers.glu),
    ops.SwiGLU: page(layers.swiglu),
}

LOSSES: Mapping[type[data.Loss], Page] = {
    data.WeightedSum: page(losses.weighted_sum),
    data.SquaredError: page(losses.squared_error),
    data.AbsoluteError: page(losses.absolute_error),
    data.Huber: page(losses.huber),
    data.SmoothL1: page(losses.smooth_l1),
    data.LogCosh: page(losses.log_cosh),
    data.CrossEntropy: page(losses.cross_entropy),
    data.NegativeLogLikelihood: page(losses.negative_log_likelihood),
    data.BinaryCrossEntropy: page(losses.binary_cross_entropy),
    data.BinaryCrossEntropyWithLogits: page(losses.binary_cross_entropy_with_logits),
    data.Hinge: page(losses.hinge),
    data.SquaredHinge: page(losses.squared_hinge),
    data.KLDivergence: page(losses.kl_divergence),
    data.Cosine: page(losses.cosine),
}
