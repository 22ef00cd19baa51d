"""`backproof schema`: the JSON Schema of an architecture file, report.json or configuration."""

from __future__ import annotations

import json
import sys

import rich_click as click

from backproof.architectures import files
from backproof.errors import Command, show
from backproof.reports import json_report
from backproof.settings import schema as of_configuration


@click.command(cls=Command)
@click.option("--report", is_flag=True, help="That of report.json.")
@click.option("--config", is_flag=True, help="That of backproof.toml, or [tool.backproof].")
def command(report: bool, config: bool) -> None:
    """Print the JSON Schema of an architecture file, for `run --architecture`."""
    if report and config:
        raise click.UsageError("--report and --config are two schemas: ask for one.")
    schema = of_configuration if config else json_report.schema if report else files.schema
    sys.exit(show(lambda: click.echo(json.dumps(schema(), indent=2)), 0))
