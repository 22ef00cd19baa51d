"""Messages between the harness and a program: one JSON object a line, in each direction.

    harness                                        program
    {"kind": "hello", "seq": 1, "protocol": 1}
                                                   {"kind": "hello", "seq": 1, "protocol": 1,
                                                    "name": ..., "operators": [...], ...}
    {"kind": "prepare", "seq": 2,
     "architecture": {...}, "shapes": {...},
     "dtype": "float64"}
                                                   {"kind": "ready", "seq": 2}, or
                                                   {"kind": "unsupported", "seq": 2, "reason": ...}
    {"kind": "run", "seq": 3, "input": T,
     "parameters": {NAME: T}, "targets": {SITE: T},
     "data": {NAME: T}}
                                                   {"kind": "gradients", "seq": 3, "loss": 0.5,
                                                    "gradients": {NAME: T}}
    {"kind": "stop", "seq": 4}
                                                   ends

Any request may be answered by {"kind": "error", "seq": ..., "reason": ...}.  A tensor T is
{"dtype", "shape", "data"}, the entries in C order, little-endian, in base64; or, if the
program's hello says "encoding": "decimal", {"dtype", "shape", "values"}, a flat list of
numbers, which is slower and needs no library.  From a program either is taken.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..architectures.architecture import Architecture, edge_name
from ..architectures.cases import Case, DType
from .capabilities import Capabilities, Gives

PROTOCOL = 1
Encoding = Literal["base64", "decimal"]
DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "bool": "|b1"}


class Hello(msgspec.Struct, frozen=True, tag_field="kind", tag="hello", forbid_unknown_fields=True):
    """A program's answer to hello: the protocol it speaks, and its `Capabilities`."""

    seq: int
    protocol: int
    name: str
    operators: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    penalties: tuple[str, ...] | None = None
    attributes: dict[str, dict[str, tuple[Any, ...]]] = {}
    dtypes: tuple[DType, ...] = ("float64",)
    graphs: bool = True
    perceptrons: bool = False
    gives: tuple[Gives, ...] = ()
    accumulates: bool = False
    expected_failures: dict[str, str] = {}
    encoding: Encoding = "base64"

    def capabilities(self) -> Capabilities:
        """ValueError for a name that does not exist."""
        fields = Capabilities.__struct_fields__
        return Capabilities(**{name: getattr(self, name) for name in fields})


class Ready(msgspec.Struct, frozen=True, tag_field="kind", tag="ready"):
    """The architecture can be run."""

    seq: int


class NotSupported(msgspec.Struct, frozen=True, tag_field="kind", tag="unsupported"):
    """It cannot."""

    seq: int
    reason: str = ""


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="error"):
    """The program met an error of its own and lives on."""

    seq: int
    reason: str = ""


class Gradients(msgspec.Struct, frozen=True, tag_field="kind", tag="gradients"):
    """The loss and the gradients."""

    seq: int
    loss: Any
    gradients: dict[str, Any]


Answer = Hello | Ready | NotSupported | Failed | Gradients
DECODER = msgspec.json.Decoder(Answer)


class WireError(ValueError):
    """A message that is not one of the protocol's."""


def tensor(array: NDArray[Any], encoding: Encoding) -> dict[str, Any]:
    """An array as it travels."""
    dtype = str(array.dtype)
    head = {"dtype": dtype, "shape": list(array.shape)}
    if encoding == "decimal":
        values = array.reshape(-1).astype(np.float64 if array.dtype.kind == "f" else array.dtype)
        if np.isfinite(values).all():
            return head | {"values": values.tolist()}
        return head | {"values": [v if np.isfinite(v) else str(v) for v in values.tolist()]}
    raw = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
    return head | {"data": base64.b64encode(raw).decode()}


