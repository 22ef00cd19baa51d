"""Annotations: what a pipeline writes beside the changed lines of a pull request.

One for each mistake, the worst first, at the line of the subject where a run knows it
(`RunStarted.source`).  Known failures are notices.  A run that is not verified has one error at
least, so that no red step is without a word.

GitHub takes workflow commands, `::error file=F,line=N,title=T::MESSAGE`, one on a line of stdout.
Its toolkit escapes them so (actions/toolkit, `core/src/command.ts`):

    message     %  as %25    carriage return  as %0D    line feed  as %0A
    property    these, and  :  as %3A    ,  as %2C

The runner looks for the first `::` behind the name; no property can hold one, so whatever a
subject calls itself is text.  It keeps ten annotations of each level in a step and cuts a message
at 4,096 characters (actions/runner, `ExecutionContext.cs`).

GitLab takes a list of Code Quality findings (docs.gitlab.com/ci/testing/code_quality), each of
which must have a file and a line; without them there is nothing to report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from .events import AnyEvent, RunStarted, Source
from .exit_codes import ExitCode, headline, outcome
from .functions import counting
from .gate import BAD_REPLAYS, WORDS, Replay
from .mistakes import by_mistake
from .sarif import fingerprint, fingerprint_of_replay, sentences
from .summary import Failure, Summary, summarise
from .text import count, cut, printable

Level = Literal["error", "warning", "notice"]

EACH = 10
"""Annotations of one level that GitHub shows of a step."""

LONGEST, TITLE = 1_000, 200
"""Characters of a message and of a title; GitHub cuts them at 4,096 and 255."""


class Note(msgspec.Struct, frozen=True):
    """What stands at a line.  `lines` are as they came from the subject.

    `fingerprint` is of a mistake of the code under test; what else may go wrong in a run has none.
    """

    level: Level
    title: str
    lines: tuple[str, ...]
    fingerprint: str = ""


def notes(events: Iterable[AnyEvent]) -> list[Note]:
    """Everything there is to say of a run at a line: errors, warnings, notices, the worst first."""
    summary = summarise(events)
    found = [*_failures(summary), *_replays(summary), *_functions(summary)]
    found += [*_controls(summary), *_known(summary)]
    found += [Note("error", "Backproof: budget missed", (words,)) for words in summary.missed]
    code, reason = outcome(summary)
    if code is not ExitCode.VERIFIED and not any(note.level == "error" for note in found):
        found.append(Note("error", f"Backproof: {headline(summary)}", (reason,)))
    order: tuple[Level, ...] = ("error", "warning", "notice")
    return sorted(found, key=lambda note: order.index(note.level))


def _failures(s: Summary) -> Iterator[Note]:
    for group in by_mistake(s.failures):
        f = group[0]
        status, where = f.verdict.status, _where(f)
        if status == "FAIL":
            mark = fingerprint(s.subject, f)
            yield Note("error", f"Wrong gradient{where}", tuple(sentences(group)), mark)
        else:  # a TIMEOUT has its budget, as what is INCONCLUSIVE
            level: Level = "warning" if status == "TIMEOUT" else "error"
            yield Note(
                level, f"Backproof: {status}{where}", (_cases(status, group), f.verdict.reason)
            )


def _replays(s: Summary) -> Iterator[Note]:
    """Saved cases that fail, or of which nothing is known; and those that need no excuse now."""
    for r in s.replays:
        lines = (f"The saved case {r.id} {WORDS[r.outcome]}.", r.note or r.reason)
        if r.outcome in BAD_REPLAYS:
            mark = fingerprint_of_replay(s.subject, r.id)
            yield Note("error", "Backproof: saved case", lines, mark)
        elif r.outcome == "error" or (r.outcome == "not_reached" and not r.known):
            yield Note("error", "Backproof: saved case", lines)
        elif r.outcome in ("fixed", "not_reached"):
            yield Note("notice", "Backproof: known failure", lines)


def _functions(s: Summary) -> Iterator[Note]:
    """Functions by the names of their tests, as their own files are not known here."""
    for f in counting(s.functions):
        again = f"Replay: {f.replay}" if f.replay else ""
        lines = (f"{f.status}: {f.function} in {f.id}.", f.reason, again)
        if f.status in ("FAIL", "ERROR"):
            what = "a function is wrong" if f.status == "FAIL" else "ERROR"
            yield Note("error", f"Backproof: {what}", lines)
        elif f.status in ("TIMEOUT", "INCONCLUSIVE"):
            yield Note("warning", f"Backproof: {f.status}", lines)


def _controls(s: Summary) -> Iterator[Note]:
    for m in s.controls.missed:
        words = f"{m.fault} at {m.site} in {m.id}: expected FAIL on {m.expected}, got {m.status}."
        yield Note("error", "Backproof: a planted fault went unnoticed", (words,))


def _known(s: Summary) -> Iterator[Note]:
    """One notice for each known failure that is still there."""
    groups: dict[str, list[Failure]] = {}
    for f in s.excused:
        groups.setdefault(f.known, []).append(f)
    for id, group in groups.items():
        f = group[0]
        lines = (f"{id} still fails, as is known: {_cases('FAIL', group)}", f.verdict.reason)
        yield Note("notice", f"Known failure{_where(f)}", lines, fingerprint(s.subject, f))
    for r in s.replays:
        if r.outcome == "expected" and r.id not in groups:
            yield Note("notice", "Known failure", _expected(r))


def _expected(r: Replay) -> tuple[str, ...]:
    return f"The saved case {r.id} {WORDS[r.outcome]}.", r.note or r.reason


def _where(f: Failure) -> str:
    words = [w for w in (f.verdict.operator, f.verdict.tensor) if w]
    return f": {' '.join(words)}" if words else ""


def _cases(status: str, group: Sequence[Failure]) -> str:
    return f"{status} in {count(len(group), 'case')}, first {group[0].id}."


def _source(events: Iterable[AnyEvent]) -> Source | None:
    start = next((e for e in events if isinstance(e, RunStarted)), None)
    return start.source if start else None


# --- GitHub -----------------------------------------------------------------------------


def github(events: Iterable[AnyEvent]) -> str:
    """Workflow commands, a line each; what is more than a step may show is counted in the last.

    Empty where there is nothing to say: a run that is verified, without known failures.
    """
    events = tuple(events)
    found, source = notes(events), _source(events)
    shown: list[Note] = []
    for level in ("error", "warning", "notice"):
        shown += [note for note in found if note.level == level][:EACH]
    if len(shown) < len(found):
        notices = [note for note in shown if note.level == "notice"]
        if len(notices) == EACH:  # the last line is one too
            shown.pop()
        left = count(len(found) - len(shown), "more annotation")
        words = f"{left}: report.md and report.html have everything."
        shown.append(Note("notice", "Backproof: not all is shown", (words,)))
    return "".join(f"{_command(note, source)}\n" for note in shown)


def _command(note: Note, source: Source | None) -> str:
    place = () if source is None else (("file", source.file), ("line", str(max(source.line, 1))))
    properties = (*place, ("title", cut(printable(note.title), TITLE)))
    words = ",".join(f"{key}={in_property(printable(value))}" for key, value in properties)
    message = "\n".join(printable(line) for line in note.lines if line)
    return f"::{note.level} {words}::{in_message(cut(message, LONGEST))}"


def in_message(text: str) -> str:
    """A workflow command's message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def in_property(text: str) -> str:
    """The value of a workflow command's property."""
    return in_message(text).replace(":", "%3A").replace(",", "%2C")


# --- GitLab -----------------------------------------------------------------------------

SEVERITIES: dict[Level, str] = {"error": "critical", "warning": "minor", "notice": "info"}


def gitlab(events: Iterable[AnyEvent]) -> bytes:
    """The Code Quality report: the mistakes of the code under test, if its place is known.

    A saved case that fails is one of them, with SARIF's fingerprint as the others.  Errors of the
    harness and missed budgets are no fault of a line: the job fails by them.
    """
    events = tuple(events)
    source = _source(events)
    found = [] if source is None else [_finding(n, source) for n in notes(events) if n.fingerprint]
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def _finding(note: Note, source: Source) -> dict[str, Any]:
    lines = " ".join(printable(line) for line in note.lines if line)
    return {
        "description": cut(lines, LONGEST),
        "check_name": "backproof/wrong-gradient",
        "fingerprint": note.fingerprint,
        "severity": SEVERITIES[note.level],
        "location": {
            "path": printable(source.file),
            "lines": {"begin": max(source.line, 1)},
        },
    }
