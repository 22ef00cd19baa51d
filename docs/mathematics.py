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

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import TypeVar

from notation import FUNCTIONS, GREEK, NAMES, PREFIX, VERBS, WORDS, Token, Unreadable, tokens

RELATIONS = {
    "=": "=", "!=": "≠", "<=": "≤", ">=": "≥", "<": "<", ">": ">", "+=": "+=", "->": "→",
}  # fmt: skip
SIGNS = {"+": "+", "-": "−", "+-": "±", "*": "∗"}
FENCES = {"(": ")", "[": "]", "{": "}", "<": ">", "|": "|", "||": "||"}
DRAWN = {"<": "⟨", ">": "⟩", "||": "‖"}
THIN = '<mspace width="0.2em"/>'
TIMES, APPLY = "<mo>&#x2062;</mo>", "<mo>&#x2061;</mo>"
D = '<mi mathvariant="normal">d</mi>'
ONES = '<mi mathvariant="normal">𝟏</mi>'  # the vector of ones

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """A factor.  `bare` is its inside where it is no more than something in parentheses."""

    xml: str
    bare: str = ""
    wide: bool = False  # wants air around it: a long name, a differential
    one: bool = False  # the number 1, which as a factor is the vector of ones
    stacked: str = ""  # where a factor follows: a fraction under a line, a sum in parentheses
    shape: bool = False  # a tuple: what stands before it has this shape, and is no factor


def inline(text: str) -> str:
    """A formula within a line.  Unreadable where it is none."""
    reader = Reader(tokens(text), display=False)
    row = reader.row("")
    if reader.here is not None or reader.dangling:
        raise Unreadable("this ends in the middle of a formula", reader.last.end)
    return f"<math>{row}</math>"


