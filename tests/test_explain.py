"""`backproof explain`: what it writes, and what it says to options that make no sense."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import rich_click as click
from click.testing import CliRunner, Result

from backproof import errors
from backproof import worked_example as book
from backproof.architectures import losses, operators
from backproof.architectures.cases import make_case
from backproof.checkers import verdict
from backproof.commands import explain as command
from backproof.commands.explain import explain
from backproof.textbook import TEXTBOOK, Parameter, build

DERIVATIVES = {
    "w1_11": -0.1, "w1_12": 0.04, "w1_21": -0.05, "w1_22": 0.02, "w1_31": 0.125,
    "w1_32": -0.05, "b1_1": -0.2, "b1_2": -0.1, "b1_3": 0.25, "w2_11": -0.15,
    "w2_12": 0.05, "w2_13": -0.1, "b2_1": -0.5,
}  # fmt: skip
"""By hand; the working stands in test_worked_example.py."""


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner().invoke(explain, arguments, env={"COLUMNS": str(columns)})


def squeezed(result: Result) -> str:
    """The output with every run of white space as one space."""
    return " ".join(result.output.split())


# --- the textbook example ----------------------------------------------------------------


@pytest.fixture(scope="module")
def textbook() -> Result:
    return run()


def test_the_textbook_example_is_verified(textbook: Result) -> None:
    assert textbook.exit_code == 0
    assert "PASS: " in textbook.output
    assert squeezed(textbook).count("all agree") == 13


@pytest.mark.parametrize("name", DERIVATIVES)
def test_every_derivative_is_a_chain_its_values_and_their_product(
    textbook: Result, name: str
) -> None:
    block = textbook.output.split(f"\n  dC/d{name} = ")[1].split("checked:")[0]
    chain, values, product = (part.split() for part in block.split("= "))
    assert " ".join(chain).startswith("dC/da3_1 * da3_1/dz3_1 * ")
    assert chain[-1].endswith(f"/d{name}")
    assert len(chain) == len(values)
    numbers = [float(word.strip("()")) for word in values if word != "*"]
    assert float(np.prod(numbers)) == pytest.approx(DERIVATIVES[name], rel=1e-6)
    assert float(product[0]) == DERIVATIVES[name]


def test_a_shared_bias_has_the_sum_of_its_units_derivatives(textbook: Result) -> None:
    assert "dC/db1 = dC/db1_1 + dC/db1_2 + dC/db1_3 = (-0.2) + (-0.1) + 0.25 = -0.05" in squeezed(
        textbook
    )


def test_each_checker_says_its_value(textbook: Result) -> None:
    words = r"finite differences 0\.125 \+- \d.*complex step 0\.125, JAX 0\.125, PyTorch 0\.125"
    assert re.search(words, squeezed(textbook))


def test_the_step_shows_before_and_after(textbook: Result) -> None:
    rows = {line.split()[0]: line.split()[1:] for line in textbook.output.splitlines() if line}
    assert rows["w1_11"] == ["0.2", "-0.1", "0.21"]
    assert rows["b2_1"] == ["0.1", "-0.5", "0.15"]
    assert "C before the step = 0.125" in squeezed(textbook)
    assert "C has fallen" in textbook.output


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for options in ((), ("--sizes", "2,3,2", "--batch", "2", "--activation", "softmax")):
        result = run(*options, columns=columns)
        assert max(len(line) for line in result.output.splitlines()) <= columns
        assert "\x1b" not in result.output  # plain text, as when piped


# --- other networks ----------------------------------------------------------------------


def test_one_parameter_may_be_asked_for() -> None:
    result = run("--sizes", "4,5,3", "--activation", "tanh", "--loss", "cross_entropy",
                 "--parameter", "w1_21", "--learning-rate", "0.5", "--seed", "7")  # fmt: skip
    assert result.exit_code == 0
    assert "sum of the products of 3 paths" in result.output
    assert "that pass finds the same derivative;" in squeezed(result).lower()
    assert "w1_22, the weight" not in result.output
    assert "The others, not shown, take their step as well." in result.output


def test_paths_beyond_those_listed_are_counted_and_summed() -> None:
    options = ("--sizes", "2,2,3", "--batch", "2", "--output-activation", "softmax",
               "--parameter", "b1_1")  # fmt: skip
    three, all_of_them = run(*options, "--paths", "3"), run(*options, "--paths", "18")
    assert "... and 15 more paths (see --paths)" in three.output
    assert "path 3, in example 1" in three.output
    assert "path 4" not in three.output
    assert "path 18, in example 2" in all_of_them.output
    total = re.compile(r"dC/db1_1 = .* = (-?[\d.e-]+) checked")
    sums = [total.search(squeezed(r)) for r in (three, all_of_them)]
    assert sums[0]
    assert sums[1]
    assert sums[0][1].split(" = ")[-1] == sums[1][1].split(" = ")[-1]


def test_networks_without_biases_and_with_wide_layers_are_written_out() -> None:
    result = run("--sizes", "8,2,1", "--no-bias", "--parameter", "w1_11")
    assert result.exit_code == 0
    assert "z2_1 = row 1 of W1 times a1" in squeezed(result)
    assert "b = b - learningRate" not in result.output
    wide = run("--sizes", "8,2,1", "--parameter", "w1_11")
    assert "row 1 of W1 times a1 + b1_1" in squeezed(wide)


def test_more_examples_than_listed_are_counted() -> None:
    result = run("--batch", "6", "--paths", "2", "--parameter", "b2_1")
    assert "... and 4 more examples alike." in result.output


@pytest.mark.parametrize("activation", ["prelu", "glu", "leaky_relu:slope=0.2", "gelu:form=tanh"])
def test_every_kind_of_activation_is_explained(activation: str) -> None:
    sizes = "2,4,1" if activation == "glu" else "2,3,1"
    result = run("--activation", activation, "--sizes", sizes)
    assert result.exit_code == 0
    assert "NOT in agreement" not in result.output


def test_the_textbook_s_values_give_way_to_a_seed_and_to_class_numbers() -> None:
    def values(loss: losses.Loss, seed: int | None) -> Any:
        architecture = build(TEXTBOOK, loss=loss)
        x = command.make_example(architecture, TEXTBOOK, seed).input
        assert x is not None
        return x.tolist()

    assert values(losses.SquaredError(), None) == [[0.5, -0.2]]
    assert values(losses.SquaredError(), 0) != [[0.5, -0.2]]
    assert values(losses.CrossEntropy(), None) != [[0.5, -0.2]]


def test_slopes_in_the_place_of_biases_are_not_the_textbook_s() -> None:
    result = run("--no-bias", "--activation", "prelu", "--output-activation", "prelu")
    assert result.exit_code == 0
    assert "s1_1, a slope of the activation of layer 1" in result.output


def test_a_step_too_long_is_told_from_one_that_helps() -> None:
    assert "C has grown" in squeezed(run("--learning-rate", "100"))
    relu = run("--activation", "relu", "--output-activation", "relu", "--loss", "weighted_sum",
               "--sizes", "1,1", "--seed", "1")  # fmt: skip
    assert "C has not changed" in relu.output


def test_a_tie_names_its_convention() -> None:
    # With the input at 0 and no bias, every z2 is 0: ReLU has no derivative there.
    architecture = build((1, 1, 1), activation=operators.ReLU(), bias=False)
    case = make_case(
        architecture, {"layers.0.weight": [[1.0]], "layers.2.weight": [[1.0]]}, [[0.0]], [[1.0]]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "make_example", lambda *_: case)
        result = run("--sizes", "1,1,1", "--activation", "relu", "--no-bias")
    assert result.exit_code == 0
    assert "Note: " in result.output


# --- disagreement ------------------------------------------------------------------------


def test_a_wrong_product_is_seen_and_ends_in_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = book.derivative

    def doubled(example: book.Example, p: Parameter, keep: int) -> book.Derivative:
        d = honest(example, p, keep)
        return book.Derivative(p, d.paths, d.count, 2 * d.value if p.name == "w1_11" else d.value)

    monkeypatch.setattr(book, "derivative", doubled)
    result = run()
    assert result.exit_code == 1
    words = "NOT in agreement: finite differences, complex step, JAX, PyTorch"
    assert words in squeezed(result)
    assert "FAIL: layers.0.weight disagrees with" in squeezed(result)


def test_a_checker_that_cannot_say_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = verdict.CheckerVerdict("jax", "UNSUPPORTED", reason="no CPU device")
    honest = verdict.estimates

    def without_jax(case: Any, checkers: Any, **options: Any) -> Any:
        found, skipped = honest(case, [c for c in checkers if c != "jax"], **options)
        return found, (*skipped, silent)

    monkeypatch.setattr(verdict, "estimates", without_jax)
    result = run("--parameter", "b2_1")
    assert result.exit_code == 0
    assert "JAX cannot say: no CPU device" in result.output


# --- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--sizes 2,x", "--sizes must be two or more positive integers, such as 2,3,1, got '2,x'."),
        ("--sizes 3", "--sizes must be two or more positive integers"),
        ("--sizes 0,1", "--sizes must be two or more positive integers"),
        ("--sizes 100,100", "the network has 10,100 parameters, too many to write out"),
        ("--sizes 9,9,9,9,9,9", "664,290 paths to sum over, too many to write out"),
        ("--activation zork", "--activation must be one of identity, sigmoid, tanh,"),
        ("--activation elu:alpha=-1", "--activation elu:alpha=-1: alpha must be greater than 0"),
        ("--activation elu:beta=1", "elu:beta=1: Object contains unknown field `beta`"),
        ("--activation gelu:form=best", "--activation gelu:form=best: Invalid enum value 'best'"),
        ("--output-activation softmax:axis=0", "softmax along the batch mixes the examples"),
        ("--activation glu", "layers[1]: glu halves the features, so they must be even, got 3"),
        ("--loss zork", "--loss must be one of weighted_sum, squared_error,"),
        ("--loss binary_cross_entropy", "binary_cross_entropy needs probabilities"),
        ("--parameter w9_1", "there is no parameter 'w9_1'; the names here are w1_11 to w1_32"),
        ("--batch 0", "Invalid value for '--batch': 0 is not in the range"),
        ("--batch many", "Invalid value for '--batch'"),
        ("--paths 0", "Invalid value for '--paths'"),
        ("--learning-rate 0", "learning_rate must be greater than 0, got 0.0"),
        ("--learning-rate nan", "learning_rate must be finite, got nan"),
        ("--learning-rate 1e309", "learning_rate must be finite, got inf"),
        ("--learning-rate fast", "Invalid value for '--learning-rate'"),
        ("--seed -1", "Invalid value for '--seed'"),
        ("--frobnicate", "No such option"),
        ("network.json", "Got unexpected extra argument"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_4(options: str, words: str) -> None:
    result = run(*options.split(), columns=200)
    assert result.exit_code == 4
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert "1. The network" not in result.output


def test_a_step_out_of_float64_is_refused() -> None:
    options = "--learning-rate 1e308 --sizes 2,3,3 --loss squared_error:reduction=sum --batch 9"
    result = run(*options.split(), columns=200)
    assert result.exit_code == 4
    assert "--learning-rate 1e+308 steps out of float64." in result.output


def test_an_interruption_is_exit_code_2() -> None:
    @click.command(cls=errors.Command)
    def interrupted() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(interrupted, [])
    assert result.exit_code == errors.INTERRUPTED == 2
    assert "Interrupted." in result.output
