"""Write docs/operators.md: every operator in every configuration class, by every checker.

python docs/operators.py docs/operators.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from backproof.architectures import operators as ops
from backproof.architectures.cases import DTYPES, LANES, draw_case
from backproof.architectures.configurations import CONFIGURATIONS, Configuration, network
from backproof.architectures.exactness import is_exact
from backproof.checkers.conventions import CONVENTIONS
from backproof.checkers.outcome import Verdict
from backproof.checkers.verdict import CHECKERS, verify
from backproof.commands.ops import attributes, slopes
from backproof.naming import call
from backproof.reference.pages import LAYERS

HEAD = """# Operators

Written by `python docs/operators.py docs/operators.md`; do not edit.

Every operator is verified alone, in each of its configuration classes: as a network of
`variable` inputs, the operator, and a linear loss with a random signed cotangent, in float64 and
float32, on the lanes generic, tie and extreme, and exact where it rounds nothing.  In float64 on
the generic lane every entry of every gradient is differentiated numerically as well.

A checker's column counts the cases in which it confirmed every tensor.  Cases that stayed
inconclusive, or a checker that could not do the configuration, are explained below the table.
The last two columns are the smallest relative error that would have been caught, in the worst
tensor on the generic lane.
"""


def verdicts(configuration: Configuration) -> Iterator[tuple[str, str, Verdict]]:
    """(lane, dtype, verdict) of one configuration."""
    op, shapes = configuration
    a = network(op, shapes)
    for lane in LANES:
        for dtype in DTYPES:
            if lane == "exact" and not is_exact(a, dtype):
                continue
            every = lane == "generic" and dtype == "float64"
            yield lane, dtype, verify(draw_case(a, 1, lane, dtype), exhaustive=every)


def row(configuration: Configuration) -> tuple[str, list[str]]:
    """One line of a table, and what must be explained."""
    op, shapes = configuration
    passed: dict[str, int] = dict.fromkeys(CHECKERS, 0)
    resolution = {"float64": "-", "float32": "-"}
    notes, cases = [], 0
    what = f"`{call(op)}`" + (f" on {', '.join(map(str, shapes))}" if shapes else "")
    for lane, dtype, verdict in verdicts(configuration):
        cases += 1
        for checker in verdict.checkers:
            if checker.status == "PASS":
                passed[checker.checker] += 1
            elif checker.status != "INCONCLUSIVE":
                notes.append(f"{what}, {lane} {dtype}: {checker.checker} {checker.reason}")
        if lane == "generic" and verdict.resolution is not None:
            resolution[dtype] = f"{verdict.resolution:.0e}"
        if verdict.status != "PASS":
            notes.append(f"{what}, {lane} {dtype}: {verdict.status}, {verdict.reason}")
    counts = " | ".join(f"{n}/{cases}" for n in passed.values())
    return f"| {what} | {counts} | {resolution['float64']} | {resolution['float32']} |", notes


def page(kind: type[ops.Operator]) -> Iterator[str]:
    """The section of one operator."""
    name = str(kind.__struct_config__.tag)
    path = LAYERS[kind].forward.__module__.replace("backproof.", "").replace(".", "/")
    yield f"### {name}\n"
    yield f"Attributes: {attributes(kind) or 'none'}.  [Derivation](../{path}.py).\n"
    for found in CONVENTIONS.get(kind, ()):
        yield (
            f"At {found.at}: ours {slopes(found.ours)}, PyTorch {slopes(found.torch)}, "
            f"JAX {slopes(found.jax)}.\n"
        )
    heads = "configuration", "finite differences", "complex step", "JAX", "PyTorch", *DTYPES
    yield f"| {' | '.join(heads)} |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    notes: list[str] = []
    for configuration in CONFIGURATIONS[kind]:
        line, why = row(configuration)
        yield line
        notes += why
    yield ""
    for note in notes:
        yield f"* {note}"
    if notes:
        yield ""


def main(path: str) -> None:
    lines = [HEAD]
    for family, kinds in ops.FAMILIES.items():
        lines.append(f"## {family.capitalize()}\n")
        for kind in kinds:
            lines += page(kind)
    Path(path).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
