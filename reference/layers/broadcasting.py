"""Broadcasting, and its transpose.

An axis of size 1 is repeated, y_j = x_1 for every j: a linear map, whose transpose adds up,

    <y_bar, dy> = sum_j y_bar_j dx_1        x_bar_1 = sum_j y_bar_j

`unbroadcast` does it for all axes that were repeated.
"""

from __future__ import annotations

from ..arrays import Array


def unbroadcast(y_bar: Array, x: Array) -> Array:
    """y_bar summed over the axes along which x was repeated, in x's shape."""
    repeated = tuple(i for i, n in enumerate(x.shape) if n == 1 and y_bar.shape[i] > 1)
    return y_bar.sum(axis=repeated, keepdims=True) if repeated else y_bar
