"""A failure explained on one page: what is wrong, the formula, what everybody said, the cause."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers_networks import GRAPHS, every_loss, every_operator, network

from backproof import counterexample, entry_by_entry
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.checkers.checks import Check
from backproof.checkers.verdict import Verdict, reference_subject, verify
from backproof.counterexample import Found, derivation, shortened, title, write_page, written
from backproof.planting import BY_NAME, first_site, planted
from backproof.reference.pages import LAYERS, LOSSES
from backproof.short_values import with_values

ROOT = Path(__file__).parents[1]
ONE_PAGE, ONE_LINE = 80, 130
CHECKERS: Any = ("complex_step", "torch")
DENSE = network(ops.Dense(2), loss=ls.WeightedSum(), input=(2, 2))


def found(fault: str, case: Case, **more: Any) -> Found:
    subject = planted(BY_NAME[fault])
    loss, gradients = subject(case)
    verdict = verify(case, subject, checkers=CHECKERS)
    assert verdict.status == "FAIL"
    fields = {"cause": "equals the reference with a mistake", "replay": "backproof replay it.json",
              "script": "it.py", "checkers": CHECKERS}  # fmt: skip
    return Found(case, verdict, loss, gradients, f"reference+{fault}", **(fields | more))


def table(page: str) -> list[dict[str, str]]:
    """The rows of the page's table, by the heads of its columns."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_page_tells_the_whole_story() -> None:
    case = draw_case(DENSE, 1)
    page = write_page(found("gradient_averaged", case))
    assert page.startswith("# dense returns a wrong gradient of layers.0.weight\n")
    heads = [
        "Network",
        "Values",
        "What should hold",
        "What came back",
        "Likely cause",
        "See it again",
    ]
    assert re.findall(r"^## (.*)$", page, re.M) == heads
    for line in (
        "layers.0  dense(units=2)  (2, 2) -> (2, 2)   weight (2, 2), bias (2,)",
        "loss      weighted_sum    -> a number",
        "`reference/layers/dense.py`:",
        "    <y_bar, x dW^T>  = <y_bar^T x, dW>        W_bar = y_bar^T x",
        "layers.0.weight: 4 of 4 entries wrong.",
        "It equals the reference with a mistake.",
        "backproof replay it.json",
        "python it.py    (NumPy alone)",
        "subject  reference+gradient_averaged",
        "values   generic lane, float64, seed 1",
    ):
        assert line in page.splitlines()
    weight = case.parameters["layers.0.weight"]
    assert f"layers.0.weight  {written(weight)}" in page


def test_the_network_that_was_found_is_named_where_it_was_larger() -> None:
    failing = found("gradient_averaged", draw_case(DENSE, 1))
    assert "found in" not in write_page(replace(failing, origin=DENSE))
    larger = network(ops.Tanh(), ops.Dense(2))
    assert f"found in {larger}" in write_page(replace(failing, origin=larger)).splitlines()


def test_the_table_holds_what_everybody_said() -> None:
    case = draw_case(DENSE, 1)
    failing = found("gradient_averaged", case)
    rows = table(write_page(failing))
    right, wrong = planted_pair(case, "gradient_averaged")
    assert list(rows[0]) == [
        "entry", "subject", "complex step", "PyTorch", "reference", "error", "bound",
    ]  # fmt: skip
    assert [row["entry"] for row in rows] == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]
    for row, g, c in zip(rows, wrong.ravel(), right.ravel(), strict=True):
        assert float(row["subject"]) == pytest.approx(g, rel=1e-5)
        for name in ("complex step", "PyTorch", "reference"):
            assert float(row[name]) == pytest.approx(c, rel=1e-5)
        assert float(row["error"]) == pytest.approx(abs(g - c), rel=0.05)  # two digits are shown
        assert 0 < float(row["bound"]) < 1e-12


def planted_pair(case: Case, fault: str) -> tuple[Any, Any]:
    name = "layers.0.weight"
    right = reference_subject(case)[1][name]
    return right, planted(BY_NAME[fault])(case)[1][name]


def test_numerical_checkers_say_every_entry() -> None:
    checkers: Any = ("finite_differences", "complex_step", "jax", "torch")
    rows = table(write_page(found("gradient_averaged", draw_case(DENSE, 1), checkers=checkers)))
    for name in ("finite differences", "complex step", "JAX", "PyTorch"):
        assert all(
            float(row[name]) == pytest.approx(float(row["reference"]), rel=1e-4) for row in rows
        )


