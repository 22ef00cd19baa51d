"""Ctrl-C while a run is at work."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Ctrl-C: the first asks the run to stop after the network at hand, the next stops at once.

    A KeyboardInterrupt that is raised anywhere, as by default, gets lost in a finaliser or
    comes out of a library as another error; this one is only noted.
    """

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        """Whether the run should stop."""
        return self._asked

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
