"""Normalisation, dropout and stochastic depth in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters


def _standardised(x: Array, axes: Sequence[int], epsilon: float) -> Array:
    """(x - mu) / sigma(v) over the axes: v from the deviations, so an offset costs no digits."""
    deviation = x - jnp.mean(x, tuple(axes), keepdims=True)
    v = jnp.mean(jnp.square(deviation), tuple(axes), keepdims=True)
    return deviation / jnp.sqrt(v + epsilon)


def _by_channel(values: Array, x: Array) -> Array:
    """(C,) to broadcast against (N, C, ...)."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def _scaled_by_channel(p: Parameters, x: Array) -> Array:
    """gamma x + beta, channel by channel; x where they are absent."""
    if "gamma" not in p:
        return x
    return _by_channel(p["gamma"], x) * x + _by_channel(p["beta"], x)


def _batch_norm(op: ops.BatchNorm, p: Parameters, x: Array) -> Array:
    if op.statistics == "batch":
        z = _standardised(x, (0, *range(2, x.ndim)), op.epsilon)
    else:
        sigma = jnp.sqrt(p["variance"] + op.epsilon)
        z = (x - _by_channel(p["mean"], x)) / _by_channel(sigma, x)
    return _scaled_by_channel(p, z)


def _layer_norm(op: ops.LayerNorm, p: Parameters, x: Array) -> Array:
    z = _standardised(x, range(-op.axes, 0), op.epsilon)
    return p["gamma"] * z + p["beta"] if op.affine else z


def _group_norm(op: ops.GroupNorm, p: Parameters, x: Array) -> Array:
    runs = x.reshape(x.shape[0], op.groups, -1)
    return _scaled_by_channel(p, _standardised(runs, (2,), op.epsilon).reshape(x.shape))


def _instance_norm(op: ops.InstanceNorm, p: Parameters, x: Array) -> Array:
    return _scaled_by_channel(p, _standardised(x, range(2, x.ndim), op.epsilon))


def _rms_norm(op: ops.RMSNorm, p: Parameters, x: Array) -> Array:
    z = x / jnp.sqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + op.epsilon)
    return p["gamma"] * z if op.affine else z


def _dropped(op: ops.Dropout | ops.StochasticDepth, p: Parameters, x: Array) -> Array:
    """What is dropped is 0 whatever x is there."""
    return jnp.where(p["mask"], x / (1 - op.rate), 0)


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.BatchNorm: _batch_norm,
    ops.LayerNorm: _layer_norm,
    ops.GroupNorm: _group_norm,
    ops.InstanceNorm: _instance_norm,
    ops.RMSNorm: _rms_norm,
    ops.Dropout: _dropped,
    ops.StochasticDepth: _dropped,
}
"""Each operator's y = f(op, parameters, x)."""
