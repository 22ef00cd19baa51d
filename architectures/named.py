"""Architectures that people know by name, each small enough to be verified in a second.

Every function takes a `scale`, a whole number of at least 1, that multiplies its widths (and
here and there its depth).  `NAMED` lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from . import losses as ls
from . import operators as ops
from .architecture import Architecture, edge_name
from .operators import Shape


class _Net:
    """Layers on their way to a network; every method returns the name of an edge."""

    def __init__(self, input: Shape | None = None) -> None:
        self.input, self.layers = input, list[Any]()

    @property
    def here(self) -> str:
        return edge_name(len(self.layers))

    def add(self, op: ops.Operator, *inputs: str, share: str = "") -> str:
        """Append an operator on these edges, or on the last one; `share` names an edge."""
        owner = share.removesuffix(".output")
        self.layers.append(msgspec.structs.replace(op, inputs=inputs, share=owner))
        return self.here

    def chain(self, *operators: ops.Operator) -> str:
        """Append several, one on the other."""
        for op in operators:
            self.add(op)
        return self.here

    def loss(self, loss: Any, *auxiliary: Any) -> Architecture:
        return Architecture(self.input, tuple(self.layers), loss, (), auxiliary)


def mlp(scale: int = 1) -> Architecture:
    """The multi-layer perceptron of the worked example: 2 inputs, 3 hidden units, 1 output."""
    net = _Net((1, 2))
    net.chain(ops.Dense(3 * scale), ops.Sigmoid(), ops.Dense(1), ops.Sigmoid())
    return net.loss(ls.SquaredError())


def lenet5(scale: int = 1) -> Architecture:
    """LeNet-5 (LeCun et al. 1998): two convolutions with average pooling, three dense layers."""
    net = _Net((2, 1, 12, 12))
    net.chain(
        ops.Conv2d(2 * scale, (3, 3), padding=(1, 1)), ops.Tanh(), ops.AveragePool2d((2, 2)),
        ops.Conv2d(4 * scale, (3, 3)), ops.Tanh(), ops.AveragePool2d((2, 2)),
        ops.Flatten(), ops.Dense(10 * scale), ops.Tanh(), ops.Dense(8 * scale), ops.Tanh(),
        ops.Dense(4),
    )  # fmt: skip
    return net.loss(ls.CrossEntropy())


def resnet(scale: int = 1) -> Architecture:
    """A residual network (He et al. 2016): a stem, an identity block, a block that halves."""
    net, wide = _Net((2, 2, 6, 6)), 3 * scale
    x = net.chain(ops.Conv2d(wide, (3, 3), padding="same"), ops.BatchNorm(2), ops.ReLU())
    net.chain(
        ops.Conv2d(wide, (3, 3), padding="same"), ops.BatchNorm(2), ops.ReLU(),
        ops.Conv2d(wide, (3, 3), padding="same"),
    )  # fmt: skip
    y = net.add(ops.BatchNorm(2))
    net.add(ops.Add(), x, y)
    x = net.add(ops.ReLU())
    net.add(ops.Conv2d(2 * wide, (3, 3), (2, 2), (1, 1)), x)
    net.chain(ops.BatchNorm(2), ops.ReLU(), ops.Conv2d(2 * wide, (3, 3), padding="same"))
    y = net.add(ops.BatchNorm(2))
    net.add(ops.Conv2d(2 * wide, (1, 1), (2, 2), bias=False), x)
    skip = net.add(ops.BatchNorm(2))
    net.add(ops.Add(), y, skip)
    net.chain(ops.ReLU(), ops.GlobalAveragePool(), ops.Dense(4))
    return net.loss(ls.CrossEntropy(label_smoothing=0.1))


def unet(scale: int = 1) -> Architecture:
    """A U-Net (Ronneberger et al. 2015) of one level, with dice and cross-entropy."""
    net, wide = _Net((2, 1, 6, 6)), 2 * scale
    skip = net.chain(ops.Conv2d(wide, (3, 3), padding="same"), ops.ReLU())
    net.chain(ops.MaxPool2d((2, 2)), ops.Conv2d(2 * wide, (3, 3), padding="same"), ops.ReLU())
    up = net.add(ops.ConvTranspose2d(wide, (2, 2), (2, 2)))
    net.add(ops.Concat(-3), skip, up)
    net.chain(ops.Conv2d(wide, (3, 3), padding="same"), ops.ReLU(), ops.Conv2d(1, (1, 1)))
    logits = net.here
    net.add(ops.Sigmoid())
    return net.loss(ls.Dice(), ls.BinaryCrossEntropyWithLogits(inputs=(logits,)))


def mlp_mixer(scale: int = 1) -> Architecture:
    """An MLP-Mixer (Tolstikhin et al. 2021): patches, mixed across tokens, then channels."""
    net, wide = _Net((2, 2, 6, 6)), 4 * scale
    net.chain(ops.Conv2d(wide, (2, 2), (2, 2)), ops.Flatten(2))
    x = net.add(ops.Transpose())
    net.chain(ops.LayerNorm(), ops.Transpose(), ops.Dense(6), ops.GELU(), ops.Dense(9))
    y = net.add(ops.Transpose())
    x = net.add(ops.Add(), x, y)
    net.chain(ops.LayerNorm(), ops.Dense(2 * wide), ops.GELU())
    y = net.add(ops.Dense(wide))
    net.add(ops.Add(), x, y)
    net.chain(ops.LayerNorm(), ops.Mean((-2,)), ops.Dense(3))
    return net.loss(ls.CrossEntropy())


def transformer_encoder(scale: int = 1) -> Architecture:
    """A Transformer encoder (Vaswani et al. 2017): post-norm, padding masked, mean-pooled."""
    wide, steps, batch = 8 * scale, 5, 2
    net = _Net()
    tokens = net.add(ops.Embedding(7 * scale, wide, (batch, steps), padding_index=0))
    places = net.add(ops.Variable((1, steps, wide)))
    net.add(ops.Add(), tokens, places)
    x = net.add(ops.Dropout(0.2))
    y = net.add(ops.MultiHeadAttention(2, lengths=(steps, 3)))
    net.add(ops.Add(), x, y)
    x = net.add(ops.LayerNorm())
    net.chain(ops.Dense(2 * wide), ops.ReLU())
    y = net.add(ops.Dense(wide))
    net.add(ops.Add(), x, y)
    net.chain(ops.LayerNorm(), ops.Mean((-2,)), ops.Dense(3))
    return net.loss(ls.CrossEntropy())


def gpt(scale: int = 1) -> Architecture:
    """A GPT decoder (Radford et al. 2019): pre-norm, causal, the output tied to the embedding.

    Scale 8 has a million parameters: width 128, 5 blocks.
    """
    wide, steps, batch = 16 * scale, 4 + scale, 2
    net = _Net()
    words = net.add(ops.Embedding(16 * scale, wide, (batch, steps)))
    places = net.add(ops.Variable((1, steps, wide)))
    x = net.add(ops.Add(), words, places)
    for _ in range(1 + scale // 2):
        net.add(ops.LayerNorm(), x)
        y = net.add(ops.MultiHeadAttention(2 * scale, causal=True))
        x = net.add(ops.Add(), x, y)
        net.chain(ops.LayerNorm(), ops.Dense(4 * wide), ops.GELU("tanh"))
        y = net.add(ops.Dense(wide))
        x = net.add(ops.Add(), x, y)
    net.add(ops.LayerNorm())
    net.add(ops.Dense(16 * scale, bias=False), share=words)
    return net.loss(ls.CrossEntropy())


def lstm_tagger(scale: int = 1) -> Architecture:
    """A bidirectional LSTM that tags every word (Huang et al. 2015), sequences of two lengths."""
    net, steps = _Net(), 5
    net.add(ops.Embedding(6 * scale, 4 * scale, (2, steps)))
    net.chain(ops.LSTM(3 * scale, 1, True, (steps, 3)), ops.Dense(4))
    return net.loss(ls.CrossEntropy(ignore_index=0))


def gru_seq2seq(scale: int = 1) -> Architecture:
    """GRU encoder and decoder with attention (Bahdanau et al. 2015, the product form)."""
    net, wide = _Net(), 3 * scale
    source = net.add(ops.Embedding(6 * scale, wide, (2, 4)))
    memory = net.add(ops.GRU(wide))
    state = net.add(ops.GRU(wide, returns="hidden"), source, share=memory)
    target = net.add(ops.Embedding(5 * scale, wide, (2, 3)))
    y = net.add(ops.GRU(wide), target, state)
    seen = net.add(ops.Attention(), y, memory, memory)
    net.add(ops.Concat(), y, seen)
    net.chain(ops.Dense(wide), ops.Tanh(), ops.Dense(5 * scale))
    return net.loss(ls.CrossEntropy())


def vae(scale: int = 1) -> Architecture:
    """A variational auto-encoder (Kingma and Welling 2014), its noise given as a `variable`."""
    net, batch, code = _Net((3, 5)), 3, 2 * scale
    hidden = net.chain(ops.Dense(4 * scale), ops.Tanh())
    mean = net.add(ops.Dense(code), hidden)
    log_variance = net.add(ops.Dense(code), hidden)
    net.add(ops.Affine(0.5))
    deviation = net.add(ops.Exp())
    noise = net.add(ops.Variable((batch, code)))
    spread = net.add(ops.Multiply(), deviation, noise)
    net.add(ops.Add(), mean, spread)
    net.chain(ops.Dense(4 * scale), ops.Tanh(), ops.Dense(5))
    return net.loss(
        ls.BinaryCrossEntropyWithLogits(reduction="batch_mean"),
        ls.GaussianKL(inputs=(mean, log_variance)),
    )


def siamese(scale: int = 1) -> Architecture:
    """Three inputs through one network with shared weights, and the triplet margin loss."""
    net, inputs = _Net((3, 4)), ["input"]
    inputs += [net.add(ops.Variable((3, 4))) for _ in range(2)]
    codes, first, second = [], "", ""
    for x in inputs:
        first_here = net.add(ops.Dense(5 * scale), x, share=first)
        net.add(ops.Tanh())
        second_here = net.add(ops.Dense(3 * scale), share=second)
        codes.append(second_here)
        first, second = first or first_here, second or second_here
    return net.loss(ls.TripletMargin(inputs=tuple(codes)))


NAMED: Mapping[str, Callable[[int], Architecture]] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "resnet": resnet,
    "unet": unet,
    "mlp_mixer": mlp_mixer,
    "transformer_encoder": transformer_encoder,
    "gpt": gpt,
    "lstm_tagger": lstm_tagger,
    "gru_seq2seq": gru_seq2seq,
    "vae": vae,
    "siamese": siamese,
}
"""The named architectures."""
