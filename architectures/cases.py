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
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .architecture import Architecture, is_weight
from .exactness import bias_offset
from .losses import CTC
from .operators import Data, Embedding, Shape, Variable
from .targets import target_kind, target_shape

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

    `parameters` and `data` by name; `input`, or None where the network has none; `targets` by
    the site of their loss (`loss`, `auxiliary.J`), as it wants them.  Floats in `dtype`,
    class numbers in int64, masks as booleans.  The arrays are not writeable.
    """

    architecture: Architecture
    parameters: Mapping[str, Array]
    input: Array | None
    targets: Mapping[str, Array]
    dtype: DType
    lane: Lane
    seed: int
    data: Mapping[str, Array] = field(default_factory=dict)

    @property
    def target(self) -> Array:
        """The target of the loss; an empty array where it has none."""
        return self.targets.get("loss", np.zeros(0))


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
    given = _given(architecture)
    parameters = {
        name: _draw(lane, seed, name, shape, given)
        for name, shape in architecture.parameters.items()
    }
    shape = architecture.input
    x = None if shape is None else _draw(lane, seed, "input", shape, given)
    data = {n: _draw_data(stream(seed, n), spec) for n, spec in architecture.data.items()}
    targets = {
        site: _draw_target(architecture, site, lane, seed)
        for site, loss in architecture.losses.items()
        if target_kind(loss) != "none"
    }
    return make_case(
        architecture, parameters, x, targets, data=data, dtype=dtype, lane=lane, seed=seed
    )


def target_name(site: str) -> str:
    """The name of the target of the loss at a site: `target`, `auxiliary.J.target`."""
    return "target" if site == "loss" else f"{site}.target"


def make_case(
    architecture: Architecture,
    parameters: Mapping[str, npt.ArrayLike],
    input: npt.ArrayLike | None,
    target: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    *,
    data: Mapping[str, npt.ArrayLike] | None = None,
    dtype: DType = "float64",
    lane: Lane = "generic",
    seed: int = 0,
) -> Case:
    """A case from given values.  ValueError, naming the tensor, for a wrong shape or value.

    `target` is that of the loss, or maps every loss that has one (`loss`, `auxiliary.J`) to it.
    """
    given = {} if data is None else data
    targets = target if isinstance(target, Mapping) else {"loss": target}
    with_target = {s: loss for s, loss in architecture.losses.items()
                   if target_kind(loss) != "none"}  # fmt: skip
    if not isinstance(target, Mapping) and "loss" not in with_target:
        targets = {}
    for words, got, expected in (
        ("parameters", parameters, architecture.parameters),
        ("data", given, architecture.data),
        ("targets", targets, with_target),
    ):
        if got.keys() != expected.keys():
            raise ValueError(f"{words} must be {sorted(expected)}, got {sorted(got)}")
    if input is None and architecture.input is not None:
        raise ValueError(f"input must have shape {architecture.input}, got None")
    if input is not None and architecture.input is None:
        raise ValueError("input must be None: the network has none")
    shapes = architecture.parameters
    return Case(
        architecture,
        {name: _frozen(name, parameters[name], shapes[name], dtype) for name in shapes},
        None if input is None else _frozen("input", input, architecture.input or (), dtype),
        {site: _checked_target(architecture, site, targets[site], dtype) for site in with_target},
        dtype,
        lane,
        seed,
        {name: _checked_data(name, given[name], spec, dtype)
         for name, spec in architecture.data.items()},
    )  # fmt: skip


def _checked_data(name: str, value: npt.ArrayLike, spec: Data, dtype: DType) -> Array:
    if spec.kind in ("real", "positive"):
        array = _frozen(name, value, spec.shape, dtype)
        if spec.kind == "positive" and not (array > 0).all():
            raise ValueError(f"{name} must be positive")
        return array
    array = _frozen(name, value, spec.shape, "float64", kinds="fiub")
    below = 2 if spec.kind == "mask" else spec.below
    _check_whole(name, array, below, "0 or 1" if spec.kind == "mask" else "numbers")
    whole = array.astype(bool if spec.kind == "mask" else np.int64)
    whole.flags.writeable = False
    return whole


def _check_whole(name: str, numbers: Array, below: int, words: str) -> None:
    if ((numbers < 0) | (numbers >= below) | (numbers % 1 != 0)).any():
        span = "" if words == "0 or 1" else f" from 0 to {below - 1}"
        raise ValueError(f"{name} must hold {words}{span}")


def _checked_target(
    architecture: Architecture, site: str, value: npt.ArrayLike, dtype: DType
) -> Array:
    loss = architecture.losses[site]
    y = architecture.edges[architecture.loss_sources[site][0]]
    name, shape = target_name(site), target_shape(loss, y)
    if target_kind(loss) not in ("indices", "labels"):
        return _frozen(name, value, shape, dtype)
    numbers = _frozen(name, value, shape, "float64")
    _check_whole(name, numbers, y[-1], "class numbers")
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and (numbers == ignored).all():
        raise ValueError(f"{name} holds the ignored class {ignored} alone; some row must count")
    if isinstance(loss, CTC):
        _check_labels(loss, name, numbers, y)
    indices = numbers.astype(np.int64)
    indices.flags.writeable = False
    return indices


def _check_labels(loss: CTC, name: str, numbers: Array, y: Shape) -> None:
    """Raise ValueError for a blank among the labels, or steps too few for them."""
    for n, row in enumerate(numbers):
        length = loss.target_lengths[n] if loss.target_lengths else loss.labels
        steps = loss.input_lengths[n] if loss.input_lengths else y[1]
        labels = row[:length]
        if (labels == loss.blank).any():
            raise ValueError(f"{name}: example {n} holds the blank {loss.blank}")
        repeats = int((labels[1:] == labels[:-1]).sum())
        if steps < length + repeats:
            raise ValueError(
                f"{name}: example {n} has {length} labels, {repeats} of them repeated, "
                f"which need {length + repeats} steps, not {steps}"
            )


def _frozen(name: str, value: npt.ArrayLike, shape: Shape, dtype: str, kinds: str = "fiu") -> Array:
    try:
        given = np.asarray(value)
    except ValueError:  # rows of unequal length
        given = np.array("ragged")
    if given.dtype.kind not in kinds:
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


# --- values ----------------------------------------------------------------------------


def _given(a: Architecture) -> frozenset[str]:
    """What the network is given: its input or, where it has none, what its first layers hold."""
    if a.input is not None:
        return frozenset({"input"})
    held = (Variable, Embedding)
    return frozenset(
        name for layer, own in zip(a.layers, a.own, strict=True)
        if isinstance(layer, held) for name in own.values()
    )  # fmt: skip


def _draw(lane: Lane, seed: int, name: str, shape: Shape, given: frozenset[str]) -> Array:
    """The values of one tensor."""
    rng = stream(seed, name)
    if lane == "extreme":
        return _extreme(rng, shape, name, EXTREMES[seed % len(EXTREMES)], name in given)
    return _DRAWS[lane](rng, shape, name)


def _generic(rng: np.random.Generator, shape: Shape, name: str) -> Array:
    if is_weight(name):
        return np.asarray(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
    if name.endswith("slope"):
        return 0.25 + 0.1 * rng.normal(size=shape)
    if name.endswith(("gamma", "gain")):
        return 1 + 0.3 * rng.normal(size=shape)
    return rng.normal(size=shape)


def _exact(rng: np.random.Generator, shape: Shape, name: str) -> Array:
    if name.endswith("bias"):  # off the integers, so that no pre-activation is a tie
        layer = int(name.split(".")[1])
        return rng.integers(-1, 2, size=shape) + bias_offset(layer)
    if name.endswith("slope"):
        return rng.choice([0.25, 0.5, 0.75], size=shape)
    return rng.choice([-2.0, -1.0, 1.0, 2.0], size=shape)


def _tie(rng: np.random.Generator, shape: Shape, name: str) -> Array:
    if name.endswith("slope"):
        return rng.choice([0.25, 0.5], size=shape)
    if name.endswith("direction"):  # a row of zeros has none
        return rng.choice([-2.0, -1.0, 1.0, 2.0], size=shape)
    return rng.integers(-2, 3, size=shape).astype(float)


def _extreme(rng: np.random.Generator, shape: Shape, name: str, extreme: str, given: bool) -> Array:
    base = _generic(rng, shape, name)
    if name.endswith("slope"):
        return base
    match extreme:
        case "saturated":
            return base * 16.0
        case "tiny":
            return base * 2.0**-30
        case "huge":
            return base * (2.0**20 if given else 1.0)
        case "mixed":
            scales: Array = 2.0 ** rng.integers(-20, 9, size=shape)
            return base * scales
        case _:
            return base + (1000.0 if given else 0.0)


_DRAWS: Mapping[str, Callable[[np.random.Generator, Shape, str], Array]] = {
    "generic": _generic,
    "exact": _exact,
    "tie": _tie,
}


def _draw_data(rng: np.random.Generator, spec: Data) -> Array:
    match spec.kind:
        case "mask":
            return np.asarray(rng.uniform(size=spec.shape) < spec.keep)
        case "indices":
            return rng.integers(0, spec.below, size=spec.shape)
        case "positive":
            return 0.5 + rng.uniform(size=spec.shape)
        case _:
            return rng.normal(size=spec.shape)


def _draw_target(architecture: Architecture, site: str, lane: Lane, seed: int) -> Array:
    loss, name = architecture.losses[site], target_name(site)
    rng = stream(seed, name)
    y = architecture.edges[architecture.loss_sources[site][0]]
    shape = target_shape(loss, y)
    match target_kind(loss):
        case "indices":
            ignored = getattr(loss, "ignore_index", None)
            target = rng.integers(0, y[-1], size=shape)
            if ignored is not None:  # some row must count
                target.reshape(-1)[0] = (ignored + 1) % y[-1]
            return target
        case "labels":
            return _draw_labels(loss, rng, y)
        case "unit":
            soft = rng.uniform(size=shape)
            return np.where(rng.uniform(size=shape) < 0.5, np.round(soft), soft)
        case "probabilities":
            return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
        case "log_probabilities":
            p = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
            return np.log(np.maximum(p, 2.0**-40))
        case _:
            return _draw(lane, seed, name, shape, frozenset())


def _draw_labels(loss: Any, rng: np.random.Generator, y: Shape) -> Array:
    """Labels other than the blank, repeated only where steps enough are left."""
    classes = [c for c in range(y[-1]) if c != loss.blank]
    labels = rng.choice(classes, size=(y[0], loss.labels))
    steps = min(loss.input_lengths or (y[1],))
    if steps < 2 * loss.labels - 1:
        for s in range(1, loss.labels):
            again = labels[:, s] == labels[:, s - 1]
            shifted = [classes[(classes.index(int(c)) + 1) % len(classes)] for c in labels[:, s]]
            labels[:, s] = np.where(again, shifted, labels[:, s])
    return labels
