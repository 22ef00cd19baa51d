"""What a strategy is told: who chooses among its options, and how large things may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Choose = Callable[[Sequence[Any]], Any]
"""Picks one of several options, the first being the simplest."""

MOST_ENTRIES = 512
"""Of a tensor on the way."""

EXACT_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Drawing:
    """What a strategy is told: who chooses, the widest feature axis, whether exact."""

    choose: Choose
    width: int
    exact: bool = False

    def units(self) -> int:
        """A number of features or channels."""
        return int(self.choose(range(1, self.width + 1)))

    def flag(self) -> bool:
        return bool(self.choose((False, True)))

    def lengths(self, count: int, most: int, least: int = 1) -> tuple[int, ...]:
        """Lengths of so many sequences; () for the whole of each.

        However many there are, it takes two choices, so that a batch can shrink by itself.
        """
        span = most - least + 1
        if not self.flag() or span < 2:
            return ()
        step = int(self.choose(range(1, span)))
        return tuple(most - (n * step + step - 1) % span for n in range(count))
