"""The script of a failure: it needs NumPy alone, and shows who is right."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_networks import GRAPHS, every_activation, every_loss, every_operator, network
from helpers_scripts import Said, parse, run_all
from loss_instances import LOSS_INSTANCES, WEIGHTS

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case
from backproof.architectures.losses import L1, L2
from backproof.checkers.verdict import Verdict
from backproof.reference.network import value_and_gradients
from backproof.reports.text import printable
from backproof.script import write_script

OTHER_ATTRIBUTES = tuple(
    network(ops.Dense(4), op, ops.Dense(2))
    for op in (
        ops.GELU("tanh"), ops.PReLU(shared=False), ops.Softmax(0), ops.LogSoftmax(-2),
        ops.LeakyReLU(-0.3), ops.HardTanh(-0.5, 2.0), ops.ELU(0.4), ops.CELU(3.0),
        ops.Dense(3, bias=False),
    )
)  # fmt: skip
NETWORKS = (*every_activation(), *every_loss(), *OTHER_ATTRIBUTES, *GRAPHS.values())
CONFIGURED = tuple(every_operator())
LOSSES = tuple(
    network(ops.Dense(3), ops.Sigmoid(), loss=loss)
    for loss in LOSS_INSTANCES
    if getattr(loss, "class_weights", None) in (None, WEIGHTS)
)


@dataclass
class Written:
    """A script with what it should say."""

    case: Case
    tensor: str
    right: np.ndarray[Any, Any]
    factor: float


def script(case: Case, tensor: str, factor: float, reason: str = "a reason") -> str:
    """The script of a subject whose gradient of one tensor is off by a factor."""
    with np.errstate(all="ignore"):
        loss, gradients = value_and_gradients(case)
        claimed = {**gradients, tensor: gradients[tensor] * factor}
    verdict = Verdict("FAIL", reason, tensor=tensor)
    return write_script(case, verdict, loss, claimed, id="an-id", file="an-id.py")


def tensors(a: Architecture) -> Iterator[str]:
    if a.input is not None:
        yield "input"
    yield from a.parameters
    yield from a.named_slots
    if not isinstance(a.loss, ls.BinaryCrossEntropy):  # steep next to its poles, at 0 and 1
        yield f"layers.{len(a.layers) - 1}.output"


def drawn(k: int, a: Architecture) -> Iterator[Case]:
    """Of an operator by itself one case, of any other network one of each kind."""
    yield draw_case(a, k)
    if a not in CONFIGURED:
        yield draw_case(a, k, "tie")
        yield draw_case(a, k, "generic", "float32")


def written() -> Iterator[Written]:
    for k, a in enumerate((*NETWORKS, *LOSSES, *CONFIGURED)):
        names = list(tensors(a))
        tensor = names[k % len(names)]
        for case in drawn(k, a):
            gradient = value_and_gradients(case)[1][tensor]
            for factor in (1.0, 1.01):
                yield Written(case, tensor, gradient, factor)


WRITTEN = list(written())


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Said]:
    """What every script says, run where NumPy alone can be imported."""
    folder = tmp_path_factory.mktemp("scripts")
    for k, w in enumerate(WRITTEN):
        (folder / f"{k:04}.py").write_text(script(w.case, w.tensor, w.factor))
    return list(run_all(folder).values())


def test_every_operator_loss_and_penalty_is_among_the_scripts() -> None:
    names = {name for w in WRITTEN for name in w.case.architecture.operators}
    everything: tuple[Any, ...] = (*ops.OPERATORS, *ls.LOSSES, L1, L2)
    assert names == {kind.__struct_config__.tag for kind in everything}


def test_the_script_finds_the_reference_s_loss(said: list[Said]) -> None:
    """To the rounding of the dtype, in a sum of at most a few hundred operations."""
    for w, s in zip(WRITTEN, said, strict=True):
        loss, _ = value_and_gradients(w.case)
        assert s.subject_loss == loss
        unit = float(np.finfo(w.case.dtype).eps)
        assert s.loss == pytest.approx(float(loss), rel=200 * unit, abs=200 * unit)


def distance(a: Any, b: Any) -> float:
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0.0))


def test_central_differences_agree_with_the_right_gradient_alone(said: list[Said]) -> None:
    """Their own error is h^2 |f'''| / 6, with h = 1e-5 and third derivatives up to 1e3 here, below
    1e-7 of the largest entry, or of one; and rounding, u |L| / h.  In float32 the subject's
    gradient has its own rounding: 1e-4 at most, measured.
    """
    for w, s in zip(WRITTEN, said, strict=True):
        size = float(np.abs(w.right).max())
        allowed = (1e-7 if w.case.dtype == "float64" else 1e-4) * max(1.0, size)
        allowed += 2.0**-53 * abs(s.loss) / 1e-5
        assert distance(s.numerical, w.right.ravel()) < allowed, (w.case.architecture, w.tensor)
        assert (distance(s.claimed, s.numerical) < allowed) == (
            w.factor == 1 or 0.01 * size < allowed
        )
    assert sum(float(np.abs(w.right).max()) > 0 for w in WRITTEN) > 0.9 * len(WRITTEN)


@pytest.mark.repeats
@pytest.mark.parametrize("seed", range(5))
def test_extreme_values_end_in_no_error(seed: int, tmp_path: Path) -> None:
    networks = (*NETWORKS, *CONFIGURED[seed::5])
    for k, a in enumerate(networks):
        text = script(draw_case(a, seed, "extreme"), next(tensors(a)), 1.01)
        (tmp_path / f"{k:04}.py").write_text(text)
    assert len(run_all(tmp_path)) == len(networks)


def run_alone(text: str, tmp_path: Path) -> Said:
    path = tmp_path / "script.py"
    path.write_text(text)
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True, check=True)
    assert not done.stderr
    return parse(done.stdout)


CASE = draw_case(network(ops.Dense(2), ops.Tanh(), input=(2, 2)), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda g: None,
        lambda g: g[:1],
        lambda g: np.full_like(g, np.nan),
        lambda g: np.full_like(g, np.inf),
    ],
    ids=["missing", "of the wrong shape", "NaN", "infinite"],
)
def test_a_gradient_that_is_no_number_is_shown_as_such(change: Any, tmp_path: Path) -> None:
    loss, gradients = value_and_gradients(CASE)
    name = "layers.0.weight"
    claimed = {**gradients, name: change(gradients[name])}
    verdict = Verdict("FAIL", "a reason", tensor=name)
    text = write_script(CASE, verdict, loss, claimed, id="an-id", file="an-id.py")
    s = run_alone(text, tmp_path)
    assert not np.isfinite(s.claimed).any()
    assert np.isfinite(s.numerical).all()


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_is_shown_as_such(loss: float, tmp_path: Path) -> None:
    _, gradients = value_and_gradients(CASE)
    verdict = Verdict("FAIL", "a reason", tensor="loss")
    text = write_script(CASE, verdict, np.asarray(loss), gradients, id="an-id", file="an-id.py")
    assert str(run_alone(text, tmp_path).subject_loss) == str(loss)
    assert "TENSOR = 'input'" in text


@pytest.mark.parametrize(
    "reason", ['three """ quotes', "a back\\slash", 'ends in a quote"', "a\nline \x1b[31m {brace}"]
)
def test_a_reason_may_hold_anything(reason: str, tmp_path: Path) -> None:
    text = script(CASE, "input", 1.0, reason)
    assert run_alone(text, tmp_path).numerical
    assert all(c.isprintable() or c == "\n" for c in text)
    assert printable(reason).replace('"', "'") in (ast.get_docstring(ast.parse(text)) or "")


def test_the_script_says_what_it_is() -> None:
    text = script(CASE, "input", 1.01, "input disagrees")
    documentation = ast.get_docstring(ast.parse(text)) or ""
    assert documentation.splitlines()[:3] == [
        "an-id: (2, 2) > dense 2 > tanh > squared_error", "", "input disagrees",
    ]  # fmt: skip
    assert "python an-id.py" in documentation
    assert "backproof." not in text.split('"""', 2)[2]


def test_the_same_failure_writes_the_same_script() -> None:
    assert script(CASE, "input", 1.01) == script(CASE, "input", 1.01)
