"""What an implementation of networks owes beyond right numbers in one call.

Each is a claim by name, with a sentence that says what goes wrong where it does not hold.
Two gradients that should be the same are compared within what rounding may do to either, by
the normwise model, which allows textbook formulas that cancel.

A relation between calls (a permuted batch, a batch in two halves, a scaled cotangent) is
asked for only where the reference has it: batch normalisation, say, couples the examples.
The gradient is also held against the slope of the loss that the subject itself reports.  Some
implementations report one loss and differentiate another; each looks right by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..architectures import losses as ls
from ..architectures import operators as ops
from ..architectures.cases import Case, draw_case, stream
from ..reference import network
from ..reference.arrays import Array, Arrays
from . import rounding
from .checks import Check
from .comparison import ALPHA, Status
from .functions.slopes import noise_of, scale_of, slopes
from .noise import UNIT

Answer = tuple[Any, Mapping[str, Any]]
Subject = Callable[[Case], Answer]


@dataclass(frozen=True)
class Call:
    """One call: a case, and the subject's gradients of it in float64."""

    case: Case
    loss: float
    gradients: Arrays

    @cached_property
    def allowed(self) -> Arrays:
        """What rounding may do to each entry."""
        measured = rounding.measure(self.case, seed=self.case.seed, normwise=True)
        return {
            n: measured.factor(ALPHA / max(g.size, 1)) * measured.entries(n) + measured.floor
            for n, g in self.gradients.items()
        }


class Asked(NamedTuple):
    """A case that the subject has right, and the ways to ask it again.

    `accumulate` asks it to add to the gradients of the call before; None where it cannot.
    """

    first: Call
    subject: Subject
    accumulate: Subject | None

    def again(self, case: Case) -> Call:
        """Another call, with arrays of its own."""
        return _call(self.subject, case)


class Claim(NamedTuple):
    """The test of one claim: "" where it holds, else what was found; None if it is not asked."""

    why: str
    test: Callable[[Asked], str | None]


