"""Which cases become vectors.

    smoke    a handful of small networks: does anything work at all?
    must     and every operator, loss and penalty at least once, ties where there are any
    full     and every configuration, lane and dtype, and random networks

A change here changes the corpus: raise VERSION with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import DTYPES, LANES, DType, Lane
from backproof.architectures.configurations import CONFIGURATIONS, network
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits, generate
from backproof.vectors.format import Group

VERSION = 2
"""Of the corpus: counts the changes of what is in it."""

RANDOM = 16
"""Random networks of each lane in the full group."""


class Choice(NamedTuple):
    """A case to be drawn, and the smallest group that holds it.

    `fault` names one that it is made for, and must catch.
    """

    name: str
    architecture: Architecture
    group: Group
    lane: Lane = "generic"
    dtype: DType = "float64"
    fault: str = ""

    @property
    def id(self) -> str:
        """Such as `conv2d-2-generic-float64`."""
        return f"{self.name}-{self.lane}-{self.dtype}"


def choices(seed: int) -> Iterator[Choice]:
    """Every choice, the smallest group first, each once."""
    yield from _smoke()
    yield from _operators()
    yield from _losses()
    yield from _graphs()
    yield from _ties()
    yield from _for_faults()
    yield from _configurations()
    yield from _random(seed)


def _of(loss: Any, *layers: Any, input: tuple[int, ...] | None = (3, 4), **more: Any) -> Any:
    return Architecture(input, layers, loss, **more)


# --- smoke ------------------------------------------------------------------------------


def _smoke() -> Iterator[Choice]:
    square, row = ls.SquaredError(), ls.CrossEntropy()
    mlp = _of(square, ops.Dense(4), ops.Tanh(), ops.Dense(2), input=(2, 3))
    kinked = _of(square, ops.Dense(3), ops.ReLU(), ops.Dense(2), input=(2, 3))
    residual = _of(
        square, ops.Dense(3), ops.GELU(), ops.Add(inputs=("input", edge_name(2))), input=(2, 3)
    )
    image = _of(
        row, ops.Conv2d(2, (2, 2)), ops.ReLU(), ops.MaxPool2d((2, 2)), ops.Flatten(), ops.Dense(3),
        input=(2, 1, 5, 5),
    )  # fmt: skip
    sequence = _of(row, ops.LSTM(2), ops.Dense(3), input=(2, 3, 2))
    yield Choice("mlp", mlp, "smoke")
    yield Choice("mlp", mlp, "smoke", dtype="float32")
    yield Choice("relu_mlp", kinked, "smoke", "exact")
    yield Choice("relu_mlp", kinked, "smoke", "tie")
    yield Choice("residual", residual, "smoke")
    yield Choice("convolutional", image, "smoke")
    yield Choice("recurrent", sequence, "smoke")


# --- must -------------------------------------------------------------------------------


def _operators() -> Iterator[Choice]:
    """Every operator by itself: its first configuration, with a random signed cotangent."""
    for kind, configurations in CONFIGURATIONS.items():
        yield Choice(str(kind.__struct_config__.tag), network(*configurations[0]), "must")


LAST: dict[Any, Any] = {
    ls.BinaryCrossEntropy: ops.Sigmoid(),
    ls.Dice: ops.Sigmoid(),
    ls.NegativeLogLikelihood: ops.LogSoftmax(),
    ls.KLDivergence: ops.LogSoftmax(),
}
"""The layer before a loss of probabilities or of their logarithms."""


def _losses() -> Iterator[Choice]:
    """Every loss of a dense layer's outputs; the penalties with the first of them."""
    heads = (ops.Dense(3), ops.Dense(2), ops.Dense(2, inputs=(edge_name(1),)))
    three = (
        ops.Dense(3), ops.Variable((3, 4)), ops.Dense(3, share="layers.0"),
        ops.Variable((3, 4)), ops.Dense(3, share="layers.0"),
    )  # fmt: skip
    special = {
        ls.CTC: _of(ls.CTC(2), ops.Dense(3), input=(2, 5, 4)),
        ls.GaussianKL: _of(ls.GaussianKL(inputs=(edge_name(2), edge_name(3))), *heads),
        ls.TripletMargin: _of(
            ls.TripletMargin(inputs=(edge_name(1), edge_name(3), edge_name(5))), *three
        ),
    }
    for kind in ls.LOSSES:
        last = (LAST[kind],) if kind in LAST else ()
        a = special[kind] if kind in special else _of(kind(), ops.Dense(3), *last)
        yield Choice(f"loss-{kind.__struct_config__.tag}", a, "must")
    for penalty in (ls.L1(0.5), ls.L2(0.25)):
        a = _of(ls.SquaredError("mean"), ops.Dense(3), penalties=(penalty,))
        yield Choice(f"penalty-{type(penalty).__struct_config__.tag}", a, "must")


