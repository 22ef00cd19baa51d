"""Formulas of the docstrings are shown whole, mean what they say, or are refused."""

from __future__ import annotations

import math
import posixpath
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import lxml.html
import markdown as python_markdown
import pytest
from derivations import entries, main, on_files, pages, specification, tag
from docstrings import Docstring, blocks, display, markdown, of_module
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from mathematics import inline
from notation import FUNCTIONS, GREEK, Unreadable

from backproof.architectures.losses import L1, L2, LOSSES
from backproof.architectures.operators import OPERATORS
from backproof.reference.optimisers import OPTIMISERS

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


def test_a_minus_stands_before_its_operand_or_between_two() -> None:
    signs = [mo.get("form") for mo in tree(inline("-x - y")).iter("mo")]
    assert signs == ["prefix", "infix"]
    (below,) = [mo for mo in tree(display("    below -t")).iter("mo") if mo.text == "−"]
    assert below.get("form") == "prefix"


def test_parentheses_that_only_group_fall_away_under_a_line_and_no_others() -> None:
    shown = {
        formula: visible(next(tree(display(f"    {formula}")).iter("mfrac")))
        for formula in (
            "(a + b) / c",
            "[a, b] / c",
            "(a, b) / c",
            "(a + b)^2 / c",
            "|a| / (b c)",
            "[a] / c",
        )
    }
    assert list(shown.values()) == ["a+bc", "[a,b]c", "(a,b)c", "(a+b)2c", "|a|bc", "[a]c"]


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
    return a / b if "/" in kind else {"+": a + b, "-": a - b, " ": a * b}[kind]


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
            return first / second
        assert item.tag == "msup"
        return math.copysign(abs(first) ** second, first)


def xml_of(element: etree._Element) -> str:
    return str(etree.tostring(element, encoding="unicode", with_tail=False))


def known(element: etree._Element) -> bool:
    return xml_of(element) in VALUES


def wrapped(part: etree._Element) -> etree._Element:
    row = etree.Element("mrow")
    row.append(etree.fromstring(xml_of(part)))
    return row


X, Y = ("name", "x"), ("name", "u_t")


@settings(max_examples=400)  # of a millisecond each
@given(trees)
@example((" / ", ("/", X, Y), X))
@example((" ", ("^", ("call", "exp", X), Y), X))
@example(("^", X, ("name", "q_bar")))
@example(("-", ("-", X, Y), ("-", Y, X)))
def test_a_formula_shown_has_the_value_of_the_formula_written(t: Tree) -> None:
    try:
        expected = value(t)
    except (OverflowError, ZeroDivisionError):
        return
    if not math.isfinite(expected):
        return
    text = written(t)
    for shown in (tree(inline(text)), tree(display(f"    {text}")).find("math")):
        assert shown is not None
        assert math.isclose(Shown(shown).row(), expected, rel_tol=1e-9, abs_tol=1e-9), text


# ---- nothing is lost


def every_docstring() -> list[Docstring]:
    found = [of_module(ROOT / entry.source, ROOT) for entry in entries().values()]
    kinds = [kind for entry in entries().values() for kind in entry.kinds]
    found += [specification(kind) for kind in kinds]
    found += [of_module(ROOT / path, ROOT) for path in sorted({doc.path for doc in found})]
    return list(dict.fromkeys(found))


DOCSTRINGS = every_docstring()
SAME = {
    "−": "-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "±": "+-",
    "⟨": "<",
    "⟩": ">",
    "∗": "*",
    "‖": "||",
}
SAME |= {"…": "...", "′": "'", "’": "'", "𝟏": "1", "∑": "sum", "1·10−18": "1e-18"}
BUILT = ("_bar", "sqrt", "floor", "ceil", "^T", "⊤", "¯", "⌊", "⌋", "⌈", "⌉")


def bones(text: str) -> str:
    """Letters and signs in their order, without what is drawn and not written in a formula."""
    for word in BUILT:
        text = text.replace(word, "")
    return re.sub(r"[\s/_^(){}`\u2061\u2062\\]|:$", "", text)


