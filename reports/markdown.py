"""report.md: a run for a pull request's summary, worst first, below GitHub's 1 MiB whatever it was.

What comes from a subject is shown by `inert.py`.  Each part has a budget of bytes, and says how
much of it is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from . import changes
from .comparing import Changed, Comparison, compare
from .comparison_codes import compared, compared_headline
from .events import AnyEvent
from .exit_codes import headline, outcome
from .functions import CheckedFunction, counted, counting
from .gate import BAD_REPLAYS, WORDS, kept
from .inert import block, cell, code, prose
from .mistakes import worst_first
from .summary import Failure, Summary, summarise
from .tallies import Row
from .terminal import STYLES, against
from .text import count, cut, duration, number, resolution

LIMIT = 2**20
"""Bytes that GitHub takes for one step's summary."""

FAILURES, CHANGES, TABLE = 35 * 2**14, 2**17, 2**15
"""Bytes for the failures, for what changed, and for one table.

What changed has two tables within it.  There are four more; the missed controls, what a gate says,
the failures that are known, the functions and how the run was made are each as large as a table
at most: 560 + 128 + 9 * 32 = 976 KiB, which leaves 48 KiB for the headings and the verdict.
"""

OPEN = 10
"""Failures that are seen without a click."""

SHORT = 200
"""Characters of a name or of a network in one line."""


