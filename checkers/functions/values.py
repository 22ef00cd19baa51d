"""The gradients against numerical derivatives, entry by entry, for every output.

What disagrees, or has no bound, is looked at twice more with other steps.  Where a kink was met,
or something still disagrees, the gradients around the point decide whether it is on a kink
(`kinks.py`); if so it must be in their hull, and a point close by, which is on none, is verified
as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from ...architectures.cases import stream
from ...reference.arrays import Array
from ..checks import Check
from ..comparison import CONCLUSIVE, Status
from . import kinks
from .points import OFF, WHOLE, Point
from .slopes import noise_of, scale_of, slopes

WHY = "a wrong gradient trains something else than what was meant"
NARROW = "what is right in float64 may be lost in the dtype that trains"
COARSEST = 0.1
"""Of a gradient: bfloat16 has two digits and a half, before anything is computed with it."""
LOOKS = (1.0, 0.7, 0.43)
"""Shares of the steps: a disagreement must persist on all of them, and so must a kink."""


ASKED = 4
"""Outputs with a kink that are asked about by themselves where no kink shows in a mixture."""


@dataclass(frozen=True)
class Allowance:
    """What the caller excuses beyond the derived bound: |error| <= absolute + relative |slope|."""

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        if not (self.absolute >= 0 and self.relative >= 0):
            raise ValueError(
                f"atol and rtol must be 0 or more, got {self.absolute}, {self.relative}"
            )


NOTHING = Allowance()


@dataclass(frozen=True)
class Compared:
    """One input's gradients beside their slopes; arrays (c, n), c cotangents, n entries.

    `off` is the distance to the slope; nothing is known, and `bound` infinite, at a `kink`.
    `excused` is what the caller allows beside the bound.
    """

    name: str
    shape: tuple[int, ...]
    gradient: Array
    slope: Array
    off: Array
    bound: Array
    kink: Array
    excused: Array
    terms: float = 0.0

    @property
    def allowed(self) -> Array:
        return self.bound + self.excused

    @property
    def wrong(self) -> Array:
        return ~(self.off <= self.allowed)

    @property
    def ratio(self) -> float:
        with np.errstate(all="ignore"):
            ratios = np.where(self.off > 0, self.off / self.allowed, 0.0)
        return float(np.nan_to_num(ratios, nan=np.inf).max(initial=0.0))

    @property
    def resolution(self) -> float | None:
        """The smallest relative error that is not let pass; None for a zero gradient."""
        return self._relative(self.allowed)

    @property
    def fineness(self) -> float | None:
        """The same of the derived bound alone: what the excuse of the caller's has no part in."""
        return self._relative(self.bound)

    def _relative(self, allowed: Array) -> float | None:
        """A bound relative to the gradient, both in the 2-norm.

        Where that is lost in the bound, relative to the terms that it is made from.
        """
        known = ~self.kink
        size = float(np.linalg.norm(self.slope[known]))
        bound = float(np.linalg.norm(self.bound[known]))
        scale = size if size > bound else max(size, self.terms * known.sum() ** 0.5)
        return float(np.linalg.norm(allowed[known])) / scale if scale > 0 else None

    @property
    def doubtful(self) -> bool:
        """Whether what the caller excuses is more than a verdict may be coarse: 1% of it all."""
        excused = self._relative(np.where(self.off > self.bound, self.off, 0.0))
        return excused is not None and excused > CONCLUSIVE

    @property
    def note(self) -> str:
        """What passes by the caller's tolerance alone."""
        beyond = (self.off > self.bound) & ~self.wrong
        count = int(beyond.any(axis=0).sum())
        if not count:
            return ""
        most = float(self.off[beyond].max())
        what = "entry is" if count == 1 else "entries are"
        return f"{count} {what} wrong by up to {most:.2g}, which atol and rtol excuse"


def check(point: Point, excuse: Allowance = NOTHING) -> list[Check]:
    """One check an input: `values of NAME`."""
    compared = compare(point, excuse)
    if not any(_doubtful(c) for c in compared):
        return [_plain(c) for c in compared]
    lost = any((~np.isfinite(c.gradient) & np.isfinite(c.bound)).any() for c in compared)
    kinked = np.flatnonzero(np.concatenate([c.kink.any(axis=0) for c in compared]))
    judged = kinks.judge(point, kinked.tolist())
    rows = np.flatnonzero(np.any([c.kink.any(axis=1) for c in compared], axis=0))
    for row in rows[:ASKED]:  # what the outputs together do not show one by itself may
        if judged.place == "smooth":
            judged = kinks.judge(point.against(point.directions[row]), kinked.tolist())
    if judged.place == "smooth" or (lost and judged.place == "many"):
        plain = [_plain(c) for c in compared]
        explained = any(c.status == "FAIL" for c in plain)  # a ray runs through all inputs
        ray = "" if explained else judged.detail
        return [_with_ray(c, p, ray) for c, p in zip(compared, plain, strict=True)]
    nearby = point.moved(OFF, "off")
    there = compare(nearby, excuse)
    stuck = any(_doubtful(c) for c in there) and kinks.judge(nearby).place != "smooth"
    plain = [_plain(c) for c in there]
    explained = judged.by_ray and any(c.status == "FAIL" for c in plain)
    return [_at_kink(p, judged, stuck, explained) for p in plain]


