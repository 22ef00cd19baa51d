"""Normalisation, attention, recurrence: their pages, and what is known of them otherwise."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
from helpers_pages import check_page, configurations, gradients, value
from msgspec.structs import replace

from backproof.architectures import operators as ops
from backproof.architectures.configurations import CONFIGURATIONS, Configuration
from backproof.architectures.losses import CTC, TripletMargin
from backproof.architectures.operators import Operator
from backproof.reference.arrays import Array, Arrays, regions
from backproof.reference.pages import LAYERS, LOSSES

KINDS = (
    *ops.NORMALISATIONS, *ops.REGULARISATION, *ops.ATTENTION, *ops.RECURRENCE,
)  # fmt: skip
U = 2.0**-53


@pytest.mark.parametrize("op, shapes", configurations(KINDS))
def test_the_page_of_each_configuration_holds(op: Operator, shapes: Any) -> None:
    for seed in (1, 2):
        check_page(op, shapes, seed)


# --- helpers ---------------------------------------------------------------------------


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def parameters(op: Operator, *shapes: tuple[int, ...], seed: int = 0) -> Arrays:
    found = ops.parameter_shapes(op, *shapes)
    return {n: draw(*s, seed=seed + i) for i, (n, s) in enumerate(found.items())}


def close(got: Any, expected: Any, tolerance: float = 1e-13) -> None:
    """Values of the order of 1 from two orders of summation: some hundreds of roundings."""
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


# --- normalisation ---------------------------------------------------------------------


def standard(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return np.asarray((x - x.mean(axis=axes, keepdims=True)) / deviation)


def test_each_normalisation_is_the_formula_of_its_paper() -> None:
    x, eps = draw(3, 4, 5, 2), 1e-5
    gamma, beta = draw(4), draw(4, seed=1)
    p = {"gamma": gamma, "beta": beta}
    by_channel = (gamma[:, None, None], beta[:, None, None])
    close(
        value(ops.BatchNorm(2), x, p), by_channel[0] * standard(x, (0, 2, 3), eps) + by_channel[1]
    )
    close(
        value(ops.InstanceNorm(2), x, p), by_channel[0] * standard(x, (2, 3), eps) + by_channel[1]
    )
    runs = standard(x.reshape(3, 2, 2, 5, 2), (2, 3, 4), eps).reshape(x.shape)
    close(value(ops.GroupNorm(2, 2), x, p), by_channel[0] * runs + by_channel[1])
    whole = {"gamma": draw(5, 2), "beta": draw(5, 2, seed=1)}
    expected = whole["gamma"] * standard(x, (2, 3), eps) + whole["beta"]
    close(value(ops.LayerNorm(2), x, whole), expected)
    root = np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    close(value(ops.RMSNorm(), x, {"gamma": gamma[:2]}), gamma[:2] * x / root)


def test_layer_norm_sends_back_nothing_along_ones_and_along_what_it_put_out() -> None:
    op = ops.LayerNorm(epsilon=1e-30, affine=False)
    x, y_bar = draw(4, 6), draw(4, 6, seed=1)
    z, (x_bar, _) = value(op, x), gradients(op, x, y_bar)
    assert np.abs(x_bar.sum(axis=-1)).max() < 16 * U
    assert np.abs((x_bar * z).sum(axis=-1)).max() < 16 * U


def test_rms_norm_sends_back_nothing_along_what_it_put_out() -> None:
    op = ops.RMSNorm(epsilon=1e-30, affine=False)
    x, y_bar = draw(4, 6), draw(4, 6, seed=1)
    z, (x_bar, _) = value(op, x), gradients(op, x, y_bar)
    assert np.abs((x_bar * z).sum(axis=-1)).max() < 16 * U


@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0, 1e3])
def test_of_two_entries_what_epsilon_leaves_keeps_its_digits(spread: float) -> None:
    """z = +-c / sqrt(c^2 + epsilon), whose slope is epsilon / sigma^3: P takes all the rest."""
    op = ops.LayerNorm(epsilon=1e-5, affine=False)
    x = np.array([[spread, -spread]])
    x_bar, _ = gradients(op, x, np.array([[1.0, -1.0]]))
    slope = 1e-5 / (spread * spread + 1e-5) ** 1.5
    np.testing.assert_allclose(x_bar, [[slope, -slope]], rtol=16 * U)


@pytest.mark.parametrize("kind", [ops.LayerNorm, ops.BatchNorm, ops.RMSNorm])
def test_equal_entries_are_no_singularity(kind: Any) -> None:
    op, x, y_bar = kind(affine=False), np.zeros((3, 4)), draw(3, 4)
    with np.errstate(all="raise"):
        x_bar, _ = gradients(op, x, y_bar)
    axis = 0 if kind is ops.BatchNorm else -1
    mean = 0.0 if kind is ops.RMSNorm else y_bar.mean(axis=axis, keepdims=True)
    close(x_bar, (y_bar - mean) / np.sqrt(1e-5), 1e-12)


def test_a_large_offset_costs_layer_norm_no_digits() -> None:
    op = ops.LayerNorm(affine=False)
    x = np.round(draw(4, 6) * 16)  # exact beside the offset too
    close(value(op, x + 2.0**30), value(op, x), 4 * U)


def test_batch_norm_with_given_statistics_is_affine_and_by_example() -> None:
    op = ops.BatchNorm(1, statistics="given")
    p = {"mean": draw(4), "variance": draw(4) ** 2 + 0.5, "gamma": draw(4), "beta": draw(4)}
    x, dx, y_bar = draw(2, 4, 3), draw(2, 4, 3, seed=1), draw(2, 4, 3, seed=2)
    y = [value(op, x + t * dx, p) for t in (0.0, 1.0, 2.0)]
    close(y[2] - y[1], y[1] - y[0], 1e-14)
    close(value(op, x[:1], p), y[0][:1])
    close(gradients(op, x, y_bar, p)[0], gradients(op, dx, y_bar, p)[0], 0)


def test_dropped_entries_and_examples_are_0_both_ways_whatever_they_hold() -> None:
    x = np.array([[1.0, np.inf], [2.0, 3.0]])
    p: Arrays = {"mask": np.array([[True, False], [True, True]])}
    np.testing.assert_array_equal(value(ops.Dropout(0.5), x, p), [[2, 0], [4, 6]])
    np.testing.assert_array_equal(gradients(ops.Dropout(0.5), x, x, p)[0], [[2, 0], [4, 6]])
    p = {"mask": np.array([[False], [True]])}
    np.testing.assert_array_equal(value(ops.StochasticDepth(0.5), x, p), [[0, 0], [4, 6]])


@pytest.mark.parametrize("op, axes", [
    (ops.LayerNorm(), (-1,)), (ops.BatchNorm(), (0,)), (ops.GroupNorm(2, 0), None),
    (ops.RMSNorm(), (-1,)),
])  # fmt: skip
def test_no_singularity_is_nearer_than_the_radius(op: Any, axes: Any) -> None:
    """Along any direction whose entries are at most 1, sigma^2 is a quadratic: find its roots."""
    radius = LAYERS[type(op)].radius
    assert radius is not None
    for seed in range(50):
        x, d = draw(4, 6, seed=seed), draw(4, 6, seed=100 + seed)
        r = np.broadcast_to(radius(op, x), x.shape)
        if axes is None:
            x, d, r = (a.reshape(4, 2, 3) for a in (x, d, r))
        ones: dict[int | None, tuple[Any, ...]] = {0: (slice(None), 0), None: (0, 0)}
        one = ones.get(None if axes is None else axes[0], (0,))
        x, d, r = x[one], d[one], r[one]
        d = d / np.abs(d).max()
        centre = 0.0 if isinstance(op, ops.RMSNorm) else 1.0
        c, e = x - centre * x.mean(), d - centre * d.mean()
        roots = np.roots([np.mean(e * e), 2 * np.mean(c * e), np.mean(c * c) + op.epsilon])
        assert (np.abs(roots)[:, None] >= r * (1 - 1e-12)).all()


# --- attention -------------------------------------------------------------------------


def attend(q: Array, k: Array, v: Array, seen: Array, scale: float) -> Array:
    """One head of one example, from the formula; -inf for what is not seen."""
    scores = np.where(seen, scale * q @ k.T, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True) @ v)


def seen_by(causal: bool, length: int, queries: int, keys: int) -> Array:
    i, j = np.arange(queries)[:, None], np.arange(keys)
    return (j < length) & ((j <= i + keys - queries) | (not causal))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", [(), (5, 3)], ids=["", "lengths"])
def test_attention_is_its_formula_example_by_example(
    causal: bool, lengths: tuple[int, ...]
) -> None:
    op = ops.Attention(causal=causal, lengths=lengths, scale=0.7)
    q, k, v = draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 6)
    y = value(op, (q, k, v))
    for n in range(2):
        seen = seen_by(causal, lengths[n] if lengths else 5, 3, 5)
        close(y[n], attend(q[n], k[n], v[n], seen, 0.7))


@pytest.mark.parametrize("replicas", [1, 3, 7])
def test_replicas_of_attention_with_lengths_are_not_taken_for_heads(replicas: int) -> None:
    op = ops.Attention(lengths=(5, 3))
    x = (draw(replicas, 2, 3, 4), draw(1, 2, 5, 4), draw(replicas, 2, 5, 6))
    y = value(op, x)
    for r in range(replicas):
        close(y[r], value(op, (x[0][r], x[1][0], x[2][r])))


def test_attention_to_one_key_returns_its_value() -> None:
    q, k, v = draw(2, 3, 4), draw(2, 1, 4), draw(2, 1, 6)
    np.testing.assert_array_equal(value(ops.Attention(), (q, k, v)), np.broadcast_to(v, (2, 3, 6)))
    (q_bar, k_bar, v_bar), _ = gradients(ops.Attention(), (q, k, v), draw(2, 3, 6))
    assert not q_bar.any() and not k_bar.any()
    close(v_bar, draw(2, 3, 6).sum(axis=1, keepdims=True))


def test_a_key_that_nobody_sees_gets_exactly_nothing_whatever_its_score() -> None:
    op = ops.Attention(lengths=(5, 2))
    q, k, v = draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 6)
    k[1, 2:] *= 1e4  # exp of such scores would overflow
    with np.errstate(all="raise", under="ignore"):
        (_, k_bar, v_bar), _ = gradients(op, (q, k, v), draw(2, 3, 6))
    assert not k_bar[1, 2:].any() and not v_bar[1, 2:].any()
    assert k_bar[1, :2].all() and k_bar[0].all()


def test_causal_attention_does_not_see_the_future() -> None:
    op = ops.MultiHeadAttention(2, causal=True, rotary=True)
    x, p = draw(2, 5, 8), parameters(ops.MultiHeadAttention(2), (2, 5, 8))
    moved = x.copy()
    moved[:, 3:] += draw(2, 2, 8)
    np.testing.assert_array_equal(value(op, x, p)[:, :3], value(op, moved, p)[:, :3])
    y_bar = draw(2, 5, 8)
    y_bar[:, 3:] = 0
    assert not gradients(op, x, y_bar, p)[0][:, 3:].any()


@pytest.mark.parametrize("op", [
    ops.MultiHeadAttention(4), ops.MultiHeadAttention(4, 2, causal=True, lengths=(5, 4)),
    ops.MultiHeadAttention(4, 1, rotary=True, bias=False),
], ids=["4", "4 over 2, masked", "4 over 1, rotary"])  # fmt: skip
def test_multi_head_attention_is_attention_head_by_head(op: ops.MultiHeadAttention) -> None:
    x, m = draw(2, 3, 8), draw(2, 5, 6)
    p = parameters(op, x.shape, m.shape)
    q, k, v = (
        a @ p[f"{n}_weight"].T + p.get(f"{n}_bias", np.zeros(1))
        for n, a in (("query", x), ("key", m), ("value", m))
    )
    groups = op.key_value_heads or op.heads
    o = np.zeros((2, 3, 8))
    for n in range(2):
        seen = seen_by(op.causal, op.lengths[n] if op.lengths else 5, 3, 5)
        for h in range(op.heads):
            own, shared = slice(2 * h, 2 * h + 2), 2 * (h * groups // op.heads)
            query, key = q[n, :, own], k[n, :, shared : shared + 2]
            if op.rotary:
                query, key = (turned(a, 10000.0) for a in (query, key))
            o[n, :, own] = attend(query, key, v[n, :, shared : shared + 2], seen, 2**-0.5)
    close(value(op, (x, m), p), o @ p["output_weight"].T + p.get("output_bias", np.zeros(1)), 1e-12)


def test_self_attention_is_cross_attention_to_itself() -> None:
    op = ops.MultiHeadAttention(2, rotary=True)
    x, y_bar, p = draw(2, 3, 8), draw(2, 3, 8, seed=1), parameters(op, (2, 3, 8))
    close(value(op, x, p), value(op, (x, x), p), 0)
    x_bar, p_bar = gradients(op, x, y_bar, p)
    (query_side, memory_side), cross = gradients(op, (x, x), y_bar, p)
    close(x_bar, query_side + memory_side, 0)
    for name, g in p_bar.items():
        close(g, cross[name], 0)


def turned(x: Array, base: float) -> Array:
    """Rotary positions of (T, D) as complex numbers times e^(ia)."""
    half = x.shape[-1] // 2
    pairs = x[:, :half] + 1j * x[:, half:]
    i, t = np.arange(half), np.arange(len(x))[:, None]
    pairs = pairs * np.exp(1j * t / base ** (2 * i / (2 * half)))
    return np.concatenate([pairs.real, pairs.imag], axis=-1)


def test_rotary_turns_pairs_keeps_norms_and_knows_relative_positions_alone() -> None:
    op, x = ops.Rotary(100.0), draw(2, 7, 6)
    y = value(op, x)
    for n in range(2):
        close(y[n], turned(x[n], 100.0))
    close((y * y).sum(axis=-1), (x * x).sum(axis=-1))
    same = np.broadcast_to(draw(2, 1, 6, seed=1), (2, 7, 6))
    q, k = value(op, same)
    scores = q @ k.T
    for lag in range(7):
        close(np.diagonal(scores, lag), scores[0, lag], 1e-12)


# --- recurrence ------------------------------------------------------------------------


def s(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-a)))


def cell(op: Any, u: Array, w: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One step of one example, from the docstring of the operator."""
    if isinstance(op, ops.RNN):
        return (np.tanh(u + w) if op.activation == "tanh" else np.maximum(u + w, 0)), c
    if isinstance(op, ops.LSTM):
        i, f, g, o = np.split(u + w, 4)
        c = s(f) * c + s(i) * np.tanh(g)
        return s(o) * np.tanh(c), c
    (u_r, u_z, u_n), (w_r, w_z, w_n) = np.split(u, 3), np.split(w, 3)
    r, z = s(u_r + w_r), s(u_z + w_z)
    n = np.tanh(u_n + r * w_n)
    return (1 - z) * n + z * h, c


