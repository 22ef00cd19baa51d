"""What one look leaves open is looked at again; a ray beside a kink blames where nothing else can.

Every claim both ways: right code passes, and a gradient wrong in just those entries does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.func import functional_call

from backproof.adapters import check_module
from backproof.checkers.functions import values
from backproof.checkers.functions.check import FunctionVerdict
from backproof.checkers.functions.values import Compared
from backproof.functions import check_backward
from backproof.reference.arrays import Array

Looks = list[tuple[str, float, tuple[int, ...]]]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Every look at an input's entries: its name, the share of the steps, the entries."""
    found: Looks = []
    right = values._look

    def told(point: Any, k: int, seen: Compared, entries: Array, share: float, *rest: Any) -> Any:
        found.append((seen.name, share, tuple(int(i) for i in entries)))
        return right(point, k, seen, entries, share, *rest)

    monkeypatch.setattr(values, "_look", told)
    return found


def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LOOKS", (1.0,))


def status_of(verdict: FunctionVerdict, name: str) -> str:
    (found,) = [c.status for c in verdict.checks if c.name == f"values of {name}"]
    return found


# --- a transformer's layer -----------------------------------------------------------------

BIAS = "self_attn.in_proj_bias"


class Identity(Function):
    """The identity, with the gradient times `factors`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Tensor) -> Tensor:
        ctx.save_for_backward(factors)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g * ctx.saved_tensors[0], None


class Encoder(nn.Module):
    """A layer whose projections' bias has a gradient times `factors`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(100)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0).double()
        self.x = torch.randn(3, 2, 4, dtype=torch.float64)
        self.factors = torch.ones(12, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.layer.self_attn.in_proj_bias
        given = {BIAS: Identity.apply(bias, self.factors)}  # type: ignore[no-untyped-call]
        return functional_call(self.layer, given, (x,))  # type: ignore[no-any-return]


def encoder(factor: float = 1.0) -> FunctionVerdict:
    """Its verdict, with a factor on the gradient of the entry that one look leaves open."""
    module = Encoder()
    module.factors[OPEN] = factor
    return check_module(module, module.x, raise_exception=False)


OPEN = 1
"""The bias's entry of which the first look finds no finite bound."""


def test_an_entry_without_a_bound_is_verified_by_the_second_look(looks: Looks) -> None:
    found = encoder()
    assert found.status == "PASS", found
    assert [look for look in looks if look[1] < 1] == [(f"layer.{BIAS}", 0.7, (OPEN,))]


def test_a_gradient_wrong_in_that_very_entry_is_caught_by_the_second_look() -> None:
    found = encoder(1.001)
    assert found.status == "FAIL"
    assert [c.name for c in found.checks if c.status == "FAIL"] == [f"values of layer.{BIAS}"]
    assert f"entry ({OPEN},)" in str(found)


def test_one_look_would_not_verify_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one_look(monkeypatch)
    assert status_of(encoder(), f"layer.{BIAS}") == "INCONCLUSIVE"


# --- a kink within the first steps, and not within the last -----------------------------------

KINK = 0.5 + 2.0**-25


def bent(x: Array) -> Array:
    return np.asarray(np.sin(3 * x) + 0.01 * np.maximum(x - KINK, 0))


def bent_back(side: bool) -> Any:
    """Its backward pass, which takes the right piece at 0.5, or the other."""

    def backward(saved: Any, y_bar: Array) -> Array:
        (x,) = saved
        beyond = (x > KINK) if side else (x > KINK - 2.0**-20)
        return np.asarray(y_bar * (3 * np.cos(3 * x) + 0.01 * beyond))

    return backward


def judged(side: bool) -> FunctionVerdict:
    return check_backward(bent, bent_back(side), np.array([0.5]), raise_exception=False)


def test_a_kink_close_by_takes_smaller_steps_and_no_verdict_away(looks: Looks) -> None:
    found = judged(True)
    assert found.status == "PASS", found
    assert [share for _, share, _ in looks] == [1.0, 0.7, 0.43]


def test_the_slope_beyond_a_kink_close_by_is_wrong_before_it() -> None:
    """Off by a hundredth of the function's slope far away, and no convention at 0.5."""
    found = judged(False)
    assert status_of(found, "input 0") == "FAIL"
    assert "must be 0.2122" in str(found)


def test_one_look_would_not_verify_before_a_kink_close_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_look(monkeypatch)
    assert judged(True).status == "INCONCLUSIVE"


# --- a ray runs through all inputs -------------------------------------------------------------


def on_kinks(of_x: float, of_w: float) -> FunctionVerdict:
    """sum |x| at 0, and w^2, whose gradients are each times a factor."""

    def forward(x: Array, w: Array) -> Array:
        return np.asarray(np.abs(x).sum() + (w * w).sum())

    def backward(saved: Any, y_bar: Array) -> tuple[Array, Array]:
        x, w = saved
        return y_bar * of_x * np.sign(x), y_bar * of_w * 2 * w

    x, w = np.zeros(3), np.array([1.25])
    return check_backward(forward, backward, x, w, raise_exception=False)


def test_on_kinks_right_inputs_pass() -> None:
    assert on_kinks(1.0, 1.0).status == "PASS"


@pytest.mark.parametrize("of_w", [1.01, np.nan])
def test_an_input_on_kinks_is_not_blamed_for_another_that_is_wrong_by_itself(of_w: float) -> None:
    """All slopes of x are hidden; the ray beside the kinks is wrong because of w."""
    found = on_kinks(1.0, of_w)
    assert status_of(found, "input 0") == "INCONCLUSIVE"
    assert status_of(found, "input 1") == "FAIL"


def test_an_input_on_kinks_is_blamed_where_it_is_wrong_itself() -> None:
    """At a point close by, where nothing hides its slopes; and w is not blamed for it."""
    found = on_kinks(1.01, 1.0)
    assert status_of(found, "input 0") == "FAIL"
    assert status_of(found, "input 1") == "INCONCLUSIVE"


def test_where_both_are_wrong_by_themselves_both_are_blamed() -> None:
    found = on_kinks(1.01, 1.01)
    assert status_of(found, "input 0") == status_of(found, "input 1") == "FAIL"


def hidden(of_x: float, of_w: float) -> FunctionVerdict:
    """sin 3x and a kink too slight to tell gradients apart, and w^2."""

    def forward(x: Array, w: Array) -> Array:
        return np.asarray(np.sin(3 * x) + 1e-7 * np.abs(x - 0.5) + w * w)

    def backward(saved: Any, y_bar: Array) -> tuple[Array, Array]:
        x, w = saved
        slope = 3 * np.cos(3 * x) + 1e-7 * np.sign(x - 0.5)
        return y_bar * of_x * slope, y_bar * of_w * 2 * w

    return check_backward(forward, backward, np.array([0.5]), np.array([1.25]),
                          raise_exception=False)  # fmt: skip


def test_what_is_wrong_only_along_a_ray_is_caught_where_no_other_is() -> None:
    """The kink hides the slope of x itself, and the point is on one piece; the ray is left."""
    assert hidden(1.0, 1.0).status == "PASS"
    found = hidden(1.01, 1.0)
    assert status_of(found, "input 0") == "FAIL"
    assert "beside a kink the slope along a random direction" in str(found)
    assert status_of(found, "input 1") == "PASS"


def test_where_another_is_wrong_by_itself_a_ray_proves_nothing_of_what_is_hidden() -> None:
    found = hidden(1.01, 1.01)
    assert status_of(found, "input 1") == "FAIL"
    assert status_of(found, "input 0") == "INCONCLUSIVE"
    found = hidden(1.0, 1.01)
    assert status_of(found, "input 1") == "FAIL"
    assert status_of(found, "input 0") == "PASS"
