"""What of a machine bears on verification, found out by computing where that is possible.

What cannot be trusted is told apart from what is only good to know.  Untrustworthy is
whatever breaks an assumption that the bounds rest on: IEEE arithmetic rounded to nearest,
subnormal numbers (an allowance is made for values that underflow *once*, not for a library
that flushes every small one), products of whole numbers that are exact, a complex step that
survives at 1e-200, checkers that can be imported.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec
import numpy as np
import threadpoolctl

Level = Literal["fine", "note", "bad"]

LIBRARIES = ("backproof", "numpy", "scipy", "jax", "torch")

SUBNORMAL = 1 << 14
"""The bits of 2^-1060, below the smallest normal float64, 2^-1022.  A processor that takes
subnormal numbers for zeros finds them equal to zero too, so bits are compared."""


class Finding(msgspec.Struct, frozen=True):
    """One thing about this machine: what it is, and what that implies."""

    name: str
    value: str
    level: Level
    implies: str


def examine(environ: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """Every finding.  Imports JAX and PyTorch, since they may change how the processor rounds."""
    environ = os.environ if environ is None else environ
    return (
        *_versions(),
        *_frameworks(environ),
        *arithmetic(),
        *_environment(environ),
        *_threads(environ),
    )


def arithmetic() -> Iterator[Finding]:
    """NumPy's, here and now: what a library did to the processor's mode on loading shows."""
    tiny = float(np.multiply(np.float64(2.0**-1000), np.float64(2.0**-60)))
    yield _judged(
        "subnormal numbers", bits(tiny) == SUBNORMAL, ("kept", "flushed to zero"),
        "small gradients are rounded, not dropped",
        "some library was built with fast-math, and every small gradient is 0: find and drop it",
    )  # fmt: skip
    one, half = np.float64(1.0), np.float64(2.0**-54)
    nearest = one + half == one and -one - half == -one and one + 3 * half == one + 2.0**-52
    yield _judged(
        "rounding", bool(nearest), ("to nearest", "not to nearest"),
        "the rounding model holds", "the bounds assume it: something changed the rounding mode",
    )  # fmt: skip
    a = np.arange(1, 65, dtype=np.float64).reshape(8, 8)
    exact = [[sum(int(x) * int(y) for x, y in zip(r, c, strict=True)) for c in a.T] for r in a]
    right = all((a.astype(t) @ a.astype(t) == exact).all() for t in ("float64", "float32"))
    yield _judged(
        "products of whole numbers", bool(right), ("exact", "rounded"),
        "BLAS multiplies in full precision, and the exact lane means what it says",
        "BLAS multiplies in less than its dtype: the exact lane will blame right code",
    )  # fmt: skip
    step = complex(np.multiply(np.complex128(3 + 1e-200j), np.complex128(2.0)))
    yield _judged(
        "complex step", step.imag == 2e-200, ("survives at 1e-200", "lost at 1e-200"),
        "its derivatives have no truncation error", "that checker cannot be believed",
    )  # fmt: skip


def bits(x: float) -> int:
    """The 64 bits of a number."""
    return int.from_bytes(struct.pack("<d", x), "little")


def _judged(name: str, good: bool, words: tuple[str, str], fine: str, bad: str) -> Finding:
    return Finding(name, words[not good], "fine" if good else "bad", fine if good else bad)


def _versions() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}", "fine", "")
    for name in LIBRARIES:
        try:
            yield Finding(name, version(name), "fine", "")
        except PackageNotFoundError:
            yield Finding(name, "absent", "bad", "a checker or the reference cannot run")


# --- frameworks -------------------------------------------------------------------------


def _frameworks(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from _of("torch", of_torch)
    yield from _of("jax", of_jax)


def _of(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Exception as error:  # a broken installation raises whatever it likes
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        yield Finding(name, f"cannot be used: {said}", "bad", "one checker fewer, at best")


def of_torch() -> Iterator[Finding]:
    """PyTorch's devices, precisions and subnormals."""
    from backproof.checkers.with_torch import flags

    found = flags.flags()
    yield Finding("torch devices", found["devices"], "fine", "the checker uses the CPU")
    for key, plain, coarse in (
        ("float32_matmul_precision", "highest", "products of float32 on a GPU have 8 to 11 bits"),
        ("cuda.matmul.allow_tf32", "False", "products of float32 on a GPU have 11 bits (TF32)"),
        ("cudnn.allow_tf32", "False", "convolutions of float32 on a GPU have 11 bits (TF32)"),
    ):
        fine = found[key] == plain or found["devices"] == "cpu"
        implies = "float32 means float32 here" if fine else f"{coarse}; the checker uses float64"
        yield Finding(f"torch {key}", found[key], "fine" if fine else "note", implies)
    yield _subnormals("torch", flags.product)


def of_jax() -> Iterator[Finding]:
    """JAX's devices, precisions and subnormals."""
    from backproof.checkers.with_jax import flags

    found = flags.flags()
    yield Finding("jax devices", found["devices"], "fine", "the checker uses the CPU")
    wide = found["enable_x64"] == "True"
    implies = "a subject of yours in JAX computes in float32; the checker turns float64 on"
    yield Finding(
        "jax enable_x64", found["enable_x64"], "fine" if wide else "note",
        "float64 means float64" if wide else implies,
    )  # fmt: skip
    precision = found["default_matmul_precision"]
    yield Finding("jax default_matmul_precision", precision, "fine", "the checker sets its own")
    digits = flags.product(1.0 + 2.0**-52, 1.0) - 1.0
    yield _judged(
        "jax float64", digits == 2.0**-52, ("53 bits", f"{digits:.1e} for 2.2e-16"),
        "the checker has all digits", "the checker computes in less than float64",
    )  # fmt: skip
    yield _subnormals("jax", flags.product)


def _subnormals(name: str, product: Callable[[float, float], float]) -> Finding:
    """A note only: the verdict has an allowance for one underflow, and asks others besides."""
    kept = bits(product(2.0**-1000, 2.0**-60)) == SUBNORMAL
    implies = "as NumPy" if kept else "gradients below 2.2e-308 are 0 there, which is allowed for"
    words = "kept" if kept else "flushed to zero"
    return Finding(f"{name} subnormal numbers", words, "fine" if kept else "note", implies)


# --- environment and threads --------------------------------------------------------------


def _environment(environ: Mapping[str, str]) -> Iterator[Finding]:
    flags = environ.get("XLA_FLAGS", "")
    for word in flags.split():
        name, _, value = word.partition("=")
        if "fast_math" in name and value.lower() not in ("false", "0"):
            yield Finding("XLA_FLAGS", word, "bad", "JAX's checker may reorder and drop terms")
    if environ.get("NVIDIA_TF32_OVERRIDE") == "1":
        implies = "products of float32 on a GPU have 11 bits (TF32), whatever a program sets"
        yield Finding("NVIDIA_TF32_OVERRIDE", "1", "note", implies)


def _threads(environ: Mapping[str, str]) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = environ.get("OMP_NUM_THREADS")
    value = f"{cores} cores" + (f", OMP_NUM_THREADS {limit}" if limit else "")
    yield Finding("threads", value, "fine", "their number changes no verdict: sums have bounds")
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            words = [library["internal_api"], library["version"] or "", library.get("architecture")]
            value = " ".join(word for word in words if word)
            value += f", {library['num_threads']} threads"
            yield Finding("BLAS", value, "fine", "its order of summation is within the bounds")
