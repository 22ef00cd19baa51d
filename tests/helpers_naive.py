"""The operators and losses once more, as slowly and as plainly as their docstrings read.

NumPy in float64, one output entry after the other.  Written for the tests of the frameworks'
forwards, from `architectures` alone.  y = f(op, p, *inputs), and L = f(loss, t, *edges).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.losses import Loss
from backproof.architectures.operators import Operator

Array = npt.NDArray[Any]
Naive = Callable[..., Any]


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


def rows(f: Callable[..., Any], *arrays: Array) -> Array:
    """f of each row along the last axes, the leading ones being equal."""
    lead = arrays[0].shape[:-1]
    found = [f(*(a[index] for a in arrays)) for index in np.ndindex(*lead)]
    return np.array(found).reshape(*lead, *np.shape(found[0]))


# --- linear maps and products -----------------------------------------------------------------


def weight_norm_dense(op: Any, p: Any, x: Array) -> Array:
    weight = np.array(
        [g * v / math.sqrt((v**2).sum()) for g, v in zip(p["gain"], p["direction"], strict=True)]
    )
    return rows(lambda row: weight @ row + p.get("bias", 0), x)


def embedding(op: Any, p: Any) -> Array:
    y = np.zeros((*op.shape, op.units))
    for at in np.ndindex(*op.shape):
        if p["indices"][at] != op.padding_index:
            y[at] = p["weight"][p["indices"][at]]
    return y


def matmul(op: Any, p: Any, a: Array, b: Array) -> Any:
    def transposed(x: Array, flag: bool) -> Array:
        return np.swapaxes(x, -1, -2) if flag else x

    return transposed(a, op.transpose_a) @ transposed(b, op.transpose_b)


# --- activations ------------------------------------------------------------------------------


def gelu(op: Any, x: Array) -> Any:
    if op.form == "exact":
        return np.asarray(x * (1 + erf(x / math.sqrt(2))) / 2)
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def along(f: Callable[[Array], Array]) -> Naive:
    return lambda op, p, x: np.apply_along_axis(f, op.axis, x)


def halves(x: Array) -> tuple[Array, Array]:
    n = x.shape[-1] // 2
    return x[..., :n], x[..., n:]


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

ACTIVATION: Mapping[type[Operator], Naive] = {
    ops.Identity: lambda op, p, x: x,
    ops.Sigmoid: lambda op, p, x: logistic(x),
    ops.Tanh: lambda op, p, x: np.tanh(x),
    ops.ReLU: lambda op, p, x: np.maximum(x, 0),
    ops.LeakyReLU: lambda op, p, x: np.where(x > 0, x, op.slope * x),
    ops.PReLU: lambda op, p, x: np.where(x > 0, x, p["slope"] * x),
    ops.ELU: lambda op, p, x: elu(x, op.alpha),
    ops.SELU: lambda op, p, x: SELU_SCALE * elu(x, SELU_ALPHA),
    ops.CELU: lambda op, p, x: np.where(x > 0, x, op.alpha * (np.exp(x / op.alpha) - 1)),
    ops.GELU: lambda op, p, x: gelu(op, x),
    ops.SiLU: lambda op, p, x: x * logistic(x),
    ops.Mish: lambda op, p, x: x * np.tanh(np.log(1 + np.exp(x))),
    ops.Softplus: lambda op, p, x: np.log(1 + np.exp(op.beta * x)) / op.beta,
    ops.Softsign: lambda op, p, x: x / (1 + np.abs(x)),
    ops.HardTanh: lambda op, p, x: np.minimum(np.maximum(x, op.low), op.high),
    ops.ReLU6: lambda op, p, x: np.minimum(np.maximum(x, 0), 6),
    ops.HardSigmoid: lambda op, p, x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    ops.HardSwish: lambda op, p, x: x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    ops.LogSigmoid: lambda op, p, x: -np.log(1 + np.exp(-x)),
    ops.TanhShrink: lambda op, p, x: x - np.tanh(x),
    ops.SoftShrink: lambda op, p, x: np.sign(x) * np.maximum(np.abs(x) - op.threshold, 0),
    ops.HardShrink: lambda op, p, x: np.where(np.abs(x) > op.threshold, x, 0),
    ops.Sine: lambda op, p, x: np.sin(op.frequency * x),
    ops.Square: lambda op, p, x: x**2,
    ops.Exp: lambda op, p, x: np.exp(x),
    ops.Affine: lambda op, p, x: op.scale * x + op.shift,
    ops.Softmax: along(softmax),
    ops.LogSoftmax: along(lambda x: np.log(softmax(x))),
    ops.GLU: lambda op, p, x: halves(x)[0] * logistic(halves(x)[1]),
    ops.SwiGLU: lambda op, p, x: halves(x)[0] * logistic(halves(x)[0]) * halves(x)[1],
}


# --- what rearranges, repeats or reduces ------------------------------------------------------


def pad(op: Any, p: Any, x: Array) -> Array:
    pairs = ((0, 0),) * (x.ndim - len(op.padding)) + op.padding
    y = np.full([n + b + a for n, (b, a) in zip(x.shape, pairs, strict=True)], op.value)
    for at in np.ndindex(*y.shape):
        source = [i - before for i, (before, _) in zip(at, pairs, strict=True)]
        for axis, (i, n) in enumerate(zip(source, x.shape, strict=True)):
            if op.mode == "reflect":
                source[axis] = -i if i < 0 else 2 * (n - 1) - i if i >= n else i
            elif op.mode == "edge":
                source[axis] = min(max(i, 0), n - 1)
        if all(0 <= i < n for i, n in zip(source, x.shape, strict=True)):
            y[at] = x[tuple(source)]
    return y


def sliced(op: Any, p: Any, x: Array) -> Array:
    return np.take(x, range(op.start, op.stop, op.step), axis=op.axis)


def reduced(f: Callable[..., Array]) -> Naive:
    return lambda op, p, x: f(x, axis=op.axes, keepdims=op.keep)


def upsample(op: Any, p: Any, x: Array) -> Array:
    for axis, f in zip((-2, -1), op.factor, strict=True):
        n = x.shape[axis]
        stretched = []
        for i in range(f * n):
            if op.form == "nearest":
                at: float = i // f
            elif op.align_corners:
                at = i * (n - 1) / (f * n - 1) if f * n > 1 else 0.0
            else:
                at = (i + 0.5) / f - 0.5
            at = min(max(at, 0), n - 1)
            low = math.floor(at)
            high = min(low + 1, n - 1)
            left, right = np.take(x, low, axis), np.take(x, high, axis)
            stretched.append((1 - (at - low)) * left + (at - low) * right)
        x = np.stack(stretched, axis)
    return x


# --- convolutions and pooling -----------------------------------------------------------------


def convolution(op: Any, p: Any, x: Array) -> Array:
    k = len(op.kernel)
    stride, dilation = op.stride or (1,) * k, op.dilation or (1,) * k
    around = []
    for n, size, s, d in zip(x.shape[2:], op.kernel, stride, dilation, strict=True):
        if op.padding == "valid":
            around.append((0, 0))
        elif op.padding == "same":
            total = max((math.ceil(n / s) - 1) * s + d * (size - 1) + 1 - n, 0)
            around.append((total // 2, total - total // 2))
        else:
            around.append((op.padding[len(around)],) * 2)
    z = np.pad(x, ((0, 0), (0, 0), *around))
    shape = [
        (n - d * (size - 1) - 1) // s + 1
        for n, size, s, d in zip(z.shape[2:], op.kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), op.channels, *shape))
    narrow = x.shape[1] // op.groups
    for n, o, *at in np.ndindex(*y.shape):
        first = narrow * (o * op.groups // op.channels)
        for c, *u in np.ndindex(narrow, *op.kernel):
            where = [s * i + d * j for s, i, d, j in zip(stride, at, dilation, u, strict=True)]
            y[(n, o, *at)] += p["weight"][(o, c, *u)] * z[(n, first + c, *where)]
        y[(n, o, *at)] += p["bias"][o] if op.bias else 0
    return y


def conv_transpose(op: Any, p: Any, x: Array) -> Array:
    k = len(op.kernel)
    stride, dilation = op.stride or (1,) * k, op.dilation or (1,) * k
    padding, extra = op.padding or (0,) * k, op.output_padding or (0,) * k
    shape = [
        (n - 1) * s - 2 * pad + d * (size - 1) + 1 + e
        for n, s, pad, d, size, e in zip(
            x.shape[2:], stride, padding, dilation, op.kernel, extra, strict=True
        )
    ]
    y = np.zeros((len(x), op.channels, *shape))
    wide, narrow = x.shape[1] // op.groups, op.channels // op.groups
    for n, c, *at in np.ndindex(*x.shape):
        for o, *u in np.ndindex(narrow, *op.kernel):
            where = [
                s * i + d * j - pad
                for s, i, d, j, pad in zip(stride, at, dilation, u, padding, strict=True)
            ]
            if all(0 <= i < m for i, m in zip(where, shape, strict=True)):
                out = (n, c // wide * narrow + o, *where)
                y[out] += p["weight"][(c, o, *u)] * x[(n, c, *at)]
    if op.bias:
        y += p["bias"].reshape(-1, *(1,) * k)
    return y


def windows(op: Any, x: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Each output's index with the entries of x in its window."""
    k = len(op.kernel)
    stride, padding = op.stride or op.kernel, op.padding or (0,) * k
    shape = [
        (n + 2 * pad - size) // s + 1
        for n, pad, size, s in zip(x.shape[2:], padding, op.kernel, stride, strict=True)
    ]
    for n, c, *at in np.ndindex(*x.shape[:2], *shape):
        inside = tuple(
            slice(max(s * i - pad, 0), s * i - pad + size)
            for s, i, pad, size in zip(stride, at, padding, op.kernel, strict=True)
        )
        yield (n, c, *at), x[(n, c, *inside)]


