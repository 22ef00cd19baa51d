"""A program as a subject: started, asked line by line, watched, and started again.

Its stdout is the protocol's (`wire.py`) and nothing else; what it says on stderr is kept, the
end of it, and quoted where something goes wrong.  Every request has a deadline.  A program
that breaks the protocol, crashes or hangs is ended with all its children, and started anew
for the next case.  Nothing that it sends is executed.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import resource
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from ..architectures.cases import Case
from . import wire
from .capabilities import Capabilities, SubjectAbsent, SubjectProblem, Unsupported

KEPT_LINES = 20
"""Of stderr."""
LONGEST_LINE = 2000

GLANCE = 0.2
"""Seconds between two looks at whether a program that is silent still runs."""


@dataclass(frozen=True)
class Limits:
    """Seconds to start in and to answer in; bytes of one answer; bytes of memory, 0 for any."""

    start: float = 60.0
    answer: float = 30.0
    output: int = 256 * 2**20
    memory: int = 0


class Program:
    """A running program, asked one request at a time.  Raises SubjectProblem or SubjectAbsent."""

    def __init__(self, command: str, limits: Limits | None = None) -> None:
        self.command, self.limits = command, limits or Limits()
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise SubjectAbsent(f"cmd:{command}: {error}") from None
        if not self._words:
            raise SubjectAbsent("cmd: names no program")
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared: tuple[Any, str] | None = None
        self._seq = 0
        self._encoding: wire.Encoding = "base64"
        self.capabilities = self._start()

    # --- life and death ----------------------------------------------------------------

    def _start(self) -> Capabilities:
        try:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
            self._limit(self._process.pid)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SubjectAbsent(f"{self._words[0]} does not start: {reason}") from None
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._errors: deque[str] = deque(maxlen=KEPT_LINES)
        self._prepared = None
        self._too_long = False
        for target, stream in (
            (self._read, self._process.stdout),
            (self._listen, self._process.stderr),
        ):
            threading.Thread(target=target, args=(stream,), daemon=True).start()
        try:
            hello = self._ask({"kind": "hello", "protocol": wire.PROTOCOL}, self.limits.start)
        except SubjectProblem as problem:
            raise SubjectAbsent(f"{self.command}: {problem.reason}") from None
        if not isinstance(hello, wire.Hello):
            self.close()
            raise SubjectAbsent(f"{self.command}: hello was answered with {_kind(hello)}")
        if hello.protocol != wire.PROTOCOL:
            self.close()
            raise SubjectAbsent(
                f"{self.command} speaks protocol {hello.protocol}; this is protocol {wire.PROTOCOL}"
            )
        self._encoding = hello.encoding
        try:
            return hello.capabilities()
        except ValueError as error:
            self.close()
            raise SubjectAbsent(f"{self.command}: hello: {error}") from None

    def _limit(self, pid: int) -> None:
        """Its address space, from outside: no code of ours runs between fork and exec."""
        if self.limits.memory and hasattr(resource, "prlimit"):
            resource.prlimit(pid, resource.RLIMIT_AS, (self.limits.memory, self.limits.memory))

    def close(self) -> None:
        """Ask it to stop, then end it and its children."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if process.stdin is not None and process.poll() is None:
                process.stdin.write(b'{"kind": "stop", "seq": 0}\n')
                process.stdin.close()
                process.wait(1.0)
        self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # the group outlives its leader
        with contextlib.suppress(Exception):
            process.wait(5.0)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._kill(process)

    # --- lines -------------------------------------------------------------------------

    def _read(self, stream: IO[bytes]) -> None:
        """Hand over stdout line by line; None at its end."""
        lines = self._lines
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(self.limits.output + 1):
                if len(line) > self.limits.output:
                    self._too_long = True
                    break
                lines.put(line)
        lines.put(None)

    def _listen(self, stream: IO[bytes]) -> None:
        errors = self._errors
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(LONGEST_LINE):
                errors.append(line.decode(errors="replace").rstrip())

    def _ask(self, request: dict[str, Any], seconds: float) -> wire.Answer:
        """Send a request, and wait for its answer."""
        process = self._process
        assert process is not None and process.stdin is not None
        self._seq += 1
        line = msgspec.json.encode(request | {"seq": self._seq}) + b"\n"
        deadline = time.monotonic() + seconds
        writer = threading.Thread(target=self._write, args=(process.stdin, line), daemon=True)
        writer.start()
        try:
            answer = self._next_line(process, deadline)
        except queue.Empty:
            self._end()
            raise SubjectProblem(
                "TIMEOUT", f"no answer to {request['kind']} within {seconds:g} s{self._quoted()}"
            ) from None
        if answer is None:
            raise self._ended(process, request["kind"])
        return self._decoded(answer, request["kind"])

    def _next_line(self, process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
        """The next line; None at the end, also where a child still holds the stream open."""
        while True:
            ended = process.poll() is not None
            try:
                return self._lines.get(timeout=GLANCE)
            except queue.Empty:
                if ended:
                    return None
                if time.monotonic() > deadline:
                    raise

    def _write(self, stream: IO[bytes], line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            stream.write(line)
            stream.flush()

    def _ended(self, process: subprocess.Popen[bytes], kind: str) -> SubjectProblem:
        if self._too_long:
            self._end()
            words = f"it answered {kind} with a line of more than {self.limits.output:,} bytes"
            return SubjectProblem("FAIL", words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        code = process.poll()
        self._end()
        time.sleep(0.05)  # what it said last on stderr is still on its way
        how = "closed its stdout" if code is None else _how_it_ended(code)
        return SubjectProblem("FAIL", f"it {how} instead of answering {kind}{self._quoted()}")

    def _decoded(self, line: bytes, kind: str) -> wire.Answer:
        try:
            answer: wire.Answer = wire.DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeError) as error:
            self._end()
            shown = line[:120].decode(errors="replace").rstrip()
            raise SubjectProblem(
                "FAIL", f"it answered {kind} with {shown!r}, no message of the protocol: {error}"
            ) from None
        if answer.seq != self._seq:
            self._end()
            raise SubjectProblem(
                "FAIL", f"it answered {kind} number {self._seq} with seq {answer.seq}"
            )
        return answer

    def _quoted(self) -> str:
        said = [line for line in self._errors if line.strip()]
        return f"; its stderr ends: {' | '.join(said[-3:])}" if said else ""

    # --- cases -------------------------------------------------------------------------

    def gradients(self, case: Case, accumulate: bool = False) -> tuple[Any, dict[str, Any]]:
        """The loss and the gradients of a case, added to those of the run before or not."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._restart()
        self._prepare(case)
        answer = self._ask(
            wire.run_request(0, case, self._encoding, accumulate), self.limits.answer
        )
        if isinstance(answer, wire.NotSupported):
            raise Unsupported(answer.reason)
        if isinstance(answer, wire.Failed):
            raise SubjectProblem("FAIL", f"it says: {answer.reason}{self._quoted()}")
        if not isinstance(answer, wire.Gradients):
            self._end()
            raise SubjectProblem("FAIL", f"run was answered with {_kind(answer)}")
        return self._received(case, answer)

    def _restart(self) -> None:
        try:
            self._start()
        except SubjectAbsent as error:
            raise SubjectProblem("FAIL", f"it does not start again: {error}") from None

    def _prepare(self, case: Case) -> None:
        wanted = (case.architecture, case.dtype)
        if self._prepared == wanted:
            return
        self._prepared = None
        request = wire.prepare_request(case.architecture, case.dtype)
        answer = self._ask(request, self.limits.answer)
        if isinstance(answer, wire.NotSupported):
            raise Unsupported(answer.reason)
        if isinstance(answer, wire.Failed):
            raise SubjectProblem("FAIL", f"it says: {answer.reason}{self._quoted()}")
        if not isinstance(answer, wire.Ready):
            self._end()
            raise SubjectProblem("FAIL", f"prepare was answered with {_kind(answer)}")
        self._prepared = wanted

    def _received(self, case: Case, answer: wire.Gradients) -> tuple[Any, dict[str, Any]]:
        largest = max((math.prod(s) for s in case.architecture.tensors.values()), default=1)
        try:
            loss = wire.array("loss", answer.loss, 1).astype(case.dtype)
            gradients = {
                name: wire.array(f"gradients[{name!r}]", sent, largest)
                for name, sent in answer.gradients.items()
                if sent is not None
            }
        except wire.WireError as error:
            raise SubjectProblem("FAIL", str(error)) from None
        return loss.reshape(()) if loss.size == 1 else loss, gradients


def _kind(answer: wire.Answer) -> str:
    return str(type(answer).__struct_config__.tag)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
