"""What the mistake is: its name, else its shape, else its precision, else that it is unknown.

Both ways: what is named is right and stands first, and nothing is named that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers_networks import GRAPHS, every_loss, every_operator, network, with_room_for_faults

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, draw_case
from backproof.architectures.losses import L2
from backproof.checkers import rounding
from backproof.checkers.verdict import Subject, reference_subject
from backproof.controls import shows
from backproof.diagnosis import Cause, diagnose, in_words
from backproof.diagnosis.dictionary import with_fault
from backproof.diagnosis.evidence import Evidence, Further, gather, of_another_batch
from backproof.diagnosis.precision import significant_bits
from backproof.planting import BY_NAME, planted, planted_in
from backproof.reference import network as networks
from backproof.reference.arrays import Array
from backproof.reference.faults import in_dense
from backproof.reference.faults.catalogue import FAULTS, Fault, overrides, sites
from backproof.reference.faults.fault import layers

A = network(ops.Dense(4), ops.Tanh(), ops.Dense(3), input=(4, 5), penalties=(L2(0.25),))
CASE = draw_case(A, 1)
SQUARE = draw_case(network(ops.Dense(4), ops.Sigmoid(), ops.Dense(4), input=(5, 4)), 2)
W = "layers.0.weight"
Gradients = Mapping[str, Any]


def changed(change: Callable[[Case, dict[str, Array]], Gradients]) -> Subject:
    """The reference, with its gradients changed."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {**gradients, **change(case, dict(gradients))}

    return subject


def one(tensor: str, change: Callable[[Array], Any]) -> Subject:
    """The reference, with one tensor's gradient changed."""
    return changed(lambda case, g: {tensor: change(g[tensor])})


