"""The command line: what it does, what it refuses, and how it ends."""

from __future__ import annotations

import errno
import importlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers_cli import (
    PROGRAM,
    QUICK,
    environment,
    invoke,
    on_a_terminal,
    run_into,
    sentence,
    start,
)
from helpers_networks import SMALL, network

from backproof import campaign, cli, errors
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.files import dumps, schema
from backproof.checkers.verdict import Verdict
from backproof.commands import replay as replay_command
from backproof.commands.options import Duration
from backproof.folders import prepare_folder
from backproof.interruption import Interruption
from backproof.planting import BY_NAME
from backproof.reports import events
from backproof.reports.events import AnyEvent, CaseFinished, RunFinished, RunStarted
from backproof.reports.write import EventWriter

REPORTS = {"events.ndjson", "junit.xml", "report.html", "report.json", "report.md", "badge.json",
           "badge.svg"}  # fmt: skip
WRONG = ("--plant", "relative_error_1e_2", "--lane", "generic")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def cases(folder: Path) -> list[CaseFinished]:
    return [e for e in events.read(folder / "events.ndjson") if isinstance(e, CaseFinished)]


def networks(folder: Path) -> list[Any]:
    return [e.architecture for e in cases(folder)]


# --- run ---------------------------------------------------------------------------------


def test_a_run_verifies_and_writes_its_reports(tmp_path: Path) -> None:
    result = run_into(tmp_path / "new" / "folder", "--cases", "12")
    assert result.exit_code == 0
    assert result.stdout.startswith("VERIFIED  12 of 12 cases passed; relative errors above ")
    assert "1 of 1 planted fault caught" in result.stdout
    assert f"reports in {tmp_path / 'new' / 'folder'}" in result.stdout
    assert result.stderr == ""
    assert files(tmp_path / "new" / "folder") == REPORTS


def test_piped_output_is_plain_text(tmp_path: Path) -> None:
    output = run_into(tmp_path, "--cases", "4", *WRONG).output
    assert "\x1b" not in output
    assert not re.search(r"\[/?(bold|red|green|dim)", output)


def test_quiet_is_one_line(tmp_path: Path) -> None:
    result = run_into(tmp_path, "--cases", "2", "--quiet")
    assert result.output.count("\n") == 1
    assert result.output.startswith("2 of 2 cases passed")
    assert files(tmp_path) == REPORTS


def narrow(found: Any) -> bool:
    """Whether every layer has one unit."""
    return all(getattr(x, "units", 1) == 1 for e in found for x in e.architecture.layers)


@pytest.mark.parametrize("columns", [60, 120])
def test_on_a_terminal_no_line_is_wider_than_it(columns: int, tmp_path: Path) -> None:
    code, shown = on_a_terminal(
        "run", *QUICK, "--cases", "24", "--output", str(tmp_path / "out"), columns=columns
    )
    assert code == 0
    assert "24/24 cases" in shown or re.search(r"\d+/24 cases", shown)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").split("\n")]
    assert any(line.startswith("VERIFIED") for line in lines)
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (["--cases", "3"], lambda found: len(found) == 3),
        (["--dtype", "float32"], lambda found: {e.dtype for e in found} == {"float32"}),
        (["--lane", "tie"], lambda found: {e.lane for e in found} == {"tie"}),
        (["--lane", "tie,extreme"], lambda found: {e.lane for e in found} == {"tie", "extreme"}),
        (["--max-width", "1"], narrow),
        (["--max-batch", "1"], lambda found: {e.architecture.batch for e in found} == {1}),
        (["--max-depth", "1"], lambda found: max(len(e.architecture.layers) for e in found) <= 4),
        (["--loss", "hinge"], lambda found: {e.architecture.loss.name for e in found} == {"hinge"}),
        (["--activation", "elu", "--activation", "glu"],
         lambda found: {"elu", "glu"} & {o for e in found for o in e.architecture.operators}),
        (["--checker", "finite_differences"],
         lambda found: {c.checker for e in found for c in e.verdict.checkers}
         == {"complex_step", "finite_differences"}),
    ],
)  # fmt: skip
def test_each_option_does_what_it_says(
    arguments: list[str], holds: Callable[[list[CaseFinished]], bool], tmp_path: Path
) -> None:
    result = run_into(tmp_path, "--cases", "8", "--quiet", *arguments)
    assert result.exit_code in (0, 5)
    assert holds(cases(tmp_path))


