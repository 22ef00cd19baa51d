"""A run in a folder: events as they happen, reports at the end, and no second run beside it."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import rich_click as click
from rich.console import Console

from backproof import resuming
from backproof.baseline import Entry, in_force
from backproof.campaign import run, versions_of
from backproof.errors import ERROR, show
from backproof.folders import holding, prepare_folder, unwriteable
from backproof.interruption import Interruption
from backproof.jobs import Options
from backproof.replaying import Saved
from backproof.reports.events import AnyEvent
from backproof.reports.progress import LiveProgress
from backproof.reports.summary import Summary
from backproof.reports.terminal import render
from backproof.reports.write import EventWriter, write, write_all


@dataclass(frozen=True)
class Session:
    """What a run has besides its options: a gate's saved cases, and what stands from before."""

    saved: tuple[Saved, ...] = ()
    known: tuple[Entry, ...] = ()
    before: tuple[AnyEvent, ...] = ()
    spent: float = 0.0


def conclude(
    options: Options,
    given: dict[str, Any],
    session: Session = Session(),
    after: Callable[[Path], None] = lambda folder: None,
) -> NoReturn:
    """Run, and end with its exit code; `after` is called with the folder before it is let go."""
    folder = Path(given["output"])
    command = recorded(sys.argv[1:])
    with holding(folder):
        if given["resume"]:
            session = resumed(folder, options, session)
        if not session.before:
            prepare_folder(folder)
        code = run_into(folder, options, command=command, quiet=given["quiet"], session=session)
        after(folder)
    sys.exit(code)


def resumed(folder: Path, options: Options, session: Session) -> Session:
    """The session with what stands of the run in the folder, if it was interrupted there.

    Where that run has ended, or was of other code or libraries, it is begun anew, which is said:
    a pipeline that always resumes must neither stick nor take old verdicts for new ones.
    """
    found = resuming.earlier(folder)
    if not found:
        return session
    if resuming.ended(found):
        return _anew(folder, "has ended", session)
    resuming.refuse_others(found, options, folder)
    if why := resuming.outdated(found, versions_of(options)):
        return _anew(folder, f"is outdated: {why}", session)
    today = datetime.datetime.now(datetime.UTC).date()
    excuses = {entry.id for entry in in_force(session.known, options.subject, today)}
    kept = resuming.kept(found, options, excuses)
    try:
        resuming.rewrite(folder, kept)
    except OSError as error:
        raise unwriteable(folder, error) from None
    return replace(session, before=tuple(kept), spent=resuming.spent(found))


def _anew(folder: Path, why: str, session: Session) -> Session:
    click.echo(f"--resume: the run in {folder} {why}; it is begun anew.", err=True)
    return session


def recorded(arguments: list[str]) -> str:
    """The command line as the events keep it: without what has no say in any verdict.

    So that two runs with one seed leave the same events, however many processes they took.
    """
    words, kept = iter(arguments), ["backproof"]
    for word in words:
        if word in ("--workers", "--output"):
            next(words, None)
        elif word not in ("--quiet", "--resume") and not word.startswith(
            ("--workers=", "--output=")
        ):
            kept.append(shlex.quote(word))
    return " ".join(kept)


class Disk:
    """Where a run writes.  A disk that fills up costs the files, never the verdict.

    What cannot be written is told once, on stderr, and kept in `problems`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def attempt(self, what: str, action: Callable[[], Any]) -> None:
        """Do something that writes `what`."""
        try:
            action()
        except OSError as error:
            if what not in self.problems:
                self.problems.append(what)
                click.echo(f"{what} cannot be written: {error.strerror}", err=True)

    def save(self, name: str, content: bytes) -> None:
        """A file of a failure, below the folder."""
        path = self.folder / name

        def action() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, content)

        self.attempt(str(path), action)


def run_into(
    folder: Path,
    options: Options,
    *,
    command: str,
    quiet: bool,
    session: Session = Session(),
) -> int:
    """Run, keep the events and write the reports; the exit code."""
    disk = Disk(folder)
    events = list(session.before)
    path = folder / "events.ndjson"
    writer = EventWriter(path)
    with (
        contextlib.ExitStack() as last,
        Interruption() as interruption,
        LiveProgress(
            Console(stderr=True), options.cases or None, options.max_time, quiet=quiet
        ) as progress,
    ):
        last.callback(disk.attempt, str(path), writer.close)
        for event in session.before:
            progress.advance(event)

        def listen(event: AnyEvent) -> None:
            events.append(event)
            progress.advance(event)
            disk.attempt(str(path), lambda: writer.write(event))

        summary = run(
            options,
            listen,
            command=command,
            save=disk.save,
            folder=folder,
            stop=interruption.asked,
            saved=session.saved,
            known=session.known,
            before=session.before,
            spent=session.spent,
        )
    disk.attempt(f"the reports in {folder}", lambda: write_all(folder, events))
    code = summary.exit_code or (ERROR if disk.problems else 0)
    return show(lambda: _conclude(summary, folder, quiet=quiet), code)


def _conclude(summary: Summary, folder: Path, *, quiet: bool) -> None:
    """The end of a run on stdout."""
    if quiet:
        click.echo(summary.reason)
    else:
        render(summary, Console(), folder)
