"""Reports: complete, valid, deterministic, and safe with any text; JSON and JUnit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import streams

from backproof.checkers.comparison import Comparison
from backproof.checkers.verdict import Verdict
from backproof.reports import json_report, junit
from backproof.reports.events import AnyEvent, CaseFinished, Replayed, RunStarted, Source, plain
from backproof.reports.summary import summarise
from backproof.reports.text import printable
from backproof.reports.write import COMPARISON, REPORTS, write_all

RUNS = (
    "clean", "with_failure", "interrupted", "cut_off", "control_missed", "nothing_verified",
    "every_status", "hostile",
)  # fmt: skip
every_run = pytest.mark.parametrize("name", RUNS)


def run(name: str) -> list[AnyEvent]:
    events: list[AnyEvent] = getattr(streams, name)()
    return events


# --- JSON -------------------------------------------------------------------------------


@every_run
def test_report_json_follows_its_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_report.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(json_report.dumps(run(name))))


@pytest.mark.parametrize(
    "of, schema",
    [("report", json_report.schema), ("comparison", json_report.schema_of_comparison)],
)
def test_a_published_schema_is_the_one_that_reports_follow(
    of: str, schema: Callable[[], dict[str, object]]
) -> None:
    published = Path(__file__).parents[1] / "docs" / f"{of}.schema.json"
    made = json.dumps(schema(), indent=2) + "\n"
    assert published.read_text("utf-8") == made, f"backproof schema --{of} > {published.name}"


@every_run
def test_comparison_json_follows_its_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_report.schema_of_comparison())
    found = json.loads(json_report.dumps_comparison(run("every_status"), run(name)))
    validator.validate(found)
    assert not validator.is_valid(found | {"matched": "all"})
    assert found["matched"] + found["only_new"] == json.loads(json_report.dumps(run(name)))["cases"]


@pytest.mark.parametrize(
    "change",
    [{"cases": "three"}, {"counts": {"PASS": 0.5}}, {"failures": [{}]}, {"undecided": None}],
)
def test_what_is_no_report_does_not_follow_the_schema(change: dict[str, object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    report = json.loads(json_report.dumps(run("every_status")))
    validator = jsonschema.Draft202012Validator(json_report.schema())
    validator.validate(report)
    assert not validator.is_valid(report | change)
    del report["controls"]
    assert not validator.is_valid(report)


def test_an_infinite_ratio_is_in_the_schema_as_a_word() -> None:
    schema = json_report.schema()
    assert {"enum": ["inf", "-inf", "nan"]} in schema["$defs"]["Comparison"]["properties"]["error"][
        "anyOf"
    ]
    assert b'"ratio": "inf"' in json_report.dumps(run("with_failure"))


@every_run
def test_report_json_is_read_back_as_the_summary(name: str) -> None:
    report = json_report.dumps(run(name))
    again = msgspec.json.format(msgspec.json.encode(plain(json_report.loads(report))), indent=2)
    assert again + b"\n" == report
    if name != "hostile":
        assert json_report.loads(report) == summarise(run(name))


# --- JUnit ------------------------------------------------------------------------------


def suites(events: Iterable[AnyEvent]) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(junit.dumps(events))
    return {suite.get("name", ""): suite for suite in root}


@every_run
def test_junit_xml_follows_the_common_schema(name: str) -> None:
    etree = pytest.importorskip("lxml.etree")
    schema = etree.XMLSchema(etree.parse(Path(__file__).parent / "data" / "junit.xsd"))
    schema.assertValid(etree.fromstring(junit.dumps(run(name))))


DENSE, TANH, NETWORKS = (
    "backproof.operators.dense", "backproof.operators.tanh", "backproof.networks",
)  # fmt: skip


def test_there_is_a_suite_for_each_operator_and_one_for_the_controls() -> None:
    names = ("dense", "l2", "squared_error", "tanh")
    assert {name: suite.get("tests") for name, suite in suites(run("clean")).items()} == {
        **{f"backproof.operators.{name}": "4" for name in names},
        "backproof.controls": "1",
    }


@every_run
def test_every_case_is_somewhere_and_what_failed_is_a_failure_somewhere(name: str) -> None:
    found: dict[str, set[str]] = {}
    for suite in suites(run(name)).values():
        for test in suite.iter("testcase"):
            tags = found.setdefault(str(test.get("name")).split(" (")[0], set())
            tags |= {child.tag for child in test}
    for event in run(name):
        if isinstance(event, CaseFinished):
            tags, status = found[printable(event.id)], event.verdict.status
            assert ("failure" in tags) == (status == "FAIL")
            assert ("error" in tags) == (status in ("ERROR", "TIMEOUT"))


def test_each_status_has_its_element() -> None:
    every = suites(run("every_status"))
    assert [child.tag for test in every[DENSE].iter("testcase") for child in test] == [
        "failure", "skipped", "skipped",
    ]  # fmt: skip
    assert [child.tag for test in every[TANH].iter("testcase") for child in test] == [
        "skipped", "skipped", "skipped",
    ]  # fmt: skip
    assert [child.tag for test in every[NETWORKS].iter("testcase") for child in test] == [
        "error", "error",
    ]  # fmt: skip
    assert {k: every[DENSE].get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "0", "skipped": "2",
    }  # fmt: skip


def test_the_seconds_of_a_case_are_counted_once() -> None:
    every = suites([e for e in run("every_status") if isinstance(e, CaseFinished)])
    assert sum(float(s.get("time", 0)) for s in every.values()) == pytest.approx(1.5)


def test_a_failure_that_no_operator_is_blamed_for_is_the_network_s() -> None:
    raised = streams.case(0, Verdict("FAIL", "it raised ValueError"))
    (failure,) = suites([raised])[NETWORKS].iter("failure")
    assert failure.get("message") == "it raised ValueError"
    assert suites([raised])[DENSE].get("failures") == "0"


def test_an_operator_that_is_blamed_fails_though_no_comparison_names_it() -> None:
    blamed = Verdict("FAIL", "layers.0.bias is missing", operator="dense", tensor="layers.0.bias")
    found = suites([streams.case(0, blamed)])
    assert found[DENSE].get("failures") == "1" and NETWORKS not in found


def test_a_failure_says_what_disagrees_and_how_to_see_it_again() -> None:
    (failure,) = suites(run("with_failure"))[DENSE].iter("failure")
    assert (
        failure.get("message") == "dense layers.0.bias: layers.0.bias disagrees with both checkers"
    )
    assert "error 0.031, bound 1.0e-08, ratio 3.1e+06" in str(failure.text)
    assert "replay: backproof replay failures/case-1.json" in str(failure.text)


def test_a_skipped_case_says_why() -> None:
    (skipped, *_) = suites(run("nothing_verified"))[DENSE].iter("skipped")
    assert skipped.get("message") == ("layers.0.weight is confirmed by 1: too few checkers")


def test_a_case_is_named_by_its_id_and_network() -> None:
    (_, test, *_) = suites(run("clean"))[DENSE].iter("testcase")
    assert test.get("name") == "case-1 (4, 3) > dense 5 > tanh > dense 2 > squared_error > l2"


def test_a_missed_control_is_a_failure() -> None:
    controls = suites(run("control_missed"))["backproof.controls"]
    assert [f.get("message") for f in controls.iter("failure")] == [
        "bias_averaged went unnoticed: expected FAIL on dense, got PASS",
        "tanh_slope went unnoticed: expected FAIL on tanh, got FAIL on dense",
    ]
    assert controls.get("failures") == "2" and controls.get("tests") == "3"


def test_the_convention_at_ties_is_in_the_body() -> None:
    verdict = Verdict(
        "FAIL",
        "",
        convention="at 1 tie in layers.1",
        comparisons=(Comparison("structure", "w", "FAIL", reason="w is missing"),),
    )
    (failure,) = suites([streams.case(0, verdict)])[NETWORKS].iter("failure")
    assert "at ties: at 1 tie in layers.1" in str(failure.text)
    assert "FAIL: structure on w: w is missing" in str(failure.text)
    assert failure.get("message") == "FAIL"


# --- all of them ------------------------------------------------------------------------


def test_no_report_of_a_hostile_subject_holds_a_control_sequence(tmp_path: Path) -> None:
    """Escapes to a terminal, overrides of direction, what XML forbids, lone surrogates."""
    first, *rest = run("hostile")
    assert isinstance(first, RunStarted)
    located = msgspec.structs.replace(first, source=Source("net.py", 1))
    paths = write_all(tmp_path, [located, *rest], run("clean"))
    assert {p.name for p in paths} == {*REPORTS, COMPARISON}
    for path in paths:
        source = path.read_text("utf-8")
        if path.suffix in (".json", ".sarif"):  # where JSON's own escapes do it
            source = "" if path.name in RAW else "\n".join(texts(json.loads(source)))
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe\ud800-\udfff]", source)
    for name in RAW:
        assert not re.search(rb"[\x00-\x09\x0b-\x1f]", (tmp_path / name).read_bytes())


RAW = ("report.json", COMPARISON)
"""What programs read, who get the texts as they are, in JSON's escapes."""


