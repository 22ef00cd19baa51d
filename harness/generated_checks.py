"""Checks generated for a subject, each by its name: what the pytest plugin runs.

    subject -> what it declares -> plan -> one check for each case -> verdict

The networks are those of `backproof check` with the same seed, and so is the judge; every
twentieth check plants a fault as well, and one that goes unnoticed is an error.  A check is
called like a test.  It returns where every gradient is verified; it raises `CheckFailed`
where one is wrong, `HarnessError` where that is the harness's fault, and `Undecided`, which
test runners count as skipped, where nothing is decided.  This module knows no test runner.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from time import monotonic
from typing import Any, TypeVar

import msgspec

from backproof import foreign
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, Case, DType, draw_case
from backproof.architectures.limits import ACTIVATION_NAMES, LOSS_NAMES, OPERATOR_NAMES, Limits
from backproof.checkers.manners import CLAIMS
from backproof.checkers.verdict import CHECKERS, NUMERICAL, Verdict
from backproof.jobs import Job, Options, plan
from backproof.judging import DECODER, Result, judge, run_job
from backproof.reports.events import FailureSaved
from backproof.reports.summary import Failure
from backproof.reports.terminal import facts
from backproof.reports.text import printable
from backproof.saving import cause_of
from backproof.shrinking import shrink
from backproof.subjects.capabilities import PENALTIES, Capabilities
from backproof.subjects.opening import Opened
from backproof.subjects.process import Limits as ProgramLimits
from backproof.subjects.python import PythonSubject

CASES = 40
"""Checks for a subject where nobody says how many: 20 networks in two dtypes."""

REDUCING = 5.0
"""Seconds in which one failing network is reduced; a test suite has others to run."""

REDUCING_ALL = 20.0
"""Seconds for all the failing networks of a subject; later ones are shown as they are."""


class CheckFailed(AssertionError):
    """A gradient that is wrong, or a subject that gave none; the message is the report."""


class HarnessError(RuntimeError):
    """The harness broke, or a checker is alone against the others: not the subject's fault."""


class Undecided(unittest.SkipTest):
    """Nothing is decided: inconclusive, or more than the subject can do; with the reason."""


@dataclass
class Purse:
    """The seconds that are left for reducing the failures of one subject."""

    left: float = REDUCING_ALL


