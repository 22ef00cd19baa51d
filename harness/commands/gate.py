"""`backproof gate`: what a pipeline obeys."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click

from backproof import baseline, failures, replaying, resuming
from backproof.architectures.cases import DTYPES
from backproof.architectures.files import ArchitectureError
from backproof.commands.check import options_for, with_program_options
from backproof.commands.configured import typed
from backproof.commands.options import a_number, read_options, with_help, with_options
from backproof.commands.session import Session, conclude
from backproof.configuration import OF_PROFILES, Found, Value, draws, resolved
from backproof.errors import Command, UsageProblem, refuse_unknown_fault
from backproof.jobs import NoNetwork, Options
from backproof.planting import BY_NAME, is_ours
from backproof.reports import events
from backproof.reports.events import CaseKnown, FailureSaved
from backproof.reports.gate import Budgets
from backproof.reports.text import count
from backproof.settings import DEFAULTS, PROFILE_NAMES


def resolutions(ctx: Any, param: Any, values: tuple[str, ...]) -> dict[str, float]:
    """`float32=1e-5`, also several at commas."""
    found: dict[str, float] = {}
    for word in (w.strip() for value in values for w in value.split(",")):
        dtype, _, text = word.partition("=")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if dtype not in DTYPES or not 0 < number <= 1:
            raise UsageProblem(
                f"--min-resolution must be such as float32=1e-5 ({' or '.join(DTYPES)}, and a "
                f"number up to 1), got {word!r}."
            )
        found[dtype] = number
    return found


@click.command(cls=Command)
@click.argument("subject", metavar="[SUBJECT]", required=False)
@click.option(
    "--profile",
    type=click.Choice(PROFILE_NAMES),
    default=DEFAULTS["profile"],
    show_default=True,
    help="quick (begins nothing after 45 s), standard, thorough, or nightly (draws a seed).",
)
@click.option(
    "--baseline",
    metavar="FILE",
    default=DEFAULTS["baseline"],
    show_default=True,
    help="Known failures, made by `backproof baseline`.",
)
@click.option(
    "--replays",
    metavar="FOLDER",
    default=DEFAULTS["replays"],
    show_default=True,
    help="Failures that are run again every time; nightly adds to them.",
)
@click.option(
    "--max-unsupported",
    type=click.FloatRange(0, 1),
    callback=a_number,
    default=DEFAULTS["max_unsupported"],
    show_default=True,
    help="The share of cases that the subject may refuse.",
)
@click.option(
    "--min-resolution",
    multiple=True,
    metavar="DTYPE=ERROR",
    callback=resolutions,
    help="The coarsest relative error that verifies, such as float32=1e-5.",
)
@click.option(
    "--min-pairs",
    type=click.FloatRange(0, 1),
    callback=a_number,
    default=DEFAULTS["min_pairs"],
    show_default=True,
    help="The share of the pairs of neighbouring operators that must be verified.",
)
@click.option(
    "--min-cases",
    type=click.IntRange(1),
    help="Cases that must pass.  [default: the profile's]",
)
@with_program_options
@with_help(
    cases="How many.  [default: the profile's]",
    max_time="Stop after so long, such as 60s or 2m.  [default: the profile's]",
    seed="The same seed and version give the same cases.  [default: 0; nightly draws one]",
)
@with_options
@click.pass_context
def command(ctx: click.RichContext, /, **given: Any) -> None:
    """Verify SUBJECT as a pipeline does: the same every time, against budgets.

    SUBJECT is one of `backproof check`, or `reference`.  The profile says how much is done;
    every missed budget fails the gate with a sentence.  Exit codes are those of `backproof
    run`: 0 says that everything was verified and kept its budget, 5 that too little was.
    """
    name = subject_of(given["subject"])
    found: Found = ctx.meta["backproof.configuration"]
    values = resolved(found, given["profile"])
    given = demanded(given, values, typed(ctx))
    if "seed" not in typed(ctx) and draws(found, given["profile"]):
        given["seed"] = explored(given)
    options = replace(
        read_options(given), subject=name, profile=given["profile"], budgets=budgets(given)
    )
    if not is_ours(name):
        options = options_for(name, options, given)
    session = session_of(given)
    try:
        conclude(options, given, session, lambda folder: feed(folder, options, given))
    except NoNetwork as error:
        raise UsageProblem(f"{name}: {error}.") from None


def subject_of(name: str | None) -> str:
    """The subject.  UsageProblem where there is none: a gate on nobody would always be green."""
    if not name:
        raise UsageProblem(
            "Name a subject: `backproof gate py:MODULE:OBJECT`, or subject = ... in the "
            "configuration; `reference` is Backproof's own."
        )
    first, plus, fault = name.partition("+")
    if first == "reference" and plus:
        refuse_unknown_fault("SUBJECT", fault, BY_NAME)
    return name


def demanded(given: dict[str, Any], values: Mapping[str, Value], said: set[str]) -> dict[str, Any]:
    """What is given, with the profile's part of the configuration where no option says else.

    Where somebody chose the number of cases and nobody how many must pass, half of them must.
    """
    given = dict(given)
    for key in OF_PROFILES:
        if key == "min_resolution":
            given[key] = {**values[key].value, **given[key]}
        elif key not in said:
            given[key] = values[key].value
    chosen = "cases" in said or not values["cases"].origin.startswith("profile")
    unsaid = "min_cases" not in said and values["min_cases"].origin.startswith("profile")
    if chosen and unsaid and given["cases"]:
        given["min_cases"] = min(given["min_cases"], -(-given["cases"] // 2))
    return given


def explored(given: dict[str, Any]) -> int:
    """The seed of a night: that of the run that goes on, else a new one, which is recorded."""
    if given["resume"]:
        found = resuming.earlier(Path(given["output"]))
        if found and not resuming.ended(found):
            return resuming.started(found).seed
    return secrets.randbelow(2**31)


def budgets(given: dict[str, Any]) -> Budgets:
    """What the gate demands."""
    return Budgets(
        max_inconclusive=given["max_inconclusive"],
        max_unsupported=given["max_unsupported"],
        min_resolution=given["min_resolution"],
        min_pairs=given["min_pairs"],
        min_cases=given["min_cases"],
    )


def session_of(given: dict[str, Any]) -> Session:
    """The saved cases, and the failures that are known.  UsageProblem for a file that is none."""
    try:
        known = baseline.read(given["baseline"], absent=True).known
        others = replaying.of_folder(given["replays"], known)
    except ArchitectureError as error:
        raise UsageProblem(f"{str(error).rstrip('.')}.") from None
    return Session(saved=(*replaying.of_baseline(known), *others), known=known)


def feed(folder: Path, options: Options, given: dict[str, Any]) -> None:
    """After a night, put what failed for the first time among the cases that are run again."""
    if options.profile != "nightly":
        return
    kept = set()
    try:
        stream = events.read(folder / "events.ndjson")
        known = {e.id for e in stream if isinstance(e, CaseKnown)}
        for event in stream:
            if isinstance(event, FailureSaved) and event.path and event.id not in known:
                file = failures.read(folder / event.path)
                kept.add(replaying.keep(given["replays"], file))
    except (OSError, ValueError) as error:  # a full disk: the verdict has been told
        click.echo(f"{given['replays']} cannot be written: {error}", err=True)
    if kept and not given["quiet"]:
        click.echo(f"{count(len(kept), 'failure')} kept in {given['replays']}")
