"""What of a machine bears on verification: what is told, and what must be caught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers_cli import invoke

from backproof import doctor
from backproof.checkers.with_jax import flags as of_jax
from backproof.checkers.with_torch import flags as of_torch
from backproof.doctor import Finding


def levels(found: Any) -> dict[str, str]:
    return {f.name: f.level for f in found}


@pytest.fixture
def flushed() -> Iterator[None]:
    """The processor as a library built with fast-math leaves it."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush")
    yield
    torch.set_flush_denormal(False)


def test_a_sound_machine_has_nothing_that_is_untrustworthy() -> None:
    found = doctor.examine({})
    assert [f for f in found if f.level == "bad"] == []
    names = [f.name for f in found]
    assert len(names) == len(set(names) - {"BLAS"}) + names.count("BLAS")
    assert {"python", "numpy", "jax", "torch", "torch devices", "jax devices", "threads",
            "torch float32_matmul_precision", "jax enable_x64", "subnormal numbers",
            "rounding"} <= set(names)  # fmt: skip
    assert all(f.implies for f in found if f.level != "fine")


def test_a_processor_that_flushes_is_found_out(flushed: None) -> None:
    assert levels(doctor.arithmetic())["subnormal numbers"] == "bad"
    result = invoke("doctor")
    assert result.exit_code == 3
    assert "\n! subnormal numbers" in result.stdout
    assert result.stdout.endswith("UNTRUSTWORTHY: 1 finding marked !\n")


def test_products_in_less_than_their_dtype_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TF32 would: 11 bits of each factor, so that 55 x 55 and the like are kept, sums not."""

    class Coarse(np.ndarray[Any, Any]):
        def __matmul__(self, other: Any) -> Any:
            exact = np.asarray(self) @ np.asarray(other)
            return exact * (1 + 2.0**-11)

    def arange(*arguments: Any, **options: Any) -> Any:
        return np.arange(1, 65, dtype=np.float64).view(Coarse)

    monkeypatch.setattr(doctor, "np", _With(np, arange=arange))
    assert levels(doctor.arithmetic())["products of whole numbers"] == "bad"


class _With:
    """A module with something else in one place."""

    def __init__(self, module: Any, **others: Any) -> None:
        self._module, self._others = module, others

    def __getattr__(self, name: str) -> Any:
        return self._others.get(name) or getattr(self._module, name)


def test_flags_of_xla_that_drop_terms_are_found_out() -> None:
    for word, level in (
        ("--xla_cpu_enable_fast_math=true", "bad"),
        ("--xla_cpu_enable_fast_math=false", None),
        ("--xla_force_host_platform_device_count=2", None),
    ):
        found = doctor._environment({"XLA_FLAGS": f"--xla_dump_to=x {word}"})
        assert [f.level for f in found] == ([level] if level else [])


def test_tf32_is_noted_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {
        "devices": "cpu, H100",
        "float32_matmul_precision": "high",
        "cuda.matmul.allow_tf32": "True",
        "cudnn.allow_tf32": "False",
    }
    for devices, level in (("cpu, H100", "note"), ("cpu", "fine")):
        monkeypatch.setattr(of_torch, "flags", lambda d=devices: {**flags, "devices": d})
        found = levels(doctor.of_torch())
        assert found["torch float32_matmul_precision"] == level
        assert found["torch cuda.matmul.allow_tf32"] == level
        assert found["torch cudnn.allow_tf32"] == "fine"
    (override,) = doctor._environment({"NVIDIA_TF32_OVERRIDE": "1"})
    assert override.level == "note"


def test_a_checker_in_less_than_float64_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(doctor.of_jax())["jax float64"] == "fine"
    monkeypatch.setattr(of_jax, "product", lambda x, y: float(np.float32(x) * np.float32(y)))
    found = levels(doctor.of_jax())
    assert (found["jax float64"], found["jax subnormal numbers"]) == ("bad", "note")


def test_a_framework_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise ImportError("libfoo.so: cannot open\nshared object file")

    monkeypatch.setattr(doctor, "of_torch", broken)
    (found,) = [f for f in doctor.examine({}) if f.name == "torch" and f.level == "bad"]
    assert found.value == "cannot be used: ImportError: libfoo.so: cannot open"


def test_a_library_that_is_absent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no-such-library"))
    assert [(f.name, f.level) for f in doctor._versions()][1:] == [
        ("numpy", "fine"), ("no-such-library", "bad"),
    ]  # fmt: skip


def test_the_doctor_s_word_for_people_and_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("doctor")
    assert result.exit_code == 0
    assert result.stdout.endswith("\nResults can be trusted.\n")
    rows = json.loads(invoke("doctor", "--json").stdout)
    assert len(rows) == len(result.stdout.splitlines()) - 1
    assert set(rows[0]) == {"name", "value", "level", "implies"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert invoke("doctor", "--json").exit_code == 3
