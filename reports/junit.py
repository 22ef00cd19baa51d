"""junit.xml: a test suite for each operator, in it a test case for each case that has it.

The operator's FAIL is a failure; what decided nothing about it is skipped, with the reason.  The
suite `backproof.networks` holds what no operator can be blamed for: errors and timeouts, a
subject that raised, a claim beyond values that does not hold; so each case is somewhere, and what
failed is a failure somewhere.  A failure that a gate's baseline knows is skipped, as one that is
expected.  The suite `backproof.controls` holds the negative controls, of which a missed one is a
failure, `backproof.functions` what was checked by itself, `backproof.saved` the cases that a gate
ran again, `backproof.budgets` a failure for each budget that is missed: no gate that fails leaves
a file that is green.  Follows Ant's schema, which the looser ones of Jenkins and GitLab include.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from ..checkers.comparison import Status
from ..checkers.verdict import Verdict
from .events import (
    AnyEvent,
    CaseFinished,
    CaseKnown,
    ControlFinished,
    FailureSaved,
    Replayed,
    RunStarted,
)
from .functions import CheckedFunction, functions
from .gate import BAD_REPLAYS, WORDS, Replay, replays
from .summary import summarise
from .tallies import BAD, status_by_operator
from .terminal import against
from .text import printable

ELEMENT = {
    "FAIL": "failure",
    "ERROR": "error",
    "TIMEOUT": "error",
    "INCONCLUSIVE": "skipped",
    "UNSUPPORTED": "skipped",
}
"""What a case that did not pass becomes."""


def dumps(events: Iterable[AnyEvent]) -> bytes:
    """The report as XML in UTF-8; the same events give the same bytes."""
    events = tuple(events)
    start = next((e for e in events if isinstance(e, RunStarted)), None)
    saved = {e.id: e for e in events if isinstance(e, FailureSaved)}
    known = {e.id: e.known for e in events if isinstance(e, CaseKnown)}
    suites: dict[str, list[ElementTree.Element]] = {}
    cases = [e for e in events if isinstance(e, CaseFinished)]
    for case in sorted(cases, key=lambda e: (e.index, e.id)):
        places = _places(case)
        for name, status in places.items():
            test = _case(case, name, status, case.seconds / len(places), saved.get(case.id))
            if status == "FAIL" and case.id in known:
                test = _excused(test, known[case.id])
            suites.setdefault(name, []).append(test)
    suites = dict(sorted(suites.items()))
    again = [_replayed(r) for r in replays(e for e in events if isinstance(e, Replayed))]
    if again:
        suites["backproof.saved"] = again
    controls = [e for e in events if isinstance(e, ControlFinished)]
    for control in sorted(controls, key=lambda e: (e.index, e.id)):
        suites.setdefault("backproof.controls", []).append(_control(control))
    for function in functions(events):
        suites.setdefault("backproof.functions", []).append(_function(function))
    for sentence in summarise(events).missed:
        suites.setdefault("backproof.budgets", []).append(_missed(sentence))
    root = ElementTree.Element("testsuites")
    for i, (name, tests) in enumerate(suites.items()):
        root.append(_suite(i, name, tests, start))
    ElementTree.indent(root)
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _suite(
    number: int, name: str, tests: Sequence[ElementTree.Element], start: RunStarted | None
) -> ElementTree.Element:
    began = datetime.fromtimestamp(start.at if start else 0, UTC)
    suite = _element(
        "testsuite",
        name=name,
        package="backproof",
        id=str(number),
        timestamp=f"{began:%Y-%m-%dT%H:%M:%S}",
        hostname="localhost",
        tests=str(len(tests)),
        failures=str(sum(t.find("failure") is not None for t in tests)),
        errors=str(sum(t.find("error") is not None for t in tests)),
        skipped=str(sum(t.find("skipped") is not None for t in tests)),
        time=_seconds(sum(float(t.get("time", 0)) for t in tests)),
    )
    properties = _element("properties")
    for key, value in _properties(start):
        properties.append(_element("property", name=key, value=value))
    suite.append(properties)
    suite.extend(tests)
    suite.extend([_element("system-out"), _element("system-err")])
    return suite


def _properties(start: RunStarted | None) -> Iterator[tuple[str, str]]:
    if start:
        yield "subject", start.subject
        yield "seed", str(start.seed)
        yield "command", start.command
        yield from ((f"version.{name}", start.versions[name]) for name in sorted(start.versions))


NETWORKS = "backproof.networks"


def _places(case: CaseFinished) -> dict[str, Status]:
    """The suites that a case is in, and the status that it has there."""
    verdict = case.verdict
    found = status_by_operator(case)
    if verdict.status == "FAIL" and verdict.operator:
        found[verdict.operator] = "FAIL"
    places = {f"backproof.operators.{name}": status for name, status in found.items()}
    if verdict.status in ("ERROR", "TIMEOUT"):
        return {NETWORKS: verdict.status}
    blamed = "FAIL" in found.values()
    if not places or (verdict.status == "FAIL" and not blamed):
        places[NETWORKS] = verdict.status
    return places


def _case(
    case: CaseFinished, suite: str, status: Status, seconds: float, saved: FailureSaved | None
) -> ElementTree.Element:
    name = f"{case.id} {case.architecture}"
    test = _element("testcase", name=name, classname=suite, time=_seconds(seconds))
    if status != "PASS":
        outcome = _element(ELEMENT[status], message=_message(case.verdict), type=status)
        if status in BAD or case.verdict.status == status:
            outcome.text = printable("\n".join(_body(case, saved)), lines=True)
        test.append(outcome)
    return test


def _excused(test: ElementTree.Element, known: str) -> ElementTree.Element:
    """A failure as it is shown where the baseline expects it."""
    for failure in test.findall("failure"):
        failure.tag = "skipped"
        failure.set("type", "KNOWN")
        failure.set("message", printable(f"known as {known}: {failure.get('message')}"))
    return test


def _replayed(r: Replay) -> ElementTree.Element:
    """A saved case that ran again: what must not be is a failure, what counts for nothing skipped.

    One that must pass and was not reached fails the gate, so it is a failure.
    """
    test = _element("testcase", name=r.id, classname="backproof.saved", time=_seconds(r.seconds))
    if r.outcome in ("passed", "fixed"):
        return test
    failed = r.outcome in BAD_REPLAYS or (r.outcome == "not_reached" and not r.known)
    bad = "error" if r.outcome == "error" else "failure" if failed else "skipped"
    why = "; ".join(word for word in (r.note, r.reason) if word)
    outcome = _element(bad, message=f"{r.id} {WORDS[r.outcome]}", type=r.outcome)
    outcome.text = printable(
        "\n".join((f"network: {r.architecture}", f"because: {why}")), lines=True
    )
    test.append(outcome)
    return test


def _missed(sentence: str) -> ElementTree.Element:
    """A budget that was not kept."""
    test = _element("testcase", name=sentence, classname="backproof.budgets", time=_seconds(0.0))
    test.append(_element("failure", message=sentence, type="MISSED"))
    return test


def _function(f: CheckedFunction) -> ElementTree.Element:
    """A function; a failure that was expected is skipped, with the reason."""
    name = f"{f.id} {f.function}"
    test = _element(
        "testcase", name=name, classname="backproof.functions", time=_seconds(f.seconds)
    )
    if f.known and f.status != "PASS":
        test.append(_element("skipped", message=f"expected: {f.known}", type=f.status))
    elif f.status != "PASS":
        outcome = _element(ELEMENT[f.status], message=f.reason or f.status, type=f.status)
        if f.status in BAD and f.replay:
            outcome.text = printable(f"{f.reason}\nreplay: {f.replay}", lines=True)
        test.append(outcome)
    return test


def _message(verdict: Verdict) -> str:
    where = " ".join(word for word in (verdict.operator, verdict.tensor) if word)
    return ": ".join(word for word in (where, verdict.reason or verdict.status) if word)


def _body(case: CaseFinished, saved: FailureSaved | None) -> Iterator[str]:
    yield f"network: {case.architecture}"
    yield f"values: {case.lane} {case.dtype} seed {case.seed}"
    if case.verdict.reason:
        yield f"because: {case.verdict.reason}"
    for c in case.verdict.comparisons:
        words = against(c) if c.status == "FAIL" else c.reason
        yield f"{c.status}: {c.checker} on {c.tensor}: {words}"
    if case.verdict.convention:
        yield f"at ties: {case.verdict.convention}"
    if saved:
        if saved.cause:
            yield f"cause: {saved.cause}"
        yield f"minimal: {saved.minimal}"
        if saved.page:
            yield f"explained: {saved.page}"
        yield f"script: {saved.script}"
        yield f"replay: {saved.replay}"


def _control(control: ControlFinished) -> ElementTree.Element:
    test = _element(
        "testcase",
        name=f"{control.id} {control.fault} at {control.site}",
        classname="backproof.controls",
        time=_seconds(control.seconds),
    )
    if not control.caught:
        verdict = control.verdict
        got = f"{verdict.status} on {verdict.operator}" if verdict.operator else verdict.status
        message = f"{control.fault} went unnoticed: expected FAIL on {control.expected}, got {got}"
        failure = _element("failure", message=message, type="MISSED")
        failure.text = printable(f"planted: {control.summary}\n{verdict.reason}", lines=True)
        test.append(failure)
    return test


def _element(tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {k: printable(v) for k, v in attributes.items()})


def _seconds(seconds: float) -> str:
    """Ant's schema wants a plain decimal, and microseconds are enough."""
    return f"{seconds:.6f}"
