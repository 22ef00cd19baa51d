"""What a function under test must offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from ...reference.arrays import Array

Layout = Literal["plain", "strided", "expanded"]
"""How a cotangent lies in memory: contiguous, every other entry of a larger array, or one
number seen many times (stride 0)."""


class Linearised(Protocol):
    """The function at one point: its outputs, and its backward pass from there."""

    @property
    def outputs(self) -> Sequence[Array]:
        """The outputs, as NumPy arrays of their own dtype."""
        ...

    def pull(
        self, cotangents: Sequence[Array | None], layout: Layout = "plain"
    ) -> Sequence[Array | None]:
        """The gradient of each input for one cotangent an output.

        A cotangent is None where nothing uses that output; a gradient where none came.
        """
        ...

    def changed(self) -> Sequence[str]:
        """What was written to of the arrays that belong to the caller: inputs, cotangents."""
        ...


class Function(Protocol):
    """A forward and a backward pass, whatever they are written in."""

    @property
    def name(self) -> str:
        """What to call it in a report."""
        ...

    @property
    def inputs(self) -> Sequence[Array]:
        """The inputs to differentiate with respect to, at the point of interest."""
        ...

    @property
    def input_names(self) -> Sequence[str]:
        """What to call each of them."""
        ...

    @property
    def widens(self) -> bool:
        """Whether float64 inputs are computed with in float64, whatever those given are."""
        ...

    def evaluate(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """The outputs at other inputs, in float64 if the function can."""
        ...

    def linearise(self, inputs: Sequence[Array]) -> Linearised:
        """The forward pass in the dtype of these inputs, ready to go backward."""
        ...
