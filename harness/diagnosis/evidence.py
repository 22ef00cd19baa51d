"""What a subject says of one case, beside what is right there and what rounding may do.

The subject is asked on the case that failed, and then on further values of the same network:
a name, a factor, a pattern that does not come back there was a coincidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from backproof.architectures.cases import EXTREMES, Case, Lane, draw_case, stream
from backproof.architectures.surgery import rebuilt
from backproof.checkers import rounding, ties
from backproof.checkers.comparison import ALPHA, allowed_in_entries
from backproof.checkers.noise import UNIT
from backproof.checkers.rounding import Rounding, norm, promote
from backproof.checkers.verdict import Subject
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays

DRAWS = 4
"""Further draws of values at most; where the lane is not generic, half of them are."""

CLOSE_DRAWS = 4
"""Then so many close by, where what shows for few values shows again."""

CLOSE = 2.0**-4
"""By how much those are off, relatively: far more than rounding, too little for other pieces."""

PLAIN_DRAWS = 12
"""At last so many generic ones more, where the case is none: what its lane's values have in common
(zeros, units that are dead or saturated) may be why two mistakes come to the same there."""

SIZE = 2.0**5
"""By how much values are scaled to reach other pieces of functions, and other magnitudes."""

CONFIRMED_ON = 2
"""Further draws on which an explanation must fit and show; one, where no more show it."""

RESOLVED = 10.0
"""A draw shows a mistake that changes an entry by so many times what rounding is allowed.

The subject agrees with that change within one of them: to a tenth.
"""

MOST_REFUSED = 2
"""Draws on which a subject may fail before it is left in peace: it may be slow to do so."""

BIASED = 0.8
"""Noise of 32 replicas averages to 0.18 of its size, to 0.8 once in 10^5 times; what mistakes the
replicas for a batch is off alike in all of them, or in all but one: to 0.98 at least."""

Given = Mapping[str, Array | None]


@dataclass(frozen=True)
class Evidence:
    """One case, seen from three sides.

    `case` and `trace` are the reference's pass, in float64 where everything that was given is
    finite, else in the dtype of the case, where it overflows alike.  `right` are its gradients
    and its loss, `given` the subject's: None for one that is missing.  `allowed` is what
    rounding may do to each entry, of the reference and of the subject.  `open` marks the
    entries that depend on a choice at ties.
    """

    case: Case
    trace: network.Trace
    right: Arrays
    given: Given
    noise: Rounding
    allowed: Arrays
    open: Arrays

    def same(self, name: str, w: Array | None, allowed: Mapping[str, Array] | None = None) -> bool:
        """Whether the subject's gradient of a tensor is w, as far as rounding can tell.

        `allowed` is what rounding may do to w, by default the right gradient's share of it.
        """
        g = self.given[name]
        if g is None or w is None:
            return g is w
        if g.shape != w.shape:
            return False
        finite = np.isfinite(w)
        if not np.array_equal(finite, np.isfinite(g)):
            return False
        bound = self.larger(name, w) * self.allowed[name] if allowed is None else allowed[name]
        if bound.shape != w.shape:  # both are of another shape than is right
            bound = np.full(w.shape, np.max(bound, initial=0.0))
        with np.errstate(invalid="ignore"):
            close = (np.abs(g - w) <= bound) | ~finite
        open_ones = self.open.get(name)
        if open_ones is not None and open_ones.shape == w.shape:
            close |= open_ones
        return bool(close.all())

    def near(self, name: str, w: Array | None) -> bool:
        """Whether it is w to half of its digits: no mistake that is not w's own is so near."""
        g = self.given[name]
        if g is None or w is None or g.shape != w.shape:
            return g is w
        with np.errstate(invalid="ignore"):
            off = np.where(g == w, 0.0, g - w)  # infinities too
        unit = UNIT[self.noise.dtype]
        return norm(off) <= np.sqrt(unit) * norm(w) or self.same(name, w)

    def larger(self, name: str, w: Array) -> float:
        """By how much the rounding of w exceeds that of the right gradient, which is known.

        A wrong gradient may be larger than the terms that the right one is summed from; its
        rounding grows with it.
        """
        terms = self.noise.norm(name) / UNIT[self.noise.dtype]
        size = norm(np.where(np.isfinite(w), w, 0.0))
        return max(1.0, size / terms) if terms > 0 else 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """What the subject gives, the loss first and then in backward order."""
        return tuple(n for n in ("loss", *self.case.architecture.tensors) if n in self.given)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Those that are wrong, the first in backward order first."""
        with np.errstate(all="ignore"):
            return tuple(n for n in self.names if not self.same(n, self.right[n]))

    def gradients(self, overrides: network.Overrides) -> Mapping[str, Any]:
        """The reference's gradients with faults planted, from the same forward pass."""
        with np.errstate(all="ignore"):
            return network.backward(self.case, self.trace, overrides=overrides)

    def allowed_with(self, overrides: network.Overrides) -> Arrays | None:
        """What rounding may do to these, as it is measured of the right ones.

        None where a planted function does not take replicas, so that its deviations are no
        noise: noise of K replicas averages to 1/sqrt(K) of its size, what a function mistakes
        for another batch does not.
        """
        case = replace(self.case, dtype=self.noise.dtype)
        try:
            noise = rounding.measure(case, seed=case.seed, normwise=True, overrides=overrides)
        except Exception:  # nor what it computes with
            return None
        names = [n for n in self.names if n != "loss" and self.given[n] is not None]
        for name in names:
            off, size = noise.deviations[name].mean(axis=0), noise.norm(name)
            if off.shape != self.allowed[name].shape or not norm(off) <= BIASED * size:
                return None
        return {n: allowed_in_entries(noise, n, ALPHA) + self.allowed[n] for n in names}


