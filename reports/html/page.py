"""report.html: one file that opens offline, needs no script and prints.

Jinja escapes everything that the templates insert, and what does not print is shown as its
escape first (`text.py`).  The file forbids itself scripts and any request besides; it links to
the pages of its failures, which lie beside it.  What filters its lists is CSS: a rule for each
choice, which hides the rows that are not of it.

Lists are cut where they have taken their share of 5 MB, and say by how much.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ...architectures.architecture import Architecture
from ...architectures.files import dumps as architecture_json
from ...checkers.comparison import CONCLUSIVE, Comparison, Status
from .. import text
from ..drawing import cells, spans, steps, timeline
from ..drawing.histogram import HEIGHT, WIDTH, decades, histogram
from ..events import AnyEvent, CaseFinished, FailureSaved, RunResumed, RunStarted
from ..exit_codes import ExitCode, headline, outcome
from ..functions import CheckedFunction, counted
from ..gate import BAD_REPLAYS, WORDS
from ..summary import Summary, summarise
from ..tallies import BAD, STATUSES, Counts, status_by_operator
from .agreement import agreement
from .failures import Shown, shown
from .matrix import matrix

MOST_CASES = 2_000
"""Cases listed one by one; with more, those that did not pass come first."""

MOST_FAILURES = 50
"""Failures with a section of their own; the others have a row."""

SECTIONS, ROWS, CASES = 2_000_000, 900_000, 1_400_000
"""Characters of the failures' sections, of the rows of the others, and of the list of cases;
700 kB of 5 MB are left for everything else, each part of which is bounded by the numbers below."""

MOST_COMPARISONS = 40
MOST_FUNCTIONS = 400
MOST_TEXT = 4_000
MOST_NOTE = 200
"""Rows of one failure, functions, characters of a failure's texts and of a table's cell."""

OURS = re.compile(r"failures/[\w-]+\.md")
"""What is linked outside: a page that a run has written beside this file, and nothing else."""

SIGNS: dict[Status, str] = {
    "PASS": "\u2713",
    "FAIL": "\u2717",
    "ERROR": "!",
    "TIMEOUT": "T",
    "INCONCLUSIVE": "?",
    "UNSUPPORTED": "\u2013",
}
"""Beside a colour, for who does not see it."""


RANK: dict[Status, int] = {
    status: i for i, status in enumerate((*BAD, "INCONCLUSIVE", "UNSUPPORTED", "PASS"))
}
"""What is shown first where not everything is."""


def dumps(events: Iterable[AnyEvent]) -> bytes:
    """The report as HTML in UTF-8; the same events give the same bytes."""
    events = tuple(events)
    summary = summarise(events)
    code, reason = outcome(summary)
    cases = sorted(
        (e for e in events if isinstance(e, CaseFinished)), key=lambda e: (e.index, e.id)
    )
    evidence = {e.id: e.evidence for e in events if isinstance(e, FailureSaved) and e.evidence}
    failures = tuple(shown(summary, evidence))
    operators = {name: i for i, name in enumerate(row.name for row in summary.operators)}
    shared = {
        "s": summary,
        "statuses": _shown(summary),
        "operators": operators,
        "operators_of": _operators_of(operators),
    }
    page = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            shared | _lists(shared, failures, cases),
            code=int(code),
            verified=code is ExitCode.VERIFIED,
            headline=headline(summary),
            reason=reason,
            started=f"{datetime.fromtimestamp(summary.started, UTC):%Y-%m-%d %H:%M UTC}",
            failing=_tally(f.failure.verdict.status for f in failures),
            first=failures[0] if failures else None,
            matrix=matrix(cases),
            agreement=agreement(cases),
            histograms=_histograms(cases),
            accuracy=_accuracy(cases),
            timeline=timeline.timeline(cases, _starts(events)),
            functions=_functions(summary),
            functions_in_words=counted(summary.functions).removeprefix("functions: "),
        )
    )
    return page.encode()


def _lists(
    shared: dict[str, Any], failures: Sequence[Shown], cases: Sequence[CaseFinished]
) -> dict[str, Any]:
    """What is listed one by one, rendered as far as its share of the file goes."""
    parts: Any = _environment().get_template("parts.jinja").make_module(shared)
    sections, _ = _fitting(map(parts.failure, failures[:MOST_FAILURES]), SECTIONS)
    rest = failures[len(sections) :]
    rows, more_failures = _fitting(map(parts.failure_row, rest), ROWS)
    chosen = _listed(cases)
    case_rows, cut = _fitting(map(parts.case_row, chosen), CASES)
    return {
        "sections": sections,
        "failure_rows": rows,
        "more_failures": more_failures,
        "case_rows": case_rows,
        "more_cases": len(cases) - len(chosen) + cut,
        "listed": _tally(c.verdict.status for c in chosen[: len(case_rows)]),
    }


def _functions(summary: Summary) -> list[CheckedFunction]:
    """As many functions as fit, what is wrong first."""
    ordered = sorted(summary.functions, key=lambda f: (bool(f.known), RANK[f.status]))
    return ordered[:MOST_FUNCTIONS]


def _starts(events: Sequence[AnyEvent]) -> list[timeline.Start]:
    """When the run began, and when it went on after an interruption."""
    begun = [(e.at, 0.0) for e in events if isinstance(e, RunStarted)]
    return begun + [(e.at, e.seconds) for e in events if isinstance(e, RunResumed)]


def _fitting(rendered: Iterable[Markup], budget: int) -> tuple[list[Markup], int]:
    """As many as fit into so many characters, and how many do not."""
    taken: list[Markup] = []
    left = 0
    for part in rendered:
        budget -= len(part.encode())
        if left or budget < 0:
            left += 1
        else:
            taken.append(part)
    return taken, left


def _tally(statuses: Iterable[Status]) -> Counts:
    found = list(statuses)
    return {s: found.count(s) for s in STATUSES if s in found}


# --- the templates ------------------------------------------------------------------------


@functools.cache
def _environment() -> jinja2.Environment:
    """The templates, compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalise,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": text.number,
        "grouped": "{:,}".format,
        "percent": "{:.1%}".format,
        "resolution": text.resolution,
        "count": text.count,
        "duration": text.duration,
        "segments": _segments,
        "worst_first": _worst_first,
        "note": lambda words: text.cut(str(words), MOST_NOTE),
        "long": lambda words: text.cut(str(words), MOST_TEXT),
        "breakable": _breakable,
        "as_json": _as_json,
        "option": _option,
    }
    environment.tests |= {
        "ours": lambda path: bool(OURS.fullmatch(path)),
        "bad_replay": lambda replay: replay.outcome in BAD_REPLAYS,
    }
    environment.globals |= {
        "signs": SIGNS,
        "words": WORDS,
        "histogram_size": (WIDTH, HEIGHT),
        "spans": spans,
        "heat": cells,
        "steps": steps,
        "time": timeline,
    }
    return environment


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _finalise(value: Any) -> Any:
    """Every value on its way into the page, except what the templates themselves have made."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return text.printable(value, lines=True)
    return value


def _breakable(name: str) -> Markup:
    """A name that may be broken after its dots and underscores."""
    escaped = str(escape(text.printable(text.cut(name, MOST_NOTE))))
    return Markup(re.sub(r"(?<=[._])(?=\w)", "<wbr>", escaped))


def _option(value: Any) -> str:
    """An option's value as it is given on a command line."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _as_json(architecture: Architecture) -> str:
    return text.cut(architecture_json(architecture), MOST_TEXT)


