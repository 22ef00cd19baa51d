"""The corpus on disk.

    corpus.json            what it is and, of each vector, everything but its tensors
    schema.json            the JSON Schema of corpus.json
    README.md              what a person reads first, written from corpus.json
    data/ID.safetensors    the tensors of each vector

The tensors of a vector; floats of the case in its dtype, all others in float64:

    input, parameters/NAME, data/NAME, targets/SITE    the case
    expected/NAME     the loss, every parameter's gradient, the input's where there is one
    bounds/NAME       how far each entry of a right result may be from it
    depends/NAME      at a tie: true for the entries that depend on the convention
    alternatives      and what those may be, a row for each combination of pieces

Nothing of it depends on the time or the machine's name, and keys are sorted, so that the same
seed gives the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import safetensors
from safetensors.numpy import save

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, DType, Lane, make_case
from backproof.architectures.files import ArchitectureError, decode, read_bytes
from backproof.checkers.verdict import CheckerName
from backproof.reference.arrays import Arrays
from backproof.reports.write import write
from backproof.vectors.judging import Expected

FORMAT = 1
MAX_FILE_BYTES = 256 * 2**20

Group = Literal["smoke", "must", "full"]
GROUPS: tuple[Group, ...] = ("smoke", "must", "full")
"""Each is part of the next."""

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
"""A vector's name, which is its file's too."""

NonNegative = Annotated[float, msgspec.Meta(ge=0)]

DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "BOOL": "|b1"}
"""What safetensors calls ours."""


class CorpusError(ValueError):
    """A corpus, or results for it, that cannot be read; a sentence that names the file."""


class Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One vector: a case, and what is known about it.

    `title` is the network on one line; the architecture is spelt out, no default is left out.
    `checkers` are those that confirmed every gradient, and `resolution` is the smallest relative
    error that they would have caught.  `norm_bounds` bounds the 2-norm of a right result's error
    in the loss and in each gradient; the bounds of the entries are tensors.  Where a gradient
    depends on the `convention` at a tie, `tolerance` bounds the distance to the hull of the
    alternatives.  `catches` names what is surely told from a right result; the corpus's `notes`
    say what each name means.
    """

    id: Id
    title: str
    groups: tuple[Group, ...]
    architecture: Architecture
    lane: Lane
    dtype: DType
    seed: int
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    checkers: tuple[CheckerName, ...]
    resolution: NonNegative | None
    norm_bounds: dict[str, NonNegative]
    tolerance: NonNegative | None = None
    convention: str = ""
    catches: tuple[str, ...]


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the corpus covers: the names of operators, losses and penalties."""

    operators: tuple[str, ...]
    losses: tuple[str, ...]
    penalties: tuple[str, ...]


class Corpus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contents of corpus.json.

    `version` counts the changes of the corpus itself, `backproof` is the version that made it
    by `command` from `seed`.  `notes` maps the name of every fault that some vector catches to
    what it is.
    """

    format: int = FORMAT
    version: int
    backproof: str
    command: str
    seed: int
    scope: Scope
    notes: dict[str, str]
    vectors: tuple[Vector, ...]


def dumps(corpus: Corpus) -> bytes:
    """The bytes of corpus.json."""
    plain = msgspec.to_builtins(corpus)
    for written, vector in zip(plain["vectors"], corpus.vectors, strict=True):
        written["architecture"] = spelt(vector.architecture)
    return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=1) + b"\n"


def spelt(a: Architecture) -> dict[str, Any]:
    """An architecture in the file format with every attribute, so that no default need be known."""

    def every(parts: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            msgspec.to_builtins(part)
            | {name: getattr(part, name) for name in part.__struct_fields__}
            for part in parts
        ]

    (loss,) = every((a.loss,))
    return {
        "input": a.input,
        "layers": every(a.layers),
        "loss": loss,
        "penalties": every(a.penalties),
        "auxiliary": every(a.auxiliary),
    }


@functools.cache
def schema() -> bytes:
    """The bytes of schema.json (JSON Schema 2020-12)."""
    return msgspec.json.encode(msgspec.json.schema(Corpus), order="sorted") + b"\n"


def read(folder: Path) -> Corpus:
    """The corpus in a folder.  CorpusError where there is none."""
    path = folder / "corpus.json"
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder")
    if not path.is_file():
        raise CorpusError(f"{folder} is not a corpus: it has no corpus.json")
    try:
        corpus: Corpus = decode(read_bytes(path, MAX_FILE_BYTES), Corpus, str(path))
    except ArchitectureError as error:
        raise CorpusError(str(error)) from None
    if corpus.format != FORMAT:
        raise CorpusError(f"{path} has format {corpus.format}; this version reads {FORMAT}")
    return corpus


