"""A random network on its way, layer by layer.

It begins with an input of two to five axes or an embedding.  Each block adds an operator
that fits the shape at hand; one of several inputs takes earlier edges of a fitting shape (a
residual connection, a gate) or new `variable`s; a layer now and then shares the parameters of
an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from . import operators as ops
from .architecture import edge_name
from .cases import Lane
from .coverage import INPUT, Seen, ranks_taken
from .drawing import MOST_ENTRIES, Choose, Drawing
from .exactness import EXACT_OPERATORS, WEIGHTED
from .joint_strategies import JOINT, Joint, embedding
from .limits import ACTIVATION_NAMES, GATED, OPERATOR_NAMES, Limits
from .operators import Shape, output_shape, parameter_shapes, size
from .strategies import STRATEGIES

KINKED: tuple[type[ops.Operator], ...] = (
    ops.ReLU, ops.LeakyReLU, ops.PReLU, ops.ELU, ops.SELU, ops.HardTanh, ops.ReLU6,
    ops.HardSigmoid, ops.HardSwish, ops.SoftShrink, ops.HardShrink, ops.Max, ops.MaxPool1d,
    ops.MaxPool2d, ops.GlobalMaxPool, ops.Maximum, ops.Minimum, ops.RNN,
)  # fmt: skip
"""Operators with a point where they are not differentiable."""

FAN = {2: 1, 3: 2, 4: 2, 5: 2}
"""How often a network begins with so many axes: vectors, sequences, images, volumes."""


@dataclass
class Growing:
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


def begin(g: Growing, rows: int) -> None:
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


def _any_fits(g: Growing, rank: int) -> bool:
    """Whether an operator that is asked for, but dense and activations, takes this rank."""
    wanted = [n for n in g.limits.names if n not in ACTIVATION_NAMES and n != "dense"]
    return any(rank in ranks_taken(n) for n in wanted) if wanted else rank == 2


def grow(g: Growing) -> bool:
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


def _allowed(g: Growing) -> list[type[ops.Operator]]:
    """What may be drawn, activations first: they are the simplest."""
    names = g.limits.names
    chosen = [kind for name, kind in OPERATOR_NAMES.items() if not names or name in names]
    chosen = [kind for kind in chosen if kind in STRATEGIES or kind in JOINT]
    chosen.sort(key=lambda kind: kind not in ops.ACTIVATIONS)
    if g.lane == "exact" and (not names or exact_names(g.limits)):
        return [kind for kind in chosen if kind in EXACT_OPERATORS]
    return chosen


def exact_names(limits: Limits) -> frozenset[str]:
    """Of the operators given by name those that round nothing: the exact lane's, where any is.

    The dense layers that come with activations do not count: alone they are not what was asked.
    """
    return limits.drawable & {_tag(kind) for kind in EXACT_OPERATORS}


def _fitting(g: Growing, allowed: list[type[ops.Operator]]) -> list[type[ops.Operator]]:
    """Those that fit the shape at hand in their simplest form; dense where nothing else may be."""
    x = g.shapes[g.here]
    kinds = [kind for kind in allowed if kind is not ops.Dense] or allowed
    if g.lane == "exact" and not lifted(g):
        kinds = [kind for kind in kinds if kind not in KINKED] or kinds
    return [kind for kind in kinds if _simplest(g, kind, x) is not None]


def lifted(g: Growing) -> bool:
    """Whether a bias has just lifted the exact lane's values off the integers, where ties are."""
    return bool(g.layers) and type(g.layers[-1]) in WEIGHTED and g.layers[-1].bias


def _preferred(g: Growing, kinds: list[type[ops.Operator]]) -> list[type[ops.Operator]]:
    """On the tie lane mostly what has a kink; mostly pairs that were drawn least often."""
    if g.lane == "tie" and g.choose((False, True)):
        kinds = [kind for kind in kinds if kind in KINKED] or kinds
    if g.seen is not None and g.choose((True, True, False)):
        rarest = set(g.seen.rarest(g.maker, [_tag(kind) for kind in kinds]))
        kinds = [kind for kind in kinds if _tag(kind) in rarest]
    return kinds


def _tag(kind: type[ops.Operator]) -> str:
    return str(kind.__struct_config__.tag)


def _simplest(g: Growing, kind: type[ops.Operator], x: Shape) -> Joint | ops.Operator | None:
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


def _draw(g: Growing, kind: type[ops.Operator]) -> None:
    """Add an operator of a kind that fits; in its simplest form where another is too large."""
    here, x = g.here, g.shapes[g.here]
    joint = kind in JOINT and (kind not in STRATEGIES or g.drawing.flag())
    drawn = _small((JOINT if joint else STRATEGIES)[kind](g.drawing, x), x)
    drawn = drawn or _simplest(g, kind, x)
    if isinstance(drawn, Joint):
        g.join(drawn, here)
    elif drawn is not None:
        g.append(drawn)


def _share(g: Growing) -> None:
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


def finish(g: Growing) -> None:
    """Where nothing was added, a dense layer; else one now and then."""
    dense = not g.limits.names or "dense" in g.limits.names
    sometimes = (False, True) if g.limits.feed_forward else (False, False, False, True)
    if dense and (g.choose(sometimes) or not g.layers):
        g.append(ops.Dense(g.drawing.units()))
