"""Running the scripts of failures where nothing but NumPy and the standard library exists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

DRIVER = """
import contextlib, importlib.abc, io, json, runpy, sys
from pathlib import Path

class OnlyNumPy(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "numpy":
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, OnlyNumPy())
said = {}
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(str(path), run_name="__main__")
    said[path.stem] = out.getvalue()
print(json.dumps(said))
"""


class Said(NamedTuple):
    """What a script printed: losses, and by entry the claimed and the numerical gradient."""

    subject_loss: float
    loss: float
    claimed: tuple[float, ...]
    numerical: tuple[float, ...]


def parse(output: str) -> Said:
    first, heading, *rows = output.splitlines()
    subject_loss, loss = (float(word) for word in first.split() if is_number(word))
    assert "gradient by the subject, by central differences" in heading
    numbers = [row.rpartition(")")[2].split() for row in rows]
    return Said(
        subject_loss, loss, tuple(float(n[0]) for n in numbers), tuple(float(n[1]) for n in numbers)
    )


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def run_all(folder: Path) -> dict[str, Said]:
    """Every script of a folder by its name, in one interpreter with NumPy alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", DRIVER, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return {name: parse(output) for name, output in json.loads(done.stdout).items()}
