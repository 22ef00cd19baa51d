"""What a loss is held against: the kind of its target, and the target's shape."""

from __future__ import annotations

from typing import Literal

from . import losses as ls
from .operators import Shape

TargetKind = Literal[
    "real", "unit", "indices", "probabilities", "log_probabilities", "labels", "none"
]


def target_kind(loss: ls.Loss) -> TargetKind:
    """What the target holds: reals, numbers in [0, 1], class numbers, or (log-)probabilities.

    `labels`: the class numbers of a sequence; `none`: there is no target.
    """
    match loss:
        case ls.CrossEntropy(target="probabilities") | ls.KLDivergence(log_target=False):
            return "probabilities"
        case ls.KLDivergence():
            return "log_probabilities"
        case ls.CrossEntropy() | ls.NegativeLogLikelihood() | ls.Hinge() | ls.SquaredHinge():
            return "indices"
        case ls.BinaryCrossEntropy() | ls.BinaryCrossEntropyWithLogits() | ls.Dice() | ls.Focal():
            return "unit"
        case ls.CTC():
            return "labels"
        case ls.TripletMargin() | ls.GaussianKL():
            return "none"
        case _:
            return "real"


def target_shape(loss: ls.Loss, y: Shape) -> Shape:
    """The shape of the target for an output of shape `y`; () where there is none."""
    match loss:
        case ls.CTC(labels=labels):
            return (y[0], labels)
        case ls.TripletMargin() | ls.GaussianKL():
            return ()
        case _:
            return y[:-1] if target_kind(loss) == "indices" else y
