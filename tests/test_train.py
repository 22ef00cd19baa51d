"""`backproof train` and the training behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backproof import datasets, training, trajectories
from backproof.architectures.cases import Case, make_case
from backproof.checkers import with_jax, with_torch
from backproof.checkers.estimate import Unsupported
from backproof.checkers.verdict import Subject, Verdict
from backproof.commands import train as command
from backproof.commands.train import train
from backproof.reference import network
from backproof.reference.arrays import Array
from backproof.reference.optimisers.sgd import SGD

LINE = datasets.load("regression")
CLASSES = datasets.load("classification")


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], training.Run]:
    """Every regime on both data sets; classification cut short."""
    return {
        (data.name, regime): training.train(
            training.plan(data, regime, max_epochs=None if data is LINE else 3)
        )
        for data in (LINE, CLASSES)
        for regime in training.REGIMES
    }


# --- training ----------------------------------------------------------------------------


@pytest.mark.repeats
def test_every_step_is_verified_in_every_regime(runs: Any) -> None:
    for run in runs.values():
        assert run.status == "PASS"
        assert run.counts == {"PASS": len(run.steps)}
        assert run.resolution is not None
        assert run.resolution < 1e-6


def test_an_epoch_has_one_step_or_four_or_one_for_each_record(runs: Any) -> None:
    for (_, regime), run in runs.items():
        steps = {"full-batch": 1, "mini-batch": 4, "online": 48}[regime]
        assert len(run.steps) == steps * (len(run.losses) - 1)


@pytest.mark.parametrize("regime", training.REGIMES)
def test_an_epoch_takes_every_record_once(regime: training.Regime) -> None:
    plan = training.plan(LINE, regime)
    for epoch in (1, 2):
        taken = np.concatenate(list(training.batches(plan, epoch)))
        assert sorted(taken) == list(range(48))


def test_the_full_batch_reaches_the_least_squares_minimum() -> None:
    """To a share `tolerance` of the loss an epoch; here until rounding alone is left."""
    plan = training.plan(LINE, "full-batch", tolerance=0.0, verify_every=1000)
    run, best = training.train(plan), training.least_squares(LINE)
    assert run.stopped == "converged"
    assert best.distance(run.parameters) < 1e-7  # where the loss no longer tells: sqrt(u)
    assert run.losses[-1] == pytest.approx(best.loss, rel=1e-12)


def test_parts_of_the_data_come_near_it(runs: Any) -> None:
    best = training.least_squares(LINE)
    for regime in ("mini-batch", "online"):
        run = runs["regression", regime]
        assert best.distance(run.parameters) < 0.02  # measured: 0.005 and 0.008
        assert best.loss <= run.losses[-1] < 1.02 * best.loss


def test_at_the_least_squares_minimum_the_gradient_is_nothing_but_rounding() -> None:
    best = training.least_squares(LINE)
    architecture = training.network_for(LINE, 48)
    case = make_case(architecture, best.parameters, LINE.input, LINE.target)
    _, gradients = network.value_and_gradients(case)
    for name in best.parameters:
        assert np.abs(gradients[name]).max() < 48 * np.finfo(float).eps
    assert best.distance(best.parameters) == 0


def test_training_tells_the_classes_apart() -> None:
    run = training.train(training.plan(CLASSES, "mini-batch", verify_every=1000))
    assert run.losses[-1] < 0.1 * run.losses[0]
    assert training.accuracy(CLASSES, run.parameters) > 0.9


def test_the_same_seed_trains_the_same_network() -> None:
    def final(seed: int) -> list[float]:
        plan = training.plan(LINE, "mini-batch", seed=seed, max_epochs=2, verify_every=1000)
        return list(training.train(plan).losses)

    assert final(3) == final(3) != final(4)


def test_every_kth_step_may_be_verified() -> None:
    run = training.train(training.plan(LINE, "mini-batch", max_epochs=3, verify_every=5))
    assert [s.number for s in run.steps if s.verdict] == [1, 6, 11]


def test_a_rate_too_large_is_told_from_an_end() -> None:
    run = training.train(training.plan(LINE, "full-batch", learning_rate=5.0))
    assert run.stopped == "diverged"
    assert run.status == "PASS"  # the gradients are right, the learning rate is not


def test_parameters_beyond_float64_are_inconclusive() -> None:
    run = training.train(training.plan(LINE, "online", learning_rate=1e300))
    assert run.stopped == "diverged"
    assert run.status == "INCONCLUSIVE"
    assert {t.status for t in run.trajectories} == {"INCONCLUSIVE"}
    assert "leave the range of float64" in run.trajectories[0].reason


@pytest.mark.parametrize(
    "options",
    [{"max_epochs": 0}, {"verify_every": 0}, {"tolerance": -1.0}, {"learning_rate": 0.0}],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be"):
        training.plan(LINE, "online", **options)


# --- what must be caught -----------------------------------------------------------------


def off_by(share: float, since: int = 0) -> Subject:
    """The reference with one weight's gradient off by a share of itself, from a step on."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = network.value_and_gradients(case)
        if case.seed >= since:
            weight = gradients["layers.0.weight"].copy()
            weight.flat[0] *= 1 + share
            gradients = {**gradients, "layers.0.weight": weight}
        return loss, gradients

    return subject


