"""The failures that a session in pytest keeps: which, by whom, and what they are good for."""

from __future__ import annotations

import functools
import json
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers_cli import QUICK, invoke
from helpers_pytest import (
    REPORT,
    RERUN,
    STRICT,
    Run,
    Verdicts,
    cases,
    decorated,
    failures,
    found,
    last,
    net,
)

from backproof import saving
from backproof.architectures.architecture import Architecture
from backproof.architectures.losses import SquaredError
from backproof.checkers.verdict import Verdict
from backproof.in_pytest import keeping
from backproof.in_pytest.keeping import Keeper, Shelf, first, place
from backproof.jobs import CaseSpec
from backproof.reports import events as stream
from backproof.reports.events import CaseKnown, FailureSaved
from backproof.reports.write import write
from backproof.shrinking import shrink

WRONG = Verdict("FAIL", "wrong")


def files(pytester: pytest.Pytester) -> list[str]:
    """What is in the folder of failures, without the digits of tests' names."""
    folder = pytester.path / "found" / "failures"
    found = sorted(folder.iterdir()) if folder.exists() else []
    return [f"{path.stem.rpartition('-')[0]}{path.suffix}" for path in found]


def written(folder: str) -> list[dict[str, Any]]:
    """The failures in a folder, without what they are called there."""
    read = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("failures/*.json"))]
    return [{k: v for k, v in file.items() if k not in ("id", "replay")} for file in read]


# --- what they are good for ---------------------------------------------------------------


@pytest.mark.usefixtures("run")  # for the module beside it alone
def test_a_failure_of_a_session_is_replayed_made_known_and_excused_by_the_gate(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "shrink", functools.partial(shrink, budget=60))
    asked = (*net("Wrong", 2), "--backproof-checker=complex_step", "--backproof-seed=3")
    result = pytester.runpytest_inprocess(*asked, REPORT)
    result.assert_outcomes(failed=1, passed=1)
    (one,) = failures(found(pytester))
    assert files(pytester) == [
        f"case-00000-generic-float64.{kind}" for kind in ("json", "md", "py")
    ]
    assert one.page.endswith(".md") and one.script.endswith(".py") and one.evidence is not None
    result.stdout.fnmatch_lines(
        [
            "FAIL  dense layers.0.bias in *-000-generic-float64",
            "  replay    pytest --backproof-subject=py:my_net:Wrong *",
            "---* backproof ---*",
            f"replay    backproof replay found/{one.path}",
            "===* backproof ===*",
            f"  replay    backproof replay found/{one.path}",
        ]
    )
    assert one.path in (pytester.path / "found" / "report.html").read_text()
    replayed = invoke(*one.replay.split()[1:])
    assert replayed.exit_code == 1 and "still fails" in replayed.output

    gate = ("gate", "py:my_net:Wrong", "--cases", "2", "--seed", "3", *QUICK, "--output")
    assert invoke(*gate, "before").exit_code == 1
    assert written("found") == written("before"), "the same, but for what it is called"
    update = invoke("baseline", "update", "found", "--reason", "issue 7")
    assert update.exit_code == 0 and "1 known failure" in update.output
    after = invoke(*gate, "after")
    assert after.exit_code == 0 and "issue 7" in after.output


# --- which --------------------------------------------------------------------------------


