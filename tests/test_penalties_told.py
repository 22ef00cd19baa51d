"""A penalty that a subject ignores, or takes otherwise, is told; nothing else is told as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers_networks import GRAPHS, network

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, draw_case
from backproof.checkers.verdict import Subject, Verdict, reference_subject, verify
from backproof.diagnosis import diagnose
from backproof.localisation import locate, located
from backproof.planting import hiding
from backproof.reference.arrays import Array
from backproof.subjects.capabilities import Unsupported

L2 = network(ops.Dense(4), ops.Tanh(), ops.Dense(3), penalties=(ls.L2(0.25),))
L1 = network(ops.Dense(4), ops.Tanh(), ops.Dense(3), penalties=(ls.L1(0.5),))
BOTH = msgspec.structs.replace(L2, penalties=(ls.L1(0.5), ls.L2(0.25)))
SHARED = GRAPHS["tied"]
W = "layers.0.weight"

Given = tuple[Array, Mapping[str, Array]]
Change = Callable[[Any], Any]


def with_penalties(case: Case, change: Change) -> Given:
    """The reference's loss and gradients with change(penalty) for each; None leaves it out."""
    a = case.architecture
    kept = tuple(p for p in map(change, a.penalties) if p is not None)
    return reference_subject(replace(case, architecture=msgspec.structs.replace(a, penalties=kept)))


def taking(loss: Change, gradients: Change) -> Subject:
    """A subject whose loss, and whose gradients, have other penalties."""

    def subject(case: Case) -> Given:
        return with_penalties(case, loss)[0], with_penalties(case, gradients)[1]

    return subject


def right(penalty: Any) -> Any:
    return penalty


def none(penalty: Any) -> Any:
    return None


def times(factor: float) -> Change:
    return lambda penalty: msgspec.structs.replace(penalty, strength=factor * penalty.strength)


def only(kind: type[Any]) -> Change:
    """Without the penalties of another kind."""
    return lambda penalty: penalty if isinstance(penalty, kind) else None


def unable(subject: Subject, *, but: Architecture) -> Subject:
    """It takes this network alone."""

    def limited(case: Case) -> Given:
        if case.architecture != but:
            raise Unsupported("not this one")
        return subject(case)

    return limited


def blamed(case: Case, subject: Subject) -> Verdict:
    verdict = verify(case, subject, checkers=("complex_step", "torch"), cancels=True)
    assert verdict.status == "FAIL"
    return located(case, subject, verdict, cancels=True)


def words(case: Case, subject: Subject) -> str:
    return str(diagnose(case, subject)[0])


WHERE = {
    "in both": (none, none, "the penalty left out in the loss and in the gradients, in {} at"),
    "in the loss": (none, right, "left out in the loss alone, whose gradients are right"),
    "in the gradients": (right, none, "equals the reference with no gradient of the penalty, in"),
}
ignored = pytest.mark.parametrize("where", WHERE)
networks = pytest.mark.parametrize("a, name", [(L2, "l2"), (L1, "l1"), (SHARED, "l1")])
given = pytest.mark.parametrize("give", [hiding, lambda subject: subject], ids=["hidden", "all"])


@ignored
@networks
@given
def test_a_penalty_that_is_ignored_is_blamed_and_named(
    where: str, a: Architecture, name: str, give: Callable[[Subject], Subject]
) -> None:
    loss, gradients, said = WHERE[where]
    case, subject = draw_case(a, 1), give(taking(loss, gradients))
    verdict = blamed(case, subject)
    assert verdict.operator == name
    assert f"it is {name} at penalties.0: loss and gradients are right without" in verdict.reason
    assert [row.operator for row in verdict.operators if row.status == "FAIL"] == [name]
    assert said.format(name) in words(case, subject)


