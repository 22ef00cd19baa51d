"""Results for a corpus, computed elsewhere: a folder with a file for each vector.

`ID.safetensors` holds a tensor `loss` and one for each gradient, named as the parameter or
`input`, in the vector's dtype.  `ID.json` is for languages without the library: an object with
the same names, whose values are numbers, nested lists of numbers, or tensors as in
`subjects/wire.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from backproof.architectures.files import ArchitectureError, read_bytes
from backproof.reference.arrays import Array, Arrays
from backproof.subjects import wire
from backproof.vectors.format import MAX_FILE_BYTES, CorpusError, Vector, read_tensors


def read_results(folder: Path, vector: Vector) -> Arrays | None:
    """The results for a vector; None where there are none.  CorpusError for a file that is none."""
    tensors, text = (folder / f"{vector.id}.{ending}" for ending in ("safetensors", "json"))
    if tensors.exists() and text.exists():
        raise CorpusError(f"{tensors} and {text.name} are both there; one of them must go")
    if tensors.exists():
        return read_tensors(tensors)
    return _read_json(text, vector) if text.exists() else None


def _read_json(path: Path, vector: Vector) -> Arrays:
    try:
        found = json.loads(read_bytes(path, MAX_FILE_BYTES))
    except ArchitectureError as error:
        raise CorpusError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CorpusError(f"{path} must be an object of tensors by name")
    try:
        return {name: _tensor(name, value, vector.dtype) for name, value in found.items()}
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from None


def _tensor(name: str, value: Any, dtype: str) -> Array:
    """An array; decimals have no dtype and get that of the vector."""
    if isinstance(value, dict):
        return wire.array(name, value, MAX_FILE_BYTES)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        array = np.array("ragged")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be a number or nested lists of numbers")
    with np.errstate(over="ignore"):
        return array.astype(dtype)
