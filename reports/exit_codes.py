"""The exit code of a run, and one sentence that says why.  The gate never fails open.

    0 verified    1 a gradient is wrong    2 interrupted    3 error in the harness
    4 usage       5 nothing, or too little, was verified

Where several apply, 1 wins over 3 over 2 over 5: `RULES` has them in that order, and the first
that has something to say decides.  Usage errors are found before a run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum

from .functions import counted, sentence
from .gate import BAD_REPLAYS, WORDS, budgets_of
from .summary import Failure, Summary
from .text import count, printable, resolution

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
    run = _Run(summary, max_inconclusive, interrupted, frozenset(known))
    for code, rule in RULES:
        if (said := rule(run)) is not None:
            return code, said
    return ExitCode.VERIFIED, _verified(summary)


def outcome(summary: Summary) -> tuple[ExitCode, str]:
    """What the run itself said; computed where it was cut off before it did."""
    if summary.exit_code is not None and summary.reason is not None:
        return _known(summary.exit_code), summary.reason
    return exit_code(summary, max_inconclusive=budget_of(summary))


def budget_of(summary: Summary) -> float:
    """The share of undecided cases that the run itself was content with."""
    budget = summary.options.get("max_inconclusive")
    return budget if isinstance(budget, int | float) else MAX_INCONCLUSIVE


def headline(summary: Summary) -> str:
    """The outcome in one or two words."""
    code, _ = outcome(summary)
    if code is ExitCode.NOT_VERIFIED and summary.passed:
        return "TOO LITTLE VERIFIED"
    return HEADLINES[code]


HEADLINES = {
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


# --- the rules ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """What a rule is asked about; `interrupted` and `known` are `exit_code`'s."""

    summary: Summary
    max_inconclusive: float
    interrupted: bool | None
    known: frozenset[str]


def _wrong_gradients(run: _Run) -> str | None:
    failures = run.summary.failures
    wrong = [f for f in failures if f.verdict.status == "FAIL" and f.id not in run.known]
    if not wrong:
        return None
    total = max(run.summary.cases, len(wrong))
    verb = "has" if len(wrong) == 1 else "have"
    return (
        f"{len(wrong):,} of {count(total, 'case')} {verb} a wrong gradient; "
        f"first {place(wrong[0])}."
    )


def _failing_saved_cases(run: _Run) -> str | None:
    again = [r for r in run.summary.replays if r.outcome in BAD_REPLAYS]
    if not again:
        return None
    return (
        f"{count(len(again), 'saved case')} {'fails' if len(again) == 1 else 'fail'}; "
        f"first {printable(again[0].id)}, which {WORDS[again[0].outcome]}."
    )


def _wrong_functions(run: _Run) -> str | None:
    return sentence(run.summary.functions, "FAIL") or None


def _broken_cases(run: _Run) -> str | None:
    errors = [f for f in run.summary.failures if f.verdict.status == "ERROR"]
    if not errors:
        return None
    cases = count(len(errors), "case")
    return f"{cases} ended in an error of the harness; first {place(errors[0])}."


def _broken_saved_case(run: _Run) -> str | None:
    broken = next((r for r in run.summary.replays if r.outcome == "error"), None)
    if broken is None:
        return None
    return (
        f"The saved case {printable(broken.id)} ended in an error of the harness: "
        f"{printable(broken.reason).rstrip('.')}."
    )


def _broken_functions(run: _Run) -> str | None:
    return sentence(run.summary.functions, "ERROR") or None


def _missed_controls(run: _Run) -> str | None:
    controls = run.summary.controls
    if not controls.missed:
        return None
    first = controls.missed[0]
    return (
        f"{len(controls.missed):,} of {count(controls.planted, 'planted fault')} went "
        f"unnoticed; first {printable(first.fault)} at {printable(first.site)}."
    )


def _interrupted(run: _Run) -> str | None:
    summary = run.summary
    if not (summary.interrupted if run.interrupted is None else run.interrupted):
        return None
    word = "Cut off" if run.interrupted is None and summary.exit_code is None else "Interrupted"
    return f"{word} after {count(summary.cases, 'case')}, none of which failed."


def _undecided_functions(run: _Run) -> str | None:
    return sentence(run.summary.functions, "INCONCLUSIVE", "UNSUPPORTED", "TIMEOUT") or None


def _none_passed(run: _Run) -> str | None:
    summary = run.summary
    if summary.passed:
        return None
    if summary.functions and not summary.cases:
        return f"{counted(summary.functions)}."
    return f"None of {count(summary.cases, 'case')} passed."


def _missed_budget(run: _Run) -> str | None:
    return run.summary.missed[0] if run.summary.missed else None


def _unreached_saved_case(run: _Run) -> str | None:
    replays = run.summary.replays
    unreached = next((r for r in replays if r.outcome == "not_reached" and not r.known), None)
    if unreached is None:
        return None
    return (
        f"The saved case {printable(unreached.id)} must pass, and was not reached: "
        f"{printable(unreached.note).rstrip('.')}."
    )


def _too_many_undecided(run: _Run) -> str | None:
    """Of a run without a gate's budgets, which ask the same by themselves."""
    summary = run.summary
    if budgets_of(summary.options) is None and summary.undecided > run.max_inconclusive:
        return (
            f"{summary.undecided:.1%} of {count(summary.cases, 'case')} decided nothing; "
            f"the budget allows {run.max_inconclusive:.1%}."
        )
    return None


RULES: tuple[tuple[ExitCode, Callable[[_Run], str | None]], ...] = (
    (ExitCode.WRONG, _wrong_gradients),
    (ExitCode.WRONG, _failing_saved_cases),
    (ExitCode.WRONG, _wrong_functions),
    (ExitCode.ERROR, _broken_cases),
    (ExitCode.ERROR, _broken_saved_case),
    (ExitCode.ERROR, _broken_functions),
    (ExitCode.ERROR, _missed_controls),
    (ExitCode.INTERRUPTED, _interrupted),
    (ExitCode.NOT_VERIFIED, _undecided_functions),
    (ExitCode.NOT_VERIFIED, _none_passed),
    (ExitCode.NOT_VERIFIED, _missed_budget),
    (ExitCode.NOT_VERIFIED, _unreached_saved_case),
    (ExitCode.NOT_VERIFIED, _too_many_undecided),
)
"""Each says why its code is due, or None; in the order in which they are asked."""


def place(failure: Failure) -> str:
    """`dense w_bar in case-7`: what is blamed, and in which case; the case alone, if nothing is."""
    v = failure.verdict
    where = " ".join(printable(word) for word in (v.operator, v.tensor) if word)
    return f"{where} in {printable(failure.id)}" if where else printable(failure.id)


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