def test_the_seed_decides_and_exhaustive_asks_for_every_entry(tmp_path: Path) -> None:
    for name, arguments in {
        "a": ("--seed", "1"), "b": ("--seed", "1", "--exhaustive"), "c": ("--seed", "2"),
    }.items():  # fmt: skip
        assert run_into(tmp_path / name, "--cases", "4", *arguments).exit_code == 0
    assert networks(tmp_path / "a") == networks(tmp_path / "b") != networks(tmp_path / "c")
    start, *_ = events.read(tmp_path / "b" / "events.ndjson")
    assert isinstance(start, RunStarted)
    assert start.options["exhaustive"] is True


def test_a_given_network_is_the_one_that_is_verified(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(dumps(SMALL))
    result = run_into(tmp_path / "out", "--architecture", str(tmp_path / "net.json"))
    assert result.exit_code == 0
    assert networks(tmp_path / "out") == [SMALL] * 40


def test_the_first_failure_ends_a_run_that_fails_fast(tmp_path: Path) -> None:
    result = run_into(tmp_path, "--cases", "50", "--fail-fast", *WRONG)
    assert result.exit_code == 1
    assert len(cases(tmp_path)) == 2


def test_the_command_is_on_record_without_what_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["run", "--workers", "3", "--seed", "1", "--output=x", "--quiet", "--output", "a b"]
    monkeypatch.setattr(sys, "argv", ["backproof", *typed, "--lane", "a b"])
    run_into(tmp_path, "--cases", "2")
    first, *_ = events.read(tmp_path / "events.ndjson")
    assert isinstance(first, RunStarted)
    assert first.command == "backproof run --seed 1 --lane 'a b'"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5s", 1.5), ("2m", 120), ("1h", 3600)]
)
def test_a_duration_is_in_seconds_minutes_or_hours(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds
    assert Duration().convert(float(seconds), None, None) == seconds


def test_the_help_says_how_many_processes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert [campaign.default_workers(n) for n in (1, 40, 41, 0)] == [1, 1, 8, 8]
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert campaign.default_workers(800) == 3
    said = invoke("run", "--help").output
    assert "[default: one up to 40 cases, else one for each core, up to eight]" in said


@pytest.mark.parametrize("names", ["dense", "dense,tanh", "embedding,tanh"])
def test_the_exact_lane_takes_what_of_the_operators_is_exact(names: str, tmp_path: Path) -> None:
    result = run_into(tmp_path, "--cases", "4", "--lane", "exact", "--dtype", "float64",
                      "--operator", names)  # fmt: skip
    assert result.exit_code == 0
    assert {e.lane for e in cases(tmp_path)} == {"exact"}


def test_a_time_limit_alone_sets_no_number_of_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(campaign, "monotonic", lambda: float(next(ticks)))
    result = run_into(tmp_path, "--max-time", "5s")
    assert result.exit_code == 0
    assert len(cases(tmp_path)) == 8  # four networks, in both dtypes


# --- the exit code -----------------------------------------------------------------------


def test_1_a_gradient_is_wrong(tmp_path: Path) -> None:
    result = run_into(tmp_path, "--cases", "2", *WRONG)
    assert result.exit_code == 1
    assert result.stdout.startswith("WRONG GRADIENT  2 of 2 cases have a wrong gradient; first ")


def test_3_a_planted_fault_goes_unnoticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.controls.verify", lambda *a, **k: Verdict("PASS"))
    result = run_into(tmp_path, "--cases", "12")
    assert result.exit_code == 3
    assert "1 of 1 planted fault went unnoticed" in result.stdout


def test_5_nothing_was_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.judging.verify", lambda *a, **k: Verdict("INCONCLUSIVE", "fog"))
    result = run_into(tmp_path, "--cases", "2")
    assert result.exit_code == 5
    assert "NOTHING VERIFIED" in result.stdout


def test_5_less_was_decided_than_demanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter([Verdict("PASS"), *[Verdict("INCONCLUSIVE", "fog")] * 9])
    monkeypatch.setattr("backproof.judging.verify", lambda *a, **k: next(verdicts))
    assert run_into(tmp_path, "--cases", "2", "--max-inconclusive", "0.2").exit_code == 5


def test_3_what_was_not_foreseen_is_an_error_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("backproof.architectures.files.schema", broken)
    monkeypatch.setattr(sys, "argv", ["backproof", "schema"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "ZeroDivisionError: by zero" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interruption_is_noted_and_the_second_is_raised(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption.asked()
        signal.raise_signal(number)
        assert interruption.asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_2_an_interruption_before_a_command_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    result = invoke("schema")
    assert (result.exit_code, result.output) == (2, "Interrupted.\n")


# --- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--cases 0", "Invalid value for '--cases': 0 is not in the range x>=1."),
        ("--cases many", "Invalid value for '--cases': 'many' is not a valid integer range."),
        ("--cases 2.5", "Invalid value for '--cases': '2.5' is not a valid integer range."),
        ("--max-time soon", "Invalid value for '--max-time': 'soon' is not a duration such as 90s"),
        ("--max-time 0s", "Invalid value for '--max-time': '0s' is not a duration such as 90s, 2m"),
        ("--max-time -1", "Invalid value for '--max-time': '-1' is not a duration such as 90s, 2m"),
        ("--seed -1", "Invalid value for '--seed': -1 is not in the range 0<=x<=2147483647."),
        ("--activation swoosh", "--activation must be one of identity, sigmoid, tanh, relu, "),
        ("--activation relu,", "--activation must be one of identity, sigmoid, tanh, relu, "),
        ("--loss mse", "--loss must be one of weighted_sum, squared_error, absolute_error, hub"),
        ("--lane fast", "--lane must be one of generic, exact, tie, extreme, got 'fast'."),
        ("--dtype float16", "--dtype must be one of float64, float32, got 'float16'."),
        ("--checker me", "--checker must be one of finite_differences, complex_step, jax, torch,"),
        ("--plant gremlins", "--plant: no fault 'gremlins'; there are 195 others (docs/"),
        ("--plant bias_zero", "--plant: no fault 'bias_zero'; perhaps bias_gradient_zero or "),
        ("--max-depth 0", "Invalid value for '--max-depth': 0 is not in the range 1<=x<=64."),
        ("--max-width 1025", "Invalid value for '--max-width': 1025 is not in the range 1<=x<=102"),
        ("--max-batch 0", "Invalid value for '--max-batch': 0 is not in the range 1<=x<=1024."),
        ("--workers 0", "Invalid value for '--workers': 0 is not in the range 1<=x<=256."),
        ("--max-inconclusive 2", "Invalid value for '--max-inconclusive': 2.0 is not in the range"),
        ("--max-inconclusive nan", "Invalid value for '--max-inconclusive': nan is not a number."),
        ("--frobnicate", "No such option '--frobnicate'."),
        ("extra", "Got unexpected extra argument (extra)"),
        ("--architecture", "Option '--architecture' requires an argument."),
        ("--lane exact --activation tanh", "The exact lane takes the activations affine, hard_shr"),
        ("--lane exact --loss cosine", "The exact lane takes the losses absolute_error, squared_e"),
        ("--activation glu --max-width 1", "glu and swiglu halve the features, so max_width must"),
        ("--lane exact --operator tanh,variable", "The exact lane takes the operators add, affine"),
        ("--operator glu --max-width 1", "glu and swiglu halve the features, so max_width must be"),
        ("--operator variable", "operators must name more than variable, which is drawn only as "),
        ("--architecture NET --loss huber", "--architecture is one network; --loss does not fit."),
        ("--architecture mlp --max-depth 4", "--architecture is one network; --max-depth does no"),
        ("--architecture NET --max-batch 2 --max-width 2 --operator tanh",
         "--architecture is one network; --max-width and --max-batch and --operator do not fit."),
        ("--scale 4", "--scale is for a named architecture: mlp, lenet5, "),
        ("--scale 1 --architecture NET", "--scale is for a named architecture: mlp, lenet5, "),
        ("--architecture NET --lane exact", "This network is not exact in float64 or float32."),
        ("--architecture absent.json", "absent.json: No such file or directory."),
        ("--architecture /", "/: Is a directory."),
        ("--architecture /dev/zero", "/dev/zero is too large (at most 4,000,000 bytes)."),
        ("--architecture /dev/null", "/dev/null is empty."),
    ],
)  # fmt: skip
def test_4_bad_input_is_one_sentence(arguments: str, words: str, tmp_path: Path) -> None:
    net = tmp_path / "net.json"
    net.write_text(dumps(SMALL))
    folder = tmp_path / "out"
    words_typed = arguments.replace("NET", str(net)).split()
    result = invoke("run", "--output", str(folder), *words_typed, columns=3000)
    assert result.exit_code == 4
    assert sentence(result).startswith(words)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("replay absent.json", "absent.json: No such file or directory."),
        ("replay /", "/: Is a directory."),
        ("replay NET", "NET: Object contains unknown field `layers`."),
        ("replay", "Missing argument 'FILE'."),
        ("replay a b", "Got unexpected extra argument (b)"),
        ("report absent.ndjson", "absent.ndjson: No such file or directory."),
        ("report /", "/events.ndjson: No such file or directory."),
        ("report NET --against /", "NET, line 1: "),
        ("report --against", "Option '--against' requires an argument."),
        ("report NET", "NET, line 1: "),
        ("report --quiet", "No such option '--quiet'."),
        ("schema x", "Got unexpected extra argument (x)"),
        (
            "frobnicate",
            "No command 'frobnicate'; there are run, check, gate, baseline, smoke, replay, report, "
            "ops, explain, train, vectors, selftest, config, doctor, schema.",
        ),
        ("--frobnicate", "No such option '--frobnicate'."),
    ],
)
def test_4_every_command_refuses_in_one_sentence(
    arguments: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "NET").write_text(dumps(SMALL))
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments.split(), columns=1000)
    assert result.exit_code == 4
    assert sentence(result).startswith(words.rstrip())


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/backproof"])
def test_4_a_folder_that_cannot_be_made_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / name
    result = run_into(folder, "--cases", "2")
    assert result.exit_code == 4
    assert sentence(result).startswith(f"--output {folder}: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_4_no_command_at_all_shows_what_there_is() -> None:
    result = invoke()
    assert result.exit_code == 4
    assert "Usage: backproof" in result.stderr
    assert result.stdout == ""


# --- help --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [None, *cli.COMMANDS])
def test_help_fits_60_columns_and_breaks_no_word(command: str | None) -> None:
    result = invoke(*([command] if command else []), "--help", columns=60)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 60
    if command is None:
        assert all(name in result.output for name in cli.COMMANDS)
    if command == "run":
        for word in ("finite_differences", "--max-inconclusive", "2147483647", "reports/out"):
            assert word in result.output


def test_every_option_has_a_line_of_help() -> None:
    for name, entry in cli.COMMANDS.items():
        module = importlib.import_module(f"backproof.commands.{entry.module}")
        command = getattr(module, entry.attribute)
        assert command.help, name
        assert all(p.help for p in command.params if p.param_type_name == "option"), name


def test_the_version_is_ours() -> None:
    assert invoke("--version").output.startswith("backproof, version ")


# --- folders -----------------------------------------------------------------------------


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    assert run_into(tmp_path, "--cases", "2", *WRONG).exit_code == 1
    assert len([name for name in files(tmp_path) if name.startswith("failures/")]) == 6
    assert run_into(tmp_path, "--cases", "4").exit_code == 0
    assert files(tmp_path) == REPORTS
    assert not (tmp_path / "failures").exists()
    assert len(cases(tmp_path)) == 4
    assert "WRONG" not in (tmp_path / "report.html").read_text()


def test_nothing_of_anybody_else_s_is_deleted(tmp_path: Path) -> None:
    assert run_into(tmp_path, "--cases", "2", *WRONG).exit_code == 1
    others = {"notes.txt", "failures/case-study.md", "failures/case-1-generic-float64.json",
              "failures/case-00001-generic-float64.json.orig", "report.json.bak"}  # fmt: skip
    for name in others:
        (tmp_path / name).write_text("mine")
    assert run_into(tmp_path, "--cases", "2").exit_code == 0
    assert files(tmp_path) == REPORTS | others


def test_a_folder_that_was_no_run_s_keeps_its_files_until_reports_replace_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / "case-00001-generic-float64.json").write_text("mine")
    prepare_folder(tmp_path)
    assert files(tmp_path) == {"events.ndjson", "failures/case-00001-generic-float64.json"}


