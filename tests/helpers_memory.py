"""Work that depends on the case alone, done once where many subjects are judged on one case."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest

from backproof.checkers import complex_step, rounding
from backproof.checkers import verdict as verdict_module


class Memory:
    """Answers of functions by what they were asked; objects are told apart by identity.

    A case is frozen and every draw is seeded, so that the same question has the same answer
    (`test_the_same_case_has_the_same_verdict_twice`).  What was asked about is kept, lest another
    object take its place in memory.
    """

    def __init__(self) -> None:
        self.answers: dict[Hashable, Any] = {}
        self.kept: list[Any] = []

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(*given: Any, **options: Any) -> Any:
            asked = [*given, *(x for pair in sorted(options.items()) for x in pair)]
            key = (function, *map(_key, asked))
            if key not in self.answers:
                self.kept.append(asked)
                self.answers[key] = function(*given, **options)
            return self.answers[key]

        return remembered


def _key(x: Any) -> Hashable:
    if isinstance(x, np.ndarray):
        return x.shape, str(x.dtype), x.tobytes()
    if isinstance(x, list | tuple):
        return tuple(map(_key, x))
    return x if isinstance(x, str | int | float | None) else id(x)


def remember(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `verify` ask its checkers, and measure rounding, once for each case and look.

    None of these is given the subject.
    """
    for module, name in (
        (verdict_module, "estimates"),
        (verdict_module, "Probe"),
        (rounding, "measure"),
        (complex_step, "own_rounding"),
        (complex_step, "truncation"),
    ):
        monkeypatch.setattr(module, name, memory.of(getattr(module, name)))
