"""What a session is asked for: options, ini-file, environment and configuration in one.

    option  >  ini-file of pytest  >  BACKPROOF_*  >  backproof.toml, [tool.backproof]  >  default

The configuration is the one of `backproof check` (see `backproof.configuration`), looked for
upwards from where pytest is called, or from its root where that is elsewhere.  Taken from it is
what decides how a subject is verified, so that pytest and `check` draw the same cases.  Not
taken are `subject` (a project that has a gate did not ask its test suite to verify anything),
`output`, what is the gate's, and the file's `cases`, which are for `run` and `check`: a test
suite has other things to do.  BACKPROOF_CASES is said for the session at hand, and counts.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backproof import configuration
from backproof.architectures.limits import Limits
from backproof.configuration import Value, variable
from backproof.errors import UsageProblem
from backproof.in_pytest.options import (
    EXPECTED,
    OPTIONS,
    REPORT,
    SUBJECT,
    Option,
    subjects,
    typed,
)
from backproof.reports.exit_codes import MAX_INCONCLUSIVE
from backproof.reports.text import printable
from backproof.settings import DURATIONS, NAMES, Wrong, check
from backproof.subjects.process import Limits as ProgramLimits

KEY_OF = {"lane": "lanes", "dtype": "dtypes", "checker": "checkers"}
"""The keys of the configuration whose option has another name."""

OF_NETWORKS = ("operators", "activations", "losses", "max_depth", "max_width", "max_batch")
TAKEN = (
    "seed", "lanes", "dtypes", "checkers", *OF_NETWORKS, "exhaustive", "timeout",
    "start_timeout", "memory", "max_answer", "max_inconclusive",
)  # fmt: skip
"""The keys of the configuration that hold here."""


@dataclass(frozen=True)
class Asked:
    """What a session is to do.

    `values` are by key of the configuration, each with its origin; `generating` are what
    `generate` is handed of them, `budget` is the share of a subject's checks that may decide
    nothing.  `report` is the folder for reports, None for nowhere, and `named` how it was said.
    `elsewhere` are the values that the environment or the configuration said, in words.
    """

    subjects: tuple[str, ...]
    values: Mapping[str, Value]
    generating: Mapping[str, Any]
    budget: float
    expected: Mapping[str, str]
    elsewhere: tuple[str, ...]
    report: Path | None
    named: str


def ask(config: pytest.Config) -> Asked:
    """All that is asked for.  UsageError, one sentence, for what makes no sense."""
    start = config.invocation_params.dir
    if not start.is_relative_to(config.rootpath):
        start = config.rootpath
    try:
        found = configuration.load(start=start)
    except UsageProblem as problem:
        raise pytest.UsageError(problem.message) from None
    values = {key: found.file[key] for key in TAKEN if key in found.file}
    environment = found.environment
    values |= {key: environment[key] for key in ("cases", *TAKEN) if key in environment}
    own = {key_of(option): value for option in OPTIONS if (value := said(config, option))}
    elsewhere = tuple(f"{key} ({v.origin})" for key, v in values.items() if key not in own)
    values |= own
    most = values.get("max_inconclusive", Value(MAX_INCONCLUSIVE, "default")).value
    names, generating = tuple(subjects(config)), _generating(values)
    known, where = expected(config), folder(config)
    return Asked(names, values, generating, most, known, elsewhere, *where)


def _generating(values: Mapping[str, Value]) -> dict[str, Any]:
    """The arguments of `generate`.  UsageError for sizes and operators that do not fit."""
    said = {key: value.value for key, value in values.items()}
    try:
        limits = Limits(**{key: said[key] for key in OF_NETWORKS if key in said})
    except ValueError as error:
        raise pytest.UsageError(f"backproof: {error}.") from None
    programs = ProgramLimits(
        start=said.get("start_timeout", ProgramLimits.start),
        output=said.get("max_answer", ProgramLimits.output // 2**20) * 2**20,
        memory=said.get("memory", 0) * 2**20,
    )
    names = ("cases", "seed", "lanes", "dtypes", "checkers", "exhaustive", "timeout")
    given = {key: said[key] for key in names if key in said}
    return {**given, "limits": limits, "programs": programs}


def key_of(option: Option) -> str:
    """The key of the configuration that an option overrides."""
    return KEY_OF.get(option.name, option.name.replace("-", "_"))


def said(config: pytest.Config, option: Option) -> Value | None:
    """What the command line, else the ini-file, says.  UsageError where it makes no sense."""
    given, origin = typed(config, option), f"--backproof-{option.name}"
    if given is None:
        given, origin = config.getini(option.key), f"{_ini(config)}: {option.key}"
        if not given:
            return None
    key = key_of(option)
    text = ",".join(given) if option.several else given
    try:
        value = configuration.typed(key, text)
        if isinstance(value, str) and key not in DURATIONS:
            raise Wrong((key,), "that is no number")
        value = check(key, value)
    except Wrong as wrong:
        raise pytest.UsageError(printable(f"{origin}={text}: {wrong}.")) from None
    if key in NAMES:
        value = tuple(name for name in NAMES[key] if name in value)
    return Value(value, origin)


def folder(config: pytest.Config) -> tuple[Path | None, str]:
    """Where the reports go, None for nowhere, and how that was said."""
    given: str | None = typed(config, REPORT)
    if given is not None:
        if not given.strip():
            raise pytest.UsageError("--backproof-report: name a folder.")
        return config.invocation_params.dir / given, f"--backproof-{REPORT.name}"
    if ini := config.getini(REPORT.key):
        above = config.rootpath if config.inipath is None else config.inipath.parent
        return above / ini, REPORT.key
    return None, ""


def expected(config: pytest.Config) -> dict[str, str]:
    """The ini-file's: what is expected to fail, and why.  UsageError for a line without why."""
    found = {}
    for line in config.getini(EXPECTED):
        what, colon, why = line.partition(":")
        if not colon:
            raise pytest.UsageError(f"{_ini(config)}: {EXPECTED}: write NAME: REASON, got {line}.")
        found[what.strip()] = why.strip()
    return found


def _ini(config: pytest.Config) -> str:
    return "the ini-file" if config.inipath is None else config.inipath.name


def command(config: pytest.Config, asked: Asked, subject: str = "", id: str = "") -> str:
    """The command that runs the session's checks again, or one: what was said for it alone.

    What stands in files is found there again.
    """
    told = [variable(key) for key, v in asked.values.items() if v.origin == variable(key)]
    told += ["BACKPROOF_CONFIG"] if os.environ.get("BACKPROOF_CONFIG") else []
    words = [id] if id else []
    for option in reversed((SUBJECT, *OPTIONS)):
        given = typed(config, option)
        texts = given if option.several and given else () if given is None else (given,)
        texts = [subject] if subject and option is SUBJECT and texts else texts
        words[:0] = [f"--backproof-{option.name}={text}" for text in texts]
    if config.option.inifilename:
        words[:0] = ["-c", str(config.option.inifilename)]
    return " ".join(
        [*(f"{n}={shlex.quote(os.environ[n])}" for n in told), shlex.join(["pytest", *words])]
    )
