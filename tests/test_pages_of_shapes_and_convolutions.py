"""Products, shapes, convolutions, pooling: their pages, and what is known of them otherwise."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.signal
from helpers_pages import check_page, configurations, gradients, run, value
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backproof.architectures import operators as ops
from backproof.architectures.configurations import CONFIGURATIONS
from backproof.architectures.operators import Operator, Shape
from backproof.reference.arrays import (
    Array,
    Arrays,
    gather,
    gather_axis,
    inverse,
    regions,
    scatter,
    scatter_axis,
)
from backproof.reference.pages import LAYERS

KINDS = tuple(
    kind
    for kind in (*ops.DENSE, *ops.SHAPES, *ops.CONVOLUTIONS, *ops.POOLING)
    if kind is not ops.Dense
)


AT_LEAST_60 = settings(max_examples=max(60, settings().max_examples), deadline=None)
"""More than the quick profile's: an example takes milliseconds, and attributes have many cases."""


@pytest.mark.parametrize("op, shapes", configurations(KINDS))
def test_the_page_of_each_configuration_holds(op: Operator, shapes: Any) -> None:
    for seed in (1, 2):
        check_page(op, shapes, seed)


ONES: list[tuple[Operator, tuple[Shape, ...]]] = [
    (ops.Add(), ((1, 4), (1, 4))),
    (ops.Add(), ((1, 1), (3, 1), (1, 4))),
    (ops.Multiply(), ((1, 4), (1, 4))),
    (ops.Multiply(), ((1, 1), (3, 4))),
    (ops.Subtract(), ((1, 1), (1, 3))),
    (ops.MatMul(), ((1, 1, 1), (1, 1, 1))),
    (ops.Bilinear(1), ((1, 1), (1, 1))),
    (ops.WeightNormDense(1), ((1, 1),)),
    (ops.Conv2d(1, (1, 1)), ((1, 1, 1, 1),)),
    (ops.Conv2d(2, (3, 3), padding=(1, 1)), ((1, 1, 1, 1),)),
    (ops.ConvTranspose2d(1, (1, 1)), ((1, 1, 1, 1),)),
    (ops.MaxPool2d((1, 1)), ((1, 1, 1, 1),)),
    (ops.AveragePool2d((2, 2), padding=(1, 1), count_include_pad=False), ((1, 1, 1, 1),)),
    (ops.Upsample((2, 2), "bilinear"), ((1, 1, 1, 1),)),
    (ops.Pad(((2, 2),), "edge"), ((1, 1),)),
    (ops.Reshape((1, 1)), ((1, 1),)),
    (ops.Reshape(()), ((3, 2, 1),)),
]


@pytest.mark.parametrize("op, shapes", ONES, ids=[f"{op.name}-{x}" for op, x in ONES])
def test_axes_of_size_one_are_not_taken_for_others(op: Operator, shapes: Any) -> None:
    check_page(op, shapes)


# --- helpers ---------------------------------------------------------------------------


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def whole(*shape: int, seed: int = 0) -> Array:
    """Small whole numbers: their sums and products are exact in any order."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(float)


def refuse(op: Operator, *shapes: Shape) -> bool:
    """Whether the operator's rule does not take these shapes."""
    try:
        ops.RULES[type(op)].output(op, *shapes)
    except ValueError:
        return True
    return False


# --- gather and scatter ----------------------------------------------------------------


@st.composite
def index_maps(draw: st.DrawFn) -> tuple[Array, int]:
    size = draw(st.integers(1, 6))
    entries = draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=60))
    return np.array(entries), size


@AT_LEAST_60
@given(index_maps(), st.booleans())
def test_scatter_is_the_transpose_of_gather(given_map: tuple[Array, int], lead: bool) -> None:
    index, size = given_map
    shape = (3,) if lead else ()
    x, y_bar = whole(*shape, size), whole(*shape, len(index), seed=1)
    assert np.sum(gather(x, index, 1) * y_bar) == np.sum(x * scatter(y_bar, index, (size,)))


