"""Mathematics without a script: LaTeX is made MathML while the site is built.

    $`...`$       within a line                  as GitHub writes it
    ```math       a block of its own             as GitHub writes it
    <math ...>    MathML that a page holds already: passed through as it is

Everything is stashed before Markdown sees it, so that no `_` or `*` of a formula is taken for
emphasis.  A command that is not known is an error, since it would be printed as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

FENCE = re.compile(
    r"^(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=mark)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
INLINE = re.compile(r"\$`([^`\n]+)`\$")
GIVEN = re.compile(r"<math\b.*?</math>", re.DOTALL)


def mathml(latex: str, display: bool) -> str:
    """MathML of a formula.  ValueError for a command that the converter does not know."""
    found: str = convert(latex, display="block" if display else "inline")
    if "\\" in found:
        raise ValueError(f"no MathML for {latex!r}")
    return found


def rendered(text: str, keep: Callable[[str], str]) -> str:
    """A page with every formula outside of code as what `keep` makes of its HTML."""

    def given(match: re.Match[str]) -> str:
        html = match[0]
        shown = 'display="block"' in html.partition(">")[0]
        return keep(_scrolling(html) if shown else html)

    def outside(part: str) -> str:
        return INLINE.sub(lambda m: keep(mathml(m[1], False)), GIVEN.sub(given, part))

    done, at = [], 0
    for fence in FENCE.finditer(text):
        done.append(outside(text[at : fence.start()]))
        is_maths = fence["info"].strip() == "math"
        shown = f"\n{keep(_scrolling(mathml(fence['code'], True)))}\n" if is_maths else fence[0]
        done.append(shown)
        at = fence.end()
    return "".join([*done, outside(text[at:])])


def _scrolling(html: str) -> str:
    """A block that scrolls by itself where it is wider than the page."""
    return f'<div class="maths" tabindex="0">{html}</div>'


class Formulas(Preprocessor):  # type: ignore[misc]
    def run(self, lines: list[str]) -> list[str]:
        return rendered("\n".join(lines), self.md.htmlStash.store).split("\n")


class Maths(Extension):  # type: ignore[misc]
    """The extension of Python-Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(
            Formulas(md), "maths", 28
        )  # after whitespace, before fences and HTML
