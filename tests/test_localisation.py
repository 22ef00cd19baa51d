"""The operator at fault is found, also of a subject that hides its cotangents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, draw_case, make_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers.outcome import FAN_OUT
from backproof.checkers.verdict import NUMERICAL, Subject, reference_subject, verify
from backproof.foreign import close_all, enter
from backproof.jobs import Options
from backproof.judging import judge
from backproof.localisation import Place, locate
from backproof.parts import cuts, parts
from backproof.planting import BY_NAME, hiding, planted_in
from backproof.reference import network
from backproof.subjects.capabilities import Capabilities, Unsupported
from backproof.subjects.python import PythonSubject

CHAIN = Architecture(
    (3, 4),
    (ops.Dense(5), ops.Tanh(), ops.Dense(4), ops.Softplus(), ops.Dense(2)),
    ls.SquaredError("mean"),
)
FORKED = Architecture(
    (3, 4),
    (
        ops.Dense(4),
        ops.GELU(),
        ops.Multiply(inputs=("layers.0.output", "layers.1.output")),
        ops.LayerNorm(),
        ops.Dense(2),
    ),
    ls.SquaredError("mean"),
    (ls.L2(0.1),),
)


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    close_all()


def without(*operators: str) -> Callable[[Subject], Subject]:
    """A subject that refuses networks with these operators or losses."""

    def limited(subject: Subject) -> Subject:
        def refusing(case: Case) -> Any:
            if set(operators) & set(case.architecture.operators):
                raise Unsupported(f"no {operators}")
            return subject(case)

        return refusing

    return limited


def parameters_alone(subject: Subject) -> Subject:
    def given(case: Case) -> Any:
        loss, gradients = subject(case)
        return loss, {n: gradients[n] for n in case.architecture.parameters}

    return given


PLACES = [
    (CHAIN, "upstream_dropped", "tanh", "layers.1"),
    (CHAIN, "upstream_dropped", "softplus", "layers.3"),
    (CHAIN, "loss_gradient_negated", "squared_error", "loss"),
    (CHAIN, "gradient_averaged", "dense", "layers.4"),
    (FORKED, "relative_error_1e_4", "layer_norm", "layers.3"),
    (FORKED, "upstream_dropped", "gelu", "layers.1"),
]


@pytest.mark.parametrize("hide", [hiding, parameters_alone], ids=["with input", "parameters"])
@pytest.mark.parametrize("a, fault, operator, site", PLACES)
def test_the_operator_is_found_by_itself(
    a: Architecture, fault: str, operator: str, site: str, hide: Callable[[Subject], Subject]
) -> None:
    case = draw_case(a, 1)
    place = locate(case, hide(planted_in(BY_NAME[fault], operator)))
    assert place is not None
    assert (place.site, place.operator) == (site, operator)


def test_the_tensor_is_the_one_that_the_operator_makes() -> None:
    subject = hiding(planted_in(BY_NAME["upstream_dropped"], "gelu"))
    place = locate(draw_case(FORKED, 1), subject)
    assert place == Place("layers.1", "gelu", "layers.1.inputs.0")


SATURATED = Architecture(
    None, (ops.Variable((1, 2)), ops.ELU(), ops.Sigmoid()), ls.BinaryCrossEntropy()
)


def test_a_small_entry_that_is_wrong_beside_a_large_one_that_is_right_is_found() -> None:
    """A clip that is ignored where sigmoid is saturated: 1e-170 beside 0.1, alone in a direction.

    Down the network the large entry vanishes, since an ELU is flat there, and the small one shows.
    """
    values = {"layers.0.value": np.array([[404.0, -1e4]])}
    case = make_case(SATURATED, values, None, np.array([[0.5, 0.5]]))
    subject = hiding(planted_in(BY_NAME["clip_ignored"], "binary_cross_entropy"))
    assert verify(case, subject, checkers=NUMERICAL).status == "FAIL"
    joined = next(part for part in parts(case) if part.site == "loss")
    assert verify(joined.case, subject, checkers=NUMERICAL).status == "PASS"
    place = locate(case, subject)
    assert place is not None
    assert (place.site, place.operator) == ("loss", "binary_cross_entropy")


def test_what_is_wrong_in_the_sum_over_uses_alone_is_no_operator_s() -> None:
    subject = hiding(planted_in(BY_NAME["use_overwritten"], FAN_OUT))
    place = locate(draw_case(FORKED, 1), subject)
    assert place is not None
    assert place.operator == FAN_OUT


def test_a_wrong_penalty_is_told_from_the_layer_whose_weight_it_spoils() -> None:
    subject = hiding(planted_in(BY_NAME["penalty_negated"], "l2"))
    assert verify(draw_case(FORKED, 1), subject, checkers=NUMERICAL).operator != "l2"
    place = locate(draw_case(FORKED, 1), subject)
    assert place is not None
    assert place.operator == "l2"


@pytest.mark.parametrize("a, fault, operator, site", PLACES[:4])
def test_a_subject_without_variables_is_cut_short_instead(
    a: Architecture, fault: str, operator: str, site: str
) -> None:
    subject = without("variable")(parameters_alone(planted_in(BY_NAME[fault], operator)))
    place = locate(draw_case(a, 1), subject)
    assert place is not None
    assert place.operator == operator
    assert place.site <= site  # the first of two dense layers that are both wrong


@pytest.mark.parametrize("a, fault, operator, site", PLACES[:2])
def test_one_with_its_own_loss_alone_is_cut_short_with_that(
    a: Architecture, fault: str, operator: str, site: str
) -> None:
    wrong = parameters_alone(planted_in(BY_NAME[fault], operator))
    place = locate(draw_case(a, 1), without("variable", "weighted_sum")(wrong))
    assert place is not None
    assert (place.operator, place.site) == (operator, site)


def test_where_that_loss_may_be_wrong_itself_nobody_is_blamed_for_it() -> None:
    """Nor where the first layer is: no edge before it was right."""
    able = without("variable", "weighted_sum")
    for fault, operator in (
        ("loss_gradient_negated", "squared_error"),
        ("gradient_averaged", "dense"),
    ):
        wrong = parameters_alone(planted_in(BY_NAME[fault], operator))
        assert locate(draw_case(CHAIN, 1), able(wrong)) is None


def test_a_subject_that_takes_the_whole_network_alone_is_left_to_the_verdict() -> None:
    wrong = parameters_alone(planted_in(BY_NAME["upstream_dropped"], "tanh"))

    def stubborn(case: Case) -> Any:
        if case.architecture != CHAIN:
            raise Unsupported("not this one")
        return wrong(case)

    assert locate(draw_case(CHAIN, 1), stubborn) is None


@pytest.mark.parametrize("tool", ["variable", "weighted_sum"])
def test_a_wrong_tool_is_found_and_blames_nothing_else(tool: str) -> None:
    a = Architecture(
        (2, 3),
        (ops.Tanh(), ops.Variable((2, 3)), ops.Add(inputs=("layers.0.output", "layers.1.output"))),
        ls.WeightedSum(),
    )
    place = locate(draw_case(a, 1), hiding(planted_in(BY_NAME["relative_error_1e_2"], tool)))
    assert place is not None
    assert place.operator == tool


@pytest.mark.parametrize("seed", range(12))
def test_right_code_is_wrong_nowhere(seed: int) -> None:
    (a,) = generate(Limits(), "generic", "float64", seed, 1)
    case = draw_case(a, seed)
    for part in parts(case):
        for every in (False, True):
            verdict = verify(part.case, reference_subject, checkers=NUMERICAL, exhaustive=every)
            assert verdict.status != "FAIL"
    for cut, _ in cuts(case):
        assert verify(cut, reference_subject, checkers=NUMERICAL).status != "FAIL"


@pytest.mark.parametrize("seed", range(12))
def test_the_parts_gradients_are_the_network_s(seed: int) -> None:
    """By the chain rule: to the rounding of the same operations, which are done alike."""
    (a,) = generate(Limits(), "generic", "float64", seed + 100, 1)
    case = draw_case(a, seed)
    with np.errstate(all="ignore"):
        _, whole = network.value_and_gradients(case)
        for part in parts(case):
            _, found = network.value_and_gradients(part.case)
            for name, there in part.names.items():
                weight = there in a.parameters and a.penalties
                if name in found and there in whole and not weight:
                    np.testing.assert_array_equal(found[name], whole[there], err_msg=there)


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_ends_at_its_layer_and_keeps_its_values(seed: int) -> None:
    (a,) = generate(Limits(), "generic", "float64", seed + 200, 1)
    case = draw_case(a, seed)
    with np.errstate(all="ignore"):
        edges = network.forward(case).edges
        for cut, i in cuts(case):
            last = network.forward(cut).edges[edge_name(len(cut.architecture.layers))]
            np.testing.assert_array_equal(last, edges[edge_name(i + 1)])


# --- in a run --------------------------------------------------------------------------


class WrongTanh:
    """Right but for tanh, of which it says nothing: it gives the gradients of parameters."""

    def describe(self) -> Capabilities:
        return Capabilities(name="wrong tanh")

    def gradients(self, case: Case) -> Any:
        return parameters_alone(planted_in(BY_NAME["upstream_dropped"], "tanh"))(case)


def test_a_run_blames_the_operator_and_not_the_parameter_below_it() -> None:
    enter("py:here", PythonSubject("py:here", WrongTanh()))
    verdict = judge(draw_case(CHAIN, 1), Options(subject="py:here"))
    assert (verdict.status, verdict.operator) == ("FAIL", "tanh")
    assert verdict.tensor == "layers.0.weight"
    assert (
        "by itself tanh at layers.1 returns a wrong gradient of layers.0.output" in verdict.reason
    )
    failing = [row.operator for row in verdict.operators if row.status == "FAIL"]
    assert failing == ["tanh"]


class WithoutMore:
    """The same for somebody whose network is dense, tanh and softplus under a squared error."""

    def describe(self) -> Capabilities:
        return Capabilities(
            name="no more", operators=("dense", "tanh", "softplus"), losses=("squared_error",)
        )

    def gradients(self, case: Case) -> Any:
        return parameters_alone(planted_in(BY_NAME["upstream_dropped"], "tanh"))(case)


def test_a_run_blames_it_without_variables_too() -> None:
    enter("py:here", PythonSubject("py:here", WithoutMore()))
    verdict = judge(draw_case(CHAIN, 1), Options(subject="py:here"))
    assert (verdict.status, verdict.operator) == ("FAIL", "tanh")
    assert verdict.reason.endswith("; tanh at layers.1 is the first that is wrong")
