"""Small runs, written by hand, for the tests of reports."""

from __future__ import annotations

from typing import Any

import msgspec

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.checkers.comparison import Comparison, Status
from backproof.checkers.verdict import CheckerVerdict, OperatorVerdict, Verdict
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    Replayed,
    RunFinished,
    RunStarted,
)
from backproof.reports.evidence import Cells, Evidence, Steps

NETWORK = Architecture(
    (4, 3), (ops.Dense(5), ops.Tanh(), ops.Dense(2)), losses.SquaredError(), (losses.L2(0.1),)
)
MINIMAL = Architecture((1, 1), (ops.Dense(1),), losses.SquaredError())
INFINITY = float("inf")

HOSTILE = "[bold red]x[/] <script>alert('&')</script> ]]> \x1b[31m \x00 \ud800 \u202e \ufffe"
"""Markup of rich, HTML and XML, an escape sequence, and characters that XML forbids."""


def started(**changes: Any) -> RunStarted:
    fields: dict[str, Any] = {
        "at": 1_700_000_000.0,
        "seed": 7,
        "command": "backproof run --seed 7",
        "options": {"cases": 3, "lanes": ["generic", "exact"]},
        "checkers": ("finite_differences", "complex_step"),
        "versions": {"backproof": "0.1.0", "numpy": "2.3.5"},
    }
    return RunStarted(**(fields | changes))


def passed(resolution: float | None = 1.2e-9, **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "status": "PASS",
        "resolution": resolution,
        "checkers": (
            CheckerVerdict("finite_differences", "PASS", 0.02, resolution),
            CheckerVerdict("complex_step", "PASS", 0.3, 1.5e-15),
        ),
        "operators": (
            OperatorVerdict("dense", "PASS", 0.3, 1.5e-15),
            OperatorVerdict("tanh", "PASS", 0.2, 2.5e-15),
            OperatorVerdict("squared_error", "PASS", 0.1, 1.1e-15),
            OperatorVerdict("l2", "PASS", 0.3, 1.5e-15),
        ),
    }
    return Verdict(**(fields | changes))


def failed(reason: str = "layers.0.bias disagrees with both checkers") -> Verdict:
    return Verdict(
        "FAIL",
        reason,
        operator="dense",
        tensor="layers.0.bias",
        checkers=(
            CheckerVerdict("finite_differences", "FAIL", 3.1e6, 1e-9),
            CheckerVerdict("complex_step", "FAIL", INFINITY, 1e-15),
        ),
        operators=(
            OperatorVerdict("dense", "FAIL", INFINITY, 1e-15),
            OperatorVerdict("dense", "PASS", 0.1, 2e-15),
            OperatorVerdict("squared_error", "PASS", 0.1, 1.1e-15),
        ),
        comparisons=(
            Comparison("finite_differences", "layers.0.bias", "FAIL", 0.031, 1e-8, 3.1e6, 1e-9),
            Comparison("complex_step", "layers.0.bias", "FAIL", INFINITY, 0.0, INFINITY, None,
                       "entry (0,) is not finite"),
            Comparison("complex_step", "input", "INCONCLUSIVE", reason="neither is finite"),
        ),
    )  # fmt: skip


def inconclusive(reason: str = "layers.0.weight is confirmed by 1: too few checkers") -> Verdict:
    return Verdict("INCONCLUSIVE", reason)


def case(index: int, verdict: Verdict, **changes: Any) -> CaseFinished:
    fields: dict[str, Any] = {
        "at": 1_700_000_000.0 + index,
        "index": index,
        "id": f"case-{index}",
        "architecture": NETWORK,
        "lane": "generic",
        "dtype": "float64",
        "seed": 100 + index,
        "verdict": verdict,
        "seconds": 0.25,
    }
    return CaseFinished(**(fields | changes))


def control(index: int, *, caught: bool = True, **changes: Any) -> ControlFinished:
    fields: dict[str, Any] = {
        "at": 1_700_000_000.0 + index,
        "index": index,
        "id": f"control-{index}",
        "fault": "bias_averaged",
        "summary": "the bias gradient averaged, not summed, over the batch",
        "site": "layers.0",
        "expected": "dense",
        "caught": caught,
        "verdict": failed() if caught else passed(),
        "seconds": 0.25,
    }
    return ControlFinished(**(fields | changes))


def saved(id: str, **changes: Any) -> FailureSaved:
    fields: dict[str, Any] = {
        "id": id,
        "minimal": MINIMAL,
        "verdict": failed("the minimal network still disagrees"),
        "path": f"failures/{id}.json",
        "script": f"failures/{id}.py",
        "page": f"failures/{id}.md",
        "replay": f"backproof replay failures/{id}.json",
    }
    return FailureSaved(**(fields | changes))


