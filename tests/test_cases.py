"""Cases: values from a seed, tensor by tensor, and values that somebody gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_networks import (
    GRAPHS,
    SMALL,
    every_activation,
    every_loss,
    every_operator,
    network,
    several_edges,
)
from hypothesis import given
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import (
    DTYPES,
    EXTREMES,
    LANES,
    Case,
    Lane,
    draw_case,
    make_case,
    stream,
    target_name,
)
from backproof.architectures.generation import Limits, architectures
from backproof.architectures.targets import target_shape

Array = npt.NDArray[Any]
BIG = network(ops.Dense(16), ops.PReLU(shared=False), ops.Dense(16), input=(16, 16))


def tensors(case: Case) -> Iterator[tuple[str, Array]]:
    """Every array of a case by its name."""
    if case.input is not None:
        yield "input", case.input
    for site, target in case.targets.items():
        yield target_name(site), target
    yield from case.parameters.items()
    yield from case.data.items()


def own_input(case: Case) -> Array:
    """The input of a case that has one."""
    assert case.input is not None
    return case.input


def same(a: Case, b: Case) -> bool:
    pairs = zip(tensors(a), tensors(b), strict=True)
    return all(n == m and np.array_equal(x, y) for (n, x), (m, y) in pairs)


# --- streams -----------------------------------------------------------------------------


@given(architectures(Limits()), st.integers(0, 2**64), st.sampled_from(LANES))
def test_the_same_seed_gives_the_same_case(a: Any, seed: int, lane: Lane) -> None:
    assert same(draw_case(a, seed, lane), draw_case(a, seed, lane))


def test_another_seed_gives_other_values_in_every_tensor() -> None:
    one, other = draw_case(BIG, 1), draw_case(BIG, 2)
    for (_, x), (_, y) in zip(tensors(one), tensors(other), strict=True):
        assert not np.array_equal(x, y)


def test_a_stream_belongs_to_its_seed_and_name() -> None:
    def first(seed: int, name: str) -> float:
        return float(stream(seed, name).normal())

    assert first(1, "input") == first(1, "input")
    assert len({first(s, n) for s in (1, 2, 11) for n in ("input", "target", "1/input")}) == 9


def test_deleting_a_layer_leaves_the_values_of_those_before_it() -> None:
    """A stream's name carries the layer's index, so those behind it move up."""
    layers = (ops.Dense(4), ops.Tanh(), ops.Dense(4), ops.Sigmoid(), ops.Dense(4))
    whole, cut = draw_case(network(*layers), 7), draw_case(network(*layers[:3]), 7)
    assert set(cut.parameters) < set(whole.parameters)
    for name, value in tensors(cut):
        assert np.array_equal(value, dict(tensors(whole))[name])


def test_another_loss_or_penalty_leaves_every_weight() -> None:
    with_other_loss = draw_case(network(ops.Dense(4), loss=ls.CrossEntropy()), 7)
    plain = draw_case(network(ops.Dense(4), penalties=(ls.L2(0.5),)), 7)
    assert np.array_equal(own_input(plain), own_input(with_other_loss))
    for name, value in plain.parameters.items():
        assert np.array_equal(value, with_other_loss.parameters[name])


def test_both_dtypes_hold_the_same_numbers_to_rounding() -> None:
    for lane in LANES:
        wide, narrow = draw_case(BIG, 3, lane), draw_case(BIG, 3, lane, "float32")
        for (_, x), (_, y) in zip(tensors(wide), tensors(narrow), strict=True):
            assert np.array_equal(x.astype(np.float32), y)


# --- lanes -------------------------------------------------------------------------------


def test_generic_weights_are_scaled_by_their_fan_in_and_nothing_is_zero() -> None:
    case = draw_case(network(ops.Dense(64), ops.PReLU(shared=False), input=(64, 64)), 1)
    spread = case.parameters["layers.0.weight"].std() * np.sqrt(64)
    assert spread == pytest.approx(1, abs=0.06)  # 4 standard errors of 4,096 draws: 0.044
    assert abs(case.parameters["layers.1.slope"].mean() - 0.25) < 0.05  # of 64 draws: 0.05
    assert all((x != 0).all() for _, x in tensors(case))


def test_exact_values_are_small_dyadic_numbers() -> None:
    case = draw_case(BIG, 1, "exact")
    for name, value in tensors(case):
        if not name.endswith(("bias", "slope")):
            assert set(np.unique(value)) <= {-2.0, -1.0, 1.0, 2.0}
        assert ((value * 2**8) % 1 == 0).all()
    assert set(np.unique(case.parameters["layers.1.slope"])) <= {0.25, 0.5, 0.75}


def test_tie_values_are_small_integers_with_zeros_and_duplicates() -> None:
    case = draw_case(BIG, 1, "tie")
    assert set(np.unique(own_input(case))) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert set(np.unique(case.parameters["layers.1.slope"])) <= {0.25, 0.5}


@pytest.mark.parametrize("kind", EXTREMES)
def test_extreme_values_are_what_their_name_says(kind: str) -> None:
    seed = 10 * len(EXTREMES) + EXTREMES.index(kind)
    plain, case = draw_case(BIG, seed), draw_case(BIG, seed, "extreme")
    x, drawn = own_input(case), own_input(plain)
    weight = case.parameters["layers.0.weight"]
    match kind:
        case "saturated":
            assert np.array_equal(x, 16 * drawn)
        case "tiny":
            assert np.array_equal(weight, 2.0**-30 * plain.parameters["layers.0.weight"])
        case "huge":
            assert np.array_equal(x, 2.0**20 * drawn)
            assert np.array_equal(weight, plain.parameters["layers.0.weight"])
        case "mixed":
            ratio = np.log2(np.abs(x / drawn))
            assert ratio.min() < -15
            assert ratio.max() > 5
        case "offset":
            assert x.mean() == pytest.approx(1000, abs=1)
    slope = case.parameters["layers.1.slope"]
    assert np.array_equal(slope, plain.parameters["layers.1.slope"])


@pytest.mark.parametrize("kind", ["huge", "offset"])
def test_what_stands_in_for_an_input_is_extreme_like_one(kind: str) -> None:
    """Where a network has no input: the values of its variables, the weights of its embeddings."""
    seed = EXTREMES.index(kind)

    def values(a: Any, lane: Lane) -> dict[str, Array]:
        return dict(tensors(draw_case(a, seed, lane)))

    def moved(x: Array) -> Array:
        return 2.0**20 * x if kind == "huge" else x + 1000

    a = GRAPHS["no input"]
    plain, drawn = values(a, "generic"), values(a, "extreme")
    for name in a.parameters:  # `layers.0.weight` and `layers.1.value`
        assert np.array_equal(drawn[name], moved(plain[name]))
    assert np.array_equal(drawn["target"], plain["target"])
    a = GRAPHS["an unrolled recurrence"]
    plain, drawn = values(a, "generic"), values(a, "extreme")
    assert np.array_equal(drawn["layers.0.value"], plain["layers.0.value"])
    assert np.array_equal(drawn["input"], moved(plain["input"]))


# --- what every case is ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lane", LANES)
def test_arrays_have_their_shapes_and_dtype_and_cannot_be_written(lane: Any, dtype: Any) -> None:
    for a in (*every_activation(), *every_operator(), *every_loss(), *GRAPHS.values()):
        case = draw_case(a, 5, lane, dtype)
        assert (case.architecture, case.lane, case.dtype, case.seed) == (a, lane, dtype, 5)
        shapes = {**a.parameters, "input": a.input, **{n: d.shape for n, d in a.data.items()}}
        for site, loss in a.losses.items():
            y = a.edges[a.loss_sources[site][0]]
            shapes[target_name(site)] = target_shape(loss, y)
        for name, value in tensors(case):
            given = name in a.data or name.endswith("target")
            assert value.shape == shapes[name]
            assert str(value.dtype) == dtype or (given and value.dtype in (np.int64, np.bool_))
            assert np.isfinite(value).all()
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0


@given(st.integers(0, 2**32), st.sampled_from(LANES))
def test_targets_suit_their_loss(seed: int, lane: Lane) -> None:
    for a in every_loss():
        case = draw_case(a, seed, lane)
        target = case.target
        match a.loss:
            case ls.CrossEntropy(target="probabilities") | ls.KLDivergence(log_target=False):
                assert target.sum(axis=-1) == pytest.approx(1)
                assert (target >= 0).all()
            case ls.KLDivergence():
                assert (target <= 0).all()
                assert np.exp(target).sum(axis=-1) == pytest.approx(1)
            case ls.TripletMargin() | ls.GaussianKL():
                assert not case.targets
            case ls.CTC(labels, blank):
                assert target.shape == (a.batch, labels)
                assert (target != blank).all()
            case (
                ls.BinaryCrossEntropy() | ls.BinaryCrossEntropyWithLogits() | ls.Dice() | ls.Focal()
            ):
                assert ((target >= 0) & (target <= 1)).all()
            case ls.CrossEntropy(ignore_index=1):
                assert (target != 1).any()


# --- given values ------------------------------------------------------------------------

GIVEN = draw_case(SMALL, 1)
CLASSES = network(ops.Dense(3), loss=ls.CrossEntropy(ignore_index=1), input=(2, 2))


def make(architecture: Any = SMALL, **changes: Any) -> Case:
    drawn = draw_case(architecture, 1)
    values: dict[str, Any] = {
        "parameters": dict(drawn.parameters), "input": drawn.input, "target": drawn.targets,
        "data": drawn.data,
    }  # fmt: skip
    return make_case(architecture, **{**values, **changes})


def test_given_values_are_copied() -> None:
    x = np.ones((2, 3))
    case = make(input=x)
    x[0, 0] = 5
    assert own_input(case)[0, 0] == 1
    assert same(make(), GIVEN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": {}}, "parameters must be ['layers.0.bias', 'layers.0.weight'], got []"),
        ({"input": np.ones((3, 2))}, "input must have shape (2, 3), got (3, 2)"),
        ({"input": [[1, 2], [3]]}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": "text"}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": None}, "input must have shape (2, 3), got None"),
        ({"input": [["1", "2", "3"]] * 2}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": np.ones((2, 3), bool)}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": np.ones((2, 3), complex)}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": 1.0}, "input must have shape (2, 3), got ()"),
        ({"input": [[1, 2, None]] * 2}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": [[1, 2, float("nan")]] * 2}, "input must be finite: entry (0, 2) is not"),
        ({"input": [[1, 2, 10**400]] * 2}, "input must be an array of numbers of shape (2, 3)"),
        ({"input": [[1e300, 1, 1]] * 2, "dtype": "float32"}, "input must be finite: entry (0, 0"),
        ({"target": [[0, 1, 2, float("inf")]] * 2}, "target must be finite: entry (0, 3) is not"),
        ({"target": [0, 1]}, "target must have shape (2, 4), got (2,)"),
        ({"target": {}}, "targets must be ['loss'], got []"),
        ({"target": {"loss": 1, "auxiliary.0": 1}}, "targets must be ['loss'], got ['auxiliary.0'"),
        ({"data": {"layers.0.mask": 1}}, "data must be [], got ['layers.0.mask']"),
    ],
)
def test_values_that_do_not_fit_name_their_tensor(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        make(**change)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([0, 3], "target must hold class numbers from 0 to 2"),
        ([0, -1], "target must hold class numbers from 0 to 2"),
        ([0, 0.5], "target must hold class numbers from 0 to 2"),
        ([1, 1], "target holds the ignored class 1 alone; some row must count"),
        ([[0, 1, 2]] * 2, "target must have shape (2,), got (2, 3)"),
    ],
)
def test_class_numbers_that_make_no_sense_are_refused(target: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        make(CLASSES, target=target)


MASKED = network(ops.Dropout(), input=(1, 2))
CHOSEN = network(ops.Embedding(3, 2, (2,)), input=None)
STATISTICS = network(ops.BatchNorm(statistics="given"), input=(1, 2))


@pytest.mark.parametrize(
    ("architecture", "data", "words"),
    [
        (MASKED, {}, "data must be ['layers.0.mask'], got []"),
        (MASKED, {"mask": [[1, 2]]}, "layers.0.mask must hold 0 or 1"),
        (MASKED, {"mask": [1, 0]}, "layers.0.mask must have shape (1, 2), got (2,)"),
        (MASKED, {"mask": [["a", "b"]]}, "layers.0.mask must be an array of numbers of shape (1,"),
        (CHOSEN, {"indices": [0, 3]}, "layers.0.indices must hold numbers from 0 to 2"),
        (CHOSEN, {"indices": [0, -1]}, "layers.0.indices must hold numbers from 0 to 2"),
        (CHOSEN, {"indices": [0, 0.5]}, "layers.0.indices must hold numbers from 0 to 2"),
        (STATISTICS, {"mean": [0, 0], "variance": [1, 0]}, "layers.0.variance must be positive"),
        (STATISTICS, {"mean": [0, np.inf], "variance": [1, 1]}, "layers.0.mean must be finite: e"),
    ],
)
def test_data_that_do_not_fit_name_their_array(
    architecture: Any, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        make(architecture, data={f"layers.0.{name}": value for name, value in data.items()})


def test_data_are_kept_as_what_they_are() -> None:
    mask = make(MASKED, data={"layers.0.mask": [[1.0, 0.0]]}).data["layers.0.mask"]
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[True, False]]
    indices = make(CHOSEN, data={"layers.0.indices": [2.0, 0.0]}).data["layers.0.indices"]
    assert indices.dtype == np.int64
    assert indices.tolist() == [2, 0]


SPOKEN = network(ops.Dense(3), loss=ls.CTC(2), input=(2, 3, 2))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([[1, 2], [0, 1]], "target: example 1 holds the blank 0"),
        ([[1, 2], [3, 1]], "target must hold class numbers from 0 to 2"),
        ([[1, 2]], "target must have shape (2, 2), got (1, 2)"),
    ],
)
def test_labels_that_make_no_sense_are_refused(target: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        make(SPOKEN, target=target)


def test_labels_repeated_need_a_step_for_the_blank_between_them() -> None:
    assert make(SPOKEN, target=[[1, 1], [1, 2]]).target.tolist() == [[1, 1], [1, 2]]
    short = network(ops.Dense(3), loss=ls.CTC(2, input_lengths=(3, 2)), input=(2, 3, 2))
    words = "target: example 1 has 2 labels, 1 of them repeated, which need 3 steps, not 2"
    with pytest.raises(ValueError, match=f"^{words}$"):
        make(short, target=[[1, 1], [2, 2]])


def test_each_loss_has_a_target_of_its_own() -> None:
    a = GRAPHS["several losses"]
    case = draw_case(a, 1)
    assert {site: t.shape for site, t in case.targets.items()} == {
        "loss": (3,), "auxiliary.0": (3, 4), "auxiliary.1": (3, 4),
    }  # fmt: skip
    assert not np.array_equal(case.targets["auxiliary.0"], case.targets["auxiliary.1"])
    assert case.target is case.targets["loss"]


def test_a_loss_without_a_target_has_an_empty_one() -> None:
    case = draw_case(several_edges()[0], 1)
    assert case.targets == {}
    assert case.target.size == 0


def test_a_network_without_an_input_is_given_none() -> None:
    a = GRAPHS["no input"]
    drawn = draw_case(a, 1)
    assert drawn.input is None
    assert drawn.data["layers.0.indices"].dtype == np.int64
    with pytest.raises(ValueError, match=r"^input must be None: the network has none$"):
        make(a, input=np.ones((2, 2)))


def test_class_numbers_may_be_written_as_floats() -> None:
    case = make(CLASSES, target=[0.0, 2.0])
    assert case.target.dtype == np.int64
    assert case.target.tolist() == [0, 2]
