"""A training trajectory against PyTorch's and Optax's.

A trajectory, the parameters after every step, is compared with those of torch.optim.SGD on
autograd's gradients and of optax.sgd on JAX's, started at the same parameters and fed the
same batches, and never brought together again.  Two correct trajectories drift apart: with
step map F, rounding e_k and distance d_k,

    d_(k+1) = F'(theta_k) d_k + e_k

so what rounding did at step k is carried along by all the steps after it.  How far that
may go is measured, by Monte Carlo arithmetic as for a single gradient: K replicas of the
reference are trained, each operation of forward, backward and update perturbed, and their
rms distance from the plain trajectory is the deviation of a correct one.  Twice:

    fresh       new noise at each step: errors that know nothing of each other
    persistent  the same noise at each step: near a minimum the steps repeat themselves and
                so may their rounding, whose sum then grows as 1 / (1 - |F'|)

The greater counts, multiplied by Student's factor for a false alarm in a share ALPHA of
runs and by sqrt(2), since both trajectories are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.special

from backproof.architectures.cases import Case, stream
from backproof.checkers.comparison import ALPHA, Status
from backproof.checkers.estimate import Unsupported
from backproof.checkers.noise import UNIT, Noise, replicate
from backproof.checkers.rounding import REPLICAS, noisy
from backproof.reference import network
from backproof.reference.arrays import Arrays
from backproof.reference.optimisers import OPTIMISERS
from backproof.reference.optimisers.sgd import SGD


@dataclass(frozen=True)
class Trajectory:
    """Our parameters against a framework's, where they differ most for their bound.

    `distance` and `bound` are 2-norms of one tensor after step `step` (from 1).  `reason`
    says why there is nothing to compare.
    """

    framework: str
    status: Status
    distance: float = 0.0
    bound: float = 0.0
    tensor: str = ""
    step: int = 0
    reason: str = ""


def compare_trajectories(
    cases: Sequence[Case], ours: Sequence[Arrays], optimiser: SGD, seed: int
) -> tuple[Trajectory, ...]:
    """Hold our parameters after every step against PyTorch's and Optax's.

    `cases[k]` is what step k + 1 was taken on, with the parameters before it; `ours[k]` are
    the parameters after it.
    """
    bounds = drift_bounds(cases, ours, optimiser, seed)
    compared = []
    for framework, follow in FRAMEWORKS.items():
        try:
            theirs = follow(cases, optimiser.learning_rate)
        except Unsupported as reason:
            compared.append(Trajectory(framework, "UNSUPPORTED", reason=str(reason)))
        else:
            compared.append(farthest(framework, ours, theirs, bounds))
    return tuple(compared)


def _torch(cases: Sequence[Case], learning_rate: float) -> list[Arrays]:
    from backproof.checkers import with_torch

    return with_torch.sgd_trajectory(cases, learning_rate)


def _optax(cases: Sequence[Case], learning_rate: float) -> list[Arrays]:
    from backproof.checkers import with_jax

    return with_jax.sgd_trajectory(cases, learning_rate)


FRAMEWORKS: Mapping[str, Callable[[Sequence[Case], float], list[Arrays]]] = {
    "torch.optim.SGD": _torch,
    "optax.sgd": _optax,
}


def farthest(
    framework: str,
    ours: Sequence[Arrays],
    theirs: Sequence[Arrays],
    bounds: Sequence[Mapping[str, float]],
) -> Trajectory:
    """The step and the tensor whose distance is greatest for its bound.

    FAIL where that exceeds 1; INCONCLUSIVE where a bound is not finite.
    """
    ratio, found = -1.0, Trajectory(framework, "INCONCLUSIVE", reason="there is no step")
    for number, (a, b, bound) in enumerate(zip(ours, theirs, bounds, strict=True), 1):
        for name, limit in bound.items():
            if not np.isfinite(limit):
                reason = f"the parameters leave the range of float64 at step {number}"
                return Trajectory(framework, "INCONCLUSIVE", reason=reason)
            distance = float(np.linalg.norm(a[name] - b[name]))
            share = distance / limit if limit else (np.inf if distance else 0.0)
            if not share <= ratio:
                status: Status = "PASS" if share <= 1 else "FAIL"
                ratio, found = share, Trajectory(framework, status, distance, limit, name, number)
    return found


def drift_bounds(
    cases: Sequence[Case], ours: Sequence[Arrays], optimiser: SGD, seed: int
) -> list[dict[str, float]]:
    """How far two correct trajectories may be apart after each step, by tensor, 2-norm."""
    fresh = drift(cases, ours, optimiser, seed, persistent=False)
    persistent = drift(cases, ours, optimiser, seed, persistent=True)
    comparisons = len(FRAMEWORKS) * sum(len(after) for after in ours)
    student = float(scipy.special.stdtrit(REPLICAS, 1 - ALPHA / comparisons / 2))
    return [
        {name: 2**0.5 * student * max(a[name], b[name]) for name in a}
        for a, b in zip(fresh, persistent, strict=True)
    ]


def drift(
    cases: Sequence[Case],
    ours: Sequence[Arrays],
    optimiser: SGD,
    seed: int,
    *,
    persistent: bool,
) -> list[dict[str, float]]:
    """The rms distance of perturbed trajectories from ours after each step, by tensor."""
    rule = OPTIMISERS[type(optimiser)]
    noise = Noise(stream(seed, "drift"), "float64", REPLICAS)
    parameters: Any = {k: replicate(v, noise) for k, v in cases[0].parameters.items()}
    state = rule.initial_state(optimiser, parameters)
    deviations = []
    for case, after in zip(cases, ours, strict=True):
        if persistent:
            noise.rng = stream(seed, "persistent drift")
        scale = UNIT["float64"] / noise.unit / REPLICAS**0.5
        with np.errstate(all="ignore"):
            parameters, state = _perturbed_step(case, parameters, state, optimiser, noise)
            apart = {k: np.asarray(value) - after[k] for k, value in parameters.items()}
            deviations.append({k: scale * float(np.linalg.norm(d)) for k, d in apart.items()})
    return deviations


def _perturbed_step(
    case: Case, parameters: Any, state: Any, optimiser: SGD, noise: Noise
) -> tuple[Any, Any]:
    """One step of all replicas, on the pieces of piecewise functions that ours is on."""
    pieces = network.forward(case).branches
    perturbed = replace(noisy(case, noise), parameters=parameters)
    trace = network.forward(perturbed, branches=pieces)
    one = replicate(np.ones((1, 1)), noise)
    gradients = network.backward(perturbed, trace, value_bar=one)
    after: tuple[Any, Any] = OPTIMISERS[type(optimiser)].step(
        optimiser, state, parameters, gradients
    )
    return after
