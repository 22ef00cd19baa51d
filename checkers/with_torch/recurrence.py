"""Recurrence in PyTorch: y = f(op, parameters, x), by the kernels behind torch.nn's modules.

The kernels differentiate tanh to 1 - y^2 and sigmoid to y (1 - y).  In a saturated unit
that is wrong by u |h_bar|, which is then multiplied by weights and inputs: on 200 cases of
the lane `extreme` by up to 530 u max|y_bar| in a gradient of the input and 1,100 in one of a
weight (weights and inputs up to 2^8 there).  It is what everybody's kernels do, and a matter
of the normwise model of `rounding`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ...architectures import operators
from .forms import Forward, Tensors

Kernel = Callable[..., tuple[Tensor, ...]]


def _recurrence(op: Any, p: Tensors, x: Any, kernel: Kernel) -> Tensor:
    """The outputs of the last layer, or the last states, hidden or of the cells."""
    x, *states = x if isinstance(x, tuple) else (x,)
    needed = 2 if isinstance(op, operators.LSTM) else 1
    shape = (op.layers * (2 if op.bidirectional else 1), x.shape[0], op.units)
    states += [x.new_zeros(shape)] * (needed - len(states))
    if op.lengths:
        y, found = _packed(op, p, x, states, kernel)
    else:
        given = states if needed == 2 else states[0]
        y, *found = kernel(x, given, *_settings(op, p), True)  # the batch first
    return {"sequence": y, "hidden": found[0], "cell": found[-1]}[op.returns]


def _packed(
    op: Any, p: Tensors, x: Tensor, states: list[Tensor], kernel: Kernel
) -> tuple[Tensor, list[Tensor]]:
    """The same over sequences of `op.lengths` steps, which the kernels take the longest first."""
    lengths = torch.tensor(op.lengths, device=x.device)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    states = [state.index_select(1, order) for state in states]
    given = states if len(states) == 2 else states[0]
    y, *found = kernel(packed.data, packed.batch_sizes, given, *_settings(op, p))
    outputs = PackedSequence(y, packed.batch_sizes, order, back)
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    return padded, [state.index_select(1, back) for state in found]


def _settings(op: Any, p: Tensors) -> tuple[Any, ...]:
    """Weights, whether there are biases, layers, dropout, training, both directions."""
    kinds = ("input_weight", "hidden_weight", *(("input_bias", "hidden_bias") if op.bias else ()))
    suffixes = ("", "_reverse") if op.bidirectional else ("",)
    weights = [
        p[f"{kind}_{layer}{suffix}"]
        for layer in range(op.layers)
        for suffix in suffixes
        for kind in kinds
    ]
    return weights, op.bias, op.layers, 0.0, True, op.bidirectional


def _rnn(op: operators.RNN, p: Tensors, x: Any) -> Tensor:
    return _recurrence(op, p, x, torch.rnn_relu if op.activation == "relu" else torch.rnn_tanh)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.RNN: _rnn,
    operators.LSTM: lambda op, p, x: _recurrence(op, p, x, torch.lstm),
    operators.GRU: lambda op, p, x: _recurrence(op, p, x, torch.gru),
}
"""Each operator's y = f(op, parameters, x)."""
