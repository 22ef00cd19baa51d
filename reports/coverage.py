"""What of the vocabulary a run has verified: pairs of neighbours, and the roles of operators.

A pair is an operator that makes an edge and one that takes it; its cases are those of the
networks in which it occurs, and it counts as verified where one of them passed and not all
its gradients were 0 (a verdict without a resolution: nothing had to be computed).  The roles
of an operator are the gradients that its backward pass is about: of its parameters, of its
inputs, and with respect to the cotangent that it receives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from ..architectures.architecture import Architecture, edge_name, is_weight
from ..architectures.coverage import INPUT, Pair, pairs, possible_pairs
from .events import CaseFinished


class Neighbours(msgspec.Struct, frozen=True, kw_only=True):
    """One operator: in how many passing cases each role was verified, and its neighbours.

    `before` and `after` count the operators that were verified below and above it, each of so
    many possible ones; `parameter` is None for an operator that has none.
    """

    name: str
    parameter: int | None
    input: int | None
    cotangent: int
    before: int
    possible_before: int
    after: int
    possible_after: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs that could be, that were met, and that were verified, over the run's operators.

    `unverified` names the others, `maker > taker`.
    """

    possible: int
    met: int
    verified: int
    operators: tuple[Neighbours, ...]
    unverified: tuple[str, ...]


def coverage(cases: Sequence[CaseFinished]) -> Coverage:
    """The coverage of a run's cases."""
    met: set[Pair] = set()
    verified: set[Pair] = set()
    roles: defaultdict[str, Counter[str]] = defaultdict(Counter)
    parts: dict[Architecture, tuple[frozenset[Pair], dict[str, set[str]]]] = {}
    has: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases:
        a = case.architecture
        if a not in parts:
            parts[a] = frozenset(pairs(a)), _roles(a)
        found, played = parts[a]
        met |= found
        proved = case.verdict.status == "PASS" and case.verdict.resolution is not None
        for name, own in played.items():
            has[name] |= own
            if proved:
                roles[name].update(own)
        if proved:
            verified |= found
    names = {name for pair in met for name in pair}
    possible = {p for p in possible_pairs() if set(p) <= names} | met
    rows = [
        Neighbours(
            name=name,
            parameter=roles[name]["parameter"] if "parameter" in has[name] else None,
            input=roles[name]["input"] if "input" in has[name] else None,
            cotangent=roles[name]["cotangent"],
            before=sum(taker == name for _, taker in verified),
            possible_before=sum(taker == name for _, taker in possible),
            after=sum(maker == name for maker, _ in verified),
            possible_after=sum(maker == name for maker, _ in possible),
        )
        for name in sorted(names - {INPUT})
    ]
    return Coverage(
        possible=len(possible),
        met=len(met),
        verified=len(verified),
        operators=tuple(rows),
        unverified=tuple(f"{maker} > {taker}" for maker, taker in sorted(possible - verified)),
    )


def _roles(a: Architecture) -> dict[str, set[str]]:
    """The roles that each operator of a network plays in it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for i, layer in enumerate(a.layers):
        found[layer.name].add("cotangent")
        if a.own[i]:
            found[layer.name].add("parameter")
        if a.sources[i]:
            found[layer.name].add("input")
    for loss in a.losses.values():
        found[loss.name] |= {"input", "cotangent"}
    return found


def downstream_of_parameters(a: Architecture) -> tuple[str, ...]:
    """The layers and losses that some parameter's gradient goes through; penalties on a weight."""
    reached: set[str] = set()
    found: list[str] = []
    for i, layer in enumerate(a.layers):
        if a.own[i] or not reached.isdisjoint(a.sources[i]):
            reached.add(edge_name(i + 1))
            found.append(layer.name)
    found += [
        x.name for site, x in a.losses.items() if not reached.isdisjoint(a.loss_sources[site])
    ]
    penalties = a.operators[len(a.layers) + len(a.losses) :]
    return (*found, *(penalties if any(map(is_weight, a.parameters)) else ()))
