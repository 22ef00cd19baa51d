"""How each loss is drawn for the last edge of a network, with the layers that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import losses as ls
from . import operators as ops
from .drawing import Drawing
from .growing import Growing, lifted
from .limits import LOSS_NAMES
from .operators import Shape

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


def _loss_kinds(g: Growing) -> list[type[ls.Loss]]:
    chosen = [LOSS_NAMES[n] for n in g.limits.losses] or list(ls.LOSSES)
    exact = [kind for kind in chosen if any(isinstance(e, kind) for e in EXACT_LOSSES)]
    if not lifted(g):  # |y - t| at 0
        exact = [kind for kind in exact if kind is not ls.AbsoluteError] or exact
    return exact if g.lane == "exact" and exact else chosen


def choose_loss(g: Growing) -> ls.Loss:
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


def _make_sequence(g: Growing) -> None:
    """Bring the last edge to (N, T, C) with two classes at least."""
    x = g.shapes[g.here]
    if len(x) == 2:
        g.append(ops.Reshape((1, x[-1])))
    elif len(x) > 3:
        g.append(ops.Flatten(len(x) - 2))
    if g.shapes[g.here][-1] < 2:
        g.append(ops.Dense(2))


def _with_edges(g: Growing, loss: ls.Loss) -> ls.Loss:
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


def _loss(g: Growing, kind: Any, y: Shape) -> ls.Loss:
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


def auxiliary_losses(g: Growing) -> tuple[ls.Loss, ...]:
    """A further loss on some edge, once in a while."""
    if g.choose(range(6)) != 5:
        return ()
    edge = g.choose(list(g.shapes))
    simple = [ls.WeightedSum(), ls.SquaredError()]
    smooth = [*simple, ls.LogCosh(), ls.Huber()]
    loss = g.choose(simple if g.lane == "exact" else smooth)
    return (msgspec.structs.replace(loss, inputs=(edge,)),)
