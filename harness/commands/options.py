"""The options of a run on the command line, and what they mean together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import rich_click as click

from backproof.architectures import files
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, DType
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits
from backproof.architectures.growing import exact_names
from backproof.architectures.limits import ACTIVATION_NAMES, LOSS_NAMES, OPERATOR_NAMES
from backproof.architectures.loss_strategies import EXACT_LOSSES
from backproof.architectures.named import NAMED
from backproof.campaign import default_workers
from backproof.checkers.verdict import CHECKERS
from backproof.commands.configured import typed, with_config
from backproof.errors import UsageProblem, usage_problems
from backproof.jobs import Options
from backproof.settings import seconds

OUTPUT = "reports/out"


class Duration(click.ParamType[float]):
    """Seconds: `90`, `90s`, `2m`, `1h`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        found = seconds(value)
        if found is None:
            self.fail(f"{value!r} is not a duration such as 90s, 2m or 1h", param, ctx)
        return found


def one_of(names: Iterable[str]) -> Callable[..., tuple[str, ...]]:
    """A callback that takes several names, each checked, split at commas too."""
    known = tuple(names)

    def check(ctx: Any, param: Any, values: tuple[str, ...]) -> tuple[str, ...]:
        chosen = tuple(word.strip() for value in values for word in value.split(","))
        for word in chosen:
            if word not in known:
                raise UsageProblem(
                    f"{param.opts[0]} must be one of {', '.join(known)}, got {word!r}."
                )
        return tuple(dict.fromkeys(chosen))

    return check


