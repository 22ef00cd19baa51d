"""Faults in random networks: what is left has two layers more than the fault needs, at most."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from helpers_networks import edge, every_operator, network, sequence_labels, with_room_for_faults
from loss_instances import LOSS_INSTANCES, PROBABILITIES

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import EXTREMES, LANES, Case, draw_case
from backproof.architectures.generation import Limits, generate
from backproof.architectures.losses import L1, L2
from backproof.checkers.verdict import Verdict, verify
from backproof.planting import BY_NAME, first_site, planted
from backproof.reference import network as reference
from backproof.reference.arrays import Array, Arrays
from backproof.reference.faults.catalogue import FAULTS, Fault, overrides, sites
from backproof.shrinking import shrink

pytestmark = pytest.mark.repeats

MORE = 2
"""Layers that a minimal network may have beyond those that its fault needs."""

SHORT = 2
"""Decimals that its values may have."""

SAMPLE = (
    "gradient_averaged", "weight_not_transposed", "input_gradient_zero", "scale_dropped",
    "second_operand_negated", "upstream_dropped", "softmax_diagonal_only", "gate_negated",
    "average_not_divided", "parts_swapped", "gain_dropped",
    "variance_term_dropped", "batch_division_dropped", "loss_gradient_negated",
    "use_overwritten", "penalty_negated", "relative_error_1e_6",
)  # fmt: skip
"""Faults of every module whose operators are common enough in random networks."""

TRIPLET = ls.TripletMargin(inputs=("input", edge(0), edge(1)))
SMALLEST: tuple[Architecture, ...] = (
    *(
        network(
            *([ops.Sigmoid()] if isinstance(loss, PROBABILITIES) else []), loss=loss, input=(4, 3)
        )
        for loss in LOSS_INSTANCES
    ),
    network(ops.Variable((3, 4)), ops.Variable((3, 4)), loss=TRIPLET),
    network(ops.Variable((3, 4)), loss=ls.GaussianKL(inputs=("input", edge(0)))),
    *sequence_labels(),
    network(auxiliary=(ls.LogCosh(inputs=("input",)),)),
    *(network(ops.Dense(2), penalties=(p(s),)) for p in (L1, L2) for s in (0.5, 0.0)),
    network(ops.Dense(3)),
    *with_room_for_faults(),
    *every_operator(),
)
"""Every loss by itself, and every operator in every configuration."""


def layers_of(a: Architecture) -> int:
    """The layers of a network that are not there to be an input."""
    return sum(not isinstance(layer, ops.Variable) for layer in a.layers)


@functools.cache
def drawn(a: Architecture) -> list[tuple[Case, reference.Trace, Arrays]]:
    """Values of every kind with their forward pass and right gradients."""
    found = []
    for seed, lane in itertools.product(range(len(EXTREMES)), LANES):
        case = draw_case(a, seed, lane)
        with np.errstate(all="ignore"):
            trace = reference.forward(case)
            found.append((case, trace, reference.backward(case, trace)))
    return found


def changes(fault: Fault, a: Architecture) -> bool:
    """Whether a fault changes some gradient of a network, somewhere, for some values."""
    for site in (s for s in sites(a) if fault.applies(a, s)):
        for case, trace, right in drawn(a):
            with np.errstate(all="ignore"):
                wrong = reference.backward(case, trace, overrides=overrides(fault, a, site))
            if not all(_same(right[name], wrong[name]) for name in right):
                return True
    return False


def _same(right: Array, wrong: Array | None) -> bool:
    return wrong is not None and np.array_equal(right, wrong, equal_nan=True)


@functools.cache
def needs(name: str) -> int:
    """The layers of the smallest network in which a fault shows."""
    in_order = sorted(SMALLEST, key=layers_of)
    return next(layers_of(a) for a in in_order if changes(BY_NAME[name], a))


@functools.cache
def networks() -> list[Architecture]:
    return generate(Limits(max_width=4, max_batch=3), "generic", "float64", 1, 150)


def first_failing(fault: Fault) -> tuple[Case, Verdict]:
    """The first random network in which a fault is found, with values."""
    for seed, a in enumerate(networks()):
        if first_site(fault, a) is not None and layers_of(a) > 1:
            case = draw_case(a, seed)
            verdict = judge(case, fault)
            if verdict.status == "FAIL":
                return case, verdict
    raise AssertionError(f"{fault.name} fails nowhere")


def judge(case: Case, fault: Fault) -> Verdict:
    return verify(case, planted(fault), checkers=("complex_step", "torch"))


@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_left_is_little_more_than_the_fault_needs(name: str) -> None:
    fault = BY_NAME[name]
    case, first = first_failing(fault)
    minimal, verdict = shrink(case, first, lambda candidate: judge(candidate, fault))
    a = minimal.architecture
    assert layers_of(a) <= needs(name) + MORE
    assert len(a.layers) <= len(case.architecture.layers)
    assert (verdict.status, verdict.operator) == ("FAIL", first.operator)
    values = {**minimal.parameters, **minimal.data, **minimal.targets, "input": minimal.input}
    for value in values.values():
        if value is not None and value.dtype.kind == "f":
            assert np.array_equal(value, np.round(value, SHORT))


def test_no_fault_needs_more_than_one_layer() -> None:
    """Of a convention nothing is to be found, and so nothing to be reduced."""
    assert {needs(fault.name) for fault in FAULTS if not fault.convention} == {0, 1}
