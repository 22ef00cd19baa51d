"""Large networks: all cores, the same numbers, and no more memory than there is room for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from backproof.architectures.cases import draw_case
from backproof.architectures.named import NAMED
from backproof.checkers import asking, rounding, side_by_side, with_jax
from backproof.checkers.verdict import verify

CASE = draw_case(NAMED["gpt"](1), 1)


@pytest.mark.parametrize("checker", ["finite_differences", "complex_step"])
def test_threads_change_no_number(
    checker: asking.CheckerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone,), _ = asking.estimates(CASE, [checker])
    monkeypatch.setattr(side_by_side, "LARGE", 0)
    (threaded,), _ = asking.estimates(CASE, [checker])
    for name, (v, slope) in alone.directional.items():
        np.testing.assert_array_equal(threaded.directional[name][0], v)
        np.testing.assert_array_equal(threaded.directional[name][1], slope)
        if alone.bounds:
            np.testing.assert_array_equal(threaded.bounds[name], alone.bounds[name])


def test_small_networks_stay_in_their_thread_and_large_ones_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, here = CASE.architecture, threading.get_ident()

    def who(name: str) -> int:
        return threading.get_ident()

    assert set(side_by_side.for_each(a, a.tensors, who).values()) == {here}
    monkeypatch.setattr(side_by_side, "LARGE", 0)
    found = side_by_side.for_each(a, a.tensors, who)
    assert list(found) == list(a.tensors)
    assert here not in found.values()


def test_what_a_thread_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "LARGE", 0)

    def broken(name: str) -> None:
        raise RuntimeError(name)

    with pytest.raises(RuntimeError, match="input"):
        side_by_side.for_each(CASE.architecture, ["input"], broken)


def test_a_second_look_keeps_within_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = sum(np.prod(s) for s in CASE.architecture.tensors.values())
    assert rounding.measure_again(CASE, 1).replicas == rounding.SECOND_LOOK
    monkeypatch.setattr(rounding, "MOST_DEVIATIONS", 40 * entries)
    assert rounding.measure_again(CASE, 1).replicas == 40
    monkeypatch.setattr(rounding, "MOST_DEVIATIONS", 1)
    assert rounding.measure_again(CASE, 1).replicas == rounding.REPLICAS


def test_forgetting_what_jax_compiled_changes_no_gradient() -> None:
    before = with_jax.estimate(CASE)
    with_jax.forget()
    after = with_jax.estimate(CASE)
    for name, g in before.entries.items():
        np.testing.assert_array_equal(after.entries[name], g)


def test_a_scaled_gpt_is_verified() -> None:
    a = NAMED["gpt"](3)
    assert verify(draw_case(a, 1)).status == "PASS"
