"""Networks for the tests of architectures and of the harness."""

from __future__ import annotations

from typing import Any

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, dumps
from backproof.architectures.losses import L1, L2

SMALL = Architecture((2, 3), (ops.Dense(4), ops.Tanh()), ls.SquaredError())


def network(
    *layers: Any,
    loss: Any = None,
    penalties: tuple[Any, ...] = (),
    input: tuple[int, int] = (3, 4),
) -> Architecture:
    """A network whose loss is the squared error unless another is given."""
    return Architecture(input, layers, loss or ls.SquaredError(), penalties)


def every_activation() -> list[Architecture]:
    """One network for each activation, with the losses taking turns."""
    return [network(ops.Dense(4), kind(), ops.Dense(2)) for kind in ops.ACTIVATIONS]


def every_loss() -> list[Architecture]:
    """One network for each loss, two for those of two kinds of target; both penalties."""
    last: dict[Any, tuple[Any, ...]] = {
        ls.BinaryCrossEntropy: (ops.Sigmoid(),),
        ls.NegativeLogLikelihood: (ops.LogSoftmax(),),
        ls.KLDivergence: (ops.LogSoftmax(),),
    }
    losses: list[Any] = [kind() for kind in ls.LOSSES]
    losses += [
        ls.CrossEntropy("probabilities", label_smoothing=0.1, class_weights=(1.0, 0.5, 2.0)),
        ls.CrossEntropy(ignore_index=1),
        ls.KLDivergence(log_target=True),
    ]
    return [
        network(ops.Dense(3), *last.get(type(loss), ()), loss=loss, penalties=(L1(0.5), L2(0.25)))
        for loss in losses
    ]


def as_json(architecture: Architecture = SMALL, **changes: str) -> str:
    """The network's JSON with some pieces of text replaced: `old="new"` by quoted name."""
    text = dumps(architecture)
    for old, new in changes.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', new, 1)
    return text
