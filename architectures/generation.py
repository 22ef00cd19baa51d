"""Random architectures, valid by construction.

One function, `build`, grows a network layer by layer, choosing among the operators that fit
the shape at hand (`strategies.py`), each list of them ordered from simple to complex, with a
continue flag for every block.  An operator of several inputs takes earlier edges of a fitting
shape (a residual connection, a gate) or new `variable`s; a layer now and then shares the
parameters of an earlier one; a second loss may look at an earlier edge.

Who chooses is a parameter: `generate` chooses by a seed, and prefers pairs of neighbours that
it has drawn least often; `architectures` lets Hypothesis choose, which then shrinks a failing
network to a small one.  Only structure is drawn; values come from the seed (`cases.py`).

The seeded networks do not come from Hypothesis's engine: it mixes in constants that it
finds in the modules of its host, and would make the same seed mean another run elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from . import losses as ls
from . import operators as ops
from .architecture import Architecture, edge_name
from .cases import DType, Lane, stream
from .coverage import INPUT, Seen, ranks_taken
from .exactness import EXACT_OPERATORS, WEIGHTED, is_exact
from .operators import Shape, output_shape, parameter_shapes, size
from .strategies import JOINT, MOST_ENTRIES, STRATEGIES, Choose, Drawing, Joint, embedding
from .surgery import rebuilt

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _by_name(kinds: Sequence[Any]) -> Mapping[str, Any]:
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


OPERATOR_NAMES: Mapping[str, type[ops.Operator]] = _by_name(ops.OPERATORS)
ACTIVATION_NAMES: Mapping[str, type[ops.Operator]] = _by_name(ops.ACTIVATIONS)
LOSS_NAMES: Mapping[str, type[ls.Loss]] = _by_name(ls.LOSSES)

KINKED: tuple[type[ops.Operator], ...] = (
    ops.ReLU, ops.LeakyReLU, ops.PReLU, ops.ELU, ops.SELU, ops.HardTanh, ops.ReLU6,
    ops.HardSigmoid, ops.HardSwish, ops.SoftShrink, ops.HardShrink, ops.Max, ops.MaxPool1d,
    ops.MaxPool2d, ops.GlobalMaxPool, ops.Maximum, ops.Minimum, ops.RNN,
)  # fmt: skip
"""Operators with a point where they are not differentiable."""


GATED: tuple[type[ops.Operator], ...] = (ops.GLU, ops.SwiGLU)
"""They halve the features."""


@dataclass(frozen=True)
class Limits:
    """How large networks may grow, and what they are made of (anything, where empty).

    `activations` alone asks for feed-forward networks of dense layers and these; `operators`
    for any networks whose layers are among them.  ValueError where no network fits.
    """

    max_depth: int = 4
    max_width: int = 6
    max_batch: int = 4
    activations: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        gated = {str(kind.__struct_config__.tag) for kind in GATED}
        if self.max_width < 2 and self.activations and set(self.activations) <= gated:
            names = " and ".join(sorted(gated))
            raise ValueError(f"{names} halve the features, so max_width must be at least 2")

    @property
    def feed_forward(self) -> bool:
        """Whether dense layers and activations alone are asked for."""
        return bool(self.activations) and not self.operators

    @property
    def names(self) -> frozenset[str]:
        """The operators that are asked for; empty for all."""
        chosen = {*self.operators, *self.activations}
        return frozenset(chosen | {"dense"} if self.feed_forward else chosen)


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
    ls.CTC: _ROWS,
    ls.TripletMargin: {"margin": (1.0, 0.5), **_ROWS},
    ls.Dice: {"smooth": (1.0, 0.1), **_ROWS},
    ls.Focal: {"gamma": (2.0, 0.0, 1.5), "alpha": (None, 0.25), **_ENTRIES},
    ls.GaussianKL: _ENTRIES,
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

FAN = {2: 1, 3: 2, 4: 2, 5: 2}
"""How often a network begins with so many axes: vectors, sequences, images, volumes."""


@dataclass
class _Growing:
    """A network on its way: its layers, the shape at every edge, and who chooses."""

    choose: Choose
    limits: Limits
    lane: Lane
    seen: Seen | None
    drawing: Drawing
    input: Shape | None = None
    layers: list[Any] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def here(self) -> str:
        """The edge that the next layer takes."""
        return edge_name(len(self.layers))

    @property
    def maker(self) -> str:
        """The name of the operator that made it."""
        return self.layers[-1].name if self.layers else INPUT

    def append(self, op: ops.Operator, inputs: tuple[str, ...] = ()) -> None:
        """Add a layer that takes these edges, the last one where there are none."""
        takes = ops.RULES[type(op)].arity[1] != 0
        sources = (inputs or (self.here,)) if takes else ()
        if sources and sources != (self.here,):
            op = msgspec.structs.replace(op, inputs=sources)
        shape = output_shape(op, *(self.shapes[n] for n in sources))
        self.layers.append(op)
        self.shapes[self.here] = shape

    def join(self, joint: Joint, x: str) -> None:
        """Add a layer of several inputs: x, and earlier edges that fit, or new variables."""
        others = []
        for shape in joint.others:
            fitting = [n for n, s in self.shapes.items() if s == shape and n != x]
            if fitting and self.choose((True, True, False)):
                others.append(self.choose(list(reversed(fitting))))
            else:
                self.append(ops.Variable(shape))
                others.append(self.here)
        inputs = (*others, x) if joint.swapped else (x, *others)
        self.append(joint.operator, inputs)


def build(
    choose: Choose,
    limits: Limits,
    lane: Lane = "generic",
    dtype: DType = "float64",
    seen: Seen | None = None,
) -> Architecture:
    """A network within `limits`, fit for a lane and a dtype.

    With `seen` the pairs of neighbours drawn least often are preferred.
    """
    depth, width, batch = SMALL.get(lane, (limits.max_depth, limits.max_width, limits.max_batch))
    depth, width = min(depth, limits.max_depth), min(width, limits.max_width)
    drawing = Drawing(choose, width, lane == "exact")
    growing = _Growing(choose, limits, lane, seen, drawing)
    rows = int(choose(range(1, min(batch, limits.max_batch) + 1)))
    _begin(growing, rows)
    required = bool(limits.names)
    for block in range(depth + 1):
        more = choose(range(4))  # also where it does not count, so that a block that is
        if block == depth or not (more or required):  # deleted leaves the others in step
            break
        required = not _grow(growing) and required
    _finish(growing)
    loss = _choose_loss(growing)
    auxiliary = _auxiliary(growing)
    strengths = (0.0, 0.5) if lane == "exact" else (0.0, 0.5, 0.01)
    count = choose(range(3)) if choose((False, True)) else 0
    penalties = tuple(choose((ls.L1, ls.L2))(choose(strengths)) for _ in range(count))
    return _fitted(growing, loss, penalties, auxiliary, dtype)


# --- how a network begins and grows -----------------------------------------------------


def _begin(g: _Growing, rows: int) -> None:
    """The input, of two to five axes, or an embedding."""
    choose, width = g.choose, g.drawing.width
    ranks = [rank for rank, count in FAN.items() for _ in range(count)]
    names = g.limits.names
    if names:
        ranks = [r for r in ranks if _any_fits(g, r)] or [2]
    # as many choices for every rank, so that one can become another with the rest in step
    rank, words = int(choose(ranks)), choose(range(6)) == 5
    even = names & {"rotary", "glu", "swiglu"} and width > 1
    features = int(choose(range(2, width + 1, 2))) if even else g.drawing.units()
    sizes = [min(int(choose((1, 2, 3, 4))), width if axis == 0 else 4) for axis in range(4)]
    if "embedding" in names or (words and not names and rank <= 3):
        g.append(embedding(g.drawing, (rows, *sizes[: rank - 2])))
        return
    if rank <= 3:
        g.input = (rows, *sizes[: rank - 2], features)
    else:
        g.input = (rows, *(min(n, 3) if rank == 5 else n for n in sizes[: rank - 1]))
    g.shapes["input"] = g.input


def _any_fits(g: _Growing, rank: int) -> bool:
    """Whether an operator that is asked for, but dense and activations, takes this rank."""
    wanted = [n for n in g.limits.names if n not in ACTIVATION_NAMES and n != "dense"]
    return any(rank in ranks_taken(n) for n in wanted) if wanted else rank == 2


def _grow(g: _Growing) -> bool:
    """Perhaps a dense layer, and an operator that fits; whether there is one.

    In a feed-forward network it is nearly always, and at first always, a dense layer.
    """
    choose, allowed = g.choose, _allowed(g)
    if g.limits.feed_forward:
        dense = choose(range(5)) or not g.layers
    else:
        often = (False, True) if len(g.shapes[g.here]) == 2 else (False, False, False, True)
        dense = choose(often)
    if ops.Dense in allowed and dense:
        g.append(ops.Dense(g.drawing.units(), choose((True, False)) or g.lane == "exact"))
    kinds = _fitting(g, allowed)
    gated = [kind for kind in allowed if kind in GATED]
    if not kinds and gated and g.drawing.width > 1:
        features = g.shapes[g.here][-1]
        g.append(ops.Dense(features + 1 if features < g.drawing.width else features - 1))
        kinds = gated
    if not kinds:
        return False
    _draw(g, choose(_preferred(g, kinds)))
    _share(g)
    return True


def _allowed(g: _Growing) -> list[type[ops.Operator]]:
    """What may be drawn, activations first: they are the simplest."""
    names = g.limits.names
    chosen = [kind for name, kind in OPERATOR_NAMES.items() if not names or name in names]
    chosen = [kind for kind in chosen if kind in STRATEGIES or kind in JOINT]
    chosen.sort(key=lambda kind: kind not in ops.ACTIVATIONS)
    exact = [kind for kind in chosen if kind in EXACT_OPERATORS]
    useful = exact and exact != [ops.Dense]
    return exact if g.lane == "exact" and useful else chosen


def _fitting(g: _Growing, allowed: list[type[ops.Operator]]) -> list[type[ops.Operator]]:
    """Those that fit the shape at hand in their simplest form; dense where nothing else may be."""
    x = g.shapes[g.here]
    kinds = [kind for kind in allowed if kind is not ops.Dense] or allowed
    if g.lane == "exact" and not _lifted(g):
        kinds = [kind for kind in kinds if kind not in KINKED] or kinds
    return [kind for kind in kinds if _simplest(g, kind, x) is not None]


def _lifted(g: _Growing) -> bool:
    """Whether a bias has just lifted the exact lane's values off the integers, where ties are."""
    return bool(g.layers) and type(g.layers[-1]) in WEIGHTED and g.layers[-1].bias


