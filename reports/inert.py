"""Text from a subject in GitHub's Markdown: shown, and never obeyed.

Escaping is not enough there.  Mentions (`@name`), references (`#1`, commits) and emoji are found
in the text after the Markdown has been read, so a backslash or an entity before them is gone by
then.  They are not looked for in code, and neither is HTML, a link or an emphasis: whatever is
not evidently plain words becomes code.  A code span ends at a run of as many backticks as it
began with, so it begins with more than its text has in a row.
"""

from __future__ import annotations

import re

from .text import cut, printable

LONGEST = 600
"""Characters of one text."""

PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,;:()%+='\"/-]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")
OBEYED = re.compile(
    r"www\.|://|\bGH-\d|(?<!\.)\b[0-9a-f]{7,40}\b|:[\w+-]+:|^\d+[.)]\s", re.IGNORECASE
)  # autolinks, issues, commits (and no decimals), emoji, the number of a list


def prose(text: str, length: int = LONGEST) -> str:
    """A sentence: as it is where it is plain words that mean nothing else, else as code."""
    shown = cut(printable(text), length)
    plain = PLAIN.fullmatch(shown) and not OBEYED.search(shown)
    return shown if plain else code(text, length)


def code(text: str, length: int = LONGEST) -> str:
    """A name or a command as a code span on one line; a dash where there is none."""
    shown = cut(printable(text), length)
    if not shown.strip():
        return "-"
    fence = "`" * (_longest_run(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str, length: int = LONGEST) -> str:
    """A text in a row of a table, which a bar would end, in code too: shown as its escape."""
    return prose(text.replace("|", "\\x7c"), length)


def block(text: str, length: int = LONGEST) -> str:
    """A command as a block of its own, to be copied."""
    shown = cut(printable(text), length)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}\n{shown}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
