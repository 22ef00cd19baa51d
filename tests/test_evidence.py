"""What a saved failure carries for its drawings: small, the same each time, and true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers_networks import network

from backproof import saving
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.generation import Limits
from backproof.campaign import run
from backproof.checkers import finite_differences as fd
from backproof.checkers.probe import Probe
from backproof.checkers.verdict import CheckerName, Verdict, reference_subject, verify
from backproof.evidence import evidence
from backproof.jobs import Options
from backproof.reports.events import AnyEvent, FailureSaved, decode, encode
from backproof.reports.evidence import CELLS, FEW, SIDE, Evidence

CHECKERS: tuple[CheckerName, ...] = ("finite_differences", "complex_step")

TANH = network(ops.Dense(5), ops.Tanh(), ops.Dense(2), input=(4, 3))


def scaled(tensor: str, factor: float = 1.01, entry: tuple[int, ...] | None = None) -> Any:
    """The reference with one tensor's gradient, or one entry of it, off by a factor."""

    def subject(case: Case) -> tuple[Any, Mapping[str, Any]]:
        loss, gradients = reference_subject(case)
        wrong = gradients[tensor].copy()
        if entry is None:
            wrong *= factor
        else:
            wrong[entry] *= factor
        return loss, {**gradients, tensor: wrong}

    return subject


def asked(case: Case, subject: Any) -> tuple[Case, Verdict, Mapping[str, Any]]:
    verdict = verify(case, subject, checkers=CHECKERS)
    assert verdict.status == "FAIL"
    return case, verdict, subject(case)[1]


def of(case: Case, subject: Any) -> Evidence:
    each = asked(case, subject)
    return evidence(each, each, CHECKERS)


def test_the_wrong_entry_is_the_one_beyond_its_bound() -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    found = of(case, scaled("layers.0.weight", 1.5, (4, 2))).found
    assert found is not None
    assert (found.tensor, found.shape, found.block) == ("layers.0.weight", (5, 3), (1, 1))
    ratios = np.array(found.error) / np.array(found.bound)
    assert np.flatnonzero(ratios > 1).tolist() == [4 * 3 + 2]
    right = reference_subject(case)[1]["layers.0.weight"].reshape(-1)
    np.testing.assert_allclose(found.accepted, right, rtol=1e-5)  # written to six digits
    assert found.given[14] == pytest.approx(1.5 * right[14], rel=1e-5)
    assert found.error[14] == pytest.approx(0.5 * abs(right[14]), rel=1e-2)


def test_digits_show_an_error_however_small() -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    found = of(case, scaled("layers.0.weight", 1 + 1e-11)).found
    assert found is not None
    worst = int(np.argmax(np.array(found.error) / np.array(found.bound)))
    assert abs(found.given[worst] - found.accepted[worst]) == pytest.approx(
        found.error[worst], rel=0.1
    )


