"""Networks that are graphs: uses and sharing, the chain rule over them, faults of the sum."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_networks import GRAPHS, edge, network
from helpers_scripts import run_all
from hypothesis import given
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, Slot, edge_name
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.files import dumps, loads
from backproof.architectures.generation import Limits, architectures
from backproof.architectures.losses import L2
from backproof.architectures.surgery import rebuilt
from backproof.checkers import rounding
from backproof.checkers.verdict import CheckerName, Verdict, verify
from backproof.planting import planted
from backproof.reference import network as reference
from backproof.reference.arrays import Array
from backproof.reference.faults import in_graphs
from backproof.reference.network import Change
from backproof.script import write_script
from backproof.shrinking import shrink, simpler

U = 2.0**-53
STEP = 1e-30
NUMERICAL: tuple[CheckerName, ...] = ("finite_differences", "complex_step")

every_graph = pytest.mark.parametrize("a", GRAPHS.values(), ids=GRAPHS)


# --- architectures -------------------------------------------------------------------------


def test_a_layer_takes_the_edge_before_it_or_those_that_it_names() -> None:
    a = GRAPHS["residual"]
    assert a.sources == (
        ("input",), ("layers.0.output",), ("layers.1.output",),
        ("input", "layers.2.output"), ("layers.3.output",),
    )  # fmt: skip
    assert a.inputs_of(3) == ((3, 4), (3, 4))
    assert a.maker("layers.3.output") is a.layers[3]
    assert a.maker("input") is None


def test_only_a_tensor_with_several_uses_has_named_ones() -> None:
    assert set(GRAPHS["residual"].named_slots) == {"layers.0.inputs.0", "layers.3.inputs.0"}
    assert set(GRAPHS["tied"].named_slots) == {
        "layers.0.uses.weight", "layers.0.uses.bias", "layers.2.uses.weight", "layers.2.uses.bias",
    }  # fmt: skip
    assert not network(ops.Dense(2), ops.Tanh()).named_slots


def test_one_edge_taken_twice_by_one_layer_has_two_uses() -> None:
    a = GRAPHS["a square of one edge"]
    assert a.slots_of(edge(0)) == (Slot("layers.1", 0, edge(0)), Slot("layers.1", 1, edge(0)))
    assert [s.name for s in a.slots_of(edge(0))] == ["layers.1.inputs.0", "layers.1.inputs.1"]


def test_a_loss_is_a_use() -> None:
    a = GRAPHS["several losses"]
    assert {s.name for s in a.slots_of("input")} == {"layers.0.inputs.0", "auxiliary.1.inputs.0"}
    assert {s.name for s in a.slots_of(edge(1))} == {"layers.2.inputs.0", "auxiliary.0.inputs.0"}
    assert a.loss_sources == {
        "loss": (edge(2),), "auxiliary.0": (edge(1),), "auxiliary.1": ("input",),
    }  # fmt: skip


def test_who_shares_owns_nothing_that_both_have() -> None:
    a = GRAPHS["tied"]
    assert a.parameters == {"layers.0.weight": (4, 4), "layers.0.bias": (4,)}
    assert a.own[2] == {"weight": "layers.0.weight", "bias": "layers.0.bias"}


def test_what_only_one_of_two_layers_has_is_its_own() -> None:
    a = network(ops.Dense(4, False), ops.Dense(4, share="layers.0"))
    assert a.own[1] == {"weight": "layers.0.weight", "bias": "layers.1.bias"}
    assert set(a.parameters) == {"layers.0.weight", "layers.1.bias"}


def test_sharing_with_one_who_shares_is_sharing_with_the_owner() -> None:
    a = network(ops.Dense(4), ops.Dense(4, share="layers.0"), ops.Dense(4, share="layers.1"))
    assert set(a.parameters) == {"layers.0.weight", "layers.0.bias"}
    assert len(a.slots_of("layers.0.weight")) == 3


def test_tensors_run_backward_and_each_use_stands_before_its_sum() -> None:
    assert list(GRAPHS["tied"].tensors) == [
        "layers.2.output", "layers.2.uses.weight", "layers.2.uses.bias",
        "layers.1.output",
        "layers.0.output", "layers.0.uses.weight", "layers.0.uses.bias",
        "layers.0.weight", "layers.0.bias", "input",
    ]  # fmt: skip
    for a in GRAPHS.values():
        order = list(a.tensors)
        assert len(order) == len(set(order))
        assert set(order) == {*a.edges, *a.parameters, *a.named_slots}
        for name, slot in a.named_slots.items():
            assert order.index(name) < order.index(slot.source)
            assert a.tensors[name] == a.tensors[slot.source]


def test_a_penalty_counts_a_shared_weight_once() -> None:
    a = GRAPHS["tied"]
    assert [name for _, _, name in reference.penalty_sites(a)] == ["layers.0.weight"]


@every_graph
def test_a_graph_goes_both_ways(a: Architecture) -> None:
    back = loads(dumps(a))
    assert back == a
    assert (back.sources, back.own, back.tensors) == (a.sources, a.own, a.tensors)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an edge that is used by nothing": (
        {"layers": (ops.Dense(2), ops.Dense(2, inputs=("input",)))},
        "layers.0.output is used by nothing",
    ),
    "an input that is used by nothing": (
        {"layers": (ops.Variable((3, 2)),)}, "input is used by nothing",
    ),
    "an edge that does not exist": (
        {"layers": (ops.Dense(2, inputs=("inputs",)),)},
        "layers[0]: there is no edge 'inputs' before it",
    ),
    "an edge that comes later": (
        {"layers": (ops.Dense(2, inputs=(edge(1),)), ops.Tanh())},
        "layers[0]: there is no edge 'layers.1.output' before it",
    ),
    "its own edge": (
        {"layers": (ops.Dense(2, inputs=(edge(0),)),)},
        "layers[0]: there is no edge 'layers.0.output' before it",
    ),
    "too few inputs": (
        {"layers": (ops.Add(),)}, "layers[0]: add takes at least 2 inputs, got 1",
    ),
    "too many inputs": (
        {"layers": (ops.Tanh(inputs=("input", "input")),)},
        "layers[0]: tanh takes 1 input, got 2",
    ),
    "one input of two": (
        {"layers": (ops.Multiply(inputs=("input",)),)},
        "layers[0]: multiply takes 2 inputs, got 1",
    ),
    "inputs of three counts": (
        {"layers": (ops.LSTM(2, inputs=("input",) * 4),)},
        "layers[0]: lstm takes 1 to 3 inputs, got 4",
    ),
    "an input of a variable": (
        {"layers": (ops.Variable((2, 2), inputs=("input",)),)},
        "layers[0]: variable takes no input, got 1",
    ),
    "shapes that do not match": (
        {"layers": (ops.Dense(3), ops.Add(inputs=("input", edge(0))))},
        "layers[1]: add cannot match the shapes (3, 4) and (3, 3)",
    ),
    "sharing with a later layer": (
        {"layers": (ops.Dense(4, share="layers.1"), ops.Dense(4))},
        "layers[0]: share must be `layers.I` of a layer before it, got 'layers.1'",
    ),
    "sharing with itself": (
        {"layers": (ops.Dense(4, share="layers.0"),)},
        "layers[0]: share must be `layers.I` of a layer before it, got 'layers.0'",
    ),
    "sharing with a name": (
        {"layers": (ops.Dense(4), ops.Dense(4, share="first"))},
        "layers[1]: share must be `layers.I` of a layer before it, got 'first'",
    ),
    "sharing with an edge": (
        {"layers": (ops.Dense(4), ops.Dense(4, share=edge(0)))},
        "layers[1]: share must be `layers.I` of a layer before it, got 'layers.0.output'",
    ),
    "sharing of nothing": (
        {"layers": (ops.Tanh(), ops.Dense(4, share="layers.0"))},
        "layers[1]: it has no parameter in common with layers.0",
    ),
    "sharing of another shape": (
        {"layers": (ops.Dense(4), ops.Dense(3, share="layers.0"))},
        "layers[1]: weight has shape (3, 4) and cannot be that of layers.0, (4, 4)",
    ),
    "a loss of no edge": (
        {"loss": ls.SquaredError(inputs=("layers.7.output",))},
        "loss: there is no edge 'layers.7.output'",
    ),
    "a further loss of no edge": (
        {"auxiliary": (ls.SquaredError(inputs=("output",)),)},
        "auxiliary.0: there is no edge 'output'",
    ),
    "a loss of two edges": (
        {"loss": ls.SquaredError(inputs=("input", edge(0)))},
        "squared_error takes 1 edge, got 2",
    ),
    "a loss of one edge of three": (
        {"loss": ls.TripletMargin()}, "triplet_margin takes 3 edges, got 1",
    ),
    "a loss of edges of two shapes": (
        {"layers": (ops.Dense(2),), "loss": ls.GaussianKL(inputs=("input", edge(0)))},
        "gaussian_kl takes edges of one shape, got (3, 4), (3, 2)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_graph_is_refused_in_one_sentence(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"layers": (ops.Dense(4),), "loss": ls.WeightedSum(), **change}
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        Architecture((3, 4), **given)


# --- the chain rule ------------------------------------------------------------------------


def moved(case: Case, trace: reference.Trace, name: str, values: Array) -> Change:
    """A tensor's own values replaced; of an edge, a parameter, or one use."""
    a = case.architecture
    if name in a.named_slots:
        return Change(trace, slots={name: values})
    if name in a.parameters:
        return Change(trace, parameters={name: values})
    return Change(trace, edges={name: values})


