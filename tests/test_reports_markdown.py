"""report.md: worst first, below 1 MiB, and nothing in it obeys a subject."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
import streams
from markdown_it import MarkdownIt
from markdown_it.token import Token

from backproof.checkers.comparison import Comparison
from backproof.checkers.verdict import OperatorVerdict, Verdict
from backproof.reports import markdown
from backproof.reports.events import AnyEvent
from backproof.reports.inert import block, cell, code, prose

RUNS = (
    "clean", "with_failure", "interrupted", "cut_off", "control_missed", "nothing_verified",
    "every_status", "hostile",
)  # fmt: skip

TRICKS = (
    "@octocat", "#1", "GH-1", "octocat/hello#1", "https://evil.example", "www.evil.example",
    "[x](https://evil.example)", "![x](https://evil.example/x.png)", "<img src=x onerror=alert(1)>",
    "<!-- ", "</details>", "<details open>", "`", "``", "` <b>x</b> `", "```\n<b>x</b>\n```", "~~~",
    "a | b", "\\| x", "a\\", "**bold**", "_x_", "~~x~~", "# head", "* item", "1. one", "> quote",
    "---", "\n\n# head", "\r\n| a |", "$x$", "$$x$$", ":bug:", "[^1]: x", "[x]: https://evil.org",
    "&lt;b&gt;", "&#64;octocat", "me@evil.example", "\x1b[31m", "\u202e", "deadbeefdeadbeef",
    "\t@x", "    indented", " `x` ", "", " ",
)  # fmt: skip
"""What GitHub's Markdown, or what is read out of it afterwards, would obey."""

ALL = " ".join(TRICKS)


def report(events: Sequence[AnyEvent], old: Sequence[AnyEvent] | None = None) -> str:
    return markdown.dumps(events, old).decode()


def inline(source: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(source):
        yield token
        yield from token.children or ()


OURS = re.compile(r"</?details>|<details><summary>[A-Za-z0-9, ]+</summary>\n?")


def check_inert(source: str) -> None:
    """Only our own markup is markup, and no text outside of code means anything to GitHub."""
    for token in inline(source):
        assert token.type not in {"image", "link_open", "html_inline", "strong_open", "em_open"}
        if token.type == "html_block":
            assert OURS.fullmatch(token.content.strip()), token.content
        if token.type == "text":
            assert not re.search(
                r"[@#$<>&\[\]*~|`\\]|://|www\.|GH-\d|:\w+:|(?<!\.)\b[0-9a-f]{7,}\b", token.content
            ), token.content
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe]", source)


def hostile(trick: str) -> list[AnyEvent]:
    """A run in which the subject says `trick` wherever it has a say."""
    bad = Verdict(
        "FAIL", trick, operator=trick, tensor=trick,
        operators=(OperatorVerdict(trick, "FAIL", 2.0), OperatorVerdict("tanh", "PASS", 0.1, 1e-9)),
        comparisons=(Comparison(trick, trick, "FAIL", 1, 0.5, 2, reason=trick),
                     Comparison("structure", trick, "FAIL", reason=trick)),
    )  # fmt: skip
    return [
        streams.started(subject=trick, command=trick, versions={trick: trick}, checkers=(trick,)),
        streams.case(0, bad, id=trick, lane=trick or "x", dtype=trick),
        streams.case(1, streams.inconclusive(trick)),
        streams.case(2, streams.passed(operators=(OperatorVerdict(trick, "PASS", 1e-3, 1e-9),))),
        streams.saved(trick, cause=trick, path=trick, page=trick, replay=trick),
        streams.control(0, caught=False, id=trick, fault=trick, site=trick, expected=trick),
        streams.finished(1, trick),
    ]


def slower_and_worse(trick: str) -> list[AnyEvent]:
    worse = streams.passed(operators=(OperatorVerdict(trick, "PASS", 0.9, 1e-3),))
    return [*hostile(trick)[:3], streams.case(2, worse, seconds=9.0), *hostile(trick)[4:]]


# --- what a subject says ------------------------------------------------------------------


