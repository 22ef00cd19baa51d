"""Subjects by name, opened once in each process, as the functions that a verdict asks."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import Any

from backproof.architectures.cases import Case
from backproof.checkers import manners
from backproof.checkers.calls import writeable
from backproof.checkers.checks import Check
from backproof.checkers.verdict import Subject
from backproof.planting import by_name, is_ours
from backproof.reports.events import Source
from backproof.subjects.capabilities import SubjectAbsent, SubjectProblem, Unsupported
from backproof.subjects.opening import Opened, open_subject
from backproof.subjects.process import Limits
from backproof.subjects.python import PythonSubject

__all__ = [
    "SubjectAbsent", "SubjectProblem", "Unsupported", "enter", "is_foreign", "manners_of", "opened",
    "source_of", "subject_named",
]  # fmt: skip

_open: dict[str, Opened] = {}


def is_foreign(name: str) -> bool:
    """Whether a name is that of somebody else's implementation."""
    return not is_ours(name) and not name.startswith("reference")


def opened(name: str, limits: Limits | None = None) -> Opened:
    """The subject of that name in this process.  SubjectAbsent where it does not start."""
    if name not in _open:
        enter(name, open_subject(name, limits))
    return _open[name]


def enter(name: str, there: Opened) -> None:
    """Have `name` mean an object that is here already, in this process."""
    if not _open:
        atexit.register(close_all)
    _open[name] = there


def subject_named(name: str, limits: Limits | None = None) -> Subject:
    """Ours or a foreign one.  What a foreign one does wrong is raised as SubjectProblem."""
    if is_ours(name):
        return by_name(name)

    def subject(case: Case) -> tuple[Any, Mapping[str, Any]]:
        try:
            there = opened(name, limits)
        except SubjectAbsent as absent:
            raise SubjectProblem("FAIL", str(absent)) from None
        if case.dtype not in there.capabilities.dtypes:
            raise Unsupported(f"it declares no {case.dtype}")
        if reason := there.capabilities.refuses(case.architecture):
            raise Unsupported(reason)
        return there.gradients(writeable(case))

    return subject


def source_of(name: str, limits: Limits | None = None) -> Source | None:
    """Where a foreign subject is defined, where it is Python of this repository."""
    if not is_foreign(name) or name.startswith("cmd:"):
        return None
    try:
        there = opened(name, limits)
    except SubjectAbsent:
        return None
    found = there.defined() if isinstance(there, PythonSubject) else None
    return None if found is None else Source(*found)


def manners_of(name: str, case: Case, limits: Limits | None = None) -> tuple[Check, ...]:
    """What a foreign subject owes beyond right numbers, by this case."""
    there = opened(name, limits)
    can = there.capabilities

    def accumulate(case: Case) -> tuple[Any, Mapping[str, Any]]:
        return there.gradients(case, accumulate=True)

    return manners.check(
        case, there.gradients, accumulate if can.accumulates else None, can.expected_failures
    )


def close_all() -> None:
    """End the programs that this process started."""
    while _open:
        _open.popitem()[1].close()
