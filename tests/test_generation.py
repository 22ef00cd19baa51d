"""Random architectures: valid, within their limits, everything among them, and small at last."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, DType, Lane, draw_case
from backproof.architectures.exactness import EXACT_OPERATORS
from backproof.architectures.generation import (
    ACTIVATION_NAMES,
    ATTRIBUTES,
    EXACT_LOSSES,
    LOSS_NAMES,
    SMALL,
    Limits,
    architectures,
    generate,
)

LIMITS = st.builds(
    Limits,
    max_depth=st.integers(1, 6),
    max_width=st.integers(2, 12),
    max_batch=st.integers(1, 9),
    activations=st.lists(st.sampled_from(list(ACTIVATION_NAMES)), max_size=3).map(tuple),
    losses=st.lists(st.sampled_from(list(LOSS_NAMES)), max_size=3).map(tuple),
)


@functools.cache
def many(lane: Lane) -> tuple[Architecture, ...]:
    return tuple(a for start in range(12) for a in generate(Limits(), lane, "float64", start, 64))


def hidden(a: Architecture) -> tuple[ops.Operator, ...]:
    """The layers that were drawn as activations: all but the sigmoid that a loss asks for."""
    layers = a.layers[:-1] if isinstance(a.loss, ls.BinaryCrossEntropy) else a.layers
    return tuple(layer for layer in layers if not isinstance(layer, ops.Dense))


@given(st.data(), LIMITS, st.sampled_from(LANES), st.sampled_from(DTYPES))
def test_networks_are_valid_and_within_their_limits(
    data: st.DataObject, limits: Limits, lane: Lane, dtype: DType
) -> None:
    a = data.draw(architectures(limits, lane, dtype))
    draw_case(a, 1, lane, dtype)
    assert a.batch <= limits.max_batch
    assert max(features for _, features in a.edges) <= limits.max_width
    assert len(hidden(a)) <= limits.max_depth
    assert {op.name for op in hidden(a)} <= set(limits.activations or ACTIVATION_NAMES)
    assert a.loss.name in (limits.losses or LOSS_NAMES)
    most_depth, most_width, most_batch = SMALL.get(lane, (99, 99, 99))
    assert len(hidden(a)) <= most_depth
    assert max(features for _, features in a.edges) <= most_width
    assert a.batch <= most_batch


@pytest.mark.parametrize("lane", ["generic", "extreme"])
def test_every_activation_and_every_loss_appears(lane: Lane) -> None:
    seen = Counter(name for a in many(lane) for name in a.operators)
    assert set(seen) == {"dense", *ACTIVATION_NAMES, *LOSS_NAMES, "l1", "l2"}


def test_on_the_tie_lane_too_and_mostly_what_has_a_kink() -> None:
    seen = Counter(op.name for a in many("tie") for op in hidden(a))
    assert set(seen) == set(ACTIVATION_NAMES)
    assert seen["relu"] + seen["hard_shrink"] > seen["tanh"] + seen["sigmoid"]


def test_on_the_exact_lane_whatever_is_exact_appears_and_nothing_else() -> None:
    seen = {type(layer) for a in many("exact") for layer in a.layers}
    assert seen == set(EXACT_OPERATORS)
    assert {a.loss for a in many("exact")} == set(EXACT_LOSSES)


def test_every_attribute_that_can_vary_does() -> None:
    drawn = {op for a in many("generic") for op in hidden(a)}
    for kind in ATTRIBUTES:
        varies = bool(kind.__struct_fields__) and kind is not ops.SELU
        assert (len([op for op in drawn if type(op) is kind]) > 1) == varies, kind
    losses = {a.loss for a in many("generic")}
    assert {len([x for x in losses if type(x) is kind]) > 1 for kind in ls.LOSSES[1:]} == {True}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("gated", [("glu",), ("swiglu", "glu")])
@pytest.mark.parametrize("width", [2, 3])
def test_a_network_of_gated_units_alone_keeps_its_features_even(
    gated: tuple[str, ...], width: int, lane: Lane
) -> None:
    limits = Limits(max_width=width, activations=gated)
    for a in generate(limits, lane, "float64", 1, 50):
        assert {op.name for op in hidden(a)} <= set(gated)
        assert hidden(a)
        assert max(features for _, features in a.edges) <= width


def test_gated_units_do_not_fit_a_single_feature() -> None:
    with pytest.raises(ValueError, match="glu and swiglu halve the features, so max_width must be"):
        Limits(max_width=1, activations=("glu", "swiglu"))
    for a in generate(Limits(1, 1, 1), "generic", "float64", 0, 50):
        assert {*a.edges} == {(1, 1)}
        assert not {"glu", "swiglu"} & set(a.operators)


def test_what_is_asked_for_is_in_every_network() -> None:
    for lane in LANES:
        for a in generate(Limits(activations=("relu",), losses=("squared_error",)), lane,
                          "float32", 3, 50):  # fmt: skip
            assert "relu" in a.operators
            assert isinstance(a.loss, ls.SquaredError)


def test_the_same_seed_generates_the_same_networks() -> None:
    first = generate(Limits(), "generic", "float64", 5, 40)
    assert first == generate(Limits(), "generic", "float64", 5, 40)
    assert first != generate(Limits(), "generic", "float64", 6, 40)
    assert len(first) == 40


def test_few_networks_are_repeated_to_the_number_asked_for() -> None:
    only = Limits(1, 1, 1, ("tanh",), ("weighted_sum",))
    assert len(generate(only, "generic", "float64", 1, 200)) == 200


@pytest.mark.parametrize("name", ["softmax", "glu", "prelu"])
def test_a_failing_network_shrinks_to_a_small_one(name: str) -> None:
    smallest = find(
        architectures(Limits()),
        lambda a: name in a.operators,
        settings=settings(max_examples=2000, database=None, phases=[Phase.generate, Phase.shrink]),
    )
    assert smallest.batch == 1
    assert max(features for _, features in smallest.edges) <= 2
    assert [op.name for op in smallest.layers] == ["dense", name]
    assert isinstance(smallest.loss, ls.WeightedSum)
    assert not smallest.penalties


def test_seeded_networks_need_no_hypothesis_whose_choices_depend_on_its_host() -> None:
    program = (
        "import itertools, sys\n"
        "from backproof.campaign import Options, plan\n"
        "list(itertools.islice(plan(Options()), 70))\n"
        "assert 'hypothesis' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_first_networks_of_a_seed_do_not_depend_on_how_many_are_drawn() -> None:
    for lane in LANES:
        ten = generate(Limits(), lane, "float32", 5, 10)
        assert generate(Limits(), lane, "float32", 5, 4) == ten[:4]
        assert generate(Limits(), lane, "float32", 6, 10) != ten
