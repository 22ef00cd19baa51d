"""A run: its plan, its order, and its end, whatever happens on the way."""

from __future__ import annotations

import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers_networks import network

from backproof import campaign, judging, saving
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import LANES, Case
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits
from backproof.campaign import run
from backproof.checkers.verdict import Verdict
from backproof.controls import Control
from backproof.jobs import CONTROL_EVERY, LANE_CYCLE, CaseSpec, Job, Options, plan
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    ControlFinished,
    FailureSaved,
    RunFinished,
    RunStarted,
    encode,
)
from backproof.versions import versions

QUICK = Options(cases=6, checkers=("complex_step",), limits=Limits(2, 3, 2))
"""Complex step alone: nothing to import, nothing to compile."""

ONE = network(ops.Dense(2), ops.Tanh(), input=(2, 2))


WRONG = replace(
    QUICK, cases=2, subject="reference+relative_error_1e_2", lanes=("generic",), architecture=ONE
)


def events_of(options: Options, **arguments: Any) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    run(options, events.append, **arguments)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    return events


def end(events: list[AnyEvent]) -> RunFinished:
    assert isinstance(events[-1], RunFinished)
    return events[-1]


def cases(events: list[AnyEvent]) -> list[CaseFinished]:
    return [e for e in events if isinstance(e, CaseFinished)]


def without_time(events: list[AnyEvent]) -> list[bytes]:
    """The events' bytes, but for the two fields that tell one run from the next."""
    return [
        encode(msgspec.structs.replace(
            e, at=0.0, **({"seconds": 0.0} if hasattr(e, "seconds") else {})
        ))
        for e in events
    ]  # fmt: skip


# --- the plan ----------------------------------------------------------------------------


def specs(options: Options, count: int) -> list[CaseSpec]:
    jobs = plan(replace(options, cases=count))
    return [spec for job in jobs for spec in job.cases]


@pytest.fixture(scope="module")
def usual() -> list[CaseSpec]:
    """The cases of a run with no options."""
    return specs(Options(), 320)


def test_the_plan_numbers_its_cases_and_plants_a_control_in_every_twentieth(usual: Any) -> None:
    assert [s.index for s in usual] == list(range(320))
    assert len({s.seed for s in usual}) == 320
    assert [s.index for s in usual if s.control] == list(range(10, 320, CONTROL_EVERY))


def test_lanes_take_turns_ten_in_sixteen_generic(usual: Any) -> None:
    count = Counter(s.lane for s in usual)
    assert set(count) == set(LANES)
    assert LANE_CYCLE.count("generic") == 10
    assert count["tie"] == count["extreme"] == 40
    assert 35 < count["exact"] <= 40  # the few networks that do not fit are generic cases


def test_a_network_is_judged_in_both_dtypes() -> None:
    for job in plan(Options(cases=32)):
        assert [s.dtype for s in job.cases] == ["float64", "float32"]


def test_an_odd_number_of_cases_is_met() -> None:
    assert len(specs(Options(), 33)) == 33


def test_chosen_lanes_and_dtypes_are_the_only_ones() -> None:
    chosen = Options(lanes=("tie", "extreme"), dtypes=("float32",))
    assert {(s.lane, s.dtype) for s in specs(chosen, 64)} == {
        ("tie", "float32"), ("extreme", "float32"),
    }  # fmt: skip


def test_a_case_of_the_exact_lane_is_exact() -> None:
    for job in plan(Options(cases=320, lanes=("exact",))):
        for spec in job.cases:
            assert spec.lane == ("exact" if is_exact(job.architecture, spec.dtype) else "generic")


def test_a_given_network_is_the_only_one() -> None:
    jobs = list(plan(Options(cases=40, architecture=ONE)))
    assert {job.architecture for job in jobs} == {ONE}
    assert {s.lane for job in jobs for s in job.cases} == {"generic", "tie", "extreme"}


def test_without_a_number_of_cases_the_plan_has_no_end() -> None:
    jobs = itertools.islice(plan(Options(cases=0, lanes=("exact",))), 300)
    assert sum(len(job.cases) for job in jobs) == 600


