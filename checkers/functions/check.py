"""All that is asked of one function at one point."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from ...architectures.cases import stream
from ..checks import Check
from ..comparison import Status
from ..outcome import worst
from . import manners, values
from .function import Function
from .points import UNITS, Point, unit_of
from .values import NOTHING, Allowance


class FunctionVerdict(msgspec.Struct, frozen=True):
    """What was found of one function: its checks in the order in which they were made.

    True in a condition where it is verified: every check passed.  `point` says at which inputs
    where these were drawn.
    """

    name: str
    checks: tuple[Check, ...]
    point: str = ""

    @property
    def status(self) -> Status:
        """The worst of the checks, but for failures that were declared beforehand."""
        return worst([c.status for c in self.checks if not _declared(c)] or ["INCONCLUSIVE"])

    @property
    def resolution(self) -> float | None:
        """The smallest relative error that would have been caught in every input."""
        found = [c.resolution for c in self.checks if c.resolution is not None]
        return max(found, default=None)

    def __bool__(self) -> bool:
        return self.status == "PASS"

    def __str__(self) -> str:
        """The report: what is wrong first, with its reason, then what passed."""
        bad = [c for c in self.checks if c.status != "PASS" and not _declared(c)]
        lines = [self._headline(len(bad))]
        if self.point:
            lines.append(f"  at {self.point}")
        for c in bad:
            lines += [f"  {c.status}  {c.name}: {c.detail}", f"        {c.why}"]
        lines += [f"  expected  {c.name}: {c.expected}" for c in self.checks if _declared(c)]
        for c in self.checks:
            if c.status == "PASS":
                note = f": {c.detail}" if c.detail else ""
                lines.append(f"  PASS  {c.name}{note}")
        return "\n".join(lines)

    def _headline(self, bad: int) -> str:
        if not bad:
            seen = f"; relative errors above {self.resolution:.1e} would have been caught"
            return f"{self.name} is VERIFIED{seen if self.resolution else ''}"
        word = {"FAIL": "WRONG", "INCONCLUSIVE": "NOT VERIFIED"}.get(self.status, self.status)
        return f"{self.name} is {word}: {bad} of {len(self.checks)} checks did not pass"


def _declared(c: Check) -> bool:
    """Whether it fails, and was said to."""
    return c.status == "FAIL" and bool(c.expected)


def check_function(
    function: Function, *, seed: int = 0, excuse: Allowance = NOTHING
) -> FunctionVerdict:
    """Form first; then values; then manners.  What has no form has no values to look at.

    A function that takes float64 is differentiated there, and the gradient in a coarser dtype
    of its inputs is held against that.
    """
    with np.errstate(all="ignore"):
        return FunctionVerdict(function.name, tuple(_checks(function, seed, excuse)))


def _checks(function: Function, seed: int, excuse: Allowance) -> list[Check]:
    point = Point(function, function.inputs, seed)
    checks = manners.form(point)
    if any("shape" in c.detail for c in checks):
        return checks
    if function.widens and unit_of(*point.inputs) > UNITS["float64"]:
        wide = Point(function, [x.astype(np.float64) for x in point.inputs], seed)
        checks += [*_values(wide, excuse), *values.narrow(point, wide, excuse)]
        if values.overflows(point, wide):
            return [*checks, *manners.check(wide)]
    else:
        checks += _values(point, excuse)
    return [*checks, *manners.check(point)]


BLIND = 2.0**-40
"""A relative move of an input that float64 sees, and float32 does not."""

SEEN = 2.0**-13
"""One that float32 sees too."""


def _values(point: Point, excuse: Allowance) -> list[Check]:
    """The values; where they are not verified, whether the forward pass is as fine as it says."""
    checks = values.check(point, excuse)
    if point.unit > UNITS["float64"] or all(c.status == "PASS" for c in checks):
        return checks
    blind = next((name for name, k in _by_name(point) if _is_blind(point, k)), None)
    if blind is None:
        return checks
    note = (
        f"no output changes where {blind} does by 1e-12 of itself, and by 1e-4 one does: it "
        "computes in a coarser precision than its outputs have"
    )
    return [
        c if c.status == "PASS" else msgspec.structs.replace(c, detail=f"{c.detail}; {note}")
        for c in checks
    ]


def _by_name(point: Point) -> Iterator[tuple[str, int]]:
    return ((name, k) for k, name in enumerate(point.function.input_names))


def _is_blind(point: Point, k: int) -> bool:
    """Whether the outputs see a small move of input k, and not one below float32's rounding."""
    here = point.evaluated(point.wide)

    def sees(share: float) -> bool:
        signs = stream(point.seed, "blind").choice([-1.0, 1.0], point.wide[k].shape)
        moved = list(point.wide)
        moved[k] = moved[k] * (1 + share * signs)
        return not np.array_equal(point.evaluated(moved), here, equal_nan=True)

    return sees(SEEN) and not sees(BLIND)
