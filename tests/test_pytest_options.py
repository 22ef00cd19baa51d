"""Options in pytest: command line, ini-file, environment, configuration, and what is refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from helpers_cli import invoke
from helpers_pytest import (
    MY_NET,
    NUMERICAL,
    STRICT,
    Run,
    Verdicts,
    decorated,
    ids,
    net,
)

from backproof.checkers.verdict import Verdict
from backproof.in_pytest.asking import TAKEN, Asked, ask, key_of
from backproof.in_pytest.options import OPTIONS
from backproof.reports import events as stream
from backproof.reports.events import CaseFinished
from backproof.settings import KEYS


def asked(pytester: pytest.Pytester, *arguments: str) -> Asked:
    return ask(pytester.parseconfigure(*arguments))


def header(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("backproof: ")]


# --- who goes before whom -----------------------------------------------------------------


def test_option_before_ini_file_before_environment_before_configuration(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "backproof: py:my_net:Net: 4 cases, seed {}, by finite_differences, complex_step"
    assert header(run(*net())) == [said.format(0)]
    file = pytester.path / "pyproject.toml"
    file.write_text("[tool.backproof]\nseed = 1\n")
    configured = "backproof: configured: seed (pyproject.toml, line 2)"
    assert header(run(*net())) == [said.format(1), configured]
    monkeypatch.setenv("BACKPROOF_SEED", "2")
    assert header(run(*net())) == [said.format(2), "backproof: configured: seed (BACKPROOF_SEED)"]
    pytester.makeini(f"{STRICT}backproof_seed = 3\n")
    assert header(run(*net())) == [said.format(3)]
    assert header(run(*net(), "--backproof-seed=4")) == [said.format(4)]


def test_the_nearest_configuration_of_where_pytest_is_called_holds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini(STRICT)
    pytester.path.joinpath("backproof.toml").write_text("seed = 1\n")
    below = pytester.mkdir("below")
    below.joinpath("backproof.toml").write_text("seed = 2\n")
    elsewhere = pytester.mkdir("elsewhere")
    assert asked(pytester).values["seed"].value == 1
    monkeypatch.chdir(below)
    assert asked(pytester, f"--rootdir={pytester.path}").values["seed"].value == 2
    monkeypatch.chdir(elsewhere)  # beside the root, whose configuration then holds
    assert asked(pytester, f"--rootdir={below}").values["seed"].value == 2


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_its_line_in_the_ini_file(
    pytester: pytest.Pytester, option: object
) -> None:
    (option,) = [o for o in OPTIONS if o is option]
    text = {
        "cases": "7", "seed": "3", "lane": "tie,exact", "dtype": "float32",
        "checker": "jax,complex_step", "timeout": "2m", "max-inconclusive": "0.5",
    }[option.name]  # fmt: skip
    pytester.makeini(STRICT)
    by_option = asked(pytester, f"--backproof-{option.name}={text}")
    pytester.makeini(f"{STRICT}{option.key} = {text}\n")
    by_file = asked(pytester)
    key = key_of(option)
    assert by_option.values[key].value == by_file.values[key].value
    assert by_option.values[key].origin == f"--backproof-{option.name}"
    assert by_file.values[key].origin == f"tox.ini: {option.key}"
    assert by_option.generating == by_file.generating and by_option.budget == by_file.budget


def test_an_option_may_be_repeated_and_have_commas(pytester: pytest.Pytester) -> None:
    found = asked(pytester, "--backproof-lane=tie", "--backproof-lane=exact,tie").values["lanes"]
    assert found.value == ("exact", "tie")


def test_the_configuration_decides_all_that_it_decides_for_check(
    pytester: pytest.Pytester,
) -> None:
    text = """
        lanes = ["generic"]
        dtypes = ["float32"]
        checkers = ["jax"]
        operators = ["dense"]
        losses = ["huber"]
        max_depth = 2
        max_width = 3
        max_batch = 2
        exhaustive = true
        timeout = "1m"
        start_timeout = 5
        memory = 100
        max_answer = 2
        max_inconclusive = 0.3
        """
    pytester.path.joinpath("backproof.toml").write_text(text)
    found = asked(pytester)
    given = dict(found.generating)
    limits, programs = given.pop("limits"), given.pop("programs")
    assert given == {
        "lanes": ("generic",), "dtypes": ("float32",), "checkers": ("jax",), "exhaustive": True,
        "timeout": 60.0,
    }  # fmt: skip
    assert (limits.operators, limits.losses) == (("dense",), ("huber",))
    assert (limits.max_depth, limits.max_width, limits.max_batch) == (2, 3, 2)
    assert (programs.start, programs.memory, programs.output) == (5, 100 * 2**20, 2 * 2**20)
    assert found.budget == 0.3
    pytester.path.joinpath("backproof.toml").write_text('activations = ["relu"]\nseed = 1\n')
    assert asked(pytester).generating["limits"].activations == ("relu",)


def test_every_key_of_the_configuration_is_taken_or_somebody_else_s() -> None:
    others = {
        "subject", "cases", "max_time", "workers", "output", "profile", "profiles", "baseline",
        "replays", "max_unsupported", "min_resolution", "min_pairs", "min_cases",
    }  # fmt: skip
    assert {*TAKEN} | others == {*KEYS} and not {*TAKEN} & others


def test_the_cases_are_those_of_check_under_one_configuration(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(pytester.path)
    text = 'seed = 5\noperators = ["dense"]\nmax_depth = 2\n'
    pytester.path.joinpath("backproof.toml").write_text(text)
    run(*net(), "--backproof-report=mine").assert_outcomes(passed=4)
    words = (
        "check",
        "py:my_net:Net",
        "--cases",
        "4",
        "--output",
        "theirs",
        "--checker",
        "complex_step",
    )
    invoke(*words)
    mine, theirs = (
        [
            (e.architecture, e.lane, e.dtype, e.seed)
            for e in stream.read(pytester.path / folder)
            if isinstance(e, CaseFinished)
        ]
        for folder in ("mine", "theirs")
    )
    assert mine == theirs and len(mine) == 4
    assert {*mine[0][0].operators} <= {"dense", "squared_error"}


def test_a_file_s_cases_are_for_check_and_the_environment_s_for_this_session(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'subject = "py:my_net:Wrong"\ncases = 800\noutput = "elsewhere"\n'
    pytester.path.joinpath("backproof.toml").write_text(text)
    pytester.makepyfile(test_other="def test_other(): pass")
    run().assert_outcomes(passed=1)
    run("--backproof-subject=py:my_net:Net").assert_outcomes(passed=41)
    assert not (pytester.path / "elsewhere").exists()
    monkeypatch.setenv("BACKPROOF_CASES", "3")
    run("--backproof-subject=py:my_net:Net").assert_outcomes(passed=4)


def test_a_replay_says_again_what_was_said_for_the_session(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts[0] = Verdict("FAIL", "wrong")
    monkeypatch.setenv("BACKPROOF_SEED", "7")
    monkeypatch.setenv("BACKPROOF_LANES", "tie, generic")
    pytester.path.joinpath("other.ini").write_text(STRICT)
    result = run(*net(cases=1), "-c", "other.ini")
    (replay,) = {line.split(maxsplit=1)[1] for line in result.outlines if " replay " in line}
    assert replay.startswith(
        "BACKPROOF_SEED=7 BACKPROOF_LANES='tie, generic' pytest -c other.ini "
        "--backproof-subject=py:my_net:Net --backproof-cases=1 --backproof-checker="
    )
    variables = [word for word in shlex.split(replay) if word.startswith("BACKPROOF_")]
    for name, _, value in (word.partition("=") for word in variables):
        monkeypatch.setenv(name, value)
    again = pytester.runpytest_inprocess(*shlex.split(replay)[len(variables) + 1 :])
    again.assert_outcomes(failed=1)
    assert replay in again.stdout.str()


def test_the_documented_ini_file_is_understood(run: Run, pytester: pytest.Pytester) -> None:
    page = (Path(__file__).parents[1] / "docs" / "pytest.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(\[tool\.pytest.*?)```", page, re.DOTALL)
    pytester.path.joinpath("tox.ini").unlink()
    pytester.path.joinpath("pyproject.toml").write_text(text)
    result = run("--collect-only", "-q", "--strict-config")
    assert len(ids(result)) == 100
    assert all(o.key in text for o in OPTIONS)


# --- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "file, words",
    [
        ("seed = -1\n", "backproof.toml, line 1: seed: expected `int` >= 0."),
        ("\nlanes = ['fast']\n", "backproof.toml, line 2: lanes: there is no 'fast'; there are *"),
        ("sede = 1\n", "backproof.toml, line 1: sede: there is no such key; *"),
        ("seed = \n", "backproof.toml, line 1: invalid value."),
        ("operators = ['lstm']\n", "backproof: py:my_net:Net: the subject does not declare the *"),
        ("losses = ['huber']\n", "*: the subject does not declare the loss huber"),
        ("operators = ['variable']\n", "backproof: operators must name more than variable, *"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_exit_code_4(
    run: Run, pytester: pytest.Pytester, file: str, words: str
) -> None:
    pytester.path.joinpath("backproof.toml").write_text(file)
    result = run(*net())
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {words}"])
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("BACKPROOF_LANES", "fast", "BACKPROOF_LANES: there is no 'fast'; there are generic, *"),
        ("BACKPROOF_SEDE", "1", "BACKPROOF_SEDE: there is no such variable; perhaps *SEED."),
        ("BACKPROOF_CONFIG", "absent.toml", "absent.toml: No such file or directory."),
    ],
)
def test_a_wrong_variable_is_one_sentence_and_exit_code_4(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run(*net())
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {words}"])


@pytest.mark.parametrize(
    "line, words",
    [
        ("backproof_seed = -1", "backproof_seed=-1: expected `int` >= 0."),
        ("backproof_lane = fast", "backproof_lane=fast: there is no 'fast'; there are generic, *"),
        ("backproof_timeout = soon", "backproof_timeout=soon: 'soon' is not a duration such as *"),
        ("backproof_max_inconclusive = 2", "backproof_max_inconclusive=2: expected `float` <= 1.*"),
    ],
)
def test_a_wrong_line_of_the_ini_file_is_one_sentence_and_exit_code_4(
    run: Run, pytester: pytest.Pytester, line: str, words: str
) -> None:
    pytester.makeini(f"{STRICT}{line}\n")
    result = run(*net())
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: tox.ini: {words}"])


def test_a_project_without_checks_is_not_held_up_by_a_wrong_configuration(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(my_net=MY_NET, test_other="def test_other(): pass")
    pytester.path.joinpath("backproof.toml").write_text("seed = -1\n")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)
    decorated(pytester, "[Net], **quick")  # whose budget it decides
    result = pytester.runpytest_inprocess()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: backproof.toml, line 1: seed: expected `int` >= 0."])


def test_a_wrong_configuration_ends_a_session_in_which_a_function_is_checked(
    pytester: pytest.Pytester,
) -> None:
    pytester.path.joinpath("backproof.toml").write_text("seed = -1\n")
    pytester.makepyfile(
        """
        import backproof
        import numpy as np

        def test_double(gradient_check):
            def double(x):
                return 2 * x

            gradient_check(backproof.check_backward, double, lambda saved, y: 2 * y, np.ones(2))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*backproof.toml, line 1: seed: expected `int` >= 0.*"])
    assert "Traceback" not in result.stdout.str()


def test_the_configuration_s_budget_holds_for_tests_with_checks(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[0] = Verdict("INCONCLUSIVE", "too wide")
    decorated(pytester, "[Net], **quick")
    assert pytester.runpytest_inprocess().ret == 5
    pytester.path.joinpath("backproof.toml").write_text("max_inconclusive = 0.5\n")
    assert pytester.runpytest_inprocess().ret == 0
    assert pytester.runpytest_inprocess(*NUMERICAL, "--backproof-max-inconclusive=0.1").ret == 5