def value_of(case: Case, trace: reference.Trace, name: str) -> Array:
    slot = case.architecture.named_slots.get(name)
    source = name if slot is None else slot.source
    return case.parameters[source] if source in case.parameters else trace.edges[source]


def complex_step(case: Case, name: str) -> Array:
    trace = reference.forward(case)
    x = value_of(case, trace, name)
    steps = 1j * STEP * np.eye(x.size).reshape(x.size, *x.shape)
    change = moved(case, trace, name, x + steps)
    loss = reference.forward(case, branches=trace.branches, change=change).loss
    gradient: Array = np.asarray(loss).imag.reshape(x.shape) / STEP
    return gradient


@every_graph
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_every_tensor_and_of_every_use_is_its_complex_step(
    a: Architecture, seed: int
) -> None:
    case = draw_case(a, seed)
    _, gradients = reference.value_and_gradients(case)
    assert set(gradients) == set(a.tensors)
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, gradient in gradients.items():
        assert gradient.shape == a.tensors[name]
        # some tens of roundings of terms that are at most the largest of any gradient
        np.testing.assert_allclose(
            gradient, complex_step(case, name), rtol=0, atol=64 * U * largest, err_msg=name
        )


@every_graph
def test_a_gradient_is_the_sum_of_its_uses(a: Architecture) -> None:
    """Penalties apart, which are added to the sum."""
    case = draw_case(replace_penalties(a), 1)
    _, gradients = reference.value_and_gradients(case)
    for source in {slot.source for slot in a.named_slots.values()}:
        uses = [gradients[slot.name] for slot in a.slots_of(source)]
        assert len(uses) > 1
        np.testing.assert_allclose(gradients[source], sum(uses), rtol=8 * U, atol=8 * U)


