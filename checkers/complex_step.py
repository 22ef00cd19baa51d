"""Complex step: a derivative without a subtraction (Squire and Trapp 1998).

For an analytic loss with real values on real arguments,

    L(theta + i h v) = L(theta) + i h <g, v> - h^2 (...) + ...
    <g, v> = Im L(theta + i h v) / h + O(h^2)

With h = 2^-100 the truncation, of relative size h^2, is far below rounding, and nothing
cancels: what remains is the rounding of one forward pass.  The reference's forward is
analytic on the pieces that it is handed (Martins, Sturdza and Alonso 2003 on the traps).

That rounding is not the backward pass's: where a probability saturates, forward mode
subtracts what backward mode never forms.  `own_rounding` measures it by the same Monte
Carlo arithmetic, on the complex forward pass itself; a disagreement is judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..architectures.cases import Case, stream
from ..reference.arrays import Array
from ..reference.network import Branches
from .estimate import Estimate
from .noise import UNIT, Noise
from .probe import Probe
from .rounding import rms
from .side_by_side import for_each

STEP = 2.0**-100

LOST = 2.0**-800
"""The smallest normal number is 2^-1022: 2^-100 for the step, and as much for what follows."""


def along(probe: Probe, name: str, directions: Array, step: float = STEP) -> Array:
    """<dL/d(tensor), v> for each of `directions` (d, *shape); shape (d,)."""
    slopes: Array = probe.losses(name, 1j * step * directions).imag / step
    return slopes


def truncation(probe: Probe, name: str, directions: Array) -> Array:
    """A bound on the O(h^2) that is left out, for each of `directions`; shape (d,).

    It matters where the derivative is zero, as of x - tanh(x) at 0.  Halving h leaves a
    quarter of it, so the difference is three quarters; twice that is a bound.  And below
    LOST nothing is claimed: h times a derivative that small underflows on the way.
    """
    halved = along(probe, name, directions, STEP / 2)
    return np.asarray(2 * np.abs(along(probe, name, directions) - halved) + LOST)


def own_rounding(probe: Probe, name: str, directions: Array, replicas: int, seed: int) -> Array:
    """The rms rounding error of `along` itself, for each of `directions`; shape (d,)."""
    errors = []
    for v in directions:
        noise = Noise(stream(seed, f"complex step/{name}"), "float64", replicas)
        exact = along(probe, name, v[None])[0]
        loss = probe.perturbed(name, 1j * STEP * v, noise).loss
        slopes = np.asarray(loss).imag / STEP
        scale = UNIT["float64"] / noise.unit
        errors.append(scale * rms(np.broadcast_to(slopes, (replicas,)) - exact))
    return np.array(errors)


def every_entry(probe: Probe, name: str) -> Array:
    """The whole gradient of one tensor, one unit vector for each entry."""
    shape = probe.tensor(name).shape
    size = int(np.prod(shape))
    gradient = np.empty(size)
    for entries in probe.chunks(name, copies=2):
        units = np.zeros((len(entries), size))
        units[np.arange(len(entries)), entries] = 1.0
        gradient[entries] = along(probe, name, units.reshape(-1, *shape))
    return gradient.reshape(shape)


def estimate(
    case: Case,
    directions: Mapping[str, Array],
    *,
    exhaustive: bool = False,
    branches: Branches | None = None,
) -> Estimate:
    """Differentiate the reference's forward along `directions`, or in every entry.

    `branches` holds the pieces to stay on, where not those of the case itself.
    """
    probe, a = Probe(case, branches), case.architecture
    if exhaustive:
        entries = for_each(a, a.tensors, lambda name: every_entry(probe, name))
        return Estimate("complex_step", probe.loss, entries=entries)
    slopes = for_each(a, a.tensors, lambda n: (directions[n], along(probe, n, directions[n])))
    return Estimate("complex_step", probe.loss, directional=slopes)
