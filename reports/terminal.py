"""The end of a run on the terminal: the verdict first, then the evidence.

Built from `rich.text.Text`, never from markup, so that nothing in a name or a reason is
taken for a style.  A status is always a word; colour only repeats it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..checkers.comparison import Comparison, Status
from ..checkers.verdict import Verdict
from .coverage import Coverage
from .exit_codes import ExitCode, headline, outcome
from .functions import counted, counting
from .gate import BAD_REPLAYS, WORDS, kept
from .mistakes import by_mistake
from .summary import Controls, Failure, Summary
from .tallies import Claimed, Counts, Row
from .text import count, cut, duration, number, printable, resolution

WIDE, MEDIUM = 100, 76
"""Columns from which headings are in full, and from which medians are shown."""

PAGES = 10
"""Mistakes shown in full; the other reports show more."""

LONG = 20
"""Rows of tables above which the verdict is said again at the end, since it has left the screen."""

ALIKE = 3
"""Cases named that fail in the same way as one that is shown."""

STYLES: dict[Status, str] = {
    "PASS": "green",
    "FAIL": "bold red",
    "ERROR": "bold magenta",
    "TIMEOUT": "magenta",
    "INCONCLUSIVE": "yellow",
    "UNSUPPORTED": "dim",
}


def render(summary: Summary, console: Console, folder: str | Path | None = None) -> None:
    """Print a run's summary; `folder` is where its reports are, if they were written."""
    _verdict(summary, console)
    _gate(summary, outcome(summary)[1], console)
    echo(console, (_run_line(summary), ""))
    foreign = bool(summary.subject) and not summary.subject.startswith("reference")
    operators = summary.configurations if foreign else summary.operators
    for title, rows in (("operator", operators), ("checker", summary.by_checker)):
        if rows:
            console.print()
            console.print(_table(title, rows, console))
    _claims(summary.claims, console)
    _functions(summary, console)
    console.print()
    echo(console, (_LEGEND, "dim"))
    _undecided(summary, console)
    _coverage(summary.coverage, console)
    _controls(summary.controls, console)
    mistakes = by_mistake(summary.failures)
    for first, *others in mistakes[:PAGES]:
        console.print()
        _page(first, others, console)
    if left := sum(map(len, mistakes[PAGES:])):
        console.print()
        echo(console, (f"{left:,} more are in the reports.", "bold"))
    if folder is not None:
        console.print()
        echo(console, (f"reports in {printable(str(folder))}", ""))
    if console.is_terminal and len(operators) + len(summary.by_checker) > LONG:
        _verdict(summary, console)


def _verdict(summary: Summary, console: Console) -> None:
    code, reason = outcome(summary)
    echo(console, (headline(summary), "bold green" if code is ExitCode.VERIFIED else "bold red"),
           (f"  {printable(reason)}", "bold"))  # fmt: skip


def _gate(summary: Summary, told: str, console: Console) -> None:
    """A line for each missed budget but the one that is told, and for what the replays say."""
    for sentence in summary.missed:
        if sentence != told:
            echo(console, ("budget missed", "bold red"), (f"  {sentence}", ""))
    for r in summary.replays:
        if r.outcome == "passed":
            continue
        style = STYLES["FAIL"] if r.outcome in BAD_REPLAYS else STYLES["INCONCLUSIVE"]
        text = f"  {r.id} {WORDS[r.outcome]}"
        why = r.note or (r.reason if r.outcome in BAD_REPLAYS else "")
        word = "known" if r.known else "saved"
        text += f" ({cut(why, 200)})" if why else ""
        echo(console, (word, style), (printable(text), ""))
    if summary.replays:
        cases = count(len(summary.replays), "saved case")
        echo(console, (f"replayed: {kept(summary.replays):,} of {cases} as expected", ""))
    excused = Counter(f.known for f in summary.excused)
    for id, n in sorted(excused.items()):
        echo(console, (f"{count(n, 'case')} failed as {printable(id)} does, which is known", ""))


_LEGEND = (
    "resolution: the smallest relative error that would have been caught, at worst\n"
    "ratio: the greatest error over its bound; above 1 is a disagreement"
)


def echo(console: Console, *parts: tuple[str, str]) -> None:
    """Print (text, style) one after the other, wrapped at words."""
    console.print(styled(console, *parts), soft_wrap=not console.is_terminal)


