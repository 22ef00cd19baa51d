"""report.html: complete, balanced, safe with any text, small, and asking for nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import msgspec
import pytest
import streams
from helpers_html import Page, text_of

from backproof.checkers.comparison import Comparison
from backproof.checkers.verdict import CheckerVerdict, OperatorVerdict, Verdict
from backproof.reports import html as html_report
from backproof.reports.events import AnyEvent, CaseFinished, FailureSaved
from backproof.reports.html import page as made
from backproof.reports.html.agreement import Pair, agreement
from backproof.reports.html.matrix import Cell, matrix
from backproof.reports.summary import summarise

RUNS = (
    "clean", "with_failure", "interrupted", "cut_off", "control_missed", "nothing_verified",
    "every_status", "hostile", "gated",
)  # fmt: skip
every_run = pytest.mark.parametrize("name", RUNS)


def run(name: str) -> list[AnyEvent]:
    events: list[AnyEvent] = getattr(streams, name)()
    return events


def page(events: Iterable[AnyEvent]) -> Page:
    return Page(html_report.dumps(events))


def cases_of(events: Iterable[AnyEvent]) -> list[CaseFinished]:
    return [e for e in events if isinstance(e, CaseFinished)]


# --- structure --------------------------------------------------------------------------


@every_run
def test_report_html_is_balanced_and_asks_for_nothing(name: str) -> None:
    found = page(run(name))
    elements = list(found.root.iter())
    assert not {"script", "link", "img", "iframe", "object", "form"} & {e.tag for e in elements}
    assert not [k for e in elements for k in e.attrib if k == "src" or k.startswith("on")]
    assert not [v for e in elements for v in e.attrib.values() if "url(" in v]
    assert "url(" not in found.root.findtext("head/style", "")
    policy = [e for e in elements if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0].get("content") == "default-src 'none'; style-src 'unsafe-inline'"


@every_run
def test_every_link_leads_somewhere(name: str) -> None:
    found = page(run(name))
    ids = found.by_id()
    links = [e.attrib["href"] for e in found.root.iter("a")]
    assert "#main" in links
    for link in links:
        assert link[1:] in ids if link[0] == "#" else re.fullmatch(r"failures/[\w-]+\.md", link)


def test_a_failure_links_to_its_page_if_a_run_wrote_it() -> None:
    assert b'<a href="failures/case-1.md">' in html_report.dumps(run("with_failure"))
    assert b'<a href="failures' not in html_report.dumps(run("hostile"))


@every_run
def test_headings_descend_one_level_at_a_time(name: str) -> None:
    headings = [e.tag for e in page(run(name)).root.iter() if re.fullmatch(r"h\d", e.tag)]
    levels = [int(tag[1]) for tag in headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


@every_run
def test_what_scrolls_is_drawn_or_is_told_has_a_name(name: str) -> None:
    found = page(run(name))
    ids = found.by_id()
    for region in found.classed("scroll"):
        named = region.get("role") == "region" and region.get("aria-label")
        assert (named and region.get("tabindex") == "0") or "drawing" in region.attrib["class"]
    for drawing in found.root.iter("svg"):
        if drawing.get("aria-hidden") != "true":
            assert drawing.get("role") == "img"
            for attribute, tag in (("aria-labelledby", "title"), ("aria-describedby", "desc")):
                words = ids[drawing.attrib[attribute]]
                assert words.tag == tag and text_of(words)
    for section in found.root.iter("section"):
        assert text_of(ids[section.attrib["aria-labelledby"]])
    for table in found.root.iter("table"):
        assert text_of(table[0]) and table[0].tag == "caption"
        assert all(e.get("scope") in ("row", "col") for e in table.iter("th"))
    assert {e.tag for e in found.root.iter()} >= {"header", "nav", "main", "footer"}


@every_run
def test_no_status_is_told_by_its_colour_alone(name: str) -> None:
    found = page(run(name))
    assert found.classed("status")
    for cell in found.root.iter("td"):
        kinds = {"pass", "fail", "inconclusive", "error"} & set(cell.get("class", "").split())
        if kinds and "matrix" not in cell.get("class", ""):
            assert text_of(cell)
    for status in found.classed("status"):
        assert re.search(r"[A-Z]{4}", text_of(status))
    for segment in found.classed("matrix"):
        for cell in segment.iter("td"):
            assert re.search(
                r"PASS|FAIL|ERROR|TIMEOUT|INCONCLUSIVE|UNSUPPORTED|not asked", text_of(cell)
            )


@every_run
def test_the_same_events_give_the_same_bytes(name: str) -> None:
    assert html_report.dumps(run(name)) == html_report.dumps(iter(run(name)))


# --- the verdict ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clean", "VERIFIED All is well. Subject reference , seed 7"),
        ("cut_off", "INTERRUPTED Cut off after 2 cases"),
        ("nothing_verified", "NOTHING VERIFIED None of 3 cases passed."),
        ("with_failure", "WRONG GRADIENT 1 of 2 cases has a wrong gradient; first dense"),
    ],
)
def test_the_page_starts_with_the_verdict(name: str, words: str) -> None:
    assert words in page(run(name)).text[:400]


@every_run
def test_the_four_numbers_are_the_summary_s(name: str) -> None:
    s = summarise(run(name))
    (four,) = page(run(name)).classed("four")
    numbers = [text_of(box[1]).removeprefix("\u2717 ") for box in four]
    assert numbers == [
        f"{s.counts['PASS']} of {s.cases}",
        f"{s.undecided:.1%}",
        f"{s.coverage.verified} of {s.coverage.possible}",
        f"{s.controls.caught} of {s.controls.planted}",
    ]


def test_the_cause_of_the_worst_failure_stands_at_the_top() -> None:
    text = page(run("gated")).text
    assert "Likely cause of the worst failure : equals the reference with the bias negated" in text
    assert "Likely cause of the worst failure" not in page(run("clean")).text
    unknown = "no known fault gives these gradients"
    told = [*streams.with_failure()[:-1], streams.saved("case-1", cause=unknown)]
    assert "Likely cause of the worst failure" not in page(told).text


def test_a_gate_s_budgets_replays_and_known_failures_have_sections() -> None:
    found = page(run("gated"))
    text = found.text
    assert "30 cases passed; the budget demands 100 at least." in text
    assert "dense-bias-1234 \u2717 is known, and its excuse has expired \u2717 FAIL" in text
    assert "case-7 passes \u2713 PASS" in text
    assert "Known failures known as case status operator tensor smallest network" in text
    assert not any(e.get("id") in ("budgets", "known") for e in page(run("clean")).root.iter())
    assert not any("case-33" in text_of(e) for e in found.classed("failure"))


# --- failures ---------------------------------------------------------------------------


def test_a_failure_has_its_section() -> None:
    text = page(run("with_failure")).text
    for words in (
        "FAIL dense layers. 0. bias in case-1",
        "minimal network (1, 1) > dense 1 > squared_error",
        "finite_differences layers.0.bias \u2717 FAIL 0.031 1.0e-08 3.1e+06",
        "complex_step input ? INCONCLUSIVE - - - neither is finite",
        "replay backproof replay failures/case-1.json",
        '"loss": "squared_error"',
    ):
        assert words in text


@every_run
def test_every_failure_has_a_graph_with_the_faulty_edge_marked_once(name: str) -> None:
    events = run(name)
    saved = {e.id: e for e in events if isinstance(e, FailureSaved)}
    sections = page(events).classed("failure")
    assert len(sections) == len(summarise(events).failures)
    for section in sections:
        (graph,) = [e for e in section.iter("svg") if e.get("class") == "network"]
        marked = [e for e in graph.iter("path") if e.get("class") == "edge wrong"]
        assert len(marked) == (
            0 if name == "hostile" else text_of(section).count("Marked as wrong")
        )
        labels = [text_of(e) for e in graph.iter("g") if "label" in e.get("class", "").split()]
        assert len(labels) == len(marked) <= 1
    if name in ("with_failure", "gated"):
        assert sum(e.get("class") == "edge wrong" for s in sections for e in s.iter()) == len(
            [f for f in summarise(events).failures if f.id in saved or f.verdict.tensor]
        )


def test_every_operator_of_the_graph_is_labelled() -> None:
    sections = page(run("gated")).classed("failure")
    texts = [text_of(s) for s in sections]
    (skip,) = [s for s, text in zip(sections, texts, strict=True) if "in case-32" in text]
    (graph,) = [e for e in skip.iter("svg") if e.get("class") == "network"]
    names = [text_of(e) for e in graph.iter("text") if e.get("class") == "name"]
    for operator in ("dense 3", "\u2717 tanh", "add", "sigmoid", "concat", "squared_error", "l2"):
        assert operator in names
    assert "\u2717 layers.0.output" in names


def test_evidence_is_drawn_where_there_is_any() -> None:
    found = page(run("gated"))
    first, *rest = found.classed("failure")
    assert {e.get("class") for e in first.iter("svg")} >= {"network", "chart", "heat"}
    assert "3 of 5 entries are wrong by themselves" in text_of(first)
    assert "The checker tries steps from 0.25 down, uses none below 0.0156" in text_of(first)
    assert not any(e.get("class") == "heat" for s in rest for e in s.iter("svg"))


def test_one_of_each_mistake_comes_first_and_is_open() -> None:
    texts = [text_of(s) for s in page(run("gated")).classed("failure")]
    assert "in case-30, and 1 more case alike" in texts[0]
    assert "in case-31" in texts[-1]
    opened = [s[0].get("open") is not None for s in page(run("gated")).classed("failure")]
    assert opened == [True, True, True, True, False]


def test_failures_and_cases_carry_what_they_are_filtered_by() -> None:
    events = run("gated")
    s = summarise(events)
    found = page(events)
    numbers = {row.name: f"o{i}" for i, row in enumerate(s.operators)}
    rows = {
        text_of(e[0]): e.get("class", "").split() for e in found.classed("row") if e.tag == "tr"
    }
    assert len(rows) == s.cases
    assert {"s-FAIL", numbers["tanh"], numbers["concat"]} <= set(rows["case-32"])
    assert numbers["concat"] not in rows["case-0"] and "s-PASS" in rows["case-0"]
    rules = found.root.findtext("head/style", "")
    for name in numbers.values():
        assert f".row:not(.{name})" in rules
    for status in ("PASS", "FAIL", "ERROR", "TIMEOUT", "INCONCLUSIVE", "UNSUPPORTED"):
        assert f"#cases:has(#cases-{status}:checked) .row:not(.s-{status})" in rules


def test_nothing_in_the_data_becomes_markup() -> None:
    source = html_report.dumps(run("hostile"))
    assert b"<script" not in source and b"&lt;script&gt;" in source
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe]", source.decode())
    drawings = b"".join(re.findall(rb"<svg.*?</svg>", source, re.S))
    assert b"&lt;script&gt;" in drawings


# --- tables -----------------------------------------------------------------------------


def row_of(cases: list[CaseFinished], operator: str) -> dict[str, Cell]:
    found = matrix(cases)
    (cells,) = [cells for name, cells in found.rows if name == operator]
    return {c: cell for c, cell in zip(found.checkers, cells, strict=True) if cell is not None}


def test_the_matrix_counts_each_case_once_for_each_operator_and_checker() -> None:
    row = row_of(cases_of(run("clean")), "dense")
    assert {name: cell.count for name, cell in row.items()} == {
        "complex_step": 4, "finite_differences": 4,
    }  # fmt: skip
    assert all(cell.status == "PASS" for cell in row.values())


def test_a_ratio_of_the_matrix_is_at_most_the_operator_s_and_the_checker_s() -> None:
    row = row_of(cases_of(run("clean")), "tanh")
    assert row["finite_differences"].ratio == 0.02 and row["complex_step"].ratio == 0.2
    assert not row["complex_step"].exact


def test_a_checker_that_objects_does_so_to_the_blamed_operator_alone() -> None:
    cases = [c for c in cases_of(run("gated")) if c.id == "case-32"]
    tanh = row_of(cases, "tanh")
    assert (tanh["torch"].status, tanh["torch"].ratio, tanh["torch"].exact) == ("FAIL", 20.0, True)
    assert tanh["complex_step"].status == "PASS"
    # `input` goes through fan_out, where finite differences had no bound
    assert row_of(cases, "dense")["finite_differences"].status == "PASS"
    assert row_of(cases, "dense")["torch"].status == "PASS"


def test_an_operator_that_was_found_by_looking_for_it_is_blamed() -> None:
    (case,) = [c for c in cases_of(run("gated")) if c.id == "case-32"]
    found = msgspec.structs.replace(case.verdict, operator="dense")
    row = row_of([msgspec.structs.replace(case, verdict=found)], "dense")
    assert row["torch"].status == "FAIL" and row["complex_step"].status == "PASS"


def test_what_is_wrong_behind_the_blamed_operator_is_undecided() -> None:
    behind = Verdict(
        "FAIL", operator="tanh", tensor="layers.1.output",
        checkers=(CheckerVerdict("jax", "FAIL", 9.0),),
        operators=(OperatorVerdict("tanh", "FAIL", 9.0),
                   OperatorVerdict("dense", "INCONCLUSIVE", 8.0)),
        comparisons=(Comparison("jax", "layers.0.output", "FAIL", 1, 0.1, 9.0),
                     Comparison("jax", "layers.0.bias", "FAIL", 1, 0.1, 8.0)),
    )  # fmt: skip
    cases = [streams.case(0, behind)]
    assert row_of(cases, "tanh")["jax"].status == "FAIL"
    assert row_of(cases, "dense")["jax"].status == "INCONCLUSIVE"
    assert next(name for name, _ in matrix(cases).rows) == "tanh"


def test_a_checker_that_could_not_say_says_so_of_every_operator() -> None:
    verdict = streams.passed(checkers=(CheckerVerdict("jax", "UNSUPPORTED", reason="no"),))
    assert "UNSUPPORTED in 1" in page([streams.case(0, verdict)]).text
    assert row_of([streams.case(0, verdict)], "l2")["jax"].status == "UNSUPPORTED"


def pair_of(verdict: Verdict) -> Pair:
    (pair,) = agreement([streams.case(0, verdict)])
    return pair


def two(first: Comparison | None, second: Comparison | None) -> Verdict:
    kept = tuple(c for c in (first, second) if c)
    said = (
        CheckerVerdict("jax", first.status if first else "PASS"),
        CheckerVerdict("torch", second.status if second else "PASS"),
    )
    return Verdict("FAIL" if kept else "PASS", comparisons=kept, checkers=said)


def test_two_checkers_agree_where_both_confirm_or_both_object() -> None:
    jax, torch = (Comparison(c, "layers.0.bias", "FAIL", 1, 0.1, 10) for c in ("jax", "torch"))
    assert pair_of(two(None, None)).confirm == 1
    both = pair_of(two(jax, torch))
    assert (both.object, both.tensors, both.agree, both.split) == (1, 1, 1, 0)


def test_one_that_objects_alone_is_told_with_case_and_tensor() -> None:
    pair = pair_of(two(Comparison("jax", "layers.0.bias", "FAIL", 1, 0.1, 10), None))
    assert (pair.split, pair.agree) == (1, 0)
    (split,) = pair.splits
    assert (split.case, split.objects, split.confirms) == ("case-0", "jax", "torch")
    assert split.tensor == "layers.0.bias"
    assert (
        "jax objects to layers. 0. bias in case-0, torch confirms it"
        in page(
            [streams.case(0, two(Comparison("jax", "layers.0.bias", "FAIL", 1, 0.1, 10), None))]
        ).text
    )


def test_who_cannot_tell_does_not_disagree() -> None:
    objects = Comparison("jax", "layers.0.bias", "FAIL", 1, 0.1, 10)
    silent = Comparison("torch", "layers.0.bias", "INCONCLUSIVE")
    pair = pair_of(two(objects, silent))
    assert (pair.split, pair.undecided) == (0, 1)


def test_the_loss_is_nobody_s_disagreement() -> None:
    assert pair_of(two(Comparison("jax", "loss", "FAIL", 1, 0.1, 10), None)).split == 0


def test_missed_controls_are_listed() -> None:
    text = page(run("control_missed")).text
    assert "Missed" in text and "tanh_slope layers.1 FAIL on tanh \u2717 FAIL on dense" in text


def test_options_are_shown_as_they_are_given() -> None:
    assert "cases 3 lanes generic, exact" in page(run("clean")).text


def test_a_run_without_controls_says_so() -> None:
    text = page(run("cut_off")).text
    assert "does not show that it would have noticed a mistake" in text
    assert "no mistake was planted, so nothing shows that one would be noticed" in text


# --- size -------------------------------------------------------------------------------


def test_a_failure_among_thousands_still_shows_in_the_bar() -> None:
    bar = list(made._segments({"PASS": 99_999, "FAIL": 1}))
    assert bar[1].status == "FAIL" and bar[1].width > 2
    assert sum(part.width for part in bar) == pytest.approx(100)


@pytest.mark.repeats
def test_a_large_and_hostile_run_stays_below_5_mb() -> None:
    noise = streams.HOSTILE * 500
    wrong = tuple(Comparison("jax", noise, "FAIL", 1, 0.5, 2, reason=noise) for _ in range(100))
    bad = Verdict("FAIL", noise, operator="dense", tensor=noise, comparisons=wrong)
    start = streams.started(options={str(i): noise for i in range(20)})
    failures = [streams.case(i, bad, id=noise[:300] + str(i)) for i in range(2500)]
    others = [streams.case(9000 + i, streams.inconclusive(f"{i:05}{noise}")) for i in range(2500)]
    source = html_report.dumps([start, *failures, *others])
    assert len(source) < 5_000_000
    text = Page(source).text
    assert re.search(r"[\d,]+ more failures are in report.json", text)
    assert re.search(r"[\d,]+ more cases not listed", text)
    assert "rarer reasons not shown" in text


@pytest.mark.repeats
def test_ten_thousand_cases_stay_below_5_mb_and_every_failure_has_a_line() -> None:
    source = html_report.dumps(streams.large())
    assert len(source) < 5_000_000
    found = Page(source)
    rows = found.classed("row")
    failures = [e for e in rows if e.tag == "section"]
    assert len(failures) == made.MOST_FAILURES
    table = next(e for e in found.root.iter("div") if e.get("aria-label") == "More failures")
    assert len(failures) + sum("row" in e.get("class", "") for e in table.iter("tr")) == 2_000
    assert "8,000 more cases not listed" in found.text


def test_what_did_not_pass_is_listed_first_where_not_all_are() -> None:
    cases = [streams.case(i, streams.passed()) for i in range(made.MOST_CASES)]
    listed = made._listed([*cases, streams.case(9999, streams.failed())])
    assert listed[0].id == "case-9999" and len(listed) == made.MOST_CASES


def test_no_events_make_a_page() -> None:
    assert "INTERRUPTED Cut off after 0 cases" in page([]).text


def test_a_checker_of_any_status_has_a_row_in_the_page() -> None:
    verdict = streams.passed(checkers=(CheckerVerdict("jax", "UNSUPPORTED", reason="no"),))
    assert "UNSUPPORTED" in page([streams.case(0, verdict)]).text
