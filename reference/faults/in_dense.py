"""Faults of dense layers, and of weights and other parameters at large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture
from ..arrays import Array, Arrays, Saved
from ..pages import LAYERS
from .fault import (
    Applies,
    Backward,
    Fault,
    Plant,
    in_half,
    instead_of_p_bar,
    instead_of_x_bar,
    last_only,
    layers,
    layers_of,
    reads_the_input_alone,
)

# --- where ------------------------------------------------------------------------------


def _dense(test: Callable[[Architecture, int, ops.Dense], bool]) -> Applies:
    return layers(lambda a, i, layer: isinstance(layer, ops.Dense) and test(a, i, layer))


def _holds(parameter: str) -> Applies:
    """At the layers that have a parameter of this name."""
    return layers(lambda a, i, layer: parameter in a.own[i])


def _square(a: Architecture, i: int, layer: ops.Dense) -> bool:
    return layer.units == a.inputs_of(i)[0][-1] > 1


def _accumulates(a: Architecture, i: int, layer: Any) -> bool:
    """Whether a parameter's gradient is a sum over several examples."""
    inputs = a.inputs_of(i)
    return bool(a.own[i]) and bool(inputs) and inputs[0][0] > 1


def _matrix(a: Architecture, i: int, layer: ops.Dense) -> bool:
    """Whether a dense layer takes (batch, features), of several examples."""
    x = a.inputs_of(i)[0]
    return len(x) == 2 and x[0] > 1


# --- how --------------------------------------------------------------------------------


def _instead_of(parameter: str, change: Callable[[Array, Array], Any]) -> Plant:
    """One parameter's gradient becomes change(y_bar, gradient); the rest stays."""
    return instead_of_p_bar(
        lambda p_bar, layer, p, saved, y_bar: {parameter: change(y_bar, p_bar[parameter])}
    )


def _parameters_from(part: Callable[[Any, Array], Array]) -> Plant:
    """The parameters' gradients come from part(layer, y_bar) alone; x_bar stays."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
            x_bar, _ = right(layer, p, saved, y_bar)
            _, p_bar = right(layer, p, saved, part(layer, y_bar))
            return x_bar, p_bar

        return planted

    return plant


def _batch_axis(layer: Any, y_bar: Array) -> int:
    """The axis of the examples, from the end: a recurrence's states have another before it."""
    states = getattr(layer, "returns", "sequence") != "sequence"
    return -2 if states else -y_bar.ndim


