"""Parts for pipelines besides the action: valid, executed, and red where a gradient is wrong."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers_pipelines import EXAMPLES, HOSTILE, ROOT, environment, example, read_yaml, run
from lxml import etree

PYTHON = sys.executable
PLACES = ("github", "gitlab", "pre-commit", "tox")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TEMPLATE = EXAMPLES / "gitlab" / "backproof.gitlab-ci.yml"
RED = 'subject = "py:my_net:Wrong"\n'


# --- valid ----------------------------------------------------------------------------------

SCHEMAS = [
    ("github-actions", ROOT / "action.yml", "runs:", "run:"),
    ("github-workflows", EXAMPLES / "github/.github/workflows/gradients.yml", "jobs:", "job:"),
    ("gitlab-ci", TEMPLATE, "when: always", "when: ever"),
    ("gitlab-ci", EXAMPLES / "gitlab/.gitlab-ci.yml", "- local:", "- locally:"),
]


@pytest.mark.parametrize(
    "schema, file, right, wrong", SCHEMAS, ids=[file.name for _, file, _, _ in SCHEMAS]
)
def test_the_platform_s_schema_takes_the_file_and_not_a_misspelt_one(
    schema: str, file: Path, right: str, wrong: str, tmp_path: Path
) -> None:
    def accepted(path: Path) -> bool:
        check = (PYTHON, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}")
        transform = ("--data-transform", "gitlab-ci") if schema == "gitlab-ci" else ()
        return run((*check, *transform, str(path)), tmp_path, environment()).returncode == 0

    assert accepted(file)
    text = file.read_text()
    assert right in text
    (tmp_path / "wrong.yml").write_text(text.replace(right, wrong))
    assert not accepted(tmp_path / "wrong.yml")


@pytest.mark.parametrize(
    "command, file",
    [
        ("validate-manifest", ROOT / ".pre-commit-hooks.yaml"),
        ("validate-config", EXAMPLES / "pre-commit" / ".pre-commit-config.yaml"),
    ],
)
def test_pre_commit_takes_its_files_and_not_a_hook_without_an_id(
    command: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(file.read_text().replace("id:", "name-of-it:"))
    for path, code in ((file, 0), (tmp_path / "wrong.yaml", 1)):
        check = (PYTHON, "-m", "pre_commit", command, str(path))
        assert run(check, tmp_path, environment()).returncode == code


def test_every_example_has_the_same_subject_and_configuration() -> None:
    for name in ("my_net.py", "backproof.toml"):
        assert len({(EXAMPLES / place / name).read_bytes() for place in PLACES}) == 1


def test_the_version_that_is_pinned_is_this_one() -> None:
    texts = [path.read_text() for place in PLACES for path in (EXAMPLES / place).rglob("*.*")
             if path.suffix in (".yml", ".yaml", ".ini")]  # fmt: skip
    pins = [pin for text in texts for pin in re.findall(r"(?:backproof@v|==|rev: v)([\d.]+)", text)]
    assert len(pins) == len(PLACES) and set(pins) == {VERSION}


# --- GitLab ---------------------------------------------------------------------------------


def job(name: str, source: str) -> dict[str, Any]:
    """A job of the template for a kind of pipeline, with what it extends and its rule's variables.

    AssertionError where none or several of its rules fit.
    """
    template = read_yaml(TEMPLATE)
    own = template[name]
    found = {**template[own["extends"]], **own}
    fits = {
        "merge": '$CI_PIPELINE_SOURCE == "merge_request_event"',
        "push": '$CI_PIPELINE_SOURCE != "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH',
        "schedule": '$CI_PIPELINE_SOURCE == "schedule"',
    }
    (rule,) = [rule for rule in own["rules"] if rule["if"] == fits[source]]
    return {**found, "variables": own.get("variables", {}) | rule.get("variables", {})}


def gitlab(folder: Path, source: str = "merge", shell: str = "bash", **variables: str) -> Any:
    """The job's script in a copy of the example, with the variables that the job sets."""
    copy = folder / "gitlab" if (folder / "gitlab").exists() else example("gitlab", folder)
    found = job("backproof-nightly" if source == "schedule" else "backproof", source)
    (script,) = found["script"]
    env = environment(**(found["variables"] | variables))
    return copy, run((shell, "-e", "-c", script), copy, env)


