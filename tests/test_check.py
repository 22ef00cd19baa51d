"""`backproof check` and `backproof smoke`: other people's implementations on the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import invoke, sentence

from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import L2, SquaredError
from backproof.checkers.verdict import reference_subject
from backproof.diagnosis import diagnose
from backproof.foreign import close_all, enter, subject_named
from backproof.jobs import Options
from backproof.judging import judge
from backproof.planting import BY_NAME, planted
from backproof.reference.faults.catalogue import sites
from backproof.reports import events
from backproof.reports.events import CaseFinished
from backproof.subjects.python import PythonSubject

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "tests" / "programs" / "relu.py"


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    close_all()


def relu(mode: str) -> str:
    return f"cmd:'{sys.executable}' '{PROGRAM}' '{mode}'"


def check(subject: str, folder: Path, *options: str, cases: int = 6) -> tuple[int, str]:
    result = invoke(
        "check", subject, "--cases", str(cases), "--workers", "1", "--output", str(folder), *options
    )
    return result.exit_code, result.output


def statuses(folder: Path) -> list[str]:
    found = events.read(folder / "events.ndjson")
    return [e.verdict.status for e in found if isinstance(e, CaseFinished)]


def test_a_program_that_is_right_is_verified_on_what_it_declares(tmp_path: Path) -> None:
    code, output = check(relu("right"), tmp_path, cases=8)
    assert code == 0 and output.startswith("VERIFIED")
    found = [e for e in events.read(tmp_path / "events.ndjson") if isinstance(e, CaseFinished)]
    assert {name for e in found for name in e.architecture.operators} == {"relu", "squared_error"}
    assert {e.dtype for e in found} == {"float64"}


def test_a_program_that_is_wrong_fails_with_its_operator(tmp_path: Path) -> None:
    code, output = check(relu("twice"), tmp_path)
    assert code == 1
    assert "relu input" in output and "minimal" in output
    assert (tmp_path / "failures").is_dir()


def test_a_program_that_hangs_costs_a_timeout_a_case_and_the_run_goes_on(tmp_path: Path) -> None:
    code, output = check(relu("hang"), tmp_path, "--timeout", "1s")
    assert code == 5 and statuses(tmp_path).count("TIMEOUT") >= 3
    assert "PASS" in statuses(tmp_path)
    assert "no answer to run within 1 s" in output


def test_a_program_that_crashes_fails_its_case_and_the_run_goes_on(tmp_path: Path) -> None:
    code, output = check(relu("exit"), tmp_path)
    assert code == 1 and set(statuses(tmp_path)) == {"PASS", "FAIL"}
    assert "ended with exit code 3" in output and "out of luck" in output


def test_the_same_run_with_two_workers_says_the_same(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        result = invoke(
            "check", relu("right"), "--cases", "6", "--output", str(tmp_path / workers),
            "--workers", workers,
        )  # fmt: skip
        assert result.exit_code == 0
    one, two = (
        [e for e in events.read(tmp_path / w / "events.ndjson") if isinstance(e, CaseFinished)]
        for w in ("1", "2")
    )
    assert [(e.id, e.verdict) for e in one] == [(e.id, e.verdict) for e in two]


class Averages:
    """Dense layers whose bias gradients are averaged over the batch, as the catalogue has it."""

    def describe(self) -> dict[str, Any]:
        return {"operators": ["dense"], "losses": ["squared_error"]}

    def gradients(self, case: Case) -> tuple[Any, dict[str, Any]]:
        a = case.architecture
        fault = BY_NAME["gradient_averaged"]
        site = next((s for s in sites(a) if fault.applies(a, s)), None)
        loss, found = planted(fault, site)(case) if site else reference_subject(case)
        return loss, dict(found)


class Bends(Averages):
    """A mistake of no kind that is known."""

    def gradients(self, case: Case) -> tuple[Any, dict[str, Any]]:
        loss, found = reference_subject(case)
        return loss, {
            n: (g + np.tanh(g + 0.3)).astype(g.dtype) if n.endswith("weight") else g
            for n, g in found.items()
        }


@pytest.mark.parametrize("kind, words", [
    (Averages, "equals the reference with the parameters' gradient averaged over the batch"),
    (Bends, "no known fault gives these gradients"),
])  # fmt: skip
def test_the_cause_of_what_a_subject_does_wrong_is_told_and_saved(
    kind: Any, words: str, tmp_path: Path
) -> None:
    enter("py:averages", PythonSubject("py:averages", kind))
    quick = ("--checker", "complex_step", "--lane", "generic")
    code, output = check("py:averages", tmp_path, "--seed", "3", *quick, cases=4)
    assert code == 1
    saved = [json.loads(p.read_text()) for p in (tmp_path / "failures").glob("*.json")]
    assert saved and {s["cause"][: len(words)] for s in saved} == {words}
    assert words[:40] in output.replace("\n", " ")


def test_a_failure_of_a_program_is_replayed_with_it(tmp_path: Path) -> None:
    check(relu("twice"), tmp_path)
    saved = sorted((tmp_path / "failures").glob("*.json"))
    assert saved
    close_all()  # its first case is right
    first = invoke("replay", str(saved[0]))
    assert first.exit_code == 0 and "passes now" in first.output
    again = invoke("replay", str(saved[0]))
    assert again.exit_code == 1 and "still fails" in again.output
    gone = tmp_path / "gone.json"
    gone.write_text(saved[0].read_text().replace("cmd:", "py:"))
    close_all()
    result = invoke("replay", str(gone), columns=400)
    assert result.exit_code == 4 and sentence(result).startswith("py:")
    plain = json.loads(saved[0].read_text())
    gone.write_text(json.dumps(plain | {"subject": "mine"}))
    result = invoke("replay", str(gone), columns=400)
    assert result.exit_code == 4
    assert sentence(result).startswith("mine: write py:MODULE:OBJECT or cmd:PROGRAM; installed")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("reference",), "reference is ours: `backproof run` verifies it."),
        (("nobody",), "nobody: write py:MODULE:OBJECT or cmd:PROGRAM; installed ones are"),
        (("py:no_such_module:x",), "there is no module no_such_module, neither in "),
        (("cmd:/no/such/program",), "does not start: No such file or directory."),
        (
            (relu("right"), "--operator", "tanh"),
            "--operator tanh: the subject does not declare it.",
        ),
        ((relu("right"), "--loss", "huber"), "--loss huber: the subject does not declare it."),
        ((relu("right"), "--dtype", "float32"), "--dtype float32: the subject declares float64."),
        ((relu("right"), "--architecture", "gpt"), "--architecture gpt: the operator"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_4(arguments: tuple[str, ...], words: str) -> None:
    result = invoke("check", *arguments, columns=400)
    assert result.exit_code == 4
    assert words in sentence(result)


def test_a_subject_that_no_network_is_for_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Odd:
        def describe(self) -> Any:
            return {"attributes": {"dense": {"units": [977]}}, "operators": ["dense", "tanh"]}

        def gradients(self, case: Case) -> Any:
            raise NotImplementedError

    monkeypatch.setattr("backproof.jobs.TRIES", 20)
    enter("py:odd", PythonSubject("py:odd", Odd))
    result = invoke("check", "py:odd", "--workers", "1", "--output", str(tmp_path), columns=400)
    assert result.exit_code == 4
    assert "none is of what the subject declares." in sentence(result)


# --- a mistake by hand -------------------------------------------------------------------


def net_of_the_documentation(*changes: tuple[str, str]) -> str:
    """The multilayer perceptron of docs/subjects.md with some of its code replaced."""
    page = (ROOT / "docs" / "subjects.md").read_text(encoding="utf-8")
    code = page.split("<!-- save as: my_net.py -->\n```python\n")[1].split("```")[0]
    for right, wrong in changes:
        assert code.count(right) == 1, right
        code = code.replace(right, wrong)
    return code


def save_net(folder: Path, monkeypatch: pytest.MonkeyPatch, *changes: tuple[str, str]) -> str:
    """It as a module of its own; the subject's name."""
    name = f"net_by_hand_{folder.name}"
    (folder / f"{name}.py").write_text(net_of_the_documentation(*changes), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return f"py:{name}:Net"


TWO_CHECKERS = ("--checker", "complex_step", "--checker", "torch")


def test_a_tanh_whose_square_was_forgotten_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = save_net(tmp_path, monkeypatch, ("(1 - edges[i + 1] ** 2)", "(1 - edges[i + 1])"))
    code, output = check(subject, tmp_path / "out", *TWO_CHECKERS, cases=3)
    assert code == 1
    said = " ".join(output.split())
    assert "the square in an activation's slope forgotten (1 - y for 1 - y^2 of a tanh)" in said
    assert "equals the reference with the square" in said and ", in every tanh" in said
    assert "no known fault" not in said


PENALTY = {
    "loss": """\
        for p in a.penalties:
            weights = (case.parameters[n] for n in found if n.endswith("weight"))
            loss += sum(p.strength / 2 * np.sum(w**2) for w in weights)
""",
    "gradients": """\
        for p in a.penalties:
            for n in found:
                if n.endswith("weight"):
                    found[n] = found[n] + p.strength * case.parameters[n]
""",
}


@pytest.mark.parametrize("penalised", [(), ("loss",), ("gradients",), ("loss", "gradients")])
def test_a_net_by_hand_that_ignores_a_penalty_is_told_the_penalty(
    penalised: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the loss, in the gradients, in both; and one that has it in both is right."""
    parts = "".join(PENALTY[part] for part in penalised)
    subject = save_net(
        tmp_path, monkeypatch,
        ('"penalties": []', '"penalties": ["l2"]'),
        ("        return loss, found", f"{parts}        return loss, found"),
    )  # fmt: skip
    a = Architecture((3, 4), (ops.Dense(3), ops.Tanh()), SquaredError("mean"), (L2(0.25),))
    case, options = draw_case(a, 1), Options(subject=subject, checkers=("complex_step", "torch"))
    verdict = judge(case, options)
    if len(penalised) == 2:
        assert verdict.status == "PASS", verdict.reason
        return
    assert (verdict.status, verdict.operator) == ("FAIL", "l2"), verdict.reason
    (cause,) = diagnose(case, subject_named(subject), verdict.tensor)
    assert cause.operator == "l2"
    where = {(): "in the loss and in the gradients", ("gradients",): "in the loss alone"}
    assert where.get(penalised, "no gradient of the penalty") in str(cause)


# --- smoke -------------------------------------------------------------------------------


def test_smoke_tells_each_step_of_a_program_that_is_right() -> None:
    result = invoke("smoke", relu("right"))
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines()] == [
        ["start", "ok"], ["declares", "ok"], ["network", "ok"], ["run", "ok"], ["holds", "ok"],
        ["verdict", "PASS"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "mode, code, words",
    [
        ("no hello", 4, "start    FAILED"),
        ("twice", 1, "verdict  FAIL    "),
        ("exit", 1, "verdict  FAIL    it ended with exit code 3"),
    ],
)
def test_smoke_ends_with_the_first_step_that_goes_wrong(mode: str, code: int, words: str) -> None:
    result = invoke("smoke", relu(mode))
    assert result.exit_code == code and words in result.output


# --- the example programs ----------------------------------------------------------------


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_program_in_c_is_verified(tmp_path: Path) -> None:
    program = tmp_path / "mlp"
    source = ROOT / "examples" / "runners" / "mlp.c"
    built = subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source), "-lm"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    code, output = check(f"cmd:'{program}'", tmp_path / "out", cases=12)
    assert code == 0, output


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")
def test_the_program_in_javascript_is_verified(tmp_path: Path) -> None:
    program = ROOT / "examples" / "runners" / "mlp.mjs"
    code, output = check(f"cmd:node '{program}'", tmp_path / "out", cases=12)
    assert code == 0, output


def test_the_program_in_python_with_numpy_is_verified(tmp_path: Path) -> None:
    program = ROOT / "examples" / "runners" / "mlp.py"
    code, output = check(f"cmd:'{sys.executable}' '{program}'", tmp_path / "out", cases=12)
    assert code == 0, output


def test_the_program_in_python_is_verified_over_the_whole_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours_as_theirs.py").write_text(
        "import backproof as bp\nfrom backproof.subjects.capabilities import Capabilities\n"
        "class Net:\n"
        "    def describe(self):\n"
        "        return Capabilities('ours', dtypes=('float64', 'float32'), gives=('edges',))\n"
        "    def gradients(self, case):\n        print('hello')\n"
        "        return bp.value_and_gradients(case)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program = f"cmd:'{sys.executable}' -m backproof.subjects.serve py:ours_as_theirs:Net"
    code, output = check(program, tmp_path / "out", cases=24)
    assert code == 0, output
