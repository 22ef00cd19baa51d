"""The command line.  A command is imported when it is used, so that `--help` is quick."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import rich_click as click

from backproof.errors import ERROR, Subcommands, UsageProblem, interruptible


class Entry(NamedTuple):
    """Where a command is defined, and its line in the help."""

    module: str
    attribute: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "run": Entry("run", "command", "Verify the reference on random networks: the main job."),
    "check": Entry("check", "command", "Verify an implementation of yours, in any language."),
    "gate": Entry("gate", "command", "What a pipeline obeys: profiles, budgets, a baseline."),
    "baseline": Entry("baseline", "group", "The failures that are known, and until when."),
    "smoke": Entry("smoke", "command", "Try a program that speaks the protocol, step by step."),
    "replay": Entry("replay", "command", "Run a saved failure again."),
    "report": Entry("report", "command", "Make every report again from a run's events."),
    "ops": Entry("ops", "command", "The operators, and the derivation of each."),
    "explain": Entry("explain", "explain", "The worked example of backpropagation."),
    "train": Entry("train", "train", "Gradient descent, every step verified."),
    "vectors": Entry("vectors", "group", "Gradient test vectors, for checks without Backproof."),
    "selftest": Entry("selftest", "command", "Plant every known fault: is each one found?"),
    "config": Entry("config", "command", "The configuration, and where each value came from."),
    "doctor": Entry("doctor", "command", "What of this machine bears on verification."),
    "schema": Entry(
        "schema",
        "command",
        "JSON Schemas: architecture file, report, configuration.",
    ),
}


class Group(Subcommands):
    """A group that knows its commands by name and imports them one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """What the help shows of a command; `resolve_command` imports it."""
        if cmd_name not in COMMANDS:
            return None
        return click.RichCommand(name=cmd_name, help=COMMANDS[cmd_name].summary)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name, *rest = args
        if name not in COMMANDS:
            raise UsageProblem(f"No command {name!r}; there are {', '.join(COMMANDS)}.")
        entry = COMMANDS[name]
        module = importlib.import_module(f"backproof.commands.{entry.module}")
        return name, getattr(module, entry.attribute), rest

    def invoke(self, ctx: click.Context) -> Any:
        with interruptible():
            return super().invoke(ctx)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="backproof")
def group() -> None:
    """Is this backward pass right?  Gradient verification with evidence.

    `backproof run` holds hand-derived backpropagation against finite differences, complex
    step, JAX and PyTorch on random networks.
    """


def main() -> None:
    """The `backproof` command.  What it did not foresee is an error of the harness."""
    try:
        group.main()
    except Exception:
        traceback.print_exc()
        sys.exit(ERROR)
