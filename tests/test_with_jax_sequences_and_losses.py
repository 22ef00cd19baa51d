"""JAX's normalisations, attention, recurrences and losses against the docstrings.

The docstrings are written once more in NumPy, row by row and step by step, and
differentiated by differences of fourth order: with a step h = 2^-14 their error is h^4 / 30
times a fifth derivative, below 1e-8 where that is below 1e10 (two numbers normalised), and
the rounding of the loss over h, some 1e-11.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import mpmath as mp
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import EXTREMES, LANES, Case, Lane, draw_case, make_case
from backproof.architectures.configurations import CONFIGURATIONS, network
from backproof.checkers.with_jax import estimate

Array = npt.NDArray[Any]
H = 2.0**-14
KINDS = (*ops.NORMALISATIONS, *ops.REGULARISATION, *ops.ATTENTION, *ops.RECURRENCE)
CASES = [(op, shapes) for kind in KINDS for op, shapes in CONFIGURATIONS[kind]]


def differences(f: Callable[[Array], float], x: Array) -> Array:
    """The gradient of f by central differences of fourth order."""
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):

        def at(k: int, i: tuple[int, ...] = i) -> float:
            moved = np.array(x, np.float64)
            moved[i] += k * H
            return f(moved)

        gradient[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * H)
    return gradient


def verify(case: Case, f: Callable[[Mapping[str, Array]], float]) -> None:
    """JAX's value and gradient of every parameter, against f of the parameters."""
    got = estimate(case)
    assert got.loss == pytest.approx(f(case.parameters), rel=1e-12, abs=1e-12)
    for name, value in case.parameters.items():

        def of_one(x: Array, name: str = name) -> float:
            return f({**case.parameters, name: x})

        expected = differences(of_one, value)
        np.testing.assert_allclose(got.entries[name], expected, rtol=1e-7, atol=1e-7, err_msg=name)


# --- the operators, in NumPy --------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def normalised(values: Array, epsilon: float) -> Array:
    mu = sum(values.ravel()) / values.size
    v = sum((values.ravel() - mu) ** 2) / values.size
    return np.asarray((values - mu) / np.sqrt(v + epsilon))


def channelwise(op: Any, p: Any, z: Array) -> Array:
    y = z.copy()
    if op.affine:
        for c in range(z.shape[1]):
            y[:, c] = p["gamma"][c] * z[:, c] + p["beta"][c]
    return y


def batch_norm(op: Any, p: Any, x: Array) -> Array:
    z = np.empty_like(x)
    for c in range(x.shape[1]):
        if op.statistics == "batch":
            z[:, c] = normalised(x[:, c], op.epsilon)
        else:
            z[:, c] = (x[:, c] - p["mean"][c]) / np.sqrt(p["variance"][c] + op.epsilon)
    return channelwise(op, p, z)


def layer_norm(op: Any, p: Any, x: Array) -> Array:
    y = np.empty_like(x)
    for i in np.ndindex(x.shape[: -op.axes]):
        z = normalised(x[i], op.epsilon)
        y[i] = p["gamma"] * z + p["beta"] if op.affine else z
    return y


def group_norm(op: Any, p: Any, x: Array) -> Array:
    z, run = np.empty_like(x), x.shape[1] // op.groups
    for n, first in itertools.product(range(x.shape[0]), range(0, x.shape[1], run)):
        z[n, first : first + run] = normalised(x[n, first : first + run], op.epsilon)
    return channelwise(op, p, z)


def instance_norm(op: Any, p: Any, x: Array) -> Array:
    z = np.empty_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        z[n, c] = normalised(x[n, c], op.epsilon)
    return channelwise(op, p, z)


def rms_norm(op: Any, p: Any, x: Array) -> Array:
    y = np.empty_like(x)
    for i in np.ndindex(x.shape[:-1]):
        z = x[i] / np.sqrt(np.dot(x[i], x[i]) / x.shape[-1] + op.epsilon)
        y[i] = p["gamma"] * z if op.affine else z
    return y


def dropped(op: Any, p: Any, x: Array) -> Array:
    return np.asarray(x * p["mask"] / (1 - op.rate))


