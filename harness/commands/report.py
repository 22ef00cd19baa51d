"""`backproof report`: make every report again from a run's events."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click
from rich.console import Console

from backproof.errors import Command, UsageProblem, show
from backproof.reports import changes, events
from backproof.reports.comparing import compare
from backproof.reports.events import AnyEvent
from backproof.reports.exit_codes import compared, outcome
from backproof.reports.summary import summarise
from backproof.reports.terminal import render
from backproof.reports.write import write_all


@click.command(cls=Command)
@click.argument("file", metavar="EVENTS", default="reports/out")
@click.option("--output", metavar="DIR", help="Where to write them.  [default: beside EVENTS]")
@click.option(
    "--against",
    metavar="OLD",
    help="The events of an older run: say what fails now, what lost digits, what takes longer.",
)
def command(file: str, output: str | None, against: str | None) -> None:
    """Make every report again from EVENTS, and exit as that run did.

    EVENTS is the `events.ndjson` of a run, or its folder, also of one that was cut off.  With
    --against the exit code is 1 only where a case fails that did not fail in OLD, or that OLD
    does not have; 5 where the two have no case in common; else as the run's, but for the
    failures of both.
    """
    stream = _read(file)
    old = None if against is None else _read(against)
    folder = Path(output) if output else _folder(Path(file))
    try:
        write_all(folder, stream, old)
    except OSError as error:
        raise UsageProblem(f"--output {folder}: {error.strerror}.") from None
    summary, console = summarise(stream), Console()
    if old is None or against is None:
        sys.exit(show(lambda: render(summary, console, folder), outcome(summary)[0]))
    comparison = compare(old, stream)

    def both() -> None:
        changes.render(summary, comparison, console, against)
        console.print()
        render(summary, console, folder)

    sys.exit(show(both, compared(summary, comparison)[0]))


def _read(name: str) -> list[AnyEvent]:
    try:
        return events.read(name)
    except events.EventError as error:
        raise UsageProblem(f"{error}.") from None


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
