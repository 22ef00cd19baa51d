"""`backproof schema`: the JSON Schema of an architecture file."""

from __future__ import annotations

import json
import sys

import rich_click as click

from backproof.architectures.files import schema
from backproof.errors import Command, show


@click.command(cls=Command)
def command() -> None:
    """Print the JSON Schema of an architecture file, for `run --architecture`."""
    sys.exit(show(lambda: click.echo(json.dumps(schema(), indent=2)), 0))
