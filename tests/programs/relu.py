"""A program for the protocol that can do relu and squared_error, and misbehave on request.

python relu.py MODE: with `right` it does all as it should; every other mode does one thing
wrong, from its second case on, so that the first can be seen to pass.  It needs nothing but
Python and starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

MODE = sys.argv[1]
HELLO: dict[str, Any] = {
    "kind": "hello", "protocol": 1, "name": "relu", "operators": ["relu"],
    "losses": ["squared_error"], "penalties": [], "graphs": False, "gives": ["input"],
    "encoding": "decimal",
}  # fmt: skip


def tensor(values: list[Any], shape: list[int]) -> dict[str, Any]:
    return {"dtype": "float64", "shape": shape, "values": values}


def gradients(architecture: Any, run: Any) -> tuple[float, list[float]]:
    x, target = run["input"]["values"], run["targets"]["loss"]["values"]
    for _ in architecture["layers"]:
        y = [max(v, 0.0) for v in x]
    residuals = [a - b for a, b in zip(y, target, strict=True)]
    n, batch = len(y), run["input"]["shape"][0]
    scale = {"half_sum": 0.5, "sum": 1, "mean": 1 / n, "batch_mean": 1 / batch}[
        architecture["losses"][0]["reduction"]
    ]
    loss = scale * sum(r * r for r in residuals)
    bar = [2 * scale * r * (v > 0) for r, v in zip(residuals, x, strict=True)]
    return loss, bar


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def misbehave(seq: int, loss: float, bar: list[float], shape: list[int]) -> None:
    """The answer to a case in this mode, or what is done instead of one."""
    answer: dict[str, Any] = {"kind": "gradients", "seq": seq, "loss": loss,
              "gradients": {"input": tensor(bar, shape)}}  # fmt: skip
    if MODE == "exit":
        print("out of luck", file=sys.stderr)
        sys.exit(3)
    elif MODE == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif MODE == "hang":
        time.sleep(1000)
    elif MODE == "noise":
        print("debug: here I am")
    elif MODE == "half a line":
        sys.stdout.write(json.dumps(answer)[:20])
        sys.stdout.flush()
        sys.exit(0)
    elif MODE == "endless":
        while True:
            sys.stdout.write("x" * 2**20)
    elif MODE == "wrong seq":
        answer["seq"] = seq + 1
    elif MODE == "nan":
        answer["gradients"]["input"]["values"] = ["nan" for _ in bar]
    elif MODE == "wrong shape":
        answer["gradients"]["input"]["shape"] = [len(bar)]
    elif MODE == "wrong size":
        answer["gradients"]["input"]["values"] = bar[:-1]
    elif MODE == "huge shape":
        answer["gradients"]["input"]["shape"] = [10**9, 10**9]
    elif MODE == "text":
        answer["gradients"]["input"]["values"] = ["zero" for _ in bar]
    elif MODE == "wrong dtype":
        answer["gradients"]["input"]["dtype"] = "float32"
    elif MODE == "unknown dtype":
        answer["gradients"]["input"]["dtype"] = "object"
    elif MODE == "forgotten":
        answer["gradients"]["input"] = None
    elif MODE == "twice":
        answer["gradients"]["input"]["values"] = [2 * v for v in bar]
    elif MODE == "another loss":
        answer["loss"] = loss + 1
    elif MODE == "fork":
        child = subprocess.Popen(["sleep", "1000"])
        print(f"child {child.pid}", file=sys.stderr)
        sys.stderr.flush()
        sys.exit(1)
    elif MODE == "error":
        answer = {"kind": "error", "seq": seq, "reason": "division by zero"}
    elif MODE == "unsupported":
        answer = {"kind": "unsupported", "seq": seq, "reason": "too deep for me"}
    elif MODE == "another kind":
        answer = {"kind": "ready", "seq": seq}
    elif MODE == "flood":
        sys.stderr.write("x" * 2**22 + "\n")
    elif MODE == "memory":
        answer["gradients"] = {str(i): "x" * 2**20 for i in range(2**12)}
    elif MODE == "dies between":
        say(answer)
        sys.exit(0)
    say(answer)


def main() -> None:
    architecture: Any = None
    cases = 0
    if MODE == "no hello":
        print("cannot find libnet.so", file=sys.stderr)
        sys.exit(127)
    for line in sys.stdin:
        request = json.loads(line)
        kind, seq = request["kind"], request["seq"]
        if kind == "stop":
            break
        if kind == "hello":
            changes: dict[str, dict[str, Any]] = {
                "old protocol": {"protocol": 0},
                "unknown operator": {"operators": ["relu", "warp"]},
                "unknown field": {"speed": 7},
                "no operators": {"operators": []},
                "another kind of hello": {"kind": "ready"},
            }
            say({**HELLO, "seq": seq, **changes.get(MODE, {})})
        elif kind == "prepare":
            architecture = request["architecture"]
            say({"kind": "ready", "seq": seq})
        else:
            loss, bar = gradients(architecture, request)
            cases += 1
            started = os.environ.get("BACKPROOF_TEST_MARK")
            first = cases == 1 and (started is None or not os.path.exists(started))
            if started:
                open(started, "w").close()
            shape = request["input"]["shape"]
            if first:
                say({"kind": "gradients", "seq": seq, "loss": loss,
                     "gradients": {"input": tensor(bar, shape)}})  # fmt: skip
            else:
                misbehave(seq, loss, bar, shape)


main()
