"""PyTorch's forwards of the whole vocabulary: every configuration against a naive program.

The configurations hold numbers near 1 and a few hundred operations, so that two right
programs differ by some 100 u = 1e-14; `ROUNDING` is far above that, and far below what any
other function would differ by.  Central differences with h = 2^-17 err by h^2 / 6 f''' =
1e-11 f''' and by u |L| / h = 1e-11 |L|; `DIFFERENCES` allows for f''' in the thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import helpers_naive as naive
import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from helpers_hosts import HOSTS, host, state
from torch import Tensor

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.configurations import CONFIGURATIONS, network
from backproof.architectures.losses import Loss
from backproof.architectures.operators import Operator, Shape
from backproof.checkers.with_torch import FORWARD, estimate
from backproof.checkers.with_torch.losses import LOSS

Array = npt.NDArray[Any]
U = 2.0**-53
ROUNDING = 2.0**-40
STEP = 2.0**-17
DIFFERENCES = 2.0**-24

RNG = np.random.default_rng(0)


EVERY = [(op, shapes) for found in CONFIGURATIONS.values() for op, shapes in found]
NAMED = [pytest.param(op, shapes, id=f"{op!r}-{shapes}") for op, shapes in EVERY]


def run(op: Operator, p: Mapping[str, Array], *inputs: Array) -> tuple[Array, list[Array]]:
    """y, and the cotangent of every input and then of every parameter for y_bar = 1, 2, 3, ..."""
    x = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in inputs]
    own = {n: torch.tensor(v, requires_grad=v.dtype.kind == "f") for n, v in p.items()}
    y = FORWARD[type(op)](op, own, x[0] if len(x) == 1 else tuple(x))
    leaves = [*x, *(t for t in own.values() if t.requires_grad)]
    y_bar = torch.arange(1, y.numel() + 1, dtype=torch.float64).reshape(y.shape)
    found = torch.autograd.grad(y, leaves, y_bar)
    return y.detach().numpy(), [g.numpy() for g in found]


def draw_parameters(op: Operator, *shapes: Shape) -> dict[str, Array]:
    return {n: RNG.normal(size=s) for n, s in ops.parameter_shapes(op, *shapes).items()}


def differences(f: Callable[[], float], x: Array) -> Array:
    """Central differences of f by every entry of x, which f reads."""
    found = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        middle = x[at]
        x[at] = middle + STEP
        right = f()
        x[at] = middle - STEP
        found[at] = (right - f()) / (2 * STEP)
        x[at] = middle
    return found


def close(got: Any, want: Any, unit: float) -> None:
    want = np.asarray(want)
    assert np.shape(got) == want.shape
    size = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    np.testing.assert_allclose(got, want, rtol=0, atol=unit * size)


def check_gradients(case: Case, value: Callable[[Mapping[str, Tensor]], Tensor]) -> None:
    """Every entry of every gradient of the driver against differences of the forward."""
    parameters = {name: np.array(v) for name, v in case.parameters.items()}
    views = {name: torch.from_numpy(v) for name, v in parameters.items()}

    def f() -> float:
        with torch.no_grad():
            return value(views).item()

    found = estimate(case)
    assert found.loss == pytest.approx(f(), rel=ROUNDING, abs=0)
    assert found.entries.keys() == case.architecture.tensors.keys()
    for name, x in parameters.items():
        close(found.entries[name], differences(f, x), DIFFERENCES)


# --- every operator -----------------------------------------------------------------------


def test_the_naive_program_has_every_operator_and_loss() -> None:
    assert set(naive.NAIVE) == set(ops.OPERATORS)
    assert set(naive.LOSS) == set(losses.LOSSES)


@pytest.mark.parametrize("op, shapes", NAMED)
def test_a_configuration_is_its_docstring_and_so_is_its_gradient(
    op: Operator, shapes: tuple[Shape, ...]
) -> None:
    case = draw_case(network(op, shapes), seed=7)
    site = f"layers.{len(shapes)}."
    names = [f"layers.{k}.value" for k in range(len(shapes))]
    own = {n.removeprefix(site): n for n in case.parameters if n.startswith(site)}
    data = {n.removeprefix(site): v for n, v in case.data.items()}

    def y(tensors: Mapping[str, Tensor]) -> Tensor:
        p = {n: tensors[full] for n, full in own.items()}
        p |= {n: torch.tensor(v) for n, v in data.items()}
        x = tuple(tensors[n] for n in names)
        return FORWARD[type(op)](op, p, x[0] if len(x) == 1 else x)

    plain = {n: case.parameters[full] for n, full in own.items()} | data
    want = naive.NAIVE[type(op)](op, plain, *(case.parameters[n] for n in names))
    close(y({n: torch.tensor(v) for n, v in case.parameters.items()}).numpy(), want, ROUNDING)
    t = torch.tensor(case.target)
    check_gradients(case, lambda tensors: (t * y(tensors)).sum())


# --- every loss ---------------------------------------------------------------------------

W3 = (0.5, 2.0, 1.25)
ENTRIES: tuple[losses.Reduction, ...] = ("sum", "mean", "batch_mean")
ROWS: tuple[losses.RowReduction, ...] = ("sum", "mean")
TABLE, SEQUENCES, IMAGES = (4, 3), (2, 4, 3), (2, 2, 2, 3)

INSTANCES: tuple[Loss, ...] = (
    losses.WeightedSum(),
    losses.SquaredError(),
    *(losses.SquaredError(r) for r in ENTRIES),
    *(losses.AbsoluteError(r) for r in ENTRIES),
    *(losses.Huber(0.5, r) for r in ENTRIES),
    *(losses.SmoothL1(0.5, r) for r in ENTRIES),
    *(losses.LogCosh(r) for r in ENTRIES),
    *(losses.CrossEntropy(reduction=r) for r in ROWS),
    losses.CrossEntropy(label_smoothing=0.1, class_weights=W3, ignore_index=2),
    *(losses.CrossEntropy("probabilities", 0.1, W3, reduction=r) for r in ROWS),
    *(losses.NegativeLogLikelihood(W3, 1, r) for r in ROWS),
    *(losses.BinaryCrossEntropy(0.125, r) for r in ENTRIES),
    *(losses.BinaryCrossEntropyWithLogits(W3, r) for r in ENTRIES),
    *(losses.Hinge(0.5, r) for r in ROWS),
    *(losses.SquaredHinge(0.5, r) for r in ROWS),
    *(losses.KLDivergence(flag, r) for flag in (False, True) for r in ENTRIES),
    *(losses.Cosine(e, r) for e in (1e-8, 1.5) for r in ROWS),
    *(losses.TripletMargin(reduction=r) for r in ROWS),
    losses.TripletMargin(3.0, 0.25),
    *(losses.Dice(reduction=r) for r in ROWS),
    losses.Dice(0.25),
    *(losses.Focal(reduction=r) for r in ENTRIES),
    losses.Focal(0.0),
    losses.Focal(0.5, 0.25),
    losses.Focal(3.0, 0.75),
    *(losses.GaussianKL(r) for r in ENTRIES),
)
CTC: tuple[losses.CTC, ...] = (
    losses.CTC(2),
    losses.CTC(2, reduction="sum"),
    losses.CTC(1, blank=2),
    losses.CTC(2, blank=1, input_lengths=(4, 3)),
    losses.CTC(2, input_lengths=(3, 4), target_lengths=(1, 2)),
)


def with_loss(loss: Any, shape: Shape) -> Architecture:
    """A loss of variables of one shape, by way of a sigmoid where it wants probabilities."""
    edges = losses.ARITY.get(type(loss), 1)
    layers: list[Any] = [ops.Variable(shape) for _ in range(edges)]
    if isinstance(loss, losses.BinaryCrossEntropy | losses.Dice):
        layers.append(ops.Sigmoid())
    names = tuple(edge_name(len(layers) - edges + k + 1) for k in range(edges))
    return Architecture(None, tuple(layers), msgspec.structs.replace(loss, inputs=names))


@pytest.mark.parametrize(
    "loss, shape",
    [
        *(
            pytest.param(x, shape, id=f"{x!r}-{shape}")
            for x in INSTANCES
            for shape in (TABLE, SEQUENCES, IMAGES)
        ),
        *(pytest.param(x, SEQUENCES, id=repr(x)) for x in CTC),
    ],
)
def test_a_loss_is_its_docstring_at_every_rank_and_so_is_its_gradient(
    loss: Any, shape: Shape
) -> None:
    case = draw_case(with_loss(loss, shape), seed=11)
    squashed = any(isinstance(layer, ops.Sigmoid) for layer in case.architecture.layers)
    t = case.targets.get("loss")

    def value(tensors: Mapping[str, Tensor]) -> Tensor:
        y = tuple(torch.sigmoid(v) if squashed else v for v in tensors.values())
        target = None if t is None else torch.tensor(t)
        return LOSS[type(loss)](loss, y[0] if len(y) == 1 else y, target)

    edges = (naive.logistic(v) if squashed else v for v in case.parameters.values())
    want = naive.LOSS[type(loss)](loss, t, *edges)
    assert estimate(case).loss == pytest.approx(want, rel=ROUNDING, abs=0)
    check_gradients(case, value)


# --- dense and shapes ---------------------------------------------------------------------


def test_an_ignored_embedding_is_zero_and_its_weight_learns_nothing() -> None:
    op = ops.Embedding(3, 2, (4,), padding_index=1)
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y, (bar,) = run(op, {"weight": weight, "indices": np.array([1, 0, 1, 0])})
    np.testing.assert_array_equal(y, [[0, 0], [1, 2], [0, 0], [1, 2]])
    np.testing.assert_array_equal(bar, [[3 + 7, 4 + 8], [0, 0], [0, 0]])


def test_reflection_and_repetition_reach_four_axes_as_they_reach_three() -> None:
    """F.pad pads three axes at most in these modes; beyond, indices are gathered."""
    x = RNG.normal(size=(2, 3, 4, 3, 5))
    pairs = ((2, 1), (0, 3), (1, 2), (4, 0))
    for mode in ("reflect", "edge"):
        y, _ = run(ops.Pad(pairs, mode), {}, x)
        np.testing.assert_array_equal(y, np.pad(x, ((0, 0), *pairs), mode=mode))


def test_slopes_of_prelu_belong_to_the_last_axis_whatever_the_rank() -> None:
    op, slope = ops.PReLU(shared=False), np.array([0.25, 0.5, 1.0, 2.0])
    y, (x_bar, slope_bar) = run(op, {"slope": slope}, -np.ones((2, 3, 4)))
    np.testing.assert_array_equal(y, np.broadcast_to(-slope, (2, 3, 4)))
    y_bar = np.arange(1.0, 25.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(x_bar, y_bar * slope)
    np.testing.assert_array_equal(slope_bar, -y_bar.sum((0, 1)))


@pytest.mark.parametrize("factor", range(1, 30))
def test_the_nearest_entry_is_exact_for_every_whole_factor(factor: int) -> None:
    for n in (1, 2, 3, 7, 41):
        x = np.arange(1.0 * n).reshape(1, 1, 1, n)
        y, _ = run(ops.Upsample((1, factor)), {}, x)
        np.testing.assert_array_equal(y, np.repeat(x, factor, axis=-1))


# --- ties ---------------------------------------------------------------------------------

ONES = np.ones((1, 1, 2, 3))


def test_equal_inputs_of_maximum_and_minimum_share_the_cotangent() -> None:
    for op in (ops.Maximum(), ops.Minimum()):
        _, (a_bar, b_bar) = run(op, {}, np.ones((1, 2)), np.ones((1, 2)))
        np.testing.assert_array_equal(a_bar, [[0.5, 1.0]])
        np.testing.assert_array_equal(b_bar, [[0.5, 1.0]])


def test_equal_entries_of_max_share_the_cotangent() -> None:
    _, (x_bar,) = run(ops.Max((-1, -2), keep=True), {}, ONES)
    np.testing.assert_array_equal(x_bar, np.full((1, 1, 2, 3), 1 / 6))


@pytest.mark.parametrize(
    "op, x",
    [
        (ops.MaxPool1d((3,)), np.ones((1, 1, 3))),
        (ops.MaxPool2d((2, 3)), ONES),
        (ops.GlobalMaxPool(), np.ones((1, 1, 3))),
        (ops.GlobalMaxPool(), ONES),
        (ops.GlobalMaxPool(), np.ones((1, 1, 2, 2, 2))),
    ],
    ids=repr,
)
def test_of_equal_entries_in_a_window_the_first_takes_the_whole_cotangent(
    op: Operator, x: Array
) -> None:
    _, (x_bar,) = run(op, {}, x)
    np.testing.assert_array_equal(x_bar.reshape(-1), [1.0] + [0.0] * (x.size - 1))


def test_overlapping_windows_add_their_cotangents() -> None:
    op = ops.MaxPool1d((3,), stride=(1,), padding=(1,))
    _, (x_bar,) = run(op, {}, np.array([[[1.0, 5.0, 2.0, 3.0]]]))
    np.testing.assert_array_equal(x_bar, [[[0.0, 1.0 + 2.0 + 3.0, 0.0, 4.0]]])


def test_at_the_margin_of_a_triplet_the_cotangent_passes() -> None:
    """a = 0 with e = 2^-20: d(a, p) = 1 + e, d(a, n) = 3 - e, and a margin of 2 - 2 e is met."""
    e = 2.0**-20
    edges = (np.array([[v]]) for v in (0.0, -1.0, 3.0))
    value, bars = run_loss(losses.TripletMargin(2 - 2 * e, e), None, *edges)
    assert value == 0
    assert [bar.item() for bar in bars] == [2, -1, -1]


# --- normalisation ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op",
    [ops.BatchNorm(2), ops.GroupNorm(2, 2), ops.InstanceNorm(2), ops.LayerNorm(3)],
    ids=repr,
)
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_the_order_of_the_axes_in_memory_does_not_cost_digits(op: Operator, mean: float) -> None:
    """F.group_norm has a one-pass variance where the channels come last in memory."""
    x = RNG.normal(size=(2, 5, 6, 4)) + mean
    shape = (2, 4, 5, 6)
    p = {n: torch.tensor(v) for n, v in draw_parameters(op, shape).items()}
    last = torch.tensor(x).permute(0, 3, 1, 2)
    assert last.is_contiguous(memory_format=torch.channels_last)
    wide = {n: v.numpy().astype(np.longdouble) for n, v in p.items()}
    want = naive.NAIVE[type(op)](op, wide, last.numpy().astype(np.longdouble))
    y = FORWARD[type(op)](op, p, last).numpy()
    # x is known to u |x|; the mean of 120 and three roundings more
    assert np.abs(y - want).max() <= 16 * U * max(1.0, mean) * np.abs(want).max()


def test_given_statistics_are_read_and_never_written() -> None:
    op, x = ops.BatchNorm(0, statistics="given"), RNG.normal(size=(5, 3))
    p = draw_parameters(op, (5, 3)) | {"mean": np.ones(3), "variance": np.full(3, 4.0)}
    tensors = {n: torch.tensor(v) for n, v in p.items()}
    FORWARD[ops.BatchNorm](op, tensors, torch.tensor(x))
    for name, value in p.items():
        np.testing.assert_array_equal(tensors[name].numpy(), value)


def test_what_dropout_drops_has_no_cotangent_and_the_rest_is_scaled() -> None:
    mask = np.array([[True], [False], [True]])
    for op in (ops.Dropout(0.75), ops.StochasticDepth(0.75)):
        y, (x_bar,) = run(op, {"mask": mask}, np.array([[1.0], [1e308], [2.0]]))
        np.testing.assert_array_equal(y, [[4.0], [0.0], [8.0]])
        np.testing.assert_array_equal(x_bar, [[4.0], [0.0], [12.0]])


# --- attention ----------------------------------------------------------------------------

QUERIES, KEYS, VALUES = (2, 3, 4), (2, 5, 4), (2, 5, 6)


def draw_attended() -> tuple[Array, Array, Array]:
    q, k, v = (RNG.normal(size=s) for s in (QUERIES, KEYS, VALUES))
    return q, k, v


@pytest.mark.parametrize("causal", [False, True])
def test_at_ordinary_points_attention_is_pytorchs_own(causal: bool) -> None:
    q, k, v = draw_attended()
    seen = np.ones((3, 5), bool)
    if causal:
        seen = np.arange(5) <= np.arange(3)[:, None] + 2
    leaves = a, b, c = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    want = F.scaled_dot_product_attention(a, b, c, attn_mask=torch.tensor(seen))
    y_bar = torch.arange(1, want.numel() + 1, dtype=torch.float64).reshape(want.shape)
    want_bars = torch.autograd.grad(want, leaves, y_bar)
    y, bars = run(ops.Attention(causal), {}, q, k, v)
    close(y, want.detach().numpy(), ROUNDING)
    for got, bar in zip(bars, want_bars, strict=True):
        close(got, bar.numpy(), ROUNDING)


def test_multi_head_attention_is_pytorchs_module() -> None:
    op, x = ops.MultiHeadAttention(2), RNG.normal(size=(2, 3, 8))
    p = draw_parameters(op, x.shape)
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name in ("weight", "bias"):
            stacked = np.concatenate([p[f"{part}_{name}"] for part in ("query", "key", "value")])
            getattr(module, f"in_proj_{name}").copy_(torch.tensor(stacked))
            getattr(module.out_proj, name).copy_(torch.tensor(p[f"output_{name}"]))
        want = module(*[torch.tensor(x)] * 3, need_weights=False)[0]
    close(run(op, p, x)[0], want.numpy(), ROUNDING)


@pytest.mark.parametrize("size", [1.0, 1e300])
def test_a_key_that_nobody_sees_weighs_exactly_nothing(size: float) -> None:
    q, k, v = draw_attended()
    op = ops.Attention(causal=True, lengths=(4, 2))
    y, (q_bar, k_bar, v_bar) = run(op, {}, q, k, v)
    k[0, 4:], k[1, 2:], v[0, 4:], v[1, 2:] = size, size, -size, -size
    again, (q_bar_again, *_) = run(op, {}, q, k, v)
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(q_bar_again, q_bar)
    for bar in (k_bar, v_bar):
        assert np.isfinite(bar).all()
        assert not bar[0, 4:].any()
        assert not bar[1, 2:].any()


def test_the_first_of_as_many_queries_as_keys_sees_one_key_only() -> None:
    q, k, v = draw_attended()
    y, (q_bar, *_) = run(ops.Attention(causal=True), {}, q, k[:, :3], v[:, :3])
    np.testing.assert_array_equal(y[:, 0], v[:, 0])
    assert not q_bar[:, 0].any()


@pytest.mark.parametrize("a", [1.0, 20.0, 40.0, 300.0])
def test_attention_keeps_its_digits_where_one_weight_is_nearly_one(a: float) -> None:
    """Of two keys 1 and 0, with values 1 and 0, y = s(q) and dy/dq = s(q) s(-q)."""
    k = v = np.array([[[1.0], [0.0]]])
    y, (q_bar, *_) = run(ops.Attention(scale=1.0), {}, np.array([[[a]]]), k, v)
    e = math.exp(-a)
    assert y.item() == pytest.approx(1 / (1 + e), rel=8 * U, abs=0)
    assert q_bar.item() == pytest.approx(e / (1 + e) ** 2, rel=8 * U, abs=0)


def test_rotary_turns_keep_every_pairs_length() -> None:
    x = RNG.normal(size=(2, 3, 5, 6))
    y, _ = run(ops.Rotary(), {}, x)
    np.testing.assert_array_equal(y[..., 0, :], x[..., 0, :])
    close(y[..., :3] ** 2 + y[..., 3:] ** 2, x[..., :3] ** 2 + x[..., 3:] ** 2, 8 * U)


# --- recurrence ---------------------------------------------------------------------------

LENGTHS = (2, 4, 1)
RECURRENCES: tuple[Any, ...] = (
    ops.RNN(2, 2, True, LENGTHS),
    ops.RNN(2, 1, False, LENGTHS, activation="relu"),
    ops.LSTM(2, 2, True, LENGTHS),
    ops.GRU(2, 2, True, LENGTHS),
)


@pytest.mark.parametrize("op", RECURRENCES, ids=repr)
def test_steps_beyond_a_length_are_neither_read_nor_written(op: Any) -> None:
    x = RNG.normal(size=(3, 4, 3))
    p = draw_parameters(op, x.shape)
    y, (x_bar, *bars) = run(op, p, x)
    beyond = np.arange(4) >= np.array(LENGTHS)[:, None]
    assert not y[beyond].any()
    assert not x_bar[beyond].any()
    x[beyond] = 1e300
    again, (_, *bars_again) = run(op, p, x)
    np.testing.assert_array_equal(again, y)
    for got, want in zip(bars_again, bars, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("returns", ["sequence", "hidden", "cell"])
@pytest.mark.parametrize("op", RECURRENCES, ids=repr)
def test_an_example_with_a_length_is_the_shorter_example_by_itself(op: Any, returns: Any) -> None:
    """Whatever the order of the lengths, and with initial states."""
    if returns == "cell" and not isinstance(op, ops.LSTM):
        return
    op = msgspec.structs.replace(op, returns=returns)
    x, states = RNG.normal(size=(3, 4, 3)), 2 if isinstance(op, ops.LSTM) else 1
    shape = (op.layers * (2 if op.bidirectional else 1), 3, 2)
    given = [RNG.normal(size=shape) for _ in range(states)]
    p = draw_parameters(op, x.shape)
    y, _ = run(op, p, x, *given)
    alone = msgspec.structs.replace(op, lengths=())
    for n, length in enumerate(LENGTHS):
        want, _ = run(alone, p, x[n : n + 1, :length], *(s[:, n : n + 1] for s in given))
        got = y[n, :length] if returns == "sequence" else y[:, n]
        close(got, want[0] if returns == "sequence" else want[:, 0], ROUNDING)


def test_a_saturated_recurrence_errs_by_no_more_than_the_rounding_of_its_state() -> None:
    """The kernel's 1 - tanh^2 is right to u, which the normwise model allows for, no better."""
    p = {"input_weight_0": np.ones((1, 1)), "hidden_weight_0": np.zeros((1, 1))}
    for a in (1.0, 5.0, 18.0, 30.0):
        _, (x_bar, *_) = run(ops.RNN(1, bias=False), p, np.full((1, 1, 1), a))
        e = math.exp(-2 * a)
        assert abs(x_bar.item() - 4 * e / (1 + e) ** 2) <= 4 * U


