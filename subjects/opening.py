"""A subject by its name: `py:MODULE:OBJECT`, `cmd:PROGRAM ARGUMENTS`, an installed one."""

from __future__ import annotations

from typing import Any, Protocol

from ..architectures.cases import Case
from . import python
from .capabilities import Capabilities
from .process import Limits, Program


class Opened(Protocol):
    """A subject that is ready to be asked."""

    capabilities: Capabilities

    def gradients(self, case: Case, accumulate: bool = False) -> tuple[Any, dict[str, Any]]:
        """The loss and the gradients; raises SubjectProblem or Unsupported.

        `accumulate` adds these to those of the call before.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def open_subject(name: str, limits: Limits | None = None) -> Opened:
    """The subject of that name.  SubjectAbsent where there is none, or it does not start."""
    if name.startswith("py:"):
        return python.load(name)
    if name.startswith("cmd:"):
        return Program(name.removeprefix("cmd:"), limits)
    return python.load_installed(name)
