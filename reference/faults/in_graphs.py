"""Faults of graphs: where a tensor that is used several times collects its cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...architectures.architecture import Architecture
from ..arrays import Array
from ..network import total
from .fault import Fault, Plant


def _used_twice(a: Architecture, site: str) -> bool:
    return site == "fan_out" and bool(a.named_slots)


def _instead(change: Callable[[Sequence[Array]], Array]) -> Plant:
    """The sum over several uses becomes change(bars)."""
    return lambda right: change


FAULTS: tuple[Fault, ...] = (
    Fault(
        "use_overwritten",
        "the cotangent of a tensor that is used twice overwritten (=) instead of added (+=)",
        13, 5,
        _used_twice,
        _instead(lambda bars: bars[-1] * 1),
        kind="accumulation",
        shows="where a tensor has several uses",
        hidden="where the last use alone sends something back",
    ),
    Fault(
        "first_use_only",
        "the cotangent of a tensor that is used several times taken from one of its uses alone",
        13, 2,
        _used_twice,
        _instead(lambda bars: bars[0] * 1),
        kind="accumulation",
        shows="where a tensor has several uses",
        hidden="where the first use alone sends something back",
    ),
    Fault(
        "use_averaged",
        "the cotangents of a tensor's uses averaged instead of summed",
        13, 1,
        _used_twice,
        _instead(lambda bars: total(bars) / len(bars)),
        kind="accumulation",
        shows="where a tensor has several uses",
        hidden="where what the uses send back cancels: the sum is 0",
    ),
)  # fmt: skip