def test_a_run_that_breaks_leaves_no_report_of_an_earlier_one(tmp_path: Path) -> None:
    assert run_into(tmp_path, "--cases", "2").exit_code == 0
    prepare_folder(tmp_path)
    assert files(tmp_path) == {"events.ndjson"}


# --- disks that are full, readers that leave -----------------------------------------------


def no_space(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("code", [1, 3])
def test_a_full_disk_costs_the_files_and_not_the_verdict(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventWriter, "write", no_space)
    close = EventWriter.close

    def close_late(writer: EventWriter) -> None:
        close(writer)
        no_space()

    monkeypatch.setattr(EventWriter, "close", close_late)
    monkeypatch.setattr("backproof.commands.session.write", no_space)
    monkeypatch.setattr("backproof.commands.session.write_all", no_space)
    result = run_into(tmp_path, "--cases", "2", *(WRONG if code == 1 else ()))
    assert result.exit_code == code
    assert result.stdout.startswith("WRONG" if code == 1 else "VERIFIED  2 of 2 cases passed")
    problems = result.stderr.splitlines()
    assert problems[0] == f"{tmp_path}/events.ndjson cannot be written: No space left on device"
    assert problems[-1] == f"the reports in {tmp_path} cannot be written: No space left on device"
    assert len(problems) == (8 if code == 1 else 2)  # each file once


def without_coverage() -> dict[str, str]:
    """Its own file would be too large as well."""
    return {k: v for k, v in environment().items() if not k.startswith("COVERAGE")}


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The kernel allows no file of more than 3,000 bytes."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from backproof.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", *QUICK, "--cases", "8", "--output", str(tmp_path)],
        capture_output=True, text=True, env=without_coverage(), check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout.startswith("VERIFIED  8 of 8 cases passed")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines() == [
        f"{tmp_path}/events.ndjson cannot be written: File too large",
        f"the reports in {tmp_path} cannot be written: File too large",
    ]
    assert files(tmp_path) == {"events.ndjson"}


