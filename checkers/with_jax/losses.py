"""The losses and penalties in JAX: L = f(loss, y, t), a scalar.

y is one array, or for a loss of several edges a tuple of arrays; t is None where there is
no target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...architectures import losses as ls
from .pieces import below_top, exp_less_line, log_cosh, log_softmax, settled, softplus

Array = jax.Array


def _reduced(terms: Array, reduction: str) -> Array:
    """The terms' sum, divided as the reduction says: by their number, the batch, or nothing."""
    divisor = {
        "mean": terms.size,
        "batch_mean": terms.shape[0],
        "half_sum": 2,
        "sum": 1,
    }
    return jnp.sum(terms) / divisor[reduction]


def _huber(loss: ls.Huber, y: Array, t: Array) -> Array:
    r, delta = jnp.abs(y - t), loss.delta
    terms = jnp.where(r <= delta, jnp.square(r) / 2, delta * (r - delta / 2))
    return _reduced(terms, loss.reduction)


def _smooth_l1(loss: ls.SmoothL1, y: Array, t: Array) -> Array:
    r, beta = jnp.abs(y - t), loss.beta
    terms = jnp.where(r < beta, jnp.square(r) / (2 * beta), r - beta / 2)
    return _reduced(terms, loss.reduction)


def _class_weights(loss: Any, y: Array) -> Array:
    return jnp.ones(y.shape[-1]) if loss.class_weights is None else jnp.array(loss.class_weights)


def _classes(t: Array, y: Array, ignored: int | None) -> Array:
    """A mask of y's shape: the class of each row, and nothing in the rows that are ignored."""
    mask = jax.nn.one_hot(t, y.shape[-1], dtype=bool)
    return mask if ignored is None else mask & (t != ignored)[..., None]


def _cross_entropy(loss: ls.CrossEntropy, y: Array, t: Array) -> Array:
    """Class numbers are rows of probabilities, 1 at the class; ignored rows are all 0."""
    w, s = _class_weights(loss, y), loss.label_smoothing
    divisor: Array | int = y.size // y.shape[-1]
    if loss.target == "indices":
        mask = _classes(t, y, loss.ignore_index)
        counts = jnp.any(mask, -1, keepdims=True)
        p = (1 - s) * mask + s / y.shape[-1] * counts
        divisor = jnp.sum(w * mask)
    else:
        p = (1 - s) * t + s / y.shape[-1]
    total = -jnp.sum(w * p * log_softmax(y, -1))
    return total / divisor if loss.reduction == "mean" else total


def _negative_log_likelihood(loss: ls.NegativeLogLikelihood, y: Array, t: Array) -> Array:
    weights = _class_weights(loss, y) * _classes(t, y, loss.ignore_index)
    total = -jnp.sum(weights * y)
    return total / jnp.sum(weights) if loss.reduction == "mean" else total


def _binary_cross_entropy(loss: ls.BinaryCrossEntropy, y: Array, t: Array) -> Array:
    p = jnp.clip(y, loss.epsilon, 1 - loss.epsilon)
    # XLA's log1p is off by 50 ulp near -0.4, and log(1 - p) is where p is small.
    log_other = jnp.where(p < 0.25, jnp.log1p(-p), jnp.log(1 - p))
    return _reduced(-t * jnp.log(p) - (1 - t) * log_other, loss.reduction)


def _binary_cross_entropy_with_logits(
    loss: ls.BinaryCrossEntropyWithLogits, y: Array, t: Array
) -> Array:
    w = 1.0 if loss.positive_weights is None else jnp.array(loss.positive_weights)
    return _reduced(w * t * softplus(-y) + (1 - t) * softplus(y), loss.reduction)


def _hinge(loss: ls.Hinge | ls.SquaredHinge, y: Array, t: Array) -> Array:
    mask = _classes(t, y, None)
    y_t = jnp.sum(jnp.where(mask, y, 0), -1, keepdims=True)
    terms = jnp.where(mask, 0, jax.nn.relu(loss.margin - y_t + y))
    if isinstance(loss, ls.SquaredHinge):
        terms = jnp.square(terms)
    return _reduced(jnp.sum(terms, -1), loss.reduction)


def _kl_divergence(loss: ls.KLDivergence, y: Array, t: Array) -> Array:
    if loss.log_target:
        return _reduced(jnp.exp(t) * (t - y), loss.reduction)
    log_t = jnp.log(jnp.where(t == 0, 1, t))
    return _reduced(t * (log_t - y), loss.reduction)


def _norm(rows: Array, epsilon: float) -> Array:
    """max(|row|, epsilon); sqrt never sees a square below epsilon's, where it may be 0."""
    squares = jnp.sum(jnp.square(rows), -1)
    above = squares > epsilon**2
    return jnp.where(above, jnp.sqrt(jnp.where(above, squares, 1)), epsilon)


def _cosine(loss: ls.Cosine, y: Array, t: Array) -> Array:
    cosine = jnp.sum(y * t, -1) / (_norm(y, loss.epsilon) * _norm(t, loss.epsilon))
    return _reduced(1 - cosine, loss.reduction)


IMPOSSIBLE = -1e300
"""The logarithm of 0 in `_ctc`: its exponential is 0 next to any other, and less itself is 0."""


def _log_sum(*logarithms: Array) -> Array:
    """log(sum(exp)): the (first) maximum, as in `below_top`, and log1p of the rest."""
    x = jnp.stack(logarithms, -1)
    _, rest = below_top(x, -1)
    maximum = jnp.take_along_axis(x, jnp.argmax(x, -1, keepdims=True), -1)
    return (maximum + jnp.log1p(rest))[..., 0]


