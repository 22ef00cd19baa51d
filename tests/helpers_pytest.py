"""pytest within a test: modules with subjects, an ini-file as strict as can be, said verdicts.

The fixtures `run` and `verdicts` are every test's: `conftest.py` loads this as a plugin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import msgspec
import pytest

from backproof import generated_checks, saving
from backproof.checkers.verdict import Verdict
from backproof.jobs import Job
from backproof.judging import Result
from backproof.reports import events as stream
from backproof.reports.events import AnyEvent, CaseFinished, FailureSaved, RunFinished

MY_NET = """
import backproof as bp

class Net:
    def describe(self):
        return {"operators": ["dense", "tanh"], "losses": ["squared_error"], "penalties": [],
                "dtypes": ["float64"], "graphs": False}

    def gradients(self, case):
        return bp.value_and_gradients(case)

class Wrong(Net):
    def gradients(self, case):
        loss, found = super().gradients(case)
        return loss, {n: 0.5 * g if n.endswith("bias") else g for n, g in found.items()}

class Writes(Net):
    def gradients(self, case):
        found = super().gradients(case)
        case.input.fill(0.0)
        return found

class WritesAsDeclared(Writes):
    def describe(self):
        return {**super().describe(), "expected_failures": {"caller's arrays": "saves a copy"}}

class Undeclarable(Net):
    def describe(self):
        return {**super().describe(), "expected_failures": {"manners": "none"}}

class Refuses(Net):
    def gradients(self, case):
        raise NotImplementedError("not today")

class Picky(Net):
    def gradients(self, case):
        if case.lane == "exact":
            raise NotImplementedError("not today")
        return super().gradients(case)

class Nothing(Net):
    def describe(self):
        return {"operators": ["tanh"]}

def both(case):
    return bp.value_and_gradients(case)
"""

STRICT = """
[pytest]
addopts = --strict-markers --strict-config -p no:hypothesispytest
filterwarnings = error
xfail_strict = true
"""

NUMERICAL = ("--backproof-checker=finite_differences,complex_step",)
"""Nothing to import, nothing to compile."""

Run = Callable[..., pytest.RunResult]
Verdicts = dict[int, Verdict | BaseException]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """pytest in this process, as strict as it can be, beside a module with subjects."""
    pytester.makepyfile(my_net=MY_NET)
    pytester.makeini(STRICT)
    return lambda *arguments: pytester.runpytest_inprocess(
        *NUMERICAL, *arguments, no_reraise_ctrlc=True
    )


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> Verdicts:
    """What the checks find, by number; PASS where nothing is said, so that nothing is computed.

    An exception is raised.
    """
    said: Verdicts = {}

    def judged(encoded: bytes) -> bytes:
        (spec,) = msgspec.msgpack.decode(encoded, type=Job).cases
        verdict = said.get(spec.index, Verdict("PASS", resolution=10.0 ** (spec.index - 15)))
        if isinstance(verdict, BaseException):
            raise verdict
        return msgspec.msgpack.encode([Result(verdict, 0.0)])

    monkeypatch.setattr(generated_checks, "run_job", judged)
    monkeypatch.setattr(generated_checks, "REDUCING", 0.0)
    monkeypatch.setattr(saving, "shrink", lambda case, verdict, judge: (case, verdict))
    return said


def net(name: str = "Net", cases: int = 4) -> tuple[str, str]:
    return f"--backproof-subject=py:my_net:{name}", f"--backproof-cases={cases}"


def ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("backproof::")]


def decorated(pytester: pytest.Pytester, arguments: str, body: str = "check()") -> None:
    pytester.makepyfile(
        test_mine=f"""
        import backproof
        from my_net import *
        quick = dict(cases=3, checkers=["finite_differences", "complex_step"])

        @backproof.parametrize_with_checks({arguments})
        def test_backward(check):
            {body}
        """
    )


RERUN = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.failed:
            report.outcome = "rerun"
        item.ihook.pytest_runtest_logreport(report=report)
        if report.outcome == "rerun":
            break
    else:
        return True
    runtestprotocol(item, nextitem=nextitem, log=True)
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""
"""A conftest.py that runs what failed again, as plugins for flaky tests do."""

REPORT = "--backproof-report=found"
"""Where `found` finds what a session left."""


def found(pytester: pytest.Pytester, folder: str = "found") -> list[AnyEvent]:
    return stream.read(pytester.path / folder)


def cases(events: list[AnyEvent]) -> list[CaseFinished]:
    return [e for e in events if isinstance(e, CaseFinished)]


def failures(events: list[AnyEvent]) -> list[FailureSaved]:
    return [e for e in events if isinstance(e, FailureSaved)]


def last(events: list[AnyEvent]) -> RunFinished:
    assert isinstance(events[-1], RunFinished)
    return events[-1]


def headed(line: str) -> bool:
    return bool(re.fullmatch("=+ backproof =+", line))


def path() -> str:
    """Where another process finds this installation and the module with subjects."""
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), os.getcwd())))
