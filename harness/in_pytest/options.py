"""The options as pytest knows them: `--backproof-NAME`, and `backproof_NAME` in the ini-file.

pytest loads this in every run, so it imports nothing but pytest; what the options mean, and
whether it is right, is `asking.py`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

PREFIX = "backproof::"
"""What the ids of generated checks begin with, where a file's path stands in others."""

ASKED = pytest.StashKey[list[str]]()
"""The ids of generated checks on the command line, which are no paths."""


class Option(NamedTuple):
    """`--backproof-NAME` and `backproof_NAME`; `several` may be given more than once."""

    name: str
    metavar: str
    help: str
    several: bool = False
    ini: str = ""

    @property
    def key(self) -> str:
        """Its name in the ini-file, and among the options as pytest keeps them."""
        return "backproof_" + self.name.replace("-", "_")


SUBJECT = Option(
    "subject",
    "SUBJECT",
    "Verify py:MODULE:OBJECT, cmd:PROGRAM or an installed subject; repeatable.",
    several=True,
    ini="One a line; not verified where pytest is asked for certain files.",
)
REPORT = Option(
    "report",
    "DIR",
    "Write events.ndjson and every report of the session's checks into this folder.",
    ini="Relative to the ini-file; written by sessions that have checks.",
)
OPTIONS = (
    Option("cases", "N", "How many checks for each subject.  [default: 40]"),
    Option("seed", "N", "What the checks are drawn from.  [default: 0]"),
    Option("lane", "LANE", "Only generic, exact, tie or extreme values; repeatable.", several=True),
    Option("dtype", "DTYPE", "Only float64 or float32.  [default: as declared]", several=True),
    Option("checker", "NAME", "Only this checker; repeatable.  [default: all]", several=True),
    Option(
        "timeout",
        "TIME",
        "How long a program may take to answer, such as 90s or 2m.  [default: 30s]",
    ),
    Option(
        "max-inconclusive",
        "SHARE",
        "The share of a subject's checks that may be inconclusive or unsupported before the exit "
        "code is 5.  [default: 0.1]",
    ),
)
EVERY = (SUBJECT, *OPTIONS, REPORT)
EXPECTED = "backproof_expected_failures"


def add(parser: pytest.Parser) -> None:
    """Have pytest know them all."""
    group = parser.getgroup("backproof", "verification of backward passes")
    for option in EVERY:
        group.addoption(
            f"--backproof-{option.name}",
            action="append" if option.several else "store",
            metavar=option.metavar,
            help=option.help,
        )
        words = f"{option.help}  {option.ini}".strip()
        if option is SUBJECT:
            parser.addini(option.key, words, type="linelist")
        elif option.several:
            parser.addini(option.key, words, type="args")
        else:
            parser.addini(option.key, words, type="string")
    words = "Checks expected to fail, a line each: an operator or a pattern of ids, a colon, why."
    parser.addini(EXPECTED, words, type="linelist")


def typed(config: pytest.Config, option: Option) -> Any:
    """What the command line says: a text, a list of them, None where it is silent."""
    return config.getoption(option.key)


def subjects(config: pytest.Config) -> list[str]:
    """Those of the command line, else of the ini-file, unless certain files are asked for."""
    given: list[str] = typed(config, SUBJECT) or []
    files = config.args and config.args_source is pytest.Config.ArgsSource.ARGS
    if not given and (config.stash[ASKED] or not files):
        given = config.getini(SUBJECT.key)
    return list(dict.fromkeys(given))


def in_use(config: pytest.Config) -> bool:
    """Whether anything of ours is asked for before a test is collected."""
    asked = any(typed(config, option) is not None for option in EVERY)
    return asked or bool(config.stash[ASKED] or subjects(config))
