"""pytest's side: generated checks as items, their statuses, and the fixture `gradient_check`.

    pytest --backproof-subject=py:my_net:Net

Every case is an item `backproof::SUBJECT::ID`, and belongs to no file: a collector for each
subject joins what the session collects.  PASS passes, FAIL and TIMEOUT fail, INCONCLUSIVE
and UNSUPPORTED are skipped with the reason, ERROR is an error of the item's setup, in which
the case is judged, so that every reporter tells it from a wrong gradient.  A session in which
too much was skipped is not green: see `Tally`.

pytest imports this module in every run, so it imports pytest and nothing else; the harness
comes with the first subject.
"""

from __future__ import annotations

import shlex
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from backproof.checkers.verdict import Verdict
    from backproof.generated_checks import GeneratedCheck

PREFIX = "backproof::"
"""What the ids of generated checks begin with, where a file's path stands in others."""

SUBJECT, STATUS = "backproof_subject", "backproof_status"
RESOLUTION, EXPECTED = "backproof_resolution", "backproof_expected"
"""Properties of an item: they travel with its report, to xdist's controller and into JUnit.

The last stands once for each check beyond values that failed as the subject had declared.
"""

ASKED = pytest.StashKey[list[str]]()
CHECKS: pytest.StashKey[dict[str, tuple[GeneratedCheck, ...]]] = pytest.StashKey()


# --- options ----------------------------------------------------------------------------

OPTIONS: tuple[tuple[str, type, str], ...] = (
    ("cases", int, "How many checks for each subject.  [default: 40]"),
    ("seed", int, "What the checks follow from.  [default: 0]"),
    ("lane", list, "Only this lane of values: generic, exact, tie or extreme; repeatable."),
    ("dtype", list, "Only float64 or float32.  [default: what the subject declares]"),
    ("checker", list, "Only this checker; repeatable.  [default: all]"),
    ("timeout", float, "Seconds in which a program must answer.  [default: 30]"),
)
"""Name, type and help of what stands on the command line or, so named, in the ini-file."""

