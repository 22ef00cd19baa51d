"""A subject in Python: `py:package.module:object`, or an entry point by its name.

The object is a function `subject(case) -> (loss, gradients)`, or has a method `gradients` of
that form and, if it likes, `describe() -> Capabilities` (or a mapping of its fields).  A class
is made into an object without arguments.  `case` is a `backproof.Case`.  One that declares
that it accumulates is also called as `subject(case, accumulate=True)`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..architectures.cases import Case
from .capabilities import Capabilities, SubjectAbsent, SubjectProblem, Unsupported

GROUP = "backproof.subjects"


class PythonSubject:
    """An object that has been loaded, and what it can do."""

    def __init__(self, name: str, loaded: Any) -> None:
        self.name = name
        made = _made(name, loaded)
        self._gradients: Callable[..., Any] = getattr(made, "gradients", made)
        if not callable(self._gradients):
            raise SubjectAbsent(f"{name} is neither a function nor has it a method `gradients`")
        self.capabilities = _described(name, made)

    def gradients(self, case: Case, accumulate: bool = False) -> tuple[Any, dict[str, Any]]:
        """The loss and the gradients as arrays; what it raises becomes a SubjectProblem."""
        try:
            asked = {"accumulate": True} if accumulate else {}
            returned = self._gradients(case, **asked)
        except (Unsupported, NotImplementedError) as error:
            raise Unsupported(str(error)) from None
        except Exception as error:
            raise SubjectProblem("FAIL", f"it raised {_words(error)}") from error
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise SubjectProblem("FAIL", f"it returned {_kind(returned)}, not (loss, gradients)")
        loss, gradients = returned
        if not isinstance(gradients, Mapping):
            raise SubjectProblem(
                "FAIL", f"its gradients are {_kind(gradients)}, not a mapping by tensor"
            )
        try:
            arrays = {str(k): np.asarray(v) for k, v in gradients.items() if v is not None}
            return np.asarray(loss, case.dtype), arrays
        except (TypeError, ValueError) as error:
            raise SubjectProblem(
                "FAIL", f"it returned something else than arrays: {error}"
            ) from None

    def defined(self) -> tuple[str, int] | None:
        """The file and the line of the function that is asked; `defined` says which file counts."""
        return defined(self._gradients)

    def close(self) -> None:
        """Nothing is held."""


def load(name: str) -> PythonSubject:
    """`py:module:object`.  SubjectAbsent, naming what is missing."""
    module, _, attribute = name.removeprefix("py:").partition(":")
    if not module or not attribute:
        raise SubjectAbsent(f"{name}: write py:package.module:object")
    if os.getcwd() not in sys.path:  # as `python -m` has it
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise SubjectAbsent(f"{name}: importing {module} raised {_words(error)}") from error
        where = f"neither in {os.getcwd()} nor among what is installed"
        raise SubjectAbsent(f"{name}: there is no module {error.name}, {where}") from error
    except Exception as error:
        raise SubjectAbsent(f"{name}: importing {module} raised {_words(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SubjectAbsent(f"{name}: {module} has no {attribute}")
        found = getattr(found, part)
    return PythonSubject(name, found)


def installed() -> dict[str, Any]:
    """The entry points that installed packages offer, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_installed(name: str) -> PythonSubject:
    """A subject by the name of its entry point."""
    known = installed()
    if name not in known:
        words = f"; installed ones are {', '.join(sorted(known))}" if known else ""
        raise SubjectAbsent(f"{name}: write py:MODULE:OBJECT or cmd:PROGRAM{words}")
    try:
        return PythonSubject(name, known[name].load())
    except SubjectAbsent:
        raise
    except Exception as error:
        raise SubjectAbsent(
            f"{name}: loading {known[name].value} raised {_words(error)}"
        ) from error


def defined(function: Any) -> tuple[str, int] | None:
    """Where a function, or what its instance is called by, is written: (file, line).

    The file is relative to the root of the repository, the nearest folder upwards that holds
    `.git` (else the current one), with `/` between folders.  None where the source cannot be
    found, lies elsewhere, or is an installed package's.
    """
    while isinstance(function, functools.partial):
        function = function.func
    try:
        function = inspect.unwrap(function)
        if not inspect.isroutine(function):
            function = type(function).__call__
        file = Path(inspect.getsourcefile(function) or "").resolve(strict=True)
        line = inspect.getsourcelines(function)[1]
    except (OSError, TypeError, ValueError):  # no file, not Python, wrapped in a circle
        return None
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / ".git").exists()), here).resolve()
    inside = file.is_file() and file.is_relative_to(root)
    if not inside or {"site-packages", "dist-packages"} & set(file.parts):
        return None
    return file.relative_to(root).as_posix(), max(line, 1)


def _made(name: str, loaded: Any) -> Any:
    if not inspect.isclass(loaded):
        return loaded
    try:
        return loaded()
    except Exception as error:
        raise SubjectAbsent(f"{name}: making a {loaded.__name__} raised {_words(error)}") from error


def _described(name: str, made: Any) -> Capabilities:
    describe = getattr(made, "describe", None)
    if describe is None:
        return Capabilities(dtypes=("float64", "float32"))
    try:
        said = describe()
        return said if isinstance(said, Capabilities) else msgspec.convert(said, Capabilities)
    except SubjectAbsent:
        raise
    except msgspec.ValidationError as error:
        raise SubjectAbsent(f"{name}: describe(): {error}") from None
    except Exception as error:
        raise SubjectAbsent(f"{name}: describe() raised {_words(error)}") from error


def _words(error: Exception) -> str:
    """`ValueError: message (file.py, line 12)`, where it happened last outside of us."""
    every = traceback.extract_tb(error.__traceback__)
    frames = [f for f in every if not f.filename.startswith(("<frozen", importlib.__file__))]
    where = (
        f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    )
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {message[0][:300]}' if message else ''}{where}"


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