def bones_of_source(text: str) -> str:
    names = "|".join(sorted(GREEK, key=len, reverse=True))
    # a Greek name, whole or after the d of a differential, not as a part of a word or in code
    parts = re.split(r"(`[^`]*`|\*\*[^*]*\*\*)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(rf"(?<![A-Za-z])(d?)({names})(?![A-Za-z])", spelled, parts[i])
    return bones("".join(parts).replace("**", ""))


def spelled(match: re.Match[str]) -> str:
    return match.group(1) + GREEK[match.group(2)]


def bones_shown(markdown_text: str) -> str:
    text = re.sub(r"<[^>]*>", "", markdown_text)
    for entity, sign in {"&#xA0;": " ", "&#95;": "_", "&lt;": "<", "&gt;": ">"}.items():
        text = text.replace(entity, sign)
    text = re.sub(r"&#x206[12];|\*\*", "", text)
    for sign, source in sorted(SAME.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(sign, source)
    return bones(text)


@pytest.mark.parametrize("doc", DOCSTRINGS, ids=lambda d: f"{d.path}:{d.line}")
def test_every_letter_and_sign_of_a_docstring_is_on_its_page_in_order(doc: Docstring) -> None:
    parts = list(blocks(doc))
    assert parts
    for line, kind, text in parts:
        prose = kind == "prose"
        shown = markdown(Docstring(doc.path, line, text)) if prose else display(text)
        if kind == "block":  # behind a brace `else` stands after what it is the condition of
            text = re.sub(r"( where (?:\S| (?! ))*), else ((?:\S| (?! ))+)", r"\1 \2 else", text)
        assert bones_shown(shown) == bones_of_source(text)
        if kind == "block":
            assert shown.count("¯") == text.count("_bar")
            assert shown.count("⊤") == text.count("^T")


def test_most_docstrings_have_formulas() -> None:
    assert sum("<math" in markdown(doc) for doc in DOCSTRINGS) > len(DOCSTRINGS) / 2 > 50


@pytest.mark.parametrize("doc", DOCSTRINGS, ids=lambda d: f"{d.path}:{d.line}")
def test_every_formula_is_well_formed(doc: Docstring) -> None:
    formulas = re.findall(r"<math.*?</math>", markdown(doc))
    for formula in formulas:
        for element in tree(formula).iter():
            assert len(element) == ARGUMENTS.get(element.tag, len(element)), formula
            assert element.tag in ("mrow", "mspace", "mtd") or len(element) or element.text


# ---- what is no formula, or two


@pytest.mark.parametrize(
    "formula",
    [
        "e^2x", "a / b / c", "1/2k", "a/b/c", "x^y^z", "x^2_i", "x^2'", "x^2/3", "q^g(p)",
        "sum(x)^2", "x +", "+", "x = ", "(x", "x)", "<x, y", "|x", "x_abc", "a_b_cde", "x / ",
        "x /y /z", "x $ y", "x = = y", "x where y", "x[i", "x ^ 2", "sqrt^2", "sqrt-0", "floor)",
    ],
)  # fmt: skip
def test_two_readings_or_none_are_refused(formula: str) -> None:
    with pytest.raises(Unreadable):
        inline(formula)


@pytest.mark.parametrize(
    "text, why",
    [
        (
            "Fine.\n\n    y = x\n    y = x frobnicated\n",
            "'frobnicated' is neither a name nor a word",
        ),
        ("Fine.\n\n    y = x\n    y = e^2x\n", "does this belong to the power"),
        ("Fine.\n\nOf two\nlines a / b / c is none.\n", "'/' is in no formula"),
        ("Fine.\n\nOf two\nlines y_bars is none.\n", "y_bars is no name of the notation"),
        (
            "Fine.\n\nThen\ny = x        dy = dx\n\n    y = x\n",
            "a wide gap belongs into an indented block",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        markdown(Docstring("reference/layers/x.py", 10, text))
    assert caught.value.why.startswith("reference/layers/x.py:13: ")
    assert why in caught.value.why


def test_words_that_are_names_elsewhere_stay_words_in_prose() -> None:
    text = "The mean is a sum, a margin of size 1; do not scale the base rate by more than 2."
    assert markdown(Docstring("x.py", 1, text)) == text


def test_no_word_and_no_function_of_the_vocabulary_is_both_a_word_and_a_greek_letter() -> None:
    assert not set(FUNCTIONS) & set(GREEK)


# ---- the pages


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_no_operator_loss_penalty_or_optimiser_is_without_its_page(made: dict[str, str]) -> None:
    derived = [kind for entry in entries().values() for kind in entry.kinds]
    assert sorted(map(tag, derived)) == sorted(map(tag, [*OPERATORS, *LOSSES, L1, L2, *OPTIMISERS]))
    for entry in entries().values():
        page = made[entry.path]
        assert page.startswith(f"# {', '.join(entry.names)}\n")
        assert "## Derivation" in page and "## Code" in page
        assert all(f"`{tag(kind)}`" in made["derivations/index.md"] for kind in entry.kinds)


def test_every_module_of_the_reference_that_derives_is_a_page() -> None:
    files = {
        p
        for folder in ("layers", "losses", "optimisers")
        for p in (ROOT / "reference" / folder).glob("*.py")
    }
    derived = {ROOT / entry.source for entry in entries().values()}
    assert {p for p in files if p.name != "__init__.py"} <= derived


def test_a_page_has_its_specification_shapes_ties_and_sources(made: dict[str, str]) -> None:
    page = made["derivations/layers/leaky_relu.md"]
    for part in (
        "Attributes: `slope=0.01`.",
        "| `leaky_relu",
        "`branch` holds the piece of each entry",
        "`leaky_relu(slope=0.1)` at x = 0: ours 0.1, PyTorch 0.1, JAX 1.",
        "Literature: Maas, Hannun and Ng 2013.",
        "`reference/layers/leaky_relu.py`",
        "def backward(",
    ):
        assert part in page
    assert "One analytic piece" in made["derivations/layers/gelu.md"]
    assert "one of several candidates" in made["derivations/layers/max_pool.md"]


def test_every_link_of_a_page_leads_to_a_page_and_its_heading(made: dict[str, str]) -> None:
    found = 0
    for path, text in made.items():
        for target, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", text.split("## Code")[0]):
            to = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            headings = re.findall(r"(?m)^#+ (.*)$", made[to])
            assert not anchor or anchor in [h.lower().replace(" ", "-") for h in headings]
            found += 1
    assert found > 200
    assert "[`standardise.py`](standardise.md)" in made["derivations/layers/batch_norm.md"]
    assert "[`arrays.py`](../arrays.md)" in made["derivations/layers/windows.md"]
    assert "[`cross_entropy`](cross_entropy.md)" in made["derivations/losses/ctc.md"]


def test_the_pages_are_the_same_each_time_and_as_files(
    made: dict[str, str], tmp_path: Path
) -> None:
    assert pages() == made
    main(str(tmp_path))
    written = {
        p.relative_to(tmp_path).as_posix(): p.read_text("utf-8") for p in tmp_path.rglob("*.md")
    }
    assert written == {path.removeprefix("derivations/"): text for path, text in made.items()}


def test_the_site_is_given_the_pages_when_it_is_built(
    made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_to: list[tuple[Any, ...]] = []

    class File:
        @staticmethod
        def generated(config: str, path: str, *, content: str) -> tuple[str, str, str]:
            return config, path, content

    module = ModuleType("mkdocs.structure.files")
    module.File = File  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mkdocs.structure.files", module)
    for name in ("mkdocs", "mkdocs.structure"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert on_files(given_to, "config") is given_to
    assert given_to == [("config", path, text) for path, text in made.items()]


def test_formulas_come_through_markdown_whole_and_within_their_paragraphs(
    made: dict[str, str],
) -> None:
    for path, whole in made.items():
        text = whole.split("## Code")[0]
        sent = re.findall("<math.*?</math>", unescape(text))
        for html in (
            python_markdown.markdown(text, extensions=["tables", "fenced_code", "md_in_html"]),
            MarkdownIt("commonmark").enable("table").render(text),
        ):
            assert re.findall("<math.*?</math>", unescape(html)) == sent, path
            for element in lxml.html.fromstring(f"<div>{html}</div>").iter("math"):
                around = element.getparent()
                assert around is not None
                if around.tag == "span":
                    outside = around.getparent()
                    assert outside is not None and outside.tag in ("p", "li"), path
                else:
                    assert around.get("class") == "formula", path


def test_what_is_wide_scrolls_in_its_own_box(made: dict[str, str]) -> None:
    boxes = re.findall('<div class="formula" style="([^"]*)">', "".join(made.values()))
    assert len(boxes) > 150
    assert all("overflow-x:auto" in style and "flex-wrap:wrap" in style for style in boxes)