@dataclass(repr=False)
class GeneratedCheck:
    """One case for one subject.  Call it, as a test; `verdict` is what it found last.

    `id` names it: operators, losses and penalties, the case's number, its lane and dtype.
    `options` are those of the plan that it is of.  `replay` is the command that repeats it, if
    there is one; the report then tells it.  `result` is the verdict with its control and its
    time, `failure` what was reported of one that is bad.

    A failure that is `expected` is not reduced: nobody reads its report.  `keep` reduces others
    and writes them down, as the one who runs the check sees fit, and says None of one that is
    not to be reduced; without it there are seconds, of the `purse`.
    """

    id: str
    job: Job
    options: Options
    subject: Opened | None = None
    purse: Purse = field(default_factory=Purse)
    replay: str = ""
    verdict: Verdict | None = None
    result: Result | None = None
    failure: Failure | None = None
    expected: bool = False
    keep: Callable[[GeneratedCheck, Verdict], FailureSaved | None] | None = None

    def __repr__(self) -> str:
        return f"<{self.id} of {self.job.subject}>"

    def __call__(self) -> None:
        """Verify the subject on this case.  CheckFailed, HarnessError or Undecided if not."""
        __tracebackhide__ = True  # pytest leaves such frames out
        self.conclude(self.judge())

    def judge(self) -> Verdict:
        """Ask the subject and the checkers, and plant a fault where it is this check's turn."""
        self.forget()
        if self.subject is not None:
            foreign.enter(self.job.subject, self.subject)
        (self.result,) = DECODER.decode(run_job(msgspec.msgpack.encode(self.job)))
        self.verdict, control = self.result.verdict, self.result.control
        if control is not None and not control.caught and self.verdict.status != "FAIL":
            reason = f"a planted fault went unnoticed: {control.fault} at {control.site}"
            self.verdict = Verdict("ERROR", reason)
        return self.verdict

    def forget(self) -> None:
        """Have found nothing yet."""
        self.verdict = self.result = self.failure = None

    def conclude(self, verdict: Verdict) -> None:
        """Return where the verdict is PASS, raise where it is not."""
        __tracebackhide__ = True
        if verdict.status in ("INCONCLUSIVE", "UNSUPPORTED"):
            raise Undecided(f"{verdict.status.lower()}: {printable(verdict.reason)}")
        if verdict.status != "PASS":
            error = HarnessError if verdict.status == "ERROR" else CheckFailed
            raise error(self.report(verdict))

    def report(self, verdict: Verdict) -> str:
        """A verdict that is bad, as a person reads it: what and where, then network and reason."""
        self.failure = self._reduced(verdict)
        where = " ".join(word for word in (verdict.operator, verdict.tensor) if word)
        lines = [f"{verdict.status}{f'  {where}' if where else ''} in {self.id}"]
        lines.append(f"  {'subject':<10}{self.job.subject}")
        lines += [f"  {label:<10}{value}" for label, value in facts(self.failure)]
        return printable("\n".join(lines), lines=True)

    def _reduced(self, verdict: Verdict) -> Failure:
        """What is bad, a FAIL as small as whoever runs the check lets it become."""
        (spec,) = self.job.cases
        found = Failure(
            id=self.id,
            index=spec.index,
            lane=spec.lane,
            dtype=spec.dtype,
            seed=spec.seed,
            architecture=self.job.architecture,
            verdict=verdict,
            replay=self.replay,
        )
        if verdict.status != "FAIL" or self.expected:
            return found
        if self.keep is None:
            network, how = self._minimal(verdict) or (None, None)
            cause = self._cause(verdict)
        elif (saved := self.keep(self, verdict)) is not None:
            network, how, cause = saved.minimal, saved.verdict, saved.cause
        else:
            return found
        return msgspec.structs.replace(found, minimal=network, minimal_verdict=how, cause=cause)

    def _cause(self, verdict: Verdict) -> str:
        """What the mistake is, while there is time to ask: it costs as much as reducing does."""
        if self.purse.left <= 0:
            return ""
        began = monotonic()
        (spec,) = self.job.cases
        try:
            case = draw_case(self.job.architecture, spec.seed, spec.lane, spec.dtype)
        except Exception:  # what broke has been told
            return ""
        cause = cause_of(case, verdict, self.job)
        self.purse.left -= monotonic() - began
        return cause

    def _minimal(self, verdict: Verdict) -> tuple[Architecture, Verdict] | None:
        """The smallest network found that fails alike, in the time that there is, and how.

        By the numerical checkers, which have nothing to compile.
        """
        if self.purse.left <= 0:
            return None
        began = monotonic()
        until = began + min(REDUCING, self.purse.left)
        numerical = tuple(c for c in NUMERICAL if c in self.job.checkers)
        job = msgspec.structs.replace(self.job, checkers=numerical or self.job.checkers)

        def judge_in_time(candidate: Case) -> Verdict:
            late = monotonic() > until
            return Verdict("INCONCLUSIVE", "no time is left") if late else judge(candidate, job)

        (spec,) = self.job.cases
        try:
            case = draw_case(self.job.architecture, spec.seed, spec.lane, spec.dtype)
            minimal, reduced = shrink(case, verdict, judge_in_time)
        except Exception:  # then it is shown as it was found
            return None
        self.purse.left -= monotonic() - began
        return minimal.architecture, reduced


def generate(
    subject: Any,
    *,
    cases: int = CASES,
    seed: int = 0,
    lanes: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    checkers: Sequence[str] = (),
    timeout: float = ProgramLimits.answer,
    limits: Limits | None = None,
    exhaustive: bool = False,
    programs: ProgramLimits | None = None,
) -> tuple[GeneratedCheck, ...]:
    """The checks for a subject: a name as `backproof check` takes it, or an object of Python.

    Their ids and cases follow from the seed, and more cases only add to them.  `timeout` is
    the seconds in which a program must answer, whatever `programs` says.  ValueError for what
    makes no sense, or where no network is of what the subject declares; SubjectAbsent where it
    does not start.
    """
    _refuse_numbers(cases, seed, timeout)
    programs, limits = replace(programs or ProgramLimits(), answer=timeout), limits or Limits()
    entered = None if isinstance(subject, str) else PythonSubject(named(subject), subject)
    name = subject if entered is None else named(subject)
    can = (foreign.opened(name, programs) if entered is None else entered).capabilities
    options = Options(
        cases=cases,
        seed=seed,
        lanes=_known("lane", lanes, LANES),
        dtypes=_declared(_known("dtype", dtypes, DTYPES), can) or DTYPES,
        checkers=_known("checker", checkers, CHECKERS) or CHECKERS,
        limits=limits,
        exhaustive=exhaustive,
        subject=name,
        programs=programs,
    )
    if found := undeclared(limits, can):
        raise ValueError(f"the subject does not declare the {found[0]} {found[1]}")
    options, purse = within(options, can), Purse()
    jobs = _one_by_one(options)
    return tuple(GeneratedCheck(_id(job), job, options, entered, purse) for job in jobs)


