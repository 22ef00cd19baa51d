"""`backproof train`: gradient descent to the minimum, every gradient verified on the way."""

from __future__ import annotations

import contextlib
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from backproof import datasets, training
from backproof.checkers.verdict import worst
from backproof.errors import Command, UsageProblem, usage_problems

STATUS_CODES = {"PASS": 0, "FAIL": 1, "ERROR": 3}
INCONCLUSIVE = 5

ROWS = 8
"""Of a table of epochs; the others are left out."""

CHART = (48, 5)
"""Columns and rows of a chart, at most."""

PICTURE = "training-loss.png"

WORDS: dict[training.Regime, str] = {
    "full-batch": "all records in one step",
    "mini-batch": f"{training.MINI_BATCH} records a step",
    "online": "one record at a time",
}


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--data",
    "chosen",
    default="both",
    metavar="NAME",
    help="regression, classification or both.",
)
@click.option(
    "--regime",
    default="all",
    metavar="NAME",
    help="full-batch, mini-batch, online or all.",
)
@click.option(
    "--learning-rate", type=float, metavar="R", help="Of every step; each regime has its own."
)
@click.option("--max-epochs", type=int, metavar="N", help="At most so many passes over the data.")
@click.option(
    "--tolerance",
    default=training.TOLERANCE,
    metavar="SHARE",
    help="Stop when an epoch lowers the loss by a smaller share.",
)
@click.option(
    "--seed", default=0, type=click.IntRange(0), metavar="N", help="Of the first weights and order."
)
@click.option("--verify-every", default=1, metavar="K", help="Verify every K-th step.")
@click.option(
    "--output",
    default="reports/out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder for the picture of the losses.",
)
@click.option("--quiet", is_flag=True, help="Say the outcome only.")
@click.pass_context
def train(
    ctx: click.Context,
    chosen: str,
    regime: str,
    learning_rate: float | None,
    max_epochs: int | None,
    tolerance: float,
    seed: int,
    verify_every: int,
    output: Path,
    quiet: bool,
) -> None:
    """Train two small networks to the minimum of their error, and verify every step.

    Forward, error, backward, update, repeated: a line fitted by least squares, and three
    classes told apart.  Each step's gradients are held against the four checkers, and the
    whole way against torch.optim.SGD and optax.sgd.
    """
    names = _choose(chosen, "both", datasets.NAMES, "--data")
    regimes = _choose(regime, "all", training.REGIMES, "--regime")
    with usage_problems():
        plans = [
            training.plan(
                datasets.load(name),
                r,
                learning_rate=learning_rate,
                max_epochs=max_epochs,
                tolerance=tolerance,
                seed=seed,
                verify_every=verify_every,
            )
            for name in names
            for r in regimes
        ]
    with writing_to(output):
        output.mkdir(parents=True, exist_ok=True)

    console = Console(highlight=False, soft_wrap=True)
    runs = []
    for plan in plans:
        if not quiet and plan.regime == regimes[0]:
            write_introduction(console, plan)
        runs.append(watched(plan, quiet))
        if not quiet:
            write_run(console, runs[-1])
    picture = output / PICTURE
    with writing_to(output):
        draw_losses(runs, picture)
    write_outcome(console, runs, picture)
    ctx.exit(exit_code(runs))


def _choose(text: str, everything: str, known: Sequence[Any], option: str) -> Sequence[Any]:
    if text == everything:
        return known
    if text not in known:
        options = ", ".join([*known, everything])
        raise UsageProblem(f"{option} must be one of {options}, got {text!r}.")
    return [text]


