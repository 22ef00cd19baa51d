"""Recurrences unrolled over time: what RNN, LSTM and GRU have in common.

A cell maps what enters at step t, u_t = x_t Wi' + bi, and what comes from before,
w_t = h Wh' + bh with h and c the states before the step, to the states after it.  Layer by
layer, direction by direction, step by step,

    (h_t, c_t) = cell(u_t, w_t, h_{t-1}, c_{t-1})        y_t = h_t

Backward in time, the cotangent of h_t is what comes from y_t plus what comes from step t + 1,

    (u_t_bar, w_t_bar, what is left of h_{t-1}_bar, c_{t-1}_bar) = cell'(h_t_bar, c_t_bar)
    h_{t-1}_bar += w_t_bar Wh

and the weights' are sums over the steps, u and w being affine:

    Wi_bar = sum u_t_bar' x_t    bi_bar = sum u_t_bar    Wh_bar = sum w_t_bar' h_{t-1}
    bh_bar = sum w_t_bar         x_t_bar = u_t_bar Wi

Beyond the length of an example nothing happens: the state passes through, as does its
cotangent, and y is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...architectures.operators.recurrence import directions
from ..arrays import Array, Arrays, Saved, alike
from . import projection


class Cell(NamedTuple):
    """One step of a recurrence.

    forward(layer, u, w, h, c, piece) -> (h, c, saved);
    backward(layer, saved, h_bar, c_bar) -> (u_bar, w_bar, h_bar, c_bar) of before;
    arguments(saved) -> the values that functions with singularities take.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    arguments: Callable[..., Sequence[Array]]


class Direction(NamedTuple):
    """One layer in one direction: its input, the order of its steps, and what each saved."""

    k: int
    suffix: str
    x: Array
    order: range
    before: list[Array]
    cells: list[Saved]


class Unrolled(NamedTuple):
    """A forward pass: every layer and direction, in order; which steps count, if not all."""

    runs: list[Direction]
    counts: Array | None
    inputs: int


def steps_that_count(layer: Any, steps: int) -> Array | None:
    """(N, T, 1), true up to each example's length; None where all steps count."""
    if layer.lengths == ():
        return None
    counts: Array = (np.arange(steps) < np.array(layer.lengths)[:, None])[..., None]
    return counts


def one_step(counts: Array | None, t: int) -> Array | None:
    return None if counts is None else counts[:, t]


def kept(counts: Array | None, new: Array, old: Array | float) -> Array:
    """`new` in the examples whose step counts, else `old`."""
    return new if counts is None else np.where(counts, new, old)


def unroll(
    cell: Cell, layer: Any, p: Arrays, x: Any, branch: Array | None
) -> tuple[Array, Unrolled]:
    """The output and what backward needs.  `branch` is (..., layers directions, N, T, units)."""
    inputs = x if isinstance(x, tuple) else (x,)
    x, states = inputs[0], inputs[1:]
    counts = steps_that_count(layer, x.shape[-2])
    runs: list[Direction] = []
    last: list[tuple[Array, Array]] = []
    for number in range(layer.layers):
        outputs = []
        for reverse in range(directions(layer)):
            k = len(runs)
            suffix = f"_{number}" + ("_reverse" if reverse else "")
            initial = [state[..., k, :, :] for state in states]
            pieces = None if branch is None else branch[..., k, :, :, :]
            y, run, end = _run(cell, layer, p, x, initial, counts, pieces, k, suffix, reverse)
            outputs.append(y)
            runs.append(run)
            last.append(end)
        x = np.concatenate(alike(outputs), axis=-1) if len(outputs) > 1 else outputs[0]
    unrolled = Unrolled(runs, counts, len(inputs))
    if layer.returns == "sequence":
        return x, unrolled
    which = 0 if layer.returns == "hidden" else 1
    return np.stack(alike([end[which] for end in last]), axis=-3), unrolled


