"""From a loss and its gradient, written once for three kinds of numbers, to an instance of the zoo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from gradcheck.calibration.zoo.arithmetic import COMPLEX, EXACT, FLOAT, Arithmetic, Values
from gradcheck.calibration.zoo.instance import Array, Instance

Value = Callable[[Values, Arithmetic], Values]  # the loss at weights (n,)
Gradient = Callable[[Values, Arithmetic], Values]  # (n,)
TINY = 1e-100  # step of the complex derivative: h^2 is far below the last bit, and h^3 still a number
DIGITS = 40  # of the known gradient: twice what float64 needs, to spare for cancellation
MOST_DOUBLED = 4  # times that the digits are doubled where terms cancel further


def objects(x: Values) -> Values:
    """An array of mpmath's numbers."""
    made = np.empty(len(x), dtype=object)
    made[:] = [mpmath.mpf(one) for one in x]
    return made


def formula(gradient: Gradient, x: Array) -> Array:
    """The gradient's own formula, with so many digits that twice as many change nothing.

    A test compares it with differences of the loss in 60 digits.  Far out, terms may cancel to any number of digits.
    """
    found = _formula(gradient, x, DIGITS)
    for doubled in range(1, MOST_DOUBLED + 1):
        less, found = found, _formula(gradient, x, DIGITS << doubled)
        # what cancels to nothing leaves the last of the fewer digits
        if np.allclose(less, found, rtol=1e-14, atol=10.0 ** (DIGITS // -2), equal_nan=True):
            return found
    raise ArithmeticError(f"the gradient is not known to 14 digits with {DIGITS << MOST_DOUBLED}")


def _formula(gradient: Gradient, x: Array, digits: int) -> Array:
    with mpmath.workdps(digits):
        return np.array([float(one) for one in gradient(objects(x), EXACT)])


def complex_step(value: Value, x: Array) -> Array:
    """Im value(x + i h e_j) / h, which subtracts nothing: Squire and Trapp, SIAM Review 40, 1998."""
    found = np.empty(x.size)
    for j in range(x.size):
        at = x.astype(complex)
        at[j] += 1j * TINY
        found[j] = float(value(at, COMPLEX).imag / TINY)
    return found


def start(rng: np.random.Generator, n: int, point: str, spread: float = 1.0, far: float = 20.0) -> Array:
    """Weights at a kind of point: zeros, far out where saturated, else normal; an optimum is sought from there."""
    if point == "zeros":
        return np.zeros(n)
    return rng.normal(size=n) * (far if point == "saturated" else spread)


def _defined(value: Value, x: Array) -> float:
    """The value at x; infinite where it is not defined."""
    try:
        return float(value(x, FLOAT))
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.inf


def descended(value: Value, gradient: Gradient, x: Array, steps: int) -> Array:
    """Weights after some BFGS iterations with halved steps, fewer where the loss does not fall, or the gradient overflows."""
    n = x.size
    with np.errstate(all="ignore"):
        f, g = value(x, FLOAT), np.asarray(gradient(x, FLOAT), float)
        inverse = np.eye(n) / max(1.0, float(np.abs(g).max()))
        for _ in range(steps):
            move = -inverse @ g
            for _ in range(30):
                below = _defined(value, x + move) <= f + 1e-4 * (g @ move)
                if below or not move.any():
                    break
                move = move / 2
            if not below:
                return x
            found = np.asarray(gradient(x + move, FLOAT), float)
            if not np.isfinite(found).all():
                return x
            x = x + move
            f, before, g = value(x, FLOAT), g, found
            change = g - before
            curvature = move @ change
            if curvature > 0:
                part = np.eye(n) - np.outer(move, change) / curvature
                inverse = part @ inverse @ part.T + np.outer(move, move) / curvature
    return x


def drawn(
    value: Value,
    gradient: Gradient,
    x: Array,
    point: str,
    *,
    ideal: Value | None = None,
    bias: float = 0.0,
    kinks: bool = False,
    steps: int = 30,
) -> Instance:
    """The instance of a loss at x, or near its optimum.

    ``ideal`` is the loss without its solver's tolerance, where that differs from ``value``.
    """
    if point == "optimum":
        x = descended(value, gradient, x, steps)
    meant = value if ideal is None else ideal

    def exact(weights: list[Any]) -> Any:
        return meant(np.array(weights, dtype=object), EXACT)

    return Instance(
        x=x,
        fun=lambda t: float(value(np.asarray(t, float), FLOAT)),
        jac=lambda t: np.asarray(gradient(np.asarray(t, float), FLOAT), float),
        correct=formula(gradient, x),
        exact=exact,
        bias=bias,
        kinks=kinks,
    )
