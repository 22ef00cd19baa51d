"""Faults: each is wrong where it says, in a case that shows it, and right everywhere else."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from helpers_faults import check_metadata
from helpers_networks import (
    GRAPHS,
    every_operator,
    sequence_labels,
    several_edges,
    with_room_for_faults,
)
from loss_instances import LOSS_INSTANCES, PROBABILITIES

from backproof.architectures import configurations, losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, is_weight
from backproof.architectures.cases import EXTREMES, LANES, Case, draw_case
from backproof.architectures.configurations import CONFIGURATIONS
from backproof.architectures.losses import L1, L2
from backproof.checkers import rounding
from backproof.checkers.outcome import operator_at
from backproof.checkers.verdict import CHECKERS, CheckerName, verify
from backproof.controls import shows
from backproof.planting import blamed_for, planted
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays
from backproof.reference.faults import (
    catalogue,
    in_activations,
    in_attention,
    in_convolutions,
    in_dense,
    in_dropout,
    in_graphs,
    in_losses,
    in_normalisation,
    in_penalties,
    in_pooling_and_shapes,
    in_products,
    in_recurrence,
    in_slopes,
    in_structured_losses,
    in_terms,
    in_units,
)
from backproof.reference.faults.catalogue import FAULTS, Fault
from backproof.reference.faults.survey import KINDS, SURVEY, Kind
from backproof.reference.pages import LAYERS

ACTIVATIONS: tuple[Any, ...] = (
    *(kind() for kind in ops.ACTIVATIONS),
    ops.PReLU(shared=False),
    ops.ELU(0.5),
    ops.CELU(0.5),
    ops.GELU("tanh"),
    ops.Sine(3.0),
    ops.Softmax(0),
    ops.LogSoftmax(-2),
)


def zoo() -> Iterator[Architecture]:
    """Every activation within a network and at its end, every loss, penalty and operator."""
    squared = losses.SquaredError()
    for f in ACTIVATIONS:
        yield Architecture((4, 3), (ops.Dense(4), f, ops.Dense(2)), squared)
        yield Architecture((3, 4), (ops.Dense(4), f), squared)
    instances: tuple[Any, ...] = LOSS_INSTANCES
    for loss in instances:
        last = (ops.Sigmoid(),) if isinstance(loss, PROBABILITIES) else ()
        yield Architecture((5, 2), (ops.Dense(3), *last), loss)
    yield Architecture((4, 3), (ops.Dense(2), ops.ReLU()), losses.Cosine())  # rows of zeros
    for penalty in (L1(0.1), L2(0.1), L1(0.0), L2(0.0)):
        yield Architecture((4, 3), (ops.Dense(2),), squared, (penalty,))
    yield from (*GRAPHS.values(), *several_edges(), *sequence_labels())
    yield from (*every_operator(), *with_room_for_faults())


PLACES = tuple((a, site) for a in zoo() for site in catalogue.sites(a))
OF_SEVERAL_MAPS = {"multi_head_attention", "rnn", "lstm", "gru"}
OTHER_ORDER = 1e-9
"""Far more than sums of some tens of numbers near 1 differ by in another order."""
AXES_FROM_THE_FRONT = {"gradient_averaged", "last_contribution_only"}
"""The faults of a batch, which they find as the first axis: where there are replicas, theirs."""
every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@functools.cache
def places(fault: Fault) -> tuple[tuple[Architecture, str], ...]:
    """Every site of the zoo where a fault applies."""
    return tuple(place for place in PLACES if fault.applies(*place))


def few(fault: Fault, each: int = 2) -> Iterator[tuple[Architecture, str]]:
    """The first places of a fault, so many for each kind of operator, loss or penalty."""
    counted: Counter[str] = Counter()
    for architecture, site in places(fault):
        kind = kind_at(architecture, site)
        counted[kind] += 1
        if counted[kind] <= each:
            yield architecture, site


class Drawn(NamedTuple):
    """A case with its forward pass, which faults of the way back share, and right gradients."""

    case: Case
    trace: network.Trace
    right: Arrays


@functools.cache
def cases(architecture: Architecture) -> tuple[Drawn, ...]:
    """Every lane; of the extreme one, every kind.

    But for those whose values leave the range when a fault squares them, as behind exp.
    """
    drawn = [
        draw_case(architecture, seed, lane)
        for lane in LANES
        for seed in range({"tie": 4, "extreme": len(EXTREMES)}.get(lane, 1))
    ]
    found = []
    for case in drawn:
        with np.errstate(all="ignore"):
            trace = network.forward(case)
            right = network.backward(case, trace)
        largest = max(abs(float(trace.loss)), *(float(np.abs(g).max()) for g in right.values()))
        if largest < 1e100:
            found.append(Drawn(case, trace, right))
    return tuple(found)


def same(a: Array | None, b: Array | None) -> bool:
    return a is not None and b is not None and np.array_equal(a, b, equal_nan=True)


def freeze(value: Any) -> Any:
    """The value, with every array in it read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        freeze(tuple(value.values()))
    elif isinstance(value, tuple):
        for part in value:
            freeze(part)
    return value