SKIP = Architecture(
    (2, 3),
    (
        ops.Dense(3), ops.Tanh(), ops.Add(inputs=("layers.1.output", "input")),
        ops.Sigmoid(),
        ops.Concat(inputs=("layers.3.output", "layers.1.output")),
    ),
    losses.SquaredError(),
    (losses.L2(0.1),),
)  # fmt: skip
"""Two skip connections: the output of tanh is used twice, and the input too."""


def cells(**changes: Any) -> Cells:
    fields: dict[str, Any] = {
        "tensor": "layers.0.bias", "shape": (5,), "columns": 5, "block": (1, 1),
        "given": (1.0, 2.0, 3.0, INFINITY, 5.0), "accepted": (1.0, 2.5, 3.0, 4.0, 5.0),
        "error": (0.0, 0.5, 1e-17, INFINITY, 3e-15), "bound": (1e-15,) * 5,
    }  # fmt: skip
    return Cells(**(fields | changes))


def steps(**changes: Any) -> Steps:
    """A V: h^2 to the one side of 1e-5, 1e-16 / h to the other."""
    h = [4.0**k for k in range(2, -20, -1)]
    fields: dict[str, Any] = {
        "tensor": "layers.0.bias", "entry": (1,), "steps": tuple(h),
        "errors": tuple(x * x / 6 + 1e-16 / x for x in h), "largest": 0.25, "chosen": 2.0**-6,
        "error": 2e-15, "bound": 8e-14, "subject": 0.5,
    }  # fmt: skip
    return Steps(**(fields | changes))


def evidence() -> Evidence:
    return Evidence(found=cells(), minimal=cells(tensor="layers.0.weight"), steps=steps())


def finished(code: int = 0, reason: str = "All is well.", **changes: Any) -> RunFinished:
    fields: dict[str, Any] = {"at": 1_700_000_010.0, "seconds": 10.0}
    return RunFinished(exit_code=code, reason=reason, **(fields | changes))


def clean() -> list[AnyEvent]:
    return [
        started(),
        case(0, passed(1.2e-9)),
        case(1, passed(0.0), lane="exact"),
        case(2, passed(4e-4), dtype="float32"),
        case(3, passed(None, convention="at 1 tie in layers.1: as JAX"), lane="tie"),
        control(0),
        finished(),
    ]


def with_failure() -> list[AnyEvent]:
    return [
        started(),
        case(0, passed()),
        case(1, failed()),
        saved("case-1"),
        control(0),
        finished(1, "1 of 2 cases has a wrong gradient; first dense layers.0.bias in case-1."),
    ]


def gated() -> list[AnyEvent]:
    """Everything that a report may have to say: a gate's run in which much is wrong."""
    tanh = Verdict(
        "FAIL", "layers.0.output disagrees with torch alone", operator="tanh",
        tensor="layers.0.output",
        checkers=(CheckerVerdict("complex_step", "PASS", 0.1, 1e-15),
                  CheckerVerdict("finite_differences", "INCONCLUSIVE"),
                  CheckerVerdict("torch", "FAIL", 20.0)),
        operators=(OperatorVerdict("dense", "PASS", 0.2, 1e-14),
                   OperatorVerdict("tanh", "FAIL", 20.0)),
        comparisons=(Comparison("torch", "layers.0.output", "FAIL", 2e-14, 1e-15, 20.0),
                     Comparison("finite_differences", "input", "INCONCLUSIVE", reason="no bound")),
    )  # fmt: skip
    options = {"budgets": {"min_cases": 100, "min_pairs": 0.9}}
    return [
        started(options=options),
        *(case(i, passed(), lane="exact" if i % 3 else "tie") for i in range(30)),
        case(30, failed()),
        saved("case-30", evidence=evidence(), cause="equals the reference with the bias negated"),
        case(31, failed()),
        case(32, tanh, architecture=SKIP),
        saved("case-32", minimal=SKIP, verdict=tanh),
        case(33, failed()),
        CaseKnown(id="case-33", known="dense-bias-1234"),
        case(34, Verdict("ERROR", "torch: RuntimeError")),
        case(35, Verdict("TIMEOUT", "no answer within 10 s")),
        case(36, inconclusive()),
        case(37, Verdict("UNSUPPORTED", "the subject has no tanh")),
        Replayed(id="dense-bias-1234", known=True, outcome="expired", architecture=MINIMAL,
                 verdict=failed(), note="until 2026-01-01"),
        Replayed(id="case-7", known=False, outcome="passed", architecture=MINIMAL,
                 verdict=passed()),
        control(0), control(1, caught=False),
        finished(1, "2 of 38 cases have a wrong gradient; first dense layers.0.bias in case-30."),
    ]  # fmt: skip


