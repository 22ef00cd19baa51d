"""Losses to test: each kind with several attributes, for three outputs, and values for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backproof.architectures import losses
from backproof.architectures.losses import Loss
from backproof.architectures.targets import target_kind

Array = npt.NDArray[Any]

BATCH, CLASSES = 4, 3
PROBABILITIES = losses.BinaryCrossEntropy | losses.Dice
"""Losses of probabilities, behind a sigmoid."""
WEIGHTS = (0.5, 2.0, 1.25)
ENTRY_REDUCTIONS: tuple[losses.Reduction, ...] = ("sum", "mean", "batch_mean")

LOSS_INSTANCES: tuple[Loss, ...] = (
    losses.WeightedSum(),
    *(losses.SquaredError(r) for r in ("half_sum", "sum", "mean", "batch_mean")),
    *(losses.AbsoluteError(r) for r in ENTRY_REDUCTIONS),
    *(losses.Huber(delta, r) for delta, r in zip((1.0, 0.25, 3.0), ENTRY_REDUCTIONS, strict=True)),
    *(losses.SmoothL1(beta, r) for beta, r in zip((1.0, 0.3, 2.0), ENTRY_REDUCTIONS, strict=True)),
    *(losses.LogCosh(r) for r in ENTRY_REDUCTIONS),
    losses.CrossEntropy(),
    losses.CrossEntropy(reduction="sum"),
    losses.CrossEntropy(label_smoothing=0.1),
    losses.CrossEntropy(class_weights=WEIGHTS),
    losses.CrossEntropy(ignore_index=1),
    losses.CrossEntropy(label_smoothing=0.3, class_weights=WEIGHTS, ignore_index=2),
    losses.CrossEntropy("probabilities"),
    losses.CrossEntropy("probabilities", label_smoothing=0.1, class_weights=WEIGHTS),
    losses.CrossEntropy("probabilities", class_weights=WEIGHTS, reduction="sum"),
    losses.NegativeLogLikelihood(),
    losses.NegativeLogLikelihood(reduction="sum"),
    losses.NegativeLogLikelihood(class_weights=WEIGHTS, ignore_index=0),
    *(losses.BinaryCrossEntropy(reduction=r) for r in ENTRY_REDUCTIONS),
    losses.BinaryCrossEntropy(epsilon=0.125),
    losses.BinaryCrossEntropy(epsilon=1e-30),
    *(losses.BinaryCrossEntropyWithLogits(reduction=r) for r in ENTRY_REDUCTIONS),
    losses.BinaryCrossEntropyWithLogits(positive_weights=WEIGHTS),
    losses.Hinge(),
    losses.Hinge(margin=0.5, reduction="sum"),
    losses.SquaredHinge(),
    losses.SquaredHinge(margin=0.5, reduction="sum"),
    *(losses.KLDivergence(False, r) for r in ENTRY_REDUCTIONS),
    losses.KLDivergence(log_target=True),
    losses.Cosine(),
    losses.Cosine(epsilon=0.5, reduction="sum"),
    losses.Dice(),
    losses.Dice(smooth=0.25, reduction="sum"),
    losses.Focal(),
    losses.Focal(gamma=0.0, reduction="sum"),
    losses.Focal(gamma=1.5, alpha=0.25, reduction="batch_mean"),
)
"""At least one of every loss of one edge (batch, outputs)."""


def loss_id(loss: Loss) -> str:
    """A test's name for a loss: its tag, and the attributes that are not the default."""
    words = [loss.name]
    for name in loss.__struct_fields__:
        value = getattr(loss, name)
        if value != getattr(type(loss)(), name):
            words.append(f"{name}={value}".replace(" ", ""))
    return "-".join(words)


def draw(loss: Loss, seed: int = 0, scale: float = 1.0) -> tuple[Array, Array]:
    """An output (BATCH, CLASSES) and a target that suit the loss, both float64 or indices."""
    rng = np.random.default_rng(seed)
    y = scale * rng.normal(size=(BATCH, CLASSES))
    if isinstance(loss, PROBABILITIES):
        y = 1 / (1 + np.exp(-np.clip(y, -700, 700)))
    return y, draw_target(loss, rng)


def draw_target(loss: Loss, rng: np.random.Generator) -> Array:
    """A target with every class in it, with zeros and ones, or with one probability of zero."""
    shape = (BATCH, CLASSES)
    match target_kind(loss):
        case "indices":
            return np.arange(BATCH) % CLASSES
        case "unit":
            return np.where(rng.uniform(size=shape) < 0.6, rng.integers(0, 2, shape), 0.3)
        case "probabilities":
            p = rng.dirichlet(np.ones(CLASSES), size=BATCH)
            return np.where(np.arange(BATCH)[:, None] == 0, [0.0, 1.0, 0.0], p)
        case "log_probabilities":
            return np.log(rng.dirichlet(np.ones(CLASSES), size=BATCH))
        case _:
            return rng.normal(size=shape)
