"""Subjects of other people's: textbook formulas are right, and no cloak for a wrong gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backproof import judging
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, Lane, draw_case, make_case
from backproof.checkers.outcome import Verdict
from backproof.checkers.verdict import verify
from backproof.foreign import close_all, enter
from backproof.jobs import Options
from backproof.judging import INACCURATE, judge
from backproof.subjects.capabilities import SubjectProblem
from backproof.subjects.python import PythonSubject

TUTORIAL = Path(__file__).parents[1] / "docs" / "subjects.md"

Gradients = Callable[[Case], tuple[Any, dict[str, Any]]]


def textbook() -> Any:
    """The network of the documents, whose tanh has the derivative 1 - y^2."""
    defined: dict[str, Any] = {}
    exec(TUTORIAL.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0], defined)
    return defined["Net"]()


class Changed:
    """That network with something done to its gradients."""

    def __init__(self, change: Callable[[dict[str, Any]], None]) -> None:
        self.net, self.change = textbook(), change

    def describe(self) -> Any:
        return self.net.describe()

    def gradients(self, case: Case) -> Any:
        loss, found = self.net.gradients(case)
        self.change(found)
        return loss, found


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    close_all()


def judged(case: Case, subject: Any) -> Verdict:
    enter("py:here", PythonSubject("py:here", subject))
    return judge(case, Options(subject="py:here"))


DEEP = Architecture(
    (4, 3),
    (ops.Dense(5), ops.Tanh(), ops.Dense(4), ops.Tanh(), ops.Dense(2)),
    ls.SquaredError("mean"),
)


def saturated(share: float) -> Case:
    """Units so far out that 1 - y^2 has lost most of its digits, and y none."""
    case = draw_case(DEEP, 3)
    parameters = dict(case.parameters)
    parameters["layers.0.bias"] = np.sign(parameters["layers.0.bias"]) * share
    return make_case(
        DEEP, parameters, case.input, case.targets, data=case.data, dtype="float64", seed=3
    )


@pytest.mark.parametrize("share", [12.0, 15.0])
def test_digits_that_a_textbook_s_formula_loses_are_not_held_against_it(share: float) -> None:
    case = saturated(share)
    net = textbook()
    assert verify(case, net.gradients).status == "FAIL"
    verdict = judged(case, net)
    assert (verdict.status, verdict.reason) == ("PASS", INACCURATE)


@pytest.mark.parametrize("lane", ["generic", "exact", "tie", "extreme"])
@pytest.mark.parametrize("seed", range(6))
def test_a_textbook_s_network_is_right_on_every_lane(seed: int, lane: Lane) -> None:
    verdict = judged(draw_case(DEEP, seed, lane), textbook())
    assert verdict.status in ("PASS", "INCONCLUSIVE"), verdict.reason


BEYOND = Architecture((1, 5), (ops.Dense(6, bias=False), ops.Tanh()), ls.SquaredError())
"""On inputs near 1000 1 - tanh(z)^2 is 1e-140, of which a textbook's 1 - y^2 has nothing left."""


def far_out() -> Case:
    return draw_case(BEYOND, 12884901894, "extreme")


def test_where_a_textbook_s_formula_loses_everything_nothing_is_proved() -> None:
    assert verify(far_out(), textbook().gradients).status == "FAIL"
    assert judged(far_out(), textbook()).status == "INCONCLUSIVE"


def test_what_no_formula_loses_is_a_failure_there_all_the_same() -> None:
    """The allowance is that of a lost factor, 1e-16 of what comes back, and no more."""

    def too_much(g: dict[str, Any]) -> None:
        g["layers.0.weight"] = g["layers.0.weight"] + 1e-9

    assert judged(far_out(), Changed(too_much)).status == "FAIL"


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a bias averaged": lambda g: g.update({"layers.2.bias": g["layers.2.bias"] / 4}),
    "a weight off by 1e-6": lambda g: g.update(
        {"layers.2.weight": g["layers.2.weight"] * 1.000001}
    ),
    "the first layer negated": lambda g: g.update({"layers.0.weight": -g["layers.0.weight"]}),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("share", [1.0, 12.0])
def test_what_cancellation_excuses_hides_no_fault(fault: str, share: float) -> None:
    assert judged(saturated(share), Changed(FAULTS[fault])).status == "FAIL"


@pytest.mark.parametrize(
    "problem", [SubjectProblem("TIMEOUT", "it fell asleep"), IndexError("of the harness")]
)
def test_what_breaks_on_the_way_to_the_place_takes_nothing_from_a_failure(
    problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subject may die or hang when it is asked once more; that it is wrong is known by then."""

    def breaks(*_: Any, **__: Any) -> Any:
        raise problem

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples" / "gitlab"))
    case = draw_case(Architecture((3, 2), (ops.Dense(2),), ls.SquaredError()), 1)
    options = Options(subject="py:my_net:Wrong", checkers=("complex_step",))
    assert judge(case, options).status == "FAIL"
    monkeypatch.setattr(judging, "located", breaks)
    verdict = judge(case, options)
    assert verdict.status == "FAIL" and verdict.operator == "dense"
    assert str(getattr(problem, "reason", "of the harness")) in verdict.reason
