"""The derivative of the ideal function, from mpmath or from a complex step."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
from mpmath import mpf

from gradcheck.calibration.zoo.instance import Array

DIGITS = 80
# Truncation of the central difference is about h**2 = 1e-40 of the value over the scale cubed; its rounding 1e-80 / h.
STEP = mpf("1e-20")


def along(exact: Callable[[list[mpf]], mpf], x: Array, direction: Array, scale: float) -> mpf:
    """The derivative of ``exact`` along a direction, by a central difference with 80 digits.

    scale : how far x must move in this direction until the function is another one.
    """
    with mpmath.workdps(DIGITS):
        step = STEP * mpf(scale)
        above, below = (
            [mpf(float(v)) + s * mpf(float(d)) for v, d in zip(x, direction, strict=True)] for s in (step, -step)
        )
        return (exact(above) - exact(below)) / (2 * step)


def derivative(exact: Callable[[list[mpf]], mpf], x: Array, index: int, scale: float) -> mpf:
    """The derivative of ``exact`` by one coordinate.

    scale : how far the coordinate must move until the function is another one.
    """
    return along(exact, x, np.eye(x.size)[index], scale)


def gradient(exact: Callable[[list[mpf]], mpf], x: Array, scale: Array | float | None = None) -> Array:
    """The gradient of ``exact`` at x, rounded to float64.

    scale : of each coordinate; by default its own size, or 1 at 0.
    """
    if scale is None:
        scale = np.where(x == 0, 1.0, np.abs(x))
    scales = np.broadcast_to(np.asarray(scale, float), x.shape)
    return np.array([float(derivative(exact, x, i, scales[i])) for i in range(x.size)])


def complex_gradient(fun: Callable[[Array], complex], x: Array) -> Array:
    """The gradient of a function that takes complex numbers, by a complex step: it has no truncation and no cancellation."""
    step = 1e-150
    found = np.empty(x.size)
    for i in range(x.size):
        z = x.astype(complex)
        z[i] += 1j * step
        found[i] = np.imag(fun(z)) / step
    return found
