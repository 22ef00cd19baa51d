"""A directed acyclic graph in ranks, one below the other (Sugiyama, Tagawa and Toda 1981).

1. A node's rank is the longest way to it; a source stands just above the first that takes it.
2. An edge over several ranks gets a place in each of them, so that it runs beside what it skips.
3. Within a rank the order is by the mean place of the neighbours, above and below in turn.
4. Across, each place wants the mean of its neighbours', those above and those below in turn, so
   that a chain is straight at once, and must keep its distance from the next in its rank.
   With o_i the sum of the distances before place i, x_i - o_i must not fall, and the least
   squares under that are isotonic regression: adjacent violators are pooled at their mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ORDERINGS = 6
ALIGNMENTS = 12
"""Sweeps over the ranks.  Networks are small and nearly chains: a few are enough."""

Size = tuple[float, float]
Edge = tuple[str, str]
Key = str | tuple[int, int]
"""A node by its name, or what stands for an edge (its number) in a rank that it only crosses."""


@dataclass(frozen=True)
class Layout:
    """`places` are the middles of the nodes; `routes` the points of each edge, in pairs: from
    below one rank's nodes to above the next one's."""

    width: float
    height: float
    places: dict[str, tuple[float, float]]
    routes: tuple[tuple[tuple[float, float], ...], ...]


def lay_out(
    sizes: Mapping[str, Size],
    edges: Sequence[Edge],
    *,
    apart: float = 18.0,
    between: float = 30.0,
) -> Layout:
    """Place nodes of these sizes (width, height); every edge goes to a node that comes later.

    `apart` is the room between neighbours in a rank, `between` that between ranks.
    """
    ranks = _ranks(sizes, edges)
    rows, links = _rows(sizes, edges, ranks)
    _order(rows, links)
    widths: dict[Key, float] = {
        k: sizes[k][0] if isinstance(k, str) else 0.0 for r in rows for k in r
    }
    x = _align(rows, links, widths, apart)
    left = min((x[k] - widths[k] / 2 for k in x), default=0.0)
    right = max((x[k] + widths[k] / 2 for k in x), default=0.0)
    heights = [max((sizes[k][1] for k in row if isinstance(k, str)), default=0.0) for row in rows]
    tops = [sum(heights[:r]) + between * r for r in range(len(rows))]

    def ends(key: Key, rank: int) -> tuple[float, float]:
        """The heights at which an edge enters and leaves a place."""
        middle = tops[rank] + heights[rank] / 2
        half = (sizes[key][1] if isinstance(key, str) else heights[rank]) / 2
        return middle - half, middle + half

    routes = []
    for number, (source, target) in enumerate(edges):
        crossed: list[Key] = [(number, r) for r in range(ranks[source] + 1, ranks[target])]
        way: list[Key] = [source, *crossed, target]
        points = []
        for step, (a, b) in enumerate(itertools.pairwise(way)):
            rank = ranks[source] + step
            points.append((round(x[a] - left, 1), round(ends(a, rank)[1], 1)))
            points.append((round(x[b] - left, 1), round(ends(b, rank + 1)[0], 1)))
        routes.append(tuple(points))
    places = {
        name: (round(x[name] - left, 1), round(tops[ranks[name]] + heights[ranks[name]] / 2, 1))
        for name in sizes
    }
    height = tops[-1] + heights[-1] if rows else 0.0
    return Layout(round(right - left, 1), round(height, 1), places, tuple(routes))


def _ranks(sizes: Mapping[str, Size], edges: Sequence[Edge]) -> dict[str, int]:
    rank = dict.fromkeys(sizes, 0)
    for name in sizes:
        rank[name] = max((rank[a] + 1 for a, b in edges if b == name), default=0)
    for name in reversed(list(sizes)):
        if not any(b == name for _, b in edges):
            rank[name] = min((rank[b] - 1 for a, b in edges if a == name), default=0)
    first = min(rank.values(), default=0)
    return {name: r - first for name, r in rank.items()}


Links = dict[Key, tuple[list[Key], list[Key]]]
"""The neighbours of each place in the rank above, and in the rank below."""


def _rows(
    sizes: Mapping[str, Size], edges: Sequence[Edge], ranks: Mapping[str, int]
) -> tuple[list[list[Key]], Links]:
    rows: list[list[Key]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name in sizes:
        rows[ranks[name]].append(name)
    links: Links = {name: ([], []) for name in sizes}
    for number, (source, target) in enumerate(edges):
        before: Key = source
        for r in range(ranks[source] + 1, ranks[target]):
            key = (number, r)
            rows[r].append(key)
            links[key] = ([before], [])
            links[before][1].append(key)
            before = key
        links[before][1].append(target)
        links[target][0].append(before)
    return rows, links


def _order(rows: list[list[Key]], links: Links) -> None:
    for sweep in range(ORDERINGS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            place = {k: i for line in rows for i, k in enumerate(line)}

            def wanted(key: Key, place: Mapping[Key, int] = place, side: int = side) -> float:
                near = [place[n] for n in links[key][side]]
                return sum(near) / len(near) if near else float(place[key])

            row.sort(key=wanted)


def _align(
    rows: Sequence[Sequence[Key]], links: Links, widths: Mapping[Key, float], apart: float
) -> dict[Key, float]:
    x: dict[Key, float] = {}
    offsets: dict[Key, float] = {}
    for row in rows:
        edge = 0.0
        for key in row:
            offsets[key] = edge + widths[key] / 2
            edge += widths[key] + apart
        x |= {key: offsets[key] - (edge - apart) / 2 for key in row}
    for sweep in range(ALIGNMENTS):
        side = sweep % 2
        for row in rows if side == 0 else reversed(rows):
            near = {k: links[k][side] for k in row}
            wanted = [
                (sum(x[n] for n in near[k]) / len(near[k]) if near[k] else x[k]) - offsets[k]
                for k in row
            ]
            x |= {k: value + offsets[k] for k, value in zip(row, isotonic(wanted), strict=True)}
    return x


def isotonic(values: Sequence[float]) -> list[float]:
    """The sequence that never falls and is closest to `values` in the sense of least squares."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, n = pools.pop()
            total, count = total + before, count + n
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
