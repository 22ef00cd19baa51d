"""Faults of recurrences, most of them of the way back through time (`layers/unrolling.py`).

    h_{t-1}_bar = w_t_bar Wh + what the cell sends back        x_t_bar = u_t_bar Wi

A wrong h_bar spoils all that comes before it: the inputs' gradient and the parameters'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ...architectures.operators.recurrence import GATES
from ..arrays import Array, Arrays, Saved, over
from ..layers import gru, lstm, rnn, unrolling
from ..layers.unrolling import Cell, Unrolled, cut
from ..stable import sigmoid, slope_of_tanh
from .fault import Applies, Backward, Fault, Plant, instead_of_x_bar, layers

CELLS: dict[type[ops.Operator], Cell] = {ops.RNN: rnn.CELL, ops.LSTM: lstm.CELL, ops.GRU: gru.CELL}

GATES_EXCHANGED: dict[type[ops.Operator], tuple[int, int]] = {ops.LSTM: (1, 0), ops.GRU: (1, 0)}
"""(the gate that is computed again, the gate whose bias it gets): forget and input gate of an
LSTM, update and reset gate of a GRU."""

# --- where ------------------------------------------------------------------------------


def _recurrences(test: Callable[[Architecture, int, Any], bool]) -> Applies:
    return layers(lambda a, i, layer: isinstance(layer, ops.RECURRENCE) and test(a, i, layer))


def _steps(a: Architecture, i: int, layer: Any) -> int:
    """The steps of the longest example."""
    return max(layer.lengths) if layer.lengths else int(a.inputs_of(i)[0][1])


def _has_initial(a: Architecture, i: int, layer: Any) -> bool:
    return len(a.sources[i]) > 1


def _recurs(a: Architecture, i: int, layer: Any) -> bool:
    """Several steps: with one nothing comes from the step before."""
    return _steps(a, i, layer) > 1


def _uses_hidden_weight(a: Architecture, i: int, layer: Any) -> bool:
    """Whether a gradient goes through Wh, which is no number."""
    return layer.units > 1 and (_recurs(a, i, layer) or _has_initial(a, i, layer))


def _ends_early(a: Architecture, i: int, layer: Any) -> bool:
    return bool(layer.lengths) and min(layer.lengths) < a.inputs_of(i)[0][1]


def _both_ways(a: Architecture, i: int, layer: Any) -> bool:
    return bool(layer.bidirectional and layer.returns == "sequence")


# --- how --------------------------------------------------------------------------------


def _with_saved(change: Callable[[Any, Arrays, Unrolled], Unrolled]) -> Plant:
    """As if the forward pass had kept change(layer, p, saved)."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
            return right(layer, p, change(layer, p, saved), y_bar)

        return planted

    return plant


