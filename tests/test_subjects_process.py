"""A program as a subject: whatever it does, the case gets its status, and the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import ReLU
from backproof.foreign import close_all
from backproof.jobs import Options
from backproof.judging import judge
from backproof.subjects.capabilities import SubjectAbsent, SubjectProblem, Unsupported
from backproof.subjects.process import Limits, Program

PROGRAM = Path(__file__).parent / "programs" / "relu.py"
NETWORK = Architecture((3, 2), (ReLU(),), SquaredError())
LIMITS = Limits(start=30.0, answer=20.0)


def command(mode: str) -> str:
    return f"'{sys.executable}' '{PROGRAM}' '{mode}'"


def case(seed: int = 0) -> Case:
    return draw_case(NETWORK, seed)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs that a test started; ended with it."""
    started: list[Program] = []
    yield started
    for program in started:
        program.close()


def start(programs: list[Program], mode: str, limits: Limits = LIMITS) -> Program:
    """A program that has answered its first case rightly."""
    program = Program(command(mode), limits)
    programs.append(program)
    loss, gradients = program.gradients(case())
    assert np.isfinite(loss) and gradients["input"].shape == (3, 2)
    return program


def test_a_program_that_behaves_is_verified() -> None:
    try:
        for seed in range(3):
            verdict = judge(case(seed), Options(subject=f"cmd:{command('right')}", programs=LIMITS))
            assert verdict.status == "PASS", verdict.reason
    finally:
        close_all()


FAILURES = {
    "exit": (
        "FAIL",
        "ended with exit code 3 instead of answering run; its stderr ends: out of luck",
    ),
    "segfault": ("FAIL", "was ended by SIGSEGV instead of answering run"),
    "noise": ("FAIL", "answered run with 'debug: here I am', no message of the protocol"),
    "half a line": ("FAIL", "no message of the protocol"),
    "wrong seq": ("FAIL", "with seq"),
    "wrong size": ("FAIL", "gradients['input']: 5 entries for the shape (3, 2)"),
    "huge shape": ("FAIL", "more than any tensor of this network"),
    "text": ("FAIL", "gradients['input']: value 0 is not a number"),
    "unknown dtype": ("FAIL", "dtype 'object' is none of"),
    "error": ("FAIL", "it says: division by zero"),
    "another kind": ("FAIL", "run was answered with ready"),
}


@pytest.mark.parametrize("mode", FAILURES)
def test_what_goes_wrong_is_named_and_the_next_case_is_answered_again(
    programs: list[Program], mode: str
) -> None:
    program = start(programs, mode)
    status, words = FAILURES[mode]
    with pytest.raises(SubjectProblem) as found:
        program.gradients(case(1))
    assert found.value.status == status and words in found.value.reason
    if mode in ("wrong size", "huge shape", "text", "unknown dtype", "error"):
        return  # the program lives on, and misbehaves again
    _, gradients = program.gradients(case(2))  # a new process, whose first case is right
    assert gradients["input"].shape == (3, 2)


def test_a_program_that_hangs_is_a_timeout_and_is_started_again(programs: list[Program]) -> None:
    program = start(programs, "hang", Limits(answer=1.0))
    with pytest.raises(SubjectProblem, match="no answer to run within 1 s") as found:
        program.gradients(case(1))
    assert found.value.status == "TIMEOUT"
    program.gradients(case(2))


def test_an_endless_answer_is_cut_off(programs: list[Program]) -> None:
    program = start(programs, "endless", Limits(output=2**22))
    with pytest.raises(SubjectProblem, match="a line of more than 4,194,304 bytes"):
        program.gradients(case(1))
    program.gradients(case(2))


def test_a_flood_on_stderr_stops_nobody(programs: list[Program]) -> None:
    program = start(programs, "flood")
    _, gradients = program.gradients(case(1))
    assert gradients["input"].shape == (3, 2)


def test_a_program_that_ends_between_cases_is_started_again(programs: list[Program]) -> None:
    program = start(programs, "dies between")
    for seed in range(1, 4):
        _, gradients = program.gradients(case(seed))
        assert gradients["input"].shape == (3, 2)
        time.sleep(0.2)


def test_children_end_with_their_program(programs: list[Program]) -> None:
    program = start(programs, "fork")
    with pytest.raises(SubjectProblem) as found:
        program.gradients(case(1))
    child = int(found.value.reason.rpartition("child ")[2])
    for _ in range(50):
        if not _runs(child):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} lives")


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_a_limit_on_memory_is_the_program_s_to_keep(programs: list[Program]) -> None:
    program = start(programs, "memory", Limits(memory=512 * 2**20, answer=60.0))
    with pytest.raises(SubjectProblem, match="MemoryError"):
        program.gradients(case(1))


def test_what_a_program_cannot_do_is_unsupported(programs: list[Program]) -> None:
    with pytest.raises(Unsupported, match="too deep for me"):
        start(programs, "unsupported").gradients(case(1))


WRONG = {
    "nan": "input",
    "wrong shape": "input: shape (6,), must be (3, 2)",
    "wrong dtype": "input: dtype float32, must be float64",
    "twice": "input disagrees with",
    "another loss": "loss disagrees with",
}


@pytest.mark.parametrize("mode", WRONG)
def test_a_wrong_answer_is_a_fail_of_the_case(mode: str) -> None:
    options = Options(subject=f"cmd:{command(mode)}", programs=LIMITS)
    try:
        # on the lane `extreme` a case is one call: nothing is asked beyond values
        assert judge(draw_case(NETWORK, 0, "extreme"), options).status == "PASS"
        verdict = judge(draw_case(NETWORK, 1, "extreme"), options)
        assert verdict.status == "FAIL" and WRONG[mode] in verdict.reason
    finally:
        close_all()


ABSENT = {
    "no hello": "ended with exit code 127 instead of answering hello; its stderr ends: cannot find",
    "old protocol": "speaks protocol 0; this is protocol 1",
    "unknown operator": "operators: there is no 'warp'",
    "unknown field": "unknown field `speed`",
    "no operators": "operators must name at least one",
    "another kind of hello": "hello was answered with ready",
}


@pytest.mark.parametrize("mode", ABSENT)
def test_a_program_that_does_not_begin_as_it_should_is_absent(mode: str) -> None:
    with pytest.raises(SubjectAbsent) as found:
        Program(command(mode), LIMITS)
    assert ABSENT[mode] in str(found.value)


@pytest.mark.parametrize(
    "line, words",
    [
        ("/no/such/program", "does not start: No such file or directory"),
        ("   ", "cmd: names no program"),
        ("'unbalanced", "No closing quotation"),
        ("sleep 1000", "no answer to hello within 1 s"),
        ("cat", "missing required field `name`"),
        ("true", "ended with exit code 0 instead of answering hello"),
    ],
)
def test_what_is_no_program_of_the_protocol_is_absent(line: str, words: str) -> None:
    with pytest.raises(SubjectAbsent, match=words):
        Program(line, Limits(start=1.0))
