"""What every page of derivation must hold, checked on one configuration of one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backproof.architectures.cases import draw_case
from backproof.architectures.configurations import CONFIGURATIONS, network
from backproof.architectures.operators import Operator, Shape
from backproof.checkers.noise import INJECTED, Noise, Noisy, replicate
from backproof.checkers.rounding import rms
from backproof.reference.arrays import Array, Arrays, regions
from backproof.reference.pages import LAYERS

H = 2.0**-100
UNIT = 2.0**-53
REPLICAS = 3


class Drawn:
    """Values for one operator: inputs, parameters and data, and its page."""

    def __init__(self, op: Operator, shapes: tuple[Shape, ...], seed: int = 1) -> None:
        a = network(op, shapes)
        case = draw_case(a, seed)
        last = f"layers.{len(shapes)}."
        self.op, self.page, self.seed = op, LAYERS[type(op)], seed
        self.inputs = [case.parameters[f"layers.{i}.value"] for i in range(len(shapes))]
        self.data = {n.removeprefix(last): d for n, d in case.data.items()}
        self.parameters = {
            n.removeprefix(last): v for n, v in case.parameters.items() if n.startswith(last)
        }
        self.y_shape = a.output

    def forward(self, inputs: list[Any], parameters: dict[str, Any], branch: Any) -> Any:
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        return self.page.forward(self.op, {**parameters, **self.data}, x, branch)

    def branch(self, inputs: list[Any], parameters: dict[str, Any]) -> Any:
        if self.page.kink is None:
            return None
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        kink = self.page.kink(self.op, {**parameters, **self.data}, x)
        return None if kink is None else regions(kink)

    def backward(self, parameters: dict[str, Any], saved: Any, y_bar: Any) -> tuple[Any, Arrays]:
        x_bar, p_bar = self.page.backward(self.op, {**parameters, **self.data}, saved, y_bar)
        return (x_bar if isinstance(x_bar, tuple) else (x_bar,)), p_bar


def check_page(op: Operator, shapes: tuple[Shape, ...], seed: int = 1) -> None:
    """Assert that forward and backward of a page fit each other, in every way that is used."""
    d = Drawn(op, shapes, seed)
    rng = np.random.default_rng(seed)
    branch = d.branch(d.inputs, d.parameters)
    before = [v.copy() for v in (*d.inputs, *d.parameters.values())]
    y, saved = d.forward(d.inputs, d.parameters, branch)
    assert y.shape == d.y_shape
    y_bar = rng.standard_normal(y.shape)
    kept = y_bar.copy()
    x_bars, p_bar = d.backward(d.parameters, saved, y_bar)
    assert [x.shape for x in x_bars] == [x.shape for x in d.inputs]
    assert {n: g.shape for n, g in p_bar.items()} == {n: p.shape for n, p in d.parameters.items()}
    for now, then in zip((*d.inputs, *d.parameters.values(), y_bar), (*before, kept), strict=True):
        np.testing.assert_array_equal(now, then, "an argument was written to")

    deviations = _noise(d, branch, y_bar, x_bars, p_bar)
    _against_complex_step(d, branch, y_bar, x_bars, p_bar, deviations)
    _replicas(d, branch, rng)
    _float32(d, branch)


def _against_complex_step(
    d: Drawn, branch: Any, y_bar: Array, x_bars: Any, p_bar: Arrays, deviations: dict[Any, Array]
) -> None:
    """Every entry of every gradient, by one complex step each, all in one call of replicas.

    Allowed are some tens of roundings of the terms that are added up here, and some tens of
    the deviations that rounding makes in the backward pass.
    """
    tensors: list[tuple[Any, Array, Array]] = [
        *((k, x, g) for k, (x, g) in enumerate(zip(d.inputs, x_bars, strict=True))),
        *((n, d.parameters[n], g) for n, g in p_bar.items()),
    ]
    for key, value, gradient in tensors:
        offsets = 1j * H * np.eye(value.size).reshape(value.size, *value.shape)
        inputs = [x[None] for x in d.inputs]
        parameters = {n: p[None] for n, p in d.parameters.items()}
        if isinstance(key, int):
            inputs[key] = inputs[key] + offsets
        else:
            parameters[key] = parameters[key] + offsets
        y, _ = d.forward(inputs, parameters, branch)
        terms = np.broadcast_to(y, (value.size, *d.y_shape)).imag / H * y_bar
        axes = tuple(range(1, terms.ndim))
        exact = terms.sum(axis=axes).reshape(value.shape)
        size = np.abs(terms).sum(axis=axes).reshape(value.shape)
        own = rms(deviations[key].reshape(-1, *value.shape))
        allowed = 64 * UNIT * size + 20 * UNIT / INJECTED["float64"] * own
        wrong = np.abs(gradient - exact) > allowed
        assert not wrong.any(), f"{d.op}: gradient of {key}: {gradient} is not {exact}"


def _replicas(d: Drawn, branch: Any, rng: np.random.Generator) -> None:
    """A call with a replica axis is the calls without it."""
    inputs = [x + 0.01 * rng.standard_normal((REPLICAS, *x.shape)) for x in d.inputs]
    parameters = {
        n: p + 0.01 * rng.standard_normal((REPLICAS, *p.shape)) for n, p in d.parameters.items()
    }
    y, saved = d.forward(inputs, parameters, branch)
    if not inputs and not parameters:
        return
    y_bar = rng.standard_normal((REPLICAS, *d.y_shape))
    x_bars, p_bar = d.backward(parameters, saved, y_bar)
    for r in range(REPLICAS):
        own = {n: p[r] for n, p in parameters.items()}
        one, one_saved = d.forward([x[r] for x in inputs], own, branch)
        np.testing.assert_allclose(y[r], one, rtol=1e-12, atol=1e-13)
        one_bars, one_p = d.backward(own, one_saved, y_bar[r])
        for got, expected in zip(x_bars, one_bars, strict=True):
            np.testing.assert_allclose(got[r], expected, rtol=1e-11, atol=1e-12)
        for name, expected in one_p.items():
            np.testing.assert_allclose(p_bar[name][r], expected, rtol=1e-11, atol=1e-12)


def _noise(d: Drawn, branch: Any, y_bar: Array, x_bars: Any, p_bar: Arrays) -> dict[Any, Array]:
    """The page runs under Monte Carlo arithmetic; by how much each gradient deviates."""
    noise = Noise(np.random.default_rng(0), "float64", 32)
    inputs = [replicate(x, noise) for x in d.inputs]
    parameters = {n: replicate(p, noise) for n, p in d.parameters.items()}
    _, saved = d.forward(inputs, parameters, branch)
    bars, noisy = d.backward(parameters, saved, replicate(y_bar, noise))
    deviations: dict[Any, Array] = {}
    for key, got, expected in (
        *((k, bar, x) for k, (bar, x) in enumerate(zip(bars, x_bars, strict=True))),
        *((n, noisy[n], g) for n, g in p_bar.items()),
    ):
        assert isinstance(got, Noisy), f"{d.op}: a gradient lost its noise"
        scale = np.abs(expected).max(initial=0.0) + 1.0
        deviations[key] = got.view(np.ndarray) - expected
        assert np.abs(deviations[key]).max(initial=0.0) < 1e-7 * scale
    return deviations


def _float32(d: Drawn, branch: Any) -> None:
    """float32 in, float32 out."""
    parameters = {n: p.astype(np.float32) for n, p in d.parameters.items()}
    double = d.data
    d.data = {n: v.astype(np.float32) if v.dtype.kind == "f" else v for n, v in d.data.items()}
    y, saved = d.forward([x.astype(np.float32) for x in d.inputs], parameters, branch)
    assert y.dtype == np.float32, f"{d.op}: the output is {y.dtype}"
    bars, p_bar = d.backward(parameters, saved, np.ones(d.y_shape, np.float32))
    for g in (*bars, *p_bar.values()):
        assert g.dtype == np.float32, f"{d.op}: a gradient is {g.dtype}"
    d.data = double


def configurations(kinds: Sequence[type[Operator]]) -> list[Any]:
    """A test's parameter for each configuration of each of these kinds."""
    return [
        pytest.param(op, shapes, id=f"{op.name}-{k}")
        for kind in kinds
        for k, (op, shapes) in enumerate(CONFIGURATIONS[kind])
    ]


# --- one page at a time ------------------------------------------------------------------


def run(op: Operator, x: Any, p: Arrays | None = None) -> tuple[Array, Any]:
    """y and what is saved."""
    page, p = LAYERS[type(op)], p or {}
    kink = page.kink(op, p, x) if page.kink else None
    y, saved = page.forward(op, p, x, None if kink is None else regions(kink))
    return y, saved


def value(op: Operator, x: Any, p: Arrays | None = None) -> Array:
    return run(op, x, p)[0]


def gradients(op: Operator, x: Any, y_bar: Array, p: Arrays | None = None) -> tuple[Any, Arrays]:
    x_bar, p_bar = LAYERS[type(op)].backward(op, p or {}, run(op, x, p)[1], y_bar)
    return x_bar, p_bar
