"""`backproof config`: the configuration that holds here, and where each value came from."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import rich_click as click

from backproof import configuration
from backproof.commands.configured import with_config
from backproof.configuration import Found, Value, resolved
from backproof.errors import Command, show
from backproof.reports.text import printable
from backproof.settings import PROFILE_NAMES


@click.command(cls=Command)
@click.option(
    "--profile",
    type=click.Choice(PROFILE_NAMES),
    help="As the gate takes it with this profile.  [default: the configured one]",
)
@click.option("--run", "for_run", is_flag=True, help="As `run` and `check` take it, no profile.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_config
@click.pass_context
def command(ctx: click.Context, profile: Any, for_run: bool, as_json: bool) -> None:
    """Show every key of the configuration, its value, and where that came from.

    From the least to the most: default, the gate's profile, file, environment variable
    (BACKPROOF_ and the key in capitals), option on the command line.
    """
    found: Found = ctx.meta["backproof.configuration"]
    if for_run:
        values = resolved(found)
    else:
        profile = profile or configuration.profile_of(found)
        values = {**resolved(found, profile)}
        if values["profile"].value != profile:
            values["profile"] = Value(profile, "--profile")
        if configuration.draws(found, profile):
            values["seed"] = Value("drawn", f"profile {profile}")
    sys.exit(show(lambda: click.echo(_json(values) if as_json else _table(values)), 0))


def _json(values: dict[str, Value]) -> str:
    rows = {
        key: {"value": msgspec.to_builtins(v.value), "from": v.origin} for key, v in values.items()
    }
    return json.dumps(rows, indent=2)


def _table(values: dict[str, Value]) -> str:
    rows = [(key, _said(v.value), v.origin) for key, v in values.items() if key != "profiles"]
    keys, said = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(
        printable(f"{key:{keys}}  {text:{min(said, 40)}}  {origin}") for key, text, origin in rows
    )


def _said(value: Any) -> str:
    """A value as one would type it; `-` for what the command itself decides."""
    if value is None or value == () or value == "" or value == {}:
        return "-"
    if isinstance(value, dict):
        return ",".join(f"{k}={v:g}" for k, v in value.items())
    return ",".join(value) if isinstance(value, tuple) else str(value)
