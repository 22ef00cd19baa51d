"""The tensors of a large network on all cores, side by side.

NumPy releases the interpreter while it computes, so threads do; BLAS is kept to one thread
of its own meanwhile, or the two would contend for the cores.  On a small network the
interpreter is what takes the time, and nothing is gained.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..architectures.architecture import Architecture
from ..architectures.operators import size

LARGE = 2**18
"""Entries of all tensors, from which on threads gain."""

T = TypeVar("T")


def for_each(a: Architecture, names: Iterable[str], f: Callable[[str], T]) -> dict[str, T]:
    """f(name) for each of the tensors' names, in their order; what f raises is raised."""
    names = list(names)
    if sum(size(shape) for shape in a.tensors.values()) < LARGE:
        return {name: f(name) for name in names}
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(f, names), strict=True))
