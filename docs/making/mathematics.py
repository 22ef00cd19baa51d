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

from dataclasses import replace
from functools import partial
from html import escape
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
    identifier,
    mrow,
    number,
    scripted,
    single,
    times,
)
from notation import (
    FUNCTIONS,
    GREEK,
    NAMES,
    PREFIX,
    RELATIONS,
    SIGNS,
    WORDS,
    Token,
    Unreadable,
    tokens,
)


def inline(text: str) -> str:
    """A formula within a line.  Unreadable where it is none."""
    c = Cursor(tokens(text), display=False)
    xml = row(c, "")
    if c.here is not None or c.dangling:
        raise Unreadable("this ends in the middle of a formula", c.last.end)
    return f"<math>{xml}</math>"


def row(c: Cursor, closing: str, stop_at_relation: bool = False) -> str:
    """Up to the closing fence or the end; in prose, up to a word or punctuation."""
    c.closing.append(closing)
    items: list[str] = []
    ready, good, kept = False, c.at, 0  # whether an operand was last; where it ended
    relation = False
    while (t := c.here) is not None and not c.closes(t):
        if stop_at_relation and t.kind == "op" and t.text in ("=", "+="):
            break
        if c.said():
            if not c.display:
                if closing:
                    raise c.refuse("words inside a formula")
                break
            items.append(phrase(c, bool(items) and not items[-1].startswith("<mo form")))
            ready = True
        elif c.starts(t):
            if ready and c.lenient():
                break
            if ready and items and not items[-1].startswith("<mtext"):
                raise c.refuse("two formulas side by side")
            made = c.attempt(partial(product, c), keep=bool(items) and c.lenient())
            if made is None:
                break
            items.append(made)
            ready = True
        elif t.kind != "op":
            if closing or c.display:
                raise c.refuse(f"{t.text!r} inside a formula")
            break
        elif t.text in ",;:" and not c.display and not closing:
            break
        else:
            read = partial(operator, c, t, items, ready)
            sign = c.attempt(read, keep=c.lenient())
            if sign is None:
                break
            ready, relation = sign
            if not ready:
                continue
        good, kept = c.at, len(items)
    if not ready and items and kept < len(items) and not c.display and not closing:
        if relation and kept:
            c.dangling = True
        else:
            c.at, items = good, items[:kept]
    elif not ready and items and items[-1].startswith('<mo form="infix">'):
        raise c.refuse("an operator with nothing after it")
    if not items and not closing:
        raise c.refuse("no formula here")
    c.closing.pop()
    c.listed = any("separator" in item[:24] for item in items)
    c.items = mathml.told(items)
    return mrow(c.items)


def operator(c: Cursor, t: Token, items: list[str], ready: bool) -> tuple[bool, bool]:
    """A sign between operands: (whether it stands for an operand, whether it relates)."""
    c.at += 1
    if t.text == "...":
        items.append('<mo lspace="0" rspace="0">…</mo>')
        return True, False
    if t.text in RELATIONS and (t.text not in "<>" or (t.gap and t.open)):
        if not ready and items:
            raise Unreadable("a relation with nothing before it", t.start)
        items.append(f'<mo form="infix">{escape(RELATIONS[t.text])}</mo>')
        return False, True
    if t.text in SIGNS:
        if not ready and t.text == "*":
            raise Unreadable("a product with nothing before it", t.start)
        words = bool(items) and items[-1].startswith("<mtext") and t.gap and not t.open
        form = "infix" if ready and not words else "prefix"
        items.append(f'<mo form="{form}">{SIGNS[t.text]}</mo>')
        return False, False
    if t.text in ",;:" and ready:
        if t.text == ":":
            items.append('<mo lspace="0" rspace="0.2em">:</mo>')
        else:
            items.append(f'<mo separator="true">{t.text}</mo>')
        return False, False
    if t.text == "|" and t.gap and t.open and ready:
        items.append('<mo form="infix">|</mo>')
        return False, False
    raise Unreadable(f"{t.text!r} has no place here", t.start)


def phrase(c: Cursor, inside: bool) -> str:
    """Words in a displayed formula."""
    said: list[str] = []
    while (t := c.here) is not None and c.said():
        bare = t.text.removesuffix("'s").removesuffix("'").lower()
        if t.kind == "code" or (t.kind == "word" and bare and bare not in WORDS):
            raise c.refuse(f"{t.text!r} is neither a name nor a word of formulas")
        said.append((" " if t.gap else "") + t.text)
        c.at += 1
    words = escape("".join(said).strip().replace("'", "’"), quote=False)
    start = "&#xA0;" if inside and said[0].startswith(" ") else ""
    end = "&#xA0;" if c.here is not None and c.here.gap else ""
    return f"<mtext>{start}{words}{end}</mtext>"


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
            factors = [fraction(c, factors, below, whole=t.text == "//")]
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
            return fraction(c, above, below, tight=True)
        if not c.starts(t):
            break
        above.append(primary(c))
    if len(above) == 1:
        return above[0]
    return Piece(times(above), wide=any(p.wide for p in above))


def fraction(
    c: Cursor, above: list[Piece], below: Piece, *, whole: bool = False, tight: bool = False
) -> Piece:
    """On one line in prose and where it is written tight, else under a line."""
    apart = [replace(piece, xml=piece.stacked or piece.xml) for piece in above]
    line = f"{times(apart)}<mo>/</mo>{below.xml}"
    if whole:
        return Piece(f"<mrow><mo>⌊</mo>{line}<mo>⌋</mo></mrow>")
    top = (above[0].bare if len(above) == 1 else "") or times(above)
    stacked = f"<mfrac>{single(top)}{single(below.bare or below.xml)}</mfrac>"
    return Piece(line, stacked=stacked) if c.linear or tight else Piece(stacked)


def primary(c: Cursor) -> Piece:
    t = c.here
    assert t is not None
    if t.kind == "d" or (t.text == "d" and t.kind == "name" and is_differential(c)):
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


def is_differential(c: Cursor) -> bool:
    """`d sigma`, `d log(p)`, `d|v|`, `d(x / y)`; but d(u, v) is a distance."""
    after = c.next()
    if after is None or c.closes(after):
        return False
    if after.gap:
        return after.kind == "name" and (after.text in GREEK or after.text in PREFIX)
    if after.text == "|":
        return True
    if after.text != "(":
        return False
    depth = 0
    for t in c.tokens[c.at + 1 :]:
        depth += (t.text in "([{") - (t.text in ")]}") if t.kind == "op" else 0
        if depth == 1 and t.text == ",":
            return False
        if depth == 0:
            break
    return True


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
        else:
            inside = factor(c).xml
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
