"""`backproof report`: make every report again from a run's events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import rich_click as click
from rich.console import Console

from backproof.errors import Command, UsageProblem, show
from backproof.reports import changes, events
from backproof.reports.annotations import github, gitlab
from backproof.reports.comparing import compare
from backproof.reports.comparison_codes import compared
from backproof.reports.events import AnyEvent
from backproof.reports.exit_codes import outcome
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
@click.option(
    "--annotations",
    "platform",
    type=click.Choice(["github", "gitlab"]),
    help="Print, in place of the report, what stands beside the code of a pull request.",
)
def command(file: str, output: str | None, against: str | None, platform: str | None) -> None:
    """Make every report again from EVENTS, and exit as that run did.

    EVENTS is the `events.ndjson` of a run, or its folder, also of one that was cut off.  With
    --against the exit code is 1 only where a case fails that did not fail in OLD, or that OLD
    does not have; 5 where the two have no case in common; else as the run's, but for the
    failures of both.  With --annotations stdout is for a program: GitHub's workflow commands,
    or GitLab's Code Quality report.
    """
    stream = _read(file)
    old = None if against is None else _read(against)
    folder = Path(output) if output else _folder(Path(file))
    try:
        write_all(folder, stream, old)
    except OSError as error:
        raise UsageProblem(f"--output {folder}: {error.strerror}.") from None
    summary, console = summarise(stream), Console()
    comparison = None if old is None else compare(old, stream)
    code = outcome(summary)[0] if comparison is None else compared(summary, comparison)[0]
    if platform is not None:
        # bytes, since a runner's locale may not be able to say a name
        sys.exit(show(lambda: click.echo(ANNOTATIONS[platform](stream), nl=False), code))

    def both() -> None:
        if comparison is not None and against is not None:
            changes.render(summary, comparison, console, against)
            console.print()
        render(summary, console, folder)

    sys.exit(show(both, code))


ANNOTATIONS: dict[str, Callable[[Iterable[AnyEvent]], bytes]] = {
    "github": lambda stream: github(stream).encode(),
    "gitlab": gitlab,
}


def _read(name: str) -> list[AnyEvent]:
    try:
        return events.read(name)
    except events.EventError as error:
        raise UsageProblem(f"{error}.") from None


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent
