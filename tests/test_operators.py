"""Operators as data: their attributes are checked alike from Python and from JSON."""

from __future__ import annotations

import json
import re
import sys
import typing
from typing import Any

import msgspec
import pytest
from instances import ACTIVATION_INSTANCES

from backproof.architectures import operators as ops
from backproof.architectures.configurations import CONFIGURATIONS
from backproof.architectures.operators import (
    ACTIVATIONS,
    FAMILIES,
    OPERATORS,
    RULES,
    Layer,
    data_shapes,
    output_shape,
    parameter_shapes,
)

ON_VECTORS: tuple[Any, ...] = (*ACTIVATION_INSTANCES, ops.Dense(3), ops.Dense(1, bias=False))
CONFIGURED: tuple[Any, ...] = tuple(
    (op, shapes) for found in CONFIGURATIONS.values() for op, shapes in found
)
INSTANCES: tuple[Any, ...] = (*ON_VECTORS, *(op for op, _ in CONFIGURED))

OUT_OF_RANGE: list[tuple[type[Any], dict[str, Any], str]] = [
    (ops.Dense, {"units": 0}, "units must be at least 1, got 0"),
    (ops.Dense, {"units": -3}, "units must be at least 1, got -3"),
    (ops.Dense, {"units": 2**80}, "units must fit 64 bits, got an integer of 81"),
    (ops.ELU, {"alpha": 0.0}, "alpha must be greater than 0, got 0.0"),
    (ops.CELU, {"alpha": -1.0}, "alpha must be greater than 0, got -1.0"),
    (ops.Softplus, {"beta": 0.0}, "beta must be greater than 0, got 0.0"),
    (ops.SoftShrink, {"threshold": -0.5}, "threshold must be greater than 0, got -0.5"),
    (ops.HardShrink, {"threshold": 0.0}, "threshold must be greater than 0, got 0.0"),
    (ops.Sine, {"frequency": 0.0}, "frequency must be greater than 0, got 0.0"),
    (ops.Softmax, {"axis": 2}, "axis must be at most 1, got 2"),
    (ops.LogSoftmax, {"axis": -3}, "axis must be at least -2, got -3"),
    (ops.HardTanh, {"low": 2.0}, "low must be below high, got low=2.0, high=1.0"),
    (ops.HardTanh, {"low": 1.0, "high": 1.0}, "low must be below high, got low=1.0, high=1.0"),
]

OF_THE_WRONG_TYPE: list[tuple[type[Any], dict[str, Any], str]] = [
    (ops.Dense, {"units": True}, "units must be an integer, got True"),
    (ops.Dense, {"units": 3.0}, "units must be an integer, got 3.0"),
    (ops.Dense, {"units": "3"}, "units must be an integer, got '3'"),
    (ops.Dense, {"units": None}, "units must be an integer, got None"),
    (ops.Dense, {"units": 3, "bias": 1}, "bias must be true or false, got 1"),
    (ops.PReLU, {"shared": "yes"}, "shared must be true or false, got 'yes'"),
    (ops.LeakyReLU, {"slope": True}, "slope must be a number, got True"),
    (ops.LeakyReLU, {"slope": "steep"}, "slope must be a number, got 'steep'"),
    (ops.GELU, {"form": "quick"}, "form must be one of exact, tanh, got 'quick'"),
    (ops.GELU, {"form": ["exact"]}, "form must be one of exact, tanh, got ['exact']"),
]


def encoded(kind: type[Any], attributes: dict[str, Any]) -> bytes:
    return json.dumps({"op": kind.__struct_config__.tag, **attributes}).encode()


@pytest.mark.parametrize("operator", INSTANCES, ids=repr)
def test_an_operator_reads_back_from_json_equal(operator: Any) -> None:
    text = msgspec.json.encode(operator)
    assert json.loads(text)["op"] == operator.name
    back = msgspec.json.decode(text, type=Layer)
    assert back == operator
    assert type(back) is type(operator)


def test_every_operator_is_among_those_that_json_knows_and_has_a_shape_rule() -> None:
    assert set(typing.get_args(Layer)) == set(OPERATORS) == set(RULES)
    names = [kind.__struct_config__.tag for kind in OPERATORS]
    assert len(set(names)) == len(names)


def whole_specification(kind: type[Any]) -> str:
    """The class's docstring, its module's, and that of each class that it refers to."""
    words = f"{kind.__doc__} {sys.modules[kind.__module__].__doc__}"
    for name in re.findall(r"(?:see|as in) `(\w+)`", kind.__doc__ or ""):
        others = [op for op in OPERATORS if op.__struct_config__.tag == name]
        words += " ".join(whole_specification(other) for other in others)
    return words


