"""Linear maps and products of tensors in PyTorch: y = f(op, parameters, x)."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F

from ...architectures import operators
from .forms import Forward

FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Dense: lambda op, p, x: F.linear(x, p["weight"], p.get("bias")),
}
"""Each operator's y = f(op, parameters, x)."""
