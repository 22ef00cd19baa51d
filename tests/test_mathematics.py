"""Formulas of the docstrings are shown whole, mean what they say, or are refused."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from derivations import HELPERS, entries, specification
from docstrings import Docstring, blocks, display, markdown, of_module
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from mathematics import inline
from notation import FUNCTIONS, GREEK, Unreadable

ROOT = Path(__file__).parents[1]
ARGUMENTS = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2, "munder": 2}


def tree(xml: str) -> etree._Element:
    return etree.fromstring(xml.replace("&#xA0;", "\u00a0"))


# ---- known formulas


def x(name: str) -> str:
    return f"<mi>{name}</mi>"


def test_what_touches_a_name_belongs_to_it() -> None:
    assert inline("x_i") == "<math><msub><mi>x</mi><mi>i</mi></msub></math>"
    assert inline("x_ij").count("<mi>") == 3
    bar = '<mover><mi>y</mi><mo stretchy="true">¯</mo></mover>'
    assert inline("y_bar") == f"<math>{bar}</math>"
    assert inline("y_bar_k") == inline("y_k_bar") == f"<math><msub>{bar}<mi>k</mi></msub></math>"
    assert inline("W^T") == "<math><msup><mi>W</mi><mo>⊤</mo></msup></math>"
    assert inline("W_k'") == "<math><msubsup><mi>W</mi><mi>k</mi><mo>′</mo></msubsup></math>"
    assert inline("sigma") == "<math><mi>σ</mi></math>"
    assert inline("Wq") == inline("W_q")


@pytest.mark.parametrize(
    "formula, above, below",
    [
        ("P dx / sigma", "Pdx", "σ"),
        ("e^-x / (1 + e^-x)^2 dx", "e−x", "(1+e−x)2"),
        ("e dx / 1'e", "edx", "𝟏′e"),
        ("c (y - t) / (y (1 - y))", "c(y−t)", "y(1−y)"),
        ("(cosh^2 - sinh^2) / cosh^2 dx", "cosh2−sinh2", "cosh2"),
        ("|f| / (2 sqrt(C))", "|f|", "2C"),
    ],
)
def test_under_a_line_stands_one_factor(formula: str, above: str, below: str) -> None:
    (fraction,) = tree(display(f"    y = {formula}")).iter("mfrac")
    assert [visible(part) for part in fraction] == [above, below]


def visible(element: etree._Element) -> str:
    return re.sub("[\u2061\u2062\\s]", "", "".join(element.itertext()))


def test_a_function_is_told_from_a_product_by_the_gap() -> None:
    applied, product = "\u2061", "\u2062"
    assert applied in inline_text("s(x)") and product not in inline_text("s(x)")
    assert product in inline_text("s (x + 1)") and applied not in inline_text("s (x + 1)")


def inline_text(formula: str) -> str:
    return "".join(tree(inline(formula)).itertext())


def test_angles_are_an_inner_product_where_they_touch_and_comparisons_where_not() -> None:
    assert inline_text("<y_bar, dy>") == "⟨y¯,dy⟩"
    assert inline_text("0 < x") == "0<x"
    assert inline_text("<x, y> < 2") == "⟨x,y⟩<2"


def test_a_one_that_multiplies_is_the_vector_of_ones() -> None:
    assert "𝟏" in inline("dx - 1 y'dx") and "𝟏" in inline("P - 11'/n")
    assert "𝟏" not in inline("1 - y") and "𝟏" not in inline("1 / (1 + x)")


def test_a_sum_before_a_factor_keeps_to_itself() -> None:
    assert visible(tree(inline("c sum(a) b"))) == "c(∑a)b"
    assert visible(tree(inline("c sum(a b)"))) == "c∑(ab)"


def test_a_power_of_a_value_is_not_one_of_its_argument() -> None:
    assert visible(tree(inline("tanh(c)^2"))) == "(tanh(c))2"
    assert visible(tree(inline("R(a)^T"))) == "R(a)⊤"


def test_pieces_stand_behind_a_brace_and_lines_at_their_relations() -> None:
    shown = tree(display("    y = x where x > 0, else a x"))
    assert [len(row) for row in shown.iter("mtr")] == [2, 2]
    assert visible(shown) == "y={xwherex>0axelse"
    aligned = tree(display("    dz = a + b\n       = s P dx"))
    assert [[visible(cell) for cell in row] for row in aligned.iter("mtr")] == [
        ["dz", "=a+b"],
        ["", "=sPdx"],
    ]


# ---- what is shown means what is written

NAMES = {"x": 1.3, "y": 0.7, "gamma": 1.9, "u_t": 0.45, "q_bar": 2.2, "W_k_bar": 1.15}
VALUES = {inline(name)[6:-7]: value for name, value in NAMES.items()}
CALLS = {"exp": math.exp, "s": lambda v: 1 / (1 + math.exp(-v)), "tanh": math.tanh}

Tree = tuple[Any, ...]
leaves: st.SearchStrategy[Tree] = st.one_of(
    st.sampled_from([("name", name) for name in NAMES]),
    st.integers(2, 9).map(lambda n: ("number", n)),
)


def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", " ", " / ", "/"]), inner, inner),
        st.tuples(st.just("call"), st.sampled_from(sorted(CALLS)), inner),
        st.tuples(st.just("^"), inner, st.one_of(leaves, inner)),
    )


trees = st.recursive(leaves, grown, max_leaves=9)
RANK = {"+": 1, "-": 1, " ": 2, " / ": 2, "/": 3, "^": 4, "call": 5, "name": 5, "number": 5}


def written(t: Tree, least: int = 0) -> str:
    """A tree in the notation, with the parentheses that its precedence asks for."""
    kind = t[0]
    if kind in ("name", "number"):
        text = str(t[1])
    elif kind == "call":
        text = f"{t[1]}({written(t[2])})"
    elif kind == "^":
        text = f"{written(t[1], 5)}^{written(t[2], 5)}"
        text = text if t[2][0] in ("name", "number") else f"{written(t[1], 5)}^({written(t[2])})"
    elif kind == "/":
        text = f"{written(t[1], 5)}/{written(t[2], 5)}"
    elif kind == " / ":
        over = 3 if t[1][0] == " / " else 2
        text = f"{written(t[1], over)} / {written(t[2], 4)}"
    elif kind == " ":
        text = f"{written(t[1], 2)} {written(t[2], 4 if t[2][0] != '/' else 5)}"
    else:
        text = f"{written(t[1], 1)} {kind} {written(t[2], 2)}"
    return f"({text})" if RANK[kind] < least else text


def value(t: Tree) -> float:
    kind = t[0]
    if kind == "name":
        return NAMES[t[1]]
    if kind == "number":
        return float(t[1])
    if kind == "call":
        return float(CALLS[t[1]](value(t[2])))
    a, b = value(t[1]), value(t[2])
    if kind == "^":
        return math.copysign(abs(a) ** b, a)
    return {"+": a + b, "-": a - b, " ": a * b}.get(kind, a / b if b else math.inf)


class Shown:
    """The value of MathML, read as a reader of mathematics does."""

    def __init__(self, element: etree._Element) -> None:
        self.items = list(self.flat(element))
        self.at = 0

    def flat(self, element: etree._Element) -> Iterator[etree._Element]:
        """The row, without the mrows that only group."""
        for child in element:
            if child.tag in ("mrow", "math") and not known(child):
                yield from self.flat(child)
            elif child.tag != "mspace":
                yield child

    def sign(self) -> str:
        if self.at == len(self.items) or self.items[self.at].tag != "mo":
            return ""
        return str(self.items[self.at].text)

    def row(self) -> float:
        total = self.product()
        while self.sign() in ("+", "−"):
            plus = self.sign() == "+"
            self.at += 1
            total += self.product() if plus else -self.product()
        return total

    def product(self) -> float:
        result = self.factor()
        divided = False
        while self.sign() in ("\u2062", "/"):
            over = self.sign() == "/"
            assert not divided, "a factor after a slash may be read as under it"
            divided = over
            self.at += 1
            result = result / self.factor() if over else result * self.factor()
        return result

    def factor(self) -> float:
        item = self.items[self.at]
        self.at += 1
        if item.tag == "mo" and item.text == "(":
            inside = self.row()
            assert self.sign() == ")"
            self.at += 1
            return inside
        if known(item):
            return VALUES[xml_of(item)]
        if item.tag == "mn":
            return float(str(item.text))
        if item.tag == "mi":
            assert self.sign() == "\u2061"
            self.at += 1
            return float(CALLS[str(item.text)](self.factor()))
        if item.tag == "msubsup":
            base = etree.Element("msub")
            base.extend([etree.fromstring(xml_of(part)) for part in item[:2]])
            item = etree.Element("msup")
            item.extend([base, etree.fromstring(xml_of(self.items[self.at - 1][2]))])
        first, second = (Shown(wrapped(part)).row() for part in item)
        if item.tag == "mfrac":
            return first / second if second else math.inf
        assert item.tag == "msup"
        return math.copysign(abs(first) ** second, first)


def xml_of(element: etree._Element) -> str:
    return etree.tostring(element, encoding="unicode", with_tail=False)


def known(element: etree._Element) -> bool:
    return xml_of(element) in VALUES


def wrapped(part: etree._Element) -> etree._Element:
    row = etree.Element("mrow")
    row.append(etree.fromstring(xml_of(part)))
    return row


@given(trees)
def test_a_formula_shown_has_the_value_of_the_formula_written(t: Tree) -> None:
    try:
        expected = value(t)
    except OverflowError:
        return
    text = written(t)
    for shown in (tree(inline(text)), tree(display(f"    {text}")).find("math")):
        assert shown is not None
        try:
            found = Shown(shown).row()
        except OverflowError:
            continue
        assert found == expected or math.isclose(found, expected, rel_tol=1e-9), text
