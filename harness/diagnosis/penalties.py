"""A penalty of another strength: what is wrong is a multiple of what it adds.

A penalty of strength s adds s u to the loss and s U to the gradients of the weights, u and U
being its value and gradient at strength 1.  A subject that takes it with the strength s + d
gives

    l = L + d u        g = G + d U        and everything else right

with one d in every entry, on every value: d = -s where the penalty is left out, -2 s where its
sign is wrong, s where an L2 penalty lacks its 1/2.  d is fitted on the case that failed, in the
gradients and in the loss each for itself, and held against further values.  Either may be right
(d = 0), since loss and gradients are often written in two places; where both are wrong they must
be so by one d, else it is no penalty that explains them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from backproof.architectures.architecture import is_weight
from backproof.architectures.losses import L1, L2
from backproof.checkers.outcome import operator_at
from backproof.diagnosis.cause import Cause
from backproof.diagnosis.evidence import CONFIRMED_ON, RESOLVED, Evidence, Further
from backproof.diagnosis.shapes import Fitted, multiple
from backproof.reference import network
from backproof.reference.arrays import Array
from backproof.reference.losses import penalties


@dataclass(frozen=True)
class Strength:
    """One penalty, or all of them (`which` is their numbers), taken with another strength.

    `of_gradients` and `of_loss` are the d of each; None where it is right.
    """

    which: tuple[int, ...]
    of_gradients: Fitted | None
    of_loss: Fitted | None

    @property
    def change(self) -> Fitted:
        """d, as the gradients tell it where they do: they have more entries."""
        found = self.of_gradients or self.of_loss
        assert found is not None
        return found


@dataclass(frozen=True)
class Added:
    """What penalties add at strength 1, or at their own where there are several."""

    value: float
    gradients: dict[str, Array]


def of_a_penalty(first: Evidence, further: Further) -> Cause | None:
    """The cause, where what is wrong is what a penalty adds; None for another mistake."""
    found = another_strength(first, further)
    return None if found is None else _told(first, found)


def another_strength(first: Evidence, further: Further) -> Strength | None:
    """The penalty whose strength explains all that is wrong, here and on further values.

    Two penalties of one kind add up to one, so of those none can be told by itself.
    """
    a = first.case.architecture
    if not a.penalties or not explicable(first):
        return None
    kinds = Counter(type(penalty) for penalty in a.penalties)
    alone = (j for j, penalty in enumerate(a.penalties) if kinds[type(penalty)] == 1)
    candidates: list[tuple[int, ...]] = [(j,) for j in alone]
    if len(a.penalties) > 1:
        candidates.append(tuple(range(len(a.penalties))))
    fitted = [found for which in candidates if (found := _fitted(first, which)) is not None]
    fitted.sort(key=lambda found: not known(first, found))  # what is left out before what is odd
    return next((found for found in fitted if _confirmed(found, further)), None)


def explicable(there: Evidence) -> bool:
    """Whether nothing is wrong but the loss and the weights' gradients, and something is."""
    weights = {n for n in there.case.architecture.parameters if is_weight(n)}
    wrong = set(there.wrong)
    shaped = all(
        (g := there.given[n]) is not None and g.shape == there.right[n].shape for n in wrong
    )
    return bool(wrong) and wrong <= {"loss", *weights} and shaped


def added(there: Evidence, which: tuple[int, ...]) -> Added:
    """u and U of a penalty; of several together, of all with their own strengths."""
    a, case = there.case.architecture, there.case
    value = 0.0
    gradients: dict[str, Array] = {}
    for site, penalty, name in network.penalty_sites(a):
        if int(site.split(".")[1]) not in which:
            continue
        one = replace(penalty, strength=1.0) if len(which) == 1 else penalty
        w = network.flat_weight(case, name, case.parameters[name])
        branch = (w > 0).astype(np.int8) if isinstance(penalty, L1) else None
        value += float(penalties.forward(one, w, branch))
        bar = penalties.backward(one, w, branch).reshape(a.parameters[name])
        gradients[name] = gradients[name] + bar if name in gradients else bar
    return Added(value, gradients)


# --- fitting -----------------------------------------------------------------------------


def _fitted(first: Evidence, which: tuple[int, ...]) -> Strength | None:
    """The strength that fits the case, if one does."""
    u = added(first, which)
    wrong = first.wrong
    of_gradients = of_loss = None
    if set(wrong) - {"loss"}:
        g, c, allowed = (_joined(first, u, part) for part in ("given", "right", "allowed"))
        units = _joined(first, u, "added")
        of_gradients = multiple(g - c, units, 2 * allowed)
        if of_gradients is None or abs(of_gradients.k) <= of_gradients.off:
            return None
    if "loss" in wrong:
        off = float(first.allowed["loss"])
        if not u.value > off:
            return None
        of_loss = Fitted((_loss(first) - float(first.right["loss"])) / u.value, off / u.value)
    found = Strength(which, of_gradients, of_loss)
    if of_gradients is not None and of_loss is not None:
        apart = abs(of_gradients.k - of_loss.k)
        if not apart <= of_gradients.off + of_loss.off:
            return None
    return found if _fits(first, found) else None


