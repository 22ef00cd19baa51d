"""Work in other processes, which may die: loky's, and loky is imported here alone.

A process that dies takes with it whatever its pool was doing, so the pool says nothing
about who was to blame.  Everything that was lost is done again, one piece at a time, in a
process apart: what ends that one too is the culprit, and costs itself alone.

Nor may a long run slow down or fill the memory.  JAX keeps all that it ever compiled, so its
caches are emptied now and then; and loky collects garbage every second, so what stays for
good, a quarter of a million objects of the libraries, is taken out of the collector's sight.
"""

from __future__ import annotations

import gc
import signal
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from types import TracebackType
from typing import Any, Self

from backproof.interruption import SIGNALS

__all__ = ["BrokenExecutor", "Workers"]


class Workers:
    """`count` processes that apply `function` to bytes, killed at once on an exception."""

    def __init__(self, function: Callable[[bytes], bytes], count: int) -> None:
        self.function, self.count = function, count
        self._pool: Any = _processes(count)
        self._apart: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in (self._pool, self._apart):
            if pool is not None:
                pool.shutdown(wait=True, kill_workers=kind is not None)

    def ask(self, work: bytes) -> Future[bytes]:
        """Begin a piece of work; `answer` wants what this returns."""
        try:
            return self._submit(self._pool, work)
        except BrokenExecutor:  # a process died: here are others
            self._pool = _processes(self.count)
            return self._submit(self._pool, work)

    def answer(self, work: bytes, asked: Future[bytes]) -> bytes:
        """Wait for the result.  BrokenExecutor where the work ends its own process."""
        try:
            return asked.result()
        except BrokenExecutor:
            return self._alone(work)

    def _alone(self, work: bytes) -> bytes:
        if self._apart is None:
            self._apart = _processes(1)
        try:
            return self._submit(self._apart, work).result()
        except BrokenExecutor:
            self._apart = None
            raise

    def _submit(self, pool: Any, work: bytes) -> Future[bytes]:
        future: Future[bytes] = pool.submit(_work, self.function, work)
        return future


PIECES = 50
"""Of work, after which a process forgets what it compiled."""

_done = 0


def _work(function: Callable[[bytes], bytes], work: bytes) -> bytes:
    """One piece of work, in a process of ours."""
    global _done
    answer = function(work)
    if _done == 0:
        gc.collect()
        gc.freeze()
    _done += 1
    if _done % PIECES == 0 and "jax" in sys.modules:
        from backproof.checkers import with_jax

        with_jax.forget()
    return answer


def _processes(count: int) -> Any:
    """A pool whose processes use one thread each and leave interruptions to their parent."""
    import loky

    # a process that grew by 300 MB is replaced in silence: that is what it is for
    warnings.filterwarnings("ignore", "A worker was restarted", UserWarning)
    environment = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return loky.ProcessPoolExecutor(count, env=environment, initializer=_ignore_interrupts)


def _ignore_interrupts() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