@ignored
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_so_it_is_of_a_subject_that_takes_this_network_alone(where: str, dtype: DType) -> None:
    """What is wrong is then just what the penalty adds, on this case and on further values."""
    loss, gradients, _ = WHERE[where]
    subject = unable(hiding(taking(loss, gradients)), but=L2)
    verdict = blamed(draw_case(L2, 1, dtype=dtype), subject)
    assert verdict.operator == "l2"
    assert verdict.reason.endswith("it is l2 at penalties.0: what is wrong is what it adds")


def negated(case: Case) -> Given:
    """The penalty subtracted: twice what it is without one, less what is right."""
    loss, gradients = reference_subject(case)
    bare, without = with_penalties(case, none)
    return 2 * bare - loss, {name: 2 * without[name] - g for name, g in gradients.items()}


def test_a_penalty_of_the_other_sign_is_told() -> None:
    case = draw_case(L2, 1)
    assert blamed(case, negated).operator == "l2"
    assert "the penalty with the other sign in the loss and in the" in words(case, negated)


@pytest.mark.parametrize("loss, gradients, said", [
    (times(2), times(2), "the penalty without its 1/2 in the loss and in the gradients"),
    (times(2), right, "without its 1/2 in the loss alone, whose gradients are right"),
    (times(3), times(3), "with a strength of 3/4 (0.75) for 0.25 in the loss and in the gradients"),
    (right, times(3), "with a strength of 3/4 (0.75) for 0.25 in the gradients alone"),
])  # fmt: skip
def test_a_penalty_of_another_strength_is_told_with_it(
    loss: Change, gradients: Change, said: str
) -> None:
    case, subject = draw_case(L2, 1), taking(loss, gradients)
    assert blamed(case, subject).operator == "l2"
    assert said in words(case, subject)


@pytest.mark.parametrize("kept, name, site", [
    (ls.L2, "l1", "penalties.0"), (ls.L1, "l2", "penalties.1"),
])  # fmt: skip
def test_of_two_penalties_the_one_that_is_ignored_is_named(
    kept: type[Any], name: str, site: str
) -> None:
    case, subject = draw_case(BOTH, 1), taking(only(kept), only(kept))
    assert f"it is {name} at {site}" in blamed(case, subject).reason
    assert words(case, subject).endswith(
        f"the penalty left out in the loss and in the gradients, in {name} at {site}"
    )


def test_where_both_are_ignored_both_are_told() -> None:
    case, subject = draw_case(BOTH, 1), taking(none, none)
    assert blamed(case, subject).operator == "l1"
    assert "all penalties left out in the loss and in the gradients" in words(case, subject)


# --- the other way -------------------------------------------------------------------------


def loss_off(change: Callable[[Case, Array], Any]) -> Subject:
    """Right gradients, and another loss."""

    def subject(case: Case) -> Given:
        loss, gradients = reference_subject(case)
        return np.asarray(change(case, loss), loss.dtype), gradients

    return subject


def by_what_the_penalty_is_here(case: Case, loss: Array) -> Array:
    """Off by one number, which is this penalty's value on the case below and on no other."""
    return np.asarray(
        loss - (reference_subject(draw_case(L2, 1))[0] - with_penalties(draw_case(L2, 1), none)[0])
    )


WRONG_LOSSES = {
    "doubled": lambda case, loss: 2 * loss,
    "off by a constant": lambda case, loss: loss + 1.0,
    "by the penalty's value here": by_what_the_penalty_is_here,
}


