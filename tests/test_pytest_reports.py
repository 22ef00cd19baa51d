"""What a session in pytest leaves: the folder of reports, however it ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import invoke
from helpers_pytest import (
    NUMERICAL,
    REPORT,
    RERUN,
    STRICT,
    Run,
    Verdicts,
    cases,
    decorated,
    found,
    headed,
    last,
    net,
    path,
)

from backproof import saving
from backproof.checkers.verdict import Verdict
from backproof.folders import holding
from backproof.in_pytest import keeping
from backproof.reports import events as stream
from backproof.reports.events import (
    AnyEvent,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    FunctionChecked,
    RunStarted,
)
from backproof.reports.summary import summarise
from backproof.reports.write import REPORTS
from backproof.shrinking import shrink

ROOT = Path(__file__).parents[1]


def timeless(events: list[AnyEvent]) -> list[Any]:
    """The events without what changes from one session to the next."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in ("at", "seconds")}
        return [without(v) for v in value] if isinstance(value, list) else value

    return [without(stream.plain(event)) for event in events]


# --- the folder ---------------------------------------------------------------------------


def test_a_session_leaves_its_events_and_every_report(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[1] = Verdict("FAIL", "wrong")
    result = run(*net(), REPORT)
    result.stdout.fnmatch_lines(["backproof: reports in found", "reports in found"])
    events = found(pytester)
    start = events[0]
    assert isinstance(start, RunStarted)
    assert start.subject == "py:my_net:Net" and start.seed == 0
    assert start.command.startswith("pytest --backproof-subject=py:my_net:Net --backproof-cases=4")
    assert [c.verdict.status for c in cases(events)] == ["PASS", "FAIL", "PASS", "PASS"]
    assert all(c.id.startswith("backproof::py:my_net:Net::") for c in cases(events))
    (saved,) = (e for e in events if isinstance(e, FailureSaved))
    assert saved.id == cases(events)[1].id
    assert saved.replay == f"backproof replay found/{saved.path}"
    assert last(events).exit_code == 1 and not last(events).interrupted
    names = {path.name for path in (pytester.path / "found").iterdir()}
    assert {*REPORTS} - {"report.sarif"} <= names
    report = json.loads((pytester.path / "found" / "report.json").read_text())
    assert report["counts"]["PASS"] == 3 and report["exit_code"] == 1


def test_a_real_failure_stands_in_the_reports_as_it_was_reduced(
    run: Run, pytester: pytest.Pytester
) -> None:
    run(*net("Wrong", 1), REPORT).assert_outcomes(failed=1)
    (failure,) = summarise(found(pytester)).failures
    assert str(failure.minimal) == "(1, 1) > dense 1 > squared_error"
    assert failure.minimal_verdict is not None and failure.minimal_verdict.status == "FAIL"
    assert "is 1/2 (0.5) times the right one" in failure.cause
    page = (pytester.path / "found" / "report.md").read_text()
    assert failure.replay in page and failure.cause in page
    sarif = json.loads((pytester.path / "found" / "report.sarif").read_text())
    (place,) = sarif["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("my_net.py")


def test_planted_faults_are_in_the_stream_too(run: Run, pytester: pytest.Pytester) -> None:
    run(*net(cases=11), REPORT, "-k", "010").assert_outcomes(passed=1, deselected=10)
    (control,) = (e for e in found(pytester) if isinstance(e, ControlFinished))
    assert control.caught and control.id == f"{cases(found(pytester))[0].id}-control"


def test_an_expected_failure_is_known_in_the_reports(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[0] = Verdict("FAIL", "wrong")
    pytester.makeini(f"{STRICT}backproof_expected_failures = *-000-*: issue 7\n")
    result = run(*net(), REPORT)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["3 verified, 1 failed as expected"])
    (known,) = (e for e in found(pytester) if isinstance(e, CaseKnown))
    assert known.known == "issue 7" and known.id == cases(found(pytester))[0].id
    assert last(found(pytester)).exit_code == 0


def test_what_proves_too_little_is_not_verified_in_the_reports(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[0] = Verdict("INCONCLUSIVE", "too wide")
    assert run(*net(), REPORT).ret == 5
    words = "25.0% of 4 checks of py:my_net:Net decided nothing; the budget allows 10.0%."
    assert (last(found(pytester)).exit_code, last(found(pytester)).reason) == (5, words)
    verdicts[0] = Verdict("TIMEOUT", "no answer")
    assert run(*net(), REPORT).ret == 1
    assert last(found(pytester)).exit_code == 5
    assert last(found(pytester)).reason == "1 of 4 cases timed out."


def test_tests_with_checks_are_in_the_reports_by_their_names(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[1] = Verdict("FAIL", "wrong")
    decorated(pytester, "[Net, both], **quick, expected_failures={'*-001-*': 'issue 7'}")
    assert run(REPORT).ret == 0
    events = found(pytester)
    start = events[0]
    assert isinstance(start, RunStarted)
    assert start.subject == "py:my_net:Net, py:my_net:both"
    assert start.command.endswith(" test_mine.py::test_backward")
    assert len(cases(events)) == 6
    assert all(c.id.startswith("test_mine.py::test_backward[") for c in cases(events))
    assert {e.known for e in events if isinstance(e, CaseKnown)} == {"issue 7"}


def test_a_fixture_may_have_checks_for_its_parameters(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    pytester.makepyfile(
        test_fixture="""
        import pytest
        from backproof.generated_checks import generate
        from my_net import Net

        @pytest.fixture(params=generate(Net, cases=3), ids=str)
        def one(request):
            return request.param

        def test_backward(one):
            one()
        """
    )
    result = run(REPORT, "-m", "backproof")
    result.assert_outcomes(passed=3)
    assert len(cases(found(pytester))) == 3


FUNCTIONS = """
import backproof
import numpy as np
import pytest

x = np.array([1.0, -2.0])

def double(x):
    return 2 * x

def right(saved, y_bar):
    return 2 * y_bar

def wrong(saved, y_bar):
    return y_bar

def test_right(gradient_check):
    gradient_check(backproof.check_backward, double, right, x)

@pytest.mark.xfail(reason="issue 9")
def test_known(gradient_check):
    gradient_check(backproof.check_backward, double, wrong, x)

def test_by_hand(gradient_check):
    assert not gradient_check(backproof.check_backward, double, wrong, x, raise_exception=False)
"""

WRONG_FUNCTION = """
def test_wrong(gradient_check):
    gradient_check(backproof.check_backward, double, wrong, x)
"""


def test_what_the_fixture_checked_is_in_the_reports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_of_functions=FUNCTIONS)
    assert_functions_are_told(pytester, pytester.runpytest_inprocess(REPORT, "-p", "no:xdist"))
    assert last(found(pytester)).reason == "functions: 1 verified, 1 failed as is known."


def assert_functions_are_told(pytester: pytest.Pytester, result: pytest.RunResult) -> None:
    """Those of FUNCTIONS are in the summary and in the reports."""
    assert result.ret == 0
    result.stdout.fnmatch_lines(["functions: 1 verified, 1 failed as is known", "reports in found"])
    events = found(pytester)
    checked = [e for e in events if isinstance(e, FunctionChecked)]
    assert [(e.id.partition("::")[2], e.status, e.known) for e in checked] == [
        ("test_known", "FAIL", "issue 9"), ("test_right", "PASS", ""),
    ]  # fmt: skip
    assert last(events).exit_code == 0


def test_a_wrong_function_is_wrong_in_every_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_of_functions=FUNCTIONS + WRONG_FUNCTION)
    result = pytester.runpytest_inprocess(REPORT, "--tb=no", "-p", "no:xdist")
    assert result.ret == 1
    result.stdout.re_match_lines(
        [
            "functions: 1 verified, 1 wrong, 1 failed as is known",
            "FAIL  double and wrong",
            "  because   values of input 0: entry .*",
            r"  replay    pytest test_of_functions\.py::test_wrong",
        ]
    )
    said = last(found(pytester))
    assert (said.exit_code, said.reason) == (
        1, "1 of 3 functions is wrong; first double and wrong in test_of_functions.py::test_wrong.",
    )  # fmt: skip
    folder = pytester.path / "found"
    for name in ("report.md", "report.html", "junit.xml", "report.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "test_of_functions.py::test_wrong" in text and "values of input 0" in text, name
    assert "wrong in 1" in (folder / "badge.json").read_text()
    shown = invoke("report", str(folder))
    assert shown.exit_code == 1
    assert "functions: 1 verified, 1 wrong, 1 failed as is known" in shown.output


RAISED = """
import pytest
def test_raised(gradient_check):
    with pytest.raises(AssertionError):
        gradient_check(backproof.check_backward, double, wrong, x)
"""


def functions_of(pytester: pytest.Pytester) -> list[tuple[str, str]]:
    return [(e.status, e.known) for e in found(pytester) if isinstance(e, FunctionChecked)]


def only_these(pytester: pytest.Pytester, *tests: str) -> pytest.RunResult:
    """A session of these functions' tests alone."""
    setting = FUNCTIONS.partition("def test_right")[0]
    pytester.makepyfile(test_of_functions=setting + "".join(tests))
    return pytester.runpytest_inprocess(REPORT, "--tb=no", "-p", "no:xdist")


def test_a_failure_that_the_test_itself_expects_is_known(pytester: pytest.Pytester) -> None:
    right = "def test_right(gradient_check):\n    gradient_check(backproof.check_backward, "
    result = only_these(pytester, RAISED, right + "double, right, x)\n")
    assert result.ret == 0 and last(found(pytester)).exit_code == 0
    assert sorted(functions_of(pytester)) == [("FAIL", "the test expects it"), ("PASS", "")]


def test_a_failure_that_is_raised_and_then_fails_the_test_is_not_known(
    pytester: pytest.Pytester,
) -> None:
    result = only_these(pytester, RAISED + "    assert False\n")
    assert result.ret == 1 and last(found(pytester)).exit_code == 1
    assert functions_of(pytester) == [("FAIL", "")]


XFAILED = """
import pytest
@pytest.mark.xfail(reason="issue 9")
def test_known(gradient_check):
    gradient_check(backproof.check_backward, double, wrong, x)
"""


@pytest.mark.parametrize("tests", [XFAILED, RAISED])
def test_where_nothing_but_expected_failures_was_found_pytest_and_the_reports_say_5(
    pytester: pytest.Pytester, tests: str
) -> None:
    result = only_these(pytester, tests)
    assert result.ret == 5 and last(found(pytester)).exit_code == 5
    result.stdout.fnmatch_lines(["functions: 1 failed as is known: exit code 5"])


def test_where_every_generated_check_is_expected_to_fail_both_say_5(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts.update(dict.fromkeys(range(4), Verdict("FAIL", "wrong")))
    pytester.makeini(f"{STRICT}backproof_expected_failures = *: issue 7\n")
    result = run(*net(), REPORT)
    result.assert_outcomes(xfailed=4)
    assert result.ret == 5 and last(found(pytester)).exit_code == 5
    result.stdout.fnmatch_lines(["None of 4 cases passed: exit code 5"])
    verdicts[2] = Verdict("PASS")
    most = "".join(f"  *-00{i}-*: issue 7\n" for i in (0, 1, 3))
    pytester.makeini(f"{STRICT}backproof_expected_failures =\n{most}")
    result = run(*net(), REPORT)
    result.assert_outcomes(xfailed=3, passed=1)
    assert result.ret == 0 and last(found(pytester)).exit_code == 0


def test_a_check_that_fails_within_raises_is_known(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts.update(dict.fromkeys(range(3), Verdict("FAIL", "wrong")))
    decorated(pytester, "[Net], **quick", "with pytest.raises(AssertionError): check()")
    test = pytester.path / "test_mine.py"
    test.write_text("import pytest\n" + test.read_text())
    result = run(REPORT)
    result.assert_outcomes(passed=3)
    events = found(pytester)
    assert [e.known for e in events if isinstance(e, CaseKnown)] == ["the test expects it"] * 3
    assert result.ret == 5 and last(events).exit_code == 5, "nothing was verified"


@pytest.mark.parametrize(("second", "code"), [("right", 0), ("wrong", 1)])
def test_of_a_test_that_is_run_again_the_last_attempt_counts(
    pytester: pytest.Pytester, second: str, code: int
) -> None:
    pytester.makeconftest(RERUN)
    flaky = f"""
attempts = iter([wrong, {second}])
def test_flaky(gradient_check):
    rule = next(attempts)
    gradient_check(backproof.check_backward, double, right, x)
    gradient_check(backproof.check_backward, double, rule, x)
"""
    result = only_these(pytester, flaky)
    assert result.ret == last(found(pytester)).exit_code == code
    assert [status for status, _ in functions_of(pytester)] == [
        "PASS", "FAIL" if code else "PASS",
    ], "both of one attempt, and of one alone"  # fmt: skip


def test_the_ini_file_s_folder_is_beside_it_and_written_where_there_are_checks(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    pytester.makeini(f"{STRICT}backproof_report = found\n")
    pytester.makepyfile(test_other="def test_other(): pass")
    folder = pytester.mkdir("below")
    monkey = pytest.MonkeyPatch()
    monkey.chdir(folder)
    monkey.syspath_prepend(pytester.path)
    try:
        pytester.runpytest_inprocess("..").assert_outcomes(passed=1)
        assert not (pytester.path / "found").exists()
        run(*net("Net", 2), "--collect-only")
        assert not (pytester.path / "found").exists()
        run(*net("Net", 2)).assert_outcomes(passed=2)
        assert len(cases(found(pytester))) == 2
        pytester.runpytest_inprocess("..").assert_outcomes(passed=1)
        assert len(cases(found(pytester))) == 2
    finally:
        monkey.undo()
    decorated(pytester, "[Net], **quick")
    pytester.runpytest_inprocess("test_mine.py").assert_outcomes(passed=3)
    assert len(cases(found(pytester))) == 3


def test_a_session_leaves_no_report_of_an_earlier_one(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    run(*net(), REPORT)
    result = run(*net(), REPORT, "-k", "no_such_operator")
    result.stdout.fnmatch_lines(["no check ran", "reports in found"])
    assert cases(found(pytester)) == []
    assert last(found(pytester)).exit_code == 5
    assert "NOTHING VERIFIED" in (pytester.path / "found" / "report.md").read_text()


def test_two_sessions_in_one_folder_do_not_mix(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    run(*net(), REPORT)
    before = (pytester.path / "found" / stream.FILE).read_bytes()
    with holding(pytester.path / "found"):
        result = run(*net(), REPORT)
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["ERROR: --backproof-report *found: the run of process * writes there; give this one a *"]
    )
    assert (pytester.path / "found" / stream.FILE).read_bytes() == before
    run(*net(), REPORT).assert_outcomes(passed=4)


def test_a_folder_that_cannot_be_is_one_sentence(run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "found").write_text("a file")
    result = run(*net(), REPORT)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --backproof-report *found: File exists."])
    assert run(*net(), "--backproof-report=").ret == 4


def test_a_full_disk_costs_the_files_and_is_told(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*given: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("backproof.in_pytest.recording.write_all", no_space)
    result = run(*net(), REPORT)
    result.assert_outcomes(passed=4)
    assert result.ret == 3
    result.stdout.fnmatch_lines(["--backproof-report *found: No space left on device"])
    verdicts[0] = Verdict("FAIL", "wrong")
    assert run(*net(), REPORT).ret == 1


# --- sessions that end early --------------------------------------------------------------


def test_ctrl_c_keeps_what_was_verified(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[2] = KeyboardInterrupt()
    result = run(*net(), REPORT)
    assert result.ret == 2
    events = found(pytester)
    assert len(cases(events)) == 2 and last(events).interrupted
    assert last(events).reason == "Interrupted after 2 cases, none of which failed."
    assert "INTERRUPTED" in (pytester.path / "found" / "report.md").read_text()
    result.stdout.fnmatch_lines(["2 verified", "reports in found"])


def test_a_session_stopped_at_the_first_failure_keeps_what_was_found(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[1] = Verdict("FAIL", "wrong")
    run(*net(), REPORT, "-x").assert_outcomes(passed=1, failed=1)
    assert len(cases(found(pytester))) == 2 and last(found(pytester)).exit_code == 1


SLOW = """
import os, signal, time
from my_net import Net

class Waits(Net):
    def gradients(self, case):
        if case.seed >= 3:
            time.sleep(60)
        return super().gradients(case)

class Dies(Net):
    def gradients(self, case):
        if case.lane == "exact":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().gradients(case)
"""


@contextmanager
def started(pytester: pytest.Pytester, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """pytest in a group of its own, as soon as it has told three cases."""
    pytester.makepyfile(slow=SLOW)
    command = [sys.executable, "-m", "pytest", *NUMERICAL, REPORT, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": path()},
    )  # fmt: skip
    events = pytester.path / "found" / stream.FILE
    try:
        until = time.monotonic() + 120
        while not (events.exists() and events.read_bytes().count(b"case_finished") >= 3):
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_real_ctrl_c_keeps_what_was_verified(
    run: Run, pytester: pytest.Pytester, workers: str
) -> None:
    arguments = ("--backproof-subject=py:slow:Waits", "--backproof-cases=6", "-n", workers)
    with started(pytester, *arguments) as process:
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2, output
        assert len(cases(found(pytester))) == 3 and last(found(pytester)).interrupted
        assert "3 verified" in output and (pytester.path / "found" / "report.html").exists()


def test_a_session_that_is_killed_leaves_what_it_verified(
    run: Run, pytester: pytest.Pytester
) -> None:
    arguments = ("--backproof-subject=py:slow:Waits", "--backproof-cases=6")
    with started(pytester, *arguments) as process:
        process.kill()
    summary = summarise(found(pytester))
    assert summary.counts["PASS"] == 3 and summary.interrupted and summary.exit_code is None
    assert summary.subject == "py:slow:Waits"


# --- xdist --------------------------------------------------------------------------------


FAST = """
import functools
from backproof import saving
from backproof.in_pytest import keeping

keeping.MOST_FAILURES = 2
saving.shrink = functools.partial(saving.shrink, budget=4)
"""
"""A conftest.py, for workers too: reductions go on for less, and fewer are kept."""


def test_a_session_is_the_same_with_xdist_and_without(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path())
    monkeypatch.setattr(saving, "shrink", shrink)  # so that what FAST changes is put back
    monkeypatch.setattr(keeping, "MOST_FAILURES", 2)
    pytester.makeconftest(FAST)
    decorated(
        pytester,
        """[Wrong, Net], cases=2, seed=8, checkers=["complex_step"],
        expected_failures={"*-001-*": "issue 7"}""",
    )
    pytester.makeini(STRICT.replace("xfail_strict = true", ""))
    asked = (*net("Wrong", 2), *net("Net", 2), "--backproof-checker=complex_step")
    seen = []
    for workers in ("0", "2"):
        more = ("--backproof-seed=8", "-n", workers, REPORT, "--tb=no", "-rN")
        result = pytester.runpytest_inprocess(*asked, *more)
        assert result.ret == 1
        counts = result.parseoutcomes()
        lines = result.outlines
        section = lines[next(i for i, line in enumerate(lines) if headed(line)) : -1]
        header = [line for line in lines if line.startswith("backproof: ")]
        folder = pytester.path / "found" / "failures"
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        seen.append((counts, header, section, timeless(found(pytester)), files))
    assert seen[0] == seen[1]
    counts, header, section, events, files = seen[0]
    assert counts == {"failed": 3, "passed": 3, "xfailed": 1, "xpassed": 1}
    assert len(header) == 3 and "4 verified, 3 wrong, 1 failed as expected" in section
    assert len([e for e in events if e["event"] == "case_finished"]) == 8
    kept = [e["id"].partition("::")[0] for e in events if e.get("path")]
    assert kept == ["backproof"] * 2 and len(files) == 6, "the plan's, though tests come first"


def test_xdist_s_controller_hears_of_checks_that_nobody_announced(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path())
    pytester.makepyfile(test_of_functions=FUNCTIONS)
    decorated(pytester, "[Net], **quick")
    pytester.makeini(f"{STRICT}backproof_report = found\n")
    result = pytester.runpytest_inprocess("-n", "1")
    result.assert_outcomes(passed=5, xfailed=1)
    result.stdout.fnmatch_lines(["3 verified"])
    assert len(cases(found(pytester))) == 3
    assert_functions_are_told(pytester, result)


def test_a_case_that_kills_its_worker_is_an_error_in_the_reports(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path())
    pytester.makepyfile(slow=SLOW)
    arguments = ("--backproof-subject=py:slow:Dies", "--backproof-cases=4", "-n", "1")
    result = run(*arguments, REPORT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["3 verified, 1 broken in the harness"])
    statuses = [c.verdict.status for c in cases(found(pytester))]
    assert statuses == ["PASS", "PASS", "ERROR", "PASS"]
    assert last(found(pytester)).exit_code == 3


def test_a_test_that_kills_its_worker_leaves_the_session_unverified(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path())
    pytester.makepyfile(slow=SLOW)
    decorated(pytester, "['py:slow:Dies'], **quick")
    assert run("-n", "1", REPORT).ret == 1
    assert [c.verdict.status for c in cases(found(pytester))] == ["PASS", "PASS"]
    assert last(found(pytester)).exit_code == 5
    words = r"What test_mine.py::test_backward\[.*-002-.*\] checks is not known: its process died\."
    assert re.fullmatch(words, last(found(pytester)).reason)
