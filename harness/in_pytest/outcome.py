"""What a session came to: its exit code, and the section at the end of pytest's own summary."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

import pytest

from backproof.in_pytest.recording import Recorder
from backproof.reports.events import AnyEvent, CaseFinished, FunctionChecked
from backproof.reports.exit_codes import ExitCode, exit_code
from backproof.reports.functions import counted, counting
from backproof.reports.summary import Failure, Summary, summarise
from backproof.reports.terminal import PAGES
from backproof.reports.text import count, cut, printable, resolution

WORDS = {
    "PASS": "verified",
    "FAIL": "wrong",
    "TIMEOUT": "timed out",
    "ERROR": "broken in the harness",
    "INCONCLUSIVE": "inconclusive",
    "UNSUPPORTED": "unsupported",
}

LABEL = 12
"""Columns in which the lines of a page are indented below their labels."""


def shortfall(recorder: Recorder) -> str:
    """Why the checks that ran prove too little; "" where they do not, or where none ran.

    A skipped check is no news to pytest, so a subject most of whose checks are skipped would
    look verified.  What timed out failed, and needs no budget.
    """
    statuses = recorder.statuses
    if not statuses:
        return ""
    every = sum(statuses.values(), Counter())
    if not every["PASS"] + every["FAIL"]:
        return "nothing was verified"
    most = recorder.asked.budget
    for subject, found in statuses.items():
        share = (found["INCONCLUSIVE"] + found["UNSUPPORTED"]) / found.total()
        if share > most:
            checks = f"{count(found.total(), 'check')} of {printable(subject)}"
            return f"{share:.1%} of {checks} decided nothing; the budget allows {most:.1%}"
    return ""


def concluded(recorder: Recorder, *, interrupted: bool) -> tuple[ExitCode, str]:
    """The exit code of the session's checks by themselves, and why: what the reports say.

    As of `backproof check`, but with a budget for each subject; and what timed out, a failed
    test here, leaves the session unverified, as does a test that ended its process.
    """
    summary = summarise(recorder.events)
    code, reason = exit_code(summary, max_inconclusive=1.0, interrupted=interrupted)
    if code is not ExitCode.VERIFIED:
        return code, reason
    why = shortfall(recorder)
    if not why and summary.counts["TIMEOUT"]:
        why = f"{summary.counts['TIMEOUT']:,} of {count(summary.cases, 'case')} timed out"
    if not why and recorder.unknown:
        why = f"what {printable(recorder.unknown[0])} checks is not known: its process died"
    return (ExitCode.NOT_VERIFIED, f"{why[:1].upper()}{why[1:]}.") if why else (code, reason)


def falls_short(recorder: Recorder, code: ExitCode) -> bool:
    """Whether checks were made, and their exit code is what pytest's must be where that is 0.

    Failures that are expected are no failures to pytest; where nothing else was verified, they
    prove nothing all the same.  A session without checks is pytest's alone.
    """
    return code is not ExitCode.VERIFIED and bool(recorder.statuses or recorder.functions)


# --- the section ------------------------------------------------------------------------


def section(recorder: Recorder, reporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """What was verified and how finely, each failure as a short page, and where the reports are."""
    if not recorder.statuses and not recorder.functions and recorder.folder is None:
        return
    summary, quiet = summarise(recorder.events), reporter.verbosity < 0
    if not quiet:
        reporter.write_sep("=", "backproof")
    for line in counts(recorder, summary):
        say(reporter, f"backproof: {line}" if quiet else line)
    for line in () if quiet else evidence(recorder.events):
        say(reporter, line)
    code, reason = concluded(recorder, interrupted=False)
    if exitstatus == pytest.ExitCode.OK and falls_short(recorder, code):
        why = shortfall(recorder) or reason.rstrip(".")
        say(reporter, f"{why}: exit code {int(code)}", red=True)
    pages(recorder, reporter, summary, quiet=quiet)
    if recorder.problem:
        say(reporter, f"{recorder.asked.named} {printable(recorder.problem)}", red=True)
    elif recorder.folder is not None:
        say(reporter, f"reports in {recorder.shown}")


def counts(recorder: Recorder, summary: Summary) -> Iterator[str]:
    """How many checks ended how, and how many functions; what was expected to fail apart."""
    every = sum(recorder.statuses.values(), Counter())
    known = len(summary.excused)
    every["FAIL"] -= known
    words = [f"{every[s]:,} {w}" for s, w in WORDS.items() if every[s]]
    words += [f"{known:,} failed as expected"] if known else []
    if words or not summary.functions:
        yield ", ".join(words) or "no check ran"
    if summary.functions:
        yield counted(summary.functions)


def pages(
    recorder: Recorder, reporter: pytest.TerminalReporter, summary: Summary, *, quiet: bool
) -> None:
    """The first failures, each as a short page; in quiet the first one's command alone."""
    for m in summary.controls.missed:
        say(reporter, f"unnoticed: {m.fault} planted at {m.site}, in {m.id}", red=True)
    shown = summary.failures[: 1 if quiet else PAGES]
    several = len(recorder.statuses) > 1
    for failure in shown:
        of = f" of {recorder.subjects[failure.id]}" if several else ""
        page(reporter, failure, of, quiet=quiet)
    if quiet:
        return
    wrong = [f for f in counting(summary.functions) if f.status != "PASS"]
    for function in wrong[:PAGES]:
        say(reporter, f"{function.status}  {cut(function.function, 100)}", red=True, bold=True)
        say(reporter, f"  {'because':<10}{cut(function.reason, 300)}", indent=LABEL)
        say(reporter, f"  {'replay':<10}{function.replay}", whole=True)
    if more := len(summary.failures) - len(shown) + max(len(wrong) - PAGES, 0):
        where = "in the reports" if recorder.folder else "above"
        say(reporter, f"{more:,} more are {where}.")


