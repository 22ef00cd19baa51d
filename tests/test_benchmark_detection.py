"""The comparison with other checkers is fair: all are handed one function and its gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import places
import pytest
from peers import CHECKERS, COURSE, HIPS, JAX, OURS, SLOW, STRICT, Network, all_names, ask, scaled

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers.verdict import reference_subject, verify
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS

pytest.importorskip("autograd", reason="one of the checkers compared with")

CASE = draw_case(Architecture((3, 2), (Dense(3), Tanh(), Dense(2)), SquaredError()), 1)
NAMES = all_names(CASE)
every_checker = pytest.mark.parametrize("checker", CHECKERS)


def says(checker: str, subject: object = reference_subject) -> str:
    return ask(checker, Network(CASE, subject, NAMES))[0]  # type: ignore[arg-type]


@every_checker
def test_a_smooth_network_that_is_right_passes(checker: str) -> None:
    assert says(checker) == "passed"


@every_checker
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_reaches_every_checker(checker: str, name: str) -> None:
    assert says(checker, scaled(name, 1.0)) == "flagged"


def test_ours_is_handed_what_the_others_are() -> None:
    n = Network(CASE, scaled("input", 0.5, entry=2), NAMES)
    _, ours = n.handed(CASE)
    assert tuple(ours) == NAMES
    for g, other in zip(ours.values(), n.gradients(n.values), strict=True):
        np.testing.assert_array_equal(g, other, strict=True)


def test_what_the_others_are_not_handed_is_kept_from_ours() -> None:
    edge = "layers.1.output"
    wrong = scaled(edge, 0.5)
    assert verify(CASE, wrong).status == "FAIL"
    assert says(OURS, wrong) == "passed"


def test_an_exception_is_told_from_a_verdict() -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array | None]]:
        loss, g = reference_subject(case)
        return loss, {**g, "layers.0.bias": None}

    assert {name: says(name, subject) for name in (OURS, SLOW, JAX, HIPS)} == {
        OURS: "flagged", SLOW: "flagged", JAX: "flagged", HIPS: "raised"
    }  # fmt: skip


def test_the_course_s_two_thresholds_are_where_it_says() -> None:
    of_a_thousandth = scaled("layers.0.weight", 1e-3)
    assert (says(COURSE, of_a_thousandth), says(STRICT, of_a_thousandth)) == ("passed", "flagged")


def test_every_fault_has_a_class() -> None:
    assert set(places.CLASS_OF) == {fault.name for fault in FAULTS}


def test_places_are_in_different_networks_and_what_is_faint_is_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("gradient_averaged", "upstream_dropped", "tie_counted_twice")
    monkeypatch.setattr(places, "WRONG", tuple(f for f in FAULTS if f.name in names))
    found = places.search(places.random_points("generic", 12, 3), 2, 3)
    for name in names:
        first, second = (place.point for place in found.found if place.fault == name)
        assert first != second
        assert {first.lane, second.lane} == {"tie" if name == "tie_counted_twice" else "generic"}
    assert not any(place.faint for place in found.found)
    assert all(place.faint for place in found.faint)
