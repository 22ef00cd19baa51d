"""A place in a row of tokens, and what may come next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from notation import GREEK, PREFIX, Token, Unreadable, is_word

T = TypeVar("T")


class Cursor:
    """A place in a row of tokens, and what is open there."""

    def __init__(self, found: tuple[Token, ...], at: int = 0, *, display: bool) -> None:
        self.tokens, self.at, self.display = found, at, display
        self.closing: list[str] = [""]
        self.linear = not display
        self.items: list[str] = []  # of the last row
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

    def said(self) -> bool:
        """Whether what comes is a word."""
        inside = self.closing[-1] != ""
        return is_word(self.tokens, self.at, display=self.display, inside=inside)

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