def test_a_small_error_has_as_many_digits_as_it_needs() -> None:
    (row, *_) = table(write_page(found("relative_error_1e_8", draw_case(DENSE, 1))))
    assert row["subject"] != row["reference"] == row["complex step"]
    assert len(row["subject"]) > 10


@pytest.mark.parametrize(
    "name", ["kernel_not_flipped", "hidden_weight_not_transposed", "variance_term_dropped",
             "softmax_diagonal_only", "windows_overwritten", "attention_diagonal_only",
             "repeated_index_overwritten", "loss_gradient_negated", "blank_left_out"],
)  # fmt: skip
def test_it_is_one_page(name: str) -> None:
    fault = BY_NAME[name]
    zoo = (*every_operator(), *every_loss())
    a = next(a for a in zoo if first_site(fault, a) is not None)
    page = write_page(found(name, draw_case(a, 1)))
    assert len(page.splitlines()) <= ONE_PAGE
    assert max(map(len, page.splitlines())) <= ONE_LINE
    (path,) = re.findall(r"^`(.*)`:$", page, re.M)
    assert (ROOT / path).is_file()
    assert page.count("```") % 2 == 0


@pytest.mark.parametrize("page", [*LAYERS.values(), *LOSSES.values()])
def test_a_derivation_is_whole_or_its_title_and_its_formulas(page: Any) -> None:
    text = shortened(page.derivation).splitlines()
    assert text[0] == page.derivation.strip().splitlines()[0]
    assert len(text) <= counterexample.MOST_LINES
    whole = "\n".join(text) == inspect.cleandoc(page.derivation)
    assert whole or any(line.startswith("    ") and "=" in line for line in text)


# --- what else may be wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words", "told"),
    [
        (
            "bias_gradient_missing",
            "dense: the gradient of layers.0.bias is missing",
            "gives nothing",
        ),
        ("bias_not_reduced", "dense: layers.0.bias: shape (2, 2), must be (2,)", "of shape (2, 2)"),
    ],
)
def test_a_gradient_that_is_missing_or_misshapen_is_held_against_the_right_one(
    fault: str, words: str, told: str
) -> None:
    case = draw_case(DENSE, 1)
    page = write_page(found(fault, case))
    assert page.startswith(f"# {words}\n")
    assert told in page
    right = reference_subject(case)[1]["layers.0.bias"]
    assert written(right) in page.splitlines()
    assert table(page) == []


def test_a_gradient_that_is_not_a_number_is_shown() -> None:
    case = draw_case(network(ops.Tanh(), loss=ls.WeightedSum(), input=(1, 2)), 0, "extreme")
    big = with_values(case, {"input": np.array([[800.0, 1.0]])})
    rows = table(write_page(found("exp_overflows", big)))
    assert [row["entry"] for row in rows] == ["(0, 0)"]
    assert rows[0]["subject"] == "nan"


def test_a_wrong_sum_over_uses_names_no_layer() -> None:
    page = write_page(found("use_overwritten", draw_case(GRAPHS["a square of one edge"], 1)))
    assert page.startswith("# The gradient of layers.0.output is not the sum over its uses\n")
    assert "x_bar = the sum of what the uses of x send back" in page
    assert "layers.1  multiply of layers.0 and layers.0" in page


def test_a_penalty_s_formula_stands_beside_the_weight_s() -> None:
    a = network(ops.Dense(2), penalties=(ls.L2(0.5),))
    failing = found("penalty_negated", draw_case(a, 1))
    page = write_page(failing)
    assert "w_bar = s w" in page and "W_bar = y_bar^T x" in page
    assert "penalties.0  l2(strength=0.5)" in page
    path, _ = derivation(a, failing.verdict)
    assert path == "reference/layers/dense.py"


def test_a_wrong_loss_is_compared_too() -> None:
    case = draw_case(DENSE, 1)

    def subject(case: Case) -> Any:
        loss, gradients = reference_subject(case)
        return loss + 1, gradients

    loss, gradients = subject(case)
    verdict = verify(case, subject, checkers=("jax", "torch"))
    assert verdict.tensor == "loss"
    page = write_page(Found(case, verdict, loss, gradients, "it", checkers=("jax", "torch")))
    assert page.startswith("# The value of weighted_sum is wrong\n")
    (row,) = table(page)
    assert float(row["subject"]) == pytest.approx(float(row["JAX"]) + 1, abs=1e-5)
    assert "No known mistake gives these gradients." in page
    assert "replay" not in page and "NumPy alone" not in page


