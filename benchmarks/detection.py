"""What Backproof and other gradient checkers find of the same planted faults, side by side.

    python benchmarks/detection.py --output docs/comparison.md --plot docs/comparison.svg
    python benchmarks/detection.py --networks 60 --faults 2     # shorter

The faults of the catalogue are planted in networks where they show (`places.py`); every
checker is handed the same function, values and gradients (`peers.py`).  Counted are the faults
that are caught; the alarms on correct networks, of the generic lane and with integer data;
the time; and, for a constant relative error in the gradient of one parameter or in one
of its entries, the share that is caught by its size.  The tables are Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

import detection_page as page
from curves import draw
from judging import Group, Size, grouped, judged, sizes, warm_up
from peers import CHECKERS, Network, all_names, ask
from places import LEAST, WRONG, random_points, search

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.architectures.losses import SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers.verdict import reference_subject

ERRORS = [10.0**-k for k in range(1, 15)]
WIDTHS = (4, 16, 64)
REPETITIONS = 3
POOL = 300
"""Random networks in which places for faults are looked for, however few are judged without."""


def scaling() -> list[tuple[int, dict[str, tuple[float, float]]]]:
    """For perceptrons of growing width: entries, and each checker's first and later seconds."""
    warm_up()
    found = []
    for width in WIDTHS:
        layers = (Dense(width), Tanh(), Dense(width))
        case = draw_case(Architecture((8, width), layers, SquaredError()), 1)
        network = Network(case, reference_subject, all_names(case))
        took = {}
        for checker in CHECKERS:
            seconds = [ask(checker, network)[1] for _ in range(1 + REPETITIONS)]
            took[checker] = (seconds[0], statistics.median(seconds[1:]))
        found.append((sum(v.size for v in network.values), took))
    return found


def main() -> None:
    """Judge everything, and write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--networks", type=int, default=400, help="correct ones, of each lane")
    parser.add_argument("--faults", type=int, default=6, help="the most places of each fault")
    parser.add_argument("--sizes", type=int, default=60, help="networks for the curves")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file to write instead of the terminal")
    parser.add_argument("--plot", type=Path, help="an SVG file for the curves")
    given = parser.parse_args()

    drawn = random_points("generic", max(given.networks, POOL), given.seed)
    generic, tied = drawn[: given.networks], random_points("tie", given.networks, given.seed)
    found = search(drawn, given.faults, given.seed)
    if scarce := [fault.name for fault in WRONG if found.count(fault.name) < LEAST]:
        print(f"fewer than {LEAST} places: {', '.join(scarce)}", file=sys.stderr)
    errors = list(sizes(given.sizes, given.seed + 1, ERRORS))
    groups: list[Group] = [*grouped([*generic, *tied], [*found.found, *found.faint]), *errors]
    rows = judged(groups, given.workers)
    for line in page.problems(rows):
        print(line, file=sys.stderr)

    panels = page.curves(rows, ERRORS)
    if given.plot:
        draw(given.plot, ERRORS, panels)
    command = (
        f"python benchmarks/detection.py --networks {given.networks} --faults {given.faults} "
        f"--sizes {given.sizes} --seed {given.seed}"
    )
    with_sizes = {id(r) for r in rows if isinstance(r.mistake, Size)}
    plain = [r for r in rows if id(r) not in with_sizes]
    text = (
        page.header(command)
        + page.detection(plain, found)
        + page.alarms(plain)
        + page.times(plain, scaling())
        + page.by_size(panels, ERRORS, len(errors), given.plot.name if given.plot else "")
    )
    if given.output:
        given.output.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
