"""Is this backward pass right?  Gradient verification with evidence.

    >>> import backproof as bp
    >>> network = bp.Architecture(input=(4, 3), layers=(bp.Dense(5), bp.Tanh()),
    ...                           loss=bp.SquaredError())
    >>> case = bp.draw_case(network, seed=1)
    >>> bp.verify(case).status
    'PASS'

Operators and losses stand in `backproof.architectures.operators` and `.losses`, the
hand-derived pages in `backproof.reference`, the checkers in `backproof.checkers`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backproof.architectures.architecture import Architecture
    from backproof.architectures.cases import Case, draw_case, make_case
    from backproof.architectures.files import ArchitectureError
    from backproof.architectures.losses import CrossEntropy, SquaredError
    from backproof.architectures.operators import Dense, ReLU, Tanh
    from backproof.checkers.comparison import Comparison, compare
    from backproof.checkers.estimate import Estimate
    from backproof.checkers.verdict import Verdict, estimates, verify
    from backproof.reference.network import value_and_gradients

_HOME = {
    "Architecture": "architectures.architecture",
    "ArchitectureError": "architectures.files",
    "Case": "architectures.cases",
    "draw_case": "architectures.cases",
    "make_case": "architectures.cases",
    "CrossEntropy": "architectures.losses",
    "SquaredError": "architectures.losses",
    "Dense": "architectures.operators",
    "ReLU": "architectures.operators",
    "Tanh": "architectures.operators",
    "Comparison": "checkers.comparison",
    "compare": "checkers.comparison",
    "Estimate": "checkers.estimate",
    "Verdict": "checkers.verdict",
    "estimates": "checkers.verdict",
    "verify": "checkers.verdict",
    "value_and_gradients": "reference.network",
}
"""Where each public name lives; imported when it is first used, so that `import` is quick."""

__all__ = [
    "Architecture", "ArchitectureError", "Case", "Comparison", "CrossEntropy", "Dense",
    "Estimate", "ReLU", "SquaredError", "Tanh", "Verdict", "compare", "draw_case",
    "estimates", "make_case", "value_and_gradients", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backproof' has no attribute {name!r}")
    return getattr(importlib.import_module(f"backproof.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
