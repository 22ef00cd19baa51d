"""One run to a folder at a time.

The lock is the kernel's on a file, `.backproof.lock`, so it ends with the process that holds
it, however that ends: a file that a killed run left behind holds nobody up.  The process's
number in it is for people: it may long belong to another process, so it decides nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from backproof.errors import UsageProblem

NAME = ".backproof.lock"


@contextlib.contextmanager
def locked(folder: Path, option: str = "--output") -> Iterator[None]:
    """Hold a folder for a run.  UsageProblem where another run does, OSError where none can."""
    path = folder / NAME
    descriptor = _acquire(path, folder, option)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, folder: Path, option: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is(descriptor, path):  # its holder has just ended and taken it away
                os.close(descriptor)
                continue
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "another"
            os.close(descriptor)
            raise UsageProblem(
                f"{option} {folder}: the run of process {holder} writes there; "
                "give this one a folder of its own."
            ) from None
        except OSError:
            os.close(descriptor)
            raise


def _is(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)
