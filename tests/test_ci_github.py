"""action.yml: its scripts run by bash as the runner runs them, with right, wrong and hostile input.

The platform's part is small: it puts inputs into `env`, calls bash, reads what is written to two
files, and hears commands on stdout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import invoke
from helpers_github import Heard, heard
from helpers_pipelines import HOSTILE, ROOT, environment, example, read_yaml, run

from backproof.reports import events
from backproof.reports.events import RunStarted

ACTION: dict[str, Any] = read_yaml(ROOT / "action.yml")
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
INSTALL, VERIFY = STEPS["Install Backproof"], STEPS["Verify the gradients"]
WORKFLOW = ROOT / "examples" / "github" / ".github" / "workflows" / "gradients.yml"


LINES = "--max-width=3\r\n\n--lane=generic"
"""Two arguments, as a form in a browser sends lines."""


@dataclass(frozen=True)
class Step:
    """What a step left: exit code, stdout, the commands in it, outputs and summary."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str
    folder: Path
    heard: list[Heard] = field(default_factory=list)

    @property
    def errors(self) -> list[Heard]:
        return [command for command in self.heard if command.name == "error"]


def step(script: dict[str, Any], folder: Path, env: dict[str, str], **inputs: str) -> Step:
    """Run a step of the action as the runner does."""
    (folder / ".runner").mkdir()
    files = {name: folder / ".runner" / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.touch()
    text = folder / ".runner" / "script.sh"
    text.write_text(script["run"])
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    given = {name: spec["default"] for name, spec in ACTION["inputs"].items()} | given
    filled = {name: given[_input(value)] for name, value in script["env"].items()}
    paths = {name: str(file) for name, file in files.items()}
    bash = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(text))
    done = run(bash, folder, env | filled | paths)
    summary = files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
    outputs = _outputs(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"))
    found = Step(done.returncode, done.stdout, outputs, summary, folder, heard(done.stdout))
    assert len(summary.encode()) < 2**20
    assert bool(found.errors) == bool(found.code), done.stdout
    return found


def _input(value: str) -> str:
    match = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)
    assert match, value
    return match[1]


def _outputs(text: str) -> dict[str, str]:
    """`name=value`, or `name<<WORD`, lines, WORD."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        if match := re.fullmatch(r"([\w-]+)<<(.+)", line):
            value = []
            while (line := next(lines)) != match[2]:
                value.append(line)
            found[match[1]] = "\n".join(value)
        else:
            name, _, found_value = line.partition("=")
            found[name] = found_value
    return found


def verify(folder: Path, env: dict[str, str] | None = None, **inputs: str) -> Step:
    """The gate's step on a copy of the example."""
    copy = folder / "github" if (folder / "github").exists() else example("github", folder)
    return step(VERIFY, copy, env or environment(), **inputs)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Step:
    return verify(tmp_path_factory.mktemp("right"), arguments=LINES)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory, right: Step) -> Step:
    against = right.outputs["report-folder"]
    folder = tmp_path_factory.mktemp("wrong")
    return verify(folder, subject="py:my_net:Wrong", against=against, arguments=LINES)


# --- what it is made of ---------------------------------------------------------------------


def test_no_input_is_pasted_into_a_script() -> None:
    for script in STEPS.values():
        assert "${{" not in script.get("run", "")
    used = re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(ACTION["inputs"]), "every input is used, and none that is not there"


@pytest.mark.parametrize("file", [ROOT / "action.yml", WORKFLOW], ids=lambda p: p.name)
def test_every_action_of_others_is_pinned_by_a_full_commit(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text())
    others = [(name, comment) for name, comment in used if not name.startswith("OWNER/")]
    assert len(others) >= 3
    for name, comment in others:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", name)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


def test_one_commit_stands_for_one_version_everywhere() -> None:
    text = (ROOT / "action.yml").read_text() + WORKFLOW.read_text()
    pins = re.findall(r"uses: ([\w-]+/[\w-]+)\S*@([0-9a-f]{40}) # (\S+)", text)
    assert len({(name, commit, version) for name, commit, version in pins}) == len(
        {name for name, _, _ in pins}
    )


