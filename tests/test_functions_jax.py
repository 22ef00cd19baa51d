"""Functions of JAX arrays: in place of jax.test_util.check_grads.

JAX compiles every function anew, so there are as few of them as will do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import test_util

from backproof.checkers.checks import Check
from backproof.checkers.functions.check import FunctionVerdict
from backproof.functions import GradientCheckError, check_grads

HOST: Any = jax.config
check_grads_of_jax: Any = test_util.check_grads

X = np.array([0.5, -1.5])
REVERSE, FORWARD = ["rev"], ["fwd"]


def judged(f: Callable[..., Any], *args: Any, order: int = 1, **options: Any) -> FunctionVerdict:
    options = {"modes": REVERSE, **options}
    return check_grads(f, args, order, raise_exception=False, **options)


def not_passed(verdict: FunctionVerdict) -> dict[str, str]:
    return {c.name: f"{c.status}: {c.detail}" for c in verdict.checks if c.status != "PASS"}


def named(verdict: FunctionVerdict, name: str) -> Check:
    (found,) = [c for c in verdict.checks if c.name == name]
    return found


def square_with(factor: float) -> Callable[[Any], Any]:
    """x^2 with a reverse mode of its own; right with 2."""

    @jax.custom_vjp
    def square(x: Any) -> Any:
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, y_bar: (factor * x * y_bar,))
    return square


def cube_with(slope: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """x^3 with this slope, in forward mode and by transposition in reverse."""

    @jax.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    cube.defjvp(lambda xs, dots: (xs[0] ** 3, slope(xs[0]) * dots[0]))
    return cube


# --- right and wrong rules --------------------------------------------------------------


def test_a_right_custom_vjp_is_verified_to_second_order() -> None:
    found = judged(square_with(2), X, order=2)
    assert found.status == "PASS", not_passed(found)
    assert found.resolution is not None and found.resolution < 1e-10
    assert named(found, "rev, order 1: values of argument 0").status == "PASS"
    assert named(found, "rev, order 2: values of argument 0").status == "PASS"


def test_a_wrong_custom_vjp_that_jax_s_passes_is_caught() -> None:
    wrong = square_with(2.0002)
    check_grads_of_jax(wrong, (X,), 1, REVERSE)
    with pytest.raises(AssertionError, match="square is WRONG") as error:
        check_grads(wrong, (X,), 1, REVERSE)
    assert isinstance(error.value, GradientCheckError)
    values = named(error.value.verdict, "values of argument 0")
    assert values.status == "FAIL" and "off by 0.0001 of itself" in values.detail


def test_a_right_custom_jvp_is_verified_in_both_modes() -> None:
    found = judged(cube_with(lambda x: 3 * x**2), X, modes=["fwd", "rev"])
    assert found.status == "PASS", not_passed(found)
    assert named(found, "fwd, order 1: values of argument 0").status == "PASS"


@pytest.mark.parametrize("mode", [FORWARD, REVERSE])
def test_a_wrong_custom_jvp_is_caught_in_either_mode(mode: list[str]) -> None:
    found = judged(cube_with(lambda x: 2 * x**2), X, modes=mode)
    assert named(found, "values of argument 0").status == "FAIL"
    assert "all of it times 0.666667" in named(found, "values of argument 0").detail


def test_a_second_order_that_is_wrong_is_caught_there_alone() -> None:
    stopped = cube_with(lambda x: 3 * jax.lax.stop_gradient(x) ** 2)
    assert judged(stopped, X[:1]).status == "PASS"
    found = judged(stopped, X[:1], order=2)
    assert named(found, "rev, order 1: values of argument 0").status == "PASS"
    assert named(found, "rev, order 2: values of argument 0").status == "FAIL"
    assert "all of it is zero" in named(found, "rev, order 2: values of argument 0").detail


def test_a_kink_on_which_jax_s_raises_a_false_alarm_is_verified() -> None:
    x = np.array([0.0, -1.0])
    with pytest.raises(AssertionError):
        check_grads_of_jax(jax.nn.relu, (x,), 1, REVERSE)
    found = judged(jax.nn.relu, x)
    assert found.status == "PASS", not_passed(found)
    assert "in the hull" in named(found, "values of argument 0").detail


def test_a_nan_is_wrong() -> None:
    found = judged(lambda x: jnp.where(x > 0, jnp.sqrt(x), x), np.array([-1.0, 1.0]))
    assert named(found, "values of argument 0").status == "FAIL", str(found)


# --- arguments --------------------------------------------------------------------------


def test_arguments_are_trees_and_what_is_whole_is_passed_on() -> None:
    def layer(p: dict[str, Any], x: Any, power: int) -> dict[str, Any]:
        z = p["w"] @ x + p["b"][0]
        return {"y": z[p["order"]] ** power, "largest": jnp.argmax(z), "pair": (z.sum(),)}

    w = np.array([[1.0, 0.5], [0.25, -1.0]])
    parameters = {"w": w, "b": [np.ones(2)], "order": np.array([1, 0, 1])}
    found = judged(layer, parameters, jnp.asarray(X, dtype=jnp.float32), 2)
    assert found.status == "PASS", not_passed(found)
    forms = [c.name for c in found.checks if c.name.startswith("form of ")]
    assert forms == [f"form of argument {n}" for n in ("0['b'][0]", "0['w']", "1")]
    assert named(found, "values of argument 1 in float32").status == "PASS"


def test_float32_is_verified_although_the_host_has_no_float64() -> None:
    assert not HOST.jax_enable_x64
    found = judged(jnp.sin, jnp.asarray(X))
    assert found.status == "PASS", not_passed(found)
    assert named(found, "values of argument 0 in float32").status == "PASS"


def test_a_python_number_is_an_argument() -> None:
    assert judged(lambda x, n: x**n, 0.5, 3).status == "PASS"


def test_control_flow_on_values_is_no_obstacle() -> None:
    """Such a function cannot be compiled."""

    def branching(x: Any) -> Any:
        return 2 * x if x[0] > 0 else 3 * x

    for x in (X, -X):
        found = judged(branching, x)
        assert found.status == "PASS", not_passed(found)


@pytest.mark.parametrize(
    "f, args, words",
    [
        (jnp.sin, (1j * X,), "complex arguments: pass their real and imaginary parts"),
        (jnp.sin, (np.arange(3),), "none of the arguments is a floating-point array"),
        (jnp.sin, (), "none of the arguments is a floating-point array"),
        (lambda x: 1j * x, (X,), "returns complex arrays; return real and imaginary parts"),
        (lambda x: x > 0, (X,), "returns no floating-point array"),
        (lambda x: None, (X,), "returns no floating-point array"),
    ],
    ids=["complex", "integers", "nothing", "complex output", "bools", "no return"],
)
def test_bad_arguments_are_one_clear_sentence(
    f: Callable[..., Any], args: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        judged(f, *args)


# --- options ----------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [["forward"], ["rev", "reverse"], [], ()])
def test_modes_are_fwd_and_rev(modes: Any) -> None:
    with pytest.raises(ValueError, match="modes must be of 'fwd' and 'rev'"):
        judged(jnp.sin, X, modes=modes)


@pytest.mark.parametrize("order", [0, -1, 1.0, "1"])
def test_an_order_is_a_number_of_derivatives(order: Any) -> None:
    with pytest.raises(ValueError, match="order must be an integer of at least 1"):
        judged(jnp.sin, X, order=order)


def test_one_mode_may_be_a_word_as_for_jax_s() -> None:
    check_grads_of_jax(jnp.sin, (X,), 1, "rev")
    assert judged(jnp.sin, X, modes="rev").status == "PASS"


def test_every_parameter_of_jax_s_is_one_of_ours_and_in_its_place() -> None:
    mine = list(inspect.signature(check_grads).parameters.values())
    yours = list(inspect.signature(check_grads_of_jax).parameters.values())
    for own, other in zip(mine, yours, strict=False):
        assert (own.name, own.kind, own.default) == (other.name, other.kind, other.default)
    assert all(p.kind is p.KEYWORD_ONLY for p in mine[len(yours) :])


def test_eps_does_nothing_and_tolerances_excuse() -> None:
    wrong = square_with(2.0002)
    found = judged(wrong, X, eps=1e-2)
    assert found.status == "FAIL" and found == judged(wrong, X)
    assert judged(wrong, X, rtol=1e-3).status == "PASS"
    assert judged(wrong, X, atol=1e-3).status == "PASS"


@pytest.mark.parametrize("enabled", [False, True])
def test_the_host_s_float64_setting_stays(enabled: bool) -> None:
    before = HOST.jax_enable_x64
    HOST.update("jax_enable_x64", enabled)
    try:
        judged(jnp.sin, X[:1])
        with pytest.raises(ZeroDivisionError):
            judged(lambda x: 1 / 0, X[:1])
        assert HOST.jax_enable_x64 is enabled
        assert jnp.ones(1).dtype == (jnp.float64 if enabled else jnp.float32)
    finally:
        HOST.update("jax_enable_x64", before)


def test_the_same_seed_gives_the_same_report() -> None:
    first, second = (judged(jnp.sin, X, order=2, seed=4) for _ in range(2))
    assert first == second and str(first) == str(second)
