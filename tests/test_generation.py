"""Random architectures: valid, within their limits, everything among them, and small at last."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, DType, Lane, draw_case
from backproof.architectures.coverage import Seen, possible_pairs
from backproof.architectures.drawing import MOST_ENTRIES
from backproof.architectures.exactness import EXACT_OPERATORS, is_exact
from backproof.architectures.files import dumps, loads
from backproof.architectures.generation import SMALL, Limits, architectures, generate
from backproof.architectures.growing import exact_names
from backproof.architectures.joint_strategies import JOINT
from backproof.architectures.limits import ACTIVATION_NAMES, LOSS_NAMES, OPERATOR_NAMES
from backproof.architectures.loss_strategies import EXACT_LOSSES
from backproof.architectures.operators import size
from backproof.architectures.strategies import STRATEGIES
from backproof.shrinking import simpler

LIMITS = st.builds(
    Limits,
    max_depth=st.integers(1, 6),
    max_width=st.integers(2, 12),
    max_batch=st.integers(1, 9),
    activations=st.lists(st.sampled_from(list(ACTIVATION_NAMES)), max_size=3).map(tuple),
    losses=st.lists(st.sampled_from(list(LOSS_NAMES)), max_size=3).map(tuple),
    operators=st.lists(st.sampled_from(list(OPERATOR_NAMES)), max_size=3)
    .filter(lambda names: set(names) != {"variable"})
    .map(tuple),
)

MADE_FOR_LOSSES = {"sigmoid", "hard_sigmoid", "softmax", "variable", "reshape", "flatten", "dense"}
"""What a loss may ask for: probabilities, a sequence, further edges."""


@functools.cache
def many(lane: Lane) -> tuple[Architecture, ...]:
    return tuple(a for start in range(12) for a in generate(Limits(), lane, "float64", start, 64))


@given(st.data(), LIMITS, st.sampled_from(LANES), st.sampled_from(DTYPES))
def test_networks_are_valid_and_within_their_limits(
    data: st.DataObject, limits: Limits, lane: Lane, dtype: DType
) -> None:
    a = data.draw(architectures(limits, lane, dtype))
    draw_case(a, 1, lane, dtype)
    assert loads(dumps(a)) == a
    if limits.names:
        assert {op.name for op in a.layers} <= limits.names | MADE_FOR_LOSSES
    assert a.loss.name in (limits.losses or LOSS_NAMES)
    most = SMALL.get(lane, (99, 99, 99))
    rows = min(limits.max_batch, most[2])
    assert a.input is None or a.input[0] <= rows
    width = min(limits.max_width, most[1]) + 1  # one more where gated units need an even number
    for layer in a.layers:
        assert max(getattr(layer, "units", 1), 1) <= width
    assert all(size(shape) <= 4 * MOST_ENTRIES for shape in a.edges.values())


@pytest.mark.parametrize("lane", ["generic", "extreme"])
def test_every_operator_and_every_loss_appears(lane: Lane) -> None:
    seen = Counter(name for a in many(lane) for name in a.operators)
    assert set(seen) == {*OPERATOR_NAMES, *LOSS_NAMES, "l1", "l2"}


def test_on_the_tie_lane_mostly_what_has_a_kink() -> None:
    seen = Counter(op.name for a in many("tie") for op in a.layers)
    assert seen["relu"] + seen["hard_shrink"] > seen["tanh"] + seen["silu"]
    assert seen["max_pool2d"] + seen["max"] > seen["average_pool2d"] + seen["mean"]


def test_on_the_exact_lane_every_network_is_exact_and_every_exact_operator_appears() -> None:
    seen = {type(layer) for a in many("exact") for layer in a.layers}
    assert seen == set(EXACT_OPERATORS)
    losses = {msgspec.structs.replace(a.loss, inputs=()) for a in many("exact")}
    assert losses == set(EXACT_LOSSES)
    assert all(is_exact(a, "float64") for a in many("exact"))


def test_graphs_are_graphs() -> None:
    """Residuals, shared parameters, several inputs, several losses are all common."""
    networks = many("generic")
    assert sum(bool(a.named_slots) for a in networks) > len(networks) / 10
    assert sum(any(layer.share for layer in a.layers) for a in networks) > 10
    assert sum(any(type(x) is ops.Variable for x in a.layers) for a in networks) > 100
    assert sum(bool(a.auxiliary) for a in networks) > 50
    assert {len(a.input) for a in networks if a.input} == {2, 3, 4, 5}
    assert any(a.input is None for a in networks)


def test_every_attribute_that_can_vary_does() -> None:
    drawn = {msgspec.structs.replace(op, inputs=(), share="")
             for a in many("generic") for op in a.layers}  # fmt: skip
    fixed = {"add", "subtract", "multiply", "maximum",
             "minimum"}  # fmt: skip
    for name, kind in OPERATOR_NAMES.items():
        own = [f for f in kind.__struct_fields__ if f not in ("inputs", "share")]
        several = len([op for op in drawn if type(op) is kind]) > 1
        assert several == (bool(own) and name not in fixed), name
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
        assert any(op.name in gated for op in a.layers)


def test_gated_units_do_not_fit_a_single_feature() -> None:
    with pytest.raises(ValueError, match="glu and swiglu halve the features, so max_width must be"):
        Limits(max_width=1, activations=("glu", "swiglu"))
    narrow = Limits(1, 1, 1, tuple(ACTIVATION_NAMES))
    for a in generate(narrow, "generic", "float64", 0, 50):
        assert {s for name, s in a.edges.items() if name != "input"} <= {(1, 1)}
        assert not {"glu", "swiglu"} & set(a.operators)


@pytest.mark.parametrize("names", [("glu",), ("swiglu", "glu"), ("variable", "glu")])
def test_operators_that_do_not_fit_the_width_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="glu and swiglu halve the features, so max_width must be"):
        Limits(max_width=1, operators=names)
    for beside in (
        Limits(max_width=1, operators=(*names, "tanh")),
        Limits(max_width=1, activations=("tanh",), operators=names),
    ):
        networks = generate(beside, "generic", "float64", 0, 20)
        assert all("tanh" in a.operators for a in networks)


def test_a_variable_is_only_drawn_beside_another_operator() -> None:
    with pytest.raises(ValueError, match="operators must name more than variable, which is drawn"):
        Limits(operators=("variable",))
    networks = generate(Limits(operators=("variable", "add")), "generic", "float64", 0, 50)
    assert any("variable" in a.operators for a in networks)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (Limits(operators=("dense",)), {"dense"}),
        (Limits(operators=("dense", "tanh")), {"dense"}),
        (Limits(operators=("embedding", "tanh")), {"embedding"}),
        (Limits(activations=("relu", "tanh")), {"relu"}),
        (Limits(activations=("tanh",)), set()),
        (Limits(operators=("variable", "tanh")), set()),
    ],
)
def test_what_the_exact_lane_is_asked_for_is_what_it_draws(limits: Limits, names: set[str]) -> None:
    assert exact_names(limits) == names
    for a in generate(limits, "exact", "float32", 4, 30):
        assert ({type(op) for op in a.layers} <= {*EXACT_OPERATORS}) == bool(names)
        assert not names or names & set(a.operators)


def test_what_is_asked_for_is_in_every_network() -> None:
    for lane in LANES:
        for a in generate(Limits(activations=("relu",), losses=("squared_error",)), lane,
                          "float32", 3, 50):  # fmt: skip
            assert "relu" in a.operators
            assert isinstance(a.loss, ls.SquaredError)


@pytest.mark.repeats
@pytest.mark.parametrize("name", sorted({*STRATEGIES, *JOINT}, key=str), ids=lambda k: k.__name__)
def test_an_operator_that_is_asked_for_alone_is_found(name: type[ops.Operator]) -> None:
    tag = str(name.__struct_config__.tag)
    networks = generate(Limits(operators=(tag,)), "generic", "float64", 2, 20)
    assert sum(tag in a.operators for a in networks) >= 10


@pytest.mark.repeats
def test_the_seeded_generator_steers_towards_pairs_that_it_has_not_drawn() -> None:
    seen = Seen()
    generate(Limits(), "generic", "float64", 1, 2000, seen)
    blind = Seen()
    for a in generate(Limits(), "generic", "float64", 1, 2000):
        blind.add(a)
    assert len(seen.counts) > 1.1 * len(blind.counts)
    assert set(seen.counts) <= possible_pairs()


def test_the_same_seed_generates_the_same_networks() -> None:
    first = generate(Limits(), "generic", "float64", 5, 40)
    assert first == generate(Limits(), "generic", "float64", 5, 40)
    assert first != generate(Limits(), "generic", "float64", 6, 40)
    assert len(first) == 40


def test_few_networks_are_repeated_to_the_number_asked_for() -> None:
    only = Limits(1, 1, 1, ("tanh",), ("weighted_sum",))
    assert len(generate(only, "generic", "float64", 1, 200)) == 200


def reduced(a: Architecture, holds: Callable[[Architecture], bool]) -> Architecture:
    """What the reducer of failures makes of a network, as long as something holds."""
    found = next((simpler_one for simpler_one in simpler(a) if holds(simpler_one)), None)
    return a if found is None else reduced(found, holds)


@pytest.mark.repeats
@pytest.mark.parametrize("name", ["gelu", "glu", "prelu", "lstm", "conv2d", "max_pool2d"])
def test_a_failing_network_shrinks_to_a_small_one(name: str) -> None:
    """By Hypothesis, which shrinks the choices, and then by the reducer of graphs."""
    smallest = find(
        architectures(Limits()),
        lambda a: name in a.operators,
        settings=settings(max_examples=4000, database=None, phases=[Phase.generate, Phase.shrink]),
    )
    assert len(smallest.layers) <= 5
    smallest = reduced(smallest, lambda a: name in a.operators)
    assert all(shape[0] == 1 for shape in smallest.edges.values())
    assert max(n for shape in smallest.edges.values() for n in shape) <= 2
    assert [op.name for op in smallest.layers] == [name]
    assert isinstance(smallest.loss, ls.WeightedSum)
    assert not smallest.penalties
    assert not smallest.auxiliary


def test_seeded_networks_need_no_hypothesis_whose_choices_depend_on_its_host() -> None:
    program = (
        "import itertools, sys\n"
        "from backproof.jobs import Options, plan\n"
        "list(itertools.islice(plan(Options()), 70))\n"
        "assert 'hypothesis' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_first_networks_of_a_seed_do_not_depend_on_how_many_are_drawn() -> None:
    for lane in LANES:
        ten = generate(Limits(), lane, "float32", 5, 10)
        assert generate(Limits(), lane, "float32", 5, 4) == ten[:4]
        assert generate(Limits(), lane, "float32", 6, 10) != ten