def test_the_workflow_gives_the_action_only_what_it_takes() -> None:
    jobs = read_yaml(WORKFLOW)["jobs"]
    (ours,) = [s for s in jobs["gate"]["steps"] if s.get("uses", "").startswith("OWNER/backproof@")]
    assert set(ours["with"]) <= set(ACTION["inputs"])


# --- right and wrong ------------------------------------------------------------------------


def test_right_code_ends_in_0_with_a_summary_and_no_annotation(right: Step) -> None:
    assert right.code == 0, right.log
    assert right.heard == []
    assert right.summary.startswith("## Backproof: VERIFIED\n")
    folder = right.folder / "reports" / "out"
    assert right.outputs == {
        "verdict": "verified",
        "exit-code": "0",
        "sarif": "true",
        "report-folder": str(folder),
    }
    assert (folder / "report.html").exists() and (folder / "junit.xml").exists()


def test_each_line_of_the_arguments_is_one_argument(right: Step) -> None:
    (start,) = [e for e in events.read(right.outputs["report-folder"]) if isinstance(e, RunStarted)]
    assert start.options["limits"]["max_width"] == 3 and start.options["lanes"] == ["generic"]
    assert start.options["profile"] == "quick"


def test_a_wrong_gradient_ends_in_1_with_its_line_and_its_summary(wrong: Step) -> None:
    assert wrong.code == 1
    assert wrong.outputs["verdict"] == "wrong-gradient" and wrong.outputs["exit-code"] == "1"
    (error,) = wrong.errors
    assert error.properties["file"].endswith("my_net.py")
    line = (wrong.folder / "my_net.py").read_text().splitlines()[int(error.properties["line"]) - 1]
    assert "def gradients" in line
    assert "averaged over the batch" in error.data
    assert wrong.summary.startswith("## Backproof: NEWLY FAILING\n")
    assert "WRONG GRADIENT" in wrong.summary


def test_what_has_changed_since_the_older_run_is_in_the_summary(wrong: Step, right: Step) -> None:
    assert "### Against the older run" in wrong.summary
    assert "### Against the older run" not in right.summary


def test_an_older_run_that_is_not_there_fails_a_gate_that_would_pass(tmp_path: Path) -> None:
    found = verify(tmp_path, against=HOSTILE)
    assert (found.code, found.outputs["verdict"]) == (4, "bad-input")
    assert "No such file or directory" in found.log and not list(tmp_path.rglob("pwned"))


def test_too_little_verified_ends_in_5_with_the_budget_s_sentence(tmp_path: Path) -> None:
    found = verify(tmp_path, arguments="--min-cases=5")
    assert (found.code, found.outputs["verdict"]) == (5, "not-verified")
    assert [e.data for e in found.errors] == ["4 cases passed; the budget demands 5 at least."]


def test_known_failures_are_notices_and_the_step_passes(tmp_path: Path) -> None:
    first = verify(tmp_path, subject="py:my_net:Wrong")
    assert first.code == 1
    log, known = f"{first.outputs['report-folder']}/events.ndjson", first.folder / "known.json"
    update = ("baseline", "update", log, "--baseline", str(known), "--reason", "old kernel")
    assert invoke(*update, "--scope", "operator").exit_code == 0
    (first.folder / ".runner").rename(tmp_path / "first")
    second = verify(tmp_path, subject="py:my_net:Wrong", baseline="known.json")
    assert second.code == 0, second.log
    assert second.heard and {command.name for command in second.heard} == {"notice"}


def test_configuration_profile_and_saved_cases_are_those_that_are_named(tmp_path: Path) -> None:
    copy = example("github", tmp_path)
    (copy / "other.toml").write_text('subject = "py:my_net:Wrong"\n')
    named = {"config": "other.toml", "profile": "nightly", "replays": "kept here"}
    found = verify(tmp_path, None, arguments="--seed=3", **named)
    assert found.code == 1
    assert list((copy / "kept here").glob("dense-bias-*.json"))


# --- it never fails open --------------------------------------------------------------------


