"""What a session in pytest says at its end: the section of ours in the summary."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from helpers_cli import on_a_terminal
from helpers_pytest import (
    NUMERICAL,
    REPORT,
    Run,
    Verdicts,
    found,
    headed,
    last,
    net,
    path,
)

from backproof.checkers.verdict import Verdict

ROOT = Path(__file__).parents[1]


def test_a_failure_is_a_short_page_with_the_command_that_repeats_it(
    run: Run, verdicts: Verdicts
) -> None:
    verdicts[2] = Verdict("FAIL", "it disagrees", operator="dense", tensor="layers.0.bias")
    result = run(*net(), "--tb=no")
    result.stdout.re_match_lines(
        [
            "3 verified, 1 wrong",
            r"resolution 1\.0e-15 to 1\.0e-12: .*",
            r"FAIL  dense layers\.0\.bias",
            r"  network   .* > squared_error",
            r"  because   it disagrees",
            r"  replay    pytest --backproof-subject=py:my_net:Net .*-002-exact-float64",
        ],
        consecutive=True,
    )


def test_quiet_is_shorter(run: Run, verdicts: Verdicts) -> None:
    verdicts |= {n: Verdict("FAIL", "it disagrees") for n in (1, 2)}
    result = run(*net(), "-q", "--tb=no", REPORT)
    result.stdout.re_match_lines(
        [
            "backproof: 2 verified, 2 wrong",
            r"  replay    backproof replay found/failures/case-00001-generic-float64-\w{8}\.json",
            "reports in found",
        ],
        consecutive=True,
    )
    text = result.stdout.str()
    assert "resolution" not in text and "it disagrees" not in text and "seed 0" not in text


def test_of_many_failures_the_first_are_shown(run: Run, verdicts: Verdicts) -> None:
    verdicts |= {n: Verdict("FAIL", "it disagrees") for n in range(12)}
    result = run(*net(cases=12), "--tb=no")
    assert sum(line.startswith("  replay ") for line in result.outlines) == 10
    result.stdout.fnmatch_lines(["2 more are above."])


def test_an_unnoticed_fault_is_told(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backproof.judging.run_control", lambda case, checkers: Unseen)
    result = run(*net(cases=11), REPORT, "-k", "010")
    result.assert_outcomes(errors=1, deselected=10)
    result.stdout.fnmatch_lines(["1 broken in the harness", "unnoticed: halved planted at loss, *"])
    assert last(found(pytester)).exit_code == 3


class Unseen:
    """A control that nobody noticed."""

    class fault:
        name, summary = "halved", "a half"

    site, expected, caught, verdict = "loss", "squared_error", False, Verdict("PASS")


def test_a_narrow_terminal_breaks_lines_at_words_and_commands_nowhere(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", path())
    monkeypatch.delenv("PY_COLORS")  # pytester's, which goes before NO_COLOR
    monkeypatch.setenv("NO_COLOR", "1")
    arguments = (*NUMERICAL, *net("Wrong", 1), "--tb=no", "-p", "no:xdist")
    program = (sys.executable, "-m", "pytest")
    code, shown = on_a_terminal(*arguments, columns=60, program=program)
    assert code == 1 and "\x1b" not in shown
    lines = shown.replace("\r", "").splitlines()
    section = lines[next(i for i, line in enumerate(lines) if headed(line)) :]
    section = section[: next(i for i, line in enumerate(section) if "short test" in line)]
    replay = [line for line in section if line.startswith("  replay ")]
    assert len(replay) == 1 and replay[0].endswith("-000-generic-float64")
    assert max(len(line) for line in section if line not in replay) <= 60
    monkeypatch.delenv("NO_COLOR")
    code, shown = on_a_terminal(*arguments, columns=60, program=program)
    assert re.search(r"\x1b\[31m(\x1b\[1m)?FAIL  dense", shown)


def test_a_hostile_name_is_escaped_wherever_it_is_shown(
    run: Run, pytester: pytest.Pytester
) -> None:
    program = ROOT / "tests" / "programs" / "relu.py"
    subject = f"--backproof-subject=cmd:'{sys.executable}' '{program}' nan \x1b[31m\u202e"
    result = run(subject, "--backproof-cases=2", "-v", "-rA", REPORT)
    assert result.ret == 1
    assert "\x1b" not in result.stdout.str() and "\u202e" not in result.stdout.str()
    assert "\\x1b[31m\\u202e: 2 cases" in result.stdout.str()
    for report in ("report.md", "report.html", "junit.xml"):
        content = (pytester.path / "found" / report).read_text(encoding="utf-8")
        assert "\x1b" not in content and "\u202e" not in content
    broken = run("--backproof-subject=cmd:/no/such/\x1b[31m")
    assert broken.ret == 4 and "\x1b" not in broken.stderr.str()
