"""`backproof ops`: the operators that there are, and the derivation of each."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backproof.architectures import operators as ops
from backproof.architectures.configurations import CONFIGURATIONS
from backproof.architectures.exactness import EXACT_OPERATORS
from backproof.architectures.limits import LOSS_NAMES, OPERATOR_NAMES
from backproof.architectures.loss_strategies import EXACT_LOSSES
from backproof.checkers.conventions import CONVENTIONS, Convention
from backproof.errors import Command, UsageProblem, show, unknown
from backproof.naming import HIDDEN, call, path_of
from backproof.reference.pages import LAYERS, LOSSES

DTYPES = "float64, float32"


@click.command(cls=Command)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the operators and losses, or print the derivation of one.

    Lanes are the kinds of values that an operator is verified on: generic, tie and extreme
    for all; exact where it rounds nothing.  Conventions are what each implementation returns
    at a point where the operator is not differentiable.
    """
    if name is not None and name not in OPERATOR_NAMES and name not in LOSS_NAMES:
        advice = unknown(name, (*OPERATOR_NAMES, *LOSS_NAMES))
        raise UsageProblem(f"No operator {name!r}; {advice} (`backproof ops` lists them).")
    sys.exit(show(lambda: _list() if name is None else _one(name), 0))


def _list() -> None:
    console = Console()
    for family, kinds in ops.FAMILIES.items():
        table = _table(family)
        for kind in kinds:
            table.add_row(
                str(kind.__struct_config__.tag),
                attributes(kind) or "-",
                "yes" if kind in EXACT_OPERATORS else "-",
                conventions(kind) or "-",
            )
        console.print(table)
        console.print()
    table = _table("losses")
    exact = {type(loss) for loss in EXACT_LOSSES}
    for name, loss in LOSS_NAMES.items():
        table.add_row(name, attributes(loss) or "-", "yes" if loss in exact else "-", "-")
    console.print(table)
    console.print()
    console.print(Text(f"All in {DTYPES}; all take the lanes generic, tie and extreme."))
    console.print(Text("backproof ops NAME prints an operator's definition and derivation."))


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(title, no_wrap=True)
    table.add_column("attributes", overflow="fold")
    table.add_column("exact", no_wrap=True)
    table.add_column("at ties: ours / PyTorch / JAX", overflow="fold")
    return table


def _one(name: str) -> None:
    kind: Any = OPERATOR_NAMES.get(name) or LOSS_NAMES[name]
    page = LAYERS[kind] if name in OPERATOR_NAMES else LOSSES[kind]
    for line in (*described(kind, page), "", *inspect.cleandoc(page.derivation).splitlines()):
        click.echo(line)


def described(kind: Any, page: Any) -> Iterator[str]:
    """What is known of an operator or a loss, before its derivation."""
    name = str(kind.__struct_config__.tag)
    yield name
    yield ""
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        yield f"    {line}".rstrip()
    yield ""
    yield f"attributes   {attributes(kind) or 'none'}"
    if kind in CONFIGURATIONS:
        yield from _held(kind)
        yield f"exact lane   {'yes' if kind in EXACT_OPERATORS else 'no, it rounds'}"
    yield f"dtypes       {DTYPES}"
    for row in CONVENTIONS.get(kind, ()):
        yield f"at a tie     {convention(row)}"
    yield f"derivation   {path_of(page.forward.__module__)}"


def _held(kind: type[ops.Operator]) -> Iterator[str]:
    """The parameters and data of its first configuration, as an example of their shapes."""
    op, shapes = CONFIGURATIONS[kind][0]
    if shapes:
        yield f"example      {call(op)} of {', '.join(map(str, shapes))}"
        yield f"             makes {ops.output_shape(op, *shapes)}"
    parameters = ops.parameter_shapes(op, *shapes)
    if parameters:
        yield "parameters   " + ", ".join(f"{n} {s}" for n, s in parameters.items())
    data = ops.data_shapes(op, *shapes)
    if data:
        yield "data         " + ", ".join(f"{n} {d.shape} {d.kind}" for n, d in data.items())


def attributes(kind: Any) -> str:
    """`slope=0.01, ...`: the attributes with their defaults, those without one as `units`."""
    words = []
    for field in msgspec.structs.fields(kind):
        if field.name in HIDDEN:
            continue
        default = "" if field.default is msgspec.NODEFAULT else f"={_said(field.default)}"
        words.append(f"{field.name}{default}")
    return ", ".join(words)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def conventions(kind: type[ops.Operator]) -> str:
    """Every convention of an operator on one line, each of the instance that it is measured at."""
    return "; ".join(
        f"{instance(row)}{row.at}: {slopes(row.ours)} / {slopes(row.torch)} / {slopes(row.jax)}"
        for row in CONVENTIONS.get(kind, ())
    )


def convention(row: Convention) -> str:
    """One convention in words."""
    return (
        f"{instance(row)}{row.at}: ours {slopes(row.ours)}, PyTorch {slopes(row.torch)}, "
        f"JAX {slopes(row.jax)}"
    )


def instance(row: Convention) -> str:
    """`leaky_relu(slope=0.1) at ` where the operator is not the one with all its defaults."""
    shown = call(row.operator)
    return f"{shown} at " if "(" in shown else ""


def slopes(found: tuple[float, ...]) -> str:
    """`0.5`, or `(1 0)` for several entries."""
    words = " ".join(f"{s:.4g}" for s in found)
    return words if len(found) == 1 else f"({words})"
