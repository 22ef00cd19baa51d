"""A function of JAX arrays, differentiated by JAX; custom_vjp and custom_jvp included.

Arguments may be pytrees; their floating-point leaves are the inputs, leaves without numbers
(a module's activation function) stay what they are.  Reverse mode is
`jax.vjp`, forward mode (`mode="forward"`) `jax.jvp`, one input entry at a time.  float64 is
switched on around every call, so that a function can be differentiated numerically.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layout = Literal["plain", "strided", "expanded"]
Mode = Literal["reverse", "forward"]


@contextmanager
def float64() -> Iterator[None]:
    """JAX with float64, whatever the host program has set."""
    home: Any = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    with home.enable_x64(True):
        yield


class JaxFunction:
    """`function(*args)`; each leaf of `args` keeps its dtype, but is evaluated in float64.

    ValueError where there is nothing to differentiate, or something complex.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        mode: Mode = "reverse",
        names: Sequence[str] = (),
    ) -> None:
        self._function, self.mode = function, mode
        self.name = str(getattr(function, "__name__", type(function).__name__))
        with float64():
            leaves, self._tree = jax.tree_util.tree_flatten_with_path(tuple(args))
        self._leaves = [np.asarray(x) if _is_number(x) else x for _, x in leaves]
        kinds = [getattr(x, "dtype", np.dtype(object)) for x in self._leaves]
        self.at = [i for i, kind in enumerate(kinds) if jnp.issubdtype(kind, jnp.floating)]
        if any(kind.kind == "c" for kind in kinds):
            raise ValueError("complex arguments: pass their real and imaginary parts")
        if not self.at:
            raise ValueError("none of the arguments is a floating-point array")
        self._compiled: Callable[[Sequence[Any]], Sequence[Any]] = jax.jit(self.flat)
        self.inputs = tuple(self._leaves[i] for i in self.at)
        paths = [leaves[i][0] for i in self.at]
        self.input_names = tuple(
            names[path[0].idx] if names else f"argument {path[0].idx}{_place(path[1:])}"
            for path in paths
        )

    @property
    def widens(self) -> bool:
        """Whether float64 inputs give float64 outputs."""
        return all(
            y.dtype == np.float64 for y in self.evaluate([np.array(x, float) for x in self.inputs])
        )

    def flat(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs' leaves at these inputs; within `float64`."""
        leaves: list[Any] = list(self._leaves)
        for i, x in zip(self.at, inputs, strict=True):
            leaves[i] = x
        arguments = jax.tree_util.tree_unflatten(self._tree, leaves)
        outputs = jax.tree_util.tree_leaves(self._function(*arguments))
        kept = [y for y in map(jnp.asarray, outputs) if jnp.issubdtype(y.dtype, jnp.inexact)]
        if not kept:
            raise ValueError(f"{self.name} returns no floating-point array")
        if any(jnp.issubdtype(y.dtype, jnp.complexfloating) for y in kept):
            raise ValueError(f"{self.name} returns complex arrays; return real and imaginary parts")
        return kept

    def evaluate(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs at other inputs; compiled, unless the function cannot be."""
        with float64():
            arrays = [jnp.asarray(x) for x in inputs]
            try:
                return tuple(np.asarray(y) for y in self._compiled(arrays))
            except jax.errors.JAXTypeError:  # it looks at values: Python's control flow
                self._compiled = self.flat
                return tuple(np.asarray(y) for y in self.flat(arrays))

    def linearise(self, inputs: Sequence[Array]) -> JaxLinearised:
        """`jax.vjp` there."""
        return JaxLinearised(self, inputs)


class JaxLinearised:
    """One linearisation.  JAX's arrays cannot be written to."""

    def __init__(self, function: JaxFunction, inputs: Sequence[Array]) -> None:
        self._function = function
        with float64():
            self._inputs = [jnp.asarray(x) for x in inputs]
            if function.mode == "reverse":
                outputs, self._pull = jax.vjp(lambda *xs: function.flat(xs), *self._inputs)
            else:
                outputs = function.flat(self._inputs)
            self._outputs = outputs
            self.outputs = tuple(np.asarray(y) for y in outputs)

    def pull(
        self, cotangents: Sequence[Array | None], layout: Layout = "plain"
    ) -> tuple[Array | None, ...]:
        """The gradients of the inputs; JAX has no layouts, and zeros for an unused output."""
        with float64():
            bars = [
                jnp.zeros_like(y) if c is None else jnp.asarray(c, y.dtype)
                for c, y in zip(cotangents, self._outputs, strict=True)
            ]
            if self._function.mode == "forward":
                return self._pushed(bars)
            return tuple(_array(g) for g in self._pull(bars))

    def _pushed(self, bars: Sequence[Any]) -> tuple[Array | None, ...]:
        """<cotangent, J e> for every unit vector e of the inputs: forward mode alone."""
        found: list[Array | None] = []
        for x, dots in zip(self._inputs, self._jacobian, strict=True):
            columns = (
                jnp.tensordot(bar, dot, bar.ndim) for bar, dot in zip(bars, dots, strict=True)
            )
            found.append(np.asarray(sum(columns), dtype=x.dtype).reshape(x.shape))
        return tuple(found)

    @cached_property
    def _jacobian(self) -> list[list[Any]]:
        """For each input, each output's derivative along every unit vector, these last."""
        found = []
        for k, x in enumerate(self._inputs):
            rest = [jnp.zeros_like(other) for other in self._inputs]
            basis = np.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
            columns = [self._along([*rest[:k], jnp.asarray(e), *rest[k + 1 :]]) for e in basis]
            found.append([jnp.stack(dots, axis=-1) for dots in zip(*columns, strict=True)])
        return found

    def _along(self, tangents: Sequence[Any]) -> list[Any]:
        def outputs(*inputs: Any) -> list[Any]:
            return self._function.flat(inputs)

        _, dots = jax.jvp(outputs, tuple(self._inputs), tuple(tangents))
        return list(dots)

    def changed(self) -> tuple[str, ...]:
        """Nothing can be."""
        return ()


def derivative(function: Callable[..., Any], args: Sequence[Any], seed: int) -> Callable[..., Any]:
    """The gradient for one Gaussian cotangent as a function of the same arguments."""
    first = JaxFunction(function, args)
    rng = np.random.default_rng(seed)
    drawn = [rng.standard_normal(y.shape) for y in first.evaluate(first.inputs)]

    def gradient(*arguments: Any) -> list[Any]:
        leaves = jax.tree_util.tree_leaves(tuple(arguments))
        inputs = [leaves[i] for i in first.at]
        outputs, pull = jax.vjp(lambda *xs: first.flat(xs), *inputs)
        bars = [jnp.asarray(c, y.dtype) for c, y in zip(drawn, outputs, strict=True)]
        return list(pull(bars))

    gradient.__name__ = f"the gradient of {first.name}"
    return gradient


def _is_number(leaf: Any) -> bool:
    """Whether a leaf holds numbers; a module's leaves may be functions."""
    return isinstance(leaf, (np.ndarray, np.generic, jax.Array, bool, int, float, complex))


def _place(path: Any) -> str:
    return str(jax.tree_util.keystr(path))


def _array(g: Any) -> Array | None:
    return None if g.dtype == jax.dtypes.float0 else np.asarray(g)
