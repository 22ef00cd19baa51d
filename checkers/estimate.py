"""What a checker says: gradients by tensor, in one of two forms.

A framework differentiates everything at once and says every entry.  A numerical method
says directional derivatives <g, v>, or every entry where it was asked to be exhaustive,
each with a bound on its own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..reference.arrays import Array


class Unsupported(Exception):
    """A checker cannot do this operator in this configuration; the message is the reason."""


@dataclass(frozen=True)
class Estimate:
    """One checker's gradients of one case, float64.

    `entries` maps a tensor to its whole gradient, of the tensor's shape.  `directional`
    maps a tensor to (directions (d, *shape), values (d,)).  `bounds` maps a tensor to the
    checker's bound on its own error beyond rounding, a float or an array of the shape of
    what it bounds; absent means that rounding is all (its model is `rounding.py`).
    """

    checker: str
    loss: float
    entries: Mapping[str, Array] = field(default_factory=dict)
    directional: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    bounds: Mapping[str, Array | float] = field(default_factory=dict)