# --- losses -------------------------------------------------------------------------------


def run_loss(loss: Loss, t: Any, *edges: Array) -> tuple[float, list[Array]]:
    y = [torch.tensor(v, requires_grad=True) for v in edges]
    target = None if t is None else torch.tensor(t)
    value = LOSS[type(loss)](loss, y[0] if len(y) == 1 else tuple(y), target)
    return value.item(), [g.numpy() for g in torch.autograd.grad(value, y)]


def test_ctc_reads_no_step_and_no_label_beyond_its_length() -> None:
    loss = losses.CTC(3, input_lengths=(5, 3), target_lengths=(3, 1))
    y, t = RNG.normal(size=(2, 5, 4)), np.array([[1, 2, 1], [3, 1, 1]])
    value, (y_bar,) = run_loss(loss, t, y)
    assert not y_bar[1, 3:].any()
    y[1, 3:], t[1, 1:] = 100.0, 2
    assert run_loss(loss, t, y)[0] == value
    close(y_bar.sum(-1), np.zeros((2, 5)), ROUNDING)  # logits are known up to a constant


@pytest.mark.parametrize("scale", [1.0, 16.0, 250.0])
def test_ctc_errs_by_the_rounding_of_its_log_probabilities(scale: float) -> None:
    """PyTorch's recursion is in logarithms of size T max|q|, whose rounding exp makes relative."""
    y, t = scale * RNG.normal(size=(1, 4, 3)), np.array([[1, 1]])
    value, (y_bar,) = run_loss(losses.CTC(2), t, y)
    p = np.array([naive.softmax(row) for row in y[0].astype(np.longdouble)])
    paths = [(1, 0, 1, 1), (1, 1, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1), (1, 0, 1, 0)]
    each = np.array([math.prod(p[s, c] for s, c in enumerate(path)) for path in paths])
    occupied = np.zeros_like(p)
    for path, probability in zip(paths, each / each.sum(), strict=True):
        for s, c in enumerate(path):
            occupied[s, c] += probability
    size = U * 4 * max(1.0, float(np.abs(np.log(p)).max()))
    assert abs(value + float(np.log(each.sum()))) <= 8 * size
    assert np.abs(y_bar[0] - (p - occupied)).max() <= 8 * size


