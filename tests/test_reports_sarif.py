"""report.sarif: what SARIF 2.1.0 demands, at the subject's own line, and only where that is known.

`RULES` are the standard's properties of every object that we write, and which it requires
(OASIS, Static Analysis Results Interchange Format 2.1.0, section 3).
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import streams
from helpers_cli import QUICK, invoke

from backproof.checkers.checks import Check
from backproof.checkers.verdict import Verdict
from backproof.foreign import source_of
from backproof.reports import sarif
from backproof.reports.events import AnyEvent, CaseKnown, FunctionChecked, Replayed, Source
from backproof.reports.write import write_all
from backproof.subjects.python import PythonSubject, defined

SOURCE = Source("my package/net.py", 12)


def located(events: Sequence[AnyEvent], source: Source | None = SOURCE) -> list[AnyEvent]:
    return [streams.started(subject="py:net:Net", source=source), *events[1:]]


def log(events: Sequence[AnyEvent]) -> dict[str, Any]:
    report = sarif.dumps(located(events))
    assert report is not None
    found: dict[str, Any] = json.loads(report)
    return found


def run(events: Sequence[AnyEvent]) -> dict[str, Any]:
    (only,) = log(events)["runs"]
    found: dict[str, Any] = only
    return found


# --- the standard's rules -----------------------------------------------------------------

RULES: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": (
        {"tool"},
        {"invocations", "originalUriBaseIds", "columnKind", "results"},
    ),
    "tool": ({"driver"}, set()),
    "driver": ({"name"}, {"version", "rules"}),
    "rule": (
        {"id", "help"},  # the standard does not demand help, GitHub does
        {"name", "shortDescription", "fullDescription", "defaultConfiguration"},
    ),
    "invocation": (
        {"executionSuccessful"},
        {"exitCode", "exitCodeDescription", "commandLine", "toolExecutionNotifications"},
    ),
    "notification": ({"message"}, {"level"}),
    "result": (
        {"message"},
        {
            "ruleId",
            "ruleIndex",
            "level",
            "locations",
            "occurrenceCount",
            "partialFingerprints",
            "suppressions",
        },
    ),
    "suppression": ({"kind"}, {"justification"}),
    "message": ({"text"}, set()),
    "location": ({"physicalLocation"}, set()),
    "physicalLocation": ({"artifactLocation", "region"}, set()),
    "artifactLocation": ({"uri"}, {"uriBaseId"}),
    "region": ({"startLine"}, set()),
}
"""Object -> what it must have, and what else it may have of what we write."""


def check(kind: str, value: Any) -> None:
    required, allowed = RULES[kind]
    assert required <= value.keys() <= required | allowed, (kind, value.keys())


def check_message(message: dict[str, str]) -> None:
    check("message", message)
    text = message["text"]
    assert text.strip() and len(text) < 2 * sarif.LONGEST + 10
    assert not re.search(r"(?<!\{)(\{\{)*\{(?!\{)", text), "a placeholder"
    assert "](" not in text, "a link"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\ufffe]", text)


def check_log(found: dict[str, Any]) -> None:
    check("log", found)
    assert found["version"] == "2.1.0" and found["$schema"].endswith("sarif-schema-2.1.0.json")
    (only,) = found["runs"]
    check("run", only)
    assert only["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    check("tool", only["tool"])
    driver = only["tool"]["driver"]
    check("driver", driver)
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        check("rule", rule)
        check_message(rule["shortDescription"])
        check_message(rule["fullDescription"])
        assert rule["defaultConfiguration"] == {"level": "error"}
    for invocation in only["invocations"]:
        check("invocation", invocation)
        assert isinstance(invocation["executionSuccessful"], bool)
        for notification in invocation["toolExecutionNotifications"]:
            check("notification", notification)
            check_message(notification["message"])
    for result in only["results"]:
        check_result(result, ids, only["originalUriBaseIds"])


def check_result(result: dict[str, Any], ids: Sequence[str], bases: dict[str, Any]) -> None:
    check("result", result)
    check_message(result["message"])
    assert result["level"] in {"none", "note", "warning", "error"}
    assert ids[result["ruleIndex"]] == result["ruleId"]
    assert result["occurrenceCount"] >= 1
    assert all(isinstance(x, str) and x for x in result["partialFingerprints"].values())
    for suppression in result.get("suppressions", ()):
        check("suppression", suppression)
    for location in result["locations"]:
        check("location", location)
        place = location["physicalLocation"]
        check("physicalLocation", place)
        check("artifactLocation", place["artifactLocation"])
        assert place["artifactLocation"]["uriBaseId"] in bases
        assert re.fullmatch(r"[\w.~/%-]+", place["artifactLocation"]["uri"])
        check("region", place["region"])
        assert place["region"]["startLine"] >= 1


@pytest.mark.parametrize(
    "name",
    ["clean", "with_failure", "cut_off", "control_missed", "every_status", "hostile", "gated"],
)
def test_it_is_what_the_standard_demands(name: str) -> None:
    check_log(log(getattr(streams, name)()))


@pytest.mark.parametrize("trick", ["{0}", "[click](https://evil.example)", "}{", "{{x}}", "[x](1)"])
def test_a_message_has_no_markup_of_a_subject_s(trick: str) -> None:
    bad = Verdict("FAIL", trick, operator=trick, tensor=trick)
    check_log(log([streams.started(), streams.case(0, bad), streams.saved("case-0", cause=trick)]))


def test_the_check_itself_sees_a_link_a_placeholder_and_a_missing_property() -> None:
    for text in ("see {0}", "[x](1)", "", "\x1b[31m"):
        with pytest.raises(AssertionError):
            check_message({"text": text})
    with pytest.raises(AssertionError):
        check("result", {"ruleId": "x"})


# --- what it says -------------------------------------------------------------------------


def test_without_a_source_location_there_is_no_file(tmp_path: Path) -> None:
    assert sarif.dumps(streams.with_failure()) is None
    assert sarif.dumps([]) is None
    (tmp_path / "report.sarif").write_text("an earlier run's")
    assert "report.sarif" not in [p.name for p in write_all(tmp_path, streams.with_failure())]
    assert not (tmp_path / "report.sarif").exists()
    assert (tmp_path / "report.sarif") in write_all(tmp_path, located(streams.with_failure()))


def test_a_run_without_a_failure_closes_earlier_alerts_with_no_result() -> None:
    assert run(streams.clean())["results"] == []
    assert run(streams.clean())["invocations"][0]["executionSuccessful"] is True


def test_a_failure_is_at_the_subject_s_line() -> None:
    (result,) = run(streams.with_failure())["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "my%20package/net.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }
    assert result["ruleId"] == "wrong-gradient/dense"
    assert "dense layers.0.bias in 1 case" in result["message"]["text"]
    assert "Replay: backproof replay failures/case-1.json." in result["message"]["text"]


def test_one_mistake_is_one_alert_with_one_fingerprint_from_run_to_run() -> None:
    many: list[AnyEvent] = [
        streams.started(),
        *(streams.case(i, streams.failed()) for i in range(30)),
    ]
    (result,) = run([streams.started(), *many])["results"]
    assert result["occurrenceCount"] == 30
    (again,) = run(streams.with_failure())["results"]
    assert again["partialFingerprints"] == result["partialFingerprints"]
    other = Verdict("FAIL", "no", operator="tanh", tensor="layers.0.output")
    both = [streams.started(), *many, streams.case(40, other)]
    prints = {r["partialFingerprints"]["backproof/v1"] for r in run(both)["results"]}
    assert len(prints) == 2


def test_an_error_of_the_harness_is_a_notification_and_no_result() -> None:
    found = run([streams.started(), streams.case(0, Verdict("ERROR", "torch broke"))])
    assert found["results"] == []
    (invocation,) = found["invocations"]
    assert invocation["executionSuccessful"] is False and invocation["exitCode"] == 3
    words = [n["message"]["text"] for n in invocation["toolExecutionNotifications"]]
    assert words[1] == "ERROR in case-0: torch broke"


def test_more_mistakes_than_the_platform_takes_are_cut() -> None:
    def bad(i: int) -> AnyEvent:
        return streams.case(i, Verdict("FAIL", "no", operator="dense", tensor=f"w{i}"))

    found = run([streams.started(), *map(bad, range(sarif.MOST_RESULTS + 7))])
    assert len(found["results"]) == sarif.MOST_RESULTS == 5000


# --- where a subject is -------------------------------------------------------------------

MODULE = """\
import functools


