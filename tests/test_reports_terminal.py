"""The terminal says the verdict first, fits its width, and cannot be taken over by data."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import msgspec
import pytest
import streams
from rich.console import Console

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.checkers.comparison import Comparison
from backproof.checkers.verdict import OperatorVerdict
from backproof.reports.events import AnyEvent
from backproof.reports.progress import LiveProgress
from backproof.reports.summary import summarise
from backproof.reports.terminal import LONG, PAGES, render


def plain(events: Sequence[AnyEvent], width: int = 100, folder: str | None = None) -> str:
    out = io.StringIO()
    render(summarise(events), Console(file=out, width=width), folder)
    return out.getvalue()


def cells(line: str) -> list[str]:
    return line.split()


def table(output: str, head: str) -> list[list[str]]:
    """The cells of a table's heading and rows."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if cells(line)[:1] == [head])
    rows = [cells(lines[start])]
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        rows.append(cells(line))
    return rows


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("clean", "VERIFIED  All is well."),
        ("with_failure", "WRONG GRADIENT  1 of 2 cases has a wrong gradient"),
        ("interrupted", "INTERRUPTED  Interrupted after 1 case."),
        ("cut_off", "INTERRUPTED  Cut off after 2 cases"),
        ("control_missed", "ERROR  2 of 3 planted faults went unnoticed."),
        ("nothing_verified", "NOTHING VERIFIED  None of 3 cases passed."),
    ],
)
def test_the_verdict_comes_first(name: str, first: str) -> None:
    assert plain(getattr(streams, name)()).startswith(first)


def test_a_wide_terminal_shows_every_column() -> None:
    rows = table(plain(streams.with_failure(), 100), "operator")
    assert rows == [
        ["operator", "PASS", "FAIL", "INCONCLUSIVE", "other", "ratio", "median", "resolution"],
        ["dense", "1", "1", "0", "0", "inf", "1.5e-15", "1.5e-15"],
        ["l2", "1", "0", "1", "0", "0.3", "1.5e-15", "1.5e-15"],
        ["squared_error", "2", "0", "0", "0", "0.1", "1.1e-15", "1.1e-15"],
        ["tanh", "1", "0", "1", "0", "0.2", "2.5e-15", "2.5e-15"],
    ]


def test_a_narrow_terminal_drops_the_median_and_what_is_empty_and_abbreviates() -> None:
    output = plain(streams.with_failure(), 60)
    assert table(output, "operator")[0] == [
        "operator", "PASS", "FAIL", "INC.", "ratio", "resolution",
    ]  # fmt: skip
    assert table(output, "checker")[1:] == [
        ["complex_step", "1", "1", "0", "inf", "1.5e-15"],
        ["finite_differences", "1", "1", "0", "3.1e+06", "1.2e-09"],
    ]


def test_a_narrow_terminal_still_counts_what_is_rare_where_there_is_some() -> None:
    heads = table(plain(streams.every_status(), 60), "checker")[0]
    rare = any(row[4] != "0" for row in table(plain(streams.every_status(), 100), "checker")[1:])
    assert ("other" in heads) == rare


def test_in_between_the_median_stays() -> None:
    heads = table(plain(streams.with_failure(), 80), "operator")[0]
    assert "median" in heads and "INC." in heads


@pytest.mark.parametrize("width", [60, 76, 80, 99, 100, 140])
@pytest.mark.parametrize("name", ["clean", "every_status", "hostile"])
def test_tables_fit_and_no_number_is_cut(width: int, name: str) -> None:
    output = plain(getattr(streams, name)(), width)
    for head in ("operator", "checker"):
        heads, *rows = table(output, head)
        for row in rows:
            numbers = row[-len(heads) + 1 :]
            assert all(re.fullmatch(r"-|inf|exact|[\d.,e+-]+", n) for n in numbers), row
    tables = [line for line in output.splitlines() if re.match(r"(operator|checker|─)", line)]
    assert max(map(len, tables)) <= width


def test_large_counts_keep_their_digits_on_a_narrow_terminal() -> None:
    case = streams.case(0, streams.passed())
    rows = table(plain([streams.started(), *[case] * 12_345], 60), "checker")
    assert rows[1][1] == "12,345"


