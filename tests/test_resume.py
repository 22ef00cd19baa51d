"""A run that was killed: what it leaves, and how it goes on; and two runs in one folder."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers_cli import QUICK, invoke, run_into, sentence, start

from backproof import campaign, foreign, resuming
from backproof.architectures.generation import Limits
from backproof.campaign import run
from backproof.errors import UsageProblem
from backproof.folders import holding
from backproof.jobs import Options
from backproof.locks import NAME
from backproof.reports import events
from backproof.reports.events import (
    AnyEvent,
    CaseFinished,
    FailureSaved,
    RunFinished,
    RunResumed,
    RunStarted,
    encode,
)
from backproof.subject_code import digest
from backproof.versions import SUBJECT, versions

SMALL = Options(cases=24, checkers=("complex_step",), limits=Limits(2, 3, 2), seed=2)
WRONG = replace(SMALL, subject="reference+relative_error_1e_4")


def events_of(options: Options, **arguments: Any) -> list[AnyEvent]:
    found: list[AnyEvent] = []
    run(options, found.append, **arguments)
    return found


def told(found: list[AnyEvent]) -> list[bytes]:
    """The events without times, and without word of an interruption."""
    return [
        encode(msgspec.structs.replace(
            e, at=0.0, **({"seconds": 0.0} if hasattr(e, "seconds") else {})
        ))
        for e in found if not isinstance(e, RunResumed)
    ]  # fmt: skip


def cases(found: list[AnyEvent]) -> list[int]:
    return [e.index for e in found if isinstance(e, CaseFinished)]


# --- by events ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> list[AnyEvent]:
    """A run with failures and a control that nobody interrupted."""
    found = events_of(WRONG)
    assert any(isinstance(e, FailureSaved) for e in found)
    return found


def test_wherever_it_was_cut_off_a_run_ends_as_if_it_had_not_been(whole: list[AnyEvent]) -> None:
    for length in (1, 2, 3, 4, 9, 15, len(whole) - 2, len(whole) - 1):
        kept = resuming.kept(whole[:length], WRONG)
        rest = events_of(WRONG, before=kept, spent=3.0)
        assert isinstance(rest[0], RunResumed)
        assert rest[0].kept == len(cases(kept)) >= len(cases(whole[:length])) - 2
        assert told([*kept, *rest]) == told(whole)
        assert isinstance(rest[-1], RunFinished) and rest[-1].seconds >= 3.0


def test_two_processes_go_on_as_one(whole: list[AnyEvent]) -> None:
    kept = resuming.kept(whole[:9], WRONG)
    rest = events_of(replace(WRONG, workers=2), before=kept)
    assert told([*kept, *rest]) == told(whole)


def test_the_network_at_hand_is_done_again_and_no_other(whole: list[AnyEvent]) -> None:
    for length in range(1, len(whole)):
        done = cases(whole[:length])
        kept = cases(resuming.kept(whole[:length], WRONG))
        assert kept == list(range((done[-1] // 2) * 2 if done else 0))


def test_time_between_two_sessions_does_not_count(whole: list[AnyEvent]) -> None:
    at = [msgspec.structs.replace(e, at=100.0 + i) for i, e in enumerate(whole[:5])]
    assert resuming.spent(at) == 4.0
    later = [RunResumed(at=9000.0, kept=2, seconds=4.0), *at[1:3]]
    later[1:] = [msgspec.structs.replace(e, at=9001.0 + i) for i, e in enumerate(later[1:])]
    assert resuming.spent([*at, *later]) == 6.0
    assert resuming.spent([]) == 0.0


def test_the_time_of_both_sessions_counts(
    whole: list[AnyEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(campaign, "monotonic", lambda: float(next(ticks)))
    kept = resuming.kept(whole[:9], WRONG)
    limited = replace(WRONG, max_time=100.0)
    assert len(cases(events_of(limited, before=kept, spent=98.0))) == 2
    assert cases(events_of(limited, before=kept, spent=200.0)) == []


# --- on disk -----------------------------------------------------------------------------

OF_24 = ("--cases", "24", "--max-depth", "2", "--seed", "3")


def log(folder: Path) -> list[AnyEvent]:
    return events.read(folder / "events.ndjson")


def cut(folder: Path, lines: int, torn: bytes = b"") -> None:
    """As a kill would leave it."""
    path = folder / "events.ndjson"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]) + torn)


def test_a_run_that_was_cut_off_goes_on_in_its_folder(tmp_path: Path) -> None:
    assert run_into(tmp_path / "whole", *OF_24).exit_code == 0
    assert run_into(tmp_path / "cut", *OF_24).exit_code == 0
    cut(tmp_path / "cut", 10, b'{"event":"case_fin')
    reported = invoke("report", str(tmp_path / "cut" / "events.ndjson"))
    assert reported.exit_code == 2
    assert reported.stdout.startswith("INTERRUPTED  Cut off after 9 cases, none of which failed.")
    result = run_into(tmp_path / "cut", *OF_24, "--resume")
    assert result.exit_code == 0
    assert result.stdout.startswith("VERIFIED  24 of 24 cases passed")
    assert told(log(tmp_path / "cut")) == told(log(tmp_path / "whole"))
    assert sum(isinstance(e, RunResumed) for e in log(tmp_path / "cut")) == 1
    assert not (tmp_path / "cut" / NAME).exists()


def test_with_nothing_to_go_on_with_a_run_begins(tmp_path: Path) -> None:
    result = run_into(tmp_path, "--cases", "2", "--resume")
    assert result.exit_code == 0
    assert not any(isinstance(e, RunResumed) for e in log(tmp_path))


def test_a_failure_before_the_interruption_still_fails(tmp_path: Path) -> None:
    wrong = (*OF_24, "--lane", "generic", "--plant", "relative_error_1e_2")
    first = run_into(tmp_path, *wrong)
    assert first.exit_code == 1
    cut(tmp_path, 12)
    result = run_into(tmp_path, *wrong, "--resume")
    assert result.exit_code == 1
    assert result.stdout.startswith("WRONG GRADIENT  ")
    assert result.stdout.splitlines()[0] == first.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--seed", "4"), "had seed 3, and this one has 4."),
        (("--lane", "tie"), 'had lanes [], and this one has ["tie"].'),
        (("--plant", "upstream_dropped"), 'had subject "reference", and this one has "reference+u'),
        (("--cases", "26"), "had cases 24, and this one has 26."),
    ],
)
def test_a_run_does_not_go_on_as_another(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    run_into(tmp_path, "--cases", "24", "--max-depth", "2", "--seed", "3", "--max-time", "1s")
    cut(tmp_path, 2)
    before = (tmp_path / "events.ndjson").read_bytes()
    result = run_into(tmp_path, *OF_24, "--max-time", "1s", *arguments, "--resume", columns=400)
    assert result.exit_code == 4
    assert sentence(result).startswith(f"--resume: the run in {tmp_path} {words}")
    assert (tmp_path / "events.ndjson").read_bytes() == before


def test_with_other_libraries_a_run_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_into(tmp_path, "--cases", "4")
    cut(tmp_path, 3)
    other = {**versions(), "numpy": "1.0", "platform": "elsewhere"}
    monkeypatch.setattr(campaign, "versions", lambda: other)
    result = run_into(tmp_path, "--cases", "4", "--resume")
    assert result.exit_code == 0
    assert (
        f"--resume: the run in {tmp_path} is outdated: numpy was {versions()['numpy']} and is 1.0; "
        "it is begun anew.\n"
    ) in result.stderr
    assert not any(isinstance(e, RunResumed) for e in log(tmp_path))
    cut(tmp_path, 3)
    other["platform"] = "here"
    assert run_into(tmp_path, "--cases", "4", "--resume").stderr.count("anew") == 0
    assert any(isinstance(e, RunResumed) for e in log(tmp_path))


def test_a_run_that_has_ended_is_begun_anew(tmp_path: Path) -> None:
    """The code may have changed since, and its old verdict would be shown for it."""
    run_into(tmp_path, "--cases", "2", "--seed", "4")
    result = run_into(tmp_path, "--cases", "2", "--resume")
    assert result.exit_code == 0
    assert f"--resume: the run in {tmp_path} has ended; it is begun anew.\n" in result.stderr
    (start, *_), end = log(tmp_path), log(tmp_path)[-1]
    assert isinstance(start, RunStarted) and start.seed == 0 and isinstance(end, RunFinished)


NET = """
import backproof as bp