def _operators_of(operators: dict[str, int]) -> Callable[[CaseFinished | Shown], str]:
    """The classes by which a row is found: one for each operator that its network has."""

    def classes(row: CaseFinished | Shown) -> str:
        if isinstance(row, CaseFinished):
            names: Iterable[str] = status_by_operator(row)
        else:
            names = (*row.failure.architecture.operators, row.failure.verdict.operator)
        found = sorted({operators[name] for name in names if name in operators})
        return " ".join(f"o{number}" for number in found)

    return classes


def _shown(summary: Summary) -> tuple[Status, ...]:
    """The statuses that have a column: the three usual ones, and those that occurred."""
    usual = ("PASS", "FAIL", "INCONCLUSIVE")
    return tuple(s for s in STATUSES if s in usual or summary.counts[s] or _of_rows(summary, s))


def _of_rows(summary: Summary, status: Status) -> bool:
    return any(row.cases[status] for row in (*summary.operators, *summary.by_checker))


# --- what the tables show -----------------------------------------------------------------

THINNEST = 2.5
"""Of a bar's hundredths: one failure among thousands of cases must show."""


@dataclass(frozen=True)
class Segment:
    """A part of a bar, in hundredths of its width; the least of them can still be seen."""

    status: Status
    count: int
    x: float
    width: float


def _segments(cases: Counts) -> Iterator[Segment]:
    shares = {status: n for status, n in cases.items() if n}
    widths = {s: max(100 * n / sum(shares.values()), THINNEST) for s, n in shares.items()}
    x = 0.0
    for status, width in widths.items():
        width *= 100 / sum(widths.values())
        yield Segment(status, cases[status], round(x, 2), round(width, 2))
        x += width


def _worst_first(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The disagreements, the greatest ratio first, then what could not be decided."""
    ranked = sorted(comparisons, key=lambda c: (c.status != "FAIL", -c.ratio))
    return ranked[:MOST_COMPARISONS]


def _listed(cases: Sequence[CaseFinished]) -> Sequence[CaseFinished]:
    if len(cases) <= MOST_CASES:
        return cases
    return sorted(cases, key=lambda c: RANK[c.verdict.status])[:MOST_CASES]


def _histograms(cases: Sequence[CaseFinished]) -> list[dict[str, Any]]:
    resolutions = [
        c.verdict.resolution
        for c in cases
        if c.verdict.status == "PASS" and c.verdict.resolution is not None
    ]
    ratios = [v.ratio for c in cases for v in c.verdict.checkers if v.status in ("PASS", "FAIL")]
    decade = f"{CONCLUSIVE:.0e}".partition("e")[2]
    charts = (
        {
            "title": "Error over its bound, for each case and checker",
            "says": "Left of the line is right, right of it is wrong.",
            "axis": "error / bound",
            "unit": "comparisons",
            "chart": histogram(ratios, 0, "bound", "0"),
        },
        {
            "title": "Resolution of the cases that passed",
            "says": "The further left, the smaller an error would have been caught.",
            "axis": "smallest relative error caught",
            "unit": "cases",
            "chart": histogram(resolutions, int(decade), f"{CONCLUSIVE:.0%}", "exact"),
        },
    )
    return [c for c in charts if c["chart"] is not None]


def _accuracy(cases: Sequence[CaseFinished]) -> dict[str, Any]:
    """For each operator its errors over their bounds, as a strip of decades."""
    found: dict[str, list[float]] = {}
    for c in cases:
        for v in c.verdict.operators:
            if v.status in ("PASS", "FAIL"):
                found.setdefault(v.operator, []).append(v.ratio)
    return {name: decades(ratios) for name, ratios in found.items()}