def array(name: str, sent: Any, most: int) -> NDArray[Any]:
    """An array from what was sent, of at most `most` entries.  WireError, naming it."""
    if isinstance(sent, (int, float)) and not isinstance(sent, bool):
        return _values(name, [sent], "float64").reshape(())
    if not isinstance(sent, Mapping):
        raise WireError(f"{name} is not a tensor: an object of dtype, shape and data or values")
    dtype, shape = sent.get("dtype", "float64"), sent.get("shape")
    if dtype not in DTYPES:
        raise WireError(f"{name}: dtype {dtype!r} is none of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise WireError(f"{name}: shape must be a list of integers, got {shape!r}")
    size = math.prod(shape)
    if size > most:
        raise WireError(f"{name}: {size:,} entries, more than any tensor of this network")
    flat = _data(name, sent, dtype) if "data" in sent else _values(name, sent.get("values"), dtype)
    if flat.size != size:
        raise WireError(f"{name}: {flat.size:,} entries for the shape {tuple(shape)}")
    return flat.reshape(shape)


def _data(name: str, sent: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    try:
        raw = base64.b64decode(sent["data"], validate=True)
        return np.frombuffer(raw, DTYPES[dtype]).astype(dtype)
    except (binascii.Error, TypeError, ValueError) as error:
        raise WireError(f"{name}: data is not base64 of {dtype}: {error}") from None


def _values(name: str, values: Any, dtype: str) -> NDArray[Any]:
    if not isinstance(values, list):
        raise WireError(f"{name} has neither data nor values")
    kinds, entries = (int, float), values
    if not set(map(type, values)) <= set(kinds):  # one by one takes four times as long
        words = {None: np.nan, "nan": np.nan, "inf": np.inf, "-inf": -np.inf}
        entries = [words.get(v, v) if v is None or isinstance(v, str) else v for v in values]
        for i, v in enumerate(entries):
            if not isinstance(v, kinds) or (isinstance(v, bool) and dtype != "bool"):
                raise WireError(f"{name}: value {i} is not a number")
    try:
        with np.errstate(over="ignore"):
            return np.asarray(entries, np.float64).astype(dtype)
    except OverflowError:
        raise WireError(f"{name}: an integer is beyond the range of float64") from None


def prepare_request(architecture: Architecture, dtype: DType) -> dict[str, Any]:
    """The request to prepare a network, with everything spelt out.

    Each layer has all its attributes, `inputs` (the names of its edges), `output`, and the
    names of its `parameters` and `data` by its own names for them; each loss its `inputs`,
    and as `target` the name of what it is held against.  `shapes` holds every edge's and
    parameter's.
    """
    a = architecture
    layers = []
    for i, (layer, inputs) in enumerate(zip(a.layers, a.sources, strict=True)):
        data = {n.rsplit(".", 1)[-1]: n for n in a.data if n.rsplit(".", 1)[0] == f"layers.{i}"}
        layers.append(
            {"op": layer.name, **_attributes(layer), "inputs": list(inputs),
             "output": edge_name(i + 1), "parameters": a.own[i], "data": data}
        )  # fmt: skip
    losses = [
        {"loss": loss.name, **_attributes(loss), "inputs": list(a.loss_sources[site]),
         "target": site}
        for site, loss in a.losses.items()
    ]  # fmt: skip
    penalties = [
        {"penalty": str(type(p).__struct_config__.tag), **_attributes(p)} for p in a.penalties
    ]
    spelt = {"input": a.input, "layers": layers, "losses": losses, "penalties": penalties}
    shapes = {name: list(shape) for name, shape in {**a.edges, **a.parameters}.items()}
    return {"kind": "prepare", "architecture": spelt, "shapes": shapes, "dtype": dtype}


def _attributes(part: Any) -> dict[str, Any]:
    """All fields, defaults included."""
    return {name: getattr(part, name) for name in part.__struct_fields__}


def architecture_of(spelt: Mapping[str, Any]) -> Architecture:
    """The architecture back from what `prepare_request` spelt out, for programs in Python."""
    extra = {"output", "parameters", "data"}
    layers = [{k: v for k, v in layer.items() if k not in extra} for layer in spelt["layers"]]
    first, *further = ({k: v for k, v in loss.items() if k != "target"} for loss in spelt["losses"])
    plain = {"input": spelt["input"], "layers": layers, "loss": first, "auxiliary": further}
    return msgspec.convert(plain | {"penalties": spelt["penalties"]}, Architecture)


def run_request(
    seq: int, case: Case, encoding: Encoding, accumulate: bool = False
) -> dict[str, Any]:
    """The request for one case's gradients, to be added to those of the run before or not."""

    def all_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        return {name: tensor(value, encoding) for name, value in arrays.items()}

    return {
        "kind": "run",
        "seq": seq,
        **({"accumulate": True} if accumulate else {}),
        "input": None if case.input is None else tensor(case.input, encoding),
        "parameters": all_of(case.parameters),
        "targets": all_of(case.targets),
        "data": all_of(case.data),
    }