def write_all(folder: Path, corpus: Corpus, readme: str, contents: Sequence[bytes]) -> int:
    """Write a corpus with the file of each vector, in place of an earlier one; bytes written."""
    files = {
        path_of(folder, vector): content
        for vector, content in zip(corpus.vectors, contents, strict=True)
    }
    (folder / "data").mkdir(parents=True, exist_ok=True)
    if (folder / "corpus.json").exists():
        for old in (folder / "data").glob("*.safetensors"):
            if old not in files:
                old.unlink()
    files[folder / "README.md"] = readme.encode()
    files[folder / "schema.json"] = schema()
    files[folder / "corpus.json"] = dumps(corpus)
    for path, content in files.items():
        write(path, content)
    return sum(map(len, files.values()))


# --- tensors ----------------------------------------------------------------------------


def path_of(folder: Path, vector: Vector) -> Path:
    """The file of a vector's tensors."""
    return folder / "data" / f"{vector.id}.safetensors"


def digest(content: bytes) -> str:
    """The hash by which corpus.json knows a file."""
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path, sha256: str | None = None) -> Arrays:
    """The arrays of a safetensors file.  CorpusError, naming it, where that fails."""
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except ArchitectureError as error:
        raise CorpusError(str(error)) from None
    if sha256 is not None and digest(content) != sha256:
        raise CorpusError(f"{path} is not the file that corpus.json knows: its sha256 differs")
    try:
        deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
        stored = deserialize(content)
    except safetensors.SafetensorError as error:
        raise CorpusError(f"{path} is not a safetensors file: {error}") from None
    arrays: Arrays = {}
    for name, tensor in stored:
        if tensor["dtype"] not in DTYPES:
            known = ", ".join(DTYPES)
            raise CorpusError(f"{path}: {name} is {tensor['dtype']}, must be one of {known}")
        flat = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]])
        arrays[name] = flat.reshape(tensor["shape"])
    return arrays


def tensors_of(case: Case, expected: Expected) -> Arrays:
    """Everything of a vector that is an array, by its name in the file."""
    arrays: Arrays = {} if case.input is None else {"input": case.input}
    for prefix, values in (
        ("parameters", case.parameters),
        ("data", case.data),
        ("targets", case.targets),
        ("expected", expected.values),
        ("bounds", expected.bounds),
        ("depends", expected.depends),
    ):
        arrays |= {f"{prefix}/{name}": array for name, array in values.items()}
    return arrays | ({"alternatives": expected.alternatives} if expected.depends else {})


def encode(arrays: Arrays) -> bytes:
    """The bytes of a safetensors file; the same arrays give the same bytes."""
    return save({name: np.asarray(array, order="C") for name, array in sorted(arrays.items())})


def case_of(vector: Vector, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Case:
    """The case of a vector.  CorpusError for tensors that do not fit its architecture."""
    try:
        return make_case(
            vector.architecture,
            _below(arrays, "parameters"),
            arrays.get("input"),
            _below(arrays, "targets"),
            data=_below(arrays, "data"),
            dtype=vector.dtype,
            lane=vector.lane,
            seed=vector.seed,
        )
    except ValueError as error:
        raise CorpusError(f"{vector.id}: {error}") from None


def expected_of(vector: Vector, arrays: Arrays) -> Expected:
    """What a vector expects.  CorpusError where its tensors do not fit together."""
    a, depends = vector.architecture, _below(arrays, "depends")
    shapes = {"loss": (), **a.parameters} | ({} if a.input is None else {"input": a.input})
    values, bounds = _below(arrays, "expected"), _below(arrays, "bounds")
    ordered: dict[str, Arrays] = {}
    for prefix, found in (("expected", values), ("bounds", bounds)):
        if found.keys() != shapes.keys():
            raise CorpusError(f"{vector.id}: {prefix} must be of {', '.join(shapes)}")
        for name, shape in shapes.items():
            if found[name].shape != shape or found[name].dtype != np.float64:
                got = f"{found[name].dtype} of shape {found[name].shape}"
                raise CorpusError(
                    f"{vector.id}: {prefix}/{name} is {got}, must be float64 of shape {shape}"
                )
            if not np.isfinite(found[name]).all():
                raise CorpusError(f"{vector.id}: {prefix}/{name} is not finite")
        ordered[prefix] = {name: found[name] for name in shapes}
    if vector.norm_bounds.keys() != shapes.keys():
        raise CorpusError(f"{vector.id}: norm_bounds must be of {', '.join(shapes)}")
    for name, mask in depends.items():
        if name not in shapes or mask.shape != shapes[name] or mask.dtype != bool:
            raise CorpusError(f"{vector.id}: depends/{name} is no mask of that gradient")
    alternatives = arrays.get("alternatives", np.zeros((0, 0)))
    count = sum(int(mask.sum()) for mask in depends.values())
    if (
        (vector.tolerance is not None) != bool(depends)
        or alternatives.ndim != 2
        or (alternatives.shape[1] != count)
    ):
        raise CorpusError(f"{vector.id}: tolerance, depends and alternatives do not fit together")
    return Expected(
        ordered["expected"],
        ordered["bounds"],
        vector.norm_bounds,
        {name: depends[name] for name in shapes if name in depends},
        alternatives,
        vector.tolerance or 0.0,
    )


def _below(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    """The arrays `PREFIX/NAME` by NAME."""
    start = f"{prefix}/"
    return {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}
