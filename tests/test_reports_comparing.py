"""Two runs side by side: nothing that fails now, lost digits or got slow goes unseen."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streams
from click.testing import CliRunner, Result
from rich.console import Console

from backproof.checkers.checks import Check
from backproof.checkers.comparison import Status
from backproof.checkers.verdict import OperatorVerdict, Verdict
from backproof.cli import group
from backproof.reports import changes, markdown
from backproof.reports.comparing import CHANCE, by_chance, compare, digits
from backproof.reports.comparison_codes import compared
from backproof.reports.events import AnyEvent, FunctionChecked, Replayed, encode
from backproof.reports.exit_codes import ExitCode, exit_code
from backproof.reports.summary import summarise


def ran(*cases: Any, **start: Any) -> list[AnyEvent]:
    return [streams.started(**start), *cases, streams.finished()]


def many(n: int, verdict: Callable[[int], Verdict], **changes: Any) -> list[Any]:
    return [streams.case(i, verdict(i), **changes) for i in range(n)]


def tanh(ratio: float, resolution: float | None = 1e-15) -> Verdict:
    operators = (
        OperatorVerdict("tanh", "PASS", ratio, resolution),
        OperatorVerdict("dense", "PASS", 0.3, 1e-15),
    )
    return streams.passed(operators=operators)


def told(old: Sequence[AnyEvent], new: Sequence[AnyEvent], width: int = 60) -> str:
    out = io.StringIO()
    changes.render(summarise(new), compare(old, new), Console(file=out, width=width), "OLD")
    return out.getvalue()


def code(old: Sequence[AnyEvent], new: Sequence[AnyEvent]) -> tuple[ExitCode, str]:
    return compared(summarise(new), compare(old, new))


# --- which case is which ------------------------------------------------------------------


def test_cases_are_matched_by_what_they_are_and_not_by_number() -> None:
    old = ran(streams.case(0, streams.passed(), seed=5), streams.case(1, streams.passed(), seed=6))
    new = ran(
        streams.case(0, streams.passed(), seed=6, id="other-name"),
        streams.case(1, streams.failed(), seed=5),
    )
    found = compare(old, new)
    assert (found.matched, found.only_old, found.only_new) == (2, 0, 0)
    assert [c.seed for c in found.failing] == [5]


@pytest.mark.parametrize(
    "change",
    [{"seed": 9}, {"lane": "tie"}, {"dtype": "float32"}, {"architecture": streams.MINIMAL}],
)
def test_a_case_with_anything_else_is_another_case(change: dict[str, Any]) -> None:
    found = compare(
        ran(streams.case(0, streams.passed())), ran(streams.case(0, streams.passed(), **change))
    )
    assert (found.matched, found.only_old, found.only_new) == (0, 1, 1)


def test_a_case_that_occurs_twice_is_matched_in_order() -> None:
    twice = [streams.case(i, streams.passed(), seed=1) for i in range(2)]
    found = compare(ran(*twice), ran(twice[0], streams.case(1, streams.failed(), seed=1)))
    assert (found.matched, len(found.failing)) == (2, 1)
    assert compare(ran(*twice), ran(twice[0])).only_old == 1


# --- failing and passing ------------------------------------------------------------------


def test_what_fails_now_is_exit_code_1_and_said_first() -> None:
    old, new = ran(streams.case(0, streams.passed())), ran(streams.case(0, streams.failed()))
    assert code(old, new)[0] is ExitCode.WRONG
    words = told(old, new)
    assert words.startswith("NEWLY FAILING  1 case newly fails; first dense layers.0.bias in")
    assert "case-0  was PASS, dense layers.0.bias" in words


@pytest.mark.parametrize("was", ["INCONCLUSIVE", "UNSUPPORTED", "ERROR", "TIMEOUT"])
def test_a_case_that_decided_nothing_and_now_fails_is_newly_failing(was: Any) -> None:
    old, new = ran(streams.case(0, Verdict(was))), ran(streams.case(0, streams.failed()))
    assert code(old, new)[0] is ExitCode.WRONG


def known() -> list[AnyEvent]:
    reason = "1 of 2 cases has a wrong gradient."
    cases = [streams.case(0, streams.passed()), streams.case(1, streams.failed())]
    return [streams.started(), *cases, streams.finished(1, reason)]


def test_a_failure_of_both_runs_is_known() -> None:
    outcome, reason = code(known(), known())
    assert outcome is ExitCode.VERIFIED
    assert reason.endswith("1 case fails in both runs.")
    assert "failing in both runs: 1 case" in told(known(), known())


def test_a_failing_case_that_the_older_run_does_not_have_counts_as_new() -> None:
    outcome, reason = code(ran(streams.case(0, streams.passed())), known())
    assert outcome is ExitCode.WRONG and "1 case newly fails" in reason
    assert "failing, and not in the older run: 1 case" in told(known()[:2], known())


def test_a_failure_saved_before_its_case_was_told_counts_unless_the_older_run_has_it() -> None:
    cut: list[AnyEvent] = [
        streams.started(),
        streams.case(0, streams.passed()),
        streams.saved("case-7"),
    ]
    assert code(ran(streams.case(0, streams.passed())), cut)[0] is ExitCode.WRONG
    assert code(cut, cut)[0] is ExitCode.INTERRUPTED


def test_what_passes_again_is_told_and_no_failure() -> None:
    new = ran(streams.case(0, streams.passed()), streams.case(1, streams.passed()))
    assert code(known(), new)[0] is ExitCode.VERIFIED
    assert "newly passing: 1 case" in told(known(), new)


def test_other_changes_are_counted() -> None:
    old = ran(*many(3, lambda i: streams.passed()))
    new = ran(*many(3, lambda i: streams.passed() if i else streams.inconclusive()))
    assert "PASS there, INCONCLUSIVE here: 1 case" in told(old, new)


@pytest.mark.parametrize(
    ("name", "expected"), [("control_missed", 3), ("cut_off", 2), ("nothing_verified", 5)]
)
def test_what_the_run_itself_said_stands_where_nothing_newly_fails(
    name: str, expected: int
) -> None:
    new = getattr(streams, name)()
    assert code(new, new)[0] == expected


def test_known_failures_hide_neither_errors_nor_a_missed_control() -> None:
    every = streams.every_status()
    assert code(every, every)[0] is ExitCode.ERROR


def test_runs_without_a_case_in_common_verify_nothing() -> None:
    old, new = ran(streams.case(0, streams.passed())), ran(streams.case(5, streams.passed()))
    assert code(old, new)[0] is ExitCode.NOT_VERIFIED
    assert told(old, new).startswith("NOTHING COMPARED  The two runs have no case in common.")


# --- digits -------------------------------------------------------------------------------


def test_a_kernel_that_lost_two_digits_and_still_passes_is_seen() -> None:
    rng = np.random.default_rng(0)
    before = 1e-3 * np.abs(rng.standard_normal(40)) + 1e-9
    after = 1e-1 * np.abs(rng.standard_normal(40)) + 1e-9
    old, new = (ran(*(streams.case(i, tanh(x)) for i, x in enumerate(r))) for r in (before, after))
    found = compare(old, new)
    (changed,) = [row for row in found.accuracy if row.told]
    assert changed.operator == "tanh" and changed.ratio is not None
    assert changed.ratio.typical == pytest.approx(2, abs=0.4)
    assert code(old, new)[0] is ExitCode.VERIFIED
    assert re.search(r"tanh +ratio +\S+ +\S+ +-\d\.\d +-[12]\.\d", told(old, new))


def test_two_digits_are_seen_though_the_worst_case_hides_them() -> None:
    old = ran(*many(9, lambda i: tanh(1e-4 if i else 0.5)))
    new = ran(*many(9, lambda i: tanh(1e-2 if i else 0.5)))
    (changed,) = [row for row in compare(old, new).accuracy if row.told]
    assert changed.ratio is not None
    assert changed.ratio.worst == 0 and changed.lost == pytest.approx(2)


def test_a_resolution_two_digits_coarser_is_seen_and_a_finer_one_is_won() -> None:
    fine, coarse = (ran(*(streams.case(i, tanh(0.1, r)) for i in range(9))) for r in (1e-13, 1e-11))
    assert compare(fine, coarse).accuracy[0].lost == pytest.approx(2)
    assert compare(coarse, fine).accuracy[0].lost == pytest.approx(-2)
    assert "accuracy: 1 operator lost digits; tanh 2.0, 0 won some" in told(fine, coarse)
    assert "accuracy: 0 operators lost digits, 1 won some" in told(coarse, fine)


def test_the_same_run_again_has_changed_nothing() -> None:
    same = ran(*many(9, lambda i: tanh(0.01 * (i + 1))))
    found = compare(same, same)
    assert not any(row.told for row in found.accuracy) and not found.failing
    assert "accuracy: unchanged, 2 operators compared" in told(same, same)


def test_rounding_alone_is_not_called_a_loss() -> None:
    """Both errors are single rounding errors, the noisiest that there is; 96 operators."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        n = int(rng.integers(3, 60))
        a, b = np.abs(rng.standard_normal((2, n)))
        found = digits(list(zip(a.tolist(), b.tolist(), strict=True)), 96)
        assert found is not None
        alarms += abs(found.typical) >= 0.31 and by_chance(abs(found.typical), n) < CHANCE / 96
    assert alarms == 0


