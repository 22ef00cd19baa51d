"""The exact lane on graphs: degrees, sums over uses, and every operator that rounds nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers_networks import GRAPHS, edge, every_operator, network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, Case, DType, draw_case
from backproof.architectures.exactness import EXACT_OPERATORS, is_exact, significant_bits
from backproof.architectures.generation import Limits, generate
from backproof.architectures.losses import L1, L2
from backproof.checkers.asking import bit_for_bit
from backproof.checkers.probe import Probe
from backproof.checkers.verdict import CheckerName, verify
from backproof.reference import network as reference
from backproof.reference.arrays import Array

NUMERICAL: tuple[CheckerName, ...] = ("finite_differences", "complex_step")

SUM = ls.WeightedSum()
IMAGE = (2, 2, 4, 4)

EXACT: dict[str, Architecture] = {
    "a residual connection": network(
        ops.Dense(4), ops.ReLU(), ops.Add(inputs=("input", edge(1))), ops.Dense(2),
        loss=ls.SquaredError(),
    ),
    "dense connections": network(
        ops.Dense(2), ops.Concat(inputs=("input", edge(0))), ops.ReLU(), ops.Dense(2), loss=SUM
    ),
    "a convolution and a mean of 4": network(
        ops.Conv2d(2, (3, 3), padding="same"), ops.ReLU(), ops.AveragePool2d((2, 2)),
        ops.Flatten(3), ops.Dense(2), loss=SUM, input=IMAGE,
    ),
    "a global average of 16": network(
        ops.Conv2d(2, (1, 1)), ops.GlobalAveragePool(), loss=ls.SquaredError("sum"), input=IMAGE
    ),
    "a transposed convolution": network(
        ops.ConvTranspose2d(2, (2, 2), stride=(2, 2)), ops.Sum((-1, -2)), loss=SUM, input=IMAGE
    ),
    "a mean of 4 features": network(ops.Dense(4), ops.Mean((-1,), keep=True), loss=SUM),
    "a product of two branches": network(
        ops.Variable((3, 4)), ops.Multiply(inputs=("input", edge(0))), loss=ls.SquaredError()
    ),
    "matrices multiplied": network(
        ops.Variable((2, 4, 3)), ops.MatMul(inputs=("input", edge(0))),
        loss=ls.AbsoluteError("sum"), input=(2, 3, 4),
    ),
    "a square of one edge": GRAPHS["a square of one edge"],
    "tied weights": network(
        ops.Dense(4), ops.ReLU(), ops.Dense(4, share="layers.0"), loss=SUM
    ),
    "half of it dropped": network(ops.Dropout(), ops.Dense(3), loss=ls.SquaredError()),
    "indices": network(ops.Embedding(4, 3, (5,)), ops.Dense(2), loss=SUM, input=None),
    "two losses": network(
        ops.Dense(3), ops.ReLU(), ops.Dense(2), loss=SUM,
        auxiliary=(ls.SquaredError(inputs=(edge(0),)),), penalties=(L1(0.5), L2(0.25)),
    ),
    "moved about": network(
        ops.Transpose(), ops.Reshape((6, 2), 2), ops.Slice(1, 4, 1, -2), ops.Pad(((1, 1),), "edge"),
        loss=ls.SquaredError(), input=(2, 3, 4),
    ),
    "nearest neighbours": network(ops.Upsample((2, 2)), loss=ls.SquaredError(), input=IMAGE),
    "a constant": network(ops.Affine(0.5, -2.0), loss=ls.SquaredError()),
}  # fmt: skip
"""Networks that round nothing in float64."""

NOT_EXACT: dict[str, tuple[Architecture, str]] = {
    "tied weights under a square": (
        network(ops.Dense(4), ops.Dense(4, share="layers.0")), "of degree 4 in a weight",
    ),
    "three uses of a weight": (
        network(
            ops.Dense(4, False), ops.Dense(4, False, share="layers.0"),
            ops.Dense(4, False, share="layers.0"), loss=SUM,
        ), "of degree 3 in a weight",
    ),
    "a square under a square": (
        network(ops.Multiply(inputs=("input", "input"))), "of degree 4 in an input",
    ),
    "a cube": (
        network(ops.Multiply(inputs=("input", "input")), ops.Multiply(inputs=("input", edge(0))),
                loss=SUM), "of degree 3 in an input",
    ),
    "a gate": (
        network(ops.Dense(4), ops.Multiply(inputs=("input", edge(0)))), "degree 2, then squared",
    ),
    "a slope shared": (
        network(ops.PReLU(), ops.PReLU(share="layers.0")), "degree 2 in a slope, then squared",
    ),
    "a mean of 3": (network(ops.Dense(3), ops.Mean((-1,), keep=True), loss=SUM), "a third"),
    "a rate of 0.2": (network(ops.Dropout(0.2), loss=SUM), "divided by 0.8"),
    "a constant of 0.1": (network(ops.Affine(0.1), loss=SUM), "not dyadic"),
    "a normalisation": (network(ops.LayerNorm(), loss=SUM), "a root"),
    "bilinear interpolation": (
        network(ops.Upsample(form="bilinear"), loss=SUM, input=IMAGE), "not followed",
    ),
}  # fmt: skip


def assert_nothing_rounds(case: Case) -> None:
    """Loss and gradients are the same to the last bit where every number has more bits.

    On the same pieces: a jump (hard_shrink) stands between two numbers of the dtype.
    float64 has 53, float32 24, and numbers of C's `long double` 64 on this machine; on one
    where they have 53, only float32 is tested.
    """
    wide = "float64" if case.dtype == "float32" else "longdouble"

    def widened(x: Array) -> Array:
        return x.astype(wide) if x.dtype.kind == "f" else x

    more: Any = replace(
        case,
        parameters={n: widened(p) for n, p in case.parameters.items()},
        input=None if case.input is None else widened(case.input),
        targets={site: widened(t) for site, t in case.targets.items()},
        data={n: widened(d) for n, d in case.data.items()},
    )
    trace = reference.forward(case)
    wide_trace = reference.forward(more, branches=trace.branches)
    assert trace.loss == wide_trace.loss
    wide_gradients = reference.backward(more, wide_trace)
    for name, g in reference.backward(case, trace).items():
        assert str(g.dtype) == case.dtype
        assert np.array_equal(g, wide_gradients[name]), (str(case.architecture), name)


@pytest.mark.parametrize("a", EXACT.values(), ids=EXACT)
def test_a_network_of_exact_operators_agrees_bit_for_bit(a: Architecture) -> None:
    """So do its gradients by finite differences of step 1, and by complex step."""
    assert is_exact(a, "float64")
    for seed in range(3):
        case = draw_case(a, seed, "exact")
        assert_nothing_rounds(case)
        assert bit_for_bit(case)
        found = verify(case, checkers=NUMERICAL)
        assert found.status == "PASS", found.reason
        assert found.resolution == 0 or found.convention


@pytest.mark.parametrize(("a", "why"), NOT_EXACT.values(), ids=NOT_EXACT)
def test_a_network_that_rounds_or_has_a_higher_degree_is_not_exact(
    a: Architecture, why: str
) -> None:
    assert significant_bits(a) is None, why
    assert not is_exact(a, "float64")


def test_a_step_of_one_misses_the_gradient_of_a_cube() -> None:
    """Which is why degrees are followed: x^3 at 1 has (2^3 - 0) / 2 = 4, not 3."""
    a, _ = NOT_EXACT["a cube"]
    probe = Probe(draw_case(a, 1, "exact"))
    entries = np.arange(12)
    central = (
        probe.entry_losses("input", entries, 1.0) - probe.entry_losses("input", entries, -1.0)
    ) / 2
    gradients = reference.value_and_gradients(probe.case)[1]
    assert not np.array_equal(central, gradients["input"].ravel())


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_drawn_and_called_exact_rounds_nothing(dtype: DType) -> None:
    """Of every operator of the lane."""
    networks = [
        a for a in {*generate(Limits(), "exact", dtype, 5, 200), *EXACT.values(), *every_operator()}
        if is_exact(a, dtype)
    ]  # fmt: skip
    seen = {type(layer) for a in networks for layer in a.layers}
    assert set(EXACT_OPERATORS) <= seen
    for seed, a in enumerate(sorted(networks, key=str)):
        assert_nothing_rounds(draw_case(a, seed, "exact", dtype))


def test_the_losses_are_added_up() -> None:
    """Each alone needs fewer bits: one is large and coarse, the other small and fine."""
    wide = network(ops.Dense(4), ops.Dense(4), loss=ls.SquaredError())
    fine = network(ops.Affine(0.0625), ops.Affine(0.0625), loss=SUM, input=(1, 1))
    a = network(
        ops.Dense(4),
        ops.Dense(4),
        ops.Variable((1, 1)),
        ops.Affine(0.0625),
        ops.Affine(0.0625),
        loss=ls.SquaredError(inputs=(edge(1),)),
        auxiliary=(ls.WeightedSum(inputs=(edge(4),)),),
    )
    bits = [significant_bits(x) or 0 for x in (a, wide, fine)]
    assert bits[0] > max(bits[1:])
