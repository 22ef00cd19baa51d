"""Subjects in Python, what they declare, and the wire."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import backproof as bp
from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import draw_case
from backproof.architectures.generation import Limits, generate
from backproof.foreign import close_all, is_foreign
from backproof.jobs import Options
from backproof.judging import judge
from backproof.subjects import python, wire
from backproof.subjects.capabilities import (
    Capabilities,
    SubjectAbsent,
    SubjectProblem,
    Unsupported,
)

CHAIN = Architecture((3, 2), (ops.Dense(2), ops.Tanh()), ls.SquaredError())

MODULE = """
import backproof as bp
from backproof.subjects.capabilities import Unsupported

def right(case):
    return bp.value_and_gradients(case)

def wrong(case):
    loss, gradients = bp.value_and_gradients(case)
    return loss, {name: 1.001 * g for name, g in gradients.items()}

def raises(case):
    raise ValueError("boom")

def refuses(case):
    raise Unsupported("not today")

def lazy(case):
    raise NotImplementedError("tanh")

def nothing(case):
    return None

def listed(case):
    return 0.0, [1, 2]

def texts(case):
    return 0.0, {name: g.astype(str) for name, g in case.parameters.items()}

class Net:
    def describe(self):
        return {"name": "net", "operators": ["dense", "tanh"], "losses": ["squared_error"],
                "penalties": [], "dtypes": ["float64"], "graphs": False}
    def gradients(self, case):
        return bp.value_and_gradients(case)

class Broken:
    def __init__(self):
        raise OSError("no licence")

class Odd(Net):
    def describe(self):
        return {"operators": ["warp"]}

class Untold(Net):
    def describe(self):
        raise KeyError("x")

number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"a_net_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return name


def test_a_right_function_is_verified_and_a_wrong_one_is_not(module: str) -> None:
    case = draw_case(CHAIN, 1)
    assert judge(case, Options(subject=f"py:{module}:right")).status == "PASS"
    verdict = judge(case, Options(subject=f"py:{module}:wrong"))
    assert verdict.status == "FAIL" and "disagrees with" in verdict.reason
    close_all()


@pytest.mark.parametrize(
    "attribute, words",
    [
        ("raises", r"it raised ValueError: boom \(a_net_.*, line 13\)"),
        ("nothing", r"it returned None, not \(loss, gradients\)"),
        ("listed", "its gradients are a list, not a mapping by tensor"),
        ("texts", "dtype <U32, must be float64"),
    ],
)
def test_what_a_function_does_wrong_is_named(module: str, attribute: str, words: str) -> None:
    verdict = judge(draw_case(CHAIN, 1), Options(subject=f"py:{module}:{attribute}"))
    close_all()
    assert verdict.status == "FAIL"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(verdict.reason)


@pytest.mark.parametrize("attribute, words", [("refuses", "not today"), ("lazy", "tanh")])
def test_what_a_function_cannot_do_is_unsupported(module: str, attribute: str, words: str) -> None:
    verdict = judge(draw_case(CHAIN, 1), Options(subject=f"py:{module}:{attribute}"))
    close_all()
    assert (verdict.status, verdict.reason) == ("UNSUPPORTED", words)


def test_a_class_is_made_and_asked_what_it_can_do(module: str) -> None:
    subject = python.load(f"py:{module}:Net")
    assert subject.capabilities.operators == ("dense", "tanh")
    assert not subject.capabilities.refuses(CHAIN)
    options = Options(subject=f"py:{module}:Net")
    deep = Architecture((3, 2), (ops.Dense(2), ops.ReLU()), ls.SquaredError())
    assert judge(draw_case(deep, 1), options).status == "UNSUPPORTED"
    assert judge(draw_case(CHAIN, 1, dtype="float32"), options).reason == "it declares no float32"
    assert judge(draw_case(CHAIN, 1), options).status == "PASS"
    close_all()


@pytest.mark.parametrize(
    "name, words",
    [
        ("py:{}", "write py:package.module:object"),
        ("py:{}:absent", "has no absent"),
        ("py:{}_absent:x", "there is no module"),
        ("py:{}_broken:x", "no_such_module_at_all"),
        ("py:{}:Broken", "making a Broken raised OSError: no licence"),
        ("py:{}:Odd", "there is no 'warp'"),
        ("py:{}:Untold", r"describe\(\) raised KeyError"),
        ("py:{}:number", "neither a function nor has it a method"),
    ],
)
def test_what_cannot_be_loaded_is_absent(module: str, name: str, words: str) -> None:
    with pytest.raises(SubjectAbsent, match=words):
        python.load(name.format(module))


def test_an_installed_subject_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "theirs", "pkg:net"

        def load(self) -> Any:
            return bp.value_and_gradients

    monkeypatch.setattr(python, "entry_points", lambda group: [Point()])
    subject = python.load_installed("theirs")
    loss, gradients = subject.gradients(draw_case(CHAIN, 1))
    assert loss.shape == () and "layers.0.weight" in gradients
    with pytest.raises(SubjectAbsent, match="installed ones are theirs"):
        python.load_installed("other")


def test_an_installed_subject_that_does_not_load_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "theirs", "pkg:net"

        def load(self) -> Any:
            raise ImportError("pkg")

    monkeypatch.setattr(python, "entry_points", lambda group: [Point()])
    with pytest.raises(SubjectAbsent, match="loading pkg:net raised ImportError"):
        python.load_installed("theirs")


def test_names_tell_ours_from_theirs() -> None:
    assert not is_foreign("reference") and not is_foreign("reference+no_such_fault")
    assert is_foreign("py:a:b") and is_foreign("cmd:./a") and is_foreign("theirs")