def replace_penalties(a: Architecture) -> Architecture:
    return rebuilt(a, penalties=())


@every_graph
def test_a_changed_pass_is_the_whole_pass_with_the_change(a: Architecture) -> None:
    """For the input and for every parameter, at all of its uses."""
    case = draw_case(a, 2)
    trace = reference.forward(case)
    for name in (*a.parameters, *(["input"] if a.input is not None else [])):
        x = value_of(case, trace, name) * 1.25
        changed = reference.forward(case, change=moved(case, trace, name, x[None]))
        if name == "input":
            whole = reference.forward(replace(case, input=x))
        else:
            whole = reference.forward(replace(case, parameters={**case.parameters, name: x}))
        np.testing.assert_allclose(changed.loss, whole.loss, rtol=64 * U)
        for edge_, right in whole.edges.items():
            got = changed.edges[edge_]
            scale = np.abs(right).max(initial=1.0)
            np.testing.assert_allclose(
                np.broadcast_to(got, (1, *right.shape))[0], right, rtol=0, atol=64 * U * scale
            )


def test_a_change_at_one_use_leaves_the_others() -> None:
    """y = x + tanh(x): only one of the two x moves."""
    a = network(ops.Tanh(), ops.Add(inputs=("input", edge(0))), input=(1, 1), loss=ls.WeightedSum())
    case = draw_case(a, 1)
    trace = reference.forward(case)
    x = trace.edges["input"]
    for name, right in (
        ("layers.0.inputs.0", x + np.tanh(x + 1)),
        ("layers.1.inputs.0", x + 1 + np.tanh(x)),
    ):
        changed = reference.forward(case, change=Change(trace, slots={name: (x + 1)[None]}))
        np.testing.assert_allclose(changed.edges[edge(1)][0], right, rtol=4 * U)
        assert changed.edges["input"] is x