def undeclared(limits: Limits, can: Capabilities) -> tuple[str, str] | None:
    """What is asked for by name and not declared: an operator, activation or loss, and its name."""
    for what, asked, declared in (
        ("operator", limits.operators, can.operators),
        ("activation", limits.activations, can.operators),
        ("loss", limits.losses, can.losses),
    ):
        for word in asked:
            if declared is not None and word not in declared:
                return what, word
    return None


def within(options: Options, can: Capabilities) -> Options:
    """The options, asking for nothing that the subject does not declare; `backproof check`'s too.

    Who asked for something by name that is not declared has been refused before.  A variable
    is drawn only as an input of others.  ValueError where no network fits, or where the subject
    expects a check to fail that does not exist.
    """
    for check in can.expected_failures:
        if check not in CLAIMS:
            raise ValueError(
                f"expected_failures: there is no check {check!r}; there are {', '.join(CLAIMS)}"
            )
    dtypes = tuple(d for d in DTYPES if d in options.dtypes and d in can.dtypes)
    options = replace(options, dtypes=dtypes, capabilities=can)
    if options.architecture is not None:
        return options
    limits = options.limits
    operators, activations = limits.operators, limits.activations
    declared = tuple(n for n in can.operators or OPERATOR_NAMES if n != "variable")
    if not limits.names and can.perceptrons:
        activations = tuple(n for n in declared if n in ACTIVATION_NAMES)
    elif not limits.names and can.operators is not None:
        operators = declared
    losses = limits.losses or can.losses or ()
    limits = replace(limits, operators=operators, activations=activations, losses=losses)
    return replace(options, limits=limits)


def _one_by_one(options: Options) -> Iterator[Job]:
    """The plan's jobs with a case each."""
    for job in plan(options):
        for spec in job.cases:
            yield msgspec.structs.replace(job, cases=(spec,))


def _id(job: Job) -> str:
    """`dense+tanh+squared_error-003-generic-float64`: what a person selects by."""
    (spec,) = job.cases
    operators = "+".join(dict.fromkeys(job.architecture.operators))
    return f"{operators}-{spec.index:03d}-{spec.lane}-{spec.dtype}"


def named(subject: Any) -> str:
    """The name of an object, as `py:` would have it; not every object can be found by it."""
    thing = subject if hasattr(subject, "__qualname__") else type(subject)
    return f"py:{thing.__module__}:{thing.__qualname__}"


def excuse(check: GeneratedCheck, expected: Mapping[str, str]) -> str | None:
    """The reason for which a check is expected to fail, None where it is not.

    `expected` maps the name of an operator, loss or penalty, or a pattern of ids such as
    `*-tie-*`, to the reason.
    """
    operators = check.job.architecture.operators
    return next(
        (why for what, why in expected.items() if what in operators or fnmatchcase(check.id, what)),
        None,
    )


def refuse_unknown(expected: Mapping[str, str], checks: Sequence[GeneratedCheck]) -> None:
    """ValueError for an expected failure that is neither a name, nor a pattern, nor an id."""
    known = {*OPERATOR_NAMES, *LOSS_NAMES, *PENALTIES, *(check.id for check in checks)}
    for what, why in expected.items():
        if what not in known and not set("*?[") & set(what):
            raise ValueError(f"there is no operator and no check {what!r} that could fail")
        if not why.strip():
            raise ValueError(f"say why {what!r} is expected to fail")


Known = TypeVar("Known", bound=str)


def _known(word: str, names: Sequence[str], known: Sequence[Known]) -> tuple[Known, ...]:
    """The names in the order of those that there are.  ValueError for one that there is not."""
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {word} {name!r}: there are {', '.join(known)}")
    return tuple(name for name in known if name in names)


def _declared(asked: tuple[DType, ...], can: Capabilities) -> tuple[DType, ...]:
    """The dtypes that are asked for by name.  ValueError for one that is not declared."""
    for dtype in asked:
        if dtype not in can.dtypes:
            raise ValueError(f"the subject declares {', '.join(can.dtypes)} and not {dtype}")
    return asked


def _refuse_numbers(cases: int, seed: int, timeout: float) -> None:
    if not isinstance(cases, int) or cases < 1:
        raise ValueError(f"cases must be an integer of at least 1, got {cases!r}")
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be an integer from 0 to 2**31 - 1, got {seed!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be a positive number of seconds, got {timeout!r}")
