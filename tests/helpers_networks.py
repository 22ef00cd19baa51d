"""Networks for the tests of architectures and of the harness."""

from __future__ import annotations

from typing import Any

from backproof.architectures import configurations
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.files import dumps
from backproof.architectures.losses import L1, L2

SMALL = Architecture((2, 3), (ops.Dense(4), ops.Tanh()), ls.SquaredError())


def network(
    *layers: Any,
    loss: Any = None,
    penalties: tuple[Any, ...] = (),
    input: tuple[int, ...] | None = (3, 4),
    auxiliary: tuple[Any, ...] = (),
) -> Architecture:
    """A network whose loss is the squared error unless another is given."""
    return Architecture(input, layers, loss or ls.SquaredError(), penalties, auxiliary)


def edge(i: int) -> str:
    """The output of layer i."""
    return edge_name(i + 1)


def every_activation() -> list[Architecture]:
    """One network for each activation, with the losses taking turns."""
    return [network(ops.Dense(4), kind(), ops.Dense(2)) for kind in ops.ACTIVATIONS]


def every_operator() -> list[Architecture]:
    """One network for each configuration class of each operator: it, and a linear loss."""
    return [
        configurations.network(op, shapes)
        for found in configurations.CONFIGURATIONS.values()
        for op, shapes in found
    ]


def every_loss() -> list[Architecture]:
    """One network for each loss, two for those of two kinds of target; both penalties."""
    losses: list[Any] = [
        *(kind() for kind in ls.LOSSES if kind not in (ls.CTC, *ls.ARITY)),
        ls.CrossEntropy("probabilities", label_smoothing=0.1, class_weights=(1.0, 0.5, 2.0)),
        ls.CrossEntropy(ignore_index=1),
        ls.KLDivergence(log_target=True),
        ls.Focal(alpha=0.25),
    ]
    return [
        *(network(*layers_for(loss), loss=loss, penalties=(L1(0.5), L2(0.25))) for loss in losses),
        *several_edges(),
        *sequence_labels(),
    ]


def layers_for(loss: Any) -> tuple[Any, ...]:
    """Three outputs such as a loss of one edge can take."""
    last: dict[Any, tuple[Any, ...]] = {
        ls.BinaryCrossEntropy: (ops.Sigmoid(),),
        ls.Dice: (ops.Sigmoid(),),
        ls.NegativeLogLikelihood: (ops.LogSoftmax(),),
        ls.KLDivergence: (ops.LogSoftmax(),),
    }
    return (ops.Dense(3), *last.get(type(loss), ()))


def several_edges() -> list[Architecture]:
    """The losses of several edges: three embeddings of three inputs, and a mean and a variance."""
    three = (
        ops.Dense(3), ops.Variable((3, 4)), ops.Dense(3, share="layers.0"),
        ops.Variable((3, 4)), ops.Dense(3, share="layers.0"),
    )  # fmt: skip
    triplet = ls.TripletMargin(inputs=(edge(0), edge(2), edge(4)))
    heads = (ops.Dense(3), ops.Dense(2), ops.Dense(2, inputs=(edge(0),)))
    return [
        network(*three, loss=triplet, penalties=(L2(0.25),)),
        network(*heads, loss=ls.GaussianKL(inputs=(edge(1), edge(2)))),
    ]


def sequence_labels() -> list[Architecture]:
    """CTC of sequences, of whole ones and of some with lengths."""
    return [
        network(ops.Dense(3), loss=ls.CTC(2), input=(2, 5, 4)),
        network(
            ops.Dense(4),
            loss=ls.CTC(3, blank=1, input_lengths=(6, 5), target_lengths=(2, 3), reduction="sum"),
            penalties=(L1(0.5),),
            input=(2, 6, 3),
        ),
    ]


def with_room_for_faults() -> list[Architecture]:
    """Networks without which some fault does not show, or would raise: square, and at the input."""
    alone = configurations.network
    return [
        alone(ops.MatMul(), ((2, 3, 4), (2, 4, 4))),
        alone(ops.Bilinear(2), ((3, 4), (3, 4))),
        alone(ops.Transpose(), ((2, 3, 3),)),
        alone(ops.Transpose((-2, -1, -3)), ((2, 3, 3, 3),)),
        network(ops.Sum(keep=True)),
        network(ops.Conv1d(2, (3,)), input=(2, 4, 7)),
        network(ops.Conv2d(2, (3, 2), padding=(1, 0)), input=(2, 2, 4, 3)),
    ]


GRAPHS: dict[str, Architecture] = {
    "residual": network(
        ops.Dense(4), ops.Tanh(), ops.Dense(4), ops.Add(inputs=("input", edge(2))), ops.Dense(2)
    ),
    "gated": network(
        ops.Dense(3),
        ops.Sigmoid(),
        ops.Dense(3, inputs=("input",)),
        ops.Multiply(inputs=(edge(1), edge(2))),
        loss=ls.LogCosh(),
        penalties=(L2(0.5),),
    ),
    "tied": network(
        ops.Dense(4), ops.Tanh(), ops.Dense(4, share="layers.0"), loss=ls.Huber(),
        penalties=(L1(0.1),),
    ),
    "Siamese": network(
        ops.Dense(3),
        ops.Variable((3, 4)),
        ops.Dense(3, share="layers.0"),
        ops.Subtract(inputs=(edge(0), edge(2))),
        ops.Square(),
        ops.Sum((-1,), keep=True),
        loss=ls.SquaredError("mean"),
    ),
    "several losses": network(
        ops.Dense(4),
        ops.GELU(),
        ops.Dense(3),
        loss=ls.CrossEntropy(),
        auxiliary=(ls.SquaredError("mean", inputs=(edge(1),)), ls.Cosine(inputs=("input",))),
    ),
    "a square of one edge": network(
        ops.Dense(3), ops.Multiply(inputs=(edge(0), edge(0))), loss=ls.WeightedSum()
    ),
    "dense connections": network(
        ops.Dense(2), ops.Concat(inputs=("input", edge(0))), ops.Tanh(),
        ops.Concat(inputs=("input", edge(0), edge(2))), ops.Dense(2),
    ),
    "self attention": network(
        ops.Dense(4, False), ops.Attention(inputs=(edge(0), edge(0), edge(0))),
        ops.Add(inputs=("input", edge(1))), ops.LayerNorm(),
        input=(2, 3, 4),
    ),
    "no input": network(
        ops.Embedding(5, 4, (3,)), ops.Variable((3, 4)), ops.Add(inputs=(edge(0), edge(1))),
        ops.Softsign(), input=None,
    ),
    "an unrolled recurrence": network(
        ops.Variable((2, 2)),
        ops.Dense(2, False), ops.Dense(2, inputs=("input",)), ops.Add(inputs=(edge(1), edge(2))),
        ops.Tanh(),
        ops.Dense(2, False, share="layers.1"), ops.Add(inputs=(edge(5), edge(2))), ops.Tanh(),
        input=(2, 3),
    ),
}  # fmt: skip
"""Networks that are no chains: what is used twice, shared, joined, and looked at by two losses."""


def as_json(architecture: Architecture = SMALL, **changes: str) -> str:
    """The network's JSON with some pieces of text replaced: `old="new"` by quoted name."""
    text = dumps(architecture)
    for old, new in changes.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', new, 1)
    return text
