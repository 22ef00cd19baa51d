"""What an implementation of networks owes beyond right numbers in one call.

Each is a claim by name, with a sentence that says what goes wrong where it does not hold: on
one call made again (`same_call`), on relations between calls (`relations`), on errors, and on
the slope of the loss that the subject itself reports.  Some implementations report one loss and
differentiate another; each looks right by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..architectures.cases import Case, stream
from ..architectures.targets import target_kind
from ..reference.arrays import Array
from .calls import Asked, Subject, ask, timed_out
from .checks import Check
from .comparison import Status
from .functions.slopes import noise_of, scale_of, slopes
from .noise import UNIT
from .relations import in_halves, permuted, scaled
from .same_call import accumulated, interleaved, repeated, strided, unchanged


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
    becomes a FAIL of the claim, except that it did not answer in time, which is raised.
    """
    asked = Asked(ask(subject, case), subject, accumulate)
    return tuple(_checks(asked, expected or {}))


def _checks(asked: Asked, expected: Mapping[str, str]) -> Iterator[Check]:
    for name, claim in CLAIMS.items():
        with np.errstate(all="ignore"):
            try:
                found = claim.test(asked)
            except Exception as error:  # the subject's own: that is what was found
                if timed_out(error):
                    raise
                words = str(error).strip().splitlines() or [type(error).__name__]
                found = f"it raises: {words[0][:200]}"
        if found is None:
            continue
        status: Status = "FAIL" if found else "PASS"
        yield Check(
            name, status, claim.why if found else "", found, expected=expected.get(name, "")
        )


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
    if target_kind(a.loss) != "indices":
        return None
    target = case.targets["loss"]
    classes = a.edges[a.loss_sources["loss"][0]][-1]
    wrong = target.copy()
    wrong.reshape(-1)[0] = classes
    try:
        found = asked.again(replace(case, targets={**case.targets, "loss": wrong}))
    except Exception as error:  # as it should
        if timed_out(error):
            raise
        return ""
    if not np.isfinite(found.loss):
        return ""
    return f"class {classes} of {classes} (the first is 0) has the loss {found.loss:.6g}"


CLAIMS: Mapping[str, Claim] = {
    "repeatable": Claim("a gradient that changes by itself cannot be debugged", repeated),
    "interleaved calls": Claim("state that outlives a call breaks a second network", interleaved),
    "accumulation": Claim("gradients of several batches must add up when asked", accumulated),
    "caller's arrays": Claim("writing into them changes somebody else's data", unchanged),
    "strided arrays": Claim("a transposed or sliced array has gaps", strided),
    "permuted batch": Claim("the order of the examples must not matter", permuted),
    "halved batch": Claim("a batch is a sum over its examples", in_halves),
    "scaled cotangent": Claim("loss scaling and a minus sign must go through", scaled),
    "own loss": Claim("it trains on something else than what it reports", _own_loss),
    "errors": Claim("a class that does not exist trains in silence on another one", _errors),
}
