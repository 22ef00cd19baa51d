"""report.html: one file that opens offline, needs no script and prints.

Jinja escapes everything that the template inserts, and what does not print is shown as its
escape first (`text.py`).  The file forbids itself scripts and any request besides; it links to
the pages of its failures, which lie beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ..architectures.architecture import Architecture
from ..architectures.files import dumps as architecture_json
from ..checkers.comparison import CONCLUSIVE, Comparison, Status
from . import text
from .events import AnyEvent, CaseFinished
from .exit_codes import ExitCode, headline, outcome
from .histogram import HEIGHT, WIDTH, histogram
from .summary import Summary, summarise
from .tallies import BAD, STATUSES, Counts

MOST_CASES = 2_000
"""Cases listed one by one; with more, those that did not pass come first."""

MOST_FAILURES = 50
"""Failures with a section of their own."""

MOST_COMPARISONS = 40
MOST_TEXT = 4_000
MOST_NOTE = 200
"""Rows of one failure, characters of its texts and of a table's cell: they keep the file
below 5 MB whatever the run was."""


OURS = re.compile(r"failures/[\w-]+\.md")
"""What is linked: a page that a run has written beside this file, and nothing else."""


def dumps(events: Iterable[AnyEvent]) -> bytes:
    """The report as HTML in UTF-8; the same events give the same bytes."""
    events = tuple(events)
    summary = summarise(events)
    code, reason = outcome(summary)
    cases = sorted(
        (e for e in events if isinstance(e, CaseFinished)), key=lambda e: (e.index, e.id)
    )
    listed = _listed(cases)
    page = _template().render(
        s=summary,
        code=int(code),
        verified=code is ExitCode.VERIFIED,
        headline=headline(summary),
        reason=reason,
        started=f"{datetime.fromtimestamp(summary.started, UTC):%Y-%m-%d %H:%M UTC}",
        statuses=_shown(summary),
        failures=summary.failures[:MOST_FAILURES],
        more_failures=len(summary.failures) - MOST_FAILURES,
        cases=listed,
        more_cases=len(cases) - len(listed),
        histograms=_histograms(cases),
        drawing=(WIDTH, HEIGHT),
    )
    return page.encode()


def _template() -> jinja2.Template:
    source = resources.files(__package__).joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
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
        "resolution": text.resolution,
        "count": text.count,
        "duration": text.duration,
        "segments": _segments,
        "worst_first": _worst_first,
        "note": lambda words: text.cut(str(words), MOST_NOTE),
        "long": lambda words: text.cut(str(words), MOST_TEXT),
        "as_json": _as_json,
        "option": _option,
    }
    environment.tests["ours"] = lambda path: bool(OURS.fullmatch(path))
    return environment.from_string(source)


def _finalise(value: Any) -> Any:
    """Every value on its way into the page, except what the template itself has made."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return text.printable(value, lines=True)
    return value


def _option(value: Any) -> str:
    """An option's value as it is given on a command line."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _as_json(architecture: Architecture) -> str:
    return text.cut(architecture_json(architecture), MOST_TEXT)


def _shown(summary: Summary) -> tuple[Status, ...]:
    """The statuses that have a column: the three usual ones, and those that occurred."""
    usual = ("PASS", "FAIL", "INCONCLUSIVE")
    return tuple(s for s in STATUSES if s in usual or summary.counts[s] or _of_rows(summary, s))


def _of_rows(summary: Summary, status: Status) -> bool:
    return any(row.cases[status] for row in (*summary.operators, *summary.by_checker))


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
    rank = {status: i for i, status in enumerate((*BAD, "INCONCLUSIVE", "UNSUPPORTED", "PASS"))}
    return sorted(cases, key=lambda c: rank[c.verdict.status])[:MOST_CASES]


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
            "title": "Resolution of the cases that passed",
            "axis": "smallest relative error that would have been caught",
            "unit": "cases",
            "chart": histogram(resolutions, int(decade), f"{CONCLUSIVE:.0%}", "exact"),
        },
        {
            "title": "Error over its bound, for each case and checker",
            "axis": "error / bound",
            "unit": "comparisons",
            "chart": histogram(ratios, 0, "bound", "0"),
        },
    )
    return [c for c in charts if c["chart"] is not None]