@AT_LEAST_60
@given(index_maps())
def test_scatter_adds_up_as_add_at_does(given_map: tuple[Array, int]) -> None:
    index, size = given_map
    y_bar, expected = whole(len(index)), np.zeros(size)
    np.add.at(expected, index[index >= 0], y_bar[index >= 0])
    np.testing.assert_array_equal(scatter(y_bar, index, (size,)), expected)


def test_scatter_of_an_entry_that_most_places_read_needs_little_memory() -> None:
    """One table of all entries by most readers would hold 57 million places."""
    index = np.zeros(8192, int)
    index[:1000] = np.arange(1000)
    tracemalloc.start()
    x_bar = scatter(np.ones(index.size), index, (1000,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(x_bar, np.bincount(index, minlength=1000))
    assert peak < 100 * 8 * index.size


def test_inverse_lists_the_places_that_read_each_entry() -> None:
    index = np.array([[2, 0, -1], [2, 2, 0]])
    np.testing.assert_array_equal(
        inverse(index, 4), [[1, 5, -1], [-1, -1, -1], [0, 3, 4], [-1, -1, -1]]
    )


@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_gather_axis_and_scatter_axis_work_on_that_axis_alone(axis: int) -> None:
    x, index = whole(3, 4, 5), np.array([1, -1, 0, 1])
    y = gather_axis(x, index, axis)
    expected = np.take(x, [1, 0, 0, 1], axis)
    np.moveaxis(expected, axis, 0)[1] = 0.0
    np.testing.assert_array_equal(y, expected)
    y_bar = whole(*y.shape, seed=1)
    assert np.sum(y * y_bar) == np.sum(x * scatter_axis(y_bar, index, x.shape[axis], axis))


# --- products --------------------------------------------------------------------------


def test_weight_normalisation_fixes_the_length_of_each_row_and_is_blind_to_its_own() -> None:
    op = ops.WeightNormDense(3, bias=False)
    p = {"direction": normal(3, 4), "gain": np.array([2.0, -1.0, 0.5])}
    w = value(op, np.eye(4), p).T
    np.testing.assert_allclose(np.linalg.norm(w, axis=-1), np.abs(p["gain"]), rtol=1e-15)
    x, y_bar = normal(5, 4, seed=1), normal(5, 3, seed=2)
    _, p_bar = gradients(op, x, y_bar, p)
    along = np.sum(p_bar["direction"] * p["direction"], axis=-1)
    assert np.abs(along).max() < 64 * 2.0**-53 * np.abs(p_bar["direction"]).max()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_weight_normalisation_survives_lengths_whose_squares_do_not(scale: float) -> None:
    op = ops.WeightNormDense(2, bias=False)
    v, gain, x = normal(2, 3), np.ones(2), normal(4, 3, seed=1)
    near = value(op, x, {"direction": v, "gain": gain})
    far = value(op, x, {"direction": scale * v, "gain": gain})
    np.testing.assert_allclose(far, near, rtol=1e-13)


def test_the_singularity_of_weight_normalisation_is_where_a_row_has_no_length() -> None:
    """v + t d squared is 0 at |t| = |v| / |d|; the longest d with entries of 1 has sqrt(2)."""
    op = ops.WeightNormDense(2, bias=False)
    v = np.array([[3.0, 4.0], [0.0, 2.0]])
    _, saved = run(op, normal(3, 2), {"direction": v, "gain": np.ones(2)})
    inner = LAYERS[ops.WeightNormDense].inner
    assert inner is not None
    ((at, distance),) = inner(op, saved)
    np.testing.assert_array_equal(at, v)
    np.testing.assert_array_equal(distance, np.array([[5.0, 5.0], [2.0, 2.0]]) / np.sqrt(2))


def test_a_bilinear_layer_is_a_b_w_summed_over_both() -> None:
    a, b, w, c = whole(2, 3, 4), whole(2, 3, 5, seed=1), whole(2, 4, 5, seed=2), whole(2, seed=3)
    y = value(ops.Bilinear(2), (a, b), {"weight": w, "bias": c})
    np.testing.assert_array_equal(y, np.einsum("...i,kij,...j->...k", a, w, b) + c)


def test_a_repeated_index_of_an_embedding_collects_all_of_its_cotangents() -> None:
    op = ops.Embedding(4, 2, (5,))
    p = {"weight": whole(4, 2), "indices": np.array([2, 0, 2, 2, 3])}
    y_bar = whole(5, 2, seed=1)
    x_bar, p_bar = gradients(op, (), y_bar, p)
    assert x_bar == ()
    expected = [y_bar[1], np.zeros(2), y_bar[0] + y_bar[2] + y_bar[3], y_bar[4]]
    np.testing.assert_array_equal(p_bar["weight"], expected)


def test_the_padding_index_of_an_embedding_reads_zero_and_learns_nothing() -> None:
    op = ops.Embedding(3, 2, (2, 2), padding_index=1)
    p = {"weight": np.full((3, 2), 7.0), "indices": np.array([[1, 0], [2, 1]])}
    y, _ = run(op, (), p)
    np.testing.assert_array_equal(y[..., 0], [[0, 7], [7, 0]])
    _, p_bar = gradients(op, (), np.ones((2, 2, 2)), p)
    np.testing.assert_array_equal(p_bar["weight"], [[1, 1], [0, 0], [1, 1]])


@pytest.mark.parametrize("turn_a, turn_b", [*itertools.product((False, True), repeat=2)])
def test_matmul_transposes_what_it_is_told_to(turn_a: bool, turn_b: bool) -> None:
    a, b = whole(2, 3, 4), whole(2, 4, 5, seed=1)
    given_a = np.swapaxes(a, -1, -2) if turn_a else a
    given_b = np.swapaxes(b, -1, -2) if turn_b else b
    y = value(ops.MatMul(turn_a, turn_b), (given_a, given_b))
    np.testing.assert_array_equal(y, np.einsum("nij,njk->nik", a, b))


def test_a_repeated_input_collects_what_its_repetitions_receive() -> None:
    a, b, y_bar = whole(3, 1), whole(1, 4, seed=1), whole(3, 4, seed=2)
    (a_bar, b_bar), _ = gradients(ops.Add(), (a, b), y_bar)
    np.testing.assert_array_equal(a_bar, y_bar.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(b_bar, y_bar.sum(axis=0, keepdims=True))
    (a_bar, b_bar), _ = gradients(ops.Subtract(), (a, b), y_bar)
    np.testing.assert_array_equal(a_bar, y_bar.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(b_bar, -y_bar.sum(axis=0, keepdims=True))
    (a_bar, b_bar), _ = gradients(ops.Multiply(), (a, b), y_bar)
    np.testing.assert_array_equal(a_bar, (b * y_bar).sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(b_bar, (a * y_bar).sum(axis=0, keepdims=True))


def test_one_tensor_added_to_itself_is_given_a_cotangent_for_each_use() -> None:
    x, y_bar = whole(2, 3), whole(2, 3, seed=1)
    bars, _ = gradients(ops.Add(), (x, x, x), y_bar)
    assert len(bars) == 3
    for bar in bars:
        np.testing.assert_array_equal(bar, y_bar)


# --- shapes ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("padding", [((0, 0),), ((2, 1), (1, 3)), ((3, 0), (0, 3), (2, 2))])
def test_padding_is_that_of_numpy(mode: Any, padding: Any) -> None:
    x = whole(2, 4, 4, 4)
    y = value(ops.Pad(padding, mode, 0.5 if mode == "constant" else 0.0), x)
    around = ((0, 0),) * (x.ndim - len(padding)) + padding
    more: Any = {"constant_values": 0.5} if mode == "constant" else {}
    np.testing.assert_array_equal(y, np.pad(x, around, mode, **more))


@pytest.mark.parametrize(
    "mode, expected", [("constant", [1, 1, 1]), ("reflect", [1, 3, 2]), ("edge", [3, 1, 2])]
)
def test_what_padding_copied_collects_the_cotangents_of_its_copies(
    mode: Any, expected: list[float]
) -> None:
    x_bar, _ = gradients(ops.Pad(((2, 1),), mode), whole(1, 3), np.ones((1, 6)))
    np.testing.assert_array_equal(x_bar, [expected])


def test_edge_padding_may_be_longer_than_the_axis() -> None:
    x_bar, _ = gradients(ops.Pad(((40, 0),), "edge"), whole(1, 3), np.ones((1, 43)))
    np.testing.assert_array_equal(x_bar, [[41, 1, 1]])


def test_a_slice_gives_the_cotangent_back_to_what_it_took() -> None:
    x, op = whole(2, 6, 3), ops.Slice(1, 6, 2, -2)
    np.testing.assert_array_equal(value(op, x), x[:, 1:6:2])
    x_bar, _ = gradients(op, x, np.ones((2, 3, 3)))
    np.testing.assert_array_equal(x_bar[0, :, 0], [0, 1, 0, 1, 0, 1])


def test_concatenation_is_cut_apart_where_its_inputs_ended() -> None:
    parts = (whole(2, 1, 3), whole(2, 4, 3, seed=1), whole(2, 2, 3, seed=2))
    op = ops.Concat(-2)
    np.testing.assert_array_equal(value(op, parts), np.concatenate(parts, axis=1))
    y_bar = whole(2, 7, 3, seed=3)
    bars, _ = gradients(op, parts, y_bar)
    for bar, expected in zip(bars, np.split(y_bar, [1, 5], axis=1), strict=True):
        np.testing.assert_array_equal(bar, expected)


@given(st.permutations([-3, -2, -1]))
def test_a_transpose_is_undone_by_its_backward_pass(order: list[int]) -> None:
    x, op = whole(2, 3, 4, 5), ops.Transpose(tuple(order))
    y = value(op, x)
    np.testing.assert_array_equal(y, np.transpose(x, (0, *(4 + axis for axis in order))))
    np.testing.assert_array_equal(gradients(op, x, y)[0], x)


def test_flatten_and_reshape_keep_the_order_of_the_entries() -> None:
    x = np.arange(48.0).reshape(2, 2, 3, 4)
    for op, shape in (
        (ops.Flatten(), (2, 24)),
        (ops.Flatten(2), (2, 2, 12)),
        (ops.Reshape((6, 2), 2), (2, 2, 6, 2)),
    ):
        y = value(op, x)
        np.testing.assert_array_equal(y, x.reshape(shape))
        np.testing.assert_array_equal(gradients(op, x, y)[0], x)


@pytest.mark.parametrize("axes", [(-1,), (-2,), (-3, -1), (-1, -3), (-1, -2, -3)])
@pytest.mark.parametrize("keep", [False, True])
def test_sum_mean_and_max_are_those_of_numpy(axes: tuple[int, ...], keep: bool) -> None:
    x = whole(2, 3, 4, 5) if len(axes) < 3 or keep else whole(2, 3, 4, 5, 2)
    for kind, expected in ((ops.Sum, np.sum), (ops.Mean, np.mean), (ops.Max, np.max)):
        y = value(kind(axes, keep), x)
        np.testing.assert_allclose(y, expected(x, axis=axes, keepdims=keep), rtol=1e-15)


def test_nearest_upsampling_repeats_and_its_cotangents_add_up() -> None:
    x, op = whole(1, 2, 2, 3), ops.Upsample((3, 2))
    np.testing.assert_array_equal(value(op, x), x.repeat(3, axis=-2).repeat(2, axis=-1))
    x_bar, _ = gradients(op, x, np.ones((1, 2, 6, 6)))
    np.testing.assert_array_equal(x_bar, np.full(x.shape, 6.0))


def test_bilinear_upsampling_has_these_values() -> None:
    x = np.array([[0.0, 4.0, 8.0]]).reshape(1, 1, 1, 3)
    y = value(ops.Upsample((1, 2), "bilinear"), x)
    np.testing.assert_array_equal(y.ravel(), [0, 1, 3, 5, 7, 8])
    y = value(ops.Upsample((1, 2), "bilinear", True), x)
    np.testing.assert_allclose(y.ravel(), [0, 1.6, 3.2, 4.8, 6.4, 8], rtol=1e-15)


@pytest.mark.parametrize("n, f", [(2, 2), (3, 3), (5, 2), (4, 1)])
def test_upsampling_with_aligned_corners_is_interpolation_between_the_ends(n: int, f: int) -> None:
    x = normal(1, 1, 1, n)
    expected = np.interp(np.linspace(0, n - 1, f * n), np.arange(n), x.ravel())
    y = value(ops.Upsample((1, f), "bilinear", True), x)
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-13, atol=1e-14)


# --- convolutions ----------------------------------------------------------------------


def naive(op: Any, x: Array, p: Arrays) -> Array:
    """The sum of the docstring of `Conv2d`, loop by loop, for any number of spatial axes."""
    rank = len(op.kernel)
    s, d = op.stride or (1,) * rank, op.dilation or (1,) * rank
    sizes = x.shape[2:]
    if op.padding == "valid":
        around = [(0, 0)] * rank
    elif op.padding == "same":
        around = []
        for a, n in enumerate(sizes):
            total = max((-(-n // s[a]) - 1) * s[a] + d[a] * (op.kernel[a] - 1) + 1 - n, 0)
            around.append((total // 2, total - total // 2))
    else:
        around = [(q, q) for q in op.padding]
    z = np.pad(x, [(0, 0), (0, 0), *around])
    out = [(z.shape[2 + a] - d[a] * (op.kernel[a] - 1) - 1) // s[a] + 1 for a in range(rank)]
    w, per = p["weight"], x.shape[1] // op.groups
    y = np.zeros((x.shape[0], op.channels, *out))
    for n, o in itertools.product(range(x.shape[0]), range(op.channels)):
        group = o * op.groups // op.channels
        for at in itertools.product(*map(range, out)):
            total = p["bias"][o] if op.bias else 0.0
            for c, *u in itertools.product(range(per), *map(range, op.kernel)):
                place = tuple(s[a] * at[a] + d[a] * u[a] for a in range(rank))
                total += w[(o, c, *u)] * z[(n, c + per * group, *place)]
            y[(n, o, *at)] = total
    return y


def weights(op: Any, *shape: Shape) -> Arrays:
    """Parameters of whole numbers."""
    found = ops.RULES[type(op)].parameters(op, *shape)
    return {name: whole(*size, seed=i + 5) for i, (name, size) in enumerate(found.items())}


@pytest.mark.parametrize(
    "op, shapes",
    [
        pytest.param(op, shapes, id=f"{op.name}-{k}")
        for kind in (ops.Conv1d, ops.Conv2d, ops.Conv3d)
        for k, (op, shapes) in enumerate(CONFIGURATIONS[kind])
    ],
)
def test_a_convolution_is_the_sum_in_its_specification(op: Any, shapes: Any) -> None:
    x, p = whole(*shapes[0]), weights(op, *shapes)
    np.testing.assert_array_equal(value(op, x, p), naive(op, x, p))


@st.composite
def convolutions(draw: st.DrawFn, words: tuple[Any, ...] = ("same", "valid")) -> tuple[Any, Shape]:
    rank = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kind: Any = (ops.Conv1d, ops.Conv2d)[rank - 1]
    op = kind(
        groups * draw(st.integers(1, 2)),
        sizes(1, 3),
        stride=sizes(1, 4),
        padding=draw(st.sampled_from([*words, sizes(0, 3)])),
        dilation=sizes(1, 3),
        groups=groups,
        bias=draw(st.booleans()),
    )
    x = (draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *sizes(1, 6))
    assume(not refuse(op, x))
    return op, x


@AT_LEAST_60
@given(convolutions())
def test_any_convolution_is_the_sum_in_its_specification_and_its_page_holds(drawn: Any) -> None:
    op, shape = drawn
    x, p = whole(*shape), weights(op, shape)
    y = value(op, x, p)
    assert y.shape == ops.RULES[type(op)].output(op, shape)
    np.testing.assert_array_equal(y, naive(op, x, p))
    check_page(op, (shape,))


@pytest.mark.parametrize("kind, rank", [(ops.Conv1d, 1), (ops.Conv2d, 2), (ops.Conv3d, 3)])
def test_a_convolution_is_the_correlation_of_scipy(kind: Any, rank: int) -> None:
    x, op = whole(1, 1, *(5, 6, 4)[:rank]), kind(1, (2, 3, 2)[:rank], bias=False)
    p = weights(op, x.shape)
    expected = scipy.signal.correlate(x[0, 0], p["weight"][0, 0], "valid", "direct")
    np.testing.assert_array_equal(value(op, x, p)[0, 0], expected)


@AT_LEAST_60
@given(convolutions(words=()))
def test_a_transposed_convolution_is_the_adjoint_of_the_convolution(drawn: Any) -> None:
    op, shape = drawn
    rank = len(op.kernel)
    x, p = whole(*shape), weights(op, shape)
    kernel = {"weight": p["weight"]}
    zero = {**kernel, "bias": np.zeros(op.channels)} if op.bias else kernel
    y = value(op, x, zero)
    s, d = op.stride, op.dilation
    extra = tuple(
        n - ((m - 1) * s[a] - 2 * op.padding[a] + d[a] * (op.kernel[a] - 1) + 1)
        for a, (n, m) in enumerate(zip(shape[2:], y.shape[2:], strict=True))
    )
    assert all(0 <= e < s[a] for a, e in enumerate(extra))
    kind: Any = (ops.ConvTranspose1d, ops.ConvTranspose2d)[rank - 1]
    back = kind(
        shape[1], op.kernel, stride=s, padding=op.padding, output_padding=extra, dilation=d,
        groups=op.groups, bias=False,
    )  # fmt: skip
    y_bar = whole(*y.shape, seed=3)
    x_bar = value(back, y_bar, kernel)
    np.testing.assert_array_equal(x_bar, gradients(op, x, y_bar, zero)[0])
    assert np.sum(y * y_bar) == np.sum(x * x_bar)
    check_page(back, (y.shape,))


@pytest.mark.parametrize(
    "op, shapes",
    [
        pytest.param(op, shapes, id=f"{op.name}-{k}")
        for kind in (ops.ConvTranspose1d, ops.ConvTranspose2d)
        for k, (op, shapes) in enumerate(CONFIGURATIONS[kind])
    ],
)
def test_a_transposed_convolution_stamps_its_kernel(op: Any, shapes: Any) -> None:
    (shape,) = shapes
    x, p, rank = whole(*shape), weights(op, shape), len(op.kernel)
    s, d = op.stride or (1,) * rank, op.dilation or (1,) * rank
    pad, per, out = op.padding or (0,) * rank, shape[1] // op.groups, op.channels // op.groups
    y = np.zeros(ops.RULES[type(op)].output(op, shape))
    for n, c, o in itertools.product(range(shape[0]), range(shape[1]), range(out)):
        for at in itertools.product(*map(range, shape[2:])):
            for u in itertools.product(*map(range, op.kernel)):
                to = tuple(s[a] * at[a] + d[a] * u[a] - pad[a] for a in range(rank))
                if all(0 <= i < m for i, m in zip(to, y.shape[2:], strict=True)):
                    w = p["weight"][(c, o, *u)]
                    y[(n, o + out * (c // per), *to)] += w * x[(n, c, *at)]
    if op.bias:
        y += p["bias"].reshape(-1, *(1,) * rank)
    np.testing.assert_array_equal(value(op, x, p), y)


def test_a_convolution_of_one_tap_is_a_dense_layer_over_the_channels() -> None:
    x, op = whole(2, 3, 4, 5), ops.Conv2d(2, (1, 1))
    p = weights(op, x.shape)
    dense = np.moveaxis(x, 1, -1) @ p["weight"].reshape(2, 3).T + p["bias"]
    np.testing.assert_array_equal(value(op, x, p), np.moveaxis(dense, -1, 1))


def test_a_depthwise_convolution_keeps_its_channels_apart() -> None:
    x, op = whole(1, 3, 5), ops.Conv1d(3, (2,), groups=3, bias=False)
    p = weights(op, x.shape)
    y_bar = np.zeros((1, 3, 4))
    y_bar[0, 1] = 1.0
    x_bar, p_bar = gradients(op, x, y_bar, p)
    assert not x_bar[0, [0, 2]].any() and x_bar[0, 1].any()
    assert not p_bar["weight"][[0, 2]].any() and p_bar["weight"][1].any()


# --- pooling ---------------------------------------------------------------------------


def pooled(op: Any, x: Array, reduce: Any, outside: float) -> Array:
    """`reduce(window, entries)` of each window of z, with how many entries of x are in it."""
    rank = len(op.kernel)
    stride, padding = op.stride or op.kernel, op.padding or (0,) * rank
    pairs = [(0, 0), (0, 0), *((p, p) for p in padding)]
    z = np.pad(x, pairs, constant_values=outside)
    inside = np.pad(np.ones(x.shape), pairs)
    y = np.zeros(ops.RULES[type(op)].output(op, x.shape))
    for at in itertools.product(*map(range, y.shape[2:])):
        cut: Any = tuple(
            slice(s * i, s * i + k) for i, s, k in zip(at, stride, op.kernel, strict=True)
        )
        window = z[(..., *cut)].reshape(*x.shape[:2], -1)
        entries = inside[(..., *cut)].reshape(*x.shape[:2], -1).sum(axis=-1)
        to: Any = (..., *at)
        y[to] = reduce(window, entries)
    return y


POOLS = (ops.MaxPool1d, ops.MaxPool2d, ops.AveragePool1d, ops.AveragePool2d)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Any, Shape]:
    kind: Any = draw(st.sampled_from(POOLS))
    rank = 1 if "1d" in kind.__name__ else 2
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    more: Any = {}
    if "Average" in kind.__name__:
        more["count_include_pad"] = draw(st.booleans())
    op = kind(
        kernel,
        stride=draw(st.sampled_from([(), tuple(draw(st.integers(1, 4)) for _ in kernel)])),
        padding=tuple(draw(st.integers(0, k // 2)) for k in kernel),
        **more,
    )
    x = (draw(st.integers(1, 2)), 2, *(draw(st.integers(1, 7)) for _ in kernel))
    assume(not refuse(op, x))
    return op, x


@AT_LEAST_60
@given(pools())
def test_any_pooling_is_that_of_its_specification_and_its_page_holds(drawn: Any) -> None:
    op, shape = drawn
    x = normal(*shape)
    if "max" in op.name:
        expected = pooled(op, x, lambda w, _: w.max(axis=-1), -np.inf)
        np.testing.assert_array_equal(value(op, x), expected)
    else:
        taps = float(np.prod(op.kernel))
        expected = pooled(
            op, x, lambda w, n: w.sum(axis=-1) / (taps if op.count_include_pad else n), 0.0
        )
        np.testing.assert_allclose(value(op, x), expected, rtol=1e-13, atol=1e-15)
    check_page(op, (shape,))


@pytest.mark.parametrize("n, m", [(7, 3), (7, 9), (5, 5), (6, 2), (3, 1), (1, 4)])
def test_adaptive_pooling_averages_from_floor_to_ceiling(n: int, m: int) -> None:
    x = normal(2, 2, n, 4)
    y = value(ops.AdaptiveAveragePool2d((m, 3)), x)
    for i, j in itertools.product(range(m), range(3)):
        along = slice(i * n // m, int(np.ceil((i + 1) * n / m)))
        columns = slice(j * 4 // 3, int(np.ceil((j + 1) * 4 / 3)))
        window = x[:, :, along, columns].reshape(2, 2, -1)
        np.testing.assert_allclose(y[:, :, i, j], window.mean(axis=-1), rtol=1e-13, atol=1e-15)
    check_page(ops.AdaptiveAveragePool2d((m, 3)), (x.shape,))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_global_pooling_takes_all_spatial_axes_together(spatial: int) -> None:
    x = normal(2, 3, *(4, 2, 3)[:spatial])
    flat = x.reshape(2, 3, -1)
    np.testing.assert_array_equal(value(ops.GlobalMaxPool(spatial), x), flat.max(axis=-1))
    average = value(ops.GlobalAveragePool(spatial), x)
    np.testing.assert_allclose(average, flat.mean(axis=-1), rtol=1e-14)
    x_bar, _ = gradients(ops.GlobalAveragePool(spatial), x, np.ones((2, 3)))
    np.testing.assert_array_equal(x_bar, np.full(x.shape, 1 / flat.shape[-1]))


def test_an_entry_in_several_windows_collects_from_each_that_chose_it() -> None:
    x = np.array([[[0.0, 5.0, 1.0, 2.0]]])
    x_bar, _ = gradients(ops.MaxPool1d((2,), stride=(1,)), x, np.array([[[1.0, 10.0, 100.0]]]))
    np.testing.assert_array_equal(x_bar, [[[0, 11, 0, 100]]])


def test_padding_is_never_the_greatest_even_of_a_window_of_negative_entries() -> None:
    x = np.full((1, 1, 3, 3), -7.0)
    op = ops.MaxPool2d((2, 2), stride=(1, 1), padding=(1, 1))
    np.testing.assert_array_equal(value(op, x), np.full((1, 1, 4, 4), -7.0))
    x_bar, _ = gradients(op, x, np.ones((1, 1, 4, 4)))
    assert x_bar.sum() == 16


# --- ties and pieces -------------------------------------------------------------------


TIES: list[tuple[Operator, Any, Array, list[Any]]] = [
    (ops.Max(), np.ones((1, 3)), np.ones(1), [[1, 0, 0]]),
    (ops.Max((-1, -2)), np.ones((1, 1, 2, 2)), np.ones((1, 1)), [[[[1, 0], [0, 0]]]]),
    (ops.MaxPool1d((3,)), np.ones((1, 1, 3)), np.ones((1, 1, 1)), [[[1, 0, 0]]]),
    (ops.MaxPool1d((3,), padding=(1,)), np.ones((1, 1, 2)), np.ones((1, 1, 1)), [[[1, 0]]]),
    (ops.GlobalMaxPool(1), np.ones((1, 1, 3)), np.ones((1, 1)), [[[1, 0, 0]]]),
]


@pytest.mark.parametrize("op, x, y_bar, expected", TIES, ids=[t[0].name for t in TIES])
def test_among_equal_entries_the_first_is_chosen(
    op: Operator, x: Array, y_bar: Array, expected: list[Any]
) -> None:
    np.testing.assert_array_equal(gradients(op, x, y_bar)[0], expected)


@pytest.mark.parametrize("op", [ops.Maximum(), ops.Minimum()], ids=["maximum", "minimum"])
def test_of_two_equal_tensors_the_first_is_chosen(op: Operator) -> None:
    (a_bar, b_bar), _ = gradients(op, (np.ones((1, 2)), np.ones((1, 2))), np.ones((1, 2)))
    np.testing.assert_array_equal(a_bar, [[1, 1]])
    np.testing.assert_array_equal(b_bar, [[0, 0]])


@pytest.mark.parametrize(
    "op, here, there, held",
    [
        (ops.Maximum(), ([[1.0]], [[2.0]]), ([[5.0]], [[2.5]]), 2.5),
        (ops.Minimum(), ([[1.0]], [[2.0]]), ([[5.0]], [[2.5]]), 5.0),
        (ops.Max(), ([[1.0, 2.0]],), ([[5.0, 2.5]],), 2.5),
        (ops.MaxPool1d((2,)), ([[[1.0, 2.0]]],), ([[[5.0, 2.5]]],), 2.5),
        (ops.GlobalMaxPool(1), ([[[1.0, 2.0]]],), ([[[5.0, 2.5]]],), 2.5),
    ],
    ids=["maximum", "minimum", "max", "max_pool1d", "global_max_pool"],
)
def test_a_piece_once_given_is_kept_where_another_would_be_chosen(
    op: Operator, here: Any, there: Any, held: float
) -> None:
    page = LAYERS[type(op)]
    near, far = ([np.array(v) for v in values] for values in (here, there))
    x, moved = (v[0] if len(v) == 1 else tuple(v) for v in (near, far))
    assert page.kink is not None
    branch = regions(page.kink(op, {}, x))
    y, saved = page.forward(op, {}, moved, branch)
    assert y.item() == held
    x_bar, _ = page.backward(op, {}, saved, np.ones(y.shape))
    total = sum(bar.sum() for bar in x_bar) if isinstance(x_bar, tuple) else x_bar.sum()
    assert total == 1


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_polynomial_has_no_singularity(kind: type[Operator]) -> None:
    op, shapes = CONFIGURATIONS[kind][0]
    radius = LAYERS[kind].radius
    if not shapes:
        return
    assert radius is not None
    x: Any = tuple(normal(*s) for s in shapes)
    found = radius(op, x[0] if len(x) == 1 else x)
    assert np.all(np.isinf(found))