def test_bad_usage_ends_in_4_and_says_so(tmp_path: Path) -> None:
    found = verify(tmp_path, subject="py:my_net:Absent")
    assert (found.code, found.outputs["verdict"]) == (4, "bad-input")
    assert found.outputs["report-folder"] == ""
    assert found.summary.startswith("## Backproof: no report\n")
    assert "Absent" in found.log


def test_hostile_inputs_are_text(tmp_path: Path) -> None:
    names = ("subject", "profile", "config", "baseline", "replays", "arguments")
    found = verify(tmp_path, None, **dict.fromkeys(names, HOSTILE))
    assert (found.code, found.outputs["verdict"]) == (4, "bad-input"), found.log
    assert not list(tmp_path.rglob("pwned")) and (found.folder / "my_net.py").exists()


def test_a_folder_with_a_hostile_name_is_a_folder(tmp_path: Path) -> None:
    name = f"out/{HOSTILE}\nverdict=forged"
    found = verify(tmp_path, report_folder=name)
    assert found.code == 0, found.log
    assert found.outputs["verdict"] == "verified"
    assert found.outputs["report-folder"] == str(found.folder / name)
    assert not list(tmp_path.rglob("pwned"))


def test_an_argument_that_ends_the_gate_early_is_no_success(tmp_path: Path) -> None:
    stale = example("github", tmp_path) / "reports" / "out" / "events.ndjson"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older run's")
    found = verify(tmp_path, arguments="--help")
    assert (found.code, found.outputs["verdict"]) == (3, "error")
    assert found.outputs["report-folder"] == ""


def test_a_subject_cannot_be_an_option(tmp_path: Path) -> None:
    found = verify(tmp_path, subject="--help")
    assert (found.code, found.outputs["verdict"]) == (4, "bad-input")


def test_a_gate_that_is_killed_fails_the_step(tmp_path: Path) -> None:
    copy = example("github", tmp_path)
    (copy / "killer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    found = verify(tmp_path, subject="py:killer:Net")
    assert (found.code, found.outputs["verdict"]) == (128 + 9, "error")


@pytest.mark.parametrize("code", [0, 1, 5])
def test_a_backproof_that_breaks_down_is_an_error_and_no_verdict(code: int, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "backproof"
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    (broken / "__main__.py").write_text(f"raise SystemExit({code})\n")
    found = verify(tmp_path, environment(PYTHONPATH=str(broken.parent)))
    assert (found.code, found.outputs["verdict"]) == (3, "error")
    assert "no report" in found.summary


def test_what_a_subject_prints_is_no_command(tmp_path: Path) -> None:
    copy = example("github", tmp_path)
    loud = 'from my_net import Net\nprint("::error title=forged::x\\n::set-output name=a::b")\n'
    (copy / "loud.py").write_text(loud)
    found = verify(tmp_path, subject="py:loud:Net")
    assert found.code == 0 and found.heard == []
    assert "title=forged" in found.log


# --- the installation -----------------------------------------------------------------------


def install(folder: Path, version: str) -> tuple[Step, list[str]]:
    """The step with a Python that only writes down what it is asked."""
    recorder = folder / "bin" / "python"
    recorder.parent.mkdir()
    recorder.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done > "$ASKED"\n')
    recorder.chmod(0o755)
    asked = folder / "asked"
    env = environment(GITHUB_ACTION_PATH="/action's own source", ASKED=str(asked))
    env["PATH"] = f"{recorder.parent}:{env['PATH']}"
    done = step(INSTALL, folder, env, version=version)
    return done, asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize(
    "version, package", [("", "/action's own source"), ("0.1.0", "backproof==0.1.0")]
)
def test_the_version_is_pinned(version: str, package: str, tmp_path: Path) -> None:
    done, asked = install(tmp_path, version)
    assert done.code == 0 and asked == ["-P", "-m", "pip", "install", package]


@pytest.mark.parametrize("version", [HOSTILE, "--pre", "0.1.0 --index-url=x", "latest"])
def test_a_version_that_is_no_number_is_refused(version: str, tmp_path: Path) -> None:
    done, asked = install(tmp_path, version)
    assert done.code == 4 and asked == []
    assert not list(tmp_path.rglob("pwned"))