def test_another_seed_plans_other_networks_and_values() -> None:
    one, other = (list(plan(Options(cases=64, seed=seed))) for seed in (1, 2))
    assert {job.architecture for job in one} != {job.architecture for job in other}
    assert not {s.seed for job in one for s in job.cases} & {
        s.seed for job in other for s in job.cases
    }
    assert one == list(plan(Options(cases=64, seed=1)))


# --- the same again ----------------------------------------------------------------------


def test_two_runs_of_a_seed_tell_the_same_but_for_the_time() -> None:
    options = replace(QUICK, cases=24, seed=3)
    assert without_time(events_of(options)) == without_time(events_of(options))


def test_two_processes_tell_the_same_as_one() -> None:
    options = replace(QUICK, cases=24, subject="reference+relative_error_1e_4", seed=2)
    alone, together = (events_of(replace(options, workers=n)) for n in (1, 2))
    assert any(isinstance(e, FailureSaved) for e in alone)
    assert without_time(alone) == without_time(together)


def test_events_come_in_the_order_of_the_plan() -> None:
    events = events_of(replace(QUICK, cases=22))
    kinds = [type(e) for e in events]
    assert kinds == [
        RunStarted, *[CaseFinished] * 11, ControlFinished, *[CaseFinished] * 11, RunFinished,
    ]  # fmt: skip
    assert [e.index for e in cases(events)] == list(range(22))
    assert end(events).exit_code == 0


def test_the_first_event_says_what_was_asked_for() -> None:
    start = events_of(QUICK, command="backproof run --cases 6")[0]
    assert isinstance(start, RunStarted)
    assert start.command == "backproof run --cases 6"
    assert start.checkers == ("complex_step",)
    assert start.options["cases"] == 6
    assert "workers" not in start.options
    assert {"python", "platform", "backproof", "numpy", "jax", "torch"} <= start.versions.keys()


def test_a_library_that_is_not_there_is_said_to_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("backproof.versions.version", version)
    assert versions()["torch"] == "absent"


# --- ends --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_time_that_is_up_ends_the_run(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(campaign, "monotonic", lambda: float(next(ticks)))
    events = events_of(replace(QUICK, cases=0, max_time=5, workers=workers))
    assert end(events).exit_code == 0
    assert len(cases(events)) == 8  # four networks, in both dtypes


def test_with_no_time_at_all_one_network_is_verified() -> None:
    events = events_of(replace(QUICK, max_time=-1.0))
    assert len(cases(events)) == 2
    assert end(events).exit_code == 0


def test_fail_fast_stops_at_the_first_network_that_fails() -> None:
    wrong = replace(QUICK, cases=20, subject="reference+relative_error_1e_2", lanes=("generic",))
    events = events_of(replace(wrong, fail_fast=True))
    assert cases(events)[0].verdict.status == "FAIL"
    assert len(cases(events)) == 2  # one network, in both dtypes
    assert end(events).exit_code == 1


def interrupt_at(index: int, events: list[AnyEvent]) -> Callable[[AnyEvent], None]:
    def listen(event: AnyEvent) -> None:
        events.append(event)
        if isinstance(event, CaseFinished) and event.index == index:
            raise KeyboardInterrupt

    return listen


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_ends_the_run_in_order(workers: int) -> None:
    events: list[AnyEvent] = []
    summary = run(replace(QUICK, cases=0, workers=workers), interrupt_at(3, events))
    assert [e.index for e in cases(events)] == [0, 1, 2, 3]
    assert end(events).interrupted
    assert (end(events).exit_code, summary.exit_code) == (2, 2)
    assert end(events).reason == "Interrupted after 4 cases, none of which failed."