@pytest.mark.parametrize("regime", training.REGIMES)
def test_a_wrong_gradient_in_a_step_is_caught(regime: training.Regime) -> None:
    run = training.train(training.plan(LINE, regime, max_epochs=2), off_by(1e-9, since=2))
    assert run.steps[0].verdict is not None
    assert run.steps[0].verdict.status == "PASS"
    assert run.counts["FAIL"] >= 1
    assert run.status == "FAIL"


@pytest.mark.parametrize("data", [LINE, CLASSES])
def test_a_wrong_gradient_that_no_step_verifies_shows_in_the_trajectory(data: Any) -> None:
    plan = training.plan(data, "mini-batch", max_epochs=2, verify_every=1000)
    run = training.train(plan, off_by(1e-10, since=2))
    assert run.counts == {"PASS": 1}
    assert [t.status for t in run.trajectories] == ["FAIL", "FAIL"]
    assert run.status == "FAIL"


def test_another_learning_rate_shows_in_the_trajectory(runs: Any) -> None:
    run = runs["regression", "mini-batch"]
    optimiser = SGD(run.plan.optimiser.learning_rate * (1 + 1e-11))
    assert {t.status for t in compared(run, optimiser)} == {"FAIL"}


def test_correct_trajectories_stay_within_a_fraction_of_their_bound(runs: Any) -> None:
    """The bound is for a false alarm in 1e-7 of runs; a distance near it would be chance.

    Three steps may agree to the last bit, on some processors; all runs together do not.
    """
    every = [t for run in runs.values() for t in run.trajectories]
    for t in every:
        assert t.distance < 0.5 * t.bound
        assert t.bound < 1e-12
    assert sum(t.distance > 0 for t in every) > len(every) // 2


@pytest.mark.parametrize("follow", [with_torch.sgd_trajectory, with_jax.sgd_trajectory])
def test_a_framework_s_trajectory_starts_where_ours_does_and_has_every_step(
    runs: Any, follow: Any
) -> None:
    run = runs["classification", "full-batch"]
    rate = run.plan.optimiser.learning_rate
    theirs = follow([s.case for s in run.steps], rate)
    assert len(theirs) == len(run.steps)
    for name, start in run.steps[0].case.parameters.items():
        assert theirs[0][name].dtype == np.float64
        assert not np.shares_memory(theirs[0][name], theirs[1][name])
        assert np.abs(theirs[0][name] - start).max() > 0


def test_a_framework_that_cannot_follow_is_named(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(cases: Any, learning_rate: float) -> Any:
        raise Unsupported("no CPU device")

    monkeypatch.setattr(trajectories, "FRAMEWORKS", {"optax.sgd": follow})
    run = runs["regression", "full-batch"]
    (t,) = compared(run, run.plan.optimiser)
    assert (t.status, t.reason) == ("UNSUPPORTED", "no CPU device")
    assert replace(run, trajectories=(t,)).status == "PASS"
    assert any(
        "no CPU device" in text for text, _ in command.facts(replace(run, trajectories=(t,)))
    )


def compared(run: training.Run, optimiser: SGD) -> tuple[trajectories.Trajectory, ...]:
    cases, ours = [s.case for s in run.steps], [s.after for s in run.steps]
    return trajectories.compare_trajectories(cases, ours, optimiser, run.plan.seed)


def test_a_parameter_that_never_moves_must_not_move() -> None:
    still, moved = {"w": np.ones(2)}, {"w": np.array([1.0, 1 + 1e-15])}
    assert trajectories.farthest("optax.sgd", [still], [still], [{"w": 0.0}]).status == "PASS"
    assert trajectories.farthest("optax.sgd", [still], [moved], [{"w": 0.0}]).status == "FAIL"


def test_nothing_to_compare_is_not_a_pass() -> None:
    assert trajectories.farthest("optax.sgd", [], [], []).status == "INCONCLUSIVE"


def test_a_framework_that_leaves_the_numbers_fails() -> None:
    ours, theirs = {"w": np.ones(2)}, {"w": np.array([np.nan, 1.0])}
    assert trajectories.farthest("optax.sgd", [ours], [theirs], [{"w": 1.0}]).status == "FAIL"


# --- the command -------------------------------------------------------------------------


def invoke(*options: str, folder: Path, columns: int = 80) -> Result:
    arguments = [*options, "--output", str(folder)]
    return CliRunner().invoke(train, arguments, env={"COLUMNS": str(columns)})


def test_all_regimes_are_trained_verified_and_drawn(tmp_path: Path) -> None:
    result = invoke("--max-epochs", "2", folder=tmp_path / "new")
    assert result.exit_code == 0
    for words in ("Regression: (48, 2) > dense 1", "full-batch: all records in one step",
                  "mini-batch: 12 records a step", "online: one record at a time",
                  "Gradients: 96 of 96 steps verified", "Distance to the least-squares minimum",
                  "Records classified correctly", "torch.optim.SGD: PASS", "optax.sgd: PASS",
                  "Every gradient checked and every trajectory is right."):  # fmt: skip
        assert words in result.output
    assert (tmp_path / "new" / command.PICTURE).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, columns: int) -> None:
    result = invoke("--regime", "full-batch", "--data", "classification", "--max-epochs", "30",
                    "--verify-every", "10", folder=tmp_path, columns=columns)  # fmt: skip
    lines = [line for line in result.output.splitlines() if str(tmp_path) not in line]
    assert max(len(line) for line in lines) <= columns
    assert "(one in 10 of 30)" in " ".join(result.output.split())