def _graphs() -> Iterator[Choice]:
    """Tensors that are used several times: a `=` for a `+=` shows here."""
    tied = _of(ls.Huber(), ops.Dense(4), ops.Tanh(), ops.Dense(4, share="layers.0"))
    several = _of(
        ls.CrossEntropy(), ops.Dense(4), ops.GELU(), ops.Dense(3),
        auxiliary=(ls.SquaredError("mean", inputs=(edge_name(2),)), ls.Cosine(inputs=("input",))),
    )  # fmt: skip
    attention = _of(
        ls.SquaredError(), ops.Dense(4, False), ops.Attention(inputs=(edge_name(1),) * 3),
        ops.Add(inputs=("input", edge_name(2))), ops.LayerNorm(), input=(1, 3, 4),
    )  # fmt: skip
    for name, a in (("tied_weights", tied), ("two_losses", several), ("self_attention", attention)):
        for dtype in DTYPES:
            yield Choice(name, a, "must", dtype=dtype)


def _ties() -> Iterator[Choice]:
    """Whatever has a point where it is not differentiable, small enough to list the pieces."""
    entrywise = (
        ops.ReLU(), ops.LeakyReLU(), ops.PReLU(), ops.ELU(0.5), ops.SELU(), ops.HardTanh(),
        ops.ReLU6(), ops.HardSigmoid(), ops.HardSwish(), ops.SoftShrink(1.0), ops.HardShrink(1.0),
    )  # fmt: skip
    tied = {op.name: _of(ls.WeightedSum(), ops.Dense(2), op, input=(2, 3)) for op in entrywise}
    for op, *shapes in (
        (ops.Maximum(), (2, 2), (2, 2)), (ops.Minimum(), (2, 2), (2, 2)), (ops.Max(), (2, 2, 2)),
        (ops.MaxPool1d((2,)), (1, 2, 4)), (ops.MaxPool2d((2, 2)), (1, 1, 2, 4)),
        (ops.GlobalMaxPool(1), (1, 2, 3)), (ops.RNN(2, activation="relu"), (1, 2, 2)),
    ):  # fmt: skip
        tied[op.name] = network(op, tuple(shapes))
    for loss in (ls.AbsoluteError(), ls.Hinge()):
        tied[f"loss-{loss.name}"] = _of(loss, ops.Dense(2), input=(2, 2))
    tied["penalty-l1"] = _of(ls.SquaredError(), ops.Dense(2), input=(2, 2), penalties=(ls.L1(0.5),))
    for name, a in tied.items():
        yield Choice(name, a, "must", "tie")


def _for_faults() -> Iterator[Choice]:
    """Attributes and values without which some faults of the catalogue do not show."""
    weights, log_softmax = (0.5, 2.0, 1.25), (ops.Dense(3), ops.LogSoftmax())
    for fault, loss, *layers in (
        ("label_smoothing_forgotten", ls.CrossEntropy(label_smoothing=0.1)),
        ("class_weights_forgotten", ls.NegativeLogLikelihood(weights), *log_softmax),
        ("positive_weights_forgotten", ls.BinaryCrossEntropyWithLogits(weights)),
        ("ignored_class_counted", ls.CrossEntropy(ignore_index=1)),
        ("log_target_taken_plain", ls.KLDivergence(log_target=True), *log_softmax),
        ("clip_ignored", ls.BinaryCrossEntropy(0.25), ops.Dense(3), ops.Sigmoid()),
        ("threshold_forgotten", ls.Huber(0.5)),
        ("balance_forgotten", ls.Focal(alpha=0.25)),
    ):
        yield Choice(f"fault-{fault}", _of(loss, *(layers or (ops.Dense(3),))), "must", fault=fault)
    decay = _of(ls.SquaredError(), ops.Dense(3), penalties=(ls.L2(0.0),))
    fault = "decay_at_strength_zero"
    yield Choice(f"fault-{fault}", decay, "must", fault=fault)
    for fault, a in (
        ("exp_overflows", _of(ls.SquaredError(), ops.Dense(3), ops.Sigmoid())),
        ("zero_times_log_zero", _of(ls.CrossEntropy(), ops.Dense(3))),
    ):
        yield Choice(f"fault-{fault}", a, "must", "extreme", "float32", fault)
    yield from (Choice(f"fault-{fault}", a, "must", fault=fault) for fault, a in _roomy())


