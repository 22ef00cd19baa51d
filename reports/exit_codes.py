"""The exit code of a run, and one sentence that says why.  The gate never fails open.

    0 verified    1 a gradient is wrong    2 interrupted    3 error in the harness
    4 usage       5 nothing, or too little, was verified

Where several apply, 1 wins over 3 over 2 over 5.  Usage errors are found before a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from enum import IntEnum

import msgspec

from .beside import Beside, key, named, numbered
from .comparing import Comparison
from .functions import counted, sentence
from .gate import BAD_REPLAYS, WORDS, budgets_of
from .summary import Failure, Summary
from .text import count, cut, printable, resolution

MAX_INCONCLUSIVE = 0.10
"""The share of cases that may decide nothing before a run proves too little: a default that
each run may override, chosen and not derived."""


class ExitCode(IntEnum):
    """pytest's numbers, with this harness's meanings."""

    VERIFIED = 0
    WRONG = 1
    INTERRUPTED = 2
    ERROR = 3
    USAGE = 4
    NOT_VERIFIED = 5


def exit_code(
    summary: Summary,
    *,
    max_inconclusive: float = MAX_INCONCLUSIVE,
    interrupted: bool | None = None,
    known: Collection[str] = (),
) -> tuple[ExitCode, str]:
    """The exit code and the reason, one sentence.

    `max_inconclusive` is the greatest share of cases that may be INCONCLUSIVE, UNSUPPORTED
    or TIMEOUT; a gate has budgets in its place.  A failure that is known is no wrong gradient
    as long as its excuse lasts; `known` are ids of further cases whose FAIL does not count.

    `interrupted` is for the run itself, which asks before its last event is written; left out,
    the events say, and a run without a last event was cut off.
    """
    wrong = [f for f in summary.failures if f.verdict.status == "FAIL" and f.id not in known]
    again = [r for r in summary.replays if r.outcome in BAD_REPLAYS]
    if again and not wrong:
        return ExitCode.WRONG, (
            f"{count(len(again), 'saved case')} {'fails' if len(again) == 1 else 'fail'}; "
            f"first {printable(again[0].id)}, which {WORDS[again[0].outcome]}."
        )
    if wrong:
        return ExitCode.WRONG, _wrong(summary, wrong)
    if said := sentence(summary.functions, "FAIL"):
        return ExitCode.WRONG, said
    errors = [f for f in summary.failures if f.verdict.status == "ERROR"]
    if errors:
        cases = count(len(errors), "case")
        return ExitCode.ERROR, f"{cases} ended in an error of the harness; first {_first(errors)}."
    broken = [r for r in summary.replays if r.outcome == "error"]
    if broken:
        return ExitCode.ERROR, (
            f"The saved case {printable(broken[0].id)} ended in an error of the harness: "
            f"{printable(broken[0].reason).rstrip('.')}."
        )
    if said := sentence(summary.functions, "ERROR"):
        return ExitCode.ERROR, said
    controls = summary.controls
    if controls.missed:
        first = controls.missed[0]
        return ExitCode.ERROR, (
            f"{len(controls.missed):,} of {count(controls.planted, 'planted fault')} went "
            f"unnoticed; first {printable(first.fault)} at {printable(first.site)}."
        )
    if summary.interrupted if interrupted is None else interrupted:
        word = "Cut off" if interrupted is None and summary.exit_code is None else "Interrupted"
        return ExitCode.INTERRUPTED, (
            f"{word} after {count(summary.cases, 'case')}, none of which failed."
        )
    if said := sentence(summary.functions, "INCONCLUSIVE", "UNSUPPORTED", "TIMEOUT"):
        return ExitCode.NOT_VERIFIED, said
    if not summary.passed:
        return ExitCode.NOT_VERIFIED, _none_passed(summary)
    if summary.missed:
        return ExitCode.NOT_VERIFIED, summary.missed[0]
    unreached = [r for r in summary.replays if r.outcome == "not_reached" and not r.known]
    if unreached:
        return ExitCode.NOT_VERIFIED, (
            f"The saved case {printable(unreached[0].id)} must pass, and was not reached: "
            f"{printable(unreached[0].note).rstrip('.')}."
        )
    if budgets_of(summary.options) is None and summary.undecided > max_inconclusive:
        return ExitCode.NOT_VERIFIED, (
            f"{summary.undecided:.1%} of {count(summary.cases, 'case')} decided nothing; "
            f"the budget allows {max_inconclusive:.1%}."
        )
    return ExitCode.VERIFIED, _verified(summary)


def _none_passed(summary: Summary) -> str:
    if summary.functions and not summary.cases:
        return f"{counted(summary.functions)}."
    return f"None of {count(summary.cases, 'case')} passed."


def outcome(summary: Summary) -> tuple[ExitCode, str]:
    """What the run itself said; computed where it was cut off before it did."""
    if summary.exit_code is not None and summary.reason is not None:
        return _known(summary.exit_code), summary.reason
    return exit_code(summary, max_inconclusive=_budget(summary))


def _budget(summary: Summary) -> float:
    budget = summary.options.get("max_inconclusive")
    return budget if isinstance(budget, int | float) else MAX_INCONCLUSIVE


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
            max_inconclusive=_budget(summary),
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


def _in_common(summary: Summary, comparison: Comparison) -> int:
    """What was compared of the new run: its cases, or its functions where it has no cases."""
    return comparison.matched if summary.cases else comparison.beside_matched


def _newly(summary: Summary, comparison: Comparison) -> str:
    """How much newly fails, and the first of it."""
    new = (*(c.id for c in comparison.failing), *comparison.unmatched)
    others = comparison.beside_failing
    first = [f for f in summary.failures if f.id in frozenset(new)]
    words = f"; first {_first(first)}" if first else ""
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


def compared_headline(summary: Summary, comparison: Comparison) -> str:
    """The outcome of a comparison in two or three words."""
    code, _ = compared(summary, comparison)
    if comparison.new_failures:
        return "NEWLY FAILING"
    if code is ExitCode.NOT_VERIFIED and not _in_common(summary, comparison):
        return "NOTHING COMPARED"
    return "NOTHING NEWLY FAILS" if code is ExitCode.VERIFIED else _HEADLINES[code]


def headline(summary: Summary) -> str:
    """The outcome in one or two words."""
    code, _ = outcome(summary)
    if code is ExitCode.NOT_VERIFIED and summary.passed:
        return "TOO LITTLE VERIFIED"
    return _HEADLINES[code]


_HEADLINES = {
    ExitCode.VERIFIED: "VERIFIED",
    ExitCode.WRONG: "WRONG GRADIENT",
    ExitCode.INTERRUPTED: "INTERRUPTED",
    ExitCode.ERROR: "ERROR",
    ExitCode.USAGE: "USAGE ERROR",
    ExitCode.NOT_VERIFIED: "NOTHING VERIFIED",
}


def _known(code: int) -> ExitCode:
    """A code that is not ours can only be an error."""
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.ERROR


def _wrong(summary: Summary, wrong: list[Failure]) -> str:
    total = max(summary.cases, len(wrong))
    verb = "has" if len(wrong) == 1 else "have"
    return (
        f"{len(wrong):,} of {count(total, 'case')} {verb} a wrong gradient; first {_first(wrong)}."
    )


def _first(failures: list[Failure]) -> str:
    v = failures[0].verdict
    where = " ".join(printable(word) for word in (v.operator, v.tensor) if word)
    return f"{where + ' ' if where else ''}in {printable(failures[0].id)}"


def _verified(summary: Summary) -> str:
    if summary.functions and not summary.cases:
        return counted(summary.functions) + "."
    passed, cases, worst = summary.counts["PASS"], summary.cases, summary.resolution.worst
    said = f"{passed:,} of {count(cases, 'case')} passed"
    if worst is not None:
        said += (
            f"; relative errors above {resolution(worst)} would have been caught"
            if worst
            else ", bit for bit"
        )
    controls = summary.controls
    if controls.planted:
        said += f"; {controls.caught:,} of {count(controls.planted, 'planted fault')} caught"
    if summary.functions:
        said += f"; {counted(summary.functions)}"
    if summary.excused:
        said += f"; {len(summary.excused):,} failed as is known"
    return said + "."
