"""What happened in a run, as a stream of events: one JSON object a line.

Every report, the terminal's tables and the exit code are functions of this stream.
Whatever changes from one run to the next with the same seed stands in `at` and `seconds`
alone.

JSON has no infinity and no NaN, and an error may well be either: these are written as the
strings "inf", "-inf" and "nan".  Text that is not valid Unicode is written with escapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..architectures.architecture import Architecture
from ..checkers.checks import Check
from ..checkers.comparison import Status
from ..checkers.verdict import Verdict
from .evidence import Evidence

VERSION = 2
"""Of the event format; a reader refuses a newer one."""

FILE = "events.ndjson"
"""The name of a run's events in its folder."""


class Event(msgspec.Struct, frozen=True, tag_field="event", omit_defaults=True, kw_only=True):
    """`at` is the time of day in seconds since 1970."""

    at: float = 0.0


class Source(msgspec.Struct, frozen=True):
    """Where a subject is defined: a file, relative to the repository's root, and its line."""

    file: str
    line: int


class RunStarted(Event, frozen=True, tag="run_started", omit_defaults=False, kw_only=True):
    """The run's options, what it verifies, and the versions of everything involved.

    Nothing is left out where it is a default: `format` is what a later reader goes by.
    `source` is where the subject is defined, None where that is not known or elsewhere.
    """

    format: int = VERSION
    subject: str = "reference"
    seed: int
    command: str
    options: dict[str, Any]
    checkers: tuple[str, ...]
    versions: dict[str, str]
    source: Source | None = None


class CaseFinished(Event, frozen=True, tag="case_finished", kw_only=True):
    """One case and its verdict.  `id` names it in every report."""

    index: int
    id: str
    architecture: Architecture
    lane: str
    dtype: str
    seed: int
    verdict: Verdict
    seconds: float = 0.0


class ControlFinished(Event, frozen=True, tag="control_finished", kw_only=True):
    """A case with a fault planted on purpose: FAIL is demanded of it.

    `fault` is its name, `summary` says what it does, `site` where it was planted
    (`layers.I`, `loss`), `expected` the operator to be blamed.  `caught` says that the
    verdict was FAIL on that operator.
    """

    index: int
    id: str
    fault: str
    summary: str
    site: str
    expected: str
    caught: bool
    verdict: Verdict
    seconds: float = 0.0


class FailureSaved(Event, frozen=True, tag="failure_saved", kw_only=True):
    """A case that failed, reduced to a minimal network and written to files.

    `cause` says what the mistake is, where that is known.  `path`, `script` and `page`, which
    explains it, are relative to the run's folder.  `evidence` is what a drawing of it needs,
    where there is anything to draw.
    """

    id: str
    minimal: Architecture
    verdict: Verdict
    path: str
    script: str
    replay: str
    cause: str = ""
    page: str = ""
    evidence: Evidence | None = None


class RunFinished(Event, frozen=True, tag="run_finished", kw_only=True):
    """How the run ended: the exit code, and one sentence that says why."""

    exit_code: int
    reason: str
    interrupted: bool = False
    seconds: float = 0.0


class RunResumed(Event, frozen=True, tag="run_resumed", kw_only=True):
    """An interrupted run goes on: `kept` cases stand from before, which took `seconds`."""

    kept: int
    seconds: float = 0.0


class CaseKnown(Event, frozen=True, tag="case_known", kw_only=True):
    """The case `id` failed as a known failure does: `known` is its id in the baseline."""

    id: str
    known: str


Outcome = Literal[
    "expected",
    "fixed",
    "changed",
    "expired",
    "not_reached",
    "failed",
    "passed",
    "error",
    "elsewhere",
]


class Replayed(Event, frozen=True, tag="replayed", kw_only=True):
    """A saved case that a gate ran again.

    `known` says that it is of the baseline, whose failures are expected, still there or fixed.
    Of the others it is demanded that they pass.
    """

    id: str
    known: bool
    outcome: Outcome
    architecture: Architecture
    verdict: Verdict
    note: str = ""
    seconds: float = 0.0


class FunctionChecked(Event, frozen=True, tag="function_checked", kw_only=True):
    """One function's backward pass, checked by itself in the test `id`.

    `point` says at which inputs, where these were drawn; `known` is the reason for which a
    failure was expected, "" where none was.
    """

    id: str
    function: str
    status: Status
    checks: tuple[Check, ...]
    resolution: float | None = None
    point: str = ""
    seed: int = 0
    known: str = ""
    replay: str = ""
    seconds: float = 0.0


AnyEvent = (
    RunStarted
    | CaseFinished
    | ControlFinished
    | FailureSaved
    | RunFinished
    | RunResumed
    | CaseKnown
    | Replayed
    | FunctionChecked
)


class EventError(ValueError):
    """An event file that cannot be read; the message names the line."""


def encode(event: AnyEvent) -> bytes:
    """One line, with its line feed."""
    return msgspec.json.encode(plain(event)) + b"\n"


def plain(value: Any) -> Any:
    """What JSON can say of a value: dicts, lists, text and finite numbers, in a fixed order."""
    return _plain(msgspec.to_builtins(value, order="deterministic", enc_hook=_scalar))


def _scalar(value: Any) -> Any:
    """A NumPy scalar as Python's; a TypeError names anything else."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError(f"an event cannot hold a {type(value).__name__}")


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case _:
            return value


def decode(lines: Iterable[bytes], source: str = "events") -> Iterator[AnyEvent]:
    """Read events line by line.  A last line cut short by a kill is left out.

    EventError for anything else that is not an event of this format or an older one.
    """
    decoder = msgspec.json.Decoder(AnyEvent, strict=False)
    for number, line in enumerate(lines, 1):
        try:
            event = decoder.decode(line)
        except msgspec.ValidationError as error:
            _refuse_newer(_format(line), source)
            raise EventError(f"{source}, line {number}: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not line.endswith(b"\n"):
                return
            raise EventError(f"{source}, line {number}: {error}") from None
        if isinstance(event, RunStarted):
            _refuse_newer(event.format, source)
        yield event


def _format(line: bytes) -> int:
    """The format that a line claims, which must be readable of every format to come."""
    try:
        claims = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return VERSION
    claimed = claims.get("format") if isinstance(claims, dict) else None
    return claimed if isinstance(claimed, int) else VERSION


def _refuse_newer(format: int, source: str) -> None:
    if format > VERSION:
        raise EventError(f"{source} has event format {format}; this version reads up to {VERSION}")


def read(path: str | Path) -> list[AnyEvent]:
    """Every event of a file, or of a run's folder.  EventError, naming the file, on failure."""
    path = Path(path)
    if path.is_dir():
        path /= FILE
    try:
        with open(path, "rb") as file:
            return list(decode(file, str(path)))
    except OSError as error:
        raise EventError(f"{path}: {error.strerror}") from None
