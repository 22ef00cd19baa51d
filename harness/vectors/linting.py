"""Is a corpus what it says?  Everything in it is computed again; each defect is one sentence.

The frameworks are not asked again: they confirmed the values when the corpus was made, and
here these must be what the reference gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backproof.architectures.cases import Case, draw_case
from backproof.checkers.asking import bit_for_bit
from backproof.checkers.outcome import NEEDED
from backproof.checkers.ties import distance_to_hull
from backproof.planting import BY_NAME
from backproof.reference.arrays import Array, Arrays
from backproof.vectors import page
from backproof.vectors.format import (
    GROUPS,
    Corpus,
    CorpusError,
    Vector,
    case_of,
    expected_of,
    path_of,
    read_tensors,
    schema,
    tensors_of,
)
from backproof.vectors.judging import Expected, judge
from backproof.vectors.making import DOUBTLESS, SURELY, Unfit, expect, told_apart

SCATTER = 0.25
"""How far a bound may be from one that is measured again, relatively.

The root mean square of 256 draws scatters by 1 / sqrt(512), and Student's factor for one
false alarm in 10^7 is 5.5 of that.
"""


def defects(folder: Path, corpus: Corpus) -> Iterator[str]:
    """Everything that is wrong with a corpus that could be read."""
    yield from _files(folder, corpus)
    yield from _groups(corpus)
    yield from _notes(corpus)
    for vector in corpus.vectors:
        try:
            for defect in _vector(folder, vector):
                yield f"{vector.id}: {defect}"
        except CorpusError as error:
            yield str(error)


# --- the corpus -------------------------------------------------------------------------


def _files(folder: Path, corpus: Corpus) -> Iterator[str]:
    for name, content in (("schema.json", schema()), ("README.md", page.write(corpus).encode())):
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            yield f"{path} is not what `backproof vectors generate` writes"
    known = {path_of(folder, vector) for vector in corpus.vectors}
    for path in sorted((folder / "data").glob("*")):
        if path not in known:
            yield f"{path} belongs to no vector"


def _groups(corpus: Corpus) -> Iterator[str]:
    if not corpus.vectors:
        yield "the corpus has no vectors"
    for id, count in Counter(vector.id for vector in corpus.vectors).items():
        if count > 1:
            yield f"{id} stands {count} times in the corpus"
    for vector in corpus.vectors:
        if not vector.groups or vector.groups != GROUPS[GROUPS.index(vector.groups[0]) :]:
            yield f"{vector.id}: groups must be nested: smoke in must in full"
    covered = {name for vector in corpus.vectors for name in vector.architecture.operators}
    scope = corpus.scope
    for name in (*scope.operators, *scope.losses, *scope.penalties):
        if name not in covered:
            yield f"{name} is in the declared scope and in no vector"


def _notes(corpus: Corpus) -> Iterator[str]:
    caught = {name for vector in corpus.vectors for name in vector.catches}
    for name in sorted(caught ^ corpus.notes.keys()):
        where = "in no vector" if name in corpus.notes else "without a note"
        yield f"the fault {name} is {where}"
    for name, note in corpus.notes.items():
        if name not in BY_NAME:
            yield f"there is no fault {name}"
        elif note != BY_NAME[name].summary:
            yield f"the note on {name} must be {BY_NAME[name].summary!r}"


# --- a vector ---------------------------------------------------------------------------


def _vector(folder: Path, vector: Vector) -> Iterator[str]:
    arrays = read_tensors(path_of(folder, vector), vector.sha256)
    case, stored = case_of(vector, arrays), expected_of(vector, arrays)
    if vector.title != str(vector.architecture):
        yield f"title must be {str(vector.architecture)!r}"
    if len(set(vector.checkers)) < NEEDED:
        yield f"{len(set(vector.checkers))} checkers confirm it, must be {NEEDED} at least"
    yield from _drawn(vector, arrays, stored)
    yield from _bounded(case, stored)
    try:
        again = expect(case)
    except Unfit as reason:
        yield f"no vector can be made of its values: {reason}"
        return
    yield from _same(case, stored, again)
    yield from _caught(vector, dict(told_apart(case, stored)))


def _drawn(vector: Vector, arrays: Arrays, stored: Expected) -> Iterator[str]:
    """The case must be the one that its seed gives."""
    case = draw_case(vector.architecture, vector.seed, vector.lane, vector.dtype)
    must = tensors_of(case, stored)
    for name in sorted(arrays.keys() - must.keys()):
        yield f"{name} is no tensor of this vector"
    for name, array in must.items():
        found = arrays[name]
        if found.dtype != array.dtype:
            yield f"{name} is {found.dtype}, must be {array.dtype}"
        elif not np.array_equal(found, array):
            yield f"{name} is not what the seed {vector.seed} gives"


def _bounded(case: Case, stored: Expected) -> Iterator[str]:
    exact = bit_for_bit(case)
    words = "zero, as every bit is exact" if exact else "positive and finite"
    of_norms = {n: np.asarray(bound) for n, bound in stored.norm_bounds.items()}
    of_ties = {"the hull": np.asarray(stored.tolerance)} if stored.depends else {}
    for name, bound in (*stored.bounds.items(), *of_norms.items(), *of_ties.items()):
        if not (bound == 0 if exact else (bound > 0) & np.isfinite(bound)).all():
            yield f"a bound of {name} is not {words}"


def _same(case: Case, stored: Expected, again: Expected) -> Iterator[str]:
    """The values must agree within their bounds, the bounds as far as they can be measured."""
    given = {name: value.astype(case.dtype) for name, value in again.values.items()}
    for c in judge(stored, given, case.dtype):
        if c.status != "PASS":
            yield f"expected/{c.tensor} is not what the reference gives: it {c.reason}"
    for name, bound in again.bounds.items():
        whole = np.asarray(stored.norm_bounds[name]), np.asarray(again.norm_bounds[name])
        if not (_close(stored.bounds[name], bound) and _close(*whole)):
            yield f"a bound of {name} is not what rounding gives"
    if stored.depends.keys() != again.depends.keys() or any(
        not np.array_equal(mask, again.depends[name]) for name, mask in stored.depends.items()
    ):
        yield "depends does not mask the entries that depend on the convention"
    elif stored.depends:
        if not _close(np.asarray(stored.tolerance), np.asarray(again.tolerance)):
            yield "the tolerance of the hull is not what rounding gives"
        pairs = (stored.alternatives, again.alternatives), (again.alternatives, stored.alternatives)
        if any(distance_to_hull(b, row) > again.tolerance for a, b in pairs for row in a):
            yield "alternatives are not the gradients on the pieces around the tie"


def _close(bound: Array, again: Array) -> bool:
    return bool((np.abs(bound - again) <= SCATTER * again).all())


def _caught(vector: Vector, ratios: dict[str, float]) -> Iterator[str]:
    """What is surely caught must be named, and what is named caught, wherever it is measured."""
    if not vector.catches:
        yield "it catches no fault"
    for name in vector.catches:
        if ratios.get(name, 0.0) <= SURELY - 1:
            yield f"it is said to catch {name} and does not"
    for name, ratio in ratios.items():
        if ratio > DOUBTLESS and name not in vector.catches:
            yield f"it catches {name} and does not say so"