def from_windows(found: Mapping[tuple[int, ...], Any]) -> Array:
    y = np.zeros([n + 1 for n in max(found)])
    for at, value in found.items():
        y[at] = value
    return y


def max_pool(op: Any, p: Any, x: Array) -> Array:
    return from_windows({at: window.max() for at, window in windows(op, x)})


def average_pool(op: Any, p: Any, x: Array) -> Array:
    whole = math.prod(op.kernel)
    return from_windows(
        {
            at: window.sum() / (whole if op.count_include_pad else window.size)
            for at, window in windows(op, x)
        }
    )


def adaptive_average_pool(op: Any, p: Any, x: Array) -> Array:
    y = np.zeros((*x.shape[:2], *op.size))
    for n, c, *at in np.ndindex(*y.shape):
        inside = tuple(
            slice(math.floor(i * size / m), math.ceil((i + 1) * size / m))
            for i, size, m in zip(at, x.shape[2:], op.size, strict=True)
        )
        y[(n, c, *at)] = x[(n, c, *inside)].mean()
    return y


# --- normalisation ----------------------------------------------------------------------------


def standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon))


def channelwise(p: Any, z: Array) -> Array:
    """gamma z + beta with one of each a channel."""
    ones = (1,) * (z.ndim - 2)
    gamma, beta = (p.get(name, default) for name, default in (("gamma", 1.0), ("beta", 0.0)))
    return np.reshape(gamma, (-1, *ones)) * z + np.reshape(beta, (-1, *ones))


