"""JAX's gradients of a case, in float64 on the CPU.

The network is written once more, forward only, from the docstrings of `operators.py` and
`losses.py`; JAX differentiates it.  To see the cotangent of every edge, a zero is added
at each and differentiated with respect to: d L(x + e) / de at e = 0 is x's cotangent.

JAX's own functions are used where they are accurate in float64.  Some are not, in the
value or in the derivative that JAX keeps for them: lax.logistic, lax.tanh and lax.expm1
differentiate to s (1 - s), 1 - t^2 and y + 1, which lose every digit in a tail.  Those
are composed of pieces, each used where it is accurate, and differentiate by the chain
rule without cancellation.  `jnp.where` gives an unselected piece the cotangent 0, and
0 times an infinite derivative is NaN: where that threatens, the argument is replaced too.

This is the only module that imports JAX.  The host program's JAX is left as it was:
float64, the device and the precisions are set in contexts.  (JAX's own log lines, where
it looks for accelerators, obey JAX_PLATFORMS=cpu and TF_CPP_MIN_LOG_LEVEL=3.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..architectures import losses as ls
from ..architectures import operators as ops
from ..architectures.architecture import Architecture, edge_name
from ..architectures.cases import Case
from .estimate import Estimate, Unsupported

Array = jax.Array
Parameters = Mapping[str, Array]

# --- pieces -----------------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    """The small side s(-|x|) is accurate and so is s(1 - s) there; 1 minus it is the other."""
    small = jax.nn.sigmoid(jnp.where(x < 0, x, -x))
    return jnp.where(x < 0, small, 1 - small)


def _softplus(x: Array) -> Array:
    """jax.nn.softplus differentiates to exp(x - y), whose argument is rounded at |x| u."""
    return jnp.where(x < 0, 0, x) + jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))


def _tanh(x: Array) -> Array:
    """From |x| = 1 on, tanh |x| = 1 - 2 sigmoid(-2 |x|), whose derivative keeps its digits."""
    tail = 1 - 2 * jax.nn.sigmoid(-2 * jnp.abs(x))
    return jnp.where(jnp.abs(x) < 1, jnp.tanh(x), jnp.where(x < 0, -tail, tail))


def _expm1(x: Array) -> Array:
    """exp(x) - 1 for x <= 0.  Below -1 as written: JAX differentiates lax.expm1 to y + 1."""
    return jnp.where(x < -1, jnp.exp(x) - 1, jnp.expm1(x))


def _tanh_shrink(x: Array) -> Array:
    """Below |x| = 1, Lambert's fraction, of positive terms: tanh x = x / (1 + T),

    T = x^2 / (3 + x^2 / (5 + x^2 / (7 + ...))), so x - tanh x = x T / (1 + T).  Cut off at
    19 it is exact to u / 60, as is its derivative.
    """
    square = jnp.square(jnp.where(jnp.abs(x) < 1, x, 0))
    t = square / 19
    for odd in range(17, 1, -2):
        t = square / (odd + t)
    return jnp.where(jnp.abs(x) < 1, x * (t / (1 + t)), x - _tanh(x))


def _log_cosh(x: Array) -> Array:
    """Below |x| = 1, log(1 + sinh^2) / 2, without the cancellation of the other form."""
    near = jnp.log1p(jnp.square(jnp.sinh(jnp.where(jnp.abs(x) < 1, x, 0)))) / 2
    far = jnp.abs(x) + (jnp.log1p(jnp.exp(-2 * jnp.abs(x))) - np.log(2))
    return jnp.where(jnp.abs(x) < 1, near, far)


def _elu(x: Array, alpha: float, width: float) -> Array:
    return jnp.where(x > 0, x, alpha * _expm1(jnp.where(x > 0, 0, x) / width))


def _softsign(x: Array) -> Array:
    """From |x| = 1 on, 1 - 1/(1 + |x|): the quotient's derivative would cancel there."""
    far = 1 - 1 / (1 + jnp.abs(x))
    return jnp.where(jnp.abs(x) < 1, x / (1 + jnp.abs(x)), jnp.where(x < 0, -far, far))


