"""The activations in JAX: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...architectures import operators as ops
from .forms import Array, Forward, Parameters
from .pieces import (
    elu,
    gelu_exact,
    gelu_tanh,
    log_softmax,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
    tanh_shrink,
)


def _gelu(op: ops.GELU, p: Parameters, x: Array) -> Array:
    return gelu_exact(x) if op.form == "exact" else gelu_tanh(x)


def _hard_tanh(op: ops.HardTanh, p: Parameters, x: Array) -> Array:
    return jnp.where(x > op.high, op.high, jnp.where(x < op.low, op.low, x))


def _soft_shrink(op: ops.SoftShrink, p: Parameters, x: Array) -> Array:
    t = op.threshold
    return jnp.where(x > t, x - t, jnp.where(x < -t, x + t, 0))


def _glu(op: ops.GLU, p: Parameters, x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return a * sigmoid(b)


def _swiglu(op: ops.SwiGLU, p: Parameters, x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return a * sigmoid(a) * b


def _selu(op: ops.SELU, p: Parameters, x: Array) -> Array:
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717, 1)


FORWARD: Mapping[type[ops.Operator], Forward] = {
    ops.Identity: lambda op, p, x: x,
    ops.Sigmoid: lambda op, p, x: sigmoid(x),
    ops.Tanh: lambda op, p, x: tanh(x),
    ops.ReLU: lambda op, p, x: jax.nn.relu(x),
    ops.LeakyReLU: lambda op, p, x: jax.nn.leaky_relu(x, op.slope),
    ops.PReLU: lambda op, p, x: jax.nn.leaky_relu(x, p["slope"]),
    ops.ELU: lambda op, p, x: elu(x, op.alpha, 1),
    ops.SELU: _selu,
    ops.CELU: lambda op, p, x: elu(x, op.alpha, op.alpha),
    ops.GELU: _gelu,
    ops.SiLU: lambda op, p, x: x * sigmoid(x),
    ops.Mish: lambda op, p, x: x * tanh(softplus(x)),
    ops.Softplus: lambda op, p, x: softplus(op.beta * x) / op.beta,
    ops.Softsign: lambda op, p, x: softsign(x),
    ops.HardTanh: _hard_tanh,
    ops.ReLU6: lambda op, p, x: jax.nn.relu6(x),
    ops.HardSigmoid: lambda op, p, x: jax.nn.hard_sigmoid(x),
    ops.HardSwish: lambda op, p, x: jax.nn.hard_swish(x),
    ops.LogSigmoid: lambda op, p, x: -softplus(-x),
    ops.TanhShrink: lambda op, p, x: tanh_shrink(x),
    ops.SoftShrink: _soft_shrink,
    ops.HardShrink: lambda op, p, x: jnp.where(jnp.abs(x) > op.threshold, x, 0),
    ops.Sine: lambda op, p, x: jnp.sin(op.frequency * x),
    ops.Square: lambda op, p, x: jnp.square(x),
    ops.Exp: lambda op, p, x: jnp.exp(x),
    ops.Affine: lambda op, p, x: op.scale * x + op.shift,
    ops.Softmax: lambda op, p, x: softmax(x, op.axis),
    ops.LogSoftmax: lambda op, p, x: log_softmax(x, op.axis),
    ops.GLU: _glu,
    ops.SwiGLU: _swiglu,
}
"""Each operator's y = f(op, parameters, x)."""
