"""The reference of the command line, made from the commands themselves."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import click

from backproof.cli import COMMANDS
from backproof.errors import ERROR, INTERRUPTED, USAGE

ALWAYS = {
    INTERRUPTED: "interrupted with Ctrl-C",
    ERROR: "an error that was not foreseen",
    USAGE: "bad usage: one sentence says what would be right",
}
"""Exit codes of every command, whatever it says itself (`backproof.errors`)."""

OF_A_RUN = ("those of `backproof run`", "exit as that run did")
"""How other commands say that their codes are those of a run."""

CODES = re.compile(r"Exit\s+codes?:\s*(.*?)\.(?=\s|$)", re.DOTALL)
CODE = re.compile(r"(?:^|,\s+)(\d)\s+(.*?)(?=,\s+\d\s|,\s+or\s+\d\s|$)", re.DOTALL)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it, groups before what is in them."""
    for name, entry in COMMANDS.items():
        module = importlib.import_module(f"backproof.commands.{entry.module}")
        found = getattr(module, entry.attribute)
        yield name, found
        if isinstance(found, click.Group):
            yield from ((f"{name} {n}", found.commands[n]) for n in sorted(found.commands))


def page() -> str:
    """Every command: how it is called, what it does, its options, its exit codes."""
    return "\n".join(line for name, command in commands() for line in section(name, command))


def section(name: str, command: click.Command) -> Iterator[str]:
    """One command's part of the page."""
    yield f"## backproof {name}\n"
    context = click.Context(command, info_name=f"backproof {name}")
    usage = " ".join([f"backproof {name}", *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    yield f"{paragraphs(command.help or '')}\n"
    options = [p for p in command.params if isinstance(p, click.Option)]
    if options:
        yield "**Options**\n"
    for option in options:
        yield f"{names(option)}\n:   {said(option, context)}\n"
    if not isinstance(command, click.Group):
        yield "**Exit codes**\n"
        yield from (f"`{code}`\n:   {words}\n" for code, words in exit_codes(command).items())


def paragraphs(text: str) -> str:
    """A docstring as Markdown: its paragraphs, the exit codes taken out."""
    plain = CODES.sub("", "\n".join(line.strip() for line in text.splitlines()))
    linked = re.sub(r"the protocol\s+of docs/protocol.md", "[the protocol](../protocol.md)", plain)
    linked = re.sub(r"docs/(\w+)\.md", r"[\1.md](../\1.md)", linked)
    return re.sub(r"  +", " ", linked).strip()


def names(option: click.Option) -> str:
    """`--name` VALUE, and how it is turned off where it can be."""
    shown = " / ".join(f"`{o}`" for o in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return shown
    return f"{shown} *{value(option)}*"


def value(option: click.Option) -> str:
    """What an option takes, in capitals or as its choices."""
    if isinstance(option.type, click.Choice):
        return " | ".join(map(str, option.type.choices))
    if option.metavar:
        return option.metavar.replace("|", " | ")
    kind = option.type
    if isinstance(kind, click.IntRange | click.FloatRange):
        whole = "whole number" if isinstance(kind, click.IntRange) else "number"
        ends = [
            f"from {kind.min}" if kind.min is not None else "",
            f"to {kind.max}" if kind.max is not None else "",
        ]
        return " ".join([whole, *filter(None, ends)])
    return {"integer": "whole number", "float": "number"}.get(kind.name, kind.name)


def said(option: click.Option, context: click.Context) -> str:
    """The help of an option, with its default where that is shown."""
    text = " ".join((option.help or "").split())
    default = option.get_default(context)
    if option.show_default and default is not None:
        text += f" [default: {default}]"
    return re.sub(r"\[default: (.*?)\]", r"Default: \1.", text)


def exit_codes(command: click.Command) -> dict[int, str]:
    """By number, in words: what the command says, and what holds for all of them."""
    text = " ".join((command.help or "").split())
    found = dict(ALWAYS) | {0: "it did what was asked"}
    if any(words in text for words in OF_A_RUN):
        found |= exit_codes(dict(commands())["run"])
    elif match := re.search(r"Exit code 0 where (.*?); else (\d), since (.*?)\.$", text):
        found |= {0: match[1], int(match[2]): match[3]}
    if match := CODES.search(text):
        found |= {int(code): words for code, words in CODE.findall(match[1])}
    return dict(sorted(found.items()))
