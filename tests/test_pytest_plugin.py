"""Generated checks in pytest: as items, as parameters of a test, and the fixture."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from helpers_pytest import STRICT, Run, Verdicts, decorated, ids, net

import backproof
from backproof import generated_checks
from backproof.checkers.comparison import Status
from backproof.checkers.verdict import Verdict
from backproof.generated_checks import (
    CASES,
    CheckFailed,
    GeneratedCheck,
    HarnessError,
    Undecided,
    excuse,
    generate,
)
from backproof.in_pytest.options import OPTIONS
from backproof.judging import ControlResult, Result
from backproof.parametrizing import parametrize_with_checks
from backproof.reports.exit_codes import MAX_INCONCLUSIVE
from backproof.settings import DEFAULTS
from backproof.subjects import numpy_pair  # noqa: F401  a run within this one must not load it
from backproof.subjects.capabilities import Capabilities, SubjectAbsent
from backproof.subjects.process import Limits

ROOT = Path(__file__).parents[1]


# --- items --------------------------------------------------------------------------------


def test_a_right_subject_passes_without_any_test_file(run: Run) -> None:
    result = run(*net(), "-v")
    result.assert_outcomes(passed=4)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "backproof: py:my_net:Net: 4 cases, seed 0, by finite_differences, complex_step",
            "backproof::py:my_net:Net::*dense*squared_error-000-generic-float64 PASSED*",
            "4 verified",
            "resolution * to *: the smallest relative error that would have been caught",
        ]
    )


def test_a_wrong_subject_fails_with_its_operator_and_without_our_insides(run: Run) -> None:
    result = run(*net("Wrong", 1))
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.re_match_lines(
        [
            r"FAIL  dense layers\.\d\.bias in \S+-000-generic-float64",
            r"  subject   py:my_net:Wrong",
            r"  network   \(\d, \d\) > .*dense.* > squared_error",
            r"  minimal   \(1, 1\) > dense 1 > squared_error",
            r"  values    generic float64 seed 0",
            r"  because   layers\.\d\.bias disagrees with finite_differences and complex_step, .*",
            r"  cause     the gradient of layers\.\d\.bias is 1/2 \(0\.5\) times the right one",
            r"  disagrees complex_step on layers\.\d\.bias: error .*, bound .*, ratio .*",
            r"  replay    pytest .*",
            r"1 wrong",
        ]
    )
    assert "Traceback" not in result.stdout.str() and ".py:" not in result.stdout.str()


def test_the_replay_line_of_a_failure_runs_that_check_alone(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generated_checks, "REDUCING", 0.0)
    first = run(*net("Wrong", 2), "--backproof-seed=7")
    first.assert_outcomes(failed=2)
    replays = [line.split(maxsplit=1)[1] for line in first.outlines if " replay " in line]
    again = pytester.runpytest_inprocess(*shlex.split(replays[1])[1:])
    again.assert_outcomes(failed=1)
    assert replays[1] in again.stdout.str()


def test_ids_follow_from_the_seed_and_more_cases_only_add_to_them(run: Run) -> None:
    few, many, other = (
        ids(run(*net(cases=n), "--collect-only", "-q", f"--backproof-seed={seed}"))
        for n, seed in ((4, 0), (7, 0), (4, 1))
    )
    assert len(set(many)) == 7 and many[:4] == few != other
    pattern = r"backproof::py:my_net:Net::[a-z_+]+-\d{3}-(generic|exact|tie|extreme)-float64"
    assert all(re.fullmatch(pattern, id) for id in many)


def test_checks_are_selected_by_operator_lane_and_dtype(run: Run) -> None:
    every = ids(run(*net("both", 24), "--collect-only", "-q"))
    for word in ("relu", "tie", "float32"):
        chosen = ids(run(*net("both", 24), "--collect-only", "-q", "-k", word))
        assert chosen == [id for id in every if word in id] and 0 < len(chosen) < len(every)
    options = ("--backproof-lane=generic,tie", "--backproof-dtype=float32")
    drawn = ids(run(*net("both", 8), "--collect-only", "-q", *options))
    assert len(drawn) == 8
    assert all(re.search("-(generic|tie)-float32$", id) for id in drawn)


def test_an_id_on_the_command_line_is_run_alone(run: Run, verdicts: Verdicts) -> None:
    every = ids(run(*net(), "--collect-only", "-q"))
    run(*net(), every[2]).assert_outcomes(passed=1)
    run(*net(), every[2], every[0]).assert_outcomes(passed=2)
    run(*net(), "backproof::py:my_net:Net").assert_outcomes(passed=4)
    run(*net(), "backproof::").assert_outcomes(passed=4)


def test_checks_run_beside_the_tests_of_files(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    file = pytester.makepyfile(test_other="def test_other(): pass")
    run(*net()).assert_outcomes(passed=5)
    run(*net(), file).assert_outcomes(passed=5)
    run(*net(), "backproof::").assert_outcomes(passed=4)
    run(*net(), "-m", "backproof").assert_outcomes(passed=4, deselected=1)
    run(*net(), "-p", "no:backproof").stderr.fnmatch_lines(["*unrecognized arguments*"])
    run().assert_outcomes(passed=1)


def test_the_ini_file_names_subjects_unless_certain_files_are_asked_for(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    file = pytester.makepyfile(test_other="def test_other(): pass")
    settings = "backproof_subject =\n  py:my_net:Net\n  py:my_net:both\nbackproof_cases = 3\n"
    pytester.makeini(f"{STRICT}{settings}backproof_dtype = float64\n")
    run().assert_outcomes(passed=7)
    run("--backproof-cases=1").assert_outcomes(passed=3)
    run(file).assert_outcomes(passed=1)
    run(f"{file}::test_other").assert_outcomes(passed=1)
    run("backproof::py:my_net:both").assert_outcomes(passed=3)
    run(*net(cases=1), file).assert_outcomes(passed=2)


def test_expected_failures_of_the_ini_file_are_xfailed_and_strict(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts |= {n: Verdict("FAIL", "wrong") for n in (0, 1)}
    lines = "backproof_expected_failures =\n  *-000-*: issue 7: the bias\n  *-002-*: issue 8\n"
    pytester.makeini(STRICT + lines)
    result = run(*net(), "-rx")
    result.assert_outcomes(xfailed=1, failed=2, passed=1)
    result.stdout.fnmatch_lines(["[[]XPASS(strict)[]] issue 8", "XFAIL *issue 7: the bias"])
    verdicts[0] = Verdict("ERROR", "jax is the odd one out")
    run(*net()).assert_outcomes(errors=1, failed=2, passed=1)


@pytest.mark.parametrize(
    "line, words",
    [
        ("warp: slow", "there is no operator and no check 'warp' that could fail"),
        ("dense", "write NAME: REASON, got dense"),
        ("dense:", "say why 'dense' is expected to fail"),
    ],
)
def test_an_expected_failure_that_makes_no_sense_is_a_usage_error(
    run: Run, pytester: pytest.Pytester, line: str, words: str
) -> None:
    pytester.makeini(f"{STRICT}backproof_expected_failures = {line}\n")
    result = run(*net())
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{words}*"])


# --- statuses -----------------------------------------------------------------------------


def test_each_status_has_its_outcome(run: Run, verdicts: Verdicts) -> None:
    others: tuple[Status, ...] = ("FAIL", "TIMEOUT", "ERROR", "INCONCLUSIVE", "UNSUPPORTED")
    verdicts |= {i: Verdict(status, f"why {i}") for i, status in enumerate(others, 1)}
    result = run(*net(cases=6), "-rs")
    result.assert_outcomes(passed=1, failed=2, errors=1, skipped=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at setup of *-003-*", "ERROR in *-003-*", "TIMEOUT in *-002-*",
            "*because   why 1", "SKIPPED * inconclusive: why 4", "SKIPPED * unsupported: why 5",
            "1 verified, 1 wrong, 1 timed out, 1 broken in the harness, 1 inconclusive, "
            "1 unsupported",
        ]
    )  # fmt: skip


def test_a_subject_that_refuses_everything_is_skipped_and_nothing_was_verified(run: Run) -> None:
    result = run(*net("Refuses", 2), "-rs")
    result.assert_outcomes(skipped=2)
    assert result.ret == 5
    result.stdout.fnmatch_lines(["nothing was verified: exit code 5", "*unsupported: not today"])


def test_a_run_that_verified_nothing_is_not_green_whatever_else_passed(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    verdicts |= {n: Verdict("INCONCLUSIVE", "too wide") for n in range(4)}
    result = run(*net())
    result.assert_outcomes(passed=1, skipped=4)
    assert result.ret == 5
    result.stdout.fnmatch_lines(["nothing was verified: exit code 5"])
    assert run(*net(), "--collect-only").ret == 0


def test_more_than_a_tenth_that_decides_nothing_is_too_much(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[3] = Verdict("INCONCLUSIVE", "too wide")
    within = run(*net(cases=10))
    within.assert_outcomes(passed=9, skipped=1)
    assert within.ret == 0
    verdicts[9] = Verdict("UNSUPPORTED", "not today")
    beyond = run(*net(cases=10))
    beyond.assert_outcomes(passed=8, skipped=2)
    assert beyond.ret == 5
    words = "20.0% of 10 checks of py:my_net:Net decided nothing; the budget allows 10.0%"
    beyond.stdout.fnmatch_lines([f"{words}: exit code 5"])
    assert run(*net(cases=10), "--backproof-max-inconclusive=0.2").ret == 0
    pytester.makeini(f"{STRICT}backproof_max_inconclusive = 0.2\n")
    assert run(*net(cases=10)).ret == 0
    assert run(*net(cases=10), "--backproof-max-inconclusive=0").ret == 5


def test_the_budget_is_each_subject_s_own(run: Run, verdicts: Verdicts) -> None:
    """20 checks of the one would hide the only check of the other that was skipped."""
    decided = run(*net(cases=20), *net("both", 20))
    decided.assert_outcomes(passed=40)
    verdicts[0] = Verdict("INCONCLUSIVE", "too wide")
    result = run(*net(cases=20), *net("both", 20), "-k", "not both or 000 or 001")
    assert result.ret == 5
    result.stdout.fnmatch_lines(["50.0% of 2 checks of py:my_net:both decided nothing; *"])


def test_a_wrong_gradient_is_told_by_its_own_exit_code(run: Run, verdicts: Verdicts) -> None:
    verdicts |= {0: Verdict("FAIL", "wrong"), 1: Verdict("INCONCLUSIVE", "too wide")}
    result = run(*net())
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    assert result.ret == 1 and "exit code 5" not in result.stdout.str()


def test_what_a_subject_declares_to_fail_beyond_values_passes_and_says_so(
    run: Run, pytester: pytest.Pytester
) -> None:
    silent = run(*net("Writes", 1))
    silent.assert_outcomes(failed=1)
    silent.stdout.fnmatch_lines(["*because   caller's arrays: it wrote to *"])
    declared = run(*net("WritesAsDeclared", 2), "--junitxml=junit.xml")
    declared.assert_outcomes(passed=2)
    assert declared.ret == 0
    declared.stdout.fnmatch_lines(["expected to fail, in 2 checks: caller's arrays: saves a copy"])
    for test in ElementTree.parse(pytester.path / "junit.xml").iter("testcase"):
        properties = {p.get("name"): p.get("value") for p in test.iter("property")}
        assert properties["backproof_expected"] == "caller's arrays: saves a copy"


def test_x_stops_and_lf_runs_what_failed(run: Run, verdicts: Verdicts) -> None:
    verdicts[1] = Verdict("FAIL", "wrong")
    run(*net(), "-x").assert_outcomes(passed=1, failed=1)
    again = run(*net(), "--lf")
    again.assert_outcomes(failed=1, deselected=3)
    verdicts.clear()
    run(*net(), "--lf").assert_outcomes(passed=1, deselected=3)


def test_junit_tells_a_failure_from_an_error(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts |= {1: Verdict("FAIL", "wrong"), 2: Verdict("ERROR", "broken")}
    run(*net(), "--junitxml=junit.xml")
    (suite,) = ElementTree.parse(pytester.path / "junit.xml").getroot()
    assert [suite.get(word) for word in ("tests", "failures", "errors")] == ["4", "1", "1"]
    right, wrong, broken, _ = suite.findall("testcase")
    assert right.get("classname") == "backproof.py:my_net:Net"
    assert str(right.get("name")).endswith("-000-generic-float64")
    properties = {p.get("name"): p.get("value") for p in right.iter("property")}
    assert properties == {
        "backproof_subject": "py:my_net:Net", "backproof_status": "PASS",
        "backproof_resolution": "1e-15",
    }  # fmt: skip
    (failure,) = wrong.findall("failure")
    assert str(failure.get("message")).startswith("FAIL in ")
    assert "because   wrong" in str(failure.text)
    assert len(broken.findall("error")) == 1 and not broken.findall("failure")


def test_xdist_collects_the_same_checks_in_every_worker(run: Run) -> None:
    result = run(*net("Wrong", 4), "-k", "000 or 003", "-n", "2")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAIL  dense layers.*", "1 verified, 1 wrong"])
    assert run(*net("Absent"), "-n", "2").ret == 4


def test_xdist_s_controller_sees_that_too_little_was_verified(run: Run) -> None:
    result = run(*net("Picky", 3), "-n", "2")
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == 5
    result.stdout.fnmatch_lines(
        ["33.3% of 3 checks of py:my_net:Picky decided nothing; the budget allows 10.0%: *"]
    )


def test_a_program_is_asked_and_ended(run: Run, pytester: pytest.Pytester) -> None:
    program = ROOT / "tests" / "programs" / "relu.py"
    subject = f"--backproof-subject=cmd:'{sys.executable}' '{program}'"
    right = run(f"{subject} right", "--backproof-cases=2", "-v")
    right.assert_outcomes(passed=2)
    hangs = run(f"{subject} hang", "--backproof-cases=2", "--backproof-timeout=0.5")
    assert hangs.ret == 1 and hangs.parseoutcomes()["failed"] >= 1
    hangs.stdout.fnmatch_lines(["*no answer to run within 0.5 s*"])


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--backproof-subject=nobody",), "backproof: nobody: write py:MODULE:OBJECT or cmd:"),
        (("--backproof-subject=py:absent:Net",), "*py:absent:Net: there is no module absent, "),
        (("--backproof-subject=cmd:/no/such/program",), "*/no/such/program does not start"),
        (net("Absent"), "backproof: py:my_net:Absent: my_net has no Absent"),
        (net("Nothing"), "*py:my_net:Nothing: of 2000 random networks none is of what"),
        (net(cases=0), "--backproof-cases=0: expected `int` >= 1."),
        ((*net(), "--backproof-seed=-1"), "--backproof-seed=-1: expected `int` >= 0."),
        ((*net(), "--backproof-timeout=nan"), "*timeout=nan: nan is not a number"),
        ((*net(), "--backproof-cases=few"), "--backproof-cases=few: that is no number."),
        (("--backproof-max-inconclusive=2",), "*inconclusive=2: expected `float` <= 1"),
        (("--backproof-max-inconclusive=nan",), "*inconclusive=nan: nan is not a number"),
        (net("Undeclarable"), "*expected_failures: there is no check 'manners'; there are rep"),
        ((*net(), "--backproof-lane=fast"), "*lane=fast: there is no 'fast'; there are generic"),
        ((*net(), "--backproof-dtype=float32"), "*the subject declares float64 and not float32"),
        ((*net(), "--backproof-checker=me"), "*step,me: there is no 'me'; there are finite"),
        ((*net(), "backproof::py:my_net:Net::x"), "*not found: backproof::py:my_net:Net::x"),
        (("backproof::py:my_net:Net",), "*names a check of no --backproof-subject"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_4(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{words}*"])
    assert "Traceback" not in result.stderr.str()


def test_a_setting_of_the_ini_file_that_is_no_number_is_a_usage_error(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeini(f"{STRICT}backproof_cases = few\n")
    result = run("--backproof-subject=py:my_net:Net")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: tox.ini: backproof_cases=few: that is no number."])


# --- parameters of a test -------------------------------------------------------------------


def test_a_test_is_run_for_each_check_of_each_subject(run: Run, pytester: pytest.Pytester) -> None:
    decorated(pytester, '[Net, both, Net(), "py:my_net:Net"], **quick')
    result = run("-v", "-m", "backproof")
    result.assert_outcomes(passed=12)
    for name in ("Net", "both", "py:my_net:Net"):
        result.stdout.fnmatch_lines([f"test_mine.py::test_backward[[]{name}-*-002-* PASSED*"])
    result.stdout.fnmatch_lines(["12 verified"])


def test_a_wrong_subject_fails_at_the_line_of_the_test(run: Run, pytester: pytest.Pytester) -> None:
    decorated(pytester, '[Wrong], **quick, expected_failures={"*-001-*": "issue 7"}')
    result = run("-rx")
    result.assert_outcomes(failed=2, xfailed=1)
    result.stdout.re_match_lines(
        [
            r">       check\(\)",
            r"E .*CheckFailed: FAIL  dense layers\.\d\.bias in \S+-000-generic-float64",
            r"E         subject   py:my_net:Wrong",
            r"test_mine\.py:\d+: CheckFailed",
            r"XFAIL .*-001-.* issue 7",
        ]
    )
    assert "generated_checks.py" not in result.stdout.str()


def test_the_checks_of_a_test_count_as_the_items_do(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts |= {n: Verdict("INCONCLUSIVE", "too wide") for n in range(3)}
    decorated(pytester, "[Net], **quick")
    result = run("-rs")
    result.assert_outcomes(skipped=3)
    assert result.ret == 5
    result.stdout.fnmatch_lines(["3 inconclusive", "SKIPPED * inconclusive: too wide"])
    verdicts[0] = Verdict("ERROR", "broken")
    run().assert_outcomes(skipped=2, failed=1)


def test_a_test_that_never_calls_its_check_fails(run: Run, pytester: pytest.Pytester) -> None:
    decorated(pytester, "[Net], **quick", body="pass")
    result = run()
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["the test never called its check, so nothing was verified"])


def test_the_checks_of_a_test_run_without_the_plugin(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts |= {1: Verdict("FAIL", "wrong"), 2: Verdict("UNSUPPORTED", "not today")}
    decorated(pytester, "[Net], **quick")
    result = pytester.runpytest_inprocess("-p", "no:backproof")
    result.assert_outcomes(passed=1, failed=1, skipped=1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ('["py:my_net:Absent"]', "backproof: py:my_net:Absent: * has no Absent"),
        ("[Nothing]", "backproof: Nothing: of 2000 random networks none is of what*"),
        ("[Net], lanes=['fast']", "backproof: Net: there is no lane 'fast': *"),
        ("[Net], cases=0", "backproof: Net: cases must be an integer of at least 1, got 0"),
        ("[Net], seed=-1", "backproof: Net: seed must be an integer from 0 to *, got -1"),
        ("[Net], timeout=0", "backproof: Net: timeout must be a positive number of *, got 0"),
        ("[Net], expected_failures={'warp': 'slow'}", "backproof: Net: there is no operator *"),
    ],
)
def test_bad_input_is_one_sentence_where_the_test_is_collected(
    run: Run, pytester: pytest.Pytester, arguments: str, words: str
) -> None:
    decorated(pytester, arguments)
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("subjects", ["py:my_net:Net", [], 7])
def test_subjects_must_be_a_list(subjects: list[str]) -> None:
    with pytest.raises(TypeError, match="must be a list of at least one"):
        parametrize_with_checks(subjects)


def test_without_pytest_the_decorator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ImportError, match="needs pytest: pip install pytest"):
        backproof.parametrize_with_checks([backproof.value_and_gradients])


# --- checks by themselves ---------------------------------------------------------------------


def checks(cases: int = 4) -> tuple[GeneratedCheck, ...]:
    return generate(backproof.value_and_gradients, cases=cases)


def test_a_check_is_called_without_any_test_runner(verdicts: Verdicts) -> None:
    verdicts |= {
        1: Verdict("FAIL", "wrong"), 2: Verdict("ERROR", "broken"),
        3: Verdict("INCONCLUSIVE", "too wide"),
    }  # fmt: skip
    right, wrong, broken, undecided = checks()
    right()
    assert right.verdict is not None and right.verdict.status == "PASS"
    assert repr(right) == f"<{right.id} of py:backproof.reference.network:value_and_gradients>"
    for check, error in ((wrong, CheckFailed), (broken, HarnessError), (undecided, Undecided)):
        with pytest.raises(error):
            check()


def test_the_twentieth_check_plants_a_fault_and_an_unnoticed_one_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = checks(12)
    assert [i for i, check in enumerate(every) if check.job.cases[0].control] == [10]
    passed = Verdict("PASS")
    control = ControlResult("halved", "a half", "layers.0", "dense", False, passed, 0.0)
    encoded = msgspec.msgpack.encode([Result(passed, 0.0, control)])
    monkeypatch.setattr(generated_checks, "run_job", lambda job: encoded)
    with pytest.raises(HarnessError, match=r"a planted fault went unnoticed: halved at layers\.0"):
        every[10]()


def test_a_failure_that_cannot_be_reduced_is_shown_as_it_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*given: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(generated_checks, "shrink", breaks)
    check = checks(1)[0]
    report = check.report(Verdict("FAIL", "wrong\x1b[31m"))
    assert "minimal" not in report and "because   wrong\\x1b[31m" in report


def test_no_cause_is_sought_where_no_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated_checks, "cause_of", lambda *given: "a cause")
    check = checks(1)[0]
    wrong = Verdict("FAIL", "wrong", operator="dense", tensor="input")
    assert "cause     a cause" in check.report(wrong)
    check.purse.left = 0.0
    assert "cause" not in check.report(wrong).replace("because", "")


def test_an_expected_failure_is_an_operator_or_a_pattern_of_ids() -> None:
    check = checks(1)[0]
    assert excuse(check, {check.job.architecture.operators[0]: "slow"}) == "slow"
    assert excuse(check, {"*-000-*": "first"}) == "first"
    assert excuse(check, {"no_such": "x", "*-001-*": "second"}) is None


def test_what_a_subject_does_not_declare_is_not_asked() -> None:
    class Small:
        def describe(self) -> Capabilities:
            return Capabilities(operators=("dense", "relu", "variable"), losses=("huber",))

        def gradients(self, case: object) -> None: ...

    named = {"dense", "relu", "variable", "huber", "l1", "l2"}
    for check in generate(Small, cases=12):
        assert set(check.job.architecture.operators) <= named
        assert check.job.cases[0].dtype == "float64"


def test_an_object_that_is_no_subject_is_refused() -> None:
    with pytest.raises(SubjectAbsent, match="neither a function nor has it a method"):
        generate(7)


def test_the_help_states_the_defaults() -> None:
    words = {option.name: option.help for option in OPTIONS}
    assert f"[default: {CASES}]" in words["cases"]
    assert f"[default: {Limits.answer:.0f}s]" in words["timeout"]
    assert f"[default: {MAX_INCONCLUSIVE}]" in words["max-inconclusive"]
    assert f"[default: {DEFAULTS['seed']}]" in words["seed"]


def test_the_plugin_imports_nothing_but_pytest_until_it_is_used() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import backproof.pytest_plugin\n"
        "print(*{m.partition('.')[0] for m in set(sys.modules) - before}, sep='\\n')"
    )
    done = python("-c", program)
    assert set(done.stdout.split()) <= {"backproof", *sys.stdlib_module_names}


def test_a_program_may_import_us_before_it_starts_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeini(STRICT)
    done = python("-c", "import backproof, pytest; pytest.main(['-p', 'no:xdist'])")
    assert "no tests ran" in done.stdout and not done.stderr


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


# --- the fixture ------------------------------------------------------------------------------

FUNCTIONS = """
import backproof
import numpy as np

