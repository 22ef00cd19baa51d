"""`backproof baseline`: the failures that are known, why, and until when."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from backproof import baseline, failures
from backproof.architectures.files import ArchitectureError
from backproof.baseline import Baseline, Entry
from backproof.commands.configured import with_config
from backproof.errors import Command, Subcommands, UsageProblem, show
from backproof.reports import events
from backproof.reports.events import FILE, AnyEvent, CaseKnown, FailureSaved, Replayed, RunStarted
from backproof.reports.text import count, printable
from backproof.settings import DEFAULTS

with_file = click.option(
    "--baseline",
    "file",
    metavar="FILE",
    help=f"The baseline.  [default: as configured, or {DEFAULTS['baseline']}]",
)
with_events = click.argument("stream", metavar="[EVENTS]", required=False)


@click.group(cls=Subcommands)
def group() -> None:
    """Failures that are known, with their reason, and the day on which they stop to be excused."""


def _day(ctx: Any, param: Any, text: str | None) -> datetime.date | None:
    try:
        return None if text is None else datetime.date.fromisoformat(text)
    except ValueError:
        words = f"{param.opts[0]} must be a day such as 2027-03-31, got {text!r}."
        raise UsageProblem(words) from None


@group.command(cls=Command)
@with_events
@click.option("--reason", help="Why they are excused; needed for every new one.")
@click.option("--ticket", default="", help="Where the repair is tracked.")
@click.option(
    "--expires",
    metavar="DAY",
    callback=_day,
    help=f"The last day of the excuse.  [default: {baseline.LASTS} days from now]",
)
@click.option("--id", "ids", multiple=True, metavar="ID", help="These, also to renew one.")
@click.option(
    "--scope",
    type=click.Choice(["network", "operator"]),
    default="network",
    show_default=True,
    help="Excuse the very network, or whatever fails in that operator's tensor.",
)
@with_file
@with_config
@click.pass_context
def update(
    ctx: click.Context,
    stream: str | None,
    reason: str | None,
    ticket: str,
    expires: datetime.date | None,
    ids: tuple[str, ...],
    scope: baseline.Scope,
    file: str | None,
) -> None:
    """Add the failures that a run saved, and note which known ones it saw again.

    EVENTS is the run's folder or its `events.ndjson`, by default the configured output.  Nothing is
    ever taken out: that is `prune`.
    """
    path, log = _paths(ctx, stream, file)
    before, found = _read(path), _events(log)
    day = _day_of(found)
    new = [
        baseline.entry_of(
            f, reason=reason or "", ticket=ticket, expires=expires, today=day, scope=scope
        )
        for f in _saved(found, log.parent)
    ]
    if expires is None:  # not from the day of the run, which may be long ago
        last = _today() + datetime.timedelta(days=baseline.LASTS)
        new = [baseline.lasting(e, last) for e in new]
    new = [e for e in new if not ids or e.id in ids]
    if missing := set(ids) - {e.id for e in new}:
        raise UsageProblem(f"--id {min(missing)}: that run saved no such failure.")
    after, words = _after(before, new, _seen(found), day, ids)
    if any(word in ("added", "renewed") for word, _ in words) and not (reason or "").strip():
        raise UsageProblem("--reason: say why these failures are excused.")
    _write(path, after, words)


def _after(
    before: Baseline,
    new: Sequence[Entry],
    seen: dict[str, str],
    day: datetime.date,
    ids: Sequence[str],
) -> tuple[Baseline, list[tuple[str, str]]]:
    """The new baseline, and what was done to which entry.

    An excuse that has ended is renewed, and one that is asked for by its id.
    """
    known = {(e.id, e.case.subject): e for e in before.known}
    words = []
    for entry in new:
        old = known.get((entry.id, entry.case.subject))
        if old is None:
            words.append(("added", entry.id))
        elif old.expired(_today()) or entry.id in ids:
            known[entry.id, entry.case.subject] = baseline.renewed(old, entry)
            words.append(("renewed", entry.id))
        else:
            words.append(("seen again", entry.id))
    for (id, subject), entry in known.items():
        if seen.get(id) == subject:
            known[id, subject] = baseline.seen(entry, day)
            words.append(("seen again", id))
    return baseline.updated(baseline.ordered(known.values()), new), words


@group.command(cls=Command)
@with_events
@with_file
@with_config
@click.pass_context
def prune(ctx: click.Context, stream: str | None, file: str | None) -> None:
    """Take out the failures that a gate found to be fixed.

    EVENTS is the gate's folder or its `events.ndjson`.  What it did not reach stays.
    """
    path, log = _paths(ctx, stream, file)
    before, found = _read(path), _events(log)
    fixed = [e.id for e in found if isinstance(e, Replayed) and e.known and e.outcome == "fixed"]
    after = baseline.without(before, fixed, _subject(found))
    there = {e.id for e in after.known}
    gone = [("removed", e.id) for e in before.known if e.id not in there]
    _write(path, after, gone)


@group.command("show", cls=Command)
@with_file
@with_config
@click.pass_context
def show_known(ctx: click.Context, file: str | None) -> None:
    """List the failures that are known, those whose excuse has ended first."""
    path, _ = _paths(ctx, None, file)
    entries = sorted(_read(path).known, key=lambda e: (e.expires, e.id))
    lines = [f"{count(len(entries), 'known failure')} in {path}"]
    for e in entries:
        ends = "EXPIRED on" if e.expired(_today()) else "until"
        lines.append(f"{e.id}  {ends} {e.expires}")
        lines += [f"  {label:<9}{text}" for label, text in _facts(e) if text]
    sys.exit(show(lambda: click.echo("\n".join(printable(line) for line in lines)), 0))


def _facts(e: Entry) -> list[tuple[str, str]]:
    return [
        ("reason", f"{e.reason} [{e.ticket}]" if e.ticket else e.reason),
        ("wrong", " ".join(word for word in (e.operator, e.tensor) if word)),
        ("network", f"{e.network}, {e.case.lane} {e.case.dtype}"),
        ("excuses", "every such failure of the operator" if e.scope == "operator" else ""),
        ("subject", e.case.subject),
        ("seen", f"{e.first_seen} to {e.last_seen}"),
    ]


# --- files --------------------------------------------------------------------------------


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _paths(ctx: click.Context, stream: str | None, file: str | None) -> tuple[Path, Path]:
    """The baseline's file, and the events'."""
    given = ctx.meta["backproof.configuration"].given
    configured = {k: given[k].value if k in given else DEFAULTS[k] for k in ("baseline", "output")}
    log = Path(stream or configured["output"])
    if log.is_dir() or not stream:
        log /= FILE
    return Path(file or configured["baseline"]), log


def _read(path: Path) -> Baseline:
    try:
        return baseline.read(path, absent=True)
    except ArchitectureError as error:
        raise UsageProblem(f"{str(error).rstrip('.')}.") from None


def _events(path: Path) -> list[AnyEvent]:
    try:
        found = events.read(path)
    except events.EventError as error:
        raise UsageProblem(f"{error}.") from None
    if not found or not isinstance(found[0], RunStarted):
        raise UsageProblem(f"{path}: these are not the events of a run.")
    return found


def _day_of(found: Sequence[AnyEvent]) -> datetime.date:
    return datetime.datetime.fromtimestamp(found[0].at, datetime.UTC).date()


def _subject(found: Sequence[AnyEvent]) -> str:
    return found[0].subject if isinstance(found[0], RunStarted) else ""


def _seen(found: Sequence[AnyEvent]) -> dict[str, str]:
    """The ids of the known failures that the run saw, and its subject."""
    ids = [e.known for e in found if isinstance(e, CaseKnown)]
    ids += [
        e.id for e in found if isinstance(e, Replayed) and e.known and e.verdict.status == "FAIL"
    ]
    return dict.fromkeys(ids, _subject(found))


def _saved(found: Sequence[AnyEvent], folder: Path) -> list[failures.FailureFile]:
    """The failures that the run saved."""
    try:
        return [
            failures.read(folder / e.path) for e in found if isinstance(e, FailureSaved) and e.path
        ]
    except ArchitectureError as error:
        raise UsageProblem(f"{str(error).rstrip('.')}.") from None


def _write(path: Path, after: Baseline, words: Sequence[tuple[str, str]]) -> None:
    try:
        if words:
            baseline.save(path, after)
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror}.") from None
    lines = [f"{word:<10}  {id}" for word, id in dict.fromkeys(words)] or ["nothing to change"]
    lines.append(f"{count(len(after.known), 'known failure')} in {path}")
    sys.exit(show(lambda: click.echo("\n".join(printable(line) for line in lines)), 0))
