"""The configuration: where it is found, what it says, and where each value came from.

    default  <  profile (the gate's)  <  file  <  environment  <  option on the command line

The file is `--config FILE`, else what BACKPROOF_CONFIG names, else the nearest backproof.toml
or pyproject.toml with a table [tool.backproof], upwards from the working directory as far as
the repository (a folder with .git) goes.  A profile is no default of a single key, but a
choice by name, so what the file says of `cases` is for `run` and `check`, and what it says in
[tool.backproof.profiles.NAME] is for the gate.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from backproof.errors import UsageProblem
from backproof.settings import (
    DEFAULTS,
    KEYS,
    NAMES,
    PATHS,
    PROFILES,
    Profile,
    ProfileName,
    Wrong,
    check,
)

PREFIX = "BACKPROOF_"
MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Value:
    """A value, and where it came from, in words."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Found:
    """What the file says, by key, and what the environment says.  `path` is None for no file."""

    path: Path | None = None
    file: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, Value] = field(default_factory=dict)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    shown: str = ""

    @property
    def given(self) -> dict[str, Value]:
        """What somebody has said, the environment before the file."""
        return {**self.file, **self.environment}


def load(
    config: str | None = None, environ: Mapping[str, str] | None = None, start: Path | None = None
) -> Found:
    """The configuration that holds in a folder.  UsageProblem, one sentence, where it is wrong."""
    environ = os.environ if environ is None else environ
    start = Path.cwd() if start is None else start
    named = config or environ.get(f"{PREFIX}CONFIG")
    path = Path(named) if named else _nearest(start)
    variables = _from_environment(environ)
    if path is None:
        return Found(environment=variables)
    shown = _shown(path, start)
    text = _text(path, shown)
    table, above = _table(text, path, shown)
    lines = {p[len(above) :]: n for p, n in _lines(text) if p[: len(above)] == above}
    if table is None:
        raise UsageProblem(f"{shown}: there is no table [tool.backproof] in it.")
    values = {}
    for key, raw in table.items():
        try:
            value = check(key, raw)
        except Wrong as wrong:
            raise UsageProblem(f"{_place(shown, lines, wrong.path)}: {wrong}.") from None
        if key in PATHS:
            value = os.path.relpath(path.absolute().parent / value, start)
        values[key] = Value(value, _at(shown, lines, (key,)))
    return Found(path, values, variables, lines, shown)


def _shown(path: Path, start: Path) -> str:
    """A path as short as it can be said."""
    absolute = path.absolute()
    return str(absolute.relative_to(start)) if absolute.is_relative_to(start) else str(path)


