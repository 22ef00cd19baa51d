"""Text and numbers as reports show them.

Names, reasons and tracebacks come from whatever is under test, so they may hold anything:
terminal escapes, bidirectional overrides, characters that XML forbids.  Each is shown as
its escape, such as `\\x1b`, in every report.
"""

from __future__ import annotations

import math
import unicodedata

HIDDEN = {"Cc", "Cs", "Cn", "Zl", "Zp"}
"""Unicode categories: controls, surrogates, non-characters, line and paragraph breaks."""

BIDIRECTIONAL = set(
    map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)


def printable(text: str, *, lines: bool = False) -> str:
    """The text with everything that does not print escaped; `lines` lets line feeds be."""
    return "".join(c if _prints(c, lines) else _escape(c) for c in text)


def _prints(c: str, lines: bool) -> bool:
    if c == "\n":
        return lines
    return " " <= c <= "~" or (unicodedata.category(c) not in HIDDEN and c not in BIDIRECTIONAL)


def _escape(c: str) -> str:
    return c.encode("unicode_escape", "backslashreplace").decode()


def cut(text: str, length: int) -> str:
    """At most `length` characters, the last three being dots where some were left out."""
    return text if len(text) <= length else text[: length - 3] + "..."


def number(x: float | None) -> str:
    """Two digits, such as `1.2e-15`, or three near 1, where it matters; `-` for none."""
    if x is None:
        return "-"
    if not math.isfinite(x) or x == 0:
        return f"{x:.0f}"
    return f"{x:.3g}" if 0.0095 <= abs(x) < 999.5 else f"{x:.1e}"


def resolution(x: float | None) -> str:
    """A resolution; `exact` where every bit was compared."""
    return "exact" if x == 0 else number(x)


def count(n: int, word: str, plural: str = "") -> str:
    """`1 case`, `1,200 cases`."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