def _roomy() -> Iterator[tuple[str, Architecture]]:
    """Operators with an attribute, or a shape, by which some faults differ from what is right.

    Each is named for one of them, and may be there for several.
    """
    states = ((2, 3, 2), (1, 2, 2))
    for fault, op, *shapes in (
        ("repetitions_overwritten", ops.Multiply(), (2, 3, 2), (2, 1, 2)),
        ("factor_not_transposed", ops.MatMul(), (1, 2, 2), (1, 2, 2)),
        ("bilinear_operands_exchanged", ops.Bilinear(2), (2, 2), (2, 2)),
        ("padding_index_counted", ops.Embedding(3, 2, (4,), padding_index=1)),
        ("padding_counted_wrongly", ops.AveragePool1d((3,), (2,), (1,)), (1, 2, 5)),
        ("parts_swapped", ops.Concat(), (2, 2), (2, 2)),
        ("transposed_again", ops.Transpose((-2, -1, -3)), (1, 2, 2, 2)),
        ("not_transposed_back", ops.Transpose(), (2, 2, 2)),
        ("stride_and_dilation_exchanged", ops.Conv1d(2, (2,), (2,), (1,)), (1, 2, 5)),
        ("dilation_ignored", ops.Conv1d(2, (2,), dilation=(2,)), (1, 2, 5)),
        ("inner_derivative_dropped", ops.GELU("tanh"), (2, 3)),
        ("inner_factor_not_cancelled", ops.Softplus(2.0), (2, 3)),
        ("weights_of_another_group", ops.Conv1d(4, (2,), groups=2), (1, 4, 3)),
        ("given_statistics_differentiated", ops.BatchNorm(statistics="given"), (3, 2)),
        ("places_not_counted", ops.BatchNorm(1), (2, 2, 3)),
        ("causal_mask_ignored", ops.Attention(True, (3, 2)), (2, 3, 2), (2, 3, 2), (2, 3, 2)),
        ("rotary_not_turned_back", ops.MultiHeadAttention(2, 1, rotary=True), (1, 3, 4)),
        ("initial_state_gradient_zero", ops.GRU(2), *states),
        ("directions_swapped", ops.RNN(2, bidirectional=True, lengths=(2, 3)), (2, 3, 2)),
    ):
        yield fault, network(op, tuple(shapes))
    yield "sum_not_repeated", _of(ls.SquaredError(), ops.Sum(keep=True))
    near = ls.TripletMargin(margin=0.125, inputs=("input", edge_name(1), edge_name(2)))
    yield "slope_beyond_the_margin", _of(near, ops.Variable((3, 4)), ops.Variable((3, 4)))
    early = ls.CTC(2, input_lengths=(5, 4))
    yield "steps_beyond_the_length", _of(early, ops.Dense(3), input=(2, 5, 4))


# --- full -------------------------------------------------------------------------------


def _configurations() -> Iterator[Choice]:
    """The first configuration of each operator on every lane in both dtypes, the others once."""
    for kind, (first, *others) in CONFIGURATIONS.items():
        name, a = str(kind.__struct_config__.tag), network(*first)
        for lane in LANES:
            for dtype in DTYPES:
                plain = (lane, dtype) == ("generic", "float64")
                exact = lane != "exact" or is_exact(a, dtype)
                if exact and not plain and lane != "tie":
                    yield Choice(name, a, "full", lane, dtype)
        for k, configuration in enumerate(others, 1):
            yield Choice(f"{name}-{k}", network(*configuration), "full")


def _random(seed: int) -> Iterator[Choice]:
    limits = Limits(max_depth=3, max_width=4, max_batch=3)
    for lane in LANES:
        for k, a in enumerate(generate(limits, lane, "float32", seed, RANDOM)):
            for dtype in DTYPES:
                if lane != "exact" or is_exact(a, dtype):
                    yield Choice(f"random-{k:02d}", a, "full", lane, dtype)