def test_quiet_says_the_outcome_only(tmp_path: Path) -> None:
    result = invoke("--quiet", "--data", "regression", "--regime", "mini-batch",
                    "--max-epochs", "1", folder=tmp_path)  # fmt: skip
    assert result.exit_code == 0
    assert "4/4" in result.output
    assert "Stopped" not in result.output


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["PASS"], 0),
        (["PASS", "FAIL", "ERROR"], 1),
        (["PASS", "ERROR", "INCONCLUSIVE"], 3),
        (["INCONCLUSIVE", "PASS"], 5),
    ],
)
def test_the_exit_code_is_that_of_the_worst(
    runs: Any, statuses: list[Any], code: int, tmp_path: Path
) -> None:
    def with_status(status: Any) -> training.Run:
        run: training.Run = runs["regression", "full-batch"]
        step = replace(run.steps[0], verdict=Verdict(status, "a reason"))
        return replace(run, steps=(step, *run.steps[1:]))

    changed = {s: with_status(s) for s in statuses}
    assert command.exit_code(list(changed.values())) == code
    with pytest.MonkeyPatch.context() as patch:
        for status, run in changed.items():
            patch.setattr(command, "watched", lambda plan, quiet, run=run: run)
            result = invoke("--data", "regression", "--regime", "full-batch", folder=tmp_path)
            assert result.exit_code == command.exit_code([run])
            assert (f"Step 1: {status}, a reason." in result.output) == (status != "PASS")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--data iris", "--data must be one of regression, classification, both, got 'iris'."),
        ("--regime lazy", "--regime must be one of full-batch, mini-batch, online, all"),
        ("--learning-rate -1", "learning_rate must be greater than 0, got -1.0"),
        ("--learning-rate slow", "Invalid value for '--learning-rate'"),
        ("--max-epochs 0", "max_epochs must be at least 1, got 0"),
        ("--tolerance nan", "tolerance must be finite, got nan"),
        ("--verify-every 0", "verify_every must be at least 1, got 0"),
        ("--seed -1", "Invalid value for '--seed'"),
        ("--frobnicate", "No such option"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_4(
    options: str, words: str, tmp_path: Path
) -> None:
    result = invoke(*options.split(), folder=tmp_path / "out", columns=200)
    assert result.exit_code == 4
    assert words in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("--regime", "online", folder=tmp_path / "file" / "out", columns=200)
    assert result.exit_code == 4
    assert "Not a directory." in result.output


# --- charts and tables -------------------------------------------------------------------


def test_a_chart_falls_as_its_values_do() -> None:
    *rows, caption = command.chart([100, 10, 1], 20, 3, unicode=True)
    assert [row.split("│")[1] for row in rows] == ["█", "█▅", "██▁"]
    assert rows[0].split() == ["100", "│█"]
    assert caption.strip() == "epochs 0 to 2, log scale"


def test_a_chart_leaves_out_what_does_not_fit_and_can_do_without_unicode() -> None:
    rows = command.chart([2.0**-i for i in range(1000)], 30, 4, unicode=False)
    assert all(line.isascii() and len(line) <= 11 + 30 for line in rows[:-1])


@pytest.mark.parametrize("values", [[1.0, math.inf], [1.0, math.nan], [1.0, 0.0], [2.0, 2.0]])
def test_a_chart_can_be_made_of_any_losses(values: list[float]) -> None:
    assert len(command.chart(values, 20, 3, unicode=True)) == 4


def test_a_table_is_thinned_to_both_ends_and_some_between() -> None:
    assert command.thinned(5) == [0, 1, 2, 3, 4]
    assert command.thinned(151)[0] == 0
    assert command.thinned(151)[-1] == 150
    assert len(command.thinned(151)) == command.ROWS