BUDGET = "max_inconclusive"
BUDGET_HELP = (
    "The share of a subject's checks that may be inconclusive or unsupported before the exit "
    "code is 5.  [default: 0.1]"
)
"""As `backproof check` has it; it decides about the session, and no check is handed it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--backproof-...`, and `backproof_...` in the ini-file."""
    group = parser.getgroup("backproof", "verification of backward passes")
    subject = "Verify py:MODULE:OBJECT, cmd:PROGRAM or an installed subject; repeatable."
    group.addoption("--backproof-subject", action="append", metavar="SUBJECT", help=subject)
    parser.addini("backproof_subject", f"{subject}  One a line.", type="linelist")
    for name, kind, words in OPTIONS:
        how: dict[str, Any] = {"action": "append"} if kind is list else {"type": kind}
        group.addoption(f"--backproof-{name}", metavar=name.upper(), help=words, **how)
        stored: Literal["args", "string"] = "args" if kind is list else "string"
        parser.addini(f"backproof_{name}", words, type=stored)
    group.addoption("--backproof-max-inconclusive", metavar="SHARE", type=float, help=BUDGET_HELP)
    parser.addini(f"backproof_{BUDGET}", BUDGET_HELP, type="string")
    parser.addini(
        "backproof_expected_failures",
        "Checks expected to fail, a line each: an operator or a pattern of ids, a colon, why.",
        type="linelist",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and take ids of generated checks out of pytest's paths."""
    config.addinivalue_line("markers", "backproof: a generated check of a backward pass.")
    config.pluginmanager.register(Tally(config), "backproof-tally")
    config.stash[ASKED] = [word for word in config.args if word.startswith(PREFIX)]
    config.args[:] = [word for word in config.args if not word.startswith(PREFIX)]


def subjects(config: pytest.Config) -> list[str]:
    """Those of the command line, else of the ini-file, unless certain files are asked for."""
    given: list[str] = config.getoption("backproof_subject") or []
    files = config.args and config.args_source is pytest.Config.ArgsSource.ARGS
    if not given and (config.stash[ASKED] or not files):
        given = config.getini("backproof_subject")
    return list(dict.fromkeys(given))


def settings(config: pytest.Config) -> dict[str, Any]:
    """What the command line, else the ini-file, says.  UsageError for what is no number."""
    found = {}
    for name, kind, _ in OPTIONS:
        value = said(config, name)
        if not value and value != 0:
            continue
        if kind is list:
            found[f"{name}s"] = [word for each in value for word in each.split(",")]
        else:
            found[name] = number(name, kind, value)
    return found


def budget(config: pytest.Config) -> float | None:
    """The share of a subject's checks that may decide nothing; None where nobody says it."""
    value = said(config, BUDGET)
    if not value and value != 0:
        return None
    share = float(number(BUDGET, float, value))
    if not 0 <= share <= 1:
        raise pytest.UsageError(f"backproof_{BUDGET} must be a share from 0 to 1, got {value}")
    return share


def said(config: pytest.Config, name: str) -> Any:
    """What stands on the command line, else in the ini-file."""
    value = config.getoption(f"backproof_{name}")
    return config.getini(f"backproof_{name}") if value is None else value


def number(name: str, kind: type, value: Any) -> Any:
    """UsageError for what is none."""
    try:
        return kind(value)
    except ValueError:
        raise pytest.UsageError(f"backproof_{name} must be a number, got {value!r}") from None


def expected_failures(config: pytest.Config) -> dict[str, str]:
    """The ini-file's: what is expected to fail, and why.  UsageError for a line without why."""
    found = {}
    for line in config.getini("backproof_expected_failures"):
        what, colon, why = line.partition(":")
        if not colon:
            raise pytest.UsageError(f"backproof_expected_failures: write NAME: REASON, got {line}")
        found[what.strip()] = why.strip()
    return found


# --- items ------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the subjects and plan their checks, also in xdist's controller: bad input ends here."""
    config = session.config
    names, asked = subjects(config), config.stash[ASKED]
    budget(config)
    if not names:
        if asked:
            raise pytest.UsageError(f"{asked[0]} names a check of no --backproof-subject")
        return
    from backproof.generated_checks import generate, refuse_unknown
    from backproof.subjects.capabilities import SubjectAbsent

    given, expected = settings(config), expected_failures(config)
    checks = config.stash.setdefault(CHECKS, {})
    for name in names:
        try:
            checks[name] = generate(name, **given)
            refuse_unknown(expected, checks[name])
        except (SubjectAbsent, ValueError) as error:
            named = "" if str(error).startswith(name) else f"{name}: "
            raise pytest.UsageError(f"backproof: {named}{error}") from None
    if config.pluginmanager.hasplugin("dsession"):  # the workers have programs of their own
        close_programs()
    ids = [node_id(name, check.id) for name in names for check in checks[name]]
    for word in asked:
        if not any(_names(word, id) for id in ids):
            raise pytest.UsageError(f"not found: {word}; --collect-only lists what there is")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add a collector for each subject to what the session finds in files."""
    report = yield
    if isinstance(collector, pytest.Session) and report.passed:
        planned = collector.config.stash.get(CHECKS, {})
        added = [SubjectCollector.of(collector, name, planned[name]) for name in planned]
        report.result = [*report.result, *added]
    return report


class SubjectCollector(pytest.Collector):
    """The checks of one subject."""

    def __init__(self, *, checks: tuple[GeneratedCheck, ...], **given: Any) -> None:
        super().__init__(**given)
        self.checks = checks

    @classmethod
    def of(
        cls, session: pytest.Session, name: str, checks: tuple[GeneratedCheck, ...]
    ) -> SubjectCollector:
        """A child of the session."""
        return cls.from_parent(session, name=name, nodeid=node_id(name), checks=checks)

    def collect(self) -> Iterator[CheckItem]:
        """An item for each check that the command line does not leave out."""
        from backproof.generated_checks import CheckFailed, Purse, excuse

        asked, expected = self.config.stash[ASKED], expected_failures(self.config)
        for check in self.checks:
            item = CheckItem.from_parent(self, name=check.id, check=check)
            if asked and not any(_names(word, item.nodeid) for word in asked):
                continue
            if (why := excuse(check, expected)) is not None:
                check.purse = Purse(0)
                item.add_marker(pytest.mark.xfail(reason=why, raises=CheckFailed))
            yield item


class CheckItem(pytest.Item):
    """One generated check."""

    verdict: Verdict

    def __init__(self, *, check: GeneratedCheck, **given: Any) -> None:
        super().__init__(**given)
        self.check = check
        check.replay = replay(self.config, self.nodeid)
        self.add_marker("backproof")

    def setup(self) -> None:
        """Judge the case: what goes wrong here is an error, not a failure."""
        self.verdict = self.check.judge()
        record(self, self.check)
        if self.verdict.status == "ERROR":
            pytest.fail(self.check.report(self.verdict), pytrace=False)

    def runtest(self) -> None:
        """Say what was found."""
        self.check.conclude(self.verdict)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """No file and no line; the id's last part heads the report."""
        return self.path, None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report alone; a traceback would show the harness to itself."""
        from backproof.generated_checks import CheckFailed

        if isinstance(excinfo.value, CheckFailed):
            shown = excinfo.getrepr(style="value")
            if shown.reprcrash is not None:  # the line of pytest's short summary, and JUnit's
                shown.reprcrash.message = str(excinfo.value).partition("\n")[0]
            return shown
        return super().repr_failure(excinfo, style)


def node_id(subject: str, check: str = "") -> str:
    """`backproof::SUBJECT::ID`; `::` within a subject's name would end it too early."""
    name = PREFIX + subject.replace("::", ":")
    return f"{name}::{check}" if check else name


def _names(word: str, id: str) -> bool:
    """Whether a word of the command line is an id, or a part of it up to a `::`."""
    return f"{id}::".startswith(f"{word.rstrip(':')}::")


def replay(config: pytest.Config, id: str) -> str:
    """The command that runs one check again: the options as they were given, and its id."""
    words = ["pytest"]
    words += [f"--backproof-subject={name}" for name in config.getoption("backproof_subject") or ()]
    for name, _, _ in OPTIONS:
        given = config.getoption(f"backproof_{name}")
        for value in given if isinstance(given, list) else () if given is None else (given,):
            words.append(f"--backproof-{name}={value}")
    return shlex.join([*words, id])


# --- tests with a check as their parameter ------------------------------------------------


def check_of(item: pytest.Item) -> GeneratedCheck | None:
    """The check that `backproof.parametrize_with_checks` hands to a test."""
    module = sys.modules.get("backproof.generated_checks")
    call = getattr(item, "callspec", None)
    found = None if module is None or call is None else call.params.get("check")
    return found if module is not None and isinstance(found, module.GeneratedCheck) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Such a test is marked as the generated items are."""
    if check_of(item) is not None:
        item.add_marker("backproof")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note what such a test found; one that never asks fails, since it would verify nothing."""
    check = check_of(item)
    if check is None:
        return (yield)
    check.verdict = None
    try:
        result = yield
    finally:
        asked = record(item, check)
    if not asked:
        pytest.fail("the test never called its check, so nothing was verified", pytrace=False)
    return result


def record(item: pytest.Item, check: GeneratedCheck) -> bool:
    """Write what a check found into the properties of its item, if it was asked."""
    verdict = check.verdict
    if verdict is None:
        return False
    item.user_properties += [(SUBJECT, check.job.subject), (STATUS, verdict.status)]
    if verdict.status == "PASS" and verdict.resolution is not None:
        item.user_properties.append((RESOLUTION, verdict.resolution))
    for found in verdict.checks:
        if found.status == "FAIL" and found.expected:
            item.user_properties.append((EXPECTED, f"{found.name}: {found.expected}"))
    return True


# --- the outcome ------------------------------------------------------------------------


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is verified, and how: a line for each subject."""
    lines = []
    for name, checks in config.stash.get(CHECKS, {}).items():
        job, seed = checks[0].job, settings(config).get("seed", 0)
        asked = f"{len(checks)} cases, seed {seed}, by {', '.join(job.checkers)}"
        lines.append(f"backproof: {name}: {asked}")
    return lines


WORDS = {
    "PASS": "verified",
    "FAIL": "wrong",
    "TIMEOUT": "timed out",
    "ERROR": "broken in the harness",
    "INCONCLUSIVE": "inconclusive",
    "UNSUPPORTED": "unsupported",
}


class Tally:
    """What was found in one session; in xdist's controller, by all the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.statuses: dict[str, Counter[str]] = {}
        self.resolutions: list[float] = []
        self.expected: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a check once, by its last report, which has all its properties."""
        if report.when == "teardown":
            found = dict(report.user_properties)
            if STATUS in found:
                of_subject = self.statuses.setdefault(str(found[SUBJECT]), Counter())
                of_subject[str(found[STATUS])] += 1
            if RESOLUTION in found:
                self.resolutions.append(float(str(found[RESOLUTION])))
            self.expected.update(str(v) for name, v in report.user_properties if name == EXPECTED)

    def shortfall(self) -> str:
        """Why the checks that ran prove too little; "" where they do not, or where none ran.

        A skipped check is no news to pytest, so a subject most of whose checks are skipped would
        look verified.  What timed out failed, and needs no budget.
        """
        if not self.statuses:
            return ""
        from backproof.reports.exit_codes import MAX_INCONCLUSIVE
        from backproof.reports.text import count, printable

        every = sum(self.statuses.values(), Counter())
        if not every["PASS"] + every["FAIL"]:
            return "nothing was verified"
        given = budget(self.config)
        most = MAX_INCONCLUSIVE if given is None else given
        for subject, found in self.statuses.items():
            share = (found["INCONCLUSIVE"] + found["UNSUPPORTED"]) / found.total()
            if share > most:
                checks = f"{count(found.total(), 'check')} of {printable(subject)}"
                return f"{share:.1%} of {checks} decided nothing; the budget allows {most:.1%}"
        return ""

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Exit code 5, as `backproof check` has it, where too little was verified."""
        if exitstatus == pytest.ExitCode.OK and self.shortfall():
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        """What was verified and how finely, where any check ran."""
        if not self.statuses:
            return
        from backproof.reports.text import count, printable, resolution

        every = sum(self.statuses.values(), Counter())
        terminalreporter.section("backproof")
        counts = [f"{every[s]:,} {w}" for s, w in WORDS.items() if every[s]]
        terminalreporter.write_line(", ".join(counts))
        if self.resolutions:
            spread = [resolution(r) for r in sorted({min(self.resolutions), max(self.resolutions)})]
            words = "the smallest relative error that would have been caught"
            terminalreporter.write_line(f"resolution {' to '.join(spread)}: {words}")
        for what, times in sorted(self.expected.items()):
            line = f"expected to fail, in {count(times, 'check')}: {what}"
            terminalreporter.write_line(printable(line))
        if exitstatus == pytest.ExitCode.OK and (why := self.shortfall()):
            terminalreporter.write_line(f"{why}: exit code 5", red=True)


def pytest_sessionfinish() -> None:
    """End the programs that checks have started."""
    close_programs()


def close_programs() -> None:
    """End the programs that this process has started, if any."""
    foreign = sys.modules.get("backproof.foreign")
    if foreign is not None:
        foreign.close_all()


# --- the fixture ------------------------------------------------------------------------


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Check a function's backward pass: `gradient_check(backproof.gradcheck, f, inputs)`.

    It calls `gradcheck`, `gradgradcheck`, `check_grads` or `check_backward` with a seed that
    follows from the test's id, so that a failure repeats.  Every report is shown where the test
    fails.
    """

    def check(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        from backproof.functions import GradientCheckError

        raising = options.pop("raise_exception", True)
        options.setdefault("seed", zlib.crc32(request.node.nodeid.encode()))
        verdict = function(*arguments, raise_exception=False, **options)
        report = f"{verdict}\nseed {options['seed']}"
        request.node.add_report_section("call", "backproof", report)
        if raising and not verdict:
            raise GradientCheckError(verdict)
        return verdict

    return check
