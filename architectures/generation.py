"""Random architectures, valid by construction.

One function, `build`, makes a network by choosing among options, each list of them ordered
from simple to complex, with a continue flag for every layer.  Who chooses is a parameter:
`generate` chooses by a seed, `architectures` lets Hypothesis choose, which then shrinks a
failing network to a small one.  Only structure is drawn; values come from the seed
(`cases.py`).

The seeded networks do not come from Hypothesis's engine: it mixes in constants that it
finds in the modules of its host, and would make the same seed mean another run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import losses as ls
from . import operators as ops
from .architecture import Architecture
from .cases import DType, Lane, stream
from .exactness import EXACT_OPERATORS, is_exact

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Choose = Callable[[Sequence[Any]], Any]
"""Picks one of several options, the first being the simplest."""

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


ATTRIBUTES: Mapping[type[ops.Operator], Mapping[str, Sequence[Any]]] = {
    **{op: {} for op in ops.ACTIVATIONS},
    ops.LeakyReLU: {"slope": (0.25, 0.01, 0.1, -0.5, 2.0)},
    ops.PReLU: {"shared": (True, False)},
    ops.ELU: {"alpha": (1.0, 0.5, 2.0)},
    ops.CELU: {"alpha": (1.0, 0.5, 2.0)},
    ops.GELU: {"form": ("exact", "tanh")},
    ops.Softplus: {"beta": (1.0, 0.5, 3.0)},
    ops.HardTanh: {"low": (-1.0, -0.5), "high": (1.0, 2.0)},
    ops.SoftShrink: {"threshold": (0.5, 1.0)},
    ops.HardShrink: {"threshold": (0.5, 1.0)},
    ops.Sine: {"frequency": (1.0, 0.5, 3.0)},
    ops.Softmax: {"axis": (-1, 1, 0, -2)},
    ops.LogSoftmax: {"axis": (-1, 1, 0, -2)},
}
"""The options for the attributes of each activation."""

EXACT_ATTRIBUTES: Mapping[type[ops.Operator], Mapping[str, Sequence[Any]]] = {
    ops.LeakyReLU: {"slope": (0.25, 0.5, -0.5)},
}
"""Where the exact lane needs others."""

_ENTRIES = {"reduction": ("sum", "mean", "batch_mean")}
_ROWS = {"reduction": ("sum", "mean")}

LOSS_ATTRIBUTES: Mapping[type[ls.Loss], Mapping[str, Sequence[Any]]] = {
    ls.WeightedSum: {},
    ls.SquaredError: {"reduction": ("half_sum", "sum", "mean", "batch_mean")},
    ls.AbsoluteError: _ENTRIES,
    ls.Huber: {"delta": (1.0, 0.5), **_ENTRIES},
    ls.SmoothL1: {"beta": (1.0, 0.5), **_ENTRIES},
    ls.LogCosh: _ENTRIES,
    ls.CrossEntropy: {
        "target": ("indices", "probabilities"), "label_smoothing": (0.0, 0.1), **_ROWS,
    },
    ls.NegativeLogLikelihood: _ROWS,
    ls.BinaryCrossEntropy: _ENTRIES,
    ls.BinaryCrossEntropyWithLogits: _ENTRIES,
    ls.Hinge: {"margin": (1.0, 0.5), **_ROWS},
    ls.SquaredHinge: {"margin": (1.0, 0.5), **_ROWS},
    ls.KLDivergence: {"log_target": (False, True), **_ENTRIES},
    ls.Cosine: _ROWS,
}  # fmt: skip
"""The options for the attributes of each loss, but for those that depend on its outputs."""


EXACT_LOSSES: tuple[ls.Loss, ...] = (
    ls.WeightedSum(),
    ls.SquaredError(),
    ls.SquaredError("sum"),
    ls.AbsoluteError("sum"),
)
"""The losses of the exact lane."""

SMALL = {"exact": (3, 4, 4), "tie": (2, 3, 3)}
"""The most depth, width and batch of the lanes that need small networks."""


def build(
    choose: Choose, limits: Limits, lane: Lane = "generic", dtype: DType = "float64"
) -> Architecture:
    """A feed-forward network within `limits`, fit for a lane and a dtype."""
    depth, width, batch = SMALL.get(lane, (limits.max_depth, limits.max_width, limits.max_batch))
    depth, width = min(depth, limits.max_depth), min(width, limits.max_width)
    rows = choose(range(1, min(batch, limits.max_batch) + 1))
    first = features = choose(range(1, width + 1))
    layers: list[ops.Operator] = []
    required = limits.activations != ()
    for block in range(depth + 1):
        more = choose(range(4))  # also where it does not count, so that a block that is
        if block == depth or not (more or required):  # deleted leaves the others in step
            break
        required = False
        if choose(range(5)) or not layers:
            features = choose(range(1, width + 1))
            layers.append(ops.Dense(features, choose((False, True))))
        allowed = _allowed(limits, lane)
        if lane == "tie" and choose((False, True)):
            allowed = [op for op in allowed if op in KINKED] or allowed
        fitting = [op for op in allowed if features % 2 == 0 or op not in (ops.GLU, ops.SwiGLU)]
        if not fitting:  # gated units alone are allowed, and they halve the features
            features += 1 if features < width else -1
            if isinstance(layers[-1], ops.Dense):
                layers.pop()
            layers.append(ops.Dense(features))
            fitting = allowed
        layers.append(_activation(choose, choose(fitting), lane))
        features = ops.output_shape(layers[-1], (rows, features))[-1]
    loss_kind = choose(_loss_kinds(limits, lane))
    if choose((False, True)) or not layers or loss_kind is ls.BinaryCrossEntropy:
        features = choose(range(1, width + 1))
        layers.append(ops.Dense(features))
    if loss_kind is ls.BinaryCrossEntropy:
        layers.append(ops.Sigmoid())
    loss = _loss(choose, loss_kind, features, lane)
    strengths = (0.0, 0.5) if lane == "exact" else (0.0, 0.5, 0.01)
    count = choose(range(3)) if choose((False, True)) else 0
    penalties = tuple(choose((ls.L1, ls.L2))(choose(strengths)) for _ in range(count))
    return _fitted((rows, first), tuple(layers), loss, penalties, lane, dtype)


def _allowed(limits: Limits, lane: Lane) -> list[type[ops.Operator]]:
    chosen = [ACTIVATION_NAMES[n] for n in limits.activations] or list(ops.ACTIVATIONS)
    exact = [op for op in chosen if op in EXACT_OPERATORS]
    return exact if lane == "exact" and exact else chosen


def _activation(choose: Choose, kind: type[ops.Operator], lane: Lane) -> ops.Operator:
    options = ATTRIBUTES[kind]
    if lane == "exact":
        options = EXACT_ATTRIBUTES.get(kind, options)
    return kind(**{name: choose(values) for name, values in options.items()})


def _loss_kinds(limits: Limits, lane: Lane) -> list[type[ls.Loss]]:
    chosen = [LOSS_NAMES[n] for n in limits.losses] or list(ls.LOSSES)
    exact = [kind for kind in chosen if any(isinstance(e, kind) for e in EXACT_LOSSES)]
    return exact if lane == "exact" and exact else chosen


def _loss(choose: Choose, kind: type[ls.Loss], features: int, lane: Lane) -> ls.Loss:
    """A loss of a kind for so many outputs, with weights and an ignored class now and then."""
    exact = [e for e in EXACT_LOSSES if isinstance(e, kind)]
    if lane == "exact" and exact:
        found: ls.Loss = choose(exact)
        return found
    chosen = {name: choose(values) for name, values in LOSS_ATTRIBUTES[kind].items()}
    for name in ("class_weights", "positive_weights"):
        if name in kind.__struct_fields__ and choose((False, True)):
            chosen[name] = tuple(choose((1.0, 0.5, 2.0)) for _ in range(features))
    ignores = "ignore_index" in kind.__struct_fields__ and chosen.get("target") != "probabilities"
    if ignores and features > 1 and choose((False, True)):
        chosen["ignore_index"] = choose(range(features))
    return kind(**chosen)


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

    def network(i: int) -> Architecture:
        rng = stream(start, f"architecture/{i}")
        return build(lambda options: options[int(rng.integers(len(options)))], limits, lane, dtype)

    return [network(i) for i in range(count)]


def architectures(
    limits: Limits, lane: Lane = "generic", dtype: DType = "float64"
) -> SearchStrategy[Architecture]:
    """The same networks as a Hypothesis strategy.  ImportError where it is not installed."""
    from hypothesis import strategies as st

    @st.composite
    def networks(draw: st.DrawFn) -> Architecture:
        return build(lambda options: draw(st.sampled_from(options)), limits, lane, dtype)

    return networks()
