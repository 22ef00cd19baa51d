"""Activations to test: each operator with several attributes, and values for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backproof.architectures import operators as ops
from backproof.architectures.operators import Operator, parameter_shapes

Array = npt.NDArray[Any]

ACTIVATION_INSTANCES: tuple[Operator, ...] = (
    ops.Identity(),
    ops.Sigmoid(),
    ops.Tanh(),
    ops.ReLU(),
    ops.LeakyReLU(),
    ops.LeakyReLU(slope=-0.3),
    ops.LeakyReLU(slope=1.0),
    ops.PReLU(),
    ops.PReLU(shared=False),
    ops.ELU(),
    ops.ELU(alpha=0.4),
    ops.SELU(),
    ops.CELU(),
    ops.CELU(alpha=0.3),
    ops.CELU(alpha=3.0),
    ops.GELU(),
    ops.GELU(form="tanh"),
    ops.SiLU(),
    ops.Mish(),
    ops.Softplus(),
    ops.Softplus(beta=0.3),
    ops.Softplus(beta=5.0),
    ops.Softsign(),
    ops.HardTanh(),
    ops.HardTanh(low=-0.25, high=2.0),
    ops.ReLU6(),
    ops.HardSigmoid(),
    ops.HardSwish(),
    ops.LogSigmoid(),
    ops.TanhShrink(),
    ops.SoftShrink(),
    ops.SoftShrink(threshold=1.25),
    ops.HardShrink(),
    ops.HardShrink(threshold=1.25),
    ops.Sine(),
    ops.Sine(frequency=3.0),
    ops.Square(),
    ops.Exp(),
    ops.Affine(),
    ops.Affine(scale=-0.3, shift=2.0),
    ops.Softmax(),
    ops.Softmax(axis=0),
    ops.LogSoftmax(),
    ops.LogSoftmax(axis=-2),
    ops.GLU(),
    ops.SwiGLU(),
)
"""At least one of every activation.  They act on any (batch, features) of even features."""


def activation_id(op: Operator) -> str:
    """A test's name for an operator: its tag, and the attributes that are not the default."""
    words = [op.name]
    for name in op.__struct_fields__:
        value = getattr(op, name)
        if value != getattr(type(op)(), name):
            words.append(f"{name}={value}")
    return "-".join(words)


def activation_parameters(
    op: Operator, features: int, rng: np.random.Generator, replicas: tuple[int, ...] = ()
) -> dict[str, Array]:
    """Random parameters, between 0.1 and 0.5 (slopes should stay away from the other piece's)."""
    shapes = parameter_shapes(op, (1, features))
    return {name: rng.uniform(0.1, 0.5, replicas + shape) for name, shape in shapes.items()}