def _averaged(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    batch = y_bar.shape[_batch_axis(layer, y_bar)]
    return {name: g / batch for name, g in p_bar.items()}


def _last_contribution(layer: Any, y_bar: Array) -> Array:
    shared_slope = isinstance(layer, ops.PReLU) and layer.shared and y_bar.shape[-1] > 1
    return last_only(y_bar, -1 if shared_slope else _batch_axis(layer, y_bar))


def _through_updated_weight(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    _, p_bar = right(layer, p, saved, y_bar)
    updated = {**p, "weight": p["weight"] - 0.1 * p_bar["weight"]}
    return right(layer, updated, saved, y_bar)[0]


def _through_transposed_weight(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    transposed = {**p, "weight": np.swapaxes(p["weight"], -1, -2)}
    return right(layer, transposed, saved, y_bar)[0]


def _from_the_output(p_bar: Arrays, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Arrays:
    """W_bar = y_bar' y, where y_bar' x is right."""
    y, _ = LAYERS[ops.Dense].forward(layer, p, saved, None)
    return {"weight": LAYERS[ops.Dense].backward(layer, p, y, y_bar)[1]["weight"]}


def _zero_x_bar(right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
    x_bar = right(layer, p, saved, y_bar)[0]
    return tuple(map(np.zeros_like, x_bar)) if isinstance(x_bar, tuple) else np.zeros_like(x_bar)


def _last_input_entries_off(
    right: Backward, layer: Any, p: Arrays, saved: Saved, y_bar: Array
) -> Any:
    """The last entry of the last two axes, of the first input where there are several."""
    x_bar = right(layer, p, saved, y_bar)[0]
    first, *others = x_bar if isinstance(x_bar, tuple) else (x_bar,)
    first = first + 0.01 * last_only(last_only(first, -1), -2)
    return (first, *others) if others else first


def _last_row_doubled(y_bar: Array, w_bar: Array) -> Array:
    return w_bar + last_only(w_bar, -2)


def _last_entry_off(y_bar: Array, w_bar: Array) -> Array:
    return w_bar + 0.01 * last_only(last_only(w_bar, -1), -2)


# --- the faults -------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    Fault(
        "gradient_averaged",
        "the parameters' gradient averaged over the batch instead of summed",
        3, 2,
        layers(_accumulates),
        instead_of_p_bar(_averaged),
        kind="factor",
        shows="at a layer with parameters, in a batch of several examples",
    ),
    Fault(
        "last_contribution_only",
        "the parameters' gradient overwritten (=) where it should accumulate (+=)",
        13, 5,
        layers(_accumulates),
        _parameters_from(_last_contribution),
        kind="accumulation",
        shows="at a layer with parameters, in a batch of several examples",
        hidden="where the last example alone has a cotangent: it is the whole sum",
    ),
    Fault(
        "weight_updated_first",
        "the weight updated before the error is propagated through it",
        17, 2,
        layers_of(ops.Dense, ops.Bilinear, *ops.CONVOLUTIONS),
        instead_of_x_bar(_through_updated_weight),
        kind="argument",
        shows="at a dense, bilinear or convolutional layer",
        hidden="where the weight's gradient is 0: the update changes nothing",
    ),
    Fault(
        "weight_not_transposed",
        "W for its transpose in the gradient with respect to a square layer's input",
        23, 3,
        _dense(_square),
        instead_of_x_bar(_through_transposed_weight),
        kind="axis",
        shows="at a square dense layer of more than one unit",
        hidden="where the weight is symmetric",
    ),
    Fault(
        "weight_gradient_transposed",
        "the gradient of a square layer's weight transposed",
        23, 1,
        _dense(_square),
        _instead_of("weight", lambda y_bar, w_bar: np.swapaxes(w_bar, -1, -2)),
        kind="axis",
        shows="at a square dense layer of more than one unit",
        hidden="where the weight's gradient is symmetric",
    ),
    Fault(
        "output_for_input",
        "a square layer's output taken for its input in the gradient of its weight",
        None, 1,
        _dense(_square),
        instead_of_p_bar(_from_the_output),
        kind="argument",
        shows="at a square dense layer of more than one unit",
        hidden="where the layer leaves its input as it is",
        like="activations of one layer taken for those of the layer before",
    ),
    Fault(
        "bias_summed_over_outputs",
        "the bias gradient summed over the outputs instead of the batch",
        24, 2,
        _dense(lambda a, i, layer: layer.bias and _matrix(a, i, layer)
               and layer.units == a.inputs_of(i)[0][0]),
        _instead_of("bias", lambda y_bar, b_bar: y_bar.sum(axis=-1)),
        kind="axis",
        shows="at a dense layer with a bias and as many units as examples",
        hidden="where the cotangent is symmetric: its rows sum to what its columns do",
    ),
    Fault(
        "bias_not_reduced",
        "the bias gradient not summed over the batch",
        24, 1,
        _dense(lambda a, i, layer: layer.bias and _matrix(a, i, layer)),
        _instead_of("bias", lambda y_bar, b_bar: 1 * y_bar),
        loud=True,
        kind="axis",
        shows="at a dense layer with a bias, in a batch of several examples",
    ),
    Fault(
        "bias_gradient_missing",
        "None for the gradient of a bias",
        38, 1,
        _dense(lambda a, i, layer: layer.bias and len(a.slots_of(a.own[i]["bias"])) == 1),
        _instead_of("bias", lambda y_bar, b_bar: None),
        loud=True,
        kind="missing",
        shows="at a dense layer whose bias no other layer shares",
    ),
    Fault(
        "bias_gradient_zero",
        "zeros for the gradient of a bias",
        38, 1,
        _holds("bias"),
        _instead_of("bias", lambda y_bar, b_bar: np.zeros_like(b_bar)),
        kind="missing",
        shows="at a layer with a bias",
        hidden="where nothing depends on the bias, as before a softmax over one class",
    ),
    Fault(
        "weight_gradient_zero",
        "zeros for the gradient of a weight",
        38, 1,
        _holds("weight"),
        _instead_of("weight", lambda y_bar, w_bar: np.zeros_like(w_bar)),
        kind="missing",
        shows="at a layer with a weight",
        hidden="where the layer's input is 0: the weight has no part in its output",
    ),
    Fault(
        "slope_gradient_zero",
        "zeros for the gradient of a learned slope",
        38, 1,
        layers_of(ops.PReLU),
        _instead_of("slope", lambda y_bar, a_bar: np.zeros_like(a_bar)),
        kind="missing",
        shows="at a PReLU",
        hidden="where no entry is negative: the slope has no part in the output",
    ),
    Fault(
        "input_gradient_zero",
        "zeros for the gradient with respect to a layer's input",
        38, 3,
        layers(lambda a, i, layer: bool(a.sources[i])),
        instead_of_x_bar(_zero_x_bar),
        kind="missing",
        shows="at a layer with an input",
        hidden="where nothing depends on the input, as where every unit of a ReLU is dead",
    ),
    Fault(
        "input_gradient_missing",
        "None for the gradient with respect to the network's input",
        38, 1,
        layers(lambda a, i, layer: reads_the_input_alone(a, i)),
        instead_of_x_bar(lambda *arguments: None),
        loud=True,
        kind="missing",
        shows="at the only layer that takes the network's input, and nothing else",
    ),
    Fault(
        "weight_gradient_in_half",
        "the weight's gradient rounded to half precision",
        37, 1,
        _holds("weight"),
        _instead_of("weight", lambda y_bar, w_bar: in_half(w_bar)),
        kind="numerics",
        shows="at a layer with a weight",
        hidden="where every entry is a number of half precision, as a small integer is",
    ),
    Fault(
        "weight_gradient_truncated",
        "the weight's gradient cast to integers",
        37, 1,
        _holds("weight"),
        _instead_of("weight", lambda y_bar, w_bar: np.trunc(w_bar)),
        kind="numerics",
        shows="at a layer with a weight",
        hidden="where every entry is an integer",
    ),
    Fault(
        "one_row_wrong",
        "the last row of a weight's gradient doubled",
        None, 1,
        _holds("weight"),
        _instead_of("weight", _last_row_doubled),
        kind="index",
        shows="at a layer with a weight",
        hidden="where the last row is 0, and so is twice of it",
        like="a loop that handles its last row twice",
    ),
    Fault(
        "one_entry_wrong",
        "the last entry of a weight's gradient 1% too large",
        None, 1,
        _holds("weight"),
        _instead_of("weight", _last_entry_off),
        kind="index",
        shows="at a layer with a weight",
        hidden="where the last entry is 0, and so is 1% of it",
        like="a special case that is wrong for one entry",
    ),
    Fault(
        "one_entry_of_the_input_wrong",
        "the last entry of the gradient of a layer's input 1% too large",
        None, 1,
        layers(lambda a, i, layer: bool(a.sources[i])),
        instead_of_x_bar(_last_input_entries_off),
        kind="index",
        shows="at a layer with an input",
        hidden="where the last entry is 0, and so is 1% of it",
        like="a border case that is wrong for one entry",
    ),
)  # fmt: skip
