"""What a textbook sums and the reference knows to cancel: a framework may round it."""

from __future__ import annotations

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.checkers import rounding
from backproof.checkers.verdict import verify
from backproof.reference import network
from backproof.reference.arrays import Array


def test_equal_classes_whose_rounding_adds_up_are_no_alarm() -> None:
    """Case 15,808 of 20,000: rows of 16 equal logits, JAX's gradient of the first is a sum.

    Each of its 15 terms errs by a 16th of the same error in sum(t).  Against 50 digits that
    entry, of a cotangent up to 0.03, is off by 4.3e-17, the others by 2.6e-18, PyTorch's by
    4.5e-19, the reference's by 1.6e-20.
    """
    convolution = ops.ConvTranspose2d(
        4, (1, 3), stride=(2, 2), padding=(1, 1), output_padding=(0, 1), bias=False
    )
    shared = ops.ConvTranspose2d(
        4, (1, 3), stride=(2, 2), padding=(1, 1), output_padding=(0, 1), bias=False,
        share="layers.0",
    )  # fmt: skip
    loss = ls.CrossEntropy(label_smoothing=0.1, ignore_index=8)
    a = Architecture((1, 4, 4, 4), (convolution, shared), loss)
    verdict = verify(draw_case(a, 4294983104))
    assert verdict.status == "PASS", verdict.reason


@pytest.mark.parametrize("classes", [2, 16, 64])
def test_equal_logits_of_any_number_of_classes_are_verified(classes: int) -> None:
    for seed in range(8):
        assert verify(equal_logits(classes, seed)).status == "PASS"


def equal_logits(classes: int, seed: int) -> Case:
    a = Architecture((5, classes), (ops.Identity(),), ls.CrossEntropy(label_smoothing=0.1))
    drawn = draw_case(a, seed)
    return make_case(a, {}, np.zeros((5, classes)), drawn.targets, seed=seed)


def test_a_relative_error_of_1e_13_in_one_entry_of_such_a_loss_is_still_caught() -> None:
    for seed in range(4):
        case = equal_logits(16, seed)

        def off(case: Case) -> tuple[Array, dict[str, Array]]:
            loss, gradients = network.value_and_gradients(case)
            wrong = gradients["input"].copy()
            wrong[0, 3] *= 1 + 1e-13
            return loss, {**gradients, "input": wrong}

        verdict = verify(case, off)
        assert verdict.status == "FAIL" and verdict.tensor == "input"


@pytest.mark.parametrize("axis", [-1, -2, 0, 1])
def test_the_normwise_model_of_a_softmax_allows_for_its_sum(axis: int) -> None:
    a = Architecture((40, 50), (ops.LogSoftmax(axis),), ls.WeightedSum())
    case = draw_case(a, 1)
    plain, lenient = (rounding.measure(case, seed=1, normwise=n) for n in (False, True))
    assert lenient.norm("input") > plain.norm("input")
