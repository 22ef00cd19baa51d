"""report.sarif: wrong gradients at the line of the subject, in SARIF 2.1.0, for code scanning.

Written only where a run knows the file that its subject is defined in (`RunStarted.source`).  A
mistake is one result however many cases show it (`occurrenceCount`), under a fingerprint that
does not depend on the case, so that it stays one alert from run to run.  What ended in an error
of the harness is a notification and no result: it is no fault of the code under test.  What a
gate's baseline knows is a result that is suppressed, so that its alert is not opened again.  A
saved case that fails is a result of its own.  A function has its own file and no place here: one
that is wrong is a notification, and a run that is wrong without any result is no success, so that
the platform closes no alert by it.

A message of SARIF has markup of its own: `{0}` is a placeholder and `[text](target)` a link.
Braces are doubled, as the standard says, and no bracket meets a parenthesis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from .events import AnyEvent, RunStarted, Source
from .exit_codes import ExitCode, outcome
from .functions import counting
from .gate import BAD_REPLAYS, WORDS, Replay
from .mistakes import by_mistake, mistake
from .summary import Failure, Summary, summarise
from .terminal import against
from .text import count, cut, printable

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

MOST_RESULTS = 5_000
"""GitHub shows so many of a run; above 25,000 it refuses the file."""

HELP = (
    "The result names the operator, the tensor, the likely mistake, and the smallest network that "
    "shows it. Its replay command runs that network again; the page beside the saved failure gives "
    "the formula that should hold and every entry."
)
"""What to do about a wrong gradient; GitHub shows it beside the alert, and demands it."""

MOST_NOTES = 20
LONGEST = 1_000
"""Notifications, and characters of a message."""


def dumps(events: Iterable[AnyEvent]) -> bytes | None:
    """The report as indented JSON; None where no source location is known."""
    events = tuple(events)
    start = next((e for e in events if isinstance(e, RunStarted)), None)
    if start is None or start.source is None:
        return None
    summary = summarise(events)
    wrong = [f for f in summary.failures if f.verdict.status == "FAIL"]
    known = {f.known: [g for g in summary.excused if g.known == f.known] for f in summary.excused}
    mistakes = [*by_mistake(wrong), *(g for id in sorted(known) for g in by_mistake(known[id]))]
    again = [r for r in summary.replays if r.outcome in BAD_REPLAYS]
    again += [r for r in summary.replays if r.outcome == "expected" and r.id not in known]
    found = [(_rule_id(group[0].verdict.operator), group) for group in mistakes]
    rules = sorted({*(rule for rule, _ in found), *(_rule_id(r.operator) for r in again)})
    results = [_result(group, rules, start) for _, group in found[:MOST_RESULTS]]
    results += [_replayed(r, rules, start) for r in again]
    results.sort(key=lambda result: "suppressions" in result)
    results = results[:MOST_RESULTS]
    run = {
        "tool": {"driver": _driver(summary, rules)},
        "invocations": [_invocation(summary, any("suppressions" not in r for r in results))],
        "originalUriBaseIds": {
            "%SRCROOT%": {"description": {"text": "The root of the repository."}}
        },
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    report = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def _driver(summary: Summary, rules: Sequence[str]) -> dict[str, Any]:
    version = printable(summary.versions.get("backproof", ""))
    return {
        "name": "Backproof",
        **({"version": version} if version else {}),
        "rules": [
            {
                "id": rule,
                "name": "WrongGradient",
                "shortDescription": {"text": text(f"Wrong gradient{_of(rule)}")},
                "fullDescription": {
                    "text": text(
                        f"Independent checkers agree on the gradient{_of(rule)}, and this backward "
                        "pass gives another one: the difference is above the error bounds."
                    )
                },
                "help": {"text": HELP},
                "defaultConfiguration": {"level": "error"},
            }
            for rule in rules
        ],
    }


def _rule_id(operator: str) -> str:
    return printable("/".join(("wrong-gradient", cut(operator, 200))).rstrip("/"))


def _of(rule: str) -> str:
    _, _, operator = rule.partition("/")
    return f" of {operator}" if operator else ""


def _result(group: Sequence[Failure], rules: Sequence[str], start: RunStarted) -> dict[str, Any]:
    known = f"Known as {group[0].known} in the baseline." if group[0].known else ""
    mark = fingerprint(start.subject, group[0])
    rule, said = _rule_id(group[0].verdict.operator), sentences(group)
    return _written(rule, rules, start, said, len(group), mark, known)


def _replayed(r: Replay, rules: Sequence[str], start: RunStarted) -> dict[str, Any]:
    """A saved case that fails; suppressed where the baseline expects it."""
    known = f"Known as {r.id} in the baseline." if r.outcome == "expected" else ""
    mark = fingerprint_of_replay(start.subject, r.id)
    return _written(_rule_id(r.operator), rules, start, of_replay(r), 1, mark, known)


def _written(
    rule: str,
    rules: Sequence[str],
    start: RunStarted,
    said: Sequence[str],
    times: int,
    mark: str,
    known: str,
) -> dict[str, Any]:
    suppressed = [{"kind": "external", "justification": text(known)}]
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": "error",
        "message": {"text": text(" ".join(said))},
        "locations": [_location(start.source)] if start.source else [],
        "occurrenceCount": times,
        "partialFingerprints": {"backproof/v1": mark},
        **({"suppressions": suppressed} if known else {}),
    }


def of_replay(r: Replay) -> list[str]:
    """What is said of a saved case, as it came from the subject: nothing in it is escaped yet."""
    where = " ".join(word for word in (r.operator, r.tensor) if word)
    said = [
        f"The saved case {r.id} {WORDS[r.outcome]}",
        f"Wrong gradient of {where}" if where else "",
        r.note,
        r.reason,
        f"Network: {r.architecture}",
    ]
    return [s.rstrip(".") + "." for s in said if s]


def sentences(group: Sequence[Failure]) -> list[str]:
    """What is said of a mistake, as it came from the subject: nothing in it is escaped yet."""
    f = group[0]
    v = f.verdict
    wrong = max(
        (c for c in v.comparisons if c.status == "FAIL"), key=lambda c: c.ratio, default=None
    )
    where = " ".join(word for word in (v.operator, v.tensor) if word)
    said = [
        f"Wrong gradient{f' of {where}' if where else ''} in {count(len(group), 'case')}, "
        f"first {f.id}",
        v.reason,
        f"{wrong.checker}: {against(wrong)}" if wrong else "",
        f"Likely cause: {f.cause}" if f.cause else "",
        f"Network: {f.minimal or f.architecture}",
        f"Replay: {f.replay}" if f.replay else "",
    ]
    return [s.rstrip(".") + "." for s in said if s]


def _location(source: Source) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(source.file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": max(source.line, 1)},
        }
    }


def fingerprint(subject: str, f: Failure) -> str:
    """What stays the same of a mistake from run to run, and differs from any other's."""
    return _hashed((subject, *mistake(f), *([f.known] if f.known else [])))