def _run(
    cell: Cell, layer: Any, p: Arrays, x: Array, initial: list[Array], counts: Array | None,
    pieces: Array | None, k: int, suffix: str, reverse: int,
) -> tuple[Array, Direction, tuple[Array, Array]]:  # fmt: skip
    """One layer in one direction: its outputs, what was saved, its last states."""
    u = projection.project(p, f"input_weight{suffix}", f"input_bias{suffix}", x)
    nothing = np.zeros((*x.shape[:-2], layer.units), x.real.dtype)
    h, c = [*initial, nothing, nothing][:2] if len(initial) != 1 else (initial[0], nothing)
    wh, bh = f"hidden_weight{suffix}", f"hidden_bias{suffix}"
    order = range(x.shape[-2] - 1, -1, -1) if reverse else range(x.shape[-2])
    outputs: list[Array] = [nothing] * len(order)
    before, cells = [], []
    for t in order:
        w = projection.project(p, wh, bh, h)
        piece = None if pieces is None else pieces[..., t, :]
        new_h, new_c, saved = cell.forward(layer, u[..., t, :], w, h, c, piece)
        before.append(h)
        cells.append(saved)
        active = one_step(counts, t)
        outputs[t] = kept(active, new_h, 0.0)
        h, c = kept(active, new_h, h), kept(active, new_c, c)
    y = np.stack(alike(outputs), axis=-2)
    return y, Direction(k, suffix, x, order, before, cells), (h, c)


def pull(cell: Cell, layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> tuple[Any, Arrays]:
    """The cotangents of the inputs and of the parameters."""
    runs, both = saved.runs, directions(layer)
    p_bar: Arrays = {}
    states_bar: list[tuple[Array, Array]] = []
    units = layer.units
    x_bar = y_bar if layer.returns == "sequence" else None
    for number in reversed(range(layer.layers)):
        received = []
        for run in reversed(runs[number * both : (number + 1) * both]):
            ends: list[Array | float] = [0.0, 0.0]
            if layer.returns != "sequence":
                ends[0 if layer.returns == "hidden" else 1] = y_bar[..., run.k, :, :]
            r = run.k % both
            part = None if x_bar is None else x_bar[..., r * units : (r + 1) * units]
            bar, state_bar, own = _pull_run(cell, layer, p, run, saved.counts, part, ends)
            received.append(bar)
            states_bar.append(state_bar)
            p_bar |= own
        x_bar = received[0] + received[1] if both == 2 else received[0]
    states_bar.reverse()
    found = [np.stack([s[i] for s in states_bar], axis=-3) for i in range(saved.inputs - 1)]
    return (x_bar, *found) if found else x_bar, p_bar


def _pull_run(
    cell: Cell, layer: Any, p: Arrays, run: Direction, counts: Array | None,
    y_bar: Array | None, ends: list[Array | float],
) -> tuple[Array, tuple[Array, Array], Arrays]:  # fmt: skip
    """The cotangents of one direction's input, of its initial states, and of its parameters."""
    wi, bi = f"input_weight{run.suffix}", f"input_bias{run.suffix}"
    wh, bh = f"hidden_weight{run.suffix}", f"hidden_bias{run.suffix}"
    zero = np.zeros_like(run.before[-1])
    h_bar: Any = zero + ends[0]
    c_bar: Any = zero + ends[1]
    u_bars: list[Any] = [None] * len(run.order)
    w_bars: list[Any] = [None] * len(run.order)
    befores: list[Any] = [None] * len(run.order)
    for t, h, saved in reversed(list(zip(run.order, run.before, run.cells, strict=True))):
        active = one_step(counts, t)
        new_h_bar = h_bar if y_bar is None else h_bar + y_bar[..., t, :]
        u_bar, w_bar, left, c_left = cell.backward(
            layer, saved, kept(active, new_h_bar, 0.0), kept(active, c_bar, 0.0)
        )
        h_bar = kept(active, left + projection.pull(p, wh, w_bar), h_bar)
        c_bar = kept(active, c_left, c_bar)
        u_bars[t], w_bars[t], befores[t] = u_bar, w_bar, h
    u_bar, w_bar, h = (np.stack(bars, axis=-2) for bars in (u_bars, w_bars, befores))
    p_bar = projection.gradients(p, wi, bi, run.x, u_bar)
    p_bar |= projection.gradients(p, wh, bh, h, w_bar)
    return projection.pull(p, wi, u_bar), (h_bar, c_bar), p_bar


def cut(a: Array, parts: int) -> list[Array]:
    """a, cut into so many equal parts of its last axis."""
    n = a.shape[-1] // parts
    return [a[..., j * n : (j + 1) * n] for j in range(parts)]


def arguments(cell: Cell, saved: Unrolled) -> Iterator[tuple[Array, float]]:
    """The values that the cells' functions take, each with its radius: tanh has a pole at
    i pi / 2, the sigmoid at i pi."""
    for run in saved.runs:
        for one in run.cells:
            for value in cell.arguments(one):
                yield value, 1.0