def planted_gradients(
    fault: Fault, case: Case, site: str, trace: network.Trace | None = None
) -> Arrays:
    """The gradients with the fault, which is given read-only arguments."""
    planted = catalogue.overrides(fault, case.architecture, site)[site]
    with np.errstate(all="raise", under="ignore"):
        return network.backward(
            case,
            trace or network.forward(case),
            overrides={site: lambda *arguments: planted(*freeze(arguments))},
        )


def right_gradients(case: Case) -> Arrays:
    return network.value_and_gradients(case)[1]


def may_change(architecture: Architecture, site: str) -> set[str]:
    """The tensors that the backward function at a site has a part in."""
    names = list(architecture.tensors)
    if site.startswith("penalties"):
        return {name for name in names if is_weight(name)}
    if site == "fan_out":
        several = {slot.source for slot in architecture.named_slots.values()}
        first = min(names.index(name) for name in several)
        return set(names[first:]) - {n for n in architecture.named_slots if n.startswith("loss.")}
    if not site.startswith("layers"):
        return set(names)
    return set(names[names.index(f"{site}.output") + 1 :]) | used_again(architecture, site)


def used_again(architecture: Architecture, site: str) -> set[str]:
    """The parameters of a layer that others share, which stand where their owner does."""
    return {slot.source for slot in architecture.slots if slot.site == site} & set(
        architecture.parameters
    )


def kind_at(architecture: Architecture, site: str) -> str:
    """The name of the operator, loss or penalty at a site, or `fan_out`."""
    return site if site == "fan_out" else operator_at(architecture, site)


@every_fault
def test_a_fault_shows_somewhere_and_leaves_everything_else_right(fault: Fault) -> None:
    """It shows in some case for each kind of operator, loss or penalty that it applies to."""
    applies, shown = set(), set()
    for architecture, site in places(fault):
        kind = kind_at(architecture, site)
        applies.add(kind)
        if kind in shown:
            continue
        for case, trace, right in cases(architecture):
            wrong = planted_gradients(fault, case, site, trace)
            assert wrong.keys() == right.keys()
            changed = {name for name in right if not same(wrong[name], right[name])}
            assert changed <= may_change(architecture, site)
            for name in right:
                if not fault.loud:
                    assert wrong[name].shape == right[name].shape
                    assert wrong[name].dtype == right[name].dtype
            if changed:
                shown.add(kind)
    assert applies
    assert shown == applies


@every_fault
def test_a_fault_keeps_float32(fault: Fault) -> None:
    for architecture, site in few(fault):
        case = draw_case(architecture, 0, dtype="float32")
        for name, gradient in planted_gradients(fault, case, site).items():
            assert fault.loud or gradient.dtype == np.float32, name


def came_back(architecture: Architecture, site: str) -> tuple[set[str], set[str]]:
    """The gradients that a layer itself returns: at its inputs, and of its parameters."""
    edges: set[str] = set()
    own: set[str] = set()
    for slot in architecture.slots:
        if slot.site == site:
            name = slot.name if slot.name in architecture.named_slots else slot.source
            (edges if isinstance(slot.key, int) else own).add(name)
    return edges, own


@every_fault
def test_a_fault_is_wrong_in_one_way(fault: Fault) -> None:
    """It spoils what comes back to the input, or to the parameters, but not both.

    Within an operator of several maps a wrong cotangent spoils all that comes before it.
    """
    if fault.name.startswith("relative_error"):
        return  # of everything that comes back
    for architecture, site in few(fault):
        if kind_at(architecture, site) in OF_SEVERAL_MAPS or not site.startswith("layers"):
            continue
        case = draw_case(architecture, 1)
        right, wrong = right_gradients(case), planted_gradients(fault, case, site)
        edges, own = came_back(architecture, site)
        changed = {name for name in (*edges, *own) if not same(wrong[name], right[name])}
        assert changed.isdisjoint(edges) or changed.isdisjoint(own)


