"""The harness is measured by the faults that it finds: a part of `selftest`, and its sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers_cli import invoke, sentence

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.checkers.outcome import Verdict
from backproof.diagnosis import Cause
from backproof.planting import BY_NAME
from backproof.reference.faults.catalogue import FAULTS
from backproof.reference.faults.of_optimisers import OPTIMISER_FAULTS, OPTIMISERS
from backproof.reference.faults.stateful import SUBJECT_FAULTS
from backproof.selftest import whole
from backproof.selftest.measuring import not_reduced
from backproof.selftest.page import Result, write
from backproof.selftest.places import Application, applications, kind_at
from backproof.selftest.scores import Row, Share, kind_named, rows, shortcomings
from backproof.selftest.trials import Trial, trial

A_FEW = (
    "upstream_dropped", "scale_dropped_for_queries", "bias_not_reduced", "sigmoid_derivative_again",
    "use_overwritten", "penalty_negated", "relative_error_1e_10", "zero_over_zero",
)  # fmt: skip
"""Faults of every sort of site, found by values and without."""


@pytest.fixture(scope="module")
def planted() -> list[Trial]:
    faults = [BY_NAME[name] for name in A_FEW]
    found = applications(faults, 2, 0, networks=1500)
    return [
        trial(application, reduce=k == 0)
        for group in found.values()
        for k, application in enumerate(group)
    ]


@pytest.mark.repeats
def test_what_shows_is_caught_placed_and_named(planted: list[Trial]) -> None:
    shown = [t for t in planted if t.shown]
    assert {t.application.fault for t in shown} == set(A_FEW)
    for t in shown:
        assert t.verdict is not None
        assert t.caught, t.verdict.reason
        assert t.located
        assert t.right == "PASS" or t.lane != "generic"
        assert t.hidden_located in (True, None)
        assert not t.held_out


def test_the_smallest_network_is_small(planted: list[Trial]) -> None:
    reduced = [t.minimal for t in planted if t.minimal is not None]
    assert len(reduced) >= len(A_FEW) - 1
    assert all(len(a.layers) <= 3 for a in reduced)


def test_a_trial_is_told_again_by_its_application(planted: list[Trial]) -> None:
    again = trial(planted[0].application, reduce=True)
    assert replaced(again) == replaced(planted[0])


def replaced(t: Trial) -> Trial:
    return msgspec.structs.replace(t, seconds=0.0)


@pytest.mark.repeats
def test_every_fault_has_a_place_in_random_networks() -> None:
    """Within half of the budget, so that no fault is found by luck."""
    found = applications(FAULTS, 1, 3, networks=3000)
    assert [name for name, group in found.items() if not group] == []
    for name, group in found.items():
        assert all(BY_NAME[name].applies(x.architecture, x.site) for x in group)


def test_places_are_in_different_operators() -> None:
    (group,) = applications([BY_NAME["gradient_averaged"]], 6, 0, networks=400).values()
    assert len({kind_at(x.architecture, x.site) for x in group}) == 6
    assert [x.dtype for x in group].count("float32") == 1


# --- sums ---------------------------------------------------------------------------------

A = Architecture((2, 3), (ops.Dense(2),), ls.SquaredError())
FAULT = BY_NAME["bias_gradient_zero"]
APPLIED = Application(FAULT.name, A, "layers.0", 1, "float64")
GOOD = Trial(
    APPLIED, shown=True, verdict=Verdict("FAIL"), right="PASS", by=("jax", "torch"), located=True,
    hidden_located=True, cause=Cause("fault", FAULT.name, FAULT.summary, "layers.0", "dense"),
    seconds=0.25, minimal=A,
)  # fmt: skip


def changed(**change: Any) -> Row:
    return Row(FAULT, [GOOD] * 99 + [msgspec.structs.replace(GOOD, **change)])


def test_a_good_result_falls_short_of_nothing() -> None:
    (row,) = rows([FAULT], [GOOD, GOOD])
    assert shortcomings([row]) == []
    assert (str(row.caught), str(row.named), row.by("jax"), row.by("complex_step")) == (
        "2 of 2", "2 of 2", 2, 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change, words",
    [
        ({"verdict": Verdict("PASS")}, "missed: bias_gradient_zero at layers.0"),
        ({"held_out": "upstream_dropped"}, "is called upstream_dropped"),
        ({"right": "FAIL"}, "false alarm: right code"),
        ({"right": "ERROR"}, "false alarm: right code"),
    ],
)
def test_one_miss_in_a_hundred_is_a_shortcoming(change: dict[str, Any], words: str) -> None:
    (line,) = shortcomings([changed(**change)])
    assert words in line


@pytest.mark.parametrize(
    "change, words",
    [
        ({"located": False}, "located: 0 of 1, less than 95%"),
        ({"hidden_located": False}, "located without cotangents: 0 of 1, less than 95%"),
        ({"cause": None}, "named by its kind: 0 of 1, less than 90%"),
    ],
)
def test_what_may_fail_now_and_then_may_not_fail_often(change: dict[str, Any], words: str) -> None:
    assert shortcomings([changed(**change)]) == []
    assert shortcomings([Row(FAULT, [msgspec.structs.replace(GOOD, **change)])]) == [words]


def test_a_fault_without_a_place_or_that_never_shows_is_a_shortcoming() -> None:
    assert "no random network has a place" in shortcomings([Row(FAULT, [])])[0]
    silent = Trial(APPLIED, shown=False)
    assert "it shows in none of 1" in shortcomings([Row(FAULT, [silent])])[0]
    assert shortcomings([Row(FAULT, [silent, GOOD])]) == []


def test_another_s_name_counts_by_its_kind_and_a_shape_by_what_it_speaks_of() -> None:
    other = Cause("fault", "bias_summed_over_outputs", "", "layers.0", "dense")
    assert kind_named(msgspec.structs.replace(GOOD, cause=other)) == "axis"
    assert not msgspec.structs.replace(GOOD, cause=other).named
    shape = Cause("shape", "zero", "the gradient of layers.0.bias is zero throughout")
    assert kind_named(msgspec.structs.replace(GOOD, cause=shape)) == "missing"
    unknown = Cause("unknown", "no known fault", "")
    assert kind_named(msgspec.structs.replace(GOOD, cause=unknown)) is None
    nowhere = msgspec.structs.replace(GOOD.cause, site="layers.1")  # type: ignore[type-var]
    assert not msgspec.structs.replace(GOOD, cause=nowhere).named


def test_the_page_tells_what_was_counted_and_what_fell_short() -> None:
    result = Result("backproof selftest", 90.0, 2, rows([FAULT], [GOOD]), [], [])
    text = write(result)
    assert "`backproof selftest` in 1.5 minutes with 2 workers" in text
    assert "| caught: the verdict is FAIL | 1 of 1 | 100.0% |" in text
    row = "| bias_gradient_zero | missing | 1 | 1 | 0 | 0 | 1 | 1 | 1 | 1 | 1 of 1 | 1 | 250 ms |"
    assert row in text
    assert "fell short" not in text
    assert "Each of the 1 mistake of the catalogue is planted" in text
    apart = write(replace(result, conventions=rows([FAULT], [GOOD])))
    assert "the catalogue (its 1 convention at ties must pass, and stand below) is planted" in apart
    missed = replace(result, found=[changed(verdict=Verdict("PASS", "too coarse"))])
    assert "## What fell short\n\n- missed: bias_gradient_zero" in write(missed)
    assert "too coarse" in write(missed)


def test_a_fault_that_shows_late_is_reduced_late() -> None:
    silent = Trial(APPLIED, shown=False)
    late = msgspec.structs.replace(GOOD, minimal=None)
    assert not_reduced([silent, late, late]) == [late]
    assert not_reduced([GOOD, late]) == []
    assert not_reduced([silent]) == []


def test_the_share_of_nothing_is_whole() -> None:
    assert Share(0, 0).rate == 1.0
    assert Share(1, 4).rate == 0.25


# --- whole subjects, and optimisers --------------------------------------------------------


def test_every_fault_of_a_subject_is_caught_in_a_random_network_and_conventions_pass() -> None:
    found = list(whole.subject_trials(1, 0))
    assert {t.fault for t in found} == {fault.name for fault in SUBJECT_FAULTS}
    for t in found:
        assert t.good, (t.fault, t.found, t.architecture)


def test_every_fault_of_an_optimiser_leaves_both_libraries_and_right_rules_neither() -> None:
    found = list(whole.optimiser_trials(0))
    assert [t.fault for t in found] == [*OPTIMISERS, *(f.name for f in OPTIMISER_FAULTS)]
    assert all(t.good for t in found), found


@pytest.mark.parametrize("rate", [1e-9, 1e-12])
def test_an_optimiser_that_is_off_by_little_is_found_all_the_same(rate: float) -> None:
    start = {"a": np.array([0.5, -1.0, 2.0])}
    gradients = [{"a": np.array([0.3, 0.7, -1.1]) * k} for k in range(1, 6)]
    right = whole.followed(OPTIMISERS["adam"], start, gradients)
    off = [{name: value * (1 + rate) for name, value in step.items()} for step in right]
    assert whole.disagreeing("adam", right, start, gradients) == []
    assert whole.disagreeing("adam", off, start, gradients) == ["Optax", "PyTorch"]


# --- the command ---------------------------------------------------------------------------


def test_the_command_counts_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "detection.md"
    done = invoke(
        "selftest", "--fault", "bias_gradient_zero", "--each", "2", "--workers", "1",
        "--networks", "200", "--output", str(page),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("NOTHING MISSED: 1 fault in 2 networks, shown in 2, in ")
    assert "caught                             2 of 2   100.0%" in done.stdout
    assert "| bias_gradient_zero | missing | 2 | 2 |" in page.read_text(encoding="utf-8")


def test_a_fault_that_finds_no_place_ends_in_exit_code_3() -> None:
    done = invoke(
        "selftest", "--fault", "rotary_not_turned_back", "--networks", "1", "--workers", "1"
    )
    assert done.exit_code == 3
    assert done.stdout.startswith("FELL SHORT")
    assert "rotary_not_turned_back: no random network has a place for it" in done.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ("--fault", "upstream_droped"),
            "--fault: no fault 'upstream_droped'; perhaps upstream_d",
        ),
        (("--each", "0"), "0 is not in the range"),
        (("--output", "nowhere/page.md"), "--output: there is no folder 'nowhere'."),
    ],
)
def test_a_bad_option_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = invoke("selftest", *arguments)
    assert done.exit_code == 4
    assert words in sentence(done)
