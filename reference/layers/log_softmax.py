"""Logarithm of the softmax along one axis.

    y = x - 1 log(1'e),    e = exp(x)        (1' is a row of ones, e' is e transposed)

    d log(1'e) = e'dx / 1'e = p'dx,    p = e / 1'e = exp(y)

    dy = dx - 1 p'dx = P dx,    P = I - 1p'        x_bar = P'y_bar = y_bar - p 1'y_bar

Where one p is almost 1, as in a good classifier, that difference is rounding error.  But
p'1 = 1, so P'P' = P': a second P' takes away only what rounding left in the first.

Forward, with d = x - max x, y = d - log(1'exp(d)).  The sum is 1 + r, and for the same
classifier r is small, so r is added up on its own: exp(d) - 1 for the entries near the
maximum, exp(d) for the others, and 1 for each of the near ones after the first.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import LogSoftmax
from ..arrays import Array, Arrays, Saved
from .softmax import from_the_end


def forward(layer: LogSoftmax, p: Arrays, x: Array, branch: None) -> tuple[Array, Saved]:
    axis = from_the_end(layer.axis)
    d = x - x.real.max(axis=axis, keepdims=True)
    top = d.real > -0.5
    e = np.exp(d)
    r = np.where(top, np.expm1(d), e).sum(axis=axis, keepdims=True)
    r = r + (top.sum(axis=axis, keepdims=True) - 1).astype(x.dtype)
    return d - np.log1p(r), e / (1 + r)


def backward(layer: LogSoftmax, p: Arrays, saved: Saved, y_bar: Array) -> tuple[Array, Arrays]:
    probability = saved
    axis = from_the_end(layer.axis)
    x_bar = y_bar - probability * y_bar.sum(axis=axis, keepdims=True)
    x_bar = x_bar - probability * x_bar.sum(axis=axis, keepdims=True)
    return x_bar, {}
