"""Where a fault applies and cannot show: an equivalent mutant, for the reason that it states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_networks import edge, network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, Lane, draw_case, make_case
from backproof.checkers import rounding
from backproof.checkers.comparison import ALPHA, allowed_in_entries
from backproof.planting import BY_NAME
from backproof.reference import network as reference
from backproof.reference.faults.catalogue import overrides

LINEAR = ls.WeightedSum()
Values = Mapping[str, npt.ArrayLike]


def case_of(a: Architecture, dtype: Any = "float64", **given: npt.ArrayLike) -> Case:
    """The network's generic case with some tensors given: `input`, `target`, others by name.

    `__` in a keyword stands for the point in a tensor's name.
    """
    drawn = draw_case(a, 0, dtype=dtype)
    values = {name.replace("__", "."): value for name, value in given.items()}
    return make_case(
        a,
        {n: values.get(n, v) for n, v in drawn.parameters.items()},
        None if drawn.input is None else values.get("input", drawn.input),
        {n: values.get("target", v) if n == "loss" else v for n, v in drawn.targets.items()},
        data={n: values.get(n, v) for n, v in drawn.data.items()},
        dtype=dtype,
    )


def chain(*layers: Any, input: tuple[int, ...] | None = (2, 2), loss: Any = LINEAR) -> Architecture:
    return network(*layers, loss=loss, input=input)


QKV = chain(
    ops.Variable((1, 3, 2)), ops.Attention(inputs=("input", "input", edge(0))), input=(1, 3, 2)
)
SYMMETRIC = [[1, 2], [2, 3]]
CONV = chain(ops.Conv1d(2, (3,)), input=(1, 2, 5))
GROUPED = chain(ops.Conv1d(2, (2,), groups=2), input=(1, 2, 4))
RNN, LSTM = chain(ops.RNN(2), input=(1, 3, 2)), chain(ops.LSTM(2), input=(1, 3, 2))
TWO_WAYS = chain(ops.RNN(2, bidirectional=True), input=(1, 3, 2))
SHORT = chain(ops.RNN(2, lengths=(2,)), input=(1, 3, 2))
FROM = chain(ops.Variable((1, 1, 2)), ops.RNN(2, inputs=("input", edge(0))), input=(1, 3, 2))
ONE_HOT = ls.CrossEntropy(class_weights=(1.0, 0.5, 2.0))
POSITIVE = ls.BinaryCrossEntropyWithLogits(positive_weights=(2.0, 3.0))
HEADS = chain(
    ops.Dense(2), ops.Dense(2, inputs=(edge(0),)), loss=ls.GaussianKL(inputs=(edge(0), edge(1)))
)

EQUIVALENT: tuple[tuple[str, str, Case], ...] = (
    ("weight_not_transposed", "layers.0",
     case_of(chain(ops.Dense(2)), layers__0__weight=SYMMETRIC)),
    ("weight_gradient_transposed", "layers.0",
     case_of(chain(ops.Dense(2), input=(1, 2)), input=[[1, 2]], target=[[1, 2]])),
    ("bias_summed_over_outputs", "layers.0", case_of(chain(ops.Dense(2)), target=SYMMETRIC)),
    ("last_contribution_only", "layers.0", case_of(chain(ops.Dense(2)), target=[[0, 0], [1, 2]])),
    ("bias_gradient_zero", "layers.0", case_of(chain(ops.Dense(1), ops.Softmax()))),
    ("weight_gradient_zero", "layers.0", case_of(chain(ops.Dense(2)), input=[[0, 0], [0, 0]])),
    ("slope_gradient_zero", "layers.0", case_of(chain(ops.PReLU()), input=[[1, 2], [3, 4]])),
    ("input_gradient_zero", "layers.0", case_of(chain(ops.ReLU()), input=[[-1, -2], [-3, -4]])),
    ("weight_gradient_in_half", "layers.0",
     case_of(chain(ops.Dense(2)), input=SYMMETRIC, target=SYMMETRIC)),
    ("weight_gradient_truncated", "layers.0",
     case_of(chain(ops.Dense(2)), input=SYMMETRIC, target=SYMMETRIC)),
    ("own_value_for_the_other_s", "layers.1",
     case_of(chain(ops.Variable((2, 2)), ops.Multiply(inputs=("input", edge(0)))),
             input=SYMMETRIC, layers__0__value=SYMMETRIC)),
    ("factor_not_transposed", "layers.1",
     case_of(chain(ops.Variable((1, 2, 2)), ops.MatMul(inputs=("input", edge(0))), input=(1, 3, 2)),
             layers__0__value=[SYMMETRIC])),
    ("repeated_index_overwritten", "layers.0",
     case_of(chain(ops.Embedding(4, 2, (2,)), input=None), layers__0__indices=[3, 1])),
    ("padding_index_counted", "layers.0",
     case_of(chain(ops.Embedding(4, 2, (2,), padding_index=0), input=None),
             layers__0__indices=[3, 1])),
    ("upstream_dropped", "layers.0", case_of(chain(ops.Tanh()), target=[[1, 1], [1, 1]])),
    ("derivative_applied_twice", "layers.0", case_of(chain(ops.ELU()), input=[[1, 2], [3, 4]])),
    ("softmax_diagonal_only", "layers.0",
     case_of(chain(ops.Softmax()), input=[[1000, 0], [0, 1000]])),
    ("softmax_along_the_wrong_axis", "layers.0", case_of(chain(ops.Softmax(), input=(1, 1)))),
    ("derivative_at_the_output", "layers.0", case_of(chain(ops.Tanh()), input=[[0, 0], [0, 0]])),
    ("subtraction_negated", "layers.0",
     case_of(chain(ops.TanhShrink()), input=[[50, 60], [70, -80]])),
    ("gate_negated", "layers.0", case_of(chain(ops.GLU()), input=[[0, 1], [0, -2]])),
    ("leak_forgotten", "layers.0", case_of(chain(ops.LeakyReLU()), input=[[1, 2], [3, 4]])),
    ("tie_counted_twice", "layers.0", case_of(chain(ops.ELU()), input=[[1, -2], [3, -4]])),
    ("slope_in_saturation", "layers.0",
     case_of(chain(ops.HardTanh()), input=[[0.5, -0.5], [0.25, 0.0]])),
    ("windows_overwritten", "layers.0",
     case_of(chain(ops.MaxPool1d((3,), (1,)), input=(1, 1, 5)), input=[[[5, 4, 3, 2, 1]]])),
    ("pad_sliced_off_by_one", "layers.0",
     case_of(chain(ops.Pad(((1, 1),)), input=(1, 1, 3)), target=[[[2, 2, 2, 2, 2]]])),
    ("parts_swapped", "layers.1",
     case_of(chain(ops.Variable((2, 2)), ops.Concat(inputs=("input", edge(0)))),
             target=[[1, 2, 1, 2], [3, 4, 3, 4]])),
    ("not_transposed_back", "layers.0",
     case_of(chain(ops.Transpose(), input=(1, 2, 2)), target=[SYMMETRIC])),
    ("reshaped_without_moving_the_axis", "layers.0",
     case_of(chain(ops.Conv1d(2, (2,)), input=(2, 1, 3)), target=[[[3, 3], [3, 3]]] * 2)),
    ("kernel_not_flipped", "layers.0",
     case_of(CONV, layers__0__weight=[[[1, 2, 1], [3, 4, 3]], [[5, 0, 5], [2, 1, 2]]],
             target=[[[1, 2, 3], [-1, 4, 2]]])),
    ("weights_of_another_group", "layers.0",
     case_of(GROUPED, layers__0__weight=[[[1, 2]], [[1, 2]]])),
    ("weights_of_the_first_group", "layers.0",
     case_of(GROUPED, layers__0__weight=[[[1, 2]], [[1, 2]]])),
    ("variance_term_dropped", "layers.0",
     case_of(chain(ops.LayerNorm()), input=[[3, 3], [4, 4]])),
    ("means_over_the_wrong_axis", "layers.0",
     case_of(chain(ops.LayerNorm()), input=[[1, 3], [3, 1]], layers__0__gamma=[1, 1],
             target=[[2, 2], [2, 2]])),
    ("epsilon_forgotten", "layers.0",
     case_of(chain(ops.RMSNorm(), input=(1, 2)), input=[[3e9, 4e9]])),
    ("gain_dropped", "layers.0", case_of(chain(ops.LayerNorm()), layers__0__gamma=[1, 1])),
    ("dropout_mask_ignored", "layers.0",
     case_of(chain(ops.Dropout()), layers__0__mask=[[True, True], [True, True]])),
    ("dropout_scale_once", "layers.0",
     case_of(chain(ops.Dropout()), layers__0__mask=[[False, False], [False, False]])),
    ("scale_dropped_for_queries", "layers.1",
     case_of(QKV, layers__0__value=[[[1, 2], [1, 2], [1, 2]]], target=[[[1, 0], [2, 0], [3, 0]]])),
    ("positions_not_turned_back", "layers.0",
     case_of(chain(ops.Rotary(), input=(1, 2, 2)), target=[[[1, 2], [0, 0]]])),
    ("gate_with_another_s_bias", "layers.0",
     case_of(LSTM, layers__0__input_bias_0=[0.5] * 8, layers__0__hidden_bias_0=[0.25] * 8)),
    ("hidden_weight_not_transposed", "layers.0",
     case_of(RNN, layers__0__hidden_weight_0=SYMMETRIC)),
    ("local_step_only", "layers.0", case_of(RNN, layers__0__hidden_weight_0=[[0, 0], [0, 0]])),
    ("last_step_skipped", "layers.0", case_of(RNN, target=[[[1, 2], [3, 4], [0, 0]]])),
    ("initial_state_gradient_zero", "layers.1",
     case_of(FROM, layers__1__hidden_weight_0=[[0, 0], [0, 0]])),
    ("lengths_ignored", "layers.0", case_of(SHORT, target=[[[1, 2], [3, 4], [0, 0]]])),
    ("reverse_direction_not_flipped", "layers.0",
     case_of(TWO_WAYS, target=[[[1, 2, 3, 4], [5, 6, 7, 8], [9, 8, 3, 4]]])),
    ("directions_swapped", "layers.0",
     case_of(TWO_WAYS, target=[[[1, 2, 1, 2], [3, 4, 3, 4], [5, 6, 5, 6]]])),
    ("loss_gradient_negated", "loss",
     case_of(chain(loss=ls.SquaredError()), input=SYMMETRIC, target=SYMMETRIC)),
    ("gradient_on_the_target_only", "loss", case_of(chain(input=(2, 1), loss=ls.CrossEntropy()))),
    ("label_smoothing_forgotten", "loss",
     case_of(chain(input=(2, 1), loss=ls.CrossEntropy(label_smoothing=0.25)))),
    ("class_weights_forgotten", "loss",
     case_of(chain(input=(4, 3), loss=ONE_HOT), target=[1, 1, 1, 1])),
    ("positive_weights_forgotten", "loss",
     case_of(chain(loss=POSITIVE), target=[[0, 0], [0, 0]])),
    ("ignored_class_counted", "loss",
     case_of(chain(input=(2, 3), loss=ls.CrossEntropy(ignore_index=0)), target=[1, 2])),
    ("norm_held_constant", "loss",
     case_of(chain(loss=ls.Cosine()), input=[[1, 0], [0, 2]], target=[[0, 1], [3, 0]])),
    ("residual_not_clipped", "loss",
     case_of(chain(loss=ls.Huber()), input=[[0.5, 0.25], [0.0, 0.0]], target=[[0, 0], [0, 0]])),
    ("zero_over_zero", "loss",
     case_of(chain(loss=ls.AbsoluteError()), input=[[1, 2], [3, 4]], target=[[0, 0], [0, 0]])),
    ("half_of_the_divergence_dropped", "loss",
     case_of(HEADS, layers__1__weight=[[0, 0], [0, 0]], layers__1__bias=[0, 0])),
    ("penalty_missing", "penalties.0",
     case_of(network(ops.Dense(2), penalties=(ls.L2(0.5),)), layers__0__weight=np.zeros((2, 4)))),
    ("penalty_tie_on_the_right", "penalties.0",
     case_of(network(ops.Dense(2), penalties=(ls.L1(0.5),)), layers__0__weight=np.ones((2, 4)))),
    ("use_averaged", "fan_out",
     case_of(chain(ops.Tanh(), ops.Subtract(inputs=(edge(0), edge(0)))))),
    ("relative_error_1e_8", "loss", case_of(chain(ops.Tanh()), "float32")),
    ("relative_error_1e_10", "layers.0", case_of(chain(ops.Tanh()), "float32")),
)  # fmt: skip

ZEROS, ONES, ROWS = [[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 2], [3, 4]]
LOSING = [[-1, -2], [-3, -4]]
PAIR = chain(ops.Variable((2, 2)), ops.Multiply(inputs=("input", edge(0))))
OF_ONE = chain(ops.LayerNorm(epsilon=0.75), input=(2, 2))
"""Normalises entries of 1/2 and -1/2 by a deviation of 1."""
HALVES = [[0.5, -0.5], [-0.5, 0.5]]
TRIPLET = chain(
    ops.Variable((2, 2)), ops.Variable((2, 2)),
    loss=ls.TripletMargin(inputs=("input", edge(0), edge(1))),
)  # fmt: skip
SELF = chain(
    ops.Variable((1, 3, 2)), ops.Attention(inputs=("input", "input", edge(0))), input=(1, 3, 2)
)
GRU = chain(ops.GRU(2), input=(1, 3, 2))

BY_HAND: tuple[tuple[str, str, Case], ...] = (
    ("square_forgotten", "layers.0", case_of(chain(ops.Tanh()), input=ZEROS)),
    ("square_forgotten", "layers.0", case_of(chain(ops.TanhShrink()), input=ZEROS)),
    ("square_forgotten", "layers.0", case_of(chain(ops.Softsign()), input=ZEROS)),
    ("plus_for_minus", "layers.0", case_of(chain(ops.Tanh()), input=ZEROS)),
    ("complement_dropped", "layers.0",
     case_of(chain(ops.Sigmoid()), input=[[-50, -60], [-70, -80]])),
    ("value_left_out_of_the_slope", "layers.0",
     case_of(chain(ops.Sigmoid()), input=[[50, 60], [70, 80]])),
    ("slope_mirrored", "layers.0", case_of(chain(ops.Softplus()), input=ZEROS)),
    ("gate_held_constant", "layers.0", case_of(chain(ops.GELU()), input=ZEROS)),
    ("argument_held_constant", "layers.0",
     case_of(chain(ops.HardSwish()), input=[[-4, -5], [-6, -7]])),
    ("inner_derivative_dropped", "layers.0", case_of(chain(ops.GELU("tanh")), input=ZEROS)),
    ("three_of_the_cube_dropped", "layers.0", case_of(chain(ops.GELU("tanh")), input=ZEROS)),
    ("density_not_normalised", "layers.0", case_of(chain(ops.GELU()), input=ZEROS)),
    ("inner_factor_not_cancelled", "layers.0", case_of(chain(ops.CELU(0.5)), input=ROWS)),
    ("constant_forgotten", "layers.0", case_of(chain(ops.CELU(0.5)), input=ROWS)),
    ("constant_forgotten", "layers.0", case_of(chain(ops.Softplus(2.0)), input=ZEROS)),
    ("value_for_the_slope", "layers.0", case_of(chain(ops.ELU(0.5)), input=ROWS)),
    ("selu_s_alpha_left_out", "layers.0", case_of(chain(ops.SELU()), input=ROWS)),
    ("scale_on_one_side", "layers.0", case_of(chain(ops.SELU()), input=LOSING)),
    ("sides_exchanged", "layers.0", case_of(chain(ops.PReLU()), layers__0__slope=[1])),
    ("softmax_sum_dropped", "layers.0",
     case_of(chain(ops.Softmax()), input=ZEROS, target=[[1, -1], [2, -2]])),
    ("upstream_sum_taken_for_one", "layers.0",
     case_of(chain(ops.LogSoftmax()), input=ZEROS, target=[[3, -2], [4, -3]])),
    ("logarithm_not_undone", "layers.0",
     case_of(chain(ops.LogSoftmax()), target=[[1, -1], [2, -2]])),
    ("halves_exchanged", "layers.0", case_of(chain(ops.GLU()), input=[[2, 0], [2, 0]])),
    ("gate_gradient_zero", "layers.0", case_of(chain(ops.GLU()), input=[[0, 1], [0, -2]])),
    ("target_not_subtracted", "loss",
     case_of(chain(ops.Tanh(), loss=ls.BinaryCrossEntropyWithLogits()), target=ZEROS)),
    ("class_off_by_one", "loss",
     case_of(chain(ops.Identity(), loss=ls.Hinge()), input=[[9, 0], [0, 9]], target=[0, 1])),
    ("rows_counted_for_their_weights", "loss",
     case_of(chain(ops.Tanh(), loss=ls.NegativeLogLikelihood((0.5, 1.5))), target=[0, 1])),
    ("threshold_forgotten", "loss",
     case_of(chain(ops.Identity(), loss=ls.Huber(0.5)), input=ROWS,
             target=[[1.25, 2.25], [3.25, 4.25]])),
    ("threshold_forgotten", "loss",
     case_of(chain(ops.Identity(), loss=ls.SmoothL1(0.5)), input=ROWS, target=ZEROS)),
    ("not_divided_by_the_variance", "loss",
     case_of(chain(ops.Sigmoid(), loss=ls.BinaryCrossEntropy()), input=ZEROS,
             target=[[0.5, 0.5], [0.5, 0.5]])),
    ("negatives_left_out", "loss",
     case_of(chain(ops.Sigmoid(), loss=ls.BinaryCrossEntropy()), input=ZEROS, target=ONES)),
    ("negatives_negated", "loss",
     case_of(chain(ops.Sigmoid(), loss=ls.BinaryCrossEntropy()), input=ZEROS, target=ONES)),
    ("slope_where_a_margin_is_kept", "loss",
     case_of(chain(ops.Identity(), loss=ls.Hinge()), input=ZEROS)),
    ("margins_counted_once", "loss",
     case_of(chain(ops.Identity(), loss=ls.Hinge(), input=(1, 3)), input=[[1, 0.5, -9]],
             target=[0])),
    ("anchor_from_the_positive_alone", "loss",
     case_of(TRIPLET, input=ROWS, layers__0__value=ROWS, layers__1__value=LOSING)),
    ("two_of_the_dice_dropped", "loss",
     case_of(chain(ops.Sigmoid(), loss=ls.Dice()), target=ZEROS)),
    ("first_operand_forgotten", "layers.1", case_of(PAIR, layers__0__value=ZEROS)),
    ("second_operand_forgotten", "layers.1", case_of(PAIR, input=ZEROS)),
    ("output_for_input", "layers.0",
     case_of(chain(ops.Dense(2)), layers__0__weight=[[1, 0], [0, 1]], layers__0__bias=[0, 0])),
    ("channels_not_transposed", "layers.0",
     case_of(CONV, layers__0__weight=[[[1, 2, 3], [4, 5, 6]], [[4, 5, 6], [7, 8, 9]]])),
    ("weight_gradient_mirrored", "layers.0", case_of(CONV, input=[[[1] * 5, [2] * 5]])),
    ("variance_over_n_minus_one", "layers.0",
     case_of(chain(ops.LayerNorm()), input=[[1, 3], [3, 1]], layers__0__gamma=[1, 1],
             target=[[2, 2], [2, 2]])),
    ("mean_term_added", "layers.0",
     case_of(chain(ops.RMSNorm()), layers__0__gamma=[1, 1], target=[[1, -1], [2, -2]])),
    ("deviation_not_divided", "layers.0", case_of(OF_ONE, input=HALVES)),
    ("variance_for_deviation", "layers.0", case_of(OF_ONE, input=HALVES)),
    ("gain_gradient_not_normalised", "layers.0", case_of(OF_ONE, input=HALVES)),
    ("dropout_scale_twice", "layers.0",
     case_of(chain(ops.Dropout()), layers__0__mask=[[False, False], [False, False]])),
    ("scale_dropped_for_both", "layers.1",
     case_of(QKV, layers__0__value=[[[1, 2], [1, 2], [1, 2]]], target=[[[1, 0], [2, 0], [3, 0]]])),
    ("scale_applied_twice", "layers.1",
     case_of(QKV, layers__0__value=[[[1, 2], [1, 2], [1, 2]]], target=[[[1, 0], [2, 0], [3, 0]]])),
    ("attention_weights_not_transposed", "layers.1", case_of(SELF, input=[[[1, 2]] * 3])),
    ("attention_sum_dropped", "layers.1",
     case_of(SELF, input=[[[1, 2]] * 3], layers__0__value=[[[1, 0], [-1, 0], [0, 0]]])),
    ("positions_turned_on", "layers.0",
     case_of(chain(ops.Rotary(), input=(1, 2, 2)), target=[[[1, 2], [0, 0]]])),
    ("not_through_time", "layers.0", case_of(RNN, layers__0__hidden_weight_0=ZEROS)),
    ("carried_state_dropped", "layers.0",
     case_of(LSTM, layers__0__input_bias_0=[0, 0, -1000, -1000, 0, 0, 0, 0])),
    ("reset_gate_held_constant", "layers.0",
     case_of(GRU, layers__0__input_bias_0=[1000, 1000, 0, 0, 0, 0])),
    ("state_s_slope_omitted", "layers.0",
     case_of(chain(ops.RNN(2, activation="relu"), input=(1, 3, 2)),
             layers__0__hidden_weight_0=ONES, layers__0__input_bias_0=[50, 50])),
    ("penalty_taken_for_the_other", "penalties.0",
     case_of(network(ops.Dense(2), input=(2, 2), penalties=(ls.L2(0.25),)),
             layers__0__weight=[[1, -1], [-1, 1]])),
)  # fmt: skip
"""The same of what people write by hand: formulas, counts and signs."""

EQUIVALENT += BY_HAND


def gradients(case: Case, planted: Any = None) -> Any:
    with np.errstate(all="ignore"):
        return reference.value_and_gradients(case, planted)[1]


@pytest.mark.parametrize(
    ("name", "site", "case"), EQUIVALENT, ids=[name for name, _, _ in EQUIVALENT]
)
def test_where_a_fault_says_that_it_cannot_show_it_changes_nothing(
    name: str, site: str, case: Case
) -> None:
    """Not a bit, or nothing beyond what rounding does to terms that cancel."""
    fault = BY_NAME[name]
    assert fault.hidden
    planted = overrides(fault, case.architecture, site)
    right, wrong = gradients(case), gradients(case, planted)
    if name in BUT_FOR_ROUNDING:
        noise = rounding.measure(case, seed=1, normwise=True)
        for tensor, g in right.items():
            assert (np.abs(g - wrong[tensor]) <= allowed_in_entries(noise, tensor, ALPHA)).all()
    else:
        assert all(np.array_equal(g, wrong[tensor]) for tensor, g in right.items())


BUT_FOR_ROUNDING = {
    "variance_term_dropped", "means_over_the_wrong_axis", "scale_dropped_for_queries",
    "mean_term_added", "scale_dropped_for_both", "scale_applied_twice",
}  # fmt: skip
"""Those whose reason is a sum of 0, which rounds."""

GENERIC = [
    row for row in EQUIVALENT
    if BY_NAME[row[0]].kind not in ("tie", "numerics") and row[2].dtype == "float64"
]  # fmt: skip
"""Those that need neither ties nor the ends of a range."""


@pytest.mark.parametrize(("name", "site", "case"), GENERIC, ids=[name for name, _, _ in GENERIC])
def test_and_it_shows_for_other_values_unless_the_network_is_why(
    name: str, site: str, case: Case
) -> None:
    fault, a = BY_NAME[name], case.architecture
    planted = overrides(fault, a, site)
    lanes: tuple[Lane, ...] = ("generic", "extreme")
    drawn = [draw_case(a, seed, lane) for seed in range(4) for lane in lanes]
    shown = any(
        not np.array_equal(g, gradients(other, planted)[tensor])
        for other in drawn
        for tensor, g in gradients(other).items()
    )
    assert shown != (name in OF_THE_NETWORK)


OF_THE_NETWORK = {
    "bias_gradient_zero",
    "softmax_along_the_wrong_axis",
    "gradient_on_the_target_only",
    "label_smoothing_forgotten",
    "use_averaged",
}
"""Those of the examples above that no values can bring to light: one class, one entry."""
