"""A failure as a file: everything that is needed to run it again, elsewhere, later."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, Lane, make_case
from backproof.architectures.files import ArchitectureError, decode, read_bytes
from backproof.checkers.verdict import CHECKERS, CheckerName, Verdict, estimates
from backproof.foreign import SubjectProblem, Unsupported, is_foreign, subject_named
from backproof.planting import is_ours
from backproof.reference.arrays import Array
from backproof.reports.events import plain

MAX_FILE_BYTES = 256 * 2**20
FORMAT = 1


Values = list[Any]
"""An array as nested lists of numbers (`_check_numbers`)."""


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one source said: whole gradients, and slopes along directions, by tensor."""

    source: str
    loss: float | None
    gradients: dict[str, Any]
    slopes: dict[str, list[float | None]] = {}
    directions: dict[str, Any] = {}


class FailureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contents of `failures/ID.json`.  Numbers are decimals that read back exactly.

    `checkers` and `exhaustive` are the run's: a replay asks what the run asked.  `cause` is what
    the mistake is, by the network that failed first, "" where that is not known.  `verdict` is
    as in an event, where an infinite ratio is the text "inf"; see `verdict_of`.
    """

    format: int = FORMAT
    id: str
    subject: str
    replay: str
    architecture: Architecture
    dtype: DType
    lane: Lane
    seed: int
    parameters: dict[str, Values]
    input: Values | None
    target: Values | None
    auxiliary: dict[str, Values] = {}
    data: dict[str, Values] = {}
    checkers: tuple[CheckerName, ...] = CHECKERS
    exhaustive: bool = False
    verdict: dict[str, Any]
    cause: str = ""
    said: tuple[Said, ...] = ()
    versions: dict[str, str] = {}


def record(
    case: Case,
    verdict: Verdict,
    *,
    id: str,
    subject: str,
    replay: str,
    versions: dict[str, str],
    checkers: tuple[CheckerName, ...] = CHECKERS,
    exhaustive: bool = False,
    cause: str = "",
) -> FailureFile:
    """Everything about a failing case, with what the subject and every checker said."""
    said = []
    with contextlib.suppress(SubjectProblem, Unsupported):
        loss, gradients = subject_named(subject)(case)
        value = float(loss) if np.ndim(loss) == 0 else None
        said.append(Said(subject, value, {n: _plain(g) for n, g in gradients.items()}))
    for estimate in estimates(case, checkers)[0]:
        said.append(
            Said(
                estimate.checker,
                estimate.loss,
                {n: _plain(g) for n, g in estimate.entries.items()},
                {n: values.tolist() for n, (_, values) in estimate.directional.items()},
                {n: _plain(v) for n, (v, _) in estimate.directional.items()},
            )
        )
    return FailureFile(
        id=id,
        subject=subject,
        replay=replay,
        architecture=case.architecture,
        dtype=case.dtype,
        lane=case.lane,
        seed=case.seed,
        parameters={name: _plain(value) for name, value in case.parameters.items()},
        input=_plain(case.input),
        target=_plain(case.targets.get("loss")),
        auxiliary={site: _plain(t) for site, t in case.targets.items() if site != "loss"},
        data={name: _plain(value) for name, value in case.data.items()},
        checkers=checkers,
        exhaustive=exhaustive,
        verdict=plain(verdict),
        cause=cause,
        said=tuple(said),
        versions=versions,
    )


def _plain(array: Array | None) -> Any:
    """Nested lists; NaN and infinities, which JSON has not, as null."""
    if array is None:
        return None
    values = np.asarray(array)
    if not np.isfinite(values).all():
        return [_plain(v) for v in values] if values.ndim else None
    return values.astype(np.float64).tolist() if values.dtype == np.float32 else values.tolist()


def dumps(failure: FailureFile) -> bytes:
    """The file's bytes: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(failure), indent=1) + b"\n"


def read(path: str | Path) -> FailureFile:
    """Read a failure file.  ArchitectureError, naming file and field, where that fails."""
    failure: FailureFile = decode(read_bytes(path, MAX_FILE_BYTES), FailureFile, str(path))
    if failure.format > FORMAT:
        raise ArchitectureError(
            f"{path} has format {failure.format}; this version reads up to {FORMAT}"
        )
    check(failure, str(path))
    return failure


def check(failure: FailureFile, source: str) -> None:
    """ArchitectureError for what the types cannot say: arrays, the subject's name, the verdict."""
    _check_arrays(failure, source)
    if not is_ours(failure.subject) and not is_foreign(failure.subject):
        raise ArchitectureError(
            f"{source}: subject must be `reference`, `reference+FAULT`, `py:...`, `cmd:...` or the "
            f"name of an installed one, got {failure.subject!r}"
        )
    try:
        verdict_of(failure)
    except msgspec.ValidationError as error:
        raise ArchitectureError(f"{source}: verdict: {error}") from None


def _check_arrays(failure: FailureFile, source: str) -> None:
    """Raise ArchitectureError for the first value of an array that is no number."""
    for field in ("input", "target"):
        values = getattr(failure, field)
        if values is not None:
            _check_numbers(values, f"$.{field}", source, (int, float))
    for field in ("parameters", "auxiliary", "data"):
        kinds = (int, float, bool) if field == "data" else (int, float)  # masks
        for name, values in getattr(failure, field).items():
            _check_numbers(values, f"$.{field}[{name!r}]", source, kinds)


def _check_numbers(values: Any, at: str, source: str, kinds: tuple[type, ...]) -> None:
    """The same for nested lists, in msgspec's words; it cannot say that their depth is open."""
    todo = [(at, values)]
    while todo:
        at, value = todo.pop()
        if not isinstance(value, list):
            if type(value) not in kinds:
                word = _WORDS.get(type(value), "object")
                raise ArchitectureError(
                    f"{source}: Expected `int | float`, got `{word}` - at `{at}`"
                )
        elif not all(type(v) in kinds for v in value):
            todo += [(f"{at}[{i}]", v) for i, v in reversed(list(enumerate(value)))]


_WORDS = {type(None): "null", str: "str", bool: "bool"}
"""What JSON has besides numbers, arrays and objects."""


def verdict_of(failure: FailureFile) -> Verdict:
    """The verdict of when the failure was found."""
    return msgspec.convert(failure.verdict, Verdict, strict=False)


def rebuild(failure: FailureFile, source: str) -> Case:
    """The case of a failure file.  ArchitectureError for values that do not fit."""
    targets: dict[str, Any] = dict(failure.auxiliary)
    if failure.target is not None:
        targets["loss"] = failure.target
    try:
        return make_case(
            failure.architecture,
            failure.parameters,
            failure.input,
            targets,
            data=failure.data,
            dtype=failure.dtype,
            lane=failure.lane,
            seed=failure.seed,
        )
    except ValueError as error:
        raise ArchitectureError(f"{source}: {error}") from None
