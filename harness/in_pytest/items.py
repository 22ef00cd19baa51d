"""Generated checks as items of pytest, which belong to no file.

A check is an item `backproof::SUBJECT::ID`; a collector for each subject joins what the session
collects.  PASS passes, FAIL and TIMEOUT fail, INCONCLUSIVE and UNSUPPORTED are skipped with the
reason, ERROR is an error of the item's setup, in which the case is judged, so that every reporter
tells it from a wrong gradient.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from backproof.checkers.verdict import Verdict
from backproof.generated_checks import (
    CheckFailed,
    GeneratedCheck,
    excuse,
    generate,
    refuse_unknown,
)
from backproof.in_pytest.asking import Asked, command
from backproof.in_pytest.options import ASKED, PREFIX
from backproof.reports.text import printable
from backproof.subjects.capabilities import SubjectAbsent

SUBJECT, STATUS = "backproof_subject", "backproof_status"
RESOLUTION, EXPECTED = "backproof_resolution", "backproof_expected"
"""Properties of an item, for JUnit's file and whoever else reads them.

The last stands once for each check beyond values that failed as the subject had declared.
"""

Checks = tuple[GeneratedCheck, ...]


def plan(config: pytest.Config, asked: Asked) -> dict[str, Checks]:
    """The checks of each subject.  UsageError for one that does not start, or unknown ids."""
    checks = {}
    for name in asked.subjects:
        try:
            checks[name] = generate(name, **asked.generating)
            refuse_unknown(asked.expected, checks[name])
        except (SubjectAbsent, ValueError) as error:
            named = "" if str(error).startswith(name) else f"{name}: "
            raise pytest.UsageError(printable(f"backproof: {named}{error}")) from None
    ids = [node_id(name, check.id) for name in checks for check in checks[name]]
    for word in config.stash[ASKED]:
        if not checks:
            raise pytest.UsageError(f"{word} names a check of no --backproof-subject")
        if not any(_names(word, id) for id in ids):
            raise pytest.UsageError(f"not found: {word}; --collect-only lists what there is")
    return checks


def node_id(subject: str, check: str = "") -> str:
    """`backproof::SUBJECT::ID`; `::` within a subject's name would end it, `[` be a parameter."""
    name = PREFIX + printable(subject).replace("::", ":").translate(str.maketrans("[]", "()"))
    return f"{name}::{check}" if check else name


def _names(word: str, id: str) -> bool:
    """Whether a word of the command line is an id, or a part of it up to a `::`."""
    return f"{id}::".startswith(f"{word.rstrip(':')}::")


class SubjectCollector(pytest.Collector):
    """The checks of one subject."""

    def __init__(self, *, checks: Checks, asked: Asked, **given: Any) -> None:
        super().__init__(**given)
        self.checks, self.asked = checks, asked

    @classmethod
    def of(
        cls, session: pytest.Session, name: str, checks: Checks, asked: Asked
    ) -> SubjectCollector:
        """A child of the session."""
        id = node_id(name)
        return cls.from_parent(
            session, name=id.removeprefix(PREFIX), nodeid=id, checks=checks, asked=asked
        )

    def collect(self) -> Iterator[CheckItem]:
        """An item for each check that the command line does not leave out."""
        words = self.config.stash[ASKED]
        for check in self.checks:
            item = CheckItem.from_parent(self, name=check.id, check=check)
            if words and not any(_names(word, item.nodeid) for word in words):
                continue
            check.replay = command(self.config, self.asked, check.job.subject, item.nodeid)
            if (why := excuse(check, self.asked.expected)) is not None:
                check.expected = True
                item.add_marker(pytest.mark.xfail(reason=why, raises=CheckFailed))
            yield item


class CheckItem(pytest.Item):
    """One generated check."""

    verdict: Verdict

    def __init__(self, *, check: GeneratedCheck, **given: Any) -> None:
        super().__init__(**given)
        self.check = check
        self.add_marker("backproof")

    def setup(self) -> None:
        """Judge the case: what goes wrong here is an error, not a failure."""
        self.verdict = self.check.judge()
        record(self, self.check)
        if self.verdict.status == "ERROR":
            pytest.fail(self.check.report(self.verdict), pytrace=False)

    def runtest(self) -> None:
        """Say what was found."""
        self.check.conclude(self.verdict)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """No file and no line; the id's last part heads the report."""
        return self.path, None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report alone; a traceback would show the harness to itself."""
        if isinstance(excinfo.value, CheckFailed):
            shown = excinfo.getrepr(style="value")
            if shown.reprcrash is not None:  # the line of pytest's short summary, and JUnit's
                shown.reprcrash.message = str(excinfo.value).partition("\n")[0]
            return shown
        return super().repr_failure(excinfo, style)


def check_of(item: pytest.Item) -> GeneratedCheck | None:
    """The check of an item: its own, or what a test or a fixture has for a parameter."""
    if isinstance(item, CheckItem):
        return item.check
    call = getattr(item, "callspec", None)
    parameters: Mapping[str, object] = {} if call is None else call.params
    return next((p for p in parameters.values() if isinstance(p, GeneratedCheck)), None)


def again(item: pytest.Item) -> str:
    """The id of a test whose parameter is a check, its file as it is from here."""
    _, _, inside = item.nodeid.partition("::")
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    return f"{file}::{inside}"


def record(item: pytest.Item, check: GeneratedCheck) -> bool:
    """Write what a check found into the properties of its item, if it was asked."""
    verdict = check.verdict
    if verdict is None:
        return False
    item.user_properties += [(SUBJECT, check.job.subject), (STATUS, verdict.status)]
    if verdict.status == "PASS" and verdict.resolution is not None:
        item.user_properties.append((RESOLUTION, verdict.resolution))
    for found in verdict.checks:
        if found.status == "FAIL" and found.expected:
            item.user_properties.append((EXPECTED, f"{found.name}: {found.expected}"))
    return True