def test_without_a_folder_nothing_is_kept(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> None:
        raise AssertionError("not asked for")

    monkeypatch.setattr(keeping, "save_failure", never)
    verdicts[1] = WRONG
    result = run(*net())
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.no_fnmatch_line("*backproof replay*")
    assert {path.name for path in pytester.path.iterdir()} <= {
        "my_net.py", "tox.ini", "__pycache__", ".pytest_cache",
    }  # fmt: skip


def test_what_is_expected_to_fail_is_not_kept_and_takes_no_place(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_FAILURES", 1)
    verdicts.update({0: WRONG, 1: WRONG, 2: WRONG, 3: Verdict("TIMEOUT", "no answer")})
    decorated(
        pytester,
        "[Net], cases=2, checkers=['complex_step']",
        """with pytest.raises(AssertionError): check()
            assert check.job.cases[0].index == 0""",
    )
    test = pytester.path / "test_mine.py"
    test.write_text("import pytest\n" + test.read_text())
    pytester.makeini(f"{STRICT}backproof_expected_failures = *-000-*: issue 7\n")
    run(*net(), REPORT).assert_outcomes(failed=4, xfailed=1, passed=1)
    events = found(pytester)
    kept = {e.id.rpartition("::")[2]: bool(e.path) for e in failures(events)}
    known = {e.id.rpartition("::")[2] for e in events if isinstance(e, CaseKnown)}
    assert len(known) == 2 and not any(kept[id] for id in known)
    assert [kept[c.id.rpartition("::")[2]] for c in cases(events)] == [
        False, True, False, False, False, False,
    ], "of four that fail, one timed out, one of Net is kept"  # fmt: skip
    assert files(pytester) == [f"case-00001-generic-float64.{kind}" for kind in ("json", "md")]


def test_the_first_of_each_subject_in_the_order_of_the_plan_are_kept(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_FAILURES", 1)
    verdicts.update({1: WRONG, 2: WRONG})
    decorated(pytester, "[Net, both], cases=3, checkers=['complex_step']")
    result = run(*net(), REPORT)
    result.assert_outcomes(failed=6, passed=4)
    events = found(pytester)
    kept = [e for e in failures(events) if e.path]
    assert [e.id.split("-")[0] for e in kept] == [
        "backproof::py:my_net:Net::tanh+dense+squared_error", "test_mine.py::test_backward[both",
    ]  # fmt: skip
    there = {str(path.relative_to(pytester.path)) for path in pytester.path.glob("found/*/*")}
    named = {f"found/{name}" for e in kept for name in (e.path, e.script, e.page) if name}
    assert there == named, "what tests of Net had put there for a while is gone"
    others = [e for e in failures(events) if not e.path]
    assert len(others) == 4 and all(e.replay.startswith("pytest ") for e in others)
    shown = [line for line in result.outlines if line.startswith("replay    backproof replay ")]
    assert len(shown) == 2
    verdicts.clear()
    run(*net(), REPORT).assert_outcomes(passed=10)
    assert files(pytester) == [], "nor is what an earlier session kept"


def saved(id: str) -> FailureSaved:
    minimal = Architecture(input=(1, 1), layers=(), loss=SquaredError())
    return FailureSaved(
        at=0.0, id=id, minimal=minimal, verdict=WRONG, path=f"failures/{id}.json", script="",
        replay="",
    )  # fmt: skip


def reducing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reductions that take no time."""

    def save_failure(job: Any, spec: CaseSpec, *given: Any) -> FailureSaved:
        return saved(str(spec.index))

    monkeypatch.setattr(keeping, "save_failure", save_failure)


def test_the_first_are_the_same_however_many_workers_there_are_and_whoever_is_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reducing(monkeypatch)
    monkeypatch.setattr(keeping, "MOST_FAILURES", 3)
    chance = random.Random(0)
    ids = [f"id-{number:02d}" for number in range(20)]
    for workers in (1, 2, 3, 7):
        failing = sorted(chance.sample(ids, chance.randrange(12)))
        keepers, shelf = [Keeper(tmp_path, ids) for _ in range(workers)], Shelf()
        order = chance.sample(failing, len(failing))
        for id in order:
            spec = CaseSpec(ids.index(id), "generic", "float64", 0, False)
            check: Any = SimpleNamespace(job=SimpleNamespace(subject="s", cases=(spec,)), replay="")
            keeper = chance.choice(keepers)
            keeper.keep(id, check, WRONG)
            if (kept := keeper.take(id)) is not None:
                shelf.put("s", place({i: n for n, i in enumerate(ids)}, id, spec.index), kept)
        assert sorted(shelf.kept) == failing[:3]


def test_a_worker_leaves_out_what_cannot_be_among_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reducing(monkeypatch)
    monkeypatch.setattr(keeping, "MOST_FAILURES", 2)
    keeper = Keeper(tmp_path, [])
    answers = []
    for index in (0, 1, 2, 3):
        spec = CaseSpec(index, "generic", "float64", 0, False)
        check: Any = SimpleNamespace(
            job=SimpleNamespace(subject="s", cases=(spec,)), replay=""
        )  # all it asks
        answers.append(keeper.keep(f"test[{index}]", check, WRONG) is not None)
    assert answers == [True, True, False, False]
    keeper.forget("test[0]")
    assert keeper.keep("test[3]", check, WRONG) is None, "it is the third that is left"
    keeper.forget("test[1]")
    assert keeper.keep("test[3]", check, WRONG) is not None


def test_a_test_that_catches_its_failures_has_few_of_them_reduced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reducing(monkeypatch)
    keeper = Keeper(tmp_path, [])

    def kept(id: str) -> bool:
        spec = CaseSpec(0, "generic", "float64", 0, False)
        check: Any = SimpleNamespace(job=SimpleNamespace(subject="s", cases=(spec,)), replay="")
        return keeper.keep(id, check, WRONG) is not None

    answers = []
    for number in range(6):
        answers.append(kept(f"catches[{number}]"))
        keeper.caught(f"catches[{number}]")
    assert answers == [True, True, True, False, False, False]
    assert kept("another[0]")


def test_places_are_those_of_the_plan_and_then_by_test_and_number() -> None:
    planned = {"b": 0, "a": 1}
    ids = [("t.py::two[x]", 0), ("t.py::one[y]", 7), ("t.py::one[x]", 12), ("a", 3), ("b", 5)]
    places = {id: place(planned, id, index) for id, index in ids}
    assert sorted(places, key=lambda id: places[id]) == [
        "b", "a", "t.py::one[y]", "t.py::one[x]", "t.py::two[x]",
    ]  # fmt: skip
    assert first(dict.fromkeys(map(str, range(30)), (0, "", 0, ""))) == list(map(str, range(10)))


# --- sessions in which something happens --------------------------------------------------


def test_ctrl_c_ends_a_reduction_and_keeps_what_it_has(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(case: Any, verdict: Verdict, judge: Any) -> tuple[Any, Verdict]:
        signal.raise_signal(signal.SIGINT)
        assert judge(case).reason == "interrupted"
        return case, verdict

    monkeypatch.setattr(saving, "shrink", interrupted)
    verdicts.update({1: WRONG, 2: WRONG})
    for body in ("", "check()", "try: check()\n            except AssertionError: pass"):
        if body:
            decorated(pytester, "[Net], cases=4, checkers=['complex_step']", body)
        arguments = ("test_mine.py",) if body else net()
        assert run(*arguments, REPORT).ret == 2
        assert [c.verdict.status for c in cases(found(pytester))] == ["PASS", "FAIL"]
        (kept,) = failures(found(pytester))
        assert kept.path and not kept.page and kept.evidence is None
        assert files(pytester) == ["case-00001-generic-float64.json"]
        assert last(found(pytester)).exit_code == 1 and last(found(pytester)).interrupted


def test_what_breaks_a_reduction_off_leaves_the_failure(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    verdicts[1] = WRONG
    monkeypatch.setattr(saving, "shrink", interrupted)
    decorated(pytester, "[Net], cases=3, checkers=['complex_step']")
    for arguments in (net(), ("test_mine.py",)):
        assert run(*arguments, REPORT).ret == 2
        assert cases(found(pytester))[-1].verdict.status == "FAIL"
        assert last(found(pytester)).exit_code == 1 and files(pytester) == []


def test_a_failure_whose_file_cannot_be_written_is_told_as_it_was_found(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeping, "write", full)
    verdicts[1] = WRONG
    result = run(*net(), REPORT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["--backproof-report *found: No space left on device"])
    (told,) = failures(found(pytester))
    assert not told.path and told.replay.startswith("pytest ")
    result.stdout.no_fnmatch_line("*backproof replay*")


def test_a_reduction_that_breaks_costs_the_files_and_is_told(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts
) -> None:
    verdicts[1] = Verdict("FAIL", "wrong", operator="dense", tensor="layers.7.bias")
    result = run(*net(), REPORT)
    result.assert_outcomes(passed=3, failed=1)
    (told,) = failures(found(pytester))
    assert told.verdict.reason.startswith("wrong; not reduced or saved: IndexError: ")
    assert not told.path and told.replay.endswith(told.id) and files(pytester) == []
    result.stdout.no_fnmatch_line("*backproof replay*")


def test_a_failure_that_does_not_come_again_is_not_kept(
    run: Run, pytester: pytest.Pytester, verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(RERUN)
    verdicts[1] = WRONG

    def found_once(case: Any, verdict: Verdict, judge: Any) -> tuple[Any, Verdict]:
        verdicts.clear()
        return case, verdict

    monkeypatch.setattr(saving, "shrink", found_once)
    assert run(*net(), REPORT).ret == 0
    assert [c.verdict.status for c in cases(found(pytester))] == ["PASS"] * 4
    assert failures(found(pytester)) == [] and files(pytester) == []


def test_a_killed_session_has_its_failures_as_soon_as_they_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping, "MOST_FAILURES", 1)
    shelf = Shelf()
    for id, number in (("b", 1), ("a", 0), ("c", 2)):
        text = {f"failures/{id}.json": id}
        event = stream.encode(saved(id)).decode()
        shelf.put("s", (number, "", 0, ""), {"event": event, "files": text})
        shelf.write(tmp_path)
    names = {path.name for path in (tmp_path / "failures").iterdir()}
    assert names == {"a.json", "b.json"}, "an event of b's may be all that is left"
    shelf.clear(tmp_path)
    assert [path.name for path in (tmp_path / "failures").iterdir()] == ["a.json"]
    shelf.drop("a")
    assert list(shelf.kept) == ["b"]
    shelf.write(tmp_path)
    shelf.drop("b")
    shelf.drop("c")
    write(tmp_path / "failures" / "mine.txt", b"")
    shelf.clear(tmp_path)
    assert [path.name for path in (tmp_path / "failures").iterdir()] == ["mine.txt"]
