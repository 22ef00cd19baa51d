"""The odd one out of six: reference, finite differences, complex step, JAX, PyTorch, a subject.

A mistake is planted in each of them in turn, in the forward or backward function itself where it
would be made.  The verdict must name that one, and say who agrees with whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from helpers_networks import network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.checkers import complex_step, finite_differences, probe, with_jax, with_torch
from backproof.checkers.verdict import CHECKERS, CheckerName, Verdict, reference_subject, verify
from backproof.foreign import close_all, enter
from backproof.jobs import Options
from backproof.judging import judge
from backproof.reference import network as networks
from backproof.reference import pages
from backproof.reference.arrays import Array
from backproof.subjects.python import PythonSubject

CASE = draw_case(
    network(ops.Dense(4), ops.Softsign(), ops.Dense(2), loss=ls.WeightedSum(), input=(3, 4)), 1
)
AFTER, BEFORE, WEIGHT = "layers.2.weight", "layers.0.output", "layers.0.weight"
"""What takes Softsign's value, what its backward pass produces, and what stands behind it."""

OFF = 0.01


@pytest.fixture(autouse=True)
def nothing_compiled_is_kept() -> Iterator[None]:
    """JAX compiles a network once; another forward is another network."""
    with_jax._gradients.cache_clear()
    yield
    with_jax._gradients.cache_clear()
    close_all()


# --- the ways to be wrong ----------------------------------------------------------------


def plant_in_jax(monkeypatch: pytest.MonkeyPatch, *, value: bool) -> None:
    """A wrong forward; or, where its value stays right, a detour that JAX differentiates."""
    import jax

    right = with_jax.FORWARD[ops.Softsign]

    def wrong(op: Any, p: Any, x: Any) -> Any:
        y = right(op, p, x)
        return (1 + OFF) * y if value else y + OFF * (y - jax.lax.stop_gradient(y))

    table: dict[Any, Any] = dict(with_jax.FORWARD)
    table[ops.Softsign] = wrong
    monkeypatch.setattr(with_jax, "FORWARD", table)


def plant_in_torch(monkeypatch: pytest.MonkeyPatch, *, value: bool) -> None:
    right = with_torch.FORWARD[ops.Softsign]

    def wrong(op: Any, p: Any, x: Any) -> Any:
        y = right(op, p, x)
        return (1 + OFF) * y if value else y + OFF * (y - y.detach())

    table: dict[Any, Any] = dict(with_torch.FORWARD)
    table[ops.Softsign] = wrong
    monkeypatch.setattr(with_torch, "FORWARD", table)


PLANT = {"jax": plant_in_jax, "torch": plant_in_torch}


class WrongProbe(probe.Probe):
    """A loss that is differentiated with Softsign 1% too steep, on every changed pass."""

    def _run(self, case: Case, change: Any) -> Any:
        right = pages.LAYERS[ops.Softsign]

        def steeper(layer: Any, p: Any, x: Any, branch: Any) -> Any:
            y, saved = right.forward(layer, p, x, branch)
            here = self.trace.edges["layers.1.output"]
            return here + (1 + OFF) * (y - here), saved

        table = dict(pages.LAYERS)
        with pytest.MonkeyPatch.context() as inside:
            table[ops.Softsign] = right._replace(forward=steeper)
            inside.setattr(networks, "LAYERS", table)
            return super()._run(case, change)


MODULES = {"finite_differences": finite_differences, "complex_step": complex_step}


