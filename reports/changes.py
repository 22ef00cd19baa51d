"""A comparison of two runs on the terminal: what fails now first, then digits, then seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from .beside import named
from .comparing import SPEED, Accuracy, Changed, Comparison, Digits, Speed
from .comparison_codes import compared, compared_headline
from .exit_codes import ExitCode
from .summary import Summary
from .terminal import STYLES, echo, styled
from .text import count, cut, number, printable

LISTED = 10
"""Cases and rows of each kind on the terminal; report.md has more."""

BESIDE = "functions or saved cases"
"""More than one of them."""

LEGEND = (
    "digits: lost where below 0, of error over bound and of resolution;\n"
    "worst: between the worst cases, typical: in the median case"
)


def render(summary: Summary, comparison: Comparison, console: Console, old: str) -> None:
    """Print what changed since the run whose name is `old`."""
    code, reason = compared(summary, comparison)
    style = "bold green" if code is ExitCode.VERIFIED else "bold red"
    echo(console, (compared_headline(summary, comparison), style), (f"  {reason}", "bold"))
    echo(console, (f"against {printable(old)}: {matched(comparison)}", ""))
    for line in different(comparison):
        echo(console, (line, "yellow"))
    _cases(console, "newly failing", comparison.failing, STYLES["FAIL"])
    _ids(console, "failing, and not in the older run", comparison.unmatched)
    for line in beside(comparison):
        echo(console, (line, STYLES["FAIL"]))
    _cases(console, "newly passing", comparison.passing, STYLES["PASS"])
    for line in others(comparison):
        echo(console, (line, ""))
    _accuracy(console, comparison)
    _speed(console, comparison)


# --- sentences, for Markdown too ---------------------------------------------------------


def matched(c: Comparison) -> str:
    """How many cases the two runs share, and how many they do not."""
    words = (
        f"{count(c.matched, 'case')} in both, {c.only_old:,} only there, {c.only_new:,} only here"
    )
    if c.beside_matched:
        words += f"; {count(c.beside_matched, 'function or saved case', BESIDE)} in both"
    return words


def was(c: Changed) -> str:
    """What a case was in the older run, seen from what it is now."""
    return "fails in another way" if c.old == c.new == "FAIL" else f"was {c.old}"


def beside(c: Comparison) -> Iterator[str]:
    """The functions and saved cases that newly fail."""
    for found in c.beside_failing[:LISTED]:
        how = found.reason or "not in the older run"
        yield printable(f"newly failing: {cut(named(found), 200)}, {how}")
    if (left := len(c.beside_failing) - LISTED) > 0:
        yield f"newly failing: {left:,} more functions and saved cases"


def different(c: Comparison) -> Iterator[str]:
    """What differs between the runs besides their cases."""
    for what, old, new in c.differences:
        there, here = (printable(value) or "none" for value in (old, new))
        yield f"{printable(what)}: {there} there, {here} here"


def others(c: Comparison) -> Iterator[str]:
    """What else became of cases, counted."""
    if c.still:
        yield f"failing in both runs: {count(len(c.still), 'case')}"
    if c.beside_still:
        others = count(len(c.beside_still), "function or saved case", BESIDE)
        yield f"failing in both runs: {others}"
    if c.excused:
        yield f"failing here alone, and known: {count(len(c.excused), 'case')}"
    for old, new, n in c.other:
        yield f"{old} there, {new} here: {count(n, 'case')}"


def lost(d: float) -> str:
    """Digits with their sign; those lost are negative."""
    return f"{-d:+.1f}"


def told(c: Comparison) -> list[Accuracy]:
    """The operators whose accuracy changed."""
    return [row for row in c.accuracy if row.told]


def measures(row: Accuracy) -> Iterator[tuple[str, Digits]]:
    """What changed about an operator: (what, how)."""
    for what, d in (("ratio", row.ratio), ("resolution", row.resolution)):
        if d is not None and d.told:
            yield what, d


def accuracy_in_words(c: Comparison) -> str:
    """One sentence on the accuracy of all operators."""
    rows = told(c)
    if not c.accuracy:
        return "accuracy: no operator passed in both runs"
    if not rows:
        return f"accuracy: unchanged, {count(len(c.accuracy), 'operator')} compared"
    worse = sum(row.lost > 0 for row in rows)
    first = f"; {printable(rows[0].operator)} {rows[0].lost:.1f}" if worse else ""
    verb = "operator lost digits" if worse == 1 else "operators lost digits"
    return f"accuracy: {worse:,} {verb}{first}, {len(rows) - worse:,} won some"


def speed_in_words(c: Comparison) -> str:
    """One sentence on the seconds of all cases."""
    if not c.speed:
        return "speed: no case tells its seconds in both runs"
    s = c.speed[0]
    return (
        f"speed: the median case took {number(s.old)} s there and {number(s.new)} s here, "
        f"{number(s.ratio)} times as long"
    )


def faster_or_slower(c: Comparison) -> list[Speed]:
    """The operators whose cases took another time, by a factor that is worth a row."""
    return [s for s in c.speed[1:] if s.ratio >= SPEED or s.ratio <= 1 / SPEED]


# --- the terminal's own ------------------------------------------------------------------


def _cases(console: Console, title: str, cases: Sequence[Changed], style: str) -> None:
    if not cases:
        return
    echo(console, (title, style), (f": {count(len(cases), 'case')}", ""))
    for c in cases[:LISTED]:
        where = " ".join(printable(word) for word in (c.operator, c.tensor) if word)
        echo(console, (f"  {printable(c.id)}  {was(c)}{', ' + where if where else ''}", ""))
    _more(console, len(cases))


def _ids(console: Console, title: str, ids: Sequence[str]) -> None:
    if ids:
        echo(console, (title, STYLES["FAIL"]), (f": {count(len(ids), 'case')}", ""))
        for id in ids[:LISTED]:
            echo(console, (f"  {printable(id)}", ""))
        _more(console, len(ids))


def _more(console: Console, total: int) -> None:
    if total > LISTED:
        echo(console, (f"  {total - LISTED:,} more in report.md", "dim"))


def _accuracy(console: Console, c: Comparison) -> None:
    rows = told(c)
    worse = any(row.lost > 0 for row in rows)
    echo(console, (accuracy_in_words(c), "yellow" if worse else ""))
    if not rows:
        return
    cells = [
        (row.operator, what, number(d.old), number(d.new), lost(d.worst), lost(d.typical))
        for row in rows[:LISTED]
        for what, d in measures(row)
    ]
    console.print()
    console.print(
        _table(("operator", "digits of", "was", "now", "worst", "typical"), cells, console)
    )
    _more(console, len(rows))
    echo(console, (LEGEND, "dim"))


def _speed(console: Console, c: Comparison) -> None:
    echo(console, (speed_in_words(c), ""))
    rows = faster_or_slower(c)
    if rows:
        cells = [
            (s.operator, f"{s.cases:,}", number(s.old), number(s.new), number(s.ratio))
            for s in rows[:LISTED]
        ]
        console.print()
        console.print(_table(("operator", "cases", "s was", "now", "times"), cells, console))
        _more(console, len(rows))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> Table:
    """Numbers keep their columns; the name has what is left, cut short."""
    rest = list(zip(heads[1:], *(row[1:] for row in rows), strict=True))
    widths = [max(map(len, column)) for column in rest]
    left = max(console.width - sum(widths) - 2 * len(heads), len(heads[0]))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(heads[0], no_wrap=True, overflow="ellipsis", max_width=left)
    for head, width in zip(heads[1:], widths, strict=True):
        table.add_column(head, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        name, *cells = (styled(console, (printable(cell), "")) for cell in row)
        table.add_row(name, *cells)
    return table
