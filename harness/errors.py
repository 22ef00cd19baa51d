"""How a command ends when its user asked for something that makes no sense.

pytest's exit codes: 1 says that a gradient is wrong, so bad input must say something else.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import rich_click as click

# An option's type stands in its help, not in a column: at 60 columns words stay whole.
click.rich_click.OPTIONS_TABLE_COLUMN_TYPES = ["required", "opt_primary", "opt_secondary", "help"]
click.rich_click.OPTIONS_TABLE_HELP_SECTIONS = ["help", "default", "metavar"]

INTERRUPTED = 2
ERROR = 3
USAGE = 4


class UsageProblem(click.ClickException):
    """One sentence for whoever typed the command, and exit code 4."""

    exit_code = USAGE


def unknown(word: str, names: Iterable[str]) -> str:
    """What there is instead of a name that is not known: all, or of many the closest."""
    known = list(names)
    if len(known) <= 16:
        return f"there are {', '.join(known)}"
    close = difflib.get_close_matches(word, known, 3, 0.5)
    return f"perhaps {' or '.join(close)}" if close else f"there are {len(known)} others"


def refuse_unknown_fault(option: str, name: str, known: Iterable[str]) -> None:
    """UsageProblem for the name of a fault that the catalogue does not have."""
    names = list(known)
    if name not in names:
        advice = unknown(name, names)
        raise UsageProblem(f"{option}: no fault {name!r}; {advice} (docs/detection.md lists them).")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End in exit code 2 on Ctrl-C; click would say 1, which is a wrong gradient."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)


class Command(click.RichCommand):
    """A command whose bad options end in exit code 4 and whose interruption ends in 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise UsageProblem(error.format_message()) from None

    def invoke(self, ctx: click.Context) -> Any:
        with interruptible():
            return super().invoke(ctx)


class Subcommands(click.RichGroup):
    """A group of commands whose bad usage ends in exit code 4, and a call without one too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise UsageProblem(error.format_message()) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command by its name.  UsageProblem, with those that there are, for another."""
        known = self.list_commands(ctx)
        if args[0] not in known:
            raise UsageProblem(f"No command {args[0]!r}; there are {', '.join(known)}.")
        return super().resolve_command(ctx, args)


def show(output: Callable[[], object], code: int) -> int:
    """Put a command's outcome on stdout; its exit code.

    A reader that leaves early changes nothing about the outcome; any other failure to write
    is an error, unless there is worse to say.
    """
    try:
        output()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        _silence()
    except OSError as error:
        _silence()
        click.echo(f"stdout cannot be written: {error.strerror}", err=True)
        return code or ERROR
    return code


def _silence() -> None:
    """Send what is still buffered nowhere, or Python would fail on it when it ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def usage_problems() -> Iterator[None]:
    """Turn the ValueErrors of architectures and cases, which are sentences, into ours."""
    try:
        yield
    except ValueError as error:
        raise UsageProblem(str(error)) from None