def batch_norm(op: Any, p: Any, x: Array) -> Array:
    if op.statistics == "given":
        mean, variance = (p[name].reshape(-1, *(1,) * op.spatial) for name in ("mean", "variance"))
        return channelwise(p, (x - mean) / np.sqrt(variance + op.epsilon))
    axes = (0, *range(2, x.ndim))
    return channelwise(p, standardised(x, axes, op.epsilon))


def layer_norm(op: Any, p: Any, x: Array) -> Array:
    z = standardised(x, tuple(range(-op.axes, 0)), op.epsilon)
    return np.asarray(p.get("gamma", 1) * z + p.get("beta", 0))


def group_norm(op: Any, p: Any, x: Array) -> Array:
    runs = np.split(x, op.groups, axis=1)
    z = [standardised(run, tuple(range(1, x.ndim)), op.epsilon) for run in runs]
    return channelwise(p, np.concatenate(z, axis=1))


def instance_norm(op: Any, p: Any, x: Array) -> Array:
    return channelwise(p, standardised(x, tuple(range(2, x.ndim)), op.epsilon))


def rms_norm(op: Any, p: Any, x: Array) -> Array:
    gamma = p.get("gamma", 1)
    return rows(lambda row: gamma * row / math.sqrt((row**2).mean() + op.epsilon), x)


# --- sequences --------------------------------------------------------------------------------


def attend(op: Any, q: Array, k: Array, v: Array, scale: float, n: int) -> Array:
    """One head of example n: q (T, d), k (S, d), v (S, e)."""
    queries, keys = len(q), len(k)
    y = np.zeros((queries, v.shape[1]))
    for i in range(queries):
        seen = [
            j
            for j in range(keys)
            if not (op.causal and j > i + keys - queries)
            and not (op.lengths and j >= op.lengths[n])
        ]
        weights = softmax(np.array([q[i] @ k[j] * scale for j in seen]))
        y[i] = sum(w * v[j] for w, j in zip(weights, seen, strict=True))
    return y


