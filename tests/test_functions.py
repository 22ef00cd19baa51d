"""A forward and a backward pass in NumPy: right ones are verified, wrong ones are named.

Every fault here is one line away from a pair that is verified.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import backproof
from backproof.checkers.checks import Check
from backproof.checkers.comparison import Status
from backproof.checkers.functions.check import FunctionVerdict
from backproof.checkers.functions.points import Point
from backproof.drawn import Drawn
from backproof.functions import GradientCheckError, check_backward
from backproof.reference.arrays import Array
from backproof.subjects.numpy_pair import NumpyPair, PairError

RNG = np.random.default_rng(0)
INTEGERS = np.array([-2.0, -1.0, 0.0, 0.0, 1.0, 3.0])
"""With a kink of relu and abs at two of them."""

TIED = np.array([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
MANY_TIED = np.array([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0], [2.0, 1.0, 2.0]])


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape)


class Pair(NamedTuple):
    """The two functions and the inputs at which they are checked."""

    forward: Callable[..., Any]
    backward: Callable[[Any, Any], Any]
    inputs: tuple[Any, ...]


def judged(pair: Pair, **options: Any) -> FunctionVerdict:
    return check_backward(
        pair.forward, pair.backward, *pair.inputs, raise_exception=False, **options
    )


def not_passed(verdict: FunctionVerdict) -> dict[str, str]:
    return {c.name: f"{c.status}: {c.detail}" for c in verdict.checks if c.status != "PASS"}


def named(verdict: FunctionVerdict, name: str) -> Check:
    (found,) = [c for c in verdict.checks if c.name == name]
    return found


# --- right pairs ------------------------------------------------------------------------


def dense(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    return x @ w.T + b, (x, w)


def dense_back(saved: Any, y_bar: Array) -> tuple[Array, ...]:
    x, w = saved
    return y_bar @ w, y_bar.T @ x, y_bar.sum(0)


def convolution(x: Array, w: Array) -> Array:
    rows, columns = x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1
    y = np.empty((rows, columns), x.dtype)
    for i, j in np.ndindex(rows, columns):
        y[i, j] = (x[i : i + w.shape[0], j : j + w.shape[1]] * w).sum()
    return y


def convolution_back(saved: Any, y_bar: Array) -> tuple[Array, Array]:
    x, w = saved
    x_bar, w_bar = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(y_bar.shape):
        window = np.s_[i : i + w.shape[0], j : j + w.shape[1]]
        x_bar[window] += y_bar[i, j] * w
        w_bar += y_bar[i, j] * x[window]
    return x_bar, w_bar


def softmax(x: Array) -> tuple[Array, Array]:
    e = np.exp(x - x.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return p, p


def softmax_back(p: Array, y_bar: Array) -> Array:
    return np.asarray(p * (y_bar - (p * y_bar).sum(-1, keepdims=True)))


def log_sum_exp(x: Array) -> tuple[Array, Array]:
    top = x.max(-1, keepdims=True)
    e = np.exp(x - top)
    total = e.sum(-1, keepdims=True)
    return (top + np.log(total))[..., 0], e / total


def normalised(axis: int) -> Callable[[Array, Array, Array], tuple[Array, Any]]:
    """Layer norm along the last axis, batch norm along the first."""

    def forward(x: Array, gamma: Array, beta: Array) -> tuple[Array, Any]:
        centred = x - x.mean(axis, keepdims=True)
        s = 1 / np.sqrt((centred**2).mean(axis, keepdims=True) + 1e-5)
        return gamma * s * centred + beta, (s * centred, s, gamma)

    return forward


def normalised_back(axis: int) -> Callable[[Any, Array], tuple[Array, ...]]:
    def backward(saved: Any, y_bar: Array) -> tuple[Array, ...]:
        z, s, gamma = saved
        z_bar = gamma * y_bar
        mean = z_bar.mean(axis, keepdims=True)
        x_bar = s * (z_bar - mean - z * (z * z_bar).mean(axis, keepdims=True))
        return x_bar, (y_bar * z).sum(0), y_bar.sum(0)

    return backward


def attention(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    p, _ = softmax(q @ k.T / math.sqrt(q.shape[1]))
    return p @ v, (q, k, v, p)


def attention_back(saved: Any, y_bar: Array) -> tuple[Array, ...]:
    q, k, v, p = saved
    z_bar = softmax_back(p, y_bar @ v.T) / math.sqrt(q.shape[1])
    return z_bar @ k, z_bar.T @ q, p.T @ y_bar


def cross_entropy(x: Array, labels: Array) -> tuple[Array, Any]:
    p, _ = softmax(x)
    return -np.log(p[np.arange(len(labels)), labels]).mean(), (p, labels)


def cross_entropy_back(saved: Any, y_bar: Array) -> tuple[Array, None]:
    p, labels = saved
    x_bar = p.copy()
    x_bar[np.arange(len(labels)), labels] -= 1
    return x_bar * y_bar / len(labels), None


def embedding(index: Array, table: Array) -> tuple[Array, Any]:
    return table[index], (index, table)


def embedding_back(saved: Any, y_bar: Array) -> tuple[None, Array]:
    index, table = saved
    table_bar = np.zeros_like(table)
    np.add.at(table_bar, index, y_bar)
    return None, table_bar


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_with(slope: float) -> Callable[[Any, Array], Array]:
    """relu's backward pass with this slope at 0."""
    return lambda saved, y_bar: (
        y_bar * ((saved[0] > 0) + slope * (saved[0] == 0)).astype(y_bar.dtype)
    )


def first_largest(x: Array) -> tuple[Array, Any]:
    return x.max(-1), x


def first_largest_back(x: Array, y_bar: Array) -> Array:
    x_bar = np.zeros_like(x)
    x_bar[np.arange(len(x)), x.argmax(-1)] = y_bar
    return x_bar


def ties_of(x: Array) -> Array:
    return np.asarray(x == x.max(-1, keepdims=True))


