"""`backproof selftest`: does the harness find the faults that are planted in it?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.progress import Progress

from backproof.errors import ERROR, Command, UsageProblem, refuse_unknown_fault, show
from backproof.planting import BY_NAME
from backproof.reports.text import count, duration
from backproof.selftest.measuring import Plan, measure
from backproof.selftest.page import Result, write
from backproof.selftest.places import NETWORKS
from backproof.selftest.scores import Share, total


@click.command(cls=Command)
@click.option(
    "--fault", "faults", multiple=True, metavar="NAME",
    help="Plant this fault; may be given several times.  [default: all]",
)  # fmt: skip
@click.option(
    "--each", type=click.IntRange(1, 1000), default=4, show_default=True,
    help="Networks in which each fault is planted.",
)  # fmt: skip
@click.option(
    "--networks", type=click.IntRange(1, 10**6), default=NETWORKS, show_default=True,
    help="Random networks that are looked through for places, at most.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
    help="Another seed plants in other networks.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), default=min(os.cpu_count() or 1, 8),
    help="Processes that work side by side.  [default: one for each core, up to 8]",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write the whole table there, as Markdown (docs/detection.md is such a one).",
)  # fmt: skip
def command(
    faults: tuple[str, ...],
    each: int,
    networks: int,
    seed: int,
    workers: int,
    output: str | None,
) -> None:
    """Plant every fault of the catalogue in random networks, and count what is found.

    Each fault is planted wherever random networks have a place for it; the verdict must be
    FAIL, blame the right operator and tensor, and the report name the mistake.  Exit code 0
    where nothing was missed, no right code was blamed, and at least 95% of the faults were placed
    and 90% named rightly; else 3, since that is an error of Backproof's own.
    """
    for name in faults:
        refuse_unknown_fault("--fault", name, BY_NAME)
    _writeable(output)
    plan = Plan(faults, each, seed, networks, workers)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("looking for places", total=None)

        def listen(done: int, of: int) -> None:
            progress.update(bar, description="planting", completed=done, total=of)

        result = measure(plan, _recorded(plan, output), listen)
    if output is not None:
        try:
            Path(output).write_text(write(result), encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"--output: {output}: {error.strerror}.") from None
    code = ERROR if result.shortcomings else 0
    sys.exit(show(lambda: _conclude(result, output), code))


def _writeable(output: str | None) -> None:
    """Refuse, before the work is done, a file that cannot be written."""
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise UsageProblem(f"--output: there is no folder {str(Path(output).parent)!r}.")


def _recorded(plan: Plan, output: str | None) -> str:
    """The command that does this again."""
    words = ["backproof selftest", f"--each {plan.each}", f"--seed {plan.seed}"]
    words += [f"--fault {name}" for name in plan.faults]
    if plan.networks != NETWORKS:
        words.append(f"--networks {plan.networks}")
    return " ".join([*words, *([f"--output {output}"] if output else [])])


def _conclude(result: Result, output: str | None) -> None:
    words = result.shortcomings
    found = result.found
    shown = sum(len(row.shown) for row in found)
    click.echo(
        f"{'FELL SHORT' if words else 'NOTHING MISSED'}: {count(len(found), 'fault')} in "
        f"{count(sum(len(row.trials) for row in found), 'network')}, shown in {shown}, "
        f"in {duration(result.seconds)}."
    )
    click.echo()
    for what, share in (
        ("caught", total(r.caught for r in found)),
        ("located", total(r.located for r in found)),
        ("located without cotangents", total(r.hidden_located for r in found)),
        ("named", total(r.named for r in found)),
        ("named by kind", total(r.named_by_kind for r in found)),
    ):
        click.echo(f"  {what:27}{share!s:>14}  {_percent(share)}")
    if result.whole:
        good = Share(sum(t.good for t in result.whole), len(result.whole))
        click.echo(f"  {'subjects and optimisers':27}{good!s:>14}  {_percent(good)}")
    for line in words:
        click.echo(f"\n{line}")
    if output is not None:
        click.echo(f"\nWritten to {output}.")


def _percent(share: Share) -> str:
    return f"{share.rate:7.1%}" if share.of else "      -"
