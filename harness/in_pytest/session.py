"""A session that has checks: the hooks of pytest, each handed to whoever does the work.

In xdist's workers the checks are judged and told (`telling.py`), their failures reduced
(`keeping.py`); in the controller, or where there is no xdist, they are recorded (`recording.py`)
and concluded from (`outcome.py`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Generator, Sequence
from functools import partial

import pytest

from backproof import foreign
from backproof.checkers.functions.check import FunctionVerdict
from backproof.generated_checks import GeneratedCheck
from backproof.in_pytest import outcome
from backproof.in_pytest.asking import Asked, ask, command, folder
from backproof.in_pytest.items import SubjectCollector, again, check_of, node_id, plan, record
from backproof.in_pytest.keeping import Keeper, said
from backproof.in_pytest.options import in_use
from backproof.in_pytest.recording import Recorder
from backproof.in_pytest.telling import Teller, started
from backproof.reports.events import FunctionChecked
from backproof.reports.text import count, printable

NAME = "backproof-session"


def begin(config: pytest.Config) -> Session:
    """The session's plugin.  UsageError, one sentence, for what is asked and makes no sense."""
    known: Session | None = config.pluginmanager.get_plugin(NAME)
    if known is not None:
        return known
    # a worker that was asked for nothing tells what its tests find, and its controller decides
    quiet = hasattr(config, "workerinput") and not in_use(config)
    session = Session(config, None if quiet else ask(config))
    config.pluginmanager.register(session, NAME)
    return session


def found(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Begin where tests have checks as their parameters, and mark these as the items are."""
    checks = [item for item in items if check_of(item) is not None]
    for item in checks:
        item.add_marker("backproof")
    if checks:
        session = begin(config)
        if session.recorder is not None:
            session.recorder.open()


def note(item: pytest.Item, verdict: FunctionVerdict, seed: int, took: float) -> None:
    """Note what the fixture `gradient_check` found of a function, and begin with the first."""
    try:
        session = begin(item.config)
    except pytest.UsageError as error:  # it would be the test's failure
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    event = FunctionChecked(
        at=time.time(),
        id=item.nodeid,
        function=verdict.name,
        status=verdict.status,
        checks=verdict.checks,
        resolution=verdict.resolution,
        point=verdict.point,
        seed=seed,
        replay=shlex.join(["pytest", again(item)]),
        seconds=took,
    )
    session.teller.function(event)


class Session:
    """The hooks of one session."""

    def __init__(self, config: pytest.Config, asked: Asked | None) -> None:
        self.config, self.asked = config, asked
        self.plan = plan(config, asked) if asked else {}
        self.keeper = self._keep()
        self.teller = Teller(self.keeper)
        self.reports: dict[str, pytest.TestReport] = {}
        self.recorder: Recorder | None = None
        if asked and not hasattr(config, "workerinput"):
            self.recorder = self._record(asked)
        if config.pluginmanager.hasplugin("dsession"):  # the workers have programs of their own
            foreign.close_all()

    def _keep(self) -> Keeper | None:
        """Who reduces failures, if there is a folder for them."""
        where, _ = folder(self.config)
        if where is None or self.config.option.collectonly:
            return None
        shown = said(where, self.config.invocation_params.dir)
        return Keeper(shown, [node_id(name, c.id) for name in self.plan for c in self.plan[name]])

    def _record(self, asked: Asked) -> Recorder:
        words = command(self.config, asked)
        recorder = Recorder(asked, self.plan, words, writes=not self.config.option.collectonly)
        self.config.add_cleanup(recorder.close)
        if asked.subjects or asked.named.startswith("--"):
            recorder.open()
        for checks in self.plan.values():
            recorder.start(started(checks[0], words))
        return recorder

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add a collector for each subject to what the session finds in files."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed and self.asked:
            added = [
                SubjectCollector.of(collector, name, checks, self.asked)
                for name, checks in self.plan.items()
            ]
            report.result = [*report.result, *added]
        return report

    def pytest_report_header(self) -> list[str]:
        """What is verified, and how: a line for each subject; who says so, where not pytest."""
        lines = []
        for name, checks in self.plan.items():
            options, by = checks[0].options, ", ".join(checks[0].job.checkers)
            asked = f"{count(len(checks), 'case')}, seed {options.seed}, by {by}"
            lines.append(f"backproof: {printable(name)}: {asked}")
        elsewhere = self.asked.elsewhere if self.asked else ()
        if self.plan and elsewhere:
            lines.append(f"backproof: configured: {printable(', '.join(elsewhere))}")
        if self.recorder and self.recorder.folder:
            lines.append(f"backproof: reports in {self.recorder.shown}")
        return lines

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what a test with a check found; one that never asks fails: it verifies nothing."""
        check = check_of(item)
        if check is None:
            return (yield)
        if self.keeper is not None:
            check.keep = partial(self.keeper.keep, item.nodeid)
        try:
            return (yield from self._called(item, check))
        except KeyboardInterrupt:  # there will be no report
            if self.recorder is not None and (told := self.teller.now(item.nodeid, check)):
                self.recorder.take(item.nodeid, told)
            raise

    def _called(self, item: pytest.Item, check: GeneratedCheck) -> Generator[None, object, object]:
        """The call of a test that has a check."""
        ours = isinstance(item.parent, SubjectCollector)  # and was judged and noted in its setup
        if not ours:
            check.forget()
            check.replay = shlex.join(["pytest", again(item)])
        asked = ours
        try:
            result = yield
        finally:
            asked = ours or record(item, check)
            if self.keeper is not None and self.keeper.stopped and self.recorder is not None:
                raise KeyboardInterrupt  # a worker of xdist just tells its failure
        if not asked:
            pytest.fail("the test never called its check, so nothing was verified", pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what a check has to tell on the report of its item."""
        report = yield
        if report.when == "setup" and self.keeper is not None:
            self.keeper.forget(item.nodeid)
        if told := self.teller.on(report, check_of(item)):
            report.backproof = told  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report tells; one by xdist of a dead worker tells what it was doing."""
        if self.recorder is None:
            return
        if report.when == "setup":
            self.recorder.again(report.nodeid)
        if hasattr(report, "backproof"):
            self.recorder.take(report.nodeid, report.backproof)
            if "kept" in report.backproof:
                self.reports[report.nodeid] = report
        elif report.when not in ("setup", "call", "teardown"):
            self.recorder.lost(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports; where pytest finds nothing wrong, their exit code is the session's.

        So one that verified too little ends with 5, as `backproof check` has it.
        """
        foreign.close_all()
        recorder = self.recorder
        if recorder is None or self.config.option.collectonly:
            return
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        code, reason = outcome.concluded(recorder, interrupted=interrupted)
        recorder.finish(int(code), reason, interrupted=interrupted)
        for id, saved in recorder.shelf.kept.items():
            if saved.path and id in self.reports:  # shown below the failure
                self.reports[id].sections.append(("backproof", f"{'replay':<10}{saved.replay}"))
        if exitstatus == pytest.ExitCode.OK and outcome.falls_short(recorder, code):
            session.exitstatus = int(code)
        elif exitstatus == pytest.ExitCode.OK and recorder.problem:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        """The section on what was verified."""
        if self.recorder is not None:
            outcome.section(self.recorder, terminalreporter, exitstatus)
