"""The failures that a session with a folder keeps: reduced by who judged, written by who records.

    worker       judged -> reduced -> its files, as text on the report of the item
    controller   the first MOST_FAILURES of each subject -> files in the folder

First means in the order of the plan and of the tests' names, so that what is kept depends neither
on the number of xdist's workers nor on who was faster.  No worker knows what the others find, but
it need not: with fewer than N failures before it among all, a failure has fewer than N before it
among those that its own worker has seen so far.  So a worker that reduces just these leaves out
none of the first N, whatever the order in which it is handed its tests, and no time ends a
reduction.  What is reduced beyond them is dropped by the controller.  A test function that
catches its failures itself is the exception: after a few nothing of it is reduced any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

import msgspec

from backproof.campaign import MOST_FAILURES
from backproof.checkers.verdict import Verdict
from backproof.generated_checks import GeneratedCheck
from backproof.interruption import Interruption
from backproof.jobs import CaseSpec, case_id
from backproof.reports import events
from backproof.reports.events import FailureSaved, encode
from backproof.reports.write import write
from backproof.saving import save_failure

MOST_CAUGHT = 3
"""Failures that a test function may catch before no more of its failures are reduced: that it
expects them is known when it ends, and by then a reduction has taken its seconds for nothing."""

Place = tuple[int, str, int, str]
"""Where a check stands among all those of a session."""


class Kept(TypedDict):
    """A reduced failure as it travels: the line of its event, and the texts of its files."""

    event: str
    files: dict[str, str]


def function(id: str) -> str:
    """The test function of an item, without its parameters."""
    return id.partition("[")[0]


def place(planned: Mapping[str, int], id: str, index: int) -> Place:
    """The plan's checks in its order, then those of tests, by name and number."""
    if id in planned:
        return planned[id], "", 0, ""
    return len(planned), function(id), index, id


def first(places: Mapping[str, Place]) -> list[str]:
    """Of the failures of one subject, those that are kept."""
    return sorted(places, key=lambda id: places[id])[:MOST_FAILURES]


def name_of(spec: CaseSpec, id: str) -> str:
    """`case-00003-generic-float64-1c5a90fe`: in one folder several tests may have one case."""
    return f"{case_id(spec)}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"


def said(folder: Path, here: Path) -> Path:
    """A folder as somebody who stands `here` would type it."""
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


class Keeper:
    """Reduces the failures that one process judges; `folder` is for their command to replay."""

    def __init__(self, folder: Path, planned: Iterable[str]) -> None:
        self.folder = folder
        self.stopped = False
        self._planned = {id: number for number, id in enumerate(planned)}
        self._failed: dict[str, dict[str, Place]] = {}
        self._kept: dict[str, Kept] = {}
        self._caught: Counter[str] = Counter()

    def caught(self, id: str) -> None:
        """A failure was expected after all."""
        self._caught[function(id)] += id in self._kept
        self.forget(id)

    def forget(self, id: str) -> None:
        """A check is asked again, or its failure was expected after all: it takes no place."""
        self._kept.pop(id, None)
        for places in self._failed.values():
            places.pop(id, None)

    def keep(self, id: str, check: GeneratedCheck, verdict: Verdict) -> FailureSaved | None:
        """Reduce a failure, None for one that cannot be among the first.

        Ctrl-C ends the reduction where it is, as in `backproof check`, and `stopped` tells of it.
        """
        (spec,) = check.job.cases
        if self._caught[function(id)] >= MOST_CAUGHT:
            return None
        failed = self._failed.setdefault(check.job.subject, {})
        failed[id] = place(self._planned, id, spec.index)
        if self.stopped or id not in first(failed):
            return None
        files: dict[str, str] = {}

        def save(name: str, content: bytes) -> None:
            files[name] = content.decode()

        interruption = Interruption()
        here = threading.current_thread() is threading.main_thread()  # others get no signals
        with interruption if here else contextlib.nullcontext():
            saved = save_failure(
                check.job, spec, verdict, save, self.folder, interruption.asked, time.time,
                name_of(spec, id),
            )  # fmt: skip
        self.stopped = interruption.asked()
        saved = msgspec.structs.replace(saved, id=id, replay=saved.replay or check.replay)
        self._kept[id] = {"event": encode(saved).decode(), "files": files if saved.path else {}}
        return saved

    def take(self, id: str) -> Kept | None:
        """What was kept of a check, once."""
        return self._kept.pop(id, None)


class Shelf:
    """The reduced failures of a session, in the process that writes, and the files of the first."""

    def __init__(self) -> None:
        self._events: dict[str, FailureSaved] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._places: dict[str, dict[str, Place]] = {}
        self._written: dict[str, bool] = {}
        self._names: set[str] = set()

    def put(self, subject: str, place: Place, kept: Kept) -> None:
        """Hold a reduced failure: it may be among the first at the end."""
        for event in events.decode([kept["event"].encode()]):
            if isinstance(event, FailureSaved):
                self._events[event.id], self._files[event.id] = event, kept["files"]
                self._places.setdefault(subject, {})[event.id] = place

    def drop(self, id: str) -> None:
        """A case is judged again, and what was found before does not count."""
        self._events.pop(id, None)
        self._files.pop(id, None)
        self._written.pop(id, None)
        for places in self._places.values():
            places.pop(id, None)

    @property
    def kept(self) -> dict[str, FailureSaved]:
        """The first of each subject, by their ids, without those that could not be written."""
        ids = [id for places in self._places.values() for id in first(places)]
        return {id: self._events[id] for id in ids if self._written.get(id, True)}

    def write(self, folder: Path) -> None:
        """Write the files of those that are kept, each once.  OSError where that fails."""
        for id in self.kept:
            if id in self._written:
                continue
            self._written[id] = False
            for name, text in self._files[id].items():
                (folder / name).parent.mkdir(exist_ok=True)
                write(folder / name, text.encode())
                self._names.add(name)
            self._written[id] = True

    def clear(self, folder: Path) -> None:
        """Remove the files of those that were kept for a while alone.  OSError as above."""
        left = {name for id in self.kept for name in self._files[id]}
        for name in self._names - left:
            (folder / name).unlink(missing_ok=True)
        if self._names and not left:
            with contextlib.suppress(OSError):  # others' files are in it
                (folder / "failures").rmdir()
