"""A failure as a file: it reads back exactly, and what is wrong with one is a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_networks import GRAPHS, every_activation, every_loss, every_operator, network

from backproof import failures
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import LANES, Case, draw_case
from backproof.architectures.files import ArchitectureError, read_bytes
from backproof.checkers.verdict import CHECKERS, CheckerName, Verdict, verify
from backproof.failures import FailureFile, dumps, read, rebuild, record, verdict_of
from backproof.planting import by_name

FAULTY = "reference+relative_error_1e_4"
CASE = draw_case(network(ops.Dense(2), ops.Tanh(), input=(2, 2)), 1)


def recorded(
    case: Case = CASE,
    verdict: Verdict | None = None,
    checkers: tuple[CheckerName, ...] = ("finite_differences", "complex_step"),
) -> FailureFile:
    return record(
        case,
        verdict or Verdict("FAIL", "a reason", operator="dense"),
        id="case-00001-generic-float64",
        subject=FAULTY,
        replay="backproof replay it",
        versions={"python": "3"},
        checkers=checkers,
        exhaustive=True,
    )


def saved(path: Path, failure: FailureFile) -> Path:
    path.write_bytes(dumps(failure))
    return path


@pytest.mark.repeats
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lane", LANES)
def test_values_read_back_to_the_last_bit(lane: Any, dtype: Any, tmp_path: Path) -> None:
    networks: list[Architecture] = [
        *every_activation()[::7], *every_operator()[::5], *every_loss(), *GRAPHS.values(),
        network(ops.Dropout()), network(ops.BatchNorm(statistics="given")),
    ]  # fmt: skip
    for seed, a in enumerate(networks):
        case = draw_case(a, seed, lane, dtype)
        failure = read(saved(tmp_path / "failure.json", recorded(case, checkers=("complex_step",))))
        back = rebuild(failure, "failure.json")
        assert (back.architecture, back.lane, back.dtype, back.seed) == (a, lane, dtype, seed)
        assert (case.input is None) == (back.input is None)
        pairs = [] if case.input is None else [(case.input, back.input)]
        for held, held_again in (
            (case.targets, back.targets),
            (case.parameters, back.parameters),
            (case.data, back.data),
        ):
            assert held.keys() == held_again.keys()
            pairs += [(held[n], held_again[n]) for n in held]
        for one, other in pairs:
            assert other is not None
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()


def test_the_file_reads_back_equal_and_is_stable(tmp_path: Path) -> None:
    verdict = verify(CASE, by_name(FAULTY), checkers=("complex_step",))
    failure = recorded(verdict=verdict)
    back = read(saved(tmp_path / "failure.json", failure))
    assert dumps(back) == dumps(failure)
    assert verdict_of(back) == verdict
    assert (tmp_path / "failure.json").read_text().startswith('{\n "format": 1,')


def test_an_infinite_ratio_reads_back(tmp_path: Path) -> None:
    """Every failure of the exact lane has one."""
    a = network(ops.Dense(2), ops.ReLU(), loss=ls.WeightedSum(), input=(2, 2))
    case = draw_case(a, 1, "exact")
    verdict = verify(case, by_name(FAULTY), checkers=("complex_step",))
    assert np.inf in {c.ratio for c in verdict.comparisons}
    assert verdict_of(read(saved(tmp_path / "failure.json", recorded(case, verdict)))) == verdict


def test_it_holds_what_everybody_said() -> None:
    failure = recorded()
    assert [s.source for s in failure.said] == [FAULTY, "finite_differences", "complex_step"]
    subject, *checkers = failure.said
    _, gradients = by_name(FAULTY)(CASE)
    for name, g in gradients.items():
        assert subject.gradients[name] == g.tolist()
    for said in checkers:
        assert said.loss == pytest.approx(subject.loss)
        for name, slopes in said.slopes.items():
            claimed = np.sum(np.asarray(said.directions[name]) * gradients[name])
            assert slopes[0] == pytest.approx(claimed, rel=1e-3)


def test_it_holds_what_the_run_asked_and_an_older_file_means_every_checker(tmp_path: Path) -> None:
    back = read(saved(tmp_path / "failure.json", recorded()))
    assert (back.checkers, back.exhaustive) == (("finite_differences", "complex_step"), True)
    plain = json.loads(dumps(back))
    del plain["checkers"], plain["exhaustive"]
    (tmp_path / "older.json").write_text(json.dumps(plain))
    older = read(tmp_path / "older.json")
    assert (older.checkers, older.exhaustive) == (CHECKERS, False)


def test_it_holds_the_cause_and_an_older_file_names_none(tmp_path: Path) -> None:
    cause = "equals the reference with a constant relative error of 1e-4, in dense at layers.0"
    failure = record(
        CASE, Verdict("FAIL", "wrong"), id="a", subject=FAULTY, replay="", versions={}, cause=cause
    )
    assert read(saved(tmp_path / "failure.json", failure)).cause == cause
    plain = json.loads(dumps(failure))
    del plain["cause"]
    (tmp_path / "older.json").write_text(json.dumps(plain))
    older = read(tmp_path / "older.json")
    assert older.cause == ""
    assert older.id == "a"


def test_a_gradient_that_is_missing_or_no_number_is_null() -> None:
    assert failures._plain(None) is None
    assert failures._plain(np.array([1.0, np.nan, np.inf])) == [1.0, None, None]
    assert failures._plain(np.array([[np.nan], [2.0]])) == [[None], [2.0]]
    assert failures._plain(np.array(np.nan)) is None
    assert failures._plain(np.array(0.1, np.float32)) == float(np.float32(0.1))


def test_a_loss_that_is_no_number_can_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def subject(case: Case) -> Any:
        return np.array(np.nan), {n: np.full_like(p, np.nan) for n, p in case.parameters.items()}

    monkeypatch.setattr(failures, "subject_named", lambda name: subject)
    assert json.loads(dumps(recorded()))["said"][0]["loss"] is None
    assert read(saved(tmp_path / "failure.json", recorded())).said[0].loss is None


# --- what is refused ---------------------------------------------------------------------


def changed(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(dumps(recorded()))
    return {**plain, **changes}


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ArchitectureError) as refused:
        rebuild(read(path), str(path))
    sentence = str(refused.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence.removeprefix(str(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, " has format 2; this version reads up to 1"),
        (
            {"subject": "reference+gremlins"},
            ": subject must be `reference`, `reference+FAULT`, `py:...`, `cmd:...` or the name of "
            "an installed one, got 'reference+gremlins'",
        ),
        ({"dtype": "float16"}, ": Invalid enum value 'float16' - at `$.dtype`"),
        ({"lane": "fast"}, ": Invalid enum value 'fast' - at `$.lane`"),
        ({"seed": "one"}, ": Expected `int`, got `str` - at `$.seed`"),
        ({"checkers": ["me"]}, ": Invalid enum value 'me' - at `$.checkers[0]`"),
        ({"extra": 1}, ": Object contains unknown field `extra`"),
        ({"architecture": 1}, ": Expected `object`, got `int` - at `$.architecture`"),
        ({"verdict": {"status": "ODD"}}, ": verdict: Invalid enum value 'ODD' - at `$.status`"),
        ({"parameters": {}}, ": parameters must be ['layers.0.bias', 'layers.0.weight'], got []"),
        ({"parameters": []}, ": Expected `object`, got `array` - at `$.parameters`"),
        ({"input": [[1, 2]]}, ": input must have shape (2, 2), got (1, 2)"),
        ({"input": [[1, 2], [3, None]]}, ": Expected `int | float`, got `null` - at `$.input[1][1"),
        ({"input": [[1, 2], [3, "4"]]}, ": Expected `int | float`, got `str` - at `$.input[1][1]`"),
        ({"input": [[1, True]]}, ": Expected `int | float`, got `bool` - at `$.input[0][1]`"),
        ({"input": {"a": 1}}, ": Expected `array | null`, got `object` - at `$.input`"),
        ({"input": None}, ": input must have shape (2, 2), got None"),
        (
            {"input": [[1, 2], [3, {}]]},
            ": Expected `int | float`, got `object` - at `$.input[1][1]",
        ),
        ({"target": [["1"]]}, ": Expected `int | float`, got `str` - at `$.target[0][0]`"),
        (
            {"parameters": {"layers.0.weight": [[True]]}},
            ": Expected `int | float`, got `bool` - at `$.parameters['layers.0.weight'][0][0]`",
        ),
        ({"parameters": {"w": 1}}, ": Expected `array`, got `int` - at `$.parameters[...]`"),
        ({"data": {"layers.0.mask": [1]}}, ": data must be [], got ['layers.0.mask']"),
        ({"auxiliary": {"auxiliary.0": [1]}}, ": targets must be ['loss'], got ['auxiliary.0', 'l"),
        ({"target": None}, ": targets must be ['loss'], got []"),
        (
            {"input": [[1e300, 1], [1, 1]], "dtype": "float32"},
            ": input must be finite: entry (0, 0)",
        ),
        ({"target": [[1, 2], [3]]}, ": target must be an array of numbers of shape (2, 2)"),
        ({"target": [1, 2]}, ": target must have shape (2, 2), got (2,)"),
    ],
)
def test_a_malformed_file_is_one_sentence(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    content = json.dumps(changed(**change)).encode()
    assert refusal(tmp_path / "failure.json", content).startswith(words)


def test_what_is_nested_too_deeply_says_so(tmp_path: Path) -> None:
    said = {"source": "x", "loss": 1.0, "gradients": {"a": "deep"}}
    text = json.dumps(changed(said=[said])).replace('"deep"', "[" * 10**5)
    assert refusal(tmp_path / "failure.json", text.encode()) == " is nested too deeply"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", " is empty"),
        (b"not json", " is not JSON: "),
        (b"[]", ": Expected `object`, got `array`"),
        (b'{"format": 1}', ": Object missing required field `id`"),
        (b"\xff\xfe{\x00", " begins with a byte order mark; it must be UTF-8 without one"),
        (b'{"verdict": ' + b"[" * 100_000, ": Expected `object`, got `array` - at `$.verdict`"),
    ],
)
def test_another_file_is_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "other", content).startswith(words)


def test_a_file_far_too_large_or_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="Is a directory"):
        read(tmp_path)
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(ArchitectureError, match="is too large"):
        read_bytes(path, 1000)


def test_class_numbers_are_checked(tmp_path: Path) -> None:
    case = draw_case(network(ops.Dense(3), loss=ls.CrossEntropy(), input=(2, 2)), 1)
    plain = json.loads(dumps(recorded(case)))
    plain["target"] = [0, 7]
    words = refusal(tmp_path / "failure.json", json.dumps(plain).encode())
    assert words == ": target must hold class numbers from 0 to 2"
