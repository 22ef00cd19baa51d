"""The subjects that a run knows: the reference, and the reference with a fault planted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case
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


def operator_at(architecture: Architecture, site: str) -> str:
    """The operator that a verdict names for a fault at `site`.

    A penalty's gradient is added to the weights' of dense layers, and shows there.
    """
    if site == "loss":
        return architecture.loss.name
    if site.startswith("penalties"):
        return "dense"
    return architecture.layers[int(site.split(".")[1])].name
