"""The exact lane: what it calls exact rounds nothing, in either dtype."""

from __future__ import annotations

from typing import Any

import helpers_fractions as reference_in_fractions
import numpy as np
import pytest
from helpers_networks import network
from hypothesis import given
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, Case, DType, draw_case, make_case
from backproof.architectures.exactness import (
    EXACT_OPERATORS,
    SIGNIFICAND,
    bias_offset,
    is_dyadic,
    is_exact,
    significant_bits,
)
from backproof.architectures.generation import Limits, architectures, generate
from backproof.architectures.losses import L1, L2
from backproof.reference.network import value_and_gradients


def is_a_chain(a: Architecture) -> bool:
    """Whether each layer takes the one before it alone, all of vectors and without sharing."""
    return (
        not a.auxiliary
        and all(len(shape) == 2 for shape in a.edges.values())
        and not any(layer.inputs or layer.share for layer in a.layers)
    )


def assert_exact(case: Case) -> None:
    """The reference's floats are the fractions' numbers, to the last bit."""
    loss, gradients = value_and_gradients(case)
    right_loss, right = reference_in_fractions.value_and_gradients(case)
    assert loss == right_loss
    assert gradients.keys() == right.keys()
    for name, g in gradients.items():
        assert str(g.dtype) == case.dtype
        assert reference_in_fractions.fractions(g.tolist()) == right[name], name


CHAINS = Limits(
    activations=(
        "identity", "relu", "leaky_relu", "prelu", "hard_tanh", "relu6", "soft_shrink",
        "hard_shrink",
    )
)  # fmt: skip
"""Of what `helpers_fractions` knows; all others are in test_exactness_of_graphs.py."""


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_called_exact_rounds_nothing(dtype: DType) -> None:
    networks = {
        a for start in (1, 2) for a in generate(CHAINS, "exact", dtype, start, 140) if is_a_chain(a)
    }
    exact = [a for a in networks if is_exact(a, dtype)]
    assert len(exact) > 100
    for seed, architecture in enumerate(sorted(exact, key=str)):
        assert_exact(draw_case(architecture, seed, "exact", dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_of_one_in_any_entry_is_exact_too(dtype: DType) -> None:
    """Finite differences take it."""
    layers = (ops.Dense(3), ops.LeakyReLU(0.25), ops.Dense(2), ops.HardTanh())
    case = draw_case(network(*layers, loss=ls.WeightedSum(), input=(2, 2)), 3, "exact", dtype)
    assert is_exact(case.architecture, dtype)
    for name in ("input", *case.parameters):
        assert case.input is not None
        value = case.input if name == "input" else case.parameters[name]
        for index in np.ndindex(value.shape):
            moved = value.copy()
            moved[index] += 1
            x = moved if name == "input" else case.input
            parameters = {**case.parameters, **({} if name == "input" else {name: moved})}
            assert_exact(make_case(case.architecture, parameters, x, case.target, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("penalty", [L1(0.5), L2(0.5), L2(0.25)])
def test_penalties_of_dyadic_strength_are_exact(penalty: Any, dtype: DType) -> None:
    a = network(ops.Dense(2), ops.ReLU(), penalties=(penalty,), input=(2, 2))
    assert is_exact(a, "float64")
    assert_exact(draw_case(a, 1, "exact", "float64"))
    if is_exact(a, dtype):
        assert_exact(draw_case(a, 1, "exact", dtype))


@given(architectures(Limits(), "exact", "float32"), st.integers(0, 2**32))
def test_no_operator_of_the_exact_lane_is_left_to_chance(a: Any, seed: int) -> None:
    assert all(isinstance(layer, EXACT_OPERATORS) for layer in a.layers)
    assert significant_bits(a) is not None


def test_nearly_every_network_drawn_for_the_lane_is_exact_in_its_dtype() -> None:
    """What may be left over has one hidden block, which is not taken from it."""
    for dtype in DTYPES:
        drawn = generate(Limits(), "exact", dtype, 0, 200)
        assert sum(is_exact(a, dtype) for a in drawn) >= 190


def test_an_operator_that_rounds_is_not_exact() -> None:
    for kind in ops.ACTIVATIONS:
        a = network(ops.Dense(2), kind(), loss=ls.WeightedSum())
        if not isinstance(a.layers[1], EXACT_OPERATORS):
            assert significant_bits(a) is None
            assert not is_exact(a, "float64")


@pytest.mark.parametrize(
    "layer",
    [ops.LeakyReLU(0.1), ops.HardTanh(-0.1, 1.0), ops.SoftShrink(0.3), ops.HardShrink(9.0)],
    ids=lambda layer: layer.name,
)
def test_an_attribute_that_is_not_dyadic_is_not_exact(layer: Any) -> None:
    assert significant_bits(network(layer, loss=ls.WeightedSum())) is None


@pytest.mark.parametrize(
    "loss", [ls.SquaredError("mean"), ls.AbsoluteError(), ls.Huber(), ls.Cosine()]
)
def test_a_loss_that_divides_is_not_exact(loss: Any) -> None:
    assert significant_bits(network(ops.Dense(2), loss=loss)) is None


def test_a_penalty_that_is_not_dyadic_is_not_exact() -> None:
    assert significant_bits(network(ops.Dense(2), penalties=(L1(0.01),))) is None


def test_depth_costs_bits_until_the_dtype_has_no_more() -> None:
    blocks = (ops.Dense(4), ops.ReLU())
    bits = [significant_bits(network(*blocks * depth)) for depth in (1, 2, 3, 8)]
    assert all(b is not None for b in bits)
    assert bits == sorted(bits, key=lambda b: b or 0)
    assert not is_exact(network(*blocks * 3), "float32")
    assert not is_exact(network(*blocks * 8), "float64")
    assert SIGNIFICAND == {"float64": 53, "float32": 24}


def test_a_bias_is_off_the_integers_by_a_power_of_two() -> None:
    case = draw_case(network(ops.Dense(4), ops.ReLU(), ops.Dense(4)), 0, "exact")
    for i in (0, 2):
        offset = bias_offset(i)
        assert 0 < offset < 1
        assert (np.log2(offset) % 1, offset % 1) == (0, offset)
        assert ((case.parameters[f"layers.{i}.bias"] - offset) % 1 == 0).all()


@pytest.mark.parametrize(
    ("x", "yes"),
    [(0.0, True), (8.0, True), (-0.0625, True), (0.03125, False), (0.1, False), (16.0, False)],
)
def test_dyadic_means_sixteenths_up_to_eight(x: float, yes: bool) -> None:
    assert is_dyadic(x) is yes
