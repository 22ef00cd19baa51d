"""Checks of one function beside torch.autograd.gradcheck: what they see, what they cost.

    python benchmarks/functions.py                # a few minutes on two cores

The same functions, values and wrong gradients for all: two dense layers with tanh, one of
whose weight gradients is multiplied by 1 + e; and correct networks with ReLU and integer
data.  Each checker has its defaults.  The tables are Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import backproof

ERRORS = [10.0**-k for k in range(1, 13)]
Network = Callable[..., Tensor]


class Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by 1 + e."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, e: float) -> Tensor:
        ctx.e = e
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor, None]:
        return bars[0] * (1 + ctx.e), None


def network(activation: Callable[[Tensor], Tensor], e: float) -> Network:
    """Two dense layers; the first weight's gradient off by e."""

    def f(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        w: Any = Scaled.apply(first, e)  # type: ignore[no-untyped-call]
        return activation(x @ w) @ second

    return f


def ours(f: Network, inputs: list[Tensor]) -> bool:
    return bool(backproof.gradcheck(f, inputs, raise_exception=False))


def slow(f: Network, inputs: list[Tensor]) -> bool:
    return torch.autograd.gradcheck(f, inputs, raise_exception=False)


def fast(f: Network, inputs: list[Tensor]) -> bool:
    return torch.autograd.gradcheck(f, inputs, raise_exception=False, fast_mode=True)


CHECKERS = {"backproof": ours, "gradcheck, slow": slow, "gradcheck, fast": fast}


def drawn(seed: int, *, whole: bool) -> list[Tensor]:
    """An input and two weights, Gaussian or small integers."""
    g = torch.Generator().manual_seed(seed)
    shapes = ((4, 5), (5, 6), (6, 3))
    if whole:
        values = [torch.randint(-2, 3, s, generator=g).double() for s in shapes]
    else:
        values = [torch.randn(s, generator=g, dtype=torch.float64) for s in shapes]
    return [v.requires_grad_() for v in values]


def table(networks: int) -> None:
    """Detection, false alarms and time."""
    caught: defaultdict[tuple[float, str], int] = defaultdict(int)
    alarms: defaultdict[str, int] = defaultdict(int)
    seconds: defaultdict[str, float] = defaultdict(float)
    for seed in range(networks):
        inputs, integers = drawn(seed, whole=False), drawn(seed, whole=True)
        for name, verified in CHECKERS.items():
            for e in (*ERRORS, 0.0):
                began = time.perf_counter()
                caught[e, name] += not verified(network(torch.tanh, e), inputs)
                seconds[name] += time.perf_counter() - began
            alarms[name] += not verified(network(torch.relu, 0.0), integers)
    print(f"{networks} networks; one parameter's gradient times 1 + e.\n")
    print("| e | " + " | ".join(CHECKERS) + " |")
    print("| --- " + "| ---: " * len(CHECKERS) + "|")
    for e in (*ERRORS, 0.0):
        row = (f"{caught[e, name] / networks:.0%}" for name in CHECKERS)
        print(f"| {f'{e:.0e}' if e else 'correct'} | " + " | ".join(row) + " |")
    print("\n| | " + " | ".join(CHECKERS) + " |")
    print("| --- " + "| ---: " * len(CHECKERS) + "|")
    shares = (f"{alarms[name] / networks:.0%}" for name in CHECKERS)
    print("| false alarms, correct ReLU networks, integer data | " + " | ".join(shares) + " |")
    ratios = (f"{seconds[name] / seconds['gradcheck, slow']:.1f}" for name in CHECKERS)
    print("| time, as a multiple of gradcheck's slow mode | " + " | ".join(ratios) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description="One function, beside gradcheck.")
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    given = parser.parse_args()
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    print("# One function, beside gradcheck\n")
    print(f"`python benchmarks/functions.py --networks {given.networks}`\n")
    table(given.networks)


if __name__ == "__main__":
    main()