def gradients(case):
    return 0.0, {}


@functools.cache
def cached(case):
    return 0.0, {}


class Net:
    def gradients(self, case):
        return 0.0, {}


class Called:
    def __call__(self, case):
        return 0.0, {}


called = Called()
partly = functools.partial(gradients)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A repository with a subject in it, and the current folder somewhere within."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "deep").mkdir()
    name = f"located_{abs(hash(tmp_path))}"
    (tmp_path / "deep" / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path / "deep")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda attribute: f"py:{name}:{attribute}"


@pytest.mark.parametrize(
    ("attribute", "line"),
    [("gradients", 4), ("cached", 8), ("Net", 14), ("called", 19), ("partly", 4)],
)
def test_the_line_is_that_of_the_function_that_is_asked(
    module: Callable[[str], str], attribute: str, line: int
) -> None:
    name = module(attribute)
    assert source_of(name) == Source(f"deep/{name.split(':')[1]}.py", line)


def test_a_check_of_a_python_subject_leaves_its_line(
    module: Callable[[str], str], tmp_path: Path
) -> None:
    out, only = tmp_path / "out", ("--activation", "tanh", "--max-depth", "1", "--lane", "generic")
    result = invoke("check", module("Net"), "--cases", "1", *QUICK, *only, "--output", str(out))
    assert result.exit_code == 1
    found = json.loads((out / "report.sarif").read_bytes())
    check_log(found)
    (place,) = found["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"].startswith("deep/located_")
    assert place["physicalLocation"]["region"] == {"startLine": 14}