def test_stdout_that_is_full_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "run", *QUICK, "--cases", "2", "--output", str(tmp_path)],
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "stdout cannot be written: No space left on device\n"


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_reader_that_leaves_changes_no_exit_code(quiet: tuple[str, ...], tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*PROGRAM, "run", *QUICK, "--cases", "2", "--output", str(tmp_path), *quiet],
        stdout=theirs, stderr=subprocess.PIPE, text=True, env=environment(), check=False,
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(1)])
def test_showing_the_outcome_to_nobody_keeps_the_code(error: BaseException) -> None:
    def leave() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "_silence", lambda: None)
        assert errors.show(leave, 5) == 5


def test_failing_to_show_is_an_error_unless_there_is_worse(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "_silence", lambda: None)
        assert [errors.show(no_space, code) for code in (0, 1, 5)] == [3, 1, 5]
    assert "stdout cannot be written: No space left on device" in capsys.readouterr().err


# --- Ctrl-C ------------------------------------------------------------------------------


def alive(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    "workers, number", [("1", signal.SIGINT), ("2", signal.SIGINT), ("2", signal.SIGTERM)]
)
def test_2_an_interruption_ends_a_run_in_order_and_leaves_no_process(
    workers: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Sent to all of its processes, as a terminal does it, and a job that is cancelled."""
    log = tmp_path / "events.ndjson"
    process = start("run", "--checker", "complex_step", "--workers", workers,
                    "--cases", "1000000", "--output", str(tmp_path))  # fmt: skip
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < 4):
        time.sleep(0.02)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stdout.startswith("INTERRUPTED  Interrupted after ")
    assert stderr == ""
    assert files(tmp_path) == REPORTS
    last = events.read(log)[-1]
    assert isinstance(last, RunFinished)
    assert last.interrupted
    for _ in range(250):
        if not alive(process.pid):
            break
        time.sleep(0.02)
    assert not alive(process.pid)


# --- a failure, from its run to its end ----------------------------------------------------


def test_a_failure_is_saved_replayed_and_shown_by_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_into(Path("out"), "--cases", "1", "--plant", "upstream_dropped",
                      "--activation", "tanh")  # fmt: skip
    assert result.exit_code == 1
    command = re.search(r"replay +(backproof replay \S+)", result.stdout)
    assert command
    again = invoke(*command[1].split()[1:])
    assert again.exit_code == 1
    assert "case-00000-generic-float64 still fails." in again.stdout
    assert "reference+upstream_dropped; generic lane, float64, seed 0" in again.stdout
    assert "complex_step on " in again.stdout
    for output in (result.stdout, again.stdout):
        named = re.search(r"cause +equals the reference with (.*), in tanh at layers", output)
        assert named and named[1] == BY_NAME["upstream_dropped"].summary
    script = "out/failures/case-00000-generic-float64.py"
    done = subprocess.run(
        [sys.executable, "-I", script], capture_output=True, text=True, check=True
    )
    assert "gradient by the subject, by central differences" in done.stdout

    path = Path("out/failures/case-00000-generic-float64.json")
    mended = {**json.loads(path.read_text()), "subject": "reference"}
    path.write_text(json.dumps(mended))
    now = invoke("replay", str(path))
    assert now.exit_code == 0
    assert "case-00000-generic-float64 passes now: the failure is gone." in now.stdout
    assert now.stdout.count("cause  ") == 1  # the file's: nothing is wrong now


def test_a_replay_names_the_cause_where_the_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_into(tmp_path, "--cases", "1", *WRONG).exit_code == 1
    path = next(tmp_path.glob("failures/*.json"))
    saved = json.loads(path.read_text())
    assert saved["cause"].startswith("equals the reference with a constant relative error of 1e-2")
    del saved["cause"]
    path.write_text(json.dumps(saved))
    result = invoke("replay", str(path), columns=400)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("cause")]
    assert line.startswith("cause     equals the reference with a constant relative error of 1e-2")


def test_a_replay_asks_what_the_run_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a failure that only some checker sees, or only entry by entry, would pass now."""
    assert run_into(tmp_path, "--cases", "1", "--exhaustive", *WRONG).exit_code == 1
    asked: list[Any] = []

    def judge(case: Any, options: Any) -> Verdict:
        asked.append((options.subject, options.checkers, options.exhaustive))
        return Verdict("FAIL", "wrong")

    monkeypatch.setattr(replay_command, "judge", judge)
    assert invoke("replay", str(next(tmp_path.glob("failures/*.json")))).exit_code == 1
    assert asked == [("reference+relative_error_1e_2", ("complex_step",), True)]


@pytest.mark.parametrize(
    ("verdict", "code", "words"),
    [
        (Verdict("ERROR", "broken"), 3, "ends in an error of the harness."),
        (Verdict("INCONCLUSIVE", "fog"), 5, "is inconclusive now."),
    ],
)
def test_a_replay_may_end_otherwise(
    verdict: Verdict, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_into(tmp_path, "--cases", "1", *WRONG).exit_code == 1
    monkeypatch.setattr(replay_command, "judge", lambda case, options: verdict)
    result = invoke("replay", str(next(tmp_path.glob("failures/*.json"))))
    assert result.exit_code == code
    assert words in result.stdout
    assert f"now       {verdict.status}: {verdict.reason}" in result.stdout


# --- report and schema -------------------------------------------------------------------


def test_reports_are_made_again_from_the_events_with_the_run_s_exit_code(tmp_path: Path) -> None:
    for arguments, code in (((), 0), (WRONG, 1)):
        run = run_into(tmp_path, "--cases", "2", *arguments)
        before = {name: (tmp_path / name).read_bytes() for name in REPORTS}
        for name in REPORTS - {"events.ndjson"}:
            (tmp_path / name).unlink()
        result = invoke("report", str(tmp_path / "events.ndjson"))
        assert invoke("report", str(tmp_path)).stdout == result.stdout
        assert (run.exit_code, result.exit_code) == (code, code)
        assert result.stdout == run.stdout
        assert {name: (tmp_path / name).read_bytes() for name in REPORTS} == before


def test_reports_may_go_elsewhere_and_a_run_cut_off_is_interrupted(tmp_path: Path) -> None:
    run_into(tmp_path, "--cases", "2")
    log = tmp_path / "events.ndjson"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    result = invoke("report", str(log), "--output", str(tmp_path / "else"))
    assert result.exit_code == 2
    assert files(tmp_path / "else") == REPORTS - {"events.ndjson"}


def test_a_run_is_held_against_an_older_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert run_into(old, "--cases", "2", "--lane", "generic").exit_code == 0
    assert run_into(new, "--cases", "2", *WRONG).exit_code == 1
    result = invoke("report", str(new), "--against", str(old))
    assert result.exit_code == 1
    assert result.stdout.startswith("NEWLY FAILING  2 cases newly fail; first ")
    assert f"against {old}: 2 cases in both, 0 only there, 0 only here" in result.stdout
    assert (new / "report.md").read_text().startswith("## Backproof: NEWLY FAILING\n")
    known = invoke("report", str(new), "--against", str(new))
    assert known.exit_code == 5, "nothing passed"
    assert invoke("report", str(old), "--against", str(new)).stdout.startswith("NOTHING NEWLY FAIL")
    assert invoke("report", str(old), "--against", str(old)).exit_code == 0


def test_a_report_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    run_into(tmp_path, "--cases", "2")
    result = invoke("report", str(tmp_path / "events.ndjson"), "--output", "/proc/x")
    assert result.exit_code == 4
    assert sentence(result).startswith("--output /proc/x: ")


def test_the_schema_is_printed() -> None:
    result = invoke("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(schema()))
    result = invoke("schema", "--report")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "A report of Backproof"


# --- imports -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "import backproof",
        "from backproof import Architecture, Dense, Tanh, SquaredError, draw_case",
        "import sys; sys.argv = ['backproof', '--help']\n"
        "from backproof.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code",
    ],
    ids=["import", "names", "help"],
)
def test_what_is_heavy_is_imported_only_when_it_is_used(program: str) -> None:
    heavy = ("jax", "torch", "matplotlib", "scipy", "hypothesis", "loky", "optax")
    ask = f"{program}\nimport sys\nprint([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_backproof_is_the_command() -> None:
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("python -m backproof, version ")


def test_events_have_no_names_that_the_listener_could_not_read(tmp_path: Path) -> None:
    run_into(tmp_path, "--cases", "2", *WRONG)
    for line in (tmp_path / "events.ndjson").read_bytes().splitlines():
        msgspec.json.decode(line, type=AnyEvent, strict=False)


def test_a_network_of_one_kind_may_be_exact(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(
        dumps(network(ops.Dense(2), ops.ReLU(), loss=ls.WeightedSum(), input=(2, 2)))
    )
    result = run_into(tmp_path / "out", "--architecture", str(tmp_path / "net.json"),
                      "--lane", "exact", "--cases", "4")  # fmt: skip
    assert result.exit_code == 0
    assert "4 of 4 cases passed, bit for bit" in result.stdout
