"""Values that a person can reckon with, as long as a failure is still the same.

Tried in this order, for all tensors at once and then for one tensor after the other, until
one will do: whole numbers from 1 to 3 with the sign that was there, these with more of a
difference between them, one decimal, two decimals.  What was not zero stays so at first: a zero
may hide a mistake, and explains less.  On the exact lane whole numbers and quarters alone, which
are sums and products of powers of two as the lane demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backproof.architectures.cases import Case, make_case, target_name
from backproof.checkers.verdict import Verdict
from backproof.reference.arrays import Array

Shorter = Callable[[Array], Array]

LARGEST = 3
"""The largest whole number that is tried first."""


def _away_from_zero(v: Array, step: float) -> Array:
    """Rounded to multiples of a step, of which what is not zero is one at least."""
    size = np.maximum(np.round(np.abs(v) / step), np.where(v == 0, 0, 1))
    return np.sign(v) * size * step + 0.0  # never -0


def whole(v: Array) -> Array:
    """-3 to 3, by size."""
    return np.clip(_away_from_zero(v, 1.0), -LARGEST, LARGEST)


def spread(v: Array) -> Array:
    """-3 to 3, twice the value: what lies close together is told apart."""
    return np.clip(_away_from_zero(2 * v, 1.0), -LARGEST, LARGEST)


def decimals(digits: int, *, zeros: bool = False) -> Shorter:
    """Rounded to so many decimals; to zero too where `zeros`."""

    def shorter(v: Array) -> Array:
        if zeros:
            return np.round(v, digits) + 0.0
        return np.round(_away_from_zero(v, 10.0**-digits), digits)

    return shorter


def quarters(v: Array) -> Array:
    """Rounded to quarters."""
    return _away_from_zero(v, 0.25)


def tried(case: Case) -> tuple[Shorter, ...]:
    """The ways to shorten a case's values, the shortest first."""
    if case.lane == "exact":
        return whole, spread, quarters
    with_zeros = [decimals(d, zeros=True) for d in (0, 1, 2)]
    return whole, spread, decimals(1), decimals(2), *with_zeros


def shortened(
    case: Case, verdict: Verdict, fails: Callable[[Case], Verdict | None]
) -> tuple[Case, Verdict]:
    """The case with the shortest values found that still `fails`, and its verdict."""
    for shorter in tried(case):
        found = _attempt(case, verdict, shorter, tuple(_floats(case)), fails)
        if found is not None:
            case, verdict = found
            break
    for name in _floats(case):
        for shorter in tried(case):
            found = _attempt(case, verdict, shorter, (name,), fails)
            if found is not None:
                case, verdict = found
                break
    return case, verdict


def _attempt(
    case: Case,
    verdict: Verdict,
    shorter: Shorter,
    names: tuple[str, ...],
    fails: Callable[[Case], Verdict | None],
) -> tuple[Case, Verdict] | None:
    """The case with these tensors made shorter, where it still fails."""
    held = _floats(case)
    with np.errstate(all="ignore"):
        values = {name: shorter(held[name]) for name in names}
    if all(np.array_equal(values[name], held[name]) for name in names):
        return case, verdict
    try:
        candidate = with_values(case, values)
    except ValueError:
        return None  # what a tensor cannot hold: beyond the range, or not positive
    found = fails(candidate)
    return None if found is None else (candidate, found)


def _floats(case: Case) -> dict[str, Array]:
    """The values that can be rounded, by name: masks, indices and class numbers cannot."""
    values: dict[str, Array] = {} if case.input is None else {"input": case.input}
    values |= {**case.parameters, **case.data}
    values |= {target_name(site): target for site, target in case.targets.items()}
    return {name: v for name, v in values.items() if v.dtype.kind == "f"}


def with_values(case: Case, values: Mapping[str, Array]) -> Case:
    """The case with other values for some tensors.  ValueError for what a tensor cannot hold."""

    def replaced(held: Mapping[str, Array], name: Callable[[str], str] = str) -> dict[str, Any]:
        return {key: values.get(name(key), value) for key, value in held.items()}

    return make_case(
        case.architecture,
        replaced(case.parameters),
        None if case.input is None else values.get("input", case.input),
        replaced(case.targets, target_name),
        data=replaced(case.data),
        dtype=case.dtype,
        lane=case.lane,
        seed=case.seed,
    )