def _with_upstream(change: Callable[[Any, Array], Array]) -> Plant:
    """As if the cotangent were change(layer, y_bar)."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
            return right(layer, p, saved, change(layer, y_bar))

        return planted

    return plant


def _hidden_weights(p: Arrays, change: Callable[[Array], Array]) -> Arrays:
    """The parameters with change(Wh) for each Wh."""
    return {n: change(v) if n.startswith("hidden_weight") else v for n, v in p.items()}


def _gate_with_another_s_bias(layer: Any, p: Arrays, saved: Unrolled) -> Unrolled:
    """a = u + w of one gate computed again with the biases of another."""
    gate, other = GATES_EXCHANGED[type(layer)]
    runs = []
    for run in saved.runs:
        bias = p[f"input_bias{run.suffix}"] + p[f"hidden_bias{run.suffix}"]
        biases = cut(bias, GATES[type(layer)])
        offset = biases[other] - biases[gate]
        cells = []
        for first, *rest in run.cells:
            if isinstance(layer, ops.GRU):  # (a_r, a_z, ...), each by itself
                a_z, *rest = rest
                cells.append((first, a_z + over(offset, a_z, 1), *rest))
            else:
                gates = cut(first, GATES[type(layer)])
                gates[gate] = gates[gate] + over(offset, gates[gate], 1)
                cells.append((np.concatenate(gates, axis=-1), *rest))
        runs.append(run._replace(cells=cells))
    return saved._replace(runs=runs)


def _hidden_weight_not_transposed(right: Backward) -> Backward:
    """h_bar = w_bar Wh', gate by gate, where w_bar Wh is right."""

    def planted(layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
        def by_gate(w: Array) -> Array:
            blocks = w.reshape(*w.shape[:-2], -1, layer.units, layer.units)
            return np.swapaxes(blocks, -1, -2).reshape(w.shape)

        return right(layer, _hidden_weights(p, by_gate), saved, y_bar)

    return planted


def _local(right: Backward, layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
    """x_t_bar of y_t_bar alone: nothing of what comes back from step t + 1."""
    cell = CELLS[type(layer)]

    def forgetful(*arguments: Any) -> tuple[Array, ...]:
        u_bar, w_bar, left, c_left = cell.backward(*arguments)
        return u_bar, w_bar, np.zeros_like(left), np.zeros_like(c_left)

    cut_off = cell._replace(backward=forgetful)
    found = unrolling.pull(cut_off, layer, _hidden_weights(p, np.zeros_like), saved, y_bar)[0]
    return (found[0], *right(layer, p, saved, y_bar)[0][1:]) if saved.inputs > 1 else found


def _with_cell(change: Callable[..., tuple[Array, ...]]) -> Plant:
    """The way back with change(what the cell's gives, layer, its saved, h_bar, c_bar) at a step."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
            cell = CELLS[type(layer)]

            def step_backward(layer: Any, kept: Saved, h_bar: Array, c_bar: Array) -> Any:
                return change(cell.backward(layer, kept, h_bar, c_bar), layer, kept, h_bar, c_bar)

            return unrolling.pull(cell._replace(backward=step_backward), layer, p, saved, y_bar)

        return planted

    return plant


def _carried_dropped(
    bars: tuple[Array, ...], layer: Any, kept: Saved, h_bar: Array, c_bar: Array
) -> tuple[Array, ...]:
    """Nothing for f c_bar of an LSTM and z h_bar of a GRU."""
    u_bar, w_bar, left, c_left = bars
    return u_bar, w_bar, np.zeros_like(left), np.zeros_like(c_left)


def _reset_gate_held(
    bars: tuple[Array, ...], layer: Any, kept: Saved, h_bar: Array, c_bar: Array
) -> tuple[Array, ...]:
    """Nothing for w_n m s'(a_r), what comes back to the reset gate."""
    u_bar, w_bar, left, c_left = bars
    of_the_gate = np.arange(u_bar.shape[-1]) < layer.units
    u_bar, w_bar = (np.where(of_the_gate, 0.0, bar).astype(bar.dtype) for bar in (u_bar, w_bar))
    return u_bar, w_bar, left, c_left


def _slope_omitted(
    bars: tuple[Array, ...], layer: Any, kept: Saved, h_bar: Array, c_bar: Array
) -> tuple[Array, ...]:
    """h_bar for f'(a) h_bar of an RNN; o h_bar for o (1 - tanh(c')^2) h_bar of an LSTM."""
    if isinstance(layer, ops.RNN):
        return h_bar, h_bar, *bars[2:]
    a, _, new_c = kept
    o = sigmoid(cut(a, 4)[3])
    more = o * h_bar * (1 - slope_of_tanh(new_c))  # reaches c' beyond what is right
    a_bar, _, left, c_left = lstm.step_backward(layer, kept, np.zeros_like(h_bar), more)
    a_bar = bars[0] + a_bar
    return a_bar, a_bar, bars[2] + left, bars[3] + c_left


def _not_through_time(right: Backward) -> Backward:
    """Every step by itself: nothing comes back from step t + 1, to parameters neither."""

    def planted(layer: Any, p: Arrays, saved: Unrolled, y_bar: Array) -> Any:
        cell = CELLS[type(layer)]

        def forgetful(*arguments: Any) -> tuple[Array, ...]:
            u_bar, w_bar, left, c_left = cell.backward(*arguments)
            return u_bar, w_bar, np.zeros_like(left), np.zeros_like(c_left)

        cut_off = cell._replace(backward=forgetful)
        x_bar, p_bar = unrolling.pull(
            cut_off, layer, _hidden_weights(p, np.zeros_like), saved, y_bar
        )
        return x_bar, p_bar

    return planted


def _without_last_step(layer: Any, p: Arrays, saved: Unrolled) -> Unrolled:
    """Steps that count on the way back up to the one before an example's last."""
    batch, steps = saved.runs[0].x.shape[-3:-1]
    lengths = np.array(layer.lengths or (steps,) * batch)
    return saved._replace(counts=(np.arange(steps) < lengths[:, None] - 1)[..., None])


def _no_initial(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    x_bar, *states = right(layer, p, saved, y_bar)[0]
    return (x_bar, *map(np.zeros_like, states))


def _halves(layer: Any, y_bar: Array) -> tuple[Array, Array]:
    """The cotangents of the forward direction's outputs and of the backward direction's."""
    return y_bar[..., : layer.units], y_bar[..., layer.units :]


def _reverse_flipped(layer: Any, y_bar: Array) -> Array:
    """The backward direction's outputs in the order of its steps."""
    forth, back = _halves(layer, y_bar)
    return np.concatenate([forth, back[..., ::-1, :]], axis=-1)


def _directions_swapped(layer: Any, y_bar: Array) -> Array:
    forth, back = _halves(layer, y_bar)
    return np.concatenate([back, forth], axis=-1)


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "gate_with_another_s_bias",
        "a gate computed again for the way back, with another gate's bias",
        12, 1,
        _recurrences(lambda a, i, layer: type(layer) in GATES_EXCHANGED and layer.bias),
        _with_saved(_gate_with_another_s_bias),
        kind="argument",
        shows="at an LSTM or GRU with biases",
        hidden="where the two gates have equal biases",
    ),
    Fault(
        "hidden_weight_not_transposed",
        "the transpose of a recurrence's hidden-to-hidden weight omitted",
        31, 2,
        _recurrences(_uses_hidden_weight),
        _hidden_weight_not_transposed,
        kind="axis",
        shows="at a recurrence of several units, and of several steps or an initial state",
        hidden="where the hidden weight of every gate is symmetric",
    ),
    Fault(
        "local_step_only",
        "the gradient of a recurrence's input from the local step alone",
        32, 1,
        _recurrences(_recurs),
        instead_of_x_bar(_local),
        kind="missing",
        shows="at a recurrence of several steps",
        hidden="where no step sends anything back, as of an RNN with a hidden weight of 0",
    ),
    Fault(
        "not_through_time",
        "nothing brought back from one step of a recurrence to the one before",
        32, 2,
        _recurrences(_recurs),
        _not_through_time,
        kind="missing",
        shows="at a recurrence of several steps",
        hidden="where no step sends anything back, as of an RNN with a hidden weight of 0",
    ),
    Fault(
        "carried_state_dropped",
        "what a recurrence carries past its gates not brought back (f c_bar, z h_bar)",
        None, 2,
        _recurrences(lambda a, i, layer: isinstance(layer, ops.LSTM | ops.GRU)
                     and (_recurs(a, i, layer) or _has_initial(a, i, layer))),
        _with_cell(_carried_dropped),
        kind="missing",
        shows="at an LSTM or GRU of several steps or with an initial state",
        hidden="where the gate of what is carried is closed",
        like="one of two ways back left out",
    ),
    Fault(
        "reset_gate_held_constant",
        "a GRU's reset gate treated as a constant",
        None, 1,
        _recurrences(lambda a, i, layer: isinstance(layer, ops.GRU)),
        _with_cell(_reset_gate_held),
        kind="missing",
        shows="at a GRU",
        hidden="where the gate is saturated: its slope is 0",
        like="one of several ways back left out",
    ),
    Fault(
        "state_s_slope_omitted",
        "the derivative of the function that gives a recurrence's state omitted",
        8, 1,
        _recurrences(lambda a, i, layer: isinstance(layer, ops.RNN | ops.LSTM)),
        _with_cell(_slope_omitted),
        kind="missing",
        shows="at an RNN or LSTM",
        hidden="where every slope is 1, as of a ReLU of positive numbers",
    ),
    Fault(
        "last_step_skipped",
        "the last step of a recurrence skipped on the way back",
        32, 1,
        _recurrences(lambda a, i, layer: True),
        _with_saved(_without_last_step),
        kind="index",
        shows="at a recurrence",
        hidden="where the last step's output, in one direction, has no cotangent",
    ),
    Fault(
        "initial_state_gradient_zero",
        "zeros for the gradient of a recurrence's initial state",
        38, 1,
        _recurrences(_has_initial),
        instead_of_x_bar(_no_initial),
        kind="missing",
        shows="at a recurrence with an initial state as input",
        hidden="where nothing depends on it, as of an RNN with a hidden weight of 0",
    ),
    Fault(
        "lengths_ignored",
        "the lengths of a recurrence's examples ignored on the way back",
        None, 2,
        _recurrences(_ends_early),
        _with_saved(lambda layer, p, saved: saved._replace(counts=None)),
        kind="index",
        shows="at a recurrence in which some example ends early",
        hidden="where one direction's sequence has no cotangent beyond the lengths",
        like="a mask applied forward alone",
    ),
    Fault(
        "reverse_direction_not_flipped",
        "the cotangent of a recurrence's backward direction not put into the order of time",
        None, 1,
        _recurrences(lambda a, i, layer: _both_ways(a, i, layer) and a.inputs_of(i)[0][1] > 1),
        _with_upstream(_reverse_flipped),
        kind="axis",
        shows="at a recurrence in both directions that returns a sequence of several steps",
        hidden="where the backward direction's cotangent reads the same in both orders",
        like="a reversed sequence not put back into order",
    ),
    Fault(
        "directions_swapped",
        "the cotangents of a recurrence's two directions exchanged",
        None, 1,
        _recurrences(_both_ways),
        _with_upstream(_directions_swapped),
        kind="axis",
        shows="at a recurrence in both directions that returns a sequence",
        hidden="where both directions have the same cotangent",
        like="two halves taken in the wrong order",
    ),
)  # fmt: skip
