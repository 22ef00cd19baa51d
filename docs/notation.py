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

WORDS = frozenset(
    """
    a above across addition after all apart alike alone along also an and another any are as at attention axes
    axis back backward become becomes before below beginnings between beyond both bounds but by choice chosen clipped
    class classes column comes constant cotangent cotangents count counted cut dense distribution each edges
    elsewhere else end ends entries entry every everywhere example examples
    first for forward from further
    gate given goes greater group half has head here if in input inside is it its
    itself kernel keys last layer leads leading learned least left less lies losses minimise minus multiplied next no none not
    number of off on one ones opposite or other others otherwise over padding page paths place places plus
    positions product products reads repeated reshaped restricted right row rows same
    second sees seen send several shape share side smaller so some span state
    states step steps such sum sums taken takes taps target transposed that the their them then there these this those
    times to transpose turned two under uses values vector weight what where which while window windows
    with zero
    """.split()
)
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
        if kind == "letters" or (kind == "word" and match.group() in FUNCTIONS + ("L1", "L2")):
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
