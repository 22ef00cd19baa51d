"""What each implementation returns at a tie, made from the table that the checkers use."""

from __future__ import annotations

from backproof.checkers.conventions import CONVENTIONS
from backproof.commands.ops import slopes
from backproof.naming import call


def page() -> str:
    """One row for each point of each operator."""
    rows = [
        f"| `{call(c.operator)}` | {c.at} | {slopes(c.ours)} | {slopes(c.torch)} "
        f"| {slopes(c.jax)} |"
        for conventions in CONVENTIONS.values()
        for c in conventions
    ]
    head = "| operator | at | ours | PyTorch | JAX |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])