def plant_in_a_page(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """A page of the reference with other functions."""
    wrong = dict(pages.LAYERS)
    wrong[ops.Softsign] = pages.LAYERS[ops.Softsign]._replace(**functions)
    for module in (networks, probe):
        monkeypatch.setattr(module, "LAYERS", wrong)


def wrong_backward(layer: Any, p: Any, saved: Any, y_bar: Any) -> Any:
    x_bar, p_bar = pages.LAYERS[ops.Softsign].backward(layer, p, saved, y_bar)
    return (1 + OFF) * x_bar, p_bar


def wrong_forward(layer: Any, p: Any, x: Any, branch: Any) -> Any:
    y, saved = pages.LAYERS[ops.Softsign].forward(layer, p, x, branch)
    return (1 + OFF) * y, saved


class Theirs:
    """Somebody's network, right or with a mistake behind its activation."""

    def __init__(self, off: float = 0.0) -> None:
        self.off = off

    def describe(self) -> dict[str, Any]:
        return {"operators": ["dense", "softsign"], "losses": ["weighted_sum"]}

    def gradients(self, case: Case) -> tuple[Any, Mapping[str, Any]]:
        loss, found = RIGHT(case)
        return loss, {n: (1 + self.off) * found[n] if n == WEIGHT else found[n]
                      for n in case.parameters}  # fmt: skip


RIGHT = reference_subject


def says(verdict: Verdict) -> dict[str, str]:
    """What each checker says of the subject."""
    return {c.checker: c.status for c in verdict.checkers}


# --- the checkers ------------------------------------------------------------------------


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_a_framework_that_differentiates_wrongly_is_the_odd_one_out(
    checker: CheckerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLANT[checker](monkeypatch, value=False)
    verdict = verify(CASE)
    others = [c for c in CHECKERS if c != checker]
    assert (verdict.status, verdict.tensor) == ("ERROR", BEFORE)
    assert verdict.reason == (
        f"{checker} is the odd one out on {BEFORE}: the subject agrees with "
        f"{others[0]}, {others[1]} and {others[2]}"
    )
    assert says(verdict) == {checker: "FAIL", **dict.fromkeys(others, "PASS")}


@pytest.mark.parametrize("checker, other", [("jax", "torch"), ("torch", "jax")])
def test_a_framework_with_another_forward_is_the_odd_one_out_on_the_loss(
    checker: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numerical checkers differentiate a given loss and have no opinion of it."""
    PLANT[checker](monkeypatch, value=True)
    verdict = verify(CASE)
    assert verdict.status == "ERROR"
    assert verdict.reason == (
        f"{checker} is the odd one out on loss: the subject agrees with {other}"
    )
    assert says(verdict)[checker] == "FAIL"


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_one_framework_asked_alone_beside_the_numerical_ones_is_found_out_by_the_gradients(
    checker: CheckerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the loss nobody else knows; the gradients convict it."""
    PLANT[checker](monkeypatch, value=True)
    verdict = verify(CASE, checkers=("finite_differences", "complex_step", checker))
    assert (verdict.status, verdict.tensor) == ("ERROR", AFTER)
    assert verdict.reason == (
        f"{checker} is the odd one out on {AFTER}: the subject agrees with "
        "finite_differences and complex_step; it disagrees on the loss as well"
    )


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_a_subject_whose_loss_alone_is_wrong_is_blamed_by_the_one_framework(
    checker: CheckerName,
) -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return (1 + OFF) * loss, gradients

    verdict = verify(CASE, subject, checkers=("finite_differences", "complex_step", checker))
    assert (verdict.status, verdict.tensor) == ("FAIL", "loss")
    assert verdict.reason.startswith(f"loss disagrees with {checker} alone")


@pytest.mark.parametrize("checker", ["finite_differences", "complex_step"])
def test_a_numerical_checker_that_is_given_another_forward_is_the_odd_one_out(
    checker: CheckerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULES[checker], "Probe", WrongProbe)
    verdict = verify(CASE)
    others = [c for c in CHECKERS if c != checker]
    assert (verdict.status, verdict.tensor) == ("ERROR", BEFORE)
    assert verdict.reason == (
        f"{checker} is the odd one out on {BEFORE}: the subject agrees with "
        f"{others[0]}, {others[1]} and {others[2]}"
    )


def test_both_numerical_checkers_on_a_wrong_forward_are_the_odd_ones_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They agree with each other, as they would of any function; the frameworks wrote their own."""
    for module in MODULES.values():
        monkeypatch.setattr(module, "Probe", WrongProbe)
    verdict = verify(CASE)
    assert (verdict.status, verdict.tensor) == ("ERROR", BEFORE)
    assert verdict.reason == (
        "finite_differences and complex_step, which differentiate one forward, are the odd ones "
        f"out on {BEFORE}: the subject agrees with jax and torch, which have their own"
    )


# --- the reference -----------------------------------------------------------------------


def test_a_wrong_backward_of_the_reference_is_blamed_on_its_operator_by_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant_in_a_page(monkeypatch, backward=wrong_backward)
    verdict = verify(CASE)
    assert (verdict.status, verdict.operator, verdict.tensor) == ("FAIL", "softsign", BEFORE)
    assert verdict.reason.startswith(
        f"{BEFORE} disagrees with finite_differences, complex_step, jax and torch, which agree "
        "with each other; "
    )
    assert set(says(verdict).values()) == {"FAIL"}


def test_a_wrong_forward_of_the_reference_is_blamed_by_both_frameworks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by what differentiates that very forward."""
    plant_in_a_page(monkeypatch, forward=wrong_forward, backward=wrong_backward)
    verdict = verify(CASE)
    assert (verdict.status, verdict.tensor) == ("FAIL", "loss")
    assert verdict.reason.startswith(
        "loss disagrees with jax and torch, which agree with each other; "
    )
    assert says(verdict)["finite_differences"] == says(verdict)["complex_step"] == "PASS"


# --- a foreign subject -------------------------------------------------------------------


def entered(off: float, checkers: Sequence[CheckerName] = CHECKERS) -> Verdict:
    enter("py:theirs", PythonSubject("py:theirs", Theirs(off)))
    return judge(CASE, Options(subject="py:theirs", checkers=tuple(checkers)))


def test_a_foreign_subject_that_is_right_passes() -> None:
    assert entered(0.0).status == "PASS"


def test_a_foreign_subject_that_is_wrong_is_blamed_by_all() -> None:
    verdict = entered(OFF)
    assert (verdict.status, verdict.operator, verdict.tensor) == ("FAIL", "dense", WEIGHT)
    assert verdict.reason.startswith(
        f"{WEIGHT} disagrees with finite_differences, complex_step, jax and torch, which agree "
        "with each other; "
    )


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_a_right_foreign_subject_is_not_blamed_for_a_framework(
    checker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLANT[checker](monkeypatch, value=False)
    verdict = entered(0.0)
    assert verdict.status == "ERROR"
    assert verdict.reason.startswith(f"{checker} is the odd one out on ")


def test_a_right_foreign_subject_is_not_blamed_for_the_reference_s_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frameworks vouch for it, each with a forward of its own."""

    def right(case: Case) -> tuple[Array, Mapping[str, Array]]:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(networks, "LAYERS", pages.LAYERS)
            return reference_subject(case)

    monkeypatch.setitem(globals(), "RIGHT", right)
    plant_in_a_page(monkeypatch, forward=wrong_forward, backward=wrong_backward)
    verdict = entered(0.0)
    assert verdict.status == "ERROR"
    assert "finite_differences and complex_step, which differentiate one forward, are the odd" in (
        verdict.reason
    )
    assert "the subject agrees with jax and torch, which have their own" in verdict.reason


@pytest.mark.parametrize("checker", ["jax", "torch"])
def test_two_that_are_wrong_at_once_are_both_told(
    checker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong subject and a wrong checker: neither hides the other."""
    PLANT[checker](monkeypatch, value=False)

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {**gradients, BEFORE: 2 * gradients[BEFORE]}

    verdict = verify(CASE, subject)
    others = [c for c in CHECKERS if c != checker]
    assert verdict.status == "ERROR"
    assert verdict.reason == (
        f"the checkers disagree on {BEFORE}: {others[0]}, {others[1]} and {others[2]} agree with "
        f"each other, {checker} with nobody, the subject with none of them"
    )