def naive(op: Any, p: Arrays, x: Array, states: tuple[Array, ...]) -> dict[str, Array]:
    """One example (T, D), run step by step; states (layers directions, H) each."""
    ways = 2 if op.bidirectional else 1
    last: dict[str, list[Array]] = {"hidden": [], "cell": []}
    for level in range(op.layers):
        sides = []
        for way in range(ways):
            end = f"{level}{'_reverse' if way else ''}"
            wi, wh = p[f"input_weight_{end}"], p[f"hidden_weight_{end}"]
            bi, bh = (p.get(f"{n}_bias_{end}", np.zeros(len(wi))) for n in ("input", "hidden"))
            h, c = ([*(a[level * ways + way] for a in states), *[np.zeros(op.units)] * 2])[:2]
            c = c if len(states) == 2 else np.zeros(op.units)
            y = np.zeros((len(x), op.units))
            for t in range(len(x))[:: -1 if way else 1]:
                h, c = cell(op, wi @ x[t] + bi, wh @ h + bh, h, c)
                y[t] = h
            sides.append(y)
            last["hidden"].append(h)
            last["cell"].append(c)
        x = np.concatenate(sides, axis=-1)
    return {"sequence": x, **{n: np.stack(v) for n, v in last.items()}}


def recurrent() -> list[Any]:
    found: list[Configuration] = [c for kind in ops.RECURRENCE for c in CONFIGURATIONS[kind]]
    return [pytest.param(op, shapes, id=f"{op.name}-{k}") for k, (op, shapes) in enumerate(found)]


