"""Exhaustive finite differences beside gradcheck, and the cost of a whole verdict.

    python benchmarks/speed.py

Both parts give ratios of times taken in turn in one run, medians over repetitions, and the
machine's own speed cancels.  Part 1: every entry of every parameter of three tanh networks,
by our finite differences (8 evaluations an entry, extrapolated, each with an error bound)
and by `torch.autograd.gradcheck` in slow mode (2 evaluations, no bound), with the greatest
error of each against the reference.  Part 2: `verify` with all four checkers, as a multiple
of one `jax.grad` (compiled) plus one `torch.autograd.grad` on the same case.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.generation import Limits, generate
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers import finite_differences, with_jax, with_torch
from backproof.checkers.probe import Probe
from backproof.checkers.verdict import reference_subject, verify

SIZES = ((4, 8, 8, 3), (10, 32, 32, 5), (64, 128, 64, 10))
BATCH = 8


def mlp(sizes: tuple[int, ...]) -> Case:
    """A tanh network of those sizes with a linear output, one case of it."""
    layers: list[Any] = []
    for units in sizes[1:]:
        layers += [Dense(units), Tanh()]
    a = Architecture((BATCH, sizes[0]), tuple(layers[:-1]), SquaredError("mean"))
    return draw_case(a, seed=1)


def seconds(action: Callable[[], Any]) -> float:
    """How long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def torch_network(case: Case) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The network in plain PyTorch, and its parameters."""
    import torch

    x, t = torch.tensor(np.array(case.input)), torch.tensor(np.array(case.target))
    values = tuple(torch.tensor(np.array(v), requires_grad=True) for v in case.parameters.values())

    def loss(*parameters: Any) -> Any:
        y = x
        last = len(parameters) // 2 - 1
        for i in range(last + 1):
            y = torch.nn.functional.linear(y, parameters[2 * i], parameters[2 * i + 1])
            y = torch.tanh(y) if i < last else y
        return ((y - t) ** 2).mean()

    return loss, values


def gradcheck_error(case: Case) -> float:
    """The greatest error of gradcheck's numerical gradient, relative to the greatest entry."""
    loss, values = torch_network(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numerical: Any = import_module("torch.autograd.gradcheck").get_numerical_jacobian
        jacobians = numerical(lambda inputs: loss(*inputs), values, eps=1e-6)
    flat = [j.reshape(-1).numpy() for j in jacobians]
    return _error(case, dict(zip(case.parameters, flat, strict=True)))


def _error(case: Case, found: dict[str, Any]) -> float:
    _, g = reference_subject(case)
    names = list(case.parameters)
    worst = max(float(np.max(np.abs(found[n].ravel() - g[n].ravel()))) for n in names)
    return worst / max(float(np.max(np.abs(g[n]))) for n in names)


def exhaustive(repetitions: int) -> None:
    """Part 1."""
    from torch.autograd import gradcheck

    print("| parameters | ours, ms | gradcheck, ms | ratio | our greatest error | its |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for sizes in SIZES:
        case = mlp(sizes)
        loss, values = torch_network(case)
        probe = Probe(case)

        def ours(probe: Probe = probe, case: Case = case) -> dict[str, Any]:
            return {n: finite_differences.every_entry(probe, n)[0] for n in case.parameters}

        def theirs(loss: Any = loss, values: Any = values) -> bool:
            return gradcheck(loss, values, raise_exception=False)

        ours(), theirs()
        times = [(seconds(ours), seconds(theirs)) for _ in range(repetitions)]
        mine, its = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        count = sum(v.size for v in case.parameters.values())
        print(f"| {count:,} | {mine * 1e3:.2f} | {its * 1e3:.0f} | {ratio:.0f} "
              f"| {_error(case, ours()):.0e} | {gradcheck_error(case):.0e} |")  # fmt: skip


def differentiate(case: Case) -> None:
    """One gradient by JAX and one by PyTorch."""
    with_jax.estimate(case)
    with_torch.estimate(case)


def verdict_cost(count: int) -> None:
    """Part 2."""
    ratios, cold = [], []
    for i, a in enumerate(generate(Limits(), "generic", "float64", 3, count)):
        case = draw_case(a, seed=i)
        cold.append(seconds(partial(verify, case)))
        bare = min(seconds(partial(differentiate, case)) for _ in range(3))
        whole = min(seconds(partial(verify, case)) for _ in range(3))
        ratios.append(whole / bare)
        cold[-1] = cold[-1] / bare
    quantiles = statistics.quantiles(ratios, n=10)
    print(f"\n{count} random networks of the generic lane, float64: a whole verdict costs "
          f"{statistics.median(ratios):.1f} times one `jax.grad` (compiled) plus one "
          f"`torch.autograd.grad` (10% to 90%: {quantiles[0]:.1f} to {quantiles[-1]:.1f}); the "
          f"first verdict on a network, which compiles it for JAX, "
          f"{statistics.median(cold):.0f} times.")  # fmt: skip


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    given = parser.parse_args()
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    print("# Speed\n\n`python benchmarks/speed.py`\n")
    exhaustive(given.repetitions)
    verdict_cost(given.networks)


if __name__ == "__main__":
    main()
