"""Running the command as a user would: in this process, in another, and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result

from backproof.cli import group

QUICK = ("--checker", "complex_step", "--workers", "1")
"""Nothing to import, nothing to compile."""

PROGRAM = (sys.executable, "-m", "backproof")


def invoke(*arguments: str, columns: int = 200) -> Result:
    """The command in this process; a wide terminal keeps a sentence on its line."""
    return CliRunner().invoke(
        group, arguments, env={"COLUMNS": str(columns)}, prog_name="backproof"
    )


def run_into(folder: Path, *arguments: str, columns: int = 200) -> Result:
    """`backproof run` with complex step alone, into a folder."""
    return invoke("run", *QUICK, "--output", str(folder), *arguments, columns=columns)


def sentence(result: Result) -> str:
    """The one sentence of an error, out of its frame."""
    lines = [line.strip("│╭╮╰╯─ ") for line in result.output.splitlines()]
    (said,) = [line for line in lines if line not in ("", "Error")]
    return said


def environment(columns: int = 100) -> dict[str, str]:
    return {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}


def start(*arguments: str) -> subprocess.Popen[str]:
    """`backproof` in a process group of its own, as a shell would start it."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def on_a_terminal(
    *arguments: str, columns: int, program: Sequence[str] = PROGRAM
) -> tuple[int, str]:
    """(exit code, all that appeared) of `backproof`, or another, in a pseudo-terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(columns),
        close_fds=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return process.wait(), shown.decode()
