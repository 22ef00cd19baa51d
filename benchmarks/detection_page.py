"""The page that `detection.py` writes: tables in Markdown, made of rows of judgements."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from judging import Row, Size
from peers import CAUGHT, CHECKERS, COURSE, FAST, HIPS, JAX, OURS, SLOW, STRICT
from places import CLASS_OF, CONSTANT, WRONG, Place, Search
from scipy.stats import binomtest

CONFIDENCE = 0.95

ANYWAY = (
    "Missed is also a fault that stands only in networks to which a checker objects anyway, such "
    "as `tie_counted_twice` and `zero_over_zero`, which show at ties alone."
)

INTRODUCTION = f"""\
Everybody is handed the same function: the loss of a network as a function of all its
parameters and its input, with the gradients of the reference, faulty or not, as its backward
pass (`benchmarks/peers.py`). Cotangents inside the network, which Backproof usually looks at as
well, are withheld from it here.

* **{OURS}**: `verify`; FAIL is an objection, INCONCLUSIVE and ERROR are none.
* **{SLOW}**, **{FAST}**: `torch.autograd.gradcheck` with its defaults.
* **{JAX}**: `jax.test_util.check_grads` with its defaults, but `modes=("rev",)` and `order=1`: a
  backward pass has no forward mode and no second derivative.