@contextlib.contextmanager
def writing_to(output: Path) -> Iterator[None]:
    """Say in one sentence why a folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise UsageProblem(f"--output {output}: {error.strerror}.") from None


def watched(plan: training.Plan, quiet: bool) -> training.Run:
    """Train, with a bar on stderr where somebody looks."""
    err = Console(stderr=True)
    with Progress(console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        bar = progress.add_task(f"{plan.data.name}, {plan.regime}", total=plan.max_epochs)
        return training.train(plan, watch=lambda s: progress.update(bar, completed=s.epoch - 1))


def exit_code(runs: Sequence[training.Run]) -> int:
    """1 where anything is wrong, else 3 for an error of ours, 5 for what proves nothing, 0."""
    status = worst([run.status for run in runs])
    return STATUS_CODES.get(status, INCONCLUSIVE)


# --- the page ----------------------------------------------------------------------------


def _say(console: Console, text: str, indent: int = 0, hang: int = 2, style: str = "") -> None:
    width = min(console.width, 100)
    for line in textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_on_hyphens=False,
    ):
        console.print(line, style=style, markup=False)


def write_introduction(console: Console, plan: training.Plan) -> None:
    """What is trained on which data."""
    architecture = training.network_for(plan.data, len(plan.data.input))
    title = f"{plan.data.name.capitalize()}: {architecture}"
    console.print()
    _say(console, title, style="bold")
    console.print("=" * min(len(title), console.width, 100), style="dim")
    aim = (
        "A line is fitted by least squares, so the true minimum is known in closed form."
        if plan.data.name == "regression"
        else "Three classes are told apart; the loss is the mean cross-entropy."
    )
    _say(
        console,
        f"{len(plan.data.input)} records. {aim} An epoch is one pass over the data; "
        "the loss is that over all records at its end.",
        hang=0,
    )


def write_run(console: Console, run: training.Run) -> None:
    """One regime: how the loss fell, where it ended, and what was verified."""
    plan = run.plan
    rate = plan.optimiser.learning_rate
    console.print()
    heading = f"{plan.regime}: {WORDS[plan.regime]}, learning rate {rate:g}"
    _say(console, heading, style="bold")
    for epoch in thinned(len(run.losses)):
        word = "start" if epoch == 0 else f"epoch {epoch}"
        console.print(f"  {word:<10} loss {run.losses[epoch]:.6g}", markup=False)
    console.print()
    columns, rows = min(CHART[0], max(8, console.width - 14)), CHART[1]
    for line in chart(run.losses, columns, rows, _unicode(console)):
        console.print(f"  {line}", markup=False)
    console.print()
    for text, style in facts(run):
        _say(console, text, 2, 2, style)


def thinned(count: int) -> list[int]:
    """At most ROWS of the numbers 0 to count - 1, evenly, both ends among them."""
    if count <= ROWS:
        return list(range(count))
    return [round(i * (count - 1) / (ROWS - 1)) for i in range(ROWS)]


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def chart(values: Sequence[float], columns: int, rows: int, unicode: bool) -> list[str]:
    """The values as bars on a logarithmic scale, the greatest and the least named.

    `values` are positive.  Where there are more than `columns`, some are left out.
    """
    values = [v if v < math.inf else math.inf for v in values]  # NaN stands with infinity
    blocks = " ▁▂▃▄▅▆▇█" if unicode else " .:|"
    parts = len(blocks) - 1
    logs = [math.log(min(max(v, sys.float_info.min), sys.float_info.max)) for v in values]
    low, high = min(logs), max(logs)
    step = max(1.0, (len(logs) - 1) / (columns - 1))
    picked = [logs[round(i * step)] for i in range(int((len(logs) - 1) / step + 1e-9) + 1)]
    span = (high - low) or 1.0
    heights = [1 + round((v - low) / span * (rows * parts - 1)) for v in picked]
    lines = []
    for row in reversed(range(rows)):
        bars = "".join(blocks[min(max(h - row * parts, 0), parts)] for h in heights)
        value = {rows - 1: max(values), 0: min(values)}.get(row)
        label = "" if value is None else f"{value:.3g}"
        lines.append(f"{label:>9} {'│' if unicode else '|'}{bars}".rstrip())
    lines.append(f"{'':>9}  epochs 0 to {len(values) - 1}, log scale")
    return lines


def facts(run: training.Run) -> list[tuple[str, str]]:
    """What there is to say of a run: sentences, each with its style."""
    plan, epochs = run.plan, len(run.losses) - 1
    passes = f"{epochs} epoch{'s' if epochs != 1 else ''}, {len(run.steps)} steps"
    share = 1 - run.losses[-1] / run.losses[-2]
    settled = (
        "the last epoch did not lower the loss; steps of constant length on parts of the data "
        "come to hover around the minimum"
        if share < 0 and plan.regime != "full-batch"
        else f"the last epoch lowered the loss by a share below {plan.tolerance:g}"
    )
    ends = {
        "converged": settled,
        "max epochs": f"the limit; the last epoch still lowered the loss by {share:.2g} of itself",
        "diverged": "the loss is greater than before, so the learning rate is too large",
    }
    said = [(f"Stopped after {passes}: {ends[run.stopped]}.", "")]
    if plan.data.name == "regression":
        best = training.least_squares(plan.data)
        said.append((
            f"Distance to the least-squares minimum: {best.distance(run.parameters):.2g} "
            f"(loss {run.losses[-1]:.6g}, at the minimum {best.loss:.6g}).", "",
        ))  # fmt: skip
    else:
        right = training.accuracy(plan.data, run.parameters)
        said.append((f"Records classified correctly: {right:.1%}.", ""))
    said += gradient_facts(run)
    for t in run.trajectories:
        style = _style(t.status)
        if t.reason:
            said.append((f"{t.framework}: {t.status}, {t.reason}.", style))
            continue
        said.append((
            f"{t.framework}: {t.status}; its parameters and ours are at most {t.distance:.1e} "
            f"apart in {t.tensor} (step {t.step}), rounding allows {t.bound:.1e}.", style,
        ))  # fmt: skip
    return said


def gradient_facts(run: training.Run) -> list[tuple[str, str]]:
    """How many steps were verified, and the first of each kind that was not."""
    asked, passed = len(run.verdicts), run.counts.get("PASS", 0)
    resolution = f"{run.resolution:.0e}" if run.resolution else "the last bit"
    text = f"Gradients: {passed} of {asked} steps verified"
    if asked < len(run.steps):
        text += f" (one in {run.plan.verify_every} of {len(run.steps)})"
    if passed:
        text += f"; a relative error of {resolution} would have shown"
    said = [(f"{text}.", _style("PASS" if passed == asked else "FAIL"))]
    seen: set[str] = {"PASS"}
    for step in run.steps:
        if step.verdict and step.verdict.status not in seen:
            seen.add(step.verdict.status)
            v = step.verdict
            said.append((f"Step {step.number}: {v.status}, {v.reason}.", _style(v.status)))
    return said


def _style(status: str) -> str:
    return {"PASS": "green", "FAIL": "red", "ERROR": "red"}.get(status, "yellow")


def write_outcome(console: Console, runs: Sequence[training.Run], picture: Path) -> None:
    """One line a run, and the verdict on all."""
    console.print()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for header in ("data", "regime", "verified", "loss", "outcome"):
        numeric = header in ("verified", "loss")
        table.add_column(header, justify="right" if numeric else "left", no_wrap=True)
    for run in runs:
        table.add_row(
            run.plan.data.name,
            run.plan.regime,
            f"{run.counts.get('PASS', 0)}/{len(run.verdicts)}",
            f"{run.losses[-1]:.4g}",
            run.status,
            style=_style(run.status) if run.status != "PASS" else "",
        )
    console.print(table)
    console.print()
    outcome = {
        0: "Every gradient checked and every trajectory is right.",
        1: "A gradient or a trajectory is WRONG.",
        3: "The harness failed: see the steps above.",
    }
    code = exit_code(runs)
    word = outcome.get(code, "Not everything could be decided.")
    _say(console, word, style=_style({0: "PASS", 1: "FAIL", 3: "FAIL"}.get(code, "")))
    _say(console, f"The losses are drawn in {picture}.")


def draw_losses(runs: Sequence[training.Run], path: Path) -> None:
    """A PNG with one panel for each data set, one curve for each regime."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(run.plan.data.name for run in runs))
    figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for run in runs:
            if run.plan.data.name == name:
                panel.plot(run.losses, label=run.plan.regime)
        panel.set(title=name, xlabel="epoch", ylabel="loss over all records", yscale="log")
        panel.legend()
    figure.savefig(path, dpi=120)