def check(
    case: Case,
    subject: Subject,
    accumulate: Subject | None = None,
    expected: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """Every claim that this case can tell something about.

    `expected` maps claims that are known not to hold to the reason.  What the subject raises
    becomes a FAIL of the claim, except
    that it did not answer in time, which is raised.
    """
    asked = Asked(_call(subject, case), subject, accumulate)
    return tuple(_checks(asked, expected or {}))


def _checks(asked: Asked, expected: Mapping[str, str]) -> Iterator[Check]:
    for name, claim in CLAIMS.items():
        with np.errstate(all="ignore"):
            try:
                found = claim.test(asked)
            except Exception as error:  # the subject's own: that is what was found
                if _timed_out(error):
                    raise
                words = str(error).strip().splitlines() or [type(error).__name__]
                found = f"it raises: {words[0][:200]}"
        if found is None:
            continue
        status: Status = "FAIL" if found else "PASS"
        yield Check(
            name, status, claim.why if found else "", found, expected=expected.get(name, "")
        )


def _call(subject: Subject, case: Case) -> Call:
    """Ask with arrays that the subject may write to."""
    return Call(case, *_answer(subject, writeable(case)))


def _timed_out(error: Exception) -> bool:
    """Whether a program did not answer in time: then nothing more is asked of this case."""
    return getattr(error, "status", "") == "TIMEOUT"


def _answer(subject: Subject, case: Case) -> tuple[float, Arrays]:
    loss, gradients = subject(case)
    found = {n: np.array(g, dtype=np.float64) for n, g in gradients.items() if g is not None}
    return float(loss), found


def _differ(expected: Arrays, got: Arrays, allowed: Arrays, *, times: float = 2.0) -> str:
    """ "" or the worst entry where two sets of gradients differ by more than rounding."""
    for name, e in expected.items():
        if name not in got:
            return f"there is no gradient of {name}"
        g = got[name]
        if g.shape != e.shape:
            return f"{name} has shape {g.shape}, was {e.shape}"
        off = np.where(np.isfinite(e) | np.isfinite(g), np.abs(g - e), 0.0)
        wrong = ~(off <= times * allowed[name])
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            entry = f"{name}{list(where) if where else ''}"
            return f"{entry} is {g[where]:.10g} where {e[where]:.10g} is right"
    return ""


# --- the same call ---------------------------------------------------------------------


def _repeated(asked: Asked) -> str:
    first = asked.first
    found = _differ(first.gradients, asked.again(first.case).gradients, first.allowed)
    return f"a second call gives another gradient: {found}" if found else ""


def _interleaved(asked: Asked) -> str:
    first = asked.first
    case = first.case
    asked.again(draw_case(case.architecture, case.seed + 1, case.lane, case.dtype))
    found = _differ(first.gradients, asked.again(case).gradients, first.allowed)
    return f"a call on other values in between changes it: {found}" if found else ""


def _accumulated(asked: Asked) -> str | None:
    if asked.accumulate is None:
        return None
    first = asked.first
    asked.again(first.case)
    added = _call(asked.accumulate, first.case)
    twice = {n: 2 * g for n, g in first.gradients.items()}
    if found := _differ(twice, added.gradients, first.allowed, times=4.0):
        return f"a call that adds to the one before does not give twice the gradient: {found}"
    found = _differ(first.gradients, asked.again(first.case).gradients, first.allowed)
    return f"a call that writes still holds what was added before: {found}" if found else ""


def _unchanged(asked: Asked) -> str:
    case = writeable(asked.first.case)
    _answer(asked.subject, case)
    pairs = zip(_arrays(asked.first.case), _arrays(case), strict=True)
    changed = [n for (n, x), (_, y) in pairs if not np.array_equal(x, y, equal_nan=True)]
    return f"it wrote to {' and '.join(changed)}" if changed else ""


def _strided(asked: Asked) -> str:
    first = asked.first
    _, strided = _answer(asked.subject, _over(first.case, _with_gaps))
    found = _differ(first.gradients, strided, first.allowed)
    return f"another gradient than for the same numbers in one block: {found}" if found else ""


def _with_gaps(x: Array) -> Array:
    """The same numbers in Fortran's order, every other place of a larger array."""
    wide = np.zeros((2, *x.T.shape), x.dtype)
    wide = np.moveaxis(np.repeat(wide[:1], 2, axis=0), 0, -1)
    gaps = wide[..., 0].T
    gaps[...] = x
    return np.asarray(gaps)


def writeable(case: Case) -> Case:
    """The case with arrays of its own, which whoever gets it may write to."""
    return _over(case, np.copy)


def _over(case: Case, change: Callable[[Array], Array]) -> Case:
    """The case with every array changed."""

    def each(values: Mapping[str, Array]) -> Arrays:
        return {name: change(v) for name, v in values.items()}

    return replace(
        case,
        parameters=each(case.parameters),
        input=None if case.input is None else change(case.input),
        targets=each(case.targets),
        data=each(case.data),
    )


def _arrays(case: Case) -> Iterator[tuple[str, Array]]:
    yield from case.parameters.items()
    if case.input is not None:
        yield "input", case.input
    yield from ((f"the target of {site}", t) for site, t in case.targets.items())
    yield from case.data.items()


# --- relations -------------------------------------------------------------------------


def _permuted(asked: Asked) -> str | None:
    case = asked.first.case
    rows = _rows(case)
    if rows < 2:
        return None
    order = np.roll(np.arange(rows), 1)
    return _relation(
        asked,
        [_taking(case, order)],
        lambda found: _input_taken(found[0], np.argsort(order)),
        "the examples in another order give another gradient",
    )


def _in_halves(asked: Asked) -> str | None:
    case = asked.first.case
    a, rows = case.architecture, _rows(case)
    if rows < 2 or a.penalties or a.auxiliary:
        return None
    mean = getattr(a.loss, "reduction", "sum") in ("mean", "batch_mean")
    parts = np.arange(rows // 2), np.arange(rows // 2, rows)
    try:
        halves = [
            _taking(replace(case, architecture=_with_rows(case, len(part))), part) for part in parts
        ]
    except ValueError:  # an operator's own sizes depend on the batch
        return None
    shares = [len(part) / rows if mean else 1.0 for part in parts]

    def joined(found: list[Arrays]) -> Arrays:
        weighted = [{n: w * g for n, g in f.items()} for w, f in zip(shares, found, strict=True)]
        one, two = weighted
        return {
            n: np.concatenate([one[n], two[n]]) if n == "input" else one[n] + two[n] for n in one
        }

    return _relation(
        asked, halves, joined, "the gradients of two halves of the batch do not add up"
    )


def _with_rows(case: Case, rows: int) -> Any:
    a = case.architecture
    assert a.input is not None
    return msgspec.structs.replace(a, input=(rows, *a.input[1:]))


def _scaled(asked: Asked) -> str | None:
    case = asked.first.case
    a = case.architecture
    if not isinstance(a.loss, ls.WeightedSum) or a.penalties or a.auxiliary:
        return None
    for factor in (-1.0, 0.5, 0.0):
        loss = {"loss": np.asarray(factor * case.targets["loss"], case.dtype)}
        found = _relation(
            asked,
            [replace(case, targets=loss)],
            lambda given, factor=factor: given[0],  # type: ignore[misc]
            f"{factor:g} times the cotangent does not give {factor:g} times the gradient",
            factor,
        )
        if found:
            return found
    return ""


def _relation(
    asked: Asked,
    cases: list[Case],
    join: Callable[[list[Arrays]], Arrays],
    words: str,
    factor: float = 1.0,
) -> str | None:
    """Whether the gradients of other cases, joined, are `factor` times those of the first.

    None where the reference has no such relation.
    """
    names = set(asked.first.gradients) & {*asked.first.case.architecture.parameters, "input"}
    for subject in (_reference, asked.subject):
        first = asked.first if subject is asked.subject else _call(subject, asked.first.case)
        calls = [_call(subject, case) for case in cases]
        joined = join([{n: c.gradients[n] for n in names} for c in calls])
        expected = {n: factor * first.gradients[n] for n in names}
        allowed = {n: _most(asked.first.allowed[n], calls, n) for n in names}
        found = _differ(expected, joined, allowed)
        if found and subject is _reference:
            return None
        if found:
            return f"{words}: {found}"
    return ""


def _most(allowed: Array, calls: list[Call], name: str) -> Array:
    """What rounding may do to a tensor in the first call and the others together."""
    total = allowed
    for call in calls:
        other = call.allowed[name]
        total = total + (other if other.shape == allowed.shape else other.max(initial=0.0))
    return total


def _reference(case: Case) -> Answer:
    return network.value_and_gradients(case)


def _rows(case: Case) -> int:
    """The number of examples; 0 where not every array has one row for each."""
    x = case.input
    layers = case.architecture.layers
    if x is None or case.data or any(isinstance(layer, ops.Variable) for layer in layers):
        return 0
    rows = len(x)
    return rows if all(t.ndim and len(t) == rows for t in case.targets.values()) else 0


def _taking(case: Case, rows: Array) -> Case:
    assert case.input is not None
    targets = {site: t[rows] for site, t in case.targets.items()}
    return replace(case, input=case.input[rows], targets=targets)


def _input_taken(found: Arrays, rows: Array) -> Arrays:
    return {n: g[rows] if n == "input" else g for n, g in found.items()}


# --- its own loss, and its errors ------------------------------------------------------


def _own_loss(asked: Asked) -> str | None:
    first = asked.first
    case = first.case
    if case.dtype != "float64" or not case.parameters:
        return None
    rng = stream(case.seed, "own loss")
    along = {n: scale_of(p) * rng.standard_normal(p.shape) for n, p in case.parameters.items()}
    unit = UNIT["float64"]

    def losses(distances: Array) -> Array:
        rows = []
        for t in distances:
            moved = {n: np.asarray(p + t * along[n]) for n, p in case.parameters.items()}
            rows.append([asked.again(replace(case, parameters=moved)).loss])
        return np.array(rows)

    noise = noise_of(losses, 1.0, unit)
    found = slopes(lambda _, t: losses(t), np.ones(1), 1.0, noise, unit)
    slope, bound = float(found.value[0, 0]), float(found.bound[0, 0])
    if not np.isfinite(bound):
        return None
    got = sum(float(np.sum(first.gradients[n] * v)) for n, v in along.items())
    own = sum(float(np.sum(first.allowed[n] * np.abs(v))) for n, v in along.items())
    if abs(got - slope) <= bound + own:
        return ""
    return (
        f"along a random direction the loss that it reports has slope {slope:.10g} "
        f"+- {bound + own:.1e}, by its gradient it is {got:.10g}"
    )


def _errors(asked: Asked) -> str | None:
    case = asked.first.case
    a = case.architecture
    if ls.target_kind(a.loss) != "indices":
        return None
    target = case.targets["loss"]
    classes = a.edges[a.loss_sources["loss"][0]][-1]
    wrong = target.copy()
    wrong.reshape(-1)[0] = classes
    try:
        found = asked.again(replace(case, targets={**case.targets, "loss": wrong}))
    except Exception as error:  # as it should
        if _timed_out(error):
            raise
        return ""
    if not np.isfinite(found.loss):
        return ""
    return f"class {classes} of {classes} (the first is 0) has the loss {found.loss:.6g}"


CLAIMS: Mapping[str, Claim] = {
    "repeatable": Claim("a gradient that changes by itself cannot be debugged", _repeated),
    "interleaved calls": Claim("state that outlives a call breaks a second network", _interleaved),
    "accumulation": Claim("gradients of several batches must add up when asked", _accumulated),
    "caller's arrays": Claim("writing into them changes somebody else's data", _unchanged),
    "strided arrays": Claim("a transposed or sliced array has gaps", _strided),
    "permuted batch": Claim("the order of the examples must not matter", _permuted),
    "halved batch": Claim("a batch is a sum over its examples", _in_halves),
    "scaled cotangent": Claim("loss scaling and a minus sign must go through", _scaled),
    "own loss": Claim("it trains on something else than what it reports", _own_loss),
    "errors": Claim("a class that does not exist trains in silence on another one", _errors),
}