@pytest.mark.parametrize("op, shapes", recurrent())
def test_a_recurrence_is_its_cell_step_by_step_over_the_steps_that_an_example_has(
    op: Any, shapes: Any
) -> None:
    x, *states = (draw(*shape, seed=k) for k, shape in enumerate(shapes))
    p = parameters(op, *shapes)
    y = value(op, (x, *states) if states else x, p)
    for n in range(len(x)):
        length = op.lengths[n] if op.lengths else x.shape[1]
        own = naive(op, p, x[n, :length], tuple(a[:, n] for a in states))[op.returns]
        if op.returns == "sequence":
            close(y[n, :length], own)
            assert not y[n, length:].any()
        else:
            close(y[:, n], own)


@pytest.mark.parametrize("kind", ops.RECURRENCE)
def test_with_lengths_gradients_are_those_of_the_examples_cut_and_run_alone(kind: Any) -> None:
    op = kind(2, 2, True, (2, 4))
    shapes = ((2, 4, 3), (4, 2, 2))
    x, h = draw(*shapes[0]), draw(*shapes[1])
    p, y_bar = parameters(op, *shapes), draw(2, 4, 4)
    (x_bar, h_bar), p_bar = gradients(op, (x, h), y_bar, p)
    assert not x_bar[0, 2:].any()
    total = {n: np.zeros_like(v) for n, v in p.items()}
    for n, length in enumerate(op.lengths):
        own = (x[n : n + 1, :length], h[:, n : n + 1])
        cut = y_bar[n : n + 1, :length]
        (one, state), each = gradients(replace(op, lengths=()), own, cut, p)
        close(x_bar[n, :length], one[0])
        close(h_bar[:, n], state[:, 0])
        total = {name: g + each[name] for name, g in total.items()}
    for name, g in total.items():
        close(p_bar[name], g, 1e-12)