def _gelu_exact(x: Array) -> Array:
    """2 Phi = 1 + erf, or erfc in the left tail.  XLA's erfc is off by 9 ulp just below 1."""
    z = x * np.sqrt(0.5)
    return x * jnp.where(z > -1, 1 + jax.lax.erf(z), jax.lax.erfc(-z)) / 2


def _gelu_tanh(x: Array) -> Array:
    """(1 + tanh(v)) / 2 = sigmoid(2 v).  Past |x| = 100 that is 0 or 1 to the last bit."""
    z = jnp.clip(x, -100, 100)
    return x * _sigmoid(2 * np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))


def _below_top(x: Array, axis: int) -> tuple[Array, Array]:
    """d = x - max x, and the sum of exp(d) over all but the (first) maximum.

    d is a constant 0 at the maximum.  With the 1 of the maximum kept apart from the rest,
    a saturated softmax keeps its small gradients; jax.nn.softmax subtracts 1 from 1.
    """
    places = jax.lax.broadcasted_iota(int, x.shape, axis % x.ndim)
    top = places == jnp.argmax(x, axis, keepdims=True)
    maximum = jnp.sum(jnp.where(top, x, 0), axis, keepdims=True)
    d = jnp.where(top, 0, x - maximum)
    return d, jnp.sum(jnp.where(top, 0, jnp.exp(d)), axis, keepdims=True)


def _softmax(x: Array, axis: int) -> Array:
    d, rest = _below_top(x, axis)
    return jnp.exp(d) / (1 + rest)


def _log_softmax(x: Array, axis: int) -> Array:
    d, rest = _below_top(x, axis)
    return d - jnp.log1p(rest)


# --- operators --------------------------------------------------------------------------


def _dense(op: ops.Dense, p: Parameters, x: Array) -> Array:
    y = x @ p["weight"].T
    return y + p["bias"] if op.bias else y


def _gelu(op: ops.GELU, p: Parameters, x: Array) -> Array:
    return _gelu_exact(x) if op.form == "exact" else _gelu_tanh(x)


def _hard_tanh(op: ops.HardTanh, p: Parameters, x: Array) -> Array:
    return jnp.where(x > op.high, op.high, jnp.where(x < op.low, op.low, x))


def _soft_shrink(op: ops.SoftShrink, p: Parameters, x: Array) -> Array:
    t = op.threshold
    return jnp.where(x > t, x - t, jnp.where(x < -t, x + t, 0))


