"""The activations: functions of one input, of any shape.

Features are the last axis.  Each docstring is the whole specification.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ..checks import Finite, Positive, bounded, check_fields
from .base import Operator, Rule, Rules, Shape


class Identity(Operator, frozen=True, tag="identity"):
    """y = x."""


class Sigmoid(Operator, frozen=True, tag="sigmoid"):
    """y = 1 / (1 + exp(-x))."""


class Tanh(Operator, frozen=True, tag="tanh"):
    """y = tanh(x)."""


class ReLU(Operator, frozen=True, tag="relu"):
    """y = max(x, 0)."""


class LeakyReLU(Operator, frozen=True, tag="leaky_relu"):
    """y = x for x > 0, a x for x < 0, with a = `slope`."""

    slope: Finite = 0.01


class PReLU(Operator, frozen=True, tag="prelu"):
    """y = x for x > 0, a x for x < 0; the slope, a, is learned.

    The parameter `slope` has shape (1,) where `shared`, else (features,).
    He, Zhang, Ren and Sun 2015.
    """

    shared: bool = True


class ELU(Operator, frozen=True, tag="elu"):
    """y = x for x > 0, alpha (exp(x) - 1) for x < 0.  Clevert et al. 2016."""

    alpha: Positive = 1.0


class SELU(Operator, frozen=True, tag="selu"):
    """y = scale ELU(x; alpha).  Klambauer et al. 2017, whose constants are

    alpha = 1.6732632423543772848170429916717, scale = 1.0507009873554804934193349852946.
    """


class CELU(Operator, frozen=True, tag="celu"):
    """y = x for x > 0, alpha (exp(x / alpha) - 1) for x < 0.  Barron 2017."""

    alpha: Positive = 1.0


class GELU(Operator, frozen=True, tag="gelu"):
    """Hendrycks and Gimpel 2016.

    `exact`: y = x Phi(x), Phi the standard normal distribution function.
    `tanh`:  y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    """

    form: Literal["exact", "tanh"] = "exact"


class SiLU(Operator, frozen=True, tag="silu"):
    """y = x sigmoid(x)."""


class Mish(Operator, frozen=True, tag="mish"):
    """y = x tanh(log(1 + exp(x))).  Misra 2019."""


class Softplus(Operator, frozen=True, tag="softplus"):
    """y = log(1 + exp(beta x)) / beta, for every x (no linear threshold)."""

    beta: Positive = 1.0


class Softsign(Operator, frozen=True, tag="softsign"):
    """y = x / (1 + |x|).  Continuously differentiable, also at 0 (y' = 1)."""


class HardTanh(Operator, frozen=True, tag="hard_tanh"):
    """y = min(max(x, low), high)."""

    low: Finite = -1.0
    high: Finite = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low={self.low}, high={self.high}")


class ReLU6(Operator, frozen=True, tag="relu6"):
    """y = min(max(x, 0), 6)."""


class HardSigmoid(Operator, frozen=True, tag="hard_sigmoid"):
    """y = min(max(x / 6 + 1 / 2, 0), 1)."""


class HardSwish(Operator, frozen=True, tag="hard_swish"):
    """y = x hard_sigmoid(x).  Howard et al. 2019."""


class LogSigmoid(Operator, frozen=True, tag="log_sigmoid"):
    """y = -log(1 + exp(-x))."""


class TanhShrink(Operator, frozen=True, tag="tanh_shrink"):
    """y = x - tanh(x)."""


class SoftShrink(Operator, frozen=True, tag="soft_shrink"):
    """y = x - t for x > t, x + t for x < -t, 0 between, with t = `threshold`."""

    threshold: Positive = 0.5


class HardShrink(Operator, frozen=True, tag="hard_shrink"):
    """y = x for |x| > t, 0 between, with t = `threshold`.  Jumps at +-t."""

    threshold: Positive = 0.5


class Sine(Operator, frozen=True, tag="sine"):
    """y = sin(frequency x)."""

    frequency: Positive = 1.0


class Square(Operator, frozen=True, tag="square"):
    """y = x^2."""


class Exp(Operator, frozen=True, tag="exp"):
    """y = exp(x)."""


class Affine(Operator, frozen=True, tag="affine"):
    """y = scale x + shift, with constants."""

    scale: Finite = 1.0
    shift: Finite = 0.0


Axis = Annotated[int, bounded(minimum=-2, maximum=1)]


class Softmax(Operator, frozen=True, tag="softmax"):
    """y = exp(x) / sum(exp(x)) along `axis` (0 or -2: the batch; 1 or -1: the features)."""

    axis: Axis = -1


class LogSoftmax(Operator, frozen=True, tag="log_softmax"):
    """y = x - log(sum(exp(x))) along `axis`, as in softmax."""

    axis: Axis = -1


class GLU(Operator, frozen=True, tag="glu"):
    """y = a sigmoid(b), where a and b are the first and second half of the features.

    Dauphin et al. 2017.
    """


class SwiGLU(Operator, frozen=True, tag="swiglu"):
    """y = silu(a) b, where a and b are the first and second half of the features.

    Shazeer 2020.
    """


ACTIVATIONS: tuple[type[Operator], ...] = (
    Identity, Sigmoid, Tanh, ReLU, LeakyReLU, PReLU, ELU, SELU, CELU, GELU, SiLU, Mish,
    Softplus, Softsign, HardTanh, ReLU6, HardSigmoid, HardSwish, LogSigmoid, TanhShrink,
    SoftShrink, HardShrink, Sine, Square, Exp, Affine, Softmax, LogSoftmax, GLU, SwiGLU,
)  # fmt: skip


def _same(op: Any, x: Shape) -> Shape:
    return x


def _along_an_axis(op: Softmax | LogSoftmax, x: Shape) -> Shape:
    if op.axis >= 0 and len(x) != 2:
        raise ValueError(f"{op.name}: axis {op.axis} is for (batch, features), got the shape {x}")
    if len(x) < 2:
        raise ValueError(f"{op.name} takes at least two axes, got the shape {x}")
    return x


def _halved(op: Operator, x: Shape) -> Shape:
    if x[-1] % 2:
        raise ValueError(f"{op.name} halves the features, so they must be even, got {x[-1]}")
    return (*x[:-1], x[-1] // 2)


def _slope(op: PReLU, x: Shape) -> dict[str, Shape]:
    return {"slope": (1,) if op.shared else (x[-1],)}


RULES: Rules = {
    **dict.fromkeys(ACTIVATIONS, Rule(_same)),
    PReLU: Rule(_same, _slope),
    Softmax: Rule(_along_an_axis),
    LogSoftmax: Rule(_along_an_axis),
    GLU: Rule(_halved),
    SwiGLU: Rule(_halved),
}