class Reader:
    """A place in a row of tokens; each method reads on, and returns MathML."""

    def __init__(self, found: tuple[Token, ...], at: int = 0, *, display: bool) -> None:
        self.tokens, self.at, self.display = found, at, display
        self.closing: list[str] = [""]
        self.linear = not display
        self.listed = False  # whether the last row had commas of its own
        self.dangling = False  # whether a relation came last, with words on its right

    @property
    def here(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    @property
    def last(self) -> Token:
        return self.tokens[min(self.at, len(self.tokens) - 1)]

    def next(self, ahead: int = 1) -> Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def refuse(self, why: str) -> Unreadable:
        return Unreadable(why, self.last.start)

    def takes(self, *texts: str, tight: bool = False) -> bool:
        """Step over the next token if it is an operator of these."""
        t = self.here
        if t is None or t.kind != "op" or t.text not in texts or (tight and t.gap):
            return False
        self.at += 1
        return True

    def lenient(self) -> bool:
        """Whether a formula may end here: prose goes on where it cannot, `z (of n entries)`."""
        return not self.display and self.closing[-1] == ""

    def attempt(self, read: Callable[[], T], keep: bool) -> T | None:
        """What is read; where that cannot be and `keep`, nothing, and no step is taken."""
        at, depth, linear = self.at, len(self.closing), self.linear
        try:
            return read()
        except Unreadable:
            if not keep:
                raise
            self.at, self.linear = at, linear
            del self.closing[depth:]
            return None

    # ---- a row

    def row(self, closing: str, stop_at_relation: bool = False) -> str:
        """Up to the closing fence or the end; in prose, up to a word or punctuation."""
        self.closing.append(closing)
        items: list[str] = []
        ready, good, kept = False, self.at, 0  # whether an operand was last; where it ended
        relation = False
        while (t := self.here) is not None and not self.closes(t):
            if stop_at_relation and t.kind == "op" and t.text in ("=", "+="):
                break
            if self.is_word(t):
                if not self.display:
                    if closing:
                        raise self.refuse("words inside a formula")
                    break
                items.append(self.phrase(bool(items) and not items[-1].startswith("<mo form")))
                ready = True
            elif self.starts(t):
                if ready and self.lenient():
                    break
                if ready and items and not items[-1].startswith("<mtext"):
                    raise self.refuse("two formulas side by side")
                made = self.attempt(self.product, keep=bool(items) and self.lenient())
                if made is None:
                    break
                items.append(made)
                ready = True
            elif t.kind != "op":
                if closing or self.display:
                    raise self.refuse(f"{t.text!r} inside a formula")
                break
            elif t.text in ",;:" and not self.display and not closing:
                break
            else:
                here, prior = t, ready
                sign = self.attempt(lambda: self.operator(here, items, prior), self.lenient())
                if sign is None:
                    break
                ready, relation = sign
                if not ready:
                    continue
            good, kept = self.at, len(items)
        if not ready and items and kept < len(items) and not self.display and not closing:
            if relation and kept:
                self.dangling = True
            else:
                self.at, items = good, items[:kept]
        elif not ready and items and items[-1].startswith('<mo form="infix">'):
            raise self.refuse("an operator with nothing after it")
        if not items and not closing:
            raise self.refuse("no formula here")
        self.closing.pop()
        self.listed = any("separator" in item[:24] for item in items)
        return mrow(told(items))

    def operator(self, t: Token, items: list[str], ready: bool) -> tuple[bool, bool]:
        """A sign between operands: (whether it stands for an operand, whether it relates)."""
        self.at += 1
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
            said = bool(items) and items[-1].startswith("<mtext") and t.gap and not t.open
            form = "infix" if ready and not said else "prefix"
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

    def closes(self, t: Token) -> bool:
        closing = self.closing[-1]
        loose = closing in (">", "|", "||") and t.gap
        return t.kind == "op" and t.text == closing and closing != "" and not loose

    def starts(self, t: Token) -> bool:
        """Whether a factor starts here."""
        if t.kind in ("number", "name", "d"):
            return True
        if t.kind != "op" or self.closes(t):
            return False
        return t.text in "([{" or (t.text in ("<", "|", "||") and not t.open)

    def is_word(self, t: Token) -> bool:
        """Whether this is a word: `margin` and `sum` are names only where a formula has them."""
        if t.kind in ("word", "code"):
            return True
        if t.text == "a" and self.display and 0 < self.at < len(self.tokens) - 1:
            before, after = self.tokens[self.at - 1], self.tokens[self.at + 1]
            article = after.kind == "word" and after.text not in VERBS
            return before.kind == "word" and article  # `is a row`, but `where a is`
        if t.kind != "name" or len(t.text) == 1 or t.text not in (*NAMES, *FUNCTIONS):
            return False
        after = self.next()
        if after is not None and not after.gap and after.text != "-" and (
            after.kind in ("sub", "bar") or (after.kind == "op" and after.text in "([|^_'/")
        ):
            return False
        before = self.tokens[self.at - 1] if self.at else None
        operand = after is not None and after.gap and after.kind in ("name", "number")
        if t.text == "sum" and self.display and after is not None and after.gap:
            return after.kind not in ("name", "d") or (after.text in (*NAMES, *FUNCTIONS))
        if t.text in PREFIX and after is not None and (operand or not after.gap):
            if not after.gap or after.text in GREEK or len(after.text) == 1:
                return False
        if t.text in PREFIX[:2] and before is not None and before.kind == "op":
            return False  # `log of the sum of ...`
        if t.text in FUNCTIONS:
            return True
        if self.display:
            return before is not None and before.kind == "word"
        if self.closing[-1]:
            return False
        if before is not None and before.kind == "op" and before.text not in ",;:)":
            return False
        return not (
            after is not None and after.kind == "op" and after.open and after.gap
            and (after.text in RELATIONS or after.text in SIGNS)
        )  # fmt: skip

    def phrase(self, inside: bool) -> str:
        """Words in a displayed formula."""
        said: list[str] = []
        while (t := self.here) is not None and self.is_word(t):
            bare = t.text.removesuffix("'s").removesuffix("'").lower()
            if t.kind == "code" or (t.kind == "word" and bare and bare not in WORDS):
                raise self.refuse(f"{t.text!r} is neither a name nor a word of formulas")
            said.append((" " if t.gap else "") + t.text)
            self.at += 1
        words = escape("".join(said).strip().replace("'", "’"), quote=False)
        start = "&#xA0;" if inside and said[0].startswith(" ") else ""
        end = "&#xA0;" if self.here is not None and self.here.gap else ""
        return f"<mtext>{start}{words}{end}</mtext>"

    # ---- products

    def product(self) -> str:
        factors = [self.factor()]
        divided = False
        while (t := self.here) is not None and not self.closes(t):
            if t.kind == "op" and t.text in ("/", "//") and t.gap:
                self.at += 1
                if divided:
                    raise self.refuse("two divisions in a row")
                if self.here is None or not self.starts(self.here):
                    raise self.refuse("a division by nothing")
                below = self.factor()
                if below.stacked and "<mo>/</mo>" in below.xml:
                    raise self.refuse("a fraction under a line: use parentheses")
                factors = [self.fraction(factors, below, whole=t.text == "//")]
                divided = True
            elif t.gap and self.starts(t) and not self.is_word(t):
                if t.fresh and self.lenient():
                    break
                made = self.attempt(self.factor, keep=self.lenient())
                if made is None:
                    break
                if factors[-1].xml == "<mn>0</mn>" and not made.wide:
                    raise self.refuse("0 times something: are these two formulas?")
                factors.append(made)
                divided = False
            else:
                break
        return times(factors)

    def factor(self) -> Piece:
        """What is written without gaps, perhaps over a tight `/`."""
        start = self.at
        above = [self.primary()]
        if self.lenient() and self.tokens[start].text == "(" and start > 0:
            inside = self.tokens[start : self.at]
            if any(t.text in RELATIONS and (t.gap or t.text not in "<>") for t in inside if t.open):
                raise self.refuse("a remark, not a factor")
        while (t := self.here) is not None and not t.gap and not self.closes(t):
            if t.kind == "op" and t.text == "/":
                self.at += 1
                if self.here is None or self.here.gap or not self.starts(self.here):
                    raise self.refuse("a division by nothing")
                below = self.primary()
                after = self.here
                if after is not None and not after.gap and (
                    after.text in ("/", "//") or self.starts(after)
                ):
                    raise self.refuse("what is under the line? use gaps or parentheses")
                return self.fraction(above, below, tight=True)
            if not self.starts(t):
                break
            above.append(self.primary())
        if len(above) == 1:
            return above[0]
        return Piece(times(above), wide=any(p.wide for p in above))

    def fraction(
        self, above: list[Piece], below: Piece, *, whole: bool = False, tight: bool = False
    ) -> Piece:
        """On one line in prose and where it is written tight, else under a line."""
        line = f"{times(above)}<mo>/</mo>{below.xml}"
        if whole:
            return Piece(f"<mrow><mo>⌊</mo>{line}<mo>⌋</mo></mrow>")
        top = (above[0].bare if len(above) == 1 else "") or times(above)
        stacked = f"<mfrac>{one(top)}{one(below.bare or below.xml)}</mfrac>"
        return Piece(line, stacked=stacked) if self.linear or tight else Piece(stacked)

    # ---- one factor

    def primary(self) -> Piece:
        t = self.here
        assert t is not None
        if t.kind == "d" or (t.text == "d" and t.kind == "name" and self.is_differential()):
            self.at += 1
            if self.here is None:
                raise self.refuse("the differential of nothing")
            air = THIN if self.here.text in PREFIX else ""
            of = self.primary()
            return Piece(f"<mrow>{D}{air}{of.xml}</mrow>", wide=True)
        self.at += 1
        if t.kind == "number":
            return self.scripts(number(t.text), one=t.text == "1")
        if t.kind == "op":
            piece = self.scripts(*self.fence(t))
            return replace(piece, shape=t.text == "(" and not piece.bare and piece.xml.endswith(">)</mo></mrow>"))
        if t.text in FUNCTIONS:
            return self.function(t.text)
        return self.scripts(identifier(t.text), named=True, wide=t.text in (*NAMES, "d"))

    def is_differential(self) -> bool:
        """`d sigma`, `d log(p)`, `d|v|`, `d(x / y)`; but d(u, v) is a distance."""
        after = self.next()
        if after is None or self.closes(after):
            return False
        if after.gap:
            return after.kind == "name" and (after.text in GREEK or after.text in PREFIX)
        if after.text == "|":
            return True
        if after.text != "(":
            return False
        depth = 0
        for t in self.tokens[self.at + 1 :]:
            depth += (t.text in "([{") - (t.text in ")]}") if t.kind == "op" else 0
            if depth == 1 and t.text == ",":
                return False
            if depth == 0:
                break
        return True

    def fence(self, t: Token) -> tuple[str, str]:
        """Something in brackets, and its inside where these only group."""
        close = FENCES[t.text]
        inside = self.row(close)
        listed = self.listed
        if not self.takes(close):
            raise Unreadable(f"no {close!r} for this {t.text!r}", t.start)
        groups = t.text == "(" and not listed
        return bracketed(inside, t.text), inside if groups else ""

    def scripts(
        self, base: str, bare: str = "", *, named: bool = False, wide: bool = False,
        one: bool = False,
    ) -> Piece:  # fmt: skip
        """Subscripts, bars, primes, powers, factorials, arguments and indices of a base."""
        sub = sup = ""
        start = base
        while (t := self.here) is not None and not t.gap:
            if t.kind == "bar":
                base, sup = over(scripted(base, "", sup)), ""
            elif t.kind == "sub" or (t.text == "_" and t.kind == "op"):
                base, sub = (scripted(base, sub, ""), "") if sub else (base, sub)
                sub = self.subscript(t)
                continue
            elif t.text == "'" and "<mo>" not in sup.replace("<mo>′</mo>", ""):
                sup += "<mo>′</mo>"
            elif t.text == "^":
                if sup:
                    raise self.refuse("a power of something primed: use parentheses")
                self.at += 1
                sup = self.power(named)
                continue
            elif t.text == "!" and not sup:
                base, sub = mrow([scripted(base, sub, ""), "<mo>!</mo>"]), ""
            elif t.text in "([" and t.kind == "op" and named:
                self.at += 1
                inside, _ = self.fence(t)
                call = APPLY if t.text == "(" else ""
                wide = wide or t.text == "("
                base, sub, sup = mrow([scripted(base, sub, sup), call, inside]), "", ""
                applied = self.here is not None and self.here.text == "^" and not self.here.gap
                if applied and not self.transposes():
                    base = bracketed(base)
                continue
            else:
                break
            self.at += 1
        xml = scripted(base, sub, sup)
        if one and xml != start:
            xml, one = xml.replace(start, ONES, 1), False
        return Piece(xml, bare if xml == start else "", wide=wide, one=one)

    def transposes(self) -> bool:
        power = self.next()
        return power is not None and power.text == "T"

    def subscript(self, t: Token) -> str:
        self.at += 1
        if t.kind == "sub":
            text = t.text.removeprefix("_")
            return mrow([number(c) if c.isdigit() else identifier(c) for c in text])
        if not self.takes("{", tight=True):
            raise self.refuse("a subscript of several signs goes in braces")
        return self.script_row("}")

    def script_row(self, close: str) -> str:
        linear, self.linear = self.linear, True
        inside = self.row(close)
        if not self.takes(close):
            raise self.refuse(f"no {close!r} here")
        self.linear = linear
        return inside

    def power(self, named: bool) -> str:
        """What is raised: a number, a name with a subscript, or parentheses; a sign before it."""
        sign = '<mo form="prefix">−</mo>' if self.takes("-", tight=True) else ""
        t = self.here
        if t is None or t.gap:
            raise self.refuse("a power of nothing")
        self.at += 1
        if t.text == "(":
            xml = self.script_row(")")
        elif t.kind == "number":
            xml = number(t.text)
        elif t.text == "T" and not sign:
            xml = "<mo>⊤</mo>"
        elif t.kind == "name":
            xml = identifier(t.text)
            if self.here is not None and self.here.kind == "sub" and not self.here.gap:
                xml = scripted(xml, self.subscript(self.here), "")
        else:
            raise Unreadable("a power is a number, a name or in parentheses", t.start)
        after = self.here
        if after is not None and not after.gap and not self.closes(after):
            call = named and after.text == "("
            if (self.starts(after) and not call) or after.text in ("'", "^", "/"):
                raise self.refuse("does this belong to the power? use gaps or parentheses")
        return mrow([sign, xml]) if sign else xml

    def function(self, text: str) -> Piece:
        """A function with its argument, in parentheses, in bars or the one factor after it."""
        t = self.here
        if text in ("sqrt", "floor", "ceil") and t is not None:
            if t.text == "(" and not t.gap:
                self.at += 1
                _, inside = self.fence(t)
            else:
                inside = self.factor().xml
            if not inside:
                raise self.refuse(f"{text} of several")
            if text == "sqrt":
                return self.scripts(f"<msqrt>{inside}</msqrt>")
            left, right = "⌊⌋" if text == "floor" else "⌈⌉"
            return self.scripts(f"<mrow><mo>{left}</mo>{inside}<mo>{right}</mo></mrow>")
        if text == "sum":
            return self.total()
        piece = self.scripts(identifier(text), named=True)
        before = self.tokens[self.at - 1]
        t = self.here
        called = before.kind == "op" and before.text == ")"
        if text in PREFIX and not called and t is not None and self.starts(t):
            if not self.is_word(t) and t.kind != "d" and (t.gap or t.text == "|"):
                space = THIN if t.gap else ""
                return Piece(mrow([piece.xml, APPLY, space, self.factor().xml]), wide=True)
        return replace(piece, wide=True)

    def total(self) -> Piece:
        """`sum(x)`, over all entries, or `sum_k x`."""
        t = self.here
        sign = '<mo form="prefix">∑</mo>'
        if t is None or t.gap:
            return Piece(sign, wide=True)
        if t.text == "(":
            self.at += 1
            fenced, inside = self.fence(t)
            if self.here is not None and self.here.text == "^" and not self.here.gap:
                raise self.refuse("a power of the sum or of what is summed? use parentheses")
            piece = self.scripts(mrow([sign, fenced]))
            followed = bracketed(sign + (inside or fenced)) if piece.xml == mrow([sign, fenced]) else ""
            return replace(piece, stacked=followed)
        below = self.subscript(t)
        tag = "msub" if self.linear else "munder"
        return Piece(f"<{tag}>{sign}{one(below)}</{tag}>", wide=True)


# ---- MathML


def bracketed(inside: str, left: str = "(") -> str:
    """In brackets, which grow only around what is built high."""
    tall = str("<mfrac" in inside or "<munder" in inside).lower()
    right = FENCES[left]
    before, after = (
        f'<mo form="{form}" fence="true" stretchy="{tall}">{escape(DRAWN.get(sign, sign))}</mo>'
        for form, sign in (("prefix", left), ("postfix", right))
    )
    return f"<mrow>{before}{inside}{after}</mrow>"


def told(items: list[str]) -> list[str]:
    """A relation keeps its distance to words alone, which MathML would count as space."""
    if len(items) == 2 and items[0].startswith("<mo") and items[1].startswith("<mtext>"):
        return [items[0], items[1].replace("<mtext>", "<mtext>&#xA0;")]
    return items


def mrow(items: list[str]) -> str:
    items = [item for item in items if item]
    return items[0] if len(items) == 1 else f"<mrow>{''.join(items)}</mrow>"


def one(xml: str) -> str:
    """As one argument, of a fraction, say."""
    return xml if xml.startswith("<mrow>") and whole(xml) else f"<mrow>{xml}</mrow>"


def whole(xml: str) -> bool:
    """Whether the first mrow is all of it."""
    depth = 0
    for i in range(len(xml)):
        depth += xml.startswith("<mrow>", i) - xml.startswith("</mrow>", i)
        if depth == 0:
            return i + len("</mrow>") == len(xml)
    return False


def times(factors: list[Piece]) -> str:
    """A product; a 1 that multiplies is the vector of ones."""
    if len(factors) == 1:
        return factors[0].xml
    last = factors[-1]
    factors = [replace(f, xml=f.stacked or f.xml) for f in factors[:-1]] + [last]
    parts = [ONES if factors[0].one else factors[0].xml]
    for left, right in zip(factors, factors[1:], strict=False):
        air = THIN if left.wide or right.wide else ""
        if right.shape:
            parts += ['<mspace width="0.5em"/>', right.xml]
        else:
            parts += [TIMES, air, ONES if right.one else right.xml]
    return mrow(parts)


def scripted(base: str, sub: str, sup: str) -> str:
    if sub and sup:
        return f"<msubsup>{single(base)}{single(sub)}{single(sup)}</msubsup>"
    if sub:
        return f"<msub>{single(base)}{single(sub)}</msub>"
    if sup:
        return f"<msup>{single(base)}{single(sup)}</msup>"
    return base


def single(xml: str) -> str:
    """As one element: scripts take exactly one each."""
    leaf = xml.count("</") == 1 and xml.startswith(("<mi", "<mn", "<mo"))
    nested = xml.startswith("<mrow>") and whole(xml)
    return xml if leaf or nested else f"<mrow>{xml}</mrow>"


def over(base: str) -> str:
    """With a bar.  Not as an accent, which without a mathematical font touches the letter."""
    return f'<mover>{single(base)}<mo stretchy="true">¯</mo></mover>'


def number(text: str) -> str:
    if "e" not in text:
        return f"<mn>{text}</mn>"
    digits, power = text.split("e")
    sign = "<mo>−</mo>" if power.startswith("-") else ""
    ten = f"<msup><mn>10</mn><mrow>{sign}<mn>{power.lstrip('+-')}</mn></mrow></msup>"
    return f"<mrow><mn>{digits}</mn><mo>·</mo>{ten}</mrow>"


def identifier(text: str) -> str:
    return f"<mi>{escape(GREEK.get(text, text)).replace('_', '&#95;')}</mi>"
