"""Optimisers against PyTorch's and Optax's, which were written by others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch

from backproof.architectures import losses
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.architectures.operators import Dense, Tanh
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays
from backproof.reference.optimisers import sgd
from backproof.reference.optimisers.sgd import SGD

STEPS = 7
RATES = (0.1, 0.25, 1e-3)
DTYPES = ("float64", "float32")


def draw(dtype: str, seed: int = 0) -> tuple[Arrays, list[Arrays]]:
    """Two parameters, and gradients of them for each step."""
    rng = np.random.default_rng(seed)

    def arrays() -> Arrays:
        return {
            "weight": rng.normal(size=(5, 3)).astype(dtype),
            "bias": rng.normal(size=5).astype(dtype),
        }

    return arrays(), [arrays() for _ in range(STEPS)]


def run(optimiser: SGD, parameters: Arrays, gradients: list[Arrays]) -> Arrays:
    state = sgd.initial_state(optimiser, parameters)
    for g in gradients:
        parameters, state = sgd.step(optimiser, state, parameters, g)
    return parameters


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_is_optax_s_bit_for_bit(dtype: Any, rate: float) -> None:
    parameters, gradients = draw(dtype)
    ours = run(SGD(rate), parameters, gradients)
    with jax.enable_x64(True):
        theirs: Any = {name: jax.numpy.asarray(value) for name, value in parameters.items()}
        optimiser = optax.sgd(rate)
        state = optimiser.init(theirs)
        for g in gradients:
            updates, state = optimiser.update(g, state, theirs)
            theirs = optax.apply_updates(theirs, updates)
        for name in ours:
            assert theirs[name].dtype == dtype
            np.testing.assert_array_equal(ours[name], np.asarray(theirs[name]))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_is_pytorch_s_but_for_the_rounding_of_one_product(dtype: Any, rate: float) -> None:
    """PyTorch may fuse theta - r g and round once: u |theta'|; we round twice, u |r g| more.

    So the two differ by at most u |r g| + 2 u |theta'| a step.
    """
    u = float(np.finfo(dtype).eps) / 2
    parameters, gradients = draw(dtype, seed=1)
    for g in gradients:
        ours = run(SGD(rate), parameters, [g])
        tensors = {name: torch.tensor(value) for name, value in parameters.items()}
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(g[name])
        torch.optim.SGD(list(tensors.values()), lr=rate).step()
        for name, value in ours.items():
            allowed = u * np.abs(rate * g[name]) + 2 * u * np.abs(value)
            assert (np.abs(value - tensors[name].numpy()) <= allowed).all()
        parameters = ours


def test_dyadic_steps_are_exact() -> None:
    parameters, gradients = {"w": np.array([1.0, -2.0])}, {"w": np.array([4.0, 0.5])}
    after, state = sgd.step(SGD(0.25), {}, parameters, gradients)
    assert after["w"].tolist() == [0.0, -2.125]
    assert state == {}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_stays_and_nothing_is_written_to(dtype: Any) -> None:
    parameters, gradients = draw(dtype)
    for arrays in (parameters, *gradients):
        for value in arrays.values():
            value.flags.writeable = False
    after = run(SGD(0.1), parameters, gradients)
    for name, value in after.items():
        assert value.dtype == dtype
        assert value.shape == parameters[name].shape
        assert not np.shares_memory(value, parameters[name])


def test_a_short_step_down_the_gradient_of_a_network_lowers_its_loss() -> None:
    architecture = Architecture((8, 3), (Dense(4), Tanh(), Dense(2)), losses.LogCosh())
    case = draw_case(architecture, 0)
    parameters, optimiser = dict(case.parameters), SGD(0.1)
    before = math.inf
    for _ in range(20):
        case = replace(case, parameters=parameters)
        trace = network.forward(case)
        assert trace.loss < before
        before = float(trace.loss)
        gradients = network.backward(case, trace)  # edges and parameters
        parameters, _ = sgd.step(optimiser, {}, parameters, gradients)


@pytest.mark.parametrize("rate", [0, -0.1, math.inf, math.nan, True, "fast"])
def test_a_learning_rate_must_be_a_positive_number(rate: Any) -> None:
    with pytest.raises(ValueError, match="learning_rate must be"):
        SGD(rate)


@pytest.mark.parametrize(
    ("gradients", "words"),
    [
        ({}, r"the gradient of w must have shape \(2,\), but there is none"),
        ({"w": np.ones((1, 2))}, r"the gradient of w must have shape \(2,\), got \(1, 2\)"),
    ],
)
def test_a_gradient_that_does_not_fit_is_named(gradients: dict[str, Array], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sgd.step(SGD(0.1), {}, {"w": np.ones(2)}, gradients)