def test_a_claim_beyond_values_has_a_title_of_its_own() -> None:
    check = Check("repeatable", "FAIL", "the second call gives another gradient")
    verdict = Verdict("FAIL", "repeatable: the second call gives another gradient", checks=(check,))
    page = write_page(Found(draw_case(DENSE, 1), verdict, None, None, "cmd:./it"))
    assert page.startswith("# The check 'repeatable' fails\n")
    assert "Repeatable: the second call gives another gradient." in page
    assert "What should hold" not in page and "What came back" not in page


def test_nothing_from_outside_ends_a_fence_or_begins_a_tag() -> None:
    failing = found("gradient_averaged", draw_case(DENSE, 1))
    hostile = "``` <script> \x1b[31m \n# a heading"
    verdict = msgspec.structs.replace(failing.verdict, reason=hostile)
    page = write_page(replace(failing, verdict=verdict, subject=hostile, cause=hostile))
    plain = write_page(failing)
    assert page.count("```") == plain.count("```")
    assert "<script" not in page and "\x1b" not in page
    assert len(re.findall(r"^# ", page, re.M)) == 1


# --- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([1.0, -2.0]), "[1, -2]"),
        (np.array([[0.1], [0.25]]), "[[0.1], [0.25]]"),
        (np.array(0.1, np.float32), "0.1"),
        (np.array([1e300, -1e-9]), "[1e+300, -1e-09]"),
        (np.array([True, False]), "[true, false]"),
        (np.array([3, 0]), "[3, 0]"),
        (np.array([np.nan, np.inf]), "[nan, inf]"),
        (np.zeros((3, 5)), "of shape (3, 5), in the file beside this"),
        (np.zeros((0,)), "[]"),
    ],
)
def test_values_are_their_shortest_decimals(value: Any, text: str) -> None:
    assert written(value) == text


def test_titles_are_one_line_without_a_full_stop() -> None:
    for fault in ("gradient_averaged", "bias_gradient_missing", "loss_gradient_negated"):
        words = title(found(fault, draw_case(DENSE, 1)))
        assert "\n" not in words and not words.endswith(".")


def test_of_many_wrong_entries_the_first_are_shown() -> None:
    a = network(ops.Dense(4), loss=ls.WeightedSum(), input=(3, 5))
    page = write_page(found("weight_gradient_zero", draw_case(a, 1)))
    assert "layers.0.weight: 20 of 20 entries wrong, the first 6." in page
    assert len(table(page)) == entry_by_entry.MOST_ROWS


def test_a_large_network_is_explained_by_the_frameworks_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every entry by finite differences would cost four evaluations each."""
    monkeypatch.setattr(entry_by_entry, "MOST_TO_ASK", 10)
    (row, *_) = table(write_page(found("gradient_averaged", draw_case(DENSE, 1))))
    assert "complex step" not in row and "PyTorch" in row


def test_wrong_entries_that_make_a_pattern_are_told_by_it() -> None:
    def subject(case: Case) -> Any:
        loss, right = reference_subject(case)
        w_bar = right["layers.0.weight"].copy()
        w_bar[1] *= 2
        return loss, {**right, "layers.0.weight": w_bar}

    a = network(ops.Dense(4), loss=ls.WeightedSum(), input=(3, 5))
    case = draw_case(a, 1)
    verdict = verify(case, subject, checkers=CHECKERS)
    loss, gradients = subject(case)
    page = write_page(Found(case, verdict, loss, gradients, "py:mine", checkers=CHECKERS))
    assert "layers.0.weight: 5 of 20 entries wrong." in page.splitlines()
    assert "Wrong in row 1." in page.splitlines()


def test_a_title_tells_an_operator_from_the_parameter_that_shows_it() -> None:
    failing = found("gradient_averaged", draw_case(network(ops.Dense(2), ops.Tanh()), 1))
    elsewhere = msgspec.structs.replace(failing.verdict, operator="tanh")
    assert title(failing) == "dense returns a wrong gradient of layers.0.weight"
    said = title(replace(failing, verdict=elsewhere))
    assert said == "tanh is wrong, as the gradient of layers.0.weight shows"
