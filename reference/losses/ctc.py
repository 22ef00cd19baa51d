"""Connectionist temporal classification (Graves, Fernandez, Gomez and Schmidhuber 2006).

With blanks before, between and after the labels of an example, a path is a walk through these
2 S + 1 states: from one step to the next it stays, goes one state on, or skips a blank between
two different labels; it begins in the first two states and ends in the last two.  With
q = log_softmax(y), a path has the weight exp(sum of q at its states' classes), and

    L = -c log P,    P = the sum over all paths

a_t(s), the log of the weight of all beginnings that are in state s at step t, and b_t(s), of
all endings after step t from there, follow step by step:

    a_t(s) = q_t(s) + log of the sum of exp(a_{t-1}) over s and what leads there
    b_t(s) =          log of the sum of exp(b_{t+1} + q_{t+1}) over s and where it leads

All paths through s at t have the share exp(a_t(s) + b_t(s)) / P of P, and q_t(s) is a factor
of each.  So with w_t(k), the shares of the states of class k, which sum to one over k,

    dL = -c sum w dq,    dq = dy - 1 <p, dy>,    p = softmax(y)

    y_bar = c (p - w)

and, as for `cross_entropy`, the part that cancels is taken out of both:

    y_bar_k = c (p_k sum_{j != k} w_j - w_k sum_{j != k} p_j)

Steps beyond an example's length have no part in it.  Which states can be reached is known
beforehand; the others are left out, not given a weight of log 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...architectures.losses import CTC
from ..arrays import Array, Saved, gather_axis
from .softmax import log_softmax, rest, shifted, softmax


def states(loss: CTC, target: Array) -> Array:
    """The class of every state, blanks and labels in turn, (N, 2 S + 1)."""
    classes = np.full((len(target), 2 * loss.labels + 1), loss.blank)
    classes[:, 1::2] = target
    return classes


def lengths(loss: CTC, batch: int, steps: int) -> tuple[Array, Array]:
    """The steps and the labels of every example, (N, 1) each."""
    inputs = loss.input_lengths or (steps,) * batch
    labels = loss.target_lengths or (loss.labels,) * batch
    return np.array(inputs)[:, None], np.array(labels)[:, None]


def moves(loss: CTC, classes: Array) -> list[tuple[Array, Any]]:
    """How a state is reached: (the state before, where it is allowed), or -1 for none."""
    s = np.arange(classes.shape[1])
    skips = np.zeros(classes.shape, dtype=bool)
    skips[:, 2:] = (classes[:, 2:] != loss.blank) & (classes[:, 2:] != classes[:, :-2])
    return [(s, True), (s - 1, True), (np.maximum(s - 2, -1), skips)]


def reversed_moves(forth: list[tuple[Array, Any]]) -> list[tuple[Array, Any]]:
    """Where a state leads: (the state after, where that move is allowed)."""
    found = []
    for jump, (_, allowed) in enumerate(forth):
        count = len(forth[0][0])
        after = np.arange(count) + jump
        after = np.where(after < count, after, -1)
        there = allowed if allowed is True else taken(allowed, after)
        found.append((after, there))
    return found


def taken(reached: Array, index: Array) -> Array:
    """A mask at these states, false for none."""
    return np.where(index >= 0, reached[..., index], False)


def log_sum(values: list[Array], counts: list[Array]) -> Array:
    """log of the sum of exp over those that count; 0 where none does."""
    some = np.any(counts, axis=0)
    top = np.max(
        [np.where(k, np.asarray(v.real), -np.inf) for v, k in zip(values, counts, strict=True)],
        axis=0,
    )
    top = np.where(some, top, 0.0).astype(values[0].real.dtype)
    terms = [
        np.where(k, np.exp(np.where(k, v - top, 0.0)), 0.0)
        for v, k in zip(values, counts, strict=True)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return np.where(some, np.log(np.where(some, total, 1.0)) + top, 0.0)


def beginnings(loss: CTC, q: Array, target: Array) -> tuple[list[Array], list[Array], Array]:
    """a and which states it is about, at every step; and log P (..., N, 1)."""
    steps = q.shape[-2]
    inputs, labels = lengths(loss, len(target), steps)
    forth = moves(loss, states(loss, target))
    s = np.arange(q.shape[-1])
    reached = np.broadcast_to(s < 2, (len(target), len(s)))
    a = np.where(reached, q[..., 0, :], 0.0)
    found, masks = [a], [reached]
    for t in range(1, steps):
        counts = [taken(reached, index) & allowed for index, allowed in forth]
        new = q[..., t, :] + log_sum([gather_axis(a, index, -1) for index, _ in forth], counts)
        now = np.any(counts, axis=0)
        active = t < inputs
        a = np.where(active, np.where(now, new, 0.0), a)
        reached = np.where(active, now, reached)
        found.append(a)
        masks.append(reached)
    final = ((s == 2 * labels) | (s == 2 * labels - 1)) & reached
    columns = [a[..., k : k + 1] for k in range(len(s))]
    return found, masks, log_sum(columns, [final[:, k : k + 1] for k in range(len(s))])


def endings(loss: CTC, q: Array, target: Array) -> tuple[list[Array], list[Array]]:
    """b and which states it is about, at every step."""
    steps = q.shape[-2]
    inputs, labels = lengths(loss, len(target), steps)
    back = reversed_moves(moves(loss, states(loss, target)))
    s = np.arange(q.shape[-1])
    final = (s == 2 * labels) | (s == 2 * labels - 1)
    b, reached = np.zeros_like(q[..., 0, :]), np.broadcast_to(final, (len(target), len(s)))
    found, masks = [b], [reached]
    for t in range(steps - 2, -1, -1):
        counts = [taken(reached, index) & allowed for index, allowed in back]
        after = b + q[..., t + 1, :]
        new = log_sum([gather_axis(after, index, -1) for index, _ in back], counts)
        now = np.any(counts, axis=0)
        active = t < inputs - 1  # at the last step of an example nothing comes after
        b = np.where(active, np.where(now, new, 0.0), b)
        reached = np.where(active, now, reached)
        found.append(b)
        masks.append(reached)
    return found[::-1], masks[::-1]


def at_states(q: Array, classes: Array) -> Array:
    """q (..., N, T, C) at the classes of the states, (..., N, T, 2 S + 1)."""
    index = np.broadcast_to(classes[:, None, :], (*q.shape[:-1], classes.shape[-1]))
    return np.take_along_axis(q, index, axis=-1)


def factor(loss: CTC, y: Array) -> float:
    """The reduction's constant."""
    return 1.0 / int(y.shape[-3]) if loss.reduction == "mean" else 1.0