def test_the_chance_of_a_median_is_what_sampling_gives() -> None:
    rng = np.random.default_rng(2)
    quotients = np.log10(np.abs(rng.standard_cauchy((40_000, 9))))
    share = np.mean(np.abs(np.median(quotients, axis=1)) >= 0.5)
    expected = by_chance(0.5, 9)
    assert share == pytest.approx(expected, abs=5 * math.sqrt(expected / 40_000))


def test_an_error_of_nothing_has_no_digits() -> None:
    assert digits([(0.0, 0.1), (0.1, 0.0), (math.inf, 1.0)]) is None


def test_an_operator_that_failed_in_one_run_has_no_accuracy_there() -> None:
    old, new = ran(streams.case(0, streams.passed())), ran(streams.case(0, streams.failed()))
    assert {row.operator for row in compare(old, new).accuracy} == {"squared_error"}


# --- seconds ------------------------------------------------------------------------------


def test_what_takes_longer_is_told_and_decides_nothing() -> None:
    old = ran(*many(3, lambda i: streams.passed(), seconds=0.25))
    new = ran(*many(3, lambda i: streams.passed(), seconds=0.75))
    found = compare(old, new)
    assert found.speed[0].operator == "" and found.speed[0].ratio == pytest.approx(3)
    assert {s.operator for s in found.speed[1:]} == {"dense", "tanh", "squared_error", "l2"}
    assert code(old, new)[0] is ExitCode.VERIFIED
    words = told(old, new)
    assert "0.25 s there and 0.75 s here, 3 times" in " ".join(words.split())
    assert re.search(r"tanh +3 +0\.25 +0\.75 +3\n", words)


