"""What a backward pass owes its caller beyond right numbers at one cotangent.

Each is a claim by name, with a sentence that says what goes wrong where it does not hold.
Gradients are compared within what their own arithmetic may do (`Point.rounding`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...architectures.cases import stream
from ...reference.arrays import Array
from ..checks import Check
from ..comparison import Status
from .function import Layout
from .points import OFF, Point, unit_of


class Claim(NamedTuple):
    """The test of one claim: "" where it holds, else what was found."""

    why: str
    test: Callable[[Point], str]


def check(point: Point) -> list[Check]:
    """Every claim, in the order in which one would look for the cause."""
    return [_check(name, claim, point) for name, claim in CLAIMS.items()]


def _check(name: str, claim: Claim, point: Point) -> Check:
    with np.errstate(all="ignore"):
        try:
            found = claim.test(point)
        except Exception as error:  # the function's own: that is what was found
            found = f"it raises {type(error).__name__}: {str(error).splitlines()[0][:200]}"
    status: Status = "FAIL" if found else "PASS"
    return Check(name, status, claim.why, found)


def form(point: Point) -> list[Check]:
    """Whether each input has a gradient, of its own shape and dtype."""
    gradients = point.pull(point.mixture)
    why = "an optimiser skips a parameter without a gradient, and broadcasts a wrong shape"
    found = []
    for name, x, g in zip(point.function.input_names, point.inputs, gradients, strict=True):
        status: Status = "PASS"
        detail = ""
        if g is None:
            detail = "there is none (None), which says that it is 0"
        elif g.shape != x.shape:
            status, detail = "FAIL", f"it has shape {g.shape}, must be {x.shape}"
        elif g.dtype != x.dtype:
            status, detail = "FAIL", f"it has dtype {g.dtype}, must be {x.dtype}"
        found.append(Check(f"form of {name}", status, why, detail))
    return found


# --- the claims ----------------------------------------------------------------------


def _repeated(point: Point) -> str:
    again = Point(point.function, point.inputs, point.seed)
    outputs = zip(point.outputs, again.outputs, strict=True)
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in outputs):
        return "the outputs differ from one call to the next"
    first = point.gradient(point.mixture)
    for words, second in (
        ("a second call", again.gradient(point.mixture)),
        ("going backward twice from one forward pass", point.gradient(point.mixture)),
    ):
        if found := _differ(point, first, second, strict=True):
            return f"{words} gives another gradient: {found}"
    return ""


def _interleaved(point: Point) -> str:
    rng = stream(point.seed, "interleaved")
    elsewhere = [
        (x * (1 + rng.uniform(0.25, 0.5, x.shape)) + 0.125).astype(x.dtype) for x in point.inputs
    ]
    alone = point.gradient(point.mixture)
    first = point.function.linearise(point.inputs)
    try:
        second = Point(point.function, elsewhere, point.seed)
    except Exception:  # outside its domain, which is its right
        second = point.moved(OFF, "interleaved")
    if [y.shape for y in second.outputs] != [y.shape for y in point.outputs]:
        return ""
    found = _differ(point, alone, point.gradient(point.mixture, first))
    return f"a forward pass on other inputs in between changes it: {found}" if found else ""


def _zero(point: Point) -> str:
    g = point.gradient(np.zeros(point.size))
    if not np.isfinite(g).all():
        return "a cotangent of zeros gives a gradient that is not finite"
    return "" if not g.any() else f"a cotangent of zeros gives {_largest(g)}"


def _scaled(point: Point) -> str:
    base = point.gradient(point.mixture)
    narrow = unit_of(*point.inputs, *point.outputs) == 2.0**-11  # float16 ends at 65504
    large = () if narrow else (2.0**16, 2.0**-16)
    for factor in (-1.0, 0.5, -0.25, *large):
        if found := _differ(point, factor * base, point.gradient(factor * point.mixture), factor):
            return f"{factor:g} times the cotangent is not {factor:g} times the gradient: {found}"
    return ""


def _additive(point: Point) -> str:
    other = np.round(stream(point.seed, "additive").standard_normal(point.size) * 8) / 8
    apart = point.gradient(point.mixture) + point.gradient(other)
    found = _differ(point, apart, point.gradient(point.mixture + other), 4.0)
    return f"the gradient for a sum is not the sum of the gradients: {found}" if found else ""


def _laid_out(point: Point, layout: Layout, bar: Array) -> str:
    g = point.vector(point.pull(bar, layout))
    found = _differ(point, point.gradient(bar), g)
    return f"another gradient than for the same numbers in one block: {found}" if found else ""


def _strided(point: Point) -> str:
    return _laid_out(point, "strided", point.mixture)


def _expanded(point: Point) -> str:
    return _laid_out(point, "expanded", np.full(point.size, 0.625))


def _unused(point: Point) -> str:
    bars = point.cotangents(point.mixture)
    for j in range(len(bars) if len(bars) > 1 else 0):
        alone = [bar if i == j else None for i, bar in enumerate(bars)]
        zeros = [bar if i == j else np.zeros_like(bar) for i, bar in enumerate(bars)]
        g = point.vector(point.lin.pull(alone))
        if found := _differ(point, point.vector(point.lin.pull(zeros)), g):
            return f"with output {j} alone in use: {found}"
    return ""


def _unchanged(point: Point) -> str:
    fresh = Point(point.function, point.inputs, point.seed)
    fresh.gradient(point.mixture)
    changed = fresh.lin.changed()
    return f"it wrote to {' and '.join(changed)}" if changed else ""


def _differ(
    point: Point, expected: Array, g: Array, factor: float = 1.0, *, strict: bool = False
) -> str:
    """ "" or the entry where two gradients differ by more than rounding.

    With `strict` by more than sums in another order do: then nothing was perturbed.
    """
    own = point.exactness if strict else point.rounding + point.cancelling
    allowed = 2 * max(abs(factor), 1.0) * own
    both = np.isfinite(expected) | np.isfinite(g)
    off = np.where(both, np.abs(g - expected), 0.0)
    wrong = ~(off <= allowed)
    if not wrong.any():
        return ""
    i = int(np.argmax(wrong))
    k = int(np.searchsorted(point.ends, i, side="right")) - 1
    where = tuple(int(n) for n in np.unravel_index(i - point.ends[k], point.inputs[k].shape))
    name = point.function.input_names[k]
    return f"{name}{list(where) if where else ''} is {g[i]:.10g} where {expected[i]:.10g} is right"


def _largest(g: Array) -> str:
    return f"up to {np.abs(g).max():.6g}"


CLAIMS: Mapping[str, Claim] = {
    "repeatable": Claim("a gradient that changes by itself cannot be debugged", _repeated),
    "interleaved calls": Claim(
        "state outside the call breaks a layer that is used twice", _interleaved
    ),
    "zero cotangent": Claim("a masked example must contribute nothing, not NaN", _zero),
    "scaled cotangent": Claim("loss scaling and a minus sign must go through unchanged", _scaled),
    "sum of cotangents": Claim("a backward pass is linear in what comes from above", _additive),
    "strided cotangent": Claim("a transpose above hands down an array with gaps", _strided),
    "expanded cotangent": Claim("`sum()` above hands down one number seen many times", _expanded),
    "unused outputs": Claim("an output that nothing uses has no cotangent at all", _unused),
    "caller's arrays": Claim("writing into them changes somebody else's gradient", _unchanged),
}


def names() -> Sequence[str]:
    """The claims' names."""
    return tuple(CLAIMS)
