"""Whether a loss can take the edges that it is given; what is wrong is a ValueError in words.

What a single field may be, the loss itself checks when it is made (`losses`).
"""

from __future__ import annotations

from .losses import ARITY, CTC, BinaryCrossEntropy, Dice, Loss
from .operators import HardSigmoid, Operator, Shape, Sigmoid, Softmax

TAKES_PROBABILITIES: tuple[type[Loss], ...] = (BinaryCrossEntropy, Dice)
MAKES_PROBABILITIES: tuple[type[Operator], ...] = (Sigmoid, HardSigmoid, Softmax)
"""The only layers that the former may follow."""


def check_loss(loss: Loss, edges: tuple[Shape, ...], last: Operator | None) -> None:
    """Raise ValueError where a loss cannot take edges of these shapes, the first made by `last`."""
    needed = ARITY.get(type(loss), 1)
    if len(edges) != needed:
        words = "edge" if needed == 1 else "edges"
        raise ValueError(f"{loss.name} takes {needed} {words}, got {len(edges)}")
    if len(set(edges)) > 1:
        raise ValueError(f"{loss.name} takes edges of one shape, got {', '.join(map(str, edges))}")
    y = edges[0]
    if len(y) < 2:
        raise ValueError(f"{loss.name} takes at least (batch, features), got the shape {y}")
    features = y[-1]
    for field in ("class_weights", "positive_weights"):
        weights = getattr(loss, field, None)
        if weights is not None and len(weights) != features:
            raise ValueError(
                f"{field} must have one entry for each of the {features} outputs, "
                f"got {len(weights)}"
            )
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and (ignored >= features or features < 2):
        raise ValueError(
            f"ignore_index must be one of the {features} classes and leave another, got {ignored}"
        )
    if isinstance(loss, TAKES_PROBABILITIES) and not isinstance(last, MAKES_PROBABILITIES):
        advice = (
            " (for logits use binary_cross_entropy_with_logits)"
            if isinstance(loss, BinaryCrossEntropy)
            else ""
        )
        raise ValueError(
            f"{loss.name} needs probabilities: the last layer must be sigmoid, "
            f"hard_sigmoid or softmax{advice}"
        )
    if isinstance(loss, CTC):
        _check_ctc(loss, y)


def _check_ctc(loss: CTC, y: Shape) -> None:
    if len(y) != 3:
        raise ValueError(f"ctc takes logits (N, T, C), got the shape {y}")
    batch, steps, classes = y
    if loss.blank >= classes or classes < 2:
        raise ValueError(
            f"blank must be one of the {classes} classes and leave another, got {loss.blank}"
        )
    for name in ("input_lengths", "target_lengths"):
        lengths = getattr(loss, name)
        if lengths != () and len(lengths) != batch:
            raise ValueError(
                f"{name} must have one entry for each of the {batch} examples, got {len(lengths)}"
            )
    inputs = loss.input_lengths or (steps,) * batch
    targets = loss.target_lengths or (loss.labels,) * batch
    if max(inputs) > steps:
        raise ValueError(f"input length {max(inputs)} is beyond the {steps} steps")
    for n, (given, needed) in enumerate(zip(inputs, targets, strict=True)):
        least = 2 * needed - 1 if classes == 2 else needed  # equal neighbours need a blank between
        if given < least:
            raise ValueError(f"example {n}: {given} steps are too few for {needed} labels")