@pytest.mark.parametrize("trick", [*TRICKS, ALL, streams.HOSTILE])
def test_nothing_that_a_subject_says_is_obeyed(trick: str) -> None:
    check_inert(report(hostile(trick)))
    check_inert(report(slower_and_worse(trick), hostile(trick)))


@pytest.mark.parametrize("trick", [*TRICKS, ALL])
def test_each_of_the_ways_to_show_a_text_is_safe_by_itself(trick: str) -> None:
    for shown in (prose(trick), code(trick)):
        source = f"* x: {shown}\n\nafter"
        check_inert(source)
        assert [t.content for t in inline(source) if t.type == "inline"][-1] == "after"
    (fence,) = [t for t in inline(f"{block(trick)}\n\nafter") if t.type == "fence"]
    assert "after" not in fence.content


@pytest.mark.parametrize("trick", [*TRICKS, ALL])
def test_a_row_keeps_its_cells(trick: str) -> None:
    source = f"| a | b |\n| --- | --- |\n| {cell(trick)} | end |"
    cells = [t for t in inline(source) if t.type == "td_open"]
    assert len(cells) == 2 and source.count("\n") == 2
    check_inert(source)


def test_the_check_itself_sees_what_is_not_escaped() -> None:
    for trick in ("@octocat", "[x](y)", "<b>x</b>", "https://evil.example", "**x**", "see #1"):
        with pytest.raises(AssertionError):
            check_inert(f"* x: {trick}")


def test_plain_sentences_stay_plain_and_the_rest_is_code() -> None:
    plain = "1 of 2 cases has a wrong gradient; first squared_error layers.0.bias in case-1."
    assert prose(plain) == plain
    assert prose("entry 3: -0.13206775148748365") == "entry 3: -0.13206775148748365"
    assert prose("see 1320677") == "`see 1320677`"
    assert prose("ask @octocat") == "`ask @octocat`"
    assert code("a`b") == "``a`b``" and code("`") == "`` ` ``" and code("") == "-"
    assert cell("a|b") == "`a\\x7cb`"


# --- what it says -------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_its_verdict_first_and_the_four_numbers(name: str) -> None:
    source = report(getattr(streams, name)())
    lines = source.splitlines()
    assert lines[0].startswith("## Backproof: ")
    assert lines[4].count("|") == lines[5].count("|") == lines[6].count("|") == 5
    check_inert(source)
    assert source.count("<details>") == source.count("</details>")


def test_the_four_numbers_are_the_run_s() -> None:
    numbers = report(streams.every_status()).splitlines()[6]
    assert numbers == "| 1 of 6 | 50.0% | 4 of 9 | 1 of 2 |"


def test_a_failure_is_a_block_that_says_where_how_wrong_why_and_how_to_see_it_again() -> None:
    events = streams.with_failure()
    events[3] = streams.saved("case-1", cause="equals the reference with the bias averaged")
    source = report(events)
    for words in (
        "#### FAIL: `dense` `layers.0.bias` in `case-1`",
        "* network: `(4, 3) > dense 5 > tanh > dense 2 > squared_error > l2`",
        "* smallest that fails: `(1, 1) > dense 1 > squared_error`",
        "* values: `generic` `float64` seed 101",
        "on `layers.0.bias`: error 0.031, bound 1.0e-08, ratio 3.1e+06",
        "* likely cause: equals the reference with the bias averaged",
        "```\nbackproof replay failures/case-1.json\n```",
    ):
        assert words in source


def wrong(index: int, tensor: str, ratio: float) -> AnyEvent:
    comparison = Comparison("jax", tensor, "FAIL", 1.0, 1.0, ratio)
    verdict = Verdict("FAIL", "no", operator="dense", tensor=tensor, comparisons=(comparison,))
    return streams.case(index, verdict)


def test_the_worst_of_each_mistake_comes_before_a_second_of_any() -> None:
    source = report([
        streams.started(),
        wrong(0, "layers.0.bias", 5.0), wrong(1, "layers.2.bias", 50.0),
        wrong(2, "layers.0.weight", 20.0), streams.case(3, Verdict("ERROR", "broke")),
    ])  # fmt: skip
    found = re.findall(r"#### .* in `(.*)`", source)
    assert found == ["case-1", "case-2", "case-3", "case-0"]


