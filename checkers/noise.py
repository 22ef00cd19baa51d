"""The noise of an operation: an array whose every result is perturbed (Parker 1997).

`Noisy` is an ndarray subclass whose every ufunc adds the noise of its rounding, so that the
code measured is the reference's own and not a copy of it.  Nothing is tuned; for a unit u

    +, -, *, /, sqrt                    relative, variance u^2 / 3 (a uniform rounding error)
    exp, log, tanh, erf, ...            relative, 1.1 u rms
    dot product and sum of length n     (u^2 / 3) [(n / 3) S^2 + (n / 6 + 1) Q],
                                        S = sum a b, Q = sum (a b)^2  (Higham and Mary 2019)
    a constant that is not dyadic       relative, variance u^2 / 3, one draw a replica
    every result                        and absolutely, up to the smallest normal number,
                                        but never beyond zero: it may underflow

Every draw is uniform, as a rounding error is.  K replicas run at once, along a leading axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from ..architectures.cases import DType
from ..reference.arrays import Array

UNIT: Mapping[DType, float] = {"float64": 2.0**-53, "float32": 2.0**-24}
"""The unit roundoff u of each dtype."""

INJECTED: Mapping[DType, float] = {"float64": 2.0**-40, "float32": 2.0**-24}
"""The unit that is injected: at least 2^13 above float64's own rounding."""

SMALLEST: Mapping[DType, float] = {"float64": 2.0**-1022, "float32": 2.0**-126}
"""The smallest normal number; below it hardware may round to zero."""

LARGEST: Mapping[DType, float] = {
    "float64": float(np.finfo(np.float64).max),
    "float32": float(np.finfo(np.float32).max),
}

_ELEMENTARY = frozenset({np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.square})
_TRANSCENDENTAL = frozenset(
    {
        np.exp, np.expm1, np.exp2, np.log, np.log1p, np.log2, np.tanh, np.sinh, np.cosh,
        np.sin, np.cos, np.power, np.hypot, np.reciprocal, np.logaddexp, np.arctan,
        scipy.special.erf, scipy.special.erfc, scipy.special.erfcx, scipy.special.expit,
        scipy.special.ndtr,
    }
)  # fmt: skip
_EXACT = frozenset(
    {
        np.negative, np.positive, np.absolute, np.maximum, np.minimum, np.fmax, np.fmin,
        np.sign, np.copysign, np.greater, np.greater_equal, np.less, np.less_equal,
        np.equal, np.not_equal, np.isfinite, np.isnan, np.isinf, np.signbit,
        np.conjugate, np.floor, np.ceil, np.trunc, np.ldexp,
    }
)  # fmt: skip
_REARRANGING = frozenset(
    {
        np.where, np.concatenate, np.swapaxes, np.broadcast_to, np.expand_dims, np.squeeze,
        np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.copyto, np.take_along_axis,
        np.moveaxis, np.reshape, np.transpose, np.shape, np.ndim, np.stack, np.sum, np.mean,
        np.max, np.min, np.real, np.imag, np.iscomplexobj,
    }
)  # fmt: skip
"""Functions that round nothing themselves, or that NumPy builds from ufuncs."""


@dataclass
class Noise:
    """The noise of one run, and the largest magnitude that it met.

    `normwise`: values that a textbook computes as differences err by what cancels in them.
    """

    rng: np.random.Generator
    dtype: DType
    replicas: int
    normwise: bool = False
    largest: float = 0.0

    @property
    def unit(self) -> float:
        """The unit that is injected."""
        return INJECTED[self.dtype]

    def draw(self, shape: Sequence[int]) -> Array:
        """Uniform, as one rounding error is, of mean 0 and variance 1; 24 bits are plenty."""
        u: Array = np.asarray(self.rng.random(shape, dtype=np.float32))
        u -= np.float32(0.5)
        u *= np.float32(np.sqrt(12))
        return u

    def perturb(self, result: Array, deviation: Array) -> Array:
        """`result` with noise of that standard deviation, and the absolute floor."""
        shape = (self.replicas, *result.shape[1:]) if result.ndim else result.shape
        if result.size:
            self.largest = max(self.largest, float(np.max(np.abs(result))))
        if np.iscomplexobj(result):
            real, imag = self.draw(shape), self.draw(shape)
            return np.asarray(result + deviation.real * real + 1j * (deviation.imag * imag))
        draw = self.draw(shape)
        rounded = np.asarray(deviation * draw)
        rounded += result
        floor = SMALLEST[self.dtype] * self.unit / UNIT[self.dtype]
        small = np.abs(rounded) < floor * 2.0**53  # elsewhere the floor is itself rounded away
        if small.any():
            lost = np.minimum(floor, np.abs(rounded[small]))
            rounded[small] += lost * np.clip(draw[small], -1.0, 1.0)
        return rounded

    def constant(self, value: Any, rank: int) -> Any:
        """A Python number as this dtype holds it: perturbed unless 24 bits hold it exactly.

        One draw a replica, on axis 0 of `rank` axes.
        """
        if isinstance(value, float) and np.isfinite(value) and float(np.float32(value)) != value:
            draw = self.draw((self.replicas, *(1,) * (rank - 1)))
            return value * (1 + self.unit / np.sqrt(3) * draw)
        return value


