"""A Python subject as a program: `python -m backproof.subjects.serve py:module:object`.

So it runs in a process of its own, with deadlines and a memory limit, as any program does
(`backproof check "cmd:python -m backproof.subjects.serve py:my_net:subject"`).  It is also
the protocol's example in Python: `serve` is all that a program must do.  What the subject
prints goes to stderr; stdout is the protocol's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, Any

import msgspec
import numpy as np

from ..architectures.architecture import Architecture
from ..architectures.cases import make_case
from . import wire
from .capabilities import SubjectAbsent, SubjectProblem, Unsupported
from .opening import Opened, open_subject

MOST = 2**31


def serve(subject: Opened, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until `stop` or the end of the stream."""
    architecture: Architecture | None = None
    dtype = "float64"
    for line in requests:
        request = msgspec.json.decode(line)
        kind, seq = request["kind"], request["seq"]
        if kind == "stop":
            return
        if kind == "hello":
            declared = msgspec.to_builtins(subject.capabilities)
            answer = {"kind": "hello", "protocol": wire.PROTOCOL, **declared}
        elif kind == "prepare":
            architecture = wire.architecture_of(request["architecture"])
            dtype = request["dtype"]
            answer = {"kind": "ready"}
        elif kind == "run" and architecture is not None:
            answer = _run(subject, architecture, dtype, request)
        else:
            answer = {"kind": "error", "reason": f"no request {kind!r} is known, or not now"}
        answers.write(msgspec.json.encode({**answer, "seq": seq}) + b"\n")
        answers.flush()


def _run(
    subject: Opened, architecture: Architecture, dtype: Any, request: Mapping[str, Any]
) -> dict[str, Any]:
    def arrays(sent: Mapping[str, Any]) -> dict[str, Any]:
        return {name: wire.array(name, value, MOST) for name, value in sent.items()}

    x = request["input"]
    case = make_case(
        architecture,
        arrays(request["parameters"]),
        None if x is None else wire.array("input", x, MOST),
        arrays(request["targets"]),
        data=arrays(request["data"]),
        dtype=dtype,
    )
    try:
        loss, gradients = subject.gradients(case, request.get("accumulate", False))
    except Unsupported as reason:
        return {"kind": "unsupported", "reason": str(reason)}
    except SubjectProblem as problem:
        return {"kind": "error", "reason": problem.reason}
    sent = {name: wire.tensor(np.asarray(g), "base64") for name, g in gradients.items()}
    return {"kind": "gradients", "loss": wire.tensor(np.asarray(loss), "base64"), "gradients": sent}


def main() -> None:
    """Serve the subject that is named on the command line."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the subject prints is not part of the protocol
    try:
        if len(sys.argv) != 2:
            raise SubjectAbsent("name one subject, such as py:my_package.net:subject")
        subject = open_subject(sys.argv[1])
    except SubjectAbsent as absent:
        print(absent, file=sys.stderr)
        sys.exit(4)
    serve(subject, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
