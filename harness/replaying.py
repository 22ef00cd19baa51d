"""Saved cases that a gate runs again before all others: known failures, and old ones.

of the baseline   FAIL in the same place: expected, or expired    elsewhere: changed
                  PASS: fixed       anything else: not reached, which is not fixed
of the folder     PASS: passed      FAIL: failed, unless the baseline knows it
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import msgspec

from backproof import failures
from backproof.architectures.cases import Case
from backproof.architectures.files import ArchitectureError
from backproof.baseline import Entry, derived_id, excuse, in_force, same_failure
from backproof.checkers.verdict import Verdict
from backproof.failures import FailureFile
from backproof.reports.events import Outcome, Replayed
from backproof.reports.write import write


class Saved(msgspec.Struct, frozen=True):
    """A case to run again; `entry` is its excuse, if it is of the baseline."""

    id: str
    file: FailureFile
    entry: Entry | None = None


def of_baseline(entries: Sequence[Entry]) -> tuple[Saved, ...]:
    """The minimal cases of known failures."""
    return tuple(Saved(e.id, e.case, e) for e in entries)


def of_folder(folder: str | Path, known: Sequence[Entry] = ()) -> tuple[Saved, ...]:
    """The failures of a folder, which need not be there, without those that the baseline holds.

    ArchitectureError for a file that is none.
    """
    there = {(e.id, e.case.subject) for e in known}
    found: dict[tuple[str, str], Saved] = {}
    for path in sorted(Path(folder).glob("*.json")):
        file = failures.read(path)
        failures.rebuild(file, str(path))
        key = file_id(file), file.subject
        if key not in there:
            found[key] = Saved(key[0], file)
    return tuple(found.values())


def file_id(file: FailureFile) -> str:
    """The derived id of a saved failure."""
    return derived_id(file.architecture, failures.verdict_of(file), file.dtype)


def keep(folder: str | Path, file: FailureFile) -> Path:
    """Put a failure into the folder of those that every gate runs again, under its id.

    Where another subject has failed alike, with a digest of the subject's name too.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_id(file)}.json"
    if path.exists() and failures.read(path).subject != file.subject:
        digest = hashlib.sha256(file.subject.encode("utf-8", "backslashreplace")).hexdigest()
        path = path.with_stem(f"{path.stem}-{digest[:8]}")
    write(path, failures.dumps(file))
    return path


def replay(
    saved: Saved,
    subject: str,
    judge: Callable[[Case, FailureFile], Verdict],
    known: Sequence[Entry],
    today: datetime.date,
    at: float,
) -> Replayed:
    """Run a saved case again, asking what its own run asked, and say what became of it."""
    began = monotonic()
    file = saved.file
    foreign = file.subject != subject
    if foreign:
        verdict = Verdict("UNSUPPORTED", f"it is of the subject {file.subject}")
    else:
        try:
            verdict = judge(failures.rebuild(file, saved.id), file)
        except ArchitectureError as error:  # no longer a case, by this version
            verdict = Verdict("UNSUPPORTED", str(error))
    outcome, note = _outcome(saved, verdict, in_force(known, subject, today), today)
    if foreign:  # an excuse that ended is for the gate of its own subject
        outcome, note = "elsewhere", verdict.reason
    return Replayed(
        at=at,
        id=saved.id,
        known=saved.entry is not None,
        outcome=outcome,
        architecture=file.architecture,
        verdict=verdict,
        note=note,
        seconds=monotonic() - began,
    )


def _outcome(
    saved: Saved, verdict: Verdict, known: Sequence[Entry], today: datetime.date
) -> tuple[Outcome, str]:
    entry = saved.entry
    if verdict.status == "ERROR":
        return "error", ""
    if verdict.status not in ("PASS", "FAIL"):
        reason = f"{verdict.status}: {verdict.reason}"
        if entry is not None and entry.expired(today):
            return "expired", f"{reason}; its excuse ended on {entry.expires}"
        return "not_reached", reason
    if entry is None:
        if verdict.status == "PASS":
            return "passed", ""
        found = excuse(known, verdict, saved.file.dtype, saved.file.architecture)
        return ("failed", "") if found is None else ("expected", _note(found))
    if verdict.status == "PASS":
        return "fixed", _note(entry)
    if not same_failure(failures.verdict_of(entry.case), verdict):
        return "changed", f"was {failures.verdict_of(entry.case).reason}; is {verdict.reason}"
    if entry.expired(today):
        return "expired", f"on {entry.expires}: {_note(entry)}"
    return "expected", _note(entry)


def _note(entry: Entry) -> str:
    return f"{entry.reason} [{entry.ticket}]" if entry.ticket else entry.reason
