"""JAX's forward passes of the dense family, the shapes, the convolutions and the pools.

The docstrings are stated once more as loops over single entries in NumPy.  JAX's value is
compared with the loops', and JAX's gradients with differences of the loops' losses.  Where
several entries share a maximum, the tests record which share of the cotangent each gets.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from backproof.architectures import operators as ops
from backproof.architectures.architecture import edge_name
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.configurations import CONFIGURATIONS, Configuration, network
from backproof.checkers import with_jax
from backproof.checkers.with_jax import convolutions, dense, estimate, float64_on_cpu, shapes

Values = list[Any]
Naive = Callable[[Any, dict[str, Any], Values], Any]

CURVED = (
    ops.WeightNormDense, ops.Maximum, ops.Minimum, ops.Max, ops.MaxPool1d, ops.MaxPool2d,
    ops.GlobalMaxPool,
)  # fmt: skip
"""All others are affine in every single entry: a step of 1 gives the slope, to rounding."""
STEP = 1e-5  # central differences: an error of about STEP^2 and of 2^-53 / STEP

# --- the docstrings, entry by entry -------------------------------------------------------


def places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, shape))


def naive_dense(op: Any, p: dict[str, Any], x: Values) -> Any:
    weight = p["weight"]
    y = np.zeros((*x[0].shape[:-1], op.units))
    for *at, k in places(y.shape):
        y[(*at, k)] = sum(x[0][(*at, m)] * weight[k, m] for m in range(weight.shape[1]))
        y[(*at, k)] += p["bias"][k] if op.bias else 0
    return y


def naive_weight_norm(op: Any, p: dict[str, Any], x: Values) -> Any:
    rows = [g * v / math.sqrt(sum(v * v)) for g, v in zip(p["gain"], p["direction"], strict=True)]
    return naive_dense(op, {**p, "weight": np.array(rows)}, x)


def naive_bilinear(op: Any, p: dict[str, Any], x: Values) -> Any:
    a, b = x
    y = np.zeros((*a.shape[:-1], op.units))
    for *at, k in places(y.shape):
        for m, n in places(p["weight"].shape[1:]):
            y[(*at, k)] += a[(*at, m)] * p["weight"][k, m, n] * b[(*at, n)]
        y[(*at, k)] += p["bias"][k] if op.bias else 0
    return y


def naive_embedding(op: Any, p: dict[str, Any], x: Values) -> Any:
    y = np.zeros((*op.shape, op.units))
    for at in places(op.shape):
        i = p["indices"][at]
        y[at] = 0 if i == op.padding_index else p["weight"][i]
    return y


def naive_matmul(op: Any, p: dict[str, Any], x: Values) -> Any:
    a = np.moveaxis(x[0], -1, -2) if op.transpose_a else x[0]
    b = np.moveaxis(x[1], -1, -2) if op.transpose_b else x[1]
    y = np.zeros((*a.shape[:-1], b.shape[-1]))
    for *at, i, j in places(y.shape):
        y[(*at, i, j)] = sum(a[(*at, i, k)] * b[(*at, k, j)] for k in range(a.shape[-1]))
    return y


def repeated(x: Values) -> Values:
    shape = tuple(max(sizes) for sizes in zip(*(a.shape for a in x), strict=True))
    result = []
    for a in x:
        full = np.zeros(shape)
        for at in places(shape):
            full[at] = a[tuple(i % n for i, n in zip(at, a.shape, strict=True))]
        result.append(full)
    return result


def entrywise(f: Callable[..., float]) -> Naive:
    def naive(op: Any, p: dict[str, Any], x: Values) -> Any:
        full = repeated(x)
        y = np.zeros(full[0].shape)
        for at in places(y.shape):
            y[at] = f(*(a[at] for a in full))
        return y

    return naive


def naive_flatten(op: Any, p: dict[str, Any], x: Values) -> Any:
    lead = x[0].shape[: -op.axes]
    return np.array([list(x[0][at].flat) for at in places(lead)]).reshape(*lead, -1)


def naive_reshape(op: Any, p: dict[str, Any], x: Values) -> Any:
    lead = x[0].shape[: -op.axes]
    y = np.zeros((*lead, *op.shape))
    for at in places(lead):
        for to, entry in zip(places(op.shape), x[0][at].flat, strict=True):
            y[at + to] = entry
    return y


def naive_transpose(op: Any, p: dict[str, Any], x: Values) -> Any:
    """Axis j of y's last is axis order[j] of x."""
    a, k = x[0], len(op.order)
    y = np.zeros((*a.shape[:-k], *(a.shape[axis] for axis in op.order)))
    for at in places(y.shape):
        source = list(at)
        for j, axis in enumerate(op.order):
            source[axis] = at[len(at) - k + j]
        y[at] = a[tuple(source)]
    return y