def test_a_triplet_within_its_margin_learns_nothing() -> None:
    a, p, n = np.zeros((1, 2)), np.zeros((1, 2)), np.full((1, 2), 5.0)
    value, bars = run_loss(losses.TripletMargin(), None, a, p, n)
    assert value == 0
    assert not any(bar.any() for bar in bars)


def test_dice_keeps_its_digits_where_the_prediction_is_nearly_right() -> None:
    """1 - ratio has few left: with y = (1 - e, 1), t = 1, smooth = 1 it is e / (5 - e)."""
    e = 2.0**-40
    value, (y_bar,) = run_loss(losses.Dice(), np.ones((1, 2)), np.array([[1 - e, 1.0]]))
    assert value == pytest.approx(e / (5 - e), rel=8 * U, abs=0)
    np.testing.assert_allclose(y_bar, np.full((1, 2), -5 / (5 - e) ** 2), rtol=8 * U)


@pytest.mark.parametrize("v", [2.0**-30, -(2.0**-30), 0.0, 0.9, -0.9, 1.1, -1.1, -40.0])
def test_gaussian_kl_keeps_its_digits_near_a_variance_of_one(v: float) -> None:
    value, (m_bar, v_bar) = run_loss(
        losses.GaussianKL("sum"), None, np.array([[0.0]]), np.array([[v]])
    )
    series = sum(v**k / math.factorial(k) for k in range(40, 1, -1)) / 2 if abs(v) < 2 else 19.5
    assert value == pytest.approx(series, rel=16 * U, abs=0)
    assert v_bar.item() == pytest.approx(math.expm1(v) / 2, rel=16 * U, abs=0)
    assert m_bar.item() == 0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_focal_is_finite_in_every_tail(gamma: float, t: float) -> None:
    y = np.array([[-1e300, -800.0, -40.0, 0.0, 40.0, 800.0, 1e300]])
    value, (y_bar,) = run_loss(losses.Focal(gamma, reduction="sum"), np.full((1, 7), t), y / 1e100)
    assert np.isfinite(value)
    assert np.isfinite(y_bar).all()
    _, (y_bar,) = run_loss(losses.Focal(gamma, reduction="sum"), np.full((1, 7), t), y)
    assert np.isfinite(y_bar).all()


