"""Other libraries' own backward passes, through the real packages: right ones and wrong ones."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import backproof as bp
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.checkers.functions.check import FunctionVerdict
from backproof.foreign import close_all
from backproof.jobs import Options
from backproof.judging import judge
from backproof.subjects.capabilities import Capabilities, SubjectAbsent
from backproof.subjects.python import load_installed

RNG = np.random.default_rng(1)
X = RNG.standard_normal((3, 4))


def statuses(found: FunctionVerdict) -> dict[str, str]:
    return {c.name: c.status for c in found.checks}


# --- PyTorch modules -------------------------------------------------------------------

Tied = nn.Linear(4, 4, dtype=torch.float64)

MODULES: dict[str, tuple[Any, Any]] = {
    "mlp": (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double(), X),
    "shared layer": (nn.Sequential(Tied, nn.SiLU(), Tied), X),
    "batch norm in training": (nn.BatchNorm1d(4).double(), X),
    "layer norm": (nn.LayerNorm(4).double(), X),
    "convolution": (nn.Conv1d(2, 3, 2).double(), RNG.standard_normal((2, 2, 5))),
    "lstm": (nn.LSTM(4, 3, batch_first=True).double(), RNG.standard_normal((2, 3, 4))),
    "attention": (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0).double(), X[:, None]),
}


def first_output(module: nn.Module) -> nn.Module:
    """A module that returns a tensor and states, by its tensor."""

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> Any:
            y = self.inner(x)
            return y[0] if isinstance(y, tuple) else y

    return First()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_s_parameters_and_inputs_are_verified(name: str) -> None:
    torch.manual_seed(1)
    module, x = MODULES[name]
    found = bp.check_module(first_output(module), x)
    assert found and "values of input 0" in statuses(found)
    trained = {f"values of inner.{n}" for n, _ in module.named_parameters()}
    assert trained <= set(statuses(found))


def test_a_module_in_float32_is_verified_in_both_dtypes() -> None:
    torch.manual_seed(1)
    found = bp.check_module(nn.Linear(4, 2), X.astype(np.float32))
    assert "values of weight in float32" in statuses(found)


def test_running_statistics_do_not_move() -> None:
    norm = nn.BatchNorm1d(4).double()
    bp.check_module(norm, X)
    assert norm.running_mean is not None and not norm.running_mean.any()
    assert norm.weight.grad is None


class HalfGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx: Any, *bars: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, w = ctx.saved_tensors
        (y_bar,) = bars
        return y_bar @ w.T, x.T @ y_bar / 2


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(4, 2, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> Any:
        return HalfGradient.apply(x, self.kernel)  # type: ignore[no-untyped-call]


def test_a_wrong_parameter_s_gradient_is_called_by_its_name() -> None:
    found = bp.check_module(Half(), X, raise_exception=False)
    wrong = [c for c in found.checks if c.status == "FAIL"]
    assert [c.name for c in wrong] == ["values of kernel"]
    assert "times 0.5" in wrong[0].detail


def test_dropout_in_training_is_not_repeatable_and_in_evaluation_right() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).double()
    found = bp.check_module(module, X, raise_exception=False)
    assert statuses(found)["repeatable"] == "FAIL"
    assert bp.check_module(module.eval(), X)


def test_what_is_no_module_is_refused_in_one_sentence() -> None:
    with pytest.raises(TypeError, match=r"a dict is no module .* backproof\.check_grads"):
        bp.check_module({}, X)


# --- JAX's libraries -------------------------------------------------------------------


def test_a_module_of_equinox_is_an_argument_as_it_is() -> None:
    equinox = pytest.importorskip("equinox")
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        mlp = equinox.nn.MLP(4, 2, 5, 1, activation=jax.nn.tanh, key=jax.random.key(1))
    found = bp.check_grads(lambda m, x: m(x), (mlp, X[0]), 1, modes=("rev",))
    assert "values of argument 0.layers[0].weight" in statuses(found)


def test_a_wrong_rule_inside_a_module_of_equinox_is_found() -> None:
    equinox = pytest.importorskip("equinox")
    jax: Any = pytest.importorskip("jax")

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def square(x: Any) -> Any:
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, bar: (x * bar,))
    linear = equinox.nn.Linear(4, 2, key=jax.random.key(1))
    found = bp.check_grads(
        lambda m, x: square(m(x)), (linear, X[0]), 1, modes=("rev",), raise_exception=False
    )
    assert not found and "times 0.5" in str(found)


def test_parameters_of_a_module_of_flax_are_an_argument() -> None:
    linen = pytest.importorskip("flax.linen")
    jax = pytest.importorskip("jax")
    module = linen.Sequential([linen.Dense(5), linen.tanh, linen.LayerNorm(), linen.Dense(2)])
    parameters = module.init(jax.random.key(1), X.astype(np.float32))
    found = bp.check_grads(module.apply, (parameters, X.astype(np.float32)), 1, modes=("rev",))
    assert any("kernel" in name for name in statuses(found))


# --- HIPS autograd ---------------------------------------------------------------------


def test_autograd_s_gradient_is_verified() -> None:
    anp: Any = pytest.importorskip("autograd.numpy")
    w = RNG.standard_normal((4, 2))
    assert bp.check_autograd(lambda x, w: anp.tanh(x @ w), X, w)
    assert bp.check_autograd(lambda x: anp.sum(anp.maximum(x, 0.0) ** 2), X)


def test_a_primitive_with_a_wrong_rule_is_found() -> None:
    extend: Any = pytest.importorskip("autograd.extend")

    @extend.primitive  # type: ignore[untyped-decorator]
    def cube(x: Any) -> Any:
        return x**3

    extend.defvjp(cube, lambda y, x: lambda y_bar: 2 * x**2 * y_bar)
    found = bp.check_autograd(cube, X, raise_exception=False)
    assert "all of it times 0.666667" in str(found)


# --- tinygrad --------------------------------------------------------------------------

TINYGRAD = """
import numpy as np
import backproof as bp

