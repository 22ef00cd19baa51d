"""Embedding: rows of a table W (classes, units), looked up by given indices i.

    y_n = W[i_n]        dy_n = dW[i_n]        (0 where i_n is the padding index)

    <y_bar, dy> = sum_n <y_bar_n, dW[i_n]>        W_bar[c] = sum of y_bar_n with i_n = c

so an index that occurs several times collects all of its cotangents.
"""

from __future__ import annotations

import numpy as np

from ...architectures.operators import Embedding
from ..arrays import Array, Arrays, Saved, scatter_axis


def forward(layer: Embedding, p: Arrays, x: tuple[()], branch: None) -> tuple[Array, Saved]:
    indices = p["indices"]
    y: Array = p["weight"][..., indices, :]
    if layer.padding_index is not None:
        y = np.where((indices == layer.padding_index)[..., None], 0.0, y)
    return y, None


def backward(layer: Embedding, p: Arrays, saved: Saved, y_bar: Array) -> tuple[tuple[()], Arrays]:
    indices = p["indices"]
    if layer.padding_index is not None:
        indices = np.where(indices == layer.padding_index, -1, indices)
    rows = y_bar.reshape(*y_bar.shape[: y_bar.ndim - indices.ndim - 1], -1, layer.units)
    return (), {"weight": scatter_axis(rows, indices.reshape(-1), layer.classes, axis=-2)}
