"""badge.svg, and badge.json in the format of shields.io's endpoint: `gradients | verified 794`.

Every word on them is ours, so nothing of a subject's is on a badge.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import msgspec

from .events import AnyEvent
from .exit_codes import ExitCode, outcome
from .functions import counting
from .summary import Summary, summarise

LABEL = "gradients"

COLORS = {
    ExitCode.VERIFIED: ("brightgreen", "#2a7e2e"),
    ExitCode.WRONG: ("red", "#c0392b"),
    ExitCode.INTERRUPTED: ("lightgrey", "#6a6a6a"),
    ExitCode.ERROR: ("orange", "#a85a00"),
    ExitCode.USAGE: ("orange", "#a85a00"),
    ExitCode.NOT_VERIFIED: ("yellow", "#806000"),
}
"""shields' name of a colour, and one on which white is read (contrast of 4.5 to 1 or more)."""


def message(summary: Summary) -> str:
    """The outcome in a word or two, with how many cases it is about."""
    code, _ = outcome(summary)
    match code:
        case ExitCode.VERIFIED:
            return f"verified {summary.passed:,}"
        case ExitCode.WRONG:
            wrong = sum(f.verdict.status == "FAIL" for f in summary.failures)
            wrong += sum(f.status == "FAIL" for f in counting(summary.functions))
            return f"wrong in {wrong:,}" if wrong else "wrong"
        case ExitCode.NOT_VERIFIED:
            return "too little verified" if summary.passed else "nothing verified"
        case _:
            return code.name.lower().replace("_", " ")


def endpoint(events: Iterable[AnyEvent]) -> bytes:
    """badge.json, for `https://img.shields.io/endpoint?url=...`."""
    summary = summarise(events)
    color = COLORS[outcome(summary)[0]][0]
    badge = {"schemaVersion": 1, "label": LABEL, "message": message(summary), "color": color}
    return msgspec.json.format(msgspec.json.encode(badge), indent=2) + b"\n"


NARROW, WIDE = "fijlrt ,.|", "mw"


def width(text: str) -> int:
    """About the pixels of a text in Verdana of 11 pixels; `textLength` makes it exact."""
    return round(sum(4 if c in NARROW else 10 if c in WIDE else 7 for c in text))


def svg(events: Iterable[AnyEvent]) -> bytes:
    """badge.svg: self-contained, with a title and a role for whoever cannot see it."""
    summary = summarise(events)
    said = message(summary)
    left, right = width(LABEL) + 10, width(said) + 10
    title = escape(f"{LABEL}: {said}")
    words = "\n".join(
        f'    <text x="{x:g}" y="14" textLength="{width(text)}">{escape(text)}</text>'
        for x, text in ((left / 2, LABEL), (left + right / 2, said))
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" \
aria-label="{title}">
  <title>{title}</title>
  <clipPath id="round"><rect width="{left + right}" height="20" rx="3"/></clipPath>
  <g clip-path="url(#round)">
    <rect width="{left}" height="20" fill="#555"/>
    <rect x="{left}" width="{right}" height="20" fill="{COLORS[outcome(summary)[0]][1]}"/>
  </g>
  <g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" \
font-size="11">
{words}
  </g>
</svg>
""".encode()
