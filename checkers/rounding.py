"""How large may rounding be?  Monte Carlo arithmetic on the reference (Parker 1997).

The reference is run K times in float64, and after every operation each result is
perturbed as the rounding of a given unit u would perturb it (`noise.py`).  The spread of the
gradients is the error that correct code of that precision makes on this very case.  For
float64 itself u' = 2^-40 is injected and the spread scaled by 2^-13, its error being linear
in u.

The reference's pages avoid cancellation where they can.  A framework, or anybody's textbook
formula, need not: 1 - tanh(x)^2 is right to u, not to u (1 - tanh(x)^2).  The *normwise*
model allows for it: on top of the above, each layer in which something may cancel errs by u
of what it is given (u |x| forward, u |y_bar| backward), and each loss's cotangent by u of its
reduction; where a textbook sums what the reference knows to cancel, p sum(t) - t for p - t, by
what such a sum may err (`noise.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.special

from ..architectures import operators as ops
from ..architectures.architecture import Architecture
from ..architectures.cases import Case, DType, stream
from ..architectures.losses import flat_shape
from ..architectures.operators import size
from ..reference import network
from ..reference.arrays import Array, Arrays
from ..reference.layers.softmax import from_the_end
from .noise import LARGEST, SMALLEST, UNIT, Noise, replicate

REPLICAS = 32
SECOND_LOOK = 256

MOST_DEVIATIONS = 2**25
"""Entries of the gradients of all replicas (a quarter GiB), which a second look keeps within."""


@dataclass(frozen=True)
class Rounding:
    """What rounding may do to the gradients of one case.

    `deviations[name]` has shape (K, *shape): the K perturbed gradients less the
    unperturbed one, scaled to the unit of `dtype`.  `edges` holds the K perturbed values at
    each edge less the unperturbed ones, scaled alike; `deviations["loss"]` those of the
    loss.  `largest` is the largest magnitude that any operation met.  `normwise` says that
    operators were allowed to cancel.
    """

    dtype: DType
    deviations: Arrays
    edges: Arrays
    largest: float
    normwise: bool = False

    @property
    def replicas(self) -> int:
        """K."""
        return len(self.deviations["loss"])

    @property
    def overflows(self) -> bool:
        """Whether a value on the way leaves the range of the dtype."""
        return not self.largest < LARGEST[self.dtype]

    @property
    def floor(self) -> float:
        """What flushing the smallest normal number to zero may change: it may be multiplied by
        the largest magnitude on its way.  (The noise of an underflow is scaled as all noise
        is, in float64 to 2^-13 of the value that is lost.)"""
        return SMALLEST[self.dtype] * max(1.0, self.largest)

    def factor(self, alpha: float) -> float:
        """How many deviations to allow for a false alarm in a share `alpha` of comparisons.

        Student's t with K degrees of freedom, two-sided; and the checker, in float64,
        rounds independently: sqrt(2) where the subject is float64 too.
        """
        both = np.sqrt(1 + (UNIT["float64"] / UNIT[self.dtype]) ** 2)
        return float(-scipy.special.stdtrit(self.replicas, alpha / 2) * both)

    def entries(self, name: str) -> Array:
        """The rms deviation of each entry of a gradient, of its shape."""
        return rms(self.deviations[name])

    def norm(self, name: str) -> float:
        """The rms of the 2-norm of a gradient's deviation."""
        return float(norm(self.deviations[name]) / np.sqrt(self.replicas))

    def along(self, name: str, directions: Array) -> Array:
        """The rms deviation of <g, v> for each of `directions` (d, *shape); shape (d,)."""
        d = self.deviations[name].reshape(self.replicas, -1)
        return rms(d @ directions.reshape(len(directions), -1).T)


def rms(x: Array) -> Array:
    """The root of the mean square along axis 0, where squares would underflow too."""
    scale = np.max(np.abs(x), axis=0)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    return np.asarray(scale * np.sqrt(np.mean((x / scale) ** 2, axis=0)))


def norm(x: Array) -> float:
    """The 2-norm of all entries, where squares would under- or overflow too."""
    scale = float(np.max(np.abs(x), initial=0.0))
    if not 0 < scale < np.inf:
        return scale
    return scale * float(np.sqrt(np.sum((x / scale) ** 2)))


def promote(case: Case) -> Case:
    """The same case in float64; exact, since float32 values are float64 values."""
    if case.dtype == "float64":
        return case

    def wide(values: Mapping[str, Array]) -> Arrays:
        return {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in values.items()}

    return replace(
        case,
        parameters=wide(case.parameters),
        input=None if case.input is None else case.input.astype(np.float64),
        targets=wide(case.targets),
        data=wide(case.data),
        dtype="float64",
    )


def noisy(case: Case, noise: Noise) -> Case:
    """The case in so many replicas, whose every operation adds noise; data stay as they are."""
    return replace(
        case,
        parameters={n: replicate(v, noise) for n, v in case.parameters.items()},
        input=None if case.input is None else replicate(case.input, noise),
        targets={
            site: replicate(t, noise) if t.dtype.kind == "f" else t
            for site, t in case.targets.items()
        },
    )


MAY_CANCEL = frozenset({*ops.ACTIVATIONS, *ops.ATTENTION, ops.WeightNormDense})
"""Operators in which something may cancel; in the others nothing can, or they say themselves
what (`stable.as_difference`)."""