def test_the_same_speed_has_no_table() -> None:
    same = ran(*many(3, lambda i: streams.passed()))
    assert "s was" not in told(same, same)


# --- the page -----------------------------------------------------------------------------


def test_what_differs_between_the_runs_is_named() -> None:
    old = ran(streams.case(0, streams.passed()), subject="py:a:b", versions={"numpy": "1"})
    new = ran(streams.case(0, streams.passed()), subject="py:a:c", versions={"numpy": "2"})
    words = told(old, new)
    assert "subject: py:a:b there, py:a:c here" in words and "numpy: 1 there, 2 here" in words


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_and_nothing_of_a_subject_s_takes_over_the_terminal(width: int) -> None:
    name = OperatorVerdict(streams.HOSTILE, "PASS", 0.001, 1e-15)
    worse = OperatorVerdict(streams.HOSTILE, "PASS", 0.5, 1e-9)
    old = [*streams.hostile(), streams.case(50, streams.passed(operators=(name,)))]
    new = [*streams.hostile(), streams.case(50, streams.passed(operators=(worse,)), seconds=9.0)]
    for before in (old, streams.clean()):
        words = told(before, new, width)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe]", words)
    words = told(old, new, width)
    rows = [line for line in words.splitlines() if re.match(r"operator|─|\[bold", line)]
    assert len(rows) == 4 and max(map(len, rows)) <= width


