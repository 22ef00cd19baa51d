"""A case: an architecture plus values, all rebuilt from a seed.

Every tensor has a Philox stream of its own, keyed by (seed, name), so deleting a layer
leaves the other tensors' streams as they were.  The lanes:

    generic  fan-in-scaled Gaussians; biases, slopes and targets never zero
    exact    small integers and dyadic fractions, so that every intermediate is exact
    tie      small integers with zeros and duplicates: non-differentiable points on purpose
    extreme  saturated, tiny, huge, mixed scales, or a large mean offset
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .architecture import Architecture
from .exactness import bias_offset
from .losses import target_kind
from .operators import Shape

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Lane = Literal["generic", "exact", "tie", "extreme"]
DType = Literal["float64", "float32"]
LANES: tuple[Lane, ...] = get_args(Lane)
DTYPES: tuple[DType, ...] = get_args(DType)
EXTREMES = ("saturated", "tiny", "huge", "mixed", "offset")


@dataclass(frozen=True)
class Case:
    """An architecture with values.

    `parameters` by name, `input` (batch, features), `target` as the loss wants it; floats
    in `dtype`, class numbers in int64.  The arrays are not writeable.
    """

    architecture: Architecture
    parameters: Mapping[str, Array]
    input: Array
    target: Array
    dtype: DType
    lane: Lane
    seed: int


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one tensor: Philox keyed by the seed and the tensor's name."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def draw_case(
    architecture: Architecture,
    seed: int,
    lane: Lane = "generic",
    dtype: DType = "float64",
) -> Case:
    """Draw values for an architecture.  The same arguments give the same case."""
    draw = _DRAWS[lane]
    parameters = {
        name: draw(stream(seed, name), shape, name, seed)
        for name, shape in architecture.parameters.items()
    }
    x = draw(stream(seed, "input"), architecture.input, "input", seed)
    target = _draw_target(architecture, stream(seed, "target"), lane, seed)
    return make_case(architecture, parameters, x, target, dtype=dtype, lane=lane, seed=seed)


def make_case(
    architecture: Architecture,
    parameters: Mapping[str, npt.ArrayLike],
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    dtype: DType = "float64",
    lane: Lane = "generic",
    seed: int = 0,
) -> Case:
    """A case from given values.  ValueError, naming the tensor, for a wrong shape or value."""
    if parameters.keys() != architecture.parameters.keys():
        raise ValueError(
            f"parameters must be {sorted(architecture.parameters)}, got {sorted(parameters)}"
        )
    shapes = architecture.parameters
    values = {name: _frozen(name, parameters[name], shapes[name], dtype) for name in shapes}
    x = _frozen("input", input, architecture.input, dtype)
    if target_kind(architecture.loss) == "indices":
        t = _class_numbers(architecture, target)
    else:
        t = _frozen("target", target, architecture.target_shape, dtype)
    return Case(architecture, values, x, t, dtype, lane, seed)


def _frozen(name: str, value: npt.ArrayLike, shape: Shape, dtype: str) -> Array:
    try:
        given = np.asarray(value)
    except ValueError:  # rows of unequal length
        given = np.array("ragged")
    if given.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be an array of numbers of shape {shape}")
    with np.errstate(over="ignore"):  # the infinity is refused below
        array = given.astype(dtype)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: entry {_first_bad(array)} is not")
    array.flags.writeable = False
    return array


def _first_bad(array: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])


def _class_numbers(architecture: Architecture, value: npt.ArrayLike) -> Array:
    numbers = _frozen("target", value, architecture.target_shape, "float64")
    classes = architecture.edges[-1][-1]
    if ((numbers < 0) | (numbers >= classes) | (numbers % 1 != 0)).any():
        raise ValueError(f"target must hold class numbers from 0 to {classes - 1}")
    ignored = getattr(architecture.loss, "ignore_index", None)
    if ignored is not None and (numbers == ignored).all():
        raise ValueError(f"target holds the ignored class {ignored} alone; some row must count")
    indices = numbers.astype(np.int64)
    indices.flags.writeable = False
    return indices


# --- values ----------------------------------------------------------------------------


def _generic(rng: np.random.Generator, shape: Shape, name: str, seed: int) -> Array:
    if name.endswith("weight"):
        return np.asarray(rng.normal(size=shape) / np.sqrt(shape[-1]))
    if name.endswith("slope"):
        return 0.25 + 0.1 * rng.normal(size=shape)
    return rng.normal(size=shape)


def _exact(rng: np.random.Generator, shape: Shape, name: str, seed: int) -> Array:
    if name.endswith("bias"):  # off the integers, so that no pre-activation is a tie
        layer = int(name.split(".")[1])
        return rng.integers(-1, 2, size=shape) + bias_offset(layer)
    if name.endswith("slope"):
        return rng.choice([0.25, 0.5, 0.75], size=shape)
    return rng.choice([-2.0, -1.0, 1.0, 2.0], size=shape)


def _tie(rng: np.random.Generator, shape: Shape, name: str, seed: int) -> Array:
    if name.endswith("slope"):
        return rng.choice([0.25, 0.5], size=shape)
    return rng.integers(-2, 3, size=shape).astype(float)


def _extreme(rng: np.random.Generator, shape: Shape, name: str, seed: int) -> Array:
    base = _generic(rng, shape, name, seed)
    if name.endswith("slope"):
        return base
    match EXTREMES[seed % len(EXTREMES)]:
        case "saturated":
            return base * 16.0
        case "tiny":
            return base * 2.0**-30
        case "huge":
            return base * (2.0**20 if name == "input" else 1.0)
        case "mixed":
            scales: Array = 2.0 ** rng.integers(-20, 9, size=shape)
            return base * scales
        case _:
            return base + (1000.0 if name == "input" else 0.0)


_DRAWS: Mapping[Lane, Callable[[np.random.Generator, Shape, str, int], Array]] = {
    "generic": _generic,
    "exact": _exact,
    "tie": _tie,
    "extreme": _extreme,
}


def _draw_target(
    architecture: Architecture, rng: np.random.Generator, lane: Lane, seed: int
) -> Array:
    shape, loss = architecture.target_shape, architecture.loss
    match target_kind(loss):
        case "indices":
            ignored = getattr(loss, "ignore_index", None)
            classes = architecture.edges[-1][-1]
            target = rng.integers(0, classes, size=shape)
            if ignored is not None:  # some row must count
                target[0] = (ignored + 1) % classes
            return target
        case "unit":
            soft = rng.uniform(size=shape)
            return np.where(rng.uniform(size=shape) < 0.5, np.round(soft), soft)
        case "probabilities":
            return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
        case "log_probabilities":
            p = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
            return np.log(np.maximum(p, 2.0**-40))
        case _:
            return _DRAWS[lane](rng, shape, "target", seed)
