"""A network as a graph, with the one edge marked whose gradient is wrong.

Every tensor with a gradient is one edge.  A tensor that is used several times is an edge to a
dot, where its uses part; their gradients, which are edges of their own, add up there.  Of the
parameters only the one in question is drawn, since all of them would hide the graph.

Of a network with many layers those around the mark are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ...architectures.architecture import Architecture, edge_name
from ...checkers.outcome import FAN_OUT, operator_at
from .layering import lay_out

MOST_LAYERS = 24
"""Layers that are drawn; a reader follows no more."""

MOST_CHARACTERS, MOST_SMALL = 34, 42
"""Of a box's first line, and of the smaller ones below it."""

CHARACTER, SMALL = 7.3, 6.1
"""Widths of a character: 12 and 10 units high, in a monospaced face."""

LINE, PADDING, MARGIN = 15.0, 6.0, 10.0

Kind = Literal["tensor", "operator", "loss", "penalty", "dot", "label", "more", "total"]


@dataclass(frozen=True)
class Node:
    """A box around (x, y), its middle; the first line is its name.

    `blamed` says that the wrong gradient is made here.
    """

    kind: Kind
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    blamed: bool = False


@dataclass(frozen=True)
class Curve:
    """An edge as a path of SVG, with the point of its arrow; `wrong` is the one that is marked."""

    path: str
    x: float
    y: float
    wrong: bool


