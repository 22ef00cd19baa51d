"""Presentation MathML: how the parts of a formula are put together."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise

from notation import GREEK

FENCES = {"(": ")", "[": "]", "{": "}", "<": ">", "|": "|", "||": "||"}
DRAWN = {"<": "⟨", ">": "⟩", "||": "‖"}
THIN = '<mspace width="0.2em"/>'
TIMES, APPLY = "<mo>&#x2062;</mo>", "<mo>&#x2061;</mo>"
D = '<mi mathvariant="normal">d</mi>'
SUM = '<mo form="prefix">∑</mo>'
ONES = '<mi mathvariant="normal">𝟏</mi>'
"""The vector of ones."""

TAG = re.compile(r"<(/?)\w[^>]*?(/?)>")


@dataclass(frozen=True)
class Piece:
    """A factor.  `bare` is its inside where it is no more than something in parentheses."""

    xml: str
    bare: str = ""
    wide: bool = False  # wants air around it: a long name, a differential
    one: bool = False  # the number 1, which as a factor is the vector of ones
    stacked: str = ""  # where a factor follows: a fraction under a line, a sum in parentheses
    shape: bool = False  # a tuple: what stands before it has this shape, and is no factor


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


def single(xml: str) -> str:
    """As one element, which each argument of a fraction or a script is."""
    depth = 0
    for match in TAG.finditer(xml):
        if match.group(2):
            continue
        depth += -1 if match.group(1) else 1
        if depth == 0:
            return xml if match.end() == len(xml) else f"<mrow>{xml}</mrow>"
    return f"<mrow>{xml}</mrow>"


def times(factors: list[Piece]) -> str:
    """A product; a 1 that multiplies is the vector of ones."""
    if len(factors) == 1:
        return factors[0].xml
    last = factors[-1]
    factors = [replace(f, xml=f.stacked or f.xml) for f in factors[:-1]] + [last]
    parts = [ONES if factors[0].one else factors[0].xml]
    for left, right in pairwise(factors):
        air = THIN if left.wide or right.wide else ""
        if right.shape:
            parts += ['<mspace width="0.5em"/>', right.xml]
        else:
            parts += [TIMES, air, ONES if right.one else right.xml]
    return mrow(parts)


def fraction(above: list[Piece], below: Piece, *, linear: bool, whole: bool = False) -> Piece:
    """On one line where it is `linear`, in prose and where it is written tight; else under one."""
    apart = [replace(piece, xml=piece.stacked or piece.xml) for piece in above]
    line = f"{times(apart)}<mo>/</mo>{below.xml}"
    if whole:
        return Piece(f"<mrow><mo>⌊</mo>{line}<mo>⌋</mo></mrow>")
    top = (above[0].bare if len(above) == 1 else "") or times(above)
    stacked = f"<mfrac>{single(top)}{single(below.bare or below.xml)}</mfrac>"
    return Piece(line, stacked=stacked) if linear else Piece(stacked)


def scripted(base: str, sub: str, sup: str) -> str:
    if sub and sup:
        return f"<msubsup>{single(base)}{single(sub)}{single(sup)}</msubsup>"
    if sub:
        return f"<msub>{single(base)}{single(sub)}</msub>"
    if sup:
        return f"<msup>{single(base)}{single(sup)}</msup>"
    return base


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
