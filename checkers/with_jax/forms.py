"""What an operator is to this checker: y = f(op, p, x).

`p` holds the layer's own parameters and data by name.  x is one array, or for an operator
of several inputs (or of none) a tuple of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

Array = jax.Array
Parameters = Mapping[str, Array]
Forward = Callable[[Any, Parameters, Any], Array]
