"""Every operator has all its parts; a test names the one that is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.cases import make_case
from backproof.architectures.configurations import CONFIGURATIONS, network
from backproof.architectures.coverage import possible_pairs
from backproof.architectures.growing import KINKED
from backproof.architectures.joint_strategies import JOINT
from backproof.architectures.loss_strategies import LOSS_ATTRIBUTES
from backproof.architectures.operators import RULES, Layer
from backproof.architectures.strategies import STRATEGIES
from backproof.checkers import with_jax, with_torch
from backproof.checkers.conventions import CONVENTIONS, Convention
from backproof.checkers.with_jax import losses as jax_losses
from backproof.checkers.with_torch import losses as torch_losses
from backproof.reference import network as reference
from backproof.reference.pages import LAYERS, LOSSES

BEGIN_A_NETWORK = {ops.Variable, ops.Embedding}

every_operator = pytest.mark.parametrize("kind", ops.OPERATORS, ids=lambda k: k.__name__)
every_loss = pytest.mark.parametrize("kind", ls.LOSSES, ids=lambda k: k.__name__)


@every_operator
def test_an_operator_has_all_its_parts(kind: type[ops.Operator]) -> None:
    parts = {
        "a specification (its docstring)": bool((kind.__doc__ or "").strip()),
        "a place in `Layer`": kind in get_args(Layer),
        "a rule for its shapes": kind in RULES,
        "a configuration class": bool(CONFIGURATIONS.get(kind)),
        "a strategy": kind in STRATEGIES or kind in JOINT or kind in BEGIN_A_NETWORK,
        "a page of derivation": kind in LAYERS and len(LAYERS[kind].derivation.split("\n")) > 2,
        "a forward in JAX": kind in with_jax.FORWARD,
        "a forward in PyTorch": kind in with_torch.FORWARD,
        "pairs that it can form": any(str(kind.__struct_config__.tag) in p
                                      for p in possible_pairs()),
        "its conventions at ties": kind in CONVENTIONS or kind not in KINKED,
    }  # fmt: skip
    missing = [part for part, there in parts.items() if not there]
    assert not missing, f"{kind.__name__} lacks {', '.join(missing)}"


@every_loss
def test_a_loss_has_all_its_parts(kind: type[ls.Loss]) -> None:
    parts = {
        "a specification (its docstring)": bool((kind.__doc__ or "").strip()),
        "a place in `AnyLoss`": kind in get_args(ls.AnyLoss),
        "options for its attributes": kind in LOSS_ATTRIBUTES,
        "a page of derivation": kind in LOSSES and len(LOSSES[kind].derivation.split("\n")) > 2,
        "a function in JAX": kind in jax_losses.LOSS,
        "a function in PyTorch": kind in torch_losses.LOSS,
    }
    missing = [part for part, there in parts.items() if not there]
    assert not missing, f"{kind.__name__} lacks {', '.join(missing)}"


def test_a_page_without_a_kink_has_no_convention_and_one_with_a_kink_has() -> None:
    for kind, page in LAYERS.items():
        if kind in CONVENTIONS:
            assert page.kink is not None, kind
        assert kind not in KINKED or page.kink is not None, kind


ROWS = [row for rows in CONVENTIONS.values() for row in rows]
GIVEN: dict[str, dict[str, Any]] = {
    "prelu": {"slope": [0.25]},
    "rnn": {"input_weight_0": [[1.0]], "hidden_weight_0": [[1.0]], "input_bias_0": [0.0],
            "hidden_bias_0": [0.0]},
}  # fmt: skip
RANKS = {"max_pool1d": 3, "global_max_pool": 3, "max_pool2d": 4, "rnn": 3}


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.operator.name} {r.at}")
def test_the_conventions_are_what_the_installed_versions_do(row: Convention) -> None:
    shape = (1,) * (RANKS.get(row.operator.name, 2) - 1) + (len(row.values[0]),)
    count = len(row.values)
    a = network(row.operator, (shape,) * count)
    parameters: dict[str, Any] = {
        f"layers.{i}.value": np.reshape(v, shape) for i, v in enumerate(row.values)
    }
    for name, value in GIVEN.get(row.operator.name, {}).items():
        parameters[f"layers.{count}.{name}"] = value
    case = make_case(a, parameters, None, np.ones(a.output))
    for gradients, slopes in (
        (reference.value_and_gradients(case)[1], row.ours),
        (with_torch.estimate(case).entries, row.torch),
        (with_jax.estimate(case).entries, row.jax),
    ):
        found = np.concatenate([gradients[f"layers.{i}.value"].ravel() for i in range(count)])
        np.testing.assert_array_equal(found, slopes)


def test_ops_loads_no_framework() -> None:
    program = (
        "import sys\n"
        "from backproof.commands.ops import command\n"
        "from click.testing import CliRunner\n"
        "result = CliRunner().invoke(command, ['lstm'])\n"
        "assert result.exit_code == 0 and 'h_t' in result.output\n"
        "assert not {'jax', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
