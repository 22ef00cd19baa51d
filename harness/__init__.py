"""Is this backward pass right?  Gradient verification with evidence.

    >>> import backproof as bp
    >>> network = bp.Architecture(input=(4, 3), layers=(bp.Dense(5), bp.Tanh()),
    ...                           loss=bp.SquaredError())
    >>> case = bp.draw_case(network, seed=1)
    >>> bp.verify(case).status
    'PASS'

Operators and losses stand in `backproof.architectures.operators` and `.losses`, the
hand-derived pages in `backproof.reference`, the checkers in `backproof.checkers`.

PYTEST_DONT_REWRITE: a program may import backproof before it starts pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backproof.adapters import check_autograd, check_module, check_tinygrad
    from backproof.architectures.architecture import Architecture
    from backproof.architectures.cases import Case, draw_case, make_case
    from backproof.architectures.files import ArchitectureError
    from backproof.architectures.losses import CrossEntropy, SquaredError
    from backproof.architectures.operators import Dense, ReLU, Tanh
    from backproof.checkers.comparison import Comparison, compare
    from backproof.checkers.estimate import Estimate
    from backproof.checkers.verdict import Verdict, estimates, verify
    from backproof.drawn import Drawn
    from backproof.functions import (
        GradientCheckError,
        check_backward,
        check_grads,
        gradcheck,
        gradgradcheck,
    )
    from backproof.parametrizing import parametrize_with_checks
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
    "Drawn": "drawn",
    "GradientCheckError": "functions",
    "check_autograd": "adapters",
    "check_module": "adapters",
    "check_tinygrad": "adapters",
    "check_backward": "functions",
    "check_grads": "functions",
    "gradcheck": "functions",
    "gradgradcheck": "functions",
    "parametrize_with_checks": "parametrizing",
}
"""Where each public name lives; imported when it is first used, so that `import` is quick."""

__all__ = [
    "Architecture", "ArchitectureError", "Case", "Comparison", "CrossEntropy", "Dense", "Drawn",
    "Estimate", "GradientCheckError", "ReLU", "SquaredError", "Tanh", "Verdict", "check_autograd",
    "check_backward", "check_grads", "check_module", "check_tinygrad", "compare", "draw_case",
    "estimates", "gradcheck", "gradgradcheck", "make_case", "parametrize_with_checks",
    "value_and_gradients", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backproof' has no attribute {name!r}")
    return getattr(importlib.import_module(f"backproof.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
