"""A digest of the code under test, so that verdicts of other code are not taken for its own.

Of a subject in Python it is every file that the process has loaded from below the working
directory, and the subject's own wherever it is; of a program, its file and each argument that
is one.  Installed libraries have versions, which are compared by themselves.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from backproof.foreign import is_foreign, opened
from backproof.subjects.capabilities import SubjectAbsent
from backproof.subjects.process import Limits


def digest(subject: str, limits: Limits | None = None) -> str:
    """Twelve hexadecimal digits, "" for a subject of ours or one that does not start."""
    if not is_foreign(subject):
        return ""
    try:
        opened(subject, limits)
    except SubjectAbsent:
        return ""
    program = subject.startswith("cmd:")
    files = _of_program(subject.removeprefix("cmd:")) if program else _of_python(subject)
    found = hashlib.sha256()
    for path in sorted({path.resolve() for path in files}):
        try:
            content = path.read_bytes()
        except OSError:  # gone, or not to be read: then its name is all there is
            content = b""
        found.update(hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).digest())
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()[:12]


def _of_program(command: str) -> Iterator[Path]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    for word in words:
        if Path(word).is_file():
            yield Path(word)
    if words and (there := shutil.which(words[0])) and not _installed(Path(there)):
        yield Path(there)


def _of_python(subject: str) -> Iterator[Path]:
    own = subject.removeprefix("py:").partition(":")[0]
    here = Path.cwd().resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] == "backproof":
            continue
        path = Path(file).resolve()
        if name == own or (path.is_relative_to(here) and not _installed(path)):
            yield path


def _installed(path: Path) -> bool:
    """Whether a file belongs to Python or to a library."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib", "scripts")}
    return any(path.is_relative_to(Path(place).resolve()) for place in places if place)