def attention(op: Any, p: Any, q: Array, k: Array, v: Array) -> Array:
    scale = 1 / math.sqrt(q.shape[-1]) if op.scale is None else op.scale
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for at in np.ndindex(*q.shape[:-2]):
        y[at] = attend(op, q[at], k[at], v[at], scale, at[0])
    return y


def multi_head_attention(op: Any, p: Any, x: Array, m: Array | None = None) -> Array:
    m = x if m is None else m
    groups, d = op.key_value_heads or op.heads, x.shape[-1] // op.heads

    def mapped(z: Array, name: str) -> Any:
        return z @ p[f"{name}_weight"].T + p.get(f"{name}_bias", 0)

    y = np.zeros(x.shape)
    for n in range(len(x)):
        q, k, v = mapped(x[n], "query"), mapped(m[n], "key"), mapped(m[n], "value")
        for h in range(op.heads):
            mine, g = slice(h * d, (h + 1) * d), h * groups // op.heads
            shared = slice(g * d, (g + 1) * d)
            qh, kh = q[:, mine], k[:, shared]
            if op.rotary:
                qh, kh = turned(qh, 10000.0), turned(kh, 10000.0)
            y[n][:, mine] = attend(op, qh, kh, v[:, shared], 1 / math.sqrt(d), n)
    return np.asarray(mapped(y, "output"))


def turned(x: Array, base: float) -> Array:
    half = x.shape[-1] // 2
    y = np.zeros(x.shape)
    for *lead, t, i in np.ndindex(*x.shape[:-1], half):
        a, b, angle = x[(*lead, t, i)], x[(*lead, t, i + half)], t / base ** (i / half)
        y[(*lead, t, i)] = a * math.cos(angle) - b * math.sin(angle)
        y[(*lead, t, i + half)] = a * math.sin(angle) + b * math.cos(angle)
    return y


def step(op: Any, given: Array, h: Array, c: Array, w: Array, b: Any) -> tuple[Array, Array]:
    """(h, c) after a step whose input, mapped, is `given`."""
    mapped = w @ h + b
    match op:
        case ops.RNN():
            a = given + mapped
            return (np.tanh(a) if op.activation == "tanh" else np.maximum(a, 0)), c
        case ops.LSTM():
            i, f, g, o = np.split(given + mapped, 4)
            c = logistic(f) * c + logistic(i) * np.tanh(g)
            return logistic(o) * np.tanh(c), c
        case _:
            (ur, uz, un), (wr, wz, wn) = np.split(given, 3), np.split(mapped, 3)
            r, z = logistic(ur + wr), logistic(uz + wz)
            return (1 - z) * np.tanh(un + r * wn) + z * h, c


def recurrence(op: Any, p: Any, x: Array, *states: Array) -> Array:
    batch, steps, _ = x.shape
    both = 2 if op.bidirectional else 1
    h0, c0 = (
        states[k] if k < len(states) else np.zeros((op.layers * both, batch, op.units))
        for k in range(2)
    )
    h_end, c_end = h0.copy(), c0.copy()
    for layer in range(op.layers):
        y = np.zeros((batch, steps, both * op.units))
        for r, n in itertools.product(range(both), range(batch)):
            end = f"{layer}{'_reverse' if r else ''}"
            length = op.lengths[n] if op.lengths else steps
            h, c = h0[both * layer + r, n], c0[both * layer + r, n]
            for t in reversed(range(length)) if r else range(length):
                given = p[f"input_weight_{end}"] @ x[n, t] + p.get(f"input_bias_{end}", 0)
                w, b = p[f"hidden_weight_{end}"], p.get(f"hidden_bias_{end}", 0)
                h, c = step(op, given, h, c, w, b)
                y[n, t, r * op.units : (r + 1) * op.units] = h
            h_end[both * layer + r, n], c_end[both * layer + r, n] = h, c
        x = y
    return {"sequence": x, "hidden": h_end, "cell": c_end}[op.returns]