def fingerprint_of_replay(subject: str, id: str) -> str:
    """The same of a saved case, which is one alert whatever is wrong with it."""
    return _hashed((subject, "saved case", id))


def _hashed(what: Iterable[str]) -> str:
    words = "\0".join(what)
    return hashlib.sha256(words.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _invocation(summary: Summary, alerted: bool) -> dict[str, Any]:
    """How the run ended; `alerted` says that a result shows what is wrong, if anything is."""
    code, reason = outcome(summary)
    success = code is ExitCode.VERIFIED or (code is ExitCode.WRONG and alerted)
    broken = [f for f in summary.failures if f.verdict.status in ("ERROR", "TIMEOUT")]
    words = [f"{f.verdict.status} in {f.id}: {f.verdict.reason}" for f in broken]
    words += [
        f"{f.status}: {f.function} in {f.id}: {f.reason or f.status}"
        for f in counting(summary.functions)
        if f.status in ("FAIL", "ERROR", "TIMEOUT")
    ]
    words = [*([] if success else [reason]), *words[:MOST_NOTES]]
    return {
        "executionSuccessful": success,
        "exitCode": int(code),
        "exitCodeDescription": text(reason),
        "commandLine": cut(printable(summary.command), LONGEST),
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": text(word)}} for word in words
        ],
    }


def text(words: str) -> str:
    """A message that means what it says and nothing else."""
    shown = cut(printable(words), LONGEST)
    return shown.replace("{", "{{").replace("}", "}}").replace("](", "] (")