def test_the_v_has_both_arms_and_the_checker_s_step_in_it() -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    steps = of(case, scaled("layers.0.weight", 1.5, (4, 2))).steps
    assert steps is not None
    assert (steps.tensor, steps.entry) == ("layers.0.weight", (4, 2))
    errors, h = np.array(steps.errors), np.array(steps.steps)
    assert (np.diff(h) < 0).all()
    least = int(np.argmin(errors))
    truncation = errors[(h < steps.largest / 8) & (h > 64 * h[least])]
    assert (np.diff(truncation) < 0).all()  # h^2, step by step
    assert errors[: least // 2].min() > 100 * errors[least] < errors[-5:].min()
    assert steps.largest / 2 ** (fd.LEVELS - 1) <= steps.chosen * 1.001 <= steps.largest
    right = reference_subject(case)[1]["layers.0.weight"][4, 2]
    assert steps.subject == pytest.approx(0.5 * abs(right), rel=1e-3)
    assert steps.error <= steps.bound < errors[least]  # extrapolation is better than any step


def test_the_ladder_s_value_is_the_checker_s_own() -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    probe, unit = Probe(case), np.zeros((5, 3))
    unit[1, 1] = 1.0
    ladder = fd.ladder(probe, "layers.0.weight", unit, range(0, -7, -1))
    value, bound = fd.along(probe, "layers.0.weight", unit[None])
    assert (ladder.value, ladder.bound) == (value[0], bound[0])
    reach, _ = probe.reach("layers.0.weight", unit[None])
    assert ladder.largest == ladder.steps[0] == reach[0] / 4
    assert ladder.chosen in ladder.steps
    right = reference_subject(case)[1]["layers.0.weight"][1, 1]
    assert np.abs(ladder.slopes - right)[-1] < np.abs(ladder.slopes - right)[0]


def test_where_no_step_errs_in_the_minimal_network_the_one_that_was_found_is_asked() -> None:
    wrong = scaled("layers.0.weight", 1.5)
    found = asked(draw_case(TANH, 3, "generic", "float64"), wrong)
    linear = asked(
        draw_case(
            network(ops.Dense(1), input=(1, 1), loss=ls.WeightedSum()), 3, "generic", "float64"
        ),
        wrong,
    )
    ones = {name: np.ones_like(value) for name, value in linear[0].parameters.items()}
    targets = {site: np.ones_like(value) for site, value in linear[0].targets.items()}
    short = replace(linear[0], parameters=ones, input=np.ones((1, 1)), targets=targets)
    minimal = (short, linear[1], wrong(short)[1])
    steps = evidence(found, minimal, CHECKERS).steps
    assert steps is not None and steps.found and any(steps.errors)
    steps = evidence(minimal, minimal, CHECKERS).steps
    assert steps is not None and not any(steps.errors)
    steps = evidence(minimal, found, CHECKERS).steps
    assert steps is not None and not steps.found


def test_where_all_is_exact_there_is_no_v() -> None:
    case = draw_case(network(ops.Dense(3), input=(2, 2)), 3, "exact", "float64")
    found = of(case, scaled("layers.0.bias", 3.0))
    assert found.steps is None and found.found is not None
    assert set(found.found.bound) == {0.0} and max(found.found.error) > 0


@pytest.mark.parametrize(
    ("given", "tensor"),
    [({}, "layers.0.bias"), ({"layers.0.bias": np.ones(9)}, "layers.0.bias"),
     ({"layers.0.bias": None}, "layers.0.bias"), ({}, "loss"), ({}, "nowhere")],
)  # fmt: skip
def test_of_what_is_missing_or_misshapen_there_is_nothing(given: Any, tensor: str) -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    each = case, Verdict("FAIL", tensor=tensor), given
    assert evidence(each, each, CHECKERS) == Evidence()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_the_worst(value: float) -> None:
    case = draw_case(TANH, 3, "generic", "float64")
    gradients = dict(reference_subject(case)[1])
    gradients["layers.0.bias"] = gradients["layers.0.bias"].copy()
    gradients["layers.0.bias"][3] = value
    each = case, Verdict("FAIL", tensor="layers.0.bias"), gradients
    found = evidence(each, each, CHECKERS)
    assert found.steps is not None and found.steps.entry == (3,)
    event = FailureSaved(
        id="x", minimal=TANH, verdict=Verdict("FAIL"), path="", script="", replay="", evidence=found
    )
    (again,) = decode([encode(event)])
    assert isinstance(again, FailureSaved) and again.evidence is not None
    assert encode(again) == encode(event)


@pytest.mark.parametrize("shape", [(40, 40), (3, 100), (300, 2), (1, 900)])
def test_a_large_tensor_is_blocks_each_with_its_worst_entry(shape: tuple[int, int]) -> None:
    rows, columns = shape
    case = draw_case(network(ops.Dense(rows), input=(1, columns)), 3, "generic", "float64")
    wrong = rows - 1, columns - 2
    found = of(case, scaled("layers.0.weight", 2.0, wrong)).found
    assert found is not None and found.shape == shape
    assert (
        len(found.given) <= CELLS
        and found.columns <= SIDE
        and len(found.given) <= SIDE * found.columns
    )
    tall, wide = found.block
    assert -(-columns // wide) == found.columns
    assert -(-rows // tall) * found.columns == len(found.given)
    ratios = np.array(found.error) / np.array(found.bound)
    cell = wrong[0] // tall * found.columns + wrong[1] // wide
    assert np.flatnonzero(ratios > 1).tolist() == [cell]


def test_evidence_stays_below_25_kb_whatever_its_digits_are() -> None:
    case = draw_case(network(ops.Dense(32), input=(1, 32)), 3, "generic", "float64")
    each = asked(case, scaled("layers.0.weight", 1 + 1e-9))
    found = evidence(each, each, CHECKERS)
    assert found.found is not None and len(found.found.given) == CELLS
    assert found.minimal is not None and len(found.minimal.given) == FEW
    assert found.steps is not None
    longest = -1.2345678901234567e-105
    value = msgspec.structs.replace(
        found.found, given=(longest,) * CELLS, accepted=(longest,) * CELLS,
        error=(-1.23e-105,) * CELLS, bound=(-1.23e-105,) * CELLS,
    )  # fmt: skip
    small = msgspec.structs.replace(
        value, given=value.given[:FEW], accepted=value.accepted[:FEW],
        error=value.error[:FEW], bound=value.bound[:FEW],
    )  # fmt: skip
    whole = Evidence(found=value, minimal=small, steps=found.steps)
    assert len(msgspec.json.encode(whole)) < 25_000


WRONG = Options(
    cases=2, checkers=CHECKERS, limits=Limits(2, 3, 2), subject="reference+relative_error_1e_2",
    lanes=("generic",), architecture=network(ops.Dense(2), ops.Tanh(), input=(2, 2)),
)  # fmt: skip


def saved(options: Options) -> list[FailureSaved]:
    events: list[AnyEvent] = []
    run(options, events.append)
    return [e for e in events if isinstance(e, FailureSaved)]


def test_a_run_saves_the_evidence_of_its_failures_the_same_each_time() -> None:
    first, second = saved(WRONG), saved(WRONG)
    assert first and all(e.evidence and e.evidence.found and e.evidence.steps for e in first)
    assert [encode(msgspec.structs.replace(e, at=0.0)) for e in first] == [
        encode(msgspec.structs.replace(e, at=0.0)) for e in second
    ]


def test_where_the_evidence_breaks_the_failure_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saved(WRONG)

    def broken(*arguments: object) -> Evidence:
        raise RuntimeError("no room")

    monkeypatch.setattr(saving, "evidence", broken)
    without = saved(WRONG)
    assert [e.evidence for e in without] == [None, None]
    assert [(e.id, e.verdict, e.cause) for e in without] == [
        (e.id, e.verdict, e.cause) for e in whole
    ]


def test_an_event_without_evidence_is_read() -> None:
    old = (
        b'{"event":"failure_saved","id":"x","minimal":{"input":[1,1],"layers":[],'
        b'"loss":{"loss":"squared_error"}},"verdict":{"status":"FAIL"},"path":"","script":"",'
        b'"replay":""}\n'
    )
    (event,) = decode([old])
    assert isinstance(event, FailureSaved) and event.evidence is None
    assert event.minimal.loss == ls.SquaredError()