def test_a_failure_is_a_page() -> None:
    output = plain(streams.with_failure())
    page = output[output.index("FAIL  case-1") :].splitlines()
    assert [re.sub(r"\s+", " ", line).strip() for line in page] == [
        "FAIL case-1 dense layers.0.bias",
        "network (4, 3) > dense 5 > tanh > dense 2 > squared_error > l2",
        "minimal (1, 1) > dense 1 > squared_error",
        "values generic float64 seed 101",
        "because layers.0.bias disagrees with both checkers",
        "disagrees complex_step on layers.0.bias: error inf, bound 0, ratio inf",
        "disagrees finite_differences on layers.0.bias: error 0.031, bound 1.0e-08, ratio 3.1e+06",
        "explained failures/case-1.md",
        "saved failures/case-1.json",
        "script failures/case-1.py",
        "replay backproof replay failures/case-1.json",
    ]


def test_the_minimal_network_is_not_said_twice() -> None:
    stream: list[AnyEvent] = [
        streams.case(0, streams.failed(), architecture=streams.MINIMAL),
        streams.saved("case-0"),
    ]
    assert "minimal" not in plain(stream)


def test_an_orphan_has_no_values() -> None:
    assert "values" not in plain([streams.saved("case-0")])


def mistaken(i: int) -> AnyEvent:
    """A case that shows a mistake of its own."""
    verdict = msgspec.structs.replace(streams.failed(), operator=f"operator_{i}")
    return streams.case(i, verdict)


def test_many_mistakes_are_not_all_shown() -> None:
    stream = [mistaken(i) for i in (*range(PAGES + 2), PAGES + 1)]
    output = plain(stream)
    assert output.count("FAIL  case-") == PAGES and "3 more are in the reports." in output


def test_one_mistake_in_many_cases_is_one_page() -> None:
    output = plain([streams.case(i, streams.failed()) for i in range(9)], 200)
    assert output.count("FAIL  case-") == 1
    assert "  also in   case-1, case-2, case-3 and 5 more\n" in output
    two = plain([streams.case(i, streams.failed()) for i in range(2)])
    assert "  also in   case-1\n" in two
    assert "also in" not in plain([streams.case(0, streams.failed())])


def test_a_mistake_is_shown_by_its_plainest_case_that_is_saved() -> None:
    lanes = ("extreme", "generic", "tie", "generic")
    stream: list[AnyEvent] = [
        *(streams.case(i, streams.failed(), lane=lane) for i, lane in enumerate(lanes)),
        *(streams.saved(f"case-{i}") for i in (0, 2, 3)),
    ]
    output = plain(stream)
    assert "FAIL  case-3" in output
    assert "  also in   case-2, case-0, case-1\n" in output


def test_the_tensor_that_is_blamed_is_the_first_that_disagrees() -> None:
    elsewhere = Comparison("jax", "input", "FAIL", error=9.0, bound=1e-9, ratio=9e9)
    verdict = streams.failed()
    more = msgspec.structs.replace(verdict, comparisons=(elsewhere, *verdict.comparisons))
    wrong = [
        line for line in plain([streams.case(0, more)], 200).splitlines() if ": error " in line
    ]
    assert "complex_step on layers.0.bias" in wrong[0] and "jax on input" in wrong[-1]


def test_on_a_terminal_a_long_reason_keeps_to_its_column_and_a_command_is_one_line() -> None:
    long = streams.failed("layers.0.bias " + "disagrees " * 20)
    replay = "backproof replay " + "x" * 90
    stream: list[AnyEvent] = [
        streams.case(0, long),
        streams.saved("case-0", replay=replay),
    ]
    lines = re.sub(r"\x1b\[[\d;]*m", "", coloured(stream, 60)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  because "))
    assert len(lines[at].rstrip()) <= 60 and lines[at + 1].startswith(" " * 12 + "disagrees")
    assert f"  replay    {replay}" in lines


def test_where_the_verdict_has_left_the_screen_it_is_said_again() -> None:
    names = [OperatorVerdict(f"operator_{i}", "PASS", 0.1, 1e-9) for i in range(LONG + 1)]
    verdict = streams.passed(operators=tuple(names))
    long: list[AnyEvent] = [streams.started(), streams.case(0, verdict), streams.finished()]
    words = "VERIFIED  All is well."
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured(long)).count(words) == 2
    assert plain(long).count(words) == 1  # in a file it has not
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured(streams.clean())).count("VERIFIED") == 1


def test_controls_are_said_caught_missed_or_absent() -> None:
    assert "controls: 1 of 1 planted fault caught" in plain(streams.clean())
    missed = plain(streams.control_missed(), 200)
    assert (
        "missed: tanh_slope at layers.1 in control-2: expected FAIL on tanh, got FAIL on dense"
        in missed
    )
    assert (
        "missed: bias_averaged at layers.0 in control-1: expected FAIL on dense, got PASS" in missed
    )
    assert "controls: none planted" in plain(streams.nothing_verified())