def interrupted() -> list[AnyEvent]:
    return [
        started(),
        case(0, passed()),
        finished(2, "Interrupted after 1 case.", interrupted=True),
    ]


def cut_off() -> list[AnyEvent]:
    return [started(), case(0, passed()), case(1, passed())]


def control_missed() -> list[AnyEvent]:
    return [
        started(),
        case(0, passed()),
        control(0),
        control(1, caught=False),
        control(2, caught=False, fault="tanh_slope", summary="tanh' as 1 - y", site="layers.1",
                expected="tanh", verdict=failed()),
        finished(3, "2 of 3 planted faults went unnoticed."),
    ]  # fmt: skip


def nothing_verified() -> list[AnyEvent]:
    return [
        started(),
        case(0, inconclusive()),
        case(1, inconclusive("layers.3.weight is confirmed by 1: too few checkers")),
        case(2, Verdict("UNSUPPORTED", "the subject has no tanh")),
        finished(5, "None of 3 cases passed."),
    ]


def every_status() -> list[AnyEvent]:
    verdicts: dict[Status, Verdict] = {
        "PASS": passed(),
        "FAIL": failed(),
        "INCONCLUSIVE": inconclusive(),
        "UNSUPPORTED": Verdict("UNSUPPORTED", "the subject has no tanh"),
        "ERROR": Verdict(
            "ERROR", "torch: RuntimeError", checkers=(CheckerVerdict("torch", "ERROR"),)
        ),
        "TIMEOUT": Verdict("TIMEOUT", "no answer within 10 s"),
    }
    return [
        started(),
        *(case(i, verdict) for i, verdict in enumerate(verdicts.values())),
        control(0),
        control(1, caught=False),
        finished(1, "1 of 6 cases has a wrong gradient."),
    ]


def hostile() -> list[AnyEvent]:
    bad = Verdict(
        "FAIL", f"{HOSTILE}\nsecond line", operator=HOSTILE, tensor=HOSTILE, convention=HOSTILE,
        checkers=(CheckerVerdict(HOSTILE, "FAIL", reason=HOSTILE),),
        operators=(OperatorVerdict(HOSTILE, "FAIL"),),
        comparisons=(Comparison(HOSTILE, HOSTILE, "FAIL", 1.0, 0.5, 2.0, reason=HOSTILE),
                     Comparison("structure", HOSTILE, "FAIL", reason=HOSTILE)),
    )  # fmt: skip
    return [
        started(subject=HOSTILE, command=HOSTILE, options={HOSTILE: HOSTILE},
                versions={HOSTILE: HOSTILE}),
        case(0, bad, id=HOSTILE, lane=HOSTILE, dtype=HOSTILE),
        case(1, inconclusive(HOSTILE)),
        case(2, Verdict("ERROR", HOSTILE), id="error"),
        saved(HOSTILE, path=HOSTILE, script=HOSTILE, page=HOSTILE, replay=HOSTILE, verdict=bad,
              cause=HOSTILE, evidence=Evidence(found=cells(tensor=HOSTILE),
                                               steps=steps(tensor=HOSTILE))),
        control(0, caught=False, id=HOSTILE, fault=HOSTILE, summary=HOSTILE, site=HOSTILE,
                expected=HOSTILE, verdict=bad),
        finished(1, HOSTILE),
    ]  # fmt: skip


def large() -> list[AnyEvent]:
    """10,000 cases, 2,000 failures of many kinds, each with all the evidence there can be."""
    full = cells(
        shape=(16, 16), columns=16, given=(0.1234567890123,) * 256,
        accepted=(0.2345678901234,) * 256, error=(0.111,) * 256, bound=(1e-15,) * 256,
    )  # fmt: skip
    evidence = Evidence(found=full, minimal=full, steps=steps())
    events: list[AnyEvent] = [started()]
    for i in range(10_000):
        if i % 5:
            events.append(case(i, passed()))
            continue
        bad = failed()
        bad = msgspec.structs.replace(
            bad, reason=f"{bad.reason} {i}", tensor=f"layers.{i % 3}.bias"
        )
        events.append(case(i, bad))
        events.append(saved(f"case-{i}", evidence=evidence, cause="equals the reference"))
    return events
