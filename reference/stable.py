"""Functions of exp(x) that neither overflow nor cancel.

Each is analytic, so that it takes complex steps: where a form is chosen, it is chosen by
the real part, and both forms are the same function.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from .arrays import Array


def as_difference(value: Array, size: Array) -> Array:
    """`value`, which a textbook computes as a difference of terms of this size.

    It is returned as it is.  The rounding model alone asks: where it allows for formulas that
    cancel, it lets the value err by a rounding of `size`.
    """
    allow = getattr(value, "may_cancel", None)
    return value if allow is None else allow(size)


def slope_of_sigmoid(a: Array) -> Array:
    """s(a) s(-a), which is s (1 - s) without the cancellation where s is almost 1."""
    s = sigmoid(a)
    return as_difference(s * sigmoid(-a), s)


def slope_of_tanh(a: Array) -> Array:
    """4 s(2 a) s(-2 a), which is 1 - t^2 without the cancellation where t is almost 1 or -1."""
    t = np.tanh(a)
    return as_difference(4 * sigmoid(2 * a) * sigmoid(-2 * a), t * t)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) = e^x / (1 + e^x): the one whose exponential is at most 1.

    sigmoid(-x) is 1 - sigmoid(x) without the cancellation.
    """
    negative = x.real < 0
    e = np.exp(np.where(negative, x, -x))
    y: Array = np.where(negative, e, 1.0) / (1 + e)
    return y


def log1p(x: Array) -> Array:
    """log(1 + x), also for a complex step x + i h with h^2 below all rounding.

    NumPy's complex log1p is log|1 + x|, which loses the real part's digits where x is small.
    """
    if x.dtype.kind != "c":
        real: Array = np.log1p(x)
        return real
    y: Array = np.log1p(x.real) + 1j * (x.imag / (1 + x.real))
    return y


def log1p_exp(x: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    positive = x.real > 0
    y: Array = np.where(positive, x, 0.0) + log1p(np.exp(np.where(positive, -x, x)))
    return y


def saturate(x: Array, bound: float) -> Array:
    """x, held between -bound and bound: for functions that are constant beyond to the last bit."""
    return np.where(x.real > bound, bound, np.where(x.real < -bound, -bound, x))


def bell(x: Array) -> Array:
    """exp(-x^2 / 2) for |x| <= 40.

    A rounded x^2 would spoil the tail: exp multiplies its relative error by x^2 / 2.
    With h = x cut to sixteenths, whose square is exact, x^2 = h^2 + (x - h)(x + h), and
    the second term is small.  Cody 1969, Rational Chebyshev approximations for the error
    function, does this in his programs.
    """
    h = np.trunc(16 * x.real) / 16
    y: Array = np.exp(-h * h / 2) * np.exp(-(x - h) * (x + h) / 2)
    return y


def normal_cdf(x: Array) -> Array:
    """Phi(x), the standard normal distribution function, for |x| <= 40.

    Phi(-|x|) = erfc(|x| / sqrt 2) / 2 = exp(-x^2 / 2) erfcx(|x| / sqrt 2) / 2 keeps its
    relative accuracy however small it is; Phi(|x|) is 1 minus that.  In the middle
    (1 + erf(x / sqrt 2)) / 2 is the same with fewer roundings.
    """
    z = x * math.sqrt(0.5)
    negative, middle = x.real < 0, np.abs(x.real) < 1
    tail: Array = bell(x) * special.erfcx(np.where(negative, -z, z)) / 2
    outer = np.where(negative, tail, 1 - tail)
    return np.where(middle, (1 + special.erf(np.where(middle, z, 0.0))) / 2, outer)