def _preferred(g: _Growing, kinds: list[type[ops.Operator]]) -> list[type[ops.Operator]]:
    """On the tie lane mostly what has a kink; mostly pairs that were drawn least often."""
    if g.lane == "tie" and g.choose((False, True)):
        kinds = [kind for kind in kinds if kind in KINKED] or kinds
    if g.seen is not None and g.choose((True, True, False)):
        rarest = set(g.seen.rarest(g.maker, [_tag(kind) for kind in kinds]))
        kinds = [kind for kind in kinds if _tag(kind) in rarest]
    return kinds


def _tag(kind: type[ops.Operator]) -> str:
    return str(kind.__struct_config__.tag)


def _simplest(g: _Growing, kind: type[ops.Operator], x: Shape) -> Joint | ops.Operator | None:
    """An operator of this kind with the first of all options; None where it does not fit."""
    plain = Drawing(lambda options: options[0], g.drawing.width, g.drawing.exact)
    return _small(STRATEGIES[kind](plain, x) if kind in STRATEGIES else JOINT[kind](plain, x), x)


def _small(drawn: Joint | ops.Operator | None, x: Shape) -> Joint | ops.Operator | None:
    """What was drawn for x, unless a tensor of it would be too large."""
    if isinstance(drawn, Joint):
        fits = all(size(shape) <= MOST_ENTRIES for shape in drawn.others)
    else:
        fits = drawn is not None and size(output_shape(drawn, x)) <= MOST_ENTRIES
    return drawn if fits else None


