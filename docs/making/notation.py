"""The notation of our docstrings: its vocabulary, and text cut into tokens.

A name is one letter, a Greek letter by its name, a name of the vocabulary (`softmax`,
`epsilon`, `Wq`), or one of these after `d`, a differential.  Two letters side by side are a
product only where the vocabulary says so (`zz'`).  Everything else of two letters and more is
a word.  What a token touches matters: `s(x)` is s of x and `c (x + 1)` a product, `<y, v>` an
inner product and `y < v` a comparison; so every token knows whether a gap is before it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "psi": "ψ", "omega": "ω", "Phi": "Φ", "Sigma": "Σ", "Delta": "Δ",
}  # fmt: skip

RELATIONS = {
    "=": "=", "!=": "≠", "<=": "≤", ">=": "≥", "<": "<", ">": ">", "+=": "+=", "->": "→",
}  # fmt: skip
SIGNS = {"+": "+", "-": "−", "+-": "±", "*": "∗"}

PREFIX = ("log", "exp", "sin", "cos", "tanh", "sinh", "cosh", "sqrt", "max", "min")
"""Functions that may stand before their argument without parentheses: `log p`, `max|u'|`."""

FUNCTIONS = (
    *PREFIX,
    "log1p", "expm1", "erf", "erfc", "erfcx", "sum", "mean", "floor", "ceil", "sign", "diag",
    "sigmoid", "softmax", "log_softmax", "hard_sigmoid", "silu", "ELU", "attention", "gather",
    "scatter", "cell",
)  # fmt: skip

NAMES = (
    "scale", "rate", "slope", "margin", "base", "low", "high", "smooth", "frequency", "shift",
    "start", "stop", "step", "index", "order", "units", "groups", "heads", "features", "classes",
    "batch", "size", "strength", "before", "output_padding", "input_lengths", "target_lengths",
    "lengths", "layers", "directions", "bias", "bound",
)  # fmt: skip
"""Attributes and sizes, which are English words as well."""

PRODUCTS = ("zz", "yy", "PP", "DP")
"""Letters side by side that are a product and not a word."""

_WORDS = """
    above alike all along and apart are as at axes axis back below between bounds by choice
    chosen class clipped constant cut dense each edges else elsewhere entry every everywhere
    example examples first for from given group head in input inside is it its keys layer
    leading leads learned left losses minimise multiplied number of one ones or others over
    padding paths places repeated reshaped row rows second seen send such takes that the there
    this times to transposed uses what where window with