# --- what is declared --------------------------------------------------------------------


def test_a_chain_is_what_takes_the_edge_before_it() -> None:
    can = Capabilities(graphs=False)
    assert not can.refuses(CHAIN)
    share = (ops.Dense(2), ops.Dense(2, share="layers.0"))
    add = (ops.Tanh(), ops.Add(inputs=("input", "layers.0.output")))
    for layers in (share, add):
        graph = Architecture((3, 2), layers, ls.SquaredError())
        assert "chains only" in can.refuses(graph)
        assert not Capabilities(gives=("input",)).refuses(graph)


def test_a_network_without_anything_to_compare_is_refused() -> None:
    network = Architecture((3, 2), (ops.Tanh(),), ls.SquaredError())
    assert "no parameters" in Capabilities().refuses(network)
    assert not Capabilities(gives=("input",)).refuses(network)


def test_losses_and_penalties_that_are_not_declared_are_refused() -> None:
    can = Capabilities(losses=("huber",), penalties=())
    assert "the loss squared_error" in can.refuses(CHAIN)
    penalised = msgspec.structs.replace(CHAIN, penalties=(ls.L2(0.1),))
    assert "the penalty l2" in Capabilities(penalties=("l1",)).refuses(penalised)


@pytest.mark.parametrize(
    "fields", [{"operators": ("warp",)}, {"operators": ()}, {"losses": ()}, {"dtypes": ()},
               {"penalties": ("l3",)}, {"attributes": {"warp": {}}}]
)  # fmt: skip
def test_capabilities_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must name at least|there is no"):
        Capabilities(**fields)


def test_attributes_that_are_not_declared_are_refused() -> None:
    can = Capabilities(attributes={"cross_entropy": {"label_smoothing": (0.0,)}})
    plain = Architecture((3, 2), (ops.Dense(3),), ls.CrossEntropy(reduction="sum"))
    smooth = msgspec.structs.replace(plain, loss=ls.CrossEntropy(label_smoothing=0.1))
    assert not can.refuses(plain)
    assert can.refuses(smooth) == "it declares no cross_entropy with label_smoothing 0.1"
    valid = Capabilities(attributes={"conv2d": {"stride": ([1, 1],)}})  # as JSON has it
    for stride, refused in (((1, 1), False), ((2, 1), True)):
        layer = ops.Conv2d(2, (2, 2), stride=stride)
        network = Architecture((1, 1, 4, 4), (layer,), ls.SquaredError())
        assert bool(valid.refuses(network)) == refused
    with pytest.raises(ValueError, match="cross_entropy has no 'smoothing'"):
        Capabilities(attributes={"cross_entropy": {"smoothing": (0.0,)}})


# --- the wire ----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["base64", "decimal"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_an_array_arrives_as_it_was_sent(dtype: str, encoding: Any) -> None:
    sent = (np.arange(6).reshape(2, 3) % 4).astype(dtype)
    got = wire.array("x", msgspec.json.decode(msgspec.json.encode(wire.tensor(sent, encoding))), 6)
    assert got.dtype == sent.dtype and np.array_equal(got, sent)


def test_a_number_and_what_json_has_no_number_for() -> None:
    assert wire.array("loss", 0.5, 1) == 0.5
    values = {"shape": [4], "values": ["inf", "-inf", "nan", None]}
    assert np.array_equal(
        wire.array("x", values, 4), [np.inf, -np.inf, np.nan, np.nan], equal_nan=True
    )
    there = np.array([1.5, np.inf, -np.inf, np.nan])
    travels = json.loads(json.dumps(wire.tensor(there, "decimal"), allow_nan=False))
    assert travels["values"] == [1.5, "inf", "-inf", "nan"]
    assert np.array_equal(wire.array("x", travels, 4), there, equal_nan=True)


@pytest.mark.parametrize(
    "sent, words",
    [
        ("text", "not a tensor"),
        ({"shape": [2]}, "neither data nor values"),
        ({"shape": "2", "values": [1]}, "shape must be a list"),
        ({"shape": [-1], "values": []}, "shape must be a list"),
        ({"shape": [2], "data": "!!!"}, "not base64"),
        ({"shape": [2], "data": "AAAA"}, "not base64 of float64"),
        ({"shape": [2], "values": [1, True]}, "value 1 is not a number"),
        ({"shape": [9], "values": [1]}, "more than any tensor"),
        ({"shape": [1], "values": [10**400]}, "beyond the range of float64"),
        (10**400, "beyond the range of float64"),
    ],
)
def test_what_is_no_tensor_is_named(sent: Any, words: str) -> None:
    with pytest.raises(wire.WireError, match=words):
        wire.array("x", sent, 4)


def test_every_network_survives_being_spelt_out() -> None:
    for seed in range(60):
        (a,) = generate(Limits(), "generic", "float64", seed, 1)
        request = msgspec.json.decode(msgspec.json.encode(wire.prepare_request(a, "float64")))
        assert wire.architecture_of(request["architecture"]).edges == a.edges
        assert wire.architecture_of(request["architecture"]).parameters == a.parameters
        for layer in request["architecture"]["layers"]:
            assert all(request["shapes"][name] for name in layer["parameters"].values())


def test_a_problem_travels_between_processes() -> None:
    import pickle

    problem = pickle.loads(pickle.dumps(SubjectProblem("TIMEOUT", "slow")))
    assert (problem.status, problem.reason) == ("TIMEOUT", "slow")
    assert str(Unsupported("x")) == "x"