# --- the command --------------------------------------------------------------------------


def save(folder: Path, stream: Sequence[AnyEvent]) -> Path:
    folder.mkdir()
    (folder / "events.ndjson").write_bytes(b"".join(map(encode, stream)))
    return folder


def report(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "400"}).invoke(group, ["report", *arguments])


def test_two_folders_or_two_files_are_compared(tmp_path: Path) -> None:
    old = save(tmp_path / "old", ran(*many(2, lambda i: streams.passed())))
    new = save(tmp_path / "new", known())
    for a, b in ((old, new), (old / "events.ndjson", new / "events.ndjson")):
        result = report(str(b), "--against", str(a))
        assert result.exit_code == 1
        assert result.stdout.startswith("NEWLY FAILING  1 case newly fails")
        assert "WRONG GRADIENT" in result.stdout
    assert report(str(new), "--against", str(new)).exit_code == 0
    assert (new / "report.json").exists() and not (old / "report.json").exists()


def test_an_older_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    new = save(tmp_path / "new", known())
    for name, words in (("absent", "absent: No such file"), ("", "events.ndjson: No such file")):
        result = report(str(new), "--against", str(tmp_path / name))
        assert result.exit_code == 4
        assert words in result.output


# --- another mistake, functions, saved cases ------------------------------------------------


OTHER = Verdict("FAIL", "another", operator="tanh", tensor="layers.1.output")


def with_check(name: str) -> Verdict:
    return Verdict("FAIL", "a claim", checks=(Check(name, "FAIL", "why", "detail"),))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (streams.failed(), OTHER),
        (OTHER, Verdict("FAIL", "another", operator="tanh", tensor="layers.3.output")),
        (with_check("stateless"), with_check("deterministic")),
    ],
)
def test_another_mistake_in_a_case_that_failed_is_newly_failing(
    before: Verdict, after: Verdict
) -> None:
    def run(verdict: Verdict) -> list[AnyEvent]:
        cases = [streams.case(0, verdict), streams.case(1, streams.passed())]
        return [streams.started(), *cases, streams.finished(1)]

    old, new = run(before), run(after)
    assert code(old, new)[0] is ExitCode.WRONG
    assert "case-0  fails in another way" in told(old, new)
    assert code(new, new)[0] is ExitCode.VERIFIED and not compare(new, new).failing
    assert "fails in another way" in markdown.dumps(new, old).decode()


def test_another_mistake_of_a_case_that_was_never_told_is_newly_failing() -> None:
    cut: list[AnyEvent] = [
        streams.started(),
        streams.case(0, streams.passed()),
        streams.saved("case-7"),
    ]
    other: list[AnyEvent] = [*cut[:2], streams.saved("case-7", verdict=OTHER)]
    assert code(cut, other)[0] is ExitCode.WRONG
    assert code(other, other)[0] is ExitCode.INTERRUPTED


def function(
    status: Status = "PASS", check: str = "values of input 0", **changes: Any
) -> FunctionChecked:
    given: dict[str, Any] = {"id": "test_x.py::test", "function": "double"}
    checks = (Check(check, status, "why", "entry (0,) is 1, must be 2"),)
    return FunctionChecked(status=status, checks=checks, **(given | changes))


