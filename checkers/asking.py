"""Asking the checkers: directions to differentiate along, and one estimate from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from ..architectures.cases import Case, stream
from ..architectures.exactness import is_exact
from ..reference.arrays import Array
from . import complex_step, finite_differences
from .estimate import Estimate, Unsupported
from .outcome import CheckerVerdict
from .rounding import Rounding

CheckerName = Literal["finite_differences", "complex_step", "jax", "torch"]
CHECKERS: tuple[CheckerName, ...] = get_args(CheckerName)


@dataclass(frozen=True)
class Sources:
    """The subject's and the checkers' estimates of one case, and the rounding they share.

    `skipped` are the checkers that could not say.
    """

    subject: Estimate
    checkers: tuple[Estimate, ...]
    skipped: tuple[CheckerVerdict, ...]
    rounding: Rounding


def directions(case: Case, seed: int) -> dict[str, Array]:
    """One Gaussian direction for each tensor, of shape (1, *shape)."""
    return {
        name: stream(seed, f"direction/{name}").standard_normal((1, *shape))
        for name, shape in case.architecture.tensors.items()
    }


def estimates(
    case: Case,
    checkers: Sequence[CheckerName],
    *,
    exhaustive: bool = False,
    seed: int | None = None,
    shrink: float = 1.0,
) -> tuple[tuple[Estimate, ...], tuple[CheckerVerdict, ...]]:
    """Ask the checkers; those that cannot say, or break, are returned with the reason."""
    along = directions(case, case.seed if seed is None else seed)
    exact = bit_for_bit(case)
    found: list[Estimate] = []
    skipped: list[CheckerVerdict] = []
    for name in checkers:
        try:
            found.append(_estimate(name, case, along, exact, exhaustive, shrink))
        except Unsupported as reason:
            skipped.append(CheckerVerdict(name, "UNSUPPORTED", reason=str(reason)))
        except Exception as error:  # whatever a checker raises is that checker's ERROR
            text = f"{type(error).__name__}: {error}"
            skipped.append(CheckerVerdict(name, "ERROR", reason=text))
    return tuple(found), tuple(skipped)


def _estimate(
    name: CheckerName,
    case: Case,
    along: Mapping[str, Array],
    exact: bool,
    exhaustive: bool,
    shrink: float,
) -> Estimate:
    match name:
        case "finite_differences" if exact:
            return finite_differences.exact(case)
        case "finite_differences":
            return finite_differences.estimate(case, along, exhaustive=exhaustive, shrink=shrink)
        case "complex_step":
            return complex_step.estimate(case, along, exhaustive=exhaustive or exact)
        case "jax":
            from . import with_jax

            return _with_loss(with_jax.estimate(case))
        case "torch":
            from . import with_torch

            return _with_loss(with_torch.estimate(case))


def _with_loss(estimate: Estimate) -> Estimate:
    """A framework has its own forward, so its loss is compared as well."""
    return replace(estimate, entries={**estimate.entries, "loss": np.asarray(estimate.loss)})


def bit_for_bit(case: Case) -> bool:
    """Whether every intermediate of this case is exact, so that no allowance is needed."""
    return case.lane == "exact" and is_exact(case.architecture, case.dtype)