@pytest.mark.parametrize("how", WRONG_LOSSES)
@pytest.mark.parametrize("a", [L2, BOTH, GRAPHS["gated"]], ids=["l2", "both", "a graph"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_wrong_loss_stays_the_loss_s(how: str, a: Architecture, alone: bool) -> None:
    subject = loss_off(WRONG_LOSSES[how])
    subject = unable(subject, but=a) if alone else subject
    case = draw_case(a, 1)
    assert locate(case, subject) is None
    assert blamed(case, subject).operator == a.loss.name
    assert "penalt" not in words(case, subject)


def test_a_wrong_loss_is_no_sum_over_uses_either() -> None:
    """Where a tensor has several uses, and there is no penalty."""
    a = GRAPHS["residual"]
    subject = hiding(loss_off(lambda case, loss: 2 * loss))
    assert blamed(draw_case(a, 1), subject).operator == "squared_error"


def decaying(case: Case) -> Given:
    """Weight decay in the layer's own gradient, penalty or none."""
    loss, gradients = reference_subject(case)
    if W not in gradients:
        return loss, gradients
    return loss, {**gradients, W: gradients[W] + 0.125 * case.parameters[W]}


def test_a_decay_that_stays_without_the_penalty_is_the_layer_s() -> None:
    case = draw_case(L2, 1)
    assert blamed(case, hiding(decaying)).operator == "dense"
    everywhere = taking(right, times(1.5))
    assert blamed(case, everywhere).operator == "l2"
    assert "strength" not in words(case, hiding(decaying))  # of one weight alone, not of all


def test_a_decay_that_cannot_be_asked_about_is_not_said_to_be_the_penalty_s() -> None:
    """Half of the penalty more is what a penalty may be, and what a decay beside it may be."""
    subject = unable(hiding(taking(right, times(1.5))), but=L2)
    assert blamed(draw_case(L2, 1), subject).operator == "dense"


def test_a_loss_and_gradients_that_are_wrong_by_two_numbers_are_no_penalty() -> None:
    case, subject = draw_case(L2, 1), taking(times(3), none)
    assert "penalt" not in words(case, subject)


def test_a_wrong_layer_beside_an_ignored_penalty_is_not_lost_behind_it() -> None:
    def subject(case: Case) -> Given:
        loss, gradients = with_penalties(case, none)
        return loss, {**gradients, "layers.2.bias": 2 * gradients["layers.2.bias"]}

    case = draw_case(L2, 1)
    assert blamed(case, subject).operator != "l2"
    assert "penalt" not in words(case, subject)


def test_a_memory_is_not_taken_for_a_penalty() -> None:
    """A subject that is wrong at its first call alone."""
    calls: list[int] = []

    def subject(case: Case) -> Given:
        calls.append(1)
        return reference_subject(case) if len(calls) > 2 else taking(none, none)(case)

    place = locate(draw_case(L2, 1), hiding(subject))
    assert place is None or place.operator != "l2"


def first_alone(case: Case) -> Given:
    """A subject that takes the first penalty and forgets what comes after it."""
    a = case.architecture
    return reference_subject(
        replace(case, architecture=msgspec.structs.replace(a, penalties=a.penalties[:1]))
    )


@pytest.mark.parametrize("penalties", [(ls.L2(0.25), ls.L1(0.5)), (ls.L1(0.5), ls.L2(0.25))])
def test_where_the_first_penalty_alone_is_taken_the_other_is_blamed(
    penalties: tuple[Any, ...],
) -> None:
    case = draw_case(msgspec.structs.replace(L2, penalties=penalties), 3)
    for subject in (first_alone, hiding(first_alone)):
        place = locate(case, subject, cancels=True)
        assert place is not None
        assert (place.site, place.operator) == ("penalties.1", type(penalties[1]).__name__.lower())
    assert "at penalties.1" in words(case, first_alone)


def test_of_two_penalties_of_one_kind_the_right_one_is_not_named() -> None:
    """Left out of 1/2 is the other sign of 1/4: by what is wrong they cannot be told apart."""
    case = draw_case(msgspec.structs.replace(L2, penalties=(ls.L2(0.25), ls.L2(0.5))), 3)
    place = locate(case, first_alone, cancels=True)
    assert place is not None and place.site == "penalties.1"
    assert "penalties.0" not in words(case, first_alone)


def test_a_subject_that_breaks_without_penalties_is_told_by_those_that_it_can() -> None:
    def breaks(case: Case) -> Given:
        if not any(p.strength for p in case.architecture.penalties):
            raise IndexError("no penalties")
        return with_penalties(case, none)

    place = locate(draw_case(L2, 3), breaks, cancels=True)
    assert place is not None and place.site == "penalties.0"