def session(*found: FunctionChecked) -> list[AnyEvent]:
    stream: list[AnyEvent] = [streams.started(subject="functions"), *found]
    said = exit_code(summarise(stream), interrupted=False)
    return [*stream, streams.finished(int(said[0]), said[1])]


def test_sessions_of_functions_alone_are_compared_by_them() -> None:
    good, wrong = session(function()), session(function("FAIL"))
    assert code(good, good) == (ExitCode.VERIFIED, "functions: 1 verified.")
    assert told(good, good).startswith("NOTHING NEWLY FAILS")
    assert code(good, wrong)[0] is ExitCode.WRONG
    words = " ".join(told(good, wrong, 200).split())
    assert "NEWLY FAILING 1 function newly fails; first double in test_x.py::test." in words
    assert "newly failing: double in test_x.py::test, was PASS" in words
    assert code(wrong, good)[0] is ExitCode.VERIFIED
    absent = session(function(function="triple"))
    assert code(absent, wrong)[0] is ExitCode.WRONG
    assert code(absent, good) == (
        ExitCode.NOT_VERIFIED, "The two runs have no function in common.",
    )  # fmt: skip
    assert told(absent, good).startswith("NOTHING COMPARED")


def test_a_function_that_fails_in_both_runs_is_known_unless_by_another_check() -> None:
    wrong = session(function("FAIL"), function(id="other"))
    outcome, reason = code(wrong, wrong)
    assert outcome is ExitCode.VERIFIED and reason.endswith(" 1 function fails in both runs.")
    other = session(function("FAIL", "dtype of input 0"), function(id="other"))
    assert code(wrong, other)[0] is ExitCode.WRONG
    assert "fails in another way" in told(wrong, other, 200)
    excused = session(function("FAIL", known="issue 9"), function(id="other"))
    assert code(excused, wrong)[0] is ExitCode.WRONG, "its excuse is gone"
    assert code(wrong, excused)[0] is ExitCode.VERIFIED
    alone = session(function("FAIL"))
    assert code(alone, alone)[0] is ExitCode.NOT_VERIFIED
    assert told(alone, alone).startswith("NOTHING VERIFIED")


def test_a_function_that_is_checked_twice_is_matched_in_order() -> None:
    old = session(function(), function())
    assert code(old, session(function(), function("FAIL")))[0] is ExitCode.WRONG
    twice = session(function("FAIL"), function(), function(id="other"))
    swapped = session(function(), function("FAIL"), function(id="other"))
    assert code(twice, twice)[0] is ExitCode.VERIFIED
    assert code(twice, swapped)[0] is ExitCode.WRONG


def replayed(outcome: Any, verdict: Verdict) -> list[AnyEvent]:
    again = Replayed(
        id="case-7", known=False, outcome=outcome, architecture=streams.MINIMAL, verdict=verdict
    )
    stream: list[AnyEvent] = [streams.started(), streams.case(0, streams.passed()), again]
    said = exit_code(summarise(stream), interrupted=False)
    return [*stream, streams.finished(int(said[0]), said[1])]


def test_a_saved_case_fails_newly_or_as_it_did() -> None:
    good, wrong = replayed("passed", streams.passed()), replayed("failed", streams.failed())
    other = replayed("failed", OTHER)
    assert code(good, wrong)[0] is ExitCode.WRONG and code(wrong, other)[0] is ExitCode.WRONG
    outcome, reason = code(wrong, wrong)
    assert outcome is ExitCode.VERIFIED and "1 saved case fails in both runs." in reason
    assert "newly failing: the saved case case-7, in the older run it passes" in told(
        good, wrong, 200
    )
    assert "the saved case case-7, fails in another way" in markdown.dumps(other, wrong).decode()


def test_an_error_without_common_cases_is_an_error_and_not_nothing_compared() -> None:
    broken = streams.case(5, Verdict("ERROR", "torch"))
    new: list[AnyEvent] = [streams.started(), broken, streams.finished(3)]
    assert code(streams.clean(), new)[0] is ExitCode.ERROR
    assert told(streams.clean(), new).startswith("ERROR")
