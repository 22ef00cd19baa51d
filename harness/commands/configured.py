"""The option `--config` of a command, and what the configuration says as its defaults."""

from __future__ import annotations

import rich_click as click

from backproof import configuration

OPTION_OF: dict[str, str] = {
    "lanes": "lane", "dtypes": "dtype", "checkers": "checker", "operators": "operator",
    "activations": "activation", "losses": "loss",
}  # fmt: skip
"""The keys of the configuration whose option has another name: it stands there for one of them."""

NOT_OPTIONS = ("profiles", "min_resolution")
"""Tables, which no option takes as they are."""


def configure(ctx: click.Context, param: click.Parameter, file: str | None) -> None:
    """Have the configuration say what is a default for this command; options go before it."""
    found = configuration.load(file)
    ctx.meta["backproof.configuration"] = found
    ctx.default_map = {
        OPTION_OF.get(key, key): list(v.value) if isinstance(v.value, tuple) else v.value
        for key, v in found.given.items()
        if key not in NOT_OPTIONS
    }


def typed(ctx: click.Context) -> set[str]:
    """The parameters that the command line itself gives."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {n for n, source in sources.items() if source and source.name == "COMMANDLINE"}


with_config = click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=configure,
    help="The configuration.  [default: the nearest backproof.toml or pyproject.toml]",
)
"""Of every command in which the configuration has a say; see docs/gate.md."""