def test_a_mistake_is_shown_by_a_case_that_is_explained() -> None:
    source = report([
        streams.started(), wrong(0, "layers.0.bias", 50.0), wrong(1, "layers.2.bias", 5.0),
        streams.saved("case-1", cause="averaged"), wrong(2, "w", 20.0),
    ])  # fmt: skip
    assert re.findall(r"#### .* in `(.*)`", source) == ["case-1", "case-2", "case-0"]


def test_what_changed_is_a_section_and_the_exit_code_s_verdict_is_the_headline() -> None:
    old: list[AnyEvent] = [
        streams.started(),
        *(streams.case(i, streams.passed()) for i in range(2)),
    ]
    source = report(streams.with_failure(), old)
    assert source.startswith("## Backproof: NEWLY FAILING\n\n1 case newly fails;")
    assert "### Against the older run" in source
    assert "* newly failing: `case-1`, was PASS, `dense` `layers.0.bias`" in source
    assert "Against the older run" not in report(streams.with_failure())


def test_lost_digits_are_a_table() -> None:
    old, new = hostile("odd"), slower_and_worse("odd")
    source = report(new, old)
    assert "| odd | ratio | 1.0e-03 | 0.9 | -3.0 | -3.0 |" in source


def test_what_takes_longer_is_a_table() -> None:
    old, new = ([streams.case(0, streams.passed(), seconds=t)] for t in (0.25, 9.0))
    assert "| tanh | 1 | 0.25 | 9 | 36 |" in report(new, old)
    assert "times as long |" not in report(old, old)


# --- how long it is -----------------------------------------------------------------------


@pytest.mark.repeats
def test_a_run_without_limits_stays_below_1_mib_and_says_what_is_left_out() -> None:
    noise = (ALL + "🙂`|" * 300)[:3000]
    comparisons = tuple(Comparison(noise, noise, "FAIL", 1, 0.5, 2, reason=noise) for _ in range(5))

    def bad(i: int) -> Verdict:
        said = tuple(OperatorVerdict(f"{i}.{k}{noise}", "PASS", 1e-3, 1e-9) for k in range(2))
        return Verdict("FAIL", noise, operator=noise, tensor=f"{i}{noise}", operators=said,
                       comparisons=comparisons)  # fmt: skip

    start = streams.started(subject=noise, command=noise, checkers=(noise,) * 500,
                            versions={f"{i}{noise}": noise for i in range(500)})  # fmt: skip
    failing = [streams.case(i, bad(i), id=f"{i}{noise}") for i in range(1000)]
    undecided = [streams.case(2000 + i, streams.inconclusive(f"{i}{noise}")) for i in range(300)]
    missed = [streams.control(i, caught=False, id=noise, fault=noise) for i in range(300)]
    saved = [streams.saved(f"{i}{noise}", cause=noise, replay=noise) for i in range(1000)]
    events: list[AnyEvent] = [
        start,
        *failing,
        *undecided,
        *missed,
        *saved,
        streams.finished(1, noise),
    ]
    older: list[AnyEvent] = [
        start,
        *(streams.case(i, streams.passed(), id="x") for i in range(1000)),
    ]
    source = markdown.dumps(events, older)
    assert 2**19 < len(source) < markdown.LIMIT
    text = source.decode()
    check_inert(text)
    for words in (r"more failures", r"more rows", r"more lines", r"more faults"):
        assert re.search(rf"\n(\* )?[\d,]+ {words} are left out here; report\.json has ", text), (
            words
        )
    shown = text.count("\n#### FAIL")
    (left,) = re.findall(r"([\d,]+) more failures are left out", text)
    assert shown + int(left.replace(",", "")) == 1000


def test_a_short_run_leaves_out_nothing() -> None:
    assert "left out" not in report(streams.every_status())


def test_the_eleventh_failure_is_behind_a_click() -> None:
    source = report([streams.started(), *(wrong(i, f"w{i}", 2.0) for i in range(12))])
    opened, closed = source.split("<details><summary>2 more failures</summary>")
    assert opened.count("#### FAIL") == 10 and closed.count("#### FAIL") == 2
