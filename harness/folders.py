"""The folder that a run writes to: held for it alone, and empty of what an earlier run left.

`option` is how whoever asked for the folder named it, for the sentence that says what is wrong.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from backproof.architectures.cases import DTYPES, LANES
from backproof.errors import UsageProblem
from backproof.locks import locked
from backproof.reports.events import FILE
from backproof.reports.write import COMPARISON, REPORTS

OPTION = "--output"


@contextlib.contextmanager
def holding(folder: Path, option: str = OPTION) -> Iterator[None]:
    """Make a folder and keep other runs out of it.  UsageProblem where that cannot be."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder, option))
        except OSError as error:
            raise unwriteable(folder, error, option) from None
        yield


def prepare_folder(folder: Path, option: str = OPTION) -> Path:
    """Make the folder of a run, empty of an earlier run's reports.  UsageProblem if it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        events = folder / FILE
        if events.exists():
            reports = (folder / name for name in (*REPORTS, COMPARISON))
            for old in (events, *reports, *_saved(folder)):
                old.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not there, or with others' files in it
                (folder / "failures").rmdir()
        events.touch()
    except OSError as error:
        raise unwriteable(folder, error, option) from None
    return folder


def _saved(folder: Path) -> Iterator[Path]:
    """The failures that an earlier run saved, and nobody else's files."""
    case = rf"case-\d{{5,}}-({'|'.join(LANES)})-({'|'.join(DTYPES)})"
    name = re.compile(rf"{case}(-[0-9a-f]{{8}})?\.(json|py|md)")  # digits: a session of pytest's
    return (path for path in (folder / "failures").glob("case-*") if name.fullmatch(path.name))


def unwriteable(folder: Path, error: OSError, option: str = OPTION) -> UsageProblem:
    """What to raise where the folder cannot be written."""
    return UsageProblem(f"{option} {folder}: {error.strerror or 'cannot be written'}.")
