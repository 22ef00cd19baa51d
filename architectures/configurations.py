"""The configuration classes of every operator: what must be verified at least.

Each is an operator with the shapes of its inputs, small enough to differentiate every entry.
The tests verify each by every checker, and `docs/operators.md` says with what result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from . import operators as ops
from .architecture import Architecture, edge_name
from .losses import WeightedSum
from .operators import Operator, Shape

Configuration = tuple[Operator, tuple[Shape, ...]]

VECTOR: Shape = (3, 4)
SEQUENCE: Shape = (2, 3, 4)
SIGNAL: Shape = (2, 4, 7)
IMAGE: Shape = (2, 4, 5, 6)
VOLUME: Shape = (2, 2, 3, 4, 3)
QUERIES, KEYS, VALUES = (2, 3, 4), (2, 5, 4), (2, 5, 6)


def _all(shapes: tuple[Shape, ...], *instances: Operator) -> list[Configuration]:
    return [(op, shapes) for op in instances]


def _activations() -> dict[type[Operator], list[Configuration]]:
    variants: dict[type[Operator], list[Operator]] = {
        ops.LeakyReLU: [ops.LeakyReLU(), ops.LeakyReLU(0.25), ops.LeakyReLU(-0.5)],
        ops.PReLU: [ops.PReLU(), ops.PReLU(shared=False)],
        ops.ELU: [ops.ELU(), ops.ELU(0.5)],
        ops.CELU: [ops.CELU(), ops.CELU(2.0)],
        ops.GELU: [ops.GELU(), ops.GELU("tanh")],
        ops.Softplus: [ops.Softplus(), ops.Softplus(3.0)],
        ops.HardTanh: [ops.HardTanh(), ops.HardTanh(-0.5, 2.0)],
        ops.SoftShrink: [ops.SoftShrink(), ops.SoftShrink(1.0)],
        ops.HardShrink: [ops.HardShrink(), ops.HardShrink(1.0)],
        ops.Sine: [ops.Sine(), ops.Sine(3.0)],
        ops.Affine: [ops.Affine(2.0, -1.0), ops.Affine(-0.3)],
        ops.Softmax: [ops.Softmax(), ops.Softmax(-2)],
        ops.LogSoftmax: [ops.LogSoftmax(), ops.LogSoftmax(-2)],
    }
    found = {}
    for kind in ops.ACTIVATIONS:
        instances = variants.get(kind) or [kind()]
        found[kind] = [*_all((VECTOR,), *instances), *_all((SEQUENCE,), instances[0])]
    found[ops.Softmax] += _all((VECTOR,), ops.Softmax(0), ops.Softmax(1))
    found[ops.LogSoftmax] += _all((VECTOR,), ops.LogSoftmax(0), ops.LogSoftmax(1))
    return found


def _convolutions() -> dict[type[Operator], list[Configuration]]:
    return {
        ops.Conv1d: _all(
            (SIGNAL,),
            ops.Conv1d(3, (3,)),
            ops.Conv1d(4, (3,), stride=(2,), padding=(1,)),
            ops.Conv1d(4, (2,), padding="same", groups=2),
            ops.Conv1d(3, (3,), stride=(2,), padding="same", bias=False),
            ops.Conv1d(4, (2,), dilation=(3,), groups=4),
            ops.Conv1d(2, (1,), stride=(3,)),
        ),
        ops.Conv2d: _all(
            (IMAGE,),
            ops.Conv2d(3, (3, 2)),
            ops.Conv2d(4, (3, 3), stride=(2, 1), padding=(1, 2)),
            ops.Conv2d(3, (2, 3), padding="same"),
            ops.Conv2d(3, (3, 2), stride=(2, 3), padding="same", bias=False),
            ops.Conv2d(6, (2, 2), dilation=(2, 3), groups=2),
            ops.Conv2d(8, (3, 3), padding=(1, 1), groups=4),
            ops.Conv2d(4, (3, 3), stride=(2, 2), padding=(2, 2), dilation=(2, 2), groups=4),
            ops.Conv2d(2, (1, 1), stride=(2, 2)),
        ),
        ops.Conv3d: _all(
            (VOLUME,),
            ops.Conv3d(2, (2, 2, 2)),
            ops.Conv3d(2, (2, 3, 2), stride=(1, 2, 2), padding=(1, 1, 0)),
            ops.Conv3d(4, (2, 2, 2), padding="same", groups=2, bias=False),
            ops.Conv3d(2, (2, 2, 2), dilation=(2, 1, 2)),
        ),
        ops.ConvTranspose1d: _all(
            ((2, 4, 4),),
            ops.ConvTranspose1d(3, (3,)),
            ops.ConvTranspose1d(4, (3,), stride=(2,), padding=(1,), output_padding=(1,)),
            ops.ConvTranspose1d(4, (2,), stride=(3,), groups=2, bias=False),
            ops.ConvTranspose1d(4, (2,), dilation=(2,), padding=(1,), groups=4),
        ),
        ops.ConvTranspose2d: _all(
            ((2, 4, 3, 2),),
            ops.ConvTranspose2d(3, (2, 3)),
            ops.ConvTranspose2d(2, (3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 0)),
            ops.ConvTranspose2d(6, (2, 2), stride=(1, 3), dilation=(2, 1), groups=2, bias=False),
            ops.ConvTranspose2d(4, (3, 3), padding=(2, 1), groups=4),
        ),
    }


def _pooling() -> dict[type[Operator], list[Configuration]]:
    found: dict[type[Operator], list[Configuration]] = {
        ops.MaxPool1d: _all(
            (SIGNAL,), ops.MaxPool1d((2,)), ops.MaxPool1d((3,), stride=(2,), padding=(1,))
        ),
        ops.MaxPool2d: _all(
            (IMAGE,),
            ops.MaxPool2d((2, 2)),
            ops.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 1)),
            ops.MaxPool2d((2, 3), stride=(3, 1)),
        ),
        **{
            kind: [(kind(k), (x,)) for k, x in enumerate((SIGNAL, IMAGE, VOLUME), 1)]
            for kind in (ops.GlobalAveragePool, ops.GlobalMaxPool)
        },
        ops.AdaptiveAveragePool1d: _all(
            (SIGNAL,), ops.AdaptiveAveragePool1d((3,)), ops.AdaptiveAveragePool1d((9,))
        ),
        ops.AdaptiveAveragePool2d: _all(
            (IMAGE,), ops.AdaptiveAveragePool2d((2, 4)), ops.AdaptiveAveragePool2d((1, 1))
        ),
    }
    for kind, shape, k in ((ops.AveragePool1d, SIGNAL, 1), (ops.AveragePool2d, IMAGE, 2)):
        found[kind] = _all(
            (shape,),
            kind((2,) * k),
            kind((3,) * k, stride=(2,) * k, padding=(1,) * k),
            kind((3,) * k, stride=(2,) * k, padding=(1,) * k, count_include_pad=False),
            kind((2,) * k, stride=(3,) * k),
        )
    return found


def _normalisations() -> dict[type[Operator], list[Configuration]]:
    by_rank = {0: VECTOR, 1: SIGNAL, 2: IMAGE, 3: VOLUME}
    return {
        ops.BatchNorm: [
            *[(ops.BatchNorm(k), (x,)) for k, x in by_rank.items()],
            (ops.BatchNorm(0, statistics="given"), (VECTOR,)),
            (ops.BatchNorm(2, 1e-2, "given"), (IMAGE,)),
            (ops.BatchNorm(2, 1e-2, affine=False), (IMAGE,)),
        ],
        ops.LayerNorm: [
            (ops.LayerNorm(), (VECTOR,)),
            (ops.LayerNorm(), (SEQUENCE,)),
            (ops.LayerNorm(2, 1e-2), (SEQUENCE,)),
            (ops.LayerNorm(3), (IMAGE,)),
            (ops.LayerNorm(affine=False), (SEQUENCE,)),
        ],
        ops.GroupNorm: [
            (ops.GroupNorm(2, 0), (VECTOR,)),
            (ops.GroupNorm(4, 1), (SIGNAL,)),
            (ops.GroupNorm(2, 2), (IMAGE,)),
            (ops.GroupNorm(1, 3, 1e-2), (VOLUME,)),
            (ops.GroupNorm(2, 2, affine=False), (IMAGE,)),
        ],
        ops.InstanceNorm: [
            *[(ops.InstanceNorm(k), (by_rank[k],)) for k in (1, 2, 3)],
            (ops.InstanceNorm(2, 1e-2, affine=False), (IMAGE,)),
        ],
        ops.RMSNorm: [
            (ops.RMSNorm(), (VECTOR,)),
            (ops.RMSNorm(1e-2), (SEQUENCE,)),
            (ops.RMSNorm(affine=False), (SEQUENCE,)),
        ],
        ops.Dropout: [
            (ops.Dropout(), (VECTOR,)), (ops.Dropout(0.2), (IMAGE,)), (ops.Dropout(0.0), (VECTOR,)),
        ],
        ops.StochasticDepth: [
            (ops.StochasticDepth(), ((5, 4),)), (ops.StochasticDepth(0.2), ((5, 2, 3, 3),)),
        ],
    }  # fmt: skip


def _attention() -> dict[type[Operator], list[Configuration]]:
    attended = (QUERIES, KEYS, VALUES)
    return {
        ops.Attention: [
            *_all(
                attended,
                ops.Attention(),
                ops.Attention(causal=True),
                ops.Attention(lengths=(5, 2)),
                ops.Attention(causal=True, lengths=(3, 4), scale=0.7),
            ),
        ],
        ops.MultiHeadAttention: [
            *_all(
                ((2, 3, 8),),
                ops.MultiHeadAttention(),
                ops.MultiHeadAttention(2, causal=True),
                ops.MultiHeadAttention(4, 2, lengths=(3, 1)),
                ops.MultiHeadAttention(2, rotary=True, causal=True, bias=False),
                ops.MultiHeadAttention(4, 1, rotary=True),
            ),
            *_all(
                ((2, 3, 8), (2, 5, 6)),
                ops.MultiHeadAttention(2),
                ops.MultiHeadAttention(4, 2, causal=True, lengths=(5, 4)),
                ops.MultiHeadAttention(2, 1, rotary=True, bias=False),
            ),
        ],
        ops.Rotary: [
            (ops.Rotary(), (SEQUENCE,)), (ops.Rotary(100.0), ((2, 2, 3, 6),)),
        ],
    }  # fmt: skip


def _recurrences() -> dict[type[Operator], list[Configuration]]:
    found: dict[type[Operator], list[Configuration]] = {}
    x, units, steps = (2, 4, 3), 2, (2, 4)
    for kind in (ops.RNN, ops.LSTM, ops.GRU):
        more: list[Operator] = []
        if kind is ops.RNN:
            more = [
                ops.RNN(units, activation="relu"),
                ops.RNN(units, 2, True, steps, activation="relu"),
            ]
        if kind is ops.LSTM:
            more = [
                ops.LSTM(units, returns="cell"),
                ops.LSTM(units, 2, True, steps, returns="cell"),
            ]
        found[kind] = _all(
            (x,),
            kind(units),
            kind(units, bias=False),
            kind(units, 2),
            kind(units, 1, True),
            kind(units, 2, True, steps),
            kind(units, lengths=steps),
            kind(units, returns="hidden"),
            kind(units, 2, True, steps, returns="hidden"),
            *more,
        )
        state = (4, 2, units)
        states = (state, state) if kind is ops.LSTM else (state,)
        found[kind] += _all(
            (x, *states), kind(units, 2, True), kind(units, 2, True, steps, returns="hidden")
        )
        found[kind] += _all((x, (1, 2, units)), kind(units))
    return found


CONFIGURATIONS: Mapping[type[Operator], list[Configuration]] = {
    ops.Dense: [
        (ops.Dense(5), (VECTOR,)),
        (ops.Dense(4), (VECTOR,)),
        (ops.Dense(2, bias=False), (VECTOR,)),
        (ops.Dense(5), (SEQUENCE,)),
        (ops.Dense(2), ((2, 2, 3, 4),)),
    ],
    ops.WeightNormDense: [
        (ops.WeightNormDense(5), (VECTOR,)),
        (ops.WeightNormDense(2, bias=False), (SEQUENCE,)),
    ],
    ops.Bilinear: [
        (ops.Bilinear(2), (VECTOR, (3, 2))),
        (ops.Bilinear(3, bias=False), (SEQUENCE, (2, 3, 2))),
    ],
    ops.Embedding: [
        (ops.Embedding(5, 3, (4,)), ()),
        (ops.Embedding(3, 2, (2, 6)), ()),
        (ops.Embedding(4, 2, (3, 5), padding_index=1), ()),
    ],
    ops.Variable: [(ops.Variable((3, 4)), ()), (ops.Variable((2, 3, 2)), ())],
    ops.MatMul: [
        (ops.MatMul(), ((2, 3, 4), (2, 4, 5))),
        (ops.MatMul(transpose_a=True), ((2, 4, 3), (2, 4, 5))),
        (ops.MatMul(transpose_b=True), ((2, 3, 4), (2, 5, 4))),
        (ops.MatMul(True, True), ((2, 2, 4, 3), (2, 2, 5, 4))),
    ],
    ops.Add: [
        (ops.Add(), (VECTOR, VECTOR)),
        (ops.Add(), (VECTOR, VECTOR, (1, 4))),
        (ops.Add(), (IMAGE, (2, 4, 1, 1))),
        (ops.Add(), ((3, 1), (1, 4))),
    ],
    ops.Subtract: [
        (ops.Subtract(), (VECTOR, VECTOR)),
        (ops.Subtract(), ((2, 1, 4), SEQUENCE)),
    ],
    ops.Multiply: [
        (ops.Multiply(), (VECTOR, VECTOR)),
        (ops.Multiply(), (IMAGE, (2, 4, 1, 1))),
        (ops.Multiply(), ((1, 4), VECTOR)),
    ],
    ops.Maximum: [(ops.Maximum(), (VECTOR, VECTOR)), (ops.Maximum(), (SEQUENCE, SEQUENCE))],
    ops.Minimum: [(ops.Minimum(), (VECTOR, VECTOR)), (ops.Minimum(), (SEQUENCE, SEQUENCE))],
    **_activations(),
    ops.Flatten: [(ops.Flatten(), (IMAGE,)), (ops.Flatten(2), (SEQUENCE,))],
    ops.Reshape: [
        (ops.Reshape((2, 2)), (VECTOR,)),
        (ops.Reshape((6, 2), 2), (SEQUENCE,)),
    ],
    ops.Transpose: [
        (ops.Transpose(), (SEQUENCE,)),
        (ops.Transpose((-2, -1, -3)), (IMAGE,)),
    ],
    ops.Pad: [
        (ops.Pad(), (VECTOR,)),
        (ops.Pad(((1, 0), (0, 2)), value=0.5), (IMAGE,)),
        (ops.Pad(((2, 1), (1, 3)), "reflect"), (IMAGE,)),
        (ops.Pad(((2, 0), (1, 3)), "edge"), (IMAGE,)),
        (ops.Pad(((0, 2),), "edge"), (SIGNAL,)),
    ],
    ops.Slice: [
        (ops.Slice(1, 3), (VECTOR,)),
        (ops.Slice(0, 5, 2, -2), (IMAGE,)),
        (ops.Slice(1, 4, 1, -3), (IMAGE,)),
    ],
    ops.Concat: [
        (ops.Concat(), (VECTOR, (3, 2))),
        (ops.Concat(-2), (SEQUENCE, (2, 1, 4), SEQUENCE)),
        (ops.Concat(-3), (IMAGE, (2, 1, 5, 6))),
    ],
    **{
        kind: [
            (kind((-1,), keep=True), (VECTOR,)),
            (kind((-2,)), (SEQUENCE,)),
            (kind((-1, -3)), (IMAGE,)),
            (kind((-1, -2), keep=True), (IMAGE,)),
        ]
        for kind in (ops.Sum, ops.Mean, ops.Max)
    },
    ops.Upsample: [
        (ops.Upsample(), ((2, 2, 2, 3),)),
        (ops.Upsample((3, 1)), ((2, 2, 2, 3),)),
        (ops.Upsample(form="bilinear"), ((2, 2, 2, 3),)),
        (ops.Upsample((2, 3), "bilinear", align_corners=True), ((2, 2, 3, 2),)),
        (ops.Upsample((2, 2), "bilinear", align_corners=True), ((2, 1, 1, 3),)),
    ],
    **_convolutions(),
    **_pooling(),
    **_normalisations(),
    **_attention(),
    **_recurrences(),
}
"""Every configuration class, by operator."""


def network(op: Operator, shapes: tuple[Shape, ...]) -> Architecture:
    """A network that is this operator alone: `variable` inputs, and a linear loss."""
    variables = tuple(ops.Variable(shape) for shape in shapes)
    names = tuple(edge_name(i + 1) for i in range(len(shapes)))
    placed: Any = msgspec.structs.replace(op, inputs=names)
    return Architecture(None, (*variables, placed), WeightedSum())