@pytest.mark.parametrize("kind", OPERATORS)
def test_the_docstring_is_the_specification(kind: type[Any]) -> None:
    assert kind.__doc__
    """It says what the output is, and what each attribute does to it."""
    words = whole_specification(kind)
    formula = r"\b(y|h_t|output i)(_k|\[.*\]| \(N, C\)| at i)? +(=|is) |^The mean of each window"
    assert re.search(formula, words)
    hints = typing.get_type_hints(kind)
    for name in set(kind.__struct_fields__) - {"inputs", "share"}:
        options = typing.get_args(hints[name])
        by_its_options = bool(options) and all(f"`{option}`" in words for option in options)
        assert by_its_options or re.search(rf"\b{name}\b", words), name


@pytest.mark.parametrize(("kind", "attributes", "words"), OUT_OF_RANGE)
def test_python_and_json_refuse_in_the_same_words(
    kind: type[Any], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        kind(**attributes)
    with pytest.raises(msgspec.ValidationError) as from_json:
        msgspec.json.decode(encoded(kind, attributes), type=Layer)
    assert str(from_json.value) == words


@pytest.mark.parametrize(("kind", "attributes", "words"), OF_THE_WRONG_TYPE)
def test_a_wrong_type_names_the_field(
    kind: type[Any], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        kind(**attributes)
    field = words.split()[0]
    with pytest.raises(msgspec.ValidationError, match=rf"`\$\.{field}`"):
        msgspec.json.decode(encoded(kind, attributes), type=Layer)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_attribute_must_be_finite(value: float) -> None:
    for make in (ops.LeakyReLU, ops.ELU, ops.Sine, ops.HardTanh):
        with pytest.raises(ValueError, match=f"must be finite, got {value}"):
            make(value)


def test_an_operator_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ops.Dense(3).units = 4  # type: ignore[misc]


@pytest.mark.parametrize("operator", ON_VECTORS, ids=repr)
def test_batch_is_kept_and_features_follow_the_rule(operator: Any) -> None:
    features = {"dense": getattr(operator, "units", 0), "glu": 4, "swiglu": 4}
    assert output_shape(operator, (5, 8)) == (5, features.get(operator.name, 8))


@pytest.mark.parametrize(("operator", "shapes"), CONFIGURED)
def test_shapes_are_tuples_of_positive_integers_and_names_are_an_operator_s_own(
    operator: Any, shapes: Any
) -> None:
    y = output_shape(operator, *shapes)
    held = {**parameter_shapes(operator, *shapes)}
    given = data_shapes(operator, *shapes)
    for shape in (y, *held.values(), *(d.shape for d in given.values())):
        assert isinstance(shape, tuple)
        assert all(isinstance(n, int) and n > 0 for n in shape)
    assert held.keys().isdisjoint(given)
    assert all("." not in name for name in (*held, *given))


def test_every_operator_belongs_to_one_family_and_has_a_configuration() -> None:
    found = [op for family in FAMILIES.values() for op in family]
    assert len(found) == len(set(found)) == len(OPERATORS)
    assert set(CONFIGURATIONS) == set(OPERATORS)
    for kind, (least, most) in ((k, rule.arity) for k, rule in RULES.items()):
        counts = {len(shapes) for _, shapes in CONFIGURATIONS[kind]}
        assert all(least <= n and (most is None or n <= most) for n in counts)


@pytest.mark.parametrize("operator", [ops.GLU(), ops.SwiGLU()])
def test_a_gated_unit_needs_an_even_number_of_features(operator: Any) -> None:
    with pytest.raises(ValueError, match="halves the features, so they must be even, got 3"):
        output_shape(operator, (2, 3))


def test_parameters_have_the_shapes_that_the_layer_needs() -> None:
    assert parameter_shapes(ops.Dense(5), (2, 3)) == {"weight": (5, 3), "bias": (5,)}
    assert parameter_shapes(ops.Dense(5, bias=False), (2, 3)) == {"weight": (5, 3)}
    assert parameter_shapes(ops.PReLU(), (2, 3)) == {"slope": (1,)}
    assert parameter_shapes(ops.PReLU(shared=False), (2, 3)) == {"slope": (3,)}
    assert parameter_shapes(ops.Dense(5), (2, 7, 3)) == {"weight": (5, 3), "bias": (5,)}
    assert parameter_shapes(ops.Bilinear(2), (2, 3), (2, 4)) == {
        "weight": (2, 3, 4), "bias": (2,),
    }  # fmt: skip
    assert all(not parameter_shapes(k(), (2, 4)) for k in ACTIVATIONS if k is not ops.PReLU)
