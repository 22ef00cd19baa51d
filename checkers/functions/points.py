"""One function at one point: its outputs and gradients as plain float64 arrays.

`rounding` is the error that its own arithmetic may put into a gradient.  A backward stable
pass gives the exact gradient of inputs and cotangents that are off by a rounding or so; so the
spread of the gradient over such perturbed inputs measures it (Higham 2002, section 1.5).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.special

from ...architectures.cases import stream
from ...reference.arrays import Array
from ..comparison import ALPHA
from .function import Function, Layout, Linearised
from .slopes import least_of, scale_of

REPLICAS = 32
STUDENT = float(scipy.special.stdtrit(REPLICAS, 1 - ALPHA / 2))
"""Student's t for a share ALPHA of false alarms, from the spread of so many replicas."""

ROUNDINGS = 2
"""Unit roundoffs of the gradient itself, for the operations at its own end."""

UNITS = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

UNDERFLOWS = 8.0
"""Smallest numbers that may be lost on the way to a gradient."""

SUMS = 16.0
"""Roundings of sums in another order: the square root of a few hundred terms."""

WHOLE = 64
"""Up to so many outputs each is asked about by itself; of more, so many Gaussian mixtures."""

MIXTURES = 16

OFF = 2.0**-9
"""Of an input's entries: how far a point close by is that is on no kink of this one."""


def unit_of(*arrays: Array) -> float:
    """The coarsest unit roundoff among the arrays' dtypes."""
    return max((UNITS[str(a.dtype)] for a in arrays), default=UNITS["float64"])


def flat(arrays: Sequence[Array]) -> Array:
    """All entries in one vector, float64."""
    parts = [np.asarray(a, dtype=np.float64).reshape(-1) for a in arrays]
    return np.concatenate(parts) if parts else np.empty(0)