@functools.cache
def padded(op: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], list[tuple[Any, Any]]]:
    """The shape of y, and each place of it with the place of x that it shows, if any."""
    pairs = [(0, 0)] * (len(shape) - len(op.padding)) + list(op.padding)
    sizes = tuple(n + sum(pair) for n, pair in zip(shape, pairs, strict=True))
    found: list[tuple[Any, Any]] = []
    for at in places(sizes):
        inner = [i - before for i, (before, _) in zip(at, pairs, strict=True)]
        steps = list(zip(inner, shape, strict=True))
        if op.mode == "constant":
            found.append((at, tuple(inner) if all(0 <= i < n for i, n in steps) else None))
        elif op.mode == "edge":
            found.append((at, tuple(min(max(i, 0), n - 1) for i, n in steps)))
        else:
            mirrored = [(abs(i), n) for i, n in steps]
            found.append((at, tuple(2 * (n - 1) - i if i >= n else i for i, n in mirrored)))
    return sizes, found


def naive_pad(op: Any, p: dict[str, Any], x: Values) -> Any:
    sizes, shown = padded(op, x[0].shape)
    y = np.zeros(sizes)
    for at, source in shown:
        y[at] = op.value if source is None else x[0][source]
    return y


def naive_slice(op: Any, p: dict[str, Any], x: Values) -> Any:
    axis = x[0].ndim + op.axis
    kept = range(op.start, op.stop, op.step)
    return np.stack([x[0][(slice(None),) * axis + (i,)] for i in kept], axis)


def naive_concat(op: Any, p: dict[str, Any], x: Values) -> Any:
    axis = x[0].ndim + op.axis
    return np.stack(
        [a[(slice(None),) * axis + (i,)] for a in x for i in range(a.shape[axis])], axis
    )


def reduction(f: Callable[[list[float]], float]) -> Naive:
    def naive(op: Any, p: dict[str, Any], x: Values) -> Any:
        a = x[0]
        gone = [a.ndim + axis for axis in op.axes]
        groups: dict[tuple[int, ...], list[float]] = {}
        for at in places(a.shape):
            kept = tuple(0 if i in gone else n for i, n in enumerate(at))
            groups.setdefault(kept, []).append(a[at])
        y = np.zeros([1 if i in gone else n for i, n in enumerate(a.shape)])
        for at, entries in groups.items():
            y[at] = f(entries)
        return y if op.keep else y.reshape([n for i, n in enumerate(y.shape) if i not in gone])

    return naive


def average(entries: list[float]) -> float:
    return sum(entries) / len(entries)