class Net:
    def describe(self):
        return {"operators": ["dense", "tanh"], "losses": ["squared_error"], "penalties": [],
                "dtypes": ["float64"], "graphs": False}

    def gradients(self, case):
        loss, found = bp.value_and_gradients(case)
        return loss, {name: SCALE * value for name, value in found.items()}
"""


def test_what_other_code_passed_is_not_taken_for_this_code_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the change is in a file that the subject imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("changing_net.py").write_text("from changing_scale import SCALE\n" + NET)
    Path("changing_scale.py").write_text("SCALE = 1\n")
    arguments = ("check", "py:changing_net:Net", *QUICK, "--cases", "6", "--output", "out")
    try:
        assert invoke(*arguments).exit_code == 0
        cut(Path("out"), 5)
        assert "anew" not in invoke(*arguments, "--resume").stderr
        cut(Path("out"), 5)
        Path("changing_scale.py").write_text("SCALE = 1.5\n")
        forget_subjects("changing_net", "changing_scale")
        result = invoke(*arguments, "--resume")
        assert result.exit_code == 1
        assert f"is outdated: {SUBJECT} was " in result.stderr
    finally:
        forget_subjects("changing_net", "changing_scale")


def forget_subjects(*modules: str) -> None:
    """As another process would find them."""
    foreign.close_all()
    for name in modules:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def test_a_program_is_told_apart_by_its_file_and_ours_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parent / "programs" / "relu.py").read_text()
    Path("relu.py").write_text(text)
    command = f"cmd:{sys.executable} relu.py right"
    first = digest(command)
    assert re.fullmatch("[0-9a-f]{12}", first) and digest(command) == first
    Path("relu.py").write_text(text + "\n# changed\n")
    assert digest(command) != first
    foreign.close_all()
    assert digest("reference") == "" == digest("reference+upstream_dropped")
    assert digest("py:there_is_no_such_module:Net") == ""


def test_events_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text("mine\nand yours\n")
    result = run_into(tmp_path, "--cases", "2", "--resume", columns=400)
    assert result.exit_code == 4
    assert sentence(result).startswith(f"--resume: {tmp_path}/events.ndjson, line 1: ")
    run_into(tmp_path, "--cases", "2")
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:2]))
    result = run_into(tmp_path, "--cases", "2", "--resume", columns=400)
    assert sentence(result).endswith("do not begin with a run.")


def test_a_check_goes_on_with_its_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resumed_net.py").write_text(
        "import backproof as bp\n"
        "class Net:\n"
        "    def describe(self):\n"
        "        return {'operators': ['dense', 'tanh'], 'losses': ['squared_error'],\n"
        "                'attributes': {'dense': {'bias': [True]}}}\n"
        "    def gradients(self, case):\n        return bp.value_and_gradients(case)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    out = tmp_path / "out"
    arguments = ("check", "py:resumed_net:Net", *QUICK, "--cases", "6", "--output", str(out))
    assert invoke(*arguments).exit_code == 0
    whole = log(out)
    cut(out, 4)
    assert invoke(*arguments, "--resume").exit_code == 0
    assert told(log(out)) == told(whole)


# --- killed ------------------------------------------------------------------------------


def killed(folder: Path, lines: int, *arguments: str) -> None:
    """Start a run, and kill it as soon as its events have so many lines."""
    process = start("run", *QUICK, *arguments, "--output", str(folder))
    path = folder / "events.ndjson"
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < lines):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_killed_at_any_moment_what_was_verified_is_reportable_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    arguments: tuple[str, ...] = ("--cases", "200", "--max-depth", "2")
    for lines in (1, 7, 30):
        if lines > 1:  # it goes on from where the last kill left it
            arguments = (*arguments[:4], "--resume")
        killed(tmp_path, lines, *arguments)
        done = len(cases(log(tmp_path)))
        written = (tmp_path / "events.ndjson").read_bytes().split(b"\n")[:-1]
        assert done == sum(b'"event":"case_finished"' in line for line in written) > lines // 2 - 1
        reported = invoke("report", str(tmp_path / "events.ndjson"))
        assert reported.exit_code == 2
        assert f"Cut off after {done} case" in reported.stdout
        assert (tmp_path / NAME).exists()  # and holds nobody up
    result = run_into(tmp_path, "--cases", "200", "--max-depth", "2", "--resume")
    assert result.exit_code == 0
    assert cases(log(tmp_path)) == list(range(200))


# --- two runs ----------------------------------------------------------------------------


def test_a_second_run_is_kept_out_of_the_folder_of_the_first(tmp_path: Path) -> None:
    process = start("run", *QUICK, "--cases", "1000000", "--output", str(tmp_path))
    path = tmp_path / "events.ndjson"
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 2):
        time.sleep(0.01)
    for resume in ((), ("--resume",)):
        result = run_into(tmp_path, "--cases", "2", *resume, columns=400)
        assert result.exit_code == 4
        assert sentence(result) == (
            f"--output {tmp_path}: the run of process {process.pid} writes there; "
            "give this one a folder of its own."
        )
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 2
    found = log(tmp_path)
    assert [type(e) for e in found].count(RunStarted) == 1
    assert isinstance(found[-1], RunFinished)
    assert run_into(tmp_path, "--cases", "2").exit_code == 0


def test_a_lock_that_a_killed_run_left_behind_is_stale(tmp_path: Path) -> None:
    """Even where another process has its number by now: this one."""
    (tmp_path / NAME).write_text(f"{os.getpid()}\n")
    assert run_into(tmp_path, "--cases", "2").exit_code == 0
    assert not (tmp_path / NAME).exists()


def test_a_lock_that_was_taken_away_while_we_waited_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    right, calls = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        right(descriptor, how)
        calls.append(how)
        if len(calls) == 1:  # its holder goes away between our opening and our locking
            (tmp_path / NAME).unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    with holding(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n"
        words = f"the run of process {os.getpid()} writes there"
        with pytest.raises(UsageProblem, match=words), holding(tmp_path):
            pass
    assert not (tmp_path / NAME).exists()


def test_the_processes_of_a_run_do_not_keep_its_lock(tmp_path: Path) -> None:
    """A descriptor that a child inherits would hold the folder as long as that child lives."""
    with holding(tmp_path):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with holding(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()