def test_a_change_at_a_loss_alone_runs_no_layer() -> None:
    case = draw_case(GRAPHS["several losses"], 1)
    trace = reference.forward(case)
    slots = {"auxiliary.1.inputs.0": trace.edges["input"][None] * 2}
    changed = reference.forward(case, change=Change(trace, slots=slots))
    assert changed.edges == trace.edges
    assert changed.losses["loss"] is trace.losses["loss"]
    again = {site for site in changed.saved if changed.saved[site] is not trace.saved[site]}
    assert again == {"auxiliary.1"}


def test_the_loss_is_the_sum_of_the_losses_and_the_penalties() -> None:
    a = rebuilt(GRAPHS["several losses"], penalties=(L2(0.5),))
    trace = reference.forward(draw_case(a, 1))
    assert set(trace.losses) == {"loss", "auxiliary.0", "auxiliary.1"}
    parts = [*trace.losses.values(), *trace.penalties.values()]
    assert float(trace.loss) == pytest.approx(float(sum(parts)), rel=4 * U)
    assert len(trace.penalties) == 2


@every_graph
def test_the_rounding_of_every_tensor_and_use_is_measured(a: Architecture) -> None:
    measured = rounding.measure(draw_case(a, 1))
    assert set(measured.deviations) == {*a.tensors, "loss"}
    assert set(measured.edges) == set(a.edges)
    assert all(0 < measured.norm(name) < 1e-12 for name in a.tensors)


# --- the verdict ---------------------------------------------------------------------------


@every_graph
@pytest.mark.parametrize("lane", ["generic", "exact", "extreme"])
def test_the_reference_passes_on_graphs(a: Architecture, lane: Any) -> None:
    found = verify(draw_case(a, 1, lane), checkers=NUMERICAL)
    permitted = ("PASS", "INCONCLUSIVE") if lane == "extreme" else ("PASS",)
    assert found.status in permitted, found.reason


@every_graph
def test_an_exhaustive_look_passes_graphs(a: Architecture) -> None:
    found = verify(draw_case(a, 1), checkers=NUMERICAL, exhaustive=True)
    assert found.status == "PASS", found.reason


@pytest.mark.parametrize("fault", in_graphs.FAULTS, ids=lambda fault: fault.name)
@every_graph
def test_a_wrong_sum_over_uses_is_caught_and_blamed_on_fan_out(a: Architecture, fault: Any) -> None:
    """The uses are right, and their sum is wrong."""
    assert bool(a.named_slots) == fault.applies(a, "fan_out")
    if not a.named_slots:
        return
    found = verify(draw_case(a, 1), planted(fault, "fan_out"), checkers=NUMERICAL)
    assert (found.status, found.operator) == ("FAIL", "fan_out"), found.reason
    assert len(a.slots_of(found.tensor)) > 1
    wrong = {o.operator for o in found.operators if o.status == "FAIL"}
    assert wrong == {"fan_out"}


def test_a_wrong_use_is_blamed_on_its_own_operator() -> None:
    """The sum is wrong too, but the use stands before it."""
    a = GRAPHS["residual"]

    def subject(case: Case) -> Any:
        loss, gradients = reference.value_and_gradients(case)
        use = gradients["layers.0.inputs.0"]
        return loss, {
            **gradients, "layers.0.inputs.0": 2 * use, "input": gradients["input"] + use,
        }  # fmt: skip

    found = verify(draw_case(a, 1), subject, checkers=NUMERICAL)
    assert (found.status, found.operator, found.tensor) == ("FAIL", "dense", "layers.0.inputs.0")


# --- surgery, shrinking, scripts -----------------------------------------------------------

ANY = architectures(Limits())