def narrow(point: Point, wide: Point, excuse: Allowance = NOTHING) -> list[Check]:
    """One check an input: the gradient in its own dtype against that in float64.

    The resolution that a coarse dtype allows has to do: float64 was verified by itself.
    """
    g, true = point.gradient(point.mixture), wide.gradient(point.mixture)
    with np.errstate(all="ignore"):
        bound = point.rounding + point.cancelling
        excused = excuse.absolute + excuse.relative * np.abs(true)
        off = np.where(np.isfinite(true) | np.isfinite(g), np.abs(g - true), 0.0)
    lost = overflows(point, wide)
    if not (off <= bound + excused).all() and kinks.judge(point).place == "inside":
        off = np.zeros_like(off)  # rounding, or the dtype, chose another side of a kink
    found = []
    for k, x in enumerate(point.inputs):
        part = slice(point.ends[k], point.ends[k + 1])
        name = f"{point.function.input_names[k]} in {x.dtype}"
        gk, tk, ok, bk, ek = (a[part][None] for a in (g, true, off, bound, excused))
        c = Compared(name, x.shape, gk, tk, ok, bk, np.zeros(gk.shape, bool), ek)
        status: Status = "FAIL" if c.wrong.any() else "PASS"
        detail = _wrong(c) if c.wrong.any() else c.note or "agrees with that in float64"
        if lost:
            status, detail = "INCONCLUSIVE", f"the forward pass leaves the range of {x.dtype}"
        if status == "PASS" and c.fineness is not None and c.fineness > COARSEST:
            status, detail = "INCONCLUSIVE", f"{x.dtype} is too coarse to prove anything here"
        found.append(Check(f"values of {c.name}", status, NARROW, detail, c.ratio, c.resolution))
    return found


def overflows(point: Point, wide: Point) -> bool:
    """Whether an output that float64 holds is beyond the range of a coarser dtype."""
    pairs = zip(point.outputs, wide.outputs, strict=True)
    return any(bool((~np.isfinite(y) & np.isfinite(w)).any()) for y, w in pairs)


def _with_ray(c: Compared, plain: Check, wrong: str) -> Check:
    """Where kinks hide every slope of the point itself, what was found on rays beside it."""
    if wrong and plain.status == "INCONCLUSIVE" and _doubtful(c):
        return msgspec.structs.replace(plain, status="FAIL", detail=wrong)
    return plain


def _doubtful(c: Compared) -> bool:
    return bool(c.kink.any() or c.wrong.any())


def compare(point: Point, excuse: Allowance = NOTHING) -> list[Compared]:
    """The gradients of every input beside their slopes, each look at what is still open."""
    pulled = [point.pull(bar) for bar in point.directions]
    own = np.split(point.rounding + point.cancelling, point.ends[1:-1])
    names = point.function.input_names
    found = []
    for k, x in enumerate(point.inputs):
        rows = [np.zeros(x.shape) if row[k] is None else row[k] for row in pulled]
        g = np.array([np.asarray(r, dtype=np.float64).reshape(-1) for r in rows])
        g = g.reshape(len(pulled), x.size)
        largest = np.abs(point.directions).max(axis=1, initial=0.0)[:, None]
        empty = np.zeros_like(g)
        terms = float(point.terms[point.ends[k] : point.ends[k + 1]].max(initial=0.0))
        kink = empty.astype(bool)
        start = Compared(names[k], x.shape, g, empty, empty, empty, kink, empty, terms)
        seen = start
        entries = np.arange(x.size)
        for share in LOOKS:
            seen = _look(point, k, seen, entries, share, excuse, own[k] * largest)
            entries = np.flatnonzero((seen.wrong | ~np.isfinite(seen.bound)).any(axis=0))
            if not entries.size:
                break
        found.append(seen)
    return found