* **{HIPS}**: `autograd.test_util.check_grads`, likewise.
* **{COURSE}**, **{STRICT}**: the loop of [Stanford's course](https://cs231n.github.io/neural-networks-3/#gradcheck),
  central differences with h = 1e-5 at ten random entries of every tensor, as many as its
  assignments take. It says that a relative error above 1e-2 "usually means the gradient is
  probably wrong" and that one above 1e-4 "should make you feel uncomfortable". Alarms are
  fewest by the first threshold, detection is best by the second, and its text defends either;
  so both stand here, and it may be judged by whichever is kinder.

In brackets stand exact (Clopper-Pearson) intervals of {CONFIDENCE:.0%}, as if the trials were
independent; those of one fault are not quite.
"""


def header(command: str) -> str:
    """The title, the command, and what it ran on."""
    libraries = ("numpy", "scipy", "torch", "jax", "autograd")
    found = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"# Side by side with other gradient checkers\n\n`{command}`\n\n"
        f"Python {platform.python_version()}, {found}; {os.cpu_count()} cores.\n\n{INTRODUCTION}"
    )


def share(count: int, total: int) -> str:
    """A share with its interval."""
    if not total:
        return "-"
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    low, high = (f"{100 * end:.0f}" for end in (interval.low, interval.high))
    percent = 100 * count / total
    rounded = f"{percent:.0f}" if count in (0, total) else f"{percent:.1f}"
    return f"{rounded}% ({low}-{high})"


def table(first: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is words and whose others are numbers."""
    lines = [first, ["---", *["---:"] * (len(first) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cells(rows: Sequence[Row], objects: Callable[[Row, str], bool]) -> list[str]:
    """For each checker the share of the rows in which it objects."""
    return [share(sum(objects(row, c) for row in rows), len(rows)) for c in CHECKERS]


def fault_of(row: Row) -> str:
    """The name of the fault that is planted; empty where none is."""
    return row.mistake.fault if isinstance(row.mistake, Place) else ""


def detection(rows: Sequence[Row], found: Search) -> str:
    """The share of planted faults that each checker catches, by class."""
    shown = [r for r in rows if isinstance(r.mistake, Place) and not r.mistake.faint]
    classes: dict[str, list[Row]] = {kind: [] for kind in dict.fromkeys(CLASS_OF.values())}
    for row in shown:
        classes[CLASS_OF[fault_of(row)]].append(row)
    real = [row for row in shown if CLASS_OF[fault_of(row)] != CONSTANT]
    constant = classes.pop(CONSTANT)
    named = {**classes, "**all of these**": real, f"{CONSTANT}, 1e-2 to 1e-10": constant}
    lines = []
    for kind, some in named.items():
        faults = {fault_of(row) for row in some}
        lines.append([kind, str(len(faults)), str(len(some)), *_cells(some, Row.caught)])
    text = "\n## Planted faults\n\n" + _about_places(shown, found) + "\n"
    text += table(["class of fault", "faults", "trials", *CHECKERS], lines)
    return text + "\n" + _beside(shown) + "\n" + _missed(shown)


def _about_places(shown: Sequence[Row], found: Search) -> str:
    each: dict[str, set[tuple[object, int]]] = {}
    for row in shown:
        each.setdefault(fault_of(row), set()).add((row.point.architecture, row.point.seed))
    least = min((len(points) for points in each.values()), default=0)
    networks = {(row.point.architecture, row.point.seed) for row in shown}
    off = sum(row.point.lane != "generic" for row in shown)
    return (
        f"{len(shown)} trials of {len(each)} of the catalogue's {len(WRONG)} faults that are wrong "
        f"(conventions at ties are not) in {len(networks)} networks, every fault in {least} or "
        f"more. A trial is a fault at a site where it shows: where a gradient that everybody is "
        f"handed is off by more than 1000 rounding deviations. At {found.tried['nothing']} "
        f"sites tried on the way it changed none of them, at {found.tried['faint']} by less. "
        f"{off} trials are of faults that show nowhere but at ties or extreme values. A "
        f"fault counts as caught by a checker that objects to it (an exception counts) and "
        f"not to the same network without it.\n"
    )


def _beside(shown: Sequence[Row]) -> str:
    """What the share does not tell: objections either way, and exceptions."""
    either = ", ".join(f"{c} {sum(r.either_way(c) for r in shown)}" for c in CHECKERS)
    raised = ", ".join(f"{c} {sum(r.said[c] == 'raised' for r in shown)}" for c in CHECKERS)
    undecided = sum(r.said[OURS] == "undecided" for r in shown)
    return (
        f"Trials in networks to which a checker objects without the fault too, so that it tells "
        f"nothing: {either}.\n\nOf the objections so many were exceptions, loud but not a verdict "
        f"(a gradient of None, or of a wrong shape): {raised}. Backproof was undecided in "
        f"{undecided} trials.\n"
    )


def _missed(shown: Sequence[Row]) -> str:
    """The faults that a checker catches in none of the networks."""
    names = sorted({fault_of(row) for row in shown})
    text = "### Faults missed in every network tried\n\n"
    missed = {
        checker: [n for n in names if not any(r.caught(checker) for r in shown if fault_of(r) == n)]
        for checker in CHECKERS
    }
    text += table(["", *CHECKERS], [[f"faults missed, of {len(names)}",
                                     *(str(len(missed[c])) for c in CHECKERS)]])  # fmt: skip
    for checker in CHECKERS:
        words = ", ".join(f"`{name}`" for name in missed[checker]) or "none"
        text += f"\n{checker}: {words}.\n"
    text += f"\n{ANYWAY}\n"
    if "bias_not_reduced" in missed[SLOW]:
        text += (
            "\n`bias_not_reduced` returns a bias gradient of the shape of the output: PyTorch sums "
            "it to the bias's shape itself, so there it is no fault.\n"
        )
    return text


def alarms(rows: Sequence[Row]) -> str:
    """Objections to right gradients."""
    right = [row for row in rows if row.mistake is None]
    words = {"generic": "generic values", "tie": "integer data, many ties"}
    lines = []
    for lane, label in words.items():
        some = [row for row in right if row.point.lane == lane]
        if some:
            lines.append([label, str(len(some)), *_cells(some, Row.either_way)])
    undecided = sum(row.said[OURS] == "undecided" for row in right)
    return (
        "\n## False alarms\n\nRandom networks, and those above, without any fault.\n\n"
        + table(["correct networks", "networks", *CHECKERS], lines)
        + f"\nBackproof was undecided in {undecided} of them.\n"
    )


def times(
    rows: Sequence[Row], scaling: Sequence[tuple[int, dict[str, tuple[float, float]]]]
) -> str:
    """Medians of the time of a judgement, beside ours."""
    kinds = {
        "right gradients, first judgement of a network": [
            r for r in rows if r.mistake is None and r.point.lane == "generic"
        ],
        "a planted fault, the network judged before": [
            r for r in rows if isinstance(r.mistake, Place) and r.point.lane == "generic"
        ],
    }
    text = (
        "\n## Time\n\nFor each judgement the time of a checker as a multiple of Backproof's on the "
        "same judgement: the median. Backproof is the slower one wherever a number is below 1. "
        "Its first verdict on a network compiles that for JAX; where it finds a disagreement it "
        "looks twice more.\n\n"
    )
    lines = []
    for kind, some in kinds.items():
        ours = statistics.median(r.seconds[OURS] for r in some)
        entries = statistics.median(r.entries for r in some)
        cells = [
            f"{statistics.median(r.seconds[c] / r.seconds[OURS] for r in some):.2g}"
            for c in CHECKERS
            if c != OURS
        ]
        lines.append([kind, f"{entries:.0f}", f"{1000 * ours:.0f} ms", *cells])
    others = [c for c in CHECKERS if c != OURS]
    text += table(["", "entries, median", OURS, *others], lines)
    text += (
        "\nPerceptrons of growing width (8 rows, two dense layers, tanh), right gradients; the "
        "others as multiples of Backproof's second verdict, the median of three.\n\n"
    )
    lines = []
    for size, took in scaling:
        first, again = took[OURS]
        cells = [f"{took[c][1] / again:.2g}" for c in others]
        lines.append([f"{size:,}", f"{1000 * first:.0f} ms", f"{1000 * again:.0f} ms", *cells])
    head = ["entries", f"{OURS}, first", f"{OURS}, again", *others]
    return text + table(head, lines) + "\n" + _slower(scaling)


def _slower(scaling: Sequence[tuple[int, dict[str, tuple[float, float]]]]) -> str:
    """The plain words about who is slower where."""
    sentences = []
    for checker in CHECKERS:
        if checker == OURS:
            continue
        wins = [f"{size:,}" for size, took in scaling if took[checker][1] < took[OURS][1]]
        if wins:
            at = "every size" if len(wins) == len(scaling) else f"{', '.join(wins)} entries"
            sentences.append(f"than {checker} at {at}")
    if not sentences:
        return "A second verdict is slower than none of them at these sizes.\n"
    return f"A second verdict is slower {'; '.join(sentences)}.\n"


def curves(
    rows: Sequence[Row], errors: Sequence[float]
) -> dict[str, Mapping[str, Sequence[float]]]:
    """For each kind of error, and for each checker, the share caught by size."""
    panels: dict[str, Mapping[str, Sequence[float]]] = {}
    for title, whole in (("the gradient of one parameter", True), ("one entry of it", False)):
        some = [
            (r, r.mistake.error)
            for r in rows
            if isinstance(r.mistake, Size) and (r.mistake.entry is None) == whole
        ]
        panels[title] = {
            c: [statistics.fmean(r.caught(c) for r, error in some if error == e) for e in errors]
            for c in CHECKERS
        }
    return panels


def by_size(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    errors: Sequence[float],
    networks: int,
    plot: str,
) -> str:
    """The curves as a picture and as tables."""
    text = (
        f"\n## By the size of the error\n\n{networks} networks; the gradient of one parameter "
        "times 1 + e, or a single entry of it, no smaller than 1e-3, chosen by chance.\n"
    )
    if plot:
        text += f"\n![Share caught by each checker against the relative error]({plot})\n"
    for title, curve in panels.items():
        lines = [
            [f"{e:.0e}", *(f"{curve[c][i]:.0%}" for c in CHECKERS)] for i, e in enumerate(errors)
        ]
        text += "\n" + table([f"{title}, e", *CHECKERS], lines)
    return text


def problems(rows: Sequence[Row]) -> list[str]:
    """What whoever runs this must look at: ours wrong about a network."""
    found = []
    for row in rows:
        said = row.said[OURS]
        if row.mistake is None and said in CAUGHT:
            found.append(f"ALARM {said}: {row.point}")
        elif isinstance(row.mistake, Place) and not row.mistake.faint and not row.caught(OURS):
            found.append(f"MISSED {said}: {row.mistake}")
    return found
