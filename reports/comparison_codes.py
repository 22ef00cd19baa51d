"""The exit code of a run held against an older one: what newly fails, beside what is known to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from .beside import Beside, key, named, numbered
from .comparing import Comparison
from .exit_codes import HEADLINES, ExitCode, budget_of, exit_code, outcome, place
from .summary import Summary
from .text import count, cut, printable


def compared(summary: Summary, comparison: Comparison) -> tuple[ExitCode, str]:
    """The exit code of a run held against an older one, and the reason.

    1 where a case fails that did not, or in another way, or that the older run does not have; a
    case that failed there too is known and does not count.  Functions and saved cases alike.
    Else what the run said of everything else: errors, missed controls, an interruption, too
    little verified.  5 also where the two have nothing in common that was checked.
    """
    if comparison.new_failures:
        return ExitCode.WRONG, _newly(summary, comparison)
    still = _counted(comparison.still, comparison.beside_still)
    code, reason = outcome(summary)
    if code is ExitCode.WRONG and still:
        code, reason = exit_code(
            _without(summary, comparison),
            max_inconclusive=budget_of(summary),
            interrupted=summary.interrupted,
            known=frozenset(comparison.still),
        )
    if code is ExitCode.VERIFIED and not _in_common(summary, comparison):
        what = "case" if summary.cases else "function"
        return ExitCode.NOT_VERIFIED, f"The two runs have no {what} in common."
    if still:
        verb = "fails" if len(comparison.still) + len(comparison.beside_still) == 1 else "fail"
        reason += f" {still} {verb} in both runs."
    return code, reason


def compared_headline(summary: Summary, comparison: Comparison) -> str:
    """The outcome of a comparison in two or three words."""
    code, _ = compared(summary, comparison)
    if comparison.new_failures:
        return "NEWLY FAILING"
    if code is ExitCode.NOT_VERIFIED and not _in_common(summary, comparison):
        return "NOTHING COMPARED"
    return "NOTHING NEWLY FAILS" if code is ExitCode.VERIFIED else HEADLINES[code]


def _in_common(summary: Summary, comparison: Comparison) -> int:
    """What was compared of the new run: its cases, or its functions where it has no cases."""
    return comparison.matched if summary.cases else comparison.beside_matched


def _newly(summary: Summary, comparison: Comparison) -> str:
    """How much newly fails, and the first of it."""
    new = (*(c.id for c in comparison.failing), *comparison.unmatched)
    others = comparison.beside_failing
    first = [f for f in summary.failures if f.id in frozenset(new)]
    words = f"; first {place(first[0])}" if first else ""
    if others and not new:
        words = f"; first {cut(printable(named(others[0])), 200)}"
    verb = "fails" if comparison.new_failures == 1 else "fail"
    return f"{_counted(new, others)} newly {verb}{words}."


def _counted(cases: Collection[str], others: Collection[Beside]) -> str:
    """`2 cases, 1 function and 1 saved case`, "" for nothing."""
    kinds = Counter(b.kind for b in others)
    words = [count(len(cases), "case")] if cases else []
    words += [count(n, kind) for kind, n in sorted(kinds.items())]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _without(summary: Summary, comparison: Comparison) -> Summary:
    """The run as if what fails in both were known: functions and saved cases."""
    still = {key(b) for b in comparison.beside_still}
    names = numbered((f.id, f.function) for f in summary.functions)
    saved = numbered((r.id, "") for r in summary.replays)
    return msgspec.structs.replace(
        summary,
        functions=tuple(
            msgspec.structs.replace(f, known="it fails in both runs") if name in still else f
            for name, f in zip(names, summary.functions, strict=True)
        ),
        replays=tuple(
            r for name, r in zip(saved, summary.replays, strict=True) if name not in still
        ),
    )