"""
WORDS = frozenset(_WORDS.split())
"""What may stand as a word in a displayed formula; anything else is a mistake there."""

VERBS = ("is", "are", "and", "or", "meet", "multiplied")
"""Before these a lone `a` is a name and no article."""

POSSESSIVE = r"(?:'s\b|'(?=\s|$))?"
TOKEN = re.compile(
    rf"""
    (?P<code>``[^`]+``|`[^`]+`|\*\*[^*]+\*\*)
  | (?P<number>\d+(?:\.\d+)?e[+-]?\d+\b|\d+(?:\.\d+)?)(?![A-Za-z]*-[A-Za-z][a-z])
  | (?P<dots>\.\.\.)
  | (?P<word>\d+-[a-z]+|[A-Za-z]+(?:-[A-Za-z]{{2,}})+{POSSESSIVE}|[A-Za-z]{{2,}}\d+[a-z]?\b|L[12]\b)
  | (?P<letters>[A-Za-z]+(?:_[A-Za-z0-9]+)*|[Ͱ-Ͽ])
  | (?P<tail>_[A-Za-z0-9]+)
  | (?P<op><=|>=|!=|\+=|->|\+-|//|\|\||[-+*/^_=<>()\[\]{{}}|,;:!'])
  | (?P<mark>[.?"&–—…%])
  | (?P<gap>\s+)
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind` is number, name, d (a differential), word, code, sub, bar, op, dots or mark."""

    kind: str
    text: str
    start: int
    end: int
    gap: bool  # whether there is a gap before it
    open: bool  # and whether one is after it
    fresh: bool  # whether it begins a line


class Unreadable(ValueError):
    """What is not in the notation; `at` is where in the text."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.why, self.at = why, at


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a line, a cell or a paragraph.  Unreadable where a sign is unknown."""
    found: list[tuple[str, int, int]] = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"the sign {text[at]!r} is not in the notation", at)
        kind = str(match.lastgroup)
        parts = [(kind, at, match.end())]
        if kind == "letters" or (kind == "word" and match.group() in (*FUNCTIONS, "L1", "L2")):
            parts = list(letters(text, at, match.end()))
        elif kind == "tail":
            parts = [("bar" if match.group() == "_bar" else "sub", at, match.end())]
        elif kind == "number" and match.group() == "11" and text.startswith("'", match.end()):
            parts = [(kind, at, at + 1), (kind, at + 1, at + 2)]  # 11', a product of vectors
        found += [] if kind == "gap" else parts
        at = parts[-1][2]
    return tuple(
        Token(
            "op" if kind == "dots" else kind,
            text[start:end],
            start,
            end,
            start == 0 or text[start - 1].isspace(),
            end == len(text) or text[end].isspace(),
            not text[text.rfind("\n", 0, start) + 1 : start].strip(),
        )
        for kind, start, end in found
    )


def letters(text: str, start: int, end: int) -> list[tuple[str, int, int]]:
    """A run of letters with underscores: a word, or a name with its subscripts and bars.

    An apostrophe belongs to a word (`Huber's`, `states' classes`) and to a single letter
    where an s follows (`o's`), but is a prime after any other name.
    """
    run = text[start:end]
    owner = re.compile(POSSESSIVE).match(text, end)
    owns = owner is not None and owner.end() > end and len(run) > 1
    if run in FUNCTIONS or run in NAMES or run in ("L1", "L2"):
        return [("word", start, owner.end())] if owner and owns else [("name", start, end)]
    stem, *subs = run.split("_")
    here = start + len(stem)
    parts = name(stem, start)
    if not parts:
        stop = owner.end() if owner and owns and not subs else here
        if subs:
            raise Unreadable(f"{run} is no name of the notation", start)
        return [("word", start, stop)]
    for sub in subs:
        stop = here + 1 + len(sub)
        if sub != "bar" and not re.fullmatch(r"[A-Za-z0-9]{1,2}", sub):
            raise Unreadable(f"{run} is no name of the notation", start)
        parts.append(("bar" if sub == "bar" else "sub", here, stop))
        here = stop
    if len(run) == 1 and re.match(r"'s\b", text[here:]):
        parts.append(("word", here, here + 2))
    return parts


def name(stem: str, start: int) -> list[tuple[str, int, int]]:
    """The tokens of `x`, `gamma`, `Wq`, `zz` or a differential of one; none for a word."""
    end = start + len(stem)
    if len(stem) == 1 or stem in GREEK or stem in FUNCTIONS or stem in NAMES:
        return [("name", start, end)]
    if stem in PRODUCTS:
        return [("name", start, start + 1), ("name", start + 1, end)]
    if re.fullmatch("[Wb][hikqvo]", stem):
        return [("name", start, start + 1), ("sub", start + 1, end)]
    if stem[0] == "d" and (len(stem) == 2 or stem[1:] in GREEK):
        return [("d", start, start + 1), *name(stem[1:], start + 1)]
    return []


# ---- words or names


def is_word(found: tuple[Token, ...], at: int, *, display: bool, inside: bool) -> bool:
    """Whether a token is a word: `margin` and `sum` are names only where a formula has them.

    `inside` brackets of a formula in prose there are no words.
    """
    t = found[at]
    before = found[at - 1] if at else None
    after = found[at + 1] if at + 1 < len(found) else None
    if t.kind in ("word", "code"):
        return True
    if t.text == "a" and display:  # `is a row`, but `where a is`
        return (
            _is_said(before) and _is_said(after) and after is not None and after.text not in VERBS
        )
    if t.kind != "name" or t.text not in (*NAMES, *FUNCTIONS) or _touches(after):
        return False
    if t.text in FUNCTIONS:
        return not _has_argument(t, before, after, display)
    if display:
        return _is_said(before)
    if inside or (before is not None and before.kind == "op" and before.text not in ",;:)"):
        return False
    related = after is not None and after.text in (*RELATIONS, *SIGNS)
    return not (after is not None and related and after.gap and after.open)


def _is_said(t: Token | None) -> bool:
    return t is not None and t.kind == "word"


def _touches(after: Token | None) -> bool:
    """Whether a subscript, a bar, an argument or the like is written to a name."""
    if after is None or after.gap:
        return False
    return after.kind in ("sub", "bar") or (after.kind == "op" and after.text in "([|^_'/")


def _has_argument(t: Token, before: Token | None, after: Token | None, display: bool) -> bool:
    """`log p` and, in a display, `sum w dq`; `-log of the sum` has words for an argument."""
    if after is not None and after.gap and t.text == "sum" and display:
        return after.kind == "d" or (after.kind == "name" and after.text not in FUNCTIONS + NAMES)
    if t.text in PREFIX and after is not None and not after.gap:
        return True
    one = after is not None and (after.text in GREEK or len(after.text) == 1)
    if t.text in PREFIX and after is not None and one and after.kind != "op":
        return True
    return t.text in PREFIX[:2] and before is not None and before.kind == "op"
