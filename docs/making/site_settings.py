"""The reference of the configuration, made from `backproof.settings`."""

from __future__ import annotations

import importlib
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import msgspec

from backproof.commands.configured import OPTION_OF
from backproof.configuration import variable
from backproof.settings import DEFAULTS, KEYS, NAMES, PROFILES, Profile

COMMANDS = (
    "run", "check", "gate", "smoke", "baseline prune", "baseline show", "baseline update",
)  # fmt: skip

LISTED = {"operators": "`backproof ops`", "activations": "`backproof ops`"}


def page() -> str:
    """Every key: its type, default, variable and option; and what each profile sets."""
    keys = "\n".join(line for key in KEYS for line in section(key))
    return f"{keys}\n\n{profiles()}"


def section(key: str) -> Iterator[str]:
    """One key's part of the page."""
    yield f"### {key}\n"
    if meaning := described(key):
        yield f"{meaning}\n"
    yield f"* Type: {typed(key)}"
    yield f"* Default: {default(key)}"
    if key != "profiles":
        yield f"* Environment: `{variable(key)}`"
    yield f"* Option: {options(key)}\n"


def described(key: str) -> str:
    """The description in the schema; of a key without one, its option's help."""
    schema = msgspec.json.schema_components((KEYS[key].type,))[0][0]
    if words := schema.get("description"):
        return str(words)
    for option in _options(key).values():
        text = " ".join((option.help or "").split())
        return text.partition("  [default")[0].partition(" [default")[0]
    return {"profiles": "A table for each profile of the gate that is changed."}.get(key, "")


def typed(key: str) -> str:
    """A key's type, in words."""
    if key in NAMES:
        many = f"any of {LISTED[key]}" if key in LISTED else _listed(NAMES[key])
        return f"list of names: {many}"
    if key == "profiles":
        return f"tables named {_listed(tuple(PROFILES))}"
    return in_words(KEYS[key].type)


def in_words(kind: Any) -> str:
    """A type of `settings` as a person says it."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        ends = [e for note in notes if isinstance(note, msgspec.Meta) for e in _ends(note)]
        return " ".join([in_words(inner), *ends])
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(
            dict.fromkeys(in_words(k) for k in get_args(kind) if k is not type(None))
        )
    if get_origin(kind) is Literal:
        return f"one of {_listed(get_args(kind))}"
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        return f"table from {_listed(get_args(key))} to a {in_words(value)}"
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}[kind]


def _ends(note: msgspec.Meta) -> Iterator[str]:
    if note.pattern:
        yield "such as `90s`, `2m` or `1h`"
    for word, end in (
        ("from", note.ge), ("above", note.gt), ("to", note.le), ("below", note.lt),
    ):  # fmt: skip
        if end is not None:
            yield f"{word} {end}"


def default(key: str) -> str:
    """What holds where nobody says anything: the command's own default where a key has none."""
    value = DEFAULTS[key]
    if key == "subject":
        return "none; the gate refuses to run without one"
    if value not in (None, (), {}):
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    if key in NAMES:
        return "all"
    for option in _options(key).values():
        if found := re.search(r"\[default: (.*)\]", " ".join((option.help or "").split())):
            more = "; in the gate the profile's" if key in profile_keys() else ""
            return found[1] + more
        if isinstance(option.default, int | float):
            return f"`{option.default:g}`"
    return "none"


def profile_keys() -> tuple[str, ...]:
    """The keys that a profile may set."""
    return tuple(f.name for f in msgspec.structs.fields(Profile))


def options(key: str) -> str:
    """The options that say the same on the command line."""
    if key == "profiles":
        return "none"
    if key == "subject":
        return "the argument SUBJECT of `check` and `gate`"
    found = _options(key)
    if not found:
        return "none"
    (shown,) = {o.opts[0] for o in found.values()}
    return f"`{shown}` of {_listed(tuple(found))}"


def _options(key: str) -> dict[str, click.Option]:
    """By command, the option of a key."""
    name = OPTION_OF.get(key, key)
    found = {}
    for command in COMMANDS:
        module, _, inside = command.partition(" ")
        of = importlib.import_module(f"backproof.commands.{module}")
        what = of.group.commands[inside] if inside else of.command
        for p in what.params:
            if isinstance(p, click.Option) and p.name == name:
                found[command] = p
    return found


def profiles() -> str:
    """What each profile of the gate sets of itself."""
    keys = [k for k in profile_keys() if any(getattr(p, k) is not None for p in PROFILES.values())]
    lines = [
        f"| profile | {' | '.join(f'`{k}`' for k in keys)} |",
        f"| --- {'| --- ' * len(keys)}|",
    ]
    for name, profile in PROFILES.items():
        said = ("" if (v := getattr(profile, k)) is None else f"{v:g}" for k in keys)
        lines.append(f"| `{name}` | {' | '.join(said)} |")
    own = ", ".join(f"`{k}`" for k in profile_keys())
    return "\n".join([
        "## The gate's profiles\n",
        f"`[tool.backproof.profiles.NAME]` changes what a profile sets; it may hold {own}. "
        "Times are in seconds; an empty field is left to the key itself.\n",
        *lines,
    ])  # fmt: skip


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{n}`" for n in names)
