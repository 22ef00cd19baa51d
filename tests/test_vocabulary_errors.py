"""What cannot be is refused when a network is built, in one sentence, from Python and from JSON.

Every error that the operators, the losses and the architecture name is provoked here; the
last test reads their sources, so that none is forgotten.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from helpers_networks import edge

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.files import ArchitectureError, loads

ROOT = Path(__file__).parent.parent
MAPS = {2: (3, 4), 3: (2, 3, 4), 4: (2, 4, 5, 6), 5: (2, 2, 3, 4, 3)}
"""An input of each rank."""


class Bad(NamedTuple):
    """Attributes of an operator or a loss, and the sentence about them."""

    kind: type[Any]
    attributes: dict[str, Any]
    words: str


def tag(kind: type[Any]) -> str:
    return str(kind.__struct_config__.tag)


# --- attributes ----------------------------------------------------------------------------

ATTRIBUTES = [
    # activations
    Bad(ops.HardTanh, {"low": 2.0}, "low must be below high, got low=2.0, high=1.0"),
    Bad(ops.Softmax, {"axis": 2}, "axis must be at most 1, got 2"),
    # dense
    Bad(ops.WeightNormDense, {"units": 0}, "units must be at least 1, got 0"),
    Bad(ops.Bilinear, {"units": -1}, "units must be at least 1, got -1"),
    Bad(ops.Embedding, {"classes": 0, "units": 2}, "classes must be at least 1, got 0"),
    Bad(ops.Embedding, {"classes": 3, "units": 2, "shape": (2, 0)},
        "shape[1] must be at least 1, got 0"),
    Bad(ops.Embedding, {"classes": 3, "units": 2, "shape": ()},
        "shape must have at least one axis, the batch"),
    Bad(ops.Embedding, {"classes": 3, "units": 2, "padding_index": 3},
        "padding_index must be one of the 3 classes, got 3"),
    Bad(ops.Embedding, {"classes": 3, "units": 2, "padding_index": -1},
        "padding_index must be at least 0, got -1"),
    Bad(ops.Variable, {"shape": ()}, "shape must have at least one axis"),
    Bad(ops.Variable, {"shape": (2, 0)}, "shape[1] must be at least 1, got 0"),
    # shapes
    Bad(ops.Flatten, {"axes": 1}, "axes must be at least 2, got 1"),
    Bad(ops.Reshape, {"shape": (2, -1)}, "shape[1] must be at least 1, got -1"),
    Bad(ops.Reshape, {"shape": (2,), "axes": 0}, "axes must be at least 1, got 0"),
    Bad(ops.Transpose, {"order": ()}, "order must name at least one axis"),
    Bad(ops.Transpose, {"order": (0, -1)}, "order[0] must be at most -1, got 0"),
    Bad(ops.Transpose, {"order": (-1, -1)}, "order must be distinct, got (-1, -1)"),
    Bad(ops.Transpose, {"order": (-1, -3)},
        "order must be a permutation of (-2, -1), got (-1, -3)"),
    Bad(ops.Pad, {"padding": ()}, "padding must hold at least one pair (before, after)"),
    Bad(ops.Pad, {"padding": ((1, -1),)}, "padding[0][1] must be at least 0, got -1"),
    Bad(ops.Slice, {"start": -1}, "start must be at least 0, got -1"),
    Bad(ops.Slice, {"start": 3, "stop": 3}, "start must be below stop, got start=3, stop=3"),
    Bad(ops.Slice, {"step": 0}, "step must be at least 1, got 0"),
    Bad(ops.Slice, {"axis": 0}, "axis must be at most -1, got 0"),
    Bad(ops.Concat, {"axis": 1}, "axis must be at most -1, got 1"),
    Bad(ops.Sum, {"axes": ()}, "axes must name at least one axis"),
    Bad(ops.Mean, {"axes": (-1, -1)}, "axes must be distinct, got (-1, -1)"),
    Bad(ops.Max, {"axes": (1,)}, "axes[0] must be at most -1, got 1"),
    Bad(ops.Upsample, {"factor": (2,)}, "factor must have 2 entries, got 1"),
    Bad(ops.Upsample, {"factor": (2, 0)}, "factor[1] must be at least 1, got 0"),
    Bad(ops.Upsample, {"align_corners": True}, "align_corners goes with form 'bilinear' only"),
    # convolutions and pools
    Bad(ops.Conv1d, {"channels": 0, "kernel": (1,)}, "channels must be at least 1, got 0"),
    Bad(ops.Conv2d, {"channels": 2, "kernel": (3,)}, "kernel must have 2 entries, got 1"),
    Bad(ops.Conv2d, {"channels": 2, "kernel": (3, 0)}, "kernel[1] must be at least 1, got 0"),
    Bad(ops.Conv3d, {"channels": 2, "kernel": (1, 1, 1), "stride": (1, 1)},
        "stride must have 3 entries, got 2"),
    Bad(ops.Conv1d, {"channels": 2, "kernel": (1,), "stride": (0,)},
        "stride[0] must be at least 1, got 0"),
    Bad(ops.Conv1d, {"channels": 2, "kernel": (1,), "dilation": (0,)},
        "dilation[0] must be at least 1, got 0"),
    Bad(ops.Conv1d, {"channels": 2, "kernel": (1,), "padding": (-1,)},
        "padding[0] must be at least 0, got -1"),
    Bad(ops.Conv2d, {"channels": 2, "kernel": (1, 1), "padding": (1,)},
        "padding must have 2 entries, got 1"),
    Bad(ops.Conv1d, {"channels": 3, "kernel": (1,), "groups": 2},
        "groups 2 do not divide the 3 channels"),
    Bad(ops.ConvTranspose1d, {"channels": 3, "kernel": (1,), "groups": 2},
        "groups 2 do not divide the 3 channels"),
    Bad(ops.ConvTranspose1d, {"channels": 2, "kernel": (1,), "output_padding": (1,)},
        "output_padding 1 must be below the stride or the dilation"),
    Bad(ops.ConvTranspose2d, {"channels": 2, "kernel": (2, 2), "padding": (0, -1)},
        "padding[1] must be at least 0, got -1"),
    Bad(ops.MaxPool1d, {"kernel": (0,)}, "kernel[0] must be at least 1, got 0"),
    Bad(ops.MaxPool1d, {"kernel": (3,), "padding": (2,)},
        "padding 2 is more than half of the kernel, 3"),
    Bad(ops.AveragePool2d, {"kernel": (2, 2), "stride": (1,)}, "stride must have 2 entries, got 1"),
    Bad(ops.AdaptiveAveragePool1d, {"size": (0,)}, "size[0] must be at least 1, got 0"),
    Bad(ops.AdaptiveAveragePool2d, {"size": (1,)}, "size must have 2 entries, got 1"),
    # normalisations
    Bad(ops.BatchNorm, {"spatial": 4}, "spatial must be at most 3, got 4"),
    Bad(ops.InstanceNorm, {"spatial": 0}, "spatial must be at least 1, got 0"),
    Bad(ops.LayerNorm, {"axes": 0}, "axes must be at least 1, got 0"),
    Bad(ops.GroupNorm, {"groups": 0}, "groups must be at least 1, got 0"),
    Bad(ops.RMSNorm, {"epsilon": 0.0}, "epsilon must be greater than 0, got 0.0"),
    Bad(ops.Dropout, {"rate": 1.0}, "rate must be less than 1, got 1.0"),
    Bad(ops.StochasticDepth, {"rate": -0.5}, "rate must be at least 0, got -0.5"),
    # attention
    Bad(ops.Attention, {"lengths": (2, 0)}, "lengths[1] must be at least 1, got 0"),
    Bad(ops.Attention, {"scale": 0.0}, "scale must be greater than 0, got 0.0"),
    Bad(ops.MultiHeadAttention, {"heads": 0}, "heads must be at least 1, got 0"),
    Bad(ops.MultiHeadAttention, {"heads": 4, "key_value_heads": 3},
        "key_value_heads 3 do not divide the 4 heads"),
    Bad(ops.MultiHeadAttention, {"key_value_heads": 0},
        "key_value_heads must be at least 1, got 0"),
    Bad(ops.Rotary, {"base": 0.0}, "base must be greater than 0, got 0.0"),
    # recurrences
    Bad(ops.RNN, {"units": 0}, "units must be at least 1, got 0"),
    Bad(ops.LSTM, {"units": 2, "layers": 0}, "layers must be at least 1, got 0"),
    Bad(ops.GRU, {"units": 2, "lengths": (0,)}, "lengths[0] must be at least 1, got 0"),
    # losses
    Bad(ls.CTC, {"labels": 0}, "labels must be at least 1, got 0"),
    Bad(ls.CTC, {"labels": 2, "blank": -1}, "blank must be at least 0, got -1"),
    Bad(ls.CTC, {"labels": 2, "input_lengths": (0,)}, "input_lengths[0] must be at least 1, got 0"),
    Bad(ls.CTC, {"labels": 2, "target_lengths": (3,)},
        "target_lengths must be at most the 2 labels, got (3,)"),
    Bad(ls.TripletMargin, {"margin": 0.0}, "margin must be greater than 0, got 0.0"),
    Bad(ls.Dice, {"smooth": 0.0}, "smooth must be greater than 0, got 0.0"),
    Bad(ls.Focal, {"gamma": -1.0}, "gamma must be at least 0, got -1.0"),
    Bad(ls.Focal, {"alpha": 1.0}, "alpha must be less than 1, got 1.0"),
    Bad(ls.Focal, {"alpha": 0.0}, "alpha must be greater than 0, got 0.0"),
    Bad(ls.CrossEntropy, {"target": "probabilities", "ignore_index": 0},
        "ignore_index goes with target 'indices' only"),
]  # fmt: skip


def as_text(kind: type[Any], attributes: dict[str, Any]) -> str:
    """A network in JSON with this operator as its only layer, or this as its loss."""
    word = "loss" if issubclass(kind, ls.Loss) else "op"
    written = {word: tag(kind), **attributes}
    whole: dict[str, Any] = {"input": [3, 4], "layers": [], "loss": {"loss": "weighted_sum"}}
    if word == "loss":
        whole["loss"] = written
    else:
        whole["layers"] = [written]
    return json.dumps(whole)


def refusal(text: str) -> str:
    with pytest.raises(ArchitectureError) as refused:
        loads(text, "net.json")
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence.removeprefix("net.json: ")


@pytest.mark.parametrize("bad", ATTRIBUTES, ids=lambda b: f"{tag(b.kind)}: {b.words}")
def test_an_attribute_is_refused_in_the_same_words(bad: Bad) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(bad.words)}$"):
        bad.kind(**bad.attributes)
    where = "$.loss" if issubclass(bad.kind, ls.Loss) else "$.layers[0]"
    assert refusal(as_text(bad.kind, bad.attributes)) == f"{bad.words} - at `{where}`"


OF_THE_WRONG_TYPE = [
    Bad(ops.Variable, {"shape": [2, 2]}, "shape must be a tuple of integers, got [2, 2]"),
    Bad(ops.Variable, {"shape": (2, True)}, "shape[1] must be an integer, got True"),
    Bad(ops.Embedding, {"classes": 3, "units": 2, "padding_index": 0.5},
        "padding_index must be an integer, got 0.5"),
    Bad(ops.MatMul, {"transpose_a": 1}, "transpose_a must be true or false, got 1"),
    Bad(ops.Transpose, {"order": [-1]},
        "order must be a tuple of axes counted from the end, such as -1, got [-1]"),
    Bad(ops.Pad, {"mode": "wrap"},
        "mode must be one of constant, reflect, edge, got 'wrap'"),
    Bad(ops.Pad, {"padding": (1, 1)}, "padding[0] must be a tuple of integers, got 1"),
    Bad(ops.Pad, {"value": "0"}, "value must be a number, got '0'"),
    Bad(ops.Conv1d, {"channels": 2, "kernel": 3}, "kernel must be a tuple of integers, got 3"),
    Bad(ops.Conv1d, {"channels": 2, "kernel": (3,), "padding": "full"},
        "padding must be same, valid or integers, got 'full'"),
    Bad(ops.BatchNorm, {"statistics": "running"},
        "statistics must be one of batch, given, got 'running'"),
    Bad(ops.Attention, {"scale": "1"}, "scale must be a number, got '1'"),
    Bad(ops.LSTM, {"units": 2, "returns": "all"},
        "returns must be one of sequence, hidden, cell, got 'all'"),
    Bad(ops.RNN, {"units": 2, "bidirectional": 1}, "bidirectional must be true or false, got 1"),
    Bad(ls.CTC, {"labels": 2, "input_lengths": [3]},
        "input_lengths must be a tuple of integers, got [3]"),
    Bad(ls.Focal, {"alpha": "0.5"}, "alpha must be a number, got '0.5'"),
    Bad(ls.CrossEntropy, {"class_weights": [1.0]},
        "class_weights must be a tuple of numbers, got [1.0]"),
]  # fmt: skip


@pytest.mark.parametrize("bad", OF_THE_WRONG_TYPE, ids=lambda b: f"{tag(b.kind)}: {b.words}")
def test_a_wrong_type_is_refused_by_its_field(bad: Bad) -> None:
    """JSON has words of its own for types, and names the field as well (a list is its tuple)."""
    with pytest.raises(ValueError, match=f"^{re.escape(bad.words)}$"):
        bad.kind(**bad.attributes)
    given = bad.attributes.values()
    if not any(isinstance(value, list) for value in given):
        field = re.split(r"[\[ ]", bad.words)[0]
        assert field in refusal(as_text(bad.kind, bad.attributes))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": ["input"]}, "inputs must be a tuple of names, got ['input']"),
        ({"inputs": "input"}, "inputs must be a tuple of names, got 'input'"),
        ({"inputs": (0,)}, "inputs[0] must be a name, got 0"),
        ({"share": 0}, "share must be a name, got 0"),
    ],
)
def test_the_place_of_an_operator_is_made_of_names(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        ops.Tanh(**change)
    if "inputs" in change:
        with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
            ls.SquaredError(**change)


# --- shapes --------------------------------------------------------------------------------


class Misfit(NamedTuple):
    """An operator on inputs of these shapes, and the sentence about them."""

    op: Any
    shapes: tuple[tuple[int, ...], ...]
    words: str


def on(rank: int, op: Any, words: str) -> Misfit:
    return Misfit(op, (MAPS[rank],), words)


MISFITS = [
    Misfit(ops.Dense(2), ((4,),),
           "dense takes (..., features) with the batch in front, got the shape (4,)"),
    Misfit(ops.Bilinear(2), ((3, 4), (2, 4)),
           "bilinear takes inputs with equal leading axes, got (3, 4) and (2, 4)"),
    Misfit(ops.MatMul(), ((2, 3, 4), (2, 5, 3)),
           "matmul cannot multiply (2, 3, 4) and (2, 5, 3)"),
    Misfit(ops.MatMul(transpose_a=True), ((2, 3, 4), (2, 4, 5)),
           "matmul cannot multiply (2, 4, 3) and (2, 4, 5)"),
    Misfit(ops.MatMul(), ((3, 4), (4, 5)),
           "matmul takes (..., n, k) with the batch in front, got the shape (3, 4)"),
    Misfit(ops.MatMul(), ((2, 3, 4), (4, 5)),
           "matmul takes (..., k, m) with the batch in front, got the shape (4, 5)"),
    Misfit(ops.Add(), ((3, 4), (2, 3, 4)),
           "add takes inputs of equal rank, got (3, 4) and (2, 3, 4)"),
    Misfit(ops.Add(), ((3, 4), (1, 4), (3, 2)),
           "add cannot match the shapes (3, 4), (1, 4) and (3, 2)"),
    Misfit(ops.Maximum(), ((3, 4), (1, 4)),
           "maximum takes two inputs of one shape, got (3, 4) and (1, 4)"),
    on(3, ops.Softmax(1), "softmax: axis 1 is for (batch, features), got the shape (2, 3, 4)"),
    Misfit(ops.LogSoftmax(), ((4,),), "log_softmax takes at least two axes, got the shape (4,)"),
    Misfit(ops.GLU(), ((2, 3),), "glu halves the features, so they must be even, got 3"),
    on(3, ops.Flatten(3), "flatten: axis -3 of the shape (2, 3, 4) does not exist or is the batch"),
    on(2, ops.Reshape((2, 3)), "reshape cannot make (2, 3) of the axes (4,)"),
    on(2, ops.Transpose(), "transpose: axis -2 of the shape (3, 4) does not exist or is the batch"),
    on(2, ops.Pad(((4, 0),), "reflect"), "pad cannot reflect 4 entries of an axis of 4"),
    on(2, ops.Pad(((1, 1),) * 2),
       "pad: axis -2 of the shape (3, 4) does not exist or is the batch"),
    on(2, ops.Slice(0, 5), "slice: stop 5 is beyond the 4 entries of axis -1"),
    Misfit(ops.Concat(-2), ((2, 3, 4), (2, 3, 5)),
           "concat cannot join (2, 3, 4) and (2, 3, 5) along axis -2"),
    Misfit(ops.Concat(), ((3, 4), (2, 3, 4)),
           "concat takes inputs of equal rank, got (3, 4) and (2, 3, 4)"),
    on(2, ops.Sum((-1,)), "sum over (-1,) leaves (3,) of (3, 4): use keep to keep an axis"),
    on(3, ops.Max((-1, -3), keep=True),
       "max: axis -3 of the shape (2, 3, 4) does not exist or is the batch"),
    on(3, ops.Upsample(), "upsample takes (N, C, H, W), got the shape (2, 3, 4)"),
    on(2, ops.Conv1d(2, (1,)), "conv1d takes (N, C, L), got the shape (3, 4)"),
    on(3, ops.Conv2d(2, (1, 1)), "conv2d takes (N, C, H, W), got the shape (2, 3, 4)"),
    on(4, ops.Conv3d(2, (1, 1, 1)), "conv3d takes (N, C, D, H, W), got the shape (2, 4, 5, 6)"),
    on(3, ops.Conv1d(2, (1,), groups=2), "conv1d: groups 2 do not divide the 3 input channels"),
    on(3, ops.Conv1d(2, (3,), dilation=(3,)),
       "conv1d: a kernel that spans 7 is larger than the padded input, 4"),
    on(3, ops.ConvTranspose1d(2, (2,), padding=(3,)),
       "conv_transpose1d: a padding of 3 leaves nothing of an axis of 4"),
    on(3, ops.MaxPool1d((5,)), "max_pool1d: a kernel of 5 is larger than the padded input, 4"),
    on(3, ops.AdaptiveAveragePool2d(),
       "adaptive_average_pool2d takes (N, C, H, W), got the shape (2, 3, 4)"),
    on(4, ops.BatchNorm(1), "batch_norm takes (N, C, ...) with 1 spatial axes, got the shape "
       "(2, 4, 5, 6)"),
    Misfit(ops.BatchNorm(), ((1, 4),),
           "batch_norm needs more than one value a channel, got the shape (1, 4)"),
    Misfit(ops.LayerNorm(), ((3, 1),),
           "layer_norm needs more than one value to normalise, got the shape (3, 1)"),
    on(2, ops.LayerNorm(2), "layer_norm takes at least 3 axes, got the shape (3, 4)"),
    on(3, ops.GroupNorm(2, 1), "group_norm: groups 2 do not divide the 3 channels"),
    Misfit(ops.InstanceNorm(1), ((2, 3, 1),),
           "instance_norm needs more than one value to normalise, got the shape (2, 3, 1)"),
    Misfit(ops.RMSNorm(), ((4,),),
           "rms_norm takes (..., features) with the batch in front, got the shape (4,)"),
    Misfit(ops.Attention(), ((3, 4),) * 3,
           "attention takes (N, T, features), got the shape (3, 4)"),
    Misfit(ops.Attention(), ((2, 3, 4), (2, 3, 5), (2, 3, 4)),
           "attention: queries (2, 3, 4), keys (2, 3, 5) and values (2, 3, 4) do not fit"),
    Misfit(ops.Attention(causal=True), ((2, 3, 4), (2, 2, 4), (2, 2, 4)),
           "attention: the causal mask leaves nothing for the first of 3 queries, with 2 keys"),
    Misfit(ops.Attention(lengths=(1,)), ((2, 3, 4),) * 3,
           "attention: lengths must have one entry for each of the 2 examples, got 1"),
    Misfit(ops.Attention(lengths=(1, 4)), ((2, 3, 4),) * 3,
           "attention: length 4 is beyond the 3 keys"),
    on(2, ops.MultiHeadAttention(),
       "multi_head_attention takes (N, T, features), got the shape (3, 4)"),
    Misfit(ops.MultiHeadAttention(), ((2, 3, 4), (2, 4)),
           "multi_head_attention takes (N, S, features), got the shape (2, 4)"),
    Misfit(ops.MultiHeadAttention(), ((2, 3, 4), (1, 3, 4)),
           "multi_head_attention: inputs (2, 3, 4) and (1, 3, 4) differ in the batch"),
    on(3, ops.MultiHeadAttention(3),
       "multi_head_attention: heads 3 do not divide the 4 features"),
    on(3, ops.MultiHeadAttention(4, rotary=True),
       "multi_head_attention: rotary needs an even head size, got 1"),
    Misfit(ops.Rotary(), ((2, 3, 5),),
           "rotary turns pairs, so features must be even, got 5"),
    on(2, ops.Rotary(), "rotary takes (..., T, features), got the shape (3, 4)"),
    on(2, ops.RNN(2), "rnn takes (N, T, features), got the shape (3, 4)"),
    Misfit(ops.GRU(2), ((2, 3, 4), (1, 3, 2)),
           "gru: an initial state must have shape (1, 2, 2), got (1, 3, 2)"),
    on(3, ops.LSTM(2, lengths=(1,)),
       "lstm: lengths must have one entry for each of the 2 examples, got 1"),
    on(3, ops.LSTM(2, lengths=(1, 4)), "lstm: length 4 is beyond the 3 steps"),
]  # fmt: skip


def layers_for(misfit: Misfit) -> tuple[Any, ...]:
    """Variables of these shapes, and the operator that takes them."""
    variables = [ops.Variable(shape) for shape in misfit.shapes]
    names = tuple(edge(i) for i in range(len(variables)))
    return (*variables, msgspec.structs.replace(misfit.op, inputs=names))


@pytest.mark.parametrize("misfit", MISFITS, ids=lambda m: m.words)
def test_shapes_that_do_not_fit_name_the_layer(misfit: Misfit) -> None:
    layers = layers_for(misfit)
    words = f"layers[{len(layers) - 1}]: {misfit.words}"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        Architecture(None, layers, ls.WeightedSum())
    text = json.dumps(
        {"input": None, "layers": msgspec.to_builtins(layers), "loss": {"loss": "weighted_sum"}}
    )
    assert refusal(text) == words


SEQUENCE = (2, 5, 3)
LOSSES_THAT_DO_NOT_FIT: list[tuple[Any, Any, str]] = [
    ((3, 4), ls.SquaredError(inputs=(edge(0), edge(0))), "squared_error takes 1 edge, got 2"),
    ((3, 4), ls.TripletMargin(), "triplet_margin takes 3 edges, got 1"),
    (((3, 4), (3, 2)), ls.GaussianKL(inputs=(edge(0), edge(1))),
     "gaussian_kl takes edges of one shape, got (3, 4), (3, 2)"),
    ((4,), ls.WeightedSum(), "weighted_sum takes at least (batch, features), got the shape (4,)"),
    ((3, 4), ls.CTC(1), "ctc takes logits (N, T, C), got the shape (3, 4)"),
    (SEQUENCE, ls.CTC(1, 3), "blank must be one of the 3 classes and leave another, got 3"),
    ((2, 5, 1), ls.CTC(1), "blank must be one of the 1 classes and leave another, got 0"),
    (SEQUENCE, ls.CTC(1, input_lengths=(5,)),
     "input_lengths must have one entry for each of the 2 examples, got 1"),
    (SEQUENCE, ls.CTC(1, target_lengths=(1, 1, 1)),
     "target_lengths must have one entry for each of the 2 examples, got 3"),
    (SEQUENCE, ls.CTC(1, input_lengths=(5, 6)), "input length 6 is beyond the 5 steps"),
    (SEQUENCE, ls.CTC(3, input_lengths=(5, 2)), "example 1: 2 steps are too few for 3 labels"),
    ((2, 4, 2), ls.CTC(3), "example 0: 4 steps are too few for 3 labels"),
    ((3, 4), ls.Dice(),
     "dice needs probabilities: the last layer must be sigmoid, hard_sigmoid or softmax"),
    ((3, 4), ls.BinaryCrossEntropy(),
     "binary_cross_entropy needs probabilities: the last layer must be sigmoid, hard_sigmoid or "
     "softmax (for logits use binary_cross_entropy_with_logits)"),
    ((3, 4), ls.CrossEntropy(class_weights=(1.0,)),
     "class_weights must have one entry for each of the 4 outputs, got 1"),
    ((3, 4), ls.CrossEntropy(ignore_index=4),
     "ignore_index must be one of the 4 classes and leave another, got 4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "loss", "words"), LOSSES_THAT_DO_NOT_FIT, ids=[w for *_, w in LOSSES_THAT_DO_NOT_FIT]
)
def test_a_loss_that_does_not_fit_is_refused_in_the_same_words(
    shape: Any, loss: Any, words: str
) -> None:
    """Of the edge of one variable, or of those of several."""
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    variables = tuple(ops.Variable(one) for one in shapes)
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        Architecture(None, variables, loss)
    layers, written = msgspec.to_builtins((variables, loss))
    assert refusal(json.dumps({"input": None, "layers": layers, "loss": written})) == words


# --- and none is forgotten -----------------------------------------------------------------


def named_in(path: Path) -> Iterator[str]:
    """The longest constant piece of every error that a module raises."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            message = node.exc.args[0]
            pieces = [message] if isinstance(message, ast.Constant) else ast.walk(message)
            constants = [p.value for p in pieces if isinstance(p, ast.Constant)]
            yield max((c for c in constants if isinstance(c, str)), key=len)


def test_every_error_of_an_operator_or_a_loss_is_provoked_above() -> None:
    said = "\n".join(
        [b.words for b in (*ATTRIBUTES, *OF_THE_WRONG_TYPE)]
        + [m.words for m in MISFITS]
        + [words for *_, words in LOSSES_THAT_DO_NOT_FIT]
    )
    folder = ROOT / "architectures"
    of_losses = (folder / "losses.py", folder / "loss_checks.py")
    for path in (*sorted((folder / "operators").glob("*.py")), *of_losses):
        for piece in named_in(path):
            assert piece.strip() in said, (path.name, piece)
