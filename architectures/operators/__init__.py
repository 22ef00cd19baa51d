"""The operators of a network, as data.

Each class is one operator: its attributes and, in its docstring, the function it stands
for.  That docstring (with its module's) is the whole specification.  The reference, the JAX
checker and the PyTorch checker are each written from it, and from nothing else, so that
they can disagree.  Attributes are checked when an operator is built, so Python and JSON
meet the same rule in the same words.
"""

from . import (
    activations,
    attention,
    base,
    convolutions,
    dense,
    normalisations,
    recurrence,
    shapes,
)
from .activations import (
    ACTIVATIONS,
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Affine,
    Exp,
    HardShrink,
    HardSigmoid,
    HardSwish,
    HardTanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softplus,
    SoftShrink,
    Softsign,
    Square,
    SwiGLU,
    Tanh,
    TanhShrink,
)  # fmt: skip
from .attention import ATTENTION, Attention, MultiHeadAttention, Rotary
from .base import Data, Operator, Rule, Shape, size
from .convolutions import (
    CONVOLUTIONS,
    POOLING,
    AdaptiveAveragePool1d,
    AdaptiveAveragePool2d,
    AveragePool1d,
    AveragePool2d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool1d,
    MaxPool2d,
)  # fmt: skip
from .dense import (
    DENSE,
    Add,
    Bilinear,
    Dense,
    Embedding,
    MatMul,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    Variable,
    WeightNormDense,
)  # fmt: skip
from .normalisations import (
    NORMALISATIONS,
    REGULARISATION,
    BatchNorm,
    Dropout,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RMSNorm,
    StochasticDepth,
)  # fmt: skip
from .recurrence import GRU, LSTM, RECURRENCE, RNN
from .shapes import (
    SHAPES,
    Concat,
    Flatten,
    Max,
    Mean,
    Pad,
    Reshape,
    Slice,
    Sum,
    Transpose,
    Upsample,
)  # fmt: skip

FAMILIES: dict[str, tuple[type[Operator], ...]] = {
    "dense": DENSE,
    "activations": ACTIVATIONS,
    "shape": SHAPES,
    "convolution": CONVOLUTIONS,
    "pooling": POOLING,
    "normalisation": NORMALISATIONS,
    "regularisation": REGULARISATION,
    "attention": ATTENTION,
    "recurrence": RECURRENCE,
}
"""The operators by family."""

OPERATORS: tuple[type[Operator], ...] = tuple(op for ops in FAMILIES.values() for op in ops)

Layer = (
    Dense | WeightNormDense | Bilinear | Embedding | Variable | MatMul | Add | Subtract
    | Multiply | Maximum | Minimum
    | Identity | Sigmoid | Tanh | ReLU | LeakyReLU | PReLU | ELU | SELU | CELU | GELU | SiLU
    | Mish | Softplus | Softsign | HardTanh | ReLU6 | HardSigmoid | HardSwish | LogSigmoid
    | TanhShrink | SoftShrink | HardShrink | Sine | Square | Exp | Affine | Softmax
    | LogSoftmax | GLU | SwiGLU
    | Flatten | Reshape | Transpose | Pad | Slice | Concat | Sum | Mean | Max | Upsample
    | Conv1d | Conv2d | Conv3d | ConvTranspose1d | ConvTranspose2d
    | MaxPool1d | MaxPool2d | AveragePool1d | AveragePool2d | AdaptiveAveragePool1d
    | AdaptiveAveragePool2d | GlobalAveragePool | GlobalMaxPool
    | BatchNorm | LayerNorm | GroupNorm | InstanceNorm | RMSNorm | Dropout | StochasticDepth
    | Attention | MultiHeadAttention | Rotary
    | RNN | LSTM | GRU
)  # fmt: skip
"""Any operator, as msgspec decodes it."""

RULES: dict[type[Operator], Rule] = {
    **dense.RULES,
    **activations.RULES,
    **shapes.RULES,
    **convolutions.RULES,
    **normalisations.RULES,
    **attention.RULES,
    **recurrence.RULES,
}
"""What each operator takes and holds."""


def output_shape(op: Operator, *inputs: Shape) -> Shape:
    """The shape of y for inputs of these shapes.  ValueError where they do not fit."""
    return RULES[type(op)].output(op, *inputs)


def parameter_shapes(op: Operator, *inputs: Shape) -> dict[str, Shape]:
    """The operator's parameters by name, each with its shape, for inputs of these shapes."""
    return RULES[type(op)].parameters(op, *inputs)


def data_shapes(op: Operator, *inputs: Shape) -> dict[str, Data]:
    """The arrays that are given to the operator, not differentiated, by name."""
    return RULES[type(op)].data(op, *inputs)


__all__ = [
    "ACTIVATIONS", "ATTENTION", "CELU", "CONVOLUTIONS", "DENSE", "ELU", "FAMILIES", "GELU", "GLU",
    "GRU", "LSTM", "NORMALISATIONS", "OPERATORS", "POOLING", "RECURRENCE", "REGULARISATION", "RNN",
    "RULES", "SELU", "SHAPES", "AdaptiveAveragePool1d", "AdaptiveAveragePool2d", "Add", "Affine",
    "Attention", "AveragePool1d", "AveragePool2d", "BatchNorm", "Bilinear", "Concat", "Conv1d",
    "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "Data", "Dense", "Dropout",
    "Embedding", "Exp", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "GroupNorm", "HardShrink",
    "HardSigmoid", "HardSwish", "HardTanh", "Identity", "InstanceNorm", "Layer", "LayerNorm",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "MatMul", "Max", "MaxPool1d", "MaxPool2d", "Maximum",
    "Mean", "Minimum", "Mish", "MultiHeadAttention", "Multiply", "Operator", "PReLU", "Pad",
    "RMSNorm", "ReLU", "ReLU6", "Reshape", "Rotary", "Rule", "Shape", "SiLU", "Sigmoid", "Sine",
    "Slice", "SoftShrink", "Softmax", "Softplus", "Softsign", "Square", "StochasticDepth",
    "Subtract", "Sum", "SwiGLU", "Tanh", "TanhShrink", "Transpose", "Upsample", "Variable",
    "WeightNormDense", "attention", "base", "convolutions", "data_shapes", "normalisations",
    "output_shape", "parameter_shapes", "recurrence", "shapes", "size",
]  # fmt: skip