def _draw(g: _Growing, kind: type[ops.Operator]) -> None:
    """Add an operator of a kind that fits; in its simplest form where another is too large."""
    here, x = g.here, g.shapes[g.here]
    joint = kind in JOINT and (kind not in STRATEGIES or g.drawing.flag())
    drawn = _small((JOINT if joint else STRATEGIES)[kind](g.drawing, x), x)
    drawn = drawn or _simplest(g, kind, x)
    if isinstance(drawn, Joint):
        g.join(drawn, here)
    elif drawn is not None:
        g.append(drawn)


def _share(g: _Growing) -> None:
    """Once in a while, the last layer once more, on its own output, with the same parameters."""
    last = g.layers[-1]
    shapes = tuple(g.shapes[n] for n in last.inputs) or (g.shapes[edge_name(len(g.layers) - 1)],)
    if last.inputs or not parameter_shapes(last, *shapes) or g.choose(range(6)) != 5:
        return
    again = msgspec.structs.replace(last, share=f"layers.{len(g.layers) - 1}")
    try:
        output_shape(again, g.shapes[g.here])
        same = parameter_shapes(again, g.shapes[g.here]) == parameter_shapes(last, *shapes)
    except ValueError:
        return
    if same:
        g.append(again)


def _finish(g: _Growing) -> None:
    """Where nothing was added, a dense layer; else one now and then."""
    dense = not g.limits.names or "dense" in g.limits.names
    sometimes = (False, True) if g.limits.feed_forward else (False, False, False, True)
    if dense and (g.choose(sometimes) or not g.layers):
        g.append(ops.Dense(g.drawing.units()))