def styled(console: Console, *parts: tuple[str, str]) -> Text:
    """(text, style) one after the other; what the encoding cannot say is escaped."""
    codec = console.encoding
    return Text.assemble(
        *((text.encode(codec, "backslashreplace").decode(codec), style) for text, style in parts)
    )


def _run_line(summary: Summary) -> str:
    if summary.functions and not summary.cases:
        words = [counted(summary.functions), duration(summary.seconds)]
    else:
        words = [count(summary.cases, "case")]
        words += [f"{summary.counts[s]:,} {s}" for s in STYLES if summary.counts[s]]
        words.append(f"{duration(summary.seconds)}, {summary.cases_per_second:.1f} cases/s")
    if summary.seed is not None:
        words.append(f"seed {summary.seed}")
    return "; ".join(words)


# --- tables -----------------------------------------------------------------------------


def _table(title: str, rows: Sequence[Row], console: Console) -> Table:
    """Numbers keep their columns at any width; the name has what is left, cut short.

    A narrow table leaves out the medians, and the column of what is rare where it is empty.
    """
    wide, medium = console.width >= WIDE, console.width >= MEDIUM
    rare = medium or any(_other(row.cases) for row in rows)
    heads = ["PASS", "FAIL", "INCONCLUSIVE" if wide else "INC.", *(["other"] if rare else [])]
    heads += ["ratio", *(["median"] if medium else []), "resolution"]
    cells = [list(_cells(row, medium, rare)) for row in rows]
    widths = [
        max(len(head), *map(len, column))
        for head, column in zip(heads, zip(*cells, strict=True), strict=True)
    ]
    names = [styled(console, (printable(row.name), "")) for row in rows]
    left = max(console.width - sum(widths) - 2 * len(heads) - 1, len(title))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=left)
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, justify="right", no_wrap=True, min_width=width)
    for name, row in zip(names, cells, strict=True):
        table.add_row(name, *row)
    return table


def _cells(row: Row, medium: bool, rare: bool) -> Iterator[Text]:
    for status in COUNTED:
        n = row.cases[status]
        yield Text(f"{n:,}", STYLES[status] if n else "dim")
    if rare:
        other = _other(row.cases)
        yield Text(f"{other:,}", STYLES["ERROR"] if other else "dim")
    yield Text(number(row.ratio))
    if medium:
        yield Text(resolution(row.resolution.median))
    yield Text(resolution(row.resolution.worst))


COUNTED: tuple[Status, ...] = ("PASS", "FAIL", "INCONCLUSIVE")
"""Statuses with a column of their own."""


def _other(cases: Counts) -> int:
    return sum(n for status, n in cases.items() if status not in COUNTED)


def _undecided(summary: Summary, console: Console) -> None:
    for why in summary.reasons[:3]:
        text = f": {count(why.cases, 'case')}, {cut(printable(why.reason), 120)}"
        echo(console, (why.status, STYLES[why.status]), (text, ""))


def _claims(claims: Sequence[Claimed], console: Console) -> None:
    """What was asked beyond values: a line for what holds, one each for what does not."""
    if not claims:
        return
    console.print()
    held = [c.name for c in claims if not c.failed and not c.expected]
    if held:
        echo(console, ("holds", STYLES["PASS"]), (f"  {', '.join(held)}", ""))
    for c in claims:
        asked = c.passed + c.failed + c.expected
        if c.failed:
            text = f"  {c.name}, in {c.failed:,} of {count(asked, 'case')}: {c.why}"
            echo(console, ("FAIL", STYLES["FAIL"]), (printable(text), ""))
        elif c.expected:
            text = f"  {c.name}, in {c.expected:,} of {count(asked, 'case')}: {c.excuse}"
            echo(console, ("expected", STYLES["INCONCLUSIVE"]), (printable(text), ""))
    never = [c.name for c in claims if c.excuse and not c.expected and not c.failed]
    for name in never:
        text = f"  {name} was declared to fail, and did not in any case"
        echo(console, ("note", STYLES["INCONCLUSIVE"]), (printable(text), ""))