@pytest.mark.parametrize("kind, returns", [
    *itertools.product((ops.RNN, ops.LSTM, ops.GRU), ("sequence", "hidden")), (ops.LSTM, "cell"),
])  # fmt: skip
@pytest.mark.parametrize("both", [False, True])
def test_a_fault_of_the_batch_knows_the_batch_of_a_recurrence(
    kind: Any, returns: Any, both: bool
) -> None:
    """Also where it returns its states, of shape (layers directions, N, units)."""
    layer = kind(2, bidirectional=both, returns=returns)
    case = draw_case(Architecture((3, 4, 5), (layer,), losses.WeightedSum()), 1)
    averaged, last = (
        planted_gradients(next(f for f in FAULTS if f.name == name), case, "layers.0")
        for name in ("gradient_averaged", "last_contribution_only")
    )
    t = case.target
    last_alone = np.zeros_like(t)
    batch = (slice(None),) if returns != "sequence" else ()
    last_alone[*batch, -1] = t[*batch, -1]
    of_last = right_gradients(replace(case, targets={"loss": last_alone}))
    right = right_gradients(case)
    for name in case.parameters:
        assert same(averaged[name], right[name] / 3)
        assert same(last[name], of_last[name])
        assert not same(last[name], right[name])


@pytest.mark.parametrize("exponent", [2, 4, 6, 8, 10])
def test_a_relative_error_has_its_size(exponent: int) -> None:
    fault = next(f for f in FAULTS if f.name == f"relative_error_1e_{exponent}")
    case = draw_case(PLACES[0][0], 0)
    right, wrong = right_gradients(case), planted_gradients(fault, case, "loss")
    for name in right:
        np.testing.assert_allclose(
            wrong[name] / right[name] - 1, 10.0**-exponent, rtol=0, atol=1e-13
        )


@every_fault
def test_a_planted_function_gives_the_same_twice(fault: Fault) -> None:
    architecture, site = places(fault)[0]
    case = draw_case(architecture, 0)
    first, second = (planted_gradients(fault, case, site) for _ in range(2))
    for name in first:
        assert same(first[name], second[name]) or first[name] is second[name] is None


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.convention], ids=lambda f: f.name)
def test_a_convention_differs_at_ties_and_nowhere_else(fault: Fault) -> None:
    for architecture, site in places(fault):
        for case, trace, right in cases(architecture):
            if case.lane == "generic":
                wrong = planted_gradients(fault, case, site, trace)
                assert all(same(wrong[name], right[name]) for name in right)


@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f.name not in AXES_FROM_THE_FRONT], ids=lambda fault: fault.name
)
def test_a_fault_is_the_same_in_each_of_several_replicas(fault: Fault) -> None:
    for architecture, site in few(fault, 1):
        if site.startswith("penalties"):
            continue  # of weights alone, which have no replicas there
        one, other = (draw_case(architecture, seed) for seed in (0, 1))
        other = replace(other, data=one.data, targets=one.targets)
        pairs = {n: np.stack([v, other.parameters[n]]) for n, v in one.parameters.items()}
        x = None if one.input is None else np.stack([one.input, np.asarray(other.input)])
        both = replace(one, parameters=pairs, input=x)
        planted = catalogue.overrides(fault, architecture, site)
        found: Mapping[str, Array | None] = network.backward(
            both, network.forward(both), value_bar=np.ones((2, 1, 1)), overrides=planted
        )
        for k, case in enumerate((one, other)):
            alone = network.value_and_gradients(case, planted)[1]
            for name, g in found.items():
                if g is None:
                    assert alone[name] is None
                    continue
                mine = np.broadcast_to(g, (2, *g.shape[1:]))[k]
                np.testing.assert_allclose(mine, alone[name], rtol=OTHER_ORDER, atol=OTHER_ORDER)


def where_it_shows(fault: Fault) -> tuple[Case, str]:
    """A case and a site where a fault shows, of the network with the fewest layers."""
    for architecture, site in sorted(places(fault), key=lambda place: len(place[0].layers)):
        for case, trace, right in cases(architecture):
            wrong = planted_gradients(fault, case, site, trace)
            if all(same(wrong[name], right[name]) for name in right):
                continue
            if fault.convention:
                return case, site
            measured = rounding.measure(case, seed=case.seed, normwise=True)
            if not measured.overflows and shows(case, right, fault, site, measured):
                return case, site
    raise AssertionError(f"{fault.name} shows nowhere")