def forward(loss: CTC, y: Array, target: Array, branch: None) -> tuple[Array, Saved]:
    z = shifted(y)
    q = at_states(log_softmax(z), states(loss, target))
    a, reached, log_p = beginnings(loss, q, target)
    return factor(loss, y) * -log_p.sum(axis=(-2, -1)), (z, q, a, reached, log_p, target)


def backward(loss: CTC, saved: Saved, value_bar: Any) -> Array:
    z, q, a, reached, log_p, target = saved
    b, leads = endings(loss, q, target)
    inputs, _ = lengths(loss, len(target), z.shape[-2])
    shares = []
    for t in range(z.shape[-2]):
        counts = reached[t] & leads[t] & (t < inputs)
        share = np.exp(np.where(counts, a[t] + b[t] - log_p, 0.0))
        shares.append(np.where(counts, share, 0.0))
    classes = states(loss, target)
    w = np.stack(shares, axis=-2) @ (classes[..., None] == np.arange(z.shape[-1])).astype(
        z.real.dtype
    )
    p = softmax(z)
    within = (np.arange(z.shape[-2]) < inputs)[..., None]
    up = value_bar[..., None] if getattr(value_bar, "ndim", 0) else value_bar
    y_bar: Array = (factor(loss, z) * up) * np.where(within, p * rest(w) - w * rest(p), 0.0)
    return y_bar