def test_what_is_not_of_this_repository_has_no_location(
    module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_of("reference") is None and source_of("cmd:./program") is None
    assert source_of(module("absent")) is None
    assert defined(len) is None and defined(functools.partial(print)) is None
    assert defined(json.loads) is None, "elsewhere"
    assert PythonSubject("x", eval("lambda case: (0.0, {})")).defined() is None
    site = tmp_path / "venv" / "site-packages"
    site.mkdir(parents=True)
    (site / "installed_subject.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    assert source_of("py:installed_subject:gradients") is None


# --- saved cases and functions --------------------------------------------------------------


def replayed(outcome: Any, **changes: Any) -> Replayed:
    given: dict[str, Any] = {"id": "case-7", "known": outcome != "failed", "note": "issue {9}"}
    return Replayed(
        outcome=outcome, architecture=streams.MINIMAL, verdict=streams.failed(), **(given | changes)
    )


@pytest.mark.parametrize("outcome", ["failed", "changed", "expired"])
def test_a_saved_case_that_fails_is_a_result_of_its_own(outcome: str) -> None:
    gate: list[AnyEvent] = [streams.started(), streams.case(0, streams.passed()), replayed(outcome)]
    events: list[AnyEvent] = [*gate, streams.finished(1, "1 saved case fails.")]
    check_log(log(events))
    found = run(events)
    (result,) = found["results"]
    assert "suppressions" not in result and result["ruleId"] == "wrong-gradient/dense"
    assert result["message"]["text"].startswith("The saved case case-7 ")
    assert found["invocations"][0]["executionSuccessful"] is True
    (other,) = run([*gate[:2], replayed(outcome, id="case-8"), events[-1]])["results"]
    assert other["partialFingerprints"] != result["partialFingerprints"]


def test_a_saved_case_that_is_expected_is_suppressed_and_one_that_passes_is_none() -> None:
    gate: list[AnyEvent] = [
        streams.started(),
        streams.case(0, streams.passed()),
        replayed("expected"),
    ]
    (result,) = run([*gate, streams.finished()])["results"]
    assert result["suppressions"][0]["justification"] == "Known as case-7 in the baseline."
    assert run([*gate[:2], replayed("passed"), streams.finished()])["results"] == []
    excused: list[AnyEvent] = [
        streams.case(1, streams.failed()),
        CaseKnown(id="case-1", known="case-7"),
    ]
    assert len(run([*gate, *excused, streams.finished()])["results"]) == 1, "it is there already"


def test_a_wrong_function_is_a_notification_and_no_success() -> None:
    bad = Check("values", "FAIL", "why", "entry (0,) is 1")
    wrong = FunctionChecked(id="test_x.py::test", function="halve", status="FAIL", checks=(bad,))
    events: list[AnyEvent] = [
        streams.started(),
        wrong,
        streams.finished(1, "1 of 1 function is wrong."),
    ]
    check_log(log(events))
    found = run(events)
    assert found["results"] == []
    (invocation,) = found["invocations"]
    assert invocation["executionSuccessful"] is False, "an empty success closes alerts"
    assert [n["message"]["text"] for n in invocation["toolExecutionNotifications"]] == [
        "1 of 1 function is wrong.", "FAIL: halve in test_x.py::test: values: entry (0,) is 1",
    ]  # fmt: skip
    suppressed: list[AnyEvent] = [*events[:2], replayed("expected"), events[-1]]
    assert run(suppressed)["invocations"][0]["executionSuccessful"] is False
    known = msgspec.structs.replace(wrong, known="issue 9")
    fine = run([streams.started(), known, streams.case(0, streams.passed()), streams.finished()])
    assert fine["invocations"][0]["toolExecutionNotifications"] == []


def test_alerts_go_out_only_of_a_gate_that_judged() -> None:
    action = (Path(__file__).parents[1] / "action.yml").read_text()
    (step,) = [s for s in action.split("\n    - ") if "upload-sarif@" in s]
    (condition,) = [line for line in step.splitlines() if line.strip().startswith("if:")]
    assert 'fromJSON(\'["0", "1", "5"]\')' in condition
    assert "steps.gate.outputs.exit-code" in condition