x, w = np.random.default_rng(1).standard_normal((2, 2, 2))
found = bp.check_tinygrad(lambda x, w: (x @ w).tanh(), x, w, raise_exception=False)
print(found.status)
found = bp.check_tinygrad(lambda x: x.detach() * x, x, raise_exception=False)
print(found.status, "all of it times 0.5" in str(found))
"""

KERAS = """
import keras
import numpy as np
import backproof as bp

keras.utils.set_random_seed(1)
x = np.random.default_rng(1).standard_normal((3, 4))
model = keras.Sequential([keras.layers.Dense(5, "tanh"), keras.layers.LayerNormalization(),
                          keras.layers.Dense(2)])
found = bp.check_module(model, x, raise_exception=False)
print(found.status)
print([c.name for c in found.checks if "kernel" in c.name and c.name.startswith("values")])


class Stopped(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale", initializer="ones")

    def call(self, x):
        return x * keras.ops.stop_gradient(self.scale) + self.scale


found = bp.check_module(Stopped(), x, raise_exception=False)
print(found.status)
print([c.name for c in found.checks if c.status == "FAIL" and c.name.startswith("values")])
"""


def printed(script: str, tmp_path: Path, **environment: str) -> list[str]:
    """The lines that a program of its own prints: what it sets stays in its process."""
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file)], env={**os.environ, **environment},
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_tinygrad_s_gradient_is_verified_and_a_lost_one_found(tmp_path: Path) -> None:
    """On its Python device, which needs no compiler."""
    pytest.importorskip("tinygrad")
    assert printed(TINYGRAD, tmp_path, DEV="PYTHON", PYTHON="1") == ["PASS", "FAIL True"]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_of_keras_is_verified_and_a_lost_gradient_found(
    backend: str, tmp_path: Path
) -> None:
    if importlib.util.find_spec("keras") is None:  # importing it asks for its default backend
        pytest.skip("Keras is not installed")
    right, kernels, wrong, failing = printed(KERAS, tmp_path, KERAS_BACKEND=backend)
    assert (right, wrong) == ("PASS", "FAIL")
    assert kernels.count("kernel") == 2
    assert failing.count("scale") == 1 and "input" not in failing


# --- scikit-learn ----------------------------------------------------------------------

REGRESSION = Architecture(
    (5, 3), (ops.Dense(4), ops.Tanh(), ops.Dense(2)), ls.SquaredError("batch_mean"), (ls.L2(0.5),)
)


def judged(architecture: Architecture, seed: int = 1) -> Any:
    pytest.importorskip("sklearn")
    return judge(draw_case(architecture, seed), Options(subject="scikit-learn"))


@pytest.mark.parametrize("reduction", ["half_sum", "sum", "mean", "batch_mean"])
@pytest.mark.parametrize("activation", [ops.Tanh(), ops.ReLU(), ops.Sigmoid(), None])
def test_its_regressor_is_verified(reduction: Any, activation: Any) -> None:
    layers = (ops.Dense(4), activation, ops.Dense(2)) if activation else (ops.Dense(2),)
    verdict = judged(Architecture((5, 3), layers, ls.SquaredError(reduction), (ls.L2(0.5),)))
    assert verdict.status == "PASS", verdict
    assert {"own loss", "permuted batch"} <= {c.name for c in verdict.checks}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_its_classifier_is_verified_where_every_class_is_there(reduction: Any) -> None:
    a = Architecture(
        (8, 3), (ops.Dense(4), ops.ReLU(), ops.Dense(3)), ls.CrossEntropy(reduction=reduction)
    )
    verdict = judged(a)
    assert verdict.status == "PASS", verdict


def test_without_the_package_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SubjectAbsent, match="scikit-learn is not installed: python -m pip"):
        load_installed("scikit-learn")


def test_what_it_has_not_it_refuses() -> None:
    two = Architecture((4, 3), (ops.Dense(2),), ls.CrossEntropy())
    assert judged(two).status == "UNSUPPORTED"
    deep = Architecture((4, 3), (ops.Dense(2), ops.Tanh()), ls.SquaredError())
    assert "perceptrons" in judged(deep).reason


def test_it_reports_another_loss_than_it_differentiates_where_outputs_are_several() -> None:
    """Found by the check `own loss`: the mean over the outputs, the gradient of their sum."""
    neural: Any = pytest.importorskip("sklearn.neural_network")
    targets = RNG.standard_normal((3, 2))
    rate = 2.0**-20
    one = neural.MLPRegressor(
        hidden_layer_sizes=(), solver="sgd", alpha=0.0, batch_size=3, learning_rate_init=rate,
        momentum=0.0,
        nesterovs_momentum=False, shuffle=False, random_state=0,
    )  # fmt: skip
    one.partial_fit(X, targets)
    before = [w.copy() for w in (*one.coefs_, *one.intercepts_)]
    losses = []
    for _ in range(2):
        one.partial_fit(X, targets)
        losses.append(one.loss_)
    moved = [a - b for a, b in zip((*one.coefs_, *one.intercepts_), before, strict=True)]
    squares = sum(float(np.sum((m / (2 * rate)) ** 2)) for m in moved)
    fell = (losses[0] - losses[1]) / (rate * squares)
    assert fell == pytest.approx(0.5, rel=1e-3)  # 1 if it reported what it differentiates


def test_perceptrons_are_all_that_a_subject_is_asked_which_declares_no_more() -> None:
    can = Capabilities(perceptrons=True)
    assert not can.refuses(REGRESSION)
    for layers in (
        (ops.Dense(4), ops.Tanh()),
        (ops.Dense(4), ops.Tanh(), ops.Dense(4), ops.ReLU(), ops.Dense(2)),
        (ops.Dense(4, bias=False),),
    ):
        assert can.refuses(Architecture((4, 3), layers, ls.SquaredError()))


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Any:
    yield
    close_all()
