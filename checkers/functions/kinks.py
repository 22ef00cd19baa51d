"""Where a black box is not differentiable: is its gradient among those around the point?

Gradients are taken at random points so close by that only the kinks at the point itself tell
them apart, at x + d and x + d/2; their extrapolation to x, 2 g(x + d/2) - g(x + d), is the
gradient of one piece.  Some are held against slopes along the ray.  Then the point is

    smooth     all are one piece
    inside     its gradient is in the hull of the pieces: right, whatever its convention
    outside    it is not, though all pieces have been seen (none once or twice only)
    many       it is not, with pieces unseen: nothing can be claimed of the point itself

Slopes along the coordinates cannot decide at a kink.  With z1 = x and z2 = -x + y,
relu(z1) - relu(z2) has slope 1 along x on both sides of 0; but all of 0, 1 and 2 are in the
hull, and 0 is what an automatic differentiator returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ...architectures.cases import stream
from ...reference.arrays import Array
from ..ties import distance_to_hull
from .points import OFF, Point, unit_of
from .slopes import scale_of, slopes

SAMPLES = 64
MOST_SAMPLES = 1024
"""Where so many pieces are being told apart that some were seen but once or twice."""
RADIUS = 2.0**-24
"""Of the inputs' scale, in float64; what the extrapolation neglects goes with its square.
In a coarser dtype the square root of its unit roundoff."""
MOST_PIECES = 40
RARE = 3
"""Pieces seen fewer times than this suggest that others have not been seen at all."""
VERIFIED = 3
ALONE = 8
"""Kinked entries that are looked at alone, with those that share their kink."""
ALONG = 2.0**-9
"""Of the radius: the first step along a ray, far from the kinks at the point."""
COARSE = 1e-4
"""Of a slope along a ray: with steps so small rounding leaves three or four digits."""


Place = Literal["smooth", "inside", "outside", "many"]


class Judged(NamedTuple):
    """Where the gradient at a point lies, and what is to be said of it.

    `by_ray` where a slope along a ray, which runs through all inputs, says that it is wrong.
    """

    place: Place
    detail: str
    by_ray: bool = False


def judge(point: Point, kinked: Sequence[int] = ()) -> Judged:
    """The gradient for `point.mixture` against those around the point.

    `kinked` are entries of the inputs (numbered through) along which there is a kink: where
    there are many pieces some of these are looked at alone, all others moved off.
    """
    judged = _judge(point)
    if judged.place == "many":
        rng = stream(point.seed, "kinks/alone")
        for i in rng.permutation(np.asarray(kinked, dtype=int))[:ALONE].tolist():
            together = {i, *(j for j in kinked if j != i and not _kink_along(point, i, j))}
            alone = _judge(point.moved(OFF, f"alone/{i}", fixed=together))
            if alone.place == "outside":
                return alone
    return judged


def _kink_along(point: Point, i: int, moved: int) -> bool:
    """Whether there is still a kink along entry i once another entry has been moved."""
    everything = set(range(int(point.ends[-1])))
    here = point.moved(OFF, f"only/{moved}", fixed=everything - {moved})
    radius = max(RADIUS, unit_of(*point.inputs) ** 0.5)
    e = np.zeros(point.ends[-1])
    e[i] = 1.0
    d = [
        radius * scale_of(x) * part.reshape(x.shape)
        for part, x in zip(np.split(e, point.ends[1:-1]), point.inputs, strict=True)
    ]
    up, down = (_at(here, d, side).gradient(point.mixture) for side in (1.0, -1.0))
    coarse = max(COARSE, 64 * radius)
    return not np.linalg.norm(up - down) <= coarse * np.linalg.norm(up)


def _judge(point: Point) -> Judged:
    g = point.gradient(point.mixture)
    pieces, counts, tolerance, wrong = around(point)
    if len(pieces) == 1:
        return Judged("smooth", wrong)
    if wrong:
        return Judged("outside", wrong, by_ray=True)
    if not len(pieces):
        return Judged("many", "on more kinks than can be told apart")
    if not np.isfinite(g).all():
        return Judged("outside", "not finite at a kink, where those on either side are")
    distance = distance_to_hull(pieces, g)
    if distance <= tolerance:
        return Judged("inside", "on a kink, in the hull of the gradients around it")
    if len(pieces) <= MOST_PIECES and min(counts) >= RARE:
        return Judged(
            "outside",
            f"on a kink, outside the hull of the {len(pieces)} gradients around it, "
            f"by {distance:.3g} where {tolerance:.1e} is allowed",
        )
    return Judged("many", "on many kinks at once")


def around(point: Point) -> tuple[Array, list[int], float, str]:
    """(the pieces' gradients, how often each was seen, their tolerance, what is wrong there)."""
    radius = max(RADIUS, unit_of(*point.inputs) ** 0.5)
    coarse = max(COARSE, 64 * radius)
    rng = stream(point.seed, "kinks/around")
    rounding = 4 * float(np.linalg.norm(point.rounding))
    pieces: list[Array] = []
    counts: list[int] = []
    tolerance, wrong = 0.0, ""
    for sample in range(MOST_SAMPLES):
        if sample >= SAMPLES and (len(pieces) > MOST_PIECES or min(counts, default=RARE) >= RARE):
            break
        d = [radius * scale_of(x) * rng.standard_normal(x.shape) for x in point.inputs]
        far, near = (_at(point, d, share) for share in (1.0, 0.5))
        g_far, g_near = far.gradient(point.mixture), near.gradient(point.mixture)
        change, size = float(np.linalg.norm(g_far - g_near)), float(np.linalg.norm(g_near))
        if not change <= coarse * size:
            continue  # another kink between the two
        if sample < VERIFIED and not wrong:
            wrong = _along_the_ray(near, d, point.mixture, coarse)
        tolerance = max(tolerance, 4 * change + rounding + 64 * point.unit * size)
        g = 2 * g_near - g_far
        at = next((k for k, p in enumerate(pieces) if np.linalg.norm(p - g) <= tolerance), None)
        if at is None:
            pieces.append(g)
            counts.append(1)
        else:
            counts[at] += 1
    return np.array(pieces), counts, tolerance, wrong


def _at(point: Point, d: Sequence[Array], share: float) -> Point:
    inputs = [(x + share * v).astype(x.dtype) for x, v in zip(point.inputs, d, strict=True)]
    return Point(point.function, inputs, point.seed)


def _along_the_ray(near: Point, d: Sequence[Array], bar: Array, coarse: float) -> str:
    """Whether the gradient close by is the slope there, towards the point and away."""
    direction = np.concatenate([np.asarray(v).reshape(-1) for v in d])
    length = float(np.linalg.norm(direction))
    unit_vector = direction / length
    phi = near.along(unit_vector, bar[None])
    at = max(float(np.abs(x).max(initial=0.0)) for x in near.inputs)
    values = phi(np.zeros(1))
    noise = 8 * near.unit * (np.abs(values[0]) + at)
    found = slopes(lambda _, t: phi(t), np.zeros(1), ALONG * length * 2.0**6, noise, near.unit)
    value, bound = float(found.value[0, 0]), float(found.bound[0, 0])
    g = float(near.gradient(bar) @ unit_vector)
    allowed = bound + coarse * abs(g)
    if np.isfinite(allowed) and abs(g - value) > allowed:
        return (
            f"beside a kink the slope along a random direction is {value:.6g} "
            f"+- {allowed:.1e}, by the gradient it is {g:.6g}"
        )
    return ""