def _of_a_sum(terms: int, total: Any, squares: Any) -> Any:
    """The deviation of a sum of so many terms in roundings u (Higham and Mary 2019)."""
    return np.sqrt((terms / 3 * total**2 + (terms / 6 + 1) * squares) / 3)


def _normwise(a: Architecture, noise: Noise) -> network.Disturb:
    """The normwise error of an operator: of a layer, or of a loss's cotangent."""

    def disturb(given: Any, result: Array, site: str) -> Array:
        kind, _, number = site.partition(".")
        if kind != "layers":
            loss = a.losses[site]
            rows, *_, terms = flat_shape(loss, a.edges[a.loss_sources[site][0]])
            mean = getattr(loss, "reduction", "sum") in ("mean", "batch_mean")
            one = 1.0 / rows if mean else 1.0
            magnitude: Any = max(one, _of_a_sum(terms, one, one**2))
        else:
            layer = a.layers[int(number)]
            if type(layer) not in MAY_CANCEL:
                return result
            values = [np.asarray(x) for x in (given if isinstance(given, tuple) else (given,))]
            if type(layer) in ops.ACTIVATIONS and values[0].ndim == result.ndim:
                magnitude = np.max(np.abs(values[0]), axis=-1, keepdims=True)
                if isinstance(layer, (ops.Softmax, ops.LogSoftmax)):
                    axis = from_the_end(layer.axis)
                    largest = np.max(np.abs(values[0]), axis, keepdims=True)
                    x = values[0] / np.where(largest > 0, largest, 1.0)
                    sums = np.sum(x, axis, keepdims=True), np.sum(x**2, axis, keepdims=True)
                    summed = largest * _of_a_sum(x.shape[axis], *sums)
                    magnitude = np.maximum(magnitude, summed)
            else:
                magnitude = max(float(np.max(np.abs(x), initial=0.0)) for x in values)
        draw = noise.draw((noise.replicas, *result.shape[1:]))
        disturbed: Array = result + noise.unit * magnitude * draw
        return disturbed

    return disturb


def measure(
    case: Case,
    *,
    replicas: int = REPLICAS,
    seed: int = 0,
    branches: network.Branches | None = None,
    normwise: bool = False,
    overrides: network.Overrides | None = None,
) -> Rounding:
    """Measure what rounding in `case.dtype` may do to this case, with fresh noise per seed.

    `normwise` allows for operators that cancel.  The pieces of piecewise functions are held
    at `branches`, by default those of the unperturbed pass.  `overrides` are backward functions
    to measure in place of the reference's own, as `network.backward` takes them.
    """
    wide = promote(case)
    noise = Noise(stream(seed, f"rounding/{case.seed}"), case.dtype, replicas, normwise)
    disturb = _normwise(case.architecture, noise) if normwise else None
    with np.errstate(all="ignore"):
        exact = network.forward(wide, branches=branches)
        gradients = network.backward(wide, exact, overrides=overrides)
        perturbed = noisy(wide, noise)
        trace = network.forward(perturbed, branches=exact.branches, disturb=disturb)
        one = replicate(np.ones((1, 1)), noise)
        noisy_gradients = network.backward(
            perturbed, trace, value_bar=one, overrides=overrides, disturb=disturb
        )
        scale = UNIT[case.dtype] / noise.unit

        def deviation(given: Any, plain: Any) -> Array:
            plain = np.asarray(plain)
            spread = np.asarray(given) - plain
            spread *= scale
            return np.broadcast_to(spread, (replicas, *plain.shape))

        # one by one: of a large network, twice all of them would be too much
        deviations = {n: deviation(noisy_gradients.pop(n), g) for n, g in gradients.items()}
        deviations["loss"] = deviation(trace.loss, exact.loss)
        edges = {name: deviation(trace.edges[name], x) for name, x in exact.edges.items()}
    return Rounding(case.dtype, deviations, edges, noise.largest, normwise)


def measure_again(case: Case, seed: int, *, normwise: bool = False) -> Rounding:
    """A closer look, with SECOND_LOOK replicas, or those that a large network leaves room for."""
    return measure(case, replicas=_room(case), seed=seed, normwise=normwise)


def is_large(case: Case) -> bool:
    """Whether there is no room for all the replicas of a closer look."""
    return _room(case) < SECOND_LOOK


def _room(case: Case) -> int:
    entries = sum(size(shape) for shape in case.architecture.tensors.values())
    return max(REPLICAS, min(SECOND_LOOK, MOST_DEVIATIONS // entries))


def measure_on_pieces(case: Case, pieces: Sequence[network.Branches], seed: int) -> Rounding:
    """The normwise rounding on each of these pieces, pooled: what a choice at ties lets through.

    Where a gradient is zero on every piece, rounding still sends back something, and by the
    piece that was chosen.
    """
    found = [
        measure(case, seed=seed + k, branches=branches, normwise=True)
        for k, branches in enumerate(pieces)
    ]

    def pooled(parts: Sequence[Arrays]) -> Arrays:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return Rounding(
        case.dtype,
        pooled([each.deviations for each in found]),
        pooled([each.edges for each in found]),
        max(each.largest for each in found),
        normwise=True,
    )
