"""What an implementation of networks owes beyond right numbers: both ways, one fault each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, draw_case
from backproof.architectures.generation import Limits, generate
from backproof.checkers import manners
from backproof.checkers.checks import Check
from backproof.checkers.outcome import Verdict, with_checks
from backproof.checkers.verdict import reference_subject

Gradients = Mapping[str, Any]
Subject = Callable[[Case], tuple[Any, Gradients]]

MLP = Architecture((4, 3), (ops.Dense(5), ops.Tanh(), ops.Dense(2)), ls.SquaredError("mean"))
CLASSES = Architecture((4, 3), (ops.Dense(5), ops.ReLU(), ops.Dense(3)), ls.CrossEntropy())
LINEAR = Architecture((4, 3), (ops.Dense(5), ops.Tanh(), ops.Dense(2)), ls.WeightedSum())
COUPLED = Architecture((4, 3), (ops.Dense(5), ops.BatchNorm(), ops.Tanh()), ls.SquaredError())


def found(
    subject: Subject,
    architecture: Architecture = MLP,
    accumulate: Subject | None = None,
    dtype: DType = "float64",
) -> dict[str, Check]:
    case = draw_case(architecture, 3, "generic", dtype)
    return {c.name: c for c in manners.check(case, subject, accumulate)}


def failing(checks: Mapping[str, Check]) -> set[str]:
    return {c.name for c in checks.values() if c.status != "PASS"}


def right(case: Case) -> tuple[Any, Gradients]:
    return reference_subject(case)


def changed(change: Callable[[Case, dict[str, Any]], None]) -> Subject:
    """The reference, with something done to its gradients."""

    def subject(case: Case) -> tuple[Any, Gradients]:
        loss, gradients = right(case)
        gradients = {n: np.array(g) for n, g in gradients.items()}
        change(case, gradients)
        return loss, gradients

    return subject


# --- what holds ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(30))
def test_the_reference_keeps_every_promise_on_random_networks(seed: int, dtype: DType) -> None:
    (a,) = generate(Limits(), "generic", dtype, seed, 1)
    case = draw_case(a, seed, "generic", dtype)
    checks = manners.check(case, right)
    assert not failing({c.name: c for c in checks}), checks


def test_every_claim_is_asked_of_some_network() -> None:
    asked = {name for a in (MLP, CLASSES, LINEAR) for name in found(right, a, Adding().add)}
    assert asked == set(manners.CLAIMS)


def test_a_claim_that_holds_says_nothing_and_one_that_does_not_says_why() -> None:
    assert all(not c.detail and not c.why for c in found(right).values())
    wrong = found(changed(lambda case, g: g["layers.0.bias"].__iadd__(1.0)))
    bad = [c for c in wrong.values() if c.status == "FAIL"]
    assert bad and all(c.why and c.detail for c in bad)


def test_a_batch_that_an_operator_couples_is_not_asked_to_come_apart() -> None:
    checks = found(right, COUPLED)
    assert "halved batch" not in checks and "permuted batch" in checks


def test_textbook_formulas_that_cancel_are_within_rounding() -> None:
    """1 - tanh(x)^2 loses digits in saturated units, and differently so in another order."""
    rng = np.random.default_rng(1)

    def textbook(case: Case) -> tuple[Any, Gradients]:
        w, b = case.parameters["layers.0.weight"], case.parameters["layers.0.bias"]
        order = rng.permutation(w.shape[1])
        assert case.input is not None
        y = np.tanh(case.input[:, order] @ w[:, order].T + b)
        r = y - case.target
        z_bar = r * (1 - y**2)
        gradients = {"layers.0.weight": z_bar.T @ case.input, "layers.0.bias": z_bar.sum(0)}
        return 0.5 * np.sum(r * r), gradients

    a = Architecture((6, 4), (ops.Dense(3), ops.Tanh()), ls.SquaredError())
    for seed in range(20):
        case = draw_case(a, seed)
        wide = {n: 6 * p for n, p in case.parameters.items()}
        checks = manners.check(replace(case, parameters=wide), textbook)
        assert not failing({c.name: c for c in checks}), (seed, checks)


# --- what does not ---------------------------------------------------------------------


def test_a_loss_that_is_not_the_one_differentiated() -> None:
    """It differentiates the sum, and reports the mean."""

    def subject(case: Case) -> tuple[Any, Gradients]:
        loss, gradients = right(case)
        return loss / 4, gradients

    checks = found(subject)
    assert failing(checks) == {"own loss"}
    assert "has slope" in checks["own loss"].detail


def test_an_error_of_1e_9_against_its_own_loss_shows() -> None:
    checks = found(changed(lambda case, g: g["layers.2.weight"].__imul__(1 + 1e-9)))
    assert failing(checks) == {"own loss"}


@dataclass
class Adding:
    """A buffer of gradients that calls add to."""

    held: dict[str, Any] = field(default_factory=dict)

    def write(self, case: Case) -> tuple[Any, Gradients]:
        self.held = {}
        return self.add(case)

    def add(self, case: Case) -> tuple[Any, Gradients]:
        loss, gradients = right(case)
        self.held = {n: self.held.get(n, 0) + g for n, g in gradients.items()}
        return loss, dict(self.held)


def test_a_buffer_that_is_not_zeroed() -> None:
    assert "repeatable" in failing(found(Adding().add))


def test_a_buffer_that_is_added_to_when_asked_keeps_its_promise() -> None:
    buffer = Adding()
    checks = found(buffer.write, accumulate=buffer.add)
    assert not failing(checks) and "accumulation" in checks


def test_one_that_overwrites_where_it_should_add() -> None:
    buffer = Adding()
    checks = found(buffer.write, accumulate=buffer.write)
    assert failing(checks) == {"accumulation"}


def test_one_that_still_holds_what_was_added_before() -> None:
    buffer = Adding()

    def write_once(case: Case) -> tuple[Any, Gradients]:
        twice = 2 * np.abs(right(case)[1]["layers.0.bias"]).max()
        held = buffer.held.get("layers.0.bias", np.zeros(1))
        stuck = np.abs(held).max() >= twice * 0.999 and added
        return buffer.add(case) if stuck else buffer.write(case)

    added: list[bool] = []

    def add(case: Case) -> tuple[Any, Gradients]:
        added.append(True)
        return buffer.add(case)

    checks = found(write_once, accumulate=add)
    assert "accumulation" in failing(checks)
    assert "still holds" in checks["accumulation"].detail


def test_a_cache_that_survives_the_call() -> None:
    cache: dict[str, Any] = {}

    def subject(case: Case) -> tuple[Any, Gradients]:
        first = cache.setdefault("input", case.input)
        return right(replace(case, input=first) if first.shape == case.input.shape else case)  # type: ignore[union-attr]

    case = draw_case(MLP, 3)
    subject(draw_case(MLP, 4))
    assert failing({c.name: c for c in manners.check(case, subject)})
    last: dict[str, Any] = {}

    def with_state(case: Case) -> tuple[Any, Gradients]:
        before, last["bias"] = last.get("bias"), case.parameters["layers.0.bias"]
        same = before is None or np.array_equal(before, last["bias"])
        loss, gradients = right(case)
        return loss, gradients if same else {n: 2 * g for n, g in gradients.items()}

    checks = {c.name: c for c in manners.check(case, with_state)}
    assert "interleaved calls" in failing(checks) and "repeatable" not in failing(checks)


@pytest.mark.parametrize("where", ["parameters", "input", "target"])
def test_one_that_writes_to_what_it_was_given(where: str) -> None:
    def subject(case: Case) -> tuple[Any, Gradients]:
        found = right(case)
        if where == "parameters":
            case.parameters["layers.0.weight"][...] -= 0.1
        elif where == "input":
            case.input[...] *= 2  # type: ignore[index]
        else:
            case.target[...] = 0
        return found

    checks = found(subject)
    assert failing(checks) == {"caller's arrays"}
    assert {"parameters": "layers.0.weight", "input": "input", "target": "the target"}[
        where
    ] in checks["caller's arrays"].detail


def test_one_that_reads_memory_in_order() -> None:
    def as_it_lies(x: Any) -> Any:
        return x.ravel("K").reshape(x.shape)

    def subject(case: Case) -> tuple[Any, Gradients]:
        parameters = {n: as_it_lies(p) for n, p in case.parameters.items()}
        return right(replace(case, parameters=parameters))

    assert failing(found(subject)) == {"strided arrays"}


def test_one_for_which_the_first_example_counts_twice() -> None:
    def change(case: Case, g: dict[str, Any]) -> None:
        g["layers.2.bias"] += case.target[0]

    assert {"permuted batch", "own loss"} <= failing(found(changed(change)))


def test_one_that_forgets_an_example_in_small_batches() -> None:
    def subject(case: Case) -> tuple[Any, Gradients]:
        if case.input is not None and len(case.input) == 2:
            short = replace(
                case,
                architecture=replace_input(case.architecture, 1),
                input=case.input[:1],
                targets={"loss": case.target[:1]},
            )
            loss, gradients = right(short)
            return loss, {
                n: np.vstack([g, 0 * g]) if n == "input" else g for n, g in gradients.items()
            }
        return right(case)

    assert failing(found(subject)) == {"halved batch"}


def replace_input(a: Architecture, rows: int) -> Architecture:
    return Architecture((rows, *(a.input or ())[1:]), a.layers, a.loss)


def test_one_that_clamps_the_cotangent_from_below() -> None:
    def subject(case: Case) -> tuple[Any, Gradients]:
        largest = np.abs(case.target).max()
        return right(case) if largest != 0.0 else nan(case)

    def nan(case: Case) -> tuple[Any, Gradients]:
        loss, gradients = right(case)
        return loss, {n: np.full_like(g, np.nan) for n, g in gradients.items()}

    checks = found(subject, LINEAR)
    assert failing(checks) == {"scaled cotangent"}
    assert "0 times the cotangent" in checks["scaled cotangent"].detail


def test_one_that_takes_a_class_that_does_not_exist() -> None:
    def subject(case: Case) -> tuple[Any, Gradients]:
        clamped = np.minimum(case.targets["loss"], 2)
        return right(replace(case, targets={"loss": clamped}))

    checks = found(subject, CLASSES)
    assert failing(checks) == {"errors"}
    assert "class 3 of 3" in checks["errors"].detail


def test_what_a_subject_raises_in_a_check_is_what_was_found() -> None:
    calls: Iterator[int] = iter(range(10**6))

    def subject(case: Case) -> tuple[Any, Gradients]:
        if next(calls):
            raise RuntimeError("only one call\nmore")
        return right(case)

    checks = found(subject)
    assert {c.detail for c in checks.values() if c.status == "FAIL"} == {"it raises: only one call"}


# --- in a verdict ----------------------------------------------------------------------


def test_the_first_claim_that_fails_fails_the_verdict_unless_it_was_declared() -> None:
    held = Check("repeatable", "PASS")
    bad = Check("errors", "FAIL", "why", "what was found")
    declared = Check("errors", "FAIL", "why", "what was found", expected="known")
    assert with_checks(Verdict("PASS"), (held,)).status == "PASS"
    assert with_checks(Verdict("PASS"), (held, declared)).status == "PASS"
    failed = with_checks(Verdict("PASS"), (held, bad))
    assert (failed.status, failed.reason) == ("FAIL", "errors: what was found")
    assert failed.failed_checks == ("errors",)
    wrong = Verdict("FAIL", "values", operator="dense")
    assert with_checks(wrong, (bad,)).reason == "values"


def test_declared_failures_are_marked_with_their_reason() -> None:
    case = draw_case(CLASSES, 1)
    checks = manners.check(case, right, expected={"own loss": "it has none"})
    assert {c.name: c.expected for c in checks}["own loss"] == "it has none"
