"""What of JAX's settings and devices bears on the accuracy of a gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from . import _enable_x64 as enable_x64


def flags() -> dict[str, str]:
    """The settings of the program around, as `jax` names them, and its devices."""
    return {
        "devices": ", ".join(str(d) for d in jax.devices()),
        "enable_x64": str(bool(jax.config.values["jax_enable_x64"])),
        "default_matmul_precision": str(jax.config.values["jax_default_matmul_precision"]),
    }


def product(x: float, y: float) -> float:
    """x y, compiled for the CPU, in float64 as the checker computes."""
    with enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        return float(np.asarray(jax.jit(jnp.multiply)(np.float64(x), np.float64(y))))
