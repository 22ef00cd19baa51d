"""The summary and the exit code are functions of the events."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import msgspec
import pytest
import streams

from backproof.architectures import losses
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.checkers.comparison import Status
from backproof.checkers.verdict import OperatorVerdict, Verdict
from backproof.reports import text
from backproof.reports.coverage import downstream_of_parameters
from backproof.reports.events import AnyEvent
from backproof.reports.exit_codes import ExitCode, exit_code, headline, outcome
from backproof.reports.summary import summarise
from backproof.reports.tallies import STATUSES, Row


def row(rows: Sequence[Row], name: str) -> Row:
    (found,) = [r for r in rows if r.name == name]
    return found


def shown(counts: Mapping[Status, int]) -> dict[Status, int]:
    return {status: n for status, n in counts.items() if n}


# --- counting ---------------------------------------------------------------------------


def test_each_status_is_counted_and_all_have_a_place() -> None:
    summary = summarise(streams.every_status())
    assert summary.cases == 6
    assert tuple(summary.counts) == STATUSES and set(summary.counts.values()) == {1}


def test_what_decided_nothing_is_inconclusive_unsupported_or_timed_out() -> None:
    assert summarise(streams.every_status()).undecided == 3 / 6


def test_resolutions_are_of_what_passed_with_the_exact_and_the_silent_counted() -> None:
    resolution = summarise(streams.clean()).resolution
    assert resolution.worst == 4e-4 and resolution.median == 1.2e-9
    assert resolution.exact == 1 and resolution.unstated == 1


def test_an_operator_named_twice_in_a_case_counts_once_as_its_worst() -> None:
    dense = row(summarise(streams.with_failure()).operators, "dense")
    assert shown(dense.cases) == {"PASS": 1, "FAIL": 1}
    assert dense.ratio == float("inf")


def test_an_operator_downstream_of_a_failure_that_nobody_named_is_inconclusive() -> None:
    tanh = row(summarise(streams.with_failure()).operators, "tanh")
    assert shown(tanh.cases) == {"PASS": 1, "INCONCLUSIVE": 1}


def test_an_operator_that_a_parameters_gradient_goes_through_passes_with_its_case() -> None:
    network = Architecture((2, 2), (ops.ReLU(), ops.Dense(2), ops.Tanh()), losses.SquaredError())
    verdict = streams.passed(operators=(OperatorVerdict("dense", "PASS", 0.5, 1e-12),))
    operators = summarise([streams.case(0, verdict, architecture=network)]).operators
    assert [r.name for r in operators] == ["dense", "squared_error", "tanh"]
    tanh = row(operators, "tanh")
    assert shown(tanh.cases) == {"PASS": 1} and tanh.ratio is None
    assert tanh.resolution.worst == 1.2e-9


def test_a_branch_beside_the_parameters_is_not_said_to_have_passed() -> None:
    """No gradient of a parameter goes through what takes the input alone, nor its loss."""
    both = ("input", "layers.0.output")
    layers = (ops.Dense(2), ops.Tanh(inputs=("input",)), ops.Add(inputs=both))
    aside = losses.Huber(inputs=("layers.1.output",))
    network = Architecture((2, 2), layers, losses.SquaredError(), (losses.L2(0.5),), (aside,))
    verdict = streams.passed(operators=(OperatorVerdict("dense", "PASS", 0.5, 1e-12),))
    operators = summarise([streams.case(0, verdict, architecture=network)]).operators
    assert [r.name for r in operators] == ["add", "dense", "l2", "squared_error"]


def test_a_layer_that_shares_parameters_and_an_auxiliary_loss_are_downstream_of_them() -> None:
    layers = (ops.Dense(2), ops.Sine(), ops.Dense(2, inputs=("input",), share="layers.0"))
    further = losses.Huber(inputs=("layers.1.output",))
    network = Architecture((2, 2), layers, losses.SquaredError(), (), (further,))
    names = ("dense", "sine", "dense", "squared_error", "huber")
    assert downstream_of_parameters(network) == names


def test_a_penalty_passes_only_where_there_is_a_weight() -> None:
    network = Architecture((2, 2), (ops.PReLU(),), losses.SquaredError(), (losses.L1(0.5),))
    assert downstream_of_parameters(network) == ("prelu", "squared_error")


def test_without_parameters_only_what_the_verdict_names_is_counted() -> None:
    network = Architecture((2, 2), (ops.ReLU(),), losses.SquaredError())
    verdict = streams.passed(operators=(OperatorVerdict("relu", "PASS"),))
    assert [
        r.name for r in summarise([streams.case(0, verdict, architecture=network)]).operators
    ] == ["relu"]


def test_a_pair_of_neighbours_is_verified_by_a_pass_in_which_some_gradient_was_not_zero() -> None:
    for resolution, verified in ((None, 0), (0.0, 4), (1e-9, 4)):
        verdict = streams.passed(resolution)
        found = summarise([streams.case(0, verdict, architecture=streams.NETWORK)]).coverage
        assert (found.met, found.verified) == (4, verified)
        assert all(row.cotangent == bool(verified) for row in found.operators)


def test_an_undecided_case_is_undecided_for_each_of_its_operators() -> None:
    operators = summarise(streams.nothing_verified()).operators
    assert [r.name for r in operators] == ["dense", "l2", "squared_error", "tanh"]
    assert all(shown(r.cases) == {"INCONCLUSIVE": 2, "UNSUPPORTED": 1} for r in operators)


def test_a_checker_that_broke_has_no_ratio() -> None:
    torch = row(summarise(streams.every_status()).by_checker, "torch")
    assert shown(torch.cases) == {"ERROR": 1} and torch.ratio is None


def test_each_lane_and_dtype_is_counted() -> None:
    groups = [(g.lane, g.dtype, shown(g.cases)) for g in summarise(streams.clean()).groups]
    assert groups == [
        ("exact", "float64", {"PASS": 1}),
        ("generic", "float32", {"PASS": 1}),
        ("generic", "float64", {"PASS": 1}),
        ("tie", "float64", {"PASS": 1}),
    ]


def test_reasons_are_gathered_over_layers_the_commonest_first() -> None:
    reasons = summarise(streams.nothing_verified()).reasons
    assert [(r.cases, r.status, r.reason) for r in reasons] == [
        (2, "INCONCLUSIVE", "layers.*.weight is confirmed by 1: too few checkers"),
        (1, "UNSUPPORTED", "the subject has no tanh"),
    ]


def test_controls_are_counted_by_fault_and_the_missed_are_listed() -> None:
    controls = summarise(streams.control_missed()).controls
    assert (controls.planted, controls.caught) == (3, 1)
    assert [(f.fault, f.planted, f.caught) for f in controls.faults] == [
        ("bias_averaged", 2, 1),
        ("tanh_slope", 1, 0),
    ]
    assert [(m.id, m.status, m.blamed) for m in controls.missed] == [
        ("control-1", "PASS", ""),
        ("control-2", "FAIL", "dense"),
    ]


def test_a_failure_joins_its_case_and_what_was_saved() -> None:
    (failure,) = summarise(streams.with_failure()).failures
    assert failure.architecture == streams.NETWORK and failure.minimal == streams.MINIMAL
    assert failure.replay == "backproof replay failures/case-1.json" and failure.seed == 101


def test_failures_stand_before_errors_and_timeouts() -> None:
    failures = summarise(streams.every_status()).failures
    assert [f.verdict.status for f in failures] == ["FAIL", "ERROR", "TIMEOUT"]
    assert failures[0].minimal is None


def test_a_failure_saved_without_its_case_is_still_a_failure() -> None:
    summary = summarise([streams.started(), streams.saved("case-9")])
    (failure,) = summary.failures
    assert failure.index is None and failure.architecture == streams.MINIMAL
    assert exit_code(summary)[0] is ExitCode.WRONG


def test_the_order_in_which_cases_finish_changes_nothing() -> None:
    stream = streams.every_status()
    shuffled = [stream[0], *random.Random(0).sample(stream[1:-1], len(stream) - 2), stream[-1]]
    assert summarise(shuffled) == summarise(stream)


def test_a_run_that_was_cut_off_lasted_from_its_first_event_to_its_last() -> None:
    summary = summarise(streams.cut_off())
    assert summary.seconds == 1.0 and summary.cases_per_second == 2.0
    assert summary.exit_code is None and summary.reason is None and summary.interrupted


def test_no_events_at_all_have_a_summary() -> None:
    summary = summarise([])
    assert summary.cases == 0 and summary.seed is None and summary.cases_per_second == 0
    assert outcome(summary) == (
        ExitCode.INTERRUPTED,
        "Cut off after 0 cases, none of which failed.",
    )


# --- the exit code ----------------------------------------------------------------------

CAUGHT = "relative errors above 4.0e-04 would have been caught; 1 of 1 planted fault caught."
CODES = {
    "clean": (0, f"4 of 4 cases passed; {CAUGHT}"),
    "with_failure": (1, "1 of 2 cases has a wrong gradient; first dense layers.0.bias in case-1."),
    "interrupted": (2, "Interrupted after 1 case, none of which failed."),
    "cut_off": (2, "Cut off after 2 cases, none of which failed."),
    "control_missed": (3, "2 of 3 planted faults went unnoticed; first bias_averaged at layers.0."),
    "nothing_verified": (5, "None of 3 cases passed."),
    "every_status": (1, "1 of 6 cases has a wrong gradient; first dense layers.0.bias in case-1."),
}


@pytest.mark.parametrize("name", CODES)
def test_the_exit_code_and_its_reason(name: str) -> None:
    assert exit_code(summarise(getattr(streams, name)())) == CODES[name]


FAIL = streams.case(90, streams.failed())
ERROR = streams.case(91, Verdict("ERROR", "torch broke"))
MISSED = streams.control(92, caught=False)
STOPPED = streams.finished(2, "Interrupted.", interrupted=True)
UNDECIDED = streams.case(93, streams.inconclusive())


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([FAIL, ERROR, MISSED, UNDECIDED, STOPPED], 1),
        ([ERROR, UNDECIDED, STOPPED], 3),
        ([MISSED, UNDECIDED, STOPPED], 3),
        ([UNDECIDED, STOPPED], 2),
        ([UNDECIDED, streams.finished()], 5),
        ([streams.finished()], 5),
        ([streams.case(0, streams.passed()), streams.finished()], 0),
    ],
)
def test_a_wrong_gradient_outweighs_an_error_an_interruption_and_doubt(
    events: Sequence[AnyEvent], code: int
) -> None:
    assert exit_code(summarise(events))[0] == code


def test_an_error_names_its_case() -> None:
    _, reason = exit_code(summarise([ERROR]))
    assert reason == "1 case ended in an error of the harness; first case-91."


@pytest.mark.parametrize(("budget", "code"), [(0.24, 5), (0.25, 0)])
def test_the_budget_for_what_decides_nothing(budget: float, code: int) -> None:
    cases = [streams.case(i, streams.passed()) for i in range(3)]
    summary = summarise([*cases, UNDECIDED, streams.finished()])
    found, reason = exit_code(summary, max_inconclusive=budget)
    assert found == code
    assert code == 0 or reason == "25.0% of 4 cases decided nothing; the budget allows 24.0%."


def test_a_run_asks_before_its_last_event_is_written() -> None:
    summary = summarise(streams.cut_off())
    assert exit_code(summary, interrupted=False)[0] is ExitCode.VERIFIED
    code, reason = exit_code(summary, interrupted=True)
    assert code is ExitCode.INTERRUPTED and reason.startswith("Interrupted after 2 cases")


def test_a_cut_off_run_is_judged_by_its_own_budget() -> None:
    def judged(budget: object) -> ExitCode:
        start = streams.started(options={"max_inconclusive": budget})
        said = summarise([start, streams.case(0, streams.passed()), UNDECIDED, streams.finished()])
        return outcome(msgspec.structs.replace(said, exit_code=None))[0]

    assert judged(0.5) is ExitCode.VERIFIED
    assert judged("half") is ExitCode.NOT_VERIFIED


def test_what_the_run_said_stands_and_an_unknown_code_is_an_error() -> None:
    assert outcome(summarise(streams.clean())) == (0, "All is well.")
    assert outcome(summarise([streams.finished(77, "Odd.")])) == (3, "Odd.")


def test_bit_for_bit_is_said_so() -> None:
    summary = summarise([streams.case(0, streams.passed(0.0)), streams.finished()])
    assert exit_code(summary)[1] == "1 of 1 case passed, bit for bit."


def test_a_pass_without_resolution_claims_none() -> None:
    summary = summarise([streams.case(0, streams.passed(None)), streams.finished()])
    assert exit_code(summary)[1] == "1 of 1 case passed."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clean", "VERIFIED"),
        ("with_failure", "WRONG GRADIENT"),
        ("interrupted", "INTERRUPTED"),
        ("control_missed", "ERROR"),
        ("nothing_verified", "NOTHING VERIFIED"),
    ],
)
def test_the_headline(name: str, words: str) -> None:
    assert headline(summarise(getattr(streams, name)())) == words


def test_a_run_that_verified_something_is_not_said_to_have_verified_nothing() -> None:
    stream: list[AnyEvent] = [
        streams.case(0, streams.passed()),
        UNDECIDED,
        streams.finished(5, "Half."),
    ]
    assert headline(summarise(stream)) == "TOO LITTLE VERIFIED"


# --- text -------------------------------------------------------------------------------


def test_what_does_not_print_is_shown_as_its_escape() -> None:
    assert text.printable("a\x00\x1b[31m\x9b\u202e\u2028\ud800\ufffe\tb\n") == (
        r"a\x00\x1b[31m\x9b\u202e\u2028\ud800\ufffe\tb\n"
    )
    assert text.printable("a\nb", lines=True) == "a\nb"
    assert text.printable("x̄ and 層 [b]") == "x̄ and 層 [b]"


@pytest.mark.parametrize(
    ("x", "words"),
    [(None, "-"), (0.0, "0"), (float("inf"), "inf"), (float("nan"), "nan"), (1.2e-15, "1.2e-15"),
     (0.031, "0.031"), (0.9971, "0.997"), (12.0, "12"), (998.7, "999"), (3.1e6, "3.1e+06")],
)  # fmt: skip
def test_numbers_are_short(x: float | None, words: str) -> None:
    assert text.number(x) == words


def test_a_resolution_of_zero_is_exact() -> None:
    assert text.resolution(0.0) == "exact" and text.resolution(1e-3) == "1.0e-03"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"),
     (3720, "1 h 02 min")],
)  # fmt: skip
def test_durations_are_short(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


def test_counts_agree_in_number() -> None:
    assert text.count(1, "case") == "1 case" and text.count(1200, "case") == "1,200 cases"
    assert text.count(2, "entry", "entries") == "2 entries"


def test_long_text_is_cut() -> None:
    assert text.cut("abcdef", 6) == "abcdef" and text.cut("abcdefg", 6) == "abc..."
