"""`backproof schema`: the JSON Schema of an architecture file, or of the configuration."""

from __future__ import annotations

import json
import sys

import rich_click as click

from backproof.architectures.files import schema
from backproof.errors import Command, show
from backproof.settings import schema as schema_of_configuration


@click.command(cls=Command)
@click.option("--config", is_flag=True, help="That of backproof.toml, or [tool.backproof].")
def command(config: bool) -> None:
    """Print the JSON Schema of an architecture file, for `run --architecture`."""
    found = schema_of_configuration() if config else schema()
    sys.exit(show(lambda: click.echo(json.dumps(found, indent=2)), 0))
