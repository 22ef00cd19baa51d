"""The chain rule over whole networks, against complex step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import L1, L2
from backproof.architectures.operators import Dense, Identity, ReLU, Tanh
from backproof.reference import network
from backproof.reference.arrays import Array

U = 2.0**-53
STEP = 1e-30

NETWORKS = {
    "linear": Architecture((4, 3), (Dense(2),), losses.SquaredError()),
    "one output": Architecture((5, 3), (Dense(4), Tanh(), Dense(1)), losses.LogCosh()),
    "square layers": Architecture(
        (3, 3), (Dense(3), Tanh(), Dense(3), Tanh()), losses.Huber(), (L2(0.1),)
    ),
    "no biases": Architecture(
        (4, 2), (Dense(5, bias=False), ReLU(), Dense(3, bias=False)), losses.CrossEntropy()
    ),
    "kinks": Architecture(
        (4, 3), (Dense(6), ReLU(), Dense(3)), losses.AbsoluteError(), (L1(0.05), L2(0.2))
    ),
    "hinge": Architecture((6, 4), (Dense(5), ReLU(), Dense(4)), losses.Hinge(), (L1(0.0),)),
    "one example": Architecture((1, 4), (Dense(3), Tanh()), losses.Cosine()),
    "no layers": Architecture((4, 3), (), losses.WeightedSum()),
}

every_network = pytest.mark.parametrize("architecture", NETWORKS.values(), ids=NETWORKS)


def own_input(case: Case) -> Array:
    assert case.input is not None
    return case.input


def complex_step(case: Case, name: str, branches: network.Branches) -> Array:
    """The gradient of one tensor off the forward pass, all its entries as replicas."""
    trace = network.forward(case, branches=branches)
    slot = case.architecture.named_slots.get(name)
    source = name if slot is None else slot.source
    base = case.parameters[source] if source in case.parameters else trace.edges[source]
    moved = {name: base + 1j * STEP * np.eye(base.size).reshape(base.size, *base.shape)}
    if slot is not None:
        change = network.Change(trace, slots=moved)
    elif name in case.parameters:
        change = network.Change(trace, parameters=moved)
    else:
        change = network.Change(trace, edges=moved)
    loss = network.forward(case, branches=branches, change=change).loss
    gradient: Array = np.asarray(loss).imag.reshape(base.shape) / STEP
    return gradient


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_every_gradient_is_the_complex_step_of_the_forward_pass(
    architecture: Architecture, seed: int
) -> None:
    case = draw_case(architecture, seed)
    _, gradients = network.value_and_gradients(case)
    assert set(gradients) == set(architecture.tensors)
    for name, gradient in gradients.items():
        right = complex_step(case, name, network.forward(case).branches)
        # Some tens of roundings, of sums whose terms are at most some times the largest.
        np.testing.assert_allclose(gradient, right, rtol=0, atol=64 * U * np.abs(right).max())


@every_network
def test_tied_inputs_are_differentiated_on_the_pieces_that_the_branches_name(
    architecture: Architecture,
) -> None:
    """At ties the gradient is that of the frozen pieces, whichever they are."""
    case = draw_case(architecture, 5, lane="tie")
    trace = network.forward(case)
    flipped = {
        site: b if site == "loss" else (b == 0).astype(np.int8)
        for site, b in trace.branches.items()
    }
    for branches in (trace.branches, flipped):
        held = network.forward(case, branches=branches)
        gradients = network.backward(case, held)
        for name, gradient in gradients.items():
            right = complex_step(case, name, branches)
            scale = max(np.abs(right).max(), 1.0)
            np.testing.assert_allclose(gradient, right, rtol=0, atol=64 * U * scale)


@every_network
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_have_the_shape_and_dtype_of_their_tensors(
    architecture: Architecture, dtype: Any
) -> None:
    case = draw_case(architecture, 0, dtype=dtype)
    value, gradients = network.value_and_gradients(case)
    assert np.asarray(value).dtype == dtype
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype, name
    for name, shape in architecture.tensors.items():
        assert gradients[name].shape == shape


@every_network
def test_a_change_at_an_edge_runs_the_rest_alone(architecture: Architecture) -> None:
    """The same value again gives the same loss and the same gradients, to the last bit."""
    case = draw_case(architecture, 1)
    whole = network.forward(case)
    gradients = network.backward(case, whole)
    ones = np.ones((1, 1, 1))
    for start, (name, value) in enumerate(whole.edges.items()):
        part = network.forward(case, change=network.Change(whole, edges={name: value[None]}))
        assert part.loss == whole.loss
        for i in range(len(architecture.layers)):
            site, output = f"layers.{i}", edge_name(i + 1)
            run_again = part.saved[site] is not whole.saved[site]
            assert run_again == (i >= start)
            assert (part.edges[output] is not whole.edges[output]) == (run_again or output == name)
        if start:
            continue  # what stands below an edge has no replica axis
        for tensor, gradient in network.backward(case, part, value_bar=ones).items():
            np.testing.assert_allclose(gradient[0], gradients[tensor], rtol=4 * U)


@every_network
def test_replicas_equal_a_loop(architecture: Architecture) -> None:
    cases = [draw_case(architecture, seed) for seed in range(4)]
    alike = [replace(case, targets=cases[0].targets) for case in cases]
    stacked = replace(
        alike[0],
        parameters={n: np.stack([c.parameters[n] for c in cases]) for n in architecture.parameters},
        input=None if cases[0].input is None else np.stack([own_input(c) for c in cases]),
    )
    trace = network.forward(stacked)
    gradients = network.backward(stacked, trace, value_bar=np.ones((1, 1, 1)))
    for k, case in enumerate(alike):
        alone = network.forward(case)
        np.testing.assert_allclose(trace.loss[k], alone.loss, rtol=64 * U)
        for name, gradient in network.backward(case, alone).items():
            got = np.broadcast_to(gradients[name], (len(cases), *gradient.shape))[k]
            scale = np.abs(gradient).max()
            np.testing.assert_allclose(got, gradient, rtol=0, atol=64 * U * scale)


def test_given_branches_are_kept_and_reported() -> None:
    case = draw_case(NETWORKS["kinks"], 2)
    own = network.forward(case)
    assert set(own.branches) == {
        "layers.1",
        "loss",
        "penalties.0.layers.0.weight",
        "penalties.0.layers.2.weight",
    }
    other = {"layers.1": 1 - own.branches["layers.1"]}
    held = network.forward(case, branches=other)
    np.testing.assert_array_equal(held.branches["layers.1"], other["layers.1"])
    np.testing.assert_array_equal(held.branches["loss"].shape, own.branches["loss"].shape)
    assert held.loss != own.loss


def test_penalties_act_on_weights_and_not_on_biases() -> None:
    bare = NETWORKS["linear"]
    case = draw_case(bare, 0)
    _, before = network.value_and_gradients(case)
    for penalty, extra in (
        (L2(0.5), 0.5 * case.parameters["layers.0.weight"]),
        (L1(0.5), 0.5 * np.sign(case.parameters["layers.0.weight"])),
    ):
        penalised = Architecture(bare.input, bare.layers, bare.loss, (penalty,))
        _, after = network.value_and_gradients(draw_case(penalised, 0))
        np.testing.assert_array_equal(after["layers.0.weight"], before["layers.0.weight"] + extra)
        for name in set(before) - {"layers.0.weight"}:
            np.testing.assert_array_equal(after[name], before[name])


def test_an_override_replaces_one_backward_function_and_no_other() -> None:
    architecture = NETWORKS["kinks"]
    case = draw_case(architecture, 3)
    _, right = network.value_and_gradients(case)

    def no_penalty(penalty: Any, w: Array, branch: Any) -> Array:
        return np.zeros_like(w)

    _, gradients = network.value_and_gradients(case, {"penalties.1": no_penalty})
    for name in ("layers.0.weight", "layers.2.weight"):
        np.testing.assert_allclose(
            gradients[name], right[name] - 0.2 * case.parameters[name], rtol=0, atol=64 * U
        )
    for name in set(right) - {"layers.0.weight", "layers.2.weight"}:
        np.testing.assert_array_equal(gradients[name], right[name])

    def through(layer: Any, p: Any, saved: Any, y_bar: Array) -> Any:
        return y_bar, {}

    _, gradients = network.value_and_gradients(case, {"layers.1": through})
    np.testing.assert_array_equal(gradients["layers.0.output"], right["layers.1.output"])
    np.testing.assert_array_equal(gradients["layers.2.weight"], right["layers.2.weight"])

    def doubled(loss: Any, saved: Any, value_bar: float) -> Array:
        _, branch = saved
        return np.full(branch.shape, 2.0)

    _, gradients = network.value_and_gradients(case, {"loss": doubled})
    assert (gradients["layers.2.output"] == 2).all()
    np.testing.assert_array_equal(gradients["layers.2.bias"], [8.0] * 3)


def test_nothing_is_written_to_and_the_second_call_agrees() -> None:
    case = draw_case(NETWORKS["kinks"], 4)
    assert not own_input(case).flags.writeable
    first, second = (network.value_and_gradients(case) for _ in range(2))
    assert first[0] == second[0]
    for name in first[1]:
        np.testing.assert_array_equal(first[1][name], second[1][name])


def test_tensors_run_backward_and_name_everything_once() -> None:
    architecture = Architecture((2, 3), (Dense(4), Identity(), Dense(1)), losses.SquaredError())
    assert list(architecture.tensors) == [
        "layers.2.output",
        "layers.2.weight",
        "layers.2.bias",
        "layers.1.output",
        "layers.0.output",
        "layers.0.weight",
        "layers.0.bias",
        "input",
    ]
