"""Faults of graphs: where a tensor that is used several times collects its cotangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...architectures.architecture import Architecture
from ..arrays import Array
from .fault import Backward, Fault


def _used_twice(a: Architecture, site: str) -> bool:
    return site == "fan_out"


def _instead(change: Any) -> Any:
    """The sum over several uses becomes change(bars); a single use stays as it is."""

    def plant(right: Backward) -> Backward:
        def planted(bars: Sequence[Array]) -> Array:
            found: Array = change(bars) if len(bars) > 1 else right(bars)
            return found

        return planted

    return plant


FAULTS: tuple[Fault, ...] = (
    Fault(
        "use_overwritten",
        "the cotangent of a tensor that is used twice overwritten (=) instead of added (+=)",
        13, 5,
        _used_twice,
        _instead(lambda bars: bars[-1] * 1),
    ),
    Fault(
        "first_use_only",
        "the cotangent of a tensor that is used twice taken from its last consumer alone",
        13, 2,
        _used_twice,
        _instead(lambda bars: bars[0] * 1),
    ),
    Fault(
        "use_averaged",
        "the cotangents of a tensor's uses averaged instead of summed",
        13, 1,
        _used_twice,
        _instead(lambda bars: sum(bars) / len(bars)),
    ),
)  # fmt: skip