# --- losses -----------------------------------------------------------------------------


def _loss_kinds(g: _Growing) -> list[type[ls.Loss]]:
    chosen = [LOSS_NAMES[n] for n in g.limits.losses] or list(ls.LOSSES)
    exact = [kind for kind in chosen if any(isinstance(e, kind) for e in EXACT_LOSSES)]
    if not _lifted(g):  # |y - t| at 0
        exact = [kind for kind in exact if kind is not ls.AbsoluteError] or exact
    return exact if g.lane == "exact" and exact else chosen


def _choose_loss(g: _Growing) -> ls.Loss:
    """A loss for the last edge, with the layers that it needs before it."""
    kinds = _loss_kinds(g)
    if g.seen is not None and g.choose((True, True, False)):
        rarest = set(g.seen.rarest(g.maker, [str(k.__struct_config__.tag) for k in kinds]))
        kinds = [k for k in kinds if str(k.__struct_config__.tag) in rarest]
    kind: Any = g.choose(kinds)
    if kind is ls.CTC and (len(g.shapes[g.here]) != 3 or g.shapes[g.here][-1] < 2):
        kind = g.choose([k for k in _loss_kinds(g) if k is not ls.CTC] or [ls.CTC])
    if kind is ls.CTC:
        _make_sequence(g)
    if kind in (ls.BinaryCrossEntropy, ls.Dice):
        if kind is ls.Dice or g.choose((True, False)):
            g.append(ops.Sigmoid())
        else:
            g.append(g.choose((ops.HardSigmoid(), ops.Softmax())))
    return _with_edges(g, _loss(g, kind, g.shapes[g.here]))


def _make_sequence(g: _Growing) -> None:
    """Bring the last edge to (N, T, C) with two classes at least."""
    x = g.shapes[g.here]
    if len(x) == 2:
        g.append(ops.Reshape((1, x[-1])))
    elif len(x) > 3:
        g.append(ops.Flatten(len(x) - 2))
    if g.shapes[g.here][-1] < 2:
        g.append(ops.Dense(2))