def results(copy: Path, what: str) -> int:
    """What the suites of junit.xml count."""
    return sum(int(s.get(what)) for s in etree.parse(copy / "reports/out/junit.xml").getroot())


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_gitlab_is_green_for_right_code(shell: str, tmp_path: Path) -> None:
    copy, done = gitlab(tmp_path, shell=shell)
    assert done.returncode == 0, done.stdout
    assert json.loads((copy / "gl-code-quality-report.json").read_text()) == []
    assert results(copy, "tests") > 0 == results(copy, "failures")


def test_gitlab_is_red_for_a_wrong_gradient_with_test_results_and_a_finding(tmp_path: Path) -> None:
    copy, done = gitlab(tmp_path, BACKPROOF_SUBJECT="py:my_net:Wrong")
    assert done.returncode == 1
    (finding,) = json.loads((copy / "gl-code-quality-report.json").read_text())
    assert finding["severity"] == "critical"
    assert finding["location"]["path"].endswith("my_net.py")
    assert results(copy, "failures") > 0


@pytest.mark.parametrize(
    "variables, code",
    [
        ({"BACKPROOF_SUBJECT": "py:my_net:Absent"}, 4),
        ({"BACKPROOF_SUBJECT": HOSTILE}, 4),
        ({"BACKPROOF_PROFILE": HOSTILE}, 4),
        ({"BACKPROOF_MIN_CASES": "5"}, 5),
    ],
)
def test_gitlab_obeys_the_gate_s_exit_code_and_no_variable(
    variables: dict[str, str], code: int, tmp_path: Path
) -> None:
    copy, done = gitlab(tmp_path, **variables)
    assert done.returncode == code, done.stdout
    assert not list(tmp_path.rglob("pwned")) and (copy / "my_net.py").exists()