def attend(op: Any, n: int, q: Array, k: Array, v: Array, scale: float) -> Array:
    """One example, one head: query by query, over the list of the keys that it sees."""
    rows = []
    for i in range(len(q)):
        last = i + len(k) - len(q) if op.causal else len(k) - 1
        length = op.lengths[n] if op.lengths else len(k)
        keys = [j for j in range(len(k)) if j <= last and j < length]
        e = np.exp([np.dot(q[i], k[j]) * scale for j in keys])
        rows.append(sum(a * v[j] for a, j in zip(e / e.sum(), keys, strict=True)))
    return np.array(rows)


def attention(op: Any, p: Any, q: Array, k: Array, v: Array) -> Array:
    scale = q.shape[-1] ** -0.5 if op.scale is None else op.scale
    y = np.empty((*q.shape[:-1], v.shape[-1]))
    for i in np.ndindex(q.shape[:-2]):
        y[i] = attend(op, i[0], q[i], k[i], v[i], scale)
    return y


def rotary(x: Array, base: float) -> Array:
    y, d = np.empty_like(x), x.shape[-1]
    for t, i in itertools.product(range(x.shape[-2]), range(d // 2)):
        a = t / base ** (2 * i / d)
        first, second = x[..., t, i], x[..., t, i + d // 2]
        y[..., t, i] = first * np.cos(a) - second * np.sin(a)
        y[..., t, i + d // 2] = first * np.sin(a) + second * np.cos(a)
    return y


def multi_head(op: Any, p: Any, x: Array, m: Array | None = None) -> Array:
    m = x if m is None else m
    h, g, d = op.heads, op.key_value_heads or op.heads, x.shape[-1] // op.heads

    def linear(name: str, z: Array) -> Array:
        return np.asarray(z @ p[f"{name}_weight"].T + (p[f"{name}_bias"] if op.bias else 0))

    y = np.empty_like(x)
    for n in range(len(x)):
        q, k, v = linear("query", x[n]), linear("key", m[n]), linear("value", m[n])
        heads = []
        for head in range(h):
            other = head * g // h
            one = q[:, head * d : (head + 1) * d]
            key, value = (z[:, other * d : (other + 1) * d] for z in (k, v))
            if op.rotary:
                one, key = rotary(one, 10000.0), rotary(key, 10000.0)
            heads.append(attend(op, n, one, key, value, d**-0.5))
        y[n] = linear("output", np.hstack(heads))
    return y


def cell(op: Any, u: Array, w: Array, h: Array, c: Array) -> tuple[Array, Array]:
    k = op.units
    if isinstance(op, ops.RNN):
        return (np.tanh(u + w) if op.activation == "tanh" else np.maximum(u + w, 0)), c
    if isinstance(op, ops.LSTM):
        i, f, g, o = ((u + w)[j * k : (j + 1) * k] for j in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    r, z = sigmoid(u[:k] + w[:k]), sigmoid(u[k : 2 * k] + w[k : 2 * k])
    return (1 - z) * np.tanh(u[2 * k :] + r * w[2 * k :]) + z * h, c


def recurrence(op: Any, p: Any, x: Array, *states: Array) -> Array:
    """Example by example, step by step."""
    ways = 2 if op.bidirectional else 1
    n, steps, _ = x.shape
    hidden, cells = np.zeros((2, op.layers * ways, n, op.units))
    if states:
        hidden = states[0].copy()
    if len(states) > 1:
        cells = states[1].copy()
    y = x
    for layer in range(op.layers):
        outputs = np.zeros((n, steps, ways * op.units))
        for way, example in itertools.product(range(ways), range(n)):
            place, index = f"{layer}{('', '_reverse')[way]}", layer * ways + way
            length = op.lengths[example] if op.lengths else steps
            h, c = hidden[index, example], cells[index, example]
            for t in range(length)[:: -1 if way else 1]:
                u = p[f"input_weight_{place}"] @ y[example, t]
                w = p[f"hidden_weight_{place}"] @ h
                if op.bias:
                    u, w = u + p[f"input_bias_{place}"], w + p[f"hidden_bias_{place}"]
                h, c = cell(op, u, w, h, c)
                outputs[example, t, way * op.units : (way + 1) * op.units] = h
            hidden[index, example], cells[index, example] = h, c
        y = outputs
    found: dict[str, Array] = {"sequence": y, "hidden": hidden, "cell": cells}
    return found[op.returns]


NAIVE: dict[type[ops.Operator], Callable[..., Array]] = {
    ops.BatchNorm: batch_norm,
    ops.LayerNorm: layer_norm,
    ops.GroupNorm: group_norm,
    ops.InstanceNorm: instance_norm,
    ops.RMSNorm: rms_norm,
    ops.Dropout: dropped,
    ops.StochasticDepth: dropped,
    ops.Attention: attention,
    ops.MultiHeadAttention: multi_head,
    ops.Rotary: lambda op, p, x: rotary(x, op.base),
    ops.RNN: recurrence,
    ops.LSTM: recurrence,
    ops.GRU: recurrence,
}


def naive_network(case: Case) -> Callable[[Mapping[str, Array]], float]:
    """The loss of a `network` as a function of the parameters: sum(t y)."""
    op, count = case.architecture.layers[-1], len(case.architecture.layers) - 1
    site = f"layers.{count}."

    def loss(parameters: Mapping[str, Array]) -> float:
        everything = {**parameters, **case.data}
        p = {k.removeprefix(site): v for k, v in everything.items() if k.startswith(site)}
        inputs = [v for i in range(count) for k, v in parameters.items()
                  if k.startswith(f"layers.{i}.")]  # fmt: skip
        return float(np.sum(case.target * NAIVE[type(op)](op, p, *inputs)))

    return loss


@pytest.mark.parametrize("op, shapes", CASES, ids=lambda v: str(v)[:90])
def test_operators(op: ops.Operator, shapes: Any) -> None:
    case = draw_case(network(op, shapes), 3)
    verify(case, naive_network(case))


# --- masks, lengths, tails ----------------------------------------------------------------


def changed(case: Case, values: Mapping[str, Array]) -> Case:
    """The case with some parameters replaced."""
    return make_case(
        case.architecture, {**case.parameters, **values}, case.input, case.targets, data=case.data
    )


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("kind", [*KINDS, ls.CTC, ls.Focal, ls.GaussianKL, ls.TripletMargin])
def test_no_lane_makes_a_nan(lane: Lane, kind: Any) -> None:
    """The last configuration of each, for all that `extreme` does."""
    if issubclass(kind, ls.Loss):
        loss = kind(2) if kind is ls.CTC else kind()
        architecture = on_variables(loss, (2, 4, 3))
    else:
        architecture = network(*CONFIGURATIONS[kind][-1])
    for seed in range(5 if lane == "extreme" else 1):
        got = estimate(draw_case(architecture, seed, lane))
        if kind is ls.GaussianKL and lane == "extreme" and EXTREMES[seed] in ("huge", "offset"):
            assert got.loss == np.inf  # exp overflows
            assert not any(np.isnan(g).any() for g in got.entries.values())
            continue
        assert np.isfinite(got.loss)
        assert all(np.isfinite(g).all() for g in got.entries.values())


def variable(case: Case, i: int) -> str:
    return next(name for name in case.parameters if name.startswith(f"layers.{i}."))


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e100])
def test_what_no_query_sees_counts_for_nothing(scale: float) -> None:
    """Hidden keys and values have the gradient 0, exactly, and so has their size no effect."""
    op = ops.Attention(causal=True, lengths=(3, 4))
    case = draw_case(network(op, ((2, 3, 4), (2, 5, 4), (2, 5, 6))), 5)
    key, value = variable(case, 1), variable(case, 2)
    k, v = case.parameters[key].copy(), case.parameters[value].copy()
    hidden = np.arange(5) >= np.array(op.lengths)[:, None]
    k[hidden], v[hidden] = scale, -scale
    got, plain = estimate(changed(case, {key: k, value: v})), estimate(case)
    assert got.loss == plain.loss
    for name in case.parameters:
        np.testing.assert_array_equal(got.entries[name], plain.entries[name])
    for name in (key, value):
        assert not got.entries[name][hidden].any()
        assert got.entries[name][~hidden].all()


def test_a_saturated_attention_has_finite_gradients() -> None:
    op = ops.Attention(causal=True, scale=1e4)
    got = estimate(draw_case(network(op, ((2, 3, 4), (2, 5, 4), (2, 5, 6))), 5))
    assert all(np.isfinite(g).all() for g in got.entries.values())


@pytest.mark.parametrize("kind", ops.RECURRENCE)
@pytest.mark.parametrize("returns", ["sequence", "hidden"])
def test_steps_beyond_the_length_count_for_nothing(kind: Any, returns: str) -> None:
    op = kind(2, 2, True, (2, 4), returns=returns)
    case = draw_case(network(op, ((2, 4, 3),)), 7)
    x = case.parameters[variable(case, 0)].copy()
    x[0, 2:] = 1e3
    got, plain = estimate(changed(case, {variable(case, 0): x})), estimate(case)
    assert got.loss == plain.loss
    for name in case.parameters:
        np.testing.assert_array_equal(got.entries[name], plain.entries[name])
    assert not got.entries[variable(case, 0)][0, 2:].any()


def test_a_saturated_update_gate_keeps_its_digits() -> None:
    """With z at 1 - 4e-18 and h = 0 before, y = (1 - z) n, of which every digit is left."""
    case = draw_case(network(ops.GRU(1, bias=False), ((1, 1, 1),)), 0)
    gates = np.array([[0.0], [40.0], [0.5]])
    values = {variable(case, 0): np.ones((1, 1, 1)), "layers.1.input_weight_0": gates}
    got = estimate(changed(case, values))
    s = np.exp(-40.0)
    expected = case.target.item() * s / (1 + s) * np.tanh(0.5)
    assert got.loss == pytest.approx(expected, rel=1e-14)
    slope = got.entries["layers.1.input_weight_0"][1, 0]
    assert slope == pytest.approx(-expected, rel=1e-14)


def test_a_large_mean_costs_the_variance_no_digits() -> None:
    """x + 2^20 with x of few bits is exact: the normalised values are those of x."""
    rng = np.random.default_rng(1)
    case = draw_case(network(ops.LayerNorm(), ((3, 4),)), 1)
    name = variable(case, 0)
    x = rng.integers(-8, 9, (3, 4)) / 4.0
    near, far = (estimate(changed(case, {name: x + shift})) for shift in (0.0, 2.0**20))
    for tensor in case.parameters:
        np.testing.assert_allclose(far.entries[tensor], near.entries[tensor], 1e-13, 1e-15)


# --- the losses, in NumPy -----------------------------------------------------------------


def reduced(terms: Array, reduction: str) -> float:
    divisor = {"sum": 1, "half_sum": 2, "mean": terms.size, "batch_mean": len(terms)}
    return float(terms.sum() / divisor[reduction])


def log_softmax(row: Array) -> Array:
    return np.asarray(row - row.max() - np.log(np.exp(row - row.max()).sum()))


def rows_of(y: Array, t: Array, classes: bool) -> list[tuple[Array, Any]]:
    rows = y.reshape(-1, y.shape[-1])
    return list(zip(rows, t.reshape(-1) if classes else t.reshape(rows.shape), strict=True))


def cross_entropy(loss: Any, y: Array, t: Array) -> float:
    c, s = y.shape[-1], loss.label_smoothing
    w = np.array(loss.class_weights or (1.0,) * c)
    total, divisor = 0.0, 0.0
    for row, target in rows_of(y, t, loss.target == "indices"):
        q = log_softmax(row)
        if loss.target == "probabilities":
            total -= np.sum(w * ((1 - s) * target + s / c) * q)
            divisor += 1
        elif target != loss.ignore_index:
            total -= (1 - s) * w[target] * q[target] + s / c * np.sum(w * q)
            divisor += w[target]
    return float(total / divisor if loss.reduction == "mean" else total)


def negative_log_likelihood(loss: Any, y: Array, t: Array) -> float:
    w = loss.class_weights or (1.0,) * y.shape[-1]
    kept = [(row, k) for row, k in rows_of(y, t, True) if k != loss.ignore_index]
    total = -sum(w[k] * row[k] for row, k in kept)
    return float(total / sum(w[k] for _, k in kept) if loss.reduction == "mean" else total)


def hinge(loss: Any, y: Array, t: Array) -> float:
    power = 2 if isinstance(loss, ls.SquaredHinge) else 1
    terms = [
        sum(max(0.0, loss.margin - row[k] + row[c]) ** power for c in range(len(row)) if c != k)
        for row, k in rows_of(y, t, True)
    ]
    return reduced(np.array(terms), loss.reduction)


def cosine(loss: Any, y: Array, t: Array) -> float:
    def norm(row: Array) -> float:
        return max(float(np.sqrt(np.dot(row, row))), float(loss.epsilon))

    terms = [1 - np.dot(a, b) / (norm(a) * norm(b)) for a, b in rows_of(y, t, False)]
    return reduced(np.array(terms), loss.reduction)


def with_logits(loss: Any, y: Array, t: Array) -> float:
    w = np.array(loss.positive_weights or (1.0,) * y.shape[-1])
    terms = -w * t * np.log(sigmoid(y)) - (1 - t) * np.log(1 - sigmoid(y))
    return reduced(terms, loss.reduction)


def binary_cross_entropy(loss: Any, y: Array, t: Array) -> float:
    p = np.minimum(np.maximum(y, loss.epsilon), 1 - loss.epsilon)
    return reduced(-t * np.log(p) - (1 - t) * np.log(1 - p), loss.reduction)


def kl_divergence(loss: Any, y: Array, t: Array) -> float:
    return reduced(np.exp(t) * (t - y) if loss.log_target else t * (np.log(t) - y), loss.reduction)


def huber(loss: Any, y: Array, t: Array) -> float:
    r, d = np.abs(y - t), loss.delta
    return reduced(np.where(r <= d, r**2 / 2, d * (r - d / 2)), loss.reduction)


def smooth_l1(loss: Any, y: Array, t: Array) -> float:
    r, b = np.abs(y - t), loss.beta
    return reduced(np.where(r < b, r**2 / (2 * b), r - b / 2), loss.reduction)


def merged(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def ctc(loss: Any, y: Array, t: Array) -> float:
    """Every path is tried."""
    terms = []
    for n in range(len(y)):
        steps = loss.input_lengths[n] if loss.input_lengths else y.shape[1]
        length = loss.target_lengths[n] if loss.target_lengths else loss.labels
        q = np.array([log_softmax(row) for row in y[n]])
        found = [
            sum(q[s, k] for s, k in enumerate(path))
            for path in itertools.product(range(y.shape[-1]), repeat=steps)
            if merged(path, loss.blank) == tuple(t[n, :length])
        ]
        terms.append(-max(found) - np.log(np.sum(np.exp(np.array(found) - max(found)))))
    return reduced(np.array(terms), loss.reduction)


def triplet_margin(loss: Any, a: Array, p: Array, n: Array) -> float:
    def distance(u: Array, v: Array) -> Array:
        return np.asarray(np.sqrt(((u - v + loss.epsilon) ** 2).sum(-1)))

    terms = np.maximum(0, distance(a, p) - distance(a, n) + loss.margin)
    return reduced(terms, loss.reduction)


def dice(loss: Any, y: Array, t: Array) -> float:
    terms = [
        1 - (2 * np.sum(a * b) + loss.smooth) / (a.sum() + b.sum() + loss.smooth)
        for a, b in zip(y, t, strict=True)
    ]
    return reduced(np.array(terms), loss.reduction)


def focal(loss: Any, y: Array, t: Array) -> float:
    p, g = sigmoid(y), loss.gamma
    a, b = (1, 1) if loss.alpha is None else (loss.alpha, 1 - loss.alpha)
    terms = -a * t * (1 - p) ** g * np.log(p) - b * (1 - t) * p**g * np.log(1 - p)
    return reduced(terms, loss.reduction)


def gaussian_kl(loss: Any, m: Array, v: Array) -> float:
    return reduced((np.exp(v) + m**2 - 1 - v) / 2, loss.reduction)


NAIVE_LOSS: dict[type[ls.Loss], Callable[..., float]] = {
    ls.WeightedSum: lambda loss, y, t: float((t * y).sum()),
    ls.SquaredError: lambda loss, y, t: reduced((y - t) ** 2, loss.reduction),
    ls.AbsoluteError: lambda loss, y, t: reduced(np.abs(y - t), loss.reduction),
    ls.Huber: huber,
    ls.SmoothL1: smooth_l1,
    ls.LogCosh: lambda loss, y, t: reduced(np.log(np.cosh(y - t)), loss.reduction),
    ls.CrossEntropy: cross_entropy,
    ls.NegativeLogLikelihood: negative_log_likelihood,
    ls.BinaryCrossEntropy: binary_cross_entropy,
    ls.BinaryCrossEntropyWithLogits: with_logits,
    ls.Hinge: hinge,
    ls.SquaredHinge: hinge,
    ls.KLDivergence: kl_divergence,
    ls.Cosine: cosine,
    ls.CTC: ctc,
    ls.TripletMargin: triplet_margin,
    ls.Dice: dice,
    ls.Focal: focal,
    ls.GaussianKL: gaussian_kl,
}

MATRIX, CUBE, IMAGE = (3, 4), (2, 3, 4), (2, 2, 3, 4)
WEIGHTS = (0.5, 2.0, 1.25, 0.75)
ROWS: tuple[ls.Loss, ...] = (
    ls.CrossEntropy(),
    ls.CrossEntropy(label_smoothing=0.2, class_weights=WEIGHTS, ignore_index=1),
    ls.CrossEntropy("probabilities", label_smoothing=0.2, class_weights=WEIGHTS),
    ls.CrossEntropy("probabilities", reduction="sum"),
    ls.NegativeLogLikelihood(),
    ls.NegativeLogLikelihood(class_weights=WEIGHTS, ignore_index=2),
    ls.Hinge(),
    ls.SquaredHinge(0.5),
    ls.Cosine(),
    ls.Cosine(reduction="sum"),
)
ENTRIES: tuple[ls.Loss, ...] = (
    ls.WeightedSum(),
    ls.SquaredError(),
    ls.SquaredError("batch_mean"),
    ls.AbsoluteError("batch_mean"),
    ls.Huber(reduction="batch_mean"),
    ls.SmoothL1(0.5),
    ls.LogCosh("batch_mean"),
    ls.BinaryCrossEntropy(reduction="batch_mean"),
    ls.BinaryCrossEntropyWithLogits(WEIGHTS, "batch_mean"),
    ls.KLDivergence(),
    ls.KLDivergence(log_target=True, reduction="mean"),
    ls.Dice(),
    ls.Dice(0.01, "sum"),
    ls.Focal(),
    ls.Focal(0.0, 0.25, "batch_mean"),
    ls.Focal(0.5, 0.75, "sum"),
)
PAIRS: tuple[tuple[ls.Loss, Any], ...] = (
    *itertools.product(ROWS, (MATRIX, CUBE, IMAGE)),
    *itertools.product(ENTRIES, (MATRIX, CUBE, IMAGE)),
    *itertools.product((ls.TripletMargin(), ls.TripletMargin(0.1, 0.5, "sum")), (MATRIX, CUBE)),
    *itertools.product((ls.GaussianKL(), ls.GaussianKL("mean")), (MATRIX, IMAGE)),
    (ls.CTC(2), (2, 4, 3)),
    (ls.CTC(3, 2, reduction="sum"), (2, 5, 3)),
    (ls.CTC(2, 1, (5, 3), (2, 1)), (2, 5, 4)),
    (ls.CTC(1), (2, 1, 2)),
    (ls.CTC(3, input_lengths=(3, 4), target_lengths=(2, 3)), (2, 4, 4)),
)


def on_variables(loss: Any, shape: tuple[int, ...], *more: ops.Operator) -> Architecture:
    """The loss of `variable` edges, the last of them followed by `more`."""
    count = ls.ARITY.get(type(loss), 1)
    layers: Any = (*(ops.Variable(shape) for _ in range(count)), *more)
    names = tuple(edge_name(len(layers) - count + i + 1) for i in range(count))
    return Architecture(None, layers, msgspec.structs.replace(loss, inputs=names))


def values_of(case: Case, parameters: Mapping[str, Array]) -> list[Array]:
    values = [v for i in range(len(case.architecture.layers))
              for k, v in parameters.items() if k.startswith(f"layers.{i}.")]  # fmt: skip
    last = case.architecture.layers[-1]
    return [sigmoid(v) for v in values] if isinstance(last, ops.Sigmoid) else values


@pytest.mark.parametrize("loss, shape", PAIRS, ids=lambda v: str(v)[:90])
def test_losses(loss: Any, shape: Any) -> None:
    probabilities = isinstance(loss, ls.BinaryCrossEntropy | ls.Dice)
    more = (ops.Sigmoid(),) if probabilities else ()
    case = draw_case(on_variables(loss, shape, *more), 2)
    targets = list(case.targets.values())
    naive = NAIVE_LOSS[type(loss)]
    verify(case, lambda parameters: naive(loss, *values_of(case, parameters), *targets))


def test_every_loss_is_tested() -> None:
    assert {type(loss) for loss, _ in PAIRS} == set(ls.LOSSES)


# --- tails --------------------------------------------------------------------------------


def loss_of(loss: Any, values: list[Any], target: Any = None) -> tuple[float, list[Array]]:
    """The value and the gradients of a loss at given edges."""
    a = on_variables(loss, np.shape(values[0]))
    names = list(a.parameters)
    targets = {} if target is None else {"loss": target}
    got = estimate(make_case(a, dict(zip(names, values, strict=True)), None, targets))
    return got.loss, [got.entries[name] for name in names]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("y", [-800.0, -300.0, -40.0, -1e-9, 0.0, 3.0, 40.0, 300.0, 800.0])
def test_focal_keeps_its_digits(gamma: float, t: float, y: float) -> None:
    """A function of one number: the error is of a few roundings and of a rounded argument."""
    value, (gradient,) = loss_of(ls.Focal(gamma, None, "sum"), [[[y]]], [[t]])

    def f(x: Any) -> Any:
        wrong = 1 / (1 + mp.exp(-x if t == 0 else x))
        return -(wrong ** mp.mpf(gamma)) * mp.log(1 - wrong)

    with mp.workdps(2000):
        x, step = mp.mpf(y), mp.mpf(10) ** -300
        at, above, below = f(x), f(x + step), f(x - step)
        slope, bend = (above - below) / (2 * step), (above - 2 * at + below) / step**2
        u, tiny = mp.mpf(2) ** -53, mp.mpf(2) ** -1020  # XLA flushes what is not normal to 0
        assert abs(value - at) <= 8 * u * (at + abs(y * slope)) + tiny
        assert abs(gradient[0, 0] - slope) <= 8 * u * (abs(slope) + abs(y * bend)) + tiny


@pytest.mark.parametrize("v", [-800.0, -1.0, -0.999, -1e-3, -1e-12, 0.0, 1e-12, 0.5, 1.0, 30.0])
def test_gaussian_kl_keeps_its_digits(v: float) -> None:
    value, (to_m, to_v) = loss_of(ls.GaussianKL("sum"), [[[0.0, 1e-9]], [[v, 0.0]]])
    with mp.workdps(60):
        exact = (mp.exp(v) - 1 - mp.mpf(v) + mp.mpf(1e-9) ** 2) / 2
        assert value == pytest.approx(float(exact), rel=1e-15)
        assert to_v[0, 0] == pytest.approx(float(mp.expm1(mp.mpf(v)) / 2), rel=1e-15)
    assert to_v[0, 1] == 0 and to_m.tolist() == [[0.0, 1e-9]]


def test_triplet_margin_at_a_distance_of_nothing() -> None:
    """u - v + epsilon = 0 has no direction, and the derivative 0 rather than NaN."""
    loss = ls.TripletMargin(1.0, 0.5)
    a, p, n = np.zeros((1, 2)), np.full((1, 2), 0.5), np.array([[0.25, 0.5]])
    value, (to_a, to_p, to_n) = loss_of(loss, [a, p, n])
    assert value == 0.75
    np.testing.assert_array_equal(to_p, [[0.0, 0.0]])
    np.testing.assert_array_equal(to_n, [[1.0, 0.0]])
    np.testing.assert_array_equal(to_a, [[-1.0, 0.0]])


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_triplet_margin_of_any_size(size: float) -> None:
    loss = ls.TripletMargin(size, size / 4)
    a, p, n = np.zeros((1, 2)), np.array([[-1.0, 2.0]]) * size, np.array([[2.0, 1.0]]) * size
    value, gradients = loss_of(loss, [a, p, n])
    one, expected = loss_of(ls.TripletMargin(1.0, 0.25), [a, p / size, n / size])
    assert value == pytest.approx(one * size, rel=1e-15)
    np.testing.assert_allclose(gradients, expected, rtol=1e-14)


def test_dice_next_to_its_target_keeps_its_digits() -> None:
    """Of y = s(40) = 1 - 4e-18, t = 1 next to y = s(-40), t = 0 the latter is what differs."""
    a = on_variables(ls.Dice(1.0, "sum"), (1, 2), ops.Sigmoid())
    case = make_case(a, {next(iter(a.parameters)): [[40.0, -40.0]]}, None, [[1.0, 0.0]])
    got = estimate(case)
    s = np.exp(-40.0)
    assert got.loss == pytest.approx(s / 3, rel=1e-14)
    (gradient,) = (got.entries[name] for name in a.parameters)
    np.testing.assert_allclose(gradient, [[-s / 3, s / 3]], rtol=1e-14)


def test_ctc_of_what_is_nearly_certain_keeps_its_digits() -> None:
    """One step, one label: the cross-entropy of that step, and its gradient."""
    y = [[[0.0, 50.0, 3.0]]]
    value, (gradient,) = loss_of(ls.CTC(1), [y], [[1]])
    s, r = np.exp(-50.0), np.exp(-47.0)
    assert value == pytest.approx(s + r, rel=1e-14)
    np.testing.assert_allclose(gradient, [[[s, -s - r, r]]], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
def test_ctc_of_large_logits(scale: float) -> None:
    """The best path alone counts; a gradient is a difference of indicators, and finite."""
    y = np.random.default_rng(3).normal(size=(2, 4, 3)) * scale
    loss, t = ls.CTC(2, reduction="sum"), np.array([[1, 2], [2, 2]])
    value, (gradient,) = loss_of(loss, [y], t)
    assert value == pytest.approx(ctc(loss, y, t), rel=1e-13)
    assert np.isfinite(gradient).all() and abs(gradient.sum(-1)).max() < 1e-14


def test_ctc_where_paths_are_equally_likely() -> None:
    """Of equal logits all paths weigh alike: -log(number of paths / C^T), ties and all."""
    loss = ls.CTC(2, reduction="sum")
    value, (gradient,) = loss_of(loss, [np.zeros((1, 4, 3))], [[1, 1]])
    paths = [p for p in itertools.product(range(3), repeat=4) if merged(p, 0) == (1, 1)]
    counts = np.array([[sum(p[s] == k for p in paths) for k in range(3)] for s in range(4)])
    assert value == pytest.approx(4 * np.log(3) - np.log(len(paths)), rel=1e-14)
    np.testing.assert_allclose(gradient[0], 1 / 3 - counts / len(paths), atol=1e-15)


def test_ctc_beyond_the_lengths() -> None:
    """Steps and labels beyond them, whatever they hold, count for nothing."""
    loss = ls.CTC(3, 0, (3, 4), (1, 3))
    y = np.random.default_rng(4).normal(size=(2, 4, 3))
    other = y.copy()
    other[0, 3] = 1e3
    plain = loss_of(loss, [y], [[1, 1, 1], [1, 2, 1]])
    for label in (0, 2):
        value, (gradient,) = loss_of(loss, [other], [[1, label, label], [1, 2, 1]])
        assert value == plain[0] and not gradient[0, 3].any()
        np.testing.assert_array_equal(gradient, plain[1][0])
