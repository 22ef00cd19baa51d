"""The scores as docs/detection.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backproof.checkers.asking import CHECKERS
from backproof.entry_by_entry import NAMES
from backproof.reference.faults.of_optimisers import OPTIMISER_FAULTS
from backproof.reference.faults.stateful import SUBJECT_FAULTS
from backproof.reference.faults.survey import KINDS
from backproof.reports.text import count
from backproof.selftest.scores import Row, Share, shortcomings, total
from backproof.selftest.whole import WholeTrial


@dataclass(frozen=True)
class Result:
    """All that a selftest found.  `conventions` are the trials of what must pass."""

    command: str
    seconds: float
    workers: int
    found: Sequence[Row]
    conventions: Sequence[Row]
    whole: Sequence[WholeTrial]

    @property
    def shortcomings(self) -> list[str]:
        """What should have been done and was not."""
        words = shortcomings(self.found)
        words += [
            f"false alarm: {row.fault.name} at {t.application.site} of "
            f"{t.application.architecture}, a convention: {t.verdict.status} {t.verdict.reason}"
            for row in self.conventions
            for t in row.shown
            if t.verdict is not None and t.verdict.status in ("FAIL", "ERROR")
        ]
        words += [
            f"{'missed' if t.expected else 'false alarm'}: {t.fault} in {t.architecture}: {t.found}"
            for t in self.whole
            if not t.good
        ]
        return words


def write(result: Result) -> str:
    """The page."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    found = result.found
    shown = [t for row in found for t in row.shown]
    yield "# Detection"
    yield ""
    yield (
        f"Written by `{result.command}` in {result.seconds / 60:.1f} minutes with "
        f"{result.workers} worker{'s' * (result.workers != 1)}; do not edit."
    )
    yield ""
    others = len(result.conventions)
    apart = f" (its {count(others, 'convention')} at ties must pass, and stand below)"
    yield (
        f"Each of the {count(len(found), 'mistake')} of the catalogue{apart * bool(others)} is "
        "planted in random networks, drawn as any run draws them. A trial counts where the fault "
        "shows: where it changes a gradient by more than 1000 rounding deviations, or makes it no "
        "number or of no right shape. The verdict is that of any run."
    )
    yield ""
    yield "| | | |"
    yield "| --- | ---: | ---: |"
    yield from _summary(result)
    yield ""
    words = result.shortcomings
    if words:
        yield "## What fell short"
        yield ""
        yield from (f"- {line}" for line in words)
        yield ""
    yield from _by_kind(found)
    yield from _by_fault(found)
    yield from _whole(result)
    yield from _places(found)
    assert shown or not found


def _percent(share: Share) -> str:
    return f"{share.rate:.1%}" if share.of else "-"


def _summary(result: Result) -> Iterator[str]:
    found = result.found
    shown = [t for row in found for t in row.shown]
    right = Share(sum(t.right not in ("FAIL", "ERROR") for t in shown), len(shown))
    held = Share(sum(not t.held_out for t in shown), len(shown))
    for words, share in (
        ("caught: the verdict is FAIL", total(r.caught for r in found)),
        ("no false alarm: right code on the same values", right),
        ("located: the right operator and tensor", total(r.located for r in found)),
        (
            "located where the subject gives the gradients of parameters and input alone",
            total(r.hidden_located for r in found),
        ),
        ("named: the very fault, at its place, comes first", total(r.named for r in found)),
        ("named by its kind of mistake", total(r.named_by_kind for r in found)),
        ("held out of the dictionary, and given no other fault's name", held),
    ):
        yield f"| {words} | {share} | {_percent(share)} |"


def _by_kind(found: Sequence[Row]) -> Iterator[str]:
    yield "## By kind of mistake"
    yield ""
    yield "| kind | what is wrong | faults | caught | located | named by kind |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for kind, words in KINDS.items():
        group = [row for row in found if row.fault.kind == kind]
        if group:
            cells = (
                total(r.caught for r in group), total(r.located for r in group),
                total(r.named_by_kind for r in group),
            )  # fmt: skip
            yield f"| {kind} | {words} | {len(group)} | {' | '.join(map(str, cells))} |"
    yield ""


def _by_fault(found: Sequence[Row]) -> Iterator[str]:
    yield "## By fault"
    yield ""
    yield (
        "*Applied* counts the networks, *shown* those in which it shows. Then in how many of these "
        "each checker disagrees (a wrong shape or a missing gradient needs none), the verdict is "
        "FAIL, the place is right, the same where cotangents are hidden, and the name is right. "
        "*Time* is that of the verdict in the median case, after one of "
        "right code: JAX has compiled the network by then."
    )
    yield ""
    checkers = " | ".join(NAMES[name] for name in CHECKERS)
    yield (
        f"| fault | kind | applied | shown | {checkers} | caught | located | hidden | named | "
        "time | smallest network |"
    )
    yield "| --- | --- |" + " ---: |" * (7 + len(CHECKERS)) + " --- |"
    for row in found:
        cells = [
            row.fault.name, row.fault.kind, len(row.trials), len(row.shown),
            *(row.by(name) for name in CHECKERS),
            row.caught.good, row.located.good, _of(row.hidden_located), row.named.good,
            "-" if row.seconds is None else f"{1000 * row.seconds:.0f} ms",
            "-" if row.smallest is None else f"`{row.smallest}`",
        ]  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""


def _of(share: Share) -> str:
    return str(share) if share.of else "-"


def _whole(result: Result) -> Iterator[str]:
    summaries = {f.name: f.summary for f in SUBJECT_FAULTS}
    summaries |= {f.name: f.summary for f in OPTIMISER_FAULTS}
    yield "## Whole subjects, and optimisers"
    yield ""
    yield (
        "What no change of one backward function can be: a memory, a write into the caller's "
        "arrays, another slope at ties, a step of an optimiser."
    )
    yield ""
    yield "| fault | what is wrong | to be caught by | trials | as it should be |"
    yield "| --- | --- | --- | ---: | ---: |"
    for name in dict.fromkeys(t.fault for t in result.whole):
        group = [t for t in result.whole if t.fault == name]
        expected = group[0].expected or "nothing: it is right"
        good = sum(t.good for t in group)
        words = summaries.get(name, "the right rule")
        yield f"| {name} | {words} | {expected} | {len(group)} | {good} |"
    for row in result.conventions:
        passed = [t for t in row.shown if t.verdict and t.verdict.status not in ("FAIL", "ERROR")]
        cells = (row.fault.name, row.fault.summary, "nothing: it is a convention",
                 len(row.shown), len(passed))  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""


def _places(found: Iterable[Row]) -> Iterator[str]:
    yield "## What each fault is"
    yield ""
    yield "| fault | equals the reference with | mimics | shows | cannot show |"
    yield "| --- | --- | --- | --- | --- |"
    for row in found:
        f = row.fault
        yield f"| {f.name} | {f.summary} | {f.mimics} | {f.shows} | {f.hidden or '-'} |"
