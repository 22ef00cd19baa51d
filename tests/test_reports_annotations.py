"""Annotations: the worst first, within the platforms' limits, and nothing of a subject's obeyed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import streams
from helpers_cli import invoke
from helpers_github import LEVELS, Heard, heard

from backproof.checkers.checks import Check
from backproof.checkers.verdict import Verdict
from backproof.reports import events, sarif
from backproof.reports.annotations import github, gitlab
from backproof.reports.events import AnyEvent, CaseKnown, FunctionChecked, Replayed, Source
from backproof.reports.exit_codes import outcome
from backproof.reports.gate import Budgets
from backproof.reports.summary import summarise
from backproof.reports.text import printable

SOURCE = Source("my package/net.py", 12)
NAMES = (
    "clean", "with_failure", "interrupted", "cut_off", "control_missed", "nothing_verified",
    "every_status", "hostile",
)  # fmt: skip


def located(found: Sequence[AnyEvent], source: Source | None = SOURCE) -> list[AnyEvent]:
    return [streams.started(subject="py:net:Net", source=source), *found[1:]]


def on_github(found: Sequence[AnyEvent], source: Source | None = SOURCE) -> list[Heard]:
    """What the runner makes of it; every line must be one annotation, and no line more."""
    text = github(located(found, source))
    commands = heard(text)
    assert len(commands) == text.count("\n") == len(text.splitlines())
    assert {command.name for command in commands} <= set(LEVELS)
    return commands


def bad(i: int, status: str = "FAIL") -> AnyEvent:
    verdict = Verdict(status, "no", operator="dense", tensor=f"w{i}")  # type: ignore[arg-type]
    return streams.case(i, verdict)


# --- what is said ------------------------------------------------------------------------


def test_a_verified_run_has_no_annotation() -> None:
    assert github(located(streams.clean())) == ""


def test_a_failure_stands_at_the_subject_s_line() -> None:
    (only,) = on_github(streams.with_failure())
    assert only.name == "error"
    assert only.properties == {
        "file": "my package/net.py",
        "line": "12",
        "title": "Wrong gradient: dense layers.0.bias",
    }
    assert only.data.splitlines()[0] == (
        "Wrong gradient of dense layers.0.bias in 1 case, first case-1."
    )
    assert only.data.splitlines()[-1] == "Replay: backproof replay failures/case-1.json."


def test_without_a_known_place_the_annotation_is_the_run_s() -> None:
    (only,) = on_github(streams.with_failure(), source=None)
    assert only.name == "error" and set(only.properties) == {"title"}


def test_one_mistake_is_one_annotation_however_many_cases_show_it() -> None:
    many: list[AnyEvent] = [
        streams.started(),
        *(streams.case(i, streams.failed()) for i in range(30)),
    ]
    (only,) = on_github(many)
    assert "in 30 cases, first case-0" in only.data


def test_a_known_failure_is_a_notice_and_no_error() -> None:
    known = [*streams.with_failure()[:-1], CaseKnown(id="case-1", known="dense-bias-1"),
             streams.finished(0, "All is known.")]  # fmt: skip
    (only,) = on_github(known)
    assert only.name == "notice"
    assert only.properties["title"] == "Known failure: dense layers.0.bias"
    assert "dense-bias-1 still fails, as is known" in only.data
    assert only.properties["file"] == SOURCE.file


def replayed(outcome: str, known: bool, **changes: Any) -> AnyEvent:
    fields: dict[str, Any] = {
        "id": f"saved-{outcome}", "known": known, "outcome": outcome,
        "architecture": streams.MINIMAL, "verdict": streams.failed(), "note": "ticket 12",
    }  # fmt: skip
    return Replayed(**(fields | changes))


@pytest.mark.parametrize(
    "outcome, known, level",
    [
        ("failed", False, "error"),
        ("changed", True, "error"),
        ("expired", True, "error"),
        ("error", False, "error"),
        ("not_reached", False, "error"),
        ("not_reached", True, "notice"),
        ("fixed", True, "notice"),
        ("expected", True, "notice"),
        ("passed", False, None),
        ("elsewhere", True, None),
    ],
)
def test_a_saved_case_is_an_error_where_it_fails_the_gate(
    outcome: str, known: bool, level: str | None
) -> None:
    run = [*streams.clean()[:-1], replayed(outcome, known)]
    summary = summarise([*run, streams.finished(0)])
    assert summary.replays
    found = on_github([*run, streams.finished(1 if level == "error" else 0, "It is so.")])
    assert [command.name for command in found] == ([level] if level else [])
    if level:
        assert f"saved-{outcome}" in found[0].data and "ticket 12" in found[0].data


def test_a_missed_budget_is_an_error_with_its_sentence() -> None:
    options = {"budgets": events.plain(Budgets(min_cases=9, min_resolution={"float32": 1e-5}))}
    run: list[AnyEvent] = [streams.started(options=options), streams.case(0, streams.passed()),
           streams.finished(5, "1 case passed; the budget demands 9 at least.")]  # fmt: skip
    found = heard(github(run))
    assert [(c.name, c.properties["title"]) for c in found] == [
        ("error", "Backproof: budget missed")
    ] * 2
    assert found[0].data == "1 case passed; the budget demands 9 at least."


def test_a_timeout_is_a_warning_and_an_error_of_the_harness_an_error() -> None:
    found = on_github(streams.every_status())
    titles = [(c.name, c.properties["title"]) for c in found]
    assert titles[0] == ("error", "Wrong gradient: dense layers.0.bias")
    assert ("error", "Backproof: ERROR") in titles
    assert ("error", "Backproof: a planted fault went unnoticed") in titles
    assert titles[-1] == ("warning", "Backproof: TIMEOUT")


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_not_verified_has_an_error_and_only_such_a_run(name: str) -> None:
    run = located(getattr(streams, name)())
    errors = [c for c in heard(github(run)) if c.name == "error"]
    assert bool(errors) == (outcome(summarise(run))[0] != 0)


# --- limits -------------------------------------------------------------------------------


def test_what_is_more_than_github_shows_is_counted_in_the_last_line() -> None:
    known = [CaseKnown(id=f"case-{i}", known=f"known-{i}") for i in range(40, 55)]
    run = [streams.started(), *map(bad, range(37)), *(bad(i, "TIMEOUT") for i in range(37, 40)),
           *map(bad, range(40, 55)), *known]  # fmt: skip
    found = on_github(run)
    assert Counter(c.name for c in found) == {"error": 10, "warning": 3, "notice": 10}
    left = 37 - 10 + 15 - 9
    assert found[-1].data == f"{left} more annotations: report.md and report.html have everything."


def test_ten_of_each_are_shown_without_a_last_line() -> None:
    known = [CaseKnown(id=f"case-{i}", known=f"known-{i}") for i in range(10, 20)]
    found = on_github([streams.started(), *map(bad, range(20)), *known])
    assert Counter(c.name for c in found) == {"error": 10, "notice": 10}
    assert not any("more annotation" in c.data for c in found)


def test_a_long_message_is_cut_below_what_github_takes() -> None:
    long = Verdict("FAIL", "x" * 10_000, operator="y" * 10_000, tensor="%" * 10_000)
    (only,) = on_github([streams.started(), streams.case(0, long)])
    assert len(only.data) <= 1_000 < 4_096
    assert len(only.properties["title"]) <= 200 < 255


# --- nobody's commands --------------------------------------------------------------------

TRICKS = (
    "::add-mask::e",
    "x\n::error title=forged::x",
    "x\r::stop-commands::y",
    "%0A::set-output name=verdict::verified",
    "a,file=/etc/passwd,line=1",
    "::",
    "##[add-mask]e",
    "\u2028::add-mask::e",
    "\x85::add-mask::e",
    "=,=;",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_of_a_subject_s_is_obeyed(trick: str) -> None:
    verdict = Verdict("FAIL", trick, operator=trick, tensor=trick)
    run: list[AnyEvent] = [
        streams.started(),
        streams.case(0, verdict, id=trick),
        streams.saved(trick, cause=trick),
    ]
    (only,) = on_github(run, Source(trick, 3))
    assert only.name == "error" and set(only.properties) == {"file", "line", "title"}
    assert only.properties["file"] == printable(trick) and only.properties["line"] == "3"
    assert only.properties["title"] == f"Wrong gradient: {printable(f'{trick} {trick}')}"
    assert printable(trick).rstrip(".") in only.data


def test_hostile_names_are_text() -> None:
    found = on_github(streams.hostile(), Source(streams.HOSTILE, 0))
    assert [c.name for c in found] == ["error", "error", "error"]
    assert {c.properties["line"] for c in found} == {"1"}


def test_the_runner_of_these_tests_hears_what_is_not_escaped() -> None:
    for trick in (TRICKS[0], TRICKS[1], TRICKS[3].replace("%0A", "\n")):
        assert heard(trick) != [], trick
    with pytest.raises(AssertionError, match="never told to listen again"):
        heard(TRICKS[2])
    assert heard("a line ##[add-mask]e") == [Heard("add-mask", {}, "e")]
    assert heard("::stop-commands::w\n::add-mask::e\n::w::\n::error::x") == [
        Heard("error", {}, "x")
    ]


# --- GitLab -------------------------------------------------------------------------------

CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32,64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/)."},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}
"""docs.gitlab.com/ci/testing/code_quality, "Code Quality report format", as a schema."""


def on_gitlab(found: Sequence[AnyEvent], source: Source | None = SOURCE) -> list[dict[str, Any]]:
    report: list[dict[str, Any]] = json.loads(gitlab(located(found, source)))
    jsonschema.validate(report, CODE_QUALITY)
    prints = [finding["fingerprint"] for finding in report]
    assert len(set(prints)) == len(prints)
    return report


def test_gitlab_has_one_finding_for_each_mistake_with_sarif_s_fingerprint() -> None:
    (only,) = on_gitlab(streams.with_failure())
    assert only["location"] == {"path": "my package/net.py", "lines": {"begin": 12}}
    assert only["severity"] == "critical" and "dense layers.0.bias" in only["description"]
    log = json.loads(sarif.dumps(located(streams.with_failure())) or b"")
    (result,) = log["runs"][0]["results"]
    assert only["fingerprint"] == result["partialFingerprints"]["backproof/v1"]


@pytest.mark.parametrize("name", NAMES)
def test_every_run_s_report_is_one_that_gitlab_reads(name: str) -> None:
    on_gitlab(getattr(streams, name)())
    assert on_gitlab(getattr(streams, name)(), source=None) == []


def test_an_error_of_the_harness_is_no_finding_and_a_known_failure_is_for_information() -> None:
    assert on_gitlab([streams.started(), streams.case(0, Verdict("ERROR", "torch broke"))]) == []
    known = [*streams.with_failure()[:-1], CaseKnown(id="case-1", known="dense-bias-1")]
    assert [finding["severity"] for finding in on_gitlab(known)] == ["info"]


# --- on the command line --------------------------------------------------------------------


def written(folder: Path, run: Sequence[AnyEvent]) -> Path:
    (folder / "events.ndjson").write_bytes(b"".join(map(events.encode, run)))
    return folder


@pytest.mark.parametrize("name", ["clean", "with_failure", "hostile", "nothing_verified"])
def test_the_command_prints_annotations_alone_and_exits_as_the_run_did(
    name: str, tmp_path: Path
) -> None:
    run = located(getattr(streams, name)())
    result = invoke("report", str(written(tmp_path, run)), "--annotations", "github")
    assert result.exit_code == outcome(summarise(run))[0]
    assert result.stdout == github(events.read(tmp_path))
    assert (tmp_path / "report.md").exists()
    result = invoke("report", str(tmp_path), "--annotations", "gitlab")
    assert json.loads(result.stdout) == json.loads(gitlab(events.read(tmp_path)))


def test_annotations_and_a_comparison_go_together(tmp_path: Path) -> None:
    written(tmp_path, located(streams.with_failure()))
    same = invoke("report", str(tmp_path), "--against", str(tmp_path), "--annotations", "github")
    assert same.exit_code == 0, "what fails in both runs is no new failure"
    assert heard(same.stdout)[0].name == "error"
    assert "Against the older run" in (tmp_path / "report.md").read_text()


def test_another_platform_is_bad_usage(tmp_path: Path) -> None:
    written(tmp_path, streams.clean())
    result = invoke("report", str(tmp_path), "--annotations", "jenkins")
    assert result.exit_code == 4 and "github" in result.stderr


# --- functions and saved cases ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "known", "level"),
    [
        ("FAIL", "", "error"),
        ("ERROR", "", "error"),
        ("TIMEOUT", "", "warning"),
        ("INCONCLUSIVE", "", "warning"),
        ("FAIL", "issue 9", None),
        ("PASS", "", None),
    ],
)
def test_a_function_that_counts_has_an_annotation(
    status: Any, known: str, level: str | None
) -> None:
    check = Check("values of input 0", status, "why", "entry (0,) is 1")
    function = FunctionChecked(
        id="test_x.py::test", function="halve", status=status, checks=(check,), known=known,
        replay="pytest test_x.py",
    )  # fmt: skip
    found = on_github([*streams.clean()[:-1], function, streams.finished(0)])
    assert [command.name for command in found] == ([level] if level else [])
    if level:
        assert f"{status}: halve in test_x.py::test." in found[0].data
        assert "entry (0,) is 1" in found[0].data and "Replay: pytest test_x.py" in found[0].data


def test_gitlab_hears_of_a_saved_case_that_fails_with_sarif_s_fingerprint() -> None:
    run = [*streams.clean()[:-1], replayed("failed", False), streams.finished(1)]
    (only,) = on_gitlab(run)
    (result,) = json.loads(sarif.dumps(located(run)) or b"")["runs"][0]["results"]
    assert only["fingerprint"] == result["partialFingerprints"]["backproof/v1"]
    assert only["severity"] == "critical" and "saved-failed" in only["description"]
    assert on_gitlab([*run[:-2], replayed("not_reached", False), streams.finished(5)]) == []
