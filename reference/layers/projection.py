"""A dense layer inside another operator, its parameters under that operator's names.

    y = x W^T + b        x_bar = y_bar W        W_bar = y_bar^T x        b_bar = sum of y_bar

as derived on the page `dense`.  Where an operator has no biases b is not among p, and 0.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array, Arrays, over, rows


def project(p: Arrays, weight: str, bias: str, x: Array) -> Array:
    """y."""
    y: Array = x @ np.swapaxes(over(p[weight], x, 2), -1, -2)
    return y + over(p[bias], y, 1) if bias in p else y


def pull(p: Arrays, weight: str, y_bar: Array) -> Array:
    """x_bar."""
    x_bar: Array = y_bar @ over(p[weight], y_bar, 2)
    return x_bar


def gradients(p: Arrays, weight: str, bias: str, x: Array, y_bar: Array) -> Arrays:
    """W_bar and b_bar, under their names."""
    z_bar = rows(y_bar, p[weight], 2)
    found: Arrays = {weight: np.swapaxes(z_bar, -1, -2) @ rows(x, p[weight], 2)}
    return found | {bias: z_bar.sum(axis=-2)} if bias in p else found
