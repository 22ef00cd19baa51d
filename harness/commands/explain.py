"""`backproof explain`: a small network's derivatives written out, as in a textbook.

The command, its options and what they must be; the page that it prints is `explain_page`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import rich_click as click
from rich.console import Console

from backproof import textbook
from backproof import worked_example as book
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case
from backproof.architectures.losses import LOSSES, AnyLoss, Loss
from backproof.architectures.operators import ACTIVATIONS, Layer, Operator
from backproof.architectures.targets import target_kind
from backproof.checkers import verdict
from backproof.commands import explain_page as page
from backproof.errors import Command, UsageProblem, usage_problems
from backproof.reference import network
from backproof.reference.arrays import Arrays
from backproof.reference.optimisers import sgd

EXIT_CODES = {"PASS": 0, "FAIL": 1, "ERROR": 3}
INCONCLUSIVE = 5


def parse_sizes(text: str) -> tuple[int, ...]:
    """`4,5,3` as integers.  UsageProblem for anything else."""
    try:
        sizes = tuple(int(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise UsageProblem(
            f"--sizes must be two or more positive integers, such as 2,3,1, got {text!r}."
        )
    return sizes


def parse_operator(text: str, option: str) -> Any:
    """`tanh`, or `leaky_relu:slope=0.2`, as an activation."""
    return _parse(text, option, "op", Layer, ACTIVATIONS)


def parse_loss(text: str) -> Any:
    """`squared_error`, or `squared_error:reduction=mean`, as a loss."""
    return _parse(text, "--loss", "loss", AnyLoss, LOSSES)


def _parse(
    text: str, option: str, tag: str, kind: Any, known: Sequence[type[Operator] | type[Loss]]
) -> Any:
    names = [str(cls.__struct_config__.tag) for cls in known]
    name, _, fields = text.partition(":")
    if name not in names:
        raise UsageProblem(f"{option} must be one of {', '.join(names)}, got {name!r}.")
    values: dict[str, Any] = {tag: name}
    for field in filter(None, fields.split(",")):
        key, _, word = field.partition("=")
        try:
            values[key] = json.loads(word)
        except ValueError:
            values[key] = word
    try:
        return msgspec.convert(values, kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageProblem(f"{option} {text}: {error}.") from None


def make_example(architecture: Architecture, sizes: Sequence[int], seed: int | None) -> Case:
    """The textbook's values where they fit and no seed asks for others; else drawn."""
    plain = architecture.batch == 1 and len(architecture.parameters) == 4
    real = target_kind(architecture.loss) == "real"
    if seed is None and tuple(sizes) == textbook.TEXTBOOK and plain and real:
        try:
            return textbook.textbook_case(architecture)
        except ValueError:  # an activation with parameters, or one that halves the features
            pass
    return textbook.rounded_case(architecture, seed or 0)


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--sizes",
    default="2,3,1",
    metavar="N,N,...",
    help="Inputs, then the units of each layer.",
)
@click.option(
    "--activation",
    default="identity",
    metavar="NAME",
    help="Of the hidden layers: tanh, relu, leaky_relu:slope=0.2, ...",
)
@click.option("--output-activation", default="identity", metavar="NAME", help="Of the last layer.")
@click.option(
    "--loss",
    default="squared_error",
    metavar="NAME",
    help="squared_error (half the sum of squares), cross_entropy, ...",
)
@click.option(
    "--parameter",
    "names",
    multiple=True,
    metavar="NAME",
    help="Write out this derivative only, such as w1_21; may be repeated.",
)
@click.option(
    "--batch", default=1, type=click.IntRange(1), metavar="N", help="The number of examples."
)
@click.option("--bias/--no-bias", default=True, help="Whether the layers have biases.")
@click.option("--learning-rate", default=0.1, metavar="R", help="Of the step of gradient descent.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Draw the values from this seed.")
@click.option(
    "--paths",
    "keep",
    default=4,
    type=click.IntRange(1),
    metavar="N",
    help="How many paths to list where there are several.",
)
@click.pass_context
def explain(
    ctx: click.Context,
    sizes: str,
    activation: str,
    output_activation: str,
    loss: str,
    names: tuple[str, ...],
    batch: int,
    bias: bool,
    learning_rate: float,
    seed: int | None,
    keep: int,
) -> None:
    """Write out backpropagation for a small network, step by step.

    Every derivative is shown as its chain of factors, multiplied out, and held against
    finite differences, complex step, JAX and PyTorch.  Then one step of gradient descent.
    """
    with usage_problems():
        widths = parse_sizes(sizes)
        architecture = textbook.build(
            widths,
            activation=parse_operator(activation, "--activation"),
            output_activation=parse_operator(output_activation, "--output-activation"),
            loss=parse_loss(loss),
            batch=batch,
            bias=bias,
        )
        every = textbook.parameters(architecture)
        wanted = [textbook.find(architecture, n) for n in dict.fromkeys(names)] or [*every.values()]
        book.check_paths(architecture, wanted)
        case = make_example(architecture, widths, seed)
        sgd.SGD(learning_rate)

    example = book.differentiate(case)
    derivatives = [book.derivative(example, p, keep) for p in wanted]
    backward = reference_gradients(case)
    gradients = {k: np.array(backward[k]) for k in case.parameters}
    for d in derivatives:
        gradients[d.parameter.tensor][d.parameter.index] = d.value
    try:
        after = book.descend(case, gradients, learning_rate)
    except ValueError:
        raise UsageProblem(f"--learning-rate {learning_rate:g} steps out of float64.") from None
    checked = verdict.verify(case, lambda _: (example.trace.loss, gradients))

    out = page.Writer(Console(highlight=False, soft_wrap=True))
    page.write_network(out, case)
    page.write_forward(out, example, keep)
    page.write_derivatives(out, case, derivatives)
    page.write_agreement(out, derivatives, backward, checked)
    page.write_step(out, case, gradients, after, learning_rate, wanted)
    ctx.exit(EXIT_CODES.get(checked.status, INCONCLUSIVE))


def reference_gradients(case: Case) -> Arrays:
    """Every gradient by one backward pass of the reference."""
    return network.value_and_gradients(case)[1]
