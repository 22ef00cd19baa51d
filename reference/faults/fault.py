"""What a fault is: a right backward function turned into one that is wrong in one way.

A site is where a backward function stands in a network: `layers.I`, `loss`, `auxiliary.J`,
`penalties.J` or, for the sum over the uses of a tensor, `fan_out`.  The functions that a
fault wraps, and returns, are

    layers      backward(layer, p, saved, y_bar)       -> (x_bar, p_bar)
    losses      backward(loss, saved, value_bar)       -> y_bar
    penalties   backward(penalty, w, branch)           -> w_bar
    fan_out     total(bars)                            -> bar
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from ...architectures.architecture import Architecture, is_weight
from ...architectures.losses import Loss
from ...architectures.operators import Operator
from ..arrays import Array, Arrays, Saved
from .survey import Kind, mimicked

Backward = Callable[..., Any]
Applies = Callable[[Architecture, str], bool]
Plant = Callable[[Backward], Backward]


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    `name` is snake_case.  `summary` completes "equals the reference with ...".  `number` is
    its row in the survey of historical gradient bugs, None for the additions to it, and
    `weight` its share there.  `applies(architecture, site)` says where it can be planted;
    `plant(backward)` wraps that site's right function.  A planted function never raises,
    writes to no argument, and keeps shapes and dtypes unless `loud`.  A `convention` is not
    wrong by itself: at ties it takes another slope than the reference, but a permitted one.

    `kind` is the kind of mistake (`survey.py`).  `shows` says where `applies` is true.  `hidden`
    says where it is and yet nothing shows, by mathematics (an equivalent mutant), with the
    reason; "" where there is no such place but the one that all faults have: a cotangent of
    zero, or a factor of zero beside it, which no backward function can make wrong but by adding
    to it.  `like` says what an addition to the survey mimics.
    """

    name: str
    summary: str
    number: int | None
    weight: int
    applies: Applies
    plant: Plant
    loud: bool = False
    convention: bool = False
    kind: Kind = field(kw_only=True)
    shows: str = field(kw_only=True)
    hidden: str = field(default="", kw_only=True)
    like: str = field(default="", kw_only=True)

    @property
    def mimics(self) -> str:
        """What happened elsewhere, of which this is one more."""
        return mimicked(self.number, self.like)


# --- where -----------------------------------------------------------------------------


def layer_at(architecture: Architecture, site: str) -> tuple[int, Operator] | None:
    """(i, the layer) for the site `layers.i`; None for another kind of site."""
    kind, _, number = site.partition(".")
    return (int(number), architecture.layers[int(number)]) if kind == "layers" else None


def layers(test: Callable[[Architecture, int, Any], bool]) -> Applies:
    """At the layers that pass test(architecture, i, layer)."""

    def applies(architecture: Architecture, site: str) -> bool:
        found = layer_at(architecture, site)
        return found is not None and test(architecture, *found)

    return applies


def layers_of(*kinds: type[Operator]) -> Applies:
    """At the layers of these kinds."""
    return layers(lambda architecture, i, layer: isinstance(layer, kinds))


def reads_the_input_alone(architecture: Architecture, i: int) -> bool:
    """Whether layer i takes the network's input, which nothing else does.

    Nobody computes with what comes back there, so it may have any shape.
    """
    return architecture.sources[i] == ("input",) and len(architecture.slots_of("input")) == 1


def loss(test: Callable[[Architecture, Any], bool]) -> Applies:
    """At the loss, where it passes test(architecture, loss)."""
    return lambda architecture, site: site == "loss" and test(architecture, architecture.loss)


def loss_of(*kinds: type[Loss]) -> Applies:
    """At a loss of these kinds."""
    return loss(lambda architecture, found: isinstance(found, kinds))


def penalty(test: Callable[[Any], bool]) -> Applies:
    """At the penalties that pass the test, in a network with weights to penalise."""

    def applies(architecture: Architecture, site: str) -> bool:
        kind, _, number = site.partition(".")
        return (
            kind == "penalties"
            and any(is_weight(name) for name in architecture.parameters)
            and test(architecture.penalties[int(number)])
        )

    return applies


# --- how -------------------------------------------------------------------------------


def instead_of_x_bar(change: Callable[..., Any]) -> Plant:
    """x_bar becomes change(right, layer, p, saved, y_bar); the parameters' gradients stay."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
            _, p_bar = right(layer, p, saved, y_bar)
            return change(right, layer, p, saved, y_bar), p_bar

        return planted

    return plant


def instead_of_p_bar(change: Callable[..., Arrays]) -> Plant:
    """p_bar becomes p_bar | change(p_bar, layer, p, saved, y_bar); x_bar stays."""

    def plant(right: Backward) -> Backward:
        def planted(layer: Any, p: Arrays, saved: Saved, y_bar: Array) -> Any:
            x_bar, p_bar = right(layer, p, saved, y_bar)
            return x_bar, p_bar | change(p_bar, layer, p, saved, y_bar)

        return planted

    return plant


def as_if(**attributes: Any) -> Plant:
    """x_bar as if the layer had other attributes."""
    return instead_of_x_bar(
        lambda right, layer, p, saved, y_bar: right(replace(layer, **attributes), p, saved, y_bar)[
            0
        ]
    )


def last_only(array: Array, axis: int) -> Array:
    """The array with all but the last index along `axis` (from the end, as -1) set to zero."""
    n = array.shape[axis]
    last = np.arange(n) == n - 1
    return np.where(last.reshape(-1, *(1,) * (-axis - 1)), array, 0.0)


def in_half(array: Array) -> Array:
    """Rounded to float16, whose largest number stands for all beyond, and back to its dtype."""
    largest = float(np.finfo(np.float16).max)
    held = np.minimum(np.maximum(array, -largest), largest)
    return held.astype(np.float16).astype(array.dtype)
