"""Events and reports on disk: a reader never finds half a report."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from . import badge, html, json_report, junit, markdown, sarif
from .events import AnyEvent, encode

REPORTS: Mapping[str, Callable[[Iterable[AnyEvent]], bytes | None]] = {
    "report.json": json_report.dumps,
    "junit.xml": junit.dumps,
    "report.html": html.dumps,
    "report.md": markdown.dumps,
    "report.sarif": sarif.dumps,
    "badge.svg": badge.svg,
    "badge.json": badge.endpoint,
}
"""Each file's name, and how it is made from the events; None where there is nothing to say."""

COMPARISON = "comparison.json"
"""Of two runs, where an older one is given."""


def write_all(
    folder: str | Path, events: Iterable[AnyEvent], old: Iterable[AnyEvent] | None = None
) -> list[Path]:
    """Write every report into `folder`, which is made if need be; the paths written.

    `old` are the events of an older run; what changed since is a section of report.md, and in
    comparison.json for programs.  A file
    for which there is nothing to say is removed, since it would be an earlier run's.  OSError
    where something cannot be written; a report that stood there before is then whole.
    """
    events, old = tuple(events), None if old is None else tuple(old)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    renders: Mapping[str, Callable[[Iterable[AnyEvent]], bytes | None]] = {
        **REPORTS,
        "report.md": lambda new: markdown.dumps(new, old),
        COMPARISON: lambda new: None if old is None else json_report.dumps_comparison(old, new),
    }
    paths = []
    for name, render in renders.items():
        path, content = folder / name, render(events)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            write(path, content)
            paths.append(path)
    return paths


def write(path: Path, content: bytes) -> None:
    """Replace a file's content in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class EventWriter:
    """Appends events to a file, each a line, flushed at once so that a kill loses none.

    A last line that an earlier kill cut short is dropped first, as a reader would.

    A context manager.  OSError where the file cannot be opened or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _drop_torn_line(self.path)
        self._file = io.BufferedWriter(io.FileIO(self.path, "ab"))

    def write(self, event: AnyEvent) -> None:
        """Append one event."""
        self._file.write(encode(event))
        self._file.flush()

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    written = path.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        os.truncate(path, whole)