NAIVE: Mapping[type[Operator], Naive] = {
    ops.Dense: lambda op, p, x: rows(lambda row: p["weight"] @ row + p.get("bias", 0), x),
    ops.WeightNormDense: weight_norm_dense,
    ops.Bilinear: lambda op, p, a, b: rows(
        lambda u, v: np.array([u @ w @ v for w in p["weight"]]) + p.get("bias", 0), a, b
    ),
    ops.Embedding: embedding,
    ops.Variable: lambda op, p: p["value"],
    ops.MatMul: matmul,
    ops.Add: lambda op, p, *x: sum(x[1:], x[0]),
    ops.Subtract: lambda op, p, a, b: a - b,
    ops.Multiply: lambda op, p, a, b: a * b,
    ops.Maximum: lambda op, p, a, b: np.where(a > b, a, b),
    ops.Minimum: lambda op, p, a, b: np.where(a < b, a, b),
    **ACTIVATION,
    ops.Flatten: lambda op, p, x: x.reshape(*x.shape[: -op.axes], -1),
    ops.Reshape: lambda op, p, x: x.reshape(*x.shape[: -op.axes], *op.shape),
    ops.Transpose: lambda op, p, x: np.transpose(
        x, (*range(x.ndim - len(op.order)), *(x.ndim + a for a in op.order))
    ),
    ops.Pad: pad,
    ops.Slice: sliced,
    ops.Concat: lambda op, p, *x: np.concatenate(x, op.axis),
    ops.Sum: reduced(np.sum),
    ops.Mean: reduced(np.mean),
    ops.Max: reduced(np.max),
    ops.Upsample: upsample,
    **dict.fromkeys((ops.Conv1d, ops.Conv2d, ops.Conv3d), convolution),
    **dict.fromkeys((ops.ConvTranspose1d, ops.ConvTranspose2d), conv_transpose),
    **dict.fromkeys((ops.MaxPool1d, ops.MaxPool2d), max_pool),
    **dict.fromkeys((ops.AveragePool1d, ops.AveragePool2d), average_pool),
    **dict.fromkeys((ops.AdaptiveAveragePool1d, ops.AdaptiveAveragePool2d), adaptive_average_pool),
    ops.GlobalAveragePool: lambda op, p, x: x.mean(tuple(range(2, x.ndim))),
    ops.GlobalMaxPool: lambda op, p, x: x.max(tuple(range(2, x.ndim))),
    ops.BatchNorm: batch_norm,
    ops.LayerNorm: layer_norm,
    ops.GroupNorm: group_norm,
    ops.InstanceNorm: instance_norm,
    ops.RMSNorm: rms_norm,
    ops.Dropout: lambda op, p, x: np.where(p["mask"], x / (1 - op.rate), 0),
    ops.StochasticDepth: lambda op, p, x: np.where(p["mask"], x / (1 - op.rate), 0),
    ops.Attention: attention,
    ops.MultiHeadAttention: multi_head_attention,
    ops.Rotary: lambda op, p, x: turned(x, op.base),
    **dict.fromkeys((ops.RNN, ops.LSTM, ops.GRU), recurrence),
}
"""Every operator's y = f(op, p, *inputs), p with its parameters and its data."""


# --- losses -----------------------------------------------------------------------------------


def entry(loss: Any, y: float, t: float, column: int) -> float:
    """The term of one entry."""
    r = y - t
    match loss:
        case losses.SquaredError():
            return r**2
        case losses.AbsoluteError():
            return abs(r)
        case losses.Huber(delta):
            return r**2 / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)
        case losses.SmoothL1(beta):
            return r**2 / (2 * beta) if abs(r) < beta else abs(r) - beta / 2
        case losses.LogCosh():
            return math.log(math.cosh(r))
        case losses.BinaryCrossEntropy(epsilon):
            p = min(max(y, epsilon), 1 - epsilon)
            return -t * math.log(p) - (1 - t) * math.log(1 - p)
        case losses.BinaryCrossEntropyWithLogits(weights):
            p, w = logistic(y), weights[column] if weights else 1
            return -w * t * math.log(p) - (1 - t) * math.log(1 - p)
        case losses.KLDivergence(log_target=True):
            return math.exp(t) * (t - y)
        case losses.KLDivergence():
            return t * (math.log(t) - y) if t > 0 else 0.0
        case losses.Focal(gamma, alpha):
            a, b = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
            p = logistic(y)
            positive = -a * t * (1 - p) ** gamma * math.log(p)
            return float(positive - b * (1 - t) * p**gamma * math.log(1 - p))
    raise AssertionError(f"no term for {loss.name}")


def of_entries(loss: Any, t: Array, y: Array) -> float:
    total = math.fsum(entry(loss, y[at].item(), t[at].item(), at[-1]) for at in np.ndindex(y.shape))
    divisor = {"half_sum": 2, "sum": 1, "mean": y.size, "batch_mean": len(y)}
    return total / divisor[loss.reduction]


