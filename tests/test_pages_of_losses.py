"""The losses of sequences, of several edges and of images: their pages against complex step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.operators import Shape
from backproof.checkers import complex_step, rounding
from backproof.checkers.probe import Probe
from backproof.reference import network, pages

Array = npt.NDArray[Any]

U = 2.0**-53


def of_one_edge(loss: Any, shape: Shape, *layers: Any) -> Architecture:
    return Architecture(shape, layers, loss)


def of_several(loss: Any, count: int, shape: Shape) -> Architecture:
    names = tuple(f"layers.{i}.output" for i in range(count))
    placed = type(loss)(**{**_fields(loss), "inputs": names})
    return Architecture(None, tuple(ops.Variable(shape) for _ in names), placed)


def _fields(loss: Any) -> dict[str, Any]:
    return {name: getattr(loss, name) for name in loss.__struct_fields__}


SEQUENCE = (2, 5, 4)
NETWORKS: dict[str, Architecture] = {
    "ctc": of_one_edge(ls.CTC(2), SEQUENCE),
    "ctc, sum, the last class blank": of_one_edge(ls.CTC(3, 3, reduction="sum"), SEQUENCE),
    "ctc, lengths": of_one_edge(
        ls.CTC(3, 0, input_lengths=(5, 3), target_lengths=(3, 1)), SEQUENCE
    ),
    "ctc, two classes": of_one_edge(ls.CTC(2), (2, 4, 2)),
    "ctc, one step": of_one_edge(ls.CTC(1), (3, 1, 3)),
    "triplet": of_several(ls.TripletMargin(), 3, (4, 3)),
    "triplet, sum, a wide margin": of_several(ls.TripletMargin(3.0, reduction="sum"), 3, (4, 3)),
    "gaussian": of_several(ls.GaussianKL(), 2, (3, 4)),
    "gaussian, mean, images": of_several(ls.GaussianKL("mean"), 2, (2, 3, 2, 2)),
    "dice": of_one_edge(ls.Dice(), (3, 1, 2, 3), ops.Sigmoid()),
    "dice, sum": of_one_edge(ls.Dice(0.1, "sum"), (3, 4), ops.Sigmoid()),
    **{f"focal {r}": of_one_edge(ls.Focal(reduction=r), (3, 4)) for r in ("sum", "mean")},
    "focal, weighted, images": of_one_edge(ls.Focal(1.5, 0.25, "batch_mean"), (2, 3, 2, 2)),
    "focal, gamma 0": of_one_edge(ls.Focal(0.0), (3, 4)),
    "cross-entropy of sequences": of_one_edge(ls.CrossEntropy(ignore_index=1), SEQUENCE),
    "weights of sequences": of_one_edge(
        ls.BinaryCrossEntropyWithLogits((0.5, 1.0, 2.0, 4.0), "batch_mean"), SEQUENCE
    ),
    "cosine of images": of_one_edge(ls.Cosine(), (2, 2, 3, 4)),
}

every_network = pytest.mark.parametrize("a", NETWORKS.values(), ids=NETWORKS)


@every_network
@pytest.mark.parametrize("lane", ["generic", "tie", "extreme"])
def test_every_gradient_is_the_complex_step_of_the_forward_pass(a: Architecture, lane: Any) -> None:
    case = draw_case(a, 3, lane)
    trace = network.forward(case)
    gradients = network.backward(case, trace)
    probe = Probe(case)
    measured = rounding.measure(case, replicas=64)
    for name, gradient in gradients.items():
        size = int(np.prod(gradient.shape))
        units = np.eye(size).reshape(size, *gradient.shape)
        own = complex_step.own_rounding(probe, name, units, 64, 1).reshape(gradient.shape)
        allowed = 12 * (measured.entries(name) + own) + 1e-290
        difference = np.abs(complex_step.every_entry(probe, name) - gradient)
        assert (difference <= allowed).all(), (name, difference / allowed)


@every_network
def test_float32_stays_float32(a: Architecture) -> None:
    value, gradients = network.value_and_gradients(draw_case(a, 1, dtype="float32"))
    assert np.asarray(value).dtype == np.float32
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float32)}


@every_network
def test_a_call_with_replicas_is_the_calls_without(a: Architecture) -> None:
    cases = [draw_case(a, seed) for seed in range(3)]
    together = _stacked(cases)
    losses = np.asarray(network.forward(together).loss)
    for k, case in enumerate(cases):
        one = network.forward(_with_target(case, cases[0])).loss
        np.testing.assert_allclose(losses[k], one, rtol=1e-13)


ROOTS = 64
"""Roundings of a quadratic's coefficients, of up to 16 terms, and of its roots' product."""


def _vanishes(v: Array, d: Array) -> Array:
    """The |t| at which the sum of the squares of v + t d is 0, row by row.

    The coefficients are real and the sum is never negative, so the two roots are conjugate and
    of one length.  Their product is well conditioned, also where they meet.
    """
    roots = [np.roots([d @ d, 2 * d @ row, row @ row]) for row in v]
    return np.asarray(np.sqrt(np.abs(np.prod(roots, axis=1))))


@pytest.mark.parametrize("wide", [1, 4, 16])
def test_the_radius_of_a_length_is_how_far_every_entry_may_move_at_once(wide: int) -> None:
    v = np.random.default_rng(wide).standard_normal((3, wide))
    farthest = np.ones(wide)  # every entry by 1
    radius = pages.LOSSES[ls.Cosine].radius
    assert radius is not None
    expected = _vanishes(v, farthest)
    np.testing.assert_allclose(radius(ls.Cosine(), v, v)[:, 0], expected, rtol=ROOTS * U)

    loss, a = ls.TripletMargin(), np.zeros_like(v)
    radius = pages.LOSSES[ls.TripletMargin].radius
    assert radius is not None
    for p, n in ((-v, 2 - v), (2 - v, -v)):
        found = radius(loss, (a, p, n), None)[:, 0]
        # a goes one way and the other two the opposite one
        sides = (_vanishes(a - x + loss.epsilon, 2 * farthest) for x in (p, n))
        np.testing.assert_allclose(found, np.minimum(*sides), rtol=ROOTS * U)


def _stacked(cases: list[Case]) -> Case:
    first = cases[0]
    x = None if first.input is None else np.stack([np.asarray(c.input) for c in cases])
    parameters = {n: np.stack([c.parameters[n] for c in cases]) for n in first.parameters}
    return Case(first.architecture, parameters, x, first.targets, "float64", "generic", 0)


def _with_target(case: Case, other: Case) -> Case:
    return Case(
        case.architecture, case.parameters, case.input, other.targets, "float64", "generic", 0
    )


# --- what they are ----------------------------------------------------------------------


def loss_of(case: Case) -> float:
    return float(network.forward(case).loss)


def brute_force_ctc(loss: ls.CTC, y: Any, target: Any) -> float:
    """-log of the sum over every path, one after the other."""
    terms = []
    for n, logits in enumerate(y):
        steps = loss.input_lengths[n] if loss.input_lengths else len(logits)
        count = loss.target_lengths[n] if loss.target_lengths else loss.labels
        q = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        weights = [
            math.exp(sum(q[t, k] for t, k in enumerate(path)))
            for path in itertools.product(range(q.shape[-1]), repeat=steps)
            if [k for k, _ in itertools.groupby(path) if k != loss.blank] == [*target[n][:count]]
        ]
        terms.append(-math.log(math.fsum(weights)))
    return sum(terms) / (len(terms) if loss.reduction == "mean" else 1)


@pytest.mark.parametrize("name", [n for n in NETWORKS if n.startswith("ctc")])
@pytest.mark.parametrize("seed", range(4))
def test_ctc_is_the_sum_over_all_paths(name: str, seed: int) -> None:
    case = draw_case(NETWORKS[name], seed)
    loss: Any = case.architecture.loss
    right = brute_force_ctc(loss, case.input, case.target)
    assert loss_of(case) == pytest.approx(right, rel=1e-13)


def test_ctc_does_not_see_the_steps_beyond_an_examples_length() -> None:
    case = draw_case(NETWORKS["ctc, lengths"], 1)
    gradient = network.value_and_gradients(case)[1]["input"]
    assert (gradient[1, 3:] == 0).all()
    assert (gradient[1, :3] != 0).all()


FORMULAS: dict[str, Callable[[Case], float]] = {
    "gaussian": lambda c: float(
        0.5 * np.sum(np.exp(c.parameters["layers.1.value"]) + c.parameters["layers.0.value"] ** 2
                     - 1 - c.parameters["layers.1.value"]) / 3
    ),
    "triplet, sum, a wide margin": lambda c: _triplet(c),
    "dice, sum": lambda c: _dice(c),
    "focal mean": lambda c: _focal(c),
}  # fmt: skip


def _triplet(case: Case) -> float:
    a, p, n = (case.parameters[f"layers.{i}.value"] for i in range(3))
    far = np.linalg.norm(a - p + 1e-6, axis=-1)
    near = np.linalg.norm(a - n + 1e-6, axis=-1)
    return float(np.maximum(far - near + 3.0, 0.0).sum())


def _dice(case: Case) -> float:
    y, t = 1 / (1 + np.exp(-np.asarray(case.input))), case.target
    top = 2 * (y * t).sum(axis=-1) + 0.1
    return float((1 - top / (y.sum(axis=-1) + t.sum(axis=-1) + 0.1)).sum())


def _focal(case: Case) -> float:
    p, t = 1 / (1 + np.exp(-np.asarray(case.input))), case.target
    terms = t * (1 - p) ** 2 * np.log(p) + (1 - t) * p**2 * np.log(1 - p)
    return float(-terms.mean())


@pytest.mark.parametrize("name", FORMULAS)
def test_the_others_are_what_their_docstrings_say(name: str) -> None:
    for seed in range(3):
        case = draw_case(NETWORKS[name], seed)
        assert loss_of(case) == pytest.approx(FORMULAS[name](case), rel=1e-12)