MODULES = (
    in_activations, in_attention, in_convolutions, in_dense, in_dropout, in_graphs,
    in_losses, in_normalisation, in_penalties, in_pooling_and_shapes, in_products, in_recurrence,
    in_slopes, in_structured_losses, in_terms, in_units,
)  # fmt: skip
WITH_EVERY_CHECKER = [next(f for f in module.FAULTS if not f.convention) for module in MODULES] + [
    f for f in FAULTS if f.convention
]
QUICK: tuple[CheckerName, ...] = ("complex_step", "torch")
"""Two that compile nothing and evaluate a network a few times, not hundreds."""


@every_fault
def test_a_fault_that_shows_is_caught_and_a_convention_is_not(fault: Fault) -> None:
    """By every checker for one fault of each module; for others by two."""
    case, site = where_it_shows(fault)
    checkers = CHECKERS if fault in WITH_EVERY_CHECKER else QUICK
    verdict = verify(case, planted(fault, site), checkers=checkers)
    if fault.convention:
        assert verdict.status == "PASS", verdict
    else:
        expected = ("FAIL", blamed_for(case.architecture, site))
        assert (verdict.status, verdict.operator) == expected, verdict


def test_names_are_unique_and_summaries_complete_a_sentence() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({fault.summary for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", fault.name)
        assert fault.weight > 0
        assert not fault.summary.endswith(".")
        assert fault.number is None or 1 <= fault.number <= 38


@every_fault
def test_a_fault_says_what_it_is_what_it_mimics_and_where_it_shows(fault: Fault) -> None:
    check_metadata(fault)
    assert bool(fault.like) == (fault.number is None)
    if fault.number is not None:
        assert fault.mimics == SURVEY[fault.number]


def test_a_convention_is_a_matter_of_ties() -> None:
    assert {fault.kind for fault in FAULTS if fault.convention} == {"tie"}


def test_every_kind_of_mistake_and_every_row_has_a_phrase_and_every_kind_a_fault() -> None:
    assert set(SURVEY) == set(range(1, 39))
    assert len(set(SURVEY.values())) == len(SURVEY)
    assert set(KINDS) == set(get_args(Kind))
    assert {fault.kind for fault in FAULTS} == set(KINDS) - {"state"}


def test_the_survey_s_rows_that_suit_these_networks_are_all_there() -> None:
    """All but those that outlive a call, write to arguments, or are an optimiser's."""
    covered = {fault.number for fault in FAULTS}
    assert covered - {None} == set(range(1, 39)) - {14, 16, 35}


def test_a_fault_is_not_planted_where_it_does_not_apply() -> None:
    fault = next(f for f in FAULTS if f.name == "penalty_missing")
    architecture = Architecture((2, 3), (ops.Dense(1),), losses.SquaredError(), (L2(0.0),))
    with pytest.raises(ValueError, match=r"penalty_missing does not apply at penalties\.0 of"):
        catalogue.overrides(fault, architecture, "penalties.0")


def test_a_penalty_without_weights_to_act_on_has_no_faults() -> None:
    architecture = Architecture((2, 3), (ops.Tanh(),), losses.SquaredError(), (L2(1.0), L1(0.0)))
    assert catalogue.sites(architecture) == ("layers.0", "loss", "penalties.0", "penalties.1")
    for site in ("penalties.0", "penalties.1"):
        assert not [fault.name for fault in FAULTS if fault.applies(architecture, site)]


@pytest.mark.parametrize("kind", [ops.Attention, ops.MultiHeadAttention])
def test_the_steps_of_attention_are_those_of_its_page(kind: Any) -> None:
    for op, shapes in CONFIGURATIONS[kind]:
        case = draw_case(configurations.network(op, shapes), 0)
        site = f"layers.{len(shapes)}"
        again = {site: functools.partial(in_attention.back, in_attention.Steps())}
        right, same_steps = right_gradients(case), network.value_and_gradients(case, again)[1]
        assert all(same(right[name], same_steps[name]) for name in right)


@pytest.mark.parametrize("kind", in_activations.SAVES_X, ids=lambda kind: str(kind.__name__))
def test_the_activations_said_to_keep_their_argument_do(kind: Any) -> None:
    x = np.linspace(-2, 2, 6).reshape(2, 3)
    _, saved = LAYERS[kind].forward(kind(), {}, x, None)
    assert saved is x
