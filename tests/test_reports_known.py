"""What a gate's baseline knows is a failure in no report, and hidden in none."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import streams
from markdown_it import MarkdownIt

from backproof.reports import badge, comparing, events, junit, markdown, sarif
from backproof.reports.comparison_codes import compared
from backproof.reports.events import AnyEvent, CaseKnown, Replayed, Source
from backproof.reports.gate import Budgets
from backproof.reports.summary import summarise

ID = "dense-bias-float64-0123456789"


def stream(*more: AnyEvent, known: str = ID, **options: Any) -> list[AnyEvent]:
    """A passing case, and two that fail alike, of which the first is known."""
    start = streams.started(
        source=Source("kernels.py", 12), options={"budgets": events.plain(Budgets(**options))}
    )
    return [
        start, streams.case(0, streams.passed()), streams.case(1, streams.failed()),
        CaseKnown(id="case-1", known=known), streams.case(2, streams.failed()), *more,
    ]  # fmt: skip


def replayed(outcome: Any, **changes: Any) -> Replayed:
    fields: dict[str, Any] = {"id": ID, "known": True, "note": "an old kernel"}
    return Replayed(
        outcome=outcome,
        architecture=streams.MINIMAL,
        verdict=streams.failed(),
        seconds=0.5,
        **(fields | changes),
    )


# --- junit.xml ---------------------------------------------------------------------------


def became(stream: list[AnyEvent]) -> dict[tuple[str, str], ElementTree.Element | None]:
    """(suite, first word of the name) -> what became of each test."""
    root = ElementTree.fromstring(junit.dumps(stream))
    return {
        (suite.get("name", ""), test.get("name", "").split()[0]): next(iter(test), None)
        for suite in root
        for test in suite.iter("testcase")
    }


def test_junit_skips_a_known_failure_and_fails_the_one_like_it() -> None:
    found = became(stream())
    known, new = (found["backproof.operators.dense", f"case-{i}"] for i in (1, 2))
    assert known is not None and known.tag == "skipped" and known.get("type") == "KNOWN"
    assert known.get("message", "").startswith(f"known as {ID}: dense")
    assert known.text and "network: " in known.text  # hidden in none
    assert new is not None and new.tag == "failure"
    suite = next(
        s for s in ElementTree.fromstring(junit.dumps(stream())) if "dense" in s.get("name", "")
    )
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")


@pytest.mark.parametrize(
    "outcome, tag",
    [("expected", "skipped"), ("fixed", None), ("passed", None), ("not_reached", "skipped"),
     ("failed", "failure"), ("changed", "failure"), ("expired", "failure"), ("error", "error")],
)  # fmt: skip
def test_junit_has_each_saved_case(outcome: Any, tag: str | None) -> None:
    found = became(stream(replayed(outcome)))["backproof.saved", ID]
    assert (None if found is None else found.tag) == tag
    assert found is None or "an old kernel" in (found.text or "")


def test_junit_has_no_suite_of_saved_cases_without_a_gate() -> None:
    assert not any(suite == "backproof.saved" for suite, _ in became(stream()))


# --- report.md ---------------------------------------------------------------------------


def test_markdown_counts_the_known_apart_and_says_what_the_gate_says() -> None:
    text = markdown.dumps(stream(replayed("expired"), replayed("passed", id="b"), min_cases=9))
    page = text.decode()
    assert page.count("#### FAIL") == 1 and "`case-2`" in page
    assert "<summary>Known failures: 1 case</summary>" in page
    gate = page.split("### The gate")[1].split("###")[0]
    assert "budget missed: 1 case passed; the budget demands 9 at least." in gate
    assert f"`{ID}` is known, and its excuse has expired (an old kernel)" in gate
    assert "replayed: 1 of 2 saved cases as expected" in gate
    assert "passes" not in gate


def test_markdown_of_a_run_without_a_gate_does_not_speak_of_one() -> None:
    page = markdown.dumps(streams.with_failure()).decode()
    assert "The gate" not in page and "Known" not in page


def test_markdown_obeys_nothing_that_a_baseline_says_and_stays_below_its_limit() -> None:
    many = [replayed("failed", id=f"{streams.HOSTILE} {i}", note="@octocat <b>" * 99)
            for i in range(9_000)]  # fmt: skip
    page = markdown.dumps(stream(*many, known=f"@octocat {streams.HOSTILE}"))
    assert len(page) < markdown.LIMIT
    assert "more lines are left out here" in page.decode()
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.decode()):
        for child in token.children or []:
            if child.type == "text":
                assert "@octocat" not in child.content and "<b>" not in child.content
            if child.type == "html_inline":
                assert re.fullmatch(r"</?(details|summary)>", child.content)


# --- report.sarif and badges -------------------------------------------------------------


def test_sarif_suppresses_what_is_known_and_nothing_else() -> None:
    report = sarif.dumps(stream())
    assert report is not None
    new, known = json.loads(report)["runs"][0]["results"]
    assert "suppressions" not in new and new["occurrenceCount"] == 1
    assert known["suppressions"] == [
        {"kind": "external", "justification": f"Known as {ID} in the baseline."}
    ]
    assert new["partialFingerprints"] != known["partialFingerprints"]


def test_a_badge_counts_what_is_not_known() -> None:
    assert badge.message(summarise([*stream(), streams.finished(1)])) == "wrong in 1"


# --- report --against --------------------------------------------------------------------


def test_what_is_known_does_not_newly_fail() -> None:
    old: list[AnyEvent] = [
        streams.started(),
        *(streams.case(i, streams.passed()) for i in range(2)),
    ]
    new = stream()
    comparison = comparing.compare(old, new)
    assert comparison.excused == ("case-1",)
    assert [c.id for c in comparison.failing] == [] and comparison.unmatched == ("case-2",)
    assert compared(summarise(new), comparison)[0] == 1
    only_known = [e for e in new if getattr(e, "id", "") != "case-2"] + [streams.finished()]
    comparison = comparing.compare(old, only_known)
    assert comparison.new_failures == 0
    assert compared(summarise(only_known), comparison)[0] == 0


def test_the_known_are_in_the_report_for_programs() -> None:
    summary = summarise(stream(replayed("expected")))
    report = json.loads(msgspec.json.encode(events.plain(summary)))
    assert [f["id"] for f in report["failures"]] == ["case-2"]
    assert [(f["id"], f["known"]) for f in report["excused"]] == [("case-1", ID)]
    assert report["replays"][0]["seconds"] == 0.5