@pytest.mark.parametrize("kind", ops.RECURRENCE)
def test_the_backward_direction_is_the_forward_one_of_the_reversed_sequence(kind: Any) -> None:
    both, one = kind(2, bidirectional=True), kind(2)
    x, y_bar, p = draw(2, 4, 3), draw(2, 4, 4), parameters(kind(2, bidirectional=True), (2, 4, 3))
    ahead = {n: v for n, v in p.items() if "reverse" not in n}
    back = {n.removesuffix("_reverse"): v for n, v in p.items() if "reverse" in n}
    flipped = value(one, x[:, ::-1], back)[:, ::-1]
    close(value(both, x, p), np.concatenate([value(one, x, ahead), flipped], axis=-1), 0)
    x_bar, p_bar = gradients(both, x, y_bar, p)
    first, first_bar = gradients(one, x, y_bar[..., :2], ahead)
    second, second_bar = gradients(one, x[:, ::-1], y_bar[:, ::-1, 2:], back)
    close(x_bar, first + second[:, ::-1])
    for name in first_bar:
        close(p_bar[name], first_bar[name])
        close(p_bar[f"{name}_reverse"], second_bar[name])


@pytest.mark.parametrize("kind", ops.RECURRENCE)
def test_a_sequence_in_two_halves_is_the_whole_with_the_state_handed_over(kind: Any) -> None:
    """So the cotangent of an initial state is what the second half sends to the first."""
    op, x, p = kind(2), draw(2, 6, 3), parameters(kind(2), (2, 6, 3))
    y_bar = draw(2, 6, 2)
    parts = ("hidden", "cell") if kind is ops.LSTM else ("hidden",)
    middle = tuple(value(replace(op, returns=which), x[:, :4], p) for which in parts)
    close(value(op, (x[:, 4:], *middle), p), value(op, x, p)[:, 4:])
    (late, *middle_bar), _ = gradients(op, (x[:, 4:], *middle), y_bar[:, 4:], p)
    early = gradients(op, x[:, :4], y_bar[:, :4], p)[0]
    for which, bar in zip(parts, middle_bar, strict=True):
        early = early + gradients(replace(op, returns=which), x[:, :4], bar, p)[0]
    close(gradients(op, x, y_bar, p)[0], np.concatenate([early, late], axis=1))


