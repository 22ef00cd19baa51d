"""Normalisation, and the regularisation that is part of the network.

The variance of m numbers is their mean squared deviation, divided by m (not m - 1);
sigma(v) = sqrt(v + epsilon).  `gamma` and `beta` are parameters, present where `affine`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ..checks import Fraction, Positive, PositiveInteger, bounded
from .base import Data, Operator, Rule, Rules, Shape, check_exact_rank, check_rank, size

Spatial = Annotated[int, bounded(minimum=0, maximum=3)]


class BatchNorm(Operator, frozen=True, tag="batch_norm"):
    """y = gamma (x - mu) / sigma(v) + beta, channel by channel (Ioffe and Szegedy 2015).

    x is (N, C) and then `spatial` further axes, 0 to 3.  With statistics `batch` mu and v are
    the mean and the variance of a channel over the batch and the spatial axes; with `given`
    they are the data `mean` and `variance`, each (C,).  gamma and beta are (C,).
    """

    spatial: Spatial = 0
    epsilon: Positive = 1e-5
    statistics: Literal["batch", "given"] = "batch"
    affine: bool = True


class LayerNorm(Operator, frozen=True, tag="layer_norm"):
    """y = gamma (x - mu) / sigma(v) + beta over the last `axes` axes (Ba et al. 2016).

    mu and v are the mean and the variance over these axes.  gamma and beta have their shape.
    """

    axes: PositiveInteger = 1
    epsilon: Positive = 1e-5
    affine: bool = True


class GroupNorm(Operator, frozen=True, tag="group_norm"):
    """y = gamma (x - mu) / sigma(v) + beta over groups of channels (Wu and He 2018).

    x is (N, C) and then `spatial` further axes, 0 to 3.  The C channels are cut into `groups`
    runs of C / groups neighbours; mu and v are the mean and the variance over a run and the
    spatial axes, example by example.  gamma and beta are (C,).
    """

    groups: PositiveInteger = 1
    spatial: Spatial = 2
    epsilon: Positive = 1e-5
    affine: bool = True


class InstanceNorm(Operator, frozen=True, tag="instance_norm"):
    """y = gamma (x - mu) / sigma(v) + beta over the spatial axes (Ulyanov et al. 2016).

    x is (N, C) and then `spatial` further axes, 1 to 3.  mu and v are the mean and the
    variance over these, for each example and channel.  gamma and beta are (C,).
    """

    spatial: Annotated[int, bounded(minimum=1, maximum=3)] = 2
    epsilon: Positive = 1e-5
    affine: bool = True


class RMSNorm(Operator, frozen=True, tag="rms_norm"):
    """y = gamma x / sqrt(mean(x^2) + epsilon) over the last axis (Zhang and Sennrich 2019).

    gamma has the shape (features,).
    """

    epsilon: Positive = 1e-5
    affine: bool = True


class Dropout(Operator, frozen=True, tag="dropout"):
    """y = x m / (1 - rate), with the mask m given: the data `mask`, booleans of x's shape."""

    rate: Fraction = 0.5


class StochasticDepth(Operator, frozen=True, tag="stochastic_depth"):
    """y = x m / (1 - rate): whole examples are dropped (Huang et al. 2016).

    The data `mask` m holds one boolean for each example, of shape (N, 1, ..., 1), of x's rank.
    """

    rate: Fraction = 0.5


NORMALISATIONS: tuple[type[Operator], ...] = (
    BatchNorm, LayerNorm, GroupNorm, InstanceNorm, RMSNorm,
)  # fmt: skip
REGULARISATION: tuple[type[Operator], ...] = (Dropout, StochasticDepth)


def _check_channels(op: Any, x: Shape) -> None:
    axes = "".join(", ..." for _ in range(min(op.spatial, 1)))
    check_exact_rank(op, x, op.spatial + 2, f"(N, C{axes}) with {op.spatial} spatial axes")


def _batch_norm(op: BatchNorm, x: Shape) -> Shape:
    _check_channels(op, x)
    if op.statistics == "batch" and size(x) == x[1]:
        raise ValueError(f"batch_norm needs more than one value a channel, got the shape {x}")
    return x


def _batch_norm_data(op: BatchNorm, x: Shape) -> dict[str, Data]:
    if op.statistics == "batch":
        return {}
    return {"mean": Data((x[1],), "real"), "variance": Data((x[1],), "positive")}


def _layer_norm(op: LayerNorm, x: Shape) -> Shape:
    check_rank(op, x, op.axes + 1, f"at least {op.axes + 1} axes")
    _several(op, x, size(x[-op.axes :]))
    return x


def _group_norm(op: GroupNorm, x: Shape) -> Shape:
    _check_channels(op, x)
    if x[1] % op.groups:
        raise ValueError(f"group_norm: groups {op.groups} do not divide the {x[1]} channels")
    _several(op, x, size(x[1:]) // op.groups)
    return x


def _instance_norm(op: InstanceNorm, x: Shape) -> Shape:
    _check_channels(op, x)
    _several(op, x, size(x[2:]))
    return x


def _several(op: Operator, x: Shape, n: int) -> None:
    if n < 2:
        raise ValueError(f"{op.name} needs more than one value to normalise, got the shape {x}")


def _rms_norm(op: RMSNorm, x: Shape) -> Shape:
    check_rank(op, x, 2, "(..., features) with the batch in front")
    return x


def _channelwise(op: Any, x: Shape) -> dict[str, Shape]:
    return {"gamma": (x[1],), "beta": (x[1],)} if op.affine else {}


def _over_last(op: LayerNorm, x: Shape) -> dict[str, Shape]:
    shape = x[-op.axes :]
    return {"gamma": shape, "beta": shape} if op.affine else {}


def _gamma(op: RMSNorm, x: Shape) -> dict[str, Shape]:
    return {"gamma": (x[-1],)} if op.affine else {}


def _as_given(op: Any, x: Shape) -> Shape:
    return x


def _mask(op: Dropout, x: Shape) -> dict[str, Data]:
    return {"mask": Data(x, "mask", keep=1 - op.rate)}


def _example_mask(op: StochasticDepth, x: Shape) -> dict[str, Data]:
    return {"mask": Data((x[0], *(1,) * (len(x) - 1)), "mask", keep=1 - op.rate)}


RULES: Rules = {
    BatchNorm: Rule(_batch_norm, _channelwise, _batch_norm_data),
    LayerNorm: Rule(_layer_norm, _over_last),
    GroupNorm: Rule(_group_norm, _channelwise),
    InstanceNorm: Rule(_instance_norm, _channelwise),
    RMSNorm: Rule(_rms_norm, _gamma),
    Dropout: Rule(_as_given, data=_mask),
    StochasticDepth: Rule(_as_given, data=_example_mask),
}
