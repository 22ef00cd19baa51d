"""How large random networks may grow, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import losses as ls
from . import operators as ops


def _by_name(kinds: Sequence[Any]) -> Mapping[str, Any]:
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


OPERATOR_NAMES: Mapping[str, type[ops.Operator]] = _by_name(ops.OPERATORS)
ACTIVATION_NAMES: Mapping[str, type[ops.Operator]] = _by_name(ops.ACTIVATIONS)
LOSS_NAMES: Mapping[str, type[ls.Loss]] = _by_name(ls.LOSSES)

GATED: tuple[type[ops.Operator], ...] = (ops.GLU, ops.SwiGLU)
"""They halve the features."""


@dataclass(frozen=True)
class Limits:
    """How large networks may grow, and what they are made of (anything, where empty).

    `activations` alone asks for feed-forward networks of dense layers and these; `operators`
    for any networks whose layers are among them.  ValueError where no network fits.
    """

    max_depth: int = 4
    max_width: int = 6
    max_batch: int = 4
    activations: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        asked = {*self.operators, *self.activations}
        if asked == {"variable"}:
            raise ValueError(
                "operators must name more than variable, which is drawn only as an input of others"
            )
        if asked and not self.drawable:
            names = " and ".join(sorted(_by_name(GATED)))
            raise ValueError(f"{names} halve the features, so max_width must be at least 2")

    @property
    def feed_forward(self) -> bool:
        """Whether dense layers and activations alone are asked for."""
        return bool(self.activations) and not self.operators

    @property
    def drawable(self) -> frozenset[str]:
        """Of the operators given by name, those that are drawn for themselves in this width."""
        never = {"variable", *(_by_name(GATED) if self.max_width < 2 else ())}
        return frozenset({*self.operators, *self.activations} - never)

    @property
    def names(self) -> frozenset[str]:
        """The operators that are asked for; empty for all."""
        chosen = {*self.operators, *self.activations}
        return frozenset(chosen | {"dense"} if self.feed_forward else chosen)
