"""Causes by name: the fault catalogue, run forward as a dictionary.

Every fault, at every site of the network where it applies, gives gradients.  One whose
gradients equal the subject's in every tensor that the subject gives, within what rounding does
to them, is a candidate.  It becomes a name by what it says of further values of the network:

* it fits there too, and on generic ones if the case is of another lane;
* on one of them at least it is far from right, in units of what is allowed to rounding: else
  the draw confirms nothing, since right code fits it as well as wrong;
* it fits for a batch of another size, where there is one: mistakes that come to the same
  because two sizes happen to be equal part there;
* it fits roughly for much larger and much smaller values, where what saturates here does not,
  and what is cast to whole numbers is not zero.

An unknown mistake meets these by being the same function of the values, and then the name is
right.  Several that remain are ranked by how often such a mistake is made; of equals the one
whose own result is the first that is wrong.

A mistake in an operator's code is made wherever that operator stands.  Where no fault at one site
fits, each is tried at all sites of an operator at once, of one that stands at several.

One forward pass serves all: a fault changes the way back alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case
from backproof.checkers.outcome import FAN_OUT, operator_at, producer
from backproof.checkers.verdict import Subject
from backproof.diagnosis.cause import EVERY, Cause
from backproof.diagnosis.evidence import (
    CONFIRMED_ON,
    RESOLVED,
    Evidence,
    Further,
    of_another_batch,
    of_other_sizes,
)
from backproof.planting import blamed_for, produced
from backproof.reference.faults.catalogue import Fault, overrides, sites
from backproof.reference.faults.fault import Backward, layer_at
from backproof.reference.network import Overrides

Pair = tuple[Fault, str]
"""A fault, and the site that it is at or `every OPERATOR`."""


def named(
    case: Case, subject: Subject, first: Evidence, further: Further, faults: Sequence[Fault]
) -> tuple[Cause, ...]:
    """The faults that give what the subject gives, the likeliest first.

    `first` is evidence on the case, with something wrong.
    """
    a = case.architecture
    if first.wrong[0] == "loss":
        return ()
    begun = [site for site in sites(a) if _may_start(first, site)]
    possible = [
        (fault, site) for fault in faults if not fault.convention
        for site in begun if fault.applies(a, site)
    ]  # fmt: skip
    found = _that_hold(case, subject, first, further, possible)
    if not found:
        possible = _everywhere(a, possible)
        found = _that_hold(case, subject, first, further, possible)
    blamed = producer(a, first.wrong[0])
    order = {pair: k for k, pair in enumerate(possible)}

    def rank(pair: Pair) -> tuple[int, bool, int]:
        fault, site = pair
        mine = site.removeprefix(EVERY) if site.startswith(EVERY) else blamed_for(a, site)
        return -fault.weight, mine != blamed, order[pair]

    return tuple(_cause(a, pair) for pair in sorted(found, key=rank))


def _everywhere(a: Architecture, possible: Sequence[Pair]) -> list[Pair]:
    """Each fault that may have begun at a site, at all sites of an operator that has several."""
    several = {f"{EVERY}{name}" for name, count in _operators(a).items() if count > 1}
    pairs = (
        (fault, f"{EVERY}{operator_at(a, site)}") for fault, site in possible if site != FAN_OUT
    )
    return [pair for pair in dict.fromkeys(pairs) if pair[1] in several]


def _operators(a: Architecture) -> Counter[str]:
    return Counter(operator_at(a, site) for site in sites(a) if site != FAN_OUT)


def _that_hold(
    case: Case, subject: Subject, first: Evidence, further: Further, possible: Sequence[Pair]
) -> list[Pair]:
    """Those that fit everywhere they are held against, and show."""
    found = [pair for pair in possible if fits(first, pair, with_fault(first, pair))]
    found = _confirmed(found, further) if found else []
    if found and (there := of_another_batch(case, subject)) is not None:
        found = [pair for pair in found if fits(there, pair, with_fault(there, pair))]
    for there in of_other_sizes(case, subject) if found else ():
        found = [pair for pair in found if _near(there, with_fault(there, pair))]
    return found


def named_in_part(
    case: Case, subject: Subject, first: Evidence, further: Further, faults: Sequence[Fault]
) -> Cause | None:
    """A fault made in the gradient of one parameter alone, where its layer has several.

    That is how code errs that treats each of them by itself: `=` for `+=` in the bias alone.
    It is no fault of the catalogue, and is told as a shape.
    """
    a = case.architecture
    slots = a.named_slots
    sources = {slots[name].source if name in slots else name for name in first.wrong}
    if len(sources) > 1:
        return None  # more is wrong than one parameter
    keys = dict.fromkeys(
        key for own in a.own if len(own) > 1 for key, name in own.items() if name in sources
    )
    parts = [_of_one(fault, key) for fault in faults for key in keys]
    found = named(case, subject, first, further, parts)
    if not found:
        return None
    cause = found[0]
    return Cause("shape", "part", str(cause), cause.site, cause.operator)


def _of_one(fault: Fault, key: str) -> Fault:
    """The fault, of one parameter alone."""

    def applies(a: Architecture, site: str) -> bool:
        found = layer_at(a, site)
        if found is None or not fault.applies(a, site):
            return False
        own = a.own[found[0]]
        return key in own and len(own) > 1

    def plant(right: Backward) -> Backward:
        wrong = fault.plant(right)

        def planted(layer: Any, p: Any, saved: Any, y_bar: Any) -> Any:
            x_bar, p_bar = right(layer, p, saved, y_bar)
            return x_bar, {**p_bar, key: wrong(layer, p, saved, y_bar)[1][key]}

        return planted

    summary = f"{fault.summary}, of the {key} alone"
    return replace(fault, summary=summary, applies=applies, plant=plant)


def _may_start(first: Evidence, site: str) -> bool:
    """Whether what is wrong may have begun at a site: of a large network at few of them.

    The first wrong tensor is one that the site produces; or, where not all of those are given,
    none that comes before all of them on the way back.
    """
    names = list(first.case.architecture.tensors)
    wrong, mine = first.wrong[0], produced(first.case.architecture, site)
    if wrong in mine:
        return True
    if all(name in first.given for name in mine):
        return False
    return names.index(wrong) > min(map(names.index, mine))


def _cause(a: Architecture, pair: Pair) -> Cause:
    fault, site = pair
    if site.startswith(EVERY):
        return Cause("fault", fault.name, fault.summary, site, site.removeprefix(EVERY))
    operator = "" if site == FAN_OUT else operator_at(a, site)
    return Cause("fault", fault.name, fault.summary, site, operator)


def with_fault(there: Evidence, pair: Pair) -> dict[str, Any]:
    """The gradients of the reference with a fault at a site; the right ones where it does not
    apply."""
    planted = _planted(there.case.architecture, pair)
    if not planted:
        return there.right
    found = there.gradients(planted)
    return {n: None if g is None else np.asarray(g, np.float64) for n, g in found.items()}


def _planted(a: Architecture, pair: Pair) -> Overrides:
    """What plants a fault; nothing where it does not apply."""
    fault, site = pair
    where = [site]
    if site.startswith(EVERY):
        named = (s for s in sites(a) if s != FAN_OUT)
        where = [s for s in named if operator_at(a, s) == site.removeprefix(EVERY)]
    found: dict[str, Backward] = {}
    for s in where:
        if fault.applies(a, s):
            found |= overrides(fault, a, s)
    return found


def fits(there: Evidence, pair: Pair, wrong: dict[str, Any]) -> bool:
    """Whether the subject gives these gradients, and the right loss: the fault leaves it.

    Where it is near and yet not within the right gradients' rounding, the faulty reference's
    own is measured: where nothing comes back in right code, nothing is rounded.
    """
    wrong = {**wrong, "loss": there.right["loss"]}
    with np.errstate(all="ignore"):
        if all(there.same(name, wrong[name]) for name in there.names):
            return True
        if not (_near(there, wrong) and there.same("loss", wrong["loss"])):
            return False
        planted = _planted(there.case.architecture, pair)
        if not planted:
            return False
        allowed = there.allowed_with(planted)
        return allowed is not None and all(
            there.same(name, wrong[name], allowed) for name in there.names if name != "loss"
        )


def _near(there: Evidence, wrong: dict[str, Any]) -> bool:
    """Whether it gives these to half of their digits: far out, where rounding is no small noise."""
    with np.errstate(all="ignore"):
        return all(there.near(name, wrong[name]) for name in there.names if name != "loss")


def _shows(there: Evidence, wrong: dict[str, Any]) -> bool:
    """Whether a fault is told from right code here, by what the subject gives."""
    for name in there.names:
        if name == "loss":
            continue
        w, c = wrong[name], there.right[name]
        if w is None or w.shape != c.shape:
            return True
        with np.errstate(all="ignore"):
            far = np.abs(w - c) > RESOLVED * there.larger(name, w) * there.allowed[name]
            far |= np.isfinite(w) != np.isfinite(c)
        if (far & ~there.open[name] if name in there.open else far).any():
            return True
    return False


def _confirmed(found: Iterable[Pair], further: Further) -> list[Pair]:
    """Those that fit on further draws, and show on some; on a generic one, while there are any."""
    lanes: dict[Pair, list[str]] = {pair: [] for pair in found}
    for there in further:
        if all(len(shown) >= CONFIRMED_ON and "generic" in shown for shown in lanes.values()):
            break
        wrong = {pair: with_fault(there, pair) for pair in lanes}
        lanes = {
            pair: shown + [there.case.lane] * _shows(there, wrong[pair])
            for pair, shown in lanes.items()
            if fits(there, pair, wrong[pair])
        }
    return [pair for pair, shown in lanes.items() if shown]
