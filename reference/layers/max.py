"""The greatest entry over axes.

    y = x_c, c the choice        dy = dx_c        x_bar_c = y_bar, and 0 at the others

Where several are greatest, any shares that sum to one are derivatives; we choose the first.
The axes are brought together as one last axis of candidates.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Max
from ..arrays import Array, Arrays, Choice, Saved, pick, place


def candidates(x: Array, axes: tuple[int, ...]) -> Array:
    """x with these axes joined, in their order, as the last one."""
    ordered = tuple(sorted(axes))
    moved: Array = np.moveaxis(x, ordered, tuple(range(-len(axes), 0)))
    return moved.reshape(*moved.shape[: -len(axes)], -1)


def kink(layer: Max, p: Arrays, x: Array) -> Choice:
    return Choice(candidates(x, layer.axes))


def radius(layer: Max, x: Array) -> float:
    return np.inf


def forward(layer: Max, p: Arrays, x: Array, branch: Array) -> tuple[Array, Saved]:
    y = pick(candidates(x, layer.axes), branch)
    y = np.expand_dims(y, layer.axes) if layer.keep else y
    return y, (branch, x.shape)


def backward(layer: Max, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    branch, shape = saved
    axes = tuple(sorted(layer.axes))
    sizes = [shape[axis] for axis in axes]
    if layer.keep:
        y_bar = y_bar.reshape([n for i, n in enumerate(y_bar.shape, -y_bar.ndim) if i not in axes])
    x_bar = place(y_bar, branch, int(np.prod(sizes)))
    x_bar = x_bar.reshape(*x_bar.shape[:-1], *sizes)
    return np.moveaxis(x_bar, tuple(range(-len(axes), 0)), axes), {}
