"""Functions that were checked by themselves, in every report."""

from __future__ import annotations

import fnmatch
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import streams
from rich.console import Console

from backproof.checkers.checks import Check
from backproof.checkers.comparison import Status
from backproof.reports import badge, events, html, json_report, junit, markdown, terminal
from backproof.reports.events import AnyEvent, FunctionChecked
from backproof.reports.exit_codes import exit_code, headline, outcome
from backproof.reports.html import page
from backproof.reports.summary import summarise


def function(status: Status = "PASS", known: str = "", name: str = "double") -> FunctionChecked:
    check = Check("values of input 0", status, "why", "entry (0,) is 1, must be 2")
    return FunctionChecked(
        id=f"test_x.py::test_{status.lower()}", function=name, status=status, checks=(check,),
        resolution=1e-13 if status == "PASS" else None, known=known, replay="pytest test_x.py",
    )  # fmt: skip


def stream(*found: FunctionChecked) -> list[AnyEvent]:
    """A session of these alone, which did not say how it ended."""
    return [streams.started(subject="functions", checkers=()), *found]


def ended(*found: FunctionChecked, cases: bool = False) -> tuple[int, str]:
    """How a session that was not cut off ends by its events."""
    before = [e for e in streams.clean() if not isinstance(e, events.RunFinished)] if cases else []
    summary = summarise([*(before or stream()), *found])
    code, reason = exit_code(summary, interrupted=False)
    return int(code), reason


@pytest.mark.parametrize(
    "found, code, reason",
    [
        ((), 5, "None of 0 cases passed."),
        ((function(),), 0, "functions: 1 verified."),
        ((function("FAIL", "issue 9"),), 5, "functions: 1 failed as is known."),
        ((function("INCONCLUSIVE"),), 5, "1 of 1 function is not verified; *"),
        ((function(), function("FAIL", "issue 9")), 0, "*1 verified, 1 failed as is known."),
        ((function(), function("FAIL")), 1, "1 of 2 functions is wrong; first double in test_x*"),
        ((function("ERROR"), function("FAIL")), 1, "1 of 2 functions is wrong; *"),
        ((function("ERROR"), function()), 3, "1 of 2 functions is not judged: the harness broke;*"),
        ((function("INCONCLUSIVE"), function()), 5, "1 of 2 functions is not verified; *"),
        (
            (function("UNSUPPORTED"), function("TIMEOUT"), function()),
            5,
            "2 of 3 functions are not*",
        ),
    ],
)
def test_functions_decide_the_exit_code(
    found: tuple[FunctionChecked, ...], code: int, reason: str
) -> None:
    said = ended(*found)
    assert said[0] == code and fnmatch.fnmatch(said[1], reason), said


def test_a_wrong_function_is_not_hidden_by_right_cases_nor_they_by_it() -> None:
    code, reason = ended(function(), cases=True)
    assert code == 0 and reason.endswith("; functions: 1 verified.")
    assert ended(function("FAIL"), cases=True)[0] == 1
    wrong = [*streams.with_failure(), function()]
    assert outcome(summarise(wrong))[0] == 1
    assert headline(summarise(stream(function(), function("INCONCLUSIVE")))) == "INTERRUPTED"


def test_every_report_tells_a_wrong_function_and_where() -> None:
    told = stream(function(), function("FAIL"), function("FAIL", "issue 9"))
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    terminal.render(summarise(told), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "functions: 1 verified, 1 wrong, 1 failed as is known" in shown
    assert "FAIL  double in test_x.py::test_fail: values of input 0: entry (0,) is 1" in shown
    page = markdown.dumps(told).decode()
    assert "1 verified, 1 wrong, 1 failed as is known." in page
    assert "* FAIL: `double` in `test_x.py::test_fail`: `values of input 0: entry" in page
    assert "must be 2" in html.dumps(told).decode() and "issue 9" in html.dumps(told).decode()
    report = json.loads(json_report.dumps(told))
    assert [f["status"] for f in report["functions"]] == ["PASS", "FAIL", "FAIL"]
    assert json_report.loads(json_report.dumps(told)) == summarise(told)
    assert json.loads(badge.endpoint(told))["message"] == "wrong in 1"


def test_junit_has_a_suite_of_them_that_follows_the_schema() -> None:
    etree = pytest.importorskip("lxml.etree")
    statuses: tuple[Status, ...] = ("PASS", "FAIL", "ERROR", "TIMEOUT", "INCONCLUSIVE")
    told = stream(*map(function, statuses), function("FAIL", "issue 9"))
    content = junit.dumps(told)
    schema = etree.XMLSchema(etree.parse(Path(__file__).parent / "data" / "junit.xsd"))
    schema.assertValid(etree.fromstring(content))
    (suite,) = ElementTree.fromstring(content)
    assert suite.get("name") == "backproof.functions"
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == [
        "6", "1", "2", "2",
    ]  # fmt: skip
    failure = suite.find(".//failure")
    assert failure is not None and "replay: pytest test_x.py" in str(failure.text)


def test_names_of_functions_are_escaped_everywhere() -> None:
    told = stream(function("FAIL", name=streams.HOSTILE))
    told = list(events.decode(map(events.encode, told)))
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    terminal.render(summarise(told), console)
    ElementTree.fromstring(junit.dumps(told))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (shown, markdown.dumps(told).decode(), html.dumps(told).decode()):
        assert not {"\x1b", "\x00", "\u202e"} & {*text}
    assert "<script>alert" not in html.dumps(told).decode()


def test_many_wrong_functions_stay_within_the_budget_of_a_summary() -> None:
    told = stream(*(function("FAIL", name=f"f{n}" * 90) for n in range(4000)))
    page = markdown.dumps(told)
    assert len(page) < markdown.LIMIT and b"more functions are left out here" in page


def test_a_page_lists_as_many_functions_as_fit_and_counts_the_others() -> None:
    many = [function(name=f"double_{i}") for i in range(page.MOST_FUNCTIONS + 2)]
    made = html.dumps([streams.started(), *many, streams.finished()])
    assert made.count(b'<th scope="row">') >= page.MOST_FUNCTIONS and len(made) < 700_000
    assert b"2 more functions in report.json." in made
    wrong = html.dumps([streams.started(), *many, function("FAIL", name="halve")])
    assert b">halve<" in wrong, "what is wrong is not what is left out"
    few = html.dumps([streams.started(), *many[:-2], streams.finished()])
    assert b"more function" not in few and b'<a href="#functions">' in few


def test_a_session_of_functions_alone_is_not_headed_by_cases_that_there_are_not() -> None:
    told = [*stream(function(), function("FAIL", "issue 9")), streams.finished()]
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    terminal.render(summarise(told), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "functions: 1 verified, 1 failed as is known; 10.0 s" in shown
    assert shown.count("functions: 1 verified") == 1 and "0 cases" not in shown
    page = markdown.dumps(told).decode()
    assert "cases verified" not in page and "0 of 0" not in page
    made = html.dumps(told).decode()
    assert 'class="four"' not in made and "cases per second" not in made
    assert "1 verified, 1 failed as is known" in made
    assert "expected: issue 9" in made and "expected: values" not in made


def test_beside_cases_the_numbers_of_cases_stand() -> None:
    told = [*streams.clean()[:-1], function(), streams.finished()]
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    terminal.render(summarise(told), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "4 cases; 4 PASS" in shown and "functions: 1 verified" in shown
    assert "| 4 of 4 |" in markdown.dumps(told).decode()
    made = html.dumps(told).decode()
    assert 'class="four"' in made and "cases per second" in made