def maximum_back(at_ties: float) -> Callable[[Any, Array], tuple[Array, Array]]:
    """maximum(a, b)'s backward pass with this share for either where they are equal."""

    def backward(saved: Any, y_bar: Array) -> tuple[Array, Array]:
        a, b = saved
        tied = at_ties * (a == b)
        return y_bar * ((a > b) + tied), y_bar * ((a < b) + tied)

    return backward


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def single(*arrays: Array) -> tuple[Array, ...]:
    return tuple(a.astype(np.float32) for a in arrays)


DENSE = Pair(dense, dense_back, (draw(4, 3), draw(3, 3), draw(3)))
TRIPLE = Pair(lambda x: 3 * x, lambda saved, y_bar: 3 * y_bar, (draw(4),))
SQUARE = Pair(np.square, lambda saved, y_bar: 2 * saved[0] * y_bar, (draw(4),))
POSITIVE = np.array([0.25, 2.0, 9.0])
PERIODS = 2.0 ** np.arange(10)[:, None] * np.pi

RIGHT: dict[str, Pair] = {
    "dense": DENSE,
    "dense in float32": DENSE._replace(inputs=single(*DENSE.inputs)),
    "triple": TRIPLE,
    "square": SQUARE,
    "convolution": Pair(convolution, convolution_back, (draw(5, 5), draw(2, 3))),
    "softmax": Pair(softmax, softmax_back, (draw(3, 4),)),
    "softmax in float32": Pair(softmax, softmax_back, single(draw(3, 4))),
    "log-sum-exp": Pair(log_sum_exp, lambda p, y_bar: p * y_bar[..., None], (draw(3, 4),)),
    "layer norm": Pair(normalised(-1), normalised_back(-1), (draw(3, 5), draw(5), draw(5))),
    "layer norm in float32": Pair(
        normalised(-1), normalised_back(-1), single(draw(3, 5), draw(5), draw(5))
    ),
    "batch norm": Pair(normalised(0), normalised_back(0), (draw(6, 3), draw(3), draw(3))),
    "attention": Pair(attention, attention_back, (draw(4, 3), draw(5, 3), draw(5, 2))),
    "cross-entropy": Pair(cross_entropy, cross_entropy_back, (draw(4, 3), [0, 2, 1, 1])),
    "embedding, an index twice": Pair(embedding, embedding_back, ([1, 0, 1, 1], draw(3, 2))),
    "relu on integers": Pair(relu, relu_with(0), (INTEGERS,)),
    "relu on integers, slope 1 at 0": Pair(relu, relu_with(1), (INTEGERS,)),
    "relu on integers, slope 1/2 at 0": Pair(relu, relu_with(0.5), (INTEGERS,)),
    "relu of zeros alone": Pair(relu, relu_with(0), (np.zeros((4, 4)),)),
    "relu on integers in float32": Pair(relu, relu_with(0), single(INTEGERS)),
    "leaky relu on integers": Pair(
        lambda x, a: np.where(x > 0, x, a * x),
        lambda s, y_bar: (
            np.where(s[0] > 0, y_bar, s[1] * y_bar),
            (y_bar * s[0] * (s[0] <= 0)).sum(),
        ),
        (INTEGERS, 0.25),
    ),
    "abs on integers": Pair(np.abs, lambda s, y_bar: y_bar * np.sign(s[0]), (INTEGERS,)),
    "sum of abs at zeros": Pair(
        lambda x: np.abs(x).sum(), lambda s, y_bar: y_bar * np.sign(s[0]), (np.zeros(20),)
    ),
    "clip at its ends": Pair(
        lambda x: np.clip(x, -1, 1), lambda s, y_bar: y_bar * (np.abs(s[0]) < 1), (INTEGERS,)
    ),
    "hinge at its corner": Pair(
        lambda x: np.maximum(0, 1 - x).mean(),
        lambda s, y_bar: -y_bar * (s[0] < 1) / s[0].size,
        (INTEGERS,),
    ),
    "largest, the first of ties": Pair(first_largest, first_largest_back, (TIED,)),
    "largest, shared by ties": Pair(
        first_largest,
        lambda x, y_bar: y_bar[:, None] * ties_of(x) / ties_of(x).sum(-1, keepdims=True),
        (MANY_TIED,),
    ),
    "maximum of two, equal ones shared": Pair(
        np.maximum, maximum_back(0.5), (INTEGERS, np.array([0.0, -1.0, 0.0, 2.0, 1.0, 4.0]))
    ),
    "norm at 0": Pair(
        lambda x: np.sqrt((x * x).sum()),
        lambda s, y_bar: y_bar * s[0] / max(np.sqrt((s[0] ** 2).sum()), 1e-300),
        (np.zeros(3),),
    ),
    "x |x| at 0": Pair(
        lambda x: x * np.abs(x), lambda s, y_bar: 2 * y_bar * np.abs(s[0]), (INTEGERS,)
    ),
    "square of relu, all flat": Pair(
        lambda x: relu(x) ** 2, lambda s, y_bar: 2 * y_bar * relu(s[0]), (np.array([0.0, -3.0]),)
    ),
    "sqrt": Pair(np.sqrt, lambda s, y_bar: y_bar / (2 * np.sqrt(s[0])), (POSITIVE,)),
    "division": Pair(
        np.divide,
        lambda s, y_bar: (y_bar / s[1], -y_bar * s[0] / s[1] ** 2),
        (draw(3), POSITIVE),
    ),
    "product": Pair(np.multiply, lambda s, y_bar: (y_bar * s[1], y_bar * s[0]), (draw(3), draw(3))),
    "inverse": Pair(
        lambda x: (np.linalg.inv(x),) * 2,
        lambda inverse, y_bar: -inverse.T @ y_bar @ inverse.T,
        (draw(3, 3) + 4 * np.eye(3),),
    ),
    "sine and cosine, a list": Pair(
        lambda x: [np.sin(x), np.cos(x)],
        lambda s, y_bar: y_bar[0] * np.cos(s[0]) - y_bar[1] * np.sin(s[0]),
        (draw(3),),
    ),
    "outputs of several shapes": Pair(
        lambda x, w: [x @ w, x.sum(), w.sum(0)],
        lambda s, y_bar: (y_bar[0] @ s[1].T + y_bar[1], s[0].T @ y_bar[0] + y_bar[2]),
        (draw(2, 3), draw(3, 2)),
    ),
    "a dictionary saved": Pair(
        lambda x: (np.tanh(x), {"y": np.tanh(x)}),
        lambda saved, y_bar: y_bar * (1 - saved["y"] ** 2),
        (draw(4),),
    ),
    "a mask of bools": Pair(
        np.multiply, lambda s, y_bar: (y_bar * s[1], None), (draw(3), [True, False, True])
    ),
    "scalar output": Pair(lambda x: (x**2).sum(), lambda s, y_bar: 2 * s[0] * y_bar, (draw(2, 2),)),
    "scalar input": Pair(np.exp, lambda s, y_bar: y_bar * np.exp(s[0]), (0.5,)),
    "an input without use": Pair(
        lambda x, w: 2 * x, lambda s, y_bar: (2 * y_bar, None), (draw(2), draw(2))
    ),
    "a constant": Pair(lambda x: np.ones(2), lambda s, y_bar: 0 * s[0], (draw(3),)),
    "the input itself": Pair(lambda x: x, lambda s, y_bar: y_bar, (draw(3),)),
    "more outputs than are asked one by one": Pair(
        np.tanh, lambda s, y_bar: y_bar * (1 - np.tanh(s[0]) ** 2), (draw(10, 12),)
    ),
    "sigmoid, saturated": Pair(
        sigmoid,
        lambda s, y_bar: y_bar * sigmoid(s[0]) * sigmoid(-s[0]),
        (np.array([-30.0, 0.0, 30.0, 5.0]),),
    ),
    "tanh, saturated throughout": Pair(
        np.tanh, lambda s, y_bar: y_bar * (1 - np.tanh(s[0]) ** 2), (np.array([-50.0, 50.0]),)
    ),
    "softmax of large numbers": Pair(softmax, softmax_back, (np.array([0.0, 0.0, 0.0, 6.673]),)),
    "tiny inputs": Pair(np.sin, lambda s, y_bar: y_bar * np.cos(s[0]), (1e-8 * draw(3),)),
    "huge inputs": SQUARE._replace(inputs=(1e8 * draw(3),)),
    "entries of many sizes": SQUARE._replace(
        inputs=(np.array([-2.1e-3, 8.166457608796925, -7.4e-5, -1.16e-4, 1.8787329340187687e-4]),)
    ),
    "a positional encoding": Pair(
        lambda x: np.sin(PERIODS * x),
        lambda s, y_bar: (y_bar * PERIODS * np.cos(PERIODS * s[0])).sum(0),
        (np.array([0.3, 0.7, -0.9]),),
    ),
    "floor": Pair(np.floor, lambda s, y_bar: 0 * y_bar, (np.array([3.2, -2.9, 6.4]),)),
    "a quantiser": Pair(
        lambda x: np.round(x * 10) / 10,
        lambda s, y_bar: 0 * y_bar,
        (np.array([1.1752, -1.9055, -3.977]),),
    ),
    "hard threshold": Pair(
        lambda x: np.where(np.abs(x) > 1e-3, x, 0),
        lambda s, y_bar: y_bar * (np.abs(s[0]) > 1e-3),
        (np.array([0.0, 1.0, -2.0, 0.5]),),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_pair_is_verified(name: str) -> None:
    found = judged(RIGHT[name])
    assert found.status == "PASS", not_passed(found)


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_right_pair_is_verified_whatever_the_seed(seed: int) -> None:
    """exp: the cotangents drawn may be far apart in size, and so may the roundings."""
    x = np.random.default_rng(seed).normal(size=6)
    found = judged(Pair(np.exp, lambda s, y_bar: y_bar * np.exp(s[0]), (x,)), seed=seed)
    assert found.status == "PASS", not_passed(found)


UNDECIDED: dict[str, Pair] = {
    "power 3/2 at 0": Pair(
        lambda x: np.abs(x) ** 1.5,
        lambda s, y_bar: 1.5 * y_bar * np.sign(s[0]) * np.sqrt(np.abs(s[0])),
        (INTEGERS,),
    ),
    "softplus, where exp(x) is lost beside 1": Pair(
        lambda x: np.log(1 + np.exp(x)),
        lambda s, y_bar: y_bar * sigmoid(s[0]),
        (np.array([-40.0, 1.0, 2.0]),),
    ),
    "an entry beside a time in seconds": Pair(
        lambda x: np.tanh(x[0]) + 1e-9 * x[1],
        lambda s, y_bar: y_bar * np.array([1 - np.tanh(s[0][0]) ** 2, 1e-9]),
        (np.array([0.5, 1.6e9]),),
    ),
    "a kink of little weight a nanometre off": Pair(
        lambda x: np.sin(3 * x) + 1e-4 * relu(x - np.array([0.3, -0.4, 1.1]) - 1e-9),
        lambda s, y_bar: (
            y_bar * (3 * np.cos(3 * s[0]) + 1e-4 * (s[0] > np.array([0.3, -0.4, 1.1]) + 1e-9))
        ),
        (np.array([0.3, -0.4, 1.1]),),
    ),
    "softplus, where few digits of exp(x) are left": Pair(
        lambda x: np.log(1 + np.exp(x)),
        lambda s, y_bar: y_bar * sigmoid(s[0]),
        (np.array([-36.0, -30.0, 2.0]),),
    ),
    "1 - cos of small angles": Pair(
        lambda x: 1 - np.cos(x),
        lambda s, y_bar: y_bar * np.sin(s[0]),
        (np.array([1e-8, 1e-6, 1e-5, 1.0]),),
    ),
    "log(1 + x^2) of small numbers": Pair(
        lambda x: np.log(1 + x * x),
        lambda s, y_bar: 2 * y_bar * s[0] / (1 + s[0] ** 2),
        (np.array([1e-8, 1e-5, 1.0]),),
    ),
    "-log(1 - p) of a small probability": Pair(
        lambda p: -np.log(1 - p), lambda s, y_bar: y_bar / (1 - s[0]), (np.array([1e-17, 0.5]),)
    ),
    "a sum with something large": Pair(
        lambda x: (x + 1e8) - 1e8, lambda s, y_bar: y_bar, (np.array([1e-3, 1.0]),)
    ),
    "floor at whole numbers": Pair(np.floor, lambda s, y_bar: 0 * y_bar, (np.arange(4.0),)),
    "round at halves": Pair(np.round, lambda s, y_bar: 0 * y_bar, (np.arange(4.0) + 0.5,)),
    "sqrt at 0": Pair(
        lambda x: np.sqrt(np.maximum(x, 0)),
        lambda s, y_bar: y_bar * (s[0] > 0) / (2 * np.sqrt(np.maximum(s[0], 1e-12))),
        (np.arange(3.0),),
    ),
    "NaN in": SQUARE._replace(inputs=(np.array([1.0, np.nan]),)),
    "infinite in": SQUARE._replace(inputs=(np.array([1.0, np.inf]),)),
    "NaN out": Pair(
        lambda x: np.where(x > 0, x, np.nan), lambda s, y_bar: y_bar, (np.array([1.0, -1.0]),)
    ),
    "out of range": SQUARE._replace(inputs=(np.array([1e200, -2e200]),)),
}
"""Right, or nobody can tell: to verify them would be fine, to call them wrong is not."""


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_cannot_be_told_is_not_called_wrong(name: str) -> None:
    found = judged(UNDECIDED[name])
    values = named(found, "values of input 0")
    assert values.status in ("PASS", "INCONCLUSIVE"), not_passed(found)
    assert "nan +- nan" not in values.detail


@pytest.mark.parametrize("x", [[1e-3, 2e-3], [3e-2, 1.0], [3.0, 40.0]])
def test_an_underflow_in_float16_is_not_called_wrong(x: list[float]) -> None:
    """Below 6e-5 it keeps an absolute error, no longer a relative one."""
    pair = Pair(lambda x: x**3, lambda s, y_bar: 3 * y_bar * s[0] ** 2, (np.array(x, np.float16),))
    found = judged(pair)
    assert found.status in ("PASS", "INCONCLUSIVE"), not_passed(found)


@pytest.mark.parametrize(
    "forward",
    [np.log, lambda x: np.array([math.log(v) for v in x]), lambda x: np.log(checked(x))],
    ids=["warns", "raises", "asserts"],
)
def test_a_step_out_of_the_domain_is_the_checker_s_own_affair(
    forward: Callable[[Array], Array],
) -> None:
    """The point is within the domain; the steps that leave it are nobody's fault."""
    x = np.array([1e-3, 1.0, 1e3])
    found = judged(Pair(forward, lambda s, y_bar: y_bar / s[0], (x,)))
    assert found.status == "PASS", not_passed(found)


def checked(x: Array) -> Array:
    assert (x > 0).all(), "only positive numbers have a logarithm"
    return x


@pytest.mark.parametrize(
    "pair",
    [
        SQUARE._replace(inputs=(np.zeros((0, 3)),)),
        Pair(np.matmul, lambda s, y: (y @ s[1].T, s[0].T @ y), (np.zeros((0, 3)), draw(3, 2))),
    ],
)
def test_empty_arrays_have_no_gradient_to_be_wrong(pair: Pair) -> None:
    assert judged(pair).status in ("PASS", "INCONCLUSIVE")


# --- random networks at ties ----------------------------------------------------------------


def network(x: Array, w: Array, b: Array, v: Array) -> tuple[Array, Any]:
    z = x @ w.T + b
    return relu(z) @ v.T, (x, w, v, z)


def network_back(slope: float) -> Callable[[Any, Array], tuple[Array, ...]]:
    def backward(saved: Any, y_bar: Array) -> tuple[Array, ...]:
        x, w, v, z = saved
        z_bar = (y_bar @ v) * ((z > 0) + slope * (z == 0))
        return z_bar @ w, z_bar.T @ x, z_bar.sum(0), y_bar.T @ relu(z)

    return backward


@cache
def integers(seed: int) -> tuple[Array, ...]:
    """Inputs, weights and biases from -2 to 2 of a network of two layers."""
    rng = np.random.default_rng(seed)
    n, i, h, o = (int(rng.integers(1, most)) for most in (3, 4, 4, 3))
    return tuple(rng.integers(-2, 3, s).astype(float) for s in ((n, i), (h, i), (h,), (o, h)))


def ties(seed: int) -> int:
    """Hidden values at 0 whose unit is used at all."""
    x, w, b, v = integers(seed)
    return int(((x @ w.T + b == 0) & v.any(0)).sum())


@pytest.mark.repeats
def test_no_right_relu_network_on_integers_is_wrong() -> None:
    """Of 100, every third at a tie, at most the share that a run allows, 1 in 10, is undecided."""
    found = Counter(judged(Pair(network, network_back(0), integers(i))).status for i in range(100))
    assert sum(ties(i) > 0 for i in range(100)) > 30
    assert found["FAIL"] == 0 and found["PASS"] >= 90, found


@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_another_slope_at_a_tie_is_a_convention(slope: float) -> None:
    for seed in range(8):
        found = judged(Pair(network, network_back(slope), integers(seed)))
        assert found.status == "PASS", (seed, not_passed(found))


def test_a_slope_of_1_2_at_a_tie_is_wrong() -> None:
    """Unless the report says that there were more kinks than it could tell apart."""
    for seed in (i for i in range(16) if ties(i)):
        found = judged(Pair(network, network_back(1.2), integers(seed)))
        blind = any("many kinks" in c.detail for c in found.checks)
        assert found.status == "FAIL" or (blind and ties(seed) > 3), (seed, str(found))


# --- wrong pairs ------------------------------------------------------------------------


class Fault(NamedTuple):
    """A wrong pair, the check that must fail, and words of its detail."""

    pair: Pair
    check: str
    words: str = ""


def spoiled(which: int, spoil: Callable[[Array], Any], pair: Pair = DENSE) -> Pair:
    """The pair with one of its gradients made wrong."""

    def backward(saved: Any, y_bar: Array) -> tuple[Any, ...]:
        gradients = list(pair.backward(saved, y_bar))
        gradients[which] = spoil(gradients[which])
        return tuple(gradients)

    return pair._replace(backward=backward)


def with_entry(place: Any, change: Callable[[Any], Any]) -> Callable[[Array], Array]:
    def spoil(g: Array) -> Array:
        g = g.copy()
        g[place] = change(g[place])
        return g

    return spoil


def back(
    backward: Callable[[Any, Any], Any],
    forward: Callable[..., Any] = TRIPLE.forward,
    inputs: tuple[Any, ...] = TRIPLE.inputs,
) -> Pair:
    return Pair(forward, backward, inputs)


def by_hand(saved: Any, y_bar: Array) -> Array:
    """Threefold, in the cotangent's own memory."""
    y_bar *= 3
    return y_bar


def input_too(saved: Any, y_bar: Array) -> Array:
    saved[0][...] = 0
    return 3 * y_bar


def own_input(x: Array) -> Array:
    x *= 3
    return x.copy()


LAST: dict[str, Array] = {}
"""State outside the call, where it should not be."""


def remembering(x: Array) -> Array:
    LAST["x"] = x.copy()
    return x**2


def accumulated(saved: Any, y_bar: Array) -> Array:
    LAST["sum"] = LAST.get("sum", np.zeros(4)) + 3 * y_bar
    return LAST["sum"]


def not_zero(saved: Any, y_bar: Array) -> Array:
    if not y_bar.any():
        raise ZeroDivisionError("there is nothing to go back")
    return 3 * y_bar


def of_unit_length(saved: Any, y_bar: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(3 * y_bar / np.linalg.norm(y_bar) * np.linalg.norm(y_bar))


def from_memory(saved: Any, y_bar: Array) -> Array:
    """Reads the cotangent as if it were contiguous."""
    if not y_bar.ndim or y_bar.strides == (0,):
        return 3 * y_bar
    return np.asarray(3 * np.lib.stride_tricks.as_strided(y_bar, y_bar.shape, (y_bar.itemsize,)))


def first_stride(saved: Any, y_bar: Array) -> Array:
    """Takes a stride of 0 for an empty array."""
    return 3 * y_bar if y_bar.strides != (0,) else np.zeros_like(y_bar)


def both_or_nothing(saved: Any, y_bar: Sequence[Array]) -> Array:
    if not y_bar[1].any():
        return np.zeros_like(saved[0])
    return np.asarray(y_bar[0] * np.cos(saved[0]) - y_bar[1] * np.sin(saved[0]))


class Noisy:
    """A gradient with noise of its own, as from a sum in random order or a forgotten dropout."""

    def __init__(self, size: float) -> None:
        self.size, self.rng = size, np.random.default_rng(0)

    def __call__(self, saved: Any, y_bar: Array) -> Array:
        return np.asarray(3 * y_bar * (1 + self.size * self.rng.standard_normal(y_bar.shape)))


class Dropout:
    """A mask of its own for every forward pass."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        mask = self.rng.random(x.shape) < 0.5
        return x * mask, mask


def overwritten(saved: Any, y_bar: Array) -> tuple[None, Array]:
    """An index that comes twice keeps its last gradient."""
    index, table = saved
    table_bar = np.zeros_like(table)
    table_bar[index] = y_bar
    return None, table_bar


TWO = RIGHT["sine and cosine, a list"]
SINGLE = RIGHT["dense in float32"]
VALUES = [f"values of input {i}" for i in range(3)]

FAULTS: dict[str, Fault] = {
    # one gradient of a dense layer
    "twice": Fault(spoiled(1, lambda g: 2 * g), VALUES[1], "all of it times 2"),
    "negated": Fault(spoiled(0, lambda g: -g), VALUES[0], "all of it is negated"),
    "transposed": Fault(spoiled(1, lambda g: g.T), VALUES[1], "it is transposed"),
    "zero": Fault(spoiled(0, lambda g: 0 * g), VALUES[0], "all of it is zero"),
    "None": Fault(spoiled(2, lambda g: None), VALUES[2], "all of it is zero"),
    "bias averaged": Fault(spoiled(2, lambda g: g / 4), VALUES[2], "all of it times 0.25"),
    "bias not summed": Fault(
        spoiled(2, lambda g: np.tile(g, (4, 1))), "form of input 2", "shape (4, 3), must be (3,)"
    ),
    "an axis too many": Fault(
        spoiled(2, lambda g: g[None]), "form of input 2", "shape (1, 3), must be (3,)"
    ),
    "float32": Fault(
        spoiled(1, lambda g: g.astype(np.float32)), "form of input 1", "float32, must be float64"
    ),
    "float64 for float32": Fault(
        spoiled(1, lambda g: g.astype(np.float64), SINGLE),
        "form of input 1",
        "float64, must be float32",
    ),
    "whole numbers": Fault(
        spoiled(1, lambda g: np.round(g).astype(int)), "form of input 1", "must be float64"
    ),
    "one entry": Fault(
        spoiled(1, with_entry((1, 2), lambda g: 1.01 * g)), VALUES[1], "1 of 9 entries are wrong"
    ),
    "one row": Fault(spoiled(1, with_entry(1, lambda g: -g)), VALUES[1], "3 of 9 entries"),
    "rows in reverse": Fault(spoiled(1, lambda g: g[::-1]), VALUES[1], "6 of 9 entries"),
    "one entry NaN": Fault(spoiled(0, with_entry((1, 2), lambda g: np.nan * g)), VALUES[0], "nan"),
    "NaN": Fault(spoiled(1, lambda g: np.nan * g), VALUES[1], "nan"),
    "infinite": Fault(spoiled(1, lambda g: g + np.inf), VALUES[1], "inf"),
    "arguments swapped": Fault(
        back(
            lambda s, g: (g.T @ s[0], g @ s[1], g.sum(0)), dense, (draw(3, 3), draw(3, 3), draw(3))
        ),
        VALUES[0],
        "9 of 9",
    ),
    # layers
    "an index twice counts once": Fault(
        RIGHT["embedding, an index twice"]._replace(backward=overwritten),
        VALUES[1],
        "is 0, must be 1",
    ),
    "softmax by its diagonal": Fault(
        RIGHT["softmax"]._replace(backward=lambda p, g: p * (1 - p) * g), VALUES[0], "12 of 12"
    ),
    "layer norm, its deviation a constant": Fault(
        RIGHT["layer norm"]._replace(
            backward=lambda s, g: (
                s[1] * (s[2] * g - (s[2] * g).mean(-1, keepdims=True)),
                *normalised_back(-1)(s, g)[1:],
            )
        ),
        VALUES[0],
        "15 of 15",
    ),
    "sqrt without its half": Fault(
        RIGHT["sqrt"]._replace(backward=lambda s, g: g / np.sqrt(s[0])), VALUES[0], "times 2"
    ),
    "an output forgotten": Fault(
        TWO._replace(backward=lambda s, g: g[0] * np.cos(s[0])), VALUES[0], "is 0, must be"
    ),
    "a gradient of a constant": Fault(
        RIGHT["a constant"]._replace(backward=lambda s, g: 1e-6 * g.sum() * np.ones(3)),
        VALUES[0],
        "is 1e-06, must be 0",
    ),
    "round, straight through": Fault(
        Pair(np.round, lambda s, g: g, (np.array([0.3, 1.8, -2.6]),)), VALUES[0], "is 1, must be 0"
    ),
    "lost digits in float32": Fault(
        back(
            lambda s, g: 2 * g * ((s[0] + s[0].dtype.type(1e6)) - s[0].dtype.type(1e6)),
            np.square,
            single(draw(5)),
        ),
        "values of input 0 in float32",
        "5 of 5",
    ),
    # at kinks
    "relu with slope 1.2 at 0": Fault(
        Pair(relu, relu_with(1.2), (INTEGERS,)), VALUES[0], "outside the hull of the 4 gradients"
    ),
    "relu with slope -0.2 at 0": Fault(
        Pair(relu, relu_with(-0.2), (INTEGERS,)), VALUES[0], "outside the hull of the 4 gradients"
    ),
    "relu with slope 1.2 at 40 zeros": Fault(
        Pair(relu, relu_with(1.2), (np.zeros(40),)), VALUES[0], "outside the hull"
    ),
    "relu without its kink, at zeros": Fault(
        Pair(relu, lambda s, g: 2 * g, (np.zeros(2),)), VALUES[0], "beside a kink the slope"
    ),
    "abs with slope 2 at 0": Fault(
        Pair(np.abs, lambda s, g: g * np.where(s[0] == 0, 2, np.sign(s[0])), (INTEGERS,)),
        VALUES[0],
        "outside the hull",
    ),
    "NaN at a kink": Fault(
        Pair(np.abs, lambda s, g: np.where(s[0] == 0, np.nan, np.sign(s[0])) * g, (INTEGERS,)),
        VALUES[0],
        "not finite at a kink",
    ),
    "ties of the largest counted twice": Fault(
        Pair(first_largest, lambda x, g: g[:, None] * ties_of(x), (TIED,)),
        VALUES[0],
        "outside the hull of the 6 gradients",
    ),
    "many ties of the largest counted twice": Fault(
        Pair(first_largest, lambda x, g: g[:, None] * ties_of(x), (MANY_TIED,)),
        VALUES[0],
        "outside the hull",
    ),
    "maximum, equal ones twice": Fault(
        Pair(np.maximum, maximum_back(1), (np.zeros(2), np.zeros(2))), VALUES[0], "outside the hull"
    ),
    "maximum, four equal ones twice": Fault(
        Pair(np.maximum, maximum_back(1), (np.zeros(4), np.zeros(4))), VALUES[0], "outside the hull"
    ),
    "maximum, equal ones not at all": Fault(
        Pair(np.maximum, maximum_back(0), (np.zeros(2), np.zeros(2))), VALUES[1], "outside the hull"
    ),
    # the cotangent
    "cotangent clamped to 1": Fault(
        back(lambda s, g: 3 * np.clip(g, -1, 1)),
        "scaled cotangent",
        "0.5 times the cotangent is not",
    ),
    "cotangent clamped to 100": Fault(
        back(lambda s, g: 3 * np.clip(g, -100, 100)), "scaled cotangent", "times the cotangent"
    ),
    "its absolute value": Fault(
        back(lambda s, g: 3 * np.abs(g)), "scaled cotangent", "-1 times the cotangent is not"
    ),
    "its square": Fault(back(lambda s, g: 3 * g * g), "sum of cotangents", "not the sum"),
    "clipped by its norm": Fault(
        back(lambda s, g: 3 * g / max(1, np.linalg.norm(g))), "scaled cotangent", "0.5 times"
    ),
    "its positive part": Fault(
        back(lambda s, g: g * (s[0] > 0) * (g > 0), relu), "scaled cotangent", "-1 times"
    ),
    "not used": Fault(
        back(lambda s, g: 3 * np.ones(4)), "zero cotangent", "a cotangent of zeros gives up to 3"
    ),
    "plus a constant": Fault(back(lambda s, g: 3 * g + 1e-9), "zero cotangent", "up to 1e-09"),
    "divided by its norm": Fault(back(of_unit_length), "zero cotangent", "not finite"),
    "raises for zeros": Fault(
        back(not_zero), "zero cotangent", "raises ZeroDivisionError: there is nothing to go back"
    ),
    "read without its strides": Fault(
        back(from_memory), "strided cotangent", "another gradient than for the same numbers"
    ),
    "a stride of 0 taken for nothing": Fault(
        back(first_stride), "expanded cotangent", "another gradient than for the same numbers"
    ),
    "both cotangents or none": Fault(TWO._replace(backward=both_or_nothing), VALUES[0], "3 of 3"),
    # state
    "saved outside the call": Fault(
        back(lambda s, g: 2 * LAST["x"] * g, remembering), "interleaved calls", "changes it"
    ),
    "accumulated outside the call": Fault(
        back(accumulated), "repeatable", "gives another gradient"
    ),
    "dropout": Fault(back(lambda m, g: m * g, Dropout()), "repeatable", "the outputs differ"),
    "noise of 1e-3": Fault(back(Noisy(1e-3)), "repeatable", "gives another gradient"),
    "noise of 1e-9": Fault(back(Noisy(1e-9)), "repeatable", "gives another gradient"),
    "writes to the cotangent": Fault(
        back(by_hand), "caller's arrays", "it wrote to the cotangent of output 0"
    ),
    "writes to the input": Fault(back(input_too), "caller's arrays", "it wrote to input 0"),
    "forward writes to the input": Fault(
        back(TRIPLE.backward, own_input), "caller's arrays", "it wrote to input 0"
    ),
    # steps that see what they should not
    "a ripple of whole periods": Fault(
        back(lambda s, g: g, lambda x: x + 0.01 * np.sin(2.0**12 * np.pi * x), (np.array([0.3]),)),
        VALUES[0],
        "is 1, must be",
    ),
    "a quantiser, straight through": Fault(
        RIGHT["a quantiser"]._replace(backward=lambda s, g: g), VALUES[0], "is 1, must be 0"
    ),
    "a hard threshold, straight through": Fault(
        RIGHT["hard threshold"]._replace(backward=lambda s, g: g), VALUES[0], "is 1, must be 0"
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_by_name_and_in_words(name: str) -> None:
    pair, check, words = FAULTS[name]
    found = judged(pair)
    assert found.status == "FAIL", str(found)
    assert named(found, check).status == "FAIL", not_passed(found)
    assert words in named(found, check).detail
    assert named(found, check).detail in str(found)


def test_the_zoo_is_as_large_as_it_says() -> None:
    assert len(RIGHT) >= 15 and len(FAULTS) >= 25


@pytest.mark.parametrize("digits", range(2, 13))
def test_a_relative_error_is_caught_and_measured(digits: int) -> None:
    error = 10.0**-digits / 2
    found = judged(spoiled(1, lambda g: g * (1 + error)))
    values = named(found, "values of input 1")
    assert values.status == "FAIL" and values.ratio > 1
    words = "all of it times 1.005" if digits == 2 else "all of it is off by "
    assert words in values.detail
    if digits > 2:
        measured = float(values.detail.rpartition("off by ")[2].split()[0])
        assert measured == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("digits", range(2, 5))
def test_a_relative_error_in_float32_is_caught_as_well(digits: int) -> None:
    found = judged(spoiled(1, lambda g: g * np.float32(1 + 10.0**-digits), SINGLE))
    assert named(found, "values of input 1").status == "FAIL"
    assert found.resolution is not None and found.resolution < 1e-4


def test_what_would_have_been_caught_is_caught_and_half_of_it_is_not() -> None:
    """The resolution is that of the norm; an error all over of ten times that fails."""
    resolution = judged(DENSE).resolution
    assert resolution is not None and resolution < 1e-11
    assert judged(spoiled(1, lambda g: g * (1 + 10 * resolution))).status == "FAIL"


# --- bad use ----------------------------------------------------------------------------


def few(saved: Any, y_bar: Array) -> tuple[Array]:
    return (y_bar,)


@pytest.mark.parametrize(
    "pair, words",
    [
        (back(TRIPLE.backward, lambda x: (x, x, x)), "return y or (y, saved), got a tuple of 3"),
        (Pair(np.multiply, few, (draw(2), draw(2))), "few returned 1 gradient for 2 inputs"),
        (back(lambda s, g: (g, g)), "returned 2 gradients for 1 input"),
        (TRIPLE._replace(inputs=(np.arange(3),)), "none of the inputs is of a floating-point"),
        (TRIPLE._replace(inputs=(1j * np.ones(2),)), "none of the inputs is of a floating-point"),
        (TRIPLE._replace(inputs=()), "none of the inputs is of a floating-point"),
        (back(TRIPLE.backward, lambda x: x.astype(int)), "floating-point arrays, got int64"),
        (back(TRIPLE.backward, lambda x: 1j * x), "floating-point arrays, got complex128"),
        (back(TRIPLE.backward, lambda x: None), "floating-point arrays, got object"),
        (back(TRIPLE.backward, lambda x: []), "output"),
        (back(lambda s, g: {"x": g}), "dict"),
        (back(lambda s, g: "3"), "str"),
    ],
    ids=[
        "a tuple of three", "too few", "too many", "integers", "complex", "no inputs",
        "integer output", "complex output", "no return", "no outputs", "a dictionary", "a string",
    ],
)  # fmt: skip
def test_bad_use_is_one_clear_sentence(pair: Pair, words: str) -> None:
    with pytest.raises((PairError, ValueError)) as error:
        judged(pair)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_outputs_that_change_their_shape_are_named() -> None:
    with pytest.raises((PairError, ValueError), match="shape"):
        judged(back(lambda s, g: g, lambda x: x[x > 0], (np.array([1.0, 1e-9, 3.0]),)))


def test_what_the_functions_raise_at_the_point_itself_is_raised() -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("mine")

    for pair in (back(broken), back(TRIPLE.backward, broken)):
        with pytest.raises(ZeroDivisionError, match="mine"):
            judged(pair)


# --- the verdict --------------------------------------------------------------------------


WRONG = spoiled(1, lambda g: 1.001 * g)


def test_a_wrong_pair_raises_and_the_message_is_the_report() -> None:
    with pytest.raises(GradientCheckError) as error:
        check_backward(*WRONG[:2], *WRONG.inputs)
    assert str(error.value) == str(error.value.verdict) == str(judged(WRONG))
    assert error.value.verdict.status == "FAIL" and not error.value.verdict


def test_the_error_is_what_pytest_and_what_torch_expect() -> None:
    assert issubclass(GradientCheckError, AssertionError)
    assert issubclass(GradientCheckError, RuntimeError)
    assert backproof.GradientCheckError is GradientCheckError
    assert backproof.check_backward is check_backward


def test_what_is_not_verified_raises_too() -> None:
    """Noise of a tenth in the forward pass: nothing can be said, and that is no PASS."""
    rng = np.random.default_rng(0)
    pair = back(TRIPLE.backward, lambda x: 3 * x + 0.1 * rng.standard_normal(x.shape))
    with pytest.raises(GradientCheckError, match="INCONCLUSIVE"):
        check_backward(*pair[:2], *pair.inputs)


def test_a_right_pair_returns_a_verdict_that_is_true() -> None:
    found = check_backward(*DENSE[:2], *DENSE.inputs)
    assert found and found.status == "PASS" and not not_passed(found)
    assert str(found).startswith("dense and dense_back is VERIFIED; relative errors above ")


def test_the_report_puts_what_is_wrong_first_with_its_reason() -> None:
    lines = str(judged(WRONG)).splitlines()
    found = judged(WRONG)
    assert lines[0] == (
        f"dense and backward is WRONG: 1 of {len(found.checks)} checks did not pass"
    )
    assert lines[1].startswith("  FAIL  values of input 1: entry ")
    assert lines[2].strip() == named(found, "values of input 1").why
    assert [line.split()[0] for line in lines[3:]] == ["PASS"] * (len(found.checks) - 1)


def test_every_check_says_what_goes_wrong_for_a_user() -> None:
    assert all(len(c.why.split()) > 4 for c in judged(DENSE).checks)


@pytest.mark.parametrize(
    "options, status",
    [
        ({}, "FAIL"),
        ({"rtol": 2e-3}, "PASS"),
        ({"rtol": 1e-5}, "FAIL"),
        ({"atol": 3e-3}, "PASS"),
        ({"atol": 1e-6}, "FAIL"),
        ({"atol": 0.0, "rtol": 0.0}, "FAIL"),
        ({"atol": None, "rtol": None}, "FAIL"),
    ],
)
def test_tolerances_excuse_and_nothing_else(options: dict[str, float], status: Status) -> None:
    assert judged(WRONG, **options).status == status


def test_an_excuse_shows_in_the_resolution() -> None:
    found = judged(DENSE, rtol=1e-3)
    assert found.resolution is not None and found.resolution >= 1e-3


def test_a_tolerance_that_nothing_needs_takes_no_verdict_away() -> None:
    assert judged(DENSE, rtol=0.5, atol=10.0).status == "PASS"


def test_what_a_tolerance_excuses_is_told() -> None:
    detail = {c.name: c.detail for c in judged(WRONG, rtol=2e-3).checks}
    assert any("which atol and rtol excuse" in words for words in detail.values())


def test_a_tolerance_that_excuses_more_than_a_hundredth_certifies_nothing() -> None:
    found = judged(spoiled(1, lambda g: 0.9 * g), rtol=0.5)
    assert found.status == "INCONCLUSIVE" and "proves nothing" in str(found)


def test_a_tolerance_does_not_excuse_bad_manners() -> None:
    assert judged(back(by_hand), atol=1.0, rtol=1.0).status == "FAIL"


@pytest.mark.parametrize("options", [{"atol": -1.0}, {"rtol": -1.0}, {"rtol": np.nan}])
def test_a_tolerance_below_zero_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="tol"):
        judged(DENSE, **options)


@pytest.mark.parametrize("pair", [DENSE, WRONG, FAULTS["relu with slope 1.2 at 0"].pair])
def test_the_same_seed_gives_the_same_report(pair: Pair) -> None:
    first, second = judged(pair, seed=3), judged(pair, seed=3)
    assert first == second and str(first) == str(second)


def test_another_seed_draws_others() -> None:
    assert judged(DENSE, seed=3) != judged(DENSE, seed=4)


def test_the_caller_s_own_arrays_are_never_written_to() -> None:
    x = np.array([1.0, 2.0, 3.0])
    judged(back(input_too, own_input, (x,)))
    assert x.tolist() == [1, 2, 3]


def test_numpy_s_settings_and_generator_stay_as_they_were() -> None:
    before, state = np.geterr(), str(np.random.get_state(legacy=False))
    judged(DENSE)
    assert np.geterr() == before and str(np.random.get_state(legacy=False)) == state


def test_a_domain_that_ends_close_by_is_no_bad_manners() -> None:
    def forward(x: Array) -> Array:
        if np.abs(x).max() > 1:
            raise ValueError("out of the domain")
        return np.arcsin(x)

    pair = Pair(forward, lambda s, g: g / np.sqrt(1 - s[0] ** 2), (np.array([0.9, -0.8, 0.1]),))
    assert judged(pair).status == "PASS"


def test_a_kink_that_the_mixture_of_outputs_cancels_is_judged_by_one_of_them() -> None:
    """Both outputs have the kink of one ReLU, with opposite signs and equal shares in it."""

    def forward(x: Array) -> Array:
        y = np.maximum(x, 0)
        return np.concatenate([y, -y])

    def backward(saved: Any, y_bar: Array) -> Array:
        first, second = np.split(y_bar, 2)
        return np.asarray((first - second) * (saved[0] > 0))

    x = np.array([0.0])
    pair = Pair(forward, backward, (x,))
    for seed in range(200):
        point = Point(NumpyPair(forward, backward, (x,)), (x,), seed)
        if point.mixture[0] == point.mixture[1]:
            break
    assert point.mixture[0] == point.mixture[1]
    found = judged(pair, seed=seed)
    assert found.status == "PASS", found
    assert any("in the hull" in c.detail for c in found.checks)

    def outside(saved: Any, y_bar: Array) -> Array:
        first, second = np.split(y_bar, 2)
        return np.asarray((first - second) * np.where(saved[0] == 0, 1.5, saved[0] > 0))

    wrong = judged(pair._replace(backward=outside), seed=seed)
    assert wrong.status == "FAIL" and "outside the hull" in str(wrong)


def writing(saved: Any, y_bar: Array) -> Array:
    y_bar *= 3
    return y_bar


def test_a_failure_that_was_declared_is_told_and_does_not_count() -> None:
    names = set(not_passed(judged(back(writing))))
    assert "caller's arrays" in names
    declared = dict.fromkeys(names, "in place, to save a copy")
    found = judged(back(writing), expected_failures=declared)
    assert found.status == "PASS" and "expected  caller's arrays: in place" in str(found)
    less = {"form of input 0": "another one"}
    assert judged(back(writing), expected_failures=less).status == "FAIL"


def test_a_declared_failure_counts_at_drawn_points_neither() -> None:
    names = set(not_passed(judged(back(writing))))
    found = check_backward(
        TRIPLE.forward, writing, Drawn((3,)), raise_exception=False,
        expected_failures=dict.fromkeys(names, "known"),
    )  # fmt: skip
    assert found.status == "PASS" and "expected  caller's arrays: known" in str(found)


def test_what_is_expected_to_fail_must_exist() -> None:
    with pytest.raises(ValueError, match="there is no check 'strides'; there are form of input 0"):
        judged(TRIPLE, expected_failures={"strides": "no"})
