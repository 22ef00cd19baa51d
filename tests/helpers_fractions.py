"""A second reference, in Python's fractions: slow, scalar by scalar, and without rounding.

It knows the operators and losses of the exact lane, and nothing of NumPy.  At a tie it
takes the piece on the left, as the reference does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import Case

Matrix = list[list[Fraction]]
Tensors = dict[str, Any]


def fractions(values: Any) -> Any:
    """The same numbers as fractions, in nested lists."""
    return [fractions(v) for v in values] if isinstance(values, list) else Fraction(values)


def bend(op: Any, x: Fraction, a: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """(f(x), f'(x), df/da), a being PReLU's slope."""
    zero, one = Fraction(0), Fraction(1)
    match op:
        case ops.Identity():
            return x, one, zero
        case ops.ReLU():
            return (x, one, zero) if x > 0 else (zero, zero, zero)
        case ops.LeakyReLU(slope):
            return (x, one, zero) if x > 0 else (Fraction(slope) * x, Fraction(slope), zero)
        case ops.PReLU():
            return (x, one, zero) if x > 0 else (a * x, a, x)
        case ops.HardTanh(low, high):
            return clipped(x, Fraction(low), Fraction(high))
        case ops.ReLU6():
            return clipped(x, zero, Fraction(6))
        case ops.SoftShrink(threshold):
            t = Fraction(threshold)
            if x <= -t:
                return x + t, one, zero
            return (x - t, one, zero) if x > t else (zero, zero, zero)
        case ops.HardShrink(threshold):
            inside = abs(x) <= Fraction(threshold)
            return (zero, zero, zero) if inside else (x, one, zero)
    raise AssertionError(f"{op} is not exact")


def clipped(x: Fraction, low: Fraction, high: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    inside = low < x <= high
    return min(max(x, low), high), Fraction(inside), Fraction(0)


def loss_term(loss: Any, y: Fraction, t: Fraction) -> tuple[Fraction, Fraction]:
    """(the term of one entry, its derivative)."""
    match loss:
        case ls.WeightedSum():
            return t * y, t
        case ls.SquaredError("half_sum"):
            return (y - t) ** 2 / 2, y - t
        case ls.SquaredError("sum"):
            return (y - t) ** 2, 2 * (y - t)
        case ls.AbsoluteError("sum"):
            return abs(y - t), sign(y - t)
    raise AssertionError(f"{loss} is not exact")


def value_and_gradients(case: Case) -> tuple[Fraction, Tensors]:
    """The loss and every gradient, edges included, by their names."""
    a = case.architecture
    p = {name: fractions(value.tolist()) for name, value in case.parameters.items()}
    assert case.input is not None
    edges: list[Matrix] = [fractions(case.input.tolist())]
    for i, layer in enumerate(a.layers):
        edges.append(forward(layer, p, i, edges[-1]))
    terms = [
        [loss_term(a.loss, y, t) for y, t in zip(*rows, strict=True)]
        for rows in zip(edges[-1], fractions(case.target.tolist()), strict=True)
    ]
    loss = total(term for row in terms for term, _ in row)
    bar = [[slope for _, slope in row] for row in terms]
    n = len(a.layers)
    gradients: Tensors = {f"layers.{n - 1}.output" if n else "input": bar}
    for i in reversed(range(n)):
        bar = backward(a.layers[i], p, i, edges[i], bar, gradients)
        gradients[f"layers.{i - 1}.output" if i else "input"] = bar
    for penalty in a.penalties:
        s = Fraction(penalty.strength)
        absolute = isinstance(penalty, ls.L1)
        for name in (name for name in p if name.endswith(".weight")):
            value: Callable[[Fraction], Fraction] = abs if absolute else half_square
            loss += s * total(value(w) for row in p[name] for w in row)
            gradients[name] = [
                [g + s * (sign(w) if absolute else w) for g, w in zip(*rows, strict=True)]
                for rows in zip(gradients[name], p[name], strict=True)
            ]
    return loss, gradients


def sign(x: Fraction) -> Fraction:
    return Fraction(1 if x > 0 else -1)


def half_square(w: Fraction) -> Fraction:
    return w * w / 2


def forward(layer: Any, p: Mapping[str, Any], i: int, x: Matrix) -> Matrix:
    if isinstance(layer, ops.Dense):
        weight = p[f"layers.{i}.weight"]
        bias = p.get(f"layers.{i}.bias", [Fraction(0)] * layer.units)
        return [[b + dot(w, row) for w, b in zip(weight, bias, strict=True)] for row in x]
    slopes = slopes_of(p, i, len(x[0]))
    return [[bend(layer, v, a)[0] for v, a in zip(row, slopes, strict=True)] for row in x]


def backward(
    layer: Any, p: Mapping[str, Any], i: int, x: Matrix, bar: Matrix, gradients: Tensors
) -> Matrix:
    if isinstance(layer, ops.Dense):
        weight = p[f"layers.{i}.weight"]
        columns = list(zip(*bar, strict=True))
        gradients[f"layers.{i}.weight"] = [
            [dot(b, values) for values in zip(*x, strict=True)] for b in columns
        ]
        if layer.bias:
            gradients[f"layers.{i}.bias"] = [total(b) for b in columns]
        return [[dot(row, w) for w in zip(*weight, strict=True)] for row in bar]
    slopes = slopes_of(p, i, len(x[0]))
    bent = [[bend(layer, v, a) for v, a in zip(row, slopes, strict=True)] for row in x]
    if isinstance(layer, ops.PReLU):
        slopes_bar = [
            total(b[j] * row[j][2] for b, row in zip(bar, bent, strict=True))
            for j in range(len(x[0]))
        ]
        gradients[f"layers.{i}.slope"] = [total(slopes_bar)] if layer.shared else slopes_bar
    return [
        [b * slope for b, (_, slope, _) in zip(*rows, strict=True)]
        for rows in zip(bar, bent, strict=True)
    ]


def slopes_of(p: Mapping[str, Any], i: int, features: int) -> list[Fraction]:
    slopes: list[Fraction] = p.get(f"layers.{i}.slope", [Fraction(0)])
    return slopes if len(slopes) == features else slopes * features


def dot(a: Iterable[Fraction], b: Iterable[Fraction]) -> Fraction:
    return total(x * y for x, y in zip(a, b, strict=True))


def total(terms: Iterable[Fraction]) -> Fraction:
    return sum(terms, Fraction(0))
