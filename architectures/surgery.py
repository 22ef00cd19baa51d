"""Networks cut out of networks: layers removed or replaced, and the rest put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .architecture import Architecture, edge_name
from .operators import RULES, Layer


def rebuilt(
    a: Architecture,
    *,
    instead: Mapping[str, str] | None = None,
    layers: Mapping[int, Layer] | None = None,
    **fields: Any,
) -> Architecture:
    """The network after a change, without whatever no loss depends on any more.

    `instead` maps an edge to an earlier one that its consumers take in its place; `layers`
    replaces layers, each of which keeps the inputs that it had as far as it takes any;
    `fields` are further fields of the architecture, names of edges being those of `a`.
    ValueError where what is left is not a network.
    """
    changed = {i: (layers or {}).get(i, layer) for i, layer in enumerate(a.layers)}
    moved = instead or {}

    def source(edge: str) -> str:
        while edge in moved:
            edge = moved[edge]
        return edge

    loss = fields.pop("loss", a.loss)
    auxiliary = fields.pop("auxiliary", a.auxiliary)
    last = (edge_name(len(a.layers)),)
    losses = [(x, tuple(source(n) for n in x.inputs or last)) for x in (loss, *auxiliary)]
    sources = {
        i: () if RULES[type(layer)].arity[1] == 0 else tuple(source(n) for n in a.sources[i])
        for i, layer in changed.items()
    }
    kept = _needed([n for _, names in losses for n in names], sources)
    numbers = {old: new for new, old in enumerate(kept)}
    names = {"input": "input"} | {edge_name(i + 1): edge_name(numbers[i] + 1) for i in kept}
    shares = _renumbered({old: changed[old].share for old in kept}, numbers)
    made = []
    for new, old in enumerate(kept):
        inputs = _inputs(sources[old], names, edge_name(new))
        made.append(msgspec.structs.replace(changed[old], inputs=inputs, share=shares[old]))
    found = []
    for x, taken in losses:
        inputs = _inputs(taken, names, edge_name(len(kept)))
        found.append(msgspec.structs.replace(x, inputs=inputs))
    used = {n for i in kept for n in sources[i]} | {n for _, taken in losses for n in taken}
    shape = fields.pop("input", a.input) if "input" in used else None
    return Architecture(
        shape, tuple(made), found[0], fields.pop("penalties", a.penalties), tuple(found[1:])
    )


def _inputs(taken: tuple[str, ...], names: Mapping[str, str], before: str) -> tuple[str, ...]:
    """What is taken, by its new names; left out where it is the edge `before`, as by default."""
    inputs = tuple(names[n] for n in taken)
    return () if inputs == (before,) else inputs


def _renumbered(shares: Mapping[int, str], numbers: Mapping[int, int]) -> dict[int, str]:
    """What the layers that are left share; `numbers` maps their old numbers to the new ones.

    Of those whose owner is gone, the first becomes the owner.
    """
    owners = dict(numbers)
    found = {}
    for old, share in shares.items():
        found[old] = ""
        if share:
            owner = int(share.split(".")[1])
            if owner in owners:
                found[old] = f"layers.{owners[owner]}"
            else:
                owners[owner] = numbers[old]
    return found


def _needed(edges: list[str], sources: Mapping[int, tuple[str, ...]]) -> list[int]:
    """The layers that these edges depend on, in order."""
    found: set[int] = set()
    todo = [n for n in edges if n != "input"]
    while todo:
        i = int(todo.pop().split(".")[1])
        if i not in found:
            found.add(i)
            todo += [n for n in sources[i] if n != "input"]
    return sorted(found)