def test_an_interruption_inside_a_case_ends_the_run_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def verify(*arguments: Any, **options: Any) -> Verdict:
        raise KeyboardInterrupt

    monkeypatch.setattr(judging, "verify", verify)
    events = events_of(QUICK)
    assert not cases(events)
    assert (end(events).interrupted, end(events).exit_code) == (True, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_wish_to_stop_is_met_after_the_network_at_hand(workers: int) -> None:
    events: list[AnyEvent] = []
    run(replace(QUICK, cases=0, workers=workers), events.append, stop=lambda: len(events) > 3)
    assert len(cases(events)) == 4  # two networks, in both dtypes
    assert (end(events).interrupted, end(events).exit_code) == (True, 2)


def test_a_wish_to_stop_ends_a_reduction_and_saves_what_there_is() -> None:
    events: list[AnyEvent] = []
    run(WRONG, events.append, save=lambda name, content: None, stop=lambda: len(events) > 1)
    (first, _) = [e for e in events if isinstance(e, FailureSaved)]
    assert first.minimal == ONE
    assert first.path
    assert (end(events).interrupted, end(events).exit_code) == (True, 1)


def test_a_failure_before_the_interruption_still_counts() -> None:
    events: list[AnyEvent] = []
    wrong = replace(QUICK, subject="reference+relative_error_1e_2", lanes=("generic",))
    run(wrong, interrupt_at(1, events))
    assert (end(events).interrupted, end(events).exit_code) == (True, 1)


def test_a_failure_is_saved_at_once_where_the_run_is_to_stop() -> None:
    """Whoever cancels a job kills it some seconds later."""
    wrong = replace(QUICK, subject="reference+bias_gradient_zero", lanes=("generic",))
    for stops in (False, True):
        events: list[AnyEvent] = []
        files: dict[str, bytes] = {}

        def stop(stops: bool = stops, events: list[AnyEvent] = events) -> bool:
            return stops and any(isinstance(e, CaseFinished) for e in events)

        run(wrong, events.append, save=files.__setitem__, stop=stop)
        first = next(e for e in events if isinstance(e, FailureSaved))
        assert first.path in files and first.script in files
        assert (first.cause == "", first.page == "", first.evidence is None) == (stops,) * 3
        assert any(name.endswith(".md") for name in files) is not stops


@pytest.mark.parametrize("broken", ["verify", "draw_case"])
def test_what_breaks_in_the_harness_is_an_error_and_not_the_end(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, calls = getattr(judging, broken), itertools.count()

    def sometimes(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 2:
            raise ZeroDivisionError("by zero")
        return right(*arguments, **options)

    monkeypatch.setattr(judging, broken, sometimes)
    events = events_of(QUICK)
    assert [e.verdict.status for e in cases(events)] == ["PASS", "PASS", "ERROR", *["PASS"] * 3]
    assert cases(events)[2].verdict.reason == "ZeroDivisionError: by zero"
    assert end(events).exit_code == 3


def test_nothing_verified_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "verify", lambda *a, **k: Verdict("INCONCLUSIVE", "fog"))
    assert end(events_of(QUICK)).exit_code == 5


def test_more_undecided_than_allowed_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = itertools.cycle([Verdict("PASS"), Verdict("PASS"), Verdict("INCONCLUSIVE", "fog")])
    monkeypatch.setattr(judging, "verify", lambda *a, **k: next(verdicts))
    assert end(events_of(QUICK)).exit_code == 5
    assert end(events_of(replace(QUICK, max_inconclusive=0.5))).exit_code == 0


# --- controls ----------------------------------------------------------------------------


def test_a_control_that_goes_unnoticed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.controls.verify", lambda *a, **k: Verdict("PASS"))
    events = events_of(replace(QUICK, cases=12))
    (control,) = [e for e in events if isinstance(e, ControlFinished)]
    assert not control.caught
    assert end(events).exit_code == 3
    assert end(events).reason.startswith("1 of 1 planted fault went unnoticed; first ")


def test_a_control_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_control(case: Case, checkers: Any) -> Control | None:
        raise RuntimeError("no fault to be found")

    monkeypatch.setattr(judging, "run_control", run_control)
    events = events_of(replace(QUICK, cases=12))
    (control,) = [e for e in events if isinstance(e, ControlFinished)]
    assert (control.caught, control.verdict.reason) == (False, "RuntimeError: no fault to be found")
    assert end(events).exit_code == 3


def test_a_case_where_no_fault_shows_has_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "run_control", lambda case, checkers: None)
    events = events_of(replace(QUICK, cases=12))
    assert not any(isinstance(e, ControlFinished) for e in events)
    assert end(events).exit_code == 0


# --- failures ----------------------------------------------------------------------------


def test_a_failure_is_reduced_and_saved_beside_its_script_and_its_page() -> None:
    saved: dict[str, bytes] = {}
    events = events_of(WRONG, save=saved.__setitem__, folder=Path("a folder"))
    failures = [e for e in events if isinstance(e, FailureSaved)]
    assert [e.id for e in failures] == ["case-00000-generic-float64", "case-00001-generic-float32"]
    assert list(saved) == [path for e in failures for path in (e.path, e.script, e.page)]
    first = failures[0]
    assert first.path == "failures/case-00000-generic-float64.json"
    assert first.replay == f"backproof replay 'a folder/{first.path}'"
    assert str(first.minimal) == "(1, 1) > dense 1 > weighted_sum"
    assert first.replay.encode() in saved[first.path]
    assert first.replay in saved[first.page].decode()
    assert saved[first.page].startswith(b"# dense returns a wrong gradient of ")


def test_without_a_folder_a_failure_is_reduced_and_not_saved() -> None:
    (first, _) = [e for e in events_of(WRONG) if isinstance(e, FailureSaved)]
    assert (first.path, first.script, first.page, first.replay) == ("", "", "", "")
    assert first.minimal != ONE


def test_later_failures_are_reported_and_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MOST_FAILURES", 1)
    events = events_of(WRONG)
    assert [e.verdict.status for e in cases(events)] == ["FAIL", "FAIL"]
    assert len([e for e in events if isinstance(e, FailureSaved)]) == 1


def test_a_failure_that_cannot_be_reduced_stands_as_it_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shrink(*arguments: Any) -> Any:
        raise RuntimeError("stuck")

    monkeypatch.setattr(saving, "shrink", shrink)
    events = events_of(WRONG, save=lambda name, content: None)
    (first, _) = [e for e in events if isinstance(e, FailureSaved)]
    assert (first.minimal, first.path) == (ONE, "")
    assert first.verdict.reason.endswith("; not reduced or saved: RuntimeError: stuck")
    assert end(events).exit_code == 1


# --- processes that die ------------------------------------------------------------------


def dies_at(*indices: int) -> Callable[[bytes], bytes]:
    """A job that ends its process at some cases, as a crash in a library would."""

    def run_job(encoded: bytes) -> bytes:
        job = msgspec.msgpack.decode(encoded, type=Job)
        if any(spec.index in indices for spec in job.cases):
            os.kill(os.getpid(), signal.SIGKILL)
        return judging.run_job(encoded)

    return run_job


def test_a_process_that_dies_costs_its_own_cases_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(QUICK, cases=24, workers=2)
    undisturbed = events_of(replace(options, workers=1))
    monkeypatch.setattr(campaign, "run_job", dies_at(5, 22))
    events = events_of(options)
    assert [e.index for e in cases(events)] == list(range(24))
    died = [e.index for e in cases(events) if e.verdict.status == "ERROR"]
    assert died == [4, 5, 22, 23]
    assert {e.verdict.reason for e in cases(events) if e.index in died} == {
        "the process that judged this network died, twice"
    }
    assert end(events).exit_code == 3
    for before, after in zip(cases(undisturbed), cases(events), strict=True):
        assert after.index in died or after.verdict == before.verdict


def test_a_small_run_has_one_process_and_a_large_one_as_many_as_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert [campaign.default_workers(n) for n in (1, 40, 41, 0)] == [1, 1, 8, 8]
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert campaign.default_workers(400) == 1


def test_jobs_and_results_travel_as_bytes() -> None:
    (job,) = plan(replace(QUICK, cases=2, architecture=network(loss=ls.WeightedSum())))
    results = judging.DECODER.decode(judging.run_job(msgspec.msgpack.encode(job)))
    assert [r.verdict.status for r in results] == ["PASS", "PASS"]
