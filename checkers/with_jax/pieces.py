"""Functions that JAX has, as they must be written to keep their digits in float64.

JAX's own functions are used where they are accurate in float64.  Some are not, in the
value or in the derivative that JAX keeps for them: lax.logistic, lax.tanh and lax.expm1
differentiate to s (1 - s), 1 - t^2 and y + 1, which lose every digit in a tail.  Those
are composed of pieces, each used where it is accurate, and differentiate by the chain
rule without cancellation.  `jnp.where` gives an unselected piece the cotangent 0, and
0 times an infinite derivative is NaN: where that threatens, the argument is replaced too.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def settled(x: Array) -> Array:
    """x, computed once: example by example times the identity, whose product XLA keeps.

    It computes again what several others need, and rounds it otherwise each time (an
    optimization barrier does not help): then no entry equals the maximum that was found, or
    a difference of equals is not 0.
    """
    rows = jnp.reshape(x, (x.shape[0], -1))
    return jnp.reshape(rows @ jnp.eye(rows.shape[1]), x.shape)


def sigmoid(x: Array) -> Array:
    """The small side s(-|x|) is accurate and so is s(1 - s) there; 1 minus it is the other."""
    small = jax.nn.sigmoid(jnp.where(x < 0, x, -x))
    return jnp.where(x < 0, small, 1 - small)


def softplus(x: Array) -> Array:
    """jax.nn.softplus differentiates to exp(x - y), whose argument is rounded at |x| u."""
    return jnp.where(x < 0, 0, x) + jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))


def tanh(x: Array) -> Array:
    """From |x| = 1 on, tanh |x| = 1 - 2 sigmoid(-2 |x|), whose derivative keeps its digits."""
    tail = 1 - 2 * jax.nn.sigmoid(-2 * jnp.abs(x))
    return jnp.where(jnp.abs(x) < 1, jnp.tanh(x), jnp.where(x < 0, -tail, tail))


def expm1(x: Array) -> Array:
    """exp(x) - 1 for x <= 0.  Below -1 as written: JAX differentiates lax.expm1 to y + 1."""
    return jnp.where(x < -1, jnp.exp(x) - 1, jnp.expm1(x))


def exp_less_line(x: Array) -> Array:
    """exp(x) - 1 - x.  Below |x| = 1, the series to x^20: it and its derivative to u / 100."""
    near = jnp.where(jnp.abs(x) < 1, x, 0)
    series = jnp.ones_like(x)
    for n in range(20, 2, -1):
        series = 1 + near / n * series
    return jnp.where(jnp.abs(x) < 1, jnp.square(near) / 2 * series, jnp.exp(x) - 1 - x)


def tanh_shrink(x: Array) -> Array:
    """Below |x| = 1, Lambert's fraction, of positive terms: tanh x = x / (1 + T),

    T = x^2 / (3 + x^2 / (5 + x^2 / (7 + ...))), so x - tanh x = x T / (1 + T).  Cut off at
    19 it is exact to u / 60, as is its derivative.
    """
    square = jnp.square(jnp.where(jnp.abs(x) < 1, x, 0))
    t = square / 19
    for odd in range(17, 1, -2):
        t = square / (odd + t)
    return jnp.where(jnp.abs(x) < 1, x * (t / (1 + t)), x - tanh(x))


def log_cosh(x: Array) -> Array:
    """Below |x| = 1, log(1 + sinh^2) / 2, without the cancellation of the other form."""
    near = jnp.log1p(jnp.square(jnp.sinh(jnp.where(jnp.abs(x) < 1, x, 0)))) / 2
    far = jnp.abs(x) + (jnp.log1p(jnp.exp(-2 * jnp.abs(x))) - np.log(2))
    return jnp.where(jnp.abs(x) < 1, near, far)


def elu(x: Array, alpha: float, width: float) -> Array:
    return jnp.where(x > 0, x, alpha * expm1(jnp.where(x > 0, 0, x) / width))


def softsign(x: Array) -> Array:
    """From |x| = 1 on, 1 - 1/(1 + |x|): the quotient's derivative would cancel there."""
    far = 1 - 1 / (1 + jnp.abs(x))
    return jnp.where(jnp.abs(x) < 1, x / (1 + jnp.abs(x)), jnp.where(x < 0, -far, far))


def gelu_exact(x: Array) -> Array:
    """2 Phi = 1 + erf, or erfc in the left tail.  XLA's erfc is off by 9 ulp just below 1."""
    z = x * np.sqrt(0.5)
    return x * jnp.where(z > -1, 1 + jax.lax.erf(z), jax.lax.erfc(-z)) / 2


def gelu_tanh(x: Array) -> Array:
    """(1 + tanh(v)) / 2 = sigmoid(2 v).  Past |x| = 100 that is 0 or 1 to the last bit."""
    z = jnp.clip(x, -100, 100)
    return x * sigmoid(2 * np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))


def below_top(x: Array, axis: int) -> tuple[Array, Array]:
    """d = x - max x, and the sum of exp(d) over all but the (first) maximum.

    d is a constant 0 at the maximum.  With the 1 of the maximum kept apart from the rest,
    a saturated softmax keeps its small gradients; jax.nn.softmax subtracts 1 from 1.
    """
    places = jax.lax.broadcasted_iota(int, x.shape, axis % x.ndim)
    top = places == jnp.argmax(x, axis, keepdims=True)
    maximum = jnp.sum(jnp.where(top, x, 0), axis, keepdims=True)
    d = jnp.where(top, 0, x - maximum)
    return d, jnp.sum(jnp.where(top, 0, jnp.exp(d)), axis, keepdims=True)


def softmax(x: Array, axis: int) -> Array:
    d, rest = below_top(x, axis)
    return jnp.exp(d) / (1 + rest)


def log_softmax(x: Array, axis: int) -> Array:
    d, rest = below_top(x, axis)
    return d - jnp.log1p(rest)
