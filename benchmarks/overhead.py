"""What a subject costs beyond its own arithmetic: called in Python, or asked over stdio.

    python benchmarks/overhead.py            # three minutes on two cores

One network, a perceptron with two hidden layers of tanh on a batch of 8, in four sizes; one
function in NumPy that differentiates it by hand, and examples/runners/mlp.c where there is a C
compiler.  Part 1: a case asked over the protocol, as a multiple of the bare call of the
function.  Part 2: what a Python subject adds to the call.  Part 3: the subject's share of a
whole verdict.  Everything in a row is timed in turns in one run; the figures are medians, of
ratios where they are ratios.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np

from backproof import foreign
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers.verdict import verify
from backproof.jobs import Options
from backproof.judging import judge
from backproof.subjects import wire
from backproof.subjects.capabilities import Capabilities
from backproof.subjects.opening import Opened
from backproof.subjects.process import Program
from backproof.subjects.python import PythonSubject
from backproof.subjects.serve import serve

HERE = Path(__file__).resolve()
SIZES = ((4, 8, 5, 3), (16, 32, 32, 10), (64, 128, 80, 10), (256, 512, 128, 10))
BATCH = 8
LEAST, MOST = 3, 1001
"""Repetitions, however long they take, and however short."""

Answer = tuple[Any, dict[str, Any]]


def perceptron(case: Case) -> Answer:
    """The subject: loss and gradients of dense layers with tanh between, in NumPy by hand."""
    layers, p = case.architecture.layers, case.parameters
    edges: list[Any] = [case.input]
    for i, layer in enumerate(layers):
        x = edges[-1]
        dense = isinstance(layer, Dense)
        y = x @ p[f"layers.{i}.weight"].T + p[f"layers.{i}.bias"] if dense else np.tanh(x)
        edges.append(y)
    target: Any = case.target
    r = edges[-1] - target
    bar, found = 2 / r.size * r, {}
    for i in reversed(range(len(layers))):
        if isinstance(layers[i], Dense):
            found[f"layers.{i}.weight"] = bar.T @ edges[i]
            found[f"layers.{i}.bias"] = bar.sum(0)
            bar = bar @ p[f"layers.{i}.weight"] if i else bar
        else:
            bar = bar / np.cosh(edges[i]) ** 2  # 1 - tanh^2 cancels, and is looked at twice
    return np.mean(r * r), found


NAME = "py:overhead:perceptron"
CAN = Capabilities(
    operators=("dense", "tanh"), losses=("squared_error",), penalties=(), graphs=False
)


class InDecimal(Capabilities, frozen=True):
    """What the same subject declares where it wants its requests in decimal."""

    encoding: str = "decimal"


@dataclass
class Timed:
    """A subject, and the seconds of each call of it."""

    subject: Opened
    seconds: list[float] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.subject.capabilities

    @capabilities.setter
    def capabilities(self, value: Capabilities) -> None:
        self.subject.capabilities = value

    def gradients(self, case: Case, accumulate: bool = False) -> Answer:
        began = time.perf_counter()
        try:
            return self.subject.gradients(case, accumulate)
        finally:
            self.seconds.append(time.perf_counter() - began)

    def close(self) -> None:
        self.subject.close()


def network(sizes: Sequence[int]) -> Case:
    """The network of those sizes, and one case of it."""
    layers: list[Any] = []
    for units in sizes[1:]:
        layers += [Dense(units), Tanh()]
    a = Architecture((BATCH, sizes[0]), tuple(layers[:-1]), SquaredError("mean"))
    return draw_case(a, seed=1)


def numbers(case: Case) -> int:
    return sum(v.size for v in case.parameters.values())


def in_python() -> PythonSubject:
    subject = PythonSubject(NAME, perceptron)
    subject.capabilities = CAN
    return subject


def serve_in_decimal() -> None:
    """Be the program that `ENCODINGS` starts."""
    subject = in_python()
    subject.capabilities = InDecimal(**msgspec.structs.asdict(CAN))
    serve(subject, sys.stdin.buffer, sys.stdout.buffer)


@contextmanager
def programs() -> Iterator[dict[str, str]]:
    """The commands of the programs by what they are called here; C only with a compiler."""
    python = shlex.quote(sys.executable)
    path = filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH")))
    os.environ["PYTHONPATH"] = os.pathsep.join(path)  # where the program finds this module
    commands = {
        "stdio, base64": f"{python} -m backproof.subjects.serve {NAME}",
        "stdio, decimal": f"{python} {shlex.quote(str(HERE))} --serve-in-decimal",
    }
    with tempfile.TemporaryDirectory() as folder:
        compiler = shutil.which("cc")
        if compiler:
            source = HERE.parents[1] / "examples" / "runners" / "mlp.c"
            built = Path(folder, "mlp")
            subprocess.run([compiler, "-O2", "-o", built, source, "-lm"], check=True)
            commands["mlp.c, decimal"] = shlex.quote(str(built))
        yield commands


def seconds_of(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def in_turns(actions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """The times of several actions, one after another, again and again for so many seconds."""
    for action in actions.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    end = time.perf_counter() + seconds
    for i in range(MOST):
        if i >= LEAST and time.perf_counter() > end:
            break
        for name, action in actions.items():
            times[name].append(seconds_of(action))
    return times


def shown(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.2g}" if x < 10 else f"{x:.3g}"


def table(*heads: str) -> None:
    print("\n| " + " | ".join(heads) + " |\n| " + " | ".join(["---:"] * len(heads)) + " |")


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


# --- the parts ------------------------------------------------------------------------------


def protocol(commands: Mapping[str, str], seconds: float) -> None:
    """Part 1."""
    print("\n## A case over the protocol\n")
    print(
        "Milliseconds from the question to the arrays, in brackets as a multiple of the bare "
        "call of the function. The Python subject is `python -m backproof.subjects.serve`, "
        "which answers in base64 also where it is asked in decimal; mlp.c speaks decimal in both "
        "directions and has loops of its own for NumPy's matrix products."
    )
    started = {name: Program(command) for name, command in commands.items()}
    table("parameters", "request, kB: base64", "decimal", "bare call, ms", *started)
    try:
        for case in map(network, SIZES):
            asked = {name: partial(p.gradients, case) for name, p in started.items()}
            times = in_turns({"bare": partial(perceptron, case), **asked}, seconds)
            cells = []
            for name in started:
                pairs = zip(times[name], times["bare"], strict=True)
                ratio = statistics.median(a / b for a, b in pairs)
                cells.append(f"{shown(1e3 * statistics.median(times[name]))} ({shown(ratio)})")
            kilobytes = (
                shown(len(msgspec.json.encode(wire.run_request(1, case, encoding))) / 1e3)
                for encoding in get_args(wire.Encoding)
            )
            bare = shown(1e3 * statistics.median(times["bare"]))
            row(f"{numbers(case):,}", *kilobytes, bare, *cells)
    finally:
        for program in started.values():
            program.close()


def python_subject(seconds: float) -> None:
    """Part 2."""
    print("\n## A Python subject\n")
    print(
        "Microseconds that are added to the bare call: by `PythonSubject`, which makes arrays of "
        "what it is given and reports what is raised; and on the way from a verdict to it, which "
        "copies the case's arrays, so that the subject may write to them, and looks up whether it "
        "declares the network. Measured on a function that returns gradients it has kept, since "
        "the scatter of a real one would hide them."
    )
    table("parameters", "bare call, us", "PythonSubject adds, us", "a verdict's call adds, us",
          "together, as a multiple of the bare call")  # fmt: skip
    for case in map(network, SIZES):
        kept = perceptron(case)

        def returns(case: Case, kept: Answer = kept) -> Answer:
            return kept

        idle = PythonSubject(NAME, returns)
        idle.capabilities = CAN
        foreign.enter(NAME, idle)
        ways: dict[str, Callable[[Case], Any]] = {
            "bare": perceptron, "nothing": returns, "subject": idle.gradients,
            "verdict": foreign.subject_named(NAME),
        }  # fmt: skip
        times = in_turns({name: partial(f, case) for name, f in ways.items()}, seconds)
        typical = {name: 1e6 * statistics.median(found) for name, found in times.items()}
        added = [typical["subject"] - typical["nothing"], typical["verdict"] - typical["subject"]]
        whole = 1 + sum(added) / typical["bare"]
        row(f"{numbers(case):,}", shown(typical["bare"]), *map(shown, added), f"{whole:.2f}")
    foreign.close_all()


def verdict(commands: Mapping[str, str], seconds: float) -> None:
    """Part 3."""
    print("\n## Its share of a verdict\n")
    print(
        "`verify` asks the subject once and all four checkers; `backproof check` then asks for "
        "what a subject owes beyond values, by further calls. Milliseconds, and the share that "
        "is spent in the subject, the protocol included. JAX has compiled the network before; a "
        "run draws new ones, whose first `verify` takes what the last column says. mlp.c has "
        "tanh's slope as 1 - y^2, which loses digits in saturated units: a verdict on it that "
        "takes far longer than the others is one that looked again."
    )
    table("parameters", "subject", "verify, ms", "its share", "with all checks, ms", "calls",
          "its share", "first verify, ms")  # fmt: skip
    names = {"in Python": NAME} | {n: f"cmd:{c}" for n, c in commands.items()}
    verify(network((2, 2)))  # which imports JAX and PyTorch
    for case in map(network, SIZES):
        first = f"{1e3 * seconds_of(partial(verify, case, perceptron)):,.0f}"
        for shown_as, name in names.items():
            opened: Opened = in_python() if name == NAME else Program(name.removeprefix("cmd:"))
            subject = Timed(opened)
            foreign.enter(name, subject)
            plain = partial(verify, case, foreign.subject_named(name))
            whole = partial(judge, case, Options(subject=name))
            if (found := whole()).status != "PASS":
                raise SystemExit(f"{shown_as}: {found.status}: {found.reason}")
            cells = [f"{numbers(case):,}", shown_as]
            for action in (plain, whole):
                totals: list[float] = []
                shares, calls = [], 0
                end = time.perf_counter() + seconds
                while len(totals) < LEAST or time.perf_counter() < end:
                    subject.seconds.clear()
                    totals.append(seconds_of(action))
                    shares.append(sum(subject.seconds) / totals[-1])
                    calls = len(subject.seconds)
                cells.append(shown(1e3 * statistics.median(totals)))
                cells += [str(calls)] if action is whole else []
                cells.append(f"{statistics.median(shares):.1%}")
            row(*cells, first)
            foreign.close_all()


def main() -> None:
    """All parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="for each row; more make the medians steadier"
    )
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    parser.add_argument("--serve-in-decimal", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve_in_decimal:
        serve_in_decimal()
        return
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    print(f"# What a subject costs\n\n`python benchmarks/overhead.py --seconds {given.seconds:g}`")
    with programs() as commands:
        protocol(commands, given.seconds)
        python_subject(given.seconds)
        verdict(commands, given.seconds)


if __name__ == "__main__":
    main()
