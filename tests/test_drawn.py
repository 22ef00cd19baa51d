"""Inputs that are drawn: many points of three kinds, and the simplest one that fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import backproof
from backproof.checkers.checks import Check
from backproof.checkers.functions.check import FunctionVerdict
from backproof.drawn import KINDS, POINTS, Drawn, Kind, over_points
from backproof.functions import GradientCheckError, check_backward, check_grads, gradcheck
from backproof.reference.arrays import Array

WHY = "because"


def judged(
    forward: Callable[..., Any], backward: Callable[[Any, Any], Any], *inputs: Any, **options: Any
) -> FunctionVerdict:
    return check_backward(forward, backward, *inputs, raise_exception=False, **options)


def not_passed(verdict: FunctionVerdict) -> dict[str, str]:
    return {c.name: f"{c.status}: {c.detail}" for c in verdict.checks if c.status != "PASS"}


def named(verdict: FunctionVerdict, name: str) -> Check:
    (found,) = [c for c in verdict.checks if c.name == name]
    return found


def points(*inputs: Any, seed: int = 0) -> list[Sequence[Any]]:
    """Every point at which a function of these would be checked."""
    seen: list[Sequence[Any]] = []

    def at(values: Sequence[Any], _: int) -> FunctionVerdict:
        seen.append(values)
        return FunctionVerdict("f", (Check("values", "PASS", WHY),))

    over_points(at, inputs, seed)
    return seen


def failing(fails: Callable[[Array], bool], *inputs: Any) -> FunctionVerdict:
    """The verdict on a function that is wrong wherever `fails` says so of its first input."""

    def at(values: Sequence[Any], _: int) -> FunctionVerdict:
        return FunctionVerdict("f", (Check("values", "FAIL" if fails(values[0]) else "PASS", WHY),))

    return over_points(at, inputs, 0)


# --- declaring an input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"low": 2.0, "high": 1.0}, "low must not exceed high, got 2.0 and 1.0"),
        ({"low": np.nan}, "low"),
        ({"low": -np.inf}, "finite"),
        ({"high": np.inf}, "finite"),
        ({"dtype": "complex128"}, "dtype must be a real one, got 'complex128'"),
        ({"dtype": "bool"}, "dtype must be a real one, got 'bool'"),
        ({"dtype": "object"}, "dtype must be a real one, got 'object'"),
        ({"dtype": "float65"}, "float65"),
        ({"shape": (-1,)}, "shape"),
        ({"shape": (2.5,)}, "shape"),
        ({"shape": 3}, "shape"),
        ({"dtype": "int64", "low": 0.2, "high": 0.8}, "whole"),
        ({"dtype": "uint8"}, "uint8"),
        ({"dtype": "int8", "high": 1000.0}, "int8"),
        ({"dtype": "float16", "high": 1e6}, "float16"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_input_that_cannot_be_drawn_is_refused_where_it_is_declared(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        Drawn(**{"shape": (2,), **fields})


def test_what_is_declared_is_what_is_drawn() -> None:
    inputs = (Drawn((2, 3)), Drawn((), "float32"), Drawn((4,), "int64", 0, 2), Drawn((0,)), "kept")
    seen = points(*inputs)
    assert len(seen) > POINTS / 2
    for x, scalar, index, empty, kept in seen:
        assert (x.shape, x.dtype) == ((2, 3), np.float64)
        assert (scalar.shape, scalar.dtype) == ((), np.float32)
        assert (index.shape, index.dtype) == ((4,), np.int64) and set(index) <= {0, 1, 2}
        assert empty.shape == (0,) and kept == "kept"


# --- the three kinds --------------------------------------------------------------------------


def kind_of(kind: Kind, drawn: Drawn) -> Array:
    """Every entry of many draws of one kind."""
    from hypothesis import HealthCheck, given, settings

    entries: list[Array] = []

    @settings(
        max_examples=60, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(drawn.strategy(kind))
    def collect(x: Array) -> None:
        entries.append(x.reshape(-1))

    collect()
    return np.concatenate(entries)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "low, high",
    [(-2.0, 2.0), (-1e6, 1e6), (0.5, 3.0), (-0.75, -0.25), (0.0, 0.0), (0.25, 0.25), (1e-4, 2e-4)],
)
def test_every_kind_stays_within_the_bounds(kind: Kind, low: float, high: float) -> None:
    """Those that float32, too, has between them."""
    x = kind_of(kind, Drawn((3,), "float32", low, high))
    assert (x >= np.float32(low)).all() and (x <= np.float32(high)).all()


def test_plain_inputs_are_short_decimals() -> None:
    x = kind_of("plain", Drawn((3,)))
    np.testing.assert_array_equal(x, np.round(x, 3))
    assert len(np.unique(x)) > 50


def test_tied_inputs_are_small_integers_with_zeros_and_equal_values() -> None:
    x = kind_of("tied", Drawn((3,)))
    assert set(x) == {-2, -1, 0, 1, 2}
    assert (x == 0).mean() > 0.1
    assert (np.sort(x.reshape(-1, 3))[:, 1:] == np.sort(x.reshape(-1, 3))[:, :-1]).any(axis=1).any()


def test_extreme_inputs_are_of_many_sizes() -> None:
    x = np.abs(kind_of("extreme", Drawn((3,), low=-1e9, high=1e9)))
    x = x[x > 0]
    assert x.min() < 1e-2 and x.max() > 1e6


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_are_integers_of_every_kind(dtype: str) -> None:
    for kind in KINDS:
        x = kind_of(kind, Drawn((3,), dtype, 0, 4))
        assert x.dtype == dtype and set(x) == {0, 1, 2, 3, 4}


def test_a_third_of_the_points_is_of_each_kind() -> None:
    seen = [x for (x,) in points(Drawn((4,)))]
    whole = sum(bool((x == np.round(x)).all()) for x in seen)
    assert len(seen) == POINTS and whole >= POINTS / len(KINDS)


# --- over many points -----------------------------------------------------------------------


def dense(x: Array, w: Array, b: Array) -> tuple[Array, Any]:
    return x @ w.T + b, (x, w)


def dense_back(saved: Any, y_bar: Array) -> tuple[Array, ...]:
    x, w = saved
    return y_bar @ w, y_bar.T @ x, y_bar.sum(0)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def embedding(index: Array, table: Array) -> tuple[Array, Any]:
    return table[index], (index, table)


def added(saved: Any, y_bar: Array) -> tuple[None, Array]:
    index, table = saved
    table_bar = np.zeros_like(table)
    np.add.at(table_bar, index, y_bar)
    return None, table_bar


def overwritten(saved: Any, y_bar: Array) -> tuple[None, Array]:
    index, table = saved
    table_bar = np.zeros_like(table)
    table_bar[index] = y_bar
    return None, table_bar


def softmax(x: Array) -> tuple[Array, Array]:
    e = np.exp(x - x.max())
    return e / e.sum(), e / e.sum()


RIGHT: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any], tuple[Any, ...]]] = {
    "dense": (dense, dense_back, (Drawn((3, 2)), Drawn((2, 2)), Drawn((2,)))),
    "dense, the weights given": (
        dense,
        dense_back,
        (Drawn((2, 3)), np.ones((2, 3)), np.zeros(2)),
    ),
    "relu": (relu, lambda s, y_bar: y_bar * (s[0] > 0), (Drawn((2,)),)),
    "largest": (
        np.max,
        lambda s, y_bar: y_bar * (np.arange(3) == s[0].argmax()),
        (Drawn((3,)),),
    ),
    "softmax of large numbers": (
        softmax,
        lambda p, y_bar: p * (y_bar - p @ y_bar),
        (Drawn((3,), low=-1e3, high=1e3),),
    ),
    "square, far out": (
        np.square,
        lambda s, y_bar: 2 * s[0] * y_bar,
        (Drawn((2,), low=-1e6, high=1e6),),
    ),
    "log, above 0": (np.log, lambda s, y_bar: y_bar / s[0], (Drawn((2,), low=0.5, high=3),)),
    "tanh in float32": (
        np.tanh,
        lambda s, y_bar: y_bar * (1 - np.tanh(s[0]) ** 2),
        (Drawn((3,), "float32"),),
    ),
    "a scalar": (np.sin, lambda s, y_bar: y_bar * np.cos(s[0]), (Drawn(()),)),
    "an index": (embedding, added, (Drawn((3,), "int64", 0, 1), Drawn((2, 2)))),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_pair_is_verified_over_all_kinds(name: str) -> None:
    forward, backward, inputs = RIGHT[name]
    found = judged(forward, backward, *inputs)
    assert found.status == "PASS", (found.point, not_passed(found))
    assert found.point == "" and found.resolution is not None
    assert all(c.detail.startswith("at ") for c in found.checks)


def test_the_report_says_at_how_many_points() -> None:
    found = judged(np.sin, lambda s, y_bar: y_bar * np.cos(s[0]), Drawn((2,)))
    assert f"PASS  values of input 0: at {POINTS} of {POINTS} points" in str(found)


def test_a_fault_everywhere_is_shown_at_the_simplest_point() -> None:
    def averaged(saved: Any, y_bar: Array) -> tuple[Array, ...]:
        return (*dense_back(saved, y_bar)[:2], y_bar.mean(0))

    found = judged(dense, averaged, Drawn((2, 2)), Drawn((1, 2)), Drawn((1,)))
    assert named(found, "values of input 2").status == "FAIL"
    assert found.point == "plain inputs [[0., 0.], [0., 0.]], [[0., 0.]], [0.]"
    assert str(found).splitlines()[1] == f"  at {found.point}"


def test_a_fault_only_at_ties_is_found() -> None:
    """Neither at zeros nor at a given point, only where two entries are equal."""

    def shared(s: Any, y_bar: Array) -> Array:
        return np.asarray(y_bar * (s[0] == s[0].max()))

    assert judged(np.max, shared, np.array([0.25, 1.0, -0.5])).status == "PASS"
    found = judged(np.max, shared, Drawn((3,)))
    assert found.status == "FAIL" and "outside the hull" in str(found)
    assert " inputs [0., 0., 0.]" in found.point


def test_a_fault_only_beyond_a_thousand_is_found_just_beyond_it() -> None:
    def clipped(s: Any, y_bar: Array) -> Array:
        return np.asarray(y_bar * np.where(np.abs(s[0]) > 1e3, s[0], 2 * s[0]))

    assert judged(np.square, clipped, Drawn((2,))).status == "PASS"
    found = judged(np.square, clipped, Drawn((2,), low=-1e6, high=1e6))
    assert found.status == "FAIL"
    entries = [float(v) for v in found.point.partition("[")[2].rstrip("]").split(",")]
    assert entries[0] == 0 and 1000 < abs(entries[1]) < 1001


def test_an_index_that_comes_twice_is_drawn() -> None:
    found = judged(embedding, overwritten, Drawn((3,), "int64", 0, 5), Drawn((6, 1)))
    assert named(found, "values of input 1").status == "FAIL"
    assert found.point.startswith("plain inputs [0, 0, 0]")


def test_a_failure_has_as_many_zeros_as_it_can() -> None:
    found = failing(lambda x: bool((np.abs(x) > 1).sum() > 1), Drawn((5,)))
    assert found.point == "plain inputs [0.   , 0.   , 0.   , 1.001, 1.001]"


def test_the_point_shows_what_was_given_too() -> None:
    found = failing(lambda x: True, Drawn((1,)), np.array([7.0]), None)
    assert found.point == "plain inputs [0.], [7.], None"


def test_a_large_point_is_abridged_on_one_line() -> None:
    found = failing(lambda x: True, Drawn((30,)))
    assert "..." in found.point and "\n" not in found.point and len(found.point) < 400


def test_a_fault_at_one_point_in_hundreds_is_no_excuse_for_the_other_checks() -> None:
    """The report is that of the failing point, every check as it was there."""
    found = judged(relu, lambda s, y_bar: y_bar * ((s[0] > 0) + 1.2 * (s[0] == 0)), Drawn((2,)))
    assert named(found, "values of input 0").status == "FAIL"
    assert named(found, "scaled cotangent") == Check(
        "scaled cotangent", "PASS", named(found, "scaled cotangent").why
    )


def test_what_is_decided_at_few_points_is_not_verified() -> None:
    count = iter(range(10**6))

    def at(_: Sequence[Any], __: int) -> FunctionVerdict:
        status = "PASS" if next(count) % 3 == 0 else "INCONCLUSIVE"
        return FunctionVerdict("f", (Check("values", status, WHY, "too wide"),))  # type: ignore[arg-type]

    found = over_points(at, (Drawn((3,)),), 0)
    assert found.status == "INCONCLUSIVE"
    assert found.checks[0].detail == f"at {POINTS // 3} of {POINTS} points; elsewhere too wide"


def test_what_is_decided_at_most_points_is_verified() -> None:
    count = iter(range(10**6))

    def at(_: Sequence[Any], __: int) -> FunctionVerdict:
        n = next(count)
        status = "PASS" if n % 3 else "INCONCLUSIVE"
        check = Check("values", status, WHY, "", n / POINTS, None if n % 3 == 0 else n / POINTS)  # type: ignore[arg-type]
        return FunctionVerdict("f", (check,))

    found = over_points(at, (Drawn((3,)),), 0)
    assert found.status == "PASS" and found.resolution == found.checks[0].ratio
    assert found.resolution == (POINTS - 1) / POINTS


# --- the same answer twice --------------------------------------------------------------------


def test_the_same_seed_draws_the_same_points() -> None:
    first, second, other = (points(Drawn((3,)), seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=False))


def test_the_same_seed_gives_the_same_report() -> None:
    for backward in (lambda s, y: y * np.cos(s[0]), lambda s, y: 1.1 * y * np.cos(s[0])):
        reports = [str(judged(np.sin, backward, Drawn((2,)), seed=3)) for _ in range(2)]
        assert reports[0] == reports[1]


def test_nothing_is_left_behind(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    judged(np.sin, lambda s, y_bar: y_bar, Drawn((2,)))
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr() == ("", "")


def test_a_function_cannot_spoil_the_point_that_is_shown() -> None:
    def spoiling(x: Array) -> Array:
        y = np.asarray(x + 1)
        x[...] = 9
        return y

    found = judged(spoiling, lambda s, y_bar: y_bar, Drawn((1,)))
    assert found.status == "FAIL" and found.point == "plain inputs [0.]"


# --- errors -----------------------------------------------------------------------------------


def test_a_wrong_pair_raises_with_its_point() -> None:
    with pytest.raises(GradientCheckError, match=r"at plain inputs \[0\., 0\.\]"):
        check_backward(np.tanh, lambda s, y_bar: 2 * y_bar, Drawn((2,)))


def test_what_the_function_raises_at_a_point_is_raised_as_it_is() -> None:
    def at_ties(s: Any, y_bar: Array) -> Array:
        if s[0][0] == s[0][1]:
            raise ZeroDivisionError("equal entries")
        return np.asarray(y_bar)

    with pytest.raises(ZeroDivisionError, match="equal entries"):
        judged(lambda x: x.copy(), at_ties, Drawn((2,)))


def test_without_hypothesis_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"python -m pip install 'backproof\[hypothesis\]'"):
        judged(np.sin, lambda s, y_bar: y_bar * np.cos(s[0]), Drawn((2,)))
    assert judged(np.sin, lambda s, y_bar: y_bar * np.cos(s[0]), np.ones(2))


# --- in the other calls -----------------------------------------------------------------------


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind."""
    monkeypatch.setattr("backproof.drawn.POINTS", len(KINDS))


