"""The same network, the same gradients, for every checker: what the benchmarks share.

A checker is a function of a `Network`: a case, and a subject whose gradients are held to be
those of the case's loss.  Everybody is handed one function, the reference's forward pass in
NumPy, and as its backward pass the gradients that the subject returns for the tensors in
`names`, in the way that the checker wants such a thing (`torch.autograd.Function`,
`jax.custom_vjp`, `autograd.extend.primitive`).  Everybody has its own defaults; where a
default asks for forward mode or second derivatives, which a backward pass alone does not
have, reverse mode and order 1 are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from backproof.architectures.cases import Case, stream
from backproof.checkers import with_jax
from backproof.checkers.verdict import Subject, reference_subject, verify
from backproof.reference import network as reference
from backproof.reference.arrays import Array

Outcome = Literal["passed", "flagged", "raised", "undecided"]
"""What a checker says of a gradient.  `raised` is an exception that is not its own way to say

no: loud, so nobody overlooks it.  `undecided` is Backproof's INCONCLUSIVE or ERROR.
"""

CAUGHT: tuple[Outcome, ...] = ("flagged", "raised")


@dataclass(frozen=True)
class Network:
    """The loss of a case as a function of the tensors in `names`, with a subject's gradients."""

    case: Case
    subject: Subject
    names: tuple[str, ...]

    @property
    def values(self) -> list[Array]:
        """The point at which the gradients are checked: arrays of the caller's own."""
        return [np.array(_value(self.case, name)) for name in self.names]

    def at(self, values: Sequence[Any]) -> Case:
        """The case with other values."""
        given = {n: np.asarray(v) for n, v in zip(self.names, values, strict=True)}
        x = given.pop("input", self.case.input)
        return replace(self.case, parameters={**self.case.parameters, **given}, input=x)

    def loss(self, values: Sequence[Any]) -> float:
        """The reference's forward pass."""
        with np.errstate(all="ignore"):
            return float(reference.forward(self.at(values)).loss)

    def gradients(self, values: Sequence[Any]) -> list[Any]:
        """The subject's, in the order of `names`; None for one that is missing."""
        _, g = self.subject(self.at(values))
        return [g.get(name) for name in self.names]

    def handed(self, case: Case) -> tuple[Array, Mapping[str, Array]]:
        """The subject without what the others are not handed: cotangents of edges and of uses."""
        loss, g = self.subject(case)
        return loss, {name: g[name] for name in self.names if name in g}


Checker = Callable[[Network], Outcome]


def all_names(case: Case) -> tuple[str, ...]:
    """Every parameter, and the input where there is one."""
    return (*case.parameters, *(("input",) if case.input is not None else ()))


def _value(case: Case, name: str) -> Any:
    return case.input if name == "input" else case.parameters[name]


def scaled(name: str, error: float, entry: int | None = None) -> Subject:
    """The reference with one tensor's gradient, or one entry of it, multiplied by 1 + error."""

    def subject(given: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(given)
        g = np.array(gradients[name])
        g.reshape(-1)[slice(None) if entry is None else entry] *= 1 + error
        return loss, {**gradients, name: g}

    return subject


# --- the checkers ------------------------------------------------------------------------


def backproof(n: Network) -> Outcome:
    """Our verdict, of the same gradients that the others are handed."""
    status = verify(n.case, n.handed).status
    says: dict[str, Outcome] = {"PASS": "passed", "FAIL": "flagged"}
    return says.get(status, "undecided")


def gradcheck(fast: bool) -> Checker:
    """torch.autograd.gradcheck with its defaults."""

    def checker(n: Network) -> Outcome:
        import torch

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *values: Any) -> Any:
                ctx.save_for_backward(*values)
                loss = n.loss([v.detach().numpy() for v in values])
                return torch.tensor(loss, dtype=torch.float64)

            @staticmethod
            def backward(ctx: Any, *upstream: Any) -> Any:
                g = n.gradients([v.detach().numpy() for v in ctx.saved_tensors])
                return tuple(None if v is None else upstream[0] * torch.tensor(v) for v in g)

        inputs = tuple(torch.tensor(v, requires_grad=True) for v in n.values)
        check: Any = torch.autograd.gradcheck
        agrees = check(Function.apply, inputs, raise_exception=False, fast_mode=fast)
        return "passed" if agrees else "flagged"

    return checker