def of_rows(loss: Any, t: Array, y: Array) -> float:
    total, divisor = 0.0, 0.0
    for at in np.ndindex(*y.shape[:-1]):
        term, weight = row_term(loss, y[at], t[at])
        total, divisor = total + term, divisor + weight
    return total / divisor if loss.reduction == "mean" else total


def row_term(loss: Any, y: Array, t: Any) -> tuple[float, float]:
    """The term of a row, and what it adds to the divisor of `mean`."""
    classes = range(len(y))
    match loss:
        case losses.CrossEntropy() | losses.NegativeLogLikelihood():
            q = y if isinstance(loss, losses.NegativeLogLikelihood) else np.log(softmax(y))
            s = getattr(loss, "label_smoothing", 0.0)
            w = loss.class_weights or (1.0,) * len(y)
            if np.ndim(t):
                return -sum(w[c] * ((1 - s) * t[c] + s / len(y)) * q[c] for c in classes), 1
            if t == loss.ignore_index:
                return 0, 0
            smooth = sum(w[c] * q[c] for c in classes)
            return -(1 - s) * w[t] * q[t] - s / len(y) * smooth, w[t]
        case losses.Hinge() | losses.SquaredHinge():
            power = 1 if isinstance(loss, losses.Hinge) else 2
            margins = [max(0.0, loss.margin - y[t] + y[c]) for c in classes if c != t]
            return sum(m**power for m in margins), 1
        case losses.Cosine(epsilon):
            a, b = (max(math.sqrt((v**2).sum()), epsilon) for v in (y, t))
            return 1 - (y @ t) / (a * b), 1
    raise AssertionError(f"no term for {loss.name}")


def ctc(loss: Any, t: Array, y: Array) -> float:
    """By every path there is."""
    examples, steps, classes = y.shape
    total = 0.0
    for n in range(examples):
        length = loss.input_lengths[n] if loss.input_lengths else steps
        labels = t[n][: loss.target_lengths[n] if loss.target_lengths else loss.labels].tolist()
        p = [softmax(y[n, step]) for step in range(length)]
        probability = 0.0
        for path in itertools.product(range(classes), repeat=length):
            merged = [c for c, _ in itertools.groupby(path)]
            if [c for c in merged if c != loss.blank] == labels:
                probability += math.prod(p[step][c] for step, c in enumerate(path))
        total -= math.log(probability)
    return total / examples if loss.reduction == "mean" else total


def triplet_margin(loss: Any, t: None, a: Array, p: Array, n: Array) -> float:
    def distance(u: Array, v: Array) -> float:
        return math.sqrt(((u - v + loss.epsilon) ** 2).sum())

    terms = [
        max(0.0, distance(a[at], p[at]) - distance(a[at], n[at]) + loss.margin)
        for at in np.ndindex(*a.shape[:-1])
    ]
    return math.fsum(terms) / (len(terms) if loss.reduction == "mean" else 1)


def dice(loss: Any, t: Array, y: Array) -> float:
    total = 0.0
    for a, b in zip(y, t, strict=True):
        total += 1 - (2 * (a * b).sum() + loss.smooth) / (a.sum() + b.sum() + loss.smooth)
    return total / len(y) if loss.reduction == "mean" else total


def gaussian_kl(loss: Any, t: None, m: Array, v: Array) -> float:
    total = sum((math.exp(v[at]) + m[at] ** 2 - 1 - v[at]) / 2 for at in np.ndindex(*m.shape))
    return float(total / {"sum": 1, "mean": m.size, "batch_mean": len(m)}[loss.reduction])


LOSS: Mapping[type[Loss], Naive] = {
    losses.WeightedSum: lambda loss, t, y: (t * y).sum(),
    **dict.fromkeys(
        (
            losses.SquaredError, losses.AbsoluteError, losses.Huber, losses.SmoothL1,
            losses.LogCosh, losses.BinaryCrossEntropy, losses.BinaryCrossEntropyWithLogits,
            losses.KLDivergence, losses.Focal,
        ),
        of_entries,
    ),
    **dict.fromkeys(
        (
            losses.CrossEntropy, losses.NegativeLogLikelihood, losses.Hinge, losses.SquaredHinge,
            losses.Cosine,
        ),
        of_rows,
    ),
    losses.CTC: ctc,
    losses.TripletMargin: triplet_margin,
    losses.Dice: dice,
    losses.GaussianKL: gaussian_kl,
}  # fmt: skip
"""Every loss's L = f(loss, t, *edges); t is None where there is no target."""
