"""`backproof schema`: the JSON Schema of an architecture file, or of report.json."""

from __future__ import annotations

import json
import sys

import rich_click as click

from backproof.architectures import files
from backproof.errors import Command, show
from backproof.reports import json_report


@click.command(cls=Command)
@click.option("--report", is_flag=True, help="That of report.json.")
def command(report: bool) -> None:
    """Print the JSON Schema of an architecture file, for `run --architecture`."""
    found = json_report.schema() if report else files.schema()
    sys.exit(show(lambda: click.echo(json.dumps(found, indent=2)), 0))