def _with_edges(g: _Growing, loss: ls.Loss) -> ls.Loss:
    """The loss with its further edges: earlier ones of the same shape, or new variables."""
    needed = ls.ARITY.get(type(loss), 1)
    if needed == 1:
        return loss
    names = [g.here]
    while len(names) < needed:
        fitting = [n for n, s in g.shapes.items() if s == g.shapes[names[0]] and n not in names]
        if fitting and g.drawing.flag():
            names.append(g.choose(list(reversed(fitting))))
        else:
            g.append(ops.Variable(g.shapes[names[0]]))
            names.append(g.here)
    return msgspec.structs.replace(loss, inputs=tuple(names))


def _loss(g: _Growing, kind: Any, y: Shape) -> ls.Loss:
    """A loss of a kind for an output, with weights and an ignored class now and then."""
    choose, features = g.choose, y[-1]
    exact = [e for e in EXACT_LOSSES if isinstance(e, kind)]
    if g.lane == "exact" and exact:
        found: ls.Loss = choose(exact)
        return found
    chosen = {name: choose(values) for name, values in LOSS_ATTRIBUTES[kind].items()}
    if kind is ls.CTC:
        return ls.CTC(**chosen, **_labels(g.drawing, y))
    for name in ("class_weights", "positive_weights"):
        if name in kind.__struct_fields__ and choose((False, True)):
            chosen[name] = tuple(choose((1.0, 0.5, 2.0)) for _ in range(features))
    ignores = "ignore_index" in kind.__struct_fields__ and chosen.get("target") != "probabilities"
    if ignores and features > 1 and choose((False, True)):
        chosen["ignore_index"] = choose(range(features))
    made: ls.Loss = kind(**chosen)
    return made


def _labels(d: Drawing, y: Shape) -> dict[str, Any]:
    """Numbers of labels that the steps are enough for, and lengths now and then."""
    batch, steps, classes = y
    labels = int(d.choose(range(1, (steps + 1) // 2 + 1)))
    return {
        "labels": labels,
        "blank": d.choose((0, classes - 1)),
        "input_lengths": d.lengths(batch, steps, 2 * labels - 1),
        "target_lengths": d.lengths(batch, labels),
    }


def _auxiliary(g: _Growing) -> tuple[ls.Loss, ...]:
    """A further loss on some edge, once in a while."""
    if g.choose(range(6)) != 5:
        return ()
    edge = g.choose(list(g.shapes))
    simple = [ls.WeightedSum(), ls.SquaredError()]
    smooth = [*simple, ls.LogCosh(), ls.Huber()]
    loss = g.choose(simple if g.lane == "exact" else smooth)
    return (msgspec.structs.replace(loss, inputs=(edge,)),)


def _fitted(
    g: _Growing, loss: Any, penalties: tuple[Any, ...], auxiliary: Any, dtype: DType
) -> Architecture:
    """The network; on the exact lane, cut off where it would need more bits.

    Another loss than the exact lane's never becomes exact, and may depend on its last layer;
    nor does a network of other operators, where those are asked for.
    """
    a = Architecture(g.input, tuple(g.layers), loss, penalties, auxiliary)
    kinds = {type(layer) for layer in g.layers}
    if g.lane != "exact" or loss not in EXACT_LOSSES or not kinds <= set(EXACT_OPERATORS):
        return a
    fewest = 2 if g.limits.names else 1
    while not is_exact(a, dtype) and len(a.layers) > fewest:
        earlier = edge_name(len(a.layers) - 1)
        a = rebuilt(a, loss=msgspec.structs.replace(loss, inputs=(earlier,)), auxiliary=())
    return a


# --- who chooses ------------------------------------------------------------------------


def generate(
    limits: Limits,
    lane: Lane,
    dtype: DType,
    start: int,
    count: int,
    seen: Seen | None = None,
) -> list[Architecture]:
    """`count` architectures from the seed `start`; the same arguments give the same list.

    With `seen` they steer towards pairs that it does not hold yet, and are added to it.
    """

    def network(i: int) -> Architecture:
        rng = stream(start, f"architecture/{i}")
        a = build(
            lambda options: options[int(rng.integers(len(options)))], limits, lane, dtype, seen
        )
        if seen is not None:
            seen.add(a)
        return a

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