def _nearest(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (path := folder / "backproof.toml").is_file():
            return path
        path = folder / "pyproject.toml"
        if path.is_file() and _table(_text(path, str(path)), path, str(path))[0] is not None:
            return path
        if (folder / ".git").exists():
            break
    return None


def _text(path: Path, shown: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageProblem(f"{shown} is too large (at most {MAX_BYTES:,} bytes).")
        return content.decode()
    except OSError as error:
        raise UsageProblem(f"{shown}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageProblem(f"{shown}, line {line}: it is not UTF-8.") from None


def _table(text: str, path: Path, shown: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The table of a file that is ours, None where there is none, and the keys above it."""
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        words, _, where = str(error).rpartition(" (at ")
        found = re.match(r"line \d+", where)
        line = found[0] if found else f"line {text.count(chr(10)) + 1}"  # at the end
        raise UsageProblem(f"{shown}, {line}: {words[:1].lower()}{words[1:]}.") from None
    if path.name != "pyproject.toml":
        return whole, ()
    tool = whole.get("tool", {})
    table = tool.get("backproof") if isinstance(tool, dict) else None
    return (table if isinstance(table, dict) else None), ("tool", "backproof")


HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
KEY = re.compile(r"""\s*((?:[A-Za-z0-9_.\-\s]|"[^"]*"|'[^']*')+?)\s*=""")


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The path of every key and table that begins a line, and its line.  tomllib gives none."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if (header := HEADER.match(line)) and (found := _path(f"[{header[1]}]")):
            table = found
            yield table, number
        elif (key := KEY.match(line)) and (found := _path(f"{key[1]} = 0")):
            yield (*table, *found), number


def _path(line: str) -> tuple[str, ...]:
    """The one path that a line of TOML opens; empty where it is none."""
    try:
        here: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(here, dict) and here:
        ((key, here),) = here.items()
        path.append(key)
    return tuple(path)


def _line(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> int | None:
    """Where a key stands: its own line, else that of what holds it or of its first part."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
        for known, number in lines.items():
            if known[:length] == path[:length]:
                return number
    return None


def _at(shown: str, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    line = _line(lines, path)
    return shown if line is None else f"{shown}, line {line}"


def _place(shown: str, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    return f"{_at(shown, lines, path)}: {'.'.join(path)}"


# --- the environment --------------------------------------------------------------------


def variable(key: str) -> str:
    """The environment variable of a key."""
    return PREFIX + key.upper()


def _from_environment(environ: Mapping[str, str]) -> dict[str, Value]:
    """What BACKPROOF_* says.  A misspelt one is refused; those of other programs are left alone."""
    known = {variable(key): key for key in KEYS if key != "profiles"}
    found = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == f"{PREFIX}CONFIG" or not environ[name]:
            continue
        if name not in known:
            if close := difflib.get_close_matches(name, known, 1, 0.85):
                raise UsageProblem(f"{name}: there is no such variable; perhaps {close[0]}.")
            continue
        key = known[name]
        try:
            found[key] = Value(check(key, typed(key, environ[name])), name)
        except Wrong as wrong:
            raise UsageProblem(f"{name}: {wrong}.") from None
    return found


def typed(key: str, text: str) -> Any:
    """What a text means for a key: a list at commas, a table of `a=1,b=2`, a number, a word."""
    words = [word.strip() for word in text.split(",")]
    if key in NAMES:
        return words
    if key == "min_resolution":
        pairs = [word.partition("=") for word in words]
        return {k.strip(): _number(v) for k, _, v in pairs}
    if isinstance(DEFAULTS[key], bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return text if isinstance(DEFAULTS[key], str) else _number(text)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# --- all together -----------------------------------------------------------------------

OF_PROFILES = tuple(f.name for f in msgspec.structs.fields(Profile))


def resolved(found: Found, profile: ProfileName | None = None) -> dict[str, Value]:
    """Every key with its value and origin; with a profile, as the gate takes it.

    The gate's `cases` and `max_time` are its profile's, never those of the file's top level: a
    profile that ends in a minute must not depend on how long `run` may take.
    """
    values = {key: Value(default, "default") for key, default in DEFAULTS.items()}
    own_table = found.file.get("profiles")
    values.update(found.file)
    if profile is not None:
        origin = f"profile {profile}"
        built_in = PROFILES[profile]
        for key in ("cases", "max_time"):
            values[key] = Value(getattr(built_in, key), origin)
        for key in OF_PROFILES:
            set_here = getattr(built_in, key)
            if set_here is not None and key not in found.file:
                values[key] = Value(set_here, origin)
        changed = own_table.value.get(profile) if own_table else None
        for key in OF_PROFILES if changed else ():
            value = getattr(changed, key)
            if value is not None:
                at = _at(found.shown, found.lines, ("profiles", profile, key))
                values[key] = Value(value, at)
    values.update(found.environment)
    return values


def draws(found: Found, profile: ProfileName) -> bool:
    """Whether a gate draws its seed: at night, whatever the file says, but not the environment."""
    return profile == "nightly" and "seed" not in found.environment


def profile_of(found: Found) -> ProfileName:
    """The profile that the file or the environment asks for, or the default."""
    name: ProfileName = found.given.get("profile", Value(DEFAULTS["profile"], "")).value
    return name
