"""What stands between the operands of a formula: signs, and words where it is displayed."""

from __future__ import annotations

from html import escape

from cursor import Cursor
from notation import RELATIONS, SIGNS, WORDS, Token, Unreadable


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
