"""Examples copied to a folder of their own, and scripts run there as a pipeline runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

SMALL = {
    "BACKPROOF_CHECKERS": "complex_step",
    "BACKPROOF_WORKERS": "1",
    "BACKPROOF_CASES": "4",
    "BACKPROOF_DTYPES": "float64",
    "BACKPROOF_LANES": "generic",
    "BACKPROOF_MAX_DEPTH": "2",
    "COLUMNS": "300",
}
"""A gate of two seconds."""

HOSTILE = """a b'"c $(touch pwned) `touch pwned`; touch pwned; rm -rf my_net.py #"""
"""What a shell would obey if it were pasted into a script."""


def environment(**more: str) -> dict[str, str]:
    """This process's, without what another pipeline set, and with this Python's commands first."""
    others = ("BACKPROOF_", "GITHUB_", "CI_", "GIT_", "TOX_", "PRE_COMMIT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, **SMALL, **more}


def example(name: str, folder: Path) -> Path:
    """A copy of an example, hidden files too, as a person would make one."""
    return Path(shutil.copytree(EXAMPLES / name, folder / name))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(
    command: Sequence[str], folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
