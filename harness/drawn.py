"""Inputs that are declared, not given: many points, drawn by Hypothesis.

Every point is of one of three kinds: `plain`, short decimals within the bounds; `tied`, small
integers with many zeros and equal values; `extreme`, entries from 1e-6 to 1e6 times the plain
ones.  What fails is reduced by Hypothesis to a point with as many zeros and ones as possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from backproof.checkers.checks import Check
from backproof.checkers.comparison import Status
from backproof.checkers.functions.check import FunctionVerdict

Kind = Literal["plain", "tied", "extreme"]
KINDS: tuple[Kind, ...] = ("plain", "tied", "extreme")

FEW = 16
"""Thousandths between the bounds below which a finer grid is drawn from."""

POINTS = 30
"""Points tried, a third of each kind."""


@dataclass(frozen=True)
class Drawn:
    """An input of this shape and dtype, its entries between `low` and `high`.

    A floating-point dtype is differentiated; an integer one is passed on, and needs bounds
    where not every index makes sense.
    """

    shape: tuple[int, ...]
    dtype: str = "float64"
    low: float = -2.0
    high: float = 2.0

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple) or not all(
            type(n) is int and n >= 0 for n in self.shape
        ):
            raise ValueError(f"shape must be a tuple of integers of at least 0, got {self.shape!r}")
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            raise ValueError(f"low and high must be finite, got {self.low} and {self.high}")
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high, got {self.low} and {self.high}")
        dtype = np.dtype(self.dtype)
        if dtype.kind not in "fiu":
            raise ValueError(f"dtype must be a real one, got {self.dtype!r}")
        if dtype.kind != "f" and np.ceil(self.low) > np.floor(self.high):
            raise ValueError(f"there is no whole number between {self.low} and {self.high}")
        info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        if self.low < float(info.min) or self.high > float(info.max):
            raise ValueError(f"{self.dtype} does not reach from {self.low} to {self.high}")

    def strategy(self, kind: Kind) -> Any:
        """A Hypothesis strategy of arrays."""
        from hypothesis import strategies as st
        from hypothesis.extra.numpy import arrays

        dtype = np.dtype(self.dtype)
        whole = st.integers(int(np.ceil(self.low)), int(np.floor(self.high)))
        if dtype.kind != "f":
            return arrays(dtype, self.shape, elements=whole)
        least, most = int(np.ceil(self.low * 1000)), int(np.floor(self.high * 1000))
        if most - least < FEW:  # a finer grid than thousandths
            step = (self.high - self.low) / FEW
            short = st.integers(0, FEW).map(lambda n: min(self.low + n * step, self.high))
        else:
            short = st.integers(least, most).map(lambda n: n / 1000)
        if kind == "plain":
            return arrays(dtype, self.shape, elements=short, fill=st.nothing())
        if kind == "tied" and np.ceil(self.low) <= np.floor(self.high):
            return arrays(dtype, self.shape, elements=whole.map(float), fill=st.nothing())
        scales = st.integers(-6, 6).map(lambda k: 10.0**k)
        wide = st.tuples(short, scales).map(
            lambda pair: min(max(pair[0] * pair[1], self.low), self.high)
        )
        return arrays(dtype, self.shape, elements=wide, fill=st.nothing())


def over_points(
    at: Callable[[Sequence[Any], int], FunctionVerdict], inputs: Sequence[Any], seed: int
) -> FunctionVerdict:
    """The verdict over many points: the smallest failure found, else what all of them say."""
    try:
        from hypothesis import HealthCheck, Phase, Verbosity, given, settings
        from hypothesis import seed as seeded
        from hypothesis import strategies as st
    except ImportError:
        raise ImportError(
            "drawn inputs need Hypothesis: python -m pip install 'backproof[hypothesis]'"
        ) from None

    def point(kind: Kind) -> Any:
        return st.tuples(
            *(x.strategy(kind) if isinstance(x, Drawn) else st.just(x) for x in inputs)
        )

    verdicts: list[FunctionVerdict] = []
    failure: list[FunctionVerdict | Exception] = []
    for kind in KINDS:
        options = settings(
            max_examples=POINTS // len(KINDS), phases=[Phase.generate, Phase.shrink],
            database=None, deadline=None, verbosity=Verbosity.quiet, report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip

        def trial(values: tuple[Any, ...], kind: Kind) -> None:
            found: FunctionVerdict | Exception
            try:
                found = at([np.array(v) if isinstance(v, np.ndarray) else v for v in values], seed)
            except Exception as error:
                found = error
            if not isinstance(found, Exception) and found.status not in ("FAIL", "ERROR"):
                verdicts.append(found)
                return
            failure[:] = [_placed(found, f"{kind} inputs {_in_words(values)}")]
            raise _Wrong

        try:
            seeded(seed)(options(given(point(kind), st.just(kind))(trial)))()
        except _Wrong:
            (last,) = failure
            if isinstance(last, Exception):
                raise last from None
            return last
    return _together(verdicts)


class _Wrong(Exception):
    """A point at which a check fails, or the function raises."""


def _placed(found: FunctionVerdict | Exception, point: str) -> FunctionVerdict | Exception:
    """The verdict with the point in it; an exception with a note."""
    if not isinstance(found, Exception):
        return msgspec.structs.replace(found, point=point)
    found.add_note(f"at {point}, or close by")
    return found


def _in_words(values: Sequence[Any]) -> str:
    return ", ".join(
        np.array2string(v, separator=", ", threshold=24, max_line_width=10**6).replace("\n", "")
        if isinstance(v, np.ndarray) else repr(v)
        for v in values
    )  # fmt: skip


def _together(verdicts: Sequence[FunctionVerdict]) -> FunctionVerdict:
    """Each check over all points; it passes where most points decided, and passed."""
    groups: defaultdict[str, list[Check]] = defaultdict(list)
    for verdict in verdicts:
        for c in verdict.checks:
            groups[c.name].append(c)
    checks = []
    for name, group in groups.items():
        passed = [c for c in group if c.status == "PASS"]
        failed = any(c.status == "FAIL" for c in group)  # as it was said to
        status: Status = "PASS" if 2 * len(passed) > len(group) else "INCONCLUSIVE"
        status = "FAIL" if failed else status
        undecided = next((c.detail for c in group if c.status != "PASS"), "")
        detail = f"at {len(passed)} of {len(group)} points"
        if undecided:
            detail += f"; elsewhere {undecided}"
        resolutions = [c.resolution for c in passed if c.resolution is not None]
        ratio = max(c.ratio for c in group)
        checks.append(
            Check(
                name,
                status,
                group[0].why,
                detail,
                ratio,
                max(resolutions, default=None),
                group[0].expected,
            )
        )
    return FunctionVerdict(verdicts[0].name, tuple(checks))
