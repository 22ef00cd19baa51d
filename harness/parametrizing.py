"""`backproof.parametrize_with_checks`: generated checks as the parameters of a test in pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from backproof.generated_checks import (
    CASES,
    CheckFailed,
    excuse,
    generate,
    named,
    refuse_unknown,
)
from backproof.subjects.capabilities import SubjectAbsent
from backproof.subjects.process import Limits as ProgramLimits

Test = TypeVar("Test", bound=Callable[..., Any])


def parametrize_with_checks(
    subjects: Sequence[Any],
    *,
    cases: int = CASES,
    seed: int = 0,
    lanes: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    checkers: Sequence[str] = (),
    timeout: float = ProgramLimits.answer,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Test], Test]:
    """Decorate a test that takes `check`: it runs once for each check of each subject.

        @backproof.parametrize_with_checks([Net, "cmd:./my_program"])
        def test_backward(check):
            check()

    A subject is an object as in `py:`, or a name as `backproof check` takes it; `cases`, two
    for each network where it takes both dtypes, are drawn for each from the seed.
    `expected_failures` maps an operator, a loss, a penalty, or a pattern of ids such as
    `*-tie-*`, to the reason: those checks are marked xfail.  What makes no sense, and a subject
    that does not start, is an error of collecting the test, in one sentence.  ImportError
    without pytest.
    """
    try:
        import pytest
    except ModuleNotFoundError:
        raise ImportError("parametrize_with_checks needs pytest: pip install pytest") from None

    expected = expected_failures or {}
    parameters = []
    for subject in _several(subjects):
        name = subject if isinstance(subject, str) else named(subject).rpartition(":")[2]
        try:
            checks = generate(
                subject, cases=cases, seed=seed, lanes=lanes, dtypes=dtypes, checkers=checkers,
                timeout=timeout,
            )  # fmt: skip
            refuse_unknown(expected, checks)
        except (SubjectAbsent, ValueError) as error:
            raise pytest.Collector.CollectError(f"backproof: {name}: {error}") from None
        for check in checks:
            marks = []
            if (why := excuse(check, expected)) is not None:
                check.expected = True
                marks.append(pytest.mark.xfail(reason=why, raises=CheckFailed))
            parameters.append(pytest.param(check, id=f"{name}-{check.id}", marks=marks))
    return pytest.mark.parametrize("check", parameters)


def _several(subjects: Sequence[Any]) -> Sequence[Any]:
    """TypeError for one by itself, whose name would be read letter by letter, and for none."""
    if isinstance(subjects, str) or not isinstance(subjects, Sequence) or not subjects:
        raise TypeError(f"subjects must be a list of at least one, got {subjects!r}")
    return subjects
