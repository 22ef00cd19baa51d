"""`backproof schema`: the JSON Schemas of what is read and of what is written."""

from __future__ import annotations

import json
import sys

import rich_click as click

from backproof.architectures import files
from backproof.errors import Command, show
from backproof.reports import json_report
from backproof.settings import schema as of_configuration


@click.command(cls=Command)
@click.option("--report", "of", flag_value="report", help="That of report.json.")
@click.option("--comparison", "of", flag_value="comparison", help="That of comparison.json.")
@click.option(
    "--config", "of", flag_value="config", help="That of backproof.toml, or [tool.backproof]."
)
def command(of: str | None) -> None:
    """Print the JSON Schema of an architecture file, for `run --architecture`."""
    schema = {
        None: files.schema,
        "report": json_report.schema,
        "comparison": json_report.schema_of_comparison,
        "config": of_configuration,
    }[of]
    sys.exit(show(lambda: click.echo(json.dumps(schema(), indent=2)), 0))