def test_steps_beyond_an_examples_length_are_no_ties() -> None:
    op = ops.RNN(2, 2, True, (2, 4), activation="relu")
    x, p = np.zeros((2, 4, 3)), parameters(op, (2, 4, 3))
    p = {n: 0 * v for n, v in p.items()}
    kink = LAYERS[ops.RNN].kink
    assert kink is not None
    argument = kink(op, p, x).argument  # (layers directions, N, T, units), all ties
    assert argument.shape == (4, 2, 4, 2)
    assert not argument[:, 0, :2].any() and not argument[:, 1].any()
    assert (argument[:, 0, 2:] == 1).all()


def test_a_relu_recurrence_stays_on_the_pieces_that_it_is_given() -> None:
    op = ops.RNN(2, activation="relu")
    x, p = draw(2, 4, 3), parameters(op, (2, 4, 3))
    linear = np.ones((1, 2, 4, 2), np.int8)
    page = LAYERS[ops.RNN]
    double = [page.forward(op, p, t * x, linear)[0] for t in (0.0, 1.0, 2.0)]
    close(double[2] - double[1], double[1] - double[0])


@pytest.mark.parametrize("kind", [ops.LSTM, ops.GRU])
def test_saturated_gates_keep_the_digits_of_their_slopes(kind: Any) -> None:
    """A gate at s(40): its slope is e^-40, where 1 - s(40) is 0 in float64."""
    op, x = kind(1), np.ones((1, 1, 1))
    gates = 4 if kind is ops.LSTM else 3
    p = parameters(op, (1, 1, 1))
    p = {n: np.zeros_like(v) for n, v in p.items()}
    p["input_bias_0"] = np.full(gates, 40.0)
    p["input_bias_0"][2] = 0.5  # what is let in
    states = (np.full((1, 1, 1), 0.25),) * (2 if kind is ops.LSTM else 1)
    _, p_bar = gradients(op, (x, *states), np.ones((1, 1, 1)), p)
    tail = np.exp(-40.0)
    if kind is ops.LSTM:
        c = 0.25 + np.tanh(0.5)
        right = [np.tanh(c) * tail, (1 - np.tanh(c) ** 2) * 0.25 * tail]
        got = [p_bar["input_bias_0"][3], p_bar["input_bias_0"][1]]
    else:
        right = [(0.25 - np.tanh(0.5)) * tail]
        got = [p_bar["input_bias_0"][1]]
    np.testing.assert_allclose(got, right, rtol=1e-14)


