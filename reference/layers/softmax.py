"""Softmax along one axis.

    y = e / 1'e,    e = exp(x)        (1' is a row of ones, e' is e transposed)

    de = e dx        dy = e dx / 1'e - e (e'dx) / (1'e)^2 = y (dx - 1 y'dx) = D P dx

D = diag(y) and P = I - 1y'.  DP = D - yy' is symmetric, so going backward applies it too:

    x_bar = y P y_bar = y (y_bar - 1 y'y_bar)

P takes away the mean under y.  Where one y is almost 1 that mean is almost its own y_bar,
and their difference is rounding error.  But y'1 = 1, so PP = P: what a second P takes away
is only what rounding left in the first.

e is computed as exp(x - max x), which leaves y as it is and cannot overflow.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Softmax
from ..arrays import Array, Arrays, Saved


def from_the_end(axis: int) -> int:
    """Axis 0 is the batch and 1 the features: -2 and -1, whatever replica axes lead."""
    return axis - 2 if axis >= 0 else axis


def forward(layer: Softmax, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axis = from_the_end(layer.axis)
    e = np.exp(x - x.real.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y, y


def backward(layer: Softmax, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    y = saved
    axis = from_the_end(layer.axis)
    z = y_bar - (y * y_bar).sum(axis=axis, keepdims=True)
    z = z - (y * z).sum(axis=axis, keepdims=True)
    return y * z, {}