def a_number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """No NaN, which is in no range and yet not refused: nothing would exceed it."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number.", ctx, param)
    return value


OPTIONS = (
    click.option(
        "--cases", type=click.IntRange(1), help="How many.  [default: 800, two a network]"
    ),
    click.option("--max-time", type=Duration(), help="Stop after so long, such as 60s or 2m."),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**31 - 1),
        default=0,
        show_default=True,
        help="The same seed and version give the same cases and verdicts.",
    ),
    click.option(
        "--activation",
        multiple=True,
        metavar="NAME",
        callback=one_of(ACTIVATION_NAMES),
        help="Only dense layers and these activations; repeat it or use commas.",
    ),
    click.option(
        "--operator",
        multiple=True,
        metavar="NAME",
        callback=one_of(OPERATOR_NAMES),
        help="Only networks of these operators (`backproof ops` lists them); as above.",
    ),
    click.option(
        "--loss",
        multiple=True,
        metavar="NAME",
        callback=one_of(LOSS_NAMES),
        help="Only these losses; repeat it or use commas.",
    ),
    click.option(
        "--max-depth",
        type=click.IntRange(1, 64),
        help=f"Blocks, each an operator or two.  [default: {Limits.max_depth}]",
    ),
    click.option(
        "--max-width",
        type=click.IntRange(1, 1024),
        help=f"Features or channels of a layer.  [default: {Limits.max_width}]",
    ),
    click.option(
        "--max-batch",
        type=click.IntRange(1, 1024),
        help=f"Examples in a batch.  [default: {Limits.max_batch}]",
    ),
    click.option(
        "--dtype",
        multiple=True,
        metavar="NAME",
        callback=one_of(DTYPES),
        help="float64 or float32.  [default: both]",
    ),
    click.option(
        "--lane",
        multiple=True,
        metavar="NAME",
        callback=one_of(LANES),
        help=f"{', '.join(LANES)}.  [default: all]",
    ),
    click.option(
        "--checker",
        multiple=True,
        metavar="NAME",
        callback=one_of(CHECKERS),
        help=f"{', '.join(CHECKERS)}.  [default: all]",
    ),
    click.option(
        "--exhaustive",
        is_flag=True,
        help="Check every entry numerically, not one direction a tensor.",
    ),
    click.option(
        "--architecture",
        metavar="NAME|FILE",
        help=f"Verify one network instead of random ones: a file, or {', '.join(NAMED)}.",
    ),
    click.option(
        "--scale",
        type=click.IntRange(1, 64),
        help="Multiplies the widths of a named architecture.  [default: 1]",
    ),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    click.option(
        "--workers",
        type=click.IntRange(1, 256),
        help="Processes.  [default: one up to 40 cases, else one for each core, up to eight]",
    ),
    click.option(
        "--max-inconclusive",
        type=click.FloatRange(0, 1),
        callback=a_number,
        default=0.10,
        show_default=True,
        help="The share of undecided cases above which the exit code is 5.",
    ),
    click.option(
        "--output",
        metavar="DIR",
        default=OUTPUT,
        show_default=True,
        help="Where events and reports go.",
    ),
    click.option(
        "--resume", is_flag=True, help="Go on with the run in DIR that was interrupted, if any."
    ),
    click.option("--quiet", is_flag=True, help="No progress, and one line at the end."),
    with_config,
)
"""What `run` and `check` have in common."""


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with the options of a run, in their order."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def with_help(**helps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that has options: what some say of themselves where `run` says else."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in getattr(function, "__click_params__"):  # noqa: B009
            if option.name in helps:
                option.help, option.show_default = helps[option.name], False
        return function

    return decorate


def read_options(given: dict[str, Any]) -> Options:
    """The options of a run.  UsageProblem for what makes no sense together."""
    given = typed_first(given)
    limits, network = _networks(given)
    if given["lane"] == ("exact",):
        _check_exact(limits, network, given["dtype"] or DTYPES)
    cases = given["cases"]
    if cases is None:
        cases = 0 if given["max_time"] else (40 if network else 800)
    return Options(
        cases=cases,
        max_time=given["max_time"],
        seed=given["seed"],
        lanes=given["lane"],
        dtypes=given["dtype"] or DTYPES,
        checkers=given["checker"] or CHECKERS,
        limits=limits,
        architecture=network,
        exhaustive=given["exhaustive"],
        fail_fast=given["fail_fast"],
        workers=given["workers"] or default_workers(cases),
        max_inconclusive=given["max_inconclusive"],
    )


def typed_first(given: dict[str, Any]) -> dict[str, Any]:
    """Without what the configuration says of random networks where the command line gainsays it."""
    context = click.get_current_context(silent=True)
    if context is None:
        return given
    said = typed(context)
    out: set[str] = set()
    if "architecture" in said:
        out = {*OF_RANDOM_NETWORKS} - said
    elif len(said & {"activation", "operator"}) == 1:
        out = {"activation", "operator"} - said
    return {n: (() if isinstance(v, tuple) else None) if n in out else v for n, v in given.items()}


OF_RANDOM_NETWORKS = {
    "max_depth": "max_depth", "max_width": "max_width", "max_batch": "max_batch",
    "activation": "activations", "loss": "losses", "operator": "operators",
}  # fmt: skip
"""The options that say what random networks are like -> the field of `Limits` of each."""


def _networks(given: dict[str, Any]) -> tuple[Limits, Architecture | None]:
    """What is to be verified: random networks within limits, or the one that is given."""
    name, scale = given["architecture"], given["scale"]
    random = {option: given[option] for option in OF_RANDOM_NETWORKS if given[option]}
    if scale is not None and name not in NAMED:
        raise UsageProblem(f"--scale is for a named architecture: {', '.join(NAMED)}.")
    if name is None:
        with usage_problems():
            return Limits(**{OF_RANDOM_NETWORKS[option]: random[option] for option in random}), None
    if random:
        options = " and ".join(f"--{option.replace('_', '-')}" for option in random)
        verb = "does" if len(random) == 1 else "do"
        raise UsageProblem(f"--architecture is one network; {options} {verb} not fit.")
    return Limits(), _network(name, scale or 1)


def _network(name: str, scale: int) -> Architecture:
    """A named architecture at a scale, or one read from a file."""
    try:
        if name in NAMED:
            return NAMED[name](scale)
        if not Path(name).exists() and not {"/", "."} & set(name):
            raise UsageProblem(
                f"--architecture {name}: no such file; named ones are {', '.join(NAMED)}."
            )
        return files.read(name)
    except ValueError as error:
        raise UsageProblem(f"{error}.") from None


def _check_exact(limits: Limits, network: Architecture | None, dtypes: tuple[DType, ...]) -> None:
    if network is not None and not any(is_exact(network, dtype) for dtype in dtypes):
        raise UsageProblem(f"This network is not exact in {' or '.join(dtypes)}.")
    if limits.names and not exact_names(limits):
        what, every = "operators", Limits(operators=tuple(OPERATOR_NAMES))
        if limits.feed_forward:
            what, every = "activations", Limits(activations=tuple(ACTIVATION_NAMES))
        names = ", ".join(sorted(exact_names(every)))
        raise UsageProblem(f"The exact lane takes the {what} {names} only.")
    losses = {loss.name for loss in EXACT_LOSSES}
    if limits.losses and not losses & set(limits.losses):
        raise UsageProblem(f"The exact lane takes the losses {', '.join(sorted(losses))} only.")
