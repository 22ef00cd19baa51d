"""Two small data sets that ship with the package: one to fit, one to classify.

Both are synthetic.  `draw` is their whole provenance: it draws them from Philox streams
with a fixed seed and rounds to three decimals, and the files in `data/` hold what it drew,
so that training does not depend on a random generator staying as it is.

regression      y = 0.5 + 1.5 x1 - x2 + noise, x1 and x2 and noise / 0.1 standard normal
classification  three Gaussian clouds of deviation 0.45 around points at distance 1 from
                the origin, 120 degrees apart; the cloud is the class
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Literal, get_args

import numpy as np

from backproof.architectures.cases import stream
from backproof.reference.arrays import Array

Name = Literal["regression", "classification"]
NAMES: tuple[Name, ...] = get_args(Name)

RECORDS = 48
CLASSES = 3
SEED = 1986


@dataclass(frozen=True)
class DataSet:
    """`input` (records, 2) and `target`: (records, 1) to fit, or class numbers (records,)."""

    name: Name
    input: Array
    target: Array


def load(name: Name) -> DataSet:
    """Read a data set from the package's own file.  ValueError for another name."""
    if name not in NAMES:
        raise ValueError(f"there is no data set {name!r}; choose from {', '.join(NAMES)}")
    text = resources.files("backproof.data").joinpath(f"{name}.csv").read_text("utf-8")
    table = np.loadtxt(text.splitlines(), delimiter=",", skiprows=1)
    x, t = table[:, :-1], table[:, -1]
    return DataSet(name, x, t[:, None] if name == "regression" else t.astype(np.int64))


def draw(name: Name) -> DataSet:
    """Draw a data set as its file was drawn."""
    rng = stream(SEED, f"data/{name}")
    if name == "regression":
        x = np.round(rng.standard_normal((RECORDS, 2)), 3)
        noise = 0.1 * rng.standard_normal(RECORDS)
        y = 0.5 + x @ np.array([1.5, -1.0]) + noise
        return DataSet(name, x, np.round(y, 3)[:, None])
    classes = np.arange(RECORDS) % CLASSES
    angles = 2 * np.pi * classes / CLASSES
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = centres + 0.45 * rng.standard_normal((RECORDS, 2))
    return DataSet(name, np.round(x, 3), classes)


def to_csv(data: DataSet) -> str:
    """The data set as its file holds it: a header, then a record a line."""
    last = "y" if data.name == "regression" else "class"
    lines = [f"x1,x2,{last}"]
    for x, t in zip(data.input, data.target.reshape(-1), strict=True):
        lines.append(",".join(f"{v:.3f}" for v in x) + (f",{t:.3f}" if last == "y" else f",{t}"))
    return "\n".join(lines) + "\n"