def evidence(events: list[AnyEvent]) -> Iterator[str]:
    """How finely was verified, and what was expected to fail beyond values."""
    cases = [e.verdict for e in events if isinstance(e, CaseFinished)]
    passed = [v.resolution for v in cases if v.status == "PASS"]
    passed += [
        e.resolution for e in events if isinstance(e, FunctionChecked) and e.status == "PASS"
    ]
    found = [r for r in passed if r is not None]
    if found:
        spread = " to ".join(resolution(r) for r in sorted({min(found), max(found)}))
        yield f"resolution {spread}: the smallest relative error that would have been caught"
    expected = Counter(
        f"{c.name}: {c.expected}"
        for v in cases
        for c in v.checks
        if c.status == "FAIL" and c.expected
    )
    for what, times in sorted(expected.items()):
        yield f"expected to fail, in {count(times, 'check')}: {what}"


def page(reporter: pytest.TerminalReporter, failure: Failure, of: str, *, quiet: bool) -> None:
    """A failure in a few lines: where, on what, why, and the command that repeats it.

    `of` names its subject, where there are several.
    """
    v = failure.verdict
    where = " ".join(word for word in (v.operator, v.tensor) if word)
    if quiet:
        say(reporter, f"  {'replay':<10}{failure.replay}", whole=True)
        return
    say(reporter, f"{v.status}  {where or failure.id}{of}", red=True, bold=True)
    network = failure.minimal or failure.architecture
    label = "network" if network == failure.architecture else "minimal"
    say(reporter, f"  {label:<10}{network}", indent=LABEL)
    label, why = ("cause", failure.cause) if failure.cause else ("because", v.reason)
    say(reporter, f"  {label:<10}{cut(why, 300)}", indent=LABEL)
    if failure.replay:
        say(reporter, f"  {'replay':<10}{failure.replay}", whole=True)


def say(
    reporter: pytest.TerminalReporter,
    text: str,
    *,
    indent: int = 0,
    whole: bool = False,
    **style: bool,
) -> None:
    """A line, escaped; on a terminal wrapped at words, but for a command, which is copied."""
    text = printable(text)
    if whole or not reporter.isatty:
        reporter.write_line(text, **style)
        return
    width = max(reporter.config.get_terminal_writer().fullwidth - 1, 20)
    lines = textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    for line in lines:
        reporter.write_line(line, **style)
