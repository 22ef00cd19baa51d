"""The catalogue of faults.

It measures the harness (what does it catch?), serves as negative control inside a run, and
is the dictionary that names the cause of a failure.
"""

from __future__ import annotations

from typing import Any

from ...architectures.architecture import Architecture, is_weight
from ..losses import penalties
from ..network import Overrides, total
from ..pages import LAYERS, LOSSES
from . import (
    in_activations,
    in_attention,
    in_convolutions,
    in_dense,
    in_dropout,
    in_graphs,
    in_losses,
    in_normalisation,
    in_penalties,
    in_pooling_and_shapes,
    in_products,
    in_recurrence,
    in_slopes,
    in_structured_losses,
    in_terms,
    in_units,
)
from .fault import Backward, Fault, Plant, layer_at

__all__ = ["FAULTS", "Fault", "overrides", "sites"]


def sites(architecture: Architecture) -> tuple[str, ...]:
    """Where a backward function stands: `layers.I`, `loss`, `auxiliary.J`, `penalties.J`.

    And `fan_out`, where some tensor is used several times.
    """
    return (
        *(f"layers.{i}" for i in range(len(architecture.layers))),
        *architecture.losses,
        *(("fan_out",) if architecture.named_slots else ()),
        *(f"penalties.{j}" for j in range(len(architecture.penalties))),
    )


def right_backward(architecture: Architecture, site: str) -> Backward:
    """The reference's own backward function at a site."""
    found = layer_at(architecture, site)
    if found is not None:
        return LAYERS[type(found[1])].backward
    if site in architecture.losses:
        return LOSSES[type(architecture.losses[site])].backward
    return total if site == "fan_out" else penalties.backward


def overrides(fault: Fault, architecture: Architecture, site: str) -> Overrides:
    """What to hand to `network.backward` to plant a fault.  ValueError where it does not apply."""
    if not fault.applies(architecture, site):
        raise ValueError(f"{fault.name} does not apply at {site} of {architecture}")
    return {site: fault.plant(right_backward(architecture, site))}


def _contributes(architecture: Architecture, site: str) -> bool:
    """Whether anything comes back from the site: all but a penalty without strength or weights."""
    kind, _, number = site.partition(".")
    return kind != "penalties" or (
        architecture.penalties[int(number)].strength > 0
        and any(is_weight(name) for name in architecture.parameters)
    )


def _scaled(factor: float) -> Plant:
    """Everything that comes back from a site, times a constant."""

    def plant(right: Backward) -> Backward:
        def planted(*arguments: Any) -> Any:
            return times(right(*arguments))

        return planted

    def times(bars: Any) -> Any:
        if isinstance(bars, tuple):
            return tuple(times(bar) for bar in bars)
        if isinstance(bars, dict):
            return {name: bar * factor for name, bar in bars.items()}
        return bars * factor

    return plant


FAULTS: tuple[Fault, ...] = (
    *in_dense.FAULTS,
    *in_products.FAULTS,
    *in_activations.FAULTS,
    *in_slopes.FAULTS,
    *in_units.FAULTS,
    *in_pooling_and_shapes.FAULTS,
    *in_convolutions.FAULTS,
    *in_normalisation.FAULTS,
    *in_dropout.FAULTS,
    *in_attention.FAULTS,
    *in_recurrence.FAULTS,
    *in_losses.FAULTS,
    *in_terms.FAULTS,
    *in_structured_losses.FAULTS,
    *in_penalties.FAULTS,
    *in_graphs.FAULTS,
    *(
        Fault(
            f"relative_error_1e_{exponent}",
            f"a constant relative error of 1e-{exponent}",
            None,
            1,
            _contributes,
            _scaled(1 + 10.0**-exponent),
            kind="factor",
            shows="everywhere but at a penalty without strength or weights",
            hidden="in float32, whose roundoff is greater" if exponent > 7 else "",
            like="a constant with too few digits",
        )
        for exponent in (2, 4, 6, 8, 10)
    ),
)
"""Every fault, each with a name of its own."""