class Point:
    """A function, at inputs of its own shapes and dtypes.

    Cotangents go in, and gradients come out, as one flat vector over all outputs or inputs.
    """

    def __init__(self, function: Function, inputs: Sequence[Array], seed: int) -> None:
        self.function, self.inputs, self.seed = function, tuple(inputs), seed
        self.lin: Linearised = function.linearise(self.inputs)
        self.outputs = tuple(self.lin.outputs)
        self.size = sum(y.size for y in self.outputs)
        self.ends = np.cumsum([0, *(x.size for x in self.inputs)])

    # --- backward ----------------------------------------------------------------------

    def cotangents(self, flat_bar: Array) -> list[Array]:
        """A flat cotangent as one array an output, of its shape and dtype."""
        parts = np.split(flat_bar, np.cumsum([y.size for y in self.outputs])[:-1])
        return [
            p.reshape(y.shape).astype(y.dtype) for p, y in zip(parts, self.outputs, strict=True)
        ]

    def pull(
        self, flat_bar: Array, layout: Layout = "plain", lin: Linearised | None = None
    ) -> list[Array | None]:
        """The gradients as they come."""
        return list((lin or self.lin).pull(self.cotangents(flat_bar), layout))

    def gradient(self, flat_bar: Array, lin: Linearised | None = None) -> Array:
        """The gradient of all inputs as one vector; 0 where none came."""
        return self.vector(self.pull(flat_bar, lin=lin))

    def vector(self, gradients: Sequence[Array | None]) -> Array:
        """Gradients of the right shapes as one vector; 0 for None."""
        parts = zip(gradients, self.inputs, strict=True)
        return flat([np.zeros(x.shape) if g is None else g for g, x in parts])

    @cached_property
    def directions(self) -> Array:
        """The cotangents to ask about; (c, size)."""
        if self.size <= WHOLE:
            return np.eye(self.size)
        return stream(self.seed, "cotangents").standard_normal((MIXTURES, self.size))

    @cached_property
    def mixture(self) -> Array:
        """One Gaussian cotangent, signed, over all outputs, short enough to read."""
        drawn = stream(self.seed, "mixture").standard_normal(self.size)
        return np.round(drawn * 8) / 8 + np.where(drawn < 0, -1, 1) / 16

    def against(self, bar: Array) -> Point:
        """The same point, asked about another cotangent than the mixture."""
        other = Point(self.function, self.inputs, self.seed)
        vars(other)["mixture"] = bar
        return other

    @cached_property
    def rounding(self) -> Array:
        """What its own arithmetic may do to the gradient for `mixture`, entry by entry.

        Measured a little off the point, where a rounding of an input does not change sides
        of a kink.
        """
        rng = stream(self.seed, "rounding")
        here = self.moved(OFF, "off")
        base = here.gradient(self.mixture)
        squares: Any = 0.0
        with np.errstate(all="ignore"):
            for _ in range(REPLICAS):
                inputs = [_rounded(x, rng) for x in here.inputs]
                bar = self.mixture * (1 + unit_of(*self.outputs) * rng.uniform(-1, 1, self.size))
                there = self.gradient(bar, self.function.linearise(inputs))
                squares = squares + (there - base) ** 2
            spread = STUDENT * np.sqrt(squares / REPLICAS)
            own = ROUNDINGS * unit_of(*self.inputs) * np.abs(self.gradient(self.mixture))
        return np.asarray(np.where(np.isfinite(spread), spread, 0.0) + np.nan_to_num(own))

    @cached_property
    def exactness(self) -> Array:
        """What the order of a sum, which threads may change, does to the gradient."""
        here = np.abs(self.gradient(self.mixture))
        return SUMS * (unit_of(*self.inputs) * np.nan_to_num(here) + self.cancelling)

    @cached_property
    def cancelling(self) -> Array:
        """What saturated formulas such as 1 - tanh(x)^2 lose: roundings of what they subtract."""
        unit = unit_of(*self.inputs)
        return ROUNDINGS * unit * self.terms + UNDERFLOWS * least_of(unit)

    @cached_property
    def terms(self) -> Array:
        """The size of what a gradient is made from: its own where nothing is saturated.

        The greatest entry of an input stands for all of it: at the point, close by, and at an
        eighth and a 64th of the inputs.
        """
        smaller = [[np.asarray(x / n, dtype=x.dtype) for x in self.inputs] for n in (8, 64)]
        points = (
            self, self.moved(OFF, "off"), self.moved(-OFF, "off"),
            *(Point(self.function, inputs, self.seed) for inputs in smaller),
        )  # fmt: skip
        found = np.abs([p.gradient(self.mixture) for p in points])
        found = np.where(np.isfinite(found), found, 0.0).max(axis=0, initial=0.0)
        for begin, end in pairwise(self.ends):
            found[begin:end] = found[begin:end].max(initial=0.0)
        return np.asarray(found)

    def moved(self, share: float, label: str, fixed: Collection[int] = ()) -> Point:
        """A point close by: every entry off by about a share of itself, zeros of the scale.

        `fixed` are entries, numbered through all inputs, that stay.
        """
        rng = stream(self.seed, f"moved/{label}")
        inputs = []
        for begin, x in zip(self.ends, self.inputs, strict=False):
            size = np.where(x == 0, scale_of(x), np.abs(x))
            move = share * size * rng.uniform(0.5, 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
            stays = [i - int(begin) for i in fixed if begin <= i < begin + x.size]
            move.reshape(-1)[stays] = 0.0
            inputs.append(np.asarray(x + move.astype(x.dtype), dtype=x.dtype))
        return Point(self.function, inputs, self.seed)

    # --- forward -----------------------------------------------------------------------

    def along(self, direction: Array, bars: Array | None = None) -> Any:
        """phi: distances (n,) along a flat direction -> the outputs, or their sums `bars`."""
        offsets = [
            np.asarray(part).reshape(x.shape)
            for part, x in zip(np.split(direction, self.ends[1:-1]), self.inputs, strict=True)
        ]

        def phi(distances: Array) -> Array:
            rows = []
            for t in distances:
                moved = [x + t * v for x, v in zip(self.wide, offsets, strict=True)]
                rows.append(self.evaluated(moved))
            with np.errstate(all="ignore"):
                return np.array(rows) if bars is None else np.array(rows) @ bars.T

        return phi

    def varied(self, k: int, entry: int, distances: Array) -> Array:
        """The outputs against each of `directions`, with one entry of input k moved so far."""
        inputs = list(self.wide)
        rows = []
        for t in distances:
            moved = inputs[k] = self.wide[k].copy()
            moved.reshape(-1)[entry] += t
            rows.append(self.evaluated(inputs))
        with np.errstate(all="ignore"):
            return np.array(rows) @ self.directions.T

    def evaluated(self, inputs: Sequence[Array]) -> Array:
        """All outputs at other inputs in one vector; NaN where these are out of its domain."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return flat(self.function.evaluate(inputs))
            except Exception:  # a step of ours, not of the caller's
                return np.full(self.size, np.nan)

    @cached_property
    def wide(self) -> tuple[Array, ...]:
        """The inputs in float64."""
        return tuple(np.asarray(x, dtype=np.float64) for x in self.inputs)

    @cached_property
    def unit(self) -> float:
        """The unit roundoff of the forward pass that is differentiated."""
        return unit_of(*self.function.evaluate(self.wide))


def _rounded(x: Array, rng: np.random.Generator) -> Array:
    """x with every entry off by up to a rounding."""
    noise = unit_of(x) * rng.uniform(-1, 1, x.shape)
    return np.asarray(x * (1 + noise.astype(x.dtype)), dtype=x.dtype)
