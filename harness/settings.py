"""What can be configured, with its type, its range and its meaning; and what a profile sets.

A `Settings` is the whole configuration; its JSON Schema is what `backproof schema --config`
prints.  `check` holds one value against its key, wherever the value came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from backproof.architectures.cases import DTYPES, LANES, DType, Lane
from backproof.architectures.limits import ACTIVATION_NAMES, LOSS_NAMES, OPERATOR_NAMES
from backproof.checkers.asking import CHECKERS, CheckerName
from backproof.errors import unknown

ProfileName = Literal["quick", "standard", "thorough", "nightly"]
PROFILE_NAMES: tuple[ProfileName, ...] = get_args(ProfileName)

DURATION = r"^[0-9]+(\.[0-9]+)?(s|m|h)?$"

Share = Annotated[float, Meta(ge=0, le=1)]
Fraction = Annotated[float, Meta(gt=0, le=1)]
Whole = Annotated[int, Meta(ge=1)]
Time = Annotated[float, Meta(gt=0)] | Annotated[str, Meta(pattern=DURATION)]
Operators = tuple[Annotated[str, Meta(extra_json_schema={"enum": list(OPERATOR_NAMES)})], ...]
Activations = tuple[Annotated[str, Meta(extra_json_schema={"enum": list(ACTIVATION_NAMES)})], ...]
Losses = tuple[Annotated[str, Meta(extra_json_schema={"enum": list(LOSS_NAMES)})], ...]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much a gate does, and what it demands.  None leaves a key as it is elsewhere."""

    cases: Whole | None = None
    max_time: Time | None = None
    exhaustive: bool | None = None
    max_inconclusive: Share | None = None
    max_unsupported: Share | None = None
    min_resolution: dict[DType, Fraction] | None = None
    min_pairs: Share | None = None
    min_cases: Annotated[int, Meta(ge=1)] | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[tool.backproof]` of pyproject.toml, or all of backproof.toml.

    None and () stand for the default of the command.  `cases` and `max_time` are those of
    `run` and `check`; the gate's come from its profile, which `profiles` changes.
    """

    subject: Annotated[str, Meta(min_length=1, description="What `check` and `gate` verify.")] = ""
    cases: Annotated[Whole | None, Meta(description="How many, of `run` and `check`.")] = None
    max_time: Annotated[Time | None, Meta(description="Seconds, or such as 90s, 2m, 1h.")] = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Decides every case.")] = 0
    lanes: Annotated[tuple[Lane, ...], Meta(description="Only these kinds of values.")] = ()
    dtypes: Annotated[tuple[DType, ...], Meta(description="Only these dtypes.")] = ()
    checkers: Annotated[tuple[CheckerName, ...], Meta(description="Only these checkers.")] = ()
    operators: Annotated[Operators, Meta(description="Only networks of these operators.")] = ()
    activations: Annotated[
        Activations, Meta(description="Only dense layers and these activations.")
    ] = ()
    losses: Annotated[Losses, Meta(description="Only these losses.")] = ()
    max_depth: Annotated[int, Meta(ge=1, le=64)] | None = None
    max_width: Annotated[int, Meta(ge=1, le=1024)] | None = None
    max_batch: Annotated[int, Meta(ge=1, le=1024)] | None = None
    exhaustive: Annotated[bool, Meta(description="Every entry, not one direction.")] = False
    workers: Annotated[int, Meta(ge=1, le=256)] | None = None
    output: Annotated[str, Meta(min_length=1)] = "reports/out"
    timeout: Annotated[Time | None, Meta(description="A program's, for an answer.")] = None
    start_timeout: Annotated[Time | None, Meta(description="A program's, to start.")] = None
    memory: Annotated[Whole | None, Meta(description="MiB that a program may have.")] = None
    max_answer: Annotated[Whole | None, Meta(description="MiB of one answer.")] = None
    profile: Annotated[ProfileName, Meta(description="The gate's.")] = "standard"
    baseline: Annotated[str, Meta(min_length=1)] = "backproof-baseline.json"
    replays: Annotated[
        str, Meta(min_length=1, description="Failures that every gate runs again.")
    ] = "backproof-cases"
    max_inconclusive: Annotated[Share, Meta(description="The share that may decide nothing.")] = (
        0.10
    )
    max_unsupported: Annotated[Share, Meta(description="The share that may be refused.")] = 0.10
    min_resolution: Annotated[
        dict[DType, Fraction], Meta(description="The coarsest relative error that verifies.")
    ] = {}
    min_pairs: Annotated[Share, Meta(description="The share of pairs to be verified.")] = 0.0
    min_cases: Annotated[Whole, Meta(description="Passing cases that a gate needs.")] = 1
    profiles: dict[ProfileName, Profile] = {}


PROFILES: Mapping[ProfileName, Profile] = {
    "quick": Profile(cases=80, max_time=45.0, min_cases=20),
    "standard": Profile(cases=400, min_cases=200),
    "thorough": Profile(cases=4000, min_cases=2000),
    "nightly": Profile(max_time=3600.0, min_cases=200),
}
"""What each profile sets of itself.  `quick` ends in time on a busy machine too, but proves
nothing with less than 20 passing cases; the others always do all of their cases."""

KEYS: Mapping[str, Any] = {f.name: f for f in msgspec.structs.fields(Settings)}
DEFAULTS: Mapping[str, Any] = {name: f.default for name, f in KEYS.items()} | {
    "min_resolution": {},
    "profiles": {},
}

NAMES: Mapping[str, tuple[str, ...]] = {
    "lanes": LANES,
    "dtypes": DTYPES,
    "checkers": CHECKERS,
    "operators": tuple(OPERATOR_NAMES),
    "activations": tuple(ACTIVATION_NAMES),
    "losses": tuple(LOSS_NAMES),
}
"""The lists, and what may stand in each."""

DURATIONS = ("max_time", "timeout", "start_timeout")
PATHS = ("output", "baseline", "replays")
"""Relative to the file that names them."""

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class Wrong(ValueError):
    """A value that its key does not take; `path` says where, the message what would be right."""

    def __init__(self, path: tuple[str, ...], words: str) -> None:
        super().__init__(words)
        self.path = path


def seconds(text: str) -> float | None:
    """A duration such as `90`, `90s`, `2m` or `1h`, None for anything else, zero among them."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text.strip())
    if not match or float(match[1]) <= 0:
        return None
    return float(match[1]) * UNITS[match[2] or "s"]


def check(key: str, value: Any, *, of: Mapping[str, Any] = KEYS) -> Any:
    """The value as its key's type, durations in seconds.  Wrong where it does not fit."""
    if key not in of:
        raise Wrong((key,), f"there is no such key; {unknown(key, of)}")
    if key == "profiles":
        return _profiles(value)
    if key in NAMES and isinstance(value, list):
        for word in value:
            if isinstance(word, str) and word not in NAMES[key]:
                raise Wrong((key,), f"there is no {word!r}; {unknown(word, NAMES[key])}")
    if key == "profile" and isinstance(value, str) and value not in PROFILE_NAMES:
        raise Wrong((key,), f"there is no {value!r}; {unknown(value, PROFILE_NAMES)}")
    if key in DURATIONS and isinstance(value, str):
        if (found := seconds(value)) is None:
            raise Wrong((key,), f"{value!r} is not a duration such as 90s, 2m or 1h")
        return found
    if key == "min_resolution" and isinstance(value, dict):
        for dtype in value:
            if dtype not in DTYPES:
                raise Wrong((key, dtype), f"there is no dtype {dtype!r}; {unknown(dtype, DTYPES)}")
        return {dtype: _converted((key, dtype), v, Fraction) for dtype, v in value.items()}
    return _converted((key,), value, of[key].type)


def _converted(path: tuple[str, ...], value: Any, kind: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        raise Wrong(path, "nan is not a number")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words = str(error).replace(" | null", "").replace("`array`", "`list`")
        words = words.partition(" - at `$")[0]
        raise Wrong(path, words[:1].lower() + words[1:]) from None


def _profiles(value: Any) -> dict[str, Profile]:
    if not isinstance(value, dict):
        raise Wrong(("profiles",), "expected a table for each profile that is changed")
    own = {f.name: f for f in msgspec.structs.fields(Profile)}
    found = {}
    for name, table in value.items():
        if name not in PROFILE_NAMES:
            raise Wrong(
                ("profiles", name), f"there is no profile {name!r}; {unknown(name, PROFILE_NAMES)}"
            )
        if not isinstance(table, dict):
            raise Wrong(("profiles", name), "expected a table")
        try:
            found[name] = Profile(**{k: check(k, v, of=own) for k, v in table.items()})
        except Wrong as wrong:
            raise Wrong(("profiles", name, *wrong.path), str(wrong)) from None
    return found


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration."""
    return msgspec.json.schema(Settings)
