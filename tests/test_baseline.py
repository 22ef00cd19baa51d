"""Known failures: their ids, whom they excuse, and what becomes of them."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers_networks import network

from backproof import baseline
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.files import ArchitectureError
from backproof.baseline import Baseline, Entry, derived_id, excuse, same_failure
from backproof.campaign import run
from backproof.checkers.checks import Check
from backproof.checkers.verdict import Verdict
from backproof.failures import FailureFile, dumps, record
from backproof.jobs import Options
from backproof.replaying import Saved, keep, of_folder, replay
from backproof.reports.events import AnyEvent, CaseKnown, Replayed
from backproof.resuming import kept

TODAY = datetime.date(2026, 11, 28)
ONE = network(ops.Dense(1), input=(1, 1))
TWO = network(ops.Dense(2), input=(1, 1))
WRONG = Verdict("FAIL", "layers.0.bias disagrees", operator="dense", tensor="layers.0.bias")
SUBJECT = "reference+bias_gradient_zero"


def file(a: Architecture = ONE, verdict: Verdict = WRONG, **changes: Any) -> FailureFile:
    case = draw_case(a, 3, "generic", changes.pop("dtype", "float64"))
    found = record(
        case, verdict, id="case-00000", subject=SUBJECT, replay="backproof replay x",
        versions={"numpy": "2"}, checkers=("complex_step",),
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)


def entry(a: Architecture = ONE, verdict: Verdict = WRONG, **changes: Any) -> Entry:
    options = {k: changes.pop(k) for k in ("scope", "ticket", "expires") if k in changes}
    return baseline.entry_of(
        file(a, verdict, **changes), reason="an old kernel", today=TODAY, **options
    )


# --- ids ---------------------------------------------------------------------------------


def test_an_id_is_of_the_network_the_place_and_the_dtype_alone() -> None:
    id = derived_id(ONE, WRONG, "float64")
    assert id.startswith("dense-bias-float64-") and len(id) == len("dense-bias-float64-") + 10
    other_words = msgspec.structs.replace(WRONG, reason="other words", resolution=1e-3)
    assert derived_id(ONE, other_words, "float64") == id
    others = [
        derived_id(TWO, WRONG, "float64"),
        derived_id(ONE, WRONG, "float32"),
        derived_id(ONE, msgspec.structs.replace(WRONG, tensor="layers.1.bias"), "float64"),
        derived_id(ONE, msgspec.structs.replace(WRONG, operator="relu"), "float64"),
    ]
    assert len({id, *others}) == 5


def test_an_id_does_not_depend_on_the_case_s_number_or_seed() -> None:
    first, second = (entry(id=name, seed=seed) for name, seed in (("case-1", 1), ("case-2", 2)))
    assert first.id == second.id


def test_what_fails_beyond_values_is_known_by_the_check_s_name() -> None:
    failed = Verdict("FAIL", "two calls differ", checks=(Check("scaled cotangent", "FAIL"),))
    assert derived_id(ONE, failed, "float64").startswith("scaled-cotangent-float64-")
    assert derived_id(ONE, Verdict("FAIL", "it crashed"), "float64").startswith("subject-float64-")


# --- excuses -----------------------------------------------------------------------------


def test_an_entry_excuses_its_own_minimal_network_and_no_other() -> None:
    known = (entry(),)
    assert excuse(known, WRONG, "float64", ONE) == known[0]
    assert excuse(known, WRONG, "float64", TWO) is None
    assert excuse(known, WRONG, "float32", ONE) is None
    assert excuse(known, WRONG, "float64") is None  # not reduced: nobody knows
    other = msgspec.structs.replace(WRONG, tensor="layers.0.weight")
    assert excuse(known, other, "float64", ONE) is None


def test_an_operator_s_entry_excuses_that_tensor_of_it_everywhere() -> None:
    known = (entry(scope="operator"),)
    elsewhere = msgspec.structs.replace(WRONG, tensor="layers.7.bias")
    assert excuse(known, elsewhere, "float64", TWO) == known[0]
    assert excuse(known, elsewhere, "float64") == known[0]
    assert excuse(known, elsewhere, "float32") is None
    for change in ({"tensor": "layers.7.weight"}, {"operator": "relu"}):
        assert excuse(known, msgspec.structs.replace(elsewhere, **change), "float64") is None
    crashed = Verdict("FAIL", "it crashed")
    assert excuse((entry(verdict=crashed, scope="operator"),), crashed, "float64") is None


def test_an_excuse_lasts_to_the_end_of_its_last_day_for_its_own_subject() -> None:
    known = (entry(expires=TODAY),)
    assert baseline.in_force(known, SUBJECT, TODAY) == known
    assert baseline.in_force(known, SUBJECT, TODAY + datetime.timedelta(days=1)) == ()
    assert baseline.in_force(known, "py:mine:net", TODAY) == ()
    assert entry().expires == TODAY + datetime.timedelta(days=baseline.LASTS)


# --- files -------------------------------------------------------------------------------


def test_a_baseline_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    written = baseline.ordered([entry(TWO), entry(ONE, ticket="T-1")])
    baseline.save(path, written)
    assert baseline.read(path) == written
    baseline.save(path, baseline.read(path))
    assert path.read_bytes() == baseline.dumps(written)


def test_a_change_is_a_few_lines_of_a_diff() -> None:
    before = baseline.dumps(baseline.ordered([entry(ONE), entry(TWO)])).decode().splitlines()
    later = TODAY + datetime.timedelta(days=5)
    seen = baseline.ordered([baseline.seen(entry(ONE), later), entry(TWO)])
    after = baseline.dumps(seen).decode().splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert '    "said": [],' in after and max(map(len, after)) < 120


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.replace('"reason": "an old kernel",', ""), "missing required field `reason`"),
        (lambda t: t.replace('"format": 1,\n "known"', '"format": 2,\n "known"'), "has format 2"),
        (lambda t: t.replace("2026-11-28", "soon"), "Invalid RFC ?3339"),
        (lambda t: t.replace('"units": 1', '"units": 2'), "its case is that of dense-bias-float64"),
        (lambda t: t.replace('"float64",', '"float16",'), "Invalid enum value"),
        (lambda t: t.replace('"scope": "network"', '"scope": "all"'), "Invalid enum value"),
        (lambda t: t.replace('"known": [', '"known": [') + "x", "malformed"),
    ],
)
def test_a_baseline_that_was_edited_badly_is_refused_with_its_place(
    change: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "known.json"
    text = baseline.dumps(baseline.ordered([entry()])).decode()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(ArchitectureError, match=words) as problem:
        baseline.read(path)
    assert str(problem.value).startswith(str(path))


def test_an_entry_stands_there_once(tmp_path: Path) -> None:
    baseline.save(tmp_path / "twice.json", Baseline(known=(entry(), entry())))
    with pytest.raises(ArchitectureError, match="stands there twice"):
        baseline.read(tmp_path / "twice.json")


def test_a_file_that_is_not_there_is_empty_where_that_is_allowed(tmp_path: Path) -> None:
    assert baseline.read(tmp_path / "absent.json", absent=True) == Baseline()
    with pytest.raises(ArchitectureError, match="No such file"):
        baseline.read(tmp_path / "absent.json")


def test_what_is_seen_again_keeps_what_was_said_of_it() -> None:
    old = baseline.ordered([entry(ticket="T-1")])
    later = TODAY + datetime.timedelta(days=9)
    new = baseline.entry_of(file(), reason="other", today=later)
    (now,) = baseline.updated(old, [new]).known
    assert (now.reason, now.ticket, now.first_seen, now.last_seen) == (
        "an old kernel", "T-1", TODAY, later,
    )  # fmt: skip
    assert now.expires == old.known[0].expires
    assert baseline.seen(now, TODAY).last_seen == later  # an older run takes nothing back


# --- replays -----------------------------------------------------------------------------


def judged(verdict: Verdict) -> Any:
    def judge(case: Case, file: FailureFile) -> Verdict:
        assert case.architecture == file.architecture
        return verdict

    return judge


MOVED = msgspec.structs.replace(WRONG, tensor="layers.0.weight")


@pytest.mark.parametrize(
    "verdict, days, outcome",
    [
        (WRONG, 0, "expected"),
        (Verdict("PASS"), 0, "fixed"),
        (MOVED, 0, "changed"),
        (Verdict("INCONCLUSIVE", "fog"), 0, "not_reached"),
        (Verdict("UNSUPPORTED", "no dense"), 0, "not_reached"),
        (Verdict("TIMEOUT", "asleep"), 0, "not_reached"),
        (Verdict("ERROR", "broken"), 0, "error"),
        (WRONG, 1, "expired"),
        (MOVED, 1, "changed"),
        (Verdict("INCONCLUSIVE", "fog"), 1, "expired"),
        (Verdict("PASS"), 1, "fixed"),
    ],
)
def test_what_becomes_of_a_known_failure(verdict: Verdict, days: int, outcome: str) -> None:
    known = entry(expires=TODAY)
    today = TODAY + datetime.timedelta(days=days)
    found = replay(Saved(known.id, known.case, known), SUBJECT, judged(verdict), (), today, 7.0)
    assert (found.outcome, found.known, found.at, found.verdict) == (outcome, True, 7.0, verdict)


def test_a_known_failure_of_another_subject_is_for_its_gate() -> None:
    known = entry(expires=TODAY - datetime.timedelta(days=9))
    saved = Saved(known.id, known.case, known)
    found = replay(saved, "py:mine:net", judged(Verdict("PASS")), (), TODAY, 0.0)
    assert (found.outcome, found.note) == ("elsewhere", f"it is of the subject {SUBJECT}")


@pytest.mark.parametrize(
    "verdict, known, outcome",
    [
        (Verdict("PASS"), (), "passed"),
        (WRONG, (), "failed"),
        (WRONG, (entry(),), "expected"),
        (WRONG, (entry(TWO),), "failed"),
        (WRONG, (entry(expires=TODAY - datetime.timedelta(days=1)),), "failed"),
        (Verdict("INCONCLUSIVE", "fog"), (), "not_reached"),
        (Verdict("ERROR", "broken"), (), "error"),
    ],
)
def test_what_becomes_of_a_failure_that_must_not_come_back(
    verdict: Verdict, known: tuple[Entry, ...], outcome: str
) -> None:
    found = replay(Saved("x", file()), SUBJECT, judged(verdict), known, TODAY, 0.0)
    assert (found.outcome, found.known) == (outcome, False)


def test_a_folder_of_failures_is_read_each_once_without_what_is_known(tmp_path: Path) -> None:
    assert of_folder(tmp_path / "absent") == ()
    for name, a in (("a", ONE), ("b", TWO), ("c", TWO)):
        (tmp_path / f"{name}.json").write_bytes(dumps(file(a)))
    assert [s.file.architecture for s in of_folder(tmp_path)] == [ONE, TWO]
    assert [s.file.architecture for s in of_folder(tmp_path, (entry(ONE),))] == [TWO]
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(ArchitectureError, match=r"d\.json: "):
        of_folder(tmp_path)


def test_two_subjects_that_fail_alike_are_two_saved_cases(tmp_path: Path) -> None:
    mine, theirs = file(), file(subject="py:theirs:net")
    paths = {keep(tmp_path, f) for f in (mine, theirs, mine, theirs)}
    assert len(paths) == 2
    assert sorted(s.file.subject for s in of_folder(tmp_path)) == sorted((SUBJECT, theirs.subject))
    left = of_folder(tmp_path, (entry(),))  # whose excuse is not the other's
    assert [s.file.subject for s in left] == [theirs.subject]


def test_after_an_interruption_every_saved_case_is_replayed_once() -> None:
    """Also two of one id, of two subjects."""
    saved = tuple(Saved("x", file(subject=name)) for name in ("py:a:net", "py:b:net"))
    options = Options(cases=2, checkers=("complex_step",), architecture=ONE)
    whole: list[AnyEvent] = []
    run(options, whole.append, saved=saved)
    again = [e for e in whole if isinstance(e, Replayed)]
    assert [e.note for e in again] == [f"it is of the subject py:{n}:net" for n in "ab"]
    for length in (1, 2, 3, 4):
        rest: list[AnyEvent] = []
        before = kept(whole[:length], options)
        run(options, rest.append, saved=saved, before=before)
        assert sum(isinstance(e, Replayed) for e in (*before, *rest)) == 2


def test_after_an_interruption_the_excuses_of_today_count() -> None:
    options = Options(cases=4, checkers=("complex_step",), architecture=ONE)
    whole: list[AnyEvent] = []
    run(options, whole.append)
    stream = [*whole[:3], CaseKnown(id="case-00000-generic-float64", known="x"), *whole[3:]]
    for excuses, left in (({"x"}, 1), ({"y"}, 0), ((), 0)):
        assert sum(isinstance(e, CaseKnown) for e in kept(stream, options, excuses)) == left


def test_one_known_claim_excuses_no_other() -> None:
    def failing(*names: str) -> Verdict:
        checks = tuple(Check(name, "FAIL", "why", "found") for name in names)
        return Verdict("FAIL", "a claim", checks=checks)

    known = entry(verdict=failing("repeatable"))
    both = failing("repeatable", "own loss")
    assert derived_id(ONE, both, "float64") == known.id
    assert excuse((known,), failing("repeatable"), "float64", ONE) == known
    assert excuse((known,), both, "float64", ONE) is None
    assert excuse((known,), failing("repeatable"), "float64", ONE, both) is None
    assert same_failure(failing("repeatable"), failing("repeatable"))
    assert not same_failure(failing("repeatable"), both)
    assert same_failure(both, failing("repeatable"))
