"""The versions that every report and every failure file states."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

SUBJECT = "the subject's code"
"""Beside the versions: a digest of what is verified."""


def versions() -> dict[str, str]:
    """The versions of everything that has a say."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("backproof", "numpy", "scipy", "jax", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
