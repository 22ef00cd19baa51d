"""A heat map: the entries of a tensor by their error over its bound, on a logarithmic scale.

What is wrong has a cross besides its colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..evidence import Cells

WIDTH = 420
LARGEST = 34
"""Of a cell's sides."""

LIMITS = (0.1, 1.0, 1e2, 1e4, 1e8)
CLASSES = ("up to 0.1", "up to 1", "up to 100", "up to 1e4", "up to 1e8", "more than 1e8")
"""Of error over bound: the first two are right."""

DEEP = 4
"""The first class whose colour is too deep for a dark cross."""

MOST_ROWS = 8
"""Entries in the table below."""


class Cell(NamedTuple):
    """A rectangle of a class of CLASSES."""

    x: float
    y: float
    level: int


class Entry(NamedTuple):
    """One row of the table."""

    where: str
    given: float
    accepted: float
    error: float
    bound: float


@dataclass(frozen=True)
class Heat:
    """The cells, squares of `side`, paths of crosses on the wrong ones, and the worst entries.

    `crosses` are those on light colours, `deep_crosses` those on deep ones.
    """

    tensor: str
    shape: tuple[int, ...]
    width: float
    height: float
    side: float
    cells: tuple[Cell, ...]
    crosses: str
    deep_crosses: str
    wrong: int
    total: int
    levels: tuple[tuple[int, str], ...]
    block: tuple[int, int]
    worst: tuple[Entry, ...]

    @property
    def whole(self) -> bool:
        """Whether each entry has a cell of its own."""
        return self.block == (1, 1)


def heat(c: Cells) -> Heat:
    """The map of a tensor's cells."""
    ratios = [_ratio(e, b) for e, b in zip(c.error, c.bound, strict=True)]
    side = round(min(LARGEST, WIDTH / c.columns), 1)
    cells = tuple(
        Cell(round(k % c.columns * side, 1), round(k // c.columns * side, 1), _level(ratio))
        for k, ratio in enumerate(ratios)
    )
    wrong = [cell for cell in cells if cell.level > 1]
    order = sorted(range(len(ratios)), key=lambda k: (-ratios[k], -c.error[k]))
    found = {cell.level for cell in cells}
    return Heat(
        tensor=c.tensor,
        shape=c.shape,
        width=side * c.columns,
        height=round(side * -(-len(cells) // c.columns), 1),
        side=side,
        cells=cells,
        crosses="".join(_cross(cell, side) for cell in wrong if cell.level < DEEP),
        deep_crosses="".join(_cross(cell, side) for cell in wrong if cell.level >= DEEP),
        wrong=len(wrong),
        total=len(cells),
        levels=tuple((i, words) for i, words in enumerate(CLASSES) if i in found),
        block=c.block,
        worst=tuple(
            Entry(_where(c, k), c.given[k], c.accepted[k], c.error[k], c.bound[k])
            for k in order[:MOST_ROWS]
        ),
    )


def _ratio(error: float, bound: float) -> float:
    """0 for no error at all, infinite where none was allowed or it is no number."""
    if error == 0:
        return 0.0
    ratio = error / bound if bound > 0 else math.inf
    return math.inf if math.isnan(ratio) else ratio


def _level(ratio: float) -> int:
    return sum(ratio > limit for limit in LIMITS)


def _cross(cell: Cell, side: float) -> str:
    near, far = round(side * 0.3, 1), round(side * 0.4, 1)
    x, y = round(cell.x + near, 1), round(cell.y + near, 1)
    return f"M{x:g} {y:g}l{far:g} {far:g}m{-far:g} 0l{far:g} {-far:g}"


def _where(c: Cells, cell: int) -> str:
    """The entry of a cell, or the first of its block."""
    across = c.shape[-1] if c.shape else 1
    row, column = cell // c.columns * c.block[0], cell % c.columns * c.block[1]
    index = _index(row * across + column, c.shape)
    words = f"({', '.join(map(str, index))}{',' if len(index) == 1 else ''})"
    return words if c.block == (1, 1) else f"in the block from {words}"


def _index(flat: int, shape: Sequence[int]) -> list[int]:
    index: list[int] = []
    for size in reversed(shape):
        index.insert(0, flat % size)
        flat //= size
    return index
