"""The verdict on a case, and on all cases of a job: what a worker process does.

A job (`backproof.jobs`) travels here as bytes and goes back as verdicts.  Whatever breaks on the
way is a case's ERROR and no exception.
"""

from __future__ import annotations

import time

import msgspec

from backproof.architectures.cases import Case, draw_case
from backproof.checkers.outcome import with_checks
from backproof.checkers.verdict import CheckerName, Subject, Verdict, verify
from backproof.controls import run_control
from backproof.foreign import SubjectProblem, Unsupported, is_foreign, manners_of, subject_named
from backproof.jobs import Job, Options
from backproof.localisation import located

INACCURATE = "right, but for digits that its formulas lose to cancellation"


class ControlResult(msgspec.Struct, frozen=True):
    """What `run_control` found, as it travels."""

    fault: str
    summary: str
    site: str
    expected: str
    caught: bool
    verdict: Verdict
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """A case's verdict, and its control's where one was due."""

    verdict: Verdict
    seconds: float
    control: ControlResult | None = None


DECODER = msgspec.msgpack.Decoder(list[Result])


def run_job(encoded: bytes) -> bytes:
    """Judge every case of a job; bytes in, bytes out, so that any executor carries it."""
    job = msgspec.msgpack.decode(encoded, type=Job)
    results = []
    for spec in job.cases:
        began = time.perf_counter()
        try:
            case = draw_case(job.architecture, spec.seed, spec.lane, spec.dtype)
        except Exception as error:
            results.append(Result(broken(error), 0.0))
            continue
        verdict = judge(case, job)
        seconds = time.perf_counter() - began
        control = _control(case, job.checkers) if spec.control else None
        results.append(Result(verdict, seconds, control))
    return msgspec.msgpack.encode(results)


def broken(error: Exception) -> Verdict:
    """The verdict where the harness itself breaks."""
    return Verdict("ERROR", f"{type(error).__name__}: {error}")


def judge(case: Case, job: Job | Options) -> Verdict:
    """The verdict on a case; whatever breaks in the harness is an ERROR, not an exception."""
    try:
        subject = subject_named(job.subject, job.programs)
        verdict = verify(case, subject, checkers=job.checkers, exhaustive=job.exhaustive)
        return _as_foreign(case, job, verdict) if is_foreign(job.subject) else verdict
    except SubjectProblem as problem:
        return Verdict(problem.status, problem.reason)
    except Unsupported as reason:
        return Verdict("UNSUPPORTED", str(reason) or "the subject cannot do this network")
    except Exception as error:  # the harness's own fault, reported as such
        return broken(error)


def _as_foreign(case: Case, job: Job | Options, verdict: Verdict) -> Verdict:
    """What is right but for the digits that its formulas lose is right; then its manners.

    Where formulas may lose everything nothing is proved, neither right nor wrong.
    """
    if verdict.status == "FAIL" and verdict.comparisons:
        lenient = verify(
            case,
            subject_named(job.subject, job.programs),
            checkers=job.checkers,
            exhaustive=job.exhaustive,
            cancels=True,
        )
        if lenient.status == "PASS":
            verdict = msgspec.structs.replace(lenient, reason=INACCURATE)
        elif lenient.status == "INCONCLUSIVE":
            verdict = lenient
        else:
            subject = subject_named(job.subject, job.programs)
            verdict = _located(case, subject, verdict)
    if case.lane == "generic":
        verdict = with_checks(verdict, manners_of(job.subject, case, job.programs))
    return verdict


def _located(case: Case, subject: Subject, verdict: Verdict) -> Verdict:
    """A FAIL with its place.  What breaks on the way to the place takes nothing from the FAIL."""
    try:
        return located(case, subject, verdict, cancels=True)
    except Exception as error:
        reason = error.reason if isinstance(error, SubjectProblem) else broken(error).reason
        return msgspec.structs.replace(
            verdict, reason=f"{verdict.reason}; asked where, the subject did not answer: {reason}"
        )


def _control(case: Case, checkers: tuple[CheckerName, ...]) -> ControlResult | None:
    began = time.perf_counter()
    try:
        found = run_control(case, checkers)
    except Exception as error:
        return ControlResult("", "a control that broke", "", "", False, broken(error), 0.0)
    if found is None:
        return None
    return ControlResult(
        found.fault.name,
        found.fault.summary,
        found.site,
        found.expected,
        found.caught,
        found.verdict,
        time.perf_counter() - began,
    )
