"""The page that `backproof explain` prints.

    network -> forward -> backward, as chains of factors -> are they right? -> one step

Each `write_` function is a section of it, or a part of one.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from backproof import textbook
from backproof import worked_example as book
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case
from backproof.architectures.losses import AnyLoss
from backproof.architectures.operators import Operator
from backproof.architectures.targets import target_kind
from backproof.checkers import rounding, verdict
from backproof.reference.arrays import Array, Arrays

TITLES = {
    "finite_differences": "finite differences",
    "complex_step": "complex step",
    "jax": "JAX",
    "torch": "PyTorch",
}

WIDEST_SUM = 6
"""A weighted sum of more terms than this is not written out."""


def number(x: float) -> str:
    """Six digits, and no minus before a zero."""
    return f"{x + 0.0:.6g}"


def small(x: float) -> str:
    """Two digits, for a difference or a bound."""
    return f"{x:.1e}" if x else "0"


def factor(x: float) -> str:
    """A number as a factor or a term: in brackets where it is negative."""
    return f"({number(x)})" if x < 0 else number(x)


class Writer:
    """Plain text on a console, wrapped at its width with hanging indents."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = min(console.width, 100)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(text, style="bold", markup=False)
        self.console.print("=" * len(text), style="dim")

    def title(self, text: str) -> None:
        self.console.print()
        for line in textwrap.wrap(text, self.width, break_on_hyphens=False):
            self.console.print(line, style="bold", markup=False)

    def say(self, text: str, indent: int = 0, hang: int = 0) -> None:
        """A paragraph, or a formula: a line breaks before an operator, never after one."""
        glued = text.replace(" * ", " *\0").replace(" + ", " +\0").replace(" = ", " =\0")
        for line in textwrap.wrap(
            glued,
            self.width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            break_on_hyphens=False,
        ):
            self.console.print(line.replace("\0", " "), markup=False)

    def equations(self, left: str, rights: Sequence[str], indent: int) -> None:
        """`left` = right, and below it each further right side, the signs in one column."""
        for i, right in enumerate(rights):
            start = left if i == 0 else "\0" * len(left)
            self.say(f"{start}\0= {right}", indent, len(left) + 3)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=box.SIMPLE_HEAD if self.console.is_terminal else None, pad_edge=False)
        for i, header in enumerate(headers):
            table.add_column(header, justify="right" if i else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def write_network(out: Writer, case: Case) -> None:
    a = case.architecture
    out.heading("1. The network")
    out.say(
        "Layer 1 takes the input a1, weighs it, adds its biases, and bends the result with its "
        "activation. The next layer takes that. The loss C says how far the last values are "
        "from the target t. Smaller is better."
    )
    out.console.print()
    for i, layer in enumerate(a.layers):
        before, after, k = textbook.term(i), textbook.term(i + 1), i // 2 + 1
        bias = f" + b{k}" if f"layers.{i}.bias" in a.parameters else ""
        right = f"W{k} {before}{bias}" if i % 2 == 0 else f"{layer.name}({before})"
        out.say(f"{after} = {right}", 4, 4)
    out.say(f"C = {loss_formula(a)}", 4, 4)
    out.console.print()
    out.say("w1_32 is the weight of layer 1 to unit 3 from input 2. The values to start from:")
    out.console.print()
    for n in range(a.batch):
        of = f" (example {n + 1})" if a.batch > 1 else ""
        out.say(f"a1{of} = {_row(np.asarray(case.input)[n])}", 4, 4)
        out.say(f"t{of} = {_target(case, n)}", 4, 4)
    for name, value in case.parameters.items():
        rows = value if value.ndim == 2 else value[None]
        letter = name.split(".")[2][0]
        k = int(name.split(".")[1]) // 2 + 1
        label = f"{letter.upper() if value.ndim == 2 else letter}{k} = "
        for j, row in enumerate(rows):
            out.say((label if j == 0 else "\0" * len(label)) + _row(row), 4, len(label))


def loss_formula(architecture: Architecture) -> str:
    """The loss as the textbook writes it, where it is the textbook's; else its name."""
    y, loss = textbook.term(len(architecture.layers)), architecture.loss
    if loss == msgspec.convert({"loss": "squared_error"}, AnyLoss):
        return f"sum of ({y} - t)^2 / 2"
    return f"{loss.name}({y}, t)"


def _target(case: Case, n: int) -> str:
    if target_kind(case.architecture.loss) == "indices":
        output = textbook.node(len(case.architecture.layers), int(case.target[n]))
        return f"class {case.target[n]} (counted from 0), whose output is {output}"
    return _row(case.target[n])


def _row(values: Array) -> str:
    return f"({', '.join(number(float(v)) for v in values)})"


def write_forward(out: Writer, example: book.Example, keep: int) -> None:
    a, edges = example.architecture, tuple(example.trace.edges.values())
    out.heading("2. Forward: from the input to the loss")
    out.say("Each line computes one value from those above it.")
    shown = min(a.batch, keep)
    for n in range(shown):
        out.console.print()
        if a.batch > 1:
            out.say(f"Example {n + 1}:")
        for i, layer in enumerate(a.layers):
            for unit, value in enumerate(edges[i + 1][n]):
                here = textbook.node(i + 1, unit)
                rights = (
                    _weighted_sum(example, i, n, unit)
                    if layer.name == "dense"
                    else (_activation(layer, i, unit),)
                )
                out.equations(here, [*rights, number(float(value))], 2)
    if shown < a.batch:
        out.say(f"... and {a.batch - shown} more examples alike.", 4)
    out.console.print()
    out.equations("C", [loss_formula(a), number(float(example.trace.loss))], 2)


def _weighted_sum(example: book.Example, i: int, n: int, unit: int) -> tuple[str, ...]:
    parameters, x = example.case.parameters, tuple(example.trace.edges.values())[i][n]
    k, weights = i // 2 + 1, parameters[f"layers.{i}.weight"][unit]
    bias = parameters.get(f"layers.{i}.bias")
    if len(weights) > WIDEST_SUM:
        tail = "" if bias is None else f" + b{k}_{unit + 1}"
        return (f"row {unit + 1} of W{k} times {textbook.term(i)}{tail}",)
    names = {p.index: p.name for p in textbook.parameters(example.architecture).values()
             if p.tensor == f"layers.{i}.weight"}  # fmt: skip
    symbols = [f"{names[unit, j]} * {textbook.node(i, j)}" for j in range(len(weights))]
    values = [f"{factor(float(w))} * {factor(float(v))}" for w, v in zip(weights, x, strict=True)]
    if bias is not None:
        symbols.append(f"b{k}_{unit + 1}")
        values.append(factor(float(bias[unit])))
    return " + ".join(symbols), " + ".join(values)


def _activation(layer: Operator, i: int, unit: int) -> str:
    if layer.name in ("softmax", "log_softmax", "glu", "swiglu"):
        return f"{layer.name}({textbook.term(i)})_{unit + 1}"
    return f"{layer.name}({textbook.node(i, unit)})"


# --- the derivatives ---------------------------------------------------------------------


def write_derivatives(out: Writer, case: Case, derivatives: Sequence[book.Derivative]) -> None:
    out.heading("3. Backward: the derivative of C by each parameter")
    out.say(
        "dC/dw says how fast C grows when w grows. Start at C and walk back to w. Each step "
        "has a factor: how fast a value grows when the one below it grows. Multiply the factors "
        "of a path. Where several paths lead to w, add them up."
        + (" So do examples: each adds its own paths." if case.architecture.batch > 1 else "")
    )
    out.console.print()
    out.say(
        "The line 'checked' gives the same derivative from four sources that know nothing "
        "of these factors; after +- stands a bound on the error of finite differences."
    )
    found, skipped = verdict.estimates(case, verdict.CHECKERS, exhaustive=True)
    for checker in skipped:
        out.say(f"{TITLES[checker.checker]} cannot say: {checker.reason}")
    measured = rounding.measure_again(case, case.seed, normwise=True)
    every = textbook.parameters(case.architecture)
    tensors = sorted(every.values(), key=lambda p: -p.layer)  # stable: weights, then biases
    for tensor in dict.fromkeys(p.tensor for p in tensors):
        group = [d for d in derivatives if d.parameter.tensor == tensor]
        for d in group:
            write_derivative(out, d, case.architecture.batch)
            write_opinions(out, book.opinions(d, found, measured))
        whole = len(group) == sum(p.tensor == tensor for p in every.values())
        if group and group[0].parameter.own == "bias" and whole and len(group) > 1:
            write_shared_bias(out, group)


def write_derivative(out: Writer, d: book.Derivative, batch: int) -> None:
    name = d.parameter.name
    out.title(f"{name}, {d.parameter.description}")
    if d.count == 1:
        out.equations(f"dC/d{name}", path_lines(d.paths[0]), 2)
        return
    out.equations(f"dC/d{name}", [f"sum of the products of {d.count:,} paths"], 2)
    for i, path in enumerate(d.paths):
        of = f", in example {path.example + 1}" if batch > 1 else ""
        out.say(f"path {i + 1}{of}", 4)
        out.equations("", path_lines(path), 4)
    left = d.count - len(d.paths)
    if left:
        out.say(f"... and {left:,} more {'path' if left == 1 else 'paths'} (see --paths)", 4)
    products = [factor(path.product) for path in d.paths] + ["..."] * bool(left)
    out.equations(f"dC/d{name}", [" + ".join(products), number(d.value)], 2)


def path_lines(path: book.Path) -> list[str]:
    """The factors, their values in the same order, and the product."""
    return [
        " * ".join(str(f) for f in path.factors),
        " * ".join(factor(f.value) for f in path.factors),
        number(path.product),
    ]


def write_opinions(out: Writer, said: Sequence[book.Opinion]) -> None:
    words = []
    for o in said:
        bound = f" +- {small(o.bound)}" if o.bound else ""
        words.append(f"{TITLES[o.checker]} {number(o.value)}{bound}".replace(" +- ", "\0+-\0"))
    odd = [TITLES[o.checker] for o in said if not o.agrees]
    outcome = f"NOT in agreement: {', '.join(odd)}" if odd else "all agree"
    out.say(f"checked: {', '.join(words)}: {outcome}", 2, 2)


def write_shared_bias(out: Writer, group: Sequence[book.Derivative]) -> None:
    k = group[0].parameter.number
    out.title(f"b{k}, one bias shared by the units of layer {k}")
    out.say("Where a layer has one bias, it reaches C through every unit: add them up.", 2)
    sums = [f"dC/d{d.parameter.name}" for d in group], [factor(d.value) for d in group]
    total = number(math.fsum(d.value for d in group))
    out.equations(f"dC/db{k}", [*(" + ".join(terms) for terms in sums), total], 2)


def write_agreement(
    out: Writer,
    derivatives: Sequence[book.Derivative],
    backward: Arrays,
    checked: verdict.Verdict,
) -> None:
    out.heading("4. Are they right?")
    worst = max(
        abs(d.value - float(backward[d.parameter.tensor][d.parameter.index])) for d in derivatives
    )
    count = len(derivatives)
    same = "derivative" if count == 1 else f"{count:,} derivatives"
    out.say(
        f"Backpropagation does not walk the paths: one pass from C backwards takes out what they "
        f"share. That pass finds the same {same}; the greatest difference is "
        f"{small(worst)}."
    )
    out.console.print()
    if checked.status == "PASS":
        agree = [TITLES[c.checker] for c in checked.checkers if c.status == "PASS"]
        resolution = f"{checked.resolution:.0e}" if checked.resolution else "the last bit"
        out.say(
            f"PASS: {', '.join(agree)} agree with them within the bounds on rounding and on their "
            f"own errors. A relative error of {resolution} would have been caught."
        )
    else:
        out.say(f"{checked.status}: {checked.reason}.")
    if checked.convention:
        out.say(f"Note: {checked.convention}.")


def write_step(
    out: Writer,
    case: Case,
    gradients: Arrays,
    after: Case,
    learning_rate: float,
    wanted: Sequence[textbook.Parameter],
) -> None:
    out.heading("5. One step of gradient descent")
    out.say(
        "C falls fastest against its derivative. So each weight and each bias takes a small "
        f"step that way, with learningRate = {number(learning_rate)}:"
    )
    out.console.print()
    out.say("W = W - learningRate * dC/dW", 4, 4)
    if any(name.endswith("bias") for name in case.parameters):
        out.say("b = b - learningRate * dC/db", 4, 4)
    out.console.print()
    rows = [
        [
            p.name,
            number(float(case.parameters[p.tensor][p.index])),
            number(float(gradients[p.tensor][p.index])),
            number(float(after.parameters[p.tensor][p.index])),
        ]
        for p in wanted
    ]
    out.table(["parameter", "before", "derivative", "after"], rows)
    if len(wanted) < sum(g.size for g in gradients.values()):
        out.say("The others, not shown, take their step as well.")
    before, now = book.loss_of(case), book.loss_of(after)
    out.console.print()
    out.say(f"C before the step = {number(before)}", 4)
    out.say(f"C after the step  = {number(now)}", 4)
    out.console.print()
    if now < before:
        out.say("C has fallen. Repeat until it falls no more: see 'backproof train'.")
    elif now == before:
        out.say("C has not changed: every derivative is zero, or the step is too small to tell.")
    else:
        out.say("C has grown: the step was too long. Take a smaller --learning-rate.")