def gather(case: Case, subject: Subject) -> Evidence | None:
    """Ask a subject about a case; None where that leaves the range of its dtype.

    What the subject raises is raised.
    """
    noise = rounding.measure(case, seed=case.seed, normwise=True)
    loss, gradients = subject(case)
    if noise.overflows:
        return None
    given: dict[str, Array | None] = dict.fromkeys(case.architecture.parameters)
    given |= {n: _plain(g) for n, g in gradients.items() if n in case.architecture.tensors}
    if np.ndim(loss) == 0:
        given["loss"] = _plain(loss)
    finite = all(np.isfinite(g).all() for g in given.values() if g is not None)
    there = promote(case) if finite else case
    with np.errstate(all="ignore"):
        trace = network.forward(there)
        right = network.backward(there, trace) | {"loss": np.asarray(trace.loss)}
    allowed = {n: 2 * allowed_in_entries(noise, n, ALPHA) for n in given}
    found = Evidence(there, trace, right, given, noise, allowed, {})
    return _beside_ties(found, case)


def _plain(g: Any) -> Array | None:
    return None if g is None else np.asarray(g, np.float64)


def _beside_ties(found: Evidence, case: Case) -> Evidence:
    """The evidence without what a choice at ties decides, where something else is wrong too."""
    tied = ties.find(case, found.noise, found.noise.factor(ALPHA))
    if not tied:
        return found
    masks = {n: m for n, m in ties.undecided(case, tied).items() if n in found.given and m.any()}
    decided = replace(found, open=masks)
    return decided if decided.wrong else found


# --- further values ----------------------------------------------------------------------


class Further:
    """Evidence on further values of the same network, drawn when it is first looked at.

    Drawn anew first, then close by.  A subject that can only be asked once gives none:
    whatever it raises there is not the failure at hand.
    """

    def __init__(self, case: Case, subject: Subject) -> None:
        self._drawn = _drawn(case, subject)
        self._seen: list[Evidence] = []

    def __iter__(self) -> Iterator[Evidence]:
        yield from self._seen
        for found in self._drawn:
            self._seen.append(found)
            yield found


def _drawn(case: Case, subject: Subject) -> Iterator[Evidence]:
    refused = 0
    for make in _makers(case):
        try:
            found = gather(make(), subject)
        except Exception:  # what it does on other values is not the failure at hand
            refused += 1
            if refused == MOST_REFUSED:
                return
            continue
        if found is not None:
            yield found


def _makers(case: Case) -> Iterator[Callable[[], Case]]:
    """Cases to ask about; drawing one may fail as well."""
    draws = stream(case.seed, "diagnosis")
    own: list[Lane] = [case.lane] * (DRAWS // 2)
    generic: list[Lane] = ["generic"] * (DRAWS - len(own))
    for lane in own + generic:
        kinds = len(EXTREMES)  # an extreme of the same kind
        seed = int(draws.integers(2**32)) // kinds * kinds + case.seed % kinds
        yield partial(draw_case, case.architecture, seed, lane, case.dtype)
    for k in range(CLOSE_DRAWS):
        yield partial(moved, case, CLOSE, k)
    for _ in range(PLAIN_DRAWS if case.lane != "generic" else 0):
        yield partial(
            draw_case, case.architecture, int(draws.integers(2**32)), "generic", case.dtype
        )


def moved(case: Case, scale: float, k: int) -> Case:
    """The case with every parameter and the input off by a relative size, at random by k.

    Its data and targets stay.
    """

    def off(name: str, x: Array) -> Array:
        draw = stream(case.seed, f"close by/{k}/{name}").standard_normal(x.shape)
        near: Array = (x * (1 + scale * draw)).astype(x.dtype)
        near.flags.writeable = False
        return near

    x = None if case.input is None else off("input", case.input)
    return replace(case, parameters={n: off(n, p) for n, p in case.parameters.items()}, input=x)


def close_by(case: Case, subject: Subject, scale: float, k: int) -> Evidence | None:
    """Evidence on the case a little moved; None where there is none to be had."""
    try:
        return gather(moved(case, scale, k), subject)
    except Exception:  # what it does on other values is not the failure at hand
        return None


def of_other_sizes(case: Case, subject: Subject) -> Iterator[Evidence]:
    """Evidence where parameters and input are much larger or smaller, or parameters alone are.

    What saturates, clips or rounds to whole numbers there is told from what always does.
    """
    for of_parameters, of_input in ((SIZE, SIZE), (1 / SIZE, 1 / SIZE), (1 / SIZE, 1.0)):
        x = None if case.input is None else _times(case.input, of_input)
        parameters = {n: _times(p, of_parameters) for n, p in case.parameters.items()}
        try:
            found = gather(replace(case, parameters=parameters, input=x), subject)
        except Exception:  # what it does on other values is not the failure at hand
            continue
        if found is not None:
            yield found


def _times(x: Array, factor: float) -> Array:
    found: Array = (x * factor).astype(x.dtype)
    found.flags.writeable = False
    return found


def of_another_batch(case: Case, subject: Subject) -> Evidence | None:
    """Evidence on the same network for one example more, where it is one.

    Two mistakes that come to the same because two sizes are equal part there.
    """
    a = case.architecture
    if a.input is None:
        return None
    first, *rest = a.input
    try:
        larger = rebuilt(a, input=(first + 1, *rest))
    except ValueError:  # something in it is made for this batch
        return None
    if larger.operators != a.operators or len(larger.layers) != len(a.layers):
        return None
    try:
        return gather(draw_case(larger, case.seed, "generic", case.dtype), subject)
    except Exception:  # it is made for this batch itself
        return None