def parameters_alone(subject: Subject) -> Subject:
    """A subject that gives no gradient but the parameters'."""

    def alone(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = subject(case)
        return loss, {n: gradients[n] for n in case.parameters}

    return alone


def shape(case: Case, subject: Subject, tensor: str = "") -> Cause:
    """The one cause that is found without the dictionary."""
    (cause,) = diagnose(case, subject, tensor, faults=())
    return cause


# --- names -------------------------------------------------------------------------------


def a_sample() -> Iterator[tuple[Fault, Architecture, str]]:
    """Every fourth fault at a place where it shows, each operator's networks in turn."""
    zoo = [A, *with_room_for_faults(), *GRAPHS.values(), *every_operator(), *every_loss()]
    for k, fault in enumerate(f for f in FAULTS if not f.convention):
        if k % 4:
            continue
        place = next(
            ((a, s) for a in zoo for s in sites(a) if fault.applies(a, s) and visible(fault, a, s)),
            None,
        )
        if place is not None:
            yield fault, *place


def visible(fault: Fault, a: Architecture, site: str) -> bool:
    case = draw_case(a, 1)
    noise = rounding.measure(case, normwise=True)
    return not noise.overflows and shows(case, reference_subject(case)[1], fault, site, noise)


SAMPLE = list(a_sample())
of_the_sample = pytest.mark.parametrize(
    "fault, a, site", SAMPLE, ids=[f"{f.name}-{s}" for f, _, s in SAMPLE]
)


def the_same(one: tuple[Fault, str], other: tuple[str, str], a: Architecture) -> bool:
    """Whether two faults come to the same in a network, by twelve fresh draws of its values."""
    return all(
        all(there.same(n, w[n]) for n in there.names if n != "loss")
        for seed in range(12)
        if (there := gather(draw_case(a, 1000 + seed), planted(*one))) is not None
        for w in [with_fault(there, (BY_NAME[other[0]], other[1]))]
    )


def test_the_sample_is_of_some_size() -> None:
    assert len(SAMPLE) >= 25
    assert len({site.split(".")[0] for _, _, site in SAMPLE}) >= 3


@of_the_sample
def test_a_fault_is_named(fault: Fault, a: Architecture, site: str) -> None:
    """First, or after one that comes to the same in this network."""
    causes = diagnose(draw_case(a, 1), planted(fault, site))
    assert (fault.name, site) in {(c.name, c.site) for c in causes}
    first = causes[0]
    assert first.kind == "fault"
    assert (first.name, first.site) == (fault.name, site) or the_same(
        (fault, site), (first.name, first.site), a
    )


@of_the_sample
def test_a_fault_that_the_dictionary_lacks_is_not_given_another_s_name(
    fault: Fault, a: Architecture, site: str
) -> None:
    """But for one that gives the same gradients for whatever values."""
    others = [other for other in FAULTS if other is not fault]
    for cause in diagnose(draw_case(a, 1), planted(fault, site), faults=others):
        assert cause.kind != "fault" or the_same((fault, site), (cause.name, cause.site), a)


@pytest.mark.parametrize("name, site", [
    ("gradient_averaged", "layers.0"), ("last_contribution_only", "layers.2"),
    ("bias_gradient_zero", "layers.0"), ("derivative_at_the_output", "layers.1"),
    ("upstream_dropped", "layers.1"), ("divided_by_outputs", "loss"),
    ("penalty_missing", "penalties.0"), ("weight_updated_first", "layers.2"),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_fault_is_named_in_either_dtype_and_by_the_parameters_alone(
    name: str, site: str, dtype: DType, alone: bool
) -> None:
    subject = planted(BY_NAME[name], site)
    causes = diagnose(draw_case(A, 1, dtype=dtype), parameters_alone(subject) if alone else subject)
    assert (causes[0].kind, causes[0].name, causes[0].site) == ("fault", name, site)


def test_a_gradient_that_is_missing_is_one_that_is_none() -> None:
    def without(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {n: g for n, g in gradients.items() if n != "layers.2.bias"}

    cause = diagnose(CASE, without)[0]
    assert (cause.name, cause.site) == ("bias_gradient_missing", "layers.2")


def test_a_fault_that_shows_at_few_values_is_confirmed_close_by() -> None:
    """No index is repeated in the draws made anew, as it is in this one."""
    a = Architecture(None, (ops.Embedding(1000, 2, (2, 2)),), ls.WeightedSum())
    fault = BY_NAME["repeated_index_overwritten"]
    indices = np.array([[3, 3], [5, 7]])
    case = replace(draw_case(a, 0), data={"layers.0.indices": indices})
    fresh = [there for there in list(Further(case, planted(fault, "layers.0")))[:4] if there.wrong]
    assert not fresh
    assert diagnose(case, planted(fault, "layers.0"))[0].name == fault.name


def test_a_fault_of_code_that_overflows_is_named_where_it_does() -> None:
    a = network(ops.Dense(3), ops.Softplus(), loss=ls.SquaredError())
    nan = [f for f in FAULTS if f.number == 36]
    found = 0
    for fault in nan:
        for site in ("layers.1", "loss"):
            if not fault.applies(a, site):
                continue
            for dtype in ("float64", "float32"):
                case = draw_case(a, 5, "extreme", dtype)  # saturated
                causes = diagnose(case, planted(fault, site))
                if causes:
                    found += 1
                    assert (fault.name, site) in {(c.name, c.site) for c in causes}
    assert found or not any(f.applies(a, s) for f in nan for s in ("layers.1", "loss"))


def test_several_that_come_to_the_same_are_ranked_by_their_weight() -> None:
    """By the parameters alone an error of the loss is one of what comes before it."""
    subject = parameters_alone(planted(BY_NAME["relative_error_1e_4"], "loss"))
    causes = diagnose(CASE, subject)
    assert "loss" in {c.site for c in causes} and len(causes) > 1
    weights = [BY_NAME[c.name].weight for c in causes]
    assert weights == sorted(weights, reverse=True)


def test_of_equals_the_one_that_makes_the_first_wrong_tensor_is_first() -> None:
    """A twin of a fault at another site, which comes to the same by design."""
    twin = Fault(
        "twin", "a twin", None, BY_NAME["bias_gradient_zero"].weight,
        BY_NAME["bias_gradient_zero"].applies, BY_NAME["bias_gradient_zero"].plant,
        kind="missing", shows="where a layer has a bias",
    )  # fmt: skip
    case = draw_case(A, 3)
    causes = diagnose(case, planted(twin, "layers.2"), faults=[*FAULTS, twin])
    assert {c.site for c in causes} == {"layers.2"}
    assert {c.name for c in causes} == {"twin", "bias_gradient_zero"}


def test_mistakes_that_agree_for_one_size_part_for_another() -> None:
    """With as many outputs as examples, a mean over either is the same; not with one more."""
    case = draw_case(network(ops.Dense(4), ops.Dense(3), input=(3, 5)), 1)

    def over_outputs(case: Case, g: Gradients) -> Gradients:
        units = case.architecture.edges["layers.0.output"][-1] - 1  # three, whatever the batch
        return {n: g[n] / units for n in ("layers.0.weight", "layers.0.bias")}

    subject = changed(over_outputs)
    there = of_another_batch(case, subject)
    assert there is not None and there.case.architecture.input == (4, 5)
    assert all(c.name != "gradient_averaged" for c in diagnose(case, subject))
    averaged = diagnose(case, planted(BY_NAME["gradient_averaged"], "layers.0"))
    assert averaged[0].name == "gradient_averaged"


def test_mistakes_that_agree_for_small_values_part_for_large_ones() -> None:
    """A gradient below 1 that is cast to whole numbers is zero, as a missing one is."""
    a = network(ops.Dense(2), ops.Affine(0.01), input=(1, 2))
    case = draw_case(a, 3)
    of_cosine = draw_case(network(ops.Dense(4), loss=ls.Cosine(), input=(1, 3)), 3)
    cast = planted(BY_NAME["weight_gradient_truncated"], "layers.0")
    assert not cast(case)[1][W].any()
    assert [c.name for c in diagnose(case, cast)] == ["weight_gradient_truncated"]
    missing = planted(BY_NAME["weight_gradient_zero"], "layers.0")
    assert [c.name for c in diagnose(case, missing)][:1] == ["weight_gradient_zero"]
    others = [f for f in FAULTS if f.name != "weight_gradient_truncated"]
    assert all(c.kind != "fault" for c in diagnose(case, cast, faults=others))
    others = [f for f in FAULTS if f.name != "weight_gradient_zero"]
    assert all(c.kind != "fault" for c in diagnose(of_cosine, missing, faults=others))


def test_what_a_draw_does_not_show_it_does_not_confirm() -> None:
    """A fault without effect on any further draw gets no name, fit as it may."""
    calls = 0

    def once(case: Case) -> tuple[Array, Mapping[str, Array]]:
        nonlocal calls
        calls += 1
        right = reference_subject(case)
        return planted(BY_NAME["bias_gradient_zero"], "layers.2")(case) if calls == 1 else right

    assert all(c.kind != "fault" for c in diagnose(CASE, once))


def test_a_subject_that_fails_on_other_values_is_not_named_by_one_alone() -> None:
    calls = 0

    def once(case: Case) -> tuple[Array, Mapping[str, Array]]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError("only once")
        return planted(BY_NAME["bias_gradient_zero"], "layers.2")(case)

    (cause,) = diagnose(CASE, once)
    assert (
        cause.kind == "shape" and cause.words == "the gradient of layers.2.bias is zero throughout"
    )


def test_what_the_subject_raises_is_raised() -> None:
    def broken(case: Case) -> tuple[Array, Mapping[str, Array]]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        diagnose(CASE, broken)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lane", ["generic", "tie", "extreme", "exact"])
def test_right_code_has_no_cause(dtype: DType, lane: Any) -> None:
    for a in (A, *list(GRAPHS.values())[:4]):
        assert diagnose(draw_case(a, 2, lane, dtype), reference_subject) == ()


def test_right_code_in_another_order_of_summation_has_no_cause() -> None:
    def in_float64(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = networks.value_and_gradients(rounding.promote(case))
        return np.asarray(loss, np.float32), {n: g.astype(np.float32) for n, g in gradients.items()}

    assert diagnose(draw_case(A, 1, dtype="float32"), in_float64) == ()


def test_an_unknown_mistake_gets_no_name() -> None:
    """Smooth functions of the right gradient and of the values, drawn at random."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        amount, bend, mix = rng.uniform(0.01, 1), rng.uniform(0.5, 3), rng.normal(size=3)
        a = [A, SQUARE.architecture][seed % 2]

        def wrong(
            case: Case,
            g: Gradients,
            amount: float = amount,
            bend: float = bend,
            mix: Array = mix,
        ) -> Gradients:
            w = g[W]
            off = mix[0] * np.sin(bend * w) + mix[1] * w**2 + mix[2] * np.tanh(case.parameters[W])
            return {W: w + amount * off}

        for subject in (changed(wrong), parameters_alone(changed(wrong))):
            (cause,) = diagnose(draw_case(a, seed), subject)
            assert cause.kind == "unknown", cause
            assert str(cause) == "no known fault gives these gradients"


def test_a_fault_with_another_besides_gets_no_name() -> None:
    fault = planted(BY_NAME["bias_gradient_zero"], "layers.2")

    def two(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, g = fault(case)
        return loss, {**g, W: g[W] + 0.1 * np.sin(g[W])}

    assert all(c.kind != "fault" for c in diagnose(CASE, two))


@pytest.mark.parametrize("name, key, words", [
    ("last_contribution_only", "bias",
     "the parameters' gradient overwritten (=) where it should accumulate (+=), of the bias alone"),
    ("gradient_averaged", "weight",
     "the parameters' gradient averaged over the batch instead of summed, of the weight alone"),
])  # fmt: skip
@pytest.mark.parametrize("alone", [False, True])
def test_a_fault_of_one_parameter_alone_is_told_as_such(
    name: str, key: str, words: str, alone: bool
) -> None:
    """It is no fault of the catalogue, which makes it in both: its name would be wrong."""
    tensor, both = f"layers.2.{key}", planted(BY_NAME[name], "layers.2")

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, right = reference_subject(case)
        return loss, {**right, tensor: both(case)[1][tensor]}

    (cause,) = diagnose(CASE, parameters_alone(subject) if alone else subject)
    assert (cause.kind, cause.site) == ("shape", "layers.2")
    assert str(cause) == f"equals the reference with {words}, in dense at layers.2"


def test_a_fault_of_a_new_layer_kind_is_named_from_a_dictionary_that_has_it() -> None:
    """The dictionary is what it is given."""
    new = Fault(
        "cubed", "the weight's gradient cubed", None, 1,
        layers(lambda a, i, layer: isinstance(layer, ops.Dense)),
        in_dense._instead_of("weight", lambda y_bar, w_bar: w_bar**3),
        kind="argument", shows="at a dense layer",
    )  # fmt: skip
    subject = planted(new, "layers.0")
    assert all(c.kind != "fault" for c in diagnose(CASE, subject))
    (cause,) = diagnose(CASE, subject, faults=[*FAULTS, new])
    assert (cause.name, cause.site, cause.operator) == ("cubed", "layers.0", "dense")
    assert (
        str(cause) == "equals the reference with the weight's gradient cubed, in dense at layers.0"
    )


# --- shapes ------------------------------------------------------------------------------

rng = np.random.default_rng(3)
SHAPES: list[tuple[str, str, Callable[[Array], Array]]] = [
    ("zero", "zero throughout", lambda g: 0 * g),
    ("sign", "negated", lambda g: -g),
    ("factor", "2 times the right one", lambda g: 2 * g),
    ("factor", "1/3 (0.3333) times the right one", lambda g: g / 3),
    ("factor", "1.23457 times the right one", lambda g: 1.23456789 * g),
    ("factor", "1 + 1e-05 times the right one", lambda g: (1 + 1e-5) * g),
    ("transposed", "the transpose of the right one", lambda g: g.T),
    ("permuted", "the right one with its rows in the order 1, 0, 2, 3", lambda g: g[[1, 0, 2, 3]]),
    ("permuted", "the right one with its columns in the order 3, ..., 0 (reversed)",
     lambda g: g[:, ::-1]),
    ("permuted", "the right one with its columns in the order 1, 2, ... (rolled by 1 of 4)",
     lambda g: np.roll(g, -1, 1)),
    ("offset", "the right one plus the same number in every entry", lambda g: g - g.mean()),
    ("entries", "wrong in row 1, and zero there",
     lambda g: np.where(np.arange(4)[:, None] == 1, 0, g)),
    ("entries", "wrong in column 2, and 2 times the right one there",
     lambda g: np.where(np.arange(4) == 2, 2 * g, g)),
    ("entries", "wrong at entry (0, 3) alone",
     lambda g: g + np.eye(1, 16, 3).reshape(4, 4)),
    ("entries", "wrong above the diagonal of the last two axes, which a causal mask hides, "
     "and negated there", lambda g: np.tril(g) - np.triu(g, 1)),
]  # fmt: skip


@pytest.mark.parametrize("name, words, change", SHAPES, ids=[words for _, words, _ in SHAPES])
def test_a_shape_is_said(name: str, words: str, change: Callable[[Array], Array]) -> None:
    cause = shape(SQUARE, one(W, change), W)
    assert (cause.kind, cause.name) == ("shape", name)
    assert cause.words == f"the gradient of {W} is {words}"


@pytest.mark.parametrize("name, words, change", SHAPES, ids=[words for _, words, _ in SHAPES])
def test_a_shape_is_said_in_float32_with_the_digits_that_are_known(
    name: str, words: str, change: Callable[[Array], Array]
) -> None:
    fewer = {
        "1/3 (0.3333) times the right one": "0.3333 times the right one",
        "1.23457 times the right one": "1.235 times the right one",
    }
    case = draw_case(SQUARE.architecture, 2, dtype="float32")
    cause = shape(case, one(W, lambda g: change(g).astype(g.dtype)), W)
    if words.startswith("1 + 1e-05"):  # less than its rounding could move the factor by
        assert cause.kind == "unknown"
        return
    assert cause.words == f"the gradient of {W} is {fewer.get(words, words)}"


@pytest.mark.parametrize("name, words, change", SHAPES, ids=[words for _, words, _ in SHAPES])
def test_a_shape_is_not_said_of_what_is_off_from_it(
    name: str, words: str, change: Callable[[Array], Array]
) -> None:
    """By one part in 10^6 of the largest entry, in every entry by another amount."""

    def near(g: Array) -> Array:
        moved = change(g)
        off = 1e-6 * np.abs(g).max() * np.cos(np.arange(g.size)).reshape(g.shape)
        return np.asarray(moved + off)

    assert words not in shape(SQUARE, one(W, near), W).words


@pytest.mark.parametrize("name, words, change", SHAPES, ids=[words for _, words, _ in SHAPES])
def test_a_shape_that_does_not_come_back_is_none(
    name: str, words: str, change: Callable[[Array], Array]
) -> None:
    """On other values the subject is wrong in another way."""
    first = SQUARE.parameters[W]

    def wrong(case: Case, g: Gradients) -> Gradients:
        here = np.array_equal(case.parameters[W], first)
        return {W: change(g[W]) if here else g[W] + 0.3 * np.sin(3 * g[W])}

    assert words not in shape(SQUARE, changed(wrong), W).words


def test_a_multiple_of_the_parameter_is_decay() -> None:
    subject = changed(lambda case, g: {W: g[W] + 0.01 * case.parameters[W]})
    cause = shape(CASE, subject, W)
    assert cause.name == "decay"
    assert cause.words == (
        f"the gradient of {W} is the right one plus 0.01 times the parameter itself"
    )
    other = changed(lambda case, g: {W: g[W] + 0.01 * case.parameters[W] ** 3})
    assert shape(CASE, other, W).kind == "unknown"


def test_a_pattern_by_a_value() -> None:
    """Where the activation is negative, wherever that is for other values."""
    edge = "layers.0.output"

    def wrong(case: Case, g: Gradients) -> Gradients:
        y = networks.forward(case).edges[edge]
        return {edge: np.where(y < 0, 0.1 * g[edge], g[edge])}

    cause = shape(CASE, changed(wrong), edge)
    assert cause.words == (
        f"the gradient of {edge} is wrong where the value itself is negative, and 1/10 (0.1) "
        "times the right one there"
    )


def test_a_gradient_before_its_sum() -> None:
    a = network(ops.Dense(3), input=(4, 5))
    case = draw_case(a, 1)

    def wrong(case: Case, g: Gradients) -> Gradients:
        return {"layers.0.bias": g["layers.0.output"]}

    cause = shape(case, changed(wrong), "layers.0.bias")
    assert cause.words == "the gradient of layers.0.bias is not summed over axis 0, of 4"
    turned = shape(case, one("layers.0.weight", np.transpose), "layers.0.weight")
    assert turned.words == "the gradient of layers.0.weight is the transpose of the right one"
    flat = shape(case, one("layers.0.weight", np.ravel), "layers.0.weight")
    assert (
        flat.words.endswith("is of shape (15,), and must be of (3, 5)") or "must be" in flat.words
    )


def test_a_gradient_that_is_not_finite_says_where() -> None:
    cause = shape(SQUARE, one(W, lambda g: np.where(np.arange(4) == 2, np.nan, g)), W)
    assert cause.words == f"the gradient of {W} is not finite in column 2"
    everywhere = shape(SQUARE, one(W, lambda g: g * np.inf), W)
    assert everywhere.words == f"the gradient of {W} is not finite anywhere"


def test_a_loss_that_is_wrong_has_a_shape_and_no_name() -> None:
    def doubled(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return 2 * loss, gradients

    (cause,) = diagnose(CASE, doubled, "loss")
    assert cause.words == "the loss is 2 times the right one"

    def with_a_fault(case: Case) -> tuple[Array, Mapping[str, Array]]:
        return 2 * doubled(case)[0], planted(BY_NAME["bias_gradient_zero"], "layers.2")(case)[1]

    assert all(c.kind != "fault" for c in diagnose(CASE, with_a_fault))


def test_the_first_wrong_tensor_is_described_where_none_is_named() -> None:
    subject = changed(lambda case, g: {W: 2 * g[W], "layers.2.bias": -g["layers.2.bias"]})
    assert shape(CASE, subject).words == "the gradient of layers.2.bias is negated"
    assert shape(CASE, subject, W).words == f"the gradient of {W} is 2 times the right one"


# --- precision ---------------------------------------------------------------------------


def test_significant_bits_are_those_that_hold_every_entry() -> None:
    assert significant_bits(np.array([0.0, 1.0, -4.0])) == 1
    assert significant_bits(np.array([1.0, 3.0])) == 2
    assert significant_bits(np.array([1 + 2.0**-10])) == 11
    assert significant_bits(np.array([1 / 3])) in (52, 53)


@pytest.mark.parametrize("words, narrow", [
    ("the right one rounded to 24 bits, those of float32", np.float32),
    ("the right one rounded to 11 bits, those of float16", np.float16),
])  # fmt: skip
def test_a_gradient_held_in_a_narrower_format(words: str, narrow: Any) -> None:
    cause = shape(SQUARE, one(W, lambda g: g.astype(narrow).astype(g.dtype)), W)
    assert (cause.kind, cause.words) == ("precision", f"the gradient of {W} is {words}")


def test_a_gradient_cast_to_whole_numbers() -> None:
    case = draw_case(SQUARE.architecture, 2)
    cause = shape(case, one(W, lambda g: np.trunc(100 * g) / 100), W)
    assert "whole" not in cause.words
    cause = shape(case, changed(lambda case, g: {W: np.trunc(g[W])}), W)
    assert cause.words == f"the gradient of {W} is the right one cast to whole numbers"


def test_a_coarser_precision_on_the_way() -> None:
    """Inputs and cotangents held in 11 bits, their product summed in full."""

    def wrong(case: Case, g: Gradients) -> Gradients:
        x = np.asarray(case.input).astype(np.float16).astype(np.float64)
        y_bar = g["layers.0.output"].astype(np.float16).astype(np.float64)
        return {W: y_bar.T @ x}

    cause = shape(SQUARE, changed(wrong), W)
    assert cause.kind == "precision"
    (bits,) = [int(word) for word in cause.words.split() if word.isdigit()]
    assert 10 <= bits <= 14, cause


def test_a_formula_that_is_slightly_wrong_is_no_precision() -> None:
    """Its errors are as small as rounding's, but the same for values close by."""

    def off_by(size: float) -> Subject:
        return changed(lambda case, g: {W: g[W] + size * np.sin(7 * g[W])})

    for size in (1e-2, 1e-4, 1e-6):
        assert shape(CASE, off_by(size), W).kind == "unknown"


# --- words -------------------------------------------------------------------------------


def test_causes_are_told_in_one_sentence_three_at_most() -> None:
    causes = [Cause("fault", f"f{i}", f"mistake {i}", "layers.0", "dense") for i in range(5)]
    assert in_words(()) == ""
    assert in_words(causes[:1]) == "equals the reference with mistake 0, in dense at layers.0"
    assert in_words(causes).count("; or it equals") == 2
    assert in_words(causes).endswith("(and 2 more)")
    assert str(Cause("fault", "f", "a wrong sum", "fan_out")) == (
        "equals the reference with a wrong sum, in fan_out"
    )


def test_evidence_knows_what_is_wrong_first() -> None:
    there = gather(
        CASE, changed(lambda case, g: {W: 2 * g[W], "layers.1.output": -g["layers.1.output"]})
    )
    assert isinstance(there, Evidence)
    assert there.wrong == ("layers.1.output", W)


# --- an operator that is wrong wherever it stands -------------------------------------------

DEEP = network(ops.Dense(4), ops.Tanh(), ops.Dense(3), ops.Tanh(), ops.Dense(2), input=(4, 5))


@pytest.mark.parametrize("name, operator", [
    ("square_forgotten", "tanh"), ("bias_gradient_zero", "dense"), ("plus_for_minus", "tanh"),
])  # fmt: skip
def test_a_mistake_in_an_operator_s_code_is_named_at_all_its_sites(
    name: str, operator: str
) -> None:
    fault = BY_NAME[name]
    for give in (parameters_alone, lambda subject: subject):
        cause, *_ = diagnose(draw_case(DEEP, 1), give(planted_in(fault, operator)))
        assert (cause.kind, cause.name, cause.operator) == ("fault", name, operator)
        assert str(cause) == f"equals the reference with {fault.summary}, in every {operator}"


def test_one_that_is_made_at_one_of_several_sites_is_named_there() -> None:
    cause, *_ = diagnose(draw_case(DEEP, 1), planted(BY_NAME["square_forgotten"], "layers.3"))
    assert str(cause).endswith(", in tanh at layers.3")


def test_two_mistakes_at_two_sites_are_not_named_as_one_at_all() -> None:
    a, one, two = DEEP, BY_NAME["square_forgotten"], BY_NAME["plus_for_minus"]
    both = {**overrides(one, a, "layers.1"), **overrides(two, a, "layers.3")}

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        return networks.value_and_gradients(case, both)

    assert all(cause.kind != "fault" for cause in diagnose(draw_case(a, 1), subject))