x = np.array([1.0, -2.0])
seeds = []

def double(x):
    return 2 * x

def right(saved, y_bar):
    return 2 * y_bar

def wrong(saved, y_bar):
    return y_bar

def test_right(gradient_check):
    verdict = gradient_check(backproof.check_backward, double, right, x)
    assert verdict.status == "PASS"

def test_wrong(gradient_check):
    gradient_check(backproof.check_backward, double, wrong, x)

def test_by_hand(gradient_check):
    verdict = gradient_check(backproof.check_backward, double, wrong, x, raise_exception=False)
    assert verdict, "as expected"

def seed(*arguments, seed, raise_exception):
    seeds.append(seed)
    return True

def test_a_seed(gradient_check):
    gradient_check(seed)
    gradient_check(seed)
    assert seeds[0] == seeds[1]

def test_another_seed(gradient_check):
    gradient_check(seed)
    gradient_check(seed, seed=3)
    assert seeds[2] != seeds[0] and seeds[3] == 3
"""


def test_the_fixture_checks_a_function_with_a_seed_of_the_test_s_own(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_of_functions=FUNCTIONS)
    result = run()
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            ">       gradient_check(backproof.check_backward, double, wrong, x)",
            "E       *GradientCheckError: * is WRONG: 1 of * checks did not pass",
            "test_of_functions.py:*: GradientCheckError",
            "*Captured backproof call*",
            "  FAIL  values of input 0: entry (0,) is 1, must be 2 *",
            "seed *",
            "*as expected*",
            "*Captured backproof call*",
        ]
    )
    assert "pytest_plugin.py" not in result.stdout.str()


# --- the tutorial -----------------------------------------------------------------------------


def test_the_examples_of_the_tutorial_are_tests(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    text = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for i, code in enumerate(examples):
        (pytester.path / f"test_example_{i}.py").write_text(code)
    result = run("-v")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] > 20
