"""Formulas in the notation of our docstrings as MathML, which a browser draws without a script.

A formula is a row of products, relations, commas and, where it is displayed, words.  Precedence,
from the tightest:

    x_i   x_bar   x'   x^2   s(x)   W[i]      what touches a name belongs to it
    2k   1'e   zz'/n                          what is written without gaps is one factor
    tanh x   log p                            a function takes the one factor after it
    a b / c d                                 (a b / c) d: one factor under the line
    + -   then = < >   then , ;

Shown as it is written it cannot be wrong; what is built anew (fractions, scripts, bars) is
refused wherever the notation leaves two readings open: `e^2x`, `a / b / c`, `1/2k`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import mathml
from cursor import Cursor
from mathml import (
    APPLY,
    FENCES,
    SUM,
    THIN,
    Piece,
    bracketed,
    fraction,
    identifier,
    mrow,
    number,
    scripted,
    single,
    times,
)
from notation import FUNCTIONS, NAMES, PREFIX, RELATIONS, Token, Unreadable, tokens
from signs import operator, phrase


def inline(text: str) -> str:
    """A formula within a line.  Unreadable where it is none."""
    c = Cursor(tokens(text), display=False)
    xml = row(c, "")
    if c.here is not None or c.dangling:
        raise Unreadable("this ends in the middle of a formula", c.last.end)
    return f"<math>{xml}</math>"


@dataclass
class Row:
    """A row as far as it is read."""

    end: int  # the place after its last operand
    items: list[str] = field(default_factory=list)
    kept: int = 0  # how many of them there were at `end`
    ready: bool = False  # whether an operand was last
    relation: bool = False  # whether the last sign relates


def row(c: Cursor, closing: str, stop_at_relation: bool = False) -> str:
    """Up to the closing fence or the end; in prose, up to a word or punctuation."""
    c.closing.append(closing)
    r = Row(c.at)
    while (t := c.here) is not None and not c.closes(t):
        if stop_at_relation and t.kind == "op" and t.text in ("=", "+="):
            break
        if not item(c, t, r):
            break
        if r.ready:
            r.end, r.kept = c.at, len(r.items)
    items = complete(c, r)
    if not items and not closing:
        raise c.refuse("no formula here")
    c.closing.pop()
    c.listed = any("separator" in made[:24] for made in items)
    c.items = mathml.told(items)
    return mrow(c.items)


def item(c: Cursor, t: Token, r: Row) -> bool:
    """Read words, a product or a sign into the row; False where it ends before them."""
    fenced = c.closing[-1] != ""
    if c.said():
        if not c.display:
            if fenced:
                raise c.refuse("words inside a formula")
            return False
        r.items.append(phrase(c, bool(r.items) and not r.items[-1].startswith("<mo form")))
        r.ready = True
        return True
    if c.starts(t):
        return operand(c, r)
    if t.kind != "op":
        if fenced or c.display:
            raise c.refuse(f"{t.text!r} inside a formula")
        return False
    if t.text in ",;:" and c.lenient():
        return False
    sign = c.attempt(partial(operator, c, t, r.items, r.ready), keep=c.lenient())
    if sign is None:
        return False
    r.ready, r.relation = sign
    return True


def operand(c: Cursor, r: Row) -> bool:
    """Read a product into the row; False where prose goes on in its place."""
    if r.ready and c.lenient():
        return False
    if r.ready and r.items and not r.items[-1].startswith("<mtext"):
        raise c.refuse("two formulas side by side")
    made = c.attempt(partial(product, c), keep=bool(r.items) and c.lenient())
    if made is None:
        return False
    r.items.append(made)
    r.ready = True
    return True


def complete(c: Cursor, r: Row) -> list[str]:
    """The items of a row, in prose without a sign at the end, after which words follow.

    A relation to what these words say stays, and is noted: half a formula is none by itself.
    """
    if r.ready or not r.items:
        return r.items
    if c.lenient() and r.kept < len(r.items):
        if r.relation and r.kept:
            c.dangling = True
            return r.items
        c.at = r.end
        return r.items[: r.kept]
    if r.items[-1].startswith('<mo form="infix">'):
        raise c.refuse("an operator with nothing after it")
    return r.items


def product(c: Cursor) -> str:
    factors = [factor(c)]
    divided = False
    while (t := c.here) is not None and not c.closes(t):
        if t.kind == "op" and t.text in ("/", "//") and t.gap:
            c.at += 1
            if divided:
                raise c.refuse("two divisions in a row")
            if c.here is None or not c.starts(c.here):
                raise c.refuse("a division by nothing")
            below = factor(c)
            if below.stacked and "<mo>/</mo>" in below.xml:
                raise c.refuse("a fraction under a line: use parentheses")
            factors = [fraction(factors, below, linear=c.linear, whole=t.text == "//")]
            divided = True
        elif t.gap and c.starts(t) and not c.said():
            if t.fresh and c.lenient():
                break
            made = c.attempt(partial(factor, c), keep=c.lenient())
            if made is None:
                break
            if factors[-1].xml == "<mn>0</mn>" and not made.wide:
                raise c.refuse("0 times something: are these two formulas?")
            factors.append(made)
            divided = False
        else:
            break
    return times(factors)


def factor(c: Cursor) -> Piece:
    """What is written without gaps, perhaps over a tight `/`."""
    start = c.at
    above = [primary(c)]
    if c.lenient() and c.tokens[start].text == "(" and start > 0:
        inside = c.tokens[start : c.at]
        if any(t.text in RELATIONS and (t.gap or t.text not in "<>") for t in inside if t.open):
            raise c.refuse("a remark, not a factor")
    while (t := c.here) is not None and not t.gap and not c.closes(t):
        if t.kind == "op" and t.text == "/":
            c.at += 1
            if c.here is None or c.here.gap or not c.starts(c.here):
                raise c.refuse("a division by nothing")
            below = primary(c)
            after = c.here
            if (
                after is not None
                and not after.gap
                and (after.text in ("/", "//") or c.starts(after))
            ):
                raise c.refuse("what is under the line? use gaps or parentheses")
            return fraction(above, below, linear=True)
        if not c.starts(t):
            break
        above.append(primary(c))
    if len(above) == 1:
        return above[0]
    return Piece(times(above), wide=any(p.wide for p in above))


def primary(c: Cursor) -> Piece:
    t = c.here
    assert t is not None
    if t.kind == "d" or (t.text == "d" and t.kind == "name" and c.is_differential()):
        c.at += 1
        if c.here is None:
            raise c.refuse("the differential of nothing")
        air = THIN if c.here.text in PREFIX else ""
        of = primary(c)
        return Piece(f"<mrow>{mathml.D}{air}{of.xml}</mrow>", wide=True)
    c.at += 1
    if t.kind == "number":
        return scripts(c, number(t.text), one=t.text == "1")
    if t.kind == "op":
        piece = scripts(c, *fence(c, t))
        return replace(
            piece,
            shape=t.text == "(" and not piece.bare and piece.xml.endswith(">)</mo></mrow>"),
        )
    if t.text in FUNCTIONS:
        return function(c, t.text)
    return scripts(c, identifier(t.text), named=True, wide=t.text in (*NAMES, "d"))


def fence(c: Cursor, t: Token) -> tuple[str, str]:
    """Something in brackets, and its inside where these only group."""
    close = FENCES[t.text]
    inside = row(c, close)
    listed = c.listed
    if not c.takes(close):
        raise Unreadable(f"no {close!r} for this {t.text!r}", t.start)
    groups = t.text == "(" and not listed
    return bracketed(inside, t.text), inside if groups else ""


def scripts(c: Cursor, base: str, bare: str = "", *, named: bool = False, wide: bool = False,
    one: bool = False, function: bool = False,
) -> Piece:  # fmt: skip
    """Subscripts, bars, primes, powers, factorials, arguments and indices of a base."""
    sub = sup = ""
    start = base
    while (t := c.here) is not None and not t.gap:
        if t.kind == "bar":
            base, sup = mathml.over(scripted(base, "", sup)), ""
        elif t.kind == "sub" or (t.text == "_" and t.kind == "op"):
            base, sub = (scripted(base, sub, ""), "") if sub else (base, sub)
            sub = subscript(c, t)
            continue
        elif t.text == "'" and "<mo>" not in sup.replace("<mo>′</mo>", ""):
            sup += "<mo>′</mo>"
        elif t.text == "^":
            if sup:
                raise c.refuse("a power of something primed: use parentheses")
            c.at += 1
            sup = power(c, function)
            continue
        elif t.text == "!" and not sup:
            base, sub = mrow([scripted(base, sub, ""), "<mo>!</mo>"]), ""
        elif t.text in "([" and t.kind == "op" and named:
            c.at += 1
            inside, _ = fence(c, t)
            call = APPLY if t.text == "(" else ""
            wide = wide or t.text == "("
            base, sub, sup = mrow([scripted(base, sub, sup), call, inside]), "", ""
            applied = c.here is not None and c.here.text == "^" and not c.here.gap
            if applied and not transposes(c):
                base = bracketed(base)
            continue
        else:
            break
        c.at += 1
    xml = scripted(base, sub, sup)
    if one and xml != start:
        xml, one = xml.replace(start, mathml.ONES, 1), False
    return Piece(xml, bare if xml == start else "", wide=wide, one=one)


def transposes(c: Cursor) -> bool:
    power = c.next()
    return power is not None and power.text == "T"


def subscript(c: Cursor, t: Token) -> str:
    c.at += 1
    if t.kind == "sub":
        text = t.text.removeprefix("_")
        return mrow([number(c) if c.isdigit() else identifier(c) for c in text])
    if not c.takes("{", tight=True):
        raise c.refuse("a subscript of several signs goes in braces")
    return script_row(c, "}")


def script_row(c: Cursor, close: str) -> str:
    linear, c.linear = c.linear, True
    inside = row(c, close)
    if not c.takes(close):
        raise c.refuse(f"no {close!r} here")
    c.linear = linear
    return inside


def power(c: Cursor, function: bool) -> str:
    """What is raised: a number, a name with a subscript, or parentheses; a sign before it."""
    sign = '<mo form="prefix">−</mo>' if c.takes("-", tight=True) else ""
    t = c.here
    if t is None or t.gap:
        raise c.refuse("a power of nothing")
    c.at += 1
    if t.text == "(":
        xml = script_row(c, ")")
    elif t.kind == "number":
        xml = number(t.text)
    elif t.text == "T" and not sign:
        xml = "<mo>⊤</mo>"
    elif t.kind == "name":
        xml = marked(c, identifier(t.text))
    else:
        raise Unreadable("a power is a number, a name or in parentheses", t.start)
    after = c.here
    if after is not None and not after.gap and not c.closes(after):
        call = function and after.text == "("
        more = after.kind in ("sub", "bar") or after.text in ("'", "^", "_", "/")
        if (c.starts(after) and not call) or more:
            raise c.refuse("does this belong to the power? use gaps or parentheses")
    return mrow([sign, xml]) if sign else xml


def marked(c: Cursor, base: str) -> str:
    """A name in a power, with its subscripts and bars."""
    sub = ""
    while (t := c.here) is not None and not t.gap and t.kind in ("bar", "sub"):
        if t.kind == "bar":
            base = mathml.over(base)
            c.at += 1
        else:
            base, sub = scripted(base, sub, ""), subscript(c, t)
    return scripted(base, sub, "")


def function(c: Cursor, text: str) -> Piece:
    """A function with its argument, in parentheses, in bars or the one factor after it."""
    t = c.here
    if text in ("sqrt", "floor", "ceil") and t is not None:
        if t.text == "(" and not t.gap:
            c.at += 1
            _, inside = fence(c, t)
        elif c.starts(t):
            inside = factor(c).xml
        else:
            raise c.refuse(f"{text} of nothing")
        if not inside:
            raise c.refuse(f"{text} of several")
        if text == "sqrt":
            return scripts(c, f"<msqrt>{inside}</msqrt>")
        left, right = "⌊⌋" if text == "floor" else "⌈⌉"
        return scripts(c, f"<mrow><mo>{left}</mo>{inside}<mo>{right}</mo></mrow>")
    if text == "sum":
        return total(c)
    start = c.at
    piece = scripts(c, identifier(text), named=True, function=True)
    read = c.tokens[start - 1 : c.at]
    called = any(b.text == "(" and a.text != "^" for a, b in pairwise(read))
    t = c.here
    if t is None or text not in PREFIX or called or t.kind == "d":
        return replace(piece, wide=True)
    if c.starts(t) and not c.said() and (t.gap or t.text == "|"):
        space = THIN if t.gap else ""
        return Piece(mrow([piece.xml, APPLY, space, factor(c).xml]), wide=True)
    return replace(piece, wide=True)


def total(c: Cursor) -> Piece:
    """`sum(x)`, over all entries, or `sum_k x`."""
    t = c.here
    if t is None or t.gap:
        return Piece(SUM, wide=True)
    if t.text == "(":
        c.at += 1
        fenced, inside = fence(c, t)
        if c.here is not None and c.here.text == "^" and not c.here.gap:
            raise c.refuse("a power of the sum or of what is summed? use parentheses")
        piece = scripts(c, mrow([SUM, fenced]))
        followed = bracketed(SUM + (inside or fenced)) if piece.xml == mrow([SUM, fenced]) else ""
        return replace(piece, stacked=followed)
    below = subscript(c, t)
    tag = "msub" if c.linear else "munder"
    return Piece(f"<{tag}>{SUM}{single(below)}</{tag}>", wide=True)
