"""Architectures as JSON: what we write is read back, and what is wrong is one sentence."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from helpers_networks import (
    GRAPHS,
    SMALL,
    as_json,
    every_activation,
    every_loss,
    every_operator,
    network,
)
from hypothesis import given
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import LANES
from backproof.architectures.files import (
    MAX_FILE_BYTES,
    ArchitectureError,
    dumps,
    loads,
    read,
    read_bytes,
    schema,
)
from backproof.architectures.generation import Limits, architectures
from backproof.architectures.losses import L1, L2

SCHEMA = jsonschema.Draft202012Validator(schema())
ANY = st.sampled_from(LANES).flatmap(lambda lane: architectures(Limits(), lane))


# --- both ways ---------------------------------------------------------------------------


@given(ANY)
def test_json_reads_back_equal_and_the_schema_accepts_it(architecture: Architecture) -> None:
    text = dumps(architecture)
    back = loads(text)
    assert back == architecture
    assert hash(back) == hash(architecture)
    assert (back.edges, back.parameters) == (architecture.edges, architecture.parameters)
    SCHEMA.validate(json.loads(text))


@pytest.mark.parametrize(
    "architecture",
    [*every_operator(), *every_activation(), *every_loss(), *GRAPHS.values()],
    ids=str,
)
def test_every_operator_loss_and_penalty_goes_both_ways(architecture: Architecture) -> None:
    assert loads(dumps(architecture).encode()) == architecture
    SCHEMA.validate(json.loads(dumps(architecture)))


def test_what_is_at_its_default_is_left_out_of_json() -> None:
    a = network(ops.Dense(2), ops.Tanh(), ops.Softmax(-2), loss=ls.Huber())
    written = json.loads(dumps(a))
    assert written["layers"] == [
        {"op": "dense", "units": 2}, {"op": "tanh"}, {"op": "softmax", "axis": -2},
    ]  # fmt: skip
    assert written["loss"] == {"loss": "huber"}


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_text(dumps(SMALL))
    assert read(path) == read(str(path)) == SMALL


# --- what is refused ---------------------------------------------------------------------

LAYER = as_json(network(ops.LeakyReLU(0.5)))
CLASSES = as_json(network(ops.Dense(3), loss=ls.CrossEntropy(ignore_index=1)))

REFUSED_BY_THE_SCHEMA_TOO = {
    "an unknown operator": (
        as_json(dense='"densee"'),
        "Invalid value 'densee' - at `$.layers[0].op`; there are dense, weight_norm_dense, ",
    ),
    "an unknown loss": (
        as_json(squared_error='"mse"'),
        "Invalid value 'mse' - at `$.loss.loss`; there are weighted_sum, squared_error, ",
    ),
    "an unknown penalty": (
        as_json(network(penalties=(L1(1.0),)), l1='"l3"'),
        "Invalid value 'l3' - at `$.penalties[0].penalty`; there are l1, l2",
    ),
    "an unknown field": (
        as_json(layers='"activations": 1, "layers"'),
        "Object contains unknown field `activations`",
    ),
    "an attribute of another operator": (
        as_json(tanh='"tanh", "slope": 1'),
        "Object contains unknown field `slope` - at `$.layers[1]`",
    ),
    "a missing attribute": (
        '{"input": [2, 3], "layers": [{"op": "dense"}], "loss": {"loss": "weighted_sum"}}',
        "Object missing required field `units` - at `$.layers[0]`",
    ),
    "a missing tag": (
        '{"input": [2, 3], "layers": [{"units": 3}], "loss": {"loss": "weighted_sum"}}',
        "Object missing required field `op` - at `$.layers[0]`",
    ),
    "no loss": ('{"input": [2, 3], "layers": []}', "Object missing required field `loss`"),
    "a negative width": (
        as_json().replace("4", "-4"),
        "units must be at least 1, got -4 - at `$.layers[0]`",
    ),
    "a boolean for an integer": (
        as_json().replace("4", "true"),
        "Expected `int`, got `bool` - at `$.layers[0].units`",
    ),
    "a boolean for a number": (
        LAYER.replace("0.5", "false"),
        "Expected `float`, got `bool` - at `$.layers[0].slope`",
    ),
    "a string for an integer": (
        as_json().replace("4", '"4"'),
        "Expected `int`, got `str` - at `$.layers[0].units`",
    ),
    "a fraction for an integer": (
        as_json().replace("4", "4.5"),
        "Expected `int`, got `float` - at `$.layers[0].units`",
    ),
    "a number for an object": (
        '{"input": [2, 3], "layers": [7], "loss": {"loss": "weighted_sum"}}',
        "Expected `object`, got `int` - at `$.layers[0]`",
    ),
    "an input that is a number": (
        '{"input": 2, "layers": [], "loss": {"loss": "weighted_sum"}}',
        "Expected `array | null`, got `int` - at `$.input`",
    ),
    "an edge that is a number": (
        as_json().replace('"units": 4', '"units": 4, "inputs": [0]'),
        "Expected `str`, got `int` - at `$.layers[0].inputs[0]`",
    ),
    "null": ("null", "Expected `object`, got `null`"),
    "an array": ("[]", "Expected `object`, got `array`"),
    "an ignored class that is a boolean": (
        CLASSES.replace('"ignore_index": 1', '"ignore_index": true'),
        "Expected `int | null`, got `bool` - at `$.loss.ignore_index`",
    ),
}

REFUSED_FOR_WHAT_NO_SCHEMA_SAYS = {
    "shapes that do not fit": (
        as_json(network(ops.GLU())).replace("4", "3"),
        "layers[0]: glu halves the features, so they must be even, got 3",
    ),
    "one axis": (
        '{"input": [2], "layers": [], "loss": {"loss": "weighted_sum"}}',
        "input must be (batch, features) or have more axes, integers of at least 1, got (2,)",
    ),
    "no input and nothing in its place": (
        '{"input": null, "layers": [{"op": "tanh"}], "loss": {"loss": "weighted_sum"}}',
        "layers[0]: there is no edge 'input' before it",
    ),
    "a batch of none": (
        as_json().replace("2", "0", 1),
        "input[0] must be at least 1, got 0",
    ),
    "an ignored class that is not there": (
        CLASSES.replace('"ignore_index": 1', '"ignore_index": 3'),
        "ignore_index must be one of the 3 classes and leave another, got 3",
    ),
    "more entries than memory": (
        as_json().replace("4", "4000000000"),
        "the network has 32,000,000,006 entries, more than 50,000,000",
    ),
    "an integer without end": (
        as_json().replace("4", "4" + "0" * 30),
        "units must fit 64 bits, got an integer of 102 - at `$.layers[0]`",
    ),
    "a field twice": (
        as_json().replace('"units": 4', '"units": 4, "units": 5'),
        "the field `units` stands twice in one object",
    ),
    "a number out of range": (
        LAYER.replace("0.5", "1e999"),
        "Number out of range - at `$.layers[0].slope`",
    ),
}

REFUSED_AS_NOT_JSON = {
    "NaN": (LAYER.replace("0.5", "NaN"), " is not JSON: JSON is malformed: invalid character ("),
    "infinity": (LAYER.replace("0.5", "Infinity"), " is not JSON: JSON is malformed: invalid cha"),
    "text": ("a network", " is not JSON: JSON is malformed: invalid character (byte 0)"),
    "a file cut short": (as_json()[:-4], " is not JSON: Input data was truncated"),
    "two objects": (as_json() * 2, " is not JSON: JSON is malformed: trailing characters (byte"),
    "nothing": ("", " is empty"),
    "white space": (" \n", " is empty"),
    "Latin-1": ('{"é": 1}'.encode("latin-1"), " is not JSON: 'utf-8' codec can't decode byte 0xe9"),
    "surrogates": ('{"\ud800": 1}', " is not JSON: 'utf-8' codec can't encode character"),
    "null characters": (b"\0" * 8, " is not JSON: JSON is malformed: invalid character (byte 0)"),
    "UTF-8 with a mark": (codecs.BOM_UTF8 + as_json().encode(), " begins with a byte order mark;"),
    "UTF-16": (as_json().encode("utf-16"), " begins with a byte order mark; it must be UTF-8 wit"),
}


def refusal(text: str | bytes) -> str:
    with pytest.raises(ArchitectureError) as refused:
        loads(text, "net.json")
    sentence = str(refused.value)
    assert sentence.startswith("net.json")
    assert "\n" not in sentence
    return sentence.removeprefix("net.json")


@pytest.mark.parametrize(("text", "words"), REFUSED_BY_THE_SCHEMA_TOO.values(),
                         ids=REFUSED_BY_THE_SCHEMA_TOO)  # fmt: skip
def test_what_the_schema_rejects_is_refused_by_name(text: str, words: str) -> None:
    assert refusal(text).startswith(f": {words}")
    assert not SCHEMA.is_valid(json.loads(text))


@pytest.mark.parametrize(("text", "words"), REFUSED_FOR_WHAT_NO_SCHEMA_SAYS.values(),
                         ids=REFUSED_FOR_WHAT_NO_SCHEMA_SAYS)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(text: str, words: str) -> None:
    assert refusal(text) == f": {words}"


@pytest.mark.parametrize(("text", "words"), REFUSED_AS_NOT_JSON.values(), ids=REFUSED_AS_NOT_JSON)
def test_what_is_not_json_says_so(text: str | bytes, words: str) -> None:
    assert refusal(text).startswith(words)


@pytest.mark.parametrize("start", ["[", '{"input": [', '{"a": ', '{"input": [2, 3], "layers": ['])
def test_deep_nesting_is_refused(start: str) -> None:
    assert refusal(start + "[" * 100_000)


def test_text_longer_than_any_network_is_refused() -> None:
    words = f"{MAX_FILE_BYTES + 1:,} bytes is too large for an architecture"
    assert words in refusal(" " * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": [2, 3]}, "input must be (batch, features) or have more axes, integers of at l"),
        ({"input": (2,)}, "input must be (batch, features) or have more axes, integers of at lea"),
        ({"input": ()}, "input must be (batch, features) or have more axes, integers of at least"),
        ({"input": (True, 3)}, "input[0] must be an integer, got True"),
        ({"input": (2, 0)}, "input[1] must be at least 1, got 0"),
        ({"layers": [ops.Tanh()]}, "layers must be a tuple of operators, got [Tanh("),
        ({"layers": (ops.Tanh,)}, "expected one of the operators, got <class"),
        ({"layers": (ops.Operator(),)}, "expected one of the operators, got Operator("),
        ({"layers": (ls.Huber(),)}, "expected one of the operators, got Huber("),
        ({"loss": None}, "expected one of the losses, got None"),
        ({"loss": ops.Tanh()}, "expected one of the losses, got Tanh("),
        ({"penalties": (3,)}, "expected one of the penalties, got 3"),
        ({"penalties": L1(1.0)}, "penalties must be a tuple of penalties, got L1("),
        ({"auxiliary": ls.Huber()}, "auxiliary must be a tuple of losses, got Huber("),
        ({"auxiliary": (L1(1.0),)}, "expected one of the losses, got L1("),
    ],
)
def test_python_is_refused_what_is_no_network(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        msgspec.structs.replace(SMALL, **change)


# --- files -------------------------------------------------------------------------------


def test_a_file_far_too_large_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 100 * 2**20)
    with pytest.raises(ArchitectureError, match=r"sparse is too large \(at most 4,000,000 bytes\)"):
        read(path)


def test_a_device_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ArchitectureError, match="/dev/zero is too large"):
        read("/dev/zero")


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "absent", "No such file or directory"),
        (f"{tmp_path}/a\0b", "embedded null byte"),
    ):
        with pytest.raises(ArchitectureError) as refused:
            read(path)
        assert str(refused.value) == f"{path}: {words}"


def test_a_file_within_the_limit_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_bytes(path, 3) == b"abc"


# --- what it says of itself --------------------------------------------------------------


def test_shapes_follow_the_layers() -> None:
    a = network(ops.Dense(6), ops.GLU(), ops.PReLU(shared=False), loss=ls.CrossEntropy())
    assert a.batch == 3
    assert a.edges == {"input": (3, 4), "layers.0.output": (3, 6), "layers.1.output": (3, 3),
                       "layers.2.output": (3, 3)}  # fmt: skip
    assert a.output == (3, 3)
    assert a.parameters == {"layers.0.weight": (6, 4), "layers.0.bias": (6,),
                            "layers.2.slope": (3,)}  # fmt: skip
    assert a.target_shape == (3,)
    assert [edge_name(i) for i in range(3)] == ["input", "layers.0.output", "layers.1.output"]


def test_a_network_in_a_line() -> None:
    a = network(ops.Dense(5), ops.Tanh(), penalties=(L1(0.1), L2(0.0)))
    assert str(a) == "(3, 4) > dense 5 > tanh > squared_error > l1 > l2"
    assert a.operators == ("dense", "tanh", "squared_error", "l1", "l2")
    assert str(network()) == "(3, 4) > squared_error"
    assert str(GRAPHS["residual"]) == (
        "(3, 4) > dense 4 > tanh > dense 4 > add(input, layers.2) > dense 2 > squared_error"
    )
    assert str(GRAPHS["no input"]).startswith("embedding 4 > variable > add(layers.0, layers.1) ")
