"""Claims on one call, made again: what it leaves behind, and how its arrays lie in memory."""

from __future__ import annotations

import numpy as np

from ..architectures.cases import draw_case
from ..reference.arrays import Array
from .calls import Asked, answer, arrays_of, ask, difference, over, writeable


def repeated(asked: Asked) -> str:
    first = asked.first
    found = difference(first.gradients, asked.again(first.case).gradients, first.allowed)
    return f"a second call gives another gradient: {found}" if found else ""


def interleaved(asked: Asked) -> str:
    first = asked.first
    case = first.case
    asked.again(draw_case(case.architecture, case.seed + 1, case.lane, case.dtype))
    found = difference(first.gradients, asked.again(case).gradients, first.allowed)
    return f"a call on other values in between changes it: {found}" if found else ""


def accumulated(asked: Asked) -> str | None:
    if asked.accumulate is None:
        return None
    first = asked.first
    asked.again(first.case)
    added = ask(asked.accumulate, first.case)
    twice = {n: 2 * g for n, g in first.gradients.items()}
    if found := difference(twice, added.gradients, first.allowed, times=4.0):
        return f"a call that adds to the one before does not give twice the gradient: {found}"
    found = difference(first.gradients, asked.again(first.case).gradients, first.allowed)
    return f"a call that writes still holds what was added before: {found}" if found else ""


def unchanged(asked: Asked) -> str:
    case = writeable(asked.first.case)
    answer(asked.subject, case)
    pairs = zip(arrays_of(asked.first.case), arrays_of(case), strict=True)
    changed = [n for (n, x), (_, y) in pairs if not np.array_equal(x, y, equal_nan=True)]
    return f"it wrote to {' and '.join(changed)}" if changed else ""


def strided(asked: Asked) -> str:
    first = asked.first
    _, gradients = answer(asked.subject, over(first.case, _with_gaps))
    found = difference(first.gradients, gradients, first.allowed)
    return f"another gradient than for the same numbers in one block: {found}" if found else ""


def _with_gaps(x: Array) -> Array:
    """The same numbers in Fortran's order, every other place of a larger array."""
    wide = np.zeros((2, *x.T.shape), x.dtype)
    wide = np.moveaxis(np.repeat(wide[:1], 2, axis=0), 0, -1)
    gaps = wide[..., 0].T
    gaps[...] = x
    return np.asarray(gaps)
