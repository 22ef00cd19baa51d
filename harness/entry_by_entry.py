"""One tensor of a failing case, entry by entry, as everybody has it.

What every checker says is asked anew, each entry of the numerical ones too where there are not
too many.  An entry is called wrong where two checkers (or the only one) differ from the subject
by more than their bounds: the rounding of the arithmetic, and the checker's own error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backproof.architectures.cases import Case
from backproof.checkers import rounding
from backproof.checkers.asking import bit_for_bit
from backproof.checkers.comparison import ALPHA, allowed_in_entries, ratio_of
from backproof.checkers.estimate import Estimate
from backproof.checkers.verdict import CHECKERS, CheckerName, estimates
from backproof.reference.arrays import Array
from backproof.reports.text import number

MOST_ROWS = 6
"""Wrong entries in the table."""

MOST_TO_ASK = 2_000
"""Entries, of all tensors together, up to which the numerical checkers say every single one."""

NAMES: Mapping[str, str] = {
    "finite_differences": "finite differences",
    "complex_step": "complex step",
    "jax": "JAX",
    "torch": "PyTorch",
}


@dataclass(frozen=True)
class Entries:
    """A tensor's gradient by everybody, entry by entry.

    `error`, `bound` and `accepted` are, at each entry, those of the checker whose error is
    largest for its bound; `wrong` says where enough of them disagree.
    """

    said: Mapping[str, Array]
    accepted: Array
    error: Array
    bound: Array
    wrong: Array


def compared(
    case: Case, tensor: str, given: Array, checkers: Sequence[CheckerName] = CHECKERS
) -> Entries:
    """Hold an array that a subject gave for a tensor against what everybody says."""
    sizes = sum(int(np.prod(shape)) for shape in case.architecture.tensors.values())
    asked, _ = estimates(case, checkers, exhaustive=sizes <= MOST_TO_ASK)
    said = {e.checker: np.asarray(_entry_of(e, tensor), float) for e in asked if _says(e, tensor)}
    errors = {name: _error(given, value) for name, value in said.items()}
    measured = rounding.measure(case, seed=case.seed, normwise=True)
    exact = bit_for_bit(case)
    own = {e.checker: np.asarray(e.bounds.get(tensor, 0.0)) for e in asked}
    floor = 0.0 if exact or measured.overflows else allowed_in_entries(measured, tensor, ALPHA)
    bounds = {name: np.broadcast_to(floor + own[name], given.shape) for name in said}
    ratios = {name: ratio_of(errors[name], bounds[name]) for name in said}
    if not said:
        nothing = np.full(given.shape, np.nan)
        return Entries({}, nothing, nothing, nothing, np.zeros(given.shape, bool))
    names = list(said)
    table = np.stack([np.nan_to_num(ratios[n], nan=np.inf) for n in names])
    first = np.argmax(table, axis=0)
    wrong = (table > 1).sum(axis=0) >= min(2, len(names))

    def pick(values: Mapping[str, Array]) -> Array:
        stacked = np.stack([values[n] for n in names])
        return np.asarray(np.take_along_axis(stacked, first[None], axis=0)[0])

    return Entries(said, pick(said), pick(errors), pick(bounds), wrong)


def _error(given: Array, value: Array) -> Array:
    """Infinite where a number is right and none was given."""
    with np.errstate(invalid="ignore"):
        error = np.abs(given - value)
    return np.where(~np.isfinite(given) & np.isfinite(value), np.inf, error)


def _says(estimate: Estimate, tensor: str) -> bool:
    return tensor in estimate.entries or tensor == "loss"


def _entry_of(estimate: Estimate, tensor: str) -> Any:
    return estimate.entries.get(tensor, estimate.loss)


def shown(entries: Entries) -> list[tuple[int, ...]]:
    """The first wrong entries, or the worst where none is wrong by itself."""
    if entries.wrong.any():
        return [tuple(int(i) for i in at) for at in np.argwhere(entries.wrong)[:MOST_ROWS]]
    ratios = ratio_of(entries.error, entries.bound)
    order = np.argsort(-ratios, axis=None, kind="stable")[:MOST_ROWS]
    return [tuple(int(i) for i in np.unravel_index(k, ratios.shape)) for k in order]


def table(given: Array, ours: Array, entries: Entries, rows: list[tuple[int, ...]]) -> str:
    """A Markdown table: entries down, those who say something across."""
    columns = {
        "subject": given,
        **{NAMES[n]: v for n, v in entries.said.items()},
        "reference": ours,
    }
    lines = [["entry", *columns, "error", "bound"]]
    for at in rows:
        values = [float(value[at]) + 0.0 for value in columns.values()]  # never -0
        digits = digits_of(values[0], float(entries.error[at]))
        cells = [f"{v:.{digits}g}" for v in values]
        lines.append(
            [str(at), *cells, number(float(entries.error[at])), number(float(entries.bound[at]))]
        )
    wide = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, wide, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (w + 1) + ":" for w in wide) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def digits_of(value: float, error: float) -> int:
    """Digits that show an error of a value, with two to spare; six at least, 17 at most."""
    if not (np.isfinite(value) and np.isfinite(error)) or value == 0 or error == 0:
        return 6
    return int(min(17, max(6, 3 - np.floor(np.log10(error / abs(value))))))