def jax_check_grads(n: Network) -> Outcome:
    """jax.test_util.check_grads with its defaults, in reverse mode and order 1."""
    import jax
    import jax.test_util

    @jax.custom_vjp
    def function(values: Any) -> Any:
        return jax.numpy.asarray(n.loss(values))

    def forward(values: Any) -> Any:
        return function(values), values

    def backward(values: Any, upstream: Any) -> Any:
        u = np.asarray(upstream)  # in NumPy, where JAX would compile every new shape
        return ([None if g is None else u * g for g in n.gradients(values)],)

    function.defvjp(forward, backward)
    with with_jax.float64_on_cpu():
        check: Any = jax.test_util.check_grads
        values = [jax.numpy.asarray(v) for v in n.values]
        try:
            check(function, (values,), order=1, modes=("rev",))
        except AssertionError:
            return "flagged"
    return "passed"


def hips_check_grads(n: Network) -> Outcome:
    """autograd.test_util.check_grads with its defaults, in reverse mode and order 1.

    Its direction comes from NumPy's global stream, which is set by the case's seed.
    """
    from autograd.extend import defvjp_argnums, primitive
    from autograd.test_util import check_grads

    @primitive  # type: ignore[untyped-decorator]
    def function(*values: Any) -> float:
        return n.loss(values)

    def backward(argnums: Any, answer: Any, values: Any, keywords: Any) -> Callable[[Any], Any]:
        found = n.gradients(values)
        return lambda upstream: tuple(upstream * found[i] for i in argnums)

    defvjp_argnums(function, backward)
    np.random.seed(n.case.seed % 2**32)
    try:
        check_grads(function, tuple(range(len(n.names))), modes=["rev"], order=1)(*n.values)
    except AssertionError:
        return "flagged"
    return "passed"


COURSE_STEP, COURSE_COORDINATES = 1e-5, 10
"""h of the notes, and `num_checks` of the assignments' `grad_check_sparse`."""


def course(threshold: float) -> Checker:
    """The loop of Stanford's CS231n (https://cs231n.github.io/neural-networks-3/#gradcheck).

    Central differences at a few random coordinates of every tensor ("a few dimensions for
    every separate parameter"), of which the relative error |a - n| / max(|a|, |n|) is looked
    at, zero where both are zero.  Its rule: above 1e-2 "usually means the gradient is
    probably wrong", between 1e-2 and 1e-4 "should make you feel uncomfortable", below 1e-4
    is "usually okay for objectives with kinks".
    """

    def checker(n: Network) -> Outcome:
        rng = stream(n.case.seed, "course")
        values, gradients = n.values, n.gradients(n.values)
        for value, gradient in zip(values, gradients, strict=True):
            flat = value.reshape(-1)
            count = min(COURSE_COORDINATES, flat.size)
            for i in rng.choice(flat.size, size=count, replace=False):
                analytic = float(gradient[np.unravel_index(i, value.shape)])
                numerical = _slope(n, values, flat, int(i))
                largest = max(abs(analytic), abs(numerical))
                # NaN is seen by whoever reads the loop's output, and fails the comparison
                if largest != 0 and not abs(analytic - numerical) / largest <= threshold:
                    return "flagged"
        return "passed"

    return checker


def _slope(n: Network, values: list[Array], flat: Array, i: int) -> float:
    """(f(x + h) - f(x - h)) / 2h along entry i of one of the values, of which `flat` is a view."""
    before, losses = flat[i], []
    for step in (COURSE_STEP, -COURSE_STEP):
        flat[i] = before + step
        losses.append(n.loss(values))
    flat[i] = before
    return (losses[0] - losses[1]) / (2 * COURSE_STEP)


OURS, SLOW, FAST = "backproof", "gradcheck, slow", "gradcheck, fast"
JAX, HIPS, COURSE, STRICT = "JAX check_grads", "HIPS check_grads", "cs231n, 1e-2", "cs231n, 1e-4"

CHECKERS: dict[str, Checker] = {
    OURS: backproof,
    SLOW: gradcheck(fast=False),
    FAST: gradcheck(fast=True),
    JAX: jax_check_grads,
    HIPS: hips_check_grads,
    COURSE: course(1e-2),
    STRICT: course(1e-4),
}


def ask(name: str, n: Network) -> tuple[Outcome, float]:
    """What a checker says, and the seconds that it took to say it.

    What it raises other than to say no is `raised`: such as torch's RuntimeError for a
    gradient of the wrong shape.
    """
    began = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            outcome = CHECKERS[name](n)
    except Exception:
        outcome = "raised"
    return outcome, time.perf_counter() - began
