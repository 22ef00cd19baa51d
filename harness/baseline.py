"""Known failures: what they are called, whom they excuse, and until when.

A failure's id is derived from its minimal network, its operator, its tensor and its dtype:
not from the case's number, so that another seed or more cases find it again under the same
id.  The entry holds the minimal case itself, which every gate runs again.

What an entry excuses is its `scope`: the `network`, that is failures that reduce to the very
same minimal network and tensor; or, where a mistake shows in so many networks that no list of
them would be complete, the `operator`, that is every failure of that operator's tensor in that
dtype.  The second hides a new mistake in the same place, so it must be asked for.  After
`expires` an entry excuses nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from backproof import failures
from backproof.architectures.architecture import Architecture
from backproof.architectures.files import ArchitectureError, decode, read_bytes
from backproof.checkers.verdict import Verdict
from backproof.failures import FailureFile
from backproof.reports.write import write

FORMAT = 1
MAX_BYTES = 64 * 2**20
Scope = Literal["network", "operator"]

LASTS = 90
"""Days that an excuse lasts where nobody says how long: a quarter, chosen and not derived."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One known failure.  `network` is `case`'s, in words; dates are the UTC day of a run."""

    id: str
    operator: str
    tensor: str
    network: str
    scope: Scope = "network"
    reason: str
    ticket: str = ""
    expires: datetime.date
    first_seen: datetime.date
    last_seen: datetime.date
    case: FailureFile

    def expired(self, today: datetime.date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contents of a baseline file, its entries in the order of their ids."""

    format: int = FORMAT
    known: tuple[Entry, ...] = ()


# --- ids ----------------------------------------------------------------------------------


def derived_id(architecture: Architecture, verdict: Verdict, dtype: str) -> str:
    """`dense-bias-float64-0f3a9c21b7`: the same failure has the same id in every run.

    Of what fails beyond values, the name of the check stands for operator and tensor.
    """
    names = [verdict.operator, verdict.tensor]
    words = [verdict.operator, verdict.tensor.rpartition(".")[2]]
    if not verdict.operator:
        names = words = [*verdict.failed_checks] or ["subject"]
    content = [msgspec.to_builtins(architecture), *names, dtype]
    digest = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    plain = [re.sub(r"\W+", "-", word).strip("-") for word in words]
    return "-".join([*(word for word in plain if word), dtype, digest[:10]])


def same_failure(one: Verdict, other: Verdict) -> bool:
    """Whether `other` is the failure `one` again: in the same place, or of checks of its own."""
    return (one.status, one.operator, one.tensor, one.failed_checks) == (
        other.status, other.operator, other.tensor, other.failed_checks
    ) and covers(one, other)  # fmt: skip


def covers(known: Verdict, found: Verdict) -> bool:
    """Whether no check fails that is not known to fail: one known claim excuses no other."""
    return set(found.all_failed_checks) <= set(known.all_failed_checks)


def in_force(entries: Iterable[Entry], subject: str, today: datetime.date) -> tuple[Entry, ...]:
    """The entries that excuse failures of a subject on a day."""
    return tuple(e for e in entries if e.case.subject == subject and not e.expired(today))


def excuse(
    entries: Sequence[Entry],
    verdict: Verdict,
    dtype: str,
    minimal: Architecture | None = None,
    found: Verdict | None = None,
) -> Entry | None:
    """The entry that excuses a failure: by its minimal network, where it is known, or its place.

    `verdict` is the minimal network's, `found` the one of the network before its reduction.
    """
    if minimal is not None:
        id = derived_id(minimal, verdict, dtype)
        for entry in entries:
            known = failures.verdict_of(entry.case)
            if entry.id == id and all(covers(known, v) for v in (verdict, found) if v is not None):
                return entry
    role = verdict.tensor.rpartition(".")[2]
    for entry in entries:
        if (
            entry.scope == "operator"
            and verdict.operator
            and entry.operator == verdict.operator
            and entry.tensor.rpartition(".")[2] == role
            and entry.case.dtype == dtype
        ):
            return entry
    return None


# --- changes ------------------------------------------------------------------------------


def entry_of(
    file: FailureFile,
    *,
    reason: str,
    today: datetime.date,
    expires: datetime.date | None = None,
    ticket: str = "",
    scope: Scope = "network",
) -> Entry:
    """A new entry for a saved failure."""
    verdict = failures.verdict_of(file)
    return Entry(
        id=derived_id(file.architecture, verdict, file.dtype),
        operator=verdict.operator,
        tensor=verdict.tensor,
        network=str(file.architecture),
        scope=scope,
        reason=reason,
        ticket=ticket,
        expires=expires or today + datetime.timedelta(days=LASTS),
        first_seen=today,
        last_seen=today,
        case=trimmed(file),
    )


def trimmed(file: FailureFile) -> FailureFile:
    """A failure without what only its first run had to say: what it takes to run it again."""
    said = failures.verdict_of(file)
    verdict: dict[str, Any] = {"status": said.status, "reason": said.reason}
    verdict |= {"operator": said.operator, "tensor": said.tensor}
    if said.failed_checks:
        verdict["checks"] = [c for c in file.verdict.get("checks", []) if c.get("status") == "FAIL"]
    return msgspec.structs.replace(file, said=(), versions={}, replay="", verdict=verdict)


def updated(baseline: Baseline, found: Iterable[Entry]) -> Baseline:
    """With new entries added, and those that are known seen again, which keep what they say."""
    known = {(e.id, e.case.subject): e for e in baseline.known}
    for entry in found:
        key = (entry.id, entry.case.subject)
        old = known.get(key)
        known[key] = entry if old is None else seen(old, entry.last_seen)
    return ordered(known.values())


def seen(entry: Entry, day: datetime.date) -> Entry:
    """The entry, seen again on a day."""
    return msgspec.structs.replace(entry, last_seen=max(entry.last_seen, day))


def lasting(entry: Entry, expires: datetime.date) -> Entry:
    """The entry, excused until a day."""
    return msgspec.structs.replace(entry, expires=expires)


def renewed(old: Entry, entry: Entry) -> Entry:
    """A known failure with a new excuse."""
    return msgspec.structs.replace(entry, first_seen=old.first_seen)


def without(baseline: Baseline, ids: Iterable[str], subject: str) -> Baseline:
    """Without the entries of these ids of a subject."""
    gone = set(ids)
    return ordered(e for e in baseline.known if e.id not in gone or e.case.subject != subject)


def ordered(entries: Iterable[Entry]) -> Baseline:
    """A baseline of these entries, by id, so that a change is a few lines of a diff."""
    return Baseline(known=tuple(sorted(entries, key=lambda e: (e.id, e.case.subject))))


# --- files --------------------------------------------------------------------------------


def read(path: str | Path, *, absent: bool = False) -> Baseline:
    """Read a baseline.  ArchitectureError, naming file and field, where that fails.

    With `absent`, a file that is not there is an empty baseline.
    """
    if absent and not Path(path).exists():
        return Baseline()
    baseline: Baseline = decode(read_bytes(path, MAX_BYTES), Baseline, str(path))
    if baseline.format > FORMAT:
        raise ArchitectureError(
            f"{path} has format {baseline.format}; this version reads up to {FORMAT}"
        )
    ids: set[tuple[str, str]] = set()
    for entry in baseline.known:
        failures.check(entry.case, f"{path}: {entry.id}")
        verdict = failures.verdict_of(entry.case)
        derived = derived_id(entry.case.architecture, verdict, entry.case.dtype)
        if entry.id != derived:
            raise ArchitectureError(f"{path}: {entry.id}: its case is that of {derived}")
        if (entry.id, entry.case.subject) in ids:
            raise ArchitectureError(f"{path}: {entry.id} stands there twice")
        ids.add((entry.id, entry.case.subject))
    return baseline


def save(path: str | Path, baseline: Baseline) -> None:
    """Write a baseline in one step, its numbers in rows.  OSError where that fails."""
    write(Path(path), dumps(baseline))


def dumps(baseline: Baseline) -> bytes:
    """Indented JSON in which a row of numbers is one line."""
    return (_json(msgspec.to_builtins(baseline), "") + "\n").encode()


def _json(value: Any, indent: str) -> str:
    inner = indent + " "
    if isinstance(value, Mapping) and value:
        rows = [f"{inner}{json.dumps(k)}: {_json(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(v, list | tuple | dict) for v in value):
        rows = [f"{inner}{_json(v, inner)}" for v in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    return json.dumps(value)