@pytest.mark.parametrize("code", [0, 1, 137])
def test_gitlab_fails_where_the_gate_breaks_down(code: int, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "backproof"
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    (broken / "cli.py").write_text(f"def main():\n    raise SystemExit({code})\n")
    stale = example("gitlab", tmp_path) / "reports" / "out" / "events.ndjson"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older run's")
    _, done = gitlab(tmp_path, PYTHONPATH=str(broken.parent))
    assert done.returncode == (137 if code == 137 else 3)


def test_what_a_night_finds_is_run_again_by_merge_requests_until_it_is_repaired(
    tmp_path: Path,
) -> None:
    # four networks drawn at random may have a single row each, whose average is its sum
    known = {"BACKPROOF_SUBJECT": "py:my_net:Wrong", "BACKPROOF_SEED": "3"}
    copy, night = gitlab(tmp_path, "schedule", **known)
    assert night.returncode == 1
    assert [path.name[:19] for path in (copy / "backproof-cases").iterdir()] == [
        "dense-bias-float64-"
    ]
    _, request = gitlab(tmp_path, BACKPROOF_SUBJECT="py:my_net:Wrong")
    assert request.returncode == 1
    assert "replayed: 0 of 1 saved case as expected" in request.stdout
    code = (copy / "my_net.py").read_text()
    (copy / "my_net.py").write_text(code.replace("rows.mean(0)", "rows.sum(0)"))
    _, request = gitlab(tmp_path, BACKPROOF_SUBJECT="py:my_net:Wrong")
    assert request.returncode == 0
    assert "replayed: 1 of 1 saved case as expected" in request.stdout


def test_only_the_night_writes_the_cache_that_all_read() -> None:
    by_day, by_night = job("backproof", "merge")["cache"][1], job("backproof-nightly", "schedule")
    assert by_day["policy"] == "pull"
    cases = by_night["cache"][1]
    assert cases["policy"] == "pull-push" and cases["when"] == "always"
    for key in ("key", "paths", "unprotect"):
        assert by_day[key] == cases[key]
    assert cases["unprotect"] is True and cases["paths"] == ["backproof-cases"]


# --- pre-commit -----------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit is git's")
def test_a_push_with_a_wrong_gradient_is_refused_and_one_without_is_not(tmp_path: Path) -> None:
    """The manifest of this repository and the example's configuration, in repositories of git.

    Only what installs an environment of its own is replaced, by this one (`language: system`).
    """
    env = environment(
        PRE_COMMIT_HOME=str(tmp_path / "home"), GIT_CONFIG_GLOBAL="/dev/null",
        GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
        GIT_COMMITTER_EMAIL="a@b",
    )  # fmt: skip

    def git(folder: Path, *words: str) -> int:
        return run(("git", *words), folder, env).returncode

    def committed(folder: Path) -> Path:
        assert git(folder, "init", "--quiet", "--initial-branch=main") == 0
        assert git(folder, "add", "--all") == git(folder, "commit", "--quiet", "-m", "x") == 0
        return folder

    (tmp_path / "ours").mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", tmp_path / "ours")
    ours = committed(tmp_path / "ours")
    assert git(ours, "tag", f"v{VERSION}") == 0

    project = example("pre-commit", tmp_path)
    config = project / ".pre-commit-config.yaml"
    text = config.read_text()
    assert "https://github.com/OWNER/backproof" in text
    text = text.replace("https://github.com/OWNER/backproof", str(ours))
    config.write_text(f"{text.rstrip()}\n        language: system\n")
    (project / "backproof.toml").write_text(RED)
    committed(project)
    assert git(tmp_path, "init", "--quiet", "--bare", "there") == 0
    assert run((PYTHON, "-m", "pre_commit", "install"), project, env).returncode == 0

    push = ("git", "push", "--quiet", str(tmp_path / "there"), "main")
    refused = run(push, project, env)
    assert refused.returncode != 0 and "WRONG GRADIENT" in refused.stdout, refused.stdout
    (project / "backproof.toml").write_text(RED.replace("Wrong", "Net"))
    assert git(project, "commit", "--quiet", "--all", "-m", "repaired") == 0
    passed = run(push, project, env)
    assert passed.returncode == 0, passed.stdout
    assert "backproof gate" in passed.stdout and "Passed" in passed.stdout


# --- tox ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject, code", [("Net", 0), ("Wrong", 1)])
def test_tox_runs_the_gate(subject: str, code: int, tmp_path: Path) -> None:
    """In an environment that tox makes, with this process's packages for those it would install."""
    here = ("-x", "testenv.deps=", "-x", "testenv.allowlist_externals=backproof")
    passed = ("-x", "testenv.pass_env=BACKPROOF_*,COVERAGE_*,PYTHONPATH,COLUMNS")
    tox = (PYTHON, "-m", "tox", "run", "-e", "gradients", *here, *passed)
    env = environment(BACKPROOF_SUBJECT=f"py:my_net:{subject}")
    done = run(tox, example("tox", tmp_path), env)
    assert done.returncode == code, done.stdout
    assert ("VERIFIED" if code == 0 else "WRONG GRADIENT") in done.stdout


# --- the page -------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
EXCERPTS = re.findall(r"```(?:yaml|ini)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("commands", COMMANDS)
def test_the_commands_of_the_page_do_what_it_says(commands: str, tmp_path: Path) -> None:
    done = run(("bash", "-e", "-c", commands), example("tox", tmp_path), environment())
    assert done.returncode == 0, done.stdout


def test_the_excerpts_of_the_page_are_the_examples_own() -> None:
    texts = [path.read_text() for place in PLACES for path in (EXAMPLES / place).rglob("*.*")
             if path.suffix in (".yml", ".yaml", ".ini")]  # fmt: skip
    assert len(EXCERPTS) == 4
    for excerpt in EXCERPTS:
        assert any(excerpt in text for text in texts), excerpt


def test_the_page_tells_of_every_input_and_output_of_the_action() -> None:
    action = read_yaml(ROOT / "action.yml")
    section = PAGE[PAGE.index("## GitHub") : PAGE.index("## GitLab")]
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in section or f"`{name}:" in section, name


# --- the scripts ------------------------------------------------------------------------------


def found(command: str) -> str | None:
    return shutil.which(command, path=environment()["PATH"])


@pytest.mark.skipif(found("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say_of_the_scripts(tmp_path: Path) -> None:
    steps = read_yaml(ROOT / "action.yml")["runs"]["steps"]
    scripts = [("bash", step["run"]) for step in steps if "run" in step]
    scripts += [("sh", text) for text in read_yaml(TEMPLATE)[".backproof"]["script"]]
    assert len(scripts) == 3
    for shell, text in scripts:
        (tmp_path / "script").write_text(text)
        done = run(("shellcheck", "-s", shell, "script"), tmp_path, environment())
        assert done.returncode == 0, done.stdout