class Noisy(np.ndarray[Any, np.dtype[Any]]):
    """An array of K replicas whose every operation is perturbed.

    TypeError for a function whose rounding has no model: silence would be a wrong bound.
    """

    noise: Noise

    def __array_finalize__(self, obj: Any) -> None:
        if obj is not None and hasattr(obj, "noise"):
            self.noise = obj.noise

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: Any, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        noise = self.noise
        if out is not None or method not in ("__call__", "reduce"):
            raise TypeError(f"no rounding model for {ufunc.__name__}.{method}, or for `out`")
        plain = [x.view(np.ndarray) if isinstance(x, Noisy) else x for x in inputs]
        if ufunc in _ELEMENTARY and method == "__call__":
            rank = max(x.ndim for x in inputs if isinstance(x, Noisy))
            plain = [noise.constant(x, rank) for x in plain]
        result = np.asarray(getattr(ufunc, method)(*plain, **kwargs))
        if ufunc not in _EXACT:
            result = noise.perturb(result, _deviation(ufunc, method, plain, result, kwargs, noise))
        return as_noisy(result, noise) if result.dtype != bool else result

    def may_cancel(self, size: Array) -> Noisy:
        """Itself, with a rounding of `size` where the noise is normwise (and it is real)."""
        noise = self.noise
        if not noise.normwise or self.dtype.kind == "c":
            return self
        draw = noise.draw((noise.replicas, *self.shape[1:]))
        plain = self.view(np.ndarray)
        return as_noisy(plain + noise.unit * np.asarray(size) * draw, noise)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func not in _REARRANGING:
            raise TypeError(f"no rounding model for {func.__name__}")
        result = super().__array_function__(func, types, args, kwargs)
        if isinstance(result, np.ndarray) and not isinstance(result, Noisy):
            return as_noisy(result, self.noise)
        return result


def replicate(array: Array, noise: Noise) -> Noisy:
    """K replicas of an array, whose operations add `noise`."""
    return as_noisy(np.broadcast_to(array, (noise.replicas, *array.shape)), noise)


def as_noisy(array: Array, noise: Noise) -> Noisy:
    """Replicas that differ already, whose operations from now on add `noise`."""
    view = array.view(Noisy)
    view.noise = noise
    return view


def _deviation(
    ufunc: np.ufunc, method: str, plain: list[Any], result: Array, kwargs: Any, noise: Noise
) -> Array:
    """The standard deviation of the rounding error of each entry of `result`.

    Of a complex result, that of its real part + i that of its imaginary part.
    """
    unit = noise.unit
    if np.iscomplexobj(result):
        return _complex_deviation(ufunc, method, plain, result, kwargs, unit)
    if ufunc is np.matmul:
        a, b = map(_once, plain)
        return _sum_deviation(unit, a.shape[-1], result, np.matmul(a * a, b * b))
    if ufunc is np.add and method == "reduce":
        (a,) = plain
        squares = np.asarray(np.add.reduce(a * a, **kwargs))
        return _sum_deviation(unit, a.size // max(squares.size, 1), result, squares)
    if method == "reduce" or ufunc not in _ELEMENTARY | _TRANSCENDENTAL:
        raise TypeError(f"no rounding model for {ufunc.__name__}.{method}")
    relative = unit / np.sqrt(3) if ufunc in _ELEMENTARY else 1.1 * unit
    return relative * np.abs(result)


def _once(x: Array) -> Array:
    """An array that is the same in every replica without its copies (of stride 0)."""
    return x[:1] if x.ndim and x.strides[0] == 0 else x


def _complex_deviation(
    ufunc: np.ufunc, method: str, plain: list[Any], result: Array, kwargs: Any, unit: float
) -> Array:
    """The same where the imaginary part carries a derivative, as in complex step.

    It is then so small that its products with itself vanish, and an operation rounds it as
    forward-mode differentiation rounds a tangent: Im(a b) = Im a Re b + Re a Im b, and so on.
    """
    real, imag = [np.real(x) for x in plain], [np.imag(x) for x in plain]
    relative = unit / np.sqrt(3)
    if ufunc is np.add and method == "reduce":
        parts = []
        for part, total in ((real[0], result.real), (imag[0], result.imag)):
            squares = np.asarray(np.add.reduce(part * part, **kwargs))
            n = part.size // max(squares.size, 1)
            parts.append(_sum_deviation(unit, n, total, squares))
        return parts[0] + 1j * parts[1]
    if method == "reduce" or ufunc not in _ELEMENTARY | _TRANSCENDENTAL | {np.matmul}:
        raise TypeError(f"no rounding model for complex {ufunc.__name__}.{method}")
    if ufunc is np.matmul:
        (a, b), (da, db) = real, imag
        tangent = np.matmul(a * a, db * db) + np.matmul(da * da, b * b)
        n = a.shape[-1]
        deviation = _sum_deviation(unit, n, result.real, np.matmul(a * a, b * b))
        return deviation + 1j * _sum_deviation(unit, 2 * n, result.imag, tangent)
    if ufunc in _TRANSCENDENTAL:
        return np.asarray(1.1 * unit * (np.abs(result.real) + 1j * np.abs(result.imag)))
    spread = np.abs(result.imag)
    if ufunc in (np.multiply, np.square):
        (a, da), (b, db) = (real[0], imag[0]), (real[-1], imag[-1])
        spread = np.hypot(a * db, da * b)
    elif ufunc is np.divide:
        (a, b), (da, db) = real, imag
        spread = np.hypot(da / b, result.real * (db / b))
    return np.asarray(relative * (np.abs(result.real) + 1j * (np.abs(result.imag) + spread)))


def _sum_deviation(unit: float, n: int, total: Array, squares: Array) -> Array:
    if n <= 1:
        return np.asarray(unit / np.sqrt(3) * np.abs(total))
    return np.asarray(unit / np.sqrt(3) * np.sqrt(n / 3 * total**2 + (n / 6 + 1) * squares))