@dataclass(frozen=True)
class Drawing:
    """What is drawn, and `words`: the same, read aloud."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Curve, ...]
    words: str


def draw(a: Architecture, tensor: str, operator: str) -> Drawing:
    """The graph of a network, whose gradient of `tensor` is wrong and is made by `operator`.

    Either may be empty, or name nothing that there is: then nothing is marked.
    """
    return _Graph(a, tensor, operator).drawing()


# --- what is drawn ------------------------------------------------------------------------


@dataclass
class _Graph:
    a: Architecture
    tensor: str
    operator: str
    nodes: dict[str, tuple[Kind, tuple[str, ...]]] = field(default_factory=dict)
    edges: dict[tuple[str, str, int], bool] = field(default_factory=dict)
    """(from, to, number) -> whether it is marked."""

    def __post_init__(self) -> None:
        slot = self.a.named_slots.get(self.tensor)
        self.source = slot.source if slot else self.tensor
        self.site = self._site()
        layers = range(len(self.a.layers))
        middle = int(self.site[7:]) if self.site.startswith("layers.") else len(layers)
        first = max(0, min(middle - MOST_LAYERS // 2, len(layers) - MOST_LAYERS))
        self.shown = layers[first : first + MOST_LAYERS]
        self._add_nodes()
        for edge in self.a.edges:
            self._add_tensor(edge, self._maker(edge))
        if self.source in self.a.parameters:
            self._add_tensor(self.source, self.source)
        if "total" in self.nodes:
            for site in self.nodes:
                if self.nodes[site][0] in ("loss", "penalty"):
                    self._connect(site, "total", wrong=False)
            self._connect("total", "value", wrong=self.tensor == "loss")

    def _site(self) -> str:
        """Where the backward function stands that makes the wrong gradient; "" for nowhere."""
        a = self.a
        if self.tensor == "loss":
            return "loss"
        named = a.named_slots.get(self.tensor)
        slots = a.slots_of(self.tensor) if named is None else (named,)
        if not slots:
            return self._named_like()
        if self.operator == FAN_OUT or operator_at(a, slots[0].site) == self.operator:
            return slots[0].site
        return self._named_like()

    def _named_like(self) -> str:
        """The first place of the operator, where the tensor does not tell."""
        sites = [f"layers.{i}" for i in range(len(self.a.layers))]
        sites += [*self.a.losses, *(f"penalties.{j}" for j in range(len(self.a.penalties)))]
        return next((s for s in sites if operator_at(self.a, s) == self.operator), "")

    def _add_nodes(self) -> None:
        a, shown = self.a, self.shown
        takers = [s.site for s in a.slots_of("input")]
        if a.input is not None and (not shown or any(self._there(s) for s in takers)):
            self.nodes["input"] = "tensor", ("input", str(a.input))
        if shown.start:
            self.nodes["below"] = "more", (f"{shown.start} earlier layers",)
        for i in shown:
            if self.source in a.own[i].values() and self.source not in self.nodes:
                own = self.source.rsplit(".", 1)[-1]
                self.nodes[self.source] = "tensor", (own, str(a.parameters[self.source]))
            shape = str(a.edges[edge_name(i + 1)])
            self.nodes[f"layers.{i}"] = "operator", (*_named(a.layers[i]), f"layers.{i}  {shape}")
        if shown.stop < len(a.layers):
            self.nodes["above"] = "more", (f"{len(a.layers) - shown.stop} later layers",)
        for site, loss in a.losses.items():
            self.nodes[site] = "loss", (*_named(loss), site)
        for j, penalty in enumerate(a.penalties):
            self.nodes[f"penalties.{j}"] = "penalty", (*_named(penalty), "of every weight")
        if len(a.losses) + len(a.penalties) > 1 or self.tensor == "loss":
            self.nodes["total"] = "total", ("sum",) if len(a.losses) > 1 or a.penalties else ("=",)
            self.nodes["value"] = "tensor", ("loss",)

    def _there(self, site: str) -> bool:
        kind, _, number = site.partition(".")
        return kind != "layers" or int(number) in self.shown

    def _place(self, site: str) -> str:
        """The node of a site, or the one that stands for it where it is not drawn."""
        if self._there(site):
            return site
        return "below" if int(site[7:]) < self.shown.start else "above"

    def _maker(self, edge: str) -> str:
        if edge == "input":
            return "input" if "input" in self.nodes else "below"
        return self._place(edge.removesuffix(".output"))

    def _add_tensor(self, name: str, source: str) -> None:
        uses = self.a.slots_of(name)
        places = {self._place(s.site) for s in uses}
        if len(uses) < 2 or not {source, *places} - {"below", "above"}:
            for place in sorted(places):
                self._connect(source, place, wrong=name == self.tensor)
            return
        dot = f"dot {name}"
        self.nodes[dot] = "dot", ()
        self._connect(source, dot, wrong=name == self.tensor)
        for slot in uses:
            marked = slot.name == self.tensor
            if self._place(slot.site) == source:  # both ends are among those not drawn
                continue
            if self._there(slot.site) or (dot, self._place(slot.site), 0) not in self.edges:
                self._connect(dot, self._place(slot.site), wrong=marked)

    def _connect(self, source: str, target: str, *, wrong: bool) -> None:
        if source == target:
            return
        number = sum((source, target) == edge[:2] for edge in self.edges)
        if number and {source, target} <= {"below", "above"}:
            return
        self.edges[source, target, number] = wrong and not any(self.edges.values())

    # --- where it is drawn ----------------------------------------------------------------

    def drawing(self) -> Drawing:
        nodes = self._in_order()
        sizes, edges = {n: _size(*nodes[n]) for n in nodes}, []
        parts: list[tuple[int, ...]] = []
        for (source, target, _), wrong in self.edges.items():
            if wrong:  # it runs through its label
                nodes["label"] = "label", (f"\u2717 {_cut(self.tensor)}",)
                sizes["label"] = _size(*nodes["label"])
                edges += [(source, "label"), ("label", target)]
                parts.append((len(edges) - 2, len(edges) - 1))
            else:
                edges.append((source, target))
                parts.append((len(edges) - 1,))
        if "label" in sizes:
            sizes = _sorted(sizes, edges)
        layout = lay_out(sizes, edges)
        curves = []
        for numbers, wrong in zip(parts, self.edges.values(), strict=True):
            routes = [layout.routes[k] for k in numbers]
            x, y = routes[-1][-1]
            path = " ".join(map(_path, routes))
            curves.append(Curve(path, round(x + MARGIN, 1), round(y + MARGIN, 1), wrong))
        return Drawing(
            round(layout.width + 2 * MARGIN, 1),
            round(layout.height + 2 * MARGIN, 1),
            tuple(self._node(n, *nodes[n], layout.places[n], sizes[n]) for n in nodes),
            tuple(curves),
            "".join(self._words()),
        )

    def _in_order(self) -> dict[str, tuple[Kind, tuple[str, ...]]]:
        """The nodes, each after all that it takes."""
        pairs = [(source, target) for source, target, _ in self.edges]
        order = _sorted(dict.fromkeys(self.nodes, (0.0, 0.0)), pairs)
        return {name: self.nodes[name] for name in order}

    def _node(
        self,
        name: str,
        kind: Kind,
        lines: tuple[str, ...],
        place: tuple[float, float],
        size: tuple[float, float],
    ) -> Node:
        summed = f"dot {self.source}"
        at_dot = self.operator == FAN_OUT and summed in self.nodes
        blamed = name == (summed if at_dot else self.site)
        x, y = place[0] + MARGIN, place[1] + MARGIN
        return Node(kind, lines, round(x, 1), round(y, 1), *size, blamed)

    def _words(self) -> Iterator[str]:
        takes: dict[str, list[str]] = {}
        for source, target, _ in self.edges:
            takes.setdefault(target, []).append(source)
        for name, (kind, lines) in self.nodes.items():
            if kind not in ("dot", "total"):
                origins = ", ".join(self._origin(n) for n in takes.get(name, ()))
                yield f"{', '.join(lines)}{f', takes {origins}' if origins else ''}. "
        if any(self.edges.values()):
            yield f"Marked as wrong: the gradient of {self.tensor}"
            yield f", which {self.operator} makes." if self.operator else "."

    def _origin(self, name: str) -> str:
        return name.removeprefix("dot ").removesuffix(".output")


# --- words and sizes ----------------------------------------------------------------------


def _named(part: Any) -> Iterator[str]:
    """The name of an operator, a loss or a penalty, and below it what is not a default."""
    name = str(part.__struct_config__.tag)
    plain = {f.name: f.default for f in msgspec.structs.fields(part)}
    words = {
        key: value
        for key, value in msgspec.structs.asdict(part).items()
        if key not in ("inputs", "share") and value != plain[key]
    }
    units = words.pop("units", None)
    yield _cut(name if units is None else f"{name} {units}")
    if getattr(part, "share", ""):
        words["share"] = part.share
    if words:
        yield _cut(", ".join(f"{key}={value}" for key, value in words.items()), MOST_SMALL)


def _cut(text: str, most: int = MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _size(kind: Kind, lines: tuple[str, ...]) -> tuple[float, float]:
    if kind == "dot":
        return 8.0, 8.0
    first, *rest = lines
    wide = max([len(first) * CHARACTER, *(len(line) * SMALL for line in rest)])
    mark = 2 * CHARACTER  # room for the sign of blame
    return round(wide + mark + 2 * PADDING, 1), LINE * len(lines) + 2 * PADDING - 2


def _sorted(
    sizes: dict[str, tuple[float, float]], edges: list[tuple[str, str]]
) -> dict[str, tuple[float, float]]:
    """Every node after those whose edges it takes, else in the order in which they are."""
    found: dict[str, tuple[float, float]] = {}
    while len(found) < len(sizes):
        ready = {
            n: size
            for n, size in sizes.items()
            if n not in found and all(a in found for a, b in edges if b == n)
        }
        assert ready, "a network has no cycle"
        found |= ready
    return found


def _path(points: tuple[tuple[float, float], ...]) -> str:
    """From rank to rank, leaving and arriving upright; straight through a rank that is crossed."""
    words = []
    for k in range(0, len(points), 2):
        (x0, y0), (x1, y1) = points[k], points[k + 1]
        x0, y0, x1, y1 = (round(v + MARGIN, 1) for v in (x0, y0, x1, y1))
        bend = round((y0 + y1) / 2, 1)
        words.append(f"{'M' if k == 0 else 'L'}{x0:g} {y0:g}")
        words.append(
            f"L{x1:g} {y1:g}" if x0 == x1 else f"C{x0:g} {bend:g} {x1:g} {bend:g} {x1:g} {y1:g}"
        )
    return "".join(words)