def test_focal_without_its_exponent_is_binary_cross_entropy() -> None:
    y, t = 20 * RNG.normal(size=(3, 4)), RNG.uniform(size=(3, 4))
    got = run_loss(losses.Focal(0.0), t, y)
    want = run_loss(losses.BinaryCrossEntropyWithLogits(), t, y)
    assert got[0] == pytest.approx(want[0], rel=8 * U, abs=0)
    np.testing.assert_allclose(got[1][0], want[1][0], rtol=8 * U)


# --- whole cases --------------------------------------------------------------------------

CTC_CASE = Architecture((2, 5, 3), (ops.LSTM(4, 1, True, (5, 3)), ops.Dense(3)), losses.CTC(2))
SETTINGS: Mapping[str, Architecture] = {
    "ctc over an lstm": CTC_CASE,
    "a gru": network(ops.GRU(2, 2, True, (2, 4)), ((2, 4, 3),)),
    "attention": network(ops.MultiHeadAttention(4, 2, True, (3, 1), True), ((2, 3, 8),)),
    "reflection": network(ops.Pad(((2, 1), (1, 3)), "reflect"), ((2, 4, 5, 6),)),
    "repetition": network(ops.Pad(((2, 1), (1, 3)), "edge"), ((2, 4, 5, 6),)),
    "four axes": network(ops.Pad(((1, 1),) * 4, "edge"), ((2, 2, 2, 2, 2),)),
    "bilinear": network(ops.Upsample((2, 3), "bilinear"), ((2, 2, 3, 2),)),
    "embedding": network(ops.Embedding(4, 2, (3, 5), padding_index=1), ()),
    "convolution": network(ops.Conv2d(4, (3, 2), (2, 1), "same", groups=2), ((2, 4, 5, 6),)),
    "max pool": network(ops.MaxPool2d((3, 2), padding=(1, 1)), ((2, 4, 5, 6),)),
    "adaptive pool": network(ops.AdaptiveAveragePool2d((2, 4)), ((2, 4, 5, 6),)),
    "batch norm": network(ops.BatchNorm(2), ((2, 4, 5, 6),)),
    "group norm": network(ops.GroupNorm(2, 2), ((2, 4, 5, 6),)),
    "dropout": network(ops.Dropout(), ((3, 4),)),
    "triplet": with_loss(losses.TripletMargin(), (4, 3)),
    "gaussian": with_loss(losses.GaussianKL(), (4, 3)),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", HOSTS)
def test_the_host_program_neither_matters_nor_changes(name: str, setting: str) -> None:
    case = draw_case(SETTINGS[setting], 3)
    want = estimate(case)
    with host(name):
        before = state()
        found = estimate(case)
        assert state() == before
    assert found.loss == want.loss
    for tensor, value in want.entries.items():
        np.testing.assert_array_equal(found.entries[tensor], value)


@pytest.mark.parametrize("lane", ["generic", "exact", "tie", "extreme"])
def test_no_configuration_gives_a_nan_on_any_lane(lane: Any) -> None:
    for op, shapes in EVERY:
        if isinstance(op, ops.Exp) and lane == "extreme":
            continue  # it overflows
        for seed in range(5):
            case = draw_case(network(op, shapes), seed, lane)
            for tensor, value in estimate(case).entries.items():
                assert value.shape == case.architecture.tensors[tensor]
                assert np.isfinite(value).all(), (op, shapes, seed, tensor)


def test_every_use_of_an_edge_and_of_a_shared_weight_has_a_cotangent_of_its_own() -> None:
    layers = (
        ops.Dense(3),
        ops.Dense(3, share="layers.0"),
        ops.Add(inputs=("layers.0.output", "layers.1.output")),
    )
    w, x = np.array([[2.0]]), np.array([[3.0]])
    wide = tuple(msgspec.structs.replace(layer, units=1) for layer in layers[:2])
    architecture = Architecture((1, 1), (*wide, layers[2]), losses.WeightedSum())
    parameters = {"layers.0.weight": w, "layers.0.bias": np.zeros(1)}
    found = estimate(make_case(architecture, parameters, x, [[1.0]])).entries
    assert found["layers.1.inputs.0"].item() == 2
    assert found["layers.2.inputs.0"].item() == 1
    assert found["layers.0.output"].item() == 3
    assert found["layers.0.uses.weight"].item() == 3 * 3
    assert found["layers.1.uses.weight"].item() == 6
    assert found["layers.0.weight"].item() == 9 + 6
