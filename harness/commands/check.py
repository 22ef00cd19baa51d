"""`backproof check`: verify somebody else's implementation on random networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import rich_click as click

from backproof.commands.options import Duration, read_options, with_options
from backproof.commands.session import conclude
from backproof.errors import Command, UsageProblem
from backproof.foreign import SubjectAbsent, opened
from backproof.generated_checks import undeclared, within
from backproof.jobs import NoNetwork, Options
from backproof.planting import is_ours
from backproof.subjects.capabilities import Capabilities
from backproof.subjects.process import Limits as ProgramLimits

with_timeout = click.option(
    "--timeout",
    type=Duration(),
    default=ProgramLimits.answer,
    show_default=True,
    help="Seconds in which a program must answer.",
)
"""How long a program may take; `backproof smoke` has the option too."""


PROGRAM_OPTIONS = (
    with_timeout,
    click.option(
        "--start-timeout",
        type=Duration(),
        default=ProgramLimits.start,
        show_default=True,
        help="Seconds in which a program must have started.",
    ),
    click.option(
        "--memory",
        type=click.IntRange(1),
        help="MiB of address space that a program may have.  [default: any]",
    ),
    click.option(
        "--max-answer",
        type=click.IntRange(1),
        default=ProgramLimits.output // 2**20,
        show_default=True,
        help="MiB that one answer of a program may have.",
    ),
)
"""How `check` and `gate` watch a program."""


def with_program_options(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with them, in their order."""
    for option in reversed(PROGRAM_OPTIONS):
        function = option(function)
    return function


@click.command(cls=Command)
@click.argument("subject", metavar="SUBJECT")
@with_program_options
@with_options
def command(**given: Any) -> None:
    """Verify an implementation of yours on random networks of what it can do.

    SUBJECT is `py:package.module:object`, a function of a case or an object with a method
    `gradients`; `cmd:PROGRAM ARGUMENTS`, a program in any language that speaks the protocol
    of docs/protocol.md; or the name of a subject that an installed package offers.  Exit codes
    are those of `backproof run`; 4 also for a subject that does not start.
    """
    name = given["subject"]
    if is_ours(name):
        raise UsageProblem(f"{name} is ours: `backproof run` verifies it.")
    options = options_for(name, read_options(given), given)
    try:
        conclude(options, given)
    except NoNetwork as error:
        raise UsageProblem(f"{name}: {error}.") from None


def options_for(name: str, options: Options, given: dict[str, Any]) -> Options:
    """The options for somebody else's subject: what it declares.  UsageProblem without it."""
    programs = ProgramLimits(
        start=given["start_timeout"],
        answer=given["timeout"],
        output=given["max_answer"] * 2**20,
        memory=(given["memory"] or 0) * 2**20,
    )
    try:
        capabilities = opened(name, programs).capabilities
    except SubjectAbsent as absent:
        raise UsageProblem(f"{str(absent).rstrip('.')}.") from None
    options = replace(options, subject=name, programs=programs)
    _refuse_undeclared(options, capabilities, given)
    try:
        return within(options, capabilities)
    except ValueError as error:
        raise UsageProblem(f"{name}: {error}.") from None


def _refuse_undeclared(options: Options, can: Capabilities, given: dict[str, Any]) -> None:
    """UsageProblem for what is asked for by name and the subject does not declare."""
    for dtype in given["dtype"]:
        if dtype not in can.dtypes:
            raise UsageProblem(f"--dtype {dtype}: the subject declares {', '.join(can.dtypes)}.")
    if options.architecture is not None:
        if reason := can.refuses(options.architecture):
            raise UsageProblem(f"--architecture {given['architecture']}: {reason}.")
        return
    if found := undeclared(options.limits, can):
        option, word = found
        raise UsageProblem(f"--{option} {word}: the subject does not declare it.")
