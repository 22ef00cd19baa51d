"""`backproof smoke`: talk to a subject step by step, and say what to mend."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import rich_click as click

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.architectures.generation import Limits, generate
from backproof.commands.check import with_timeout
from backproof.errors import Command
from backproof.foreign import SubjectAbsent, SubjectProblem, Unsupported, close_all, opened
from backproof.jobs import Options
from backproof.judging import judge
from backproof.reports.exit_codes import ExitCode
from backproof.reports.text import printable
from backproof.subjects.capabilities import Capabilities
from backproof.subjects.process import Limits as ProgramLimits

TRIES = 300

Steps = Iterator[tuple[ExitCode, str]]


@click.command(cls=Command)
@click.argument("subject", metavar="SUBJECT")
@with_timeout
def command(subject: str, timeout: float) -> None:
    """Start a subject, ask what it can do, and verify the smallest network that it can.

    SUBJECT is as for `backproof check`.  Every step is a line; the first that goes wrong says
    what to mend.  Exit codes: 0 all went well, 1 a gradient is wrong or the subject failed,
    4 it does not start.
    """
    last = ExitCode.VERIFIED
    for code, line in _steps(subject, timeout):
        click.echo(printable(line))
        last = code
    close_all()
    sys.exit(int(last))


def _steps(name: str, timeout: float) -> Steps:
    limits = ProgramLimits(answer=timeout)
    began = time.perf_counter()
    try:
        there = opened(name, limits)
    except SubjectAbsent as absent:
        yield ExitCode.USAGE, f"start    FAILED  {absent}"
        return
    yield ExitCode.VERIFIED, f"start    ok      in {time.perf_counter() - began:.2f} s"
    can = there.capabilities
    yield ExitCode.VERIFIED, f"declares ok      {_declared(can)}"
    network = smallest(can)
    if network is None:
        yield ExitCode.USAGE, "network  FAILED  no network is of what it declares alone"
        return
    yield ExitCode.VERIFIED, f"network  ok      {network}"
    case = draw_case(network, 1, "generic", can.dtypes[0])
    try:
        loss, gradients = there.gradients(case)
    except (SubjectProblem, Unsupported) as problem:
        yield ExitCode.WRONG, f"run      FAILED  {problem}"
        return
    names = ", ".join(sorted(gradients)) or "none"
    yield ExitCode.VERIFIED, f"run      ok      loss {float(loss):.6g}; gradients of {names}"
    verdict = judge(case, Options(subject=name, programs=limits))
    held = ", ".join(c.name for c in verdict.checks if c.status == "PASS")
    if held:
        yield ExitCode.VERIFIED, f"holds    ok      {held}"
    if verdict.status == "PASS":
        yield ExitCode.VERIFIED, "verdict  PASS    `backproof check` does the rest"
    else:
        yield ExitCode.WRONG, f"verdict  {verdict.status:7} {verdict.reason}"


def smallest(can: Capabilities) -> Architecture | None:
    """The smallest of many random networks that a subject can do."""
    operators = tuple(n for n in can.operators or () if n != "variable")
    limits = Limits(2, 3, 2, operators=operators, losses=can.losses or ())
    fitting = []
    for seed in range(TRIES):
        (a,) = generate(limits, "generic", can.dtypes[0], seed, 1)
        if not can.refuses(a):
            fitting.append(a)
    return min(fitting, key=_weight, default=None)


def _weight(a: Architecture) -> tuple[bool, bool, int, int, int]:
    """Small first, but with a parameter, and two examples, which are summed over."""
    alone = a.input is None or a.input[0] < 2
    return not a.parameters, alone, len(a.layers), len(a.penalties), len(str(a))


def _declared(can: Capabilities) -> str:
    def some(names: tuple[str, ...] | None, words: str) -> str:
        if names is None:
            return f"all {words}"
        return (
            f"{len(names)} {words}" if len(names) > 6 else f"{words} {', '.join(names) or 'none'}"
        )

    shown = [can.name or "no name", some(can.operators, "operators"), some(can.losses, "losses")]
    shown += [", ".join(can.dtypes), "graphs" if can.graphs else "chains only"]
    return "; ".join(shown)