def position(op: Any, i: int, f: int, n: int) -> float:
    m = f * n
    if op.align_corners:
        p = i * (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        p = (i + 1 / 2) / f - 1 / 2
    return min(max(p, 0.0), n - 1.0)


def naive_upsample(op: Any, p: dict[str, Any], x: Values) -> Any:
    a, (fh, fw) = x[0], op.factor
    h, w = a.shape[2:]
    y = np.zeros((*a.shape[:2], fh * h, fw * w))
    for n, c, i, j in places(y.shape):
        if op.form == "nearest":
            y[n, c, i, j] = a[n, c, i // fh, j // fw]
            continue
        u, v = position(op, i, fh, h), position(op, j, fw, w)
        for k, m in places((h, w)):
            hat = max(1 - abs(u - k), 0) * max(1 - abs(v - m), 0)
            y[n, c, i, j] += hat * a[n, c, k, m]
    return y


def around(op: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    axes = len(op.kernel)
    if op.padding == "valid":
        return [(0, 0)] * axes
    if op.padding != "same":
        return [(n, n) for n in op.padding]
    found = []
    for axis in range(axes):
        n, k = shape[2 + axis], op.kernel[axis]
        s = op.stride[axis] if op.stride else 1
        d = op.dilation[axis] if op.dilation else 1
        total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
        found.append((math.floor(total / 2), math.ceil(total / 2)))
    return found


class Terms(NamedTuple):
    """Products that add up to y: the places of each in y, in the kernel and in x."""

    sizes: tuple[int, ...]
    y: tuple[Any, ...]
    kernel: tuple[Any, ...]
    x: tuple[Any, ...]


def summed(terms: Terms, op: Any, p: dict[str, Any], x: Values) -> Any:
    """The bias, and every product at its place."""
    y = np.zeros(terms.sizes)
    if op.bias:
        for o in range(op.channels):
            y[:, o] = p["bias"][o]
    np.add.at(y, terms.y, p["weight"][terms.kernel] * x[0][terms.x])
    return y


def terms_of(sizes: Sequence[int], found: Iterator[tuple[Any, Any, Any]]) -> Terms:
    places_of = (tuple(np.array(places).T) for places in zip(*found, strict=True))
    return Terms(tuple(sizes), *places_of)


@functools.cache
def convolution(op: Any, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Terms:
    axes = len(op.kernel)
    s, d = op.stride or (1,) * axes, op.dilation or (1,) * axes
    pairs = around(op, shape)
    sizes = [
        (shape[2 + e] + sum(pairs[e]) - d[e] * (op.kernel[e] - 1) - 1) // s[e] + 1
        for e in range(axes)
    ]

    def found() -> Iterator[tuple[Any, Any, Any]]:
        for n, o, *at in places((shape[0], op.channels, *sizes)):
            first = shape[1] // op.groups * (o * op.groups // op.channels)
            for c, *u in places(kernel[1:]):
                inner = [s[e] * at[e] + d[e] * u[e] - pairs[e][0] for e in range(axes)]
                if all(0 <= inner[e] < shape[2 + e] for e in range(axes)):
                    yield (n, o, *at), (o, c, *u), (n, c + first, *inner)

    return terms_of((shape[0], op.channels, *sizes), found())


def naive_convolution(op: Any, p: dict[str, Any], x: Values) -> Any:
    return summed(convolution(op, x[0].shape, p["weight"].shape), op, p, x)


@functools.cache
def transposed(op: Any, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Terms:
    """Each entry of x stamps the kernel."""
    axes = len(op.kernel)
    s, d = op.stride or (1,) * axes, op.dilation or (1,) * axes
    q, extra = op.padding or (0,) * axes, op.output_padding or (0,) * axes
    sizes = [
        (shape[2 + e] - 1) * s[e] - 2 * q[e] + d[e] * (op.kernel[e] - 1) + 1 + extra[e]
        for e in range(axes)
    ]

    def found() -> Iterator[tuple[Any, Any, Any]]:
        for n, c, *i in places(shape):
            group = c // (shape[1] // op.groups)
            for o, *u in places(kernel[1:]):
                at = [s[e] * i[e] + d[e] * u[e] - q[e] for e in range(axes)]
                if all(0 <= at[e] < sizes[e] for e in range(axes)):
                    yield (n, kernel[1] * group + o, *at), (c, o, *u), (n, c, *i)

    return terms_of((shape[0], op.channels, *sizes), found())


def naive_transposed(op: Any, p: dict[str, Any], x: Values) -> Any:
    return summed(transposed(op, x[0].shape, p["weight"].shape), op, p, x)


@functools.cache
def windows_of(op: Any, shape: tuple[int, ...]) -> list[tuple[Any, list[Any]]]:
    """Each place of y, and the places of x in its window."""
    axes = len(op.kernel)
    s, q = op.stride or op.kernel, op.padding or (0,) * axes
    sizes = [(shape[2 + e] + 2 * q[e] - op.kernel[e]) // s[e] + 1 for e in range(axes)]
    found = []
    for n, c, *at in places((*shape[:2], *sizes)):
        inners = [[s[e] * at[e] + u[e] - q[e] for e in range(axes)] for u in places(op.kernel)]
        inside = [i for i in inners if all(0 <= i[e] < shape[2 + e] for e in range(axes))]
        found.append(((n, c, *at), [(n, c, *inner) for inner in inside]))
    return found


def windows(op: Any, x: Any) -> Iterator[tuple[tuple[int, ...], list[float]]]:
    """Each place of y, and the entries of x in its window."""
    for at, inside in windows_of(op, x.shape):
        yield at, [x[place] for place in inside]


def gathered(found: list[tuple[tuple[int, ...], float]]) -> Any:
    y = np.zeros([max(place[e] for place, _ in found) + 1 for e in range(len(found[0][0]))])
    for place, value in found:
        y[place] = value
    return y


def naive_max_pool(op: Any, p: dict[str, Any], x: Values) -> Any:
    return gathered([(at, max(entries)) for at, entries in windows(op, x[0])])


def naive_average_pool(op: Any, p: dict[str, Any], x: Values) -> Any:
    full = math.prod(op.kernel)
    return gathered(
        [
            (at, sum(entries) / (full if op.count_include_pad else len(entries)))
            for at, entries in windows(op, x[0])
        ]
    )


def naive_adaptive(op: Any, p: dict[str, Any], x: Values) -> Any:
    a = x[0]
    y = np.zeros((*a.shape[:2], *op.size))
    for n, c, *at in places(y.shape):
        spans = [
            range(math.floor(i * size / m), math.ceil((i + 1) * size / m))
            for i, size, m in zip(at, a.shape[2:], op.size, strict=True)
        ]
        y[(n, c, *at)] = average([a[(n, c, *inner)] for inner in itertools.product(*spans)])
    return y


def over_space(f: Callable[[list[float]], float]) -> Naive:
    def naive(op: Any, p: dict[str, Any], x: Values) -> Any:
        y = np.zeros(x[0].shape[:2])
        for at in places(y.shape):
            y[at] = f(list(x[0][at].flat))
        return y

    return naive


NAIVE: dict[type[ops.Operator], Naive] = {
    ops.Dense: naive_dense,
    ops.WeightNormDense: naive_weight_norm,
    ops.Bilinear: naive_bilinear,
    ops.Embedding: naive_embedding,
    ops.Variable: lambda op, p, x: p["value"],
    ops.MatMul: naive_matmul,
    ops.Add: entrywise(lambda *entries: sum(entries)),
    ops.Subtract: entrywise(lambda a, b: a - b),
    ops.Multiply: entrywise(lambda a, b: a * b),
    ops.Maximum: entrywise(max),
    ops.Minimum: entrywise(min),
    ops.Flatten: naive_flatten,
    ops.Reshape: naive_reshape,
    ops.Transpose: naive_transpose,
    ops.Pad: naive_pad,
    ops.Slice: naive_slice,
    ops.Concat: naive_concat,
    ops.Sum: reduction(sum),
    ops.Mean: reduction(average),
    ops.Max: reduction(max),
    ops.Upsample: naive_upsample,
    **dict.fromkeys((ops.Conv1d, ops.Conv2d, ops.Conv3d), naive_convolution),
    **dict.fromkeys((ops.ConvTranspose1d, ops.ConvTranspose2d), naive_transposed),
    **dict.fromkeys((ops.MaxPool1d, ops.MaxPool2d), naive_max_pool),
    **dict.fromkeys((ops.AveragePool1d, ops.AveragePool2d), naive_average_pool),
    **dict.fromkeys((ops.AdaptiveAveragePool1d, ops.AdaptiveAveragePool2d), naive_adaptive),
    ops.GlobalAveragePool: over_space(average),
    ops.GlobalMaxPool: over_space(max),
}

FURTHER: list[Configuration] = [
    (ops.Upsample((3, 5), "bilinear"), ((1, 1, 3, 2),)),
    (ops.Upsample((1, 4), "bilinear", align_corners=True), ((1, 2, 1, 3),)),
    (ops.Pad(((3, 3), (0, 1)), "reflect"), ((2, 4, 3),)),
    (ops.Conv1d(2, (2,), stride=(3,), padding="same"), ((1, 1, 7),)),
    (ops.Conv2d(2, (2, 3), stride=(3, 2), padding=(3, 4), dilation=(3, 2)), ((1, 2, 4, 5),)),
    (ops.ConvTranspose1d(1, (2,), stride=(2,), padding=(3,)), ((1, 1, 6),)),
    (ops.ConvTranspose2d(2, (1, 2), padding=(1, 0), dilation=(1, 2), output_padding=(0, 1)),
     ((1, 2, 4, 2),)),
    (ops.MaxPool1d((2,), stride=(1,), padding=(1,)), ((1, 2, 3),)),
    (ops.AveragePool1d((2,), stride=(3,), padding=(1,), count_include_pad=False), ((1, 2, 5),)),
    (ops.AdaptiveAveragePool2d((3, 5)), ((1, 2, 5, 3),)),
]  # fmt: skip
"""What the configurations leave out: a transposed convolution that crops more than the kernel
reaches, a padding beyond the kernel, axes that do not divide."""

CASES = [c for kind in NAIVE for c in CONFIGURATIONS[kind]] + FURTHER


def label(configuration: Configuration) -> str:
    op, shapes_of_inputs = configuration
    return f"{op}-{shapes_of_inputs}"


def inputs_and_own(case: Case, count: int) -> tuple[Values, dict[str, Any]]:
    """The inputs of the last layer of `network`, and its own parameters and data."""
    site = f"layers.{count}."
    given = {**case.parameters, **case.data}
    own = {n.removeprefix(site): v for n, v in given.items() if n.startswith(site)}
    return [case.parameters[f"layers.{i}.value"] for i in range(count)], own


def naive_loss(case: Case, count: int, parameters: dict[str, Any]) -> float:
    site = f"layers.{count}."
    x = [parameters[f"layers.{i}.value"] for i in range(count)]
    own = {n.removeprefix(site): v for n, v in {**parameters, **case.data}.items()
           if n.startswith(site)}  # fmt: skip
    op = case.architecture.layers[count]
    return float(np.sum(case.target * NAIVE[type(op)](op, own, x)))


def differences(case: Case, count: int, name: str, steps: tuple[float, float]) -> Any:
    """The slope of the loops' loss in every entry of a tensor, from two points."""
    slopes = np.zeros(case.parameters[name].shape)

    def at_step(at: tuple[int, ...], step: float) -> float:
        moved = case.parameters[name].copy()
        moved[at] += step
        return naive_loss(case, count, {**case.parameters, name: moved})

    loss = naive_loss(case, count, dict(case.parameters))
    for at in places(slopes.shape):
        high, low = (at_step(at, step) if step else loss for step in steps)
        slopes[at] = (high - low) / (steps[0] - steps[1])
    return slopes


# --- values and gradients -----------------------------------------------------------------


def test_every_operator_of_these_modules_is_stated_here() -> None:
    tables = {**dense.FORWARD, **shapes.FORWARD, **convolutions.FORWARD}
    assert tables.keys() == NAIVE.keys()
    assert tables.items() <= with_jax.FORWARD.items()


@pytest.mark.parametrize("configuration", CASES, ids=label)
def test_the_value_and_the_gradients_are_those_of_the_docstring(
    configuration: Configuration,
) -> None:
    op, input_shapes = configuration
    count = len(input_shapes)
    case = draw_case(network(op, input_shapes), 1)
    x, own = inputs_and_own(case, count)
    with float64_on_cpu():
        arrays = tuple(jnp.asarray(a) for a in x)
        p = {n: jnp.asarray(v) for n, v in own.items()}
        y = with_jax.FORWARD[type(op)](op, p, arrays[0] if count == 1 else arrays)
        assert y.dtype == np.float64
        value = np.array(y)
    expected = NAIVE[type(op)](op, own, x)
    assert value.shape == case.architecture.tensors[edge_name(count + 1)]
    np.testing.assert_allclose(value, expected, rtol=1e-14, atol=2e-15)

    found = estimate(case)
    assert found.loss == pytest.approx(naive_loss(case, count, dict(case.parameters)), rel=1e-12)
    curved = isinstance(op, CURVED)
    for name in case.parameters:
        slopes = differences(case, count, name, (STEP, -STEP) if curved else (1, 0))
        tolerance = 1e-8 if curved else 1e-13
        np.testing.assert_allclose(
            found.entries[name], slopes, rtol=10 * tolerance, atol=tolerance, err_msg=name
        )


# --- ties and infinities ------------------------------------------------------------------


def slopes_at(op: ops.Operator, *values: Any) -> Values:
    """The derivative of the sum of y with respect to each input."""
    x = [np.array(v, float) for v in values]
    architecture = network(op, tuple(a.shape for a in x))
    own = {n: np.ones(s) for n, s in architecture.parameters.items()}
    given = {f"layers.{i}.value": a for i, a in enumerate(x)}
    y = architecture.tensors[edge_name(len(x) + 1)]
    entries = estimate(make_case(architecture, {**own, **given}, None, np.ones(y))).entries
    return [entries[n].tolist() for n in given]


@pytest.mark.parametrize("op", [ops.Maximum(), ops.Minimum()])
def test_of_two_equal_entries_each_gets_half(op: ops.Operator) -> None:
    assert slopes_at(op, [[1, 1]], [[1, 1]]) == [[[0.5, 0.5]], [[0.5, 0.5]]]


def test_equal_maxima_of_an_axis_get_equal_shares() -> None:
    assert slopes_at(ops.Max(keep=True), [[2, 0, 2, 1]]) == [[[0.5, 0, 0.5, 0]]]
    assert slopes_at(ops.Max((-1, -2), keep=True), [[[3, 3], [3, 3]]]) == [[[[0.25] * 2] * 2]]
    assert slopes_at(ops.GlobalMaxPool(1), [[[5, 5, 4, 5, 5]]]) == [[[[0.25, 0.25, 0, 0.25, 0.25]]]]


def test_the_first_of_equal_maxima_of_a_window_gets_all() -> None:
    assert slopes_at(ops.MaxPool1d((3,)), [[[1, 2, 2]]]) == [[[[0, 1, 0]]]]
    assert slopes_at(ops.MaxPool1d((2,), stride=(1,)), [[[1, 1, 1]]]) == [[[[1, 1, 0]]]]
    assert slopes_at(ops.MaxPool2d((2, 2)), [[[[0, 3], [3, 3]]]]) == [[[[[0, 1], [0, 0]]]]]


def test_in_a_window_over_the_border_the_first_of_equal_entries_of_x_gets_all() -> None:
    op = ops.MaxPool1d((3,), stride=(2,), padding=(1,))
    assert slopes_at(op, [[[-4, -4, -4]]]) == [[[[1, 1, 0]]]]


def test_an_infinite_entry_spoils_no_other_window() -> None:
    """A weight of 0 times infinity would be NaN."""
    image = np.arange(36.0).reshape(1, 1, 6, 6)
    image[0, 0, 0, 0] = np.inf
    for op in (
        ops.AdaptiveAveragePool2d((2, 3)),
        ops.AveragePool2d((2, 2)),
        ops.MaxPool2d((2, 2)),
        ops.Upsample((2, 2), "bilinear"),
        ops.Upsample((2, 2), "bilinear", align_corners=True),
    ):
        with float64_on_cpu():
            y = np.array(with_jax.FORWARD[type(op)](op, {}, jnp.asarray(image)))
        assert np.isfinite(y[0, 0, -1]).all() and not np.isfinite(y[0, 0, 0, 0])
