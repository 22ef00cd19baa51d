"""False alarms on correct networks, and the smallest error caught, beside the peers.

    python benchmarks/verdicts.py                 # everything, about half an hour on two cores
    python benchmarks/verdicts.py --cases 2000    # a shorter first part
    python benchmarks/verdicts.py --networks 40   # a shorter second part

Part 1 runs a campaign of correct networks of the whole vocabulary over all lanes, in float64
and float32, counts every verdict that is not PASS, and says for each operator at which
resolution it was verified.  Part 2 multiplies the gradient of one parameter by 1 + e on
float64 networks of the generic lane, for e = 1e-1, 1e-2, ..., and asks our verdict,
`torch.autograd.gradcheck` (slow and fast mode) and `jax.test_util.check_grads`, each with
its defaults, on the very same network, values and wrong gradient.  Part 3 asks the peers the
same of correct ReLU networks with integer data.  The tables are Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from peers import CAUGHT, FAST, JAX, OURS, SLOW, Network, ask, scaled

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, Case, draw_case, stream
from backproof.architectures.files import dumps
from backproof.architectures.generation import Limits, generate
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, ReLU
from backproof.campaign import Options, run
from backproof.checkers.verdict import reference_subject
from backproof.reports.events import AnyEvent, CaseFinished, ControlFinished
from backproof.reports.summary import summarise

ERRORS = [10.0**-k for k in range(1, 15)]
SHARE = 0.99
PEERS = (OURS, SLOW, FAST, JAX)


def false_alarms(cases: int, workers: int, seed: int) -> None:
    """Part 1: correct networks, every lane, both dtypes."""
    counts: Counter[tuple[str, str, str]] = Counter()
    alarms: list[str] = []

    def alarm(*lines: str) -> None:
        alarms.append(" ".join(lines))
        print(alarms[-1], file=sys.stderr, flush=True)

    controls: Counter[bool] = Counter()
    kept: list[AnyEvent] = []

    def listen(event: AnyEvent) -> None:
        kept.append(event)
        if isinstance(event, CaseFinished):
            status = event.verdict.status
            counts[event.lane, event.dtype, status] += 1
            if status in ("FAIL", "ERROR"):
                reason = f"{status} {event.verdict.reason}"
                alarm(f"{event.id} seed {event.seed}", reason, dumps(event.architecture))
            done = sum(counts.values())
            if done % 500 == 0:
                print(f"{done} cases, {len(alarms)} alarms", file=sys.stderr, flush=True)
        elif isinstance(event, ControlFinished):
            controls[event.caught] += 1
            if not event.caught:
                blamed = f"{event.verdict.status} {event.verdict.operator}, not {event.expected}"
                alarm(f"{event.id}: {event.fault} at {event.site}", blamed, event.verdict.reason)

    run(Options(cases=cases, seed=seed, workers=workers), listen)
    statuses = ["PASS", "FAIL", "ERROR", "INCONCLUSIVE"]
    print("## Correct networks\n\nThe whole vocabulary, every lane, both dtypes.\n")
    print("| lane | dtype | cases | " + " | ".join(statuses) + " |")
    print("| --- | --- " + "| ---: " * (1 + len(statuses)) + "|")
    for lane, dtype in sorted({key[:2] for key in counts}):
        row = [counts[lane, dtype, status] for status in statuses]
        print(f"| {lane} | {dtype} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    total = [sum(n for key, n in counts.items() if key[2] == s) for s in statuses]
    print(f"| all | both | {sum(total)} | " + " | ".join(map(str, total)) + " |")
    print(f"\nPlanted faults caught: {controls[True]} of {sum(controls.values())}.\n")
    for line in alarms:
        print(f"{line}\n")
    summary = summarise(kept)
    found = summary.coverage
    print(f"Pairs of neighbours verified: {found.verified:,} of {found.possible:,}.")
    resolutions(kept)


def resolutions(events: list[AnyEvent]) -> None:
    """The smallest relative error that would have been caught, operator by operator."""
    tables = {
        dtype: {row.name: row for row in summarise(
            e for e in events
            if isinstance(e, CaseFinished) and (e.dtype, e.lane) == (dtype, "generic")
        ).operators}
        for dtype in DTYPES
    }  # fmt: skip
    print("\n## Resolution\n")
    print("On the generic lane the smallest relative error that would have been caught, in the")
    print("median case and in the worst.\n")
    print("| operator | cases | float64 median | worst | float32 median | worst |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in sorted({*tables["float64"], *tables["float32"]}):
        rows = [tables[dtype].get(name) for dtype in DTYPES]
        cases = sum(sum(row.cases.values()) for row in rows if row)
        cells = [
            "-" if row is None or value is None else f"{value:.0e}"
            for row in rows
            for value in ((row.resolution.median, row.resolution.worst) if row else (None, None))
        ]
        print(f"| {name} | {cases:,} | " + " | ".join(cells) + " |")
    print()


# --- the same wrong gradient for everybody -------------------------------------------


def flags(peer: str, case: Case, name: str, error: float) -> bool:
    """Whether a checker objects to one parameter's gradient times 1 + error."""
    network = Network(case, scaled(name, error), tuple(case.parameters))
    return ask(peer, network)[0] in CAUGHT


