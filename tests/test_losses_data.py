"""Losses and penalties as data: attributes, targets, and what may stand before them."""

from __future__ import annotations

import json
import re
import typing
from typing import Any

import msgspec
import pytest
from helpers_networks import network
from loss_instances import LOSS_INSTANCES, loss_id

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.loss_checks import check_loss
from backproof.architectures.losses import L1, L2, LOSSES, AnyLoss, Penalty
from backproof.architectures.targets import target_kind, target_shape

BAD: list[tuple[type[Any], dict[str, Any], str]] = [
    (ls.Huber, {"delta": 0.0}, "delta must be greater than 0, got 0.0"),
    (ls.SmoothL1, {"beta": -1.0}, "beta must be greater than 0, got -1.0"),
    (ls.CrossEntropy, {"label_smoothing": 1.0}, "label_smoothing must be less than 1, got 1.0"),
    (ls.CrossEntropy, {"label_smoothing": -0.1}, "label_smoothing must be at least 0, got -0.1"),
    (ls.BinaryCrossEntropy, {"epsilon": 0.5}, "epsilon must be less than 0.5, got 0.5"),
    (ls.Hinge, {"margin": 0.0}, "margin must be greater than 0, got 0.0"),
    (ls.Cosine, {"epsilon": 0.0}, "epsilon must be greater than 0, got 0.0"),
    (ls.CrossEntropy, {"ignore_index": -1}, "ignore_index must be at least 0, got -1"),
    (ls.NegativeLogLikelihood, {"ignore_index": -2}, "ignore_index must be at least 0, got -2"),
    (
        ls.CrossEntropy,
        {"target": "probabilities", "ignore_index": 0},
        "ignore_index goes with target 'indices' only",
    ),
    *(
        (kind, {field: (1.0, w)}, f"{field}[1] must be greater than 0, got {w}")
        for kind, field in (
            (ls.CrossEntropy, "class_weights"),
            (ls.NegativeLogLikelihood, "class_weights"),
            (ls.BinaryCrossEntropyWithLogits, "positive_weights"),
        )
        for w in (0.0, -1.0)
    ),
]


def encoded(kind: type[Any], attributes: dict[str, Any]) -> bytes:
    return json.dumps({"loss": kind.__struct_config__.tag, **attributes}).encode()


@pytest.mark.parametrize("loss", LOSS_INSTANCES, ids=loss_id)
def test_a_loss_reads_back_from_json_equal(loss: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(loss), type=AnyLoss) == loss


@pytest.mark.parametrize("penalty", [L1(0.0), L2(0.5)])
def test_a_penalty_reads_back_from_json_equal(penalty: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(penalty), type=Penalty) == penalty


def test_every_loss_is_among_those_that_json_knows() -> None:
    assert set(typing.get_args(AnyLoss)) == set(LOSSES)


@pytest.mark.parametrize(("kind", "attributes", "words"), BAD)
def test_python_and_json_refuse_in_the_same_words(
    kind: type[Any], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        kind(**attributes)
    with pytest.raises(msgspec.ValidationError) as from_json:
        msgspec.json.decode(encoded(kind, attributes), type=AnyLoss)
    assert str(from_json.value) == words


@pytest.mark.parametrize(
    ("kind", "attributes", "words"),
    [
        (ls.SquaredError, {"reduction": "max"}, "reduction must be one of half_sum, sum, mean, b"),
        (ls.Hinge, {"reduction": "batch_mean"}, "reduction must be one of sum, mean, got 'batch_"),
        (ls.KLDivergence, {"log_target": 1}, "log_target must be true or false, got 1"),
        (ls.CrossEntropy, {"ignore_index": True}, "ignore_index must be an integer, got True"),
        (ls.CrossEntropy, {"class_weights": [1.0]}, "class_weights must be a tuple of numbers, g"),
        (ls.CrossEntropy, {"class_weights": 3}, "class_weights must be a tuple of numbers, got 3"),
        (ls.CrossEntropy, {"class_weights": (True,)}, r"class_weights[0] must be a number, got T"),
        (L1, {"strength": -1.0}, "strength must be at least 0, got -1.0"),
        (L2, {"strength": float("nan")}, "strength must be finite, got nan"),
        (L2, {"strength": 10**400}, "strength must fit 64 bits, got an integer of 1329"),
    ],
)
def test_python_names_the_field(kind: type[Any], attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        kind(**attributes)


def test_a_target_of_class_numbers_has_one_entry_a_row() -> None:
    for loss in LOSS_INSTANCES:
        by_row = target_kind(loss) == "indices"
        assert target_shape(loss, (4, 3)) == ((4,) if by_row else (4, 3))


def test_what_the_target_holds_follows_from_the_loss() -> None:
    assert {target_kind(loss) for loss in LOSS_INSTANCES} == {
        "real", "unit", "indices", "probabilities", "log_probabilities",
    }  # fmt: skip
    assert target_kind(ls.CrossEntropy("probabilities")) == "probabilities"
    assert target_kind(ls.KLDivergence(log_target=True)) == "log_probabilities"
    assert target_kind(ls.BinaryCrossEntropyWithLogits()) == "unit"
    assert target_kind(ls.CTC(2)) == "labels"
    assert target_kind(ls.TripletMargin()) == target_kind(ls.GaussianKL()) == "none"
    assert target_shape(ls.CTC(2), (3, 5, 4)) == (3, 2)
    assert target_shape(ls.CrossEntropy(), (3, 5, 4)) == (3, 5)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (ls.CrossEntropy(class_weights=(1.0,)), "one entry for each of the 4 outputs, got 1"),
        (ls.BinaryCrossEntropyWithLogits((1.0,)), "one entry for each of the 4 outputs, got 1"),
        (ls.CrossEntropy(ignore_index=4), "must be one of the 4 classes and leave another, got 4"),
        (ls.BinaryCrossEntropy(), "the last layer must be sigmoid, hard_sigmoid or softmax"),
    ],
)
def test_a_loss_that_does_not_fit_the_output_is_refused(loss: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network(ops.Tanh(), loss=loss)


def test_the_only_class_cannot_be_ignored() -> None:
    with pytest.raises(ValueError, match="leave another, got 0"):
        network(ops.Dense(1), loss=ls.CrossEntropy(ignore_index=0))


@pytest.mark.parametrize("last", [ops.Sigmoid(), ops.HardSigmoid(), ops.Softmax()])
def test_binary_cross_entropy_follows_probabilities(last: Any) -> None:
    check_loss(ls.BinaryCrossEntropy(), ((2, 3),), last)
    with pytest.raises(ValueError, match="for logits use binary_cross_entropy_with_logits"):
        check_loss(ls.BinaryCrossEntropy(), ((2, 3),), None)


@pytest.mark.parametrize("last", [ops.Sigmoid(), ops.HardSigmoid(), ops.Softmax()])
def test_dice_follows_probabilities(last: Any) -> None:
    check_loss(ls.Dice(), ((2, 3),), last)
    with pytest.raises(ValueError, match=r"^dice needs probabilities: .* hard_sigmoid or softmax$"):
        check_loss(ls.Dice(), ((2, 3),), ops.Tanh())
