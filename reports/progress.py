"""One live line while a run goes on: what is done, what was found, what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .events import AnyEvent, CaseFinished, ControlFinished
from .text import duration

BUDGET_AFTER = 10
"""Cases after which the rate says something about the time left."""


class LiveProgress:
    """A context manager that shows one line on `console`, which should be stderr's.

    `total` cases are to be done, or as many as fit into `max_time` seconds; both may be
    None.  Shows nothing where the console is no terminal, or `quiet`.
    """

    def __init__(
        self,
        console: Console,
        total: int | None = None,
        max_time: float | None = None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console, self.total, self.max_time, self.clock = console, total, max_time, clock
        self.shown = console.is_terminal and not console.is_dumb_terminal and not quiet
        self.statuses: Counter[str] = Counter()
        self.planted = self.caught = 0
        self._began = clock()
        self._live = Live(
            console=console,
            get_renderable=self.line,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._began = self.clock()
        if self.shown:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            self._live.stop()

    def advance(self, event: AnyEvent) -> None:
        """Count an event; the line follows by itself, four times a second."""
        if isinstance(event, CaseFinished):
            self.statuses[event.verdict.status] += 1
        elif isinstance(event, ControlFinished):
            self.planted += 1
            self.caught += event.caught

    def line(self) -> Text:
        """The line as it is now; what does not fit is cut off, the least important last."""
        done = self.statuses.total()
        elapsed = self.clock() - self._began
        rate = done / elapsed if elapsed > 0 else 0.0
        passed, failed = self.statuses["PASS"], self.statuses["FAIL"]
        other = done - passed - failed
        parts = [
            (f"{done:,}/{self.total:,} cases" if self.total else f"{done:,} cases", "bold"),
            (f"{passed:,} PASS", "green" if passed else "dim"),
            (f"{failed:,} FAIL", "bold red" if failed else "dim"),
            (f"{other:,} other ({other / done:.1%})" if other else "0 other",
             "yellow" if other else "dim"),
        ]  # fmt: skip
        if self.planted:
            style = "green" if self.caught == self.planted else "bold red"
            parts.append((f"controls {self.caught}/{self.planted}", style))
        parts.append((f"{rate:.1f}/s", "dim"))
        left = self._left(done, elapsed)
        if left is not None:
            parts.append((f"{duration(left)} left", "dim"))
        return Text("  ", no_wrap=True, overflow="ellipsis").join(Text(*part) for part in parts)

    def _left(self, done: int, elapsed: float) -> float | None:
        """The nearer of the two ends, as far as they are known."""
        ends = []
        if self.max_time is not None:
            ends.append(self.max_time - elapsed)
        if self.total is not None and done >= BUDGET_AFTER:
            ends.append((self.total - done) * elapsed / done)
        return max(min(ends), 0.0) if ends else None
