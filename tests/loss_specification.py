"""The losses once more, straight from `architectures/losses.py`, in mpmath.

Each yields the terms that add up to L.  The terms give the value, its gradient by a
complex step at hundreds of digits, and the natural scale of both: the sum of the sizes of
what is added.  An algorithm that rounds each term once errs by about that times u.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np
import numpy.typing as npt

from backproof.architectures import losses
from backproof.architectures.losses import Loss

Array = npt.NDArray[Any]


class Exact(NamedTuple):
    """Value and gradient with the scales that their errors are relative to, float64."""

    value: Array
    value_scale: Array
    gradient: Array
    gradient_scale: Array


def exact(loss: Loss, y: Array, target: Array, digits: int) -> Exact:
    """Evaluate a loss and its gradient with `digits` digits."""
    with mpmath.workdps(digits):
        h = mpmath.mpf(10) ** (-digits // 2)
        t = [[mpmath.mpf(float(v)) for v in np.atleast_1d(row)] for row in target]
        rows = [[mpmath.mpf(float(v)) for v in row] for row in y]
        terms = list(_terms(loss, rows, t))
        gradient, scale = np.zeros(y.shape), np.zeros(y.shape)
        for i, j in np.ndindex(*y.shape):
            moved = [list(row) for row in rows]
            moved[i][j] = mpmath.mpc(rows[i][j], h)
            slopes = [mpmath.im(term) / h for term in _terms(loss, moved, t)]
            gradient[i, j] = mpmath.fsum(slopes)
            scale[i, j] = mpmath.fsum(slopes, absolute=True)
        value = float(mpmath.fsum(terms))
        return Exact(
            np.asarray(value),
            np.asarray(float(mpmath.fsum(terms, absolute=True))),
            gradient,
            scale,
        )


def _terms(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    match loss:
        case losses.CrossEntropy():
            return _cross_entropy(loss, y, t)
        case losses.NegativeLogLikelihood():
            return _negative_log_likelihood(loss, y, t)
        case losses.Hinge() | losses.SquaredHinge():
            return _hinge(loss, y, t)
        case losses.Cosine():
            return _cosine(loss, y, t)
        case losses.Dice():
            return _dice(loss, y, t)
        case _:
            return _entries(loss, y, t)


def _entries(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    n, batch = len(y) * len(y[0]), len(y)
    divisor = {"mean": n, "batch_mean": batch, "half_sum": 2}.get(
        getattr(loss, "reduction", "sum"), 1
    )
    for row, t_row in zip(y, t, strict=True):
        for column, (a, b) in enumerate(zip(row, t_row, strict=True)):
            for term in _entry(loss, a, b, column):
                yield term / divisor


def _entry(loss: Any, y: Any, t: Any, column: int) -> list[Any]:
    r = y - t
    size = r if mpmath.re(r) > 0 else -r
    match loss:
        case losses.WeightedSum():
            return [t * y]
        case losses.SquaredError():
            return [r**2]
        case losses.AbsoluteError():
            return [size]
        case losses.Huber(delta):
            return [
                r**2 / 2 if mpmath.re(size) <= delta else delta * (size - mpmath.mpf(delta) / 2)
            ]
        case losses.SmoothL1(beta):
            return [r**2 / 2 / beta if mpmath.re(size) < beta else size - mpmath.mpf(beta) / 2]
        case losses.LogCosh():
            return [mpmath.log(mpmath.cosh(r))]
        case losses.BinaryCrossEntropy(epsilon):
            e = mpmath.mpf(epsilon)
            p = e if mpmath.re(y) <= e else 1 - e if mpmath.re(y) > 1 - e else y
            return [-t * mpmath.log(p), -(1 - t) * mpmath.log(1 - p)]
        case losses.BinaryCrossEntropyWithLogits(weights):
            w = 1 if weights is None else weights[column]
            minus_log_sigmoid, minus_log_complement = (mpmath.log1p(mpmath.exp(v)) for v in (-y, y))
            return [w * t * minus_log_sigmoid, (1 - t) * minus_log_complement]
        case losses.Focal(gamma, alpha):
            a, b = (1, 1) if alpha is None else (mpmath.mpf(alpha), 1 - mpmath.mpf(alpha))
            minus_log_p, minus_log_q = (mpmath.log1p(mpmath.exp(v)) for v in (-y, y))
            return [
                a * t * mpmath.exp(-gamma * minus_log_q) * minus_log_p,
                b * (1 - t) * mpmath.exp(-gamma * minus_log_p) * minus_log_q,
            ]
        case losses.KLDivergence(log_target=True):
            return [mpmath.exp(t) * t, -mpmath.exp(t) * y]
        case losses.KLDivergence():
            return [t * mpmath.log(t) if t > 0 else mpmath.mpf(0), -t * y]
    raise AssertionError(f"no specification for {loss.name}")


def _cross_entropy(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    classes, s = len(y[0]), mpmath.mpf(loss.label_smoothing)
    w = [mpmath.mpf(v) for v in loss.class_weights or (1,) * classes]
    if loss.target == "indices":
        numbers = [int(row[0]) for row in t]
        counted = [n for n in numbers if n != loss.ignore_index]
        divisor = mpmath.fsum(w[n] for n in counted)
        shares = [[mpmath.mpf(n == c) for c in range(classes)] for n in numbers]
        counts = [n != loss.ignore_index for n in numbers]
    else:
        divisor, shares, counts = mpmath.mpf(len(y)), t, [True] * len(y)
    if loss.reduction == "sum":
        divisor = mpmath.mpf(1)
    for row, share, count in zip(y, shares, counts, strict=True):
        top = max(row, key=mpmath.re)  # log(sum exp y) = top + log(1 + sum of the others)
        others = [mpmath.exp(v - top) for v in row]
        others.remove(mpmath.mpf(1))
        total = top + mpmath.log1p(mpmath.fsum(others))
        for c in range(classes):
            a = w[c] * ((1 - s) * share[c] + s / classes)
            yield -a * (row[c] - total) / divisor if count else mpmath.mpf(0)


def _negative_log_likelihood(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    w = [mpmath.mpf(v) for v in loss.class_weights or (1,) * len(y[0])]
    picks = [(row, int(n[0])) for row, n in zip(y, t, strict=True) if n[0] != loss.ignore_index]
    divisor = mpmath.fsum(w[n] for _, n in picks) if loss.reduction == "mean" else mpmath.mpf(1)
    for row, n in picks:
        yield -w[n] * row[n] / divisor


def _hinge(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    divisor = len(y) if loss.reduction == "mean" else 1
    power = 2 if isinstance(loss, losses.SquaredHinge) else 1
    for row, n in zip(y, t, strict=True):
        for c, v in enumerate(row):
            m = loss.margin - row[int(n[0])] + v
            if c != int(n[0]) and mpmath.re(m) > 0:
                yield m**power / divisor


def _dice(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    divisor = len(y) if loss.reduction == "mean" else 1
    for row, t_row in zip(y, t, strict=True):
        size = mpmath.fsum(row) + mpmath.fsum(t_row) + loss.smooth
        yield mpmath.mpf(1) / divisor
        for a, b in zip(row, t_row, strict=True):
            yield -2 * a * b / size / divisor
        yield -loss.smooth / size / divisor


def _cosine(loss: Any, y: Any, t: Any) -> Iterator[Any]:
    divisor, e = len(y) if loss.reduction == "mean" else 1, mpmath.mpf(loss.epsilon)

    def length(row: Any) -> Any:
        n = mpmath.sqrt(mpmath.fsum(v * v for v in row))
        return n if mpmath.re(n) > e else e

    for row, t_row in zip(y, t, strict=True):
        yield mpmath.mpf(1) / divisor
        size = length(row) * length(t_row)
        for a, b in zip(row, t_row, strict=True):
            yield -a * b / size / divisor
