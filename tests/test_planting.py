"""The subjects that a run knows: the reference, and the reference made wrong on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_networks import (
    GRAPHS,
    every_activation,
    every_loss,
    every_operator,
    network,
    with_room_for_faults,
)
from loss_instances import LOSS_INSTANCES

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import L1, L2
from backproof.checkers.outcome import operator_at
from backproof.planting import BY_NAME, blamed_for, by_name, first_site, planted
from backproof.reference.faults.catalogue import sites

A = network(ops.Dense(4), ops.Tanh(), ops.Dense(2), loss=ls.Huber(), penalties=(L2(0.5),))
CASE = draw_case(A, 1)
NETWORKS = [
    *every_activation(),
    *every_loss(),
    *GRAPHS.values(),
    *every_operator(),
    *with_room_for_faults(),
    network(ops.ELU(0.5)),
    network(ops.Dense(2), penalties=(L1(0.0),)),
    *(network(ops.Dense(3), ops.Sigmoid(), loss=loss) for loss in LOSS_INSTANCES),
]


def differing(one: str, other: str, case: Case = CASE) -> set[str]:
    """The tensors that two subjects give differently."""
    (_, a), (_, b) = by_name(one)(case), by_name(other)(case)
    return {name for name in a if name not in b or not np.array_equal(a[name], b[name])}


def test_the_reference_is_a_subject_by_name() -> None:
    assert not differing("reference", "reference")


def test_a_fault_is_planted_by_name_at_the_first_site_that_takes_it() -> None:
    assert first_site(BY_NAME["bias_gradient_zero"], A) == "layers.0"
    assert differing("reference", "reference+bias_gradient_zero") == {"layers.0.bias"}
    assert first_site(BY_NAME["penalty_missing"], A) == "penalties.0"
    assert differing("reference", "reference+penalty_missing") == {
        "layers.0.weight", "layers.2.weight",
    }  # fmt: skip


def test_a_fault_can_be_planted_elsewhere() -> None:
    _, right = by_name("reference")(CASE)
    _, wrong = planted(BY_NAME["bias_gradient_zero"], "layers.2")(CASE)
    assert {n for n in right if not np.array_equal(right[n], wrong[n])} == {"layers.2.bias"}


def test_where_a_fault_finds_no_site_the_subject_is_right() -> None:
    assert first_site(BY_NAME["slope_gradient_zero"], A) is None
    assert not differing("reference", "reference+slope_gradient_zero")


def test_a_fault_that_does_not_exist_is_no_subject() -> None:
    with pytest.raises(KeyError):
        by_name("reference+gremlins")


def test_names_are_unique() -> None:
    assert all(BY_NAME[name].name == name for name in BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_fault_that_applies_gives_a_loss_and_gradients(name: str) -> None:
    found = [a for a in NETWORKS if first_site(BY_NAME[name], a) is not None]
    assert found
    for a in found[:2]:
        loss, gradients = by_name(f"reference+{name}")(draw_case(a, 1))
        assert np.isfinite(loss)
        assert set(a.edges) <= gradients.keys()


def test_a_fault_of_a_penalty_is_blamed_on_what_produces_the_weight() -> None:
    assert blamed_for(A, "penalties.0") == "dense"
    tied = GRAPHS["tied"]
    assert blamed_for(tied, "penalties.0") == blamed_for(tied, "fan_out") == "fan_out"


def test_each_site_has_an_operator_to_be_blamed() -> None:
    assert [operator_at(A, site) for site in sites(A)] == [
        "dense", "tanh", "dense", "huber", "l2",
    ]  # fmt: skip