def texts(value: object) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (str(key), *texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


# --- on disk ----------------------------------------------------------------------------


@every_run
def test_the_same_events_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    first = [p.read_bytes() for p in write_all(tmp_path / "a", run(name))]
    second = [p.read_bytes() for p in write_all(tmp_path / "b", iter(run(name)))]
    assert first == second


def test_every_report_is_written_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    paths = write_all(folder, run("clean"))
    assert [p.name for p in paths] == [
        "report.json", "junit.xml", "report.html", "report.md", "badge.svg", "badge.json",
    ]  # fmt: skip
    assert sorted(folder.iterdir()) == sorted(paths)


def test_a_comparison_is_written_where_there_is_one_and_does_not_outlive_it(
    tmp_path: Path,
) -> None:
    assert tmp_path / COMPARISON in write_all(tmp_path, run("clean"), iter(run("every_status")))
    write_all(tmp_path, run("clean"))
    assert not (tmp_path / COMPARISON).exists()


def test_a_report_that_cannot_be_written_leaves_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")

    def broken(*paths: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_all(tmp_path, run("clean"))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


# --- a gate that fails is red in junit.xml ----------------------------------------------------


def test_a_missed_budget_is_a_failure_in_junit_and_a_kept_one_is_not() -> None:
    def gate(least: int) -> list[AnyEvent]:
        options = {"budgets": {"min_cases": least}}
        return [streams.started(options=options), streams.case(0, streams.passed())]

    suite = suites(gate(2))["backproof.budgets"]
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "1 case passed; the budget demands 2 at least."
    assert suite.get("failures") == suite.get("tests") == "1"
    assert "backproof.budgets" not in suites(gate(1))
    etree = pytest.importorskip("lxml.etree")
    schema = etree.XMLSchema(etree.parse(Path(__file__).parent / "data" / "junit.xsd"))
    schema.assertValid(etree.fromstring(junit.dumps(gate(2))))


@pytest.mark.parametrize(("known", "element"), [(False, "failure"), (True, "skipped")])
def test_a_saved_case_that_must_pass_and_was_not_reached_is_a_failure(
    known: bool, element: str
) -> None:
    again = Replayed(
        id="case-7", known=known, outcome="not_reached", architecture=streams.MINIMAL,
        verdict=streams.inconclusive(), note="it timed out",
    )  # fmt: skip
    (test,) = suites([streams.started(), again])["backproof.saved"].iter("testcase")
    assert [child.tag for child in test] == [element]