def test_why_nothing_was_decided_is_said() -> None:
    output = plain(streams.nothing_verified())
    assert "INCONCLUSIVE: 2 cases, layers.*.weight is confirmed by 1: too few checkers" in output


def test_where_the_reports_are_is_said_last() -> None:
    assert plain(streams.clean(), folder="out/run").rstrip().endswith("reports in out/run")


def test_no_events_can_be_shown() -> None:
    assert plain([]).startswith("INTERRUPTED")


# --- styles and hostile text ------------------------------------------------------------


def coloured(events: Sequence[AnyEvent], width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system="standard")
    render(summarise(events), console)
    return out.getvalue()


def test_a_pipe_gets_plain_text() -> None:
    assert "\x1b" not in plain(streams.hostile())


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    colours = re.findall(r"\x1b\[([\d;]*)m", coloured(streams.every_status()))
    assert not any(re.search(r"(^|;)[349]\d", codes) for codes in colours)


def test_a_terminal_gets_colours() -> None:
    assert "\x1b[1;31mFAIL" in coloured(streams.with_failure())


def test_colour_never_speaks_alone() -> None:
    words = re.sub(r"\x1b\[[\d;]*m", "", coloured(streams.every_status()))
    assert words.split("\n")[0].rstrip() == plain(streams.every_status()).split("\n")[0].rstrip()
    assert "FAIL  case-1" in words and "ERROR  case-4" in words and "TIMEOUT  case-5" in words


@pytest.mark.parametrize("width", [60, 120])
def test_nothing_in_the_data_reaches_the_terminal_raw(width: int) -> None:
    output = plain(streams.hostile(), width)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", output)
    assert "[bold red]x[/]" in output and r"\x1b[31m" in output


def test_a_terminal_without_unicode_gets_escapes() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    verdict = streams.failed("x̄ disagrees")
    render(summarise([streams.case(0, verdict, id="é")]), Console(file=out, width=100))
    out.flush()
    assert rb"x\u0304 disagrees" in raw.getvalue()


# --- the live line ----------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def live(
    total: int | None = None,
    max_time: float | None = None,
    terminal: bool = True,
    quiet: bool = False,
) -> tuple[LiveProgress, Clock, io.StringIO]:
    clock = Clock()
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=terminal, _environ={"TERM": "xterm"})
    return LiveProgress(console, total, max_time, quiet=quiet, clock=clock), clock, out


def test_the_live_line_counts() -> None:
    progress, clock, out = live(total=100)
    with progress:
        clock.now = 5.0
        for event in [*streams.every_status(), *[streams.case(9, streams.passed())] * 4]:
            progress.advance(event)
        line = progress.line().plain
    assert line == (
        "10/100 cases  5 PASS  1 FAIL  4 other (40.0%)  controls 1/2  2.0/s  45.0 s left"
    )
    assert "10/100 cases" in out.getvalue()


def test_before_anything_is_known_the_live_line_promises_nothing() -> None:
    progress, _, _ = live(total=100)
    assert progress.line().plain == "0/100 cases  0 PASS  0 FAIL  0 other  0.0/s"


def test_without_a_total_the_time_allowed_is_what_is_left() -> None:
    progress, clock, _ = live(max_time=60)
    clock.now = 45.0
    assert progress.line().plain.endswith("0.0/s  15.0 s left")
    clock.now = 75.0
    assert progress.line().plain.endswith("0.0 s left")


def test_the_nearer_end_is_the_one_that_counts() -> None:
    progress, clock, _ = live(total=1000, max_time=60)
    clock.now = 10.0
    for _ in range(10):
        progress.advance(streams.case(0, streams.passed()))
    assert progress.line().plain.endswith("50.0 s left")


def test_without_any_end_no_time_is_left_to_tell() -> None:
    assert "left" not in live()[0].line().plain


@pytest.mark.parametrize("options", [{"terminal": False}, {"quiet": True}])
def test_nothing_is_shown_without_a_terminal_or_when_quiet(options: dict[str, bool]) -> None:
    progress, _, out = live(total=10, **options)
    with progress:
        progress.advance(streams.case(0, streams.passed()))
    assert out.getvalue() == ""


def test_a_network_of_any_operator_has_a_row_even_with_a_long_name() -> None:
    name = "a_very_long_operator_name_that_nobody_would_write"
    verdict = streams.passed(operators=(OperatorVerdict(name, "PASS", 0.1, 1e-9),))
    network = Architecture((1, 1), (ops.Dense(1),), losses.SquaredError())
    rows = table(plain([streams.case(0, verdict, architecture=network)], 60), "operator")
    assert rows[1][0].endswith("…") and rows[1][-1] == "1.0e-09"