def _glu(op: ops.GLU, p: Parameters, x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return a * _sigmoid(b)


def _swiglu(op: ops.SwiGLU, p: Parameters, x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return a * _sigmoid(a) * b


def _selu(op: ops.SELU, p: Parameters, x: Array) -> Array:
    return 1.0507009873554804934193349852946 * _elu(x, 1.6732632423543772848170429916717, 1)


FORWARD: Mapping[type[ops.Operator], Callable[[Any, Parameters, Array], Array]] = {
    ops.Dense: _dense,
    ops.Identity: lambda op, p, x: x,
    ops.Sigmoid: lambda op, p, x: _sigmoid(x),
    ops.Tanh: lambda op, p, x: _tanh(x),
    ops.ReLU: lambda op, p, x: jax.nn.relu(x),
    ops.LeakyReLU: lambda op, p, x: jax.nn.leaky_relu(x, op.slope),
    ops.PReLU: lambda op, p, x: jax.nn.leaky_relu(x, p["slope"]),
    ops.ELU: lambda op, p, x: _elu(x, op.alpha, 1),
    ops.SELU: _selu,
    ops.CELU: lambda op, p, x: _elu(x, op.alpha, op.alpha),
    ops.GELU: _gelu,
    ops.SiLU: lambda op, p, x: x * _sigmoid(x),
    ops.Mish: lambda op, p, x: x * _tanh(_softplus(x)),
    ops.Softplus: lambda op, p, x: _softplus(op.beta * x) / op.beta,
    ops.Softsign: lambda op, p, x: _softsign(x),
    ops.HardTanh: _hard_tanh,
    ops.ReLU6: lambda op, p, x: jax.nn.relu6(x),
    ops.HardSigmoid: lambda op, p, x: jax.nn.hard_sigmoid(x),
    ops.HardSwish: lambda op, p, x: jax.nn.hard_swish(x),
    ops.LogSigmoid: lambda op, p, x: -_softplus(-x),
    ops.TanhShrink: lambda op, p, x: _tanh_shrink(x),
    ops.SoftShrink: _soft_shrink,
    ops.HardShrink: lambda op, p, x: jnp.where(jnp.abs(x) > op.threshold, x, 0),
    ops.Sine: lambda op, p, x: jnp.sin(op.frequency * x),
    ops.Square: lambda op, p, x: jnp.square(x),
    ops.Softmax: lambda op, p, x: _softmax(x, op.axis),
    ops.LogSoftmax: lambda op, p, x: _log_softmax(x, op.axis),
    ops.GLU: _glu,
    ops.SwiGLU: _swiglu,
}
"""Each operator's y = f(op, parameters, x)."""

# --- losses -----------------------------------------------------------------------------


def _reduced(terms: Array, reduction: str) -> Array:
    """The terms' sum, divided as the reduction says: by their number, the batch, or nothing."""
    divisor = {
        "mean": terms.size,
        "batch_mean": terms.shape[0],
        "half_sum": 2,
        "sum": 1,
    }
    return jnp.sum(terms) / divisor[reduction]


def _huber(loss: ls.Huber, y: Array, t: Array) -> Array:
    r, delta = jnp.abs(y - t), loss.delta
    terms = jnp.where(r <= delta, jnp.square(r) / 2, delta * (r - delta / 2))
    return _reduced(terms, loss.reduction)


def _smooth_l1(loss: ls.SmoothL1, y: Array, t: Array) -> Array:
    r, beta = jnp.abs(y - t), loss.beta
    terms = jnp.where(r < beta, jnp.square(r) / (2 * beta), r - beta / 2)
    return _reduced(terms, loss.reduction)


def _class_weights(loss: Any, y: Array) -> Array:
    return jnp.ones(y.shape[-1]) if loss.class_weights is None else jnp.array(loss.class_weights)


def _classes(t: Array, y: Array, ignored: int | None) -> Array:
    """A mask of y's shape: the class of each row, and nothing in the rows that are ignored."""
    mask = jax.nn.one_hot(t, y.shape[-1], dtype=bool)
    return mask if ignored is None else mask & (t != ignored)[:, None]


def _cross_entropy(loss: ls.CrossEntropy, y: Array, t: Array) -> Array:
    """Class numbers are rows of probabilities, 1 at the class; ignored rows are all 0."""
    w, s = _class_weights(loss, y), loss.label_smoothing
    divisor: Array | int = y.shape[0]
    if loss.target == "indices":
        mask = _classes(t, y, loss.ignore_index)
        counts = jnp.any(mask, -1, keepdims=True)
        p = (1 - s) * mask + s / y.shape[-1] * counts
        divisor = jnp.sum(w * mask)
    else:
        p = (1 - s) * t + s / y.shape[-1]
    total = -jnp.sum(w * p * _log_softmax(y, -1))
    return total / divisor if loss.reduction == "mean" else total


def _negative_log_likelihood(loss: ls.NegativeLogLikelihood, y: Array, t: Array) -> Array:
    weights = _class_weights(loss, y) * _classes(t, y, loss.ignore_index)
    total = -jnp.sum(weights * y)
    return total / jnp.sum(weights) if loss.reduction == "mean" else total


def _binary_cross_entropy(loss: ls.BinaryCrossEntropy, y: Array, t: Array) -> Array:
    p = jnp.clip(y, loss.epsilon, 1 - loss.epsilon)
    # XLA's log1p is off by 50 ulp near -0.4, and log(1 - p) is where p is small.
    log_other = jnp.where(p < 0.25, jnp.log1p(-p), jnp.log(1 - p))
    return _reduced(-t * jnp.log(p) - (1 - t) * log_other, loss.reduction)


def _binary_cross_entropy_with_logits(
    loss: ls.BinaryCrossEntropyWithLogits, y: Array, t: Array
) -> Array:
    w = 1.0 if loss.positive_weights is None else jnp.array(loss.positive_weights)
    return _reduced(w * t * _softplus(-y) + (1 - t) * _softplus(y), loss.reduction)


def _hinge(loss: ls.Hinge | ls.SquaredHinge, y: Array, t: Array) -> Array:
    mask = _classes(t, y, None)
    y_t = jnp.sum(jnp.where(mask, y, 0), -1, keepdims=True)
    terms = jnp.where(mask, 0, jax.nn.relu(loss.margin - y_t + y))
    if isinstance(loss, ls.SquaredHinge):
        terms = jnp.square(terms)
    return _reduced(jnp.sum(terms, -1), loss.reduction)


def _kl_divergence(loss: ls.KLDivergence, y: Array, t: Array) -> Array:
    if loss.log_target:
        return _reduced(jnp.exp(t) * (t - y), loss.reduction)
    log_t = jnp.log(jnp.where(t == 0, 1, t))
    return _reduced(t * (log_t - y), loss.reduction)


def _norm(rows: Array, epsilon: float) -> Array:
    """max(|row|, epsilon); sqrt never sees a square below epsilon's, where it may be 0."""
    squares = jnp.sum(jnp.square(rows), -1)
    above = squares > epsilon**2
    return jnp.where(above, jnp.sqrt(jnp.where(above, squares, 1)), epsilon)


def _cosine(loss: ls.Cosine, y: Array, t: Array) -> Array:
    cosine = jnp.sum(y * t, -1) / (_norm(y, loss.epsilon) * _norm(t, loss.epsilon))
    return _reduced(1 - cosine, loss.reduction)


LOSS: Mapping[type[ls.Loss], Callable[[Any, Array, Array], Array]] = {
    ls.WeightedSum: lambda loss, y, t: jnp.sum(t * y),
    ls.SquaredError: lambda loss, y, t: _reduced(jnp.square(y - t), loss.reduction),
    ls.AbsoluteError: lambda loss, y, t: _reduced(jnp.abs(y - t), loss.reduction),
    ls.Huber: _huber,
    ls.SmoothL1: _smooth_l1,
    ls.LogCosh: lambda loss, y, t: _reduced(_log_cosh(y - t), loss.reduction),
    ls.CrossEntropy: _cross_entropy,
    ls.NegativeLogLikelihood: _negative_log_likelihood,
    ls.BinaryCrossEntropy: _binary_cross_entropy,
    ls.BinaryCrossEntropyWithLogits: _binary_cross_entropy_with_logits,
    ls.Hinge: _hinge,
    ls.SquaredHinge: _hinge,
    ls.KLDivergence: _kl_divergence,
    ls.Cosine: _cosine,
}
"""Each loss's L = f(loss, y, t), a scalar."""

PENALTY: Mapping[type[ls.Penalty], Callable[[Any, Array], Array]] = {
    ls.L1: lambda penalty, w: penalty.strength * jnp.sum(jnp.abs(w)),
    ls.L2: lambda penalty, w: penalty.strength * jnp.sum(jnp.square(w)) / 2,
}
"""Each penalty of one dense layer's weight."""

COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Compile fast: a network is seen once.  Of 40 random networks of 4 to 8 layers the median
compiled in 40 ms rather than 171 (2 cores, JAX 0.10.2); accuracy, measured, is the same."""

# --- the network ------------------------------------------------------------------------


def total_loss(
    architecture: Architecture,
    parameters: Parameters,
    perturbations: Mapping[str, Array],
    x: Array,
    target: Array,
) -> Array:
    """The loss and the penalties, with a perturbation added at every edge."""
    y = x + perturbations[edge_name(0)]
    total = jnp.zeros(())
    for i, layer in enumerate(architecture.layers):
        prefix = f"layers.{i}."
        own = {k.removeprefix(prefix): v for k, v in parameters.items() if k.startswith(prefix)}
        y = FORWARD[type(layer)](layer, own, y) + perturbations[edge_name(i + 1)]
        if isinstance(layer, ops.Dense):
            for penalty in architecture.penalties:
                total += PENALTY[type(penalty)](penalty, own["weight"])
    return LOSS[type(architecture.loss)](architecture.loss, y, target) + total


@contextmanager
def float64_on_cpu() -> Iterator[None]:
    """JAX as this module needs it, whatever the host has set; restored afterwards."""
    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError as error:
        raise Unsupported(f"JAX has no CPU device here: {error}") from None
    with ExitStack() as stack:
        for context in (
            _enable_x64(True),
            jax.default_device(cpu),
            jax.default_matmul_precision("highest"),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.debug_nans(False),
            jax.debug_infs(False),
        ):
            stack.enter_context(context)
        yield


def _enable_x64(on: bool) -> Any:
    """The context of jax.enable_x64, which older versions of JAX keep in jax.experimental."""
    home: Any = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    return home.enable_x64(on)


@lru_cache(maxsize=128)
def _gradients(architecture: Architecture) -> Callable[..., Any]:
    """(parameters, x, target) -> loss, gradients; compiled when first called in the context."""

    def gradients(parameters: Parameters, x: Array, target: Array) -> Any:
        def total(parameters: Parameters, perturbations: Mapping[str, Array]) -> Array:
            return total_loss(architecture, parameters, perturbations, x, target)

        zeros = {edge_name(i): jnp.zeros(s) for i, s in enumerate(architecture.edges)}
        return jax.value_and_grad(total, argnums=(0, 1))(parameters, zeros)

    return jax.jit(gradients, compiler_options=COMPILER_OPTIONS)


def estimate(case: Case) -> Estimate:
    """The loss, and the gradient of every parameter and edge, in float64.

    Values of a float32 case are converted, exactly.  Raises Unsupported where JAX has no
    CPU device.
    """
    parameters = {k: np.asarray(v, np.float64) for k, v in case.parameters.items()}
    x = np.asarray(case.input, np.float64)
    t = np.asarray(case.target, np.int64 if case.target.dtype.kind == "i" else np.float64)
    with float64_on_cpu():
        loss, gradients = _gradients(case.architecture)(parameters, x, t)
        entries = {k: np.array(v) for part in gradients for k, v in part.items()}
        return Estimate("jax", float(loss), entries)


def sgd_trajectory(cases: Sequence[Case], learning_rate: float) -> list[dict[str, Any]]:
    """The parameters after each step of optax.sgd on JAX's gradients, float64.

    It starts at the parameters of the first case; each case in turn gives a step's input
    and target.  Unsupported where JAX has no CPU device.
    """
    optax: Any = import_module("optax")  # needed by training alone, and slow to import
    trajectory = []
    optimiser = optax.sgd(learning_rate)
    with float64_on_cpu():
        first = cases[0].parameters
        parameters: Any = {k: jnp.asarray(v, jnp.float64) for k, v in first.items()}
        state = optimiser.init(parameters)
        for case in cases:
            x, t = np.asarray(case.input, np.float64), np.asarray(case.target)
            _, (gradients, _) = _gradients(case.architecture)(parameters, x, t)
            updates, state = optimiser.update(gradients, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            trajectory.append({k: np.array(v) for k, v in parameters.items()})
    return trajectory
