"""The gradients on the pieces around one tie point, and where a gradient lies among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ..architectures.cases import Case
from ..architectures.operators import size
from ..reference.arrays import Array
from . import complex_step, finite_differences, rounding, ties
from .asking import directions
from .comparison import ALPHA
from .noise import UNIT
from .probe import Probe
from .rounding import Rounding

Place = Literal["nearby", "combination", "outside"]
"""In the hull of the pieces realised nearby, of all combinations of pieces, or in neither."""

TITLES = {"jax": "JAX", "torch": "PyTorch"}


def error_of_squares(vertices: int, scale: float) -> float:
    """The backward error of the least squares that find a distance to a hull."""
    return 8 * vertices * UNIT["float64"] * scale


class Hulls:
    """The hulls around one tie point, over the tensors `names` together."""

    def __init__(
        self, case: Case, tied: tuple[ties.Tie, ...], names: tuple[str, ...], measured: Rounding
    ) -> None:
        self.case, self.tied, self.names, self.measured = case, tied, names, measured
        self._nearby = self._gradients(ties.realised(case, tied, case.seed))
        sides = [ties.first(tied), ties.last(tied)]
        self.left, self.right = self._gradients(sides)
        self._all: Array | None = None
        vertices = np.concatenate([self._nearby, [self.left, self.right]])
        self.scale = float(np.max(np.linalg.norm(vertices, axis=1)))
        self.tolerance = self._tolerance(len(vertices))
        self.confirmed = self._confirm()

    def _gradients(self, choices: list[ties.Pieces]) -> Array:
        return ties.piece_gradients(self.case, self.tied, choices, self.names)

    def _combinations(self) -> Array:
        if self._all is None:
            self._all = self._gradients(ties.all_choices(self.tied))
        return self._all

    def _tolerance(self, vertices: int) -> float:
        """Rounding on either side of every tie, and the backward error of least squares."""
        pieces = Probe(self.case).trace.branches
        spreads = []
        for side in (ties.first(self.tied), ties.last(self.tied)):
            measured = rounding.measure(
                self.case,
                seed=self.case.seed,
                branches=ties.choose(pieces, self.tied, side),
                normwise=self.measured.normwise,
            )
            spreads.append(np.sqrt(sum(measured.norm(n) ** 2 for n in self.names)))
        squares = error_of_squares(vertices, self.scale)
        return float(measured.factor(ALPHA) * max(spreads) + squares)

    def _confirm(self) -> bool:
        """Whether finite differences on the left pieces confirm complex step there."""
        pieces = Probe(self.case).trace.branches
        left = ties.choose(pieces, self.tied, ties.first(self.tied))
        probe = Probe(self.case, left)
        for name, v in directions(self.case, self.case.seed).items():
            value, bound = finite_differences.along(probe, name, v)
            exact = complex_step.along(probe, name, v)
            allowed = bound + self.measured.factor(ALPHA) * self.measured.along(name, v)
            if not (np.abs(value - exact) <= allowed).all():
                return False
        return True

    def place(self, g: Array) -> tuple[Place, float]:
        """`nearby`, `combination` or `outside`, and the distance to the last hull tried."""
        if not np.isfinite(g).all():
            return "outside", np.inf
        distance = ties.distance_to_hull(self._nearby, g)
        if distance <= self.tolerance:
            return "nearby", distance
        distance = ties.distance_to_hull(self._combinations(), g)
        return ("combination" if distance <= self.tolerance else "outside"), distance

    def distance_of(self, name: str, g: Array) -> float:
        """The distance of the part of g that is one tensor's, to the hull of such parts."""
        sizes = [size(self.case.architecture.tensors[n]) for n in self.names]
        part = np.repeat(self.names, sizes) == name
        return ties.distance_to_hull(self._combinations()[:, part], g[part])

    def convention(self, g: Array, frameworks: Mapping[str, Array]) -> str:
        """In words, which choice g is."""
        sides = {"the left derivative": self.left, "the right derivative": self.right}
        if len(self.tied) == 1 and len(self.tied[0].options) == 2:
            sides["the mean of both derivatives"] = (self.left + self.right) / 2
        words = [w for w, v in sides.items() if np.linalg.norm(v - g) <= self.tolerance]
        words += [
            f"as {TITLES[name]}"
            for name, v in frameworks.items()
            if np.linalg.norm(v - g) <= self.tolerance
        ]
        return ", ".join(words) or "a convex combination"
