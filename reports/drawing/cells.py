"""A heat map: the entries of a tensor by their error over its bound, on a logarithmic scale.

What is wrong has a cross besides its colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..evidence import Cells

WIDTH, HEIGHT = 420, 260
LARGEST = 34
"""Of a cell's sides."""

RIGHT = (0.1, 1.0)
"""Error over bound of the classes 0 and 1, which are right, at most."""

WORST, ENDLESS = 5, 6
"""The class of the worst error that has a finite bound, and of what has none or is not finite."""

MOST_CLASSES = 4
"""Of wrong entries, each of so many decades; the deepest colour is always that of the worst."""

DEEP = 4
"""The first class whose colour wants a cross of the other kind."""

MOST_ROWS = 8
"""Entries in the table below."""


class Cell(NamedTuple):
    """The corner of a square, and the class of its colour."""

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
    """The cells, squares of `side`, crosses on the wrong ones, and the worst entries.

    `levels` are the classes that occur, each with its words and the path of its squares;
    `crosses` are paths of those below DEEP, and from there on.
    """

    tensor: str
    shape: tuple[int, ...]
    width: float
    height: float
    side: float
    cells: tuple[Cell, ...]
    crosses: tuple[str, str]
    wrong: int
    total: int
    levels: tuple[tuple[int, str, str], ...]
    block: tuple[int, int]
    worst: tuple[Entry, ...]

    @property
    def whole(self) -> bool:
        """Whether each entry has a cell of its own."""
        return self.block == (1, 1)


def heat(c: Cells) -> Heat:
    """The map of a tensor's cells."""
    ratios = [_ratio(e, b) for e, b in zip(c.error, c.bound, strict=True)]
    rows = -(-len(ratios) // c.columns)
    side = round(min(LARGEST, WIDTH / c.columns, HEIGHT / rows), 1)
    high, step = _decades(ratios)
    cells = tuple(
        Cell(
            round(k % c.columns * side, 1),
            round(k // c.columns * side, 1),
            _level(ratio, high, step),
        )
        for k, ratio in enumerate(ratios)
    )
    wrong = [cell for cell, ratio in zip(cells, ratios, strict=True) if ratio > 1]
    order = sorted(range(len(ratios)), key=lambda k: (-ratios[k], -c.error[k]))
    found = {cell.level for cell in cells}
    return Heat(
        tensor=c.tensor,
        shape=c.shape,
        width=side * c.columns,
        height=round(side * rows, 1),
        side=side,
        cells=cells,
        crosses=(
            "".join(_cross(cell, side) for cell in wrong if cell.level < DEEP),
            "".join(_cross(cell, side) for cell in wrong if cell.level >= DEEP),
        ),
        wrong=len(wrong),
        total=len(cells),
        levels=tuple(
            (level, _words(level, high, step), _squares(cells, level, side))
            for level in sorted(found)
        ),
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


def _decades(ratios: Sequence[float]) -> tuple[int, int]:
    """The power of ten at which class WORST ends, and of how many decades each class is."""
    shown = [math.log10(r) for r in ratios if 1 < r < math.inf] or [0.0]
    low, high = math.floor(min(shown)), math.floor(max(shown)) + 1
    return high, -(-(high - low) // MOST_CLASSES)


def _level(ratio: float, high: int, step: int) -> int:
    if ratio <= RIGHT[1]:
        return int(ratio > RIGHT[0])
    if ratio == math.inf:
        return ENDLESS
    return WORST + 1 + math.floor((math.log10(ratio) - high) / step)


def _words(level: int, high: int, step: int) -> str:
    if level < len(RIGHT):
        return f"up to {RIGHT[level]:g}"
    if level == ENDLESS:
        return "no bound, or not finite"
    end = high - (WORST - level) * step
    return f"1e{max(end - step, 0)} to 1e{end}"


def _squares(cells: Sequence[Cell], level: int, side: float) -> str:
    return "".join(
        f"M{c.x:g} {c.y:g}h{side:g}v{side:g}h{-side:g}z" for c in cells if c.level == level
    )


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