# --- losses of sequences and of rows ---------------------------------------------------


def test_a_sure_ctc_keeps_the_digits_of_what_is_left() -> None:
    """The share of each class by enumeration with 50 digits, where p and w are almost equal."""
    loss, labels, page = CTC(2), np.array([[1, 2]]), LOSSES[CTC]
    y = draw(1, 5, 4)
    y[0, np.arange(5), [0, 1, 0, 2, 0]] += 40.0
    value_, saved = page.forward(loss, y, labels, None)
    got = page.backward(loss, saved, 1.0)[0]
    with mpmath.workdps(50):
        p = [[mpmath.exp(mpmath.mpf(float(v))) for v in row] for row in y[0]]
        p = [[v / mpmath.fsum(row) for v in row] for row in p]
        paths = [
            path
            for path in itertools.product(range(4), repeat=5)
            if [k for k, _ in itertools.groupby(path) if k] == [1, 2]
        ]
        each = [mpmath.fprod(p[t][k] for t, k in enumerate(path)) for path in paths]
        total = mpmath.fsum(each)
        assert abs(float(value_) + mpmath.log(total)) <= 8 * U  # log of a rounded sum
        for t, k in np.ndindex(5, 4):
            through = [a for a, path in zip(each, paths, strict=True) if path[t] == k]
            w = mpmath.fsum(through) / total
            scale = p[t][k] * (1 - w) + w * (1 - p[t][k])
            # Exponents up to 100 are rounded, each a relative error: some hundreds of u.
            assert abs(got[t, k] - (p[t][k] - w)) <= 1000 * U * scale


def test_a_triplet_at_distance_0_sends_nothing_along_that_side() -> None:
    """a - p + epsilon = 0: the norm has no derivative there; 0 is in its subdifferential."""
    loss, page = TripletMargin(3.0, 1.0, "sum"), LOSSES[TripletMargin]
    y = (np.zeros((1, 2)), np.ones((1, 2)), np.array([[1.0, -1.0]]))  # |a - n + epsilon| = 2
    assert page.kink is not None
    with np.errstate(all="raise"):
        total, saved = page.forward(loss, y, None, regions(page.kink(loss, y, None)))
        a_bar, p_bar, n_bar = page.backward(loss, saved, 1.0)
    assert total == 1.0
    np.testing.assert_array_equal(p_bar, [[0.0, 0.0]])
    np.testing.assert_array_equal(n_bar, [[0.0, 1.0]])
    np.testing.assert_array_equal(a_bar, [[0.0, -1.0]])