def _functions(summary: Summary, console: Console) -> None:
    """How the functions ended that were checked by themselves; a line for each that is bad."""
    bad = [f for f in counting(summary.functions) if f.status != "PASS"]
    if summary.functions and (summary.cases or bad):
        console.print()
    if summary.functions and summary.cases:  # else the line of the run has said it
        echo(console, (counted(summary.functions), ""))
    for f in bad[:PAGES]:
        text = f"  {f.function} in {f.id}: {cut(f.reason, 300)}"
        echo(console, (f.status, STYLES[f.status]), (printable(text), ""))


def _coverage(coverage: Coverage, console: Console) -> None:
    if coverage.possible:
        text = (
            f"pairs of neighbours: {coverage.verified:,} verified of {coverage.possible:,} "
            "that these operators could form"
        )
        echo(console, (text, ""))


def _controls(controls: Controls, console: Console) -> None:
    if not controls.planted:
        echo(console, ("controls: none planted", "yellow"))
        return
    caught = f"controls: {controls.caught:,} of {count(controls.planted, 'planted fault')} caught"
    echo(console, (caught, "bold red" if controls.missed else "green"))
    for m in controls.missed[:PAGES]:
        got = f"{m.status} on {m.blamed}" if m.blamed else m.status
        text = f"{m.fault} at {m.site} in {m.id}: expected FAIL on {m.expected}, got {got}"
        echo(console, ("  missed: ", "bold red"), (printable(text), ""))


# --- failures ---------------------------------------------------------------------------


def _page(failure: Failure, others: Sequence[Failure], console: Console) -> None:
    """A mistake by the worst case that shows it, and which other cases do."""
    v = failure.verdict
    where = " ".join(word for word in (v.operator, v.tensor) if word)
    echo(console, (v.status, STYLES[v.status]), (f"  {printable(failure.id)}", "bold"),
           (f"  {printable(where)}" if where else "", "bold"))  # fmt: skip
    for label, value in facts(failure):
        _fact(label, value, console)
    if others:
        named = ", ".join(printable(f.id) for f in others[:ALIKE])
        left = len(others) - ALIKE
        _fact("also in", f"{named} and {left:,} more" if left > 0 else named, console)


def _fact(label: str, value: str, console: Console) -> None:
    """A label and its value, which keeps to its column; what is to be copied is not broken."""
    if not console.is_terminal or label in FILES:
        line = styled(console, (f"  {label:<10}", "dim"), (value, ""))
        console.print(line, soft_wrap=True)
        return
    grid = Table.grid(padding=0)
    grid.add_column(width=12)
    grid.add_column(overflow="fold")
    grid.add_row(styled(console, (f"  {label}", "dim")), styled(console, (value, "")))
    console.print(grid)


FILES = ("explained", "saved", "script", "replay")
"""What is opened or run."""


def facts(failure: Failure) -> Iterator[tuple[str, str]]:
    """What there is to say of a failure, each with its label, each on one line."""
    v = failure.verdict
    yield "network", printable(str(failure.architecture))
    if failure.minimal is not None and failure.minimal != failure.architecture:
        yield "minimal", printable(str(failure.minimal))
    if failure.lane:
        yield "values", f"{printable(failure.lane)} {printable(failure.dtype)} seed {failure.seed}"
    if v.reason:
        yield "because", cut(printable(v.reason), 600)
    if failure.cause:
        yield "cause", cut(printable(failure.cause), 600)
    for c in _worst_comparisons(v)[:4]:
        yield "disagrees", f"{printable(c.checker)} on {printable(c.tensor)}: {against(c)}"
    if v.convention:
        yield "at ties", printable(v.convention)
    files = (failure.page, failure.path, failure.script, failure.replay)
    for label, value in zip(FILES, files, strict=True):
        if value:
            yield label, printable(value)


def _worst_comparisons(v: Verdict) -> list[Comparison]:
    """The disagreements, those about the tensor that is blamed first, then the worst."""
    wrong = (c for c in v.comparisons if c.status == "FAIL")
    return sorted(wrong, key=lambda c: (c.tensor != v.tensor, -c.ratio))


def against(c: Comparison) -> str:
    """An error against its bound, in words."""
    if c.checker == "structure":
        return printable(c.reason)
    return f"error {number(c.error)}, bound {number(c.bound)}, ratio {number(c.ratio)}"
