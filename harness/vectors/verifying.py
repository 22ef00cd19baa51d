"""Results held against a corpus, vector by vector, and a name for what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from backproof.architectures.cases import Case
from backproof.checkers.outcome import FAN_OUT, Verdict, operator_at
from backproof.checkers.rounding import promote
from backproof.planting import BY_NAME
from backproof.reference.arrays import Array, Arrays
from backproof.reports.events import AnyEvent, CaseFinished, RunStarted, plain
from backproof.vectors.format import (
    Corpus,
    CorpusError,
    Vector,
    case_of,
    expected_of,
    path_of,
    read_tensors,
)
from backproof.vectors.judging import CHECKER, Expected, judge, worst
from backproof.vectors.making import wrong_results
from backproof.vectors.results import read_results

Status = Literal["PASS", "FAIL", "MISSING", "UNSUPPORTED"]


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one vector.

    `tensor` is the worst and `ratio` its error over its bound.  `fault`, at `site`, is the
    mistake that gives exactly these results, where one does.
    """

    id: str
    status: Status
    tensor: str = ""
    ratio: float = 0.0
    reason: str = ""
    fault: str = ""
    site: str = ""


def judge_all(
    folder: Path,
    vectors: Sequence[Vector],
    results: Path,
    *,
    skip_missing: bool = False,
    skip_input: bool = False,
) -> Iterator[Judgement]:
    """Each of these vectors of the corpus in `folder`.  CorpusError for a file that is broken.

    `skip_missing` lets vectors have no results, `skip_input` results no gradient of the input.
    """
    if not results.is_dir():
        raise CorpusError(f"{results}: there is no such folder")
    for vector in vectors:
        arrays = read_tensors(path_of(folder, vector), vector.sha256)
        case, expected = case_of(vector, arrays), expected_of(vector, arrays)
        given = read_results(results, vector)
        if given is None:
            status: Status = "UNSUPPORTED" if skip_missing else "MISSING"
            yield Judgement(vector.id, status, reason="there are no results")
        else:
            if skip_input and "input" in expected.values and "input" not in given:
                expected = expected.without("input")
            yield _judge(vector, case, expected, given)


def _judge(vector: Vector, case: Case, expected: Expected, given: Arrays) -> Judgement:
    stray = next((name for name in given if name not in expected.values), None)
    if stray is not None:
        reason = f"is no gradient of this vector; there are {', '.join(expected.values)}"
        return Judgement(vector.id, "FAIL", stray, np.inf, f"{stray} {reason}")
    found = worst(judge(expected, given, case.dtype))
    if found.status == "PASS":
        return Judgement(vector.id, "PASS", found.tensor, found.ratio)
    reason = f"{found.tensor} {found.reason}"
    cause = cause_of(vector, case, expected, given)
    if cause is None:
        return Judgement(vector.id, "FAIL", found.tensor, found.ratio, reason)
    fault, site = cause
    place = site if site == FAN_OUT else f"{operator_at(case.architecture, site)} at {site}"
    words = f"{reason}; equals the gradient with {BY_NAME[fault].summary}, in {place}"
    return Judgement(vector.id, "FAIL", found.tensor, found.ratio, words, fault, site)


def cause_of(
    vector: Vector, case: Case, expected: Expected, given: Mapping[str, Array]
) -> tuple[str, str] | None:
    """(fault, site) of the first known mistake whose results are these, to within the bounds."""
    known = [BY_NAME[name] for name in vector.catches if name in BY_NAME]
    shapes = {name: value.shape for name, value in expected.values.items()}
    for (fault, site), wrong in wrong_results(promote(case), known):
        values = {name: wrong[name] for name in expected.values if name in wrong}
        if {n: v.shape for n, v in values.items()} != shapes:
            continue
        as_if_right = replace(expected, values=values, depends={})
        if all(c.status == "PASS" for c in judge(as_if_right, given, case.dtype)):
            return fault.name, site
    return None


def as_json(corpus: Corpus, judgements: Sequence[Judgement]) -> bytes:
    """The judgements as indented JSON."""
    found = {"corpus": corpus.version, "vectors": judgements}
    return msgspec.json.format(msgspec.json.encode(plain(found)), indent=1) + b"\n"


def as_events(corpus: Corpus, judgements: Sequence[Judgement], command: str) -> Iterator[AnyEvent]:
    """The judgements as a run's events, of which every report is a function."""
    yield RunStarted(
        subject="results",
        seed=corpus.seed,
        command=command,
        options={"corpus": corpus.version},
        checkers=(CHECKER,),
        versions={"corpus": str(corpus.version), "backproof": corpus.backproof},
    )
    vectors = {vector.id: vector for vector in corpus.vectors}
    for index, found in enumerate(judgements):
        vector = vectors[found.id]
        verdict = Verdict(
            "FAIL" if found.status == "MISSING" else found.status,
            found.reason,
            tensor=found.tensor if found.status == "FAIL" else "",
        )
        yield CaseFinished(
            index=index,
            id=vector.id,
            architecture=vector.architecture,
            lane=vector.lane,
            dtype=vector.dtype,
            seed=vector.seed,
            verdict=verdict,
        )
