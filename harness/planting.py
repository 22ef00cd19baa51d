"""The subjects that a run knows: the reference, and the reference with a fault planted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture, is_weight
from backproof.architectures.cases import Case
from backproof.checkers.outcome import FAN_OUT, operator_at, producer
from backproof.checkers.verdict import Subject, reference_subject
from backproof.reference import network
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS, Fault, overrides, sites

BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in FAULTS}


def planted(fault: Fault, site: str | None = None) -> Subject:
    """The reference with a fault at a site, or at the first site that takes it, if any."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        a = case.architecture
        where = site if site is not None else first_site(fault, a)
        planted_at = overrides(fault, a, where) if where is not None else None
        with np.errstate(all="ignore"):
            return network.value_and_gradients(case, overrides=planted_at)

    return subject


def first_site(fault: Fault, architecture: Architecture) -> str | None:
    """The first site of a network where a fault can be planted."""
    return next((s for s in sites(architecture) if fault.applies(architecture, s)), None)


def by_name(name: str) -> Subject:
    """`reference`, or `reference+FAULT`.  KeyError for a fault that does not exist."""
    _, plus, fault = name.partition("+")
    return planted(BY_NAME[fault]) if plus else reference_subject


def is_ours(name: str) -> bool:
    """Whether a subject's name is one of those that `by_name` knows."""
    first, plus, fault = name.partition("+")
    return first == "reference" and (not plus or fault in BY_NAME)


def blamed_for(architecture: Architecture, site: str) -> str:
    """The operator that a verdict names for a fault at `site`.

    A penalty's gradient is added to the weights', and shows there.
    """
    if site == FAN_OUT:
        return FAN_OUT
    if site.startswith("penalties"):
        weight = next(
            name
            for name in architecture.tensors
            if name in architecture.parameters and is_weight(name)
        )
        return producer(architecture, weight)
    return operator_at(architecture, site)


def planted_in(fault: Fault, operator: str) -> Subject:
    """The reference with a fault wherever it can be planted in an operator of that name.

    As in an implementation whose code for the operator is wrong, whatever network it is in.
    """

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        a = case.architecture
        wrong: dict[str, Any] = {}
        for site in sites(a):
            named = site if site == FAN_OUT else operator_at(a, site)
            if named == operator and fault.applies(a, site):
                wrong |= overrides(fault, a, site)
        with np.errstate(all="ignore"):
            return network.value_and_gradients(case, overrides=wrong)

    return subject


def hiding(subject: Subject) -> Subject:
    """The subject as most give it: the gradients of the parameters and of the input alone."""

    def hidden(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = subject(case)
        given = {**case.architecture.parameters, "input": ()}
        return loss, {name: g for name, g in gradients.items() if name in given}

    return hidden


def produced(architecture: Architecture, site: str) -> tuple[str, ...]:
    """The tensors whose gradients the operator at a site produces."""
    a = architecture
    if site == FAN_OUT:
        return tuple(dict.fromkeys(slot.source for slot in a.named_slots.values()))
    if site.startswith("penalties"):
        return tuple(name for name in a.parameters if is_weight(name))
    mine = [slot for slot in a.slots if slot.site == site]
    return tuple(s.name if s.name in a.named_slots else s.source for s in mine)
