"""Faults of a whole subject, and of an optimiser's step: each breaks one claim and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax
import pytest
from helpers_faults import check_metadata
from helpers_networks import GRAPHS, edge, network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.checkers import manners
from backproof.checkers.calls import writeable
from backproof.checkers.verdict import reference_subject, verify
from backproof.checkers.with_jax import float64_on_cpu
from backproof.reference.arrays import Array, Arrays
from backproof.reference.faults import catalogue
from backproof.reference.faults.of_optimisers import (
    BETA_1,
    BETA_2,
    EPSILON,
    MOMENTUM,
    OPTIMISER_FAULTS,
    OPTIMISERS,
    RATE,
    OptimiserFault,
    Rule,
)
from backproof.reference.faults.stateful import SUBJECT_FAULTS, VALUES, SubjectFault
from backproof.reference.faults.survey import SURVEY

A = network(ops.Dense(4), ops.Tanh(), loss=ls.WeightedSum())
CASE = draw_case(A, 1)
CLAIMS = ("repeatable", "interleaved calls", "caller's arrays")
MANNERS = [f for f in SUBJECT_FAULTS if f.breaks != VALUES]

TIED: Mapping[str, Case] = {
    "last_maximum": draw_case(
        network(ops.MaxPool1d((3,), (1,)), input=(2, 2, 6), loss=ls.WeightedSum()), 0, "tie"
    ),
    "every_tie_on_the_right": draw_case(network(ops.ReLU(), loss=ls.WeightedSum()), 0, "tie"),
    "equal_maxima_counted_twice": draw_case(
        network(ops.Max(keep=True), loss=ls.WeightedSum()), 0, "tie"
    ),
}
IN_PLACE = network(
    ops.Dense(4),
    ops.Tanh(),
    ops.Add(inputs=(edge(0), edge(1))),
    ops.Dense(2),
    loss=ls.WeightedSum(),
)
SHOWN: Mapping[str, Case] = {"one_array_for_all_parents": draw_case(IN_PLACE, 1), **TIED}
"""For each fault that is wrong at the first call a case that shows it."""

every_subject = pytest.mark.parametrize("fault", SUBJECT_FAULTS, ids=lambda fault: fault.name)
every_optimiser = pytest.mark.parametrize("fault", OPTIMISER_FAULTS, ids=lambda fault: fault.name)


def claims(subject: Any) -> dict[str, str]:
    return {c.name: c.status for c in manners.check(CASE, subject) if c.name in CLAIMS}


def same(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# --- subjects ---------------------------------------------------------------------------


def test_the_reference_breaks_no_claim() -> None:
    assert claims(reference_subject) == dict.fromkeys(CLAIMS, "PASS")


@pytest.mark.parametrize("fault", MANNERS, ids=lambda fault: fault.name)
def test_a_fault_of_manners_is_right_at_first_and_breaks_its_claim(fault: SubjectFault) -> None:
    first = fault.make()(writeable(CASE))
    assert same(first[1], reference_subject(CASE)[1])
    assert first[0] == reference_subject(CASE)[0]
    assert claims(fault.make())[fault.breaks] == "FAIL"


@pytest.mark.parametrize("fault", MANNERS, ids=lambda fault: fault.name)
def test_a_fault_of_manners_breaks_no_other_claim(fault: SubjectFault) -> None:
    """But that gradients which pile up do so between calls on other values too."""
    found = claims(fault.make())
    also = {"interleaved calls"} if fault.name == "buffer_not_zeroed" else set()
    assert {name for name in CLAIMS if found[name] != "PASS"} == {fault.breaks, *also}


@pytest.mark.parametrize("fault", MANNERS, ids=lambda fault: fault.name)
def test_two_subjects_with_a_fault_share_no_memory(fault: SubjectFault) -> None:
    fault.make()(writeable(draw_case(A, 2)))
    assert same(fault.make()(writeable(CASE))[1], reference_subject(CASE)[1])


@pytest.mark.parametrize("fault", MANNERS, ids=lambda fault: fault.name)
def test_memory_is_of_one_network_and_what_cannot_be_written_to_is_left(
    fault: SubjectFault,
) -> None:
    """A case's own arrays are read-only; another network's shapes start anew."""
    subject = fault.make()
    subject(CASE)
    others = (network(ops.Dense(2)), GRAPHS["no input"], network(loss=ls.LogCosh()))
    for other in map(draw_case, others, (1, 1, 1)):
        assert same(subject(other)[1], reference_subject(other)[1])


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_of_values_is_caught_and_a_convention_is_not(name: str) -> None:
    fault = next(f for f in SUBJECT_FAULTS if f.name == name)
    case = SHOWN[name]
    (loss, wrong), (right_loss, right) = fault.make()(case), reference_subject(case)
    assert loss == right_loss
    assert not same(wrong, right)
    assert {n: g.shape for n, g in wrong.items()} == {n: g.shape for n, g in right.items()}
    verdict = verify(case, fault.make())
    assert verdict.status == ("PASS" if fault.convention else "FAIL"), verdict


@pytest.mark.parametrize("name", SHOWN)
def test_a_fault_of_values_is_right_where_nothing_ties_or_adds(name: str) -> None:
    fault = next(f for f in SUBJECT_FAULTS if f.name == name)
    layers = (ops.Dense(4), ops.ReLU(), ops.Max(keep=True), ops.HardShrink())
    case = draw_case(network(*layers, loss=ls.WeightedSum()), 1)
    assert same(fault.make()(case)[1], reference_subject(case)[1])


@pytest.mark.parametrize("kind", [ops.Maximum, ops.Minimum])
def test_of_two_equal_operands_each_gets_the_cotangent(kind: Any) -> None:
    a = network(ops.Variable((3, 4)), kind(inputs=("input", edge(0))), loss=ls.WeightedSum())
    fault = next(f for f in SUBJECT_FAULTS if f.name == "equal_maxima_counted_twice")
    case = draw_case(a, 0, "tie")
    found = fault.make()(case)[1]
    assert case.input is not None
    tied = case.input == case.parameters["layers.0.value"]
    assert tied.any()
    for name in ("input", "layers.0.value"):
        assert np.array_equal(found[name][tied], case.target[tied])


def test_every_fault_of_values_has_a_case_and_every_other_a_claim() -> None:
    assert {f.name for f in SUBJECT_FAULTS if f.breaks == VALUES} == set(SHOWN)
    assert {f.breaks for f in MANNERS} == set(CLAIMS) <= set(manners.CLAIMS)


# --- optimisers -------------------------------------------------------------------------

START: Arrays = {"a": np.array([1.0, -2.0]), "b": np.array([[0.5]]), "c": np.array([3.0])}
GRADIENTS: list[Arrays] = [
    {n: np.random.default_rng(k).standard_normal(v.shape) for n, v in START.items()}
    for k in range(6)
]
OPTAX = {
    "adam": optax.adam(RATE, BETA_1, BETA_2, EPSILON),
    "nesterov": optax.sgd(RATE, MOMENTUM, nesterov=True),
}


def followed(rule: Rule, names: tuple[str, ...] = ("a", "b", "c")) -> list[Arrays]:
    """The parameters after each of the steps."""
    parameters = {n: START[n] for n in names}
    state, found = rule.initial_state(parameters), []
    for gradients in GRADIENTS:
        parameters, state = rule.step(state, parameters, gradients)
        found.append(parameters)
    return found


def by_optax(name: str) -> list[Arrays]:
    found = []
    with float64_on_cpu():
        parameters: Any = dict(START)
        state = OPTAX[name].init(parameters)
        for gradients in GRADIENTS:
            updates, state = OPTAX[name].update(gradients, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            found.append({n: np.array(v) for n, v in parameters.items()})
    return found


def off(ours: list[Arrays], theirs: list[Arrays]) -> list[float]:
    """The largest relative distance after each step."""
    return [
        max(float(np.max(np.abs(a[n] - b[n]) / np.abs(b[n]))) for n in a)
        for a, b in zip(ours, theirs, strict=True)
    ]


ROUNDING = 1e-13
"""Far more than the 6 steps of some 15 operations on numbers near 1 can lose."""


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_right_rule_takes_optax_s_steps(name: str) -> None:
    assert max(off(followed(OPTIMISERS[name]), by_optax(name))) < ROUNDING


@every_optimiser
def test_a_faulty_rule_leaves_optax_s_steps_by_far(fault: OptimiserFault) -> None:
    assert max(off(followed(fault.wrong), by_optax(fault.optimiser))) > 1e-4


def test_some_faults_of_optimisers_do_not_show_at_once() -> None:
    """One step, or one parameter, is too few."""
    wrong = {fault.name: fault.wrong for fault in OPTIMISER_FAULTS}
    at_first = off(followed(wrong["bias_corrected_as_at_first"]), by_optax("adam"))
    assert at_first[0] < ROUNDING < 1e-4 < at_first[1]
    alone = followed(wrong["steps_counted_per_parameter"], ("a",))
    assert max(off(alone, by_optax("adam"))) < ROUNDING


@every_optimiser
def test_a_faulty_rule_writes_to_nothing(fault: OptimiserFault) -> None:
    start = {name: value.copy() for name, value in START.items()}
    followed(fault.wrong)
    assert same(START, start)
    assert fault.optimiser in OPTIMISERS


# --- the catalogue ----------------------------------------------------------------------


def test_names_are_unique_among_all_faults_and_summaries_complete_a_sentence() -> None:
    every: list[Any] = [*catalogue.FAULTS, *SUBJECT_FAULTS, *OPTIMISER_FAULTS]
    assert len({fault.name for fault in every}) == len(every)
    assert len({fault.summary for fault in every}) == len(every)
    for fault in every:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", fault.name)
        assert fault.weight > 0
        assert not fault.summary.endswith(".")


@pytest.mark.parametrize(
    "fault", [*SUBJECT_FAULTS, *OPTIMISER_FAULTS], ids=lambda fault: str(fault.name)
)
def test_a_fault_says_what_it_is_what_it_mimics_and_where_it_shows(
    fault: SubjectFault | OptimiserFault,
) -> None:
    check_metadata(fault)
    assert fault.mimics == SURVEY[fault.number or 0]
    assert fault.hidden


def test_with_the_faults_of_subjects_and_optimisers_every_row_of_the_survey_is_there() -> None:
    every: list[Any] = [*catalogue.FAULTS, *SUBJECT_FAULTS, *OPTIMISER_FAULTS]
    assert {fault.number for fault in every} - {None} == set(range(1, 39))
