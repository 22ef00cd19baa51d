"""Where each fault is planted: random networks of the whole vocabulary, as any run draws them.

Nothing steers the networks towards a fault.  One that the generator never makes room for
within the budget is a defect of the generator, and is reported as such.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DType
from backproof.architectures.coverage import Seen
from backproof.architectures.generation import Limits, generate
from backproof.checkers.outcome import FAN_OUT, operator_at
from backproof.reference.faults.catalogue import Fault, sites

NETWORKS = 6000
"""Random networks among which places are looked for, at most."""

AT_LEAST = 400
"""Random networks that every fault is looked for in: of what they offer, different operators."""

SINGLE_EVERY = 4
"""Every fourth application is in float32."""


class Application(msgspec.Struct, frozen=True):
    """A fault to be planted at a site of a network; its values follow from the seed."""

    fault: str
    architecture: Architecture
    site: str
    seed: int
    dtype: DType


def applications(
    faults: Sequence[Fault], each: int, seed: int, networks: int = NETWORKS
) -> dict[str, list[Application]]:
    """Up to `each` applications of every fault, in different operators as far as there are."""
    found = _places(faults, each, seed, networks)
    return {
        fault.name: [
            Application(
                fault.name, a, site, seed * 2**32 + k,
                "float32" if k % SINGLE_EVERY == SINGLE_EVERY - 1 else "float64",
            )
            for k, (a, site) in enumerate(_varied(found[fault.name], each))
        ]
        for fault in faults
    }  # fmt: skip


Places = Mapping[str, list[tuple[Architecture, str]]]


def _places(faults: Sequence[Fault], each: int, seed: int, networks: int) -> Places:
    """For each fault a site in each of the first networks that have one, of its rarest kind."""
    found: dict[str, list[tuple[Architecture, str]]] = {fault.name: [] for fault in faults}
    kinds: dict[str, Counter[str]] = {fault.name: Counter() for fault in faults}
    missing = list(faults)
    seen = Seen()
    for i in range(networks):
        (a,) = generate(Limits(), "generic", "float64", seed * 2**32 + i, 1, seen)
        there = {site: kind_at(a, site) for site in sites(a)}
        for fault in missing:
            known = kinds[fault.name]
            fitting = [site for site in there if fault.applies(a, site)]
            site = min(fitting, key=lambda s: known[there[s]], default=None)
            if site is not None and known[there[site]] < each:
                found[fault.name].append((a, site))
                known[there[site]] += 1
        if i + 1 >= AT_LEAST:
            missing = [fault for fault in missing if len(found[fault.name]) < each]
        if not missing:
            break
    return found


def kind_at(a: Architecture, site: str) -> str:
    """The name of the operator, loss or penalty at a site, or `fan_out`."""
    return site if site == FAN_OUT else operator_at(a, site)


def _varied(
    places: Sequence[tuple[Architecture, str]], each: int
) -> list[tuple[Architecture, str]]:
    """So many of them, a kind of operator in its turn."""
    by_kind: defaultdict[str, list[tuple[Architecture, str]]] = defaultdict(list)
    for a, site in places:
        by_kind[kind_at(a, site)].append((a, site))
    rounds = max((len(group) for group in by_kind.values()), default=0)
    turns = [group[r] for r in range(rounds) for group in by_kind.values() if r < len(group)]
    return turns[:each]
