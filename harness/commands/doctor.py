"""`backproof doctor`: what of this machine bears on verification."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import rich_click as click

from backproof.doctor import Finding, examine
from backproof.errors import ERROR, Command, show
from backproof.reports.text import count, printable

MARKS = {"fine": " ", "note": "-", "bad": "!"}


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Print versions, devices, precision flags and threads, and what they imply.

    One line each: `!` what makes results untrustworthy, `-` what is good to know.  Exit codes:
    0, or 3 where results are untrustworthy.
    """
    found = examine()
    code = ERROR if any(f.level == "bad" for f in found) else 0
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    sys.exit(show(lambda: click.echo(text if as_json else _lines(found)), code))


def _lines(found: Sequence[Finding]) -> str:
    width = max(len(f.name) for f in found)
    lines = [
        f"{MARKS[f.level]} {f.name:{width}}  {f.value}{': ' + f.implies if f.implies else ''}"
        for f in found
    ]
    bad = sum(f.level == "bad" for f in found)
    lines.append(
        f"UNTRUSTWORTHY: {count(bad, 'finding')} marked !" if bad else "Results can be trusted."
    )
    return "\n".join(printable(line) for line in lines)
