"""scikit-learn's MLPRegressor and MLPClassifier, by their own training code.

One step of plain gradient descent with rate r over the whole batch takes w to w - r g, so
g = (w - w') / r; with r = 2^30 what is rounded is r g alone.  Nothing private is called.

    MLPRegressor    differentiates  sum((y - t)^2) / (2 n)  +  alpha sum(w^2) / (2 n)
    MLPClassifier   differentiates  the mean cross-entropy, with the same penalty

for a batch of n.  A network of ours has c times that as its loss, where c depends on the
reduction; so does the gradient.  MLPRegressor *reports* the mean over the outputs, not their
sum, and not what it differentiates: with several outputs the reported data term is multiplied
by their number here.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..architectures import losses as ls
from ..architectures import operators as ops
from ..architectures.cases import Case
from .capabilities import Capabilities, SubjectAbsent, Unsupported

Array = NDArray[Any]

RATE = 2.0**30
"""So great that w itself is lost beside r g, to below a rounding of it."""

ACTIVATIONS: Mapping[type[ops.Operator], str] = {
    ops.Tanh: "tanh", ops.ReLU: "relu", ops.Sigmoid: "logistic",
}  # fmt: skip


class Perceptron:
    """The subject `scikit-learn`: `backproof check scikit-learn`."""

    def describe(self) -> Capabilities:
        """Multilayer perceptrons in float64.  SubjectAbsent without the package."""
        if importlib.util.find_spec("sklearn") is None:
            raise SubjectAbsent("scikit-learn is not installed: python -m pip install scikit-learn")
        return Capabilities(
            name="scikit-learn's MLPRegressor and MLPClassifier",
            operators=("dense", "tanh", "relu", "sigmoid"),
            losses=("squared_error", "cross_entropy"),
            penalties=("l2",),
            attributes={
                "cross_entropy": {
                    "target": ("indices",),
                    "label_smoothing": (0.0,),
                    "class_weights": (None,),
                    "ignore_index": (None,),
                }
            },
            graphs=False,
            perceptrons=True,
            gives=(),
        )

    def gradients(self, case: Case) -> tuple[Any, dict[str, Any]]:
        """The loss and every weight's and bias's gradient."""
        assert case.input is not None
        loss, n = case.architecture.loss, len(case.input)
        outputs = case.architecture.edges[case.architecture.loss_sources["loss"][0]][-1]
        if isinstance(loss, ls.SquaredError):
            times = {"half_sum": n, "sum": 2 * n, "mean": 2 / outputs, "batch_mean": 2.0}
            factor = times[loss.reduction]
        else:
            assert isinstance(loss, ls.CrossEntropy)
            if outputs < 3:
                raise Unsupported("of two classes it makes one output")
            factor = float(n) if loss.reduction == "sum" else 1.0
        alpha = sum(p.strength for p in case.architecture.penalties) * n / factor
        estimator = _estimator(case, alpha)
        weights, penalty = _set(estimator, case), 0.0
        before = [w.copy() for w in weights]
        penalty = sum(0.5 * alpha * float(np.sum(w * w)) / n for w in estimator.coefs_)
        _step(estimator, case, outputs)
        found = [(w - after) / RATE for w, after in zip(before, weights, strict=True)]
        data = float(estimator.loss_) - penalty
        if isinstance(loss, ls.SquaredError):
            data *= outputs
        names = _names(case)
        gradients = {
            name: factor * (g.T if name.endswith("weight") else g)
            for name, g in zip(names, found, strict=True)
        }
        return np.asarray(factor * (data + penalty)), gradients


def _names(case: Case) -> list[str]:
    """The parameters in scikit-learn's order: all weights, then all biases."""
    dense = [i for i, layer in enumerate(case.architecture.layers) if layer.name == "dense"]
    return [f"layers.{i}.{kind}" for kind in ("weight", "bias") for i in dense]


def _estimator(case: Case, alpha: float) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    layers = case.architecture.layers
    hidden = [layer.units for layer in layers if isinstance(layer, ops.Dense)][:-1]
    kinds = [ACTIVATIONS[type(layer)] for layer in layers if not isinstance(layer, ops.Dense)]
    squared = isinstance(case.architecture.loss, ls.SquaredError)
    kind = MLPRegressor if squared else MLPClassifier
    assert case.input is not None
    return kind(
        hidden_layer_sizes=hidden, activation=kinds[0] if kinds else "identity", solver="sgd",
        alpha=alpha, batch_size=len(case.input), learning_rate_init=RATE, momentum=0.0,
        nesterovs_momentum=False, shuffle=False, random_state=0,
    )  # fmt: skip


def _set(estimator: Any, case: Case) -> list[Array]:
    """Give it the case's weights, after a step that makes room for them; they are returned."""
    outputs = case.architecture.edges[case.architecture.loss_sources["loss"][0]][-1]
    _step(estimator, case, outputs)
    weights: list[Array] = [*estimator.coefs_, *estimator.intercepts_]
    for w, name in zip(weights, _names(case), strict=True):
        w[...] = case.parameters[name].T
    return weights


def _step(estimator: Any, case: Case, outputs: int) -> None:
    squared = isinstance(case.architecture.loss, ls.SquaredError)
    target = case.targets["loss"]
    y = target[:, 0] if squared and outputs == 1 else target
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if squared:
            estimator.partial_fit(case.input, y)
        else:
            estimator.partial_fit(case.input, y, classes=np.arange(outputs))