def _ctc(loss: ls.CTC, y: Array, t: Array) -> Array:
    """The states are blank, label, blank, ..., label, blank; alpha[n, s] is the logarithm of

    the sum over the paths that have come to state s.  Before the first step all is in state 0.
    An example's alpha stays as it is after its last step.
    """
    n, steps, _ = y.shape
    states = 2 * loss.labels + 1
    classes = jnp.full((n, states), loss.blank).at[:, 1::2].set(t)
    log_p = jnp.take_along_axis(log_softmax(y, -1), classes[:, None, :], -1)
    may_skip = (classes != loss.blank).at[:, 2:].min(classes[:, 2:] != classes[:, :-2])

    def moved(alpha: Array, by: int) -> Array:
        return jnp.pad(alpha[:, :-by], ((0, 0), (by, 0)), constant_values=IMPOSSIBLE)

    def step(alpha: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        log_p, inside = given
        skipped = jnp.where(may_skip, moved(alpha, 2), IMPOSSIBLE)
        new = _log_sum(alpha, moved(alpha, 1), skipped) + log_p
        return jnp.where(inside, new, alpha), None

    start = jnp.where(jnp.arange(states) == 0, 0.0, IMPOSSIBLE) + jnp.zeros((n, 1))
    inside = np.arange(steps)[:, None, None] < _lengths(loss.input_lengths, n, steps)
    alpha, _ = jax.lax.scan(step, start, (jnp.swapaxes(log_p, 0, 1), jnp.array(inside)))
    end = 2 * _lengths(loss.target_lengths, n, loss.labels)
    ends = [jnp.take_along_axis(alpha, e, 1)[:, 0] for e in (end, end - 1)]
    return _reduced(-_log_sum(*ends), loss.reduction)


def _lengths(lengths: tuple[int, ...], n: int, otherwise: int) -> Any:
    return np.array(lengths or (otherwise,) * n)[:, None]


def _distance(u: Array, v: Array, epsilon: float) -> Array:
    """|u - v + epsilon|, of entries divided by the largest: no square is too small or large."""
    r = settled(u - v + epsilon)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(r), -1, keepdims=True))
    apart = largest > 0
    scale = jnp.where(apart, largest, 1)
    squares = jnp.sum(jnp.square(jnp.where(apart, r / scale, 1)), -1)
    return jnp.where(apart[..., 0], scale[..., 0] * jnp.sqrt(squares), 0)


def _triplet_margin(loss: ls.TripletMargin, y: tuple[Array, Array, Array], t: None) -> Array:
    a, p, n = y
    apart = _distance(a, p, loss.epsilon) - _distance(a, n, loss.epsilon)
    return _reduced(jax.nn.relu(apart + loss.margin), loss.reduction)


def _dice(loss: ls.Dice, y: Array, t: Array) -> Array:
    """Near 0 as (sum(y (1 - t)) + sum(t (1 - y))) / divisor, whose terms are all positive."""
    axes = tuple(range(1, y.ndim))
    both = 2 * jnp.sum(y * t, axes) + loss.smooth
    either = jnp.sum(y, axes) + jnp.sum(t, axes) + loss.smooth
    differing = jnp.sum(y * (1 - t) + t * (1 - y), axes)
    terms = jnp.where(both > differing, differing / either, 1 - both / either)
    return _reduced(terms, loss.reduction)


def _focal(loss: ls.Focal, y: Array, t: Array) -> Array:
    """p^gamma = exp(gamma log p): accurate in both tails, and 1 with derivative 0 at gamma 0."""
    a, b = (1.0, 1.0) if loss.alpha is None else (loss.alpha, 1 - loss.alpha)
    minus_log_p, minus_log_other = softplus(-y), softplus(y)
    hit = a * t * jnp.exp(-loss.gamma * minus_log_other) * minus_log_p
    miss = b * (1 - t) * jnp.exp(-loss.gamma * minus_log_p) * minus_log_other
    return _reduced(hit + miss, loss.reduction)


def _gaussian_kl(loss: ls.GaussianKL, y: tuple[Array, Array], t: None) -> Array:
    m, v = y
    return _reduced((exp_less_line(v) + jnp.square(m)) / 2, loss.reduction)


LOSS: Mapping[type[ls.Loss], Callable[[Any, Any, Any], Array]] = {
    ls.WeightedSum: lambda loss, y, t: jnp.sum(t * y),
    ls.SquaredError: lambda loss, y, t: _reduced(jnp.square(y - t), loss.reduction),
    ls.AbsoluteError: lambda loss, y, t: _reduced(jnp.abs(y - t), loss.reduction),
    ls.Huber: _huber,
    ls.SmoothL1: _smooth_l1,
    ls.LogCosh: lambda loss, y, t: _reduced(log_cosh(y - t), loss.reduction),
    ls.CrossEntropy: _cross_entropy,
    ls.NegativeLogLikelihood: _negative_log_likelihood,
    ls.BinaryCrossEntropy: _binary_cross_entropy,
    ls.BinaryCrossEntropyWithLogits: _binary_cross_entropy_with_logits,
    ls.Hinge: _hinge,
    ls.SquaredHinge: _hinge,
    ls.KLDivergence: _kl_divergence,
    ls.Cosine: _cosine,
    ls.CTC: _ctc,
    ls.TripletMargin: _triplet_margin,
    ls.Dice: _dice,
    ls.Focal: _focal,
    ls.GaussianKL: _gaussian_kl,
}
"""Each loss's L = f(loss, y, t), a scalar."""

PENALTY: Mapping[type[ls.Penalty], Callable[[Any, Array], Array]] = {
    ls.L1: lambda penalty, w: penalty.strength * jnp.sum(jnp.abs(w)),
    ls.L2: lambda penalty, w: penalty.strength * jnp.sum(jnp.square(w)) / 2,
}
"""Each penalty of one parameter whose name contains `weight`."""
