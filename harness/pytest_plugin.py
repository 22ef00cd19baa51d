"""pytest's side, as far as it is loaded in every run: the options, the marker, the fixture.

    pytest --backproof-subject=py:my_net:Net

The harness comes with the first check: at the session's start where something of ours is asked
for, after the collection where a test has a check as its parameter, and in xdist's controller,
which collects nothing, with the first report of a check.  A project that has none pays for the
import of pytest's own modules alone.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from backproof.in_pytest import options

MARKER = (
    "backproof: a generated check of a backward pass, by --backproof-subject or as a test's "
    "parameter; -m 'not backproof' leaves them out."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--backproof-...`, and `backproof_...` in the ini-file."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and take ids of generated checks out of pytest's paths."""
    config.addinivalue_line("markers", MARKER)
    config.stash[options.ASKED] = [w for w in config.args if w.startswith(options.PREFIX)]
    config.args[:] = [word for word in config.args if not word.startswith(options.PREFIX)]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin where something of ours is asked for: bad input ends the session here."""
    config = session.config
    if options.in_use(config):
        from backproof.in_pytest.session import begin

        begin(config)
    elif config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Listener(config), "backproof-listener")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin where tests have generated checks as their parameters."""
    if "backproof.generated_checks" in sys.modules:
        from backproof.in_pytest.session import found

        found(config, items)


class Listener:
    """Waits, in xdist's controller, for the first report that has a check in it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Begin with it, and leave the rest to the session."""
        if hasattr(report, "backproof"):
            from backproof.in_pytest.session import begin

            self.config.pluginmanager.unregister(self)
            begin(self.config).pytest_runtest_logreport(report)


@pytest.fixture
def gradient_check(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Check a function's backward pass: `gradient_check(backproof.gradcheck, f, inputs)`.

    It calls `gradcheck`, `gradgradcheck`, `check_grads` or `check_backward` with a seed that
    follows from the test's id, so that a failure repeats.  Every report is shown where the test
    fails.
    """

    def check(function: Callable[..., Any], *arguments: Any, **given: Any) -> Any:
        __tracebackhide__ = True
        from backproof.checkers.functions.check import FunctionVerdict
        from backproof.functions import GradientCheckError
        from backproof.in_pytest.session import note

        raising = given.pop("raise_exception", True)
        given.setdefault("seed", zlib.crc32(request.node.nodeid.encode()))
        began = time.perf_counter()
        verdict = function(*arguments, raise_exception=False, **given)
        took = time.perf_counter() - began
        report = f"{verdict}\nseed {given['seed']}"
        request.node.add_report_section("call", "backproof", report)
        if raising and isinstance(verdict, FunctionVerdict):  # else the test says what it means
            note(request.node, verdict, given["seed"], took)
        if raising and not verdict:
            raise GradientCheckError(verdict)
        return verdict

    return check