@given(ANY, st.data())
def test_a_layer_less_leaves_a_network(a: Architecture, data: st.DataObject) -> None:
    """Or it is refused with a ValueError: shapes that no longer fit."""
    i = data.draw(st.integers(0, len(a.layers) - 1)) if a.layers else None
    if i is None or not a.sources[i]:
        return
    source = data.draw(st.sampled_from(a.sources[i]))
    try:
        cut = rebuilt(a, instead={edge_name(i + 1): source})
    except ValueError:
        return
    assert len(cut.layers) < len(a.layers)
    assert loads(dumps(cut)) == cut
    reference.forward(draw_case(cut, 1, "tie"))


@given(ANY, st.data())
def test_a_loss_of_an_earlier_edge_keeps_what_that_depends_on(
    a: Architecture, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(list(a.edges)))
    try:
        cut = rebuilt(a, loss=ls.WeightedSum(inputs=(name,)), auxiliary=())
    except ValueError:
        assert len(a.edges[name]) < 2
        return
    assert cut.output == a.edges[name]
    assert set(cut.edges.values()) <= set(a.edges.values())
    assert {type(layer) for layer in cut.layers} <= {type(layer) for layer in a.layers}


@given(ANY)
def test_nothing_changed_is_the_same_network(a: Architecture) -> None:
    assert rebuilt(a).edges == a.edges
    assert rebuilt(rebuilt(a)) == rebuilt(a)


def test_the_first_that_is_left_of_those_that_shared_becomes_the_owner() -> None:
    a = network(
        ops.Dense(4), ops.Tanh(), ops.Dense(4, share="layers.0"), ops.Dense(4, share="layers.0")
    )
    cut = rebuilt(a, instead={edge(0): "input"})
    assert [layer.share for layer in cut.layers] == ["", "", "layers.1"]
    assert set(cut.parameters) == {"layers.1.weight", "layers.1.bias"}


@every_graph
def test_each_simpler_graph_is_one_that_runs(a: Architecture) -> None:
    steps = list(simpler(a))
    assert steps
    for step in steps:
        reference.value_and_gradients(draw_case(step, 1))


def reduce(a: Architecture, fault: Any, site: str) -> tuple[Case, Verdict]:
    def judge(case: Case) -> Verdict:
        applies = fault.applies(case.architecture, site)
        subject = planted(fault, site) if applies else reference.value_and_gradients
        return verify(case, subject, checkers=("complex_step",))

    case = draw_case(a, 1)
    return shrink(case, judge(case), judge)


@pytest.mark.parametrize("name", ["residual", "dense connections", "tied", "self attention"])
def test_a_wrong_sum_shrinks_to_one_tensor_used_twice(name: str) -> None:
    fault = next(f for f in in_graphs.FAULTS if f.name == "use_overwritten")
    minimal, verdict = reduce(GRAPHS[name], fault, "fan_out")
    assert (verdict.status, verdict.operator) == ("FAIL", "fan_out")
    a = minimal.architecture
    assert len({slot.source for slot in a.named_slots.values()}) <= 2
    assert len(a.layers) <= 3
    assert max(n for shape in a.edges.values() for n in shape) <= 2


def test_the_script_of_a_graph_shows_who_is_right(tmp_path: Path) -> None:
    """For a sum, and for a single use, which is moved alone."""
    claimed = {}
    for k, (name, a) in enumerate(GRAPHS.items()):
        case = draw_case(a, 1)
        loss, gradients = reference.value_and_gradients(case)
        tensor = [*a.named_slots, *a.edges, *a.parameters][k % 3]
        wrong = {**gradients, tensor: 1.5 * gradients[tensor]}
        verdict = Verdict("FAIL", "a reason", tensor=tensor)
        text = write_script(case, verdict, loss, wrong, id=name, file="script.py")
        (tmp_path / f"{k}.py").write_text(text)
        claimed[str(k)] = (loss, gradients[tensor])
    for stem, said in run_all(tmp_path).items():
        loss, right = claimed[stem]
        assert said.loss == pytest.approx(float(loss), rel=1e-12)
        # central differences with h = 1e-5 err by some 1e-9 of the largest entry here
        allowed = 1e-7 * np.abs(right).max()
        np.testing.assert_allclose(said.numerical, right.ravel(), rtol=0, atol=allowed)
        np.testing.assert_allclose(said.claimed, 1.5 * right.ravel(), rtol=1e-9, atol=1e-12)
