"""Linear maps and products of tensors in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters


def _dense(op: ops.Dense, p: Parameters, x: Array) -> Array:
    y = x @ p["weight"].T
    return y + p["bias"] if op.bias else y


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.Dense: _dense,
}
"""Each operator's y = f(op, parameters, x)."""
