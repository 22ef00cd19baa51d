"""What PyTorch, JAX and the reference return where an operator is not differentiable.

Each row is one point: an operator, the tied entries of its inputs, and the derivative of the
sum of its output with respect to each of them.  The figures are measured, and a test
measures them again with the installed versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..architectures.operators import Operator

Slopes = tuple[float, ...]


class Convention(NamedTuple):
    """At `at`, with the inputs `values` (each a row of one example), the slope of every entry."""

    operator: Operator
    at: str
    values: tuple[tuple[float, ...], ...]
    ours: Slopes
    torch: Slopes
    jax: Slopes


def _at(op: Operator, x: float, ours: float, torch: float, jax: float) -> Convention:
    return Convention(op, f"x = {x:g}", ((x,),), (ours,), (torch,), (jax,))


CONVENTIONS: Mapping[type[Operator], tuple[Convention, ...]] = {}
"""By operator; those that are differentiable everywhere are absent."""