def cases_of(count: int, seed: int) -> list[tuple[Case, str]]:
    """Networks of the generic lane, and the parameter to go wrong."""
    found: list[tuple[Case, str]] = []
    drawn = generate(Limits(), "generic", "float64", seed, 3 * count)
    for i, a in enumerate(drawn):
        case = draw_case(a, seed * 1000 + i)
        _, g = reference_subject(case)
        names = [n for n in a.parameters if np.linalg.norm(g[n]) > 1e-3]
        if names and len(found) < count:
            found.append((case, str(stream(i, "which").choice(names))))
    return found


def smallest_caught(count: int, seed: int) -> None:
    """Part 2: the share of wrong gradients that each checker flags, by relative error."""
    cases = cases_of(count, seed)
    rates = {
        peer: [np.mean([flags(peer, c, n, e) for c, n in cases]) for e in ERRORS] for peer in PEERS
    }
    alarms = {peer: np.mean([flags(peer, c, n, 0.0) for c, n in cases]) for peer in PEERS}
    print(f"## Beside the peers\n\n{len(cases)} networks; one parameter's gradient times 1 + e.\n")
    print("| e | " + " | ".join(PEERS) + " |\n| --- " + "| ---: " * len(PEERS) + "|")
    for row, e in enumerate(ERRORS):
        print(f"| {e:.0e} | " + " | ".join(f"{rates[p][row]:.1%}" for p in PEERS) + " |")
    print("| correct | " + " | ".join(f"{alarms[p]:.1%}" for p in PEERS) + " |")
    for peer in PEERS:
        caught = [e for e, rate in zip(ERRORS, rates[peer], strict=True) if rate >= SHARE]
        words = f"{min(caught):.0e}" if caught else "none"
        print(f"\nsmallest error caught in {SHARE:.0%} by {peer}: {words}")


def integer_relu(count: int) -> None:
    """Part 3: correct ReLU networks with integer data, where ties are frequent."""
    cases = []
    for seed in range(count):
        rng = stream(seed, "sizes")
        n, m, k, rows = (int(v) for v in rng.integers(2, 5, size=4))
        a = Architecture((rows, n), (Dense(m), ReLU(), Dense(k)), SquaredError())
        cases.append((draw_case(a, seed, lane="tie"), "layers.0.weight"))
    print("\n| correct ReLU networks, integer data | false alarms |\n| --- | ---: |")
    for peer in PEERS:
        print(f"| {peer} | {np.mean([flags(peer, c, n, 0.0) for c, n in cases]):.1%} |")


def main() -> None:
    """Run the three parts, each as long as its option says; 0 leaves it out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=20_000, help="of part 1")
    parser.add_argument("--networks", type=int, default=200, help="of part 2 and 3")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    given = parser.parse_args()
    if given.output:
        sys.stdout = given.output.open("w", encoding="utf-8")
    print("# Verdicts: false alarms, and the smallest error caught\n")
    print(f"`python benchmarks/{Path(__file__).name} --cases {given.cases} "
          f"--networks {given.networks} --seed {given.seed}`\n")  # fmt: skip
    if given.cases:
        false_alarms(given.cases, given.workers, given.seed)
    if given.networks:
        smallest_caught(given.networks, given.seed)
        integer_relu(given.networks)


if __name__ == "__main__":
    main()