def dumps(events: Iterable[AnyEvent], old: Iterable[AnyEvent] | None = None) -> bytes:
    """The report as Markdown in UTF-8; with what changed since the run `old`, if given."""
    events = tuple(events)
    summary = summarise(events)
    comparison = None if old is None else compare(old, events)
    parts = [
        *_head(summary, comparison),
        *_missed(summary),
        *_gate(summary),
        *_failures(summary),
        *_functions(summary.functions),
        *(() if comparison is None else _changes(comparison)),
        *_excused(summary),
        *_tables(summary),
        _how(summary),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def _fitting(blocks: Iterable[str], budget: int) -> tuple[list[str], int]:
    """As many of the blocks as fit into a budget of bytes, and how many do not."""
    taken: list[str] = []
    left = 0
    for text in blocks:
        budget -= len(text.encode()) + 2
        if left or budget < 0:
            left += 1
        else:
            taken.append(text)
    return taken, left


def _list(lines: Iterable[str], budget: int, what: str) -> str:
    taken, left = _fitting(lines, budget - 2**10)
    return "\n".join([*taken, *([f"* {_left_out(left, what)}"] if left else [])])


def _left_out(n: int, what: str) -> str:
    verb = "is" if n == 1 else "are"
    return f"{count(n, f'more {what}')} {verb} left out here; report.json has everything."


# --- the verdict ------------------------------------------------------------------------


def _head(s: Summary, comparison: Comparison | None) -> Iterator[str]:
    reason = prose(outcome(s)[1])
    if comparison is None:
        yield f"## Backproof: {headline(s)}"
        yield reason
    else:
        yield f"## Backproof: {compared_headline(s, comparison)}"
        yield prose(compared(s, comparison)[1])
        yield f"By itself the run is {headline(s)}: {reason}"
    if s.functions and not s.cases:
        return
    passed, controls = s.counts["PASS"], s.controls
    caught = f"{controls.caught:,} of {controls.planted:,}" if controls.planted else "none planted"
    yield (
        "| cases verified | decided nothing | pairs of neighbours verified | faults caught |"
        "\n| ---: | ---: | ---: | ---: |\n"
        f"| {passed:,} of {s.cases:,} | {s.undecided:.1%} "
        f"| {s.coverage.verified:,} of {s.coverage.possible:,} | {caught} |"
    )


def _missed(s: Summary) -> Iterator[str]:
    missed = [
        f"* {code(m.fault, SHORT)} at {code(m.site, SHORT)} in {code(m.id, SHORT)}: expected FAIL "
        f"on {code(m.expected, SHORT)}, got {m.status}"
        for m in s.controls.missed
    ]
    if missed:
        yield "### Planted faults that went unnoticed"
        yield _list(missed, TABLE, "fault")


def _gate(s: Summary) -> Iterator[str]:
    """The budgets that are missed, and what became of the saved cases; what is worst first."""
    lines = [f"* budget missed: {prose(sentence)}" for sentence in s.missed]
    for r in s.replays:
        if r.outcome != "passed":
            why = r.note or (r.reason if r.outcome in BAD_REPLAYS else "")
            said = f" ({prose(cut(why, SHORT))})" if why else ""
            word = "known" if r.known else "saved"
            lines.append(f"* {word}: {code(r.id, SHORT)} {WORDS[r.outcome]}{said}")
    if s.replays:
        cases = count(len(s.replays), "saved case")
        lines.append(f"* replayed: {kept(s.replays):,} of {cases} as expected")
    if lines:
        yield "### The gate"
        yield _list(lines, TABLE, "line")


def _excused(s: Summary) -> Iterator[str]:
    """The failures that the baseline knows, by the one that each fails as."""
    found = Counter(f.known for f in s.excused)
    if found:
        rows = [(cell(id, SHORT), f"{n:,}") for id, n in sorted(found.items())]
        yield _details(
            f"Known failures: {count(len(s.excused), 'case')}", _table(("known as", "cases"), rows)
        )


# --- failures ---------------------------------------------------------------------------


def _failures(s: Summary) -> Iterator[str]:
    if not s.failures:
        return
    blocks, left = _fitting(map(_failure, worst_first(s.failures)), FAILURES)
    yield "### Failures"
    yield from blocks[:OPEN]
    if blocks[OPEN:]:
        yield f"<details><summary>{count(len(blocks) - OPEN, 'more failure')}</summary>"
        yield from blocks[OPEN:]
        yield "</details>"
    if left:
        yield _left_out(left, "failure")


def _functions(found: Sequence[CheckedFunction]) -> Iterator[str]:
    """How those ended that were checked by themselves, and each that is bad."""
    if not found:
        return
    yield "### Functions"
    yield f"{counted(found).removeprefix('functions: ').capitalize()}."
    bad = [
        f"* {f.status}: {code(f.function, SHORT)} in {code(f.id, SHORT)}: {code(f.reason, SHORT)}"
        for f in counting(found)
        if f.status != "PASS"
    ]
    if bad:
        yield _list(bad, TABLE, "function")


def _failure(f: Failure) -> str:
    return "\n".join(_lines(f))


def _lines(f: Failure) -> Iterator[str]:
    v = f.verdict
    where = " ".join(code(word, SHORT) for word in (v.operator, v.tensor) if word)
    yield f"#### {v.status}{': ' + where if where else ''} in {code(f.id, SHORT)}"
    yield ""
    yield f"* network: {code(str(f.architecture))}"
    if f.minimal is not None and f.minimal != f.architecture:
        yield f"* smallest that fails: {code(str(f.minimal))}"
    if f.lane:
        yield f"* values: {code(f.lane, SHORT)} {code(f.dtype, SHORT)} seed {f.seed}"
    if v.reason:
        yield f"* because: {prose(v.reason)}"
    wrong = sorted((c for c in v.comparisons if c.status == "FAIL"), key=lambda c: -c.ratio)
    for c in wrong[:2]:
        words = prose(against(c))
        yield f"* how wrong: {code(c.checker, SHORT)} on {code(c.tensor, SHORT)}: {words}"
    if f.cause:
        yield f"* likely cause: {prose(f.cause)}"
    if f.page:
        yield f"* explained in {code(f.page, SHORT)}"
    if f.replay:
        yield ""
        yield block(f.replay)


# --- what changed -----------------------------------------------------------------------


def _changes(c: Comparison) -> Iterator[str]:
    yield "### Against the older run"
    lines = [
        f"* {changes.matched(c)}",
        *(f"* {prose(line)}" for line in changes.others(c)),
        *(f"* {prose(line)}" for line in changes.different(c)),
        *(f"* newly failing: {_changed(x)}" for x in c.failing),
        *(f"* failing, and not in the older run: {code(id, SHORT)}" for id in c.unmatched),
        *(f"* {prose(line)}" for line in changes.beside(c)),
        *(f"* newly passing: {_changed(x)}" for x in c.passing),
    ]
    yield _list(lines, CHANGES - 2 * TABLE, "line")
    yield prose(changes.accuracy_in_words(c))
    heads = ("operator", "digits of", "was", "now", "worst", "typical")
    rows = [
        (cell(row.operator, SHORT), what, number(d.old), number(d.new),
         changes.lost(d.worst), changes.lost(d.typical))
        for row in changes.told(c) for what, d in changes.measures(row)
    ]  # fmt: skip
    if rows:
        yield "Digits below 0 are lost: between the worst cases, and in the median (typical) case."
        yield _table(heads, rows)
    yield prose(changes.speed_in_words(c))
    slow = [
        (cell(s.operator, SHORT), f"{s.cases:,}", number(s.old), number(s.new), number(s.ratio))
        for s in changes.faster_or_slower(c)
    ]
    if slow:
        yield _table(("operator", "cases", "seconds were", "are", "times as long"), slow)


def _changed(c: Changed) -> str:
    where = " ".join(code(word, SHORT) for word in (c.operator, c.tensor) if word)
    return f"{code(c.id, SHORT)}, {changes.was(c)}{', ' + where if where else ''}"


# --- tables -----------------------------------------------------------------------------


def _tables(s: Summary) -> Iterator[str]:
    foreign = bool(s.subject) and not s.subject.startswith("reference")
    operators = s.configurations if foreign else s.operators
    if operators:
        yield _details("Operators", _counted("operator", operators))
    if s.by_checker:
        yield _details("Checkers", _counted("checker", s.by_checker))
    if s.claims:
        heads = ("claim", "held", "failed", "expected to fail", "why it matters")
        claims = [
            (cell(c.name, SHORT), f"{c.passed:,}", f"{c.failed:,}", f"{c.expected:,}",
             cell(c.excuse if c.expected else c.why, SHORT))
            for c in s.claims
        ]  # fmt: skip
        yield _details("Beyond values", _table(heads, claims))
    if s.reasons:
        reasons = [(r.status, f"{r.cases:,}", cell(r.reason)) for r in s.reasons]
        yield _details("What decided nothing", _table(("status", "cases", "reason"), reasons))


def _counted(what: str, rows: Sequence[Row]) -> str:
    """The table of operators or checkers; statuses that are rare have a column if they occur."""
    usual = ("PASS", "FAIL", "INCONCLUSIVE")
    shown = [x for x in STYLES if x in usual or any(row.cases[x] for row in rows)]
    heads = (what, *shown, "error over bound", "resolution, median", "worst")
    cells = [
        (cell(row.name, SHORT), *(f"{row.cases[status]:,}" for status in shown),
         number(row.ratio), resolution(row.resolution.median), resolution(row.resolution.worst))
        for row in rows
    ]  # fmt: skip
    return _table(heads, cells)


LEFT = {
    "operator", "checker", "claim", "why it matters", "status", "reason", "digits of", "known as",
}  # fmt: skip
"""Columns of words, which stand at the left; numbers stand at the right."""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As many rows as fit."""
    aligned = ["---" if head in LEFT else "---:" for head in heads]
    lines = [f"| {' | '.join(row)} |" for row in (heads, aligned)]
    taken, left = _fitting((f"| {' | '.join(row)} |" for row in rows), TABLE - 2**10)
    table = "\n".join((*lines, *taken))
    return f"{table}\n\n{_left_out(left, 'row')}" if left else table


def _details(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _how(s: Summary) -> str:
    """How the run was made."""
    seed = "none" if s.seed is None else str(s.seed)
    lines = [
        f"* subject: {code(s.subject)}",
        f"* command: {code(s.command)}",
        f"* seed {seed}; {duration(s.seconds)}, {s.cases_per_second:.1f} cases a second",
        f"* checkers: {', '.join(code(name, SHORT) for name in s.checkers[:20]) or '-'}",
        *(f"* {code(k, SHORT)} {code(v, SHORT)}" for k, v in sorted(s.versions.items())),
    ]
    return _details("How it was run", _list(lines, TABLE, "line"))
