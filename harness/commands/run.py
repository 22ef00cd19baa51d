"""`backproof run`: verify backpropagation on random networks, or on one that is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import rich_click as click

from backproof.commands.options import read_options, with_options
from backproof.commands.session import conclude
from backproof.errors import Command, refuse_unknown_fault
from backproof.planting import BY_NAME


@click.command(cls=Command)
@with_options
@click.option(
    "--plant",
    metavar="FAULT",
    help="Verify a reference made wrong on purpose, to see what a failure looks like.",
)
def command(**given: Any) -> None:
    """Verify the hand-derived backward passes on random networks.

    Each network is checked by finite differences, complex step, JAX and PyTorch.  Exit
    codes: 0 verified, 1 a gradient is wrong, 2 interrupted, 3 error in the harness, 4 bad
    input, 5 nothing, or too little, was verified.
    """
    fault = given["plant"]
    if fault is not None:
        refuse_unknown_fault("--plant", fault, BY_NAME)
    options = read_options(given)
    if fault is not None:
        options = replace(options, subject=f"reference+{fault}")
    conclude(options, given)
