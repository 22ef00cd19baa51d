"""`backproof report`: make every report again from a run's events."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click
from rich.console import Console

from backproof.errors import Command, UsageProblem, show
from backproof.reports import events
from backproof.reports.exit_codes import outcome
from backproof.reports.summary import summarise
from backproof.reports.terminal import render
from backproof.reports.write import write_all


@click.command(cls=Command)
@click.argument("file", metavar="EVENTS", default="reports/out/events.ndjson")
@click.option("--output", metavar="DIR", help="Where to write them.  [default: beside EVENTS]")
def command(file: str, output: str | None) -> None:
    """Make every report again from EVENTS, and exit as that run did.

    EVENTS is the `events.ndjson` of a run, also of one that was cut off.
    """
    try:
        stream = events.read(file)
    except events.EventError as error:
        raise UsageProblem(f"{error}.") from None
    folder = Path(output) if output else Path(file).parent
    try:
        write_all(folder, stream)
    except OSError as error:
        raise UsageProblem(f"--output {folder}: {error.strerror}.") from None
    summary = summarise(stream)
    sys.exit(show(lambda: render(summary, Console(), folder), outcome(summary)[0]))
