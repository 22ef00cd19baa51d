"""Docstrings as Markdown: prose with formulas in it, and indented blocks as displayed formulas.

In prose a formula is recognised conservatively: it begins with a single letter, a Greek name,
a number or a bracket and goes on as long as the notation does; words end it.  A lone number or
`a` stays text.  What is left must be words and punctuation: anything else is an Unreadable,
which names the file and the line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from cursor import Cursor
from mathematics import row
from mathml import mrow
from notation import RELATIONS, VERBS, Token, Unreadable, tokens

BOX = "display:flex;flex-wrap:wrap;align-items:baseline;gap:.5em 2.5em;overflow-x:auto"
BOX += ";overflow-y:hidden;margin:.6em 0;padding:.2em 0 .2em 1.5em"
CELLS = re.compile(r"\s{2,}(?=\S)")
CASES = re.compile(r"(.*\S) where (.*\S), else (.*\S)")
REFERS = re.compile(r"(?:see|as for|as in|page|operator|is|of)\s+\Z")
LONG = 24
"""A formula of more signs may break before a relation."""

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")

Link = Callable[[str], str | None]
"""Where the code in backquotes leads, if anywhere."""


class Docstring(NamedTuple):
    """The text of a docstring, without the indent of its code, and where it starts."""

    path: str
    line: int
    text: str


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def of_module(path: Path, root: Path) -> Docstring:
    """The docstring of a file."""
    return _docstring(parsed(path), path, root)


def of_part(path: Path, root: Path, name: str) -> Docstring:
    """The docstring of a class or a function of a file."""
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _docstring(node, path, root)
    raise ValueError(f"{path}: no {name}")


def _docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef, path: Path, root: Path
) -> Docstring:
    where = path.relative_to(root).as_posix()
    body = node.body[0]
    text = ast.get_docstring(node, clean=False)
    if text is None:
        raise ValueError(f"{where}: no docstring")
    indent = "" if isinstance(node, ast.Module) else " " * body.col_offset
    return Docstring(where, body.lineno, re.sub(f"(?m)^{indent}", "", text))


def no_link(code: str) -> None:
    return None


def markdown(doc: Docstring, link: Link = no_link) -> str:
    """Unreadable, with the file and the line, where it is not in the notation."""
    parts = []
    for line, kind, text in blocks(doc):
        try:
            parts.append(display(text) if kind == "block" else prose(text, link))
        except Unreadable as error:
            at = line + text.count("\n", 0, error.at)
            row = text.splitlines()[at - line].strip()
            raise Unreadable(f"{doc.path}:{at}: {error.why}, in: {row}", error.at) from None
    return "\n\n".join(parts)


def title(doc: Docstring, link: Link = no_link) -> str:
    """The first paragraph."""
    line, _, text = next(blocks(doc))
    return markdown(Docstring(doc.path, line, text), link)


def blocks(doc: Docstring) -> Iterator[tuple[int, str, str]]:
    """(line, `block` or `prose`, text) of every paragraph.

    Where nothing but blocks follows the first line, formatters take their indent away; then a
    paragraph with wide gaps is a block.
    """
    lines = doc.text.splitlines()
    indented = any(line.startswith("    ") for line in lines)
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        block = lines[start].startswith("    ")
        end = start
        while end < len(lines) and lines[end].strip() and lines[end].startswith("    ") == block:
            end += 1
        text = "\n".join(lines[start:end])
        block = block or (not indented and start > 0 and re.search(r"\S {3,}\S", text) is not None)
        yield doc.line + start, "block" if block else "prose", text
        start = end


# ---- displayed formulas


class Cell(NamedTuple):
    """A piece of a line between wide gaps: its column and its text."""

    column: int
    text: str
    at: int


def cells(line: str, at: int) -> list[Cell]:
    found: list[Cell] = []
    begin = len(line) - len(line.lstrip())
    for match in (*CELLS.finditer(line, begin), None):
        text = line[begin : match.start() if match else len(line)].rstrip()
        if found and (re.match(r"[+]?= ", text) or found[-1].text.endswith("=")):  # `x   = y`
            column, before, start = found.pop()
            gap = at + begin - start - len(before)
            found.append(Cell(column, before + " " * gap + text, start))
        else:
            found.append(Cell(begin, text, at + begin))
        begin = match.end() if match else begin
    return found


def display(text: str) -> str:
    """A block as boxes: lines whose cells stand in the same columns are one table."""
    tables: list[list[list[Cell]]] = []
    at = 0
    for line in text.splitlines():
        found = cells(line, at)
        at += len(line) + 1
        columns = [c.column for c in found]
        above = tables[-1][-1] if tables else []
        goes_on = bool(above) and found[0].column > tables[-1][0][0].column
        both = min(len(found), len(above))
        alike = columns[:both] == [c.column for c in above][:both]
        if above and (goes_on or len(found) == len(above) == 1 or (alike and both > 1)):
            tables[-1].append(found)
        else:
            tables.append([found])
    out = []
    for table in tables:
        if len(table) == 1:
            out.append(box([f"<math>{whole_cell(c)}</math>" for c in table[0]]))
        else:
            out.append(box([f"<math>{aligned(table)}</math>"]))
    return "\n".join(out)


def box(parts: list[str]) -> str:
    shown = "\n".join(p.replace("<math>", '<math displaystyle="true">', 1) for p in parts)
    return f'<div class="formula" style="{BOX}">\n{shown}\n</div>'


def aligned(table: list[list[Cell]]) -> str:
    """A table with two columns for each cell: left of its relation, and from it on."""
    rows = []
    for line in table:
        shown = ""
        for i, cell in enumerate(line):
            left, right = sides(cell)
            pad = "2.5em" if i else "0"
            if not left and not right.startswith('<mo form="infix">') and i:
                shown += mtd(right, "left", pad, 2)
            else:
                shown += mtd(left, "right", pad) + mtd(right, "left", "0")
        rows.append(f"<mtr>{shown}</mtr>")
    return f'<mtable displaystyle="true">{"".join(rows)}</mtable>'


def mtd(xml: str, align: str, pad: str, span: int = 1) -> str:
    columns = f' columnspan="{span}"' if span > 1 else ""
    style = f"text-align:{align};text-align:-webkit-{align};padding:.25em 0 .25em {pad}"
    return f'<mtd{columns} style="{style}">{xml}</mtd>'


def whole_cell(cell: Cell) -> str:
    return mrow(list(sides(cell)))


def sides(cell: Cell) -> tuple[str, str]:
    """A cell up to its first `=`, and from there on."""
    try:
        found = tokens(cell.text)
        c = Cursor(found, display=True)
        left = ""
        if found[0].text not in RELATIONS or found[0].text in "<>":
            left = row(c, "", stop_at_relation=True)
        here = c.here
        if here is None:
            return "", left
        relation = f'<mo form="infix">{RELATIONS[here.text]}</mo>'
        match = CASES.fullmatch(cell.text, here.end)
        if match:
            return left, relation + cases(cell.text, match)
        right = row(c, "")
        if c.here is not None:
            raise c.refuse("this does not go on")
    except Unreadable as error:
        raise Unreadable(error.why, cell.at + error.at) from None
    return left, right


def cases(text: str, match: re.Match[str]) -> str:
    """`a where c, else b`, in braces."""
    parts = []
    for i in (1, 2, 3):
        begin, end = match.span(i)
        try:
            c = Cursor(tokens(text[begin:end]), display=True)
            parts.append(row(c, ""))
            if c.here is not None:
                raise c.refuse("this does not go on")
        except Unreadable as error:
            raise Unreadable(error.why, begin + error.at) from None
    first = mtd(parts[0], "left", "0") + mtd(
        f"<mtext>where&#xA0;</mtext>{parts[1]}", "left", "1.2em"
    )
    second = mtd(parts[2], "left", "0") + mtd("<mtext>else</mtext>", "left", "1.2em")
    table = f"<mtable><mtr>{first}</mtr><mtr>{second}</mtr></mtable>"
    return f'<mrow><mo form="prefix" fence="true" stretchy="true">{{</mo>{table}</mrow>'


# ---- prose


def prose(text: str, link: Link) -> str:
    """A paragraph: words as Markdown, formulas as MathML."""
    gap = re.search(r"\S( {3,})\S", text)
    if gap:
        raise Unreadable("a wide gap belongs into an indented block", gap.start(1))
    found = tokens(text)
    out, at, end = [], 0, 0
    while at < len(found):
        t = found[at]
        out.append(text[end : t.start])
        end = t.end
        if t.kind == "code":
            refers = bool(REFERS.search(text, 0, t.start))
            out.append(code(t.text, link if refers or t.text.endswith(".py`") else no_link))
            at += 1
            continue
        if t.kind == "d" and text.startswith("do", t.start):  # the word
            out.append("do")
            end, at = found[at + 1].end, at + 2
            continue
        if t.kind in ("number", "name", "d", "op"):
            xml, stop = formula(found, at)
            if xml:
                end = found[stop - 1].end
                stops = re.compile(r"[,.;:)]*").match(text, end)
                after = stops.group() if stops else ""
                out.append(within_line(xml, after))
                end += len(after)
                at = next((i for i in range(stop, len(found)) if found[i].start >= end), len(found))
                continue
        out.append(plain(found, at))
        at += 1
    return "".join(out)


def within_line(parts: list[str], after: str) -> str:
    """A formula that may break before a relation, with the punctuation that follows it.

    In a span, for Python-Markdown takes a line that begins with <math> for a block.
    """
    shown = [f"<math>{part}</math>" for part in parts]
    shown[-1] += after
    return "<wbr/>".join(f'<span style="white-space:nowrap">{part}</span>' for part in shown)


def formula(found: tuple[Token, ...], at: int) -> tuple[list[str], int]:
    """The formula that starts here and where it ends; nothing where there is none."""
    t = found[at]
    c = Cursor(found, at, display=False)
    if c.said():
        return [], at
    if t.kind == "op" and not c.starts(t):
        if t.text in RELATIONS and t.gap and t.open:
            return [f"<mo>{escape(RELATIONS[t.text])}</mo>"], at + 1
        if t.text not in ("-", "+-"):
            return [], at
    try:
        row(c, "")
    except Unreadable:
        return [], at
    parts = broken(c.items) if found[c.at - 1].end - t.start > LONG else [c.items]
    xml = [mrow(part) for part in parts]
    taken = found[at : c.at]
    if all(t.kind == "number" or t.text in ("(", ")", ",") for t in taken):
        told = any(t.text == "," or "e" in t.text for t in taken)
        return (xml, c.at) if told else ([], at)
    if len(taken) == 1 and t.text in ("a", "A", "I") and not subject(c.here):
        return [], at
    return xml, c.at


def broken(items: list[str]) -> list[list[str]]:
    """A row of a formula before each of its relations and, in what is long still, + and -."""
    parts = before_each(list(RELATIONS.values()), items)
    fine = [
        [part] if "".join(part).count("</m") < LONG else before_each("+−", part) for part in parts
    ]
    return [piece for part in fine for piece in part]


def before_each(signs: Sequence[str], items: list[str]) -> list[list[str]]:
    breaks = [f'<mo form="infix">{escape(sign)}</mo>' for sign in signs]
    parts: list[list[str]] = [[]]
    for item in items:
        if item in breaks and parts[-1]:
            parts.append([])
        parts[-1].append(item)
    return parts


def subject(t: Token | None) -> bool:
    """Whether what follows a lone `a` shows that it is a name and no article."""
    return t is None or t.text in VERBS or t.kind in ("op", "mark")


def plain(found: tuple[Token, ...], at: int) -> str:
    """Words, numbers and punctuation, as Markdown."""
    t = found[at]
    if t.text == "...":
        return "…"
    if t.kind == "op" and t.text not in "(),;:[]" and t.text not in ("'", "!"):
        raise Unreadable(f"{t.text!r} is in no formula", t.start)
    if t.kind in ("sub", "bar"):
        raise Unreadable(f"{t.text!r} belongs to nothing", t.start)
    if t.kind == "name" and len(t.text) == 1 and t.text not in "aAI":
        raise Unreadable(f"{t.text!r} is in no formula", t.start)
    return SPECIAL.sub(r"\\\1", t.text).replace("'", "’")


def code(text: str, link: Link) -> str:
    if text.startswith("**"):
        return text
    inside = text.strip("`")
    target = link(inside)
    return f"[`{inside}`]({target})" if target else f"`{inside}`"
