"""The evidence of a failure, for its drawings: a tensor entry by entry, a slope step by step.

The error of a plain central difference is h^2 L'''/6 + u |L| / h: it falls with the step until
truncation meets rounding, and rises again, a V on logarithmic axes.  The steps here go far to
both sides of those that the checker tries, so that both arms are seen.  What the errors are held
against is complex step in float64, in which nothing is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.cases import Case
from backproof.checkers import complex_step, finite_differences
from backproof.checkers.asking import bit_for_bit
from backproof.checkers.comparison import ratio_of
from backproof.checkers.probe import Probe
from backproof.checkers.verdict import CheckerName, Verdict
from backproof.entry_by_entry import Entries, compared, digits_of
from backproof.reference.arrays import Array
from backproof.reports.evidence import CELLS, FEW, SIDE, Cells, Evidence, Steps

POWERS = range(6, -45, -1)
"""Of two, from the largest step that the checker tries: 64 of it, and down to where a step is
lost in rounding, 2^-44 of a scale on which the loss changes."""


Asked = tuple[Case, Verdict, Mapping[str, Any]]
"""A failing case, its verdict, and the gradients that the subject gives."""


def evidence(found: Asked, minimal: Asked, checkers: Sequence[CheckerName]) -> Evidence:
    """What there is to draw of a failure as it was found, and of the minimal one.

    Nothing is of the loss, which is one number, nor of a gradient that is missing or has another
    shape.  The steps are those of the minimal network, unless its numbers are so small that no
    step errs at all.
    """
    before, after = _compared(*found, checkers), _compared(*minimal, checkers)
    steps = after and _steps(minimal[0], minimal[1].tensor, *after)
    if before and (steps is None or not any(steps.errors)):
        seen = _steps(found[0], found[1].tensor, *before)
        steps = steps if seen is None else msgspec.structs.replace(seen, found=True)
    return Evidence(
        found=before and _cells(found[1].tensor, *before, CELLS),
        minimal=after and _cells(minimal[1].tensor, *after, FEW),
        steps=steps,
    )


def _compared(
    case: Case, verdict: Verdict, gradients: Mapping[str, Any], checkers: Sequence[CheckerName]
) -> tuple[Array, Entries] | None:
    shape = case.architecture.tensors.get(verdict.tensor)
    given = gradients.get(verdict.tensor)
    if shape is None or given is None or np.shape(given) != shape or not np.prod(shape):
        return None
    given = np.asarray(given, dtype=np.float64)
    entries = compared(case, verdict.tensor, given, checkers)
    return (given, entries) if entries.said else None


def _ratios(entries: Entries) -> Array:
    return np.asarray(np.nan_to_num(ratio_of(entries.error, entries.bound), nan=np.inf))


# --- entries ------------------------------------------------------------------------------


def _cells(tensor: str, given: Array, entries: Entries, most: int) -> Cells:
    across = given.shape[-1] if given.ndim else 1
    down = given.size // across
    wide = -(-across // SIDE)
    columns = -(-across // wide)
    tall = -(-down // min(most // columns, SIDE))
    ratios, errors = _ratios(entries).reshape(down, across), entries.error.reshape(down, across)
    chosen = [
        _worst(ratios, errors, rows, cols)
        for rows in _blocks(down, tall)
        for cols in _blocks(across, wide)
    ]
    values, error = given.reshape(-1)[chosen], entries.error.reshape(-1)[chosen]
    digits = [digits_of(float(v), float(e)) for v, e in zip(values, error, strict=True)]

    def rounded(numbers: Array, places: Sequence[int]) -> tuple[float, ...]:
        return tuple(float(f"{x:.{n}g}") for x, n in zip(numbers, places, strict=True))

    few = [3] * len(chosen)
    return Cells(
        tensor=tensor,
        shape=given.shape,
        columns=columns,
        block=(tall, wide),
        given=rounded(values, digits),
        accepted=rounded(entries.accepted.reshape(-1)[chosen], digits),
        error=rounded(error, few),
        bound=rounded(entries.bound.reshape(-1)[chosen], few),
    )


def _blocks(size: int, length: int) -> list[slice]:
    return [slice(begin, min(begin + length, size)) for begin in range(0, size, length)]


def _worst(ratios: Array, errors: Array, rows: slice, cols: slice) -> int:
    """The flat number of a block's entry with the largest error for its bound.

    Of several without a bound it is the one that is most off.
    """
    ratio, error = ratios[rows, cols], np.nan_to_num(errors[rows, cols], nan=np.inf)
    at = np.argmax(np.where(ratio == ratio.max(), error, -1.0))
    i, j = np.unravel_index(at, ratio.shape)
    return int((rows.start + i) * ratios.shape[1] + cols.start + j)


# --- steps --------------------------------------------------------------------------------


def _steps(case: Case, tensor: str, given: Array, entries: Entries) -> Steps | None:
    """Of the worst entry.

    None where all is exact with the one step 1, and where complex step, or every step, finds no
    finite slope.
    """
    if bit_for_bit(case):
        return None
    everything = slice(0, given.size)
    ratios, errors = _ratios(entries).reshape(1, -1), entries.error.reshape(1, -1)
    worst = _worst(ratios, errors, slice(0, 1), everything)
    entry = tuple(int(i) for i in np.unravel_index(worst, given.shape))
    probe = Probe(case)
    unit = np.zeros(given.shape)
    unit[entry] = 1.0
    with np.errstate(all="ignore"):
        right = float(complex_step.along(probe, tensor, unit[None])[0])
        ladder = finite_differences.ladder(probe, tensor, unit, POWERS)
        missed = np.abs(ladder.slopes - right)
    seen = np.isfinite(missed)
    if not np.isfinite(right) or not seen.any():
        return None

    def few(values: Any) -> tuple[float, ...]:
        return tuple(float(f"{x:.4g}") for x in np.atleast_1d(values))

    largest, chosen, error, bound, subject = few(
        [
            ladder.largest,
            ladder.chosen,
            abs(ladder.value - right),
            ladder.bound,
            abs(float(given[entry]) - right),
        ]
    )
    return Steps(
        tensor=tensor,
        entry=entry,
        steps=few(ladder.steps[seen]),
        errors=few(missed[seen]),
        largest=largest,
        chosen=chosen,
        error=error,
        bound=bound,
        subject=subject,
    )
