"""What an operator is to this checker: y = f(op, p, x).

`p` holds the layer's own parameters and data by name.  x is one tensor, or for an operator
of several inputs (or of none) a tuple of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Tensors = Mapping[str, Tensor]
Forward = Callable[[Any, Tensors, Any], Tensor]
