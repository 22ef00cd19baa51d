"""Hypothesis profiles: `quick`, the default, and `thorough`.

`HYPOTHESIS_PROFILE=thorough pytest` or `pytest --hypothesis-profile=thorough` chooses.  Where
the variable CI is set, as `.ci/run` sets it, examples are drawn from the test's name alone, so
that a build can be repeated.  There is no deadline: JAX compiles each new network in its first
call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "helpers_pytest"]

for name, examples in (("quick", 6), ("thorough", 200)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_runtest_setup() -> None:
    """What draws from PyTorch's generator, as examples of pages do, draws the same every time."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage looks away from a test that is marked `repeats`, and from its fixtures.

    Such a test takes the same lines as others beside it, for many more values; tracing them adds
    a third to two thirds to the time that they take themselves.
    """
    coverage = sys.modules.get("coverage")
    repeats = item.get_closest_marker("repeats") is not None
    tracing = coverage.Coverage.current() if coverage and repeats else None
    if tracing is None:
        return (yield)
    tracing.stop()
    try:
        return (yield)
    finally:
        tracing.start()
