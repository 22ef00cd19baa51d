"""Random architectures, valid by construction.

Strategies for Hypothesis draw structure only; values come from the seed (`cases.py`).
Every choice is ordered from simple to complex and every layer has a continue flag of its
own, so that a failing network shrinks to a small one.  `generate` draws many from a seed
without running a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from . import losses as ls
from . import operators as ops
from .architecture import Architecture
from .cases import DType, Lane
from .exactness import EXACT_OPERATORS, is_exact

ACTIVATION_NAMES: Mapping[str, type[ops.Operator]] = {
    str(op.__struct_config__.tag): op for op in ops.ACTIVATIONS
}
LOSS_NAMES: Mapping[str, type[ls.Loss]] = {str(op.__struct_config__.tag): op for op in ls.LOSSES}

GATED = {"glu", "swiglu"}
"""They halve the features."""

KINKED: tuple[type[ops.Operator], ...] = (
    ops.ReLU, ops.LeakyReLU, ops.PReLU, ops.ELU, ops.SELU, ops.HardTanh, ops.ReLU6,
    ops.HardSigmoid, ops.HardSwish, ops.SoftShrink, ops.HardShrink,
)  # fmt: skip
"""Activations with a point where they are not differentiable."""


@dataclass(frozen=True)
class Limits:
    """How large networks may grow, and which operators they are made of (all where empty).

    ValueError where no network fits.
    """

    max_depth: int = 4
    max_width: int = 8
    max_batch: int = 5
    activations: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_width < 2 and self.activations and set(self.activations) <= GATED:
            names = " and ".join(sorted(GATED))
            raise ValueError(f"{names} halve the features, so max_width must be at least 2")


def _choice(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


DRAW_ACTIVATION: Mapping[type[ops.Operator], st.SearchStrategy[Any]] = {
    **{op: st.builds(op) for op in ops.ACTIVATIONS},
    ops.LeakyReLU: st.builds(ops.LeakyReLU, slope=_choice(0.25, 0.01, 0.1, -0.5, 2.0)),
    ops.PReLU: st.builds(ops.PReLU, shared=st.booleans()),
    ops.ELU: st.builds(ops.ELU, alpha=_choice(1.0, 0.5, 2.0)),
    ops.CELU: st.builds(ops.CELU, alpha=_choice(1.0, 0.5, 2.0)),
    ops.GELU: st.builds(ops.GELU, form=_choice("exact", "tanh")),
    ops.Softplus: st.builds(ops.Softplus, beta=_choice(1.0, 0.5, 3.0)),
    ops.HardTanh: st.builds(ops.HardTanh, low=_choice(-1.0, -0.5), high=_choice(1.0, 2.0)),
    ops.SoftShrink: st.builds(ops.SoftShrink, threshold=_choice(0.5, 1.0)),
    ops.HardShrink: st.builds(ops.HardShrink, threshold=_choice(0.5, 1.0)),
    ops.Sine: st.builds(ops.Sine, frequency=_choice(1.0, 0.5, 3.0)),
    ops.Softmax: st.builds(ops.Softmax, axis=_choice(-1, 1, 0, -2)),
    ops.LogSoftmax: st.builds(ops.LogSoftmax, axis=_choice(-1, 1, 0, -2)),
}
"""How to draw the attributes of each activation."""

EXACT_ATTRIBUTES: Mapping[type[ops.Operator], st.SearchStrategy[Any]] = {
    ops.LeakyReLU: st.builds(ops.LeakyReLU, slope=_choice(0.25, 0.5, -0.5)),
}
"""Where the exact lane needs others."""

_REDUCTION = _choice("sum", "mean", "batch_mean")
_ROWS = _choice("sum", "mean")


def _weights(features: int) -> st.SearchStrategy[Any]:
    weight = _choice(1.0, 0.5, 2.0)
    return st.none() | st.lists(weight, min_size=features, max_size=features).map(tuple)


def _ignored(features: int) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(0, features - 1) if features > 1 else st.none()


def draw_loss(loss: type[ls.Loss], features: int) -> st.SearchStrategy[Any]:
    """How to draw a loss for so many outputs."""
    match loss:
        case ls.WeightedSum:
            return st.builds(loss)
        case ls.SquaredError:
            return st.builds(loss, reduction=_choice("half_sum", "sum", "mean", "batch_mean"))
        case ls.Huber:
            return st.builds(loss, delta=_choice(1.0, 0.5), reduction=_REDUCTION)
        case ls.SmoothL1:
            return st.builds(loss, beta=_choice(1.0, 0.5), reduction=_REDUCTION)
        case ls.CrossEntropy:
            indices = st.builds(
                loss,
                label_smoothing=_choice(0.0, 0.1),
                class_weights=_weights(features),
                ignore_index=_ignored(features),
                reduction=_ROWS,
            )
            return indices | st.builds(
                loss,
                target=st.just("probabilities"),
                label_smoothing=_choice(0.0, 0.1),
                class_weights=_weights(features),
                reduction=_ROWS,
            )
        case ls.NegativeLogLikelihood:
            return st.builds(
                loss,
                class_weights=_weights(features),
                ignore_index=_ignored(features),
                reduction=_ROWS,
            )
        case ls.BinaryCrossEntropyWithLogits:
            return st.builds(loss, positive_weights=_weights(features), reduction=_REDUCTION)
        case ls.Hinge | ls.SquaredHinge:
            return st.builds(loss, margin=_choice(1.0, 0.5), reduction=_ROWS)
        case ls.KLDivergence:
            return st.builds(loss, log_target=st.booleans(), reduction=_REDUCTION)
        case ls.Cosine:
            return st.builds(loss, reduction=_ROWS)
        case _:
            return st.builds(loss, reduction=_REDUCTION)


EXACT_LOSSES: tuple[ls.Loss, ...] = (
    ls.WeightedSum(),
    ls.SquaredError(),
    ls.SquaredError("sum"),
    ls.AbsoluteError("sum"),
)
"""The losses of the exact lane."""

SMALL = {"exact": (3, 4, 4), "tie": (2, 3, 3)}
"""The most depth, width and batch of the lanes that need small networks."""


@st.composite
def architectures(
    draw: st.DrawFn, limits: Limits, lane: Lane = "generic", dtype: DType = "float64"
) -> Architecture:
    """Feed-forward networks within `limits`, fit for a lane and a dtype."""
    depth, width, batch = SMALL.get(lane, (limits.max_depth, limits.max_width, limits.max_batch))
    depth, width = min(depth, limits.max_depth), min(width, limits.max_width)
    rows, features = draw(st.integers(1, min(batch, limits.max_batch))), draw(st.integers(1, width))
    first = features
    layers: list[ops.Operator] = []
    required = limits.activations != ()
    for block in range(depth + 1):
        more = draw(st.integers(0, 3))  # also where it does not count, so that a block that is
        if block == depth or not (more or required):  # deleted leaves the others in step
            break
        required = False
        if draw(st.integers(0, 4)) or not layers:
            features = draw(st.integers(1, width))
            layers.append(ops.Dense(features, draw(st.booleans())))
        allowed = _allowed(limits, lane)
        if lane == "tie" and draw(st.booleans()):
            allowed = [op for op in allowed if op in KINKED] or allowed
        fitting = [op for op in allowed if features % 2 == 0 or op not in (ops.GLU, ops.SwiGLU)]
        if not fitting:  # gated units alone are allowed, and they halve the features
            features += 1 if features < width else -1
            if isinstance(layers[-1], ops.Dense):
                layers.pop()
            layers.append(ops.Dense(features))
            fitting = allowed
        kind = draw(st.sampled_from(fitting))
        layers.append(draw(_attributes(kind, lane)))
        features = ops.output_shape(layers[-1], (rows, features))[-1]
    loss_kind = _loss_kind(draw, limits, lane)
    if draw(st.booleans()) or not layers or loss_kind is ls.BinaryCrossEntropy:
        features = draw(st.integers(1, width))
        layers.append(ops.Dense(features))
    if loss_kind is ls.BinaryCrossEntropy:
        layers.append(ops.Sigmoid())
    loss = (
        draw(st.sampled_from([e for e in EXACT_LOSSES if isinstance(e, loss_kind)]))
        if lane == "exact" and issubclass(loss_kind, tuple(type(e) for e in EXACT_LOSSES))
        else draw(draw_loss(loss_kind, features))
    )
    strength = _choice(0.0, 0.5) if lane == "exact" else _choice(0.0, 0.5, 0.01)
    penalty = st.builds(ls.L1, strength) | st.builds(ls.L2, strength)
    penalties = draw(st.lists(penalty, max_size=2)) if draw(st.booleans()) else []
    return _fitted((rows, first), tuple(layers), loss, tuple(penalties), lane, dtype)


def _allowed(limits: Limits, lane: Lane) -> list[type[ops.Operator]]:
    chosen = [ACTIVATION_NAMES[n] for n in limits.activations] or list(ops.ACTIVATIONS)
    exact = [op for op in chosen if op in EXACT_OPERATORS]
    return exact if lane == "exact" and exact else chosen


def _attributes(kind: type[ops.Operator], lane: Lane) -> st.SearchStrategy[Any]:
    if lane == "exact" and kind in EXACT_ATTRIBUTES:
        return EXACT_ATTRIBUTES[kind]
    return DRAW_ACTIVATION[kind]


def _loss_kind(draw: st.DrawFn, limits: Limits, lane: Lane) -> type[ls.Loss]:
    chosen = [LOSS_NAMES[n] for n in limits.losses] or list(ls.LOSSES)
    if lane == "exact":
        exact = tuple(type(e) for e in EXACT_LOSSES)
        chosen = [kind for kind in chosen if kind in exact] or chosen
    return draw(st.sampled_from(chosen))


def _fitted(
    shape: tuple[int, int],
    layers: tuple[Any, ...],
    loss: Any,
    penalties: tuple[Any, ...],
    lane: Lane,
    dtype: DType,
) -> Architecture:
    """The network; on the exact lane, without the last layers that would need more bits.

    Another loss than the exact lane's never becomes exact, and may depend on its last layer.
    """
    trims = lane == "exact" and loss in EXACT_LOSSES
    while True:
        architecture = Architecture(shape, layers, loss, penalties)
        if not trims or is_exact(architecture, dtype) or len(layers) <= 2:
            return architecture
        layers = layers[:-1]


def generate(
    limits: Limits, lane: Lane, dtype: DType, start: int, count: int
) -> list[Architecture]:
    """`count` architectures from the seed `start`; the same arguments give the same list."""
    found: list[Architecture] = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(architectures(limits, lane, dtype))
    def collect(architecture: Architecture) -> None:
        found.append(architecture)

    collect()
    return [found[i % len(found)] for i in range(count)]
