"""A forward and a backward pass written by hand in NumPy.

    forward(*inputs)        -> y  or  (y, saved)
    backward(saved, y_bar)  -> the gradient of each input

`y` is an array or a list of arrays, and `y_bar` alike; a tuple of two is (y, saved).  Where
the forward saves nothing, `saved` is the tuple of inputs.  With a single input the gradient
may come as it is; None stands for no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layout = Literal["plain", "strided", "expanded"]


class PairError(TypeError):
    """A forward or backward pass that does not return what it should."""


class NumpyPair:
    """The two functions at given inputs; the floating-point ones are differentiated."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[[Any, Any], Any],
        inputs: Sequence[Any],
        name: str = "",
    ) -> None:
        self._forward, self._backward = forward, backward
        self._given = [np.array(x) for x in inputs]
        self._float = [i for i, x in enumerate(self._given) if x.dtype.kind == "f"]
        if not self._float:
            raise PairError("none of the inputs is of a floating-point dtype")
        self.name = name or f"{_name(forward)} and {_name(backward)}"
        self.inputs = tuple(self._given[i] for i in self._float)
        self.input_names = tuple(f"input {i}" for i in self._float)
        with np.errstate(all="ignore"):
            wide = self.evaluate([np.array(x, float) for x in self.inputs])
        self.widens = all(y.dtype == np.float64 for y in wide)

    def evaluate(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs at other inputs; those that are given in float64 stay so."""
        return outputs_of(self._forward(*(np.array(x) for x in self._arguments(inputs))))[0]

    def linearise(self, inputs: Sequence[Array]) -> Backward:
        """The forward pass on fresh copies, ready to go backward."""
        arguments = [np.array(x) for x in self._arguments(inputs)]
        return Backward(self, arguments)

    def _arguments(self, inputs: Sequence[Array]) -> list[Array]:
        arguments = list(self._given)
        for i, x in zip(self._float, inputs, strict=True):
            arguments[i] = x
        return arguments


class Backward:
    """One forward pass, and what it saved."""

    def __init__(self, pair: NumpyPair, arguments: Sequence[Array]) -> None:
        self._pair, self._arguments = pair, arguments
        self._before = [x.copy() for x in arguments]
        self._written: list[str] = []
        returned = pair._forward(*arguments)
        self.outputs, self._several, saved, has_saved = _parts(returned)
        self._saved = saved if has_saved else tuple(arguments)

    def pull(
        self, cotangents: Sequence[Array | None], layout: Layout = "plain"
    ) -> tuple[Array | None, ...]:
        """The gradients of the floating-point inputs; a cotangent that is None is zeros."""
        bars = [
            laid_out(np.zeros_like(y) if c is None else c, layout)
            for c, y in zip(cotangents, self.outputs, strict=True)
        ]
        before = [np.array(c) for c in bars]
        returned = self._pair._backward(self._saved, bars if self._several else bars[0])
        for j, (bar, old) in enumerate(zip(bars, before, strict=True)):
            if not np.array_equal(bar, old, equal_nan=True):
                self._written.append(f"the cotangent of output {j}")
        return self._gradients(returned)

    def _gradients(self, returned: Any) -> tuple[Array | None, ...]:
        count = len(self._arguments)
        several = isinstance(returned, (tuple, list))
        gradients = list(returned) if several else [returned]
        for g in gradients:
            if g is not None and np.asarray(g).dtype.kind not in "fiub":
                kind = type(g).__name__
                raise PairError(f"{_name(self._pair._backward)} returned a {kind}, not an array")
        if len(gradients) != count:
            raise PairError(
                f"{_name(self._pair._backward)} returned {len(gradients)} gradient"
                f"{'s' if len(gradients) != 1 else ''} for {count} inputs"
            )
        chosen = (gradients[i] for i in self._pair._float)
        return tuple(None if g is None else np.asarray(g) for g in chosen)

    def changed(self) -> tuple[str, ...]:
        """The inputs and cotangents that were written to."""
        pairs = zip(self._arguments, self._before, strict=True)
        inputs = [
            f"input {i}" for i, (x, old) in enumerate(pairs)
            if not np.array_equal(x, old, equal_nan=x.dtype.kind == "f")
        ]  # fmt: skip
        return (*inputs, *dict.fromkeys(self._written))


def outputs_of(returned: Any) -> tuple[tuple[Array, ...], bool]:
    """(the outputs, whether there are several) of what a forward pass returned."""
    outputs, several, _, _ = _parts(returned)
    return outputs, several


def _parts(returned: Any) -> tuple[tuple[Array, ...], bool, Any, bool]:
    """(outputs, whether they are a list, what was saved, whether anything was)."""
    saved, has_saved = None, False
    if isinstance(returned, tuple):
        if len(returned) != 2:
            raise PairError(
                f"the forward pass must return y or (y, saved), got a tuple of {len(returned)}; "
                "several outputs are a list"
            )
        returned, saved = returned
        has_saved = True
    several = isinstance(returned, list)
    if several and not returned:
        raise PairError("the forward pass returned no outputs")
    outputs = tuple(np.asarray(y) for y in (returned if several else [returned]))
    for y in outputs:
        if y.dtype.kind != "f":
            raise PairError(f"the forward pass must return floating-point arrays, got {y.dtype}")
    return outputs, several, saved, has_saved


def laid_out(c: Array, layout: Layout) -> Array:
    """The same numbers, otherwise in memory."""
    if layout == "strided" and c.ndim:
        wide = np.zeros((*c.shape[:-1], 2 * c.shape[-1]), c.dtype)
        wide[..., ::2] = c
        return wide[..., ::2]
    if layout == "expanded" and c.size:
        return np.broadcast_to(c.reshape(-1)[0], c.shape)
    return np.array(c)


def _name(f: Any) -> str:
    return str(getattr(f, "__name__", type(f).__name__))
