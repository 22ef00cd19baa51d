"""`backproof replay`: run a saved failure again, and say whether it still fails."""

from __future__ import annotations

import sys

import rich_click as click
from rich.console import Console
from rich.text import Text

from backproof import failures
from backproof.architectures.files import ArchitectureError
from backproof.errors import Command, UsageProblem, show
from backproof.foreign import SubjectAbsent, is_foreign, opened
from backproof.jobs import Options
from backproof.judging import judge
from backproof.reports.exit_codes import ExitCode
from backproof.reports.text import number, printable
from backproof.saving import cause_of

CODES = {"PASS": ExitCode.VERIFIED, "FAIL": ExitCode.WRONG, "ERROR": ExitCode.ERROR}


@click.command(cls=Command)
@click.argument("file", metavar="FILE")
def command(file: str) -> None:
    """Run a saved failure again, with the run's checkers, and say whether it still fails.

    FILE is a `failures/*.json` of a run.  Exit codes: 0 it passes now, 1 it still fails,
    3 error in the harness, 4 the file cannot be read or its subject does not start,
    5 inconclusive.
    """
    try:
        failure = failures.read(file)
        case = failures.rebuild(failure, file)
        if is_foreign(failure.subject):
            opened(failure.subject)
    except (ArchitectureError, SubjectAbsent) as error:
        raise UsageProblem(f"{str(error).rstrip('.')}.") from None
    asked = Options(
        subject=failure.subject, checkers=failure.checkers, exhaustive=failure.exhaustive
    )
    verdict = judge(case, asked)
    still = {
        "PASS": "passes now: the failure is gone",
        "FAIL": "still fails",
        "ERROR": "ends in an error of the harness",
    }.get(verdict.status, "is inconclusive now")
    console = Console()
    say = [f"{failure.id} {still}.", f"network   {case.architecture}"]
    say.append(f"subject   {failure.subject}; {case.lane} lane, {case.dtype}, seed {case.seed}")
    before = failures.verdict_of(failure)
    say.append(f"before    {before.status}: {before.reason}")
    cause = cause_of(case, verdict, asked) if verdict.status == "FAIL" else ""
    other = bool(cause) and cause != failure.cause
    if failure.cause:
        then = " (in the network as it was found)" if other else ""
        say.append(f"cause     {failure.cause}{then}")
    say.append(f"now       {verdict.status}{': ' + verdict.reason if verdict.reason else ''}")
    for c in verdict.comparisons:
        if c.status == "FAIL":
            say.append(
                f"          {c.checker} on {c.tensor}: error {number(c.error)}, "
                f"bound {number(c.bound)}"
            )
    if other:
        say.append(f"cause     {cause}")
    text = Text("\n".join(printable(line) for line in say))
    code = CODES.get(verdict.status, ExitCode.NOT_VERIFIED)
    sys.exit(show(lambda: console.print(text, soft_wrap=not console.is_terminal), code))