def _look(
    point: Point,
    k: int,
    seen: Compared,
    entries: Array,
    share: float,
    excuse: Allowance,
    own: Array,
) -> Compared:
    """Differentiate with respect to these entries of input k; the others stay as they were."""
    x = np.asarray(point.inputs[k], dtype=np.float64).reshape(-1)
    scale = scale_of(x) * share
    wiggle = np.zeros(point.ends[-1])
    part = slice(point.ends[k], point.ends[k + 1])
    drawn = stream(point.seed, f"wiggle/{k}/{share}").standard_normal(x.size)
    noise = np.full(len(point.directions), -1.0)
    bars = None if point.size <= WHOLE else point.directions
    for sizes in (1.0, np.where(x == 0, 1.0, np.minimum(np.abs(x) / scale, 1.0))):
        wiggle[part] = drawn * sizes  # all alike; then each by its own size, within a domain
        found = noise_of(point.along(wiggle), scale, point.unit, bars)
        noise = np.maximum(noise, np.where(np.isfinite(found), found, -1.0))
    noise = np.where(noise >= 0, noise, np.inf)

    def varied(i: int, distances: Array) -> Array:
        return point.varied(k, int(entries[i]), distances)

    s = slopes(varied, x[entries], scale, noise, point.unit)
    g = seen.gradient[:, entries]
    with np.errstate(all="ignore"):
        excused = excuse.absolute + excuse.relative * np.abs(np.nan_to_num(s.value.T))
        off = np.where(np.isfinite(s.bound.T), np.abs(g - s.value.T), 0.0)
    now = {
        "slope": s.value.T,
        "off": np.where(np.isfinite(g), off, np.inf),
        "bound": s.bound.T + own[:, entries],
        "kink": s.kink.T,
        "excused": excused,
    }
    columns = {name: getattr(seen, name).copy() for name in now}
    for name, column in now.items():
        columns[name][:, entries] = column
    return replace(seen, **columns)


# --- in words ------------------------------------------------------------------------


def _plain(c: Compared, note: str = "") -> Check:
    name, resolution, fineness = f"values of {c.name}", c.resolution, c.fineness
    if c.wrong.any():
        return Check(name, "FAIL", WHY, _wrong(c), c.ratio, resolution)
    if not np.isfinite(c.bound).all() or (fineness is not None and fineness > CONCLUSIVE):
        count = int((~np.isfinite(c.bound)).any(axis=0).sum())
        detail = "the error bounds are too wide to prove anything"
        if count:
            detail += f": {count} of {c.slope.shape[1]} entries have no finite derivative"
        return Check(name, "INCONCLUSIVE", WHY, detail, c.ratio, resolution)
    detail = "; ".join(words for words in (note, c.note) if words)
    if c.doubtful:
        detail += "; that is more than 1% of the gradient, and proves nothing"
        return Check(name, "INCONCLUSIVE", WHY, detail, c.ratio, resolution)
    return Check(name, "PASS", WHY, detail, c.ratio, resolution)


def _at_kink(plain: Check, judged: kinks.Judged, stuck: bool, explained: bool) -> Check:
    """What the gradients around the kink say, and the values at a point close by.

    Nothing of an input that is right close by, where a ray is `explained` by one that is not.
    """
    if stuck:
        detail = f"{judged.detail}; a small move does not leave the kink"
        return msgspec.structs.replace(plain, status="INCONCLUSIVE", detail=detail)
    if plain.status != "PASS":
        return msgspec.structs.replace(plain, detail=f"at a point close by: {plain.detail}")
    if explained:
        detail = "on a kink beside which another input is wrong; right at a point close by"
        return msgspec.structs.replace(plain, status="INCONCLUSIVE", detail=detail)
    status: Status = "FAIL" if judged.place == "outside" else "PASS"
    detail = judged.detail
    if judged.place != "outside":
        detail += "; verified at a point close by"
    return msgspec.structs.replace(plain, status=status, detail=detail)


def _wrong(c: Compared) -> str:
    """`entry (0, 1) is 0.2, must be 0.1 +- 3e-13; 4 of 6 entries; 2 times what it should be`."""
    with np.errstate(all="ignore"):
        ratios = np.nan_to_num(np.where(c.wrong, c.off / c.allowed, -1.0), nan=np.inf)
    row, i = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    where = tuple(int(n) for n in np.unravel_index(int(i), c.shape))
    slope_, bound = float(c.slope[row, i]), float(c.allowed[row, i])
    words = [
        f"entry {where} is {float(c.gradient[row, i]):.10g}, must be {slope_:.10g} +- {bound:.1e}",
        f"{int(c.wrong.any(axis=0).sum())} of {c.slope.shape[1]} entries are wrong",
    ]
    shape = _shape_of_error(c)
    return "; ".join([*words, *([shape] if shape else [])])


def _shape_of_error(c: Compared) -> str:
    """What the whole gradient is of what it should be, where that is one word."""
    g, d = c.gradient, c.slope
    known = np.isfinite(d) & np.isfinite(g) & ~c.kink
    if not known.any() or not (d[known] != 0).any():
        return ""
    if not g[known].any():
        return "all of it is zero"
    factor = float((g[known] * d[known]).sum() / (d[known] ** 2).sum())
    near = np.abs(g - factor * d)[known] <= (1 + abs(factor)) * c.bound[known]
    if near.all():
        if abs(factor - 1) < 1e-3:
            return f"all of it is off by {factor - 1:.2g} of itself"
        return "all of it is negated" if abs(factor + 1) < 1e-9 else f"all of it times {factor:.6g}"
    square = len(c.shape) == 2 and c.shape[0] == c.shape[1]
    if square:
        turned = g.reshape(-1, *c.shape).transpose(0, 2, 1).reshape(g.shape)
        if (np.abs(turned - d)[known] <= 2 * c.bound[known]).all():
            return "it is transposed"
    return ""
