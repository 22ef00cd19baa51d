"""A failure made small, explained, and written down: file, script and page."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import msgspec

from backproof.architectures.cases import Case, draw_case
from backproof.checkers.verdict import Verdict
from backproof.counterexample import explain
from backproof.diagnosis import diagnose, in_words
from backproof.evidence import evidence
from backproof.failures import FailureFile, dumps, record
from backproof.foreign import SubjectProblem, Unsupported, subject_named
from backproof.jobs import CaseSpec, Job, Options, case_id
from backproof.judging import broken, judge
from backproof.reports.events import FailureSaved
from backproof.reports.evidence import Evidence
from backproof.script import write_script
from backproof.shrinking import shrink
from backproof.versions import versions


def save_failure(
    job: Job,
    spec: CaseSpec,
    verdict: Verdict,
    save: Callable[[str, bytes], None] | None,
    folder: Path,
    stop: Callable[[], bool],
    clock: Callable[[], float],
    name: str = "",
) -> FailureSaved:
    """Reduce a failing case, and write it down with its script and its page.

    Its files are called by its `name`, the case's own where there is none.  Where something
    breaks, the failure stands as it was found, and its reason says so.  Once the run is to stop,
    what takes time is left out: the cause, the page, the evidence for drawings.
    """
    id = name or case_id(spec)
    path, script, page = (f"failures/{id}.{kind}" for kind in ("json", "py", "md"))
    replay = f"backproof replay {shlex.quote(str(folder / path))}"
    saved = FailureSaved(
        at=clock(),
        id=id,
        minimal=job.architecture,
        verdict=verdict,
        path=path if save else "",
        script=script if save else "",
        page=page if save else "",
        replay=replay if save else "",
    )

    def judge_unless_stopped(candidate: Case) -> Verdict:
        return Verdict("INCONCLUSIVE", "interrupted") if stop() else judge(candidate, job)

    try:
        case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
        if not stop():
            saved = msgspec.structs.replace(saved, cause=cause_of(case, verdict, job))
        minimal, reduced = shrink(case, verdict, judge_unless_stopped)
        if save is not None:
            save(path, dumps(describe(minimal, reduced, id, job, replay, saved.cause)))
            if reduced.tensor:
                save(script, describe_in_python(minimal, reduced, id, job.subject).encode())
            else:  # it gave no gradient to show
                saved = msgspec.structs.replace(saved, script="")
            if stop():
                saved = msgspec.structs.replace(saved, page="")
            else:
                save(page, explain(minimal, reduced, job, saved).encode())
        if not stop():
            found = evidence_of((case, verdict), (minimal, reduced), job)
            saved = msgspec.structs.replace(saved, evidence=found)
    except Exception as error:
        reason = f"{verdict.reason}; not reduced or saved: {broken(error).reason}"
        unsaved = msgspec.structs.replace(verdict, reason=reason)
        nowhere = dict.fromkeys(("path", "script", "page", "replay"), "")
        return msgspec.structs.replace(saved, verdict=unsaved, **nowhere)
    return msgspec.structs.replace(saved, minimal=minimal.architecture, verdict=reduced)


def cause_of(case: Case, verdict: Verdict, asked: Job | Options) -> str:
    """What the mistake behind a FAIL is, in a sentence; "" where no gradient is blamed.

    By the whole network: in the minimal one many mistakes come to the same.  What breaks here
    costs the failure nothing but this sentence.
    """
    if not verdict.tensor:
        return ""
    try:
        subject = subject_named(asked.subject, asked.programs)
        return in_words(diagnose(case, subject, verdict.tensor))
    except (SubjectProblem, Unsupported):  # it fails in other ways by now
        return ""
    except Exception as error:
        return f"not found: {broken(error).reason}"


def evidence_of(
    found: tuple[Case, Verdict], minimal: tuple[Case, Verdict], asked: Job | Options
) -> Evidence | None:
    """What the drawings of a failure need; what breaks here costs it nothing but these."""
    if not found[1].tensor:
        return None
    try:
        subject = subject_named(asked.subject, asked.programs)
        return evidence(
            (*found, subject(found[0])[1]), (*minimal, subject(minimal[0])[1]), asked.checkers
        )
    except Exception:
        return None


def describe(
    case: Case, verdict: Verdict, id: str, job: Job, replay: str, cause: str = ""
) -> FailureFile:
    """A failing case as a file to replay."""
    return record(
        case,
        verdict,
        id=id,
        subject=job.subject,
        replay=replay,
        versions=versions(),
        checkers=job.checkers,
        exhaustive=job.exhaustive,
        cause=cause,
    )


def describe_in_python(case: Case, verdict: Verdict, id: str, subject: str) -> str:
    """A failing case as a script for NumPy alone."""
    loss, gradients = subject_named(subject)(case)
    return write_script(case, verdict, loss, dict(gradients), id=id, file=f"{id}.py")
