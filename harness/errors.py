"""How a command ends when its user asked for something that makes no sense.

pytest's exit codes: 1 says that a gradient is wrong, so bad input must say something else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import rich_click as click

USAGE = 4
INTERRUPTED = 2


class UsageProblem(click.ClickException):
    """One sentence for whoever typed the command, and exit code 4."""

    exit_code = USAGE


class Command(click.RichCommand):
    """A command whose bad options end in exit code 4 and whose interruption ends in 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise UsageProblem(error.format_message()) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


@contextlib.contextmanager
def usage_problems() -> Iterator[None]:
    """Turn the ValueErrors of architectures and cases, which are sentences, into ours."""
    try:
        yield
    except ValueError as error:
        raise UsageProblem(str(error)) from None