@pytest.mark.usefixtures("few_points")
def test_drawn_tensors_require_a_gradient() -> None:
    found = gradcheck(lambda x, i: x[i].sin(), (Drawn((3,)), Drawn((2,), "int64", 0, 2)))
    assert found.status == "PASS" and named(found, "values of input 0").detail.startswith("at ")
    assert gradcheck(torch.relu, Drawn((2,), "float32"))


def test_a_wrong_tensor_function_is_reduced_as_well() -> None:
    with pytest.raises(GradientCheckError, match=r"at plain inputs \[0\.\]"):
        gradcheck(lambda x: x + (2 * x).detach(), Drawn((1,)))


@pytest.mark.usefixtures("few_points")
def test_drawn_arguments_of_a_jax_function() -> None:
    import jax.numpy as jnp

    found = check_grads(jnp.sin, (Drawn((1,)),), 1, ["rev"])
    assert found.status == "PASS" and named(found, "values of argument 0").detail.startswith("at ")


def test_it_is_a_public_name() -> None:
    assert backproof.Drawn is Drawn


def test_what_a_function_raises_comes_with_the_point() -> None:
    def forward(x: Array) -> Array:
        if x.max() > 1.5:
            raise ValueError("too large")
        return x**2

    with pytest.raises(ValueError, match="too large") as raised:
        check_backward(forward, lambda saved, y_bar: 2 * saved[0] * y_bar, Drawn((3,)))
    (note,) = raised.value.__notes__
    assert re.match(r"at plain inputs \[.*\], or close by$", note)
