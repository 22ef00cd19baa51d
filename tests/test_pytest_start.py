"""The plugin at pytest's start: what it shows, what it imports, and how it is switched off."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import pytest_start
from helpers_pytest import MY_NET, STRICT, decorated, net

from backproof.in_pytest.options import EVERY, EXPECTED

HEAVY = {"numpy", "scipy", "jax", "torch", "msgspec", "rich", "click", "jinja2", "loky"}

CONFTEST = """
import json, sys

def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        with open("modules.json", "w") as file:
            json.dump(sorted({name.partition(".")[0] for name in sys.modules}), file)
"""


def imported(pytester: pytest.Pytester, *arguments: str) -> set[str]:
    """The top-level modules of a session in another process, with no plugin but ours."""
    pytester.makeconftest(CONFTEST)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "backproof.pytest_plugin", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {*json.loads((pytester.path / "modules.json").read_text())}


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_a_project_that_does_not_use_it_imports_none_of_our_libraries(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    found = imported(pytester, *arguments)
    assert "backproof" in found and not found & HEAVY


def test_a_project_that_uses_it_imports_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(my_net=MY_NET)
    found = imported(pytester, *net(cases=1), "--collect-only")
    assert found >= {"numpy", "scipy", "msgspec", "rich", "click"}


def test_the_help_says_what_each_option_and_line_does(pytester: pytest.Pytester) -> None:
    text = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    assert "verification of backward passes:" in text
    for option in EVERY:
        words = " ".join(option.help.split())
        assert f"--backproof-{option.name}={option.metavar} {words}" in text
        assert re.search(rf"{option.key} \(\w+\): {re.escape(words)}", text)
    assert f"{EXPECTED} (" in text


def test_the_marker_is_registered_with_a_sentence(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.backproof: a generated check of a backward pass, *"])


def test_checks_are_left_out_and_chosen_by_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(my_net=MY_NET, test_other="def test_other(): pass")
    pytester.makeini(STRICT)
    decorated(pytester, "[Net], **quick")
    arguments = ("--backproof-checker=complex_step", "--collect-only", "-q", "--strict-markers")
    for words, ours, others in (("not backproof", 0, 1), ("backproof", 5, 0)):
        result = pytester.runpytest_inprocess(*net(cases=2), *arguments, "-m", words)
        listed = [line for line in result.outlines if "::" in line]
        mine = [line for line in listed if "test_other" not in line]
        assert (len(mine), len(listed) - len(mine)) == (ours, others)


def test_it_is_silent_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    lines = pytester.runpytest_inprocess("-v").outlines
    assert not [line for line in lines if "backproof" in line and not line.startswith("plugins:")]


def test_it_is_switched_off_like_any_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(gradient_check): pass")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    off = pytester.runpytest_inprocess("-p", "no:backproof")
    off.assert_outcomes(errors=1)
    off.stdout.fnmatch_lines(["*fixture 'gradient_check' not found"])
    assert pytester.runpytest_inprocess("-p", "no:backproof", *net()).ret == 4


def test_the_benchmark_of_the_start_measures_both_in_turns(pytester: pytest.Pytester) -> None:
    ratios = pytest_start.ratios(pytest_start.WAYS["pytest --version"], rounds=2)
    assert len(ratios) == 2 and all(0.2 < ratio < 5 for ratio in ratios)
    low, middle, high = pytest_start.quartiles([1.0, 2.0, 3.0])
    assert (low, middle, high) == (1.5, 2.0, 2.5)
