"""A GPT decoder from thousands to a million parameters: time and memory of a whole command.

    python benchmarks/large.py            # scales 1, 4 and 8; under two minutes on two cores

Each row is `backproof run --architecture gpt --scale N` on one float64 case of the generic
lane: every tensor along one direction by finite differences and complex step, every entry by
JAX and PyTorch, in a process of its own.  Its start, the imports of JAX and PyTorch and the
reports are counted.  The table is Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backproof.architectures.named import NAMED
from backproof.architectures.operators import size
from backproof.reports.events import CaseFinished, read


def measured(scale: int, output: str) -> tuple[float, float, str]:
    """(seconds, peak GiB, verdict) of one command."""
    command = [sys.executable, "-m", "backproof", "run", "--architecture", "gpt"]
    command += ["--scale", str(scale), "--cases", "1", "--workers", "1", "--output", output]
    command += ["--dtype", "float64", "--lane", "generic"]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    events = read(str(Path(output, "events.ndjson")))
    status = next(e.verdict.status for e in events if isinstance(e, CaseFinished))
    return seconds, used.ru_maxrss / 2**20, status


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of a large network.")
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    given = parser.parse_args()
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    words = " ".join(map(str, given.scales))
    print(f"# Large networks\n\n`python benchmarks/large.py --scales {words}`\n")
    print("| scale | parameters | tensors | verdict | seconds | peak memory, GiB |")
    print("| ---: | ---: | ---: | --- | ---: | ---: |")
    for scale in given.scales:
        a = NAMED["gpt"](scale)
        parameters = sum(size(shape) for shape in a.parameters.values())
        with tempfile.TemporaryDirectory() as output:
            seconds, memory, status = measured(scale, output)
        row = f"{scale} | {parameters:,} | {len(a.tensors)} | {status} | {seconds:.0f}"
        print(f"| {row} | {memory:.1f} |", flush=True)


if __name__ == "__main__":
    main()