def _loss(there: Evidence) -> float:
    given = there.given["loss"]
    assert given is not None
    return float(given)


def _joined(there: Evidence, u: Added, part: str) -> Array:
    """One side of all weights' entries in one row, without those that ties leave open."""
    rows = []
    for name in u.gradients:
        side = u.gradients if part == "added" else getattr(there, part)
        row = np.broadcast_to(np.asarray(side[name], np.float64), u.gradients[name].shape)
        rows.append(row[~there.open[name]] if name in there.open else row.reshape(-1))
    return np.concatenate([row.reshape(-1) for row in rows])


def _fits(there: Evidence, found: Strength) -> bool:
    """Whether loss and gradients are what they would be with that strength."""
    u = added(there, found.which)
    if set(there.wrong) - {"loss", *u.gradients}:
        return False
    for name, units in u.gradients.items():
        g = there.given[name]
        if g is None or g.shape != units.shape:
            return False
        d = found.of_gradients or Fitted(0.0, 0.0)
        allowed = 2 * there.allowed[name] + d.off * np.abs(units)
        far = ~(np.abs(g - there.right[name] - d.k * units) <= allowed)
        if (far & ~there.open[name] if name in there.open else far).any():
            return False
    d = found.of_loss or Fitted(0.0, 0.0)
    if there.given.get("loss") is None:
        return found.of_loss is None
    off = abs(_loss(there) - float(there.right["loss"]) - d.k * u.value)
    return bool(off <= 2 * float(there.allowed["loss"]) + d.off * abs(u.value))


def _shows(there: Evidence, found: Strength) -> bool:
    """Whether it is far from what is right here, in all that is said to be wrong."""
    u = added(there, found.which)
    d = found.of_loss
    if d is not None and not abs(d.k) * u.value > RESOLVED * float(there.allowed["loss"]):
        return False
    d = found.of_gradients
    return d is None or any(
        (abs(d.k) * np.abs(units) > RESOLVED * there.allowed[name]).any()
        for name, units in u.gradients.items()
    )


def _confirmed(found: Strength, further: Further) -> bool:
    times = 0
    for there in further:
        if not _fits(there, found):
            return False
        times += _shows(there, found)
        if times == CONFIRMED_ON:
            return True
    return times > 0


# --- words -------------------------------------------------------------------------------


def known(first: Evidence, found: Strength) -> str:
    """The fault of the catalogue that takes this strength; "" for another one."""
    a, d = first.case.architecture, found.change
    penalty = a.penalties[found.which[0]]
    s = penalty.strength if len(found.which) == 1 else 1.0
    if s == 0:
        return ""
    if abs(d.k + s) <= d.off:
        return "penalty_missing"
    if abs(d.k + 2 * s) <= d.off:
        return "penalty_negated"
    doubled = isinstance(penalty, L2) and len(found.which) == 1 and abs(d.k - s) <= d.off
    return "penalty_doubled" if doubled else ""


SAID = {
    "penalty_missing": "left out",
    "penalty_negated": "with the other sign",
    "penalty_doubled": "without its 1/2",
}


def _told(first: Evidence, found: Strength) -> Cause:
    a = first.case.architecture
    site = f"penalties.{found.which[0]}"
    operator, fault = operator_at(a, site), known(first, found)
    if len(found.which) > 1:
        which = "all penalties"
    else:
        which = f"the penalty {operator} at {site}"
    if fault:
        how = SAID[fault]
    elif len(found.which) > 1:
        how = f"taken {Fitted(1 + found.change.k, found.change.off)} times"
    else:
        s = a.penalties[found.which[0]].strength
        how = f"with a strength of {Fitted(s + found.change.k, found.change.off)} for {s:g}"
    if found.of_gradients is None:
        where = "in the loss alone, whose gradients are right"
    elif found.of_loss is None:
        where = "in the gradients alone, whose loss is right"
    else:
        where = "in the loss and in the gradients"
    if fault and found.of_gradients is not None and found.of_loss is not None:
        words = f"{'all penalties' if len(found.which) > 1 else 'the penalty'} {how} {where}"
        return Cause("fault", fault, words, site, operator)
    return Cause("shape", "penalty", f"it has {which} {how} {where}", site, operator)
